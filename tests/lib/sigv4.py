"""A minimal SigV4 signer and raw-socket client, so that every part of a request can be wrong.

Written from the AWS documentation of Signature Version 4; independent of botocore on purpose.
"""

import base64
import datetime
import hashlib
import hmac
import re
import socket
import urllib.parse
import zlib

from basalt import PASSWORD, REGION, USER

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def now(offset_s=0):
    instant = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return instant.strftime("%Y%m%dT%H%M%SZ")


def quote(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


def crc32_base64(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def _mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Signer:
    """One set of credentials and one instant: a fixed one, or `offset_s` from each request on."""

    def __init__(self, user=USER, password=PASSWORD, region=REGION, service="s3", **instant):
        self.user, self.password, self.region, self.service = user, password, region, service
        self.fixed = instant.get("date")
        self.offset_s = instant.get("offset_s", 0)
        self.refresh()

    def refresh(self):
        self.date = self.fixed or now(self.offset_s)

    @property
    def scope(self):
        return f"{self.date[:8]}/{self.region}/{self.service}/aws4_request"

    def key(self):
        key = _mac(("AWS4" + self.password).encode(), self.date[:8])
        for part in (self.region, self.service, "aws4_request"):
            key = _mac(key, part)
        return key

    def signature(self, canonical):
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self.date}\n{self.scope}\n{digest}"
        return hmac.new(self.key(), text.encode(), hashlib.sha256).hexdigest()

    def canonical(self, method, path, query, headers, names, payload_hash):
        pairs = sorted((quote(k), quote(v)) for k, v in query)
        lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
        return "\n".join(
            [
                method,
                quote(path, safe="-_.~/"),
                "&".join(f"{k}={v}" for k, v in pairs),
                lines,
                ";".join(names),
                payload_hash,
            ]
        )

    def authorization(self, method, path, query, headers, payload_hash):
        """The header and its signature, over all of `headers`."""
        names = sorted(headers)
        canonical = self.canonical(method, path, query, headers, names, payload_hash)
        signature = self.signature(canonical)
        credential = f"{self.user}/{self.scope}"
        header = (
            f"AWS4-HMAC-SHA256 Credential={credential}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return header, signature

    def presign(self, method, path, host, expires_s=300, query=(), extra=None):
        """The query string of a presigned URL."""
        pairs = dict(query)
        pairs.update(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": f"{self.user}/{self.scope}",
                "X-Amz-Date": self.date,
                "X-Amz-Expires": str(expires_s),
                "X-Amz-SignedHeaders": "host",
            }
        )
        pairs.update(extra or {})
        canonical = self.canonical(method, path, pairs.items(), {"host": host}, ["host"], UNSIGNED)
        pairs["X-Amz-Signature"] = self.signature(canonical)
        return "&".join(f"{quote(k)}={quote(v)}" for k, v in pairs.items())

    def chunk_signature(self, previous, data):
        digest = hashlib.sha256(data).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{self.date}\n{self.scope}\n{previous}\n"
        text += f"{EMPTY_SHA256}\n{digest}"
        return hmac.new(self.key(), text.encode(), hashlib.sha256).hexdigest()

    def trailer_signature(self, previous, trailer):
        digest = hashlib.sha256(trailer.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256-TRAILER\n{self.date}\n{self.scope}\n{previous}\n{digest}"
        return hmac.new(self.key(), text.encode(), hashlib.sha256).hexdigest()


def signed_chunks(signer, seed, data, chunk_bytes=65536, trailer=None):
    """An aws-chunked body; `trailer` is (name, value)."""
    body, previous = b"", seed
    pieces = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)] + [b""]
    for piece in pieces:
        previous = signer.chunk_signature(previous, piece)
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece
        if piece or trailer is None:
            body += b"\r\n"
    if trailer is not None:
        line = f"{trailer[0]}:{trailer[1]}\n"
        body += f"{trailer[0]}:{trailer[1]}\r\n".encode()
        body += f"x-amz-trailer-signature:{signer.trailer_signature(previous, line)}\r\n\r\n".encode()
    return body


def unsigned_chunks(data, chunk_bytes=65536, trailer=None):
    body = b""
    for at in range(0, len(data), chunk_bytes):
        piece = data[at : at + chunk_bytes]
        body += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    body += b"0\r\n"
    if trailer is not None:
        body += f"{trailer[0]}:{trailer[1]}\r\n".encode()
    return body + b"\r\n"


class Answer:
    """A response, as far as it came."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        match = re.match(r"HTTP/1\.[01] (\d{3})", lines[0])
        self.status = int(match.group(1)) if match else 0
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        self.code = found.group(1).decode() if found else ""

    def __repr__(self):
        return f"{self.status} {self.code}".strip()


def receive(connection):
    """Reads until the peer closes or a whole response is there; b"" where nothing came."""
    raw = b""
    try:
        while True:
            piece = connection.recv(65536)
            if not piece:
                return raw
            raw += piece
            if _complete(raw):
                return raw
    except (TimeoutError, ConnectionError):
        return raw


def _complete(raw):
    while raw.startswith(b"HTTP/1.1 100"):
        raw = raw.partition(b"\r\n\r\n")[2]
    head, gap, body = raw.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if length:
        return len(body) >= int(length.group(1))
    if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        return body.endswith(b"0\r\n\r\n")
    return head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304"))


def exchange(port, data, timeout_s=10, half_close=False):
    """Sends raw bytes on a new connection and answers what came back."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (ConnectionError, TimeoutError):
            pass  # It may answer and close before it has read everything.
        raw = receive(connection)
    while raw.startswith(b"HTTP/1.1 100"):
        raw = raw.partition(b"\r\n\r\n")[2]
    return Answer(raw)

"""Builds requests of which any part can be made wrong after or before signing."""

import hashlib

from sigv4 import Signer, quote


class Put:
    """A request that is right until told otherwise (PUT of a small object by default).

    `headers` are signed; `unsigned` are sent but not signed; `drop` are signed but not sent;
    `edit` changes the list of header lines and the body just before sending.
    """

    def __init__(self, method="PUT", path="/bad/key", query=(), body=b"data", **options):
        self.method, self.path, self.query, self.body = method, path, list(query), body
        self.signer = options.pop("signer", None) or Signer()
        self.headers = options.pop("headers", {})
        self.unsigned = options.pop("unsigned", [])
        self.drop = options.pop("drop", ())
        self.edit = options.pop("edit", None)
        self.payload_hash = options.pop("payload_hash", None)
        self.target = options.pop("target", None)
        self.sent_method = options.pop("sent_method", None)
        self.length = options.pop("length", True)
        self.signature = ""
        assert not options, options

    def bytes(self, host):
        self.signer.refresh()
        payload_hash = self.payload_hash or hashlib.sha256(self.body).hexdigest()
        headers = {"host": host, "x-amz-date": self.signer.date}
        headers["x-amz-content-sha256"] = payload_hash
        headers.update({name.lower(): value for name, value in self.headers.items()})
        authorization, self.signature = self.signer.authorization(
            self.method, self.path, self.query, headers, headers["x-amz-content-sha256"]
        )
        lines = [(name, value) for name, value in headers.items() if name not in self.drop]
        if "authorization" not in self.drop:
            lines.append(("authorization", authorization))
        body = self.body(self) if callable(self.body) else self.body
        if self.length and "content-length" not in headers:
            lines.append(("content-length", str(len(body))))
        lines += self.unsigned
        if self.edit:
            lines, body = self.edit(lines, body)
        return self.head(lines) + body

    def head(self, lines):
        target = self.target
        if target is None:
            target = quote(self.path, safe="-_.~/")
            if self.query:
                target += "?" + "&".join(f"{quote(k)}={quote(v)}" for k, v in self.query)
        text = f"{self.sent_method or self.method} {target} HTTP/1.1\r\n"
        text += "".join(f"{name}: {value}\r\n" for name, value in lines)
        return (text + "connection: close\r\n\r\n").encode("latin-1")


def set_line(name, value):
    """Replaces a header after signing; None takes it away."""

    def edit(lines, body):
        kept = [(n, v) for n, v in lines if n != name]
        return kept + ([] if value is None else [(name, value)]), body

    return edit


def change_authorization(change):
    def edit(lines, body):
        return [(n, change(v) if n == "authorization" else v) for n, v in lines], body

    return edit


class Presigned:
    """A presigned PUT or GET; `change` edits the query string after signing."""

    def __init__(self, method="PUT", path="/bad/key", body=b"data", **options):
        self.method, self.path, self.body = method, path, body
        self.signer = options.pop("signer", None) or Signer()
        self.expires_s = options.pop("expires_s", 300)
        self.extra = options.pop("extra", None)
        self.change = options.pop("change", None)
        self.sent_method = options.pop("sent_method", None)
        self.lines = options.pop("lines", "")
        assert not options, options

    def bytes(self, host):
        self.signer.refresh()
        query = self.signer.presign(
            self.method, self.path, host, self.expires_s, extra=self.extra
        )
        if self.change:
            query = self.change(query)
        text = f"{self.sent_method or self.method} {self.path}?{query} HTTP/1.1\r\nhost: {host}\r\n"
        text += f"content-length: {len(self.body)}\r\n{self.lines}connection: close\r\n\r\n"
        return text.encode("latin-1") + self.body


class Raw:
    """Bytes as they are; `{host}` is filled in."""

    def __init__(self, data):
        self.data = data

    def bytes(self, host):
        return self.data.replace(b"{host}", host.encode())


class Case:
    """A request and the answers that are right: '403 AccessDenied', '400 *' (any code), 'closed'."""

    def __init__(self, name, request, *expected, half_close=False, timeout_s=15):
        self.name, self.request, self.expected = name, request, expected
        self.half_close, self.timeout_s = half_close, timeout_s

    def fits(self, answer):
        for expected in self.expected:
            if expected == "closed":
                if answer.status == 0:
                    return True
                continue
            status, _, code = expected.partition(" ")
            if answer.status == int(status) and code in ("*", answer.code):
                return True
        return False

"""Bodies: aws-chunked framing, trailers, lengths and checksums."""

import base64
import hashlib

from request import Case, Put, set_line
from sigv4 import (
    STREAMING,
    STREAMING_TRAILER,
    STREAMING_UNSIGNED,
    UNSIGNED,
    crc32_base64,
    signed_chunks,
    unsigned_chunks,
)

MISMATCH = "403 SignatureDoesNotMatch"
INCOMPLETE = "400 IncompleteBody"
DATA = bytes(range(256)) * 80  # 20,480 bytes: chunks of 8 KiB, 8 KiB and 4 KiB.
CRC = "x-amz-checksum-crc32"


def signed(change=None, decoded=len(DATA), extra=None, **options):
    """PUT in signed chunks of 8 KiB; `change` edits the framed body."""

    def body(request):
        framed = signed_chunks(request.signer, request.signature, DATA, 8192)
        return change(framed) if change else framed

    headers = {"content-encoding": "aws-chunked", **(extra or {})}
    if decoded is not None:
        headers["x-amz-decoded-content-length"] = str(decoded)
    return Put(body=body, payload_hash=STREAMING, headers=headers, **options)


def signed_trailer(change, value=None):
    def body(request):
        trailer = (CRC, value or crc32_base64(DATA))
        return change(signed_chunks(request.signer, request.signature, DATA, 8192, trailer))

    headers = {"x-amz-decoded-content-length": str(len(DATA)), "x-amz-trailer": CRC}
    return Put(body=body, payload_hash=STREAMING_TRAILER, headers=headers)


def unsigned(framed, announced=CRC, decoded=len(DATA)):
    headers = {"x-amz-decoded-content-length": str(decoded)}
    if announced:
        headers["x-amz-trailer"] = announced
    return Put(body=lambda _: framed, payload_hash=STREAMING_UNSIGNED, headers=headers)


def trailer(name, value):
    return unsigned_chunks(DATA, 8192, (name, value))


def nth_signature(number):
    """Spoils the n-th chunk's signature."""

    def change(framed):
        at = -1
        for _ in range(number):
            at = framed.index(b"chunk-signature=", at + 1)
        at += len(b"chunk-signature=")
        other = b"0" if framed[at : at + 1] != b"0" else b"1"
        return framed[:at] + other + framed[at + 1 :]

    return change


def first_size(text):
    return lambda framed: text + framed[framed.index(b";") :]


def swap(old, new):
    return lambda framed: framed.replace(old, new, 1)


RIGHT = trailer(CRC, crc32_base64(DATA))

FRAMING = [
    Case("first chunk's signature", signed(nth_signature(1)), MISMATCH),
    Case("second chunk's signature", signed(nth_signature(2)), MISMATCH),
    Case("final chunk's signature", signed(nth_signature(4)), MISMATCH),
    Case("chunk bytes changed", signed(lambda b: b[:200] + b"\xaa\xbb" + b[202:]), MISMATCH),
    Case("chunk without a signature", signed(swap(b";chunk-signature=", b";nothing=")), "400 *",
         MISMATCH),
    Case("size is no hex", signed(first_size(b"xyz")), "400 *"),
    Case("size is empty", signed(first_size(b"")), "400 *"),
    Case("size below zero", signed(first_size(b"-2000")), "400 *"),
    Case("size of 2^64", signed(first_size(b"10000000000000000")), "400 *"),
    Case("size of 2^63", signed(first_size(b"8000000000000000")), "400 *", half_close=True),
    Case("size larger than all", signed(first_size(b"200000")), "400 *", MISMATCH, half_close=True),
    Case("size smaller than its chunk", signed(first_size(b"1fff")), "400 *", MISMATCH),
    Case("no line end after data", signed(lambda b: b.replace(b"\r\n2000;", b"2000;", 1)), "400 *",
         MISMATCH),
    Case("64 KiB of chunk extension", signed(swap(b";", b";" + b"x" * 65536 + b";")), "400 *",
         MISMATCH),
    Case("no final chunk", signed(lambda b: b[: b.rindex(b"0;chunk")]), INCOMPLETE, "400 *"),
    Case("ends inside a chunk", signed(lambda b: b[:5000]), INCOMPLETE, "400 *"),
    Case("bytes after the final chunk", signed(lambda b: b + b"more"), "400 *"),
    Case("body not framed at all", signed(lambda _: DATA), "400 *", MISMATCH),
    Case("decoded length too large", signed(decoded=len(DATA) + 1), INCOMPLETE, "400 *"),
    Case("decoded length too small", signed(decoded=len(DATA) - 1), "400 *"),
    Case("no decoded length", signed(decoded=None), "411 MissingContentLength"),
    Case("decoded length is no number", signed(decoded="many"), "400 *"),
    Case("decoded length below zero", signed(decoded="-5"), "400 *"),
    Case("decoded length of 2^64", signed(decoded=str(1 << 64)), "400 *"),
    Case("decoded length above 5 GiB", signed(decoded=(5 << 30) + 1), "400 EntityTooLarge"),
]  # fmt: skip

TRAILERS = [
    Case("signed trailer, wrong sum", signed_trailer(lambda b: b, "AAAAAA=="), "400 BadDigest"),
    Case("signed trailer, value changed", signed_trailer(
        swap(crc32_base64(DATA).encode(), b"AAAAAA==")), MISMATCH),
    Case("signed trailer, signature changed", signed_trailer(
        swap(b"trailer-signature:", b"trailer-signature:0")), MISMATCH, "400 *"),
    Case("signed trailer, no signature", signed_trailer(
        lambda b: b[: b.index(b"x-amz-trailer-signature")] + b"\r\n"), "400 *", MISMATCH),
    Case("wrong sum", unsigned(trailer(CRC, "AAAAAA==")), "400 BadDigest"),
    Case("sum of no base64", unsigned(trailer(CRC, "!!!!")), "400 *"),
    Case("sum of wrong length", unsigned(trailer(CRC, "AAAA")), "400 *"),
    Case("announced trailer missing", unsigned(unsigned_chunks(DATA, 8192)),
         "400 MalformedTrailerError", "400 *"),
    Case("other trailer than announced", unsigned(trailer("x-amz-checksum-sha1",
         base64.b64encode(hashlib.sha1(DATA).digest()).decode())), "400 MalformedTrailerError",
         "400 *"),
    Case("trailer nobody announced", unsigned(RIGHT, announced=None), "400 *"),
    Case("announced trailer unknown", unsigned(RIGHT, announced="x-amz-checksum-md4"), "400 *",
         "501 NotImplemented"),
    Case("announced trailer is no checksum", unsigned(RIGHT, announced="x-amz-meta-a"), "400 *",
         "501 NotImplemented"),
    Case("trailer without a colon", unsigned(swap(CRC.encode() + b":", b"nothing")(RIGHT)), "400 *"),
    Case("trailer of 64 KiB", unsigned(trailer(CRC, "A" * 65536)), "400 *"),
    Case("5,000 trailers", unsigned(RIGHT[:-2] + b"a:b\r\n" * 5000 + b"\r\n"), "400 *"),
    Case("unsigned, ends inside a chunk", unsigned(RIGHT[:5000]), INCOMPLETE, "400 *"),
    Case("unsigned, decoded length too large", unsigned(RIGHT, decoded=len(DATA) + 1), INCOMPLETE,
         "400 *"),
    Case("unsigned, decoded length too small", unsigned(RIGHT, decoded=len(DATA) - 1), "400 *"),
]  # fmt: skip


def length(value):
    return Put(edit=set_line("content-length", value), payload_hash=UNSIGNED)


def framed_http(body, *more):
    """Transfer-Encoding: chunked instead of a length."""

    def edit(lines, _):
        kept = [(n, v) for n, v in lines if n != "content-length"]
        return kept + [("transfer-encoding", "chunked"), *more], body

    return Put(edit=edit, payload_hash=UNSIGNED)


LENGTHS = [
    Case("no length at all", length(None), "411 MissingContentLength"),
    Case("length is no number", length("four"), "400 *", "411 *"),
    Case("length below zero", length("-4"), "400 *"),
    Case("length with a sign", length("+4"), "400 *"),
    Case("length of 2^64", length(str(1 << 64)), "400 *", "413 *"),
    Case("two lengths", Put(unsigned=[("content-length", "5")]), "400 *"),
    Case("length list", length("4, 5"), "400 *"),
    Case("length above 5 GiB", length(str((5 << 30) + 1)), "400 EntityTooLarge"),
    Case("length larger than the body", length("5000"), INCOMPLETE, "400 *", "408 *", "closed",
         half_close=True),
    Case("length and chunked", framed_http(b"4\r\ndata\r\n0\r\n\r\n", ("content-length", "4")),
         "400 *", "411 MissingContentLength"),
    Case("chunked, size is no hex", framed_http(b"zz\r\ndata\r\n0\r\n\r\n"), "400 *",
         "411 MissingContentLength"),
    Case("chunked, no end", framed_http(b"4\r\ndata\r\n"), "400 *", "411 MissingContentLength",
         "closed", half_close=True),
    Case("unknown transfer encoding", Put(edit=set_line("transfer-encoding", "gzip")), "400 *",
         "501 *"),
]  # fmt: skip

SUMS = [
    Case("wrong Content-MD5", Put(headers={"content-md5": "A" * 22 + "=="}), "400 BadDigest"),
    Case("Content-MD5 of no base64", Put(headers={"content-md5": "!"}), "400 InvalidDigest"),
    Case("Content-MD5 too short", Put(headers={"content-md5": "AAAA"}), "400 InvalidDigest"),
    Case("wrong CRC32", Put(headers={CRC: "AAAAAA=="}), "400 BadDigest"),
    Case("wrong CRC32C", Put(headers={"x-amz-checksum-crc32c": "AAAAAA=="}), "400 BadDigest"),
    Case("wrong CRC64NVME", Put(headers={"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}),
         "400 BadDigest"),
    Case("wrong SHA1", Put(headers={"x-amz-checksum-sha1": "A" * 27 + "="}), "400 BadDigest"),
    Case("wrong SHA256", Put(headers={"x-amz-checksum-sha256": "A" * 43 + "="}), "400 BadDigest"),
    Case("sum of no base64", Put(headers={CRC: "no base64"}), "400 InvalidRequest", "400 *"),
    Case("sum of wrong length", Put(headers={CRC: "AAAA"}), "400 InvalidRequest", "400 *"),
    Case("two sums", Put(headers={CRC: crc32_base64(b"data"), "x-amz-checksum-crc32c": "AAAAAA=="}),
         "400 InvalidRequest", "400 BadDigest"),
    Case("other sum than announced", Put(headers={"x-amz-sdk-checksum-algorithm": "SHA256",
         CRC: crc32_base64(b"data")}), "400 InvalidRequest", "400 *"),
    Case("unknown sum announced", Put(headers={"x-amz-sdk-checksum-algorithm": "MD4"}),
         "400 InvalidRequest", "400 *"),
    Case("unknown sum header", Put(headers={"x-amz-checksum-md4": "AAAA"}), "400 *",
         "501 NotImplemented"),
]  # fmt: skip

CASES = [("framing", case) for case in FRAMING] + [("trailer", case) for case in TRAILERS]
CASES += [("length", case) for case in LENGTHS] + [("sum", case) for case in SUMS]

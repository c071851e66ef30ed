"""What is hardly HTTP, and connections that end in the middle."""

from request import Case, Put, Raw, set_line
from sigv4 import UNSIGNED

BAD = ("400 *", "closed")
HOST = b"Host: {host}\r\n"

CASES = [
    ("http", case)
    for case in [
        Case("garbage", Raw(b"\x00\x01\x02\x03\r\n\r\n"), *BAD),
        Case("TLS hello", Raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64), *BAD,
             half_close=True),
        Case("HTTP/2 preface", Raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), *BAD, "505 *"),
        Case("HTTP/0.9", Raw(b"GET /good/object\r\n\r\n"), *BAD, "505 *"),
        Case("HTTP/3.0", Raw(b"GET /good HTTP/3.0\r\n" + HOST + b"\r\n"), *BAD, "505 *"),
        Case("no version", Raw(b"GET\r\n\r\n"), *BAD),
        Case("blank in the path", Raw(b"GET /good/a b HTTP/1.1\r\n" + HOST + b"\r\n"), *BAD),
        Case("byte above 127 in the path", Raw(b"GET /good/\xff HTTP/1.1\r\n" + HOST + b"\r\n"), *BAD,
             "403 *"),
        Case("no host", Raw(b"GET /good HTTP/1.1\r\nConnection: close\r\n\r\n"), *BAD, "403 *"),
        Case("two hosts", Raw(b"GET /good HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"),
             *BAD, "403 *"),
        Case("header without a colon", Raw(b"GET /good HTTP/1.1\r\n" + HOST + b"nothing\r\n\r\n"), *BAD),
        Case("blank before the colon", Raw(b"GET /good HTTP/1.1\r\n" + HOST + b"a : b\r\n\r\n"), *BAD,
             "403 *"),
        Case("header name of no token", Raw(b"GET /good HTTP/1.1\r\n" + HOST + b"a\x00b: c\r\n\r\n"),
             *BAD),
        Case("NUL in a header", Raw(b"GET /good HTTP/1.1\r\n" + HOST + b"a: b\x00c\r\n\r\n"), *BAD),
        Case("folded header", Raw(b"GET /good HTTP/1.1\r\n" + HOST + b"a: b\r\n c\r\n\r\n"), *BAD,
             "403 *"),
        Case("request line of 128 KiB", Raw(b"GET /good/" + b"a" * 131072 + b" HTTP/1.1\r\n" + HOST +
             b"\r\n"), *BAD, "414 *", "431 *"),
        Case("1 MiB of headers", Raw(b"GET /good HTTP/1.1\r\n" + HOST + (b"a: " + b"b" * 1000 +
             b"\r\n") * 1000 + b"\r\n"), *BAD, "431 *"),
        Case("10,000 headers", Raw(b"GET /good HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 10000 + b"\r\n"),
             *BAD, "431 *"),
        Case("CONNECT", Raw(b"CONNECT {host} HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"), *BAD,
             "403 *", "405 *", "501 *"),
        Case("OPTIONS *", Raw(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"), *BAD,
             "403 *", "405 *", "501 *"),
        Case("unknown expectation", Put(edit=set_line("expect", "200-maybe")), "400 *", "417 *"),
        Case("refused before 100-continue", Put(drop=("authorization",),
             edit=set_line("expect", "100-continue")), "403 AccessDenied"),
        Case("half a request line", Raw(b"PUT /bad/k"), "closed", "400 *", "408 *", half_close=True),
        Case("half a header", Raw(b"PUT /bad/key HTTP/1.1\r\nHost: "), "closed", "400 *", "408 *",
             half_close=True),
        Case("half a signed body", Put(edit=lambda lines, body: (lines, body[:2])), "closed",
             "400 *", "408 *", half_close=True),
        Case("half an unsigned body", Put(payload_hash=UNSIGNED, edit=lambda lines, body: (lines,
             body[:2])), "closed", "400 *", "408 *", half_close=True),
        Case("no body at all", Put(edit=lambda lines, body: (lines, b"")), "closed", "400 *", "408 *",
             half_close=True),
        Case("half of 5 MiB", Put(body=bytes(5 << 20), edit=lambda lines, body: (lines,
             body[: 5 << 19])), "closed", "400 *", "408 *", half_close=True),
    ]
]  # fmt: skip

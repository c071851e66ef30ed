#!/usr/bin/env python3
"""Sends malformed requests and compares each answer with the right ones; afterwards nothing may be
stored, the server must live and its log must hold no panic.

    tests/badinput/run.py            # BASALT_ONLY=text: only cases whose name holds the text
"""

import os
import pathlib
import socket
import struct
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

import cases_api  # noqa: E402
import cases_auth  # noqa: E402
import cases_body  # noqa: E402
import cases_http  # noqa: E402
from basalt import Server, watchdog  # noqa: E402
from request import Presigned, Put  # noqa: E402
from runner import Suite, number  # noqa: E402
from sigv4 import UNSIGNED, exchange  # noqa: E402

CASES_MIN = 100
OBJECT = bytes(range(250)) * 4


def send(server, case):
    answer = exchange(
        server.port,
        case.request.bytes(f"127.0.0.1:{server.port}"),
        case.timeout_s,
        case.half_close,
    )
    assert case.fits(answer), f"answered {answer!r}, right: {', '.join(case.expected)}"
    if answer.status >= 400 and answer.code:
        assert answer.headers.get("x-amz-request-id"), "an error without a request id"
        assert b"<RequestId>" in answer.body, "an error document without a request id"


def stalled_requests(host):
    """Beginnings of requests that never go on."""
    upload = Put(payload_hash=UNSIGNED, body=bytes(1 << 20)).bytes(host)
    chunked = cases_body.signed().bytes(host)
    return [
        b"PUT /bad",
        b"PUT /bad/key HTTP/1.1\r\nHost: a\r\nx-a",
        upload[: upload.index(b"\r\n\r\n") + 4],
        upload[: len(upload) // 2],
        chunked[: chunked.index(b"\r\n\r\n") + 4 + 10],
        chunked[:-20],
    ]


class Stalls:
    """Clients that stop in the middle and keep the connection."""

    def __init__(self, server, each):
        host = f"127.0.0.1:{server.port}"
        self.connections = []
        for data in stalled_requests(host) * each:
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            connection.sendall(data)
            self.connections.append(connection)

    def wait_ended(self, timeout_s):
        """Every one must be answered with 400 or 408, or closed, by the server's own time limit."""
        deadline = time.monotonic() + timeout_s
        for connection in self.connections:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                first = connection.recv(64)
            except ConnectionError:
                first = b""
            assert not first or first[9:12] in (b"400", b"408"), first

    def reset(self):
        for connection in self.connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


def check_nothing_stored(server, upload):
    client = server.client()
    buckets = sorted(bucket["Name"] for bucket in client.list_buckets()["Buckets"])
    assert buckets == ["bad", "good"], buckets
    listed = client.list_objects_v2(Bucket="bad").get("Contents", [])
    assert not listed, [entry["Key"] for entry in listed]
    parts = client.list_parts(Bucket="bad", Key="upload", UploadId=upload).get("Parts", [])
    assert not parts, parts
    uploads = client.list_multipart_uploads(Bucket="bad").get("Uploads", [])
    assert [found["UploadId"] for found in uploads] == [upload], uploads
    answer = client.get_object(Bucket="good", Key="object")
    assert answer["Body"].read() == OBJECT and answer["Metadata"] == {"a": "b"}


def check_server(server):
    assert server.alive(), f"the server ended with {server.process.returncode}"
    assert not server.panics(), server.panics()[:5]


def check_still_serves(server):
    client = server.client()
    client.put_object(Bucket="bad", Key="last", Body=b"fine")
    assert client.get_object(Bucket="bad", Key="last")["Body"].read() == b"fine"


def check_the_signer(server):
    """The untouched requests are right; so a refusal below is due to what was changed."""
    host = f"127.0.0.1:{server.port}"
    right = [Put(), Presigned(), cases_body.signed(), cases_body.unsigned(cases_body.RIGHT)]
    right.append(cases_body.signed_trailer(lambda framed: framed))
    for request in right:
        answer = exchange(server.port, request.bytes(host))
        assert answer.status == 200, f"{answer!r}: {answer.body[:300]}"
    server.client().delete_object(Bucket="bad", Key="key")


def main():
    watchdog(number("BASALT_TIMEOUT", 1200))
    only = os.environ.get("BASALT_ONLY", "")
    suite = Suite("badinput")
    with Server() as server:
        server.start()
        client = server.client()
        for bucket in ("bad", "good"):
            client.create_bucket(Bucket=bucket)
        client.put_object(Bucket="good", Key="object", Body=OBJECT, Metadata={"a": "b"})
        upload = client.create_multipart_upload(Bucket="bad", Key="upload")["UploadId"]
        suite.run_one("the signer signs rightly", check_the_signer, server)
        stalls = Stalls(server, number("BASALT_STALLS", 10))
        cases = cases_auth.CASES + cases_body.CASES + cases_http.CASES + cases_api.cases(upload)
        assert len(cases) >= CASES_MIN, len(cases)
        for group, case in cases:
            if only in f"{group}: {case.name}":
                suite.run_one(f"{group}: {case.name}", send, server, case)
        suite.run_one("stalled connections end", stalls.wait_ended, number("BASALT_STALL_S", 90))
        stalls.reset()
        suite.run_one("reset connections", lambda: Stalls(server, 2).reset())
        suite.run_one("nothing is stored", check_nothing_stored, server, upload)
        suite.run_one("the server lives without a panic", check_server, server)
        suite.run_one("the server still serves", check_still_serves, server)
        code = server.stop()
        suite.run_one("SIGTERM ends it with 0", lambda: check_exit(code))
    suite.finish()


def check_exit(code):
    assert code == 0, code


if __name__ == "__main__":
    main()

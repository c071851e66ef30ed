#!/usr/bin/env python3
"""Large objects: multipart with the AWS CLI's defaults, one single PUT, many parts, an upload that
breaks off.

BASALT_MULTIPART_MIB (default 3072), BASALT_SINGLE_MIB (default 5120), BASALT_PARTS (default
10000): 0 skips; CI sets smaller ones.
"""

import filecmp
import hashlib
import os
import socket
import threading

from tools import aws, random_file

from basalt import Server, wait_for, watchdog
from payload import MIB
from runner import Skip, Suite, number
from sigv4 import UNSIGNED, Signer, receive

suite = Suite("clients/large")
MULTIPART = number("BASALT_MULTIPART_MIB", 3072) * MIB
SINGLE = number("BASALT_SINGLE_MIB", 5120) * MIB
PARTS = number("BASALT_PARTS", 10_000)
# What may stay behind a removed object: index, log and growth made ahead do not count as used.
SLACK = 4 * MIB


def needed(value):
    if not value:
        raise Skip("set to 0")


@suite.check
def multipart_with_the_defaults_of_the_aws_cli(server):
    needed(MULTIPART)
    source, target = server.root / "large", server.root / "large.down"
    random_file(source, MULTIPART)
    aws(server, "s3", "mb", "s3://large")
    aws(server, "s3", "cp", "--only-show-errors", str(source), "s3://large/file")
    etag = server.client().head_object(Bucket="large", Key="file")["ETag"]
    assert "-" in etag or MULTIPART < 8 * MIB, etag
    aws(server, "s3", "cp", "--only-show-errors", "s3://large/file", str(target))
    assert filecmp.cmp(source, target, False), "it came back different"
    source.unlink()
    target.unlink()


@suite.check
def removal_gives_the_space_back(server):
    needed(MULTIPART)
    before = server.used_bytes()
    assert before >= MULTIPART, f"{before} bytes used with {MULTIPART} stored"
    aws(server, "s3", "rm", "--only-show-errors", "s3://large/file")
    wait_for("the space comes back", lambda: server.used_bytes() < before - MULTIPART, 120, 1)


def stream_put(server, key, size_bytes, sent_bytes=None):
    """One PUT over a raw socket; answers the SHA-256 of what was sent, and the raw answer."""
    path = f"/single/{key}"
    headers = {"host": f"127.0.0.1:{server.port}", "content-length": str(size_bytes)}
    signer = Signer()
    headers.update({"x-amz-date": signer.date, "x-amz-content-sha256": UNSIGNED})
    headers["authorization"] = signer.authorization("PUT", path, (), headers, UNSIGNED)[0]
    head = f"PUT {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    digest = hashlib.sha256()
    base = os.urandom(MIB)
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall((head + "\r\n").encode())
        left, number_of = sent_bytes or size_bytes, 0
        while left:
            piece = (number_of.to_bytes(8, "little") + base[8:])[:left]
            connection.sendall(piece)
            digest.update(piece)
            left -= len(piece)
            number_of += 1
        raw = b"" if sent_bytes else receive(connection)
    return digest.hexdigest(), raw


def download_digest(server, key):
    digest = hashlib.sha256()
    body = server.client(timeout_s=300).get_object(Bucket="single", Key=key)["Body"]
    for piece in body.iter_chunks(MIB):
        digest.update(piece)
    return digest.hexdigest()


@suite.check
def a_single_put(server):
    needed(SINGLE)
    server.client().create_bucket(Bucket="single")
    sent, raw = stream_put(server, "one", SINGLE)
    assert raw.startswith(b"HTTP/1.1 200"), raw[:500]
    assert download_digest(server, "one") == sent, "it came back different"
    answer = server.client().get_object(Bucket="single", Key="one", Range=f"bytes={SINGLE - 5}-")
    assert len(answer["Body"].read()) == 5
    server.client().delete_object(Bucket="single", Key="one")


@suite.check
def a_put_that_breaks_off_frees_its_space(server):
    client = server.client()
    if "single" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="single")
    wait_for("removed objects are gone", lambda: steady(server), 120, 1)
    before = server.used_bytes()
    threads = [
        threading.Thread(target=stream_put, args=(server, f"broken-{n}", 256 * MIB, 100 * MIB))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    wait_for("the space comes back", lambda: server.used_bytes() <= before + SLACK, 120, 0.5)
    assert "Contents" not in client.list_objects_v2(Bucket="single", Prefix="broken")
    assert server.stop() == 0
    server.start()
    assert server.used_bytes() <= before + SLACK, "the space is taken again after a restart"


SAMPLES = [-1]


def steady(server):
    SAMPLES.append(server.used_bytes())
    return SAMPLES[-1] == SAMPLES[-2]


def check_log(server):
    assert server.alive() and not server.panics(), server.panics()[:3]


@suite.check
def as_many_parts_as_there_may_be(_):
    """All but the last must be of 5 MiB at least, so 10,000 parts take 50 GiB: on one drive,
    without parity."""
    needed(PARTS)
    with Server(drives=1) as server:
        server.start()
        upload_parts(server)
        check_log(server)


def upload_parts(server):
    client = server.client(timeout_s=300)
    client.create_bucket(Bucket="parts")
    piece = os.urandom(5 * MIB)
    client.put_object(Bucket="parts", Key="piece", Body=piece)
    target = {"Bucket": "parts", "Key": "whole"}
    target["UploadId"] = client.create_multipart_upload(**target)["UploadId"]
    parts = []
    for part in range(1, PARTS):
        copied = client.upload_part_copy(
            **target, PartNumber=part, CopySource={"Bucket": "parts", "Key": "piece"}
        )
        parts.append({"PartNumber": part, "ETag": copied["CopyPartResult"]["ETag"]})
    last = client.upload_part(**target, PartNumber=PARTS, Body=b"!")
    parts.append({"PartNumber": PARTS, "ETag": last["ETag"]})
    listed = []
    for page in client.get_paginator("list_parts").paginate(**target):
        listed += [found["PartNumber"] for found in page.get("Parts", [])]
    assert listed == list(range(1, PARTS + 1)), f"{len(listed)} parts listed"
    answer = client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    assert answer["ETag"].strip('"').endswith(f"-{PARTS}"), answer["ETag"]
    check_whole(client, piece)
    client.delete_object(Bucket="parts", Key="whole")


def check_whole(client, piece):
    size = client.head_object(Bucket="parts", Key="whole")["ContentLength"]
    assert size == (PARTS - 1) * 5 * MIB + 1, size

    def read(first, last):
        asked = f"bytes={first}-{last}"
        return client.get_object(Bucket="parts", Key="whole", Range=asked)["Body"].read()

    assert read(size - 3, size - 1) == piece[-2:] + b"!"
    border = (PARTS // 2) * 5 * MIB
    assert read(border - 2, border + 1) == piece[-2:] + piece[:2]
    one = client.get_object(Bucket="parts", Key="whole", PartNumber=PARTS)
    assert one["Body"].read() == b"!" and one["PartsCount"] == PARTS, one


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 7200))
    with Server() as running:
        running.start()
        suite.run(running)
        suite.run_one("no panic", lambda: check_log(running))
    suite.finish()

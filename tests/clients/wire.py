#!/usr/bin/env python3
"""What S3 clients send that boto3 does not by itself: every checksum in a header and as a trailer,
bodies in one large chunk, checksums of uploads, copies, virtual hosts. Raw requests, own signer.
"""

import base64
import hashlib
import os
import zlib

from tools import run  # noqa: F401 - puts tests/lib on the path

from basalt import Server, watchdog
from botocore.exceptions import ClientError
from payload import MIB
from runner import Suite, number
from sigv4 import (
    STREAMING,
    STREAMING_TRAILER,
    STREAMING_UNSIGNED,
    UNSIGNED,
    Signer,
    exchange,
    signed_chunks,
    unsigned_chunks,
)

suite = Suite("clients/wire")
BUCKET = "wire"
BODY = b"every byte counts " * 600


def _table(polynomial):
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


TABLES = {"crc32c": (_table(0x82F63B78), 32), "crc64nvme": (_table(0x9A6C9329AC4BC9B5), 64)}


def digest(name, data):
    """The bytes of a checksum."""
    if name in ("sha1", "sha256"):
        return hashlib.new(name, data).digest()
    if name == "crc32":
        return zlib.crc32(data).to_bytes(4, "big")
    table, bits = TABLES[name]
    crc = all_ones = (1 << bits) - 1
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    return (crc ^ all_ones).to_bytes(bits // 8, "big")


def text(data):
    return base64.b64encode(data).decode()


ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")


def request(server, method, path, headers=None, body=b"", payload_hash=UNSIGNED, host=None):
    """One signed request; `body` may be made of the signer and the signature."""
    signer = Signer()
    named = {"host": host or f"127.0.0.1:{server.port}", "x-amz-date": signer.date}
    named["x-amz-content-sha256"] = payload_hash
    named.update(headers or {})
    authorization, signature = signer.authorization(method, path, (), named, payload_hash)
    if callable(body):
        body = body(signer, signature)
    lines = {**named, "authorization": authorization, "content-length": len(body)}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    data = (head + "connection: close\r\n\r\n").encode() + body
    return exchange(server.port, data, timeout_s=60)


def sums_of(answer):
    return {name[15:]: value for name, value in answer.headers.items()
            if name.startswith("x-amz-checksum-") and name != "x-amz-checksum-type"}  # fmt: skip


@suite.check
def every_checksum_as_a_header(server):
    client = server.client()
    client.create_bucket(Bucket=BUCKET)
    for name in ALGORITHMS:
        path, right = f"/{BUCKET}/header-{name}", text(digest(name, BODY))
        answer = request(server, "PUT", path, {f"x-amz-checksum-{name}": right}, BODY)
        assert answer.status == 200 and sums_of(answer) == {name: right}, (name, answer.headers)
        wrong = text(bytes(len(digest(name, b""))))
        answer = request(server, "PUT", path, {f"x-amz-checksum-{name}": wrong}, BODY)
        assert (answer.status, answer.code) == (400, "BadDigest"), (name, answer)
        for method in ("GET", "HEAD"):
            answer = request(server, method, path, {"x-amz-checksum-mode": "ENABLED"})
            assert sums_of(answer) == {name: right}, (name, answer.headers)
            assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
            assert sums_of(request(server, method, path)) == {}, "shown unasked"
        ranged = request(server, "GET", path, {"x-amz-checksum-mode": "ENABLED", "range": "bytes=0-9"})
        assert ranged.status == 206 and sums_of(ranged) == {}, ranged.headers
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="header-")["Contents"]
    shown = {entry["Key"][7:]: entry["ChecksumAlgorithm"] for entry in listed}
    assert shown == {name: [name.upper()] for name in ALGORITHMS}, shown


@suite.check
def every_checksum_as_a_trailer(server):
    def chunked(mode, name, value):
        trailer = (f"x-amz-checksum-{name}", value)
        if mode == STREAMING_UNSIGNED:
            return lambda *_: unsigned_chunks(BODY, 1000, trailer)
        return lambda signer, seed: signed_chunks(signer, seed, BODY, 8192, trailer)

    for mode in (STREAMING_UNSIGNED, STREAMING_TRAILER):
        for name in ALGORITHMS:
            path, right = f"/{BUCKET}/trailer-{name}", text(digest(name, BODY))
            headers = {"x-amz-trailer": f"x-amz-checksum-{name}", "content-encoding": "aws-chunked",
                       "x-amz-decoded-content-length": str(len(BODY))}  # fmt: skip
            wrong = text(bytes(len(digest(name, b""))))
            answer = request(server, "PUT", path, headers, chunked(mode, name, wrong), mode)
            assert (answer.status, answer.code) == (400, "BadDigest"), (mode, name, answer)
            answer = request(server, "PUT", path, headers, chunked(mode, name, right), mode)
            assert answer.status == 200 and sums_of(answer) == {name: right}, (mode, name, answer)
            answer = request(server, "GET", path, {"x-amz-checksum-mode": "ENABLED"})
            assert answer.body == BODY and sums_of(answer) == {name: right}
            assert "content-encoding" not in answer.headers, answer.headers
            request(server, "DELETE", path)


@suite.check
def chunks_of_any_size(server):
    """Unsigned chunks as long as the body; signed ones up to 1 MiB."""
    body = os.urandom(20 * MIB)
    headers = {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": str(len(body))}
    trailer = ("x-amz-checksum-crc32", text(digest("crc32", body)))
    for chunk_bytes in (len(body), 3 * MIB + 1, 65536, 10_000):
        framed = unsigned_chunks(body, chunk_bytes, trailer)
        answer = request(server, "PUT", f"/{BUCKET}/long", headers, framed, STREAMING_UNSIGNED)
        assert answer.status == 200, (chunk_bytes, answer)
        assert answer.headers["etag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = server.client().get_object(Bucket=BUCKET, Key="long")["Body"].read()
    assert got == body
    headers = {"x-amz-decoded-content-length": str(3 * MIB)}
    for chunk_bytes, status in ((65536, 200), (128 * 1024, 200), (MIB, 200), (MIB + 1, 400)):
        def framed(signer, seed, chunk_bytes=chunk_bytes):
            return signed_chunks(signer, seed, body[: 3 * MIB], chunk_bytes)

        answer = request(server, "PUT", f"/{BUCKET}/signed", headers, framed, STREAMING)
        assert answer.status == status, (chunk_bytes, answer)


@suite.check
def checksums_of_uploads(server):
    """COMPOSITE and FULL_OBJECT, of every algorithm that has them."""
    client = server.client()
    pieces = [os.urandom(5 * MIB), b"the end"]
    whole = b"".join(pieces)
    for name in ALGORITHMS:
        kinds = ["COMPOSITE"] if name.startswith("sha") else ["COMPOSITE", "FULL_OBJECT"]
        kinds = ["FULL_OBJECT"] if name == "crc64nvme" else kinds
        field, sums = f"Checksum{name.upper()}", [digest(name, piece) for piece in pieces]
        for kind in kinds:
            target = {"Bucket": BUCKET, "Key": f"upload-{name}-{kind}"}
            made = client.create_multipart_upload(
                **target, ChecksumAlgorithm=name.upper(), ChecksumType=kind
            )
            assert (made["ChecksumAlgorithm"], made["ChecksumType"]) == (name.upper(), kind)
            target["UploadId"] = made["UploadId"]
            parts = []
            for number_of, (piece, sum_of) in enumerate(zip(pieces, sums), 1):
                put = client.upload_part(**target, PartNumber=number_of, Body=piece, **{field: text(sum_of)})
                parts.append({"PartNumber": number_of, "ETag": put["ETag"], field: put[field]})
            listed = client.list_parts(**target)
            assert [part[field] for part in listed["Parts"]] == [text(sum_of) for sum_of in sums]
            done = client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
            of_parts = text(digest(name, b"".join(sums))) + "-2"
            right = of_parts if kind == "COMPOSITE" else text(digest(name, whole))
            head = client.head_object(Bucket=BUCKET, Key=target["Key"], ChecksumMode="ENABLED")
            for answer in (done, head):
                assert (answer[field], answer["ChecksumType"]) == (right, kind), (name, kind, answer)
    for name, kind in (("CRC64NVME", "COMPOSITE"), ("SHA256", "FULL_OBJECT")):
        refused(400, lambda name=name, kind=kind: client.create_multipart_upload(
            Bucket=BUCKET, Key="never", ChecksumAlgorithm=name, ChecksumType=kind))  # fmt: skip


def refused(status, call):
    try:
        call()
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error
        return
    raise AssertionError(f"accepted, {status} expected")


@suite.check
def copies_by_condition_and_onto_themselves(server):
    client = server.client()
    put = client.put_object(Bucket=BUCKET, Key="source", Body=b"source", Metadata={"a": "1"})
    source, long_ago = {"Bucket": BUCKET, "Key": "source"}, "Sat, 01 Jan 2000 00:00:00 GMT"
    now = client.head_object(**source)["LastModified"]

    def copy(key="copy", **more):
        return client.copy_object(Bucket=BUCKET, Key=key, CopySource=source, **more)

    copy(CopySourceIfMatch=put["ETag"], CopySourceIfUnmodifiedSince=long_ago)
    copy(CopySourceIfNoneMatch='"other"', CopySourceIfModifiedSince=long_ago)
    for condition in ({"CopySourceIfMatch": '"other"'}, {"CopySourceIfNoneMatch": put["ETag"]},
                      {"CopySourceIfModifiedSince": now}, {"CopySourceIfUnmodifiedSince": long_ago},
                      {"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):  # fmt: skip
        refused(412, lambda condition=condition: copy(**condition))
    refused(400, lambda: copy("source"))
    copy("source", StorageClass="STANDARD")
    copy("source", MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert client.head_object(**source)["Metadata"] == {"b": "2"}
    copied = copy(ChecksumAlgorithm="SHA256")["CopyObjectResult"]
    assert copied["ChecksumSHA256"] == text(digest("sha256", b"source")), copied


@suite.check
def what_there_is_not_is_said_as_aws_says_it(server):
    client = server.client()
    for call, code, status in (
        ("get_bucket_tagging", "NoSuchTagSet", 404), ("get_bucket_policy", "NoSuchBucketPolicy", 404),
        ("get_bucket_cors", "NoSuchCORSConfiguration", 404),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", 404),
        ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError", 404),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError", 404),
        ("list_object_versions", "NotImplemented", 501), ("get_bucket_logging", "NotImplemented", 501),
    ):  # fmt: skip
        try:
            getattr(client, call)(Bucket=BUCKET)
            raise AssertionError(f"{call} answered")
        except ClientError as error:
            found = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
            assert found == (code, status), (call, found)
    assert "Status" not in client.get_bucket_versioning(Bucket=BUCKET)
    assert client.get_bucket_acl(Bucket=BUCKET)["Grants"][0]["Permission"] == "FULL_CONTROL"
    refused(501, lambda: client.get_object_attributes(Bucket=BUCKET, Key="source", ObjectAttributes=["ETag"]))


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 600))
    with Server() as running:
        running.start()
        suite.run(running)
        suite.judge_server(running)
    suite.finish()

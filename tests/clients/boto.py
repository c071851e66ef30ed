#!/usr/bin/env python3
"""What boto3 asks of an S3 store, answer by answer."""

import base64
import hashlib
import urllib.error
import urllib.request
import zlib

from botocore.exceptions import ClientError
from tools import run  # noqa: F401 - puts tests/lib on the path

from basalt import Server, watchdog
from payload import MIB
from runner import Suite, number

suite = Suite("clients/boto")
BODY = bytes(range(256)) * 40


def refused(code, call, status=None):
    """The call must be refused with this code."""
    try:
        call()
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{found} instead of {code}"
        got = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status in (None, got), f"status {got} instead of {status}"
        return
    raise AssertionError(f"accepted, {code} expected")


def fresh(client, name):
    client.create_bucket(Bucket=name)
    return name


@suite.check
def buckets(client):
    for name in ("bucket-b", "bucket-a", "bucket.c"):
        client.create_bucket(Bucket=name)
    names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    assert names == sorted(names) and {"bucket-a", "bucket-b", "bucket.c"} <= set(names), names
    assert client.head_bucket(Bucket="bucket-a")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert client.get_bucket_location(Bucket="bucket-a")["LocationConstraint"] in (None, "")
    refused("BucketAlreadyOwnedByYou", lambda: client.create_bucket(Bucket="bucket-a"), 409)
    client.put_object(Bucket="bucket-a", Key="k", Body=b"")
    refused("BucketNotEmpty", lambda: client.delete_bucket(Bucket="bucket-a"), 409)
    client.delete_object(Bucket="bucket-a", Key="k")
    for name in ("bucket-a", "bucket-b", "bucket.c"):
        client.delete_bucket(Bucket=name)
        refused("404", lambda name=name: client.head_bucket(Bucket=name), 404)
    refused("NoSuchBucket", lambda: client.delete_bucket(Bucket="bucket-a"), 404)


@suite.check
def a_bucket_made_anew_is_empty(client):
    bucket = fresh(client, "again")
    client.put_object(Bucket=bucket, Key="old", Body=BODY)
    client.delete_object(Bucket=bucket, Key="old")
    client.delete_bucket(Bucket=bucket)
    client.create_bucket(Bucket=bucket)
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    refused("NoSuchKey", lambda: client.get_object(Bucket=bucket, Key="old"), 404)


@suite.check
def an_open_upload_keeps_its_bucket(client):
    bucket = fresh(client, "uploading")
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    refused("BucketNotEmpty", lambda: client.delete_bucket(Bucket=bucket), 409)
    client.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    client.delete_bucket(Bucket=bucket)


@suite.check
def sizes_and_etags(client):
    bucket = fresh(client, "sizes")
    sizes = [0, 1, 16383, 16384, 16385, 65536, 262143, 262144, 262145, MIB, 4 * MIB + 1, 9 * MIB]
    for size in sizes:
        body = hashlib.shake_128(str(size).encode()).digest(size)
        etag = client.put_object(Bucket=bucket, Key=f"k{size}", Body=body)["ETag"]
        assert etag == f'"{hashlib.md5(body).hexdigest()}"', (size, etag)
        answer = client.get_object(Bucket=bucket, Key=f"k{size}")
        assert answer["Body"].read() == body, size
        assert answer["ContentLength"] == size and answer["ETag"] == etag
        head = client.head_object(Bucket=bucket, Key=f"k{size}")
        assert head["ContentLength"] == size and head["ETag"] == etag
        assert head["LastModified"] == answer["LastModified"]


def sums_of(body):
    return {
        "CRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
        "SHA1": base64.b64encode(hashlib.sha1(body).digest()).decode(),
        "SHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }


@suite.check
def default_and_chosen_checksums(client):
    bucket = fresh(client, "sums")
    client.put_object(Bucket=bucket, Key="default", Body=BODY)
    head = client.head_object(Bucket=bucket, Key="default", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == sums_of(BODY)["CRC32"], head
    for name, value in sums_of(BODY).items():
        answer = client.put_object(Bucket=bucket, Key=name, Body=BODY, ChecksumAlgorithm=name)
        assert answer[f"Checksum{name}"] == value, answer
        got = client.get_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
        assert got[f"Checksum{name}"] == value and got["Body"].read() == BODY
        wrong = {f"Checksum{name}": base64.b64encode(b"\0" * len(base64.b64decode(value))).decode()}
        refused(
            "BadDigest",
            lambda wrong=wrong: client.put_object(Bucket=bucket, Key="wrong", Body=BODY, **wrong),
            400,
        )
    refused("404", lambda: client.head_object(Bucket=bucket, Key="wrong"))
    wrong = {"ContentMD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}
    refused("BadDigest", lambda: client.put_object(Bucket=bucket, Key="wrong", Body=BODY, **wrong))


@suite.check
def metadata_round_trip(client):
    bucket = fresh(client, "metadata")
    headers = {
        "ContentType": "text/x-basalt; charset=utf-8",
        "CacheControl": "max-age=60, public",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de, en",
    }
    metadata = {"plain": "value", "with-dash": "1; 2, 3", "empty-ish": " x ".strip(), "caps": "AbC"}
    client.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=metadata, **headers)
    for answer in (client.head_object(Bucket=bucket, Key="k"), client.get_object(Bucket=bucket, Key="k")):
        assert answer["Metadata"] == metadata, answer["Metadata"]
        for name, value in headers.items():
            assert answer[name] == value, (name, answer.get(name))
    client.put_object(Bucket=bucket, Key="k", Body=b"y")
    head = client.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {} and "CacheControl" not in head, head
    assert head["ContentType"] == "binary/octet-stream", head["ContentType"]
    answer = client.get_object(Bucket=bucket, Key="k", ResponseContentType="text/plain")
    assert answer["ContentType"] == "text/plain"


@suite.check
def ranges(client):
    bucket = fresh(client, "ranges")
    body = hashlib.shake_128(b"ranges").digest(3 * MIB + 17)
    client.put_object(Bucket=bucket, Key="k", Body=body)
    size = len(body)
    for first, last in ((0, 0), (0, 511), (262143, 262144), (MIB - 1, 2 * MIB), (size - 1, size - 1)):
        answer = client.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}")
        assert answer["Body"].read() == body[first : last + 1], (first, last)
        assert answer["ContentRange"] == f"bytes {first}-{last}/{size}"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    for asked, part in (("bytes=-5", body[-5:]), ("bytes=100-", body[100:]), ("bytes=9-99999999", body[9:]),
                        ("bytes=-99999999", body)):  # fmt: skip
        assert client.get_object(Bucket=bucket, Key="k", Range=asked)["Body"].read() == part, asked
    refused("InvalidRange", lambda: client.get_object(Bucket=bucket, Key="k", Range=f"bytes={size}-"), 416)
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    refused("InvalidRange", lambda: client.get_object(Bucket=bucket, Key="empty", Range="bytes=0-"), 416)


@suite.check
def conditional_reads(client):
    bucket = fresh(client, "conditional-reads")
    etag = client.put_object(Bucket=bucket, Key="k", Body=BODY)["ETag"]
    when = client.head_object(Bucket=bucket, Key="k")["LastModified"]

    def get(**conditions):
        return client.get_object(Bucket=bucket, Key="k", **conditions)["Body"].read() == BODY

    assert get(IfMatch=etag) and get(IfMatch="*") and get(IfNoneMatch='"other"')
    assert get(IfUnmodifiedSince=when) and get(IfModifiedSince="Sat, 01 Jan 2000 00:00:00 GMT")
    refused("PreconditionFailed", lambda: get(IfMatch='"other"'), 412)
    refused("304", lambda: get(IfNoneMatch=etag), 304)
    refused("304", lambda: get(IfModifiedSince=when), 304)
    refused("PreconditionFailed", lambda: get(IfUnmodifiedSince="Sat, 01 Jan 2000 00:00:00 GMT"), 412)
    assert get(IfMatch=etag, IfUnmodifiedSince="Sat, 01 Jan 2000 00:00:00 GMT")
    refused("304", lambda: get(IfNoneMatch=etag, IfModifiedSince="Sat, 01 Jan 2000 00:00:00 GMT"), 304)


@suite.check
def conditional_writes(client):
    bucket = fresh(client, "conditional-writes")

    def put(body, **conditions):
        return client.put_object(Bucket=bucket, Key="k", Body=body, **conditions)["ETag"]

    refused("NoSuchKey", lambda: put(b"0", IfMatch='"abc"'), 404)
    first = put(b"1", IfNoneMatch="*")
    refused("PreconditionFailed", lambda: put(b"2", IfNoneMatch="*"), 412)
    second = put(b"2", IfMatch=first)
    refused("PreconditionFailed", lambda: put(b"3", IfMatch=first), 412)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    client.delete_object(Bucket=bucket, Key="k")
    refused("NoSuchKey", lambda: put(b"4", IfMatch=second), 404)
    upload = {"Bucket": bucket, "Key": "k"}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    part = client.upload_part(**upload, PartNumber=1, Body=b"part")["ETag"]
    put(b"5", IfNoneMatch="*")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    refused(
        "PreconditionFailed",
        lambda: client.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*"),
        412,
    )
    client.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"part"


@suite.check
def copies(client):
    bucket, other = fresh(client, "copies"), fresh(client, "copies-other")
    for size in (0, 100, 20_000, 3 * MIB):
        body = hashlib.shake_128(b"copy").digest(size)
        source = {"Bucket": bucket, "Key": f"quelle/\u00e4 +%&?{size}"}
        etag = client.put_object(**source, Body=body, Metadata={"a": "1"}, ContentType="x/y")["ETag"]
        answer = client.copy_object(Bucket=other, Key=f"to{size}", CopySource=source)
        assert answer["CopyObjectResult"]["ETag"] == etag
        got = client.get_object(Bucket=other, Key=f"to{size}")
        assert got["Body"].read() == body and got["Metadata"] == {"a": "1"}, size
        assert got["ContentType"] == "x/y"
        client.copy_object(
            Bucket=other, Key=f"to{size}", CopySource=source, MetadataDirective="REPLACE",
            Metadata={"b": "2"},
        )  # fmt: skip
        assert client.head_object(Bucket=other, Key=f"to{size}")["Metadata"] == {"b": "2"}
        client.delete_object(**source)
        assert client.get_object(Bucket=other, Key=f"to{size}")["Body"].read() == body
    here = {"Bucket": other, "Key": "to100"}
    refused("InvalidRequest", lambda: client.copy_object(**here, CopySource=here), 400)
    client.copy_object(**here, CopySource=here, MetadataDirective="REPLACE", Metadata={"c": "3"})
    assert client.head_object(**here)["Metadata"] == {"c": "3"}
    refused(
        "PreconditionFailed",
        lambda: client.copy_object(**here, CopySource=here, MetadataDirective="REPLACE",
                                   CopySourceIfMatch='"other"'),
        412,
    )  # fmt: skip
    client.copy_object(
        Bucket=other, Key="conditional", CopySource=here, CopySourceIfNoneMatch='"other"'
    )


@suite.check
def multipart(client):
    bucket = fresh(client, "multipart")
    target = {"Bucket": bucket, "Key": "k"}
    body = hashlib.shake_128(b"multipart").digest(11 * MIB + 3)
    answer = client.create_multipart_upload(**target, Metadata={"m": "1"}, ContentType="a/b")
    upload = {**target, "UploadId": answer["UploadId"]}
    pieces = {3: body[:5 * MIB], 5: body[5 * MIB : 10 * MIB], 9: body[10 * MIB :]}
    client.upload_part(**upload, PartNumber=5, Body=b"replaced later")
    etags = {n: client.upload_part(**upload, PartNumber=n, Body=pieces[n])["ETag"] for n in (9, 3, 5)}
    client.upload_part(**upload, PartNumber=10, Body=b"not named by Complete")
    listed = client.list_parts(**upload)["Parts"]
    assert [(p["PartNumber"], p["Size"]) for p in listed[:3]] == [(n, len(p)) for n, p in pieces.items()]
    page = client.list_parts(**upload, MaxParts=2)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 5, page
    page = client.list_parts(**upload, MaxParts=2, PartNumberMarker=5)
    assert [p["PartNumber"] for p in page["Parts"]] == [9, 10] and not page["IsTruncated"]
    refused("404", lambda: client.head_object(**target))
    named = {"Parts": [{"PartNumber": n, "ETag": etags[n]} for n in (3, 5, 9)]}
    wrong = {"Parts": [{"PartNumber": 3, "ETag": etags[9]}]}
    refused("InvalidPart", lambda: client.complete_multipart_upload(**upload, MultipartUpload=wrong))
    done = client.complete_multipart_upload(**upload, MultipartUpload=named)
    sums = b"".join(hashlib.md5(piece).digest() for piece in pieces.values())
    assert done["ETag"] == f'"{hashlib.md5(sums).hexdigest()}-3"', done["ETag"]
    got = client.get_object(**target)
    assert got["Body"].read() == body and got["Metadata"] == {"m": "1"} and got["ContentType"] == "a/b"
    again = client.complete_multipart_upload(**upload, MultipartUpload=named)
    assert again["ETag"] == done["ETag"], "the same Complete must repeat its answer"
    refused("NoSuchUpload", lambda: client.upload_part(**upload, PartNumber=1, Body=b"late"), 404)
    second = client.get_object(**target, PartNumber=2)
    assert second["Body"].read() == pieces[5] and second["PartsCount"] == 3
    cross = client.get_object(**target, Range=f"bytes={5 * MIB - 3}-{5 * MIB + 2}")["Body"].read()
    assert cross == body[5 * MIB - 3 : 5 * MIB + 3]


@suite.check
def multipart_too_small_and_aborted(client):
    bucket = fresh(client, "multipart-edges")
    uploads = {}
    for key in ("b", "a", "a", "c/d"):
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        uploads.setdefault(key, []).append(upload)
    listed = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [found["Key"] for found in listed] == ["a", "a", "b", "c/d"], listed
    assert {u["UploadId"] for u in listed} == {u for found in uploads.values() for u in found}
    page = client.list_multipart_uploads(Bucket=bucket, MaxUploads=3)
    assert page["IsTruncated"] and len(page["Uploads"]) == 3
    rest = client.list_multipart_uploads(
        Bucket=bucket, KeyMarker=page["NextKeyMarker"], UploadIdMarker=page["NextUploadIdMarker"]
    )
    assert [found["Key"] for found in rest["Uploads"]] == ["c/d"], rest
    only = client.list_multipart_uploads(Bucket=bucket, Prefix="c")["Uploads"]
    assert [found["Key"] for found in only] == ["c/d"]
    target = {"Bucket": bucket, "Key": "b", "UploadId": uploads["b"][0]}
    etags = [client.upload_part(**target, PartNumber=n, Body=b"small")["ETag"] for n in (1, 2)]
    parts = {"Parts": [{"PartNumber": n + 1, "ETag": etag} for n, etag in enumerate(etags)]}
    refused(
        "EntityTooSmall",
        lambda: client.complete_multipart_upload(**target, MultipartUpload=parts),
        400,
    )
    for key, found in uploads.items():
        for upload in found:
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    refused("NoSuchUpload", lambda: client.abort_multipart_upload(**target), 404)
    client.delete_bucket(Bucket=bucket)


@suite.check
def part_copies(client):
    bucket = fresh(client, "part-copies")
    body = hashlib.shake_128(b"part copy").digest(7 * MIB)
    client.put_object(Bucket=bucket, Key="source", Body=body)
    target = {"Bucket": bucket, "Key": "k"}
    upload = {**target, "UploadId": client.create_multipart_upload(**target)["UploadId"]}
    source = {"Bucket": bucket, "Key": "source"}
    one = client.upload_part_copy(
        **upload, PartNumber=1, CopySource=source, CopySourceRange=f"bytes=1-{6 * MIB}"
    )
    two = client.upload_part_copy(**upload, PartNumber=2, CopySource=source)
    parts = [
        {"PartNumber": number_of, "ETag": part["CopyPartResult"]["ETag"]}
        for number_of, part in ((1, one), (2, two))
    ]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert client.get_object(**target)["Body"].read() == body[1 : 6 * MIB + 1] + body


@suite.check
def many_deletes(client):
    bucket = fresh(client, "deletes")
    keys = [f"key {n} <&>\u00fc" for n in range(50)]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    named = [{"Key": key} for key in keys[:40]] + [{"Key": "was never there"}]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": named})
    assert {d["Key"] for d in answer["Deleted"]} == {d["Key"] for d in named}, answer
    assert "Errors" not in answer, answer
    quiet = {"Objects": [{"Key": key} for key in keys[40:45]], "Quiet": True}
    assert "Deleted" not in client.delete_objects(Bucket=bucket, Delete=quiet)
    left = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == sorted(keys[45:]), left
    client.delete_object(Bucket=bucket, Key="was never there")


def fetch(url, method="GET", body=None, headers=None):
    headers = headers or ({"Content-Type": "application/octet-stream"} if body else {})
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@suite.check
def presigned_urls(client):
    bucket = fresh(client, "presigned")
    target = {"Bucket": bucket, "Key": "a b/\u00e4+%.txt"}

    def url(operation, expires=60, **more):
        return client.generate_presigned_url(operation, Params={**target, **more}, ExpiresIn=expires)

    assert fetch(url("put_object"), "PUT", BODY)[0] == 200
    assert fetch(url("get_object")) == (200, BODY)
    code, body = fetch(url("get_object"), headers={"Range": "bytes=3-6"})
    assert (code, body) == (206, BODY[3:7])
    assert fetch(url("head_object"), "HEAD")[0] == 200
    typed = url("get_object", ResponseContentDisposition='attachment; filename="x"')
    assert fetch(typed) == (200, BODY)
    code, body = fetch(url("get_object").replace("Expires=60", "Expires=61"))
    assert code == 403 and b"SignatureDoesNotMatch" in body, body
    code, body = fetch(url("get_object"), "DELETE")
    assert code == 403 and b"SignatureDoesNotMatch" in body, body
    assert fetch(url("delete_object"), "DELETE")[0] == 204
    assert fetch(url("get_object"))[0] == 404


@suite.check
def what_is_not_there_is_refused(client):
    bucket = fresh(client, "absent")
    client.put_object(Bucket=bucket, Key="k", Body=BODY)
    target = {"Bucket": bucket, "Key": "k"}
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    refused("NotImplemented", lambda: client.put_object_tagging(**target, Tagging=tags), 501)
    refused("NotImplemented", lambda: client.put_object(**target, Body=b"", Tagging="a=b"), 501)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": "2031-01-01T00:00:00Z"}
    refused("NotImplemented", lambda: client.put_object(**target, Body=b"", **lock), 501)
    try:
        client.delete_object(**target, VersionId="abc")
        raise AssertionError("DELETE ?versionId was accepted")
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 501), error
    assert client.get_object(**target)["Body"].read() == BODY
    for call in (client.get_bucket_policy, client.get_bucket_lifecycle_configuration):
        try:
            call(Bucket=bucket)
            raise AssertionError(f"{call.__name__} answered")
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 501), error


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 900))
    with Server() as server:
        server.start()
        suite.run(server.client())
        suite.judge_server(server)
    suite.finish()

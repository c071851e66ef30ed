"""Operations with wrong arguments: ranges, parts, XML, names, subresources, copies, listings.

`cases(upload)` needs an upload id of /bad/upload. /good/object holds 1,000 bytes.
"""

import base64
import hashlib

from request import Case, Put
from sigv4 import UNSIGNED

INVALID = "400 InvalidArgument"
XML = "400 MalformedXML"
ABSENT = "501 NotImplemented"


def get(*query, **headers):
    """GET of the object that is there."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Put("GET", "/good/object", query, b"", headers=named)


def post(path, query, body, md5=True):
    headers = {}
    if md5:
        headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
    return Put("POST", path, query, body, headers=headers)


RANGES = [
    Case("from the end on", get(range="bytes=1000-"), "416 InvalidRange"),
    Case("beyond the end", get(range="bytes=5000-6000"), "416 InvalidRange"),
    Case("last zero bytes", get(range="bytes=-0"), "416 InvalidRange"),
    Case("2^64 and more", get(range="bytes=18446744073709551616-"), "416 InvalidRange", "200 *"),
    Case("last before first is ignored", get(range="bytes=5-2"), "200 *", "416 InvalidRange"),
    Case("no numbers are ignored", get(range="bytes=a-b"), "200 *", "416 InvalidRange"),
    Case("other unit is ignored", get(range="items=0-1"), "200 *", "416 InvalidRange"),
    Case("several ranges", get(range="bytes=0-1,3-4"), "200 *", "416 InvalidRange", ABSENT),
    Case("part and range", get(("partNumber", "1"), range="bytes=0-1"), "400 InvalidRequest"),
    Case("part 0", get(("partNumber", "0")), INVALID),
    Case("part 10001", get(("partNumber", "10001")), INVALID),
    Case("part that is not there", get(("partNumber", "2")), "416 *"),
    Case("If-Match of another ETag", get(if_match='"abc"'), "412 PreconditionFailed"),
    Case("If-Unmodified-Since long ago", get(if_unmodified_since="Sat, 01 Jan 2000 00:00:00 GMT"),
         "412 PreconditionFailed"),
    Case("version that is not there", Put("GET", "/good/object", [("versionId", "abc")],
         b""), "400 *", "404 *", ABSENT),
]  # fmt: skip


def part(number, upload, **options):
    return Put(path="/bad/upload", query=[("partNumber", number), ("uploadId", upload)], **options)


def parts(upload):
    return [
        Case("part 0", part("0", upload), INVALID),
        Case("part 10001", part("10001", upload), INVALID),
        Case("part -1", part("-1", upload), INVALID),
        Case("part abc", part("abc", upload), INVALID),
        Case("part of 2^32+1", part("4294967297", upload), INVALID),
        Case("part without a number", part("", upload), INVALID, "400 *"),
        Case("part without an upload", Put(query=[("partNumber", "1")]), "400 *", ABSENT),
        Case("upload without a part", Put(query=[("uploadId", upload)]), "400 *", "405 *", ABSENT),
        Case("part of an unknown upload", part("1", "0" * 32), "404 NoSuchUpload"),
        Case("part of a nonsense upload", part("1", "../../x"), "404 NoSuchUpload"),
        Case("part of no upload", part("1", ""), "404 NoSuchUpload", "400 *"),
        Case("part of another key's upload", Put(path="/bad/else", query=[("partNumber", "1"),
             ("uploadId", upload)]), "404 NoSuchUpload"),
        Case("part with a wrong sum", part("1", upload, headers={"x-amz-checksum-crc32": "AAAAAA=="}),
             "400 BadDigest"),
        Case("part with a wrong hash", part("1", upload, payload_hash="a" * 64),
             "400 XAmzContentSHA256Mismatch"),
        Case("part above 5 GiB", part("1", upload, headers={"content-length": str((5 << 30) + 1)},
             payload_hash=UNSIGNED), "400 EntityTooLarge"),
        Case("list parts, max-parts", Put("GET", "/bad/upload", [("uploadId", upload),
             ("max-parts", "abc")], b""), INVALID),
        Case("list parts of no upload", Put("GET", "/bad/upload", [("uploadId", "zz")], b""),
             "404 NoSuchUpload"),
        Case("abort of an unknown upload", Put("DELETE", "/bad/upload", [("uploadId", "0" * 32)],
             b""), "404 NoSuchUpload"),
    ]  # fmt: skip


def complete(upload, body):
    return post("/bad/upload", [("uploadId", upload)], body, md5=False)


def listed(*entries):
    body = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in entries
    )
    return f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode()


BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
ETAG = '"' + "a" * 32 + '"'


def xml(upload):
    delete = [("delete", "")]
    keys = b"".join(b"<Object><Key>k%d</Key></Object>" % n for n in range(1001))
    return [
        Case("complete, empty", complete(upload, b""), XML, "400 InvalidRequest",
             "400 MissingRequestBodyError"),
        Case("complete, no XML", complete(upload, b"parts, please"), XML),
        Case("complete, not closed", complete(upload, listed((1, ETAG))[:-5]), XML),
        Case("complete, other root", complete(upload, b"<Delete></Delete>"), XML),
        Case("complete, no parts", complete(upload, listed()), XML, "400 InvalidRequest"),
        Case("complete, part 0", complete(upload, listed((0, ETAG))), INVALID, XML,
             "400 InvalidPart"),
        Case("complete, part abc", complete(upload, listed(("abc", ETAG))), XML, INVALID),
        Case("complete, no number", complete(upload, b"<CompleteMultipartUpload><Part><ETag>a</ETag>"
             b"</Part></CompleteMultipartUpload>"), XML, "400 InvalidPart", INVALID),
        Case("complete, part missing", complete(upload, listed((1, ETAG))), "400 InvalidPart"),
        Case("complete, falling numbers", complete(upload, listed((2, ETAG), (1, ETAG))),
             "400 InvalidPartOrder"),
        Case("complete, a number twice", complete(upload, listed((1, ETAG), (1, ETAG))),
             "400 InvalidPartOrder"),
        Case("complete, 10,001 parts", complete(upload, listed(*((n, ETAG) for n in range(1, 10002)))),
             XML, INVALID, "400 InvalidPart"),
        Case("complete, entities", complete(upload, BOMB + listed((1, "&b;"))), XML,
             "400 InvalidPart"),
        Case("complete, bytes of no UTF-8", complete(upload, b"<CompleteMultipartUpload>\xff\xfe"), XML),
        Case("complete, unknown upload", complete("0" * 32, listed((1, ETAG))), "404 NoSuchUpload"),
        Case("delete, empty", post("/bad", delete, b""), XML, "400 MissingRequestBodyError"),
        Case("delete, no XML", post("/bad", delete, b"all of it"), XML),
        Case("delete, not closed", post("/bad", delete, b"<Delete><Object><Key>a"), XML),
        Case("delete, 1,001 keys", post("/bad", delete, b"<Delete>" + keys + b"</Delete>"), XML),
        Case("delete, no key", post("/bad", delete, b"<Delete><Object></Object></Delete>"), XML),
        Case("delete, nothing", post("/bad", delete, b"<Delete></Delete>"), XML),
        Case("delete, text after the end", post("/bad", delete,
             b"<Delete><Object><Key>a</Key></Object></Delete><More/>"), XML),
        Case("delete, 10,000 deep", post("/bad", delete, b"<Delete>" + b"<a>" * 10000), XML),
        Case("delete, 8 MiB of blanks", post("/bad", delete, b"<Delete>" + b" " * (8 << 20)), XML,
             "400 MaxMessageLengthExceeded", "400 EntityTooLarge", "413 *"),
        Case("delete, wrong MD5", Put("POST", "/bad", delete, b"<Delete><Object><Key>a</Key></Object>"
             b"</Delete>", headers={"content-md5": "A" * 22 + "=="}), "400 BadDigest"),
        Case("create bucket, no XML", Put(path="/never", body=b"here"), XML),
        Case("create bucket, elsewhere", Put(path="/never", body=b"<CreateBucketConfiguration>"
             b"<LocationConstraint>mars-north-1</LocationConstraint></CreateBucketConfiguration>"),
             "400 InvalidLocationConstraint", "400 IllegalLocationConstraintException"),
    ]  # fmt: skip


BUCKETS = ["ab", "a" * 64, "Never", "never_", "-never", "never-", "ne..ver", "192.168.5.4",
           "xn--never", "ne ver", "n\u00e9ver", "never-s3alias"]  # fmt: skip

NAMES = [
    Case(f"bucket {name[:12]}", Put(path=f"/{name}", body=b""), "400 InvalidBucketName")
    for name in BUCKETS
] + [
    Case("key of 1,025 bytes", Put(path="/bad/" + "k" * 1025), "400 KeyTooLongError"),
    Case("key of 513 two-byte letters", Put(path="/bad/" + "\u00e9" * 513), "400 KeyTooLongError"),
    Case("key of no UTF-8", Put(target="/bad/%ff%fe"), "400 InvalidURI", "400 *",
         "403 SignatureDoesNotMatch"),
    Case("percent without digits", Put(target="/bad/%zz"), "400 InvalidURI", "400 *",
         "403 SignatureDoesNotMatch"),
    Case("percent at the end", Put(target="/bad/a%"), "400 InvalidURI", "400 *",
         "403 SignatureDoesNotMatch"),
    Case("object in no bucket", Put(path="/missing/key"), "404 NoSuchBucket"),
    Case("list of no bucket", Put("GET", "/missing", (), b""), "404 NoSuchBucket"),
    Case("no object", Put("GET", "/good/missing", (), b""), "404 NoSuchKey"),
    Case("head of no object", Put("HEAD", "/good/missing", (), b""), "404 *"),
    Case("delete of no bucket", Put("DELETE", "/missing", (), b""), "404 NoSuchBucket"),
    Case("delete of a full bucket", Put("DELETE", "/good", (), b""), "409 BucketNotEmpty"),
    Case("bucket that exists", Put(path="/good", body=b""), "409 BucketAlreadyOwnedByYou"),
]  # fmt: skip

SUBRESOURCES = [
    Case(f"PUT ?{name}", Put(query=[(name, "")], body=b"<a/>"), ABSENT, "400 *", "405 *")
    for name in ("tagging", "acl", "retention", "legal-hold", "torrent", "restore", "nonsense")
] + [
    Case(f"PUT bucket ?{name}", Put(path="/bad", query=[(name, "")], body=b"<a/>"), ABSENT, "400 *")
    for name in ("policy", "lifecycle", "versioning", "replication", "encryption", "website")
] + [
    Case("PUT ?versionId", Put(query=[("versionId", "abc")]), ABSENT, "400 *"),
    Case("DELETE ?versionId", Put("DELETE", "/good/object", [("versionId", "abc")], b""), ABSENT,
         "400 *", "404 *"),
    Case("DELETE ?tagging", Put("DELETE", "/good/object", [("tagging", "")], b""), ABSENT, "400 *"),
    Case("DELETE ?policy of a bucket", Put("DELETE", "/bad", [("policy", "")], b""), ABSENT,
         "404 *", "400 *"),
    Case("POST to an object", Put("POST", "/good/object", (), b"x"), "405 *", ABSENT, "400 *"),
    Case("unknown method", Put("BREW"), "405 *", ABSENT, "400 *"),
]  # fmt: skip


def with_header(name, value, *expected):
    return Case(f"{name}: {value[:20]}", Put(headers={name: value}), *expected)


HEADERS = [
    with_header("x-amz-tagging", "a=b", ABSENT),
    with_header("x-amz-server-side-encryption", "aws:kms", ABSENT, "400 *"),
    with_header("x-amz-server-side-encryption-customer-algorithm", "AES256", ABSENT, "400 *"),
    with_header("x-amz-object-lock-mode", "GOVERNANCE", ABSENT, "400 *"),
    with_header("x-amz-object-lock-legal-hold", "ON", ABSENT, "400 *"),
    with_header("x-amz-acl", "public-read", ABSENT, "400 *"),
    with_header("x-amz-acl", "nonsense", ABSENT, "400 *"),
    with_header("x-amz-grant-read", 'id="a"', ABSENT, "400 *"),
    with_header("x-amz-write-offset-bytes", "4", ABSENT, "400 *"),
    with_header("x-amz-something-new", "1", ABSENT, "400 *"),
    with_header("x-amz-storage-class", "WRONG", "400 InvalidStorageClass", ABSENT),
    with_header("x-amz-meta-long", "m" * 3000, "400 MetadataTooLarge"),
    with_header("if-match", '"abc"', "412 PreconditionFailed", "404 NoSuchKey"),
    with_header("if-none-match", '"abc"', ABSENT, "400 *"),
    with_header("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT", ABSENT, "400 *"),
    Case("If-None-Match: * on an object", Put(path="/good/object", headers={"if-none-match": "*"}),
         "412 PreconditionFailed"),
    Case("If-Match and If-None-Match", Put(headers={"if-match": "*", "if-none-match": "*"}),
         "400 *", ABSENT, "412 *"),
]


def copy(source, *expected, path="/bad/key", **headers):
    named = {"x-amz-copy-source": source}
    named.update({name.replace("_", "-"): value for name, value in headers.items()})
    return Case(f"copy {source[:24]} {' '.join(headers)}", Put(path=path, body=b"", headers=named),
                *expected)  # fmt: skip


def copies(upload):
    query = [("partNumber", "1"), ("uploadId", upload)]

    def ranged(value):
        headers = {"x-amz-copy-source": "/good/object", "x-amz-copy-source-range": value}
        return Put(path="/bad/upload", query=query, body=b"", headers=headers)

    return [
        copy("nothing", INVALID, "400 *"),
        copy("", INVALID, "400 *"),
        copy("/", INVALID, "400 *", "404 *"),
        copy("/good/%ff", INVALID, "400 *"),
        copy("/missing/key", "404 NoSuchBucket"),
        copy("/good/missing", "404 NoSuchKey"),
        copy("/good/object?versionId=abc", ABSENT, "400 *", "404 *"),
        copy("/good/object", "400 InvalidRequest", path="/good/object"),
        copy("/good/object", INVALID, x_amz_metadata_directive="WRONG"),
        copy("/good/object", "412 PreconditionFailed", x_amz_copy_source_if_match='"abc"'),
        # REPLACE alone is right where no object has tags: the copy then has none (AWS: 200).
        copy("/good/object", ABSENT, x_amz_tagging_directive="REPLACE", x_amz_tagging="a=b"),
        copy("/good/object", INVALID, x_amz_tagging_directive="WRONG"),
        Case("copy a part, no range", ranged("5-2"), INVALID, "400 *"),
        Case("copy a part, last before first", ranged("bytes=5-2"), INVALID, "400 *", "416 *"),
        Case("copy a part, beyond the end", ranged("bytes=0-1000"), "400 InvalidRange", INVALID,
             "416 InvalidRange", "400 InvalidRequest"),
        Case("copy a part, open range", ranged("bytes=5-"), INVALID),
    ]  # fmt: skip


def listing(*query):
    return Put("GET", "/good", query, b"")


LISTS = [
    Case("max-keys -1", listing(("max-keys", "-1")), INVALID),
    Case("max-keys abc", listing(("list-type", "2"), ("max-keys", "abc")), INVALID),
    Case("max-keys of 2^40", listing(("max-keys", str(1 << 40))), INVALID, "200 *"),
    Case("encoding-type", listing(("encoding-type", "xml")), INVALID),
    Case("continuation-token", listing(("list-type", "2"), ("continuation-token", "@@")), INVALID),
    Case("empty continuation-token", listing(("list-type", "2"), ("continuation-token", "")), INVALID),
    Case("list-type 3", listing(("list-type", "3")), INVALID, ABSENT),
    Case("max-uploads", listing(("uploads", ""), ("max-uploads", "abc")), INVALID),
    Case("list versions", listing(("versions", "")), ABSENT),
]


def cases(upload):
    groups = {
        "range": RANGES, "part": parts(upload), "xml": xml(upload), "name": NAMES,
        "subresource": SUBRESOURCES, "header": HEADERS, "copy": copies(upload), "list": LISTS,
    }  # fmt: skip
    return [(group, case) for group, found in groups.items() for case in found]

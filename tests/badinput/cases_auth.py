"""Signatures that are wrong in one part each."""

import re

from request import Case, Presigned, Put, change_authorization, set_line
from sigv4 import Signer

MALFORMED = "400 AuthorizationHeaderMalformed"
QUERY = "400 AuthorizationQueryParametersError"
MISMATCH = "403 SignatureDoesNotMatch"
DENIED = "403 AccessDenied"
SCHEMES = (MALFORMED, "400 InvalidArgument", "400 InvalidRequest", DENIED)


def sub(pattern, text):
    return change_authorization(lambda value: re.sub(pattern, text, value))


def query(pattern, text):
    return lambda value: re.sub(pattern, text, value)


def doubled(lines, body):
    return lines + [(n, v) for n, v in lines if n == "authorization"], body


def flipped(value):
    return value[:-1] + ("0" if value[-1] != "0" else "1")


HEADER = [
    Case("no authorization", Put(drop=("authorization",)), DENIED),
    Case("empty authorization", Put(edit=sub(".*", "")), *SCHEMES),
    Case("bearer authorization", Put(edit=sub("^.*$", "Bearer abc")), *SCHEMES, "501 *"),
    Case("basic authorization", Put(edit=sub("^.*$", "Basic YTpi")), *SCHEMES, "501 *"),
    Case("signature version 2", Put(edit=sub("^.*$", "AWS user:c2ln")), *SCHEMES, "501 *",
         "403 InvalidAccessKeyId"),
    Case("scheme alone", Put(edit=sub(" .*", "")), *SCHEMES),
    Case("unknown algorithm", Put(edit=sub("SHA256", "SHA512")), *SCHEMES, "501 *"),
    Case("no Credential", Put(edit=sub("Credential=[^,]*, ", "")), *SCHEMES),
    Case("no SignedHeaders", Put(edit=sub("SignedHeaders=[^,]*, ", "")), *SCHEMES),
    Case("no Signature", Put(edit=sub(", Signature=.*", "")), *SCHEMES),
    Case("empty SignedHeaders", Put(edit=sub("SignedHeaders=[^,]*", "SignedHeaders=")), *SCHEMES,
         MISMATCH),
    Case("empty Signature", Put(edit=sub("Signature=.*", "Signature=")), *SCHEMES, MISMATCH),
    Case("credential of four parts", Put(edit=sub("/s3/aws4_request", "/aws4_request")), *SCHEMES),
    Case("credential without a key", Put(edit=sub("Credential=[^/]*", "Credential=")), *SCHEMES,
         "403 InvalidAccessKeyId"),
    Case("scope ends wrongly", Put(edit=sub("aws4_request", "aws5_request")), *SCHEMES, MISMATCH),
    Case("scope date of no calendar", Put(edit=sub(r"/\d{8}/", "/20269999/")), MALFORMED),
    Case("scope date of no digits", Put(edit=sub(r"/\d{8}/", "/2026010*/")), MALFORMED),
    Case("scope of another date", Put(edit=sub(r"/\d{8}/", "/20200101/")), MALFORMED),
    Case("wrong service", Put(signer=Signer(service="ec2")), MALFORMED, "501 NotImplemented"),
    Case("wrong region", Put(signer=Signer(region="mars-north-1")), MALFORMED),
    Case("unknown access key", Put(signer=Signer(user="nobody")), "403 InvalidAccessKeyId"),
    Case("wrong secret", Put(signer=Signer(password="wrong")), MISMATCH),
    Case("one digit of the signature", Put(edit=change_authorization(flipped)), MISMATCH),
    Case("short signature", Put(edit=sub("Signature=.*", "Signature=abc")), *SCHEMES, MISMATCH),
    Case("signature of no hex", Put(edit=sub("Signature=.*", "Signature=" + "z" * 64)), *SCHEMES,
         MISMATCH),
    Case("two authorizations", Put(edit=doubled), "400 *", DENIED, MISMATCH),
    Case("10 KiB of authorization", Put(edit=sub("^.*$", "x" * 10_000)), *SCHEMES, "431 *"),
    Case("host is not signed", Put(edit=sub("host;", "")), *SCHEMES, MISMATCH),
    Case("signed header not sent", Put(headers={"x-amz-meta-a": "1"}, drop=("x-amz-meta-a",)),
         MISMATCH, MALFORMED, DENIED),
    Case("x-amz header not signed", Put(unsigned=[("x-amz-meta-b", "1")]), DENIED, MISMATCH),
    Case("header value changed", Put(headers={"x-amz-meta-a": "1"},
         edit=set_line("x-amz-meta-a", "2")), MISMATCH),
    Case("method changed", Put(method="GET", sent_method="PUT"), MISMATCH),
    Case("path changed", Put(path="/bad/other", target="/bad/key"), MISMATCH),
    Case("query added", Put(target="/bad/key?x-id=PutObject"), MISMATCH),
    Case("no date", Put(drop=("x-amz-date",)), DENIED),
    Case("date of no form", Put(edit=set_line("x-amz-date", "yesterday")), DENIED),
    Case("date of no digits", Put(edit=set_line("x-amz-date", "2026010*T000000Z")), DENIED),
    Case("date of no calendar", Put(edit=set_line("x-amz-date", "20269931T250000Z")), DENIED),
    Case("20 minutes late", Put(signer=Signer(offset_s=-1200)), "403 RequestTimeTooSkewed"),
    Case("20 minutes early", Put(signer=Signer(offset_s=1200)), "403 RequestTimeTooSkewed"),
    Case("no payload hash", Put(drop=("x-amz-content-sha256",)), "400 *", MISMATCH),
    Case("payload hash of no hex", Put(payload_hash="xyz"), "400 *", MISMATCH),
    Case("payload hash of other bytes", Put(payload_hash="a" * 64), "400 XAmzContentSHA256Mismatch"),
    Case("payload signed with ECDSA", Put(payload_hash="STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
         "501 NotImplemented", "400 *"),
    Case("header and query at once", Put(target="/bad/key?X-Amz-Signature=abc"), "400 *", MISMATCH),
    Case("security token", Put(headers={"x-amz-security-token": "abc"}), "400 *", "403 *",
         "501 NotImplemented"),
]  # fmt: skip

PRESIGNED = [
    Case("expired", Presigned(signer=Signer(offset_s=-400)), DENIED),
    Case("valid for eight days", Presigned(expires_s=691_200), QUERY),
    Case("expires below zero", Presigned(expires_s=-1), QUERY),
    Case("expires is no number", Presigned(expires_s="abc"), QUERY),
    Case("no X-Amz-Algorithm", Presigned(change=query("X-Amz-Algorithm=[^&]*&", "")), QUERY, DENIED),
    Case("no X-Amz-Credential", Presigned(change=query("X-Amz-Credential=[^&]*&", "")), QUERY),
    Case("no X-Amz-Date", Presigned(change=query("X-Amz-Date=[^&]*&", "")), QUERY),
    Case("no X-Amz-Expires", Presigned(change=query("X-Amz-Expires=[^&]*&", "")), QUERY),
    Case("no X-Amz-SignedHeaders", Presigned(change=query("X-Amz-SignedHeaders=[^&]*&", "")), QUERY),
    Case("no X-Amz-Signature", Presigned(change=query("&X-Amz-Signature=.*", "")), QUERY, DENIED),
    Case("doubled X-Amz-Signature", Presigned(change=lambda q: q + "&X-Amz-Signature=ab"), "400 *",
         "403 *"),
    Case("other algorithm", Presigned(change=query("HMAC-SHA256", "HMAC-MD5")), QUERY, "501 *"),
    Case("date of no form", Presigned(signer=Signer(date="20260101")), QUERY),
    Case("20 minutes early", Presigned(signer=Signer(offset_s=1200)), DENIED,
         "403 RequestTimeTooSkewed"),
    Case("wrong signature", Presigned(change=flipped), MISMATCH),
    Case("unknown access key", Presigned(signer=Signer(user="nobody")), "403 InvalidAccessKeyId"),
    Case("wrong region", Presigned(signer=Signer(region="mars-north-1")), QUERY, MALFORMED),
    Case("wrong service", Presigned(signer=Signer(service="ec2")), QUERY, MALFORMED, "501 *"),
    Case("credential of four parts", Presigned(change=query("%2Fs3%2F", "%2F")), QUERY),
    Case("signed for GET, sent as PUT", Presigned(method="GET", sent_method="PUT"), MISMATCH),
    Case("parameter added", Presigned(change=lambda q: q + "&x-id=PutObject"), MISMATCH),
    Case("x-amz header not signed", Presigned(lines="x-amz-meta-a: 1\r\n"), DENIED, MISMATCH),
    Case("payload hash of other bytes", Presigned(lines=f"x-amz-content-sha256: {'a' * 64}\r\n"),
         "400 XAmzContentSHA256Mismatch", DENIED, MISMATCH),
]  # fmt: skip

CASES = [("header", case) for case in HEADER] + [("presigned", case) for case in PRESIGNED]

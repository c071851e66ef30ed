//! Signed requests through s3s into `gateway-core` over the model store, in process.

use crate::common::{SECRET, Signer, iso, server};
use gateway_core::encoding::base64;
use s3s::crypto::{Checksum as _, Crc32, Md5};

const BODY: &[u8] = b"hello, basalt";

/// A server with the bucket `bkt`.
fn with_bucket() -> crate::common::Server {
    let server = server();
    assert_eq!(server.signed("PUT /bkt", &[], b"").status(), 200);
    server
}

#[test]
fn the_signers_clock_is_right() {
    assert_eq!(iso(0), "19700101T000000Z");
    assert_eq!(iso(951_827_696), "20000229T123456Z");
    assert_eq!(iso(1_767_225_599), "20251231T235959Z");
}

#[test]
fn what_was_put_is_got_with_its_headers() {
    let server = with_bucket();
    let headers = [("content-type", "text/x"), ("x-amz-meta-colour", "grey")];
    let put = server.signed("PUT /bkt/a%20b/k", &headers, BODY);
    assert_eq!((put.status(), put.text()), (200, ""));
    let got = server.signed("GET /bkt/a%20b/k", &[], b"");
    assert_eq!((got.status(), got.body.as_slice()), (200, BODY));
    assert_eq!(got.header("content-type"), "text/x");
    assert_eq!(got.header("x-amz-meta-colour"), "grey");
    assert_eq!(got.header("content-length"), "13");
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("server"), "basalt");
    assert_eq!(got.header("x-amz-request-id").len(), 16);
    assert_ne!(got.header("x-amz-request-id"), put.header("x-amz-request-id"));
    let part = server.signed("GET /bkt/a%20b/k", &[("range", "bytes=7-")], b"");
    assert_eq!((part.status(), part.text()), (206, "basalt"));
    assert_eq!(part.header("content-range"), "bytes 7-12/13");
    let head = server.signed("HEAD /bkt/a%20b/k", &[("range", "bytes=0-4")], b"");
    assert_eq!((head.status(), head.header("content-length"), head.text()), (206, "5", ""));
    let other = server.signed("GET /bkt/a%20b/k?response-content-type=a%2Fb", &[], b"");
    assert_eq!(other.header("content-type"), "a/b");
    let listed = server.signed("GET /bkt?list-type=2&prefix=a", &[], b"");
    assert!(listed.text().contains("<Key>a b/k</Key>"), "{}", listed.text());
    assert_eq!(server.signed("DELETE /bkt/a%20b/k", &[], b"").status(), 204);
    let gone = server.signed("GET /bkt/a%20b/k", &[], b"");
    assert_eq!((gone.status(), gone.code()), (404, "NoSuchKey"));
    assert!(gone.text().contains("<Resource>/bkt/a%20b/k</Resource><RequestId>"));
    assert_eq!(server.signed("HEAD /bkt/a%20b/k", &[], b"").body, b"");
}

#[test]
fn a_large_body_comes_in_pieces_and_whole() {
    let server = with_bucket();
    let body: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    assert_eq!(server.signed("PUT /bkt/k", &[], &body).status(), 200);
    assert_eq!(server.signed("GET /bkt/k", &[], b"").body, body);
}

#[test]
fn a_bucket_in_the_host_is_found() {
    let server = with_bucket();
    let host = [("host", "bkt.s3.test:9000")];
    assert_eq!(server.signed("PUT /k", &host, BODY).status(), 200);
    assert_eq!(server.signed("GET /bkt/k", &[], b"").body, BODY);
}

#[test]
fn signatures_are_judged() {
    let server = with_bucket();
    let line = "GET /bkt?location=";
    let judged = |signer: Signer| {
        let reply = server.send(signer.request(line, &[], b""));
        (reply.status(), reply.code().to_owned(), reply.text().to_owned())
    };
    let (status, code, _) = judged(Signer::now());
    assert_eq!((status, code.as_str()), (200, ""));
    let (status, code, _) = judged(Signer { access: "AKIDOTHER", ..Signer::now() });
    assert_eq!((status, code.as_str()), (403, "InvalidAccessKeyId"));
    let (status, code, _) = judged(Signer { secret: "other", ..Signer::now() });
    assert_eq!((status, code.as_str()), (403, "SignatureDoesNotMatch"));
    let (status, code, text) = judged(Signer { region: "eu-west-1", ..Signer::now() });
    assert_eq!((status, code.as_str()), (400, "AuthorizationHeaderMalformed"));
    assert!(text.contains("<Region>us-east-1</Region>"), "{text}");
    let seconds = Signer::now().seconds;
    let (status, code, _) = judged(Signer { seconds: seconds - 1000, ..Signer::now() });
    assert_eq!((status, code.as_str()), (403, "RequestTimeTooSkewed"));
    let (status, _, _) = judged(Signer { seconds: seconds - 600, ..Signer::now() });
    assert_eq!(status, 200);
    let mut anonymous = Signer::now().request(line, &[], b"");
    anonymous.headers_mut().remove("authorization");
    let reply = server.send(anonymous);
    assert_eq!((reply.status(), reply.code()), (403, "AccessDenied"));
}

#[test]
fn a_replaced_credential_counts_at_once() {
    let server = with_bucket();
    server.credential.replace("AKIDNEW", SECRET);
    assert_eq!(server.signed("GET /", &[], b"").code(), "InvalidAccessKeyId");
    let signer = Signer { access: "AKIDNEW", ..Signer::now() };
    let reply = server.send(signer.request("GET /", &[], b""));
    assert!(reply.text().contains("<Name>bkt</Name>"), "{}", reply.text());
}

#[test]
fn presigned_urls_live_as_long_as_they_say() {
    let server = with_bucket();
    assert_eq!(server.signed("PUT /bkt/k", &[], BODY).status(), 200);
    let signer = Signer::now();
    assert_eq!(server.send(signer.presigned("/bkt/k", 60)).body, BODY);
    let old = Signer { seconds: signer.seconds - 120, ..Signer::now() };
    assert_eq!(server.send(old.presigned("/bkt/k", 3600)).body, BODY);
    let expired = server.send(old.presigned("/bkt/k", 60));
    assert_eq!((expired.status(), expired.code()), (403, "AccessDenied"));
    assert!(expired.text().contains("Request has expired"), "{}", expired.text());
    let future = Signer { seconds: signer.seconds + 1000, ..Signer::now() };
    assert_eq!(server.send(future.presigned("/bkt/k", 60)).code(), "RequestTimeTooSkewed");
    let long = server.send(signer.presigned("/bkt/k", 604_801));
    assert_eq!(long.code(), "AuthorizationQueryParametersError");
    let wrong = Signer { secret: "other", ..Signer::now() };
    assert_eq!(server.send(wrong.presigned("/bkt/k", 60)).code(), "SignatureDoesNotMatch");
}

#[test]
fn headers_in_a_presigned_url_count() {
    let server = with_bucket();
    let signer = Signer::now();
    // As the JavaScript SDK signs it: with the checksum of a body that is not there yet.
    let more = "&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-meta-colour=grey%20blue\
                &x-amz-sdk-checksum-algorithm=CRC32";
    let request = signer.presigned_with("PUT /bkt/k", more, 60, BODY);
    let put = server.send(request);
    assert_eq!((put.status(), put.text()), (200, ""));
    let show = "&x-amz-checksum-mode=ENABLED";
    let got = server.send(signer.presigned_with("GET /bkt/k", show, 60, b""));
    assert_eq!((got.status(), got.body.as_slice()), (200, BODY));
    assert_eq!(got.header("x-amz-meta-colour"), "grey blue");
    assert!(!got.header("x-amz-checksum-crc64nvme").is_empty());
    for other in ["&x-amz-copy-source=bkt%2Fk", "&x-amz-tagging=a%3Db"] {
        let refused = signer.presigned_with("PUT /bkt/k", other, 60, b"other");
        assert_eq!(server.send(refused).code(), "NotImplemented", "{other}");
    }
    assert_eq!(server.signed("GET /bkt/k", &[], b"").body, BODY);
    // Whoever uses the URL cannot change what was signed.
    let (mut parts, body) = signer.presigned_with("PUT /bkt/k", more, 60, b"other").into_parts();
    parts.uri = parts.uri.to_string().replace("grey", "gray").parse().unwrap();
    let changed = server.send(http::Request::from_parts(parts, body));
    assert_eq!(changed.code(), "SignatureDoesNotMatch");
}

#[test]
fn a_body_other_than_the_signed_one_is_not_stored() {
    let server = with_bucket();
    let hash = crate::common::hex(&[7; 32]);
    let put = server.signed("PUT /bkt/k", &[("x-amz-content-sha256", &hash)], BODY);
    assert_eq!((put.status(), put.code()), (400, "XAmzContentSHA256Mismatch"));
    let md5 = base64(&Md5::checksum(b"another"));
    let put = server.signed("PUT /bkt/k", &[("content-md5", &md5)], BODY);
    assert_eq!((put.status(), put.code()), (400, "BadDigest"));
    assert_eq!(server.store.object_count(), 0);
}

/// Sends `BODY` as one unsigned chunk with this text behind the last one.
fn put_with_trailer(server: &crate::common::Server, trailer: &str) -> crate::common::Reply {
    let mut wire = format!("{:x}\r\n", BODY.len()).into_bytes();
    wire.extend_from_slice(BODY);
    wire.extend_from_slice(format!("\r\n0\r\n{trailer}\r\n").as_bytes());
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "13"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-encoding", "aws-chunked"),
    ];
    server.signed("PUT /bkt/k", &headers, &wire)
}

#[test]
fn trailing_checksums_are_verified() {
    let server = with_bucket();
    let wrong = base64(&Crc32::checksum(b"another"));
    let put = put_with_trailer(&server, &format!("x-amz-checksum-crc32:{wrong}\r\n"));
    assert_eq!((put.status(), put.code()), (400, "BadDigest"));
    let none = put_with_trailer(&server, "");
    assert_eq!(none.status(), 400, "{}", none.text());
    assert_eq!(server.store.object_count(), 0);
    let right = base64(&Crc32::checksum(BODY));
    let put = put_with_trailer(&server, &format!("x-amz-checksum-crc32:{right}\r\n"));
    assert_eq!((put.status(), put.text()), (200, ""));
    let got = server.signed("GET /bkt/k", &[], b"");
    assert_eq!((got.body.as_slice(), got.header("content-encoding")), (BODY, ""));
}

#[test]
fn a_chunked_body_without_its_last_chunk_is_not_stored() {
    let server = with_bucket();
    let mut wire = format!("{:x}\r\n", BODY.len()).into_bytes();
    wire.extend_from_slice(BODY);
    wire.extend_from_slice(b"\r\n0\r\n");
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "13"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    for cut in 0..wire.len() {
        let put = server.signed("PUT /bkt/k", &headers, &wire[..cut]);
        assert_eq!((put.status(), put.code()), (400, "IncompleteBody"), "{cut}");
    }
    assert_eq!(server.store.object_count(), 0);
}

#[test]
fn xml_bodies_too_long_or_of_another_hash_are_refused_as_such() {
    let server = with_bucket();
    assert_eq!(server.signed("PUT /bkt/k", &[], BODY).status(), 200);
    let mut blank = b"<Delete>".to_vec();
    blank.resize(9 << 20, b' ');
    let reply = server.signed("POST /bkt?delete=", &[], &blank);
    assert_eq!((reply.status(), reply.code()), (400, "MaxMessageLengthExceeded"));
    let reply = server.signed("POST /bkt?delete=", &[], &blank[..1 << 20]);
    assert_eq!((reply.status(), reply.code()), (400, "MalformedXML"));
    let hash = crate::common::hex(&[7; 32]);
    let other = [("x-amz-content-sha256", hash.as_str())];
    let delete = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let reply = server.signed("POST /bkt?delete=", &other, delete);
    assert_eq!((reply.status(), reply.code()), (400, "XAmzContentSHA256Mismatch"));
    assert_eq!(server.store.object_count(), 1);
    let reply = server.signed("PUT /other", &other, b"");
    assert_eq!((reply.status(), reply.code()), (400, "XAmzContentSHA256Mismatch"));
    assert_eq!(server.signed("HEAD /other", &[], b"").status(), 404);
}

#[test]
fn an_empty_continuation_token_is_refused() {
    let server = with_bucket();
    let reply = server.signed("GET /bkt?continuation-token=&list-type=2", &[], b"");
    assert_eq!((reply.status(), reply.code()), (400, "InvalidArgument"));
}

#[test]
fn nothing_is_deleted_or_replaced_by_a_request_that_means_something_else() {
    let server = with_bucket();
    assert_eq!(server.signed("PUT /bkt/k", &[], BODY).status(), 200);
    let tags = b"<Tagging><TagSet/></Tagging>";
    for line in ["PUT /bkt/k?tagging=", "DELETE /bkt/k?versionId=v", "DELETE /bkt?policy="] {
        let reply = server.signed(line, &[], tags);
        assert_eq!((reply.status(), reply.code()), (501, "NotImplemented"), "{line}");
    }
    let versioned = b"<Delete><Object><Key>k</Key><VersionId>v</VersionId></Object></Delete>";
    let reply = server.signed("POST /bkt?delete=", &[], versioned);
    assert!(reply.text().contains("<Code>NotImplemented</Code>"), "{}", reply.text());
    let delete = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let md5 = base64(&Md5::checksum(versioned));
    let reply = server.signed("POST /bkt?delete=", &[("content-md5", &md5)], delete);
    assert_eq!((reply.status(), reply.code()), (400, "BadDigest"));
    let crc = base64(&Crc32::checksum(versioned));
    let reply = server.signed("POST /bkt?delete=", &[("x-amz-checksum-crc32", &crc)], delete);
    assert_eq!((reply.status(), reply.code()), (400, "BadDigest"));
    assert_eq!(server.signed("GET /bkt/k", &[], b"").body, BODY);
    let crc = base64(&Crc32::checksum(delete));
    let reply = server.signed("POST /bkt?delete=", &[("x-amz-checksum-crc32", &crc)], delete);
    assert!(reply.text().contains("<Deleted><Key>k</Key></Deleted>"), "{}", reply.text());
    assert_eq!(server.store.object_count(), 0);
}

#[test]
fn configurations_no_bucket_has_are_answered_as_aws_does() {
    let server = with_bucket();
    let cases = [
        ("tagging", "NoSuchTagSet"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("cors", "NoSuchCORSConfiguration"),
        ("policy", "NoSuchBucketPolicy"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
    ];
    for (query, code) in cases {
        let reply = server.signed(&format!("GET /bkt?{query}="), &[], b"");
        assert_eq!((reply.status(), reply.code()), (404, code));
        let reply = server.signed(&format!("GET /none?{query}="), &[], b"");
        assert_eq!((reply.status(), reply.code()), (404, "NoSuchBucket"), "{query}");
    }
    let versioning = server.signed("GET /bkt?versioning=", &[], b"");
    assert_eq!(versioning.status(), 200);
    assert!(!versioning.text().contains("Enabled"));
    let acl = server.signed("GET /bkt?acl=", &[], b"");
    assert!(acl.text().contains("<Permission>FULL_CONTROL</Permission>"), "{}", acl.text());
}

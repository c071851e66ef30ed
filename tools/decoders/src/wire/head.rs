//! Heads of requests that nobody signed: the filter, and the whole edge behind it.
//!
//! Rules: a refusal is an answer of its own status; what passes the filter asks for nothing that
//! is not implemented; without a right signature nothing is served and nothing changes.

use super::request::{query_pairs, read};
use super::server::{Server, is_page};
use super::{DOMAIN, OWNER, REGION, WORDS};
use crate::Decoder;
use gateway_s3::{Domains, Rules, refuse};
use http::Method;
use http::request::Parts;

pub(crate) const S3_HEAD: Decoder =
    Decoder { name: "s3_head", check: head, samples, words: WORDS, rounds: 2_000 };

/// Query names no implemented operation has.
const ABSENT_NAMES: [&str; 10] = [
    "versionId",
    "versions",
    "retention",
    "legal-hold",
    "torrent",
    "restore",
    "select",
    "attributes",
    "renameObject",
    "append",
];

/// Query names that only a GET may have: they answer what no bucket here can have.
const GET_NAMES: [&str; 10] = [
    "acl",
    "tagging",
    "policy",
    "cors",
    "lifecycle",
    "encryption",
    "website",
    "versioning",
    "replication",
    "object-lock",
];

/// Headers, by their beginning, of what is not implemented.
const ABSENT_HEADERS: [&str; 8] = [
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-grant-",
    "x-amz-mfa",
    "x-amz-request-payer",
    "x-amz-security-token",
    "x-amz-website-redirect-location",
];

fn head(input: &[u8]) -> bool {
    let Some((parts, body)) = read(input) else { return false };
    let domains = Domains::new(&[DOMAIN.to_owned()]).expect("a domain");
    let rules = Rules { region: REGION.to_owned(), owner_id: OWNER.to_owned(), domains };
    let refusal = refuse(&parts, &rules);
    match &refusal {
        Some(refusal) => {
            assert!((400..600).contains(&refusal.status), "{refusal:?}");
            let response = refusal.response(parts.uri.path(), "0");
            assert_eq!(response.status().as_u16(), refusal.status);
        }
        None => nothing_is_ignored(&parts),
    }
    let page = is_page(parts.uri.path());
    let server = Server::new();
    let objects = server.store.model.object_count();
    let reply = server.send(parts, body, 0);
    assert!(page || reply.status >= 300, "served without a signature: {reply:?}");
    assert_eq!(server.store.model.object_count(), objects);
    refusal.is_none()
}

fn nothing_is_ignored(parts: &Parts) {
    let method = &parts.method;
    let methods = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];
    assert!(methods.contains(method), "no method of S3: {method}");
    let is_absent = |name: &str| {
        ABSENT_HEADERS.iter().any(|absent| name.starts_with(*absent)) || name == "x-amz-tagging"
    };
    for (name, _) in query_pairs(parts.uri.query().unwrap_or_default()) {
        let name = name.as_str();
        let absent = ABSENT_NAMES.contains(&name) || is_absent(&name.to_ascii_lowercase());
        let refused = absent || (*method != Method::GET && GET_NAMES.contains(&name));
        assert!(!refused, "{method} with {name} passed");
        let is_source = name.to_ascii_lowercase().starts_with("x-amz-copy-source");
        assert!(!is_source, "a copy by {name}, which is no header");
    }
    for name in parts.headers.keys() {
        assert!(!is_absent(name.as_str()), "{name} passed");
    }
}

fn samples() -> Vec<Vec<u8>> {
    let samples = [
        "GET /?prefix=a&max-buckets=2",
        "PUT /new-bucket\nx-amz-object-ownership: BucketOwnerEnforced",
        "HEAD /bkt/kept-object?partNumber=1\nhost: localhost",
        "GET /kept-object?response-content-type=a%2Fb\nhost: bkt.s3.test:9000\nrange: bytes=0-3",
        "GET /bkt?list-type=2&prefix=a%2Fb+c&delimiter=%2F&fetch-owner=true",
        "PUT /bkt/k\nx-amz-meta-a: b\nx-amz-checksum-crc32: AAAAAA==\nif-none-match: *\n\nbody",
        "PUT /bkt/k?partNumber=1&uploadId=u\nx-amz-copy-source: /bkt/kept-object\n\
         x-amz-copy-source-range: bytes=0-3\nx-amz-copy-source-if-match: \"e\"",
        "PUT /bkt/k\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\n\
         x-amz-decoded-content-length: 3\nx-amz-trailer: x-amz-checksum-crc32",
        "POST /bkt?delete\nexpect: 100-continue\ncontent-md5: AAAA\n\n<Delete/>",
        "GET /bkt?tagging\nauthorization: AWS4-HMAC-SHA256 \
         Credential=AKIDEXAMPLE/20250101/us-east-1/s3/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=00\nx-amz-date: 20250101T000000Z",
        "GET /bkt/kept-object?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20250101%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20250101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
        "PUT /bkt/k?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20250101%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20250101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00\
         &x-amz-checksum-crc32=AAAAAA==&x-amz-meta-a=b+c&X-Amz-Storage-Class=STANDARD\n\nbody",
    ];
    samples.iter().map(|sample| sample.as_bytes().to_vec()).collect()
}

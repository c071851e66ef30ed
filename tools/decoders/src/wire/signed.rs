//! Whole requests with a right signature, of every operation.
//!
//! Rules: those of every answer (`server.rs`); an object that was put is at the key that the filter
//! read from the path, with the bytes that were sent.

use super::request::read;
use super::server::Server;
use super::signer::Signer;
use super::{DOMAIN, WORDS};
use crate::Decoder;
use gateway_s3::{Domains, Place, Scope};
use http::Method;
use http::request::Parts;

pub(crate) const S3_REQUEST: Decoder =
    Decoder { name: "s3_request", check: request, samples, words: WORDS, rounds: 3_000 };

fn request(input: &[u8]) -> bool {
    let Some((mut parts, body)) = read(input) else { return false };
    let put = plain_put(&parts);
    Signer::now().sign(&mut parts, body);
    let server = Server::new();
    let reply = server.send(parts, body, 0);
    if let Some(place) = put
        && reply.status == 200
    {
        let stored = server.store.get(&place.bucket, &place.key);
        assert_eq!(stored.as_deref(), Some(body), "stored elsewhere or as another: {place:?}");
    }
    reply.status < 300
}

/// Where a request puts an object whose bytes are its body.
fn plain_put(parts: &Parts) -> Option<Place> {
    let domains = Domains::new(&[DOMAIN.to_owned()]).expect("a domain");
    let hash = parts.headers.get("x-amz-content-sha256");
    let chunked = hash.is_some_and(|hash| hash.as_bytes().starts_with(b"STREAMING-"));
    let plain = parts.method == Method::PUT
        && parts.uri.query().unwrap_or_default().is_empty()
        && !parts.headers.contains_key("x-amz-copy-source")
        && !chunked;
    Place::of(parts, &domains).filter(|place| plain && place.scope == Scope::Object)
}

fn samples() -> Vec<Vec<u8>> {
    let samples = [
        "GET /?prefix=b&max-buckets=2",
        "PUT /another-bucket",
        "HEAD /bkt",
        "GET /bkt?location",
        "GET /bkt?versioning",
        "GET /bkt?acl",
        "GET /bkt?list-type=2&prefix=k&delimiter=-&max-keys=1&encoding-type=url",
        "GET /bkt?list-type=2&continuation-token=AWs%3D&fetch-owner=true",
        "GET /bkt?prefix=k&marker=a&max-keys=3",
        "GET /bkt?uploads&prefix=u&key-marker=a&max-uploads=2",
        "GET /bkt/kept-object\nrange: bytes=1-5\nif-none-match: \"other\"",
        "HEAD /bkt/kept-object?partNumber=1\nx-amz-checksum-mode: ENABLED",
        "GET /kept-object?response-content-type=a%2Fb\nhost: bkt.s3.test:9000",
        "PUT /bkt/a%20b/%C3%A9+//..\ncontent-type: text/x\nx-amz-meta-a: b\n\nbody",
        "PUT /bkt/k\nx-amz-content-sha256: UNSIGNED-PAYLOAD\nif-none-match: *\n\nbody",
        "PUT /bkt/copy\nx-amz-copy-source: /bkt/kept-object\n\
         x-amz-metadata-directive: REPLACE\nx-amz-checksum-algorithm: SHA1",
        "POST /bkt/k?uploads\nx-amz-checksum-algorithm: CRC32\nx-amz-checksum-type: FULL_OBJECT",
        "PUT /bkt/up?partNumber=2&uploadId=00000000000000000000000000000001\n\npart",
        "PUT /bkt/up?partNumber=3&uploadId=00000000000000000000000000000001\n\
         x-amz-copy-source: bkt/kept%2Dobject\nx-amz-copy-source-range: bytes=0-3",
        "GET /bkt/up?uploadId=00000000000000000000000000000001&max-parts=1",
        "DELETE /bkt/up?uploadId=00000000000000000000000000000001",
        "DELETE /bkt/kept-object",
    ];
    samples.iter().map(|sample| sample.as_bytes().to_vec()).collect()
}

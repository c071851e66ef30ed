//! What clients send, from a request's head to its XML, against the whole edge over a store in
//! memory.
//!
//! Invariants: each input meets a store of its own, so that none depends on another; a request is
//! text, `METHOD target`, lines of headers, an empty line and the body, so that a mutator can keep
//! it in shape; bodies come in pieces of a length the input chooses.
//! Absent: sockets, and HTTP's own framing.

mod chunks;
mod head;
mod read;
mod request;
mod server;
mod signed;
mod signer;
mod xml;

pub(crate) use chunks::S3_CHUNKS;
pub(crate) use head::S3_HEAD;
pub(crate) use read::S3_READ;
pub(crate) use request::percent_decoded;
pub(crate) use signed::S3_REQUEST;
pub(crate) use xml::S3_XML;

/// The bucket there is.
const BUCKET: &str = "bkt";
/// The object there is.
const KEY: &str = "kept-object";
/// The upload under way and its key; it has part 1.
const UPLOAD_KEY: &str = "up";
const UPLOAD_ID: &str = "00000000000000000000000000000001";
/// What the object and the part hold.
const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Below it a label names a bucket.
const DOMAIN: &str = "s3.test";
const REGION: &str = "us-east-1";
const OWNER: &str = "owner";

/// Words of requests, beside those of one target.
const WORDS: &[&str] = &[
    "GET ",
    "PUT ",
    "POST ",
    "HEAD ",
    "DELETE ",
    "/bkt/kept-object",
    "/bkt/up",
    "?partNumber=1&uploadId=00000000000000000000000000000001",
    "?uploads",
    "?delete",
    "?list-type=2",
    "&prefix=",
    "&delimiter=%2F",
    "&continuation-token=",
    "&versionId=",
    "?tagging",
    "?acl",
    "%2F",
    "%00",
    "\nhost: bkt.s3.test",
    "\nrange: bytes=",
    "\nif-match: ",
    "\nif-none-match: *",
    "\nif-modified-since: ",
    "\ncontent-md5: ",
    "\ncontent-type: ",
    "\nx-amz-copy-source: /bkt/kept-object",
    "\nx-amz-copy-source-range: bytes=0-3",
    "\nx-amz-metadata-directive: REPLACE",
    "\nx-amz-meta-",
    "\nx-amz-checksum-algorithm: CRC32C",
    "&x-amz-meta-a=b",
    "&x-amz-server-side-encryption=AES256",
    "&x-amz-copy-source=bkt/kept-object",
    "\nx-amz-storage-class: STANDARD",
    "\nx-amz-checksum-crc32: AAAAAA==",
    "\nx-amz-checksum-algorithm: SHA256",
    "\nx-amz-content-sha256: UNSIGNED-PAYLOAD",
    "\nx-amz-server-side-encryption: AES256",
    "\nauthorization: AWS4-HMAC-SHA256 Credential=",
    "SignedHeaders=host;x-amz-date",
    "/us-east-1/s3/aws4_request",
    "X-Amz-Signature=",
];

//! What front ends call: `Gateway`, its requests and its results. All plain data.
//!
//! Invariants: header values come in as the client wrote them (dates, ETag lists, ranges, base64)
//! and are judged here, so that both front ends judge alike; ETags go out without quotes; keys go
//! out encoded if the request asked for that.
//!
//! The methods of `Gateway`, by the file that has them. All are `async`, return
//! `Result<_, S3Failure>`, and their futures are `!Send`:
//!
//! | file | methods |
//! |---|---|
//! | buckets.rs | `list_buckets(ListBuckets) -> BucketList`, `create_bucket(&str, Option<&str>) -> Bucket`, `head_bucket(&str) -> Bucket`, `delete_bucket(&str)`, `bucket_location(&str) -> Option<String>` |
//! | put.rs | `put_object(PutObject, impl BodySource) -> Stored`, `upload_part(UploadPart, impl BodySource) -> Stored` |
//! | get.rs | `get_object(GetObject) -> ObjectBody<S::Body>`, `head_object(GetObject) -> ObjectHead` |
//! | delete.rs | `delete_object(DeleteObject)`, `delete_objects(DeleteObjects) -> Vec<Deleted>` |
//! | copy.rs | `copy_object(CopyObject) -> Stored`, `upload_part_copy(UploadPartCopy) -> Stored` |
//! | listing.rs | `list_objects(ListObjects) -> ObjectList`, `list_objects_v2(ListObjectsV2) -> ObjectListV2` |
//! | multipart.rs | `create_upload(CreateUpload) -> UploadCreated`, `complete_upload(CompleteUpload) -> Completed`, `abort_upload(UploadRef)` |
//! | uploads.rs | `list_parts(ListParts) -> PartList`, `list_uploads(ListUploads) -> UploadList` |

mod lists;
mod uploads;

use crate::failure::S3Failure;
use crate::objects::{Bucket, Objects};
use bytes::Bytes;
use engine_types::{Attribute, ChecksumKind, ObjectInfo, PartInfo};
use std::fmt;
use std::future::Future;
use std::rc::Rc;

pub use lists::{ListObjects, ListObjectsV2, ListedObject, ObjectList, ObjectListV2};
pub use uploads::{
    CompleteUpload, Completed, CompletedPart, CreateUpload, ListParts, ListUploads, ListedUpload,
    PartList, UploadCreated, UploadList, UploadRef,
};

/// What a gateway is told at its start.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The region that buckets are in and signatures name.
    pub region: String,
    /// The one owner of all buckets, objects and uploads.
    pub owner: Owner,
}

/// An owner as listings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The canonical id.
    pub id: String,
    /// The display name.
    pub display_name: String,
}

/// The S3 semantics over a store.
///
/// **Runs on** a gateway thread; one a thread, shared by its connections.
pub struct Gateway<S: Objects> {
    pub(crate) store: S,
    pub(crate) config: GatewayConfig,
}

impl<S: Objects> Gateway<S> {
    /// Semantics over this store.
    #[must_use]
    pub fn new(store: S, config: GatewayConfig) -> Self {
        Self { store, config }
    }

    /// The region of the server.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.config.region
    }

    /// The one owner of everything.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.config.owner
    }

    /// The store behind.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }
}

/// Why a body on its way in ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection closed or broke. S3: IncompleteBody.
    #[error("the connection closed within the body")]
    Closed,
    /// No byte came in time. S3: RequestTimeout.
    #[error("the body stalled")]
    TimedOut,
    /// The front end refuses the body: a chunk's signature or framing does not hold.
    #[error(transparent)]
    Refused(S3Failure),
}

/// A body on its way in: its decoded bytes, in order, in pieces of any length.
pub trait BodySource {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Why it ended early; nothing more follows then.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, BodyError>>>;
}

/// A checksum that follows the body as a trailer.
pub struct Trailer {
    /// What `x-amz-trailer` announced.
    pub kind: ChecksumKind,
    /// Reads the trailer's base64 text; called once, after the body ended. `None`: it never came.
    pub read: Box<dyn FnOnce() -> Option<String>>,
}

impl fmt::Debug for Trailer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trailer").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What the client says the body is.
#[derive(Debug, Default)]
pub struct BodyClaims {
    /// Decoded bytes: `x-amz-decoded-content-length`, or `Content-Length` of a plain body.
    pub content_length: Option<u64>,
    /// `Content-MD5` as sent.
    pub content_md5: Option<String>,
    /// `x-amz-checksum-*` as sent (base64).
    pub checksums: Vec<(ChecksumKind, String)>,
    /// A checksum announced by `x-amz-trailer`.
    pub trailer: Option<Trailer>,
    /// `x-amz-sdk-checksum-algorithm`: a checksum of this kind must be given.
    pub sdk_algorithm: Option<ChecksumKind>,
    /// `x-amz-checksum-algorithm`, which minio-go sends with objects and parts: the kind to keep,
    /// of which a checksum may be given.
    pub algorithm: Option<ChecksumKind>,
    /// The most that the front end keeps back of the body, until it knows a signature.
    pub held_back_bytes: u64,
}

/// Conditions of a read, or of the source of a copy (`x-amz-copy-source-if-*`), as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// `If-Match`.
    pub if_match: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<String>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<String>,
}

/// Conditions of a write, as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteConditions {
    /// `If-Match`: one ETag or `*`.
    pub if_match: Option<String>,
    /// `If-None-Match`: only `*` is allowed.
    pub if_none_match: Option<String>,
}

/// A checksum as answers show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChecksumText {
    /// The algorithm.
    pub kind: ChecksumKind,
    /// Base64; for a composite one with `-N` behind.
    pub text: String,
    /// COMPOSITE or FULL_OBJECT.
    pub checksum_type: ChecksumType,
}

/// `x-amz-checksum-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumType {
    /// A sum of the parts' sums.
    Composite,
    /// A sum of all bytes.
    FullObject,
}

impl ChecksumType {
    /// The text of the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// Reads the header.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "COMPOSITE" => Some(Self::Composite),
            "FULL_OBJECT" => Some(Self::FullObject),
            _ => None,
        }
    }
}

/// `ListBuckets`.
#[derive(Debug, Clone, Default)]
pub struct ListBuckets {
    /// Only names that start with this.
    pub prefix: Option<String>,
    /// `max-buckets`: 1..=10,000.
    pub buckets_max: Option<i64>,
    /// `continuation-token` of the page before.
    pub continuation_token: Option<String>,
}

/// Buckets by name.
#[derive(Debug, Clone)]
pub struct BucketList {
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// Set when more follow.
    pub continuation_token: Option<String>,
}

/// `PutObject`; the body is a further argument.
#[derive(Debug, Default)]
pub struct PutObject {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// Headers and user metadata to keep.
    pub attributes: Vec<Attribute>,
    /// What the body shall be.
    pub claims: BodyClaims,
    /// Conditions.
    pub conditions: WriteConditions,
}

/// `UploadPart`; the body is a further argument.
#[derive(Debug, Default)]
pub struct UploadPart {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `uploadId` as sent.
    pub upload_id: String,
    /// `partNumber` as sent.
    pub part_number: i64,
    /// What the body shall be.
    pub claims: BodyClaims,
}

/// What was stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The ETag without quotes.
    pub etag: String,
    /// Wall clock of the write, milliseconds since 1970.
    pub modified_ms: u64,
    /// Bytes.
    pub size_bytes: u64,
    /// Checksums to show.
    pub checksums: Vec<ChecksumText>,
}

/// `GetObject` and `HeadObject`.
#[derive(Debug, Clone, Default)]
pub struct GetObject {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `Range` as sent.
    pub range: Option<String>,
    /// `partNumber` as sent.
    pub part_number: Option<i64>,
    /// Conditions.
    pub conditions: ReadConditions,
    /// Whether `x-amz-checksum-mode: ENABLED` was sent.
    pub checksum_mode: bool,
}

/// The part of an object that an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub first: u64,
    /// Last byte, included.
    pub last: u64,
    /// Bytes of the whole object.
    pub size_bytes: u64,
}

impl fmt::Display for ContentRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "bytes {}-{}/{}", self.first, self.last, self.size_bytes)
    }
}

/// The head of an answer to a read. The status is 206 when `partial`, else 200.
#[derive(Debug, Clone)]
pub struct ObjectHead {
    /// What is kept of the object: ETag, time, attributes.
    pub info: Rc<ObjectInfo>,
    /// Bytes of the answer's body.
    pub content_length: u64,
    /// `Content-Range`; there exactly when `partial`.
    pub content_range: Option<ContentRange>,
    /// Whether a range or part was asked for and is answered: status 206. An empty object's
    /// part 1 has no range to name, so it is answered 200.
    pub partial: bool,
    /// `x-amz-mp-parts-count`.
    pub parts_count: Option<u16>,
    /// Checksums to show: of the whole object, only when asked for and all of it is answered.
    pub checksums: Vec<ChecksumText>,
}

/// An answer to `GetObject`.
#[derive(Debug)]
pub struct ObjectBody<B> {
    /// Its head.
    pub head: ObjectHead,
    /// Its bytes, `head.content_length` of them; `None` when there are none.
    pub body: Option<B>,
}

/// `DeleteObject`.
#[derive(Debug, Clone, Default)]
pub struct DeleteObject {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `If-Match` as sent.
    pub if_match: Option<String>,
}

/// `DeleteObjects`.
#[derive(Debug, Clone, Default)]
pub struct DeleteObjects {
    /// The bucket's name.
    pub bucket: String,
    /// Keys, each with the `ETag` element if it had one.
    pub keys: Vec<(String, Option<String>)>,
    /// Answer failures only.
    pub quiet: bool,
}

/// One entry of the answer to `DeleteObjects`.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// The key.
    pub key: String,
    /// `None`: it is gone.
    pub failure: Option<S3Failure>,
}

/// `CopyObject`.
#[derive(Debug, Clone, Default)]
pub struct CopyObject {
    /// The source's bucket.
    pub source_bucket: String,
    /// The source's key, URL-decoded.
    pub source_key: String,
    /// `x-amz-copy-source-if-*`.
    pub source_conditions: ReadConditions,
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `x-amz-metadata-directive: REPLACE`.
    pub replace_attributes: bool,
    /// The attributes of the request. With COPY only storage class and website redirect count.
    pub attributes: Vec<Attribute>,
    /// Whether a storage class is named, the usual one too: a change of an object copied onto
    /// itself.
    pub names_storage_class: bool,
    /// `x-amz-checksum-algorithm`.
    pub checksum_algorithm: Option<ChecksumKind>,
    /// Conditions on the destination.
    pub conditions: WriteConditions,
}

/// `UploadPartCopy`.
#[derive(Debug, Clone, Default)]
pub struct UploadPartCopy {
    /// The source's bucket.
    pub source_bucket: String,
    /// The source's key, URL-decoded.
    pub source_key: String,
    /// `x-amz-copy-source-if-*`.
    pub source_conditions: ReadConditions,
    /// `x-amz-copy-source-range` as sent.
    pub source_range: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `uploadId` as sent.
    pub upload_id: String,
    /// `partNumber` as sent.
    pub part_number: i64,
}

/// A part as `ListParts` shows it.
#[derive(Debug, Clone)]
pub struct ListedPart {
    /// Number, size, time and ETag.
    pub info: PartInfo,
    /// Its checksum to show.
    pub checksum: Option<ChecksumText>,
}

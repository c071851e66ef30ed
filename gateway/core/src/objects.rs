//! What the gateway asks of the store behind it. The shards implement it (`gateway/core/src/shards.rs`),
//! and an in-memory model does in tests.
//!
//! Invariants: an answered write is durable; a reader sees the newest answered write; a `Writer`
//! that is dropped leaves nothing behind.

use bytes::Bytes;
use engine_types::{
    Attribute, BucketId, Condition, ErrorClass, Key, ObjectChecksum, ObjectInfo, PartInfo,
    PartNumber, UploadId,
};
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

/// Why the store refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No object at the key. S3: NoSuchKey.
    #[error("no object at this key")]
    NoSuchKey,
    /// The bucket does not exist (any more). S3: NoSuchBucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The bucket exists. S3: BucketAlreadyOwnedByYou.
    #[error("the bucket exists already")]
    BucketExists,
    /// Objects or uploads are in the bucket. S3: BucketNotEmpty.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// The upload is unknown, completed or aborted. S3: NoSuchUpload.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part named by a completion is not there, or has another ETag. S3: InvalidPart.
    #[error("a named part is missing or has another ETag")]
    InvalidPart,
    /// A write's condition did not hold. S3: PreconditionFailed.
    #[error("the condition does not hold")]
    ConditionFailed,
    /// Another conditional write of this key won. S3: ConditionalRequestConflict (409).
    #[error("another write of this key is under way")]
    ConditionConflict,
    /// No capacity now. S3: SlowDown.
    #[error("the server is busy")]
    Busy,
    /// No space on the drives. S3: XMinioStorageFull, status 507.
    #[error("no space left")]
    Full,
    /// Too few drives are in sync for writes; reads go on. S3: ServiceUnavailable, status 503.
    #[error("too few drives are in sync for writes; reads go on")]
    ReadsOnly,
    /// Too few drives to answer rightly. S3: ServiceUnavailable, status 503.
    #[error("too few drives are reachable")]
    Unavailable,
    /// More bytes or fewer than declared. S3: IncompleteBody.
    #[error("the body is not as long as declared")]
    WrongLength,
    /// The client sends too slowly while others wait for the memory it holds. S3: RequestTimeout.
    #[error("the body comes too slowly")]
    TooSlow,
    /// The server is stopping. S3: ServiceUnavailable.
    #[error("the server is stopping")]
    Shutdown,
}

impl StoreError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchKey | Self::NoSuchBucket | Self::NoSuchUpload => ErrorClass::NotFound,
            Self::BucketExists
            | Self::BucketNotEmpty
            | Self::ConditionFailed
            | Self::ConditionConflict => ErrorClass::Conflict,
            Self::InvalidPart | Self::WrongLength => ErrorClass::Invalid,
            Self::Busy | Self::TooSlow => ErrorClass::Busy,
            Self::Full => ErrorClass::NoSpace,
            Self::Unavailable | Self::ReadsOnly => ErrorClass::Unavailable,
            Self::Shutdown => ErrorClass::Shutdown,
        }
    }
}

/// A bucket, as the gateway's snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Never used again for another bucket.
    pub id: BucketId,
    /// Its S3 name.
    pub name: String,
    /// Wall clock of its creation, milliseconds since 1970.
    pub created_ms: u64,
}

/// An object found: what a client may see, and what a read needs.
#[derive(Debug, Clone)]
pub struct Object {
    /// What a client may see.
    pub info: Rc<ObjectInfo>,
    /// Where the bytes are; only the store that made it can read it.
    pub handle: Rc<dyn std::any::Any>,
}

/// Where a body goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// The object at the key.
    Object,
    /// A part of an upload to the key.
    Part(UploadId, PartNumber),
}

/// What a write ends with, once all of its bytes were given and every sum was checked.
#[derive(Debug, Clone, Default)]
pub struct Finish {
    /// The ETag without quotes.
    pub etag: String,
    /// Verified checksums to keep.
    pub checksums: Vec<ObjectChecksum>,
    /// Headers and user metadata to keep (none for a part).
    pub attributes: Vec<Attribute>,
    /// What must hold of the key at the commit.
    pub condition: Condition,
}

/// The length of a body on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodySize {
    /// Its bytes.
    pub bytes: u64,
    /// The most that the front end keeps back of them before it passes them on; it counts as
    /// memory of the body.
    pub held_back_bytes: u64,
}

impl BodySize {
    /// A body of which nothing is kept back.
    #[must_use]
    pub fn flowing(bytes: u64) -> Self {
        Self { bytes, held_back_bytes: 0 }
    }
}

/// A completion of an upload.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The upload.
    pub upload: UploadId,
    /// The parts in rising order, each with the ETag the client named.
    pub parts: Vec<(PartNumber, String)>,
    /// The object's ETag, `-N` included.
    pub etag: String,
    /// Checksums of the whole object to keep.
    pub checksums: Vec<ObjectChecksum>,
    /// What must hold of the key at the commit.
    pub condition: Condition,
}

/// What to list. Everything is bytes of keys; nothing is URL-encoded here.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only keys that start with this.
    pub prefix: String,
    /// Keys with this after the prefix are rolled up into common prefixes; empty for none.
    pub delimiter: String,
    /// Only keys (and common prefixes) after this one.
    pub start_after: String,
    /// At most this many keys and common prefixes together.
    pub entries_max: usize,
}

/// One entry of a page.
#[derive(Debug, Clone)]
pub enum ListEntry {
    /// An object.
    Object(Key, ObjectInfo),
    /// A common prefix, with its delimiter at the end.
    CommonPrefix(String),
}

/// A page, in rising order of bytes.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The entries.
    pub entries: Vec<ListEntry>,
    /// Whether more follow; go on with `start_after` = the last entry's key or prefix.
    pub truncated: bool,
}

/// An upload under way.
#[derive(Debug, Clone)]
pub struct UploadInfo {
    /// Its key.
    pub key: Key,
    /// Its id.
    pub upload: UploadId,
    /// Wall clock of its creation, milliseconds since 1970.
    pub created_ms: u64,
    /// Headers and user metadata the object will have.
    pub attributes: Vec<Attribute>,
    /// The checksum the client announced for its parts: algorithm and whether composite.
    pub checksum: Option<(engine_types::ChecksumKind, bool)>,
}

/// The bytes of an object, in order, in pieces of any length above zero.
pub trait Body {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// `Unavailable` when too few fragments can be read; nothing more follows then.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, StoreError>>>;
}

/// A body on its way in. Dropping it gives back all it took.
pub trait Writer {
    /// Takes the next bytes, in order. Waits while the drives are behind.
    ///
    /// # Errors
    /// Any `StoreError`; the write is over then.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), StoreError>>;

    /// Ready once the store has ended the write of a client that is too slow; `write` would fail
    /// with the same. To be awaited beside the client's next bytes.
    fn lost(&self) -> impl Future<Output = StoreError> {
        std::future::pending()
    }

    /// Commits: durable on every in-sync position before the answer.
    ///
    /// # Errors
    /// Any `StoreError`; after `Busy` or `Unavailable` the outcome may be unknown, as after a
    /// broken connection.
    fn finish(self, finish: Finish) -> impl Future<Output = Result<ObjectInfo, StoreError>>;
}

/// The store.
///
/// **Runs on** a gateway thread; futures are `!Send`.
pub trait Objects: 'static {
    /// A body on its way in.
    type Writer: Writer;
    /// A body on its way out.
    type Body: Body;

    /// The bucket of this name, from the gateway's snapshot.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable` while nobody knows which buckets there are.
    fn bucket(&self, name: &str) -> Result<Bucket, StoreError>;

    /// All buckets by name, from the gateway's snapshot.
    ///
    /// # Errors
    /// `Unavailable` while nobody knows which there are.
    fn buckets(&self) -> Result<Vec<Bucket>, StoreError>;

    /// Creates a bucket; answered when every gateway and shard knows it.
    ///
    /// # Errors
    /// `BucketExists`, or that the control thread could not commit.
    fn create_bucket(&self, name: &str) -> impl Future<Output = Result<Bucket, StoreError>>;

    /// Removes an empty bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`, or that the control thread could not commit.
    fn delete_bucket(&self, name: &str) -> impl Future<Output = Result<(), StoreError>>;

    /// Finds the newest object at the key.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchBucket`, `Busy`, `Unavailable`.
    fn find(&self, bucket: BucketId, key: &Key)
    -> impl Future<Output = Result<Object, StoreError>>;

    /// Reads bytes of an object found; the range lies within its size.
    ///
    /// # Errors
    /// `Unavailable`, `Busy`. An object replaced meanwhile is still read as found or fails, never
    /// mixed.
    fn read(
        &self,
        object: &Object,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Self::Body, StoreError>>;

    /// The byte range of a part of an object found that was completed from parts; for an object
    /// written in one PUT, part 1 is all of it. `None`: no such part.
    fn part_range(
        &self,
        object: &Object,
        number: PartNumber,
    ) -> impl Future<Output = Result<Option<Range<u64>>, StoreError>>;

    /// Starts a write of exactly so many bytes.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`, `Full`, `Busy`, `Unavailable`.
    fn begin(
        &self,
        bucket: BucketId,
        key: &Key,
        target: Target,
        size: BodySize,
    ) -> impl Future<Output = Result<Self::Writer, StoreError>>;

    /// Deletes the object at the key. `Ok(false)`: there was none.
    ///
    /// # Errors
    /// `ConditionFailed`, `NoSuchBucket`, `Busy`, `Unavailable`.
    fn delete(
        &self,
        bucket: BucketId,
        key: &Key,
        condition: Condition,
    ) -> impl Future<Output = Result<bool, StoreError>>;

    /// Lists objects.
    ///
    /// # Errors
    /// `Unavailable` rather than a page with holes.
    fn list(
        &self,
        bucket: BucketId,
        query: ListQuery,
    ) -> impl Future<Output = Result<ListPage, StoreError>>;

    /// Starts a multipart upload.
    ///
    /// # Errors
    /// `NoSuchBucket`, `Busy`, `Full`, `Unavailable`.
    fn create_upload(
        &self,
        bucket: BucketId,
        key: &Key,
        attributes: Vec<Attribute>,
        checksum: Option<(engine_types::ChecksumKind, bool)>,
    ) -> impl Future<Output = Result<UploadId, StoreError>>;

    /// An upload under way.
    ///
    /// # Errors
    /// `NoSuchUpload`, `Unavailable`.
    fn upload(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> impl Future<Output = Result<UploadInfo, StoreError>>;

    /// The parts of an upload with numbers above `after`, rising, at most `parts_max`, and
    /// whether more follow.
    ///
    /// # Errors
    /// `NoSuchUpload`, `Unavailable`.
    fn parts(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
        after: u16,
        parts_max: usize,
    ) -> impl Future<Output = Result<(Vec<PartInfo>, bool), StoreError>>;

    /// Completes an upload. The same completion again answers the same.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidPart`, `ConditionFailed`, `Busy`, `Unavailable`.
    fn complete(
        &self,
        bucket: BucketId,
        key: &Key,
        completion: Completion,
    ) -> impl Future<Output = Result<ObjectInfo, StoreError>>;

    /// Ends an upload and frees its parts.
    ///
    /// # Errors
    /// `NoSuchUpload`, `Busy`, `Unavailable`.
    fn abort(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> impl Future<Output = Result<(), StoreError>>;

    /// Uploads under way, ordered by key then by id, after (`key_marker`, `upload_marker`), whose
    /// keys start with `prefix`; at most `uploads_max`, and whether more follow.
    ///
    /// # Errors
    /// `Unavailable`.
    fn uploads(
        &self,
        bucket: BucketId,
        prefix: &str,
        key_marker: &str,
        upload_marker: Option<UploadId>,
        uploads_max: usize,
    ) -> impl Future<Output = Result<(Vec<UploadInfo>, bool), StoreError>>;
}

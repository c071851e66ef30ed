//! `Objects` over the node's shards.
//!
//! Invariants: bytes of a body wait here up to one stripe, then go to the owner's shard, which
//! answers when the drives have taken them; a commit is handed over once and runs to its end;
//! bodies hold no memory beyond the budget.

mod body;
pub mod budget;
mod pieces;
mod writer;

pub use body::ShardBody;
pub use writer::ShardWriter;

use crate::objects::{
    BodySize, Bucket, Completion, ListEntry, ListPage, ListQuery, Object, Objects, StoreError,
    Target, UploadInfo,
};
use budget::MemoryBudget;
use engine_format::Etag;
use engine_set::{Found, PutTarget, SetCompletion, SetError, SetListEntry, SetListQuery};
use engine_types::{
    Attribute, BucketId, ChecksumKind, Condition, Key, ObjectInfo, PartInfo, PartNumber, UploadId,
};
use shards_node::{Control, ControlError, Node, NodeMember, WorkKind};
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

/// The store of a node.
#[derive(Clone)]
pub struct ShardStore {
    node: Node,
    control: Control,
    budget: MemoryBudget,
    wall_ms: fn() -> u64,
}

impl ShardStore {
    /// A store over a node's shards and control thread. All stores of a node share a budget.
    #[must_use]
    pub fn new(node: Node, control: Control, budget: MemoryBudget, wall_ms: fn() -> u64) -> Self {
        Self { node, control, budget, wall_ms }
    }

    /// Runs work at the owner of a key, which it is given by value.
    async fn at_owner<R, F, Fut>(
        &self,
        (bucket, key): (BucketId, &Key),
        kind: WorkKind,
        work: F,
    ) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: Fn(NodeMember, Key) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<R, SetError>> + 'static,
    {
        let name = key.clone();
        let work = move |member| work(member, name.clone());
        self.node.at_owner((bucket, key), kind, work).await.map_err(store_error)
    }
}

fn store_error(error: SetError) -> StoreError {
    match error {
        SetError::NoSuchKey => StoreError::NoSuchKey,
        SetError::NoSuchBucket => StoreError::NoSuchBucket,
        SetError::NoSuchUpload => StoreError::NoSuchUpload,
        SetError::InvalidPart => StoreError::InvalidPart,
        SetError::ConditionFailed => StoreError::ConditionFailed,
        SetError::WrongLength => StoreError::WrongLength,
        SetError::Full => StoreError::Full,
        SetError::Busy => StoreError::Busy,
        SetError::ReadsOnly => StoreError::ReadsOnly,
        _ => StoreError::Unavailable,
    }
}

fn control_error(error: ControlError) -> StoreError {
    match error {
        ControlError::Table(shards_control::TableError::Exists) => StoreError::BucketExists,
        ControlError::Table(shards_control::TableError::Missing) => StoreError::NoSuchBucket,
        ControlError::NotEmpty => StoreError::BucketNotEmpty,
        ControlError::Set(error) => store_error(error),
        _ => StoreError::Busy,
    }
}

fn md5_of(etag: &str) -> Result<[u8; 16], StoreError> {
    Etag::parse(etag).map(|etag| etag.md5).ok_or(StoreError::InvalidPart)
}

/// What `Object::handle` holds.
struct Handle {
    found: Found,
    place: (BucketId, Key),
}

fn handle_of(object: &Object) -> Result<&Handle, StoreError> {
    object.handle.downcast_ref::<Handle>().ok_or(StoreError::Unavailable)
}

impl Objects for ShardStore {
    type Writer = ShardWriter;
    type Body = ShardBody;

    fn bucket(&self, name: &str) -> Result<Bucket, StoreError> {
        let table = self.node.buckets().ok_or(StoreError::Unavailable)?;
        let entry = table.open(name).ok_or(StoreError::NoSuchBucket)?;
        Ok(Bucket { id: entry.id, name: name.to_owned(), created_ms: entry.created_ms })
    }

    fn buckets(&self) -> Result<Vec<Bucket>, StoreError> {
        let table = self.node.buckets().ok_or(StoreError::Unavailable)?;
        let names = table.buckets.keys();
        Ok(names.filter_map(|name| self.bucket(name).ok()).collect())
    }

    async fn create_bucket(&self, name: &str) -> Result<Bucket, StoreError> {
        let entry = self.control.create(name, (self.wall_ms)()).await.map_err(control_error)?;
        Ok(Bucket { id: entry.id, name: name.to_owned(), created_ms: entry.created_ms })
    }

    async fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.control.delete(name).await.map_err(control_error)
    }

    async fn find(&self, bucket: BucketId, key: &Key) -> Result<Object, StoreError> {
        let found = self
            .at_owner((bucket, key), WorkKind::Read, move |member, key| async move {
                member.find(bucket, &key).await
            })
            .await?;
        let info = Rc::new(found.record.info());
        let place = (bucket, key.clone());
        Ok(Object { info, handle: Rc::new(Handle { found, place }) })
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> Result<ShardBody, StoreError> {
        let handle = handle_of(object)?;
        let size_bytes = range.end.saturating_sub(range.start);
        let place = handle.place.clone();
        let mut body = ShardBody::admit(&self.node, &self.budget, place, size_bytes).await?;
        body.start(&handle.found, &range);
        body.first().await?;
        Ok(body)
    }

    async fn part_range(
        &self,
        object: &Object,
        number: PartNumber,
    ) -> Result<Option<Range<u64>>, StoreError> {
        let handle = handle_of(object)?;
        let Some(table) = &handle.found.parts else {
            return Ok((number.get() == 1).then_some(0..object.info.size_bytes));
        };
        // The n-th part of the object, whatever number it was uploaded under.
        let index = usize::from(number.get()) - 1;
        let Some(part) = table.parts.get(index) else { return Ok(None) };
        let start = table.parts[..index].iter().map(|part| part.size_bytes).sum();
        Ok(Some(start..start + part.size_bytes))
    }

    async fn begin(
        &self,
        bucket: BucketId,
        key: &Key,
        target: Target,
        size: BodySize,
    ) -> Result<ShardWriter, StoreError> {
        let target = match target {
            Target::Object => PutTarget::Object,
            Target::Part(upload, number) => PutTarget::Part(upload, number),
        };
        ShardWriter::begin(self, (bucket, key), target, size).await
    }

    async fn delete(
        &self,
        bucket: BucketId,
        key: &Key,
        condition: Condition,
    ) -> Result<bool, StoreError> {
        self.at_owner((bucket, key), WorkKind::Change, move |member, key| {
            let condition = condition.clone();
            async move { member.delete(bucket, &key, condition).await }
        })
        .await
    }

    async fn list(&self, bucket: BucketId, query: ListQuery) -> Result<ListPage, StoreError> {
        let mut start = query.start_after.clone().into_bytes();
        if !start.is_empty() {
            start.push(0);
        }
        let wanted = SetListQuery {
            prefix: query.prefix.into_bytes(),
            delimiter: query.delimiter.into_bytes(),
            start,
            entries_max: query.entries_max,
        };
        let page = self.node.list(bucket, &wanted).await.map_err(store_error)?;
        let entries = page
            .entries
            .into_iter()
            .map(|entry| match entry {
                SetListEntry::Object(key, info) => ListEntry::Object(key, info),
                SetListEntry::CommonPrefix(prefix) => {
                    ListEntry::CommonPrefix(String::from_utf8_lossy(&prefix).into_owned())
                }
            })
            .collect();
        Ok(ListPage { entries, truncated: page.truncated })
    }

    async fn create_upload(
        &self,
        bucket: BucketId,
        key: &Key,
        attributes: Vec<Attribute>,
        checksum: Option<(ChecksumKind, bool)>,
    ) -> Result<UploadId, StoreError> {
        self.at_owner((bucket, key), WorkKind::Change, move |member, key| {
            let attributes = attributes.clone();
            async move { member.create_upload(bucket, &key, attributes, checksum).await }
        })
        .await
    }

    async fn upload(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> Result<UploadInfo, StoreError> {
        let record = self
            .at_owner((bucket, key), WorkKind::Read, move |member, key| async move {
                member.upload(bucket, &key, upload).await
            })
            .await?;
        Ok(UploadInfo {
            key: key.clone(),
            upload,
            created_ms: record.created_ms,
            attributes: record.attributes,
            checksum: record.checksum,
        })
    }

    async fn parts(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
        after: u16,
        parts_max: usize,
    ) -> Result<(Vec<PartInfo>, bool), StoreError> {
        let (parts, more) = self
            .at_owner((bucket, key), WorkKind::Read, move |member, key| async move {
                member.parts((bucket, &key), upload, after, parts_max).await
            })
            .await?;
        let parts = parts
            .into_iter()
            .map(|part| PartInfo {
                number: part.entry.number,
                size_bytes: part.entry.size_bytes,
                modified_ms: part.modified_ms,
                etag: Etag { md5: part.entry.md5, part_count: 0 }.text(),
                checksum: part.entry.checksum,
            })
            .collect();
        Ok((parts, more))
    }

    async fn complete(
        &self,
        bucket: BucketId,
        key: &Key,
        completion: Completion,
    ) -> Result<ObjectInfo, StoreError> {
        let parts = completion
            .parts
            .iter()
            .map(|(number, etag)| Ok((*number, md5_of(etag)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let etag = Etag::parse(&completion.etag).ok_or(StoreError::InvalidPart)?;
        let completion = SetCompletion {
            upload: completion.upload,
            parts,
            etag,
            checksums: completion.checksums,
            condition: completion.condition,
        };
        self.at_owner((bucket, key), WorkKind::Change, move |member, key| {
            let completion = completion.clone();
            async move { member.complete(bucket, &key, completion).await }
        })
        .await
    }

    async fn abort(&self, bucket: BucketId, key: &Key, upload: UploadId) -> Result<(), StoreError> {
        self.at_owner((bucket, key), WorkKind::Change, move |member, key| async move {
            member.abort_upload(bucket, &key, upload).await
        })
        .await
    }

    async fn uploads(
        &self,
        bucket: BucketId,
        prefix: &str,
        key_marker: &str,
        upload_marker: Option<UploadId>,
        uploads_max: usize,
    ) -> Result<(Vec<UploadInfo>, bool), StoreError> {
        // Behind the marked upload of the marked key, or behind all uploads of it.
        let (start, start_upload) = match upload_marker {
            Some(marker) => (key_marker.to_owned(), next_upload(marker)),
            None if key_marker.is_empty() => (String::new(), None),
            None => (format!("{key_marker}\0"), None),
        };
        let (uploads, more) = self
            .node
            .list_uploads(bucket, prefix, &start, start_upload, uploads_max)
            .await
            .map_err(store_error)?;
        let uploads = uploads
            .into_iter()
            .map(|upload| UploadInfo {
                key: upload.key,
                upload: upload.upload,
                created_ms: upload.record.created_ms,
                attributes: upload.record.attributes,
                checksum: upload.record.checksum,
            })
            .collect();
        Ok((uploads, more))
    }
}

/// The upload id behind another.
fn next_upload(upload: UploadId) -> Option<UploadId> {
    let next = u128::from_be_bytes(upload.0).checked_add(1)?;
    Some(UploadId(next.to_be_bytes()))
}

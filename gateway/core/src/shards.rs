//! `Objects` over the node's shards.
//!
//! Invariants: bytes of a body wait here up to one stripe, then go to the owner's shard, which
//! answers when the drives have taken them; a commit is handed over once and runs to its end.

use crate::objects::{
    Body, Bucket, Completion, Finish, ListEntry, ListPage, ListQuery, Object, Objects, StoreError,
    Target, UploadInfo, Writer,
};
use bytes::Bytes;
use engine_format::Etag;
use engine_set::{
    Found, PutFinish, PutTarget, SetCompletion, SetError, SetListEntry, SetListQuery, Source,
};
use engine_types::{
    Attribute, BucketId, ChecksumKind, Condition, Key, ObjectInfo, PartInfo, PartNumber, UploadId,
};
use shards_node::{Control, ControlError, Node, PutId, WorkKind};
use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;

/// Stripes read ahead of the client.
const READ_AHEAD: usize = 2;

/// The store of a node.
#[derive(Clone)]
pub struct ShardStore {
    node: Node,
    control: Control,
    wall_ms: fn() -> u64,
}

impl ShardStore {
    /// A store over a node's shards and control thread.
    #[must_use]
    pub fn new(node: Node, control: Control, wall_ms: fn() -> u64) -> Self {
        Self { node, control, wall_ms }
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

/// A body on its way in.
pub struct ShardWriter {
    node: Node,
    bucket: BucketId,
    key: Key,
    target: PutTarget,
    size_bytes: u64,
    received_bytes: u64,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    put: Option<PutId>,
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if let Some(put) = self.put {
            self.node.drop_put(put);
        }
    }
}

impl ShardWriter {
    /// Takes exactly `wanted` bytes off what waits.
    fn take(&mut self, wanted: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        let mut left = wanted;
        let mut rest = Vec::new();
        for mut piece in std::mem::take(&mut self.waiting) {
            if left == 0 {
                rest.push(piece);
            } else if piece.len() <= left {
                left -= piece.len();
                taken.push(piece);
            } else {
                taken.push(piece.split_to(left));
                left = 0;
                rest.push(piece);
            }
        }
        self.waiting = rest;
        self.waiting_bytes -= wanted - left;
        taken
    }

    async fn send(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        let put = match self.put {
            Some(put) => put,
            None => {
                let begun =
                    self.node.begin_put(self.bucket, &self.key, self.target, self.size_bytes);
                let put = begun.await.map_err(store_error)?;
                self.put = Some(put);
                put
            }
        };
        self.node.write_put(put, pieces).await.map_err(store_error)
    }
}

impl Writer for ShardWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.received_bytes += bytes.len() as u64;
        if self.received_bytes > self.size_bytes {
            return Err(StoreError::WrongLength);
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        let stripe_bytes = self.node.stripe_bytes();
        while self.waiting_bytes >= stripe_bytes && self.size_bytes > stripe_bytes as u64 {
            let pieces = self.take(stripe_bytes);
            self.send(pieces).await?;
        }
        Ok(())
    }

    async fn finish(mut self, finish: Finish) -> Result<ObjectInfo, StoreError> {
        if self.received_bytes != self.size_bytes {
            return Err(StoreError::WrongLength);
        }
        let finish = PutFinish {
            md5: md5_of(&finish.etag)?,
            checksums: finish.checksums,
            attributes: finish.attributes,
            condition: finish.condition,
        };
        if self.put.is_none() {
            let pieces = std::mem::take(&mut self.waiting);
            let place = (self.bucket, &self.key);
            return self
                .node
                .put_whole(place, self.target, pieces, finish)
                .await
                .map_err(store_error);
        }
        if self.waiting_bytes > 0 {
            let pieces = std::mem::take(&mut self.waiting);
            self.send(pieces).await?;
        }
        let put = self.put.take().ok_or(StoreError::Unavailable)?;
        self.node.finish_put(self.bucket, put, finish).await.map_err(store_error)
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<Bytes>, SetError>>>>;

/// A body on its way out.
pub struct ShardBody {
    node: Node,
    place: (BucketId, Key),
    ready: VecDeque<Bytes>,
    /// Pieces of stripes still to be read: run, offset, length.
    plan: VecDeque<(Rc<Source>, u64, usize)>,
    reading: VecDeque<Reading>,
}

impl ShardBody {
    fn read_ahead(&mut self) {
        while self.reading.len() < READ_AHEAD {
            let Some((source, offset, len)) = self.plan.pop_front() else { return };
            let Some(reader) = self.node.reader_of(self.place.0, &self.place.1) else {
                self.reading.push_back(Box::pin(std::future::ready(Err(SetError::Unavailable))));
                return;
            };
            let source = Source::clone(&source);
            self.reading.push_back(Box::pin(self.node.read_stripe(reader, source, offset, len)));
        }
    }
}

impl Body for ShardBody {
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            self.read_ahead();
            match self.reading.pop_front()?.await {
                Ok(pieces) => self.ready.extend(pieces),
                Err(error) => {
                    self.plan.clear();
                    self.reading.clear();
                    return Some(Err(store_error(error)));
                }
            }
        }
    }
}

/// Cuts a range of an object into pieces of stripes of its runs.
fn plan_of(found: &Found, range: &Range<u64>) -> VecDeque<(Rc<Source>, u64, usize)> {
    let mut plan = VecDeque::new();
    let mut run_start = 0;
    for source in found.sources() {
        let run_end = run_start + source.run_bytes;
        let from = range.start.max(run_start);
        let to = range.end.min(run_end);
        let source = Rc::new(source);
        let stripe_bytes = source.geometry.stripe_bytes();
        let mut at = from;
        while at < to {
            let inside = at - run_start;
            let stripe_end = (inside / stripe_bytes + 1) * stripe_bytes;
            let len = (to - at).min(stripe_end - inside);
            plan.push_back((Rc::clone(&source), inside, len as usize));
            at += len;
        }
        run_start = run_end;
    }
    plan
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

    fn bucket(&self, name: &str) -> Option<Bucket> {
        let table = self.node.buckets();
        let entry = table.open(name)?;
        Some(Bucket { id: entry.id, name: name.to_owned(), created_ms: entry.created_ms })
    }

    fn buckets(&self) -> Vec<Bucket> {
        let table = self.node.buckets();
        let names = table.buckets.keys();
        names.filter_map(|name| self.bucket(name)).collect()
    }

    async fn create_bucket(&self, name: &str) -> Result<Bucket, StoreError> {
        let entry =
            self.control.create(name, (self.wall_ms)()).await.map_err(control_error)?;
        Ok(Bucket { id: entry.id, name: name.to_owned(), created_ms: entry.created_ms })
    }

    async fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.control.delete(name).await.map_err(control_error)
    }

    async fn find(&self, bucket: BucketId, key: &Key) -> Result<Object, StoreError> {
        let name = key.clone();
        let found = self
            .node
            .at_owner((bucket, key), WorkKind::Read, move |member| {
                let name = name.clone();
                async move { member.find(bucket, &name).await }
            })
            .await
            .map_err(store_error)?;
        let info = Rc::new(found.record.info());
        let place = (bucket, key.clone());
        Ok(Object { info, handle: Rc::new(Handle { found, place }) })
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> Result<ShardBody, StoreError> {
        let handle = handle_of(object)?;
        let mut body = ShardBody {
            node: self.node.clone(),
            place: handle.place.clone(),
            ready: VecDeque::new(),
            plan: VecDeque::new(),
            reading: VecDeque::new(),
        };
        match &handle.found.inline {
            Some(bytes) => {
                let (from, to) = (range.start as usize, range.end as usize);
                if from < to {
                    body.ready.push_back(bytes.slice(from..to));
                }
            }
            None => body.plan = plan_of(&handle.found, &range),
        }
        body.read_ahead();
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
        let mut start = 0;
        for part in &table.parts {
            if part.number == number {
                return Ok(Some(start..start + part.size_bytes));
            }
            start += part.size_bytes;
        }
        Ok(None)
    }

    async fn begin(
        &self,
        bucket: BucketId,
        key: &Key,
        target: Target,
        size_bytes: u64,
    ) -> Result<ShardWriter, StoreError> {
        let target = match target {
            Target::Object => PutTarget::Object,
            Target::Part(upload, number) => PutTarget::Part(upload, number),
        };
        Ok(ShardWriter {
            node: self.node.clone(),
            bucket,
            key: key.clone(),
            target,
            size_bytes,
            received_bytes: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            put: None,
        })
    }

    async fn delete(
        &self,
        bucket: BucketId,
        key: &Key,
        condition: Condition,
    ) -> Result<bool, StoreError> {
        let name = key.clone();
        self.node
            .at_owner((bucket, key), WorkKind::Change, move |member| {
                let (name, condition) = (name.clone(), condition.clone());
                async move { member.delete(bucket, &name, condition).await }
            })
            .await
            .map_err(store_error)
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
        let name = key.clone();
        self.node
            .at_owner((bucket, key), WorkKind::Change, move |member| {
                let (name, attributes) = (name.clone(), attributes.clone());
                async move { member.create_upload(bucket, &name, attributes, checksum).await }
            })
            .await
            .map_err(store_error)
    }

    async fn upload(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> Result<UploadInfo, StoreError> {
        let name = key.clone();
        let record = self
            .node
            .at_owner((bucket, key), WorkKind::Read, move |member| {
                let name = name.clone();
                async move { member.upload(bucket, &name, upload).await }
            })
            .await
            .map_err(store_error)?;
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
        let name = key.clone();
        let (parts, more) = self
            .node
            .at_owner((bucket, key), WorkKind::Read, move |member| {
                let name = name.clone();
                async move { member.parts((bucket, &name), upload, after, parts_max).await }
            })
            .await
            .map_err(store_error)?;
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
        let name = key.clone();
        self.node
            .at_owner((bucket, key), WorkKind::Change, move |member| {
                let (name, completion) = (name.clone(), completion.clone());
                async move { member.complete(bucket, &name, completion).await }
            })
            .await
            .map_err(store_error)
    }

    async fn abort(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> Result<(), StoreError> {
        let name = key.clone();
        self.node
            .at_owner((bucket, key), WorkKind::Change, move |member| {
                let name = name.clone();
                async move { member.abort_upload(bucket, &name, upload).await }
            })
            .await
            .map_err(store_error)
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

//! A store in memory: what `Objects` promises, without drives. For the tests of this crate and of
//! the front ends; the server never makes one.
//!
//! Invariants: a call takes effect at once and never waits; the time comes from the clock given.

use crate::objects::{
    Body, BodySize, Bucket, Completion, Finish, ListPage, ListQuery, Object, Objects, StoreError,
    Target, UploadInfo, Writer,
};
use bytes::Bytes;
use engine_types::{
    Attribute, BucketId, ChecksumKind, Condition, Key, ObjectInfo, PartInfo, PartNumber, UploadId,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

mod state;

use state::{Kept, KeptBucket, Part, State};

/// Bodies come out in pieces of this length, so that front ends see several.
const PIECE_BYTES: usize = 64 * 1024;

/// The store in memory. Clones are the same store.
#[derive(Clone)]
pub struct ModelStore {
    state: Rc<RefCell<State>>,
    wall_ms: Rc<dyn Fn() -> u64>,
}

impl ModelStore {
    /// An empty store; `wall_ms` is the wall clock in milliseconds since 1970.
    #[must_use]
    pub fn new(wall_ms: Rc<dyn Fn() -> u64>) -> Self {
        Self { state: Rc::new(RefCell::new(State::default())), wall_ms }
    }

    /// Makes the next call that can fail do so with this error.
    pub fn fail_next(&self, error: StoreError) {
        self.state.borrow_mut().fault = Some(error);
    }

    /// Objects in all buckets: that a refused write left nothing behind.
    #[must_use]
    pub fn object_count(&self) -> usize {
        self.state.borrow().buckets.values().map(|bucket| bucket.objects.len()).sum()
    }

    fn take_fault(&self) -> Result<(), StoreError> {
        self.state.borrow_mut().fault.take().map_or(Ok(()), Err)
    }

    /// Does something with a bucket, unless the call is to fail.
    fn in_bucket<T>(
        &self,
        bucket: BucketId,
        work: impl FnOnce(&mut KeptBucket) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.take_fault()?;
        work(self.state.borrow_mut().bucket(bucket)?)
    }
}

/// A body out of memory.
#[derive(Debug)]
pub struct ModelBody {
    rest: Bytes,
}

impl Body for ModelBody {
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        if self.rest.is_empty() {
            return None;
        }
        let piece_bytes = self.rest.len().min(PIECE_BYTES);
        Some(Ok(self.rest.split_to(piece_bytes)))
    }
}

/// A body into memory.
pub struct ModelWriter {
    store: ModelStore,
    bucket: BucketId,
    key: Key,
    target: Target,
    size_bytes: u64,
    bytes: Vec<u8>,
}

impl Writer for ModelWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.store.take_fault()?;
        self.bytes.extend_from_slice(&bytes);
        if self.bytes.len() as u64 > self.size_bytes {
            return Err(StoreError::WrongLength);
        }
        Ok(())
    }

    async fn finish(self, finish: Finish) -> Result<ObjectInfo, StoreError> {
        self.store.take_fault()?;
        if self.bytes.len() as u64 != self.size_bytes {
            return Err(StoreError::WrongLength);
        }
        let modified_ms = (self.store.wall_ms)();
        let mut state = self.store.state.borrow_mut();
        let bucket = state.bucket(self.bucket)?;
        let info = ObjectInfo {
            size_bytes: self.size_bytes,
            modified_ms,
            etag: finish.etag,
            checksums: finish.checksums,
            attributes: finish.attributes,
            part_count: 0,
        };
        let bytes = Bytes::from(self.bytes);
        match self.target {
            Target::Object => {
                bucket.check(&self.key, &finish.condition)?;
                let kept = Kept { info: Rc::new(info.clone()), bytes, parts: Vec::new() };
                bucket.objects.insert(self.key, Rc::new(kept));
            }
            Target::Part(id, number) => {
                let part = PartInfo {
                    number,
                    size_bytes: info.size_bytes,
                    modified_ms,
                    etag: info.etag.clone(),
                    checksum: info.checksums.first().cloned(),
                };
                let upload = bucket.upload(&self.key, id)?;
                upload.parts.insert(number, Part { info: part, bytes });
            }
        }
        Ok(info)
    }
}

impl Objects for ModelStore {
    type Writer = ModelWriter;
    type Body = ModelBody;

    fn bucket(&self, name: &str) -> Result<Bucket, StoreError> {
        let state = self.state.borrow();
        let found = state.buckets.values().find(|kept| kept.bucket.name == name);
        found.map(|kept| kept.bucket.clone()).ok_or(StoreError::NoSuchBucket)
    }

    fn buckets(&self) -> Result<Vec<Bucket>, StoreError> {
        let state = self.state.borrow();
        let mut buckets: Vec<Bucket> =
            state.buckets.values().map(|kept| kept.bucket.clone()).collect();
        buckets.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(buckets)
    }

    async fn create_bucket(&self, name: &str) -> Result<Bucket, StoreError> {
        self.take_fault()?;
        if self.bucket(name).is_ok() {
            return Err(StoreError::BucketExists);
        }
        Ok(self.state.borrow_mut().create_bucket(name, (self.wall_ms)()))
    }

    async fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.take_fault()?;
        let id = self.bucket(name)?.id;
        let mut state = self.state.borrow_mut();
        let bucket = state.bucket(id)?;
        if !bucket.objects.is_empty() || !bucket.uploads.is_empty() {
            return Err(StoreError::BucketNotEmpty);
        }
        state.buckets.remove(&id);
        Ok(())
    }

    async fn find(&self, bucket: BucketId, key: &Key) -> Result<Object, StoreError> {
        self.in_bucket(bucket, |bucket| {
            let kept = bucket.objects.get(key).ok_or(StoreError::NoSuchKey)?;
            let handle: Rc<dyn std::any::Any> = Rc::<Kept>::clone(kept);
            Ok(Object { info: Rc::clone(&kept.info), handle })
        })
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> Result<ModelBody, StoreError> {
        self.take_fault()?;
        let kept = kept_of(object);
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(ModelBody { rest: kept.bytes.slice(within(range.start)..within(range.end)) })
    }

    async fn part_range(
        &self,
        object: &Object,
        number: PartNumber,
    ) -> Result<Option<Range<u64>>, StoreError> {
        self.take_fault()?;
        let kept = kept_of(object);
        if kept.parts.is_empty() {
            return Ok((number.get() == 1).then_some(0..kept.info.size_bytes));
        }
        let found = kept.parts.iter().find(|(part, _)| *part == number);
        Ok(found.map(|(_, range)| range.clone()))
    }

    async fn begin(
        &self,
        bucket: BucketId,
        key: &Key,
        target: Target,
        size: BodySize,
    ) -> Result<ModelWriter, StoreError> {
        self.in_bucket(bucket, |bucket| match &target {
            Target::Object => Ok(()),
            Target::Part(id, _) => bucket.upload(key, *id).map(|_| ()),
        })?;
        let (store, key, size_bytes) = (self.clone(), key.clone(), size.bytes);
        Ok(ModelWriter { store, bucket, key, target, size_bytes, bytes: Vec::new() })
    }

    async fn delete(
        &self,
        bucket: BucketId,
        key: &Key,
        condition: Condition,
    ) -> Result<bool, StoreError> {
        self.in_bucket(bucket, |bucket| {
            bucket.check(key, &condition)?;
            Ok(bucket.objects.remove(key).is_some())
        })
    }

    async fn list(&self, bucket: BucketId, query: ListQuery) -> Result<ListPage, StoreError> {
        self.in_bucket(bucket, |bucket| Ok(bucket.list(&query)))
    }

    async fn create_upload(
        &self,
        bucket: BucketId,
        key: &Key,
        attributes: Vec<Attribute>,
        checksum: Option<(ChecksumKind, bool)>,
    ) -> Result<UploadId, StoreError> {
        self.take_fault()?;
        let created_ms = (self.wall_ms)();
        let mut state = self.state.borrow_mut();
        let upload = state.next_upload();
        let info = UploadInfo { key: key.clone(), upload, created_ms, attributes, checksum };
        state
            .bucket(bucket)?
            .uploads
            .insert((key.clone(), upload), state::Upload { info, parts: BTreeMap::new() });
        Ok(upload)
    }

    async fn upload(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> Result<UploadInfo, StoreError> {
        self.in_bucket(bucket, |bucket| Ok(bucket.upload(key, upload)?.info.clone()))
    }

    async fn parts(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
        after: u16,
        parts_max: usize,
    ) -> Result<(Vec<PartInfo>, bool), StoreError> {
        self.in_bucket(bucket, |bucket| {
            let parts = &bucket.upload(key, upload)?.parts;
            let mut rest = parts.values().filter(|part| part.info.number.get() > after);
            let page = rest.by_ref().take(parts_max).map(|part| part.info.clone()).collect();
            Ok((page, rest.next().is_some()))
        })
    }

    async fn complete(
        &self,
        bucket: BucketId,
        key: &Key,
        completion: Completion,
    ) -> Result<ObjectInfo, StoreError> {
        let modified_ms = (self.wall_ms)();
        self.in_bucket(bucket, |bucket| bucket.complete(key, completion, modified_ms))
    }

    async fn abort(&self, bucket: BucketId, key: &Key, upload: UploadId) -> Result<(), StoreError> {
        self.in_bucket(bucket, |bucket| {
            let removed = bucket.uploads.remove(&(key.clone(), upload));
            removed.map(|_| ()).ok_or(StoreError::NoSuchUpload)
        })
    }

    async fn uploads(
        &self,
        bucket: BucketId,
        prefix: &str,
        key_marker: &str,
        upload_marker: Option<UploadId>,
        uploads_max: usize,
    ) -> Result<(Vec<UploadInfo>, bool), StoreError> {
        self.in_bucket(bucket, |bucket| {
            let mut rest = bucket.uploads.iter().filter(|((key, id), _)| {
                let is_later = upload_marker.is_some_and(|marker| *id > marker);
                let after = key.as_str() > key_marker || (key.as_str() == key_marker && is_later);
                after && key.as_str().starts_with(prefix)
            });
            let page = rest.by_ref().take(uploads_max).map(|(_, kept)| kept.info.clone()).collect();
            Ok((page, rest.next().is_some()))
        })
    }
}

fn kept_of(object: &Object) -> &Kept {
    object.handle.downcast_ref().expect("the object was found by this store")
}

//! What the store in memory holds, and the decisions an owner makes as it commits.

use crate::listing::common_prefix;
use crate::objects::{Bucket, Completion, ListEntry, ListPage, ListQuery, StoreError, UploadInfo};
use bytes::Bytes;
use engine_types::{BucketId, Condition, Key, ObjectInfo, PartInfo, PartNumber, UploadId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// An object.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) info: Rc<ObjectInfo>,
    pub(super) bytes: Bytes,
    /// The parts it was completed from; none for one PUT.
    pub(super) parts: Vec<(PartNumber, Range<u64>)>,
}

/// A part of an upload.
pub(super) struct Part {
    pub(super) info: PartInfo,
    pub(super) bytes: Bytes,
}

/// An upload under way.
pub(super) struct Upload {
    pub(super) info: UploadInfo,
    pub(super) parts: BTreeMap<PartNumber, Part>,
}

/// A bucket.
pub(super) struct KeptBucket {
    pub(super) bucket: Bucket,
    pub(super) objects: BTreeMap<Key, Rc<Kept>>,
    pub(super) uploads: BTreeMap<(Key, UploadId), Upload>,
    /// Completed uploads with their parts and answers, so that a repeat is answered the same.
    completed: BTreeMap<UploadId, (Vec<(PartNumber, String)>, ObjectInfo)>,
}

/// All of it.
#[derive(Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<BucketId, KeptBucket>,
    /// What the next call fails with.
    pub(super) fault: Option<StoreError>,
    buckets_made: u64,
    uploads_made: u128,
}

impl State {
    pub(super) fn create_bucket(&mut self, name: &str, created_ms: u64) -> Bucket {
        self.buckets_made += 1;
        let id = BucketId(self.buckets_made);
        let bucket = Bucket { id, name: name.to_owned(), created_ms };
        let kept = KeptBucket {
            bucket: bucket.clone(),
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            completed: BTreeMap::new(),
        };
        self.buckets.insert(id, kept);
        bucket
    }

    pub(super) fn bucket(&mut self, id: BucketId) -> Result<&mut KeptBucket, StoreError> {
        self.buckets.get_mut(&id).ok_or(StoreError::NoSuchBucket)
    }

    pub(super) fn next_upload(&mut self) -> UploadId {
        self.uploads_made += 1;
        UploadId(self.uploads_made.to_be_bytes())
    }
}

impl KeptBucket {
    /// Judges a condition against the object at the key.
    pub(super) fn check(&self, key: &Key, condition: &Condition) -> Result<(), StoreError> {
        let present = self.objects.get(key);
        match (condition, present) {
            (Condition::None, _) | (Condition::Absent, None) => Ok(()),
            (Condition::Absent, Some(_)) => Err(StoreError::ConditionFailed),
            (Condition::Matches(_), None) => Err(StoreError::NoSuchKey),
            (Condition::Matches(etag), Some(kept)) if etag == "*" || *etag == kept.info.etag => {
                Ok(())
            }
            (Condition::Matches(_), Some(_)) => Err(StoreError::ConditionFailed),
        }
    }

    pub(super) fn upload(&mut self, key: &Key, id: UploadId) -> Result<&mut Upload, StoreError> {
        self.uploads.get_mut(&(key.clone(), id)).ok_or(StoreError::NoSuchUpload)
    }

    pub(super) fn list(&self, query: &ListQuery) -> ListPage {
        let mut page = ListPage::default();
        let mut last_prefix = None;
        for (key, kept) in &self.objects {
            let text = key.as_str();
            if !text.starts_with(&query.prefix) {
                continue;
            }
            let prefix = common_prefix(text, &query.prefix, &query.delimiter);
            let shown = prefix.unwrap_or(text);
            let again = prefix.is_some() && prefix == last_prefix;
            if again || shown <= query.start_after.as_str() {
                continue;
            }
            if page.entries.len() == query.entries_max {
                page.truncated = true;
                break;
            }
            page.entries.push(match prefix {
                Some(prefix) => ListEntry::CommonPrefix(prefix.to_owned()),
                None => ListEntry::Object(key.clone(), (*kept.info).clone()),
            });
            last_prefix = prefix;
        }
        page
    }

    pub(super) fn complete(
        &mut self,
        key: &Key,
        completion: Completion,
        modified_ms: u64,
    ) -> Result<ObjectInfo, StoreError> {
        if let Some((parts, info)) = self.completed.get(&completion.upload) {
            let same = *parts == completion.parts;
            return if same { Ok(info.clone()) } else { Err(StoreError::NoSuchUpload) };
        }
        let upload =
            self.uploads.get(&(key.clone(), completion.upload)).ok_or(StoreError::NoSuchUpload)?;
        let mut bytes = Vec::new();
        let mut parts = Vec::new();
        for (number, etag) in &completion.parts {
            let part = upload.parts.get(number).filter(|part| part.info.etag == *etag);
            let part = part.ok_or(StoreError::InvalidPart)?;
            let start = bytes.len() as u64;
            bytes.extend_from_slice(&part.bytes);
            parts.push((*number, start..bytes.len() as u64));
        }
        self.check(key, &completion.condition)?;
        let info = ObjectInfo {
            size_bytes: bytes.len() as u64,
            modified_ms,
            etag: completion.etag,
            checksums: completion.checksums,
            attributes: upload.info.attributes.clone(),
            part_count: u16::try_from(parts.len()).unwrap_or(u16::MAX),
        };
        let kept = Kept { info: Rc::new(info.clone()), bytes: Bytes::from(bytes), parts };
        self.objects.insert(key.clone(), Rc::new(kept));
        self.uploads.remove(&(key.clone(), completion.upload));
        self.completed.insert(completion.upload, (completion.parts, info.clone()));
        Ok(info)
    }
}

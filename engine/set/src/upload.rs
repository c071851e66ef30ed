//! Multipart uploads: create, parts, complete, abort (rule 16).
//!
//! Invariants: upload, parts and completion belong to the owner of the key; a completion is one
//! commit: the object, its part table, the end of the upload and of all its parts; the same
//! completion again answers the same; afterwards the upload does not exist.

use crate::commit::{Change, Held};
use crate::error::SetError;
use crate::member::{Inner, Member};
use crate::message::Peers;
use crate::put::{check_condition, release_old};
use bytes::Bytes;
use engine_env::{Env, Rule};
use engine_format::{
    CommitData, Etag, IndexKey, Keyspace, Mutation, ObjectRecord, Order, PartEntry, PartRecord,
    PartTable, Storage, TAG_COMPLETED_UPLOAD, UploadRecord,
};
use engine_types::{
    Attribute, BucketId, ChecksumKind, Condition, DataId, Key, ObjectChecksum, ObjectInfo,
    PartNumber, PoolId, Sequence, UploadId,
};
use std::rc::Rc;

/// A completion of an upload.
#[derive(Debug, Clone)]
pub struct SetCompletion {
    /// The upload.
    pub upload: UploadId,
    /// The parts in rising order, each with the MD5 the client named.
    pub parts: Vec<(PartNumber, [u8; 16])>,
    /// The object's ETag.
    pub etag: Etag,
    /// Checksums of the whole object.
    pub checksums: Vec<ObjectChecksum>,
    /// What must hold of the key.
    pub condition: Condition,
}

impl<E: Env, P: Peers> Inner<E, P> {
    pub(crate) async fn upload_record(
        &self,
        order: &Order,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> Result<UploadRecord, SetError> {
        let rank = order.rank(self.position).ok_or(SetError::NotOwner)?;
        let suffix = IndexKey::upload_suffix(bucket, key.as_bytes(), upload);
        let entry = self.store.get(&IndexKey::ranked(Keyspace::Uploads, rank, &suffix).0).await;
        let entry = entry.inspect_err(|error| self.report_failed(*error))?;
        let value = entry.and_then(|entry| entry.value).ok_or(SetError::NoSuchUpload)?;
        UploadRecord::decode(&value).map_err(|_| SetError::Unavailable)
    }

    pub(crate) async fn part_record(
        &self,
        order: &Order,
        upload: UploadId,
        number: PartNumber,
    ) -> Result<Option<PartRecord>, SetError> {
        let rank = order.rank(self.position).ok_or(SetError::NotOwner)?;
        let suffix = IndexKey::part_suffix(upload, number);
        let entry = self.store.get(&IndexKey::ranked(Keyspace::Parts, rank, &suffix).0).await;
        let entry = entry.inspect_err(|error| self.report_failed(*error))?;
        let Some(value) = entry.and_then(|entry| entry.value) else { return Ok(None) };
        PartRecord::decode(&value).map(Some).map_err(|_| SetError::Unavailable)
    }

    /// Parts of an upload with numbers above `after`, at most `parts_max`, and whether more
    /// follow.
    async fn part_records(
        &self,
        order: &Order,
        upload: UploadId,
        after: u16,
        parts_max: usize,
    ) -> Result<(Vec<PartRecord>, bool), SetError> {
        let rank = order.rank(self.position).ok_or(SetError::NotOwner)?;
        let base = IndexKey::ranked(Keyspace::Parts, rank, &upload.0).0;
        let mut at = base.clone();
        at.extend_from_slice(&after.saturating_add(1).to_be_bytes());
        let mut end = base;
        end.extend_from_slice(&[0xff; 2]);
        let mut parts = Vec::new();
        loop {
            let page = self.store.scan(&at, &end, 1000.min(parts_max + 1)).await;
            let page = page.inspect_err(|error| self.report_failed(*error))?;
            for (_, entry) in page.entries {
                let value = entry.value.as_deref().ok_or(SetError::Unavailable)?;
                parts.push(PartRecord::decode(value).map_err(|_| SetError::Unavailable)?);
            }
            match page.next {
                Some(next) if parts.len() <= parts_max => at = next,
                _ => break,
            }
        }
        let more = parts.len() > parts_max;
        parts.truncate(parts_max);
        Ok((parts, more))
    }

    fn delete_upload(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
        parts: &[PartRecord],
    ) -> Vec<Mutation> {
        let delete = |space, suffix| Mutation { space, suffix, value: None, has_payload: false };
        let suffix = IndexKey::upload_suffix(bucket, key.as_bytes(), upload);
        let mut mutations = vec![delete(Keyspace::Uploads, suffix)];
        for part in parts {
            let suffix = IndexKey::part_suffix(upload, part.entry.number);
            mutations.push(delete(Keyspace::Parts, suffix));
        }
        mutations
    }
}

impl<E: Env, P: Peers> Member<E, P> {
    /// Starts an upload.
    ///
    /// # Errors
    /// `NotOwner`, `Unavailable`, `Full`.
    pub async fn create_upload(
        &self,
        bucket: BucketId,
        key: &Key,
        attributes: Vec<Attribute>,
        checksum: Option<(ChecksumKind, bool)>,
    ) -> Result<UploadId, SetError> {
        let inner = &self.inner;
        let held = self.hold(bucket, key).await?;
        let upload = UploadId(inner.next_data_id(&held.view).0);
        let order = held.order.clone();
        let created_ms = inner.env.wall_ms();
        let unknown = Vec::new();
        let record = UploadRecord { order, created_ms, checksum, attributes, unknown };
        let change = Change::of(vec![Mutation {
            space: Keyspace::Uploads,
            suffix: IndexKey::upload_suffix(bucket, key.as_bytes(), upload),
            value: Some(record.encode()),
            has_payload: false,
        }]);
        inner.commit(&held, move |_| change).await?;
        Ok(upload)
    }

    /// An upload under way.
    ///
    /// # Errors
    /// `NoSuchUpload`, `NotOwner`, `Unavailable`.
    pub async fn upload(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> Result<UploadRecord, SetError> {
        let order = self.inner.config.order(bucket, key.as_bytes());
        let suffix = IndexKey::current_suffix(bucket, key.as_bytes());
        let view = self.inner.check_owner(&order, &suffix, false)?;
        if view.undecided.iter().any(Vec::is_empty) {
            return Err(SetError::Unavailable);
        }
        self.inner.upload_record(&order, bucket, key, upload).await
    }

    /// Parts of an upload.
    ///
    /// # Errors
    /// `NoSuchUpload`, `NotOwner`, `Unavailable`.
    pub async fn parts(
        &self,
        (bucket, key): (BucketId, &Key),
        upload: UploadId,
        after: u16,
        parts_max: usize,
    ) -> Result<(Vec<PartRecord>, bool), SetError> {
        self.upload(bucket, key, upload).await?;
        let order = self.inner.config.order(bucket, key.as_bytes());
        self.inner.part_records(&order, upload, after, parts_max).await
    }

    /// Ends an upload and frees its parts.
    ///
    /// # Errors
    /// `NoSuchUpload`, `NotOwner`; after `Unavailable` the outcome is unknown.
    pub async fn abort_upload(
        &self,
        bucket: BucketId,
        key: &Key,
        upload: UploadId,
    ) -> Result<(), SetError> {
        let inner = &self.inner;
        let held = self.hold(bucket, key).await?;
        inner.upload_record(&held.order, bucket, key, upload).await?;
        let max = usize::from(PartNumber::MAX);
        let (parts, _) = inner.part_records(&held.order, upload, 0, max).await?;
        let mut change = Change::of(inner.delete_upload(bucket, key, upload, &parts));
        let with_bytes = parts.iter().filter(|part| part.entry.size_bytes > 0);
        change.releases = with_bytes.map(|part| part.entry.data).collect();
        if !change.releases.is_empty() {
            change.release_positions = held.order.first(inner.config.geometry.width());
        }
        inner.commit(&held, move |_| change).await?;
        Ok(())
    }

    /// Completes an upload. Must run to its end once begun.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidPart`, `ConditionFailed`, `NotOwner`, `Full`; after `Unavailable`
    /// the outcome is unknown.
    pub async fn complete(
        &self,
        bucket: BucketId,
        key: &Key,
        completion: SetCompletion,
    ) -> Result<ObjectInfo, SetError> {
        let inner = &self.inner;
        let held = self.hold(bucket, key).await?;
        let old = inner.replaceable(&held.order, &held.suffix).await?;
        let record = inner.upload_record(&held.order, bucket, key, completion.upload).await;
        let record = match record {
            Err(SetError::NoSuchUpload) if !inner.env.breaks(Rule::CompletionRepeats) => {
                return repeated(old, &completion);
            }
            other => other?,
        };
        check_condition(&completion.condition, old.as_ref().map(|(record, _)| record))?;
        let max = usize::from(PartNumber::MAX);
        let (parts, _) = inner.part_records(&held.order, completion.upload, 0, max).await?;
        let (table, unused) = choose_parts(&parts, &completion.parts)?;
        let mut change = Change::of(inner.delete_upload(bucket, key, completion.upload, &parts));
        if inner.env.breaks(Rule::CompletionRetires) {
            change.mutations.clear();
        }
        release_old(inner, &held, old, &mut change)?;
        if !inner.env.breaks(Rule::UnusedPartsFreed) {
            change.releases.extend(unused);
        }
        if !change.releases.is_empty() {
            change.release_positions = held.order.first(inner.config.geometry.width());
        }
        // The part table lies on every metadata position (rule 16).
        change.holders = inner.metadata_positions(&held.order, &held.view);
        if inner.env.breaks(Rule::PartTableEverywhere) {
            change.holders = [inner.position].into_iter().collect();
        }
        change.payload = Bytes::from(table.encode());
        change.data = CommitData::Payload;
        let (epoch, bytes) = (held.view.view.epoch, change.payload.len() as u64);
        inner.promise_payload(epoch, change.holders, bytes).await?;
        let object = inner.completed(&held, &completion, &table, record);
        self.commit_completed(&held, change, object).await
    }

    async fn commit_completed(
        &self,
        held: &Held,
        mut change: Change,
        mut object: ObjectRecord,
    ) -> Result<ObjectInfo, SetError> {
        object.holders = change.holders;
        let info = object.info();
        let suffix = held.suffix.clone();
        self.inner
            .commit(held, move |sequence| {
                object.sequence = sequence;
                change.mutations.push(Mutation {
                    space: Keyspace::Current,
                    suffix,
                    value: Some(object.encode()),
                    has_payload: true,
                });
                change
            })
            .await?;
        Ok(info)
    }
}

impl<E: Env, P: Peers> Inner<E, P> {
    fn completed(
        self: &Rc<Self>,
        held: &Held,
        completion: &SetCompletion,
        table: &PartTable,
        upload: UploadRecord,
    ) -> ObjectRecord {
        let mut unknown = upload.unknown;
        unknown.push((TAG_COMPLETED_UPLOAD, completion.upload.0.to_vec()));
        ObjectRecord {
            sequence: Sequence::ZERO,
            metadata_revision: 0,
            version: [0; 16],
            null_version: true,
            delete_marker: false,
            pool: PoolId(0),
            set: self.config.set,
            order: held.order.clone(),
            holders: engine_types::PositionSet::EMPTY,
            missing: self.config.all().minus(held.view.view.in_sync),
            storage: Storage::Parts,
            size_bytes: table.parts.iter().map(|part| part.size_bytes).sum(),
            stored_bytes: table.parts.iter().map(|part| part.stored_bytes).sum(),
            modified_ms: self.env.wall_ms(),
            etag: completion.etag,
            lock_mode: 0,
            lock_until_ms: 0,
            legal_hold: false,
            checksums: completion.checksums.clone(),
            attributes: upload.attributes,
            unknown,
        }
    }
}

/// A completion that was answered before: the object says which upload it came from.
fn repeated(
    old: Option<(ObjectRecord, Option<Vec<u8>>)>,
    completion: &SetCompletion,
) -> Result<ObjectInfo, SetError> {
    let (record, _) = old.ok_or(SetError::NoSuchUpload)?;
    let same = record
        .unknown
        .iter()
        .any(|(tag, value)| *tag == TAG_COMPLETED_UPLOAD && value[..] == completion.upload.0);
    if same && record.etag == completion.etag {
        Ok(record.info())
    } else {
        Err(SetError::NoSuchUpload)
    }
}

/// The part table of the named parts, and the data of the parts not named.
fn choose_parts(
    parts: &[PartRecord],
    named: &[(PartNumber, [u8; 16])],
) -> Result<(PartTable, Vec<DataId>), SetError> {
    let mut chosen: Vec<PartEntry> = Vec::with_capacity(named.len());
    let mut unused = Vec::new();
    let mut wanted = named.iter().peekable();
    for part in parts {
        let entry = &part.entry;
        match wanted.peek() {
            Some((number, md5)) if *number == entry.number => {
                if *md5 != entry.md5 {
                    return Err(SetError::InvalidPart);
                }
                chosen.push(entry.clone());
                wanted.next();
            }
            _ if entry.size_bytes > 0 => unused.push(entry.data),
            _ => {}
        }
    }
    if wanted.next().is_some() || chosen.is_empty() {
        return Err(SetError::InvalidPart);
    }
    Ok((PartTable { parts: chosen }, unused))
}

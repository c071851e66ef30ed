//! Writing bodies: streamed into fragments or kept for the log, then committed.
//!
//! Invariants: the size is known from the start and space for it is reserved on all in-sync
//! positions before the first byte (rule 22); a stream holds one stripe; what is abandoned is
//! given back; nothing of it is visible before its commit.
//! **Cancel**: a `Put` that is dropped gives its reservations back; `finish` must run to its end.

use crate::commit::{Change, Held};
use crate::error::SetError;
use crate::member::{Inner, Member};
use crate::message::{DriveRequest, Installed, Peers};
use bytes::Bytes;
use engine_env::{DmaBuf, Env, IoClass};
use engine_format::{
    CommitData, Etag, IndexKey, Keyspace, Mutation, ObjectRecord, Order, PartEntry, PartRecord,
    Storage,
};
use engine_store::FragmentPlan;
use engine_types::{
    Attribute, BucketId, Condition, DataId, Epoch, FragmentIndex, Geometry, Key, ObjectChecksum,
    ObjectInfo, PartNumber, PoolId, PositionSet, Sequence, UploadId,
};
use futures_util::future::join_all;
use std::rc::Rc;

/// What a body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutTarget {
    /// The object at the key.
    Object,
    /// A part of an upload to it.
    Part(UploadId, PartNumber),
}

/// What a write ends with.
#[derive(Debug, Clone)]
pub struct PutFinish {
    /// The MD5 of the bytes.
    pub md5: [u8; 16],
    /// Verified checksums to keep.
    pub checksums: Vec<ObjectChecksum>,
    /// Headers and user metadata to keep.
    pub attributes: Vec<Attribute>,
    /// What must hold of the key.
    pub condition: Condition,
}

/// Where the bytes go.
enum Body {
    Inline(Vec<u8>),
    Fragments(Stream),
}

/// A run of bytes on its way into fragments.
struct Stream {
    data: DataId,
    positions: PositionSet,
    cells: Vec<DmaBuf>,
    filled_bytes: u64,
    stripe_bytes: u64,
}

/// A body on its way in.
pub struct Put<E: Env, P: Peers> {
    member: Member<E, P>,
    bucket: BucketId,
    key: Key,
    target: PutTarget,
    order: Order,
    view: Rc<Installed>,
    size_bytes: u64,
    received_bytes: u64,
    body: Body,
    committed: bool,
}

impl<E: Env, P: Peers> Drop for Put<E, P> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        if let Body::Fragments(stream) = &self.body {
            let inner = &self.member.inner;
            for position in stream.positions.iter() {
                let call = inner.peers.call(position, DriveRequest::Discard(stream.data));
                inner.env.spawn(async move {
                    _ = call.await;
                });
            }
        }
    }
}

impl<E: Env, P: Peers> Member<E, P> {
    /// Starts a write of exactly `size_bytes`.
    ///
    /// # Errors
    /// `NotOwner`, `NoSuchUpload`, `Full`, `Unavailable`.
    pub async fn begin_put(
        &self,
        bucket: BucketId,
        key: &Key,
        target: PutTarget,
        size_bytes: u64,
    ) -> Result<Put<E, P>, SetError> {
        let inner = &self.inner;
        let order = inner.config.order(bucket, key.as_bytes());
        let suffix = IndexKey::current_suffix(bucket, key.as_bytes());
        let view = inner.check_owner(&order, &suffix, true)?;
        if let PutTarget::Part(upload, _) = target {
            inner.upload_record(&order, bucket, key, upload).await?;
        }
        let is_inline = size_bytes == 0
            || (target == PutTarget::Object && size_bytes <= inner.config.inline_bytes_max);
        let body = if is_inline {
            Body::Inline(Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0)))
        } else {
            Body::Fragments(inner.reserve(&order, &view, size_bytes).await?)
        };
        Ok(Put {
            member: self.clone(),
            bucket,
            key: key.clone(),
            target,
            order,
            view,
            size_bytes,
            received_bytes: 0,
            body,
            committed: false,
        })
    }
}

impl<E: Env, P: Peers> Inner<E, P> {
    async fn reserve(
        &self,
        order: &Order,
        view: &Installed,
        size_bytes: u64,
    ) -> Result<Stream, SetError> {
        let data = self.next_data_id(view);
        let positions = self.fragment_positions(order, view);
        let geometry = self.config.geometry;
        let calls = positions.iter().map(|position| {
            let index = FragmentIndex(order.rank(position).unwrap_or(0));
            let plan =
                FragmentPlan { data, index, geometry, object_bytes: size_bytes, heals: false };
            self.peers.call(position, DriveRequest::Reserve(view.view.epoch, plan))
        });
        let outcomes = join_all(calls).await;
        if let Some(error) = outcomes.into_iter().find_map(Result::err) {
            for position in positions.iter() {
                let call = self.peers.call(position, DriveRequest::Discard(data));
                self.env.spawn(async move {
                    _ = call.await;
                });
            }
            self.report_failed(error);
            return Err(error.into());
        }
        Ok(Stream { data, positions, cells: Vec::new(), filled_bytes: 0, stripe_bytes: 0 })
    }
}

impl<E: Env, P: Peers> Put<E, P> {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// `WrongLength` beyond the declared size; `Unavailable` where a drive failed.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), SetError> {
        if self.received_bytes + bytes.len() as u64 > self.size_bytes {
            return Err(SetError::WrongLength);
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match &mut self.body {
                Body::Inline(buffer) => {
                    buffer.extend_from_slice(rest);
                    self.received_bytes += rest.len() as u64;
                    rest = &[];
                }
                Body::Fragments(stream) => {
                    let geometry = self.member.inner.config.geometry;
                    let left = self.size_bytes - self.received_bytes;
                    let taken = stream.fill(geometry, left, rest);
                    self.received_bytes += taken as u64;
                    rest = &rest[taken..];
                    if stream.filled_bytes == stream.stripe_bytes {
                        self.send_stripe().await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Encodes the stripe at hand and hands its cells to the drives.
    async fn send_stripe(&mut self) -> Result<(), SetError> {
        let inner = &self.member.inner;
        let Body::Fragments(stream) = &mut self.body else { return Ok(()) };
        let mut cells = std::mem::take(&mut stream.cells);
        stream.filled_bytes = 0;
        stream.stripe_bytes = 0;
        let cell_bytes = cells.first().map_or(0, |cell| cell.len());
        let parity_count = usize::from(inner.config.geometry.parity);
        let mut parity: Vec<DmaBuf> =
            (0..parity_count).map(|_| DmaBuf::zeroed(cell_bytes)).collect();
        {
            let data: Vec<&[u8]> = cells.iter().map(|cell| &cell[..]).collect();
            let mut outputs: Vec<&mut [u8]> = parity.iter_mut().map(|cell| &mut cell[..]).collect();
            inner.codec.encode(&data, &mut outputs).map_err(|_| SetError::Unavailable)?;
        }
        cells.append(&mut parity);
        let mut calls = Vec::with_capacity(cells.len());
        for (rank, cell) in cells.into_iter().enumerate() {
            let Some(position) = self.order.at(rank) else { break };
            if stream.positions.contains(position) {
                let write = DriveRequest::Write(stream.data, cell, IoClass::Foreground);
                calls.push(inner.peers.call(position, write));
            }
        }
        if let Some(error) = join_all(calls).await.into_iter().find_map(Result::err) {
            inner.report_failed(error);
            return Err(SetError::Unavailable);
        }
        Ok(())
    }

    /// Commits. Must run to its end once begun.
    ///
    /// # Errors
    /// `WrongLength`, `ConditionFailed`, `NoSuchKey` (a condition on an object that is not
    /// there), `NoSuchUpload`, `Full`; after `Unavailable` the outcome is unknown.
    pub async fn finish(mut self, finish: PutFinish) -> Result<ObjectInfo, SetError> {
        if self.received_bytes != self.size_bytes {
            return Err(SetError::WrongLength);
        }
        let inner = Rc::clone(&self.member.inner);
        if let Body::Fragments(stream) = &self.body {
            let calls = stream
                .positions
                .iter()
                .map(|position| inner.peers.call(position, DriveRequest::Finish(stream.data)));
            if let Some(error) = join_all(calls).await.into_iter().find_map(Result::err) {
                inner.report_failed(error);
                return Err(SetError::Unavailable);
            }
        }
        let held = self.member.hold(self.bucket, &self.key).await?;
        if held.view.view.epoch != self.view.view.epoch {
            return Err(SetError::Unavailable);
        }
        match self.target {
            PutTarget::Object => self.finish_object(&inner, &held, finish).await,
            PutTarget::Part(upload, number) => {
                self.finish_part(&inner, &held, (upload, number), finish).await
            }
        }
    }

    async fn finish_object(
        &mut self,
        inner: &Rc<Inner<E, P>>,
        held: &Held,
        finish: PutFinish,
    ) -> Result<ObjectInfo, SetError> {
        let old = inner.replaceable(&held.order, &held.suffix).await?;
        check_condition(&finish.condition, old.as_ref().map(|(record, _)| record))?;
        let mut change = Change::of(Vec::new());
        release_old(inner, held, old, &mut change)?;
        let storage = self.storage(inner, held, &mut change).await?;
        let mut record = ObjectRecord {
            sequence: Sequence::ZERO,
            metadata_revision: 0,
            version: [0; 16],
            null_version: true,
            delete_marker: false,
            pool: PoolId(0),
            set: inner.config.set,
            order: held.order.clone(),
            holders: change.holders,
            missing: inner.config.all().minus(held.view.view.in_sync),
            storage,
            size_bytes: self.size_bytes,
            stored_bytes: self.size_bytes,
            modified_ms: inner.env.wall_ms(),
            etag: Etag { md5: finish.md5, part_count: 0 },
            lock_mode: 0,
            lock_until_ms: 0,
            legal_hold: false,
            checksums: finish.checksums,
            attributes: finish.attributes,
            unknown: Vec::new(),
        };
        let info = record.info();
        let suffix = held.suffix.clone();
        let outcome = inner
            .commit(held, move |sequence| {
                record.sequence = sequence;
                change.mutations.push(Mutation {
                    space: Keyspace::Current,
                    suffix,
                    value: Some(record.encode()),
                    has_payload: storage == Storage::Inline,
                });
                change
            })
            .await;
        // What was not adopted anywhere is given back as this is dropped.
        self.committed = outcome.is_ok();
        outcome.map(|_| info)
    }

    /// Fills in where the bytes are; promises log space for a payload.
    async fn storage(
        &mut self,
        inner: &Rc<Inner<E, P>>,
        held: &Held,
        change: &mut Change,
    ) -> Result<Storage, SetError> {
        match &mut self.body {
            Body::Inline(bytes) if bytes.is_empty() => Ok(Storage::Empty),
            Body::Inline(bytes) => {
                change.holders = inner.holders(&held.order, &held.view);
                change.payload = Bytes::from(std::mem::take(bytes));
                change.data = CommitData::Payload;
                let epoch = held.view.view.epoch;
                inner.promise_payload(epoch, change.holders, change.payload.len() as u64).await?;
                Ok(Storage::Inline)
            }
            Body::Fragments(stream) => {
                let geometry = inner.config.geometry;
                change.adopt = Some(stream.data);
                change.fragment_positions = stream.positions;
                change.data = CommitData::Fragments(stream.data, geometry, self.size_bytes);
                Ok(Storage::Fragments(stream.data, geometry))
            }
        }
    }

    async fn finish_part(
        &mut self,
        inner: &Rc<Inner<E, P>>,
        held: &Held,
        (upload, number): (UploadId, PartNumber),
        finish: PutFinish,
    ) -> Result<ObjectInfo, SetError> {
        inner.upload_record(&held.order, self.bucket, &self.key, upload).await?;
        let old = inner.part_record(&held.order, upload, number).await?;
        let mut change = Change::of(Vec::new());
        let storage = self.storage(inner, held, &mut change).await?;
        let data = match storage {
            Storage::Fragments(data, _) => data,
            _ => DataId::default(),
        };
        if let Some(old) = old.filter(|old| old.entry.size_bytes > 0) {
            change.releases.push(old.entry.data);
            change.release_positions = held.order.first(inner.config.geometry.width());
        }
        let record = PartRecord {
            order: held.order.clone(),
            modified_ms: inner.env.wall_ms(),
            entry: PartEntry {
                number,
                size_bytes: self.size_bytes,
                stored_bytes: self.size_bytes,
                data,
                geometry: inner.config.geometry,
                md5: finish.md5,
                checksum: finish.checksums.first().cloned(),
                unknown: Vec::new(),
            },
        };
        change.mutations.push(Mutation {
            space: Keyspace::Parts,
            suffix: IndexKey::part_suffix(upload, number),
            value: Some(record.encode()),
            has_payload: false,
        });
        inner.commit(held, move |_| change).await?;
        self.committed = true;
        Ok(ObjectInfo {
            size_bytes: self.size_bytes,
            modified_ms: record.modified_ms,
            etag: Etag { md5: finish.md5, part_count: 0 }.text(),
            checksums: finish.checksums,
            attributes: Vec::new(),
            part_count: 0,
        })
    }
}

impl<E: Env, P: Peers> Inner<E, P> {
    /// Promises log space on all holders, or on none.
    pub(crate) async fn promise_payload(
        &self,
        epoch: Epoch,
        holders: PositionSet,
        bytes: u64,
    ) -> Result<(), SetError> {
        let calls = holders.iter().map(|position| {
            let call = self.peers.call(position, DriveRequest::PromisePayload(epoch, bytes));
            async move { (position, call.await) }
        });
        let outcomes = join_all(calls).await;
        let Some(error) = outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().err().copied())
        else {
            return Ok(());
        };
        for (position, outcome) in outcomes {
            if outcome.is_ok() {
                _ = self.peers.call(position, DriveRequest::ReturnPromise(epoch, bytes)).await;
            }
        }
        Err(error.into())
    }
}

/// What the object before leaves behind.
pub(crate) fn release_old<E: Env, P: Peers>(
    inner: &Inner<E, P>,
    held: &Held,
    old: Option<(ObjectRecord, Option<Vec<u8>>)>,
    change: &mut Change,
) -> Result<(), SetError> {
    let Some((record, payload)) = old else { return Ok(()) };
    // Where nobody can read a part table, its fragments go when drives that hold some catch up.
    let is_lost = payload.is_none() && record.storage == Storage::Parts;
    if !is_lost {
        change.releases.extend(Inner::<E, P>::data_of(&record, payload.as_deref())?);
    }
    if !change.releases.is_empty() {
        change.release_positions = held.order.first(inner.config.geometry.width());
    }
    Ok(())
}

/// Judges a write's condition.
pub(crate) fn check_condition(
    condition: &Condition,
    current: Option<&ObjectRecord>,
) -> Result<(), SetError> {
    match (condition, current) {
        (Condition::None, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Absent, Some(_)) => Err(SetError::ConditionFailed),
        (Condition::Matches(_), None) => Err(SetError::NoSuchKey),
        (Condition::Matches(etag), Some(record)) => {
            let same = etag == "*" || *etag == record.etag.text();
            if same { Ok(()) } else { Err(SetError::ConditionFailed) }
        }
    }
}

impl Stream {
    /// Takes bytes into the stripe at hand, at most to its end; gives how many.
    fn fill(&mut self, geometry: Geometry, left_bytes: u64, bytes: &[u8]) -> usize {
        if self.cells.is_empty() {
            self.stripe_bytes = left_bytes.min(geometry.stripe_bytes());
            let cell_bytes = geometry.cell_bytes_of(self.stripe_bytes) as usize;
            self.cells = (0..geometry.data).map(|_| DmaBuf::zeroed(cell_bytes)).collect();
        }
        let cell_bytes = self.cells[0].len();
        let room = (self.stripe_bytes - self.filled_bytes) as usize;
        let taken = bytes.len().min(room);
        let mut at = 0;
        while at < taken {
            let place = self.filled_bytes as usize + at;
            let (cell, inside) = (place / cell_bytes, place % cell_bytes);
            let len = (taken - at).min(cell_bytes - inside);
            self.cells[cell][inside..inside + len].copy_from_slice(&bytes[at..at + len]);
            at += len;
        }
        self.filled_bytes += taken as u64;
        taken
    }
}

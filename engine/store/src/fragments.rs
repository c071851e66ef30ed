//! Fragments of one drive: reserve, write, finish, read with every block's sum checked.
//!
//! Invariants: a fragment is written front to back; its footer goes behind its data; extent data
//! is flushed before `finish` answers (rule 13), appended data is covered by the flush of the log
//! batch that adopts it; space is free again only after the last write to it has completed;
//! nothing is answered whose sum does not hold.

mod heal;
mod linear;

pub use heal::Healing;

use crate::error::DriveError;
use crate::store::{Shared as Insides, Store};
use engine_env::{BLOCK_BYTES, DmaBuf, Env, IoClass, Rule};
use engine_format::{
    FOOTER_BLOCK_BYTES, FormatError, FragmentFooter, FragmentRecord, IndexKey, Keyspace, crc64,
};
use engine_types::{DataId, FragmentIndex, Geometry, Sequence};
use futures_channel::oneshot::{Canceled, Receiver};
use futures_util::future::{FutureExt, Shared};
pub(crate) use linear::pieces_of;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Maps of fragments kept in memory for reads.
const MAPS_MAX: usize = 1024;

/// The outcome of a write under way; it stays in the list until it is known.
type Written = Shared<Receiver<Result<(), DriveError>>>;

/// A fragment being written.
struct Open {
    record: FragmentRecord,
    /// Of what was written last, so that the footer is of the same.
    class: IoClass,
    written_bytes: u64,
    sums: Vec<u64>,
    writes: Vec<Written>,
    failed: Option<DriveError>,
    finished: bool,
}

/// The sums of a fragment, ready for reads; they do not change when it is moved.
struct FragmentMap {
    footer_sum: u64,
    sums: Vec<u64>,
}

/// Fragments being written, and maps of those being read.
#[derive(Default)]
pub(crate) struct Fragments {
    open: BTreeMap<DataId, Open>,
    maps: BTreeMap<DataId, Rc<FragmentMap>>,
    /// How often all streams were abandoned.
    pub abandoned: u64,
    /// Somebody waits until these are released.
    pub awaited: BTreeSet<DataId>,
}

impl Fragments {
    pub(crate) fn forget_map(&mut self, data: DataId) {
        self.maps.remove(&data);
    }
}

/// Which fragment of which run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentPlan {
    /// The run of bytes.
    pub data: DataId,
    /// Which piece.
    pub index: FragmentIndex,
    /// How the run is cut.
    pub geometry: Geometry,
    /// Bytes of the run.
    pub object_bytes: u64,
    /// Whether it makes a set whole again, and so may take of the reserve.
    pub heals: bool,
}

impl<E: Env> Store<E> {
    /// Reserves space for a fragment. One of the same id that is being written is given back.
    ///
    /// # Errors
    /// `Full`; `Fenced` where a write of the id is not settled yet, somebody heals it already, or
    /// all streams were abandoned meanwhile; or any device error.
    pub async fn reserve_fragment(&self, plan: FragmentPlan) -> Result<(), DriveError> {
        let shared = &self.shared;
        if let Some(error) = shared.failed() {
            return Err(error);
        }
        let fragment_bytes = plan.geometry.fragment_bytes(plan.object_bytes);
        let abandoned = shared.fragments.borrow().abandoned;
        if plan.heals {
            shared.wait_released(plan.data).await?;
            let fragments = shared.fragments.borrow();
            // Two that heal the same fragment must not write into one stream.
            if fragments.abandoned != abandoned || fragments.open.contains_key(&plan.data) {
                return Err(DriveError::Fenced);
            }
        }
        shared.discard_fragment(plan.data);
        let reserved = shared
            .with_room(|space| {
                if space.is_reserved(plan.data) {
                    return Ok(None);
                }
                space.reserve_fragment(plan.data, fragment_bytes, plan.heals).map(Some)
            })
            .await?;
        let Some((append, extents)) = reserved else { return Err(DriveError::Fenced) };
        if shared.fragments.borrow().abandoned != abandoned {
            shared.space.borrow_mut().give_back(plan.data);
            return Err(DriveError::Fenced);
        }
        let record = FragmentRecord {
            data: plan.data,
            index: plan.index,
            geometry: plan.geometry,
            object_bytes: plan.object_bytes,
            sequence: Sequence::ZERO,
            append,
            extents,
            footer_sum: 0,
        };
        let open = Open {
            record,
            class: self.class,
            written_bytes: 0,
            sums: Vec::new(),
            writes: Vec::new(),
            failed: None,
            finished: false,
        };
        shared.fragments.borrow_mut().open.insert(plan.data, open);
        Ok(())
    }

    /// Writes the next bytes of a fragment; submitted at once. All pieces but the last are
    /// multiples of `FOOTER_BLOCK_BYTES`, or of `BLOCK_BYTES` where the cell is smaller.
    ///
    /// # Errors
    /// `NotFound` where the fragment is not open.
    ///
    /// # Panics
    /// If more is written than reserved.
    pub fn write_fragment(&self, data: DataId, mut buffer: DmaBuf) -> Result<(), DriveError> {
        let shared = &self.shared;
        if let Some(error) = shared.failed() {
            return Err(error);
        }
        let len = buffer.len();
        let mut fragments = shared.fragments.borrow_mut();
        let open = fragments.open.get_mut(&data).ok_or(DriveError::NotFound)?;
        let offset = open.written_bytes;
        // Who writes here still belongs to a stream that was given up for this one.
        if offset + len as u64 > open.record.fragment_bytes() {
            return Err(DriveError::Fenced);
        }
        open.class = self.class;
        push_sums(&mut open.sums, offset, &buffer);
        open.written_bytes += len as u64;
        let tail = buffer.capacity();
        buffer.set_len_to_capacity();
        buffer[len..tail].fill(0);
        let pieces = pieces_of(&open.record, offset, tail as u64);
        for piece in pieces {
            let (from, bytes) = (piece.from as usize, piece.bytes as usize);
            let at = shared.segment_offset(piece.extent.segment) + piece.offset_bytes;
            if bytes == tail {
                open.writes.push(shared.write_in_task(self.class, at, buffer));
                return Ok(());
            }
            let part = DmaBuf::copy_of(&buffer[from..from + bytes]);
            open.writes.push(shared.write_in_task(self.class, at, part));
        }
        Ok(())
    }

    /// Waits until at most `writes_max` writes of the fragment are in flight.
    ///
    /// # Errors
    /// The first failure of a write.
    pub async fn fragment_progress(
        &self,
        data: DataId,
        writes_max: usize,
    ) -> Result<(), DriveError> {
        loop {
            let oldest = {
                let mut fragments = self.shared.fragments.borrow_mut();
                let open = fragments.open.get_mut(&data).ok_or(DriveError::NotFound)?;
                // Only a write that is known to have completed leaves the list.
                open.writes.retain(|write| write.peek().is_none());
                if open.writes.len() <= writes_max {
                    return open.failed.map_or(Ok(()), Err);
                }
                open.writes.first().cloned()
            };
            let Some(oldest) = oldest else { return Ok(()) };
            if let Err(error) = outcome(oldest.await) {
                let mut fragments = self.shared.fragments.borrow_mut();
                if let Some(open) = fragments.open.get_mut(&data) {
                    open.failed = Some(error);
                }
                drop(fragments);
                self.shared.fail(error);
                return Err(error);
            }
        }
    }

    /// Writes the footer and waits for all writes; extent data is flushed.
    ///
    /// # Errors
    /// `NotFound`, `Bounds` where bytes are missing, or a device error.
    pub async fn finish_fragment(&self, data: DataId) -> Result<(), DriveError> {
        let shared = &self.shared;
        let append = {
            let mut fragments = shared.fragments.borrow_mut();
            let open = fragments.open.get_mut(&data).ok_or(DriveError::NotFound)?;
            let fragment_bytes = open.record.fragment_bytes();
            if open.written_bytes != fragment_bytes {
                return Err(FormatError::Bounds("a fragment").into());
            }
            let footer = FragmentFooter {
                data,
                index: open.record.index,
                drive: shared.identity.drive,
                sums: open.sums.clone(),
            };
            let (bytes, sum) = footer.encode();
            open.record.footer_sum = sum;
            let offset = fragment_bytes.next_multiple_of(BLOCK_BYTES as u64);
            for piece in pieces_of(&open.record, offset, bytes.len() as u64) {
                let from = piece.from as usize;
                let part = DmaBuf::copy_of(&bytes[from..from + piece.bytes as usize]);
                let at = shared.segment_offset(piece.extent.segment) + piece.offset_bytes;
                open.writes.push(shared.write_in_task(open.class, at, part));
            }
            open.record.append
        };
        let writes_max = if shared.env.breaks(Rule::DataCompleted) { usize::MAX } else { 0 };
        self.fragment_progress(data, writes_max).await?;
        let flushes = !append && !shared.env.breaks(Rule::DataFlushed);
        if flushes && let Err(error) = shared.flush_now().await {
            shared.fail(error);
            return Err(error);
        }
        let mut fragments = shared.fragments.borrow_mut();
        fragments.open.get_mut(&data).ok_or(DriveError::NotFound)?.finished = true;
        Ok(())
    }

    /// Takes a finished fragment for the write that adopts it.
    ///
    /// # Errors
    /// `NotFound` where it was not finished here.
    pub fn adopt_fragment(
        &self,
        data: DataId,
        sequence: Sequence,
    ) -> Result<FragmentRecord, DriveError> {
        let mut fragments = self.shared.fragments.borrow_mut();
        if !fragments.open.get(&data).is_some_and(|open| open.finished) {
            return Err(DriveError::NotFound);
        }
        let open = fragments.open.remove(&data).ok_or(DriveError::NotFound)?;
        Ok(FragmentRecord { sequence, ..open.record })
    }

    /// The record of a fragment that this drive holds, settled or prepared, and is not about to
    /// release.
    ///
    /// # Errors
    /// A device or format error.
    pub async fn fragment_record(
        &self,
        data: DataId,
    ) -> Result<Option<FragmentRecord>, DriveError> {
        // In this order: a release that is carried out meanwhile takes the record with it.
        if self.shared.is_release_waiting(data).await? {
            return Ok(None);
        }
        self.shared.fragment_record(data).await
    }

    /// Whether every block of a fragment, and its footer, is on the drive and its sum holds. A
    /// prepared write's fragment may not be: its data shares the flush of the record, and a crash
    /// may keep only the record.
    ///
    /// # Errors
    /// A device error.
    pub async fn verify_fragment(&self, data: DataId) -> Result<bool, DriveError> {
        let Some(record) = self.shared.fragment_record(data).await? else { return Ok(false) };
        let fragment_bytes = record.fragment_bytes();
        self.shared.fragments.borrow_mut().forget_map(data);
        let mut at = 0;
        while at < fragment_bytes {
            let len = (fragment_bytes - at).min(1 << 20);
            match self.read_fragment(data, at, usize::try_from(len).unwrap_or(1 << 20)).await {
                Ok(_) => at += len,
                Err(DriveError::Format(_) | DriveError::NotFound) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads bytes of a fragment; every block they lie in is checked.
    ///
    /// # Errors
    /// `NotFound`; `Format(Sum)` where a sum does not hold; a device error.
    pub async fn read_fragment(
        &self,
        data: DataId,
        offset_bytes: u64,
        len: usize,
    ) -> Result<(FragmentIndex, DmaBuf), DriveError> {
        let shared = &self.shared;
        if let Some(error) = shared.failed() {
            return Err(error);
        }
        let mut tried: Option<FragmentRecord> = None;
        loop {
            // Cleaning may move the fragment between look-up and read: what was read is believed
            // lost only if the record still says the same.
            let record = shared.fragment_record(data).await?.ok_or(DriveError::NotFound)?;
            match shared.read_as_recorded(self.class, &record, offset_bytes, len).await {
                Err(DriveError::Format(error)) => {
                    shared.fragments.borrow_mut().forget_map(data);
                    if tried.as_ref() == Some(&record) {
                        shared.count_corrupt();
                        return Err(error.into());
                    }
                    tried = Some(record);
                }
                outcome => return outcome.map(|bytes| (record.index, bytes)),
            }
        }
    }
}

impl<E: Env> Insides<E> {
    /// Submits a write now and waits for it in a task, so that abandoning it loses nothing.
    #[track_caller]
    fn write_in_task(&self, class: IoClass, at: u64, buffer: DmaBuf) -> Written {
        let write = self.write_pieces_as(class, at, buffer);
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.env.spawn(async move {
            _ = sender.send(write.await);
        });
        receiver.shared()
    }

    pub(crate) fn discard_fragment(self: &Rc<Self>, data: DataId) {
        let open = self.fragments.borrow_mut().open.remove(&data);
        let Some(open) = open else { return };
        if open.writes.is_empty() || self.env.breaks(Rule::AbandonedSpaceWaits) {
            self.space.borrow_mut().give_back(data);
            return;
        }
        // The id is free now, the space only after the last write that was submitted has
        // completed.
        let Some(ticket) = self.space.borrow_mut().part(data) else { return };
        let shared = Rc::clone(self);
        self.env.spawn(async move {
            for write in open.writes {
                if let Err(error) = outcome(write.await) {
                    // What was not answered may still land: the space stays taken.
                    shared.fail(error);
                    return;
                }
            }
            shared.space.borrow_mut().give_back_parted(ticket);
        });
    }

    pub(crate) fn abandon_streams(self: &Rc<Self>) {
        let open: Vec<DataId> = {
            let mut fragments = self.fragments.borrow_mut();
            fragments.abandoned += 1;
            fragments.open.keys().copied().collect()
        };
        for data in open {
            self.discard_fragment(data);
        }
        self.space.borrow_mut().drop_log_promises();
    }

    pub(crate) async fn fragment_record(
        &self,
        data: DataId,
    ) -> Result<Option<FragmentRecord>, DriveError> {
        {
            let state = self.state.borrow();
            for pending in state.pending.values() {
                if let Some(record) = pending.commit.adopts.iter().find(|f| f.data == data) {
                    return Ok(Some(record.clone()));
                }
            }
        }
        let key = IndexKey::local(Keyspace::Fragments, data);
        let entry = self.get(&key.0).await?;
        let Some(value) = entry.and_then(|entry| entry.value) else { return Ok(None) };
        Ok(Some(FragmentRecord::from_value(&value)?))
    }

    async fn read_as_recorded(
        &self,
        class: IoClass,
        record: &FragmentRecord,
        offset_bytes: u64,
        len: usize,
    ) -> Result<DmaBuf, DriveError> {
        let fragment_bytes = record.fragment_bytes();
        if len == 0 || offset_bytes + len as u64 > fragment_bytes {
            return Err(FormatError::Bounds("a fragment read").into());
        }
        let map = self.fragment_map(class, record).await?;
        let block = FOOTER_BLOCK_BYTES as u64;
        let start = offset_bytes / block * block;
        let end = (offset_bytes + len as u64).next_multiple_of(block).min(fragment_bytes);
        let mut bytes = self.read_linear(class, record, start, end - start).await?;
        let checks = !self.env.breaks(Rule::FragmentSums);
        for (index, chunk) in bytes.chunks(FOOTER_BLOCK_BYTES).enumerate() {
            let sum = map.sums.get((start / block) as usize + index);
            if checks && sum != Some(&crc64(chunk)) {
                return Err(FormatError::Sum("a fragment block").into());
            }
        }
        let from = (offset_bytes - start) as usize;
        if from == 0 {
            bytes.set_len(len);
            return Ok(bytes);
        }
        Ok(DmaBuf::copy_of(&bytes[from..from + len]))
    }

    /// The sums of a fragment, from memory if they are of this very record.
    async fn fragment_map(
        &self,
        class: IoClass,
        record: &FragmentRecord,
    ) -> Result<Rc<FragmentMap>, DriveError> {
        let data = record.data;
        if let Some(map) = self.fragments.borrow().maps.get(&data)
            && map.footer_sum == record.footer_sum
        {
            return Ok(Rc::clone(map));
        }
        let fragment_bytes = record.fragment_bytes();
        let blocks = fragment_bytes.div_ceil(FOOTER_BLOCK_BYTES as u64) as usize;
        let offset = fragment_bytes.next_multiple_of(BLOCK_BYTES as u64);
        let padded =
            engine_format::footer_bytes(fragment_bytes).next_multiple_of(BLOCK_BYTES as u64);
        let bytes = self.read_linear(class, record, offset, padded).await?;
        let footer = FragmentFooter::decode(&bytes, record.footer_sum, blocks)?;
        if footer.data != data || footer.index != record.index {
            return Err(FormatError::Misplaced("a fragment footer").into());
        }
        let map = Rc::new(FragmentMap { footer_sum: record.footer_sum, sums: footer.sums });
        let mut fragments = self.fragments.borrow_mut();
        if fragments.maps.len() >= MAPS_MAX {
            fragments.maps.pop_first();
        }
        fragments.maps.insert(data, Rc::clone(&map));
        Ok(map)
    }
}

/// The task of a write that was dropped is a process that ends.
fn outcome(written: Result<Result<(), DriveError>, Canceled>) -> Result<(), DriveError> {
    written.unwrap_or(Err(DriveError::Failed))
}

/// Adds the sums of the blocks that `bytes` at `offset` make up.
fn push_sums(sums: &mut Vec<u64>, offset: u64, bytes: &[u8]) {
    assert!(
        offset.is_multiple_of(FOOTER_BLOCK_BYTES as u64),
        "fragment pieces begin on a block boundary"
    );
    for block in bytes.chunks(FOOTER_BLOCK_BYTES) {
        sums.push(crc64(block));
    }
}

//! Fragments of one drive: reserve, write, finish, read with every block's sum checked.
//!
//! Invariants: a fragment is written front to back; its footer goes behind its data; extent data
//! is flushed before `finish` answers (rule 13), appended data is covered by the flush of the log
//! batch that adopts it; nothing is answered whose sum does not hold.

use crate::error::DriveError;
use crate::store::{Shared, Store};
use engine_env::{BLOCK_BYTES, DmaBuf, Env};
use engine_format::{
    Extent, FOOTER_BLOCK_BYTES, FormatError, FragmentFooter, FragmentRecord, IndexKey, Keyspace,
    crc64,
};
use engine_types::{DataId, FragmentIndex, Geometry, Sequence};
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Maps of fragments kept in memory for reads.
const MAPS_MAX: usize = 1024;

/// The outcome of a write under way.
type Written = futures_channel::oneshot::Receiver<Result<(), DriveError>>;

/// A fragment being written.
struct Open {
    record: FragmentRecord,
    written_bytes: u64,
    sums: Vec<u64>,
    writes: Vec<Written>,
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
}

impl<E: Env> Store<E> {
    /// Reserves space for a fragment.
    ///
    /// # Errors
    /// `Full`, or any device error.
    pub async fn reserve_fragment(&self, plan: FragmentPlan) -> Result<(), DriveError> {
        let shared = &self.shared;
        if let Some(error) = shared.failed() {
            return Err(error);
        }
        let fragment_bytes = plan.geometry.fragment_bytes(plan.object_bytes);
        let (append, extents) = shared
            .with_growth(|space| space.reserve_fragment(plan.data, fragment_bytes, false))
            .await
            .inspect_err(|_| shared.housekeeping_wanted())?;
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
            written_bytes: 0,
            sums: Vec::new(),
            writes: Vec::new(),
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
        assert!(
            offset + len as u64 <= open.record.fragment_bytes(),
            "a fragment takes no more than it reserved"
        );
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
                open.writes.push(shared.write_in_task(at, buffer));
                return Ok(());
            }
            let part = DmaBuf::copy_of(&buffer[from..from + bytes]);
            open.writes.push(shared.write_in_task(at, part));
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
                if open.writes.len() <= writes_max {
                    return Ok(());
                }
                open.writes.remove(0)
            };
            if let Err(error) = oldest.await.unwrap_or(Err(DriveError::Failed)) {
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
                open.writes.push(shared.write_in_task(at, part));
            }
            open.record.append
        };
        self.fragment_progress(data, 0).await?;
        if !append {
            shared.counters.flushes.set(shared.counters.flushes.get() + 1);
            if let Err(error) = engine_env::Drive::flush(&shared.drive).await {
                shared.fail(error.into());
                return Err(error.into());
            }
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

    /// Whether this drive holds the fragment, settled or prepared.
    ///
    /// # Errors
    /// A device or format error.
    pub async fn fragment_record(
        &self,
        data: DataId,
    ) -> Result<Option<FragmentRecord>, DriveError> {
        self.shared.fragment_record(data).await
    }

    /// Whether every block of a fragment is here and its sum holds. A prepared write's fragment
    /// may not be: its data shares the flush of the record, and a crash may keep only the record.
    ///
    /// # Errors
    /// A device error.
    pub async fn verify_fragment(&self, data: DataId) -> Result<bool, DriveError> {
        let Some(record) = self.shared.fragment_record(data).await? else { return Ok(false) };
        let fragment_bytes = record.fragment_bytes();
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
            match shared.read_as_recorded(&record, offset_bytes, len).await {
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

impl<E: Env> Shared<E> {
    /// Submits a write now and waits for it in a task, so that abandoning it loses nothing.
    fn write_in_task(&self, at: u64, buffer: DmaBuf) -> Written {
        let write = self.write_pieces(at, buffer);
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.env.spawn(async move { _ = sender.send(write.await); });
        receiver
    }

    pub(crate) fn discard_fragment(self: &Rc<Self>, data: DataId) {
        let open = self.fragments.borrow_mut().open.remove(&data);
        let Some(open) = open else { return };
        if open.writes.is_empty() {
            self.space.borrow_mut().give_back(data);
            return;
        }
        // The space is free only after the last write that was submitted has completed.
        let shared = Rc::clone(self);
        self.env.spawn(async move {
            for write in open.writes {
                _ = write.await;
            }
            shared.space.borrow_mut().give_back(data);
        });
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
        record: &FragmentRecord,
        offset_bytes: u64,
        len: usize,
    ) -> Result<DmaBuf, DriveError> {
        let fragment_bytes = record.fragment_bytes();
        if len == 0 || offset_bytes + len as u64 > fragment_bytes {
            return Err(FormatError::Bounds("a fragment read").into());
        }
        let map = self.fragment_map(record).await?;
        let block = FOOTER_BLOCK_BYTES as u64;
        let start = offset_bytes / block * block;
        let end = (offset_bytes + len as u64).next_multiple_of(block).min(fragment_bytes);
        let mut bytes = self.read_linear(record, start, end - start).await?;
        for (index, chunk) in bytes.chunks(FOOTER_BLOCK_BYTES).enumerate() {
            if map.sums.get((start / block) as usize + index) != Some(&crc64(chunk)) {
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
        let bytes = self.read_linear(record, offset, padded).await?;
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

    /// Writes a fragment's whole space, data and footer.
    pub(crate) async fn write_linear(
        &self,
        record: &FragmentRecord,
        bytes: DmaBuf,
    ) -> Result<(), DriveError> {
        let writes = pieces_of(record, 0, bytes.len() as u64).into_iter().map(|piece| {
            let from = piece.from as usize;
            let part = DmaBuf::copy_of(&bytes[from..from + piece.bytes as usize]);
            let at = self.segment_offset(piece.extent.segment) + piece.offset_bytes;
            self.write_pieces(at, part)
        });
        try_join_all(writes).await?;
        if record.append { Ok(()) } else { self.flush_now().await }
    }

    /// Reads `len` bytes of a fragment's space; `offset` is a multiple of `BLOCK_BYTES`.
    pub(crate) async fn read_linear(
        &self,
        record: &FragmentRecord,
        offset: u64,
        len: u64,
    ) -> Result<DmaBuf, DriveError> {
        let padded = len.next_multiple_of(BLOCK_BYTES as u64);
        let pieces = pieces_of(record, offset, padded);
        let reads = pieces.iter().map(|piece| {
            let at = self.segment_offset(piece.extent.segment) + piece.offset_bytes;
            self.read_at(at, piece.bytes as usize)
        });
        let mut parts = try_join_all(reads).await?;
        let mut whole = if parts.len() == 1 {
            parts.remove(0)
        } else {
            let mut whole = DmaBuf::zeroed(padded as usize);
            for (piece, part) in pieces.iter().zip(&parts) {
                let from = piece.from as usize;
                whole[from..from + part.len()].copy_from_slice(part);
            }
            whole
        };
        whole.set_len(len as usize);
        Ok(whole)
    }
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

/// A piece of a range of a fragment's space within one extent.
struct Piece {
    extent: Extent,
    /// Where it begins in the segment.
    offset_bytes: u64,
    /// Where it begins in the range.
    from: u64,
    bytes: u64,
}

fn pieces_of(record: &FragmentRecord, offset: u64, len: u64) -> Vec<Piece> {
    let end = offset + len;
    let mut pieces = Vec::new();
    let mut extent_start = 0;
    for extent in &record.extents {
        let extent_end = extent_start + extent.bytes();
        let (from, to) = (offset.max(extent_start), end.min(extent_end));
        if from < to {
            pieces.push(Piece {
                extent: *extent,
                offset_bytes: u64::from(extent.offset_units) * BLOCK_BYTES as u64
                    + (from - extent_start),
                from: from - offset,
                bytes: to - from,
            });
        }
        extent_start = extent_end;
    }
    assert_eq!(pieces.iter().map(|piece| piece.bytes).sum::<u64>(), len, "within the fragment");
    pieces
}

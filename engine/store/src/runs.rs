//! Runs of the index on a drive: reading through a block cache, writing, and the set of them.
//!
//! Invariants: runs are immutable; newest first; a block is believed only after its sum, run and
//! number were checked, and one that is rotten fails the drive, so that no look-up ever takes what
//! cannot be read for what is not there; a run's segments are freed only when no reader holds it
//! and a checkpoint without it is durable.

use crate::error::DriveError;
use crate::space::LOG_KEEPS;
use crate::store::Shared;
use engine_env::{BLOCK_BYTES, DmaBuf, Drive, Env, IoClass};
use engine_format::{FormatError, RunEntry};
use engine_index::{Block, BlockLocation, IndexError, RunBuilder, RunIndex, RunSummary};
use engine_types::SegmentId;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

impl From<IndexError> for DriveError {
    fn from(error: IndexError) -> Self {
        let structure = "an index run";
        Self::Format(match error {
            IndexError::Version(found) => FormatError::Version {
                structure,
                found: found.into(),
                known: engine_index::FORMAT_VERSION.into(),
            },
            _ => FormatError::Sum(structure),
        })
    }
}

/// A run, open for reading.
pub(crate) struct Run {
    pub summary: RunSummary,
    pub index: RunIndex,
    pub segments: Vec<SegmentId>,
    /// Its tail is rotten on the drive and whole in memory: the next checkpoint writes it anew.
    pub tail_is_rotten: Cell<bool>,
}

/// The runs of a drive, and the cache of their blocks.
pub(crate) struct Runs {
    /// Newest first.
    pub list: Vec<Rc<Run>>,
    /// Runs no checkpoint names any more; freed when nobody reads them.
    pub retired: Vec<Rc<Run>>,
    pub next_run: u64,
    pub checkpoint_segment: Option<SegmentId>,
    cache: BTreeMap<(u64, u32), Block>,
    cache_order: VecDeque<(u64, u32)>,
    cache_bytes: usize,
    cache_bytes_max: usize,
}

impl Runs {
    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        Self {
            list: Vec::new(),
            retired: Vec::new(),
            next_run: 1,
            checkpoint_segment: None,
            cache: BTreeMap::new(),
            cache_order: VecDeque::new(),
            cache_bytes: 0,
            cache_bytes_max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.list.iter().map(|run| run.index.memory_bytes()).sum::<usize>() + self.cache_bytes
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Opens a run a checkpoint names; runs come newest first.
    pub(crate) async fn load<D: Drive>(
        &mut self,
        drive: &D,
        entry: &RunEntry,
        segment_bytes: u64,
    ) -> Result<(), DriveError> {
        let summary = RunSummary::decode(&entry.summary)?;
        if summary.run_bytes() > entry.segments.len() as u64 * segment_bytes {
            return Err(FormatError::Bounds("an index run").into());
        }
        let tail = read_tail(drive, &summary, &entry.segments, segment_bytes).await?;
        self.list.push(Rc::new(Run {
            index: RunIndex::parse(&tail, &summary)?,
            summary,
            segments: entry.segments.clone(),
            tail_is_rotten: Cell::new(false),
        }));
        Ok(())
    }

    fn cached(&self, key: (u64, u32)) -> Option<Block> {
        self.cache.get(&key).cloned()
    }

    fn insert(&mut self, key: (u64, u32), block: Block) {
        self.cache_bytes += block.length_bytes();
        match self.cache.insert(key, block) {
            // Two readers missed it at the same time.
            Some(same) => self.cache_bytes -= same.length_bytes(),
            None => self.cache_order.push_back(key),
        }
        while self.cache_bytes > self.cache_bytes_max {
            let Some(oldest) = self.cache_order.pop_front() else { break };
            if let Some(block) = self.cache.remove(&oldest) {
                self.cache_bytes -= block.length_bytes();
            }
        }
    }
}

/// Where a byte of a run lies on the drive, and how much of the segment is left from there.
pub(crate) fn locate(segments: &[SegmentId], at: u64, segment_bytes: u64) -> (u64, usize) {
    let segment = segments[(at / segment_bytes) as usize];
    let inside = at % segment_bytes;
    (u64::from(segment.0) * segment_bytes + inside, (segment_bytes - inside) as usize)
}

/// Reads the tail of a run; the caller has seen that its segments hold it.
pub(crate) async fn read_tail<D: Drive>(
    drive: &D,
    summary: &RunSummary,
    segments: &[SegmentId],
    segment_bytes: u64,
) -> Result<Vec<u8>, DriveError> {
    let len = usize::try_from(summary.tail_bytes).unwrap_or(usize::MAX);
    let mut tail = Vec::with_capacity(len);
    while tail.len() < len {
        let at = summary.blocks_bytes + tail.len() as u64;
        let (offset, room) = locate(segments, at, segment_bytes);
        let piece = (len - tail.len()).min(room).min(drive.geometry().io_bytes_max);
        tail.extend_from_slice(&drive.read(offset, DmaBuf::zeroed(piece)).await?);
    }
    Ok(tail)
}

impl<E: Env> Shared<E> {
    /// Reads a block of a run, from the cache if it is there.
    pub(crate) async fn run_block(
        &self,
        run: &Run,
        location: &BlockLocation,
    ) -> Result<Block, DriveError> {
        let key = (run.summary.run_id, location.index);
        if let Some(block) = self.runs.borrow().cached(key) {
            return Ok(block);
        }
        let block = self.read_run_block(IoClass::Foreground, run, location).await?;
        self.runs.borrow_mut().insert(key, block.clone());
        Ok(block)
    }

    /// Reads a block of a run from the drive. A rotten one fails the drive.
    pub(crate) async fn read_run_block(
        &self,
        class: IoClass,
        run: &Run,
        location: &BlockLocation,
    ) -> Result<Block, DriveError> {
        let bytes = self.run_block_bytes(class, run, location).await?;
        if let Ok(block) = Block::parse_at(bytes, run.summary.run_id, location) {
            return Ok(block);
        }
        self.count_corrupt();
        // What came wrong once may be right on the drive.
        let bytes = self.run_block_bytes(class, run, location).await?;
        Block::parse_at(bytes, run.summary.run_id, location).map_err(|_| {
            self.fail(DriveError::IndexRot);
            DriveError::IndexRot
        })
    }

    async fn run_block_bytes(
        &self,
        class: IoClass,
        run: &Run,
        location: &BlockLocation,
    ) -> Result<Vec<u8>, DriveError> {
        let segment_bytes = self.space.borrow().segment_bytes();
        let len = location.length_bytes as usize;
        let (offset, room) = locate(&run.segments, location.offset_bytes, segment_bytes);
        if room >= len {
            return Ok(self.read_at_as(class, offset, len).await?.to_vec());
        }
        let mut bytes = self.read_at_as(class, offset, room).await?.to_vec();
        let (offset, _) = locate(&run.segments, location.offset_bytes + room as u64, segment_bytes);
        bytes.extend_from_slice(&self.read_at_as(class, offset, len - room).await?);
        Ok(bytes)
    }

    /// Frees the segments of retired runs nobody reads.
    pub(crate) fn free_retired(&self) {
        let mut runs = self.runs.borrow_mut();
        let mut space = self.space.borrow_mut();
        runs.retired.retain(|run| {
            if Rc::strong_count(run) > 1 {
                return true;
            }
            for segment in &run.segments {
                space.free_segment(*segment);
            }
            false
        });
        space.merging &= !runs.retired.is_empty();
    }
}

/// Writes a run while it is built.
pub(crate) struct RunWriter {
    builder: RunBuilder,
    segments: Vec<SegmentId>,
    written_bytes: u64,
    buffer: Vec<u8>,
    segment_bytes: u64,
}

impl RunWriter {
    pub(crate) fn new(run_id: u64, expected_entries: u64, segment_bytes: u64) -> Self {
        Self {
            builder: RunBuilder::new(run_id, expected_entries),
            segments: Vec::new(),
            written_bytes: 0,
            buffer: Vec::new(),
            segment_bytes,
        }
    }

    pub(crate) async fn push<E: Env>(
        &mut self,
        shared: &Shared<E>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), DriveError> {
        self.builder.push(key, value);
        while let Some(block) = self.builder.take_block() {
            self.buffer.extend_from_slice(&block);
        }
        if self.buffer.len() >= 256 << 10 { self.write_out(shared).await } else { Ok(()) }
    }

    async fn write_out<E: Env>(&mut self, shared: &Shared<E>) -> Result<(), DriveError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while at < buffer.len() {
            let index = (self.written_bytes / self.segment_bytes) as usize;
            if index == self.segments.len() {
                let segment = take_run_segment(shared).await?;
                self.segments.push(segment);
            }
            let (offset, room) = locate(&self.segments, self.written_bytes, self.segment_bytes);
            let end = (at + room).min(buffer.len());
            assert!((end - at).is_multiple_of(BLOCK_BYTES), "runs are whole blocks");
            shared.write_pieces(offset, DmaBuf::copy_of(&buffer[at..end])).await?;
            self.written_bytes += (end - at) as u64;
            at = end;
        }
        Ok(())
    }

    /// Ends the run; `None` where it has no entries. Not flushed yet.
    pub(crate) async fn finish<E: Env>(
        &mut self,
        shared: &Shared<E>,
        level: u8,
    ) -> Result<Option<Rc<Run>>, DriveError> {
        if self.builder.entry_count() == 0 {
            return Ok(None);
        }
        let builder = std::mem::replace(&mut self.builder, RunBuilder::new(0, 0));
        let finished = builder.finish();
        for block in &finished.blocks {
            self.buffer.extend_from_slice(block);
        }
        self.buffer.extend_from_slice(&finished.tail);
        self.write_out(shared).await?;
        let mut summary = finished.summary;
        summary.level = level;
        let index = RunIndex::parse(&finished.tail, &finished.summary)?;
        let segments = std::mem::take(&mut self.segments);
        let tail_is_rotten = Cell::new(false);
        Ok(Some(Rc::new(Run { summary, index, segments, tail_is_rotten })))
    }

    /// Gives the segments of a run that was not finished back.
    pub(crate) fn give_back<E: Env>(&mut self, shared: &Shared<E>) {
        let mut space = shared.space.borrow_mut();
        for segment in self.segments.drain(..) {
            space.free_segment(segment);
        }
    }
}

/// A segment for the index, from the reserve if need be. Some are left to the log, fewer if data
/// waits for room, and none if it is the log that waits for what a checkpoint frees.
pub(crate) async fn take_run_segment<E: Env>(shared: &Shared<E>) -> Result<SegmentId, DriveError> {
    let keeps = match (shared.log.borrow().stalled, shared.space.borrow().starving) {
        (true, _) => 0,
        (false, true) => LOG_KEEPS / 2,
        (false, false) => LOG_KEEPS,
    };
    shared
        .with_growth(|space| {
            let segment = space.take_index_segment(keeps)?;
            space.set_run(segment);
            Ok(segment)
        })
        .await
}

//! Which segments of a drive are used for what, and the allocator of fragments.
//!
//! Invariants: derived from the drive's own records only (rule 10); a bit set for a reservation
//! is not in a checkpoint until the write that adopts it is settled; segment 0 is never given
//! out; the reserve is given only to the log, the index and cleaning (rule 19), and the last of it
//! only to the log; `live_bytes` of a log segment counts what memtable and runs refer to, as
//! cleaning would write it, entries shadowed in the runs included. A drive is full by what is live,
//! not by what is free: where garbage could be cleaned away, data waits for it.

mod fragments;
mod room;

pub(crate) use fragments::APPEND_GENERATION;
pub(crate) use room::Filling;

use engine_format::{Extent, LogSegment};
use engine_types::{DataId, SegmentId};
use std::collections::{BTreeMap, BTreeSet};

/// 4 KiB units of a granule of an extent segment.
const GRANULE_UNITS: u32 = 16;
const UNIT_BYTES: u64 = 4096;
/// Fragments from this size on get extents instead of appended space.
const EXTENT_BYTES_MIN: u64 = 1 << 20;
const EXTENTS_MAX: usize = 2048;
/// Prepared free segments that the index and cleaning leave to the log.
pub(crate) const LOG_KEEPS: usize = 4;
/// Prepared free segments kept for a checkpoint while nothing holds it up.
const INDEX_KEEPS: usize = 4;
/// Superblocks, the start of the log, its head and two announced successors: a drive that was
/// never written to.
const SEGMENTS_IDLE: u32 = 5;

/// What a segment is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Free,
    Superblock,
    Log { generation: u64, live_bytes: u64, last_batch: u64 },
    Run,
    Append { live_units: u64 },
    Extents { bits: Vec<u64>, used: u32 },
}

/// The segments of a drive.
pub(crate) struct Space {
    slots: Vec<Slot>,
    free: BTreeSet<u32>,
    partial: BTreeSet<u32>,
    /// What was live when that was reckoned last.
    judged: Option<room::Judged>,
    /// What was freed since, log and data.
    freed_bytes: u64,
    prepared: u32,
    segment_bytes: u64,
    append: Option<(SegmentId, u32)>,
    reserved: BTreeMap<DataId, Parted>,
    /// Reservations that are given back once their writes have completed, by ticket.
    parted: BTreeMap<u64, Parted>,
    next_ticket: u64,
    log_bytes_promised: u64,
    run_segments: u32,
    host_full: bool,
    /// Bytes of payloads that room was asked for since it was opened.
    asked_bytes: u64,
    /// Segments in which bytes went bad: nothing new is put there until the drive is opened again.
    quarantined: BTreeSet<u32>,
    /// Data was refused or waits for want of free segments when it asked last, and cleaning has
    /// not found since that it can do no more.
    pub starving: bool,
    /// Entries were written that may shadow others in the runs, which are counted live until the
    /// next merge of all runs.
    pub unmerged: bool,
    /// New runs are written or were, and those they replace are still there: more is counted live
    /// than is.
    pub merging: bool,
    /// What is written is what other drives hold.
    catches_up: bool,
    keeps_reserve: bool,
    /// How often it was filled.
    pub filling: Filling,
}

/// The space of a reservation: whether it is appended, and where it lies.
type Parted = (bool, Vec<Extent>);

/// Why there is no space now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSpace {
    /// Segments must be prepared first.
    Growth,
    /// The drive is full down to the reserve, but not all of it is live: cleaning makes room.
    Cleaning,
    /// The drive is full down to the reserve.
    Full,
}

impl Space {
    pub(crate) fn new(segment_bytes: u64, segment_count: u32, prepared: u32) -> Self {
        let mut slots = vec![Slot::Free; segment_count as usize];
        slots[0] = Slot::Superblock;
        Self {
            free: (1..segment_count).collect(),
            slots,
            partial: BTreeSet::new(),
            judged: None,
            freed_bytes: 0,
            prepared: prepared.min(segment_count),
            segment_bytes,
            append: None,
            reserved: BTreeMap::new(),
            parted: BTreeMap::new(),
            next_ticket: 0,
            log_bytes_promised: 0,
            run_segments: 0,
            host_full: false,
            asked_bytes: 0,
            quarantined: BTreeSet::new(),
            starving: false,
            unmerged: true,
            merging: false,
            catches_up: false,
            keeps_reserve: true,
            filling: Filling::First,
        }
    }

    /// Whether data leaves the reserve alone; it does but in the twin of rule 19.
    pub(crate) fn set_keeps_reserve(&mut self, keeps_reserve: bool) {
        self.keeps_reserve = keeps_reserve;
    }

    pub(crate) fn segment_count(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Whole segments kept back: 5 %, half of it while a drive catches up, which must hold what others
    /// hold that are full; at least what the log keeps and what a merge of all runs and a checkpoint
    /// take beside the old ones.
    pub(crate) fn reserve(&self) -> u32 {
        if !self.keeps_reserve {
            return 0;
        }
        let keeps = u32::try_from(LOG_KEEPS + INDEX_KEEPS).unwrap_or(u32::MAX);
        let share = if self.catches_up { 40 } else { 20 };
        (self.segment_count() / share).max(keeps + self.run_segments)
    }

    /// Free segments that can be had: all, or the prepared ones while the host is full.
    pub(crate) fn free_segments(&self) -> u32 {
        let free = if self.host_full { self.prepared_free() } else { self.free.len() };
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    /// Whether more segments can be prepared.
    pub(crate) fn can_grow(&self) -> bool {
        !self.host_full && self.prepared < self.segment_count()
    }

    /// Whether growing was refused for want of space on the host.
    pub(crate) fn host_full(&self) -> bool {
        self.host_full
    }

    pub(crate) fn set_host_full(&mut self, host_full: bool) {
        self.host_full = host_full;
    }

    /// Whether segments should be prepared ahead; few on a drive that was never written to.
    pub(crate) fn is_growth_due(&self) -> bool {
        let used = self.slots.len() - self.free.len();
        // A few documents of the node are no use yet.
        let idle = self.asked_bytes < self.segment_bytes / 8 && used <= SEGMENTS_IDLE as usize;
        let ahead = match (idle, self.host_full) {
            (true, _) => 3,
            (false, false) => LOG_KEEPS + INDEX_KEEPS,
            // Data is refused at the reserve: the host is asked again from there on.
            (false, true) => self.reserve() as usize + 2,
        };
        self.prepared < self.segment_count() && !self.has_prepared(ahead - 1)
    }

    /// Whether more than `count` prepared segments are free.
    fn has_prepared(&self, count: usize) -> bool {
        self.free.range(..self.prepared).nth(count).is_some()
    }

    fn prepared_free(&self) -> usize {
        self.free.range(..self.prepared).count()
    }

    pub(crate) fn prepared(&self) -> u32 {
        self.prepared
    }

    pub(crate) fn set_prepared(&mut self, prepared: u32) {
        self.prepared = prepared.min(self.segment_count());
    }

    /// Bytes data may take now: free segments above the reserve and the share cleaning leaves,
    /// free granules.
    pub(crate) fn free_bytes(&self) -> u64 {
        let free = self.free_segments().min(self.free_without_garbage());
        let whole = u64::from(free.saturating_sub(self.reserve()));
        let granules: u64 = self
            .partial
            .iter()
            .map(|segment| match &self.slots[*segment as usize] {
                Slot::Extents { used, .. } => u64::from(self.granules().saturating_sub(*used)),
                _ => 0,
            })
            .sum();
        whole * self.segment_bytes + granules * u64::from(GRANULE_UNITS) * UNIT_BYTES
    }

    pub(crate) fn reserved_count(&self) -> usize {
        self.reserved.len()
    }

    fn units_per_segment(&self) -> u32 {
        u32::try_from(self.segment_bytes / UNIT_BYTES).unwrap_or(u32::MAX)
    }

    fn granules(&self) -> u32 {
        self.units_per_segment() / GRANULE_UNITS
    }

    /// Takes a whole segment for the log alone; from the reserve if need be.
    pub(crate) fn take_segment(&mut self) -> Option<SegmentId> {
        let segment = *self.free.range(..self.prepared).next()?;
        self.free.remove(&segment);
        Some(SegmentId(segment))
    }

    /// Takes a whole segment for the index or cleaning, of the reserve if need be, and leaves
    /// `keeps` prepared ones.
    pub(crate) fn take_index_segment(&mut self, keeps: usize) -> Result<SegmentId, NoSpace> {
        if !self.has_prepared(keeps) {
            return Err(if self.can_grow() { NoSpace::Growth } else { NoSpace::Full });
        }
        self.take_segment().ok_or(NoSpace::Full)
    }

    /// Whether the log may go on in another segment. What is left is for the checkpoint and the
    /// cleaning that free some; the records of cleaning may take of it.
    pub(crate) fn log_may_take(&self, is_urgent: bool) -> bool {
        let floor = match (is_urgent, self.can_grow()) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.has_prepared(floor)
    }

    fn take_data_segment(&mut self) -> Result<u32, NoSpace> {
        self.check_room(self.log_segments_promised())?;
        // The growth of log and index cannot wait for a host that may be full.
        if !self.has_prepared(LOG_KEEPS + INDEX_KEEPS) && self.can_grow() {
            return Err(NoSpace::Growth);
        }
        self.take_segment().map(|segment| segment.0).ok_or(NoSpace::Full)
    }

    fn log_segments_promised(&self) -> u32 {
        u32::try_from(self.log_bytes_promised.div_ceil(self.segment_bytes / 2)).unwrap_or(u32::MAX)
    }

    /// Promises log space for a payload; given back when the record is queued.
    pub(crate) fn promise_log(&mut self, bytes: u64) -> Result<(), NoSpace> {
        self.asked_bytes = self.asked_bytes.saturating_add(bytes);
        let promised = (self.log_bytes_promised + bytes).div_ceil(self.segment_bytes / 2);
        self.check_room(u32::try_from(promised).unwrap_or(u32::MAX))?;
        self.log_bytes_promised += bytes;
        Ok(())
    }

    pub(crate) fn return_log_promise(&mut self, bytes: u64) {
        self.log_bytes_promised = self.log_bytes_promised.saturating_sub(bytes);
    }

    /// Forgets all promises: nobody is left to keep them.
    pub(crate) fn drop_log_promises(&mut self) {
        self.log_bytes_promised = 0;
    }

    fn replace(&mut self, segment: SegmentId, slot: Slot) {
        let to_run = slot == Slot::Run;
        let old = std::mem::replace(&mut self.slots[segment.0 as usize], slot);
        self.run_segments += u32::from(to_run);
        self.run_segments -= u32::from(old == Slot::Run);
        self.partial.remove(&segment.0);
        self.free.remove(&segment.0);
    }

    /// The log has a batch there now; `u64::MAX` stands for announced and not written yet.
    pub(crate) fn set_log(&mut self, segment: SegmentId, generation: u64, last_batch: u64) {
        if let Slot::Log { generation: same, last_batch: last, .. } =
            &mut self.slots[segment.0 as usize]
            && *same == generation
        {
            *last = if *last == u64::MAX { last_batch } else { (*last).max(last_batch) };
            return;
        }
        self.replace(segment, Slot::Log { generation, live_bytes: 0, last_batch });
    }

    /// Replay has come to a segment: what it finds counts, not what a checkpoint hoped for.
    pub(crate) fn begin_log(&mut self, segment: SegmentId, generation: u64, last_batch: u64) {
        if let Slot::Log { generation: same, last_batch: last, .. } =
            &mut self.slots[segment.0 as usize]
            && *same == generation
        {
            *last = last_batch;
            return;
        }
        self.replace(segment, Slot::Log { generation, live_bytes: 0, last_batch });
    }

    /// Nothing behind `last_batch` counts in a segment, whatever was laid out there.
    pub(crate) fn seal_log(&mut self, segment: SegmentId, generation: u64, last_batch: u64) {
        if let Slot::Log { generation: same, last_batch: last, .. } =
            &mut self.slots[segment.0 as usize]
            && *same == generation
        {
            *last = last_batch;
        }
    }

    pub(crate) fn load_log(&mut self, log: &LogSegment) {
        let (generation, live_bytes) = (log.generation, log.live_bytes);
        self.replace(log.segment, Slot::Log { generation, live_bytes, last_batch: log.last_batch });
    }

    pub(crate) fn add_live(&mut self, segment: SegmentId, generation: u64, bytes: u64) {
        if let Some(Slot::Log { generation: same, live_bytes, .. }) =
            self.slots.get_mut(segment.0 as usize)
            && *same == generation
        {
            *live_bytes += bytes;
        }
    }

    pub(crate) fn sub_live(&mut self, segment: SegmentId, generation: u64, bytes: u64) {
        if let Some(Slot::Log { generation: same, live_bytes, .. }) =
            self.slots.get_mut(segment.0 as usize)
            && *same == generation
        {
            *live_bytes = live_bytes.saturating_sub(bytes);
            self.freed_bytes += bytes;
        }
    }

    /// Log segments wholly before `start` (the batch the durable checkpoint stands behind).
    pub(crate) fn log_before(&self, start: u64) -> Vec<LogSegment> {
        self.slots
            .iter()
            .zip(0_u32..)
            .filter_map(|(slot, segment)| match slot {
                Slot::Log { generation, live_bytes, last_batch } if *last_batch <= start => {
                    Some(LogSegment {
                        segment: SegmentId(segment),
                        generation: *generation,
                        live_bytes: *live_bytes,
                        last_batch: *last_batch,
                    })
                }
                _ => None,
            })
            .collect()
    }

    /// All log segments written so far, for a checkpoint.
    pub(crate) fn log_segments(&self) -> Vec<LogSegment> {
        self.log_before(u64::MAX - 1)
    }

    pub(crate) fn set_run(&mut self, segment: SegmentId) {
        self.replace(segment, Slot::Run);
    }

    pub(crate) fn free_segment(&mut self, segment: SegmentId) {
        assert!(segment.0 != 0, "segment 0 holds the superblocks");
        self.replace(segment, Slot::Free);
        if !self.quarantined.contains(&segment.0) {
            self.free.insert(segment.0);
        }
    }

    /// Bytes of a segment went bad, or a write of the log failed in it: it takes nothing new. Few segments can be missed; what comes
    /// beyond is believed in, for every byte is checked when it is read.
    pub(crate) fn quarantine(&mut self, segment: SegmentId) {
        let few = self.slots.len() / 16;
        let exists = (1..self.segment_count()).contains(&segment.0);
        if !exists || self.quarantined.len() >= few || !self.quarantined.insert(segment.0) {
            return;
        }
        self.free.remove(&segment.0);
        self.partial.remove(&segment.0);
        if self.append.is_some_and(|(open, _)| open == segment) {
            self.append = None;
        }
    }

    /// Whether a segment takes nothing new because bytes of it went bad: emptying it gives no room.
    pub(crate) fn is_quarantined(&self, segment: SegmentId) -> bool {
        self.quarantined.contains(&segment.0)
    }

    /// How many segments take nothing new because bytes of them went bad.
    pub(crate) fn quarantined_count(&self) -> u32 {
        u32::try_from(self.quarantined.len()).unwrap_or(u32::MAX)
    }

    /// Frees a log segment that nothing refers to, if it still is that one.
    pub(crate) fn free_log(&mut self, segment: SegmentId, generation: u64) {
        let slot = &self.slots[segment.0 as usize];
        if matches!(slot, Slot::Log { generation: same, .. } if *same == generation) {
            self.free_segment(segment);
        }
    }

    /// For tests and `inspect`: every segment's use in one word each.
    pub(crate) fn census(&self) -> BTreeMap<&'static str, u32> {
        let mut census = BTreeMap::new();
        for slot in &self.slots {
            let word = match slot {
                Slot::Free => "free",
                Slot::Superblock => "superblock",
                Slot::Log { .. } => "log",
                Slot::Run => "run",
                Slot::Append { .. } => "append",
                Slot::Extents { .. } => "extents",
            };
            *census.entry(word).or_default() += 1;
        }
        census
    }
}

#[cfg(test)]
mod tests;

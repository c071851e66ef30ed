//! Which segments of a drive are used for what, and the allocator of fragments.
//!
//! Invariants: derived from the drive's own records only (rule 10); a bit set for a reservation
//! is not in a checkpoint until the write that adopts it is settled; segment 0 is never given
//! out; the reserve is given only to the log, the index and cleaning (rule 19).

use engine_format::{Extent, FragmentRecord, LogSegment, SegmentUse};
use engine_types::{DataId, SegmentId};
use std::collections::{BTreeMap, BTreeSet};

/// 4 KiB units of a granule of an extent segment.
const GRANULE_UNITS: u32 = 16;
const UNIT_BYTES: u64 = 4096;
/// Fragments from this size on get extents instead of appended space.
const EXTENT_BYTES_MIN: u64 = 1 << 20;
const EXTENTS_MAX: usize = 2048;

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
    prepared: u32,
    segment_bytes: u64,
    append: Option<(SegmentId, u32)>,
    reserved: BTreeMap<DataId, (bool, Vec<Extent>)>,
    log_bytes_promised: u64,
}

/// Why there is no space now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSpace {
    /// Segments must be prepared first.
    Growth,
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
            prepared: prepared.min(segment_count),
            segment_bytes,
            append: None,
            reserved: BTreeMap::new(),
            log_bytes_promised: 0,
        }
    }

    pub(crate) fn segment_count(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Whole segments kept back: 5 %, at least 2 LOG + 2 RUN + 1 COLD.
    pub(crate) fn reserve(&self) -> u32 {
        (self.segment_count() / 20).max(5)
    }

    pub(crate) fn free_segments(&self) -> u32 {
        u32::try_from(self.free.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn prepared_free(&self) -> usize {
        self.free.range(..self.prepared).count()
    }

    pub(crate) fn prepared(&self) -> u32 {
        self.prepared
    }

    pub(crate) fn set_prepared(&mut self, prepared: u32) {
        self.prepared = prepared.min(self.segment_count());
    }

    /// Bytes data may still take: free segments above the reserve, free granules.
    pub(crate) fn free_bytes(&self) -> u64 {
        let whole = u64::from(self.free_segments().saturating_sub(self.reserve()));
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

    /// Takes a whole segment for the log or the index; from the reserve if need be.
    pub(crate) fn take_segment(&mut self) -> Option<SegmentId> {
        let segment = *self.free.range(..self.prepared).next()?;
        self.free.remove(&segment);
        Some(SegmentId(segment))
    }

    fn take_data_segment(&mut self) -> Result<u32, NoSpace> {
        if self.free_segments() <= self.reserve() + self.log_segments_promised() {
            return Err(NoSpace::Full);
        }
        // Two prepared segments stay for the log, whose growth cannot wait.
        if self.prepared_free() <= 2 && self.prepared < self.segment_count() {
            return Err(NoSpace::Growth);
        }
        self.take_segment().map(|segment| segment.0).ok_or(NoSpace::Full)
    }

    fn log_segments_promised(&self) -> u32 {
        u32::try_from(self.log_bytes_promised.div_ceil(self.segment_bytes / 2)).unwrap_or(u32::MAX)
    }

    /// Promises log space for a payload; given back when the record is queued.
    pub(crate) fn promise_log(&mut self, bytes: u64) -> Result<(), NoSpace> {
        let promised = (self.log_bytes_promised + bytes).div_ceil(self.segment_bytes / 2);
        if u64::from(self.free_segments()) <= u64::from(self.reserve()) + promised {
            return Err(NoSpace::Full);
        }
        self.log_bytes_promised += bytes;
        Ok(())
    }

    pub(crate) fn return_log_promise(&mut self, bytes: u64) {
        self.log_bytes_promised = self.log_bytes_promised.saturating_sub(bytes);
    }

    pub(crate) fn set_log(&mut self, segment: SegmentId, generation: u64, last_batch: u64) {
        self.free.remove(&segment.0);
        let slot = &mut self.slots[segment.0 as usize];
        match slot {
            Slot::Log { generation: same, last_batch: last, .. } if *same == generation => {
                // `u64::MAX` stands for announced and not written yet.
                *last = if *last == u64::MAX { last_batch } else { (*last).max(last_batch) };
            }
            _ => *slot = Slot::Log { generation, live_bytes: 0, last_batch },
        }
    }

    pub(crate) fn load_log(&mut self, log: &LogSegment) {
        self.free.remove(&log.segment.0);
        self.slots[log.segment.0 as usize] = Slot::Log {
            generation: log.generation,
            live_bytes: log.live_bytes,
            last_batch: 0,
        };
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
        self.free.remove(&segment.0);
        self.slots[segment.0 as usize] = Slot::Run;
    }

    pub(crate) fn free_segment(&mut self, segment: SegmentId) {
        assert!(segment.0 != 0, "segment 0 holds the superblocks");
        self.slots[segment.0 as usize] = Slot::Free;
        self.partial.remove(&segment.0);
        self.free.insert(segment.0);
    }

    /// Reserves space for a fragment.
    pub(crate) fn reserve_fragment(
        &mut self,
        data: DataId,
        fragment_bytes: u64,
        from_reserve: bool,
    ) -> Result<(bool, Vec<Extent>), NoSpace> {
        let units = FragmentRecord::units_of(fragment_bytes);
        let append =
            fragment_bytes < EXTENT_BYTES_MIN && units * UNIT_BYTES <= self.segment_bytes / 4;
        let extents =
            if append { self.append_units(units, from_reserve)? } else { self.extent_units(units)? };
        self.reserved.insert(data, (append, extents.clone()));
        Ok((append, extents))
    }

    fn append_units(&mut self, units: u64, from_reserve: bool) -> Result<Vec<Extent>, NoSpace> {
        let units = u32::try_from(units).map_err(|_| NoSpace::Full)?;
        let fits = |next: u32| next + units <= self.units_per_segment();
        let (segment, offset_units) = match self.append {
            Some((segment, next)) if fits(next) => (segment, next),
            sealed => {
                let fresh = if from_reserve {
                    self.take_segment().ok_or(NoSpace::Full)?
                } else {
                    SegmentId(self.take_data_segment()?)
                };
                self.slots[fresh.0 as usize] = Slot::Append { live_units: 0 };
                self.append = Some((fresh, 0));
                if let Some((segment, _)) = sealed {
                    self.free_if_empty(segment);
                }
                (fresh, 0)
            }
        };
        self.append = Some((segment, offset_units + units));
        let extent = Extent { segment, offset_units, units };
        self.mark(true, extent, true);
        Ok(vec![extent])
    }

    fn extent_units(&mut self, units: u64) -> Result<Vec<Extent>, NoSpace> {
        let mut extents: Vec<Extent> = Vec::new();
        let mut left = units;
        while left > 0 {
            let segment = match self.partial.first() {
                Some(segment) if extents.len() < EXTENTS_MAX => *segment,
                _ => match self.take_data_segment() {
                    Ok(segment) => {
                        let words = self.granules().div_ceil(64) as usize;
                        self.slots[segment as usize] =
                            Slot::Extents { bits: vec![0; words], used: 0 };
                        self.partial.insert(segment);
                        segment
                    }
                    Err(error) => {
                        for extent in extents {
                            self.mark(false, extent, false);
                        }
                        return Err(error);
                    }
                },
            };
            let (first, count) = self.first_free_run(segment);
            let run_units = u64::from(count) * u64::from(GRANULE_UNITS);
            let taken = u32::try_from(left.min(run_units)).unwrap_or(u32::MAX);
            let extent = Extent {
                segment: SegmentId(segment),
                offset_units: first * GRANULE_UNITS,
                units: taken,
            };
            self.mark(false, extent, true);
            extents.push(extent);
            left -= u64::from(taken);
        }
        Ok(extents)
    }

    fn first_free_run(&self, segment: u32) -> (u32, u32) {
        let Slot::Extents { bits, .. } = &self.slots[segment as usize] else {
            unreachable!("partial segments are extent segments");
        };
        let is_used = |granule: u32| bits[granule as usize / 64] >> (granule % 64) & 1 == 1;
        let first = (0..self.granules()).find(|granule| !is_used(*granule)).unwrap_or(0);
        let end = (first..self.granules()).find(|granule| is_used(*granule));
        (first, end.unwrap_or(self.granules()) - first)
    }

    /// Sets or clears the use of an extent. Setting what is set already changes nothing for
    /// extent segments.
    fn mark(&mut self, append: bool, extent: Extent, in_use: bool) {
        let granules = self.granules();
        let segment = extent.segment;
        let Some(slot) = self.slots.get_mut(segment.0 as usize) else { return };
        if matches!(slot, Slot::Free | Slot::Log { .. }) && in_use {
            let words = granules.div_ceil(64) as usize;
            *slot = if append {
                Slot::Append { live_units: 0 }
            } else {
                Slot::Extents { bits: vec![0; words], used: 0 }
            };
            self.free.remove(&segment.0);
        }
        match slot {
            Slot::Append { live_units } => {
                let units = u64::from(extent.units);
                *live_units =
                    if in_use { *live_units + units } else { live_units.saturating_sub(units) };
            }
            Slot::Extents { bits, used } => {
                let first = extent.offset_units / GRANULE_UNITS;
                let end = (extent.offset_units + extent.units).div_ceil(GRANULE_UNITS);
                for granule in first..end.min(granules) {
                    let (word, bit) = (granule as usize / 64, 1_u64 << (granule % 64));
                    let was = bits[word] & bit != 0;
                    if in_use && !was {
                        bits[word] |= bit;
                        *used += 1;
                    } else if !in_use && was {
                        bits[word] &= !bit;
                        *used -= 1;
                    }
                }
                if *used < granules {
                    self.partial.insert(segment.0);
                } else {
                    self.partial.remove(&segment.0);
                }
            }
            Slot::Free | Slot::Superblock | Slot::Log { .. } | Slot::Run => {}
        }
        if !in_use {
            self.free_if_empty(segment);
        }
    }

    fn free_if_empty(&mut self, segment: SegmentId) {
        let open = self.append.is_some_and(|(open, _)| open == segment);
        let empty = match &self.slots[segment.0 as usize] {
            Slot::Append { live_units } => *live_units == 0 && !open,
            Slot::Extents { used, .. } => *used == 0,
            _ => false,
        };
        if empty {
            self.free_segment(segment);
        }
    }

    /// Holds the space of a prepared write's fragment (also on replay).
    pub(crate) fn hold(&mut self, fragment: &FragmentRecord) {
        if self.reserved.contains_key(&fragment.data) {
            return;
        }
        for extent in &fragment.extents {
            self.mark(fragment.append, *extent, true);
        }
        self.reserved.insert(fragment.data, (fragment.append, fragment.extents.clone()));
    }

    /// The fragment's write is settled: its space is in use for good.
    pub(crate) fn settle(&mut self, fragment: &FragmentRecord) {
        self.hold(fragment);
        self.reserved.remove(&fragment.data);
    }

    /// Gives a reservation back (an abandoned stream, an abort).
    pub(crate) fn give_back(&mut self, data: DataId) {
        if let Some((append, extents)) = self.reserved.remove(&data) {
            for extent in extents {
                self.mark(append, extent, false);
            }
        }
    }

    /// Frees the space of a settled fragment.
    pub(crate) fn release(&mut self, fragment: &FragmentRecord) {
        for extent in &fragment.extents {
            self.mark(fragment.append, *extent, false);
        }
    }

    /// What a checkpoint holds of the data segments: settled space only.
    pub(crate) fn snapshot(&self) -> Vec<(SegmentId, SegmentUse)> {
        let mut shadow = Self {
            slots: self.slots.clone(),
            free: BTreeSet::new(),
            partial: BTreeSet::new(),
            prepared: self.prepared,
            segment_bytes: self.segment_bytes,
            append: None,
            reserved: BTreeMap::new(),
            log_bytes_promised: 0,
        };
        for (append, extents) in self.reserved.values() {
            for extent in extents {
                shadow.mark(*append, *extent, false);
            }
        }
        shadow
            .slots
            .iter()
            .zip(0_u32..)
            .filter_map(|(slot, segment)| match slot {
                Slot::Append { live_units } if *live_units > 0 => {
                    Some((SegmentId(segment), SegmentUse::Append(live_units * UNIT_BYTES)))
                }
                Slot::Extents { bits, used } if *used > 0 => {
                    Some((SegmentId(segment), SegmentUse::Extents(bits.clone())))
                }
                _ => None,
            })
            .collect()
    }

    pub(crate) fn load_data(&mut self, segment: SegmentId, usage: &SegmentUse) {
        self.free.remove(&segment.0);
        let granules = self.granules();
        self.slots[segment.0 as usize] = match usage {
            SegmentUse::Append(live) => Slot::Append { live_units: live / UNIT_BYTES },
            SegmentUse::Extents(bits) => {
                let mut bits = bits.clone();
                bits.resize(granules.div_ceil(64) as usize, 0);
                let used = bits.iter().map(|word| word.count_ones()).sum();
                if used < granules {
                    self.partial.insert(segment.0);
                }
                Slot::Extents { bits, used }
            }
        };
    }

    /// The append segment with the least in use, if cleaning it gains at least a quarter of it.
    pub(crate) fn append_victim(&self) -> Option<SegmentId> {
        let worth = u64::from(self.units_per_segment()) * 3 / 4;
        self.slots
            .iter()
            .zip(0_u32..)
            .filter_map(|(slot, segment)| match slot {
                Slot::Append { live_units }
                    if *live_units <= worth
                        && self.append.is_none_or(|(open, _)| open.0 != segment)
                        && !self.is_reserved_in(segment) =>
                {
                    Some((*live_units, SegmentId(segment)))
                }
                _ => None,
            })
            .min()
            .map(|(_, segment)| segment)
    }

    fn is_reserved_in(&self, segment: u32) -> bool {
        let inside = |extent: &Extent| extent.segment.0 == segment;
        self.reserved.values().any(|(_, extents)| extents.iter().any(inside))
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
mod tests {
    use super::*;

    fn data(number: u8) -> DataId {
        DataId([number; 16])
    }

    #[test]
    fn space_comes_back_to_the_last_granule() {
        let mut space = Space::new(1 << 20, 64, 64);
        let before = space.free_bytes();
        for number in 0..20 {
            let bytes = if number % 2 == 0 { 20_000 } else { 1_300_000 };
            space.reserve_fragment(data(number), bytes, false).unwrap();
        }
        assert!(space.free_bytes() < before);
        assert!(space.snapshot().is_empty(), "reservations are not in a checkpoint");
        for number in 0..20 {
            space.give_back(data(number));
        }
        // The open append segment stays open.
        assert!(space.free_bytes() + (1 << 20) >= before);
    }

    #[test]
    fn data_never_takes_the_reserve() {
        let mut space = Space::new(1 << 20, 32, 32);
        let mut number = 0;
        while space.reserve_fragment(data(number), 1 << 20, false).is_ok() {
            number += 1;
        }
        assert_eq!(space.free_segments(), space.reserve());
        assert!(space.take_segment().is_some(), "the log may go on");
    }

    #[test]
    fn growth_is_asked_for_before_the_log_runs_dry() {
        let mut space = Space::new(1 << 20, 64, 6);
        let mut number = 0;
        let refused = loop {
            match space.reserve_fragment(data(number), 900_000, false) {
                Ok(_) => number += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, NoSpace::Growth);
        assert_eq!(space.prepared_free(), 2);
    }

    #[test]
    fn a_checkpoint_brings_back_the_same_space() {
        let mut space = Space::new(1 << 20, 64, 64);
        let (append, extents) = space.reserve_fragment(data(1), 3 << 20, false).unwrap();
        let record = FragmentRecord {
            data: data(1),
            index: engine_types::FragmentIndex(0),
            geometry: engine_types::Geometry { data: 1, parity: 0, cell_bytes: 4096 },
            object_bytes: 3 << 20,
            sequence: engine_types::Sequence::ZERO,
            append,
            extents,
            footer_sum: 0,
        };
        space.settle(&record);
        let mut loaded = Space::new(1 << 20, 64, 64);
        for (segment, usage) in space.snapshot() {
            loaded.load_data(segment, &usage);
        }
        assert_eq!(loaded.free_bytes(), space.free_bytes());
        loaded.release(&record);
        assert_eq!(loaded.free_segments(), 63);
    }
}

//! The space of fragments: appended runs of units, and extents of granules.

use super::{
    EXTENT_BYTES_MIN, EXTENTS_MAX, GRANULE_UNITS, LOG_KEEPS, NoSpace, Slot, Space, UNIT_BYTES,
};
use engine_format::{Extent, FragmentRecord, SegmentUse};
use engine_types::{DataId, SegmentId};
use std::collections::{BTreeMap, BTreeSet};

/// Stands for the generation, which append segments do not have.
pub(crate) const APPEND_GENERATION: u64 = 0;

impl Space {
    /// Whether a fragment of this id is being written, or waits for its write to settle.
    pub(crate) fn is_reserved(&self, data: DataId) -> bool {
        self.reserved.contains_key(&data)
    }

    /// Reserves space for a fragment that has none yet.
    pub(crate) fn reserve_fragment(
        &mut self,
        data: DataId,
        fragment_bytes: u64,
        from_reserve: bool,
    ) -> Result<(bool, Vec<Extent>), NoSpace> {
        assert!(!self.is_reserved(data), "the caller gives back what it reserved before");
        let units = FragmentRecord::units_of(fragment_bytes);
        let append =
            fragment_bytes < EXTENT_BYTES_MIN && units * UNIT_BYTES <= self.segment_bytes / 4;
        let extents = if append {
            self.append_units(units, from_reserve)?
        } else {
            self.extent_units(units)?
        };
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
                    self.take_index_segment(LOG_KEEPS)?
                } else {
                    SegmentId(self.take_data_segment()?)
                };
                self.replace(fresh, Slot::Append { live_units: 0 });
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
                        let slot = Slot::Extents { bits: vec![0; words], used: 0 };
                        self.replace(SegmentId(segment), slot);
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
    /// extent segments. A log segment found here was freed and used again since the checkpoint.
    fn mark(&mut self, append: bool, extent: Extent, in_use: bool) {
        let granules = self.granules();
        let segment = extent.segment;
        let Some(slot) = self.slots.get(segment.0 as usize) else { return };
        if matches!(slot, Slot::Free | Slot::Log { .. }) && in_use {
            let words = granules.div_ceil(64) as usize;
            let slot = if append {
                Slot::Append { live_units: 0 }
            } else {
                Slot::Extents { bits: vec![0; words], used: 0 }
            };
            self.replace(segment, slot);
        }
        let slot = &mut self.slots[segment.0 as usize];
        match slot {
            Slot::Append { live_units } => {
                let units = u64::from(extent.units);
                *live_units =
                    if in_use { *live_units + units } else { live_units.saturating_sub(units) };
            }
            Slot::Extents { bits, used } => {
                let first = extent.offset_units / GRANULE_UNITS;
                let end = extent.offset_units.saturating_add(extent.units).div_ceil(GRANULE_UNITS);
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
                if *used < granules && !self.quarantined.contains(&segment.0) {
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

    /// Parts a reservation from its id: the id is free now, the space with `give_back_parted`.
    pub(crate) fn part(&mut self, data: DataId) -> Option<u64> {
        let parted = self.reserved.remove(&data)?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.parted.insert(ticket, parted);
        Some(ticket)
    }

    /// Gives parted space back.
    pub(crate) fn give_back_parted(&mut self, ticket: u64) {
        if let Some((append, extents)) = self.parted.remove(&ticket) {
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
        self.freed_bytes += fragment.fragment_bytes();
    }

    /// What a checkpoint holds of the data segments: settled space only.
    pub(crate) fn snapshot(&self) -> Vec<(SegmentId, SegmentUse)> {
        let mut shadow = Self {
            slots: self.slots.clone(),
            free: BTreeSet::new(),
            partial: BTreeSet::new(),
            judged: None,
            freed_bytes: 0,
            prepared: self.prepared,
            segment_bytes: self.segment_bytes,
            append: None,
            reserved: BTreeMap::new(),
            parted: BTreeMap::new(),
            next_ticket: 0,
            log_bytes_promised: 0,
            run_segments: self.run_segments,
            host_full: false,
            asked_bytes: 0,
            quarantined: BTreeSet::new(),
            starving: false,
            unmerged: false,
            merging: false,
            catches_up: self.catches_up,
            keeps_reserve: self.keeps_reserve,
            filling: self.filling,
        };
        for (append, extents) in self.reserved.values().chain(self.parted.values()) {
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
        let granules = self.granules();
        match usage {
            SegmentUse::Append(live) => {
                self.replace(segment, Slot::Append { live_units: live / UNIT_BYTES });
            }
            SegmentUse::Extents(bits) => {
                let mut bits = bits.clone();
                bits.resize(granules.div_ceil(64) as usize, 0);
                let used = bits.iter().map(|word| word.count_ones()).sum();
                self.replace(segment, Slot::Extents { bits, used });
                if used < granules {
                    self.partial.insert(segment.0);
                }
            }
        }
    }

    /// What an append segment is sure to take: behind that the next fragment may not fit.
    pub(super) fn append_bytes(&self) -> u64 {
        self.segment_bytes - EXTENT_BYTES_MIN.min(self.segment_bytes / 4)
    }

    /// The append segments with the least in use, none above `live_bytes_max`, whose fragments
    /// fit a segment together, but those of `in_vain` and those that would give no room.
    pub(crate) fn append_victims(
        &self,
        live_bytes_max: u64,
        in_vain: &BTreeSet<(SegmentId, u64)>,
    ) -> BTreeSet<SegmentId> {
        let live_bytes_max = live_bytes_max.min(self.append_bytes());
        let mut victims: Vec<(u64, SegmentId)> = self
            .slots
            .iter()
            .zip(0_u32..)
            .filter_map(|(slot, segment)| match slot {
                Slot::Append { live_units }
                    if *live_units * UNIT_BYTES <= live_bytes_max
                        && self.append.is_none_or(|(open, _)| open.0 != segment)
                        && !in_vain.contains(&(SegmentId(segment), APPEND_GENERATION))
                        && !self.is_quarantined(SegmentId(segment))
                        && !self.is_reserved_in(segment) =>
                {
                    Some((*live_units, SegmentId(segment)))
                }
                _ => None,
            })
            .collect();
        victims.sort_unstable();
        let mut units_left = u64::from(self.units_per_segment());
        let fits = |(live_units, segment): (u64, SegmentId)| {
            units_left = units_left.checked_sub(live_units)?;
            Some(segment)
        };
        victims.into_iter().map_while(fits).collect()
    }

    fn is_reserved_in(&self, segment: u32) -> bool {
        let inside = |extent: &Extent| extent.segment.0 == segment;
        let mut taken = self.reserved.values().chain(self.parted.values());
        taken.any(|(_, extents)| extents.iter().any(inside))
    }

    /// Whether a segment still holds appended fragments.
    pub(crate) fn is_append(&self, segment: SegmentId) -> bool {
        matches!(self.slots.get(segment.0 as usize), Some(Slot::Append { .. }))
    }
}

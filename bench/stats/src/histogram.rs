//! Latencies of one interval, one run or many, as counts per slot.
//!
//! Invariants: slots are those of an HdrHistogram with 3 significant digits and a range of 1 ns
//! to 1 hour, so that its files can be written and read without loss. Only slots that hold
//! something are kept, in rising order. Every figure (min, mean, percentiles, max) is a function
//! of the counts alone: merging is adding, and the merged figures are exactly those of all
//! latencies together. A latency is known to 1 part in 1,024; above 1 hour it counts as 1 hour.

use crate::counters::Counters;
use std::cmp::Ordering;

/// The longest latency that is told apart, in nanoseconds: 1 hour.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;

/// Slots of the whole range.
pub(crate) const SLOTS: usize = 33_792;

/// Bits of a latency that choose the slot within one doubling.
const HALF_BITS: u32 = 10;
/// Latencies below this have a slot each.
const EXACT_BELOW: u64 = 2 << HALF_BITS;

/// The slot of a latency.
#[inline]
pub(crate) const fn slot_of(latency_ns: u64) -> usize {
    let value = if latency_ns > HIGHEST_NS { HIGHEST_NS } else { latency_ns };
    // The or makes all small values equally long, so that they share the first, exact stretch.
    let shift = 63 - HALF_BITS - (value | (EXACT_BELOW - 1)).leading_zeros();
    ((shift as usize) << HALF_BITS) + (value >> shift) as usize
}

/// By how many bits the latencies of a slot were shifted.
const fn shift_of(slot: usize) -> u32 {
    ((slot >> HALF_BITS) as u32).saturating_sub(1)
}

/// The shortest latency of a slot.
pub(crate) const fn lowest_of(slot: usize) -> u64 {
    let shift = shift_of(slot);
    ((slot - ((shift as usize) << HALF_BITS)) as u64) << shift
}

/// The longest latency of a slot.
pub(crate) const fn highest_of(slot: usize) -> u64 {
    lowest_of(slot) + ((1_u64 << shift_of(slot)) - 1)
}

/// The middle of a slot.
const fn middle_of(slot: usize) -> u64 {
    lowest_of(slot) + ((1_u64 << shift_of(slot)) >> 1)
}

/// Counts of latencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Slot and count, slots rising, no count zero.
    counts: Vec<(u32, u64)>,
    total: u64,
}

/// The latencies of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The shortest latency that counts here, in nanoseconds.
    pub low_ns: u64,
    /// The longest one, in nanoseconds.
    pub high_ns: u64,
    /// How many there are; never zero.
    pub count: u64,
}

impl Histogram {
    /// A histogram of counts, slots rising, no count zero.
    pub(crate) fn from_slots(counts: Vec<(u32, u64)>) -> Self {
        debug_assert!(counts.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let total = counts.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        Self { counts, total }
    }

    /// Slot and count, slots rising.
    pub(crate) fn slots(&self) -> &[(u32, u64)] {
        &self.counts
    }

    /// How many latencies.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Adds all latencies of another histogram.
    pub fn add(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let mut merged = Vec::with_capacity(self.counts.len() + other.counts.len());
        let (mut left, mut right) = (0, 0);
        while left < self.counts.len() && right < other.counts.len() {
            let (mine, theirs) = (self.counts[left], other.counts[right]);
            match mine.0.cmp(&theirs.0) {
                Ordering::Less => {
                    merged.push(mine);
                    left += 1;
                }
                Ordering::Greater => {
                    merged.push(theirs);
                    right += 1;
                }
                Ordering::Equal => {
                    merged.push((mine.0, mine.1.saturating_add(theirs.1)));
                    left += 1;
                    right += 1;
                }
            }
        }
        merged.extend_from_slice(&self.counts[left..]);
        merged.extend_from_slice(&other.counts[right..]);
        self.counts = merged;
        self.total = self.total.saturating_add(other.total);
    }

    /// The shortest latency, in nanoseconds; 0 if there is none.
    #[must_use]
    pub fn min_ns(&self) -> u64 {
        self.counts.first().map_or(0, |(slot, _)| lowest_of(*slot as usize))
    }

    /// The longest latency, in nanoseconds; 0 if there is none.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.counts.last().map_or(0, |(slot, _)| highest_of(*slot as usize))
    }

    /// The mean, in nanoseconds; 0 if there is none.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let weigh = |(slot, count): &(u32, u64)| middle_of(*slot as usize) as f64 * *count as f64;
        self.counts.iter().map(weigh).sum::<f64>() / self.total as f64
    }

    /// The latency that the share `quantile` (0 to 1) of all does not exceed, in nanoseconds; 0
    /// if there is none.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let wanted = ((quantile.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0_u64;
        for (slot, count) in &self.counts {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return highest_of(*slot as usize);
            }
        }
        // Only where rounding to a float made the wanted count larger than the total.
        self.max_ns()
    }

    /// The slots that hold something, shortest latencies first.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.counts.iter().map(|(slot, count)| Bucket {
            low_ns: lowest_of(*slot as usize),
            high_ns: highest_of(*slot as usize),
            count: *count,
        })
    }
}

impl FromIterator<u64> for Histogram {
    /// The histogram of some latencies, in nanoseconds.
    fn from_iter<I: IntoIterator<Item = u64>>(latencies_ns: I) -> Self {
        let mut counters = Counters::new();
        for latency_ns in latencies_ns {
            counters.record(latency_ns);
        }
        counters.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{latencies, reference};

    #[test]
    fn slots_are_those_of_the_reference() {
        let hdr = reference(&[]);
        assert_eq!(hdr.distinct_values(), SLOTS);
        let mut value = 0_u64;
        while value < HIGHEST_NS {
            let slot = slot_of(value);
            assert_eq!(lowest_of(slot), hdr.lowest_equivalent(value), "{value}");
            assert_eq!(highest_of(slot), hdr.highest_equivalent(value), "{value}");
            assert_eq!(middle_of(slot), hdr.median_equivalent(value), "{value}");
            // Every value at first, then steps that are no powers of two.
            value += 1 + value / 1_000;
        }
        assert_eq!(slot_of(u64::MAX), slot_of(HIGHEST_NS));
        assert!(slot_of(HIGHEST_NS) < SLOTS);
    }

    #[test]
    fn slots_follow_each_other_without_gap() {
        for slot in 1..SLOTS {
            assert_eq!(lowest_of(slot), highest_of(slot - 1) + 1, "{slot}");
            if lowest_of(slot) <= HIGHEST_NS {
                assert_eq!(slot_of(lowest_of(slot)), slot);
            }
        }
    }

    #[test]
    fn figures_are_those_of_the_reference() {
        let values = latencies(3, 20_000);
        let hdr = reference(&values);
        let histogram: Histogram = values.iter().copied().collect();
        assert_eq!(histogram.count(), 20_000);
        assert_eq!(histogram.min_ns(), hdr.min());
        assert_eq!(histogram.max_ns(), hdr.max());
        assert!((histogram.mean_ns() / hdr.mean() - 1.0).abs() < 1e-9);
        for quantile in [0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            let expected = hdr.value_at_quantile(quantile);
            assert_eq!(histogram.quantile_ns(quantile), expected, "{quantile}");
        }
    }

    #[test]
    fn merging_is_the_same_as_recording_together() {
        let values = latencies(4, 9_000);
        let mut merged = Histogram::default();
        for part in values.chunks(1_234) {
            merged.add(&part.iter().copied().collect());
        }
        assert_eq!(merged, values.iter().copied().collect::<Histogram>());
        let before = merged.clone();
        merged.add(&Histogram::default());
        assert_eq!(merged, before);
        assert_eq!(merged.buckets().map(|bucket| bucket.count).sum::<u64>(), 9_000);
    }

    #[test]
    fn an_empty_histogram_has_figures_of_zero() {
        let empty = Histogram::default();
        assert!(empty.is_empty());
        assert_eq!((empty.min_ns(), empty.max_ns(), empty.quantile_ns(0.5)), (0, 0, 0));
        assert!(empty.mean_ns() == 0.0);
    }

    #[test]
    fn what_takes_longer_than_an_hour_counts_as_an_hour() {
        let histogram: Histogram = [0, u64::MAX].into_iter().collect();
        assert_eq!(histogram.count(), 2);
        assert_eq!(histogram.min_ns(), 0);
        assert_eq!(histogram.max_ns(), highest_of(slot_of(HIGHEST_NS)));
    }
}

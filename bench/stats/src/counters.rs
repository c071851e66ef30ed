//! Counters that one thread records latencies into.
//!
//! Invariants: recording is a shift, an addition and two comparisons, without branches that
//! depend on the latency and without allocation. `lowest..=highest` covers every counter that is
//! not zero, so that taking the counts touches only what was used. Counters are 64 bits wide:
//! they do not overflow, however late they are taken.

use crate::histogram::{Histogram, SLOTS, slot_of};

/// Counts per slot, all of them in memory.
#[derive(Debug)]
pub(crate) struct Counters {
    counts: Box<[u64]>,
    lowest: usize,
    highest: usize,
}

impl Counters {
    /// Counters at zero; 264 KiB, of which the system gives only the pages that are used.
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; SLOTS].into_boxed_slice(), lowest: SLOTS, highest: 0 }
    }

    /// Counts one latency.
    #[inline]
    pub(crate) fn record(&mut self, latency_ns: u64) {
        let slot = slot_of(latency_ns);
        self.counts[slot] += 1;
        self.lowest = self.lowest.min(slot);
        self.highest = self.highest.max(slot);
    }

    /// Whether nothing was recorded since the counts were last taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.lowest == SLOTS
    }

    /// What was recorded, and zero again.
    pub(crate) fn take(&mut self) -> Histogram {
        if self.is_empty() {
            return Histogram::default();
        }
        let mut counts = Vec::new();
        for slot in self.lowest..=self.highest {
            let count = std::mem::take(&mut self.counts[slot]);
            if count > 0 {
                counts.push((slot as u32, count));
            }
        }
        self.lowest = SLOTS;
        self.highest = 0;
        Histogram::from_slots(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone() {
        let mut counters = Counters::new();
        assert!(counters.is_empty());
        for latency_ns in [5, 5, 1_000_000, 0] {
            counters.record(latency_ns);
        }
        let taken = counters.take();
        assert_eq!(taken.count(), 4);
        assert_eq!(taken.quantile_ns(0.5), 5);
        assert!(counters.is_empty() && counters.take().is_empty());
        counters.record(7);
        assert_eq!(counters.take().max_ns(), 7);
    }
}

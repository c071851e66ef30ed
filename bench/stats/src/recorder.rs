//! What one thread records while it runs.
//!
//! Invariants: a latency finds its counters by arithmetic on operation, size class and kind: no
//! hashing, no lock, no clock, and no allocation after the first latency of its cell. What is
//! taken is gone from the recorder, so that the sum of all intervals is exactly what was recorded.

use crate::counters::Counters;
use crate::interval::Interval;
use crate::key::{LatencyKind, SizeClass};
use crate::operation::Operation;

/// Kinds of latency of one cell.
const KINDS: usize = LatencyKind::ALL.len();
/// Operations times size classes.
const CELLS: usize = Operation::ALL.len() * SizeClass::ALL.len();

/// Successes of one cell.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: u64,
    bytes: u64,
}

/// The record of one thread.
///
/// **Runs on**: the thread that owns it. Memory: 264 KiB of address space for each operation,
/// size class and kind that occurs, of which the pages of the latencies that occur are used.
#[derive(Debug)]
pub struct Recorder {
    /// When the running interval began.
    start_ns: u64,
    tallies: Vec<Tally>,
    counters: Vec<Option<Box<Counters>>>,
    schedule_lag: Counters,
    /// What is rare: errors, shed operations, mismatches, CPU time.
    rare: Interval,
}

const fn cell_index(operation: Operation, size_class: SizeClass) -> usize {
    operation.index() * SizeClass::ALL.len() + size_class.index()
}

impl Recorder {
    /// A recorder whose first interval begins at `start_ns` of the phase.
    #[must_use]
    pub fn new(start_ns: u64) -> Self {
        Self {
            start_ns,
            tallies: vec![Tally::default(); CELLS],
            counters: std::iter::repeat_with(|| None).take(CELLS * KINDS).collect(),
            schedule_lag: Counters::new(),
            rare: Interval::default(),
        }
    }

    /// Records a latency of an operation that succeeded.
    #[inline]
    pub fn record(
        &mut self,
        operation: Operation,
        size_class: SizeClass,
        kind: LatencyKind,
        latency_ns: u64,
    ) {
        let index = cell_index(operation, size_class) * KINDS + kind.index();
        let counters = &mut self.counters[index];
        counters.get_or_insert_with(|| Box::new(Counters::new())).record(latency_ns);
    }

    /// Counts an operation that succeeded, and the object bytes that it moved.
    #[inline]
    pub fn count(&mut self, operation: Operation, size_class: SizeClass, bytes: u64) {
        let tally = &mut self.tallies[cell_index(operation, size_class)];
        tally.count += 1;
        tally.bytes = tally.bytes.saturating_add(bytes);
    }

    /// Counts an operation that failed; `code` is the server's or the client's word for why.
    pub fn count_error(&mut self, operation: Operation, size_class: SizeClass, code: &str) {
        self.rare.cell_mut(operation, size_class).count_errors(code, 1);
    }

    /// Counts operations that were planned and given up because the backlog was full.
    pub fn count_shed(&mut self, operations: u64) {
        self.rare.shed = self.rare.shed.saturating_add(operations);
    }

    /// Counts a payload that was not what had been written.
    pub fn count_mismatch(&mut self) {
        self.rare.mismatches = self.rare.mismatches.saturating_add(1);
    }

    /// Records how late the generator began an operation of an open loop, by its own fault.
    #[inline]
    pub fn record_schedule_lag(&mut self, lag_ns: u64) {
        self.schedule_lag.record(lag_ns);
    }

    /// Adds CPU time that this thread has used.
    pub fn add_client_cpu(&mut self, cpu_ns: u64) {
        self.rare.client_cpu_ns = self.rare.client_cpu_ns.saturating_add(cpu_ns);
    }

    /// Ends the running interval at `now_ns` of the phase, answers it and begins the next.
    pub fn take_interval(&mut self, now_ns: u64) -> Interval {
        let mut interval = std::mem::take(&mut self.rare);
        interval.start_ns = self.start_ns;
        interval.end_ns = now_ns.max(self.start_ns);
        self.start_ns = interval.end_ns;
        interval.schedule_lag = self.schedule_lag.take();
        for operation in Operation::ALL {
            for size_class in SizeClass::ALL {
                self.take_cell(operation, size_class, &mut interval);
            }
        }
        interval
    }

    fn take_cell(&mut self, operation: Operation, size_class: SizeClass, into: &mut Interval) {
        let index = cell_index(operation, size_class);
        let tally = std::mem::take(&mut self.tallies[index]);
        let counters = &mut self.counters[index * KINDS..(index + 1) * KINDS];
        let measured = counters.iter().flatten().any(|counters| !counters.is_empty());
        if tally.count == 0 && !measured {
            return;
        }
        let cell = into.cell_mut(operation, size_class);
        cell.count = tally.count;
        cell.bytes = tally.bytes;
        for (kind, counters) in LatencyKind::ALL.into_iter().zip(counters) {
            if let Some(counters) = counters {
                *cell.latency_mut(kind) = counters.take();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use crate::testing::latencies;

    #[test]
    fn the_sum_of_the_intervals_is_what_was_recorded() {
        let values = latencies(11, 5_000);
        let mut recorder = Recorder::new(0);
        let mut sum = Interval::default();
        for (index, latency_ns) in values.iter().enumerate() {
            recorder.record(
                Operation::Get,
                SizeClass::UpTo4KiB,
                LatencyKind::Response,
                *latency_ns,
            );
            recorder.count(Operation::Get, SizeClass::UpTo4KiB, 4_096);
            if index % 700 == 699 {
                sum.add(&recorder.take_interval(index as u64));
            }
        }
        sum.add(&recorder.take_interval(5_000));
        let cell = sum.cell(Operation::Get, SizeClass::UpTo4KiB).unwrap();
        assert_eq!((cell.count, cell.bytes), (5_000, 5_000 * 4_096));
        let expected: Histogram = values.iter().copied().collect();
        assert_eq!(*cell.latency(LatencyKind::Response), expected);
        assert!(cell.latency(LatencyKind::Service).is_empty());
        assert_eq!((sum.start_ns, sum.end_ns), (0, 5_000));
    }

    #[test]
    fn cells_and_kinds_do_not_mix() {
        let mut recorder = Recorder::new(0);
        let mut latency_ns = 0;
        for operation in Operation::ALL {
            for size_class in SizeClass::ALL {
                for kind in LatencyKind::ALL {
                    latency_ns += 1;
                    recorder.record(operation, size_class, kind, latency_ns);
                }
            }
        }
        let interval = recorder.take_interval(1);
        assert_eq!(interval.cells().len(), CELLS);
        let mut expected_ns = 0;
        for (_, _, cell) in interval.cells() {
            for kind in LatencyKind::ALL {
                expected_ns += 1;
                let histogram = cell.latency(kind);
                assert_eq!((histogram.count(), histogram.max_ns()), (1, expected_ns));
            }
        }
        assert_eq!(recorder.take_interval(2), Interval::new(1, 2));
    }

    #[test]
    fn what_is_rare_is_kept_too() {
        let mut recorder = Recorder::new(10);
        recorder.count_error(Operation::Put, SizeClass::Any, "SlowDown");
        recorder.count_shed(3);
        recorder.count_mismatch();
        recorder.record_schedule_lag(1_500);
        recorder.add_client_cpu(77);
        let interval = recorder.take_interval(5);
        assert_eq!((interval.start_ns, interval.end_ns), (10, 10), "time never goes back");
        assert_eq!(interval.error_count(), 1);
        assert_eq!((interval.shed, interval.mismatches, interval.client_cpu_ns), (3, 1, 77));
        assert_eq!(interval.schedule_lag.count(), 1);
        assert_eq!(recorder.take_interval(20), Interval::new(10, 20));
    }
}

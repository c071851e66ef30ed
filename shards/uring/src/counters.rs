//! What a drive has done, readable from every thread.

use crate::queue::Direction;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one drive. Written by its shard, read by anyone; all only rise, but `in_flight`.
#[derive(Debug, Default)]
pub struct DriveCounters {
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
    pub(crate) write_bytes: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) read_us: AtomicU64,
    pub(crate) write_us: AtomicU64,
    pub(crate) flush_us: AtomicU64,
    pub(crate) background_ios: AtomicU64,
    pub(crate) background_bytes: AtomicU64,
    pub(crate) in_flight_reads_max: AtomicU64,
    pub(crate) in_flight_writes_max: AtomicU64,
    pub(crate) waited: AtomicU64,
}

/// One look at `DriveCounters`. A write joined to its flush counts as a write and as a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DriveStatistics {
    /// Reads completed, failed ones included.
    pub reads: u64,
    /// Writes completed, failed ones included.
    pub writes: u64,
    /// Flushes of one file completed, failed ones included.
    pub flushes: u64,
    /// Bytes asked for by those reads.
    pub read_bytes: u64,
    /// Bytes handed over by those writes.
    pub write_bytes: u64,
    /// Operations the device failed.
    pub errors: u64,
    /// Operations that missed their deadline.
    pub timeouts: u64,
    /// Operations at the device now.
    pub in_flight: u64,
    /// Sum of the latencies of reads.
    pub read_us: u64,
    /// Sum of the latencies of writes.
    pub write_us: u64,
    /// Sum of the latencies of flushes.
    pub flush_us: u64,
    /// Reads and writes of background work completed, failed ones included.
    pub background_ios: u64,
    /// Bytes of those.
    pub background_bytes: u64,
    /// The most reads that were ever at the device at once.
    pub in_flight_reads_max: u64,
    /// The most writes and flushes that ever were.
    pub in_flight_writes_max: u64,
    /// Operations that had to wait for a place at the device.
    pub waited: u64,
}

impl DriveCounters {
    /// The values now; each is exact, together they may be of slightly different moments.
    #[must_use]
    pub fn statistics(&self) -> DriveStatistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DriveStatistics {
            reads: get(&self.reads),
            writes: get(&self.writes),
            flushes: get(&self.flushes),
            read_bytes: get(&self.read_bytes),
            write_bytes: get(&self.write_bytes),
            errors: get(&self.errors),
            timeouts: get(&self.timeouts),
            in_flight: get(&self.in_flight),
            read_us: get(&self.read_us),
            write_us: get(&self.write_us),
            flush_us: get(&self.flush_us),
            background_ios: get(&self.background_ios),
            background_bytes: get(&self.background_bytes),
            in_flight_reads_max: get(&self.in_flight_reads_max),
            in_flight_writes_max: get(&self.in_flight_writes_max),
            waited: get(&self.waited),
        }
    }

    /// One more operation is at the device: with it so many of its direction are.
    pub(crate) fn began(&self, direction: Direction, at_device: usize) {
        let most = match direction {
            Direction::Read => &self.in_flight_reads_max,
            Direction::Write => &self.in_flight_writes_max,
        };
        most.fetch_max(at_device as u64, Ordering::Relaxed);
        add(&self.in_flight, 1);
    }
}

/// Adds to a counter that only its shard writes.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

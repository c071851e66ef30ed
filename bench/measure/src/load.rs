//! What is asked of a drive, and what it answers.
//!
//! Invariant: a drive is known by this trait alone, so that all of the plan is tested on one that
//! only counts.

use crate::error::MeasureError;
use bench_stats::Histogram;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Reads and writes of random places.
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Reads and writes one behind the other.
pub(crate) const LARGE_BYTES: u64 = 1 << 20;

/// Of reads and writes, which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads only.
    Read,
    /// Writes only.
    Write,
    /// Seven reads to three writes, by lot.
    Mixed,
    /// Writes, each with a flush behind it.
    Flush,
    /// One read of 4 KiB at a time, beside writes: only the reads are counted.
    LoadedRead,
}

/// Where the next transfer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Anywhere.
    Random,
    /// Behind the one before.
    Sequential,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) access: Access,
    pub(crate) pattern: Pattern,
    pub(crate) io_bytes: u64,
    /// Transfers at once.
    pub(crate) depth: u32,
}

/// When it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After this time, and one transfer at least.
    Elapsed(Duration),
    /// Once so much was moved.
    Moved(u64),
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    /// Transfers that were counted.
    pub(crate) ios: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// How long each transfer took, where one was under way at a time.
    pub(crate) latencies: Histogram,
}

impl Sample {
    /// Transfers a second.
    pub(crate) fn ios_per_sec(&self) -> f64 {
        per_second(self.ios, self.elapsed)
    }

    /// Bytes a second.
    pub(crate) fn bytes_per_sec(&self) -> f64 {
        per_second(self.bytes, self.elapsed)
    }
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    // A clock that stood still must not make a rate of no number.
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// Something that is measured.
pub(crate) trait Drive: Send {
    /// Bytes that are read and written.
    fn span_bytes(&self) -> u64;

    /// Carries out a load.
    ///
    /// # Errors
    /// Where a transfer fails, or the user has ended it.
    fn run(&mut self, load: &Load, until: Until, stop: &AtomicBool)
    -> Result<Sample, MeasureError>;
}

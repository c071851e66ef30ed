//! Who a drive is, and what it counts.

use engine_types::{DeploymentId, DriveId, Position, SetId};
use std::cell::Cell;

/// Who a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveIdentity {
    /// The drive.
    pub drive: DriveId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its erasure set.
    pub set: SetId,
    /// Its place in the set.
    pub position: Position,
    /// Drives of the set.
    pub set_size: u8,
    /// Erasure sets of the pool.
    pub set_count: u16,
    /// Parity cells of a stripe, by default.
    pub parity: u8,
    /// Whether it must be rebuilt before it may be in sync.
    pub rebuilding: bool,
    /// Rises with each opening.
    pub incarnation: u32,
}

/// What a drive has done and holds; for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriveUsage {
    /// The most it may hold.
    pub capacity_bytes: u64,
    /// What data may still take, down to the reserve.
    pub free_bytes: u64,
    /// Records not durable yet.
    pub log_depth: usize,
    /// Log batches since it was opened.
    pub batches: u64,
    /// Log records since it was opened.
    pub records: u64,
    /// Flushes since it was opened.
    pub flushes: u64,
    /// Writes prepared here and not known settled.
    pub pending: usize,
    /// Checkpoints since it was opened.
    pub checkpoints: u64,
    /// Segments cleaned since it was opened.
    pub cleaned_segments: u64,
    /// Blocks whose sum did not hold since it was opened.
    pub corrupt_blocks: u64,
    /// Fragments and payloads written anew since it was opened, because they had gone bad.
    pub healed: u64,
    /// Segments that take nothing new until it is opened again, because bytes of them went bad.
    pub quarantined_segments: u32,
    /// Segments of the log given up for a failed write since it was opened.
    pub sealed_segments: u64,
    /// Runs of the index.
    pub runs: usize,
    /// Bytes of memory of the index.
    pub index_memory_bytes: usize,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub flushes: Cell<u64>,
    pub checkpoints: Cell<u64>,
    pub cleaned: Cell<u64>,
    pub corrupt: Cell<u64>,
    pub healed: Cell<u64>,
    pub sealed: Cell<u64>,
}

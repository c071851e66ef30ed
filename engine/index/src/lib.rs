//! Immutable sorted runs of one drive's index: blocks, filter, sparse index, merge.
//!
//! Invariants: bytes in, bytes out, no I/O and no clock; keys are opaque and sort by their bytes;
//! a value of `None` is a deletion mark (tombstone). Every frame (block, tail) is a whole number
//! of `UNIT_BYTES`, carries a CRC-64/NVME over all bytes behind the sum, padding included, and is
//! bounded and summed before anything in it is used: no bytes whatever make a reader panic.
//! A frame that parsed is valid throughout: entries in bounds, keys strictly rising.
//!
//! A run is its blocks, one behind the other from offset 0, then its tail. All integers are
//! little-endian. Source: reference/engine.md 2e and 3.3.

mod block;
mod builder;
mod entries;
mod error;
mod filter;
mod frame;
mod merge;
mod run;
mod summary;

#[cfg(test)]
mod tests;

pub use block::{Block, BlockIter};
pub use builder::{FinishedRun, RunBuilder};
pub use error::IndexError;
pub use frame::VERSION as FORMAT_VERSION;
pub use merge::{BlockQueue, Merge, Merged, OnDropped, Source, Tombstones};
pub use run::{BlockLocation, RunIndex};
pub use summary::RunSummary;

/// The unit of every length and offset in a run.
pub const UNIT_BYTES: usize = 4096;
/// The longest key.
pub const KEY_BYTES_MAX: usize = 2200;
/// The longest value.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// The length of a block, unless a single entry needs more; less at the end of a run.
pub const BLOCK_BYTES_TARGET: usize = 16 * 1024;
/// The length of the largest block: one entry with the longest key and value.
pub const BLOCK_BYTES_MAX: usize = 17 * UNIT_BYTES;

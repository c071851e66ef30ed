//! What a checkpoint keeps of a run.
//!
//! ```text
//! 0   run id        u64
//! 8   entry count   u64
//! 16  blocks bytes  u64  also the offset of the tail
//! 24  tail bytes    u64
//! 32  tail sum      u64
//! 40  level         u8, then 7 zeros
//! ```
//! The sum over these bytes belongs to the checkpoint around them.

use crate::frame::u64_at;
use crate::{IndexError, UNIT_BYTES};

/// A run as its checkpoint names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSummary {
    /// The run, for ever: ids are never used again on a drive.
    pub run_id: u64,
    /// Entries, tombstones included.
    pub entry_count: u64,
    /// Bytes of all blocks; the offset of the tail.
    pub blocks_bytes: u64,
    /// Bytes of the tail.
    pub tail_bytes: u64,
    /// The sum of the tail.
    pub tail_sum: u64,
    /// The level of the LSM. `RunBuilder` leaves 0: only the caller knows, and it may move a run
    /// to another level without rewriting it.
    pub level: u8,
}

impl RunSummary {
    /// Bytes of an encoded summary.
    pub const ENCODED_BYTES: usize = 48;

    /// Bytes of the whole run.
    #[must_use]
    pub fn run_bytes(&self) -> u64 {
        self.blocks_bytes + self.tail_bytes
    }

    /// The fixed layout.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_BYTES] {
        let mut bytes = [0; Self::ENCODED_BYTES];
        let fields =
            [self.run_id, self.entry_count, self.blocks_bytes, self.tail_bytes, self.tail_sum];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes[40] = self.level;
        bytes
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// `IndexError` if the length is not `ENCODED_BYTES` or the numbers are impossible.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        if bytes.len() != Self::ENCODED_BYTES {
            return Err(IndexError::Length { found_bytes: bytes.len() });
        }
        let summary = Self {
            run_id: u64_at(bytes, 0)?,
            entry_count: u64_at(bytes, 8)?,
            blocks_bytes: u64_at(bytes, 16)?,
            tail_bytes: u64_at(bytes, 24)?,
            tail_sum: u64_at(bytes, 32)?,
            level: bytes[40],
        };
        let unit_bytes = UNIT_BYTES as u64;
        let whole = summary.blocks_bytes.is_multiple_of(unit_bytes)
            && summary.tail_bytes.is_multiple_of(unit_bytes);
        let sound = whole
            && summary.tail_bytes > 0
            && summary.blocks_bytes.checked_add(summary.tail_bytes).is_some()
            && (summary.entry_count == 0) == (summary.blocks_bytes == 0)
            && bytes[41..] == [0; 7];
        if sound { Ok(summary) } else { Err(IndexError::Malformed("run summary")) }
    }
}

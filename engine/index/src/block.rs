//! Blocks: the unit in which a run is read and cached.
//!
//! ```text
//! 0   sum, magic, version  (frame.rs)
//! 14  0              u16
//! 16  run id         u64
//! 24  block index    u32  counts from 0 in the run
//! 28  entry count    u32  at least 1
//! 32  payload bytes  u32
//! 36  0              u32
//! 40  payload             (entries.rs)
//!     zeros to a multiple of 4096
//! ```
//! Invariants: a `Block` was summed, bounded and walked when made; run id and index in the block
//! catch misdirected writes, the sum kept in the sparse index catches lost ones.

use crate::entries::{Cursor, EntriesBuilder, View};
use crate::frame;
use crate::merge::Source;
use crate::{BLOCK_BYTES_MAX, BlockLocation, IndexError, UNIT_BYTES};
use std::sync::Arc;

const MAGIC: u32 = u32::from_le_bytes(*b"bsIB");
/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 40;

/// Frames the entries as a block; returns it with its sum.
pub(crate) fn encode(entries: &EntriesBuilder, run_id: u64, index: u32) -> (Vec<u8>, u64) {
    let payload_bytes = entries.encoded_bytes();
    let block_bytes = (HEADER_BYTES + payload_bytes).next_multiple_of(UNIT_BYTES);
    assert!(block_bytes <= BLOCK_BYTES_MAX, "a block holds one entry at least, and fits");
    let mut block = frame::begin(MAGIC, block_bytes);
    block.extend_from_slice(&[0; 2]);
    block.extend_from_slice(&run_id.to_le_bytes());
    block.extend_from_slice(&index.to_le_bytes());
    block.extend_from_slice(&entries.count().to_le_bytes());
    block.extend_from_slice(&(payload_bytes as u32).to_le_bytes());
    block.extend_from_slice(&[0; 4]);
    entries.write_to(&mut block);
    let sum = frame::seal(&mut block);
    (block, sum)
}

/// A checked block. Cloning shares the bytes.
///
/// **Shape**: the encoded bytes, shared, and where the parts begin.
/// **Runs on** any thread.
#[derive(Debug, Clone)]
pub struct Block {
    bytes: Arc<[u8]>,
    payload_end: usize,
    split: usize,
    index: u32,
    entry_count: u32,
    sum: u64,
}

impl Block {
    /// Checks the bytes of a block of the run `expected_run_id`.
    ///
    /// # Errors
    /// `IndexError` if the bytes are not that block as it was written.
    pub fn parse(
        bytes: impl Into<Arc<[u8]>>,
        expected_run_id: u64,
        expected_index: u32,
    ) -> Result<Self, IndexError> {
        Self::check(bytes.into(), expected_run_id, expected_index)
    }

    /// As `parse`, and the length and the sum must be those that the sparse index names.
    ///
    /// # Errors
    /// As `parse`; `IndexError::OtherSum` if this is a whole block, but not that one.
    pub fn parse_at(
        bytes: impl Into<Arc<[u8]>>,
        expected_run_id: u64,
        location: &BlockLocation,
    ) -> Result<Self, IndexError> {
        let bytes = bytes.into();
        if bytes.len() != location.length_bytes as usize {
            return Err(IndexError::Length { found_bytes: bytes.len() });
        }
        let block = Self::check(bytes, expected_run_id, location.index)?;
        if block.sum != location.sum {
            return Err(IndexError::OtherSum);
        }
        Ok(block)
    }

    fn check(
        bytes: Arc<[u8]>,
        expected_run_id: u64,
        expected_index: u32,
    ) -> Result<Self, IndexError> {
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(IndexError::Length { found_bytes: bytes.len() });
        }
        let sum = frame::open(&bytes, MAGIC)?;
        let found_run_id = frame::u64_at(&bytes, 16)?;
        if found_run_id != expected_run_id {
            return Err(IndexError::Run { expected: expected_run_id, found: found_run_id });
        }
        let index = frame::u32_at(&bytes, 24)?;
        if index != expected_index {
            return Err(IndexError::Block { expected: expected_index, found: index });
        }
        let entry_count = frame::u32_at(&bytes, 28)?;
        let payload_bytes = frame::u32_at(&bytes, 32)? as usize;
        if entry_count == 0 || frame::u16_at(&bytes, 14)? != 0 || frame::u32_at(&bytes, 36)? != 0 {
            return Err(IndexError::Malformed("block header"));
        }
        let payload_end = HEADER_BYTES + payload_bytes;
        if payload_end.next_multiple_of(UNIT_BYTES) != bytes.len() {
            return Err(IndexError::Malformed("payload length"));
        }
        let (_, split) = View::parse(&bytes[HEADER_BYTES..payload_end], entry_count)?;
        Ok(Self { bytes, payload_end, split, index, entry_count, sum })
    }

    /// What the block knows of a key: `None` nothing, `Some(None)` that it was deleted,
    /// `Some(Some(value))` its value.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let mut cursor = Cursor::default();
        cursor.seek(self.view(), key);
        if cursor.key()? != key {
            return None;
        }
        Some(cursor.value(self.view()))
    }

    /// The entries from the first whose key is not below `key`.
    #[must_use]
    pub fn seek(&self, key: &[u8]) -> BlockIter {
        let mut cursor = Cursor::default();
        cursor.seek(self.view(), key);
        BlockIter { block: self.clone(), cursor }
    }

    /// All entries.
    #[must_use]
    pub fn iter(&self) -> BlockIter {
        let mut cursor = Cursor::default();
        cursor.jump(self.view(), 0);
        BlockIter { block: self.clone(), cursor }
    }

    /// Entries of the block, at least 1.
    #[must_use]
    pub fn entry_count(&self) -> u32 {
        self.entry_count
    }

    /// The block's place in its run.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The block's sum, as the sparse index keeps it.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The encoded length; what a cache accounts.
    #[must_use]
    pub fn length_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn view(&self) -> View<'_> {
        View::again(&self.bytes[HEADER_BYTES..self.payload_end], self.split)
    }
}

/// A walk through the entries of a block, in order; see `Source`. It shares the block's bytes
/// and borrows nothing, so it may wait for I/O.
#[derive(Debug, Clone)]
pub struct BlockIter {
    block: Block,
    cursor: Cursor,
}

impl Source for BlockIter {
    fn peek(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let key = self.cursor.key()?;
        Some((key, self.cursor.value(self.block.view())))
    }

    fn advance(&mut self) {
        self.cursor.step(self.block.view());
    }
}

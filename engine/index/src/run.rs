//! The tail of a run and the index that is kept of it in memory.
//!
//! ```text
//! 0   sum, magic, version  (frame.rs)
//! 14  first key bytes  u16
//! 16  run id           u64
//! 24  entry count      u64
//! 32  blocks bytes     u64
//! 40  filter bytes     u64
//! 48  block count      u32
//! 52  sparse bytes     u32
//! 56  last key bytes   u16
//! 58  zeros            6 bytes
//! 64  first key, last key
//!     sparse index  (entries.rs): separator -> offset u64, length u32, sum u64 of the block
//!     filter        (filter.rs)
//!     zeros to a multiple of 4096
//! ```
//! Invariants: a `RunIndex` agrees with its summary; its blocks lie one behind the other from
//! offset 0 to the tail. Memory: the sparse index as it is encoded (about 0.4 bytes a key at
//! entries of 200 bytes) and the filter (1.25 bytes a key).

use crate::entries::{EntriesBuilder, View};
use crate::filter::{Filter, hash_of};
use crate::frame::{self, u16_at, u32_at, u64_at};
use crate::{BLOCK_BYTES_MAX, IndexError, KEY_BYTES_MAX, RunSummary, UNIT_BYTES};

const MAGIC: u32 = u32::from_le_bytes(*b"bsIT");
/// Bytes before the first key.
const HEADER_BYTES: usize = 64;
/// Bytes of a block's location in the sparse index.
const LOCATION_BYTES: usize = 20;

/// Where a block lies and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLocation {
    /// Its place among the run's blocks.
    pub index: u32,
    /// Its offset in the run.
    pub offset_bytes: u64,
    /// Its length.
    pub length_bytes: u32,
    /// Its sum, as the block itself must carry it.
    pub sum: u64,
}

/// What goes into a tail.
pub(crate) struct TailParts<'a> {
    pub(crate) run_id: u64,
    pub(crate) entry_count: u64,
    pub(crate) blocks_bytes: u64,
    pub(crate) first_key: &'a [u8],
    pub(crate) last_key: &'a [u8],
    pub(crate) sparse: &'a EntriesBuilder,
    pub(crate) filter: &'a Filter,
}

/// Frames a tail; returns it with its sum.
pub(crate) fn encode_tail(parts: &TailParts<'_>) -> (Vec<u8>, u64) {
    let sparse_bytes = parts.sparse.encoded_bytes();
    assert!(sparse_bytes <= u32::MAX as usize, "a sparse index is below 4 GiB");
    let filter_bytes = parts.filter.encoded_bytes();
    let keys_bytes = parts.first_key.len() + parts.last_key.len();
    let tail_bytes = HEADER_BYTES + keys_bytes + sparse_bytes + filter_bytes;
    let mut tail = frame::begin(MAGIC, tail_bytes.next_multiple_of(UNIT_BYTES));
    tail.extend_from_slice(&(parts.first_key.len() as u16).to_le_bytes());
    tail.extend_from_slice(&parts.run_id.to_le_bytes());
    tail.extend_from_slice(&parts.entry_count.to_le_bytes());
    tail.extend_from_slice(&parts.blocks_bytes.to_le_bytes());
    tail.extend_from_slice(&(filter_bytes as u64).to_le_bytes());
    tail.extend_from_slice(&parts.sparse.count().to_le_bytes());
    tail.extend_from_slice(&(sparse_bytes as u32).to_le_bytes());
    tail.extend_from_slice(&(parts.last_key.len() as u16).to_le_bytes());
    tail.extend_from_slice(&[0; 6]);
    tail.extend_from_slice(parts.first_key);
    tail.extend_from_slice(parts.last_key);
    parts.sparse.write_to(&mut tail);
    parts.filter.write_to(&mut tail);
    let sum = frame::seal(&mut tail);
    (tail, sum)
}

/// A location as the sparse index keeps it; the block's index is its rank there.
pub(crate) fn encode_location(location: &BlockLocation) -> [u8; LOCATION_BYTES] {
    let mut bytes = [0; LOCATION_BYTES];
    bytes[..8].copy_from_slice(&location.offset_bytes.to_le_bytes());
    bytes[8..12].copy_from_slice(&location.length_bytes.to_le_bytes());
    bytes[12..].copy_from_slice(&location.sum.to_le_bytes());
    bytes
}

fn decode_location(index: u32, value: Option<&[u8]>) -> Result<BlockLocation, IndexError> {
    let bytes = value.filter(|bytes| bytes.len() == LOCATION_BYTES);
    let bytes = bytes.ok_or(IndexError::Malformed("block location"))?;
    Ok(BlockLocation {
        index,
        offset_bytes: u64_at(bytes, 0)?,
        length_bytes: u32_at(bytes, 8)?,
        sum: u64_at(bytes, 12)?,
    })
}

/// What stays in memory of a run: filter, sparse index, bounds.
///
/// **Shape**: about 1.7 bytes a key; nothing of the blocks.
/// **Runs on** any thread.
#[derive(Debug)]
pub struct RunIndex {
    run_id: u64,
    entry_count: u64,
    block_count: u32,
    first_key: Box<[u8]>,
    last_key: Box<[u8]>,
    sparse: Box<[u8]>,
    split: usize,
    filter: Filter,
}

impl RunIndex {
    /// Checks a tail against the summary of its run and keeps what look-ups need.
    ///
    /// # Errors
    /// `IndexError` if the bytes are not that tail as it was written.
    pub fn parse(tail: &[u8], summary: &RunSummary) -> Result<Self, IndexError> {
        if tail.len() as u64 != summary.tail_bytes {
            return Err(IndexError::Length { found_bytes: tail.len() });
        }
        if frame::open(tail, MAGIC)? != summary.tail_sum {
            return Err(IndexError::OtherSum);
        }
        let run_id = u64_at(tail, 16)?;
        if run_id != summary.run_id {
            return Err(IndexError::Run { expected: summary.run_id, found: run_id });
        }
        let entry_count = u64_at(tail, 24)?;
        let block_count = u32_at(tail, 48)?;
        let agrees =
            entry_count == summary.entry_count && u64_at(tail, 32)? == summary.blocks_bytes;
        let empty = entry_count == 0;
        if !agrees || empty != (block_count == 0) || tail[58..HEADER_BYTES] != [0; 6] {
            return Err(IndexError::Malformed("tail header"));
        }
        let [first_key, last_key, sparse, filter] = sections(tail)?;
        let keys_fit = first_key.len() <= KEY_BYTES_MAX && last_key.len() <= KEY_BYTES_MAX;
        if !keys_fit || first_key > last_key {
            return Err(IndexError::Malformed("bounds of the keys"));
        }
        let (view, split) = View::parse(sparse, block_count)?;
        check_locations(view, block_count, summary.blocks_bytes)?;
        let filter = Filter::parse(filter).ok_or(IndexError::Malformed("filter"))?;
        Ok(Self {
            run_id,
            entry_count,
            block_count,
            first_key: first_key.into(),
            last_key: last_key.into(),
            sparse: sparse.into(),
            split,
            filter,
        })
    }

    /// `false` only if the run has no entry for the key; then no block need be read.
    #[must_use]
    pub fn may_contain(&self, key: &[u8]) -> bool {
        self.in_bounds(key) && self.filter.may_contain(hash_of(key))
    }

    /// The block that holds the key if any does. It does not ask the filter.
    #[must_use]
    pub fn block_for(&self, key: &[u8]) -> Option<BlockLocation> {
        if self.in_bounds(key) { self.floor(key) } else { None }
    }

    /// Where a scan from `key` begins: the block that may hold the first key not below it. If
    /// that block has none, the first key of the next block is the one. `None` behind the run.
    #[must_use]
    pub fn block_from(&self, key: &[u8]) -> Option<BlockLocation> {
        if self.block_count == 0 || key > &*self.last_key { None } else { self.floor(key) }
    }

    /// The numbered block.
    #[must_use]
    pub fn block(&self, index: u32) -> Option<BlockLocation> {
        if index >= self.block_count {
            return None;
        }
        decode_location(index, self.view().value_of(index)).ok()
    }

    /// How many blocks.
    #[must_use]
    pub fn block_count(&self) -> u32 {
        self.block_count
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> u64 {
        self.run_id
    }

    /// Entries, tombstones included.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.entry_count
    }

    /// The smallest and the largest key; `None` of an empty run.
    #[must_use]
    pub fn bounds(&self) -> Option<(&[u8], &[u8])> {
        (self.block_count > 0).then_some((&*self.first_key, &*self.last_key))
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let keys_bytes = self.first_key.len() + self.last_key.len();
        size_of::<Self>() + keys_bytes + self.sparse.len() + self.filter.encoded_bytes()
    }

    fn in_bounds(&self, key: &[u8]) -> bool {
        self.block_count > 0 && key >= &*self.first_key && key <= &*self.last_key
    }

    fn floor(&self, key: &[u8]) -> Option<BlockLocation> {
        let (index, value) = self.view().floor(key)?;
        decode_location(index, value).ok()
    }

    fn view(&self) -> View<'_> {
        View::again(&self.sparse, self.split)
    }
}

/// Cuts a tail whose sum holds into first key, last key, sparse index and filter.
fn sections(tail: &[u8]) -> Result<[&[u8]; 4], IndexError> {
    let outside = IndexError::Malformed("a section lies outside");
    let filter_bytes = usize::try_from(u64_at(tail, 40)?).map_err(|_| outside)?;
    let lengths = [
        usize::from(u16_at(tail, 14)?),
        usize::from(u16_at(tail, 56)?),
        u32_at(tail, 52)? as usize,
        filter_bytes,
    ];
    let mut sections: [&[u8]; 4] = [&[]; 4];
    let mut rest = tail.get(HEADER_BYTES..).ok_or(outside)?;
    for (section, length) in sections.iter_mut().zip(lengths) {
        let (head, behind) = rest.split_at_checked(length).ok_or(outside)?;
        *section = head;
        rest = behind;
    }
    if rest.len() >= UNIT_BYTES {
        return Err(IndexError::Malformed("more padding than needed"));
    }
    Ok(sections)
}

/// Checks that the blocks fill the run from its start to its tail, and that every key has one.
fn check_locations(view: View<'_>, count: u32, blocks_bytes: u64) -> Result<(), IndexError> {
    let mut end_bytes = 0_u64;
    for index in 0..count {
        let location = decode_location(index, view.value_of(index))?;
        let length_bytes = location.length_bytes as usize;
        let possible = (UNIT_BYTES..=BLOCK_BYTES_MAX).contains(&length_bytes)
            && length_bytes.is_multiple_of(UNIT_BYTES);
        if !possible || location.offset_bytes != end_bytes {
            return Err(IndexError::Malformed("block location"));
        }
        end_bytes += length_bytes as u64;
    }
    let reaches_down = count == 0 || view.floor(&[]).is_some();
    if end_bytes != blocks_bytes || !reaches_down {
        return Err(IndexError::Malformed("blocks do not fill the run"));
    }
    Ok(())
}

//! Writing a run: entries in, blocks out as they fill, the tail at the end.
//!
//! Invariants: keys strictly rise; a block is closed before it would pass `BLOCK_BYTES_TARGET`,
//! so only a block of one entry is ever longer; the sparse index holds for each block a key above
//! every key before it and not above its first, as short as possible, and for block 0 the empty
//! key.

use crate::block::{self, HEADER_BYTES};
use crate::entries::{EntriesBuilder, common_prefix_bytes};
use crate::filter::{Filter, hash_of};
use crate::run::{self, TailParts};
use crate::{BLOCK_BYTES_TARGET, BlockLocation, KEY_BYTES_MAX, RunSummary, VALUE_BYTES_MAX};
use std::collections::VecDeque;

/// The last parts of a run.
#[derive(Debug)]
pub struct FinishedRun {
    /// The blocks that `take_block` has not handed out, in order.
    pub blocks: Vec<Vec<u8>>,
    /// The tail: filter, sparse index, bounds. It lies behind the last block.
    pub tail: Vec<u8>,
    /// What the checkpoint keeps; its level is 0 until the caller sets it.
    pub summary: RunSummary,
}

/// Builds a run.
///
/// **Shape**: one open block, the sparse index and the filter of the whole run, and the blocks
/// nobody took yet.
/// **Runs on** any thread.
#[derive(Debug)]
pub struct RunBuilder {
    run_id: u64,
    open: EntriesBuilder,
    sparse: EntriesBuilder,
    filter: Filter,
    ready: VecDeque<Vec<u8>>,
    blocks_bytes: u64,
    entry_count: u64,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    separator: Vec<u8>,
}

impl RunBuilder {
    /// An empty run. The filter is sized for `expected_entries`; with more it still works, but
    /// passes more absent keys.
    ///
    /// # Panics
    /// If `expected_entries` is above 2^34.
    #[must_use]
    pub fn new(run_id: u64, expected_entries: u64) -> Self {
        Self {
            run_id,
            open: EntriesBuilder::default(),
            sparse: EntriesBuilder::default(),
            filter: Filter::new(expected_entries),
            ready: VecDeque::new(),
            blocks_bytes: 0,
            entry_count: 0,
            first_key: Vec::new(),
            last_key: Vec::new(),
            separator: Vec::new(),
        }
    }

    /// Appends an entry; a value of `None` is a tombstone.
    ///
    /// # Panics
    /// If the key is not above the one before, or key or value are too long.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        assert!(key.len() <= KEY_BYTES_MAX, "a key has at most 2,200 bytes");
        let value_bytes = value.map_or(0, <[u8]>::len);
        assert!(value_bytes <= VALUE_BYTES_MAX, "a value has at most 64 KiB");
        assert!(self.entry_count == 0 || key > self.last_key.as_slice(), "keys strictly rise");
        if self.open.count() > 0 {
            let grown_bytes = self.open.encoded_bytes() + self.open.cost_bytes(key, value);
            if HEADER_BYTES + grown_bytes > BLOCK_BYTES_TARGET {
                self.close_block();
            }
        }
        if self.entry_count == 0 {
            self.first_key.extend_from_slice(key);
        } else if self.open.count() == 0 {
            let separator_bytes = common_prefix_bytes(&self.last_key, key) + 1;
            self.separator.clear();
            self.separator.extend_from_slice(&key[..separator_bytes]);
        }
        self.open.push(key, value);
        self.filter.insert(hash_of(key));
        self.entry_count += 1;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
    }

    /// The next full block, to be written behind the ones before.
    pub fn take_block(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// Entries pushed.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.entry_count
    }

    /// Bytes of the blocks closed so far, taken or not.
    #[must_use]
    pub fn blocks_bytes(&self) -> u64 {
        self.blocks_bytes
    }

    /// Closes the last block and makes the tail. A run may be empty: no blocks, only a tail.
    #[must_use]
    pub fn finish(mut self) -> FinishedRun {
        if self.open.count() > 0 {
            self.close_block();
        }
        let (tail, tail_sum) = run::encode_tail(&TailParts {
            run_id: self.run_id,
            entry_count: self.entry_count,
            blocks_bytes: self.blocks_bytes,
            first_key: &self.first_key,
            last_key: &self.last_key,
            sparse: &self.sparse,
            filter: &self.filter,
        });
        let summary = RunSummary {
            run_id: self.run_id,
            entry_count: self.entry_count,
            blocks_bytes: self.blocks_bytes,
            tail_bytes: tail.len() as u64,
            tail_sum,
            level: 0,
        };
        FinishedRun { blocks: self.ready.into(), tail, summary }
    }

    fn close_block(&mut self) {
        let index = self.sparse.count();
        let (block, sum) = block::encode(&self.open, self.run_id, index);
        let location = BlockLocation {
            index,
            offset_bytes: self.blocks_bytes,
            length_bytes: block.len() as u32,
            sum,
        };
        let location = run::encode_location(&location);
        self.sparse.push(&self.separator, Some(location.as_slice()));
        self.blocks_bytes += block.len() as u64;
        self.ready.push_back(block);
        self.open.clear();
    }
}

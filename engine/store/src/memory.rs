//! Memory of the index: what a node has for it, what of that each drive may take, and what a drive
//! holds.
//!
//! Invariant: the shares of all drives come to no more than their node has (rule 23).

use crate::store::{Shared, Store};
use engine_env::{BrokenRules, Env, Rule};

/// Memory of the index: of a node, the share of one of its drives, or what a drive holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexMemory {
    /// Bytes of memtables.
    pub memtable_bytes: usize,
    /// Bytes of blocks kept in memory.
    pub block_cache_bytes: usize,
}

impl IndexMemory {
    /// What each of so many drives may take of a node's memory.
    #[must_use]
    pub fn share_of(self, drives: usize) -> Self {
        self.share_without(drives, BrokenRules::NONE)
    }

    /// The same where some rules may be broken.
    #[must_use]
    pub fn share_without(self, drives: usize, broken: BrokenRules) -> Self {
        let sharers = if broken.contains(Rule::IndexMemoryShared) { 1 } else { drives.max(1) };
        Self {
            memtable_bytes: self.memtable_bytes / sharers,
            block_cache_bytes: self.block_cache_bytes / sharers,
        }
    }
}

impl<E: Env> Store<E> {
    /// What memtables, the one being flushed included, and the block cache hold, as it is counted
    /// against their limits: what was overwritten in a memtable counts until the flush.
    #[must_use]
    pub fn index_memory(&self) -> IndexMemory {
        let state = self.shared.state.borrow();
        IndexMemory {
            memtable_bytes: state.memtable_bytes + state.frozen_bytes,
            block_cache_bytes: self.shared.runs.borrow().cache_bytes(),
        }
    }

    /// Whether a memtable is being flushed, or is full and will be. Writes go on meanwhile: only
    /// how fast they come limits what the memtables hold then.
    #[must_use]
    pub fn is_flushing(&self) -> bool {
        self.shared.state.borrow().frozen.is_some() || self.shared.is_memtable_full()
    }
}

impl<E: Env> Shared<E> {
    /// Whether the memtable should be flushed.
    pub(crate) fn is_memtable_full(&self) -> bool {
        self.state.borrow().memtable_bytes > self.config.memtable_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: IndexMemory = IndexMemory { memtable_bytes: 1000, block_cache_bytes: 70 };

    #[test]
    fn all_shares_come_to_no_more_than_the_node_has() {
        for drives in 1..40 {
            let share = NODE.share_of(drives);
            assert!(share.memtable_bytes * drives <= NODE.memtable_bytes, "{drives} drives");
            assert!(share.block_cache_bytes * drives <= NODE.block_cache_bytes, "{drives} drives");
        }
        assert_eq!(NODE.share_of(4), IndexMemory { memtable_bytes: 250, block_cache_bytes: 17 });
        // A node whose drives are yet to come.
        assert_eq!(NODE.share_of(0), NODE);
    }

    #[test]
    fn a_store_without_the_rule_gives_everything_to_each_drive() {
        let broken = BrokenRules::only(Rule::IndexMemoryShared);
        assert_eq!(NODE.share_without(4, broken), NODE);
        assert_eq!(NODE.share_without(4, BrokenRules::NONE), NODE.share_of(4));
    }
}

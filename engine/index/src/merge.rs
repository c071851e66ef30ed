//! Merging sorted sources: of one key, the entry of the newest source wins.
//!
//! Invariants: the keys that come out strictly rise, given sources whose keys strictly rise;
//! every entry that went in comes out, or is reported as dropped, exactly once. Sources hand out
//! what they hold in memory: one that waits for I/O says `starved`, and the merge stops there
//! until it is refilled, instead of taking it for ended.
//!
//! Whether a shadowed entry *may* go (commit.md rules 1 and 7: only below a settled one, a
//! tombstone only when all metadata positions hold it) is decided by the caller, who chooses
//! the sources and `Tombstones`.

use crate::{Block, BlockIter};
use std::collections::VecDeque;

/// Sorted entries, one at a time.
pub trait Source {
    /// The entry here: key, and value or `None` for a tombstone. `None` at the end, and while
    /// starved.
    fn peek(&self) -> Option<(&[u8], Option<&[u8]>)>;

    /// Goes to the next entry; at the end it does nothing.
    fn advance(&mut self);

    /// Whether there is no entry at hand although this may not be the end.
    fn starved(&self) -> bool {
        false
    }
}

/// Told of each entry that does not come out: key, and value or `None` for a tombstone.
pub type OnDropped<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// What becomes of the tombstones that win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// They come out: older entries may lie in sources that are not merged here.
    Keep,
    /// They are dropped and reported: nothing older is left, and nobody needs the mark.
    Drop,
}

/// What a merge answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Merged<'a> {
    /// The next entry: key, and value or `None` for a tombstone.
    Entry(&'a [u8], Option<&'a [u8]>),
    /// The numbered source must be refilled first.
    Starved(usize),
    /// All sources have ended.
    End,
}

/// A merge of sources, the newest first.
///
/// **Shape**: a tournament over the sources; each step plays one path of it.
/// **Runs on** whatever thread the sources allow.
#[derive(Debug)]
pub struct Merge<S> {
    sources: Vec<S>,
    /// Node n plays the winners of 2n and 2n+1; node 1 is the smallest of all; the leaves are
    /// the sources' numbers, those above the count standing for ended sources.
    tree: Vec<usize>,
    tombstones: Tombstones,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<S: Source> Merge<S> {
    /// A merge; of two sources with one key, the one that stands first wins.
    #[must_use]
    pub fn new(sources: Vec<S>, tombstones: Tombstones) -> Self {
        let leaves = sources.len().next_power_of_two();
        let mut tree = vec![0; leaves];
        tree.extend(0..leaves);
        let mut merge = Self { sources, tree, tombstones, key: Vec::new(), value: Vec::new() };
        for node in (1..leaves).rev() {
            merge.play(node);
        }
        merge
    }

    /// The next entry. `dropped` is told of each entry that does not come out: those shadowed by
    /// the entry returned, and tombstones under `Tombstones::Drop`.
    pub fn step(&mut self, dropped: &mut OnDropped<'_>) -> Merged<'_> {
        loop {
            if let Some(index) = self.sources.iter().position(|source| source.starved()) {
                return Merged::Starved(index);
            }
            let winner = self.tree[1];
            let Some((key, value)) = self.sources.get(winner).and_then(|source| source.peek())
            else {
                return Merged::End;
            };
            let alive = value.is_some();
            self.key.clear();
            self.key.extend_from_slice(key);
            self.value.clear();
            self.value.extend_from_slice(value.unwrap_or_default());
            self.advance(winner);
            self.drop_shadowed(dropped);
            if alive {
                return Merged::Entry(self.key.as_slice(), Some(self.value.as_slice()));
            }
            if self.tombstones == Tombstones::Keep {
                return Merged::Entry(self.key.as_slice(), None);
            }
            dropped(self.key.as_slice(), None);
        }
    }

    /// As `step`, for sources that never starve; `None` at the end.
    ///
    /// # Panics
    /// If a source starves.
    pub fn next_entry(&mut self, dropped: &mut OnDropped<'_>) -> Option<(&[u8], Option<&[u8]>)> {
        match self.step(dropped) {
            Merged::Entry(key, value) => Some((key, value)),
            Merged::End => None,
            Merged::Starved(index) => panic!("source {index} starves; call `step` and refill it"),
        }
    }

    /// Changes a source that was starved: gives it entries, or tells it that it has ended.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn refill(&mut self, index: usize, fill: impl FnOnce(&mut S)) {
        assert!(index < self.sources.len(), "only a source of this merge can be refilled");
        fill(&mut self.sources[index]);
        self.replay(index);
    }

    /// The sources, to see which need input soon.
    #[must_use]
    pub fn sources(&self) -> &[S] {
        &self.sources
    }

    /// Drops the entries of the key that was just taken from all other sources. A source that
    /// starves meanwhile has no such entry: its keys rise.
    fn drop_shadowed(&mut self, dropped: &mut OnDropped<'_>) {
        loop {
            let next = self.tree[1];
            let Some((key, value)) = self.sources.get(next).and_then(|source| source.peek()) else {
                return;
            };
            if key != self.key.as_slice() {
                return;
            }
            dropped(key, value);
            self.advance(next);
        }
    }

    fn advance(&mut self, index: usize) {
        self.sources[index].advance();
        self.replay(index);
    }

    /// Plays again all nodes above a leaf.
    fn replay(&mut self, index: usize) {
        let leaves = self.tree.len() / 2;
        let mut node = (leaves + index) / 2;
        while node > 0 {
            self.play(node);
            node /= 2;
        }
    }

    /// The smaller key wins, of equal ones the newer source; ended sources lose.
    fn play(&mut self, node: usize) {
        let left = self.tree[2 * node];
        let right = self.tree[2 * node + 1];
        let right_wins = match (key_at(&self.sources, left), key_at(&self.sources, right)) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(left_key), Some(right_key)) => right_key < left_key,
        };
        self.tree[node] = if right_wins { right } else { left };
    }
}

/// The key at which a source stands; `None` of an ended one and behind the last.
fn key_at<S: Source>(sources: &[S], index: usize) -> Option<&[u8]> {
    sources.get(index)?.peek().map(|(key, _)| key)
}

/// A source of blocks that the caller reads ahead: push blocks in the order of the run, then
/// `end`.
///
/// **Shape**: the block being walked and those waiting.
/// **Runs on** any thread.
#[derive(Debug, Default)]
pub struct BlockQueue {
    current: Option<BlockIter>,
    waiting: VecDeque<Block>,
    ended: bool,
}

impl BlockQueue {
    /// An empty, starved queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a block.
    ///
    /// # Panics
    /// After `end`.
    pub fn push(&mut self, block: Block) {
        assert!(!self.ended, "no block comes behind the end");
        if self.peek().is_some() {
            self.waiting.push_back(block);
        } else {
            self.current = Some(block.iter());
        }
    }

    /// Begins within a block, as `Block::seek` walks it.
    ///
    /// # Panics
    /// If blocks were pushed before, or after `end`.
    pub fn start(&mut self, iter: BlockIter) {
        assert!(self.current.is_none() && !self.ended, "a queue starts once");
        self.current = Some(iter);
    }

    /// No further block comes.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Blocks at hand, the one being walked included.
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.waiting.len() + usize::from(self.peek().is_some())
    }
}

impl Source for BlockQueue {
    fn peek(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.current.as_ref()?.peek()
    }

    fn advance(&mut self) {
        if let Some(current) = &mut self.current {
            current.advance();
            if current.peek().is_none() {
                self.current = self.waiting.pop_front().map(|block| block.iter());
            }
        }
    }

    fn starved(&self) -> bool {
        !self.ended && self.peek().is_none()
    }
}

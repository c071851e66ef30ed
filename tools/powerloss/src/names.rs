//! The names of the tree, and the changes to them a power loss may take.
//!
//! Invariants: `now` is `durable` with all of `changes` applied in order; a loss keeps a prefix of
//! them, so a name never survives without its directory.

use crate::random::Random;
use std::collections::BTreeMap;

/// A directory's inode and a name in it.
pub type Place = (u64, String);

/// Where each inode is.
pub type Map = BTreeMap<Place, u64>;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new name of a new inode.
    Add(Place, u64),
    /// The name goes.
    Remove(Place),
    /// From one place to another, over what was there.
    Move(Place, Place),
}

impl Change {
    fn touches(&self, directory: u64) -> bool {
        match self {
            Self::Add(place, _) | Self::Remove(place) => place.0 == directory,
            Self::Move(from, to) => from.0 == directory || to.0 == directory,
        }
    }

    fn apply(&self, map: &mut Map) {
        match self {
            Self::Add(place, inode) => {
                map.insert(place.clone(), *inode);
            }
            Self::Remove(place) => {
                map.remove(place);
            }
            Self::Move(from, to) => {
                if let Some(inode) = map.remove(from) {
                    map.insert(to.clone(), inode);
                }
            }
        }
    }
}

/// All names.
#[derive(Debug, Default)]
pub struct Names {
    now: Map,
    durable: Map,
    changes: Vec<Change>,
}

impl Names {
    /// Starts with durable names.
    #[must_use]
    pub fn new(durable: Map) -> Self {
        Self { now: durable.clone(), durable, changes: Vec::new() }
    }

    /// The inode at a place.
    #[must_use]
    pub fn find(&self, directory: u64, name: &str) -> Option<u64> {
        self.now.get(&(directory, name.to_owned())).copied()
    }

    /// All names as they are now.
    #[must_use]
    pub fn all(&self) -> &Map {
        &self.now
    }

    /// The names of a directory, in order.
    pub fn list(&self, directory: u64) -> impl Iterator<Item = (&String, u64)> {
        let first = (directory, String::new());
        let end = (directory + 1, String::new());
        self.now.range(first..end).map(|(place, inode)| (&place.1, *inode))
    }

    /// Changes the names, not yet durably.
    pub fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    /// Makes durable what changed in a directory, and all that came before it.
    pub fn sync(&mut self, directory: u64) {
        let last = self.changes.iter().rposition(|change| change.touches(directory));
        let count = last.map_or(0, |index| index + 1);
        self.keep(count);
    }

    /// Makes everything durable.
    pub fn sync_all(&mut self) {
        self.keep(self.changes.len());
    }

    /// Changes not yet durable.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.changes.len()
    }

    /// Loses power; answers how many changes are gone.
    pub fn lose(&mut self, random: &mut Random) -> usize {
        let kept = match random.below(3) {
            0 => 0,
            1 => self.changes.len(),
            _ => {
                let outcomes = self.changes.len() as u64 + 1;
                usize::try_from(random.below(outcomes)).unwrap_or(0)
            }
        };
        self.keep(kept);
        let gone = self.changes.len();
        self.changes.clear();
        self.now = self.durable.clone();
        gone
    }

    fn keep(&mut self, count: usize) {
        for change in self.changes.drain(..count) {
            change.apply(&mut self.durable);
        }
    }
}

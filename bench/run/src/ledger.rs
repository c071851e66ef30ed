//! What one thread knows of the keys it changed.
//!
//! Invariants: only keys that this run changed are kept, and no more than there is room for; of
//! others nothing is known but what all have in common, so that a check may miss something then
//! and never calls a right answer wrong; a kept key has one change at a time; a change whose
//! outcome nobody knows may take effect at any later time.

use bench_model::{Candidates, Generation};
use std::collections::HashMap;

/// The most keys that the threads of a run keep together: some 250 MB.
const KEYS_MAX: usize = 1 << 20;
/// Writes of unknown outcome that are kept of one key; beyond that all is allowed.
const UNSETTLED_MAX: usize = 6;
/// Acknowledged writes that are kept of one key.
const ACKNOWLEDGED_MAX: usize = 4;

/// One key that was changed.
#[derive(Debug, Clone, Default)]
struct Changed {
    /// The last writes that were acknowledged, in order. Empty: none by this run.
    acknowledged: Vec<Generation>,
    /// Writes that are under way, or failed in a way that leaves their outcome open.
    unsettled: Vec<Generation>,
    /// More writes were left open than are kept.
    is_wild: bool,
    is_changing: bool,
    /// The number of the change at which it was last being deleted; 0: never.
    deleted_at: u64,
    /// The last change that is settled was a delete.
    is_deleted: bool,
    /// A delete failed in a way that leaves its outcome open.
    may_be_deleted: bool,
}

/// What was known of a key when a read of it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Known {
    /// The last write that was acknowledged; `None`: by nobody in this run.
    pub(crate) oldest: Option<Generation>,
    /// Changes that had begun, of all keys.
    pub(crate) changes: u64,
}

/// What a read may have found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) oldest: Generation,
    pub(crate) newest: Generation,
    /// One by one, where they are known.
    pub(crate) candidates: Option<Candidates>,
}

/// The changed keys of a thread.
#[derive(Debug)]
pub(crate) struct Ledger {
    changed: HashMap<u64, Changed, ahash::RandomState>,
    keys_max: usize,
    /// A key was not kept for want of room.
    is_full: bool,
    /// What keys have that this run did not write: one generation, or any up to this one.
    initial: Initial,
    next_generation: u64,
    changes: u64,
}

/// What was written before the load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initial {
    /// By this run's own preparation.
    Exactly(Generation),
    /// By earlier runs, up to this generation.
    UpTo(Generation),
}

impl Initial {
    fn allowed(self) -> Allowed {
        match self {
            Self::Exactly(generation) => Allowed {
                oldest: generation,
                newest: generation,
                candidates: Candidates::new([generation]),
            },
            Self::UpTo(newest) => Allowed { oldest: Generation(0), newest, candidates: None },
        }
    }
}

impl Ledger {
    /// `is_needed`: whether anything is ever read or deleted; nothing is kept otherwise.
    pub(crate) fn new(
        initial: Initial,
        first_generation: Generation,
        is_needed: bool,
        threads: u32,
    ) -> Self {
        let room = (KEYS_MAX / threads.max(1) as usize).max(1024);
        Self {
            changed: HashMap::with_hasher(ahash::RandomState::new()),
            keys_max: if is_needed { room } else { 0 },
            is_full: false,
            initial,
            next_generation: first_generation.0,
            changes: 0,
        }
    }

    /// Whether a change of the key is under way.
    pub(crate) fn is_changing(&self, key: u64) -> bool {
        self.changed.get(&key).is_some_and(|changed| changed.is_changing)
    }

    /// The entry of a key, if there is room for it.
    fn entry(&mut self, key: u64) -> Option<&mut Changed> {
        if self.changed.len() >= self.keys_max && !self.changed.contains_key(&key) {
            self.is_full = true;
            return None;
        }
        Some(self.changed.entry(key).or_default())
    }

    /// A write begins; gives its generation.
    pub(crate) fn begin_write(&mut self, key: u64) -> Generation {
        let generation = Generation(self.next_generation);
        self.next_generation += 1;
        self.changes += 1;
        if let Some(entry) = self.entry(key) {
            assert!(!entry.is_changing, "one change of a key at a time");
            entry.is_changing = true;
            entry.is_wild |= entry.unsettled.len() >= UNSETTLED_MAX;
            entry.unsettled.push(generation);
            if entry.unsettled.len() > UNSETTLED_MAX {
                entry.unsettled.remove(0);
            }
        }
        generation
    }

    /// A write has ended; one that failed may be carried out later, or never.
    pub(crate) fn end_write(&mut self, key: u64, generation: Generation, is_done: bool) {
        let Some(entry) = self.changed.get_mut(&key) else { return };
        entry.is_changing = false;
        if is_done {
            entry.unsettled.retain(|unsettled| *unsettled != generation);
            entry.acknowledged.push(generation);
            if entry.acknowledged.len() > ACKNOWLEDGED_MAX {
                entry.acknowledged.remove(0);
            }
            entry.is_deleted = false;
        }
    }

    /// A delete begins.
    pub(crate) fn begin_delete(&mut self, key: u64) {
        self.changes += 1;
        let at = self.changes;
        if let Some(entry) = self.entry(key) {
            assert!(!entry.is_changing, "one change of a key at a time");
            (entry.is_changing, entry.deleted_at) = (true, at);
        }
    }

    /// A delete has ended; one that failed may be carried out later, or never.
    pub(crate) fn end_delete(&mut self, key: u64, is_done: bool) {
        self.changes += 1;
        let at = self.changes;
        if let Some(entry) = self.changed.get_mut(&key) {
            (entry.is_changing, entry.deleted_at) = (false, at);
            entry.is_deleted |= is_done;
            entry.may_be_deleted |= !is_done;
        }
    }

    /// What is known when a read begins.
    pub(crate) fn begin_read(&self, key: u64) -> Known {
        let last = self.changed.get(&key).and_then(|changed| changed.acknowledged.last());
        Known { oldest: last.copied(), changes: self.changes }
    }

    /// What a read that began with `known` and ends now may have found.
    pub(crate) fn allowed(&self, key: u64, known: Known) -> Allowed {
        let last = Generation(self.next_generation.saturating_sub(1));
        let Some(changed) = self.changed.get(&key) else {
            // Not kept: any of this run's writes may have been to it.
            let initial = self.initial.allowed();
            let newest = initial.newest.max(last);
            return match self.is_full || self.keys_max == 0 {
                true => Allowed { newest, candidates: None, ..initial },
                false => initial,
            };
        };
        let initial = self.initial.allowed();
        let oldest = known.oldest.unwrap_or(initial.oldest);
        let since = changed.acknowledged.iter().filter(|write| Some(**write) >= known.oldest);
        let mut all: Vec<Generation> = since.chain(&changed.unsettled).copied().collect();
        // Where the first write kept is not the one known, some between them were forgotten.
        let forgot = changed.acknowledged.len() == ACKNOWLEDGED_MAX
            && changed.acknowledged.first().copied() > known.oldest;
        let is_exact = match known.oldest {
            Some(_) => true,
            None => {
                all.extend(initial.candidates.iter().flat_map(|c| c.as_slice().to_vec()));
                initial.candidates.is_some()
            }
        };
        let is_exact = is_exact && !changed.is_wild && !forgot;
        let newest = all.iter().copied().max().unwrap_or(oldest).max(oldest).max(initial.newest);
        let oldest = match changed.unsettled.iter().min() {
            Some(unsettled) => oldest.min(*unsettled),
            None => oldest,
        };
        let oldest = if changed.is_wild { Generation(0) } else { oldest };
        let candidates = if is_exact { Candidates::new(all) } else { None };
        Allowed { oldest, newest, candidates }
    }

    /// Whether a read that began with `known` may rightly find nothing.
    pub(crate) fn may_be_absent(&self, key: u64, known: Known) -> bool {
        match self.changed.get(&key) {
            Some(changed) => {
                changed.may_be_deleted
                    || (changed.is_changing && changed.deleted_at > 0)
                    || changed.deleted_at > known.changes
            }
            None => self.is_full,
        }
    }

    /// What should be found at the end, where nothing is under way any more.
    pub(crate) fn fate(&self, key: u64) -> Fate {
        match self.changed.get(&key) {
            None if self.is_full => Fate::Unknown,
            None => Fate::Untouched,
            Some(changed) if changed.may_be_deleted || changed.is_wild => Fate::Unknown,
            // A write of unknown outcome may have brought it back.
            Some(changed) if changed.is_deleted && !changed.unsettled.is_empty() => Fate::Unknown,
            Some(changed) if changed.is_deleted => Fate::Deleted,
            Some(changed) if !changed.acknowledged.is_empty() => Fate::Written,
            Some(changed) if !changed.unsettled.is_empty() => Fate::Maybe,
            Some(_) => Fate::Untouched,
        }
    }
}

/// What has become of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// This run did not change it.
    Untouched,
    /// It is there.
    Written,
    /// It was deleted, and is not there.
    Deleted,
    /// Only writes of unknown outcome: it is as it was, or as one of them made it.
    Maybe,
    /// Nothing can be said.
    Unknown,
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

//! Which of a thread's keys exist, where a mix deletes.
//!
//! Invariants: one bit per key of the thread, nothing else; `present_count` is the number of set
//! bits. A search goes upward from the drawn key and round the end, so a key behind a gap of
//! deleted ones is found more often than others; with puts in the mix the gaps stay short.

use crate::ThreadKeys;

/// Presence of the keys of one thread.
#[derive(Debug, Clone)]
pub struct Membership {
    keys: ThreadKeys,
    words: Vec<u64>,
    present_count: u64,
}

impl Membership {
    /// All keys of the thread present, or none.
    #[must_use]
    pub fn new(keys: ThreadKeys, present: bool) -> Self {
        let count = keys.own_count();
        let mut words = vec![if present { u64::MAX } else { 0 }; count.div_ceil(64) as usize];
        let spare = count.next_multiple_of(64) - count;
        if let Some(last) = words.last_mut() {
            // Bits past the last key stay 0: they are nobody's.
            *last &= u64::MAX >> spare;
        }
        Self { keys, words, present_count: if present { count } else { 0 } }
    }

    /// Keys that are present.
    #[must_use]
    pub fn present_count(&self) -> u64 {
        self.present_count
    }

    /// Whether the key `id` is present; another thread's key never is.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.keys.index_of(id).is_some_and(|index| self.word(index) & bit(index) != 0)
    }

    /// Marks a key of this thread as present; true if it was absent.
    pub fn insert(&mut self, id: u64) -> bool {
        let Some(index) = self.keys.index_of(id).filter(|_| !self.contains(id)) else {
            return false;
        };
        self.words[(index / 64) as usize] |= bit(index);
        self.present_count += 1;
        true
    }

    /// Marks a key of this thread as absent; true if it was present.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(index) = self.keys.index_of(id).filter(|_| self.contains(id)) else {
            return false;
        };
        self.words[(index / 64) as usize] &= !bit(index);
        self.present_count -= 1;
        true
    }

    /// The key `id` if it is present, else the next present one; nothing if there is none.
    #[must_use]
    pub fn present_near(&self, id: u64) -> Option<u64> {
        if self.present_count == 0 {
            return None;
        }
        let start = self.keys.index_of(id)?;
        let first = (start / 64) as usize;
        let count = self.words.len();
        // The first word comes twice: from the drawn key on, and at the end the bits before it.
        for step in 0..=count {
            let place = (first + step) % count;
            let mut word = self.words[place];
            if step == 0 {
                word &= u64::MAX << (start % 64);
            }
            if word != 0 {
                let index = place as u64 * 64 + u64::from(word.trailing_zeros());
                return Some(self.keys.id_at(index));
            }
        }
        None
    }

    fn word(&self, index: u64) -> u64 {
        self.words[(index / 64) as usize]
    }
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Random, Thread};
    use std::collections::BTreeSet;

    fn keys(count: u64) -> ThreadKeys {
        ThreadKeys::new(count, Thread { index: 1, count: 3 }).unwrap()
    }

    #[test]
    fn it_agrees_with_a_set() {
        for count in [4, 190, 193, 196, 1_000] {
            let keys = keys(count);
            let mut membership = Membership::new(keys, false);
            let mut set = BTreeSet::new();
            let mut random = Random::new(4, count);
            for step in 0..3_000_u32 {
                let id = keys.id_at(random.below(keys.own_count()));
                // Filling and emptying take turns, so that both extremes are met.
                let inserts_of_ten = if (step / 500).is_multiple_of(2) { 8 } else { 2 };
                if random.below(10) < inserts_of_ten {
                    assert_eq!(membership.insert(id), set.insert(id));
                } else {
                    assert_eq!(membership.remove(id), set.remove(&id));
                }
                assert_eq!(membership.present_count(), set.len() as u64);
                let probe = keys.id_at(random.below(keys.own_count()));
                assert_eq!(membership.contains(probe), set.contains(&probe));
                let next = set.range(probe..).next().or(set.first()).copied();
                assert_eq!(membership.present_near(probe), next);
            }
        }
    }

    #[test]
    fn it_begins_full_or_empty() {
        for count in [4, 192, 195, 500] {
            let keys = keys(count);
            let full = Membership::new(keys, true);
            assert_eq!(full.present_count(), keys.own_count());
            assert!((0..keys.own_count()).all(|index| full.contains(keys.id_at(index))));
            let empty = Membership::new(keys, false);
            assert!((0..keys.own_count()).all(|index| !empty.contains(keys.id_at(index))));
            assert_eq!(empty.present_near(keys.id_at(0)), None);
        }
    }

    #[test]
    fn the_keys_of_other_threads_are_not_touched() {
        let mut membership = Membership::new(keys(100), true);
        let before = membership.present_count();
        assert!(!membership.contains(0));
        assert!(!membership.remove(0));
        assert!(!membership.insert(2));
        assert!(!membership.insert(10_000));
        assert_eq!(membership.present_near(0), None);
        assert_eq!(membership.present_count(), before);
    }
}

//! What every key may hold: the reference the store is judged by.
//!
//! Invariants: at most one write of a key is under way; a write whose outcome is unknown may come
//! true up to the next change of view, which decides it for good; a read under a later view, or
//! one that sees the write, is the end of the doubt.

use engine_types::UploadId;
use shards_sim::Random;
use std::collections::{BTreeMap, BTreeSet};

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// No object.
    Absent,
    /// The bytes of this generation.
    Object(u64),
}

/// A write that may have become true.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    value: Value,
    /// The view's epoch under which it failed at the latest; `None` while it is under way.
    epoch: Option<u32>,
}

/// What is known of one key.
#[derive(Debug, Clone, Default)]
struct History {
    known: Option<Value>,
    /// Oldest first.
    maybe: Vec<Doubt>,
    /// How often `known` has changed.
    changes: u64,
}

/// What is known of one upload.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    /// The key it is for.
    pub key: u64,
    /// Whether its end was acknowledged.
    pub ended: bool,
    /// Acknowledged parts: number and generation.
    pub parts: BTreeMap<u16, u64>,
    /// Numbers of parts nobody knows about.
    pub doubtful: BTreeSet<u16>,
}

/// All keys.
#[derive(Debug, Default)]
pub struct Model {
    keys: BTreeMap<u64, History>,
    generation: u64,
    /// Objects made of parts: the generations of their parts.
    compositions: BTreeMap<u64, Vec<u64>>,
    /// Uploads whose state is known.
    pub uploads: BTreeMap<UploadId, Upload>,
    inline_bytes_max: usize,
    stripe_bytes: usize,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Reads that were judged.
    pub reads: u64,
}

impl Model {
    /// A model of keys whose sizes sit around these borders.
    #[must_use]
    pub fn new(inline_bytes_max: usize, stripe_bytes: usize) -> Self {
        Self { inline_bytes_max, stripe_bytes, ..Self::default() }
    }

    /// A generation nobody had.
    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// A generation made of the bytes of others.
    pub fn compose(&mut self, parts: Vec<u64>) -> u64 {
        let generation = self.next_generation();
        self.compositions.insert(generation, parts);
        generation
    }

    /// The parts of a generation; empty for one that was written in one piece.
    #[must_use]
    pub fn parts_of(&self, generation: u64) -> Vec<u64> {
        self.compositions.get(&generation).cloned().unwrap_or_default()
    }

    /// The bytes of a generation.
    #[must_use]
    pub fn content(&self, generation: u64) -> Vec<u8> {
        let one = |generation| bytes_of(generation, self.inline_bytes_max, self.stripe_bytes);
        match self.compositions.get(&generation) {
            None => one(generation),
            Some(parts) => parts.iter().flat_map(|part| one(*part)).collect(),
        }
    }

    /// A write is about to be tried.
    pub fn attempt(&mut self, key: u64, value: Value) {
        self.keys.entry(key).or_default().maybe.push(Doubt { value, epoch: None });
    }

    /// The write was refused with nothing done.
    pub fn refused(&mut self, key: u64, value: Value) {
        let history = self.keys.entry(key).or_default();
        let same = |doubt: &Doubt| doubt.value == value && doubt.epoch.is_none();
        if let Some(index) = history.maybe.iter().rposition(same) {
            history.maybe.remove(index);
        }
    }

    /// The write failed under this view or an earlier one: the next view decides.
    pub fn unknown(&mut self, key: u64, value: Value, epoch: u32) {
        let history = self.keys.entry(key).or_default();
        let same = |doubt: &&mut Doubt| doubt.value == value && doubt.epoch.is_none();
        if let Some(doubt) = history.maybe.iter_mut().rev().find(same) {
            doubt.epoch = Some(epoch);
        }
    }

    /// The process died: what was under way is decided by the first view after it.
    pub fn process_died(&mut self) {
        for history in self.keys.values_mut() {
            for doubt in &mut history.maybe {
                doubt.epoch = Some(0);
            }
        }
    }

    /// The write was acknowledged. What was in doubt before it lies below it for good.
    pub fn acknowledge(&mut self, key: u64, value: Value) {
        let history = self.keys.entry(key).or_default();
        history.known = Some(value);
        history.changes += 1;
        history.maybe.clear();
        self.acknowledged += 1;
    }

    /// What the key holds, if that is certain.
    #[must_use]
    pub fn certain(&self, key: u64) -> Option<Value> {
        match self.keys.get(&key) {
            None => Some(Value::Absent),
            Some(history) if history.maybe.is_empty() => {
                Some(history.known.unwrap_or(Value::Absent))
            }
            Some(_) => None,
        }
    }

    /// How often what the key holds has changed. A read that overlaps no change is judged like one
    /// with no write under way.
    #[must_use]
    pub fn changes(&self, key: u64) -> u64 {
        self.keys.get(&key).map_or(0, |history| history.changes)
    }

    /// The keys below `end` that are being written.
    #[must_use]
    pub fn under_way(&self, end: u64) -> Vec<u64> {
        let is_written = |history: &History| history.maybe.iter().any(|d| d.epoch.is_none());
        let keys = self.keys.range(..end).filter(|(_, history)| is_written(history));
        keys.map(|(key, _)| *key).collect()
    }

    /// Judges a read that overlaps no change of the key, made under the view of `epoch`; 0 where
    /// that view decided nothing.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&mut self, key: u64, found: Value, epoch: u32) -> Result<(), String> {
        self.reads += 1;
        let history = self.keys.entry(key).or_default();
        let known = history.known.unwrap_or(Value::Absent);
        let undecided = |doubt: &Doubt| doubt.epoch.is_none_or(|failed| failed >= epoch);
        if found == known {
            history.maybe.retain(undecided);
        } else if let Some(index) = history.maybe.iter().position(|doubt| doubt.value == found) {
            history.maybe.drain(..=index);
            history.changes += 1;
            history.maybe.retain(undecided);
        } else {
            return Err(format!(
                "key {key} holds {found:?} under view {epoch}; acknowledged {known:?}, maybe {:?}",
                history.maybe
            ));
        }
        history.known = Some(found);
        Ok(())
    }

    /// The keys that were ever tried.
    #[must_use]
    pub fn tried(&self) -> Vec<u64> {
        self.keys.keys().copied().collect()
    }

    /// The keys that hold an object, once every key was judged.
    #[must_use]
    pub fn live_keys(&self) -> Vec<u64> {
        let live = |history: &History| matches!(history.known, Some(Value::Object(_)));
        self.keys.iter().filter(|(_, history)| live(history)).map(|(key, _)| *key).collect()
    }

    /// How many keys hold an object, once every key was judged.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live_keys().len()
    }
}

/// The bytes of a generation; sizes sit on the borders where code changes its mind.
#[must_use]
pub fn bytes_of(generation: u64, inline_max: usize, stripe: usize) -> Vec<u8> {
    let mut random = Random::new(generation, "bytes");
    let sizes = [
        0,
        1,
        100,
        inline_max,
        inline_max + 1,
        stripe / 3,
        stripe - 1,
        stripe,
        stripe + 1,
        2 * stripe + 777,
    ];
    let mut bytes = vec![0_u8; *random.pick(&sizes)];
    for chunk in bytes.chunks_mut(8) {
        let value = random.next().to_le_bytes();
        chunk.copy_from_slice(&value[..chunk.len()]);
    }
    bytes
}

/// The stand-in for an MD5 that names a generation.
#[must_use]
pub fn tag_of(generation: u64) -> [u8; 16] {
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&generation.to_le_bytes());
    tag[8..].copy_from_slice(&(!generation).to_le_bytes());
    tag
}

/// The generation a stand-in names, if it is one.
#[must_use]
pub fn generation_of(tag: [u8; 16]) -> Option<u64> {
    let generation = u64::from_le_bytes(*tag.first_chunk::<8>()?);
    (tag_of(generation) == tag).then_some(generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_ends_with_the_next_view() {
        let mut model = Model::new(4096, 65536);
        model.attempt(1, Value::Object(1));
        model.acknowledge(1, Value::Object(1));
        model.attempt(1, Value::Object(2));
        model.unknown(1, Value::Object(2), 7);
        assert_eq!(model.certain(1), None);
        assert!(model.judge(1, Value::Object(1), 7).is_ok(), "not decided yet");
        assert!(model.judge(1, Value::Object(2), 8).is_ok(), "decided: it is true");
        assert!(model.judge(1, Value::Object(1), 8).is_err(), "and stays so");
        model.attempt(1, Value::Absent);
        model.unknown(1, Value::Absent, 8);
        assert!(model.judge(1, Value::Object(2), 9).is_ok(), "decided: it never was");
        assert!(model.judge(1, Value::Absent, 9).is_err());
        assert_eq!(model.live_keys(), [1]);
    }

    #[test]
    fn refused_and_acknowledged_writes_leave_no_doubt() {
        let mut model = Model::new(4096, 65536);
        model.attempt(3, Value::Object(5));
        model.refused(3, Value::Object(5));
        assert_eq!(model.certain(3), Some(Value::Absent));
        assert!(model.judge(3, Value::Object(5), 1).is_err());
        model.attempt(3, Value::Object(6));
        model.process_died();
        assert!(model.judge(3, Value::Absent, 2).is_ok());
        assert!(model.judge(3, Value::Object(6), 2).is_err(), "the first view decided");
    }

    #[test]
    fn what_was_seen_stays_though_its_write_is_under_way() {
        let mut model = Model::new(4096, 65536);
        model.attempt(2, Value::Object(7));
        assert_eq!(model.under_way(9), [2]);
        let before = model.changes(2);
        assert!(model.judge(2, Value::Absent, 3).is_ok(), "not yet");
        assert_eq!(model.changes(2), before);
        assert!(model.judge(2, Value::Object(7), 3).is_ok());
        assert_ne!(model.changes(2), before);
        model.unknown(2, Value::Object(7), 3);
        assert!(model.judge(2, Value::Absent, 4).is_err(), "seen once is seen for good");
    }

    #[test]
    fn a_view_that_decided_nothing_ends_no_doubt() {
        let mut model = Model::new(4096, 65536);
        model.attempt(1, Value::Object(1));
        model.unknown(1, Value::Object(1), 5);
        assert!(model.judge(1, Value::Absent, 0).is_ok());
        assert!(model.judge(1, Value::Object(1), 9).is_ok());
    }

    #[test]
    fn tags_name_generations() {
        assert_eq!(generation_of(tag_of(99)), Some(99));
        assert_eq!(generation_of([1; 16]), None);
    }
}

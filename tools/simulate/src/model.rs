//! What every key may hold: the reference the store is judged by.
//!
//! Invariants: at most one write of a key is under way; a write whose outcome is unknown may have
//! become true or not, and from the first read on it is one of the two for good.

use shards_sim::Random;
use std::collections::BTreeMap;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// No object.
    Absent,
    /// The bytes of this generation.
    Object(u64),
}

/// What is known of one key.
#[derive(Debug, Clone, Default)]
struct History {
    known: Option<Value>,
    maybe: Vec<Value>,
}

/// All keys.
#[derive(Debug, Default)]
pub struct Model {
    keys: BTreeMap<u64, History>,
    generation: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Reads that were judged.
    pub reads: u64,
}

impl Model {
    /// A generation nobody had.
    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// A write is about to be tried.
    pub fn attempt(&mut self, key: u64, value: Value) {
        self.keys.entry(key).or_default().maybe.push(value);
    }

    /// The write was refused with nothing done.
    pub fn refused(&mut self, key: u64, value: Value) {
        let history = self.keys.entry(key).or_default();
        if let Some(index) = history.maybe.iter().rposition(|maybe| *maybe == value) {
            history.maybe.remove(index);
        }
    }

    /// The write was acknowledged.
    pub fn acknowledge(&mut self, key: u64, value: Value) {
        let history = self.keys.entry(key).or_default();
        history.known = Some(value);
        history.maybe.clear();
        self.acknowledged += 1;
    }

    /// Judges a read with no write of the key under way.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&mut self, key: u64, found: Value) -> Result<(), String> {
        self.reads += 1;
        let history = self.keys.entry(key).or_default();
        let known = history.known.unwrap_or(Value::Absent);
        if found != known && !history.maybe.contains(&found) {
            return Err(format!(
                "key {key} holds {found:?}; acknowledged {known:?}, possible {:?}",
                history.maybe
            ));
        }
        history.known = Some(found);
        history.maybe.clear();
        Ok(())
    }

    /// How many keys hold an object, once every key was judged.
    #[must_use]
    pub fn live(&self) -> usize {
        let live = |history: &&History| matches!(history.known, Some(Value::Object(_)));
        self.keys.values().filter(live).count()
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

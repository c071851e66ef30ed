//! What the tests share: seeded random numbers, runs in memory, a source of plain entries.

mod corrupt;
mod frozen;
mod merging;
mod round_trip;

use crate::{Block, BlockLocation, FinishedRun, RunBuilder, RunIndex, RunSummary, Source};
use std::collections::BTreeMap;

/// What a run must hold.
type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Xorshift, 64 bits.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        assert!(seed != 0, "xorshift never leaves 0");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 16) % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// A key as buckets have them.
fn object_key(random: &mut Random) -> Vec<u8> {
    let number = random.next() >> 32;
    let (tenant, month, day) = (random.below(200), random.below(12) + 1, random.below(28) + 1);
    format!("bucket-03/tenant-{tenant:04}/2019/{month:02}/{day:02}/img_{number:08x}.jpg").into()
}

fn random_key(random: &mut Random) -> Vec<u8> {
    match random.below(40) {
        0 => {
            let length = random.below(crate::KEY_BYTES_MAX + 1);
            random.bytes(length)
        }
        1..10 => {
            let length = random.below(12);
            (0..length).map(|_| random.below(3) as u8).collect()
        }
        _ => object_key(random),
    }
}

fn random_value(random: &mut Random) -> Option<Vec<u8>> {
    let length = match random.below(100) {
        0..10 => return None,
        10..15 => 0,
        15..17 => random.below(crate::VALUE_BYTES_MAX + 1),
        17..20 => random.below(6000),
        _ => random.below(300),
    };
    Some(random.bytes(length))
}

fn random_model(random: &mut Random, tries: usize) -> Model {
    (0..tries).map(|_| (random_key(random), random_value(random))).collect()
}

/// A run in memory.
struct Built {
    blocks: Vec<Vec<u8>>,
    tail: Vec<u8>,
    summary: RunSummary,
    index: RunIndex,
}

impl Built {
    fn of(run_id: u64, model: &Model) -> Self {
        let mut builder = RunBuilder::new(run_id, model.len() as u64);
        let mut blocks = Vec::new();
        for (key, value) in model {
            builder.push(key, value.as_deref());
            while let Some(block) = builder.take_block() {
                blocks.push(block);
            }
        }
        Self::finish(builder, blocks)
    }

    fn finish(builder: RunBuilder, mut blocks: Vec<Vec<u8>>) -> Self {
        let FinishedRun { blocks: last, tail, summary } = builder.finish();
        blocks.extend(last);
        let index = RunIndex::parse(&tail, &summary).unwrap();
        Self { blocks, tail, summary, index }
    }

    fn block(&self, location: &BlockLocation) -> Block {
        let bytes = self.blocks[location.index as usize].as_slice();
        Block::parse_at(bytes, self.summary.run_id, location).unwrap()
    }

    fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let block = self.block(&self.index.block_for(key)?);
        block.get(key).map(|value| value.map(<[u8]>::to_vec))
    }

    /// All entries, block by block.
    fn entries(&self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut entries = Vec::new();
        for number in 0..self.index.block_count() {
            let mut iter = self.block(&self.index.block(number).unwrap()).iter();
            while let Some((key, value)) = iter.peek() {
                entries.push((key.to_vec(), value.map(<[u8]>::to_vec)));
                iter.advance();
            }
        }
        entries
    }
}

/// A source of entries in memory.
struct ModelSource {
    entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    at: usize,
}

impl ModelSource {
    fn new(model: &Model) -> Self {
        let entries = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { entries, at: 0 }
    }
}

impl Source for ModelSource {
    fn peek(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let (key, value) = self.entries.get(self.at)?;
        Some((key.as_slice(), value.as_deref()))
    }

    fn advance(&mut self) {
        self.at += 1;
    }
}

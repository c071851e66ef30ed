//! Bytes that are not what was written are refused, and no bytes make a reader panic.

use super::{Built, Model, Random, object_key, random_value};
use crate::frame::{SUM_BYTES, sum_of};
use crate::{BLOCK_BYTES_MAX, Block, IndexError, RunIndex, RunSummary, Source, UNIT_BYTES};

const RUN_ID: u64 = 7;

/// A run of one block and a tail of 4 KiB each.
fn small() -> Built {
    let mut random = Random::new(99);
    let mut model = Model::new();
    for number in 0..40_usize {
        let value = if number.is_multiple_of(5) { None } else { Some(random.bytes(number)) };
        model.insert(format!("bucket/object-{number:03}").into(), value);
    }
    let built = Built::of(RUN_ID, &model);
    assert_eq!((built.blocks.len(), built.blocks[0].len()), (1, UNIT_BYTES));
    assert_eq!(built.tail.len(), UNIT_BYTES);
    built
}

fn reseal(frame: &mut [u8]) -> u64 {
    let sum = sum_of(&frame[SUM_BYTES..]);
    frame[..SUM_BYTES].copy_from_slice(&sum.to_le_bytes());
    sum
}

/// Uses everything a block offers.
fn exercise_block(block: &Block, key: &[u8]) {
    let mut iter = block.iter();
    let mut count = 0;
    let mut last: Option<Vec<u8>> = None;
    while let Some((found, value)) = iter.peek() {
        assert!(last.as_deref().is_none_or(|last| last < found), "an accepted block is ordered");
        assert_eq!(block.get(found), Some(value));
        last = Some(found.to_vec());
        count += 1;
        iter.advance();
    }
    assert_eq!(count, block.entry_count());
    iter.advance();
    assert_eq!(iter.peek(), None);
    let at_hand = block.seek(key).peek().is_some_and(|(found, _)| found == key);
    assert_eq!(block.get(key).is_some(), at_hand);
}

/// Uses everything an index offers.
fn exercise_index(index: &RunIndex, key: &[u8]) {
    for number in 0..index.block_count() {
        assert!(index.block(number).is_some());
    }
    let inside = index.bounds().is_some_and(|(first, last)| first <= key && key <= last);
    assert_eq!(index.block_for(key).is_some(), inside);
    assert!(inside || !index.may_contain(key));
    let above = index.bounds().is_none_or(|(_, last)| key > last);
    assert_eq!(index.block_from(key).is_none(), above);
    assert!(index.memory_bytes() > 0);
}

#[test]
fn every_flipped_bit_of_a_block_is_refused() {
    let built = small();
    let mut bytes = built.blocks[0].clone();
    assert!(Block::parse(bytes.as_slice(), RUN_ID, 0).is_ok());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let parsed = Block::parse(bytes.as_slice(), RUN_ID, 0);
        assert_eq!(parsed.err(), Some(IndexError::Sum), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_flipped_bit_of_a_tail_is_refused() {
    let built = small();
    let mut bytes = built.tail.clone();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let parsed = RunIndex::parse(&bytes, &built.summary);
        assert_eq!(parsed.err(), Some(IndexError::Sum), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn frames_of_other_places_are_refused() {
    let built = small();
    let bytes = built.blocks[0].as_slice();
    assert_eq!(
        Block::parse(bytes, 8, 0).err(),
        Some(IndexError::Run { expected: 8, found: RUN_ID })
    );
    assert_eq!(
        Block::parse(bytes, RUN_ID, 1).err(),
        Some(IndexError::Block { expected: 1, found: 0 })
    );
    assert_eq!(Block::parse(built.tail.as_slice(), RUN_ID, 0).err(), Some(IndexError::Magic));

    let mut model: Model = built.entries().into_iter().collect();
    model.insert(b"bucket/object-001".to_vec(), Some(vec![0xee]));
    let other = Built::of(RUN_ID, &model);
    let location = built.index.block(0).unwrap();
    let stale = Block::parse_at(other.blocks[0].as_slice(), RUN_ID, &location);
    assert_eq!(stale.err(), Some(IndexError::OtherSum), "a lost write");
    let tail = RunIndex::parse(&other.tail, &built.summary);
    assert_eq!(tail.err(), Some(IndexError::OtherSum));
    let mut longer = location;
    longer.length_bytes *= 2;
    assert_eq!(
        Block::parse_at(bytes, RUN_ID, &longer).err(),
        Some(IndexError::Length { found_bytes: UNIT_BYTES })
    );

    let renamed = RunSummary { run_id: 8, ..built.summary };
    assert_eq!(
        RunIndex::parse(&built.tail, &renamed).err(),
        Some(IndexError::Run { expected: 8, found: RUN_ID })
    );
    let recounted = RunSummary { entry_count: 39, ..built.summary };
    assert!(RunIndex::parse(&built.tail, &recounted).is_err());
    let moved = RunSummary { blocks_bytes: 8192, ..built.summary };
    assert!(RunIndex::parse(&built.tail, &moved).is_err());
}

#[test]
fn unknown_versions_are_named() {
    let built = small();
    let mut bytes = built.blocks[0].clone();
    bytes[12] = 2;
    reseal(&mut bytes);
    assert_eq!(Block::parse(bytes, RUN_ID, 0).err(), Some(IndexError::Version(2)));
}

#[test]
fn every_other_length_is_refused() {
    let built = small();
    for length in (0..UNIT_BYTES).step_by(13).chain([4095]) {
        let expected = Some(IndexError::Length { found_bytes: length });
        assert_eq!(Block::parse(&built.blocks[0][..length], RUN_ID, 0).err(), expected);
        assert_eq!(RunIndex::parse(&built.tail[..length], &built.summary).err(), expected);
    }
    let padded = [built.blocks[0].as_slice(), &[0; UNIT_BYTES]].concat();
    assert_eq!(Block::parse(padded, RUN_ID, 0).err(), Some(IndexError::Sum));
    let long = vec![0; BLOCK_BYTES_MAX + UNIT_BYTES];
    assert!(matches!(Block::parse(long, RUN_ID, 0), Err(IndexError::Length { .. })));
}

#[test]
fn random_bytes_never_panic() {
    let built = small();
    let mut random = Random::new(4711);
    for _ in 0..2000 {
        let mut bytes = random.bytes(UNIT_BYTES);
        let summary = RunSummary { tail_sum: reseal(&mut bytes), ..built.summary };
        assert_eq!(Block::parse(bytes.as_slice(), RUN_ID, 0).err(), Some(IndexError::Magic));
        assert_eq!(RunIndex::parse(&bytes, &summary).err(), Some(IndexError::Magic));
        // The same behind a good header.
        let header_bytes = 40 + random.below(60);
        bytes[..header_bytes].copy_from_slice(&built.blocks[0][..header_bytes]);
        reseal(&mut bytes);
        assert!(Block::parse(bytes.as_slice(), RUN_ID, 0).is_err());
        bytes[..header_bytes].copy_from_slice(&built.tail[..header_bytes]);
        let summary = RunSummary { tail_sum: reseal(&mut bytes), ..built.summary };
        if let Ok(index) = RunIndex::parse(&bytes, &summary) {
            exercise_index(&index, b"bucket/object-017");
        }
    }
}

/// Changes a few bytes near each other, as a wrong writer would, under a right sum.
fn damage(random: &mut Random, bytes: &mut [u8], header_bytes: usize) {
    let start = if random.below(4) == 0 { SUM_BYTES } else { header_bytes };
    let at = start + random.below(bytes.len() - start - 8).min(random.below(1200));
    for offset in 0..=random.below(3) {
        bytes[at + offset] = match random.below(3) {
            0 => random.below(256) as u8,
            1 => bytes[at + offset] ^ (1 << random.below(8)),
            _ => bytes[at + offset].wrapping_add(1),
        };
    }
}

#[test]
fn damaged_blocks_under_a_right_sum_never_panic() {
    let built = small();
    let mut random = Random::new(815);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = built.blocks[0].clone();
        damage(&mut random, &mut bytes, 40);
        reseal(&mut bytes);
        match Block::parse(bytes, RUN_ID, 0) {
            Ok(block) => {
                exercise_block(&block, b"bucket/object-017");
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 500 && refused > 500, "both happen: {accepted}, {refused}");
}

#[test]
fn damaged_tails_under_a_right_sum_never_panic() {
    let mut random = Random::new(2001);
    let entries = (0..1500).map(|_| (object_key(&mut random), random_value(&mut random)));
    let model: Model = entries.collect();
    let built = Built::of(RUN_ID, &model);
    let key = model.keys().nth(700).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = built.tail.clone();
        damage(&mut random, &mut bytes, 64);
        let summary = RunSummary { tail_sum: reseal(&mut bytes), ..built.summary };
        match RunIndex::parse(&bytes, &summary) {
            Ok(index) => {
                exercise_index(&index, key);
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 500 && refused > 500, "both happen: {accepted}, {refused}");
}

//! What goes into a run comes out, and only that.

use super::{Built, Model, Random, object_key, random_key, random_model};
use crate::{
    BLOCK_BYTES_MAX, BLOCK_BYTES_TARGET, Block, IndexError, KEY_BYTES_MAX, RunBuilder, RunIndex,
    RunSummary, Source, UNIT_BYTES, VALUE_BYTES_MAX,
};

/// The first entry not below a key, as a scan finds it.
fn first_from(built: &Built, key: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let location = built.index.block_from(key)?;
    for number in location.index..built.index.block_count() {
        assert!(number <= location.index + 1, "at most one block without a hit");
        let iter = built.block(&built.index.block(number)?).seek(key);
        if let Some((found, value)) = iter.peek() {
            return Some((found.to_vec(), value.map(<[u8]>::to_vec)));
        }
    }
    None
}

fn check_against(built: &Built, model: &Model, probes: &[Vec<u8>]) {
    assert_eq!(built.index.entry_count(), model.len() as u64);
    assert_eq!(built.summary.entry_count, model.len() as u64);
    let expected: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert!(built.entries() == expected, "a scan returns the model");
    for (key, value) in model {
        assert!(built.index.may_contain(key));
        assert!(built.get(key).as_ref() == Some(value), "{key:?}");
    }
    for probe in probes {
        assert!(built.get(probe).as_ref() == model.get(probe), "{probe:?}");
        let next = model.range(probe.clone()..).next();
        let next = next.map(|(key, value)| (key.clone(), value.clone()));
        assert!(first_from(built, probe) == next, "{probe:?}");
    }
    let bounds = built.index.bounds().map(|(first, last)| (first.to_vec(), last.to_vec()));
    let ends = model.keys().next().cloned().zip(model.keys().next_back().cloned());
    assert_eq!(bounds, ends);
}

fn check_layout(built: &Built) {
    let mut offset_bytes = 0;
    for (number, bytes) in (0..).zip(&built.blocks) {
        let location = built.index.block(number).unwrap();
        assert_eq!(location.index, number);
        assert_eq!(location.offset_bytes, offset_bytes);
        assert_eq!(location.length_bytes as usize, bytes.len());
        assert!(bytes.len().is_multiple_of(UNIT_BYTES) && bytes.len() <= BLOCK_BYTES_MAX);
        let block = built.block(&location);
        assert!(bytes.len() <= BLOCK_BYTES_TARGET || block.entry_count() == 1);
        assert_eq!((block.index(), block.sum()), (number, location.sum));
        offset_bytes += bytes.len() as u64;
    }
    assert_eq!(built.index.block(built.index.block_count()), None);
    assert_eq!(built.summary.blocks_bytes, offset_bytes);
    assert_eq!(built.summary.tail_bytes, built.tail.len() as u64);
    assert!(built.tail.len().is_multiple_of(UNIT_BYTES));
}

#[test]
fn a_run_equals_its_model() {
    for (seed, tries) in (1..).zip([1, 2, 15, 16, 17, 32, 33, 300, 3000]) {
        let mut random = Random::new(seed * 7919);
        let model = random_model(&mut random, tries);
        let built = Built::of(seed, &model);
        check_layout(&built);
        let mut probes: Vec<_> = (0..300).map(|_| random_key(&mut random)).collect();
        for key in model.keys().take(300) {
            // Neighbours: just above, just below, longer.
            probes.push([key.as_slice(), &[0]].concat());
            probes.push(key[..key.len().saturating_sub(1)].to_vec());
            probes.push([key.as_slice(), &[0xff]].concat());
        }
        check_against(&built, &model, &probes);
    }
}

#[test]
fn boundary_keys_and_values() {
    let mut model = Model::new();
    for length in [0, 1, 2, 127, 128, 129, 255, 256, KEY_BYTES_MAX - 1, KEY_BYTES_MAX] {
        model.insert(vec![b'p'; length], Some(Vec::new()));
        model.insert(vec![0; length], None);
        model.insert(vec![0xff; length], Some(vec![length as u8; length]));
    }
    for length in [1, 126, 127, 128, 16_383, 16_384, VALUE_BYTES_MAX - 1, VALUE_BYTES_MAX] {
        model.insert(format!("value-{length}").into(), Some(vec![b'v'; length]));
    }
    // The largest block there can be: nothing shared, everything as long as possible.
    let longest = [b"z".as_slice(), &vec![b'k'; KEY_BYTES_MAX - 1]].concat();
    model.insert(longest, Some(vec![b'v'; VALUE_BYTES_MAX]));
    let built = Built::of(1, &model);
    check_layout(&built);
    let probes: Vec<_> = (0..=255_u8).map(|byte| vec![byte]).collect();
    check_against(&built, &model, &probes);
    assert!(built.blocks.iter().any(|block| block.len() == BLOCK_BYTES_MAX));
}

#[test]
fn an_empty_run_is_only_a_tail() {
    let built = Built::of(5, &Model::new());
    assert!(built.blocks.is_empty());
    assert_eq!(built.summary.blocks_bytes, 0);
    check_against(&built, &Model::new(), &[vec![], vec![1]]);
    assert!(!built.index.may_contain(b"") && !built.index.may_contain(b"a"));
    assert_eq!(RunSummary::decode(&built.summary.encode()), Ok(built.summary));
}

#[test]
fn blocks_come_out_as_they_fill() {
    let mut builder = RunBuilder::new(1, 1000);
    let mut written_bytes = 0;
    for number in 0..1000_u32 {
        builder.push(&number.to_be_bytes(), Some(&[7; 100]));
        while let Some(block) = builder.take_block() {
            assert!(block.len() == BLOCK_BYTES_TARGET);
            written_bytes += block.len() as u64;
        }
        assert_eq!(builder.blocks_bytes(), written_bytes);
        // Never more than one block is held back. An entry takes 104 bytes at least.
        let pushed_bytes = u64::from(number + 1) * 104;
        assert!(pushed_bytes <= written_bytes + BLOCK_BYTES_TARGET as u64);
    }
    assert_eq!(builder.entry_count(), 1000);
    assert!(written_bytes > 5 * BLOCK_BYTES_TARGET as u64, "{written_bytes}");
    let finished = builder.finish();
    assert_eq!(finished.blocks.len(), 1);
}

/// Distinct keys, every second one in the run.
fn halves(count: usize) -> (Model, Vec<Vec<u8>>) {
    let mut random = Random::new(42);
    let (mut present, mut absent) = (Model::new(), Vec::new());
    while present.len() < count {
        let key = object_key(&mut random);
        if random.below(2) == 0 {
            present.insert(key, Some(random.bytes(150)));
        } else {
            absent.push(key);
        }
    }
    absent.retain(|key| !present.contains_key(key));
    (present, absent)
}

#[test]
fn the_filter_passes_below_two_percent_of_absent_keys() {
    let (present, absent) = halves(40_000);
    let built = Built::of(1, &present);
    assert!(present.keys().all(|key| built.index.may_contain(key)));
    let passed = absent.iter().filter(|key| built.index.may_contain(key)).count();
    assert!(absent.len() > 30_000);
    assert!(passed * 100 < absent.len() * 2, "{passed} of {}", absent.len());
}

#[test]
fn an_overfull_filter_still_passes_every_key() {
    let (present, _) = halves(2000);
    let mut builder = RunBuilder::new(1, 0);
    for (key, value) in &present {
        builder.push(key, value.as_deref());
    }
    let built = Built::finish(builder, Vec::new());
    assert!(present.keys().all(|key| built.index.may_contain(key)));
}

#[test]
fn the_sparse_index_takes_half_a_byte_a_key() {
    let (present, _) = halves(40_000);
    let built = Built::of(1, &present);
    let key_count = present.len();
    let raw_bytes: usize = present.keys().map(|key| key.len() + 150).sum();
    assert!((180..=220).contains(&(raw_bytes / key_count)), "entries of about 200 bytes");
    let filter_bytes = (key_count * 10).div_ceil(512) * 64;
    let rest_bytes = built.index.memory_bytes() - filter_bytes;
    assert!(rest_bytes * 2 <= key_count, "{rest_bytes} bytes for {key_count} keys");
}

#[test]
fn summaries_round_trip_and_are_bounded() {
    let (present, _) = halves(500);
    let mut summary = Built::of(77, &present).summary;
    summary.level = 3;
    let bytes = summary.encode();
    assert_eq!(RunSummary::decode(&bytes), Ok(summary));
    assert_eq!(summary.run_bytes(), summary.blocks_bytes + summary.tail_bytes);
    let short = RunSummary::decode(&bytes[1..]);
    assert_eq!(short, Err(IndexError::Length { found_bytes: 47 }));
    let malformed = Err(IndexError::Malformed("run summary"));
    for (at, byte) in [(16, 1), (24, 1), (41, 1), (47, 1)] {
        let mut wrong = bytes;
        wrong[at] ^= byte;
        assert_eq!(RunSummary::decode(&wrong), malformed, "byte {at}");
    }
    let mut no_tail = bytes;
    no_tail[24..32].fill(0);
    assert_eq!(RunSummary::decode(&no_tail), malformed);
    let mut endless = bytes;
    endless[16..32].copy_from_slice(&[0_u8, 0xf0, 255, 255, 255, 255, 255, 255].repeat(2));
    assert_eq!(RunSummary::decode(&endless), malformed);
}

#[test]
fn blocks_and_indexes_may_move_between_threads() {
    fn movable<T: Send + Sync>() {}
    movable::<Block>();
    movable::<RunIndex>();
    movable::<RunBuilder>();
}

#[test]
#[should_panic(expected = "keys strictly rise")]
fn equal_keys_are_a_programming_error() {
    let mut builder = RunBuilder::new(1, 2);
    builder.push(b"a", None);
    builder.push(b"a", Some(b"1"));
}

#[test]
#[should_panic(expected = "keys strictly rise")]
fn falling_keys_are_a_programming_error() {
    let mut builder = RunBuilder::new(1, 2);
    builder.push(b"ab", None);
    builder.push(b"a", None);
}

#[test]
#[should_panic(expected = "at most 2,200 bytes")]
fn too_long_keys_are_a_programming_error() {
    RunBuilder::new(1, 1).push(&[0; KEY_BYTES_MAX + 1], None);
}

#[test]
#[should_panic(expected = "at most 64 KiB")]
fn too_long_values_are_a_programming_error() {
    RunBuilder::new(1, 1).push(b"a", Some(&vec![0; VALUE_BYTES_MAX + 1]));
}

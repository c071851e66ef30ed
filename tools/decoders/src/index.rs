//! Keys and entries of the index, and the blocks and tails of its runs.
//!
//! Rules beside the round trip: keys that were taken apart are put together the same; what a block
//! shows in a walk it also finds by key, and a run made of it holds the same; an index points
//! into its run for keys within its bounds only, and takes no more memory than its tail.

use crate::Decoder;
use crate::frames::sequence;
use crate::seal::{choosing, chosen, put, round_trips, trimmed, u32_at, u64_at};
use engine_format::{
    Entry, Etag, IndexKey, Keyspace, PayloadLocation, crc64, escape_key, unescape_key,
};
use engine_index::{Block, FinishedRun, RunBuilder, RunIndex, RunSummary, Source, UNIT_BYTES};
use engine_types::{BucketId, DataId, Key, SegmentId, Sequence, UploadId};

pub(crate) const ENTRY: Decoder = Decoder {
    name: "entry",
    check: entry,
    samples: entry_samples,
    words: &["000102030405060708090a0b0c0d0e0f"],
    rounds: 8_000,
};

pub(crate) const BLOCK: Decoder = Decoder {
    name: "block",
    check: block,
    samples: block_samples,
    words: &["bsIB"],
    rounds: 4_000,
};

pub(crate) const RUN: Decoder =
    Decoder { name: "run", check: run, samples: run_samples, words: &["bsIT"], rounds: 4_000 };

/// Entries of a block that are looked up one by one.
const LOOK_UPS_MAX: usize = 64;
const RUN_ID: u64 = 7;

fn entry(input: &[u8]) -> bool {
    match chosen(input, 5) {
        Some((0, value)) => {
            let found = round_trips(value, Entry::decode, Entry::encode);
            let sequence = Entry::decode(value).ok().map(|entry| entry.sequence);
            assert!(!found || Entry::peek_sequence(value) == sequence);
            found
        }
        Some((1, suffix)) => current_key(suffix),
        Some((2, suffix)) => upload_key(suffix),
        Some((3, key)) => local_key(key),
        Some((_, bytes)) => ids(bytes),
        None => false,
    }
}

fn current_key(suffix: &[u8]) -> bool {
    let Some((bucket, key)) = IndexKey::parse_current(suffix) else { return false };
    assert_eq!(IndexKey::current_suffix(bucket, key.as_bytes()), suffix);
    true
}

fn upload_key(suffix: &[u8]) -> bool {
    if let Some((key, behind)) = unescape_key(suffix) {
        assert_eq!([escape_key(&key), behind.to_vec()].concat(), suffix);
    }
    let Some((bucket, key, upload)) = IndexKey::parse_upload(suffix) else { return false };
    assert_eq!(IndexKey::upload_suffix(bucket, key.as_bytes(), upload), suffix);
    true
}

fn local_key(bytes: &[u8]) -> bool {
    let key = IndexKey(bytes.to_vec());
    let Some(data) = key.data_id() else { return false };
    let space = bytes.first().and_then(|first| Keyspace::from_u8(*first));
    assert_eq!(space.map(|space| IndexKey::local(space, data)), Some(key));
    true
}

/// Ids, sequences and ETags in their other forms.
fn ids(bytes: &[u8]) -> bool {
    if let Some(sortable) = bytes.first_chunk::<16>() {
        let sequence = Sequence::from_sortable_bytes(*sortable);
        assert_eq!(Sequence::from_sortable_bytes(sequence.to_sortable_bytes()), sequence);
    }
    if let Ok(key) = Key::from_bytes(bytes) {
        assert!((1..=Key::BYTES_MAX).contains(&key.as_bytes().len()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Some(id) = DataId::from_hex(text) {
        assert_eq!(id.to_string(), text.to_ascii_lowercase(), "an id of other digits");
    }
    let Some(etag) = Etag::parse(text) else { return false };
    assert_eq!(Etag::parse(&etag.text()), Some(etag));
    true
}

/// The input as a frame: whole units, its sum at the front.
fn framed(input: &[u8]) -> Vec<u8> {
    let mut frame = input.to_vec();
    frame.resize(frame.len().next_multiple_of(UNIT_BYTES).max(UNIT_BYTES), 0);
    let sum = crc64(&frame[8..]);
    put(&mut frame, 0, &sum.to_le_bytes());
    frame
}

/// A key and its value; none for a tombstone.
type KeyValue = (Vec<u8>, Option<Vec<u8>>);

fn entries_of(block: &Block) -> Vec<KeyValue> {
    let mut entries = Vec::new();
    let mut iter = block.iter();
    while let Some((key, value)) = iter.peek() {
        entries.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        iter.advance();
    }
    entries
}

fn block(input: &[u8]) -> bool {
    // Whether the sum holds or not.
    let _ = Block::parse(input, RUN_ID, 0);
    let frame = framed(input);
    let (run_id, index) = (u64_at(&frame, 16), u32_at(&frame, 24));
    let Ok(block) = Block::parse(frame.as_slice(), run_id, index) else { return false };
    assert!(Block::parse(frame.as_slice(), run_id ^ 1, index).is_err(), "another run's block");
    let entries = entries_of(&block);
    assert_eq!(entries.len(), block.entry_count() as usize);
    assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0), "keys do not rise");
    for (key, value) in entries.iter().take(LOOK_UPS_MAX) {
        assert_eq!(block.get(key), Some(value.as_deref()));
        assert_eq!(block.seek(key).peek(), Some((key.as_slice(), value.as_deref())));
    }
    rebuilt(run_id, &entries);
    true
}

/// Asserts that a run made of the entries holds them.
fn rebuilt(run_id: u64, entries: &[KeyValue]) {
    let run = finished(run_id, entries);
    let index = match RunIndex::parse(&run.tail, &run.summary) {
        Ok(index) => index,
        Err(error) => panic!("a tail that was built is refused: {error}"),
    };
    let mut again = Vec::new();
    for (number, bytes) in (0_u32..).zip(&run.blocks) {
        let Some(location) = index.block(number) else { panic!("no place for block {number}") };
        match Block::parse_at(bytes.as_slice(), run_id, &location) {
            Ok(block) => again.extend(entries_of(&block)),
            Err(error) => panic!("a block that was built is refused: {error}"),
        }
    }
    assert_eq!(again, entries);
    assert!(entries.iter().take(LOOK_UPS_MAX).all(|entry| index.may_contain(&entry.0)));
}

fn finished(run_id: u64, entries: &[KeyValue]) -> FinishedRun {
    let mut builder = RunBuilder::new(run_id, entries.len() as u64);
    for (key, value) in entries {
        builder.push(key, value.as_deref());
    }
    builder.finish()
}

fn run(input: &[u8]) -> bool {
    match chosen(input, 2) {
        Some((0, bytes)) => {
            let Ok(summary) = RunSummary::decode(bytes) else { return false };
            assert_eq!(summary.encode(), bytes);
            true
        }
        Some((_, bytes)) => tail(bytes),
        None => false,
    }
}

/// Read as the tail that a summary with the same numbers names.
fn tail(input: &[u8]) -> bool {
    let frame = framed(input);
    let summary = RunSummary {
        run_id: u64_at(&frame, 16),
        entry_count: u64_at(&frame, 24),
        blocks_bytes: u64_at(&frame, 32),
        tail_bytes: frame.len() as u64,
        tail_sum: u64_at(&frame, 0),
        level: 0,
    };
    let Ok(index) = RunIndex::parse(&frame, &summary) else { return false };
    assert!(index.memory_bytes() <= size_of::<RunIndex>() + frame.len());
    let mut end_bytes = 0;
    for number in 0..index.block_count() {
        let Some(location) = index.block(number) else { panic!("no place for block {number}") };
        assert_eq!((location.index, location.offset_bytes), (number, end_bytes));
        end_bytes += u64::from(location.length_bytes);
    }
    assert_eq!(end_bytes, summary.blocks_bytes);
    let (first, last) = index.bounds().unwrap_or_default();
    let keys: [&[u8]; 4] = [first, last, b"", input];
    for key in keys {
        let inside = index.block_count() > 0 && first <= key && key <= last;
        assert_eq!(index.block_for(key).is_some(), inside);
        assert!(inside || !index.may_contain(key));
        let behind = index.block_count() == 0 || key > last;
        assert_eq!(index.block_from(key).is_none(), behind);
    }
    true
}

fn entry_samples() -> Vec<Vec<u8>> {
    let payload = PayloadLocation {
        segment: SegmentId(2),
        generation: 9,
        offset_bytes: 4096,
        bytes: 7,
        sum: 11,
    };
    let value = Some(b"value".to_vec());
    let whole = Entry { sequence: sequence(9), payload: Some(payload), value };
    let tombstone = Entry { sequence: sequence(9), payload: None, value: None };
    let key = b"a/b\0c";
    let local = IndexKey::local(Keyspace::Fragments, DataId([7; 16])).0;
    let etag = Etag { md5: [0xab; 16], part_count: 12 };
    vec![
        choosing(0, &whole.encode()),
        choosing(0, &tombstone.encode()),
        choosing(1, &IndexKey::current_suffix(BucketId(1), key)),
        choosing(2, &IndexKey::upload_suffix(BucketId(1), key, UploadId([5; 16]))),
        choosing(3, &local),
        choosing(4, etag.text().as_bytes()),
    ]
}

fn sample_run() -> FinishedRun {
    let entries = (0..40_usize).map(|number| {
        let value = (!number.is_multiple_of(5)).then(|| vec![0xee; number]);
        (format!("bucket/object-{number:03}").into_bytes(), value)
    });
    finished(RUN_ID, &entries.collect::<Vec<KeyValue>>())
}

fn block_samples() -> Vec<Vec<u8>> {
    sample_run().blocks.iter().map(|block| trimmed(block)).collect()
}

fn run_samples() -> Vec<Vec<u8>> {
    let run = sample_run();
    vec![choosing(0, &run.summary.encode()), choosing(1, &trimmed(&run.tail))]
}

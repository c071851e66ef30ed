//! Format version 1 of a run as committed bytes: blocks, tail and summary still encode to them,
//! and they still hold the same entries. Later versions get folders of their own.

#[path = "../../format/tests/fixture/mod.rs"]
mod fixture;

use engine_index::{Block, FinishedRun, RunBuilder, RunIndex, RunSummary, Source};
use fixture::check;

const RUN_ID: u64 = 0x0102_0304_0506_0708;

type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Two stretches of entries, tombstones, an empty value and values that fill two blocks. Long
/// values are one byte over and over, so that the text stays short.
fn entries() -> Entries {
    let mut entries: Entries = (0..20_u8)
        .map(|number| {
            let key = format!("C\0bucket/key-{number:02}").into_bytes();
            (key, (number % 3 > 0).then(|| vec![number; usize::from(number % 5)]))
        })
        .collect();
    entries.push((b"D".to_vec(), Some(vec![b'd'; 12_000])));
    entries.push((b"DD".to_vec(), Some(vec![b'e'; 12_000])));
    entries.push((vec![b'k'; 300], None));
    entries
}

fn built() -> (Vec<Vec<u8>>, Vec<u8>, RunSummary) {
    let entries = entries();
    let mut builder = RunBuilder::new(RUN_ID, entries.len() as u64);
    let mut blocks = Vec::new();
    for (key, value) in &entries {
        builder.push(key, value.as_deref());
        blocks.extend(builder.take_block());
    }
    let FinishedRun { blocks: last, tail, summary } = builder.finish();
    blocks.extend(last);
    (blocks, tail, RunSummary { level: 2, ..summary })
}

#[test]
fn a_run_is_of_version_1() {
    let (blocks, tail, summary) = built();
    assert_eq!(blocks.len(), 2, "one block behind another");
    let bytes = check("run-summary", "docs/format/run.md, summary", &summary.encode());
    assert_eq!(RunSummary::decode(&bytes), Ok(summary));
    let tail = check("run-tail", "docs/format/run.md, tail", &tail);
    let index = RunIndex::parse(&tail, &summary).unwrap();
    assert_eq!((index.run_id(), index.entry_count()), (RUN_ID, 23));
    assert_eq!(index.bounds(), Some((&b"C\0bucket/key-00"[..], &[b'k'; 300][..])));

    let mut found = Entries::new();
    for (number, bytes) in (0_u32..).zip(&blocks) {
        let name = format!("run-block-{number}");
        let bytes = check(&name, "docs/format/run.md, block", bytes);
        let location = index.block(number).unwrap();
        let block = Block::parse_at(bytes, RUN_ID, &location).unwrap();
        let mut entries = block.iter();
        while let Some((key, value)) = entries.peek() {
            found.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            entries.advance();
        }
    }
    assert_eq!(found, entries());
    for (key, _) in entries() {
        assert!(index.may_contain(&key), "the filter knows {key:?}");
    }
}

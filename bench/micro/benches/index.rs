//! CPU time per key of the index in memory: building a run, looking up in it, merging runs into a
//! new one. `cargo bench -p bench-micro --bench index`.
//!
//! Keys are of 50 bytes, values of 150; the blocks of a look-up are parsed already, as in a warm
//! cache, those of a merge are not.
#![allow(clippy::print_stdout, reason = "a bench prints")]

use bench_micro::{Meter, is_measured, print_head, print_us};
use engine_index::{
    Block, BlockQueue, FinishedRun, Merge, Merged, RunBuilder, RunIndex, RunSummary, Tombstones,
};
use std::hint::black_box;

const RUNS: usize = 4;
const VALUE_BYTES: usize = 150;

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

struct Run {
    summary: RunSummary,
    index: RunIndex,
    bytes: Vec<Vec<u8>>,
    blocks: Vec<Block>,
}

fn main() {
    let (count, rounds) = if is_measured() { (200_000, 9) } else { (2_000, 1) };
    print_head(&format!("{count} keys"));
    let entries = made_up(count);
    let absent: Vec<Vec<u8>> =
        entries.iter().map(|(key, _)| [key.as_slice(), b"x"].concat()).collect();
    let parts: Vec<Vec<Pair>> =
        (0..RUNS).map(|part| entries.iter().skip(part).step_by(RUNS).cloned().collect()).collect();
    let run = finish(1, build(1, &entries));
    let runs: Vec<Run> =
        (1..).zip(&parts).map(|(run_id, part)| finish(run_id, build(run_id, part))).collect();
    let measure = |name: &str, work: &dyn Fn()| {
        work();
        let round = || {
            let meter = Meter::begin();
            work();
            meter.thread_us(entries.len())
        };
        print_us(name, (0..rounds).map(|_| round()).collect());
    };
    measure("insert into a run, block and filter made", &|| {
        black_box(build(1, &entries));
    });
    measure("look up a key that is there", &|| {
        assert!(entries.iter().all(|(key, _)| black_box(get(&run, key)).is_some()));
    });
    measure("look up a key that is not", &|| {
        assert!(absent.iter().all(|key| black_box(get(&run, key)).is_none()));
    });
    measure("merge of 4 runs into one", &|| assert_eq!(merge(&runs), entries.len() as u64));
}

/// Entries in the order of their keys, no two alike.
fn made_up(count: usize) -> Vec<Pair> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    };
    let mut entries: Vec<Pair> = (0..count)
        .map(|_| {
            let (tenant, month, day) = (random() % 200, random() % 12 + 1, random() % 28 + 1);
            let name = random() & 0xffff_ffff;
            let key = format!("bucket-03/tenant-{tenant:04}/2019/{month:02}/{day:02}/{name:08x}");
            let value = (0..VALUE_BYTES).map(|_| random() as u8).collect();
            (key.into_bytes(), value)
        })
        .collect();
    entries.sort();
    entries.dedup_by(|one, other| one.0 == other.0);
    entries
}

fn build(run_id: u64, entries: &[Pair]) -> (Vec<Vec<u8>>, FinishedRun) {
    let mut builder = RunBuilder::new(run_id, entries.len() as u64);
    let mut blocks = Vec::new();
    for (key, value) in entries {
        builder.push(key, Some(value.as_slice()));
        blocks.extend(builder.take_block());
    }
    (blocks, builder.finish())
}

fn finish(run_id: u64, (mut bytes, finished): (Vec<Vec<u8>>, FinishedRun)) -> Run {
    let FinishedRun { blocks, tail, summary } = finished;
    bytes.extend(blocks);
    let index = RunIndex::parse(&tail, &summary).expect("a run just built");
    let blocks = (0..)
        .zip(&bytes)
        .map(|(number, bytes)| Block::parse(bytes.as_slice(), run_id, number))
        .collect::<Result<Vec<Block>, _>>()
        .expect("blocks just built");
    Run { summary, index, bytes, blocks }
}

fn get<'a>(run: &'a Run, key: &[u8]) -> Option<&'a [u8]> {
    if !run.index.may_contain(key) {
        return None;
    }
    let location = run.index.block_for(key)?;
    run.blocks.get(location.index as usize)?.get(key)?
}

/// Merges runs into a new one; gives how many keys it has.
fn merge(runs: &[Run]) -> u64 {
    let expected = runs.iter().map(|run| run.summary.entry_count).sum();
    let mut builder = RunBuilder::new(9, expected);
    let mut next = vec![0_u32; runs.len()];
    let queues = runs.iter().map(|_| BlockQueue::new()).collect();
    let mut merge = Merge::new(queues, Tombstones::Keep);
    loop {
        let starved = match merge.step(&mut |_, _| {}) {
            Merged::End => break,
            Merged::Starved(index) => index,
            Merged::Entry(key, value) => {
                builder.push(key, value);
                black_box(builder.take_block());
                continue;
            }
        };
        let run = &runs[starved];
        match run.index.block(next[starved]) {
            Some(location) => {
                let bytes = run.bytes[location.index as usize].as_slice();
                let block = Block::parse_at(bytes, run.summary.run_id, &location);
                let block = block.expect("a block just built");
                merge.refill(starved, |queue| queue.push(block));
            }
            None => merge.refill(starved, BlockQueue::end),
        }
        next[starved] += 1;
    }
    black_box(builder.finish()).summary.entry_count
}

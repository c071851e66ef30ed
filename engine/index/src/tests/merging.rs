//! A merge equals a map into which the sources were inserted, the oldest first.

use super::{Built, Model, ModelSource, Random, random_value};
use crate::{BlockQueue, Merge, Merged, RunBuilder, Source, Tombstones};

type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Sources of few distinct keys, so that most are shadowed somewhere; some are empty.
fn models(random: &mut Random) -> Vec<Model> {
    let source_count = random.below(10);
    let key_count = 1 + random.below(200);
    (0..source_count)
        .map(|_| {
            let tries = random.below(100);
            (0..tries)
                .map(|_| {
                    let key = format!("key/{}", random.below(key_count)).into_bytes();
                    (key, random_value(random))
                })
                .collect()
        })
        .collect()
}

/// What must come out, and what must be reported.
fn expected(models: &[Model], tombstones: Tombstones) -> (Entries, Entries) {
    let mut kept = Model::new();
    let mut dropped = Entries::new();
    for model in models {
        for (key, value) in model {
            if kept.contains_key(key) {
                dropped.push((key.clone(), value.clone()));
            } else {
                kept.insert(key.clone(), value.clone());
            }
        }
    }
    if tombstones == Tombstones::Drop {
        let dead = kept.iter().filter(|(_, value)| value.is_none());
        dropped.extend(dead.map(|(key, value)| (key.clone(), value.clone())));
        kept.retain(|_, value| value.is_some());
    }
    dropped.sort();
    (kept.into_iter().collect(), dropped)
}

/// Runs a merge to its end; `refill` serves starved sources.
fn run<S: Source>(
    mut merge: Merge<S>,
    mut refill: impl FnMut(usize, &mut S),
) -> (Entries, Entries) {
    let (mut kept, mut dropped) = (Entries::new(), Entries::new());
    loop {
        let mut report = |key: &[u8], value: Option<&[u8]>| {
            dropped.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        };
        match merge.step(&mut report) {
            Merged::Entry(key, value) => kept.push((key.to_vec(), value.map(<[u8]>::to_vec))),
            Merged::Starved(index) => merge.refill(index, |source| refill(index, source)),
            Merged::End => break,
        }
    }
    dropped.sort();
    (kept, dropped)
}

#[test]
fn the_newest_wins_and_the_rest_is_reported() {
    let mut random = Random::new(31);
    for _ in 0..300 {
        let models = models(&mut random);
        for tombstones in [Tombstones::Keep, Tombstones::Drop] {
            let sources = models.iter().map(ModelSource::new).collect();
            let merge = Merge::new(sources, tombstones);
            let merged = run(merge, |index, _| panic!("source {index} is in memory"));
            assert!(merged == expected(&models, tombstones), "{} sources", models.len());
        }
    }
}

#[test]
fn a_small_merge_by_hand() {
    let newer = Model::from([(b"a".to_vec(), None), (b"c".to_vec(), Some(b"3".to_vec()))]);
    let older = Model::from([
        (b"a".to_vec(), Some(b"1".to_vec())),
        (b"b".to_vec(), Some(b"2".to_vec())),
        (b"c".to_vec(), Some(b"old".to_vec())),
    ]);
    let sources = vec![ModelSource::new(&newer), ModelSource::new(&older)];
    let mut merge = Merge::new(sources, Tombstones::Drop);
    let mut dropped = Entries::new();
    let mut report =
        |key: &[u8], value: Option<&[u8]>| dropped.push((key.to_vec(), value.map(<[u8]>::to_vec)));
    let two: (&[u8], Option<&[u8]>) = (b"b", Some(b"2"));
    let three: (&[u8], Option<&[u8]>) = (b"c", Some(b"3"));
    assert_eq!(merge.next_entry(&mut report), Some(two));
    assert_eq!(merge.next_entry(&mut report), Some(three));
    assert_eq!(merge.next_entry(&mut report), None);
    assert_eq!(merge.next_entry(&mut report), None);
    let expected = vec![
        (b"a".to_vec(), Some(b"1".to_vec())),
        (b"a".to_vec(), None),
        (b"c".to_vec(), Some(b"old".to_vec())),
    ];
    assert_eq!(dropped, expected);
}

#[test]
fn runs_read_block_by_block_merge_like_maps() {
    let mut random = Random::new(64);
    for _ in 0..12 {
        let models: Vec<Model> = (0..4)
            .map(|_| {
                let tries = random.below(1500);
                (0..tries)
                    .map(|_| {
                        let key = format!("key/{:05}", random.below(3000)).into_bytes();
                        (key, random_value(&mut random))
                    })
                    .collect()
            })
            .collect();
        let runs: Vec<_> = (0..).zip(&models).map(|(id, model)| Built::of(id, model)).collect();
        let mut next_blocks = vec![0_u32; runs.len()];
        let queues = runs.iter().map(|_| BlockQueue::new()).collect();
        let merge = Merge::new(queues, Tombstones::Keep);
        let merged = run(merge, |index, queue: &mut BlockQueue| {
            // Sometimes one block, sometimes several ahead.
            for _ in 0..=random.below(3) {
                let built = &runs[index];
                match built.index.block(next_blocks[index]) {
                    Some(location) => queue.push(built.block(&location)),
                    None => return queue.end(),
                }
                next_blocks[index] += 1;
            }
        });
        let (kept, dropped) = expected(&models, Tombstones::Keep);
        assert!(merged == (kept.clone(), dropped));

        // The merged run, written again, is the merged map.
        let mut builder = RunBuilder::new(9, kept.len() as u64);
        for (key, value) in &kept {
            builder.push(key, value.as_deref());
        }
        assert!(Built::finish(builder, Vec::new()).entries() == kept);
    }
}

#[test]
fn a_queue_may_start_within_a_block() {
    let model: Model = (0..100_u8).map(|number| (vec![number], Some(vec![number]))).collect();
    let built = Built::of(1, &model);
    let block = built.block(&built.index.block_from(&[40]).unwrap());
    let mut queue = BlockQueue::new();
    assert!(queue.starved());
    queue.start(block.seek(&[40]));
    assert_eq!(queue.block_count(), 1);
    for number in 40..100_u8 {
        assert_eq!(queue.peek(), Some(([number].as_slice(), Some([number].as_slice()))));
        queue.advance();
    }
    assert!(queue.starved() && queue.peek().is_none());
    queue.end();
    assert!(!queue.starved());

    let mut behind = BlockQueue::new();
    behind.start(block.seek(&[200]));
    assert!(behind.starved(), "nothing of that block is wanted");
    behind.push(block);
    assert_eq!(behind.peek().map(|(key, _)| key), Some([0].as_slice()));
}

#[test]
#[should_panic(expected = "source 0 starves")]
fn starving_where_it_is_excluded_is_a_programming_error() {
    let mut merge = Merge::new(vec![BlockQueue::new()], Tombstones::Keep);
    merge.next_entry(&mut |_, _| {});
}

//! Rot in the log: what was acknowledged is there, or the drive says that its log is broken. It is
//! never silently missing.

use crate::rig::{Rig, SEGMENT_BYTES, config};
use engine_env::Env;
use engine_format::{BatchHeader, SegmentHeader};
use engine_store::{DriveError, StoreConfig};
use engine_types::Sequence;
use std::collections::BTreeMap;

/// Where the batches of a segment stand, and how long they are.
fn batches(bytes: &[u8], generation: u64) -> Vec<(usize, usize)> {
    let mut at = SegmentHeader::BYTES;
    let mut found = Vec::new();
    while at + BatchHeader::BYTES <= bytes.len() {
        let Ok((header, payload, _)) = BatchHeader::open(&bytes[at..]) else { break };
        if header.generation != generation {
            break;
        }
        let len = BatchHeader::BYTES + payload.len();
        found.push((at, len));
        at += len.next_multiple_of(4096);
    }
    found
}

/// A drive with some full log segments and no checkpoint, its process gone.
fn long_log(seed: u64) -> (Rig, BTreeMap<u64, u64>) {
    let mut rig = Rig::new(seed, 48);
    rig.config = StoreConfig {
        memtable_bytes: 64 << 20,
        log_bytes_between_checkpoints: 1 << 30,
        ..config()
    };
    let mut client = rig.client(BTreeMap::new());
    client = rig.run(async move {
        for _ in 0..120 {
            client.put().await.expect("a healthy drive");
        }
        // The last batch knows all before it durable.
        client.store.barrier().await.expect("a healthy drive");
        client.store.barrier().await.expect("a healthy drive");
        client.env.sleep_us(100_000).await;
        client
    });
    let live = client.live.clone();
    drop(client);
    rig.kill();
    rig.media.lose_power();
    (rig, live)
}

/// The log segments that hold batches, in the order of the log: number and generation.
fn log_segments(rig: &Rig) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for segment in 1..48 {
        let bytes = rig.media.contents(segment * SEGMENT_BYTES, SEGMENT_BYTES as usize);
        let Ok(header) = SegmentHeader::decode(&bytes[..SegmentHeader::BYTES]) else { continue };
        if !batches(&bytes, header.generation).is_empty() {
            found.push((header.previous.batch_sequence, segment, header.generation));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, segment, generation)| (segment, generation)).collect()
}

fn rot_at(rig: &Rig, offset_bytes: u64) {
    let byte = rig.media.contents(offset_bytes, 1);
    rig.media.overwrite(offset_bytes, &[byte[0] ^ 1]);
}

#[test]
fn the_log_without_rot_is_whole() {
    let (mut rig, live) = long_log(1);
    assert!(log_segments(&rig).len() >= 4, "the log is long");
    let client = rig.client(live);
    rig.run(async move { client.check().await });
}

#[test]
fn rot_of_any_batch_before_the_last_segment_is_seen() {
    let (rig, _) = long_log(2);
    let segments = log_segments(&rig);
    let (_, before_last) = segments.split_last().unwrap();
    for (number, (segment, generation)) in before_last.iter().enumerate() {
        let bytes = rig.media.contents(segment * SEGMENT_BYTES, SEGMENT_BYTES as usize);
        let places = batches(&bytes, *generation);
        // The first, one in the middle, and the last, behind which the segment holds nothing.
        for index in [0, places.len() / 2, places.len() - 1] {
            let (mut rig, _) = long_log(2);
            let (at, len) = places[index];
            rot_at(&rig, segment * SEGMENT_BYTES + (at + len - 9) as u64);
            let opened = rig.open().map(|_| ());
            assert!(
                matches!(opened, Err(DriveError::LogRot(_))),
                "batch {index} of log segment {number}: {opened:?}"
            );
        }
    }
}

#[test]
fn rot_of_a_successors_header_is_seen() {
    let (rig, _) = long_log(3);
    let segments = log_segments(&rig);
    for (segment, _) in &segments[1..segments.len() - 1] {
        let (mut rig, _) = long_log(3);
        rot_at(&rig, segment * SEGMENT_BYTES + 100);
        let opened = rig.open().map(|_| ());
        assert!(matches!(opened, Err(DriveError::LogRot(_))), "segment {segment}: {opened:?}");
    }
}

#[test]
fn rot_in_a_segment_that_is_cleaned_loses_nothing_else() {
    let mut rig = Rig::new(4, 48);
    let mut client = rig.client(BTreeMap::new());
    client = rig.run(async move {
        client.fill().await;
        client
    });
    // One batch in the middle of each of two old segments.
    let segments = log_segments(&rig);
    let mut rotten: Vec<Sequence> = Vec::new();
    for (segment, generation) in &segments[1..3] {
        let bytes = rig.media.contents(segment * SEGMENT_BYTES, SEGMENT_BYTES as usize);
        let places = batches(&bytes, *generation);
        let (at, len) = places[places.len() / 2];
        let (header, payload, _) = BatchHeader::open(&bytes[at..]).unwrap();
        let records =
            engine_format::Record::decode_all(payload, header.record_count as usize).unwrap();
        for (record, _) in records {
            match record {
                engine_format::Record::Commit(commit) => rotten.push(commit.sequence),
                engine_format::Record::Move(moved) => rotten.push(moved.sequence),
                _ => {}
            }
        }
        rot_at(&rig, segment * SEGMENT_BYTES + (at + len / 2) as u64);
    }
    rig.run(async move {
        let keys: Vec<u64> = client.live.keys().copied().step_by(2).collect();
        for key in keys {
            client.delete(key).await;
        }
        client.fill().await;
        let mut lost = 0;
        for key in client.live.keys() {
            let found = client.store.get_with_payload(&crate::rig::index_key(*key)).await;
            match found {
                Ok(Some((_, Some(_)))) => {}
                Ok(other) => panic!("key {key}: {other:?}"),
                Err(_) => {
                    let entry =
                        client.store.get(&crate::rig::index_key(*key)).await.unwrap().unwrap();
                    assert!(rotten.contains(&entry.sequence), "key {key} is not a rotten one");
                    lost += 1;
                }
            }
        }
        assert!(lost <= rotten.len(), "only what rotted is lost");
        assert_eq!(client.store.failed(), None);
    });
}

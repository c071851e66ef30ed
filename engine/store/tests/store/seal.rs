//! A write of the log fails: the segment is sealed, what was lost goes into the next, and whatever
//! the failed write has left there is never replayed.

use crate::rig::{Client, Rig, log_batch_segment};
use engine_env::IoError;
use engine_store::DriveError;
use shards_sim::{Remains, SimMedia};
use std::collections::BTreeMap;

/// From now on no batch can be written to the first `count` segments that the log comes to.
fn spoil_segments(media: &SimMedia, count: usize, remains: Remains) {
    let mut bad: Vec<u32> = Vec::new();
    media.set_write_faults(move |_, bytes| {
        let segment = log_batch_segment(bytes)?;
        if bad.len() < count && !bad.contains(&segment) {
            bad.push(segment);
        }
        bad.contains(&segment).then_some(remains)
    });
}

/// Puts objects on a drive, then others while segments are bad.
fn put_over_bad_segments(
    rig: &mut Rig,
    first: usize,
    (count, remains): (usize, Remains),
) -> (Client, Result<(), DriveError>) {
    let mut client = rig.client(BTreeMap::new());
    client = rig.run(async move {
        client.put_together(6).await.expect("a healthy drive");
        client.store.barrier().await.expect("a healthy drive");
        client
    });
    spoil_segments(&rig.media, count, remains);
    rig.run(async move {
        // The first batch that fails is alone, or one of two in flight.
        let mut outcome = client.put_together(first).await;
        outcome = outcome.and(client.put_together(41 - first).await);
        for _ in 0..10 {
            outcome = outcome.and(client.put().await.map(|_| ()));
        }
        (client, outcome)
    })
}

#[test]
fn the_log_goes_on_behind_failed_writes_and_replay_cuts_there() {
    for remains in [Remains::Nothing, Remains::Part, Remains::All] {
        for (seed, count) in (1..=10).flat_map(|seed| [(seed, 1), (seed, 2)]) {
            let context = format!("seed {seed}, {count} bad segments, left: {remains:?}");
            let mut rig = Rig::new(seed, 64);
            let first = if seed % 2 == 0 { 1 } else { 40 };
            let (client, outcome) = put_over_bad_segments(&mut rig, first, (count, remains));
            assert_eq!(outcome, Ok(()), "{context}");
            assert_eq!(client.store.failed(), None, "{context}");
            assert!(client.store.usage().sealed_segments > 0, "{context}");
            rig.media.clear_write_faults();
            let mut live = client.live.clone();
            assert_eq!(live.len(), 57, "{context}");
            drop(client);
            // Opened after a kill, and once more after the power failed.
            for is_killed in [true, false] {
                if is_killed {
                    rig.kill();
                } else {
                    rig.lose_power();
                }
                let mut client = rig.client(live);
                client = rig.run(async move {
                    client.check().await;
                    client.put_together(4).await.expect("a healthy drive");
                    client.check().await;
                    client
                });
                live = std::mem::take(&mut client.live);
            }
        }
    }
}

#[test]
fn three_bad_segments_one_after_the_other_fail_the_drive() {
    let all = [Remains::Nothing, Remains::Part, Remains::All];
    for (remains, first) in all.into_iter().flat_map(|remains| [(remains, 1), (remains, 40)]) {
        let mut rig = Rig::new(5, 64);
        let (client, outcome) = put_over_bad_segments(&mut rig, first, (3, remains));
        let expected = DriveError::Io(IoError::Failed(5));
        assert_eq!(outcome, Err(expected));
        assert_eq!(client.store.failed(), Some(expected));
        rig.media.clear_write_faults();
        let before = client.live.clone();
        drop(client);
        rig.lose_power();
        let store = rig.open().expect("what was durable is there");
        rig.run(async move {
            for key in before.keys() {
                let found = store.get(&crate::rig::index_key(*key)).await.expect("a healthy drive");
                assert!(found.is_some(), "key {key} was acknowledged");
            }
        });
    }
}

#[test]
fn before_the_first_batch_of_an_opening_nothing_is_announced() {
    let mut rig = Rig::new(6, 64);
    let mut client = rig.client(BTreeMap::new());
    spoil_segments(&rig.media, 1, Remains::Nothing);
    client = rig.run(async move {
        assert_eq!(client.put().await, Err(DriveError::Io(IoError::Failed(5))));
        client
    });
    assert!(client.store.failed().is_some());
    drop(client);
    rig.media.clear_write_faults();
    rig.kill();
    let mut client = rig.client(BTreeMap::new());
    rig.run(async move {
        client.check().await;
        client.put().await.expect("a healthy drive");
        client.check().await;
    });
}

#[test]
fn sealed_segments_come_back() {
    let mut rig = Rig::new(7, 64);
    let mut client = rig.client(BTreeMap::new());
    for round in 0..4 {
        // Tombstones: nothing in these segments stays alive.
        client = rig.run(async move {
            client.delete(1_000 + round).await;
            client.store.barrier().await.expect("a healthy drive");
            client
        });
        spoil_segments(&rig.media, 1, Remains::Part);
        client = rig.run(async move {
            client.delete(2_000 + round).await;
            client
        });
        rig.media.clear_write_faults();
    }
    assert_eq!(client.store.usage().sealed_segments, 4);
    rig.run(async move {
        client.store.barrier().await.expect("a healthy drive");
        client.store.checkpoint().await.expect("there is space");
        // The one in use, the two announced, and perhaps the one before.
        let log = client.store.census().get("log").copied().unwrap_or_default();
        assert!(log <= 4, "{log} segments of the log");
    });
}

//! Full drives: space comes back after deletes, again and again and across openings; what has no
//! space is refused, never failed; nothing lets go of space that is still in use.

use crate::rig::{Client, Rig, config};
use engine_env::{DmaBuf, Env};
use engine_format::{Keyspace, Mutation};
use engine_store::{DriveError, FragmentPlan, StoreConfig};
use engine_types::{DataId, FragmentIndex, Geometry};
use shards_sim::Random;
use std::collections::BTreeMap;

#[test]
fn a_full_drive_takes_as_much_again_as_was_deleted() {
    let mut rig = Rig::new(1, 64);
    let mut live = BTreeMap::new();
    let mut random = Random::new(1, "deletes");
    for round in 0..4 {
        let mut client = rig.client(live);
        let doomed: Vec<u64> = client.live.keys().copied().filter(|_| random.one_in(2)).collect();
        let (filled, deleted);
        (client, filled, deleted) = rig.run(async move {
            client.check().await;
            for key in &doomed {
                client.delete(*key).await;
            }
            let filled = client.fill().await;
            client.check().await;
            (client, filled, doomed.len())
        });
        assert!(filled * 100 >= deleted * 95, "round {round}: {deleted} deleted, {filled} put");
        assert!(filled > 100, "round {round}: {filled} put");
        live = std::mem::take(&mut client.live);
        drop(client);
        rig.kill();
    }
}

#[test]
fn a_full_drive_is_cleaned_without_opening_it_again() {
    let mut rig = Rig::new(2, 48);
    let mut client = rig.client(BTreeMap::new());
    let mut random = Random::new(2, "deletes");
    rig.run(async move {
        client.fill().await;
        for round in 0..3 {
            let doomed: Vec<u64> =
                client.live.keys().copied().filter(|_| random.one_in(2)).collect();
            for key in &doomed {
                client.delete(*key).await;
            }
            let filled = client.fill().await;
            assert!(filled * 100 >= doomed.len() * 95, "round {round}: {filled}, {}", doomed.len());
        }
        client.check().await;
        assert!(client.store.usage().cleaned_segments > 0, "segments were cleaned");
    });
}

#[test]
fn deletes_alone_never_fill_the_drive() {
    let mut rig = Rig::new(3, 48);
    let mut client = rig.client(BTreeMap::new());
    rig.run(async move {
        client.fill().await;
        // Each delete takes a batch of its own, far more than the reserve in all.
        for round in 0..4 {
            let keys: Vec<u64> = client.live.keys().copied().collect();
            for key in keys.iter().take(200) {
                client.delete(*key).await;
            }
            for key in 0..600 {
                client.delete(1_000_000 + key).await;
            }
            assert_eq!(client.store.failed(), None, "round {round}");
        }
        client.check().await;
    });
}

#[test]
fn a_checkpoint_and_openings_without_a_write_keep_the_log_whole() {
    let mut rig = Rig::new(4, 48);
    let mut client = rig.client(BTreeMap::new());
    client = rig.run(async move {
        for _ in 0..100 {
            client.put().await.unwrap();
        }
        client.store.checkpoint().await.unwrap();
        client
    });
    let mut live = client.live.clone();
    drop(client);
    rig.kill();
    // More openings than there are segments: each gives back what the one before it took.
    for _ in 0..60 {
        drop(rig.client(live.clone()));
        rig.kill();
    }
    for _ in 0..2 {
        let mut client = rig.client(live);
        client = rig.run(async move {
            client.fill().await;
            client.check().await;
            client
        });
        live = client.live.clone();
        drop(client);
        rig.kill();
    }
    let client = rig.client(live);
    rig.run(async move { client.check().await });
}

#[test]
fn a_full_host_makes_a_full_drive_and_no_failed_one() {
    let mut rig = Rig::new(5, 200);
    let mut client = rig.client(BTreeMap::new());
    client = rig.run(async move {
        for _ in 0..200 {
            client.put().await.unwrap();
        }
        client
    });
    rig.media.set_host_full(true);
    let filled;
    (client, filled) = rig.run(async move {
        let filled = client.fill().await;
        let keys: Vec<u64> = client.live.keys().copied().take(150).collect();
        for key in keys {
            client.delete(key).await;
        }
        client.check().await;
        (client, filled)
    });
    assert!(filled < 2000, "the host had no space for {filled}");
    assert!(client.store.usage().free_bytes < 16 << 20, "what the host has not is not free");
    rig.media.set_host_full(false);
    rig.run(async move {
        client.env.sleep_us(3_000_000).await;
        for _ in 0..300 {
            client.put().await.expect("the host has space again");
        }
        client.check().await;
    });
}

#[test]
fn a_record_that_fits_nowhere_is_refused() {
    let mut rig = Rig::new(6, 48);
    let mut client = rig.client(BTreeMap::new());
    rig.run(async move {
        let mutation = |value: usize| Mutation {
            space: Keyspace::Current,
            suffix: b"a".to_vec(),
            value: Some(vec![1; value]),
            has_payload: false,
        };
        let sequence = client.next_sequence();
        let large = Client::commit(sequence, vec![mutation(1)], vec![7; 256 << 10]);
        assert_eq!(client.store.prepare(large).await, Err(DriveError::Full));
        let wide = Client::commit(sequence, vec![mutation((60 << 10) + 1)], Vec::new());
        assert!(matches!(client.store.prepare(wide).await, Err(DriveError::Format(_))));
        let widest = Client::commit(sequence, vec![mutation(60 << 10)], Vec::new());
        client.store.prepare(widest).await.unwrap();
        client.store.mark(vec![engine_format::Mark { through: sequence }]).await.unwrap();
        client.store.checkpoint().await.unwrap();
        assert_eq!(client.store.failed(), None);
    });
}

fn plan(number: u8) -> FragmentPlan {
    FragmentPlan {
        data: DataId([number; 16]),
        index: FragmentIndex(0),
        geometry: Geometry { data: 1, parity: 0, cell_bytes: 64 << 10 },
        object_bytes: 128 << 10,
        heals: false,
    }
}

#[test]
fn space_of_a_discarded_fragment_is_free_after_its_last_write() {
    let mut rig = Rig::new(7, 48);
    rig.config = StoreConfig { housekeeping_us: 1_000_000, ..config() };
    let client = rig.client(BTreeMap::new());
    let (store, env) = (client.store.clone(), client.env.clone());
    let (first, second) = (plan(1).data, plan(2).data);
    let writer = store.clone();
    rig.run(async move { writer.reserve_fragment(plan(1)).await.unwrap() });
    // This write takes five seconds.
    rig.media.set_stalled(true);
    store.write_fragment(first, DmaBuf::copy_of(&[1; 64 << 10])).unwrap();
    let (waiter, sleeper) = (store.clone(), env.clone());
    env.spawn(async move { _ = waiter.fragment_progress(first, 0).await });
    rig.run(async move { sleeper.sleep_us(1000).await });
    rig.media.set_stalled(false);
    store.discard_fragment(first);
    assert_eq!(store.reserved_fragments(), 0, "the id is free at once");
    let bytes = rig.run(async move {
        store.reserve_fragment(plan(2)).await.unwrap();
        for _ in 0..2 {
            store.write_fragment(second, DmaBuf::copy_of(&[2; 64 << 10])).unwrap();
        }
        store.finish_fragment(second).await.unwrap();
        let mut client = client;
        let sequence = client.next_sequence();
        let mut commit = Client::commit(sequence, Vec::new(), Vec::new());
        commit.adopts.push(store.adopt_fragment(second, sequence).unwrap());
        store.prepare(commit).await.unwrap();
        env.sleep_us(10_000_000).await;
        store.read_fragment(second, 0, 128 << 10).await.map(|(_, bytes)| bytes.to_vec())
    });
    assert_eq!(bytes, Ok(vec![2; 128 << 10]), "the late write went elsewhere");
}

#[test]
fn abandoned_streams_and_promises_give_everything_back() {
    let mut rig = Rig::new(8, 48);
    let client = rig.client(BTreeMap::new());
    let store = client.store.clone();
    rig.run(async move {
        for number in 0..8 {
            store.reserve_fragment(plan(number)).await.unwrap();
        }
        // The same id again takes the place of the first.
        store.reserve_fragment(plan(0)).await.unwrap();
        assert_eq!(store.reserved_fragments(), 8);
        let mut promised = 0;
        while store.promise_payload(100 << 10).await.is_ok() {
            promised += 1;
        }
        assert!(promised > 0, "there was space");
        store.abandon_streams();
        assert_eq!(store.reserved_fragments(), 0);
        assert_eq!(store.promise_payload(100 << 10).await, Ok(()));
        assert_eq!(store.census().get("extents"), None, "no segment is left over");
    });
}

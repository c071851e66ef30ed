//! What one drive does about rot: nothing is hidden by it, what can be put right is written anew in
//! the drive's own log, and a drive beyond repair begins anew.

use crate::rig::{Client, Rig, SEGMENT_BYTES, index_key};
use bytes::Bytes;
use engine_env::DmaBuf;
use engine_store::{DriveError, FragmentPlan, Placed, ScrubPace, Store, Structure};
use engine_types::{DataId, DriveId, FragmentIndex, Geometry, Position};
use shards_sim::{SimEnv, SimMedia};
use std::collections::BTreeMap;

const CELL_BYTES: usize = 64 << 10;
const GEOMETRY: Geometry = Geometry { data: 1, parity: 0, cell_bytes: 64 << 10 };
const FAST: ScrubPace = ScrubPace { bytes_per_second: u64::MAX };

/// A drive whose index lies in runs, and where everything is on it.
fn written(seed: u64) -> (Rig, Client, Vec<Placed>) {
    let mut rig = Rig::new(seed, 64);
    let mut client = rig.client(BTreeMap::new());
    let (client, places) = rig.run(async move {
        client.object_bytes = 500;
        for _ in 0..200 {
            client.put().await.expect("a healthy drive");
        }
        client.store.barrier().await.expect("a healthy drive");
        client.store.checkpoint().await.expect("room for a checkpoint");
        let places = client.store.structures().await.expect("a healthy drive");
        (client, places)
    });
    (rig, client, places)
}

fn rot_in(media: &SimMedia, places: &[Placed], structure: Structure) {
    let place = places.iter().find(|place| place.structure == structure);
    let place = place.unwrap_or_else(|| panic!("no {}", structure.word()));
    rot_at(media, place.offset_bytes + place.bytes / 2);
}

fn rot_at(media: &SimMedia, offset_bytes: u64) {
    let byte = media.contents(offset_bytes, 1);
    media.overwrite(offset_bytes, &[byte[0] ^ 1]);
}

#[test]
fn every_structure_has_its_places() {
    let (_rig, _client, places) = written(1);
    for structure in Structure::ALL {
        let count = places.iter().filter(|place| place.structure == structure).count();
        let is_fragment = matches!(
            structure,
            Structure::AppendedFragment | Structure::ExtentFragment | Structure::Footer
        );
        assert_eq!(count == 0, is_fragment, "{count} {}", structure.word());
    }
    assert_eq!(places.iter().filter(|p| p.structure == Structure::Superblock).count(), 4);
}

#[test]
fn a_rotten_block_of_the_index_fails_the_drive_and_hides_nothing() {
    let (mut rig, client, places) = written(2);
    let live = client.live.clone();
    drop(client);
    rig.kill();
    rot_in(&rig.media, &places, Structure::RunBlock);
    let mut client = rig.client(live);
    client.object_bytes = 500;
    rig.run(async move {
        let mut unreadable = 0;
        for key in client.live.keys() {
            match client.store.get(&index_key(*key)).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("rot hides key {key}"),
                Err(error) => {
                    assert!(error.is_rot(), "key {key}: {error}");
                    unreadable += 1;
                }
            }
        }
        assert!(unreadable > 0, "the block holds some of the keys");
        assert_eq!(client.store.failed(), Some(DriveError::IndexRot));
        let scanned = client.store.scan(b"C", b"D", 1000).await.map(|page| page.entries.len());
        assert_eq!(scanned, Err(DriveError::IndexRot));
    });
}

#[test]
fn a_rotten_tail_bars_the_drive_unless_a_scrub_came_first() {
    let (mut rig, client, places) = written(3);
    drop(client);
    rot_in(&rig.media, &places, Structure::RunTail);
    rig.kill();
    assert!(rig.open().is_err_and(DriveError::is_rot), "the tail is needed to open the drive");

    let (mut rig, client, places) = written(3);
    rot_in(&rig.media, &places, Structure::RunTail);
    let live = rig.run(async move {
        client.store.scrub_index(FAST).await.expect("every block is sound");
        client.live.clone()
    });
    rig.kill();
    rig.media.lose_power();
    let mut client = rig.client(live);
    client.object_bytes = 500;
    rig.run(async move { client.check().await });
}

#[test]
fn a_payload_is_healed_in_the_drives_own_log() {
    let (mut rig, mut client, _) = written(4);
    let media = rig.media.clone();
    let live = rig.run(async move {
        let key = client.put().await.expect("a healthy drive");
        client.store.barrier().await.expect("a healthy drive");
        let index_key = index_key(key);
        let entry = client.store.get(&index_key).await.unwrap().unwrap();
        let location = entry.payload.unwrap();
        let at = u64::from(location.segment.0) * SEGMENT_BYTES + u64::from(location.offset_bytes);
        rot_at(&media, at);
        let found = client.store.get_with_payload(&index_key).await;
        assert!(matches!(found, Err(DriveError::Format(_))), "{found:?}");
        let payload = Bytes::from(client.payload(client.live[&key]));
        let wrong = Bytes::from(vec![7; payload.len()]);
        assert!(client.store.heal_payload(&index_key, &entry, wrong).await.is_err());
        let heal = || client.store.heal_payload(&index_key, &entry, payload.clone());
        assert_eq!(heal().await, Ok(true));
        assert_eq!(heal().await, Ok(false), "the entry points elsewhere now");
        let usage = client.store.usage();
        assert_eq!((usage.healed, usage.quarantined_segments), (1, 1));
        client.check().await;
        client.live.clone()
    });
    // The rotten batch was the log's newest: replay must not end at it.
    rig.kill();
    rig.media.lose_power();
    let mut client = rig.client(live);
    client.object_bytes = 500;
    rig.run(async move { client.check().await });
}

async fn write_fragment(client: &mut Client, data: DataId, bytes: &[u8]) -> Result<(), DriveError> {
    let store = client.store.clone();
    let object_bytes = bytes.len() as u64;
    let index = FragmentIndex(0);
    let plan = FragmentPlan { data, index, geometry: GEOMETRY, object_bytes, heals: false };
    store.reserve_fragment(plan).await?;
    for cell in bytes.chunks(CELL_BYTES) {
        store.write_fragment(data, DmaBuf::copy_of(cell))?;
    }
    store.finish_fragment(data).await?;
    let sequence = client.next_sequence();
    let mut commit = Client::commit(sequence, Vec::new(), Vec::new());
    commit.adopts.push(store.adopt_fragment(data, sequence)?);
    store.prepare(commit).await?;
    store.settled(sequence);
    store.mark(vec![engine_format::Mark { through: sequence }]).await
}

/// Heals a fragment with these bytes where its own cannot be read.
async fn heal(store: &Store<SimEnv>, data: DataId, right: &[u8]) -> Result<bool, DriveError> {
    let Some(mut healing) = store.begin_heal(data).await? else { return Ok(false) };
    for (index, cell) in right.chunks(CELL_BYTES).enumerate() {
        let read = store.read_fragment(data, (index * CELL_BYTES) as u64, cell.len()).await;
        store.write_heal(&mut healing, cell, read.is_err()).await?;
    }
    store.finish_heal(healing).await
}

#[test]
fn a_fragment_is_healed_elsewhere_with_the_very_bytes_it_had() {
    // Multiples of 64, so that a fragment is as long as its object: appended, and in extents.
    for (number, len) in [(1, 20_032), (2, 200_000)] {
        let mut rig = Rig::new(u64::from(number), 64);
        let mut client = rig.client(BTreeMap::new());
        let (media, data) = (rig.media.clone(), DataId([number; 16]));
        let bytes: Vec<u8> = (0..len).map(|at: usize| (at % 251) as u8).collect();
        let right = bytes.clone();
        rig.run(async move {
            write_fragment(&mut client, data, &right).await.expect("a healthy drive");
            let store = &client.store;
            let old = store.fragment_record(data).await.unwrap().unwrap();
            let extent = old.extents[0];
            rot_at(
                &media,
                u64::from(extent.segment.0) * SEGMENT_BYTES + u64::from(extent.offset_units) * 4096,
            );
            assert_eq!(store.verify_fragment(data).await, Ok(false));
            let mut wrong = right.clone();
            wrong[3] ^= 1;
            assert!(matches!(heal(store, data, &wrong).await, Err(DriveError::Format(_))));
            assert_eq!(store.reserved_fragments(), 0, "what was wrong is given back");
            assert_eq!(store.fragment_record(data).await.unwrap().as_ref(), Some(&old));
            assert_eq!(heal(store, data, &right).await, Ok(true));
            assert_eq!(store.verify_fragment(data).await, Ok(true));
            let new = store.fragment_record(data).await.unwrap().unwrap();
            assert_ne!(new.extents, old.extents);
            assert_eq!(new.footer_sum, old.footer_sum);
            assert_eq!(store.usage().quarantined_segments, 1);
        });
        rig.kill();
        rig.media.lose_power();
        let store = rig.open().expect("a healthy drive");
        rig.run(async move {
            let (_, read) = store.read_fragment(data, 0, bytes.len()).await.expect("it is healed");
            assert_eq!(read[..], bytes[..]);
            assert_eq!(store.usage().quarantined_segments, 0);
        });
    }
}

#[test]
fn a_drive_that_begins_anew_is_empty_in_the_same_seat() {
    let (mut rig, client, places) = written(6);
    drop(client);
    rig.kill();
    rot_in(&rig.media, &places, Structure::Checkpoint);
    assert!(rig.open().is_err_and(DriveError::is_rot));
    let id = DriveId([9; 16]);
    let (media, world) = (rig.media.clone(), rig.world.clone());
    let begun = rig.run(async move {
        Store::<SimEnv>::begin_anew(&media.open(&world), SEGMENT_BYTES, id).await
    });
    begun.expect("its superblock is whole");
    // Twice: what the old life left behind must not pass for the log of the new one.
    for _ in 0..2 {
        let store = rig.open().expect("a drive of its own");
        let identity = store.identity();
        assert_eq!((identity.drive, identity.position), (id, Position(0)));
        assert!(identity.rebuilding, "it is not in sync before it is rebuilt");
        rig.run(async move {
            let page = store.scan(b"A", b"Z", 10).await.expect("an empty index");
            assert!(page.entries.is_empty(), "{page:?}");
            assert!(store.marks().is_empty() && store.unsettled().is_empty());
        });
        rig.kill();
    }
}

//! Releases that are queued and not carried out yet: their fragments count as missing, and what is
//! written anew under such an id waits for the release and outlives it.

use crate::rig::{Client, Rig, config};
use engine_env::{DmaBuf, Env};
use engine_store::{FragmentPlan, StoreConfig};
use engine_types::{DataId, FragmentIndex, Geometry, Sequence};
use std::collections::BTreeMap;

const GEOMETRY: Geometry = Geometry { data: 1, parity: 0, cell_bytes: 64 << 10 };
const DATA: DataId = DataId([5; 16]);
/// Appended, and in extents.
const SIZES: [usize; 2] = [20_032, 200_000];
/// Far more than it takes to write a fragment anew.
const RELEASE_DELAY_US: u64 = 5_000_000;

fn new_rig(seed: u64) -> Rig {
    let mut rig = Rig::new(seed, 64);
    rig.config = StoreConfig { release_delay_us: RELEASE_DELAY_US, ..config() };
    rig
}

async fn reserve(client: &Client, len: usize) {
    let (index, object_bytes) = (FragmentIndex(0), len as u64);
    let plan = FragmentPlan { data: DATA, index, geometry: GEOMETRY, object_bytes, heals: true };
    client.store.reserve_fragment(plan).await.expect("there is space");
}

/// Writes what is reserved as a heal does: its record is settled at once.
async fn write(client: &mut Client, len: usize) {
    let store = client.store.clone();
    for cell in vec![7_u8; len].chunks(64 << 10) {
        store.write_fragment(DATA, DmaBuf::copy_of(cell)).expect("it is reserved");
    }
    store.finish_fragment(DATA).await.expect("a healthy drive");
    let sequence = client.next_sequence();
    let mut commit = Client::commit(sequence, Vec::new(), Vec::new());
    commit.settled = true;
    commit.adopts.push(store.adopt_fragment(DATA, sequence).expect("it is finished"));
    store.prepare(commit).await.expect("a healthy drive");
}

/// Queues the release, as a drive that catches up gives up what it need not hold.
async fn release(client: &Client) {
    let mut commit = Client::commit(Sequence::ZERO, Vec::new(), Vec::new());
    commit.settled = true;
    commit.releases.push(DATA);
    client.store.prepare(commit).await.expect("a healthy drive");
}

/// Whether the drive says that it holds the fragment, and whether all of it can be read.
async fn held_and_whole(client: &Client) -> (bool, bool) {
    let record = client.store.fragment_record(DATA).await.expect("a healthy drive");
    let is_whole = client.store.verify_fragment(DATA).await.expect("a healthy drive");
    (record.is_some(), is_whole)
}

#[test]
fn a_fragment_that_is_to_go_counts_as_missing() {
    for (seed, len) in (1..).zip(SIZES) {
        let mut rig = new_rig(seed);
        let mut client = rig.client(BTreeMap::new());
        rig.run(async move {
            reserve(&client, len).await;
            write(&mut client, len).await;
            assert_eq!(held_and_whole(&client).await, (true, true));
            release(&client).await;
            assert_eq!(held_and_whole(&client).await, (false, true), "reads under way go on");
        });
        rig.lose_power();
        let client = rig.client(BTreeMap::new());
        rig.run(async move {
            assert_eq!(held_and_whole(&client).await, (false, true), "and after an opening");
            client.env.sleep_us(2 * RELEASE_DELAY_US).await;
            assert_eq!(held_and_whole(&client).await, (false, false), "it is gone");
        });
    }
}

#[test]
fn a_fragment_written_anew_waits_for_the_release_of_its_id_and_outlives_it() {
    // A drive is also told to release what it does not hold.
    let cases = SIZES.into_iter().flat_map(|len| [(len, true), (len, false)]);
    for (seed, (len, is_held)) in (11..).zip(cases) {
        let mut rig = new_rig(seed);
        let mut client = rig.client(BTreeMap::new());
        rig.run(async move {
            if is_held {
                reserve(&client, len).await;
                write(&mut client, len).await;
            }
            release(&client).await;
            client.store.checkpoint().await.expect("there is space");
        });
        rig.lose_power();
        let mut client = rig.client(BTreeMap::new());
        rig.run(async move {
            assert_eq!(held_and_whole(&client).await, (false, is_held), "not carried out yet");
            let begin_us = client.env.now_us();
            reserve(&client, len).await;
            assert!(client.env.now_us() - begin_us < RELEASE_DELAY_US, "who waits hurries it");
            assert_eq!(held_and_whole(&client).await, (false, false), "it was carried out");
            write(&mut client, len).await;
            assert_eq!(held_and_whole(&client).await, (true, true), "written anew");
            client.env.sleep_us(2 * RELEASE_DELAY_US).await;
            client.put_together(40).await.expect("what is written next lies elsewhere");
            assert_eq!(held_and_whole(&client).await, (true, true), "after housekeeping");
        });
        rig.lose_power();
        let client = rig.client(BTreeMap::new());
        rig.run(async move {
            client.env.sleep_us(2 * RELEASE_DELAY_US).await;
            assert_eq!(held_and_whole(&client).await, (true, true), "and after an opening");
        });
    }
}

//! Objects that nobody can read any more, and drives that come back all the same.

use crate::rig::{BUCKET, NOBODY, Rig, Set, content, key_of, only};
use engine_format::{IndexKey, Keyspace};
use engine_set::SetError;
use engine_types::{DataId, Position, PositionSet};
use simulate::options::SEGMENT_BYTES;

const GOOD: [&str; 4] = ["good-a", "good-b", "good-c", "good-d"];

fn good(number: usize) -> Vec<u8> {
    content(number as u64, if number.is_multiple_of(2) { 300 } else { 20_000 })
}

/// Flips a bit of what stands at an offset of a segment.
fn flip(rig: &Rig, position: Position, segment: u32, offset_bytes: u64) {
    let at = u64::from(segment) * SEGMENT_BYTES + offset_bytes;
    let byte = rig.media(position).contents(at, 1);
    rig.media(position).overwrite(at, &[byte[0] ^ 1]);
}

/// The data id of an erasure-coded object, and who holds the payload of an inline one.
fn look(rig: &Rig, set: &Set, name: &'static str) -> (Option<DataId>, PositionSet) {
    let set = set.clone();
    let found = rig.run(async move { set.find(name).await }).expect("an object");
    (found.source().map(|source| source.data), found.record.holders)
}

fn rot_fragment(rig: &Rig, set: &Set, position: Position, data: DataId) {
    let store = set.member(position).store().clone();
    let record = rig.run(async move { store.fragment_record(data).await });
    let record = record.expect("a sound index").expect("a fragment");
    let extent = record.extents[0];
    flip(rig, position, extent.segment.0, u64::from(extent.offset_units) * 4096);
}

/// Flips a bit of an inline object's payload on a drive.
pub fn rot_payload(rig: &Rig, set: &Set, position: Position, name: &str) {
    let key = key_of(name);
    let order = rig.config.order(BUCKET, key.as_bytes());
    let rank = order.rank(position).expect("a rank");
    let suffix = IndexKey::current_suffix(BUCKET, key.as_bytes());
    let store = set.member(position).store().clone();
    // Rot in the part of the log that is still replayed keeps the whole drive out.
    let checkpoint = store.clone();
    rig.run(async move { checkpoint.checkpoint().await }).expect("a checkpoint");
    let entry = rig
        .run(async move { store.get(&IndexKey::ranked(Keyspace::Current, rank, &suffix).0).await });
    let payload = entry.expect("a sound index").expect("an entry").payload.expect("a holder");
    flip(rig, position, payload.segment.0, payload.offset_bytes.into());
}

#[test]
fn unreadable_objects_are_counted_and_keep_no_drive_out() {
    let rig = Rig::new(21, (2, 1));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    for (number, name) in GOOD.iter().enumerate() {
        rig.put(&set, name, &good(number)).expect("a write");
    }
    rig.put(&set, "inline", &content(50, 300)).expect("a write");
    rig.put(&set, "coded", &content(51, 20_000)).expect("a write");
    rig.rest(&set);
    let (_, holders) = look(&rig, &set, "inline");
    let (data, _) = look(&rig, &set, "coded");
    // Of the two that hold the payload one is replaced, the other one rots.
    let mut holders = holders.iter();
    let victim = holders.next().expect("a holder");
    let rotten = holders.next().expect("a holder");
    rot_payload(&rig, &set, rotten, "inline");
    // One of the two fragments that are left, where two are needed.
    rot_fragment(&rig, &set, rotten, data.expect("fragments"));
    rig.stop(&set);
    rig.replace(victim);

    let set = rig.start(NOBODY);
    let change = rig.view(&set).expect("a view");
    assert_eq!(change.behind, only(victim));
    let (done, change) = rig.catch_up(&set, victim, &change).expect("the others are fine");
    assert_eq!(done.unreadable, 2, "{done:?}");
    assert!(done.unreadable_first.starts_with("object "), "{done:?}");
    assert_eq!(change.installed.active, rig.config.all());

    // Also where the rebuilt drive leads: what is there and unreadable is never said not to be.
    rig.stop(&set);
    for absent in [NOBODY, only(rotten)] {
        let set = rig.start(absent);
        let change = rig.view(&set).expect("a view");
        assert_eq!(change.installed.active, rig.config.all().minus(absent));
        for (number, name) in GOOD.iter().enumerate() {
            assert_eq!(rig.get(&set, name), Ok(good(number)), "{name} without {absent}");
        }
        for name in ["inline", "coded"] {
            assert_eq!(rig.get(&set, name), Err(SetError::Unavailable), "{name} without {absent}");
        }
        rig.stop(&set);
    }
}

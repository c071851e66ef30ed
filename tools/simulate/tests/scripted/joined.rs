//! A write that may have been acknowledged, while drives that had it go and empty ones join.

use crate::rig::{BUCKET, NOBODY, Rig, Set, content, only, some};
use engine_env::{BrokenRules, Rule};
use engine_set::{Change, SetError};
use engine_types::{Position, PositionSet};

/// Who leads a key and who holds no metadata of it is a matter of its name.
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn old_content() -> Vec<u8> {
    content(1, 300)
}

fn new_content() -> Vec<u8> {
    content(2, 200_000)
}

/// A set where all drives but `absent` have the new version of a key, acknowledged, and whose process
/// died before any of them logged that it is settled.
fn written(shape: (u8, u8), absent: PositionSet, name: &str, broken: BrokenRules) -> Rig {
    let rig = Rig::new(61, shape);
    rig.world.set_broken(broken);
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    rig.put(&set, name, &old_content()).expect("a write");
    rig.rest(&set);
    rig.stop(&set);
    let set = rig.start(absent);
    assert!(rig.view(&set).expect("a view").installed.writable);
    rig.put(&set, name, &new_content()).expect("a write");
    rig.stop(&set);
    rig
}

fn joined(rig: &Rig, set: &Set, position: Position, change: &Change) -> Change {
    rig.catch_up(set, position, change).expect("nothing is lacking").1
}

/// Whether a key answers what was before. It need not answer.
fn is_older(rig: &Rig, set: &Set, name: &str) -> bool {
    match rig.get(set, name) {
        Ok(bytes) => bytes != new_content(),
        Err(error) => error != SetError::Unavailable,
    }
}

/// 2+2: the first drive is stale, two of the others are replaced. One of the empty drives joins beside
/// the last holder, which goes too. Whether the key then answers what was before, and whether it
/// does once the holder is back.
fn without_the_last_holder(name: &str, broken: BrokenRules) -> (bool, bool) {
    let last = Position(3);
    let rig = written((2, 2), only(Position(0)), name, broken);
    rig.replace(Position(1));
    rig.replace(Position(2));
    let set = rig.start(NOBODY);
    let change = rig.view(&set).expect("reads");
    assert!(change.installed.active == only(last) && change.installed.reads_only, "{change:?}");
    let change = joined(&rig, &set, Position(1), &change);
    assert_eq!(change.installed.active, some(&[1, 3]), "{change:?}");
    rig.stop(&set);
    let set = rig.start(only(last));
    let without = rig.view(&set).is_ok() && is_older(&rig, &set, name);
    rig.open(&set, last);
    rig.view(&set).expect("reads");
    (without, is_older(&rig, &set, name))
}

#[test]
fn a_drive_that_joins_knows_what_is_undecided() {
    let outcomes = |broken| NAMES.map(|name| without_the_last_holder(name, broken));
    assert_eq!(outcomes(BrokenRules::default()), [(false, false); 8]);
    let without = outcomes(BrokenRules::only(Rule::JoinedKnows));
    assert!(without.iter().any(|(without, _)| *without), "{without:?}");
}

/// 4+1: two of five drives are replaced, and the first of the empty drives joins. Whether the key
/// answers what was before; whether it can be written again.
fn beside_an_empty_drive(name: &str, lost: [Position; 2], broken: BrokenRules) -> (bool, bool) {
    let rig = written((4, 1), NOBODY, name, broken);
    lost.iter().for_each(|position| rig.replace(*position));
    let set = rig.start(NOBODY);
    let change = rig.view(&set).expect("reads");
    assert!(change.installed.active.len() == 3 && change.installed.reads_only, "{change:?}");
    let change = joined(&rig, &set, lost[0], &change);
    assert!(change.installed.writable, "{change:?}");
    let older = is_older(&rig, &set, name);
    rig.put(&set, name, &content(3, 200_000)).expect("a write");
    (older, rig.get(&set, name) == Ok(content(3, 200_000)))
}

#[test]
fn an_empty_drive_proves_nothing_and_a_lost_object_can_be_written_again() {
    let lost = [Position(3), Position(4)];
    let outcomes = |broken| NAMES.map(|name| beside_an_empty_drive(name, lost, broken));
    assert_eq!(outcomes(BrokenRules::default()), [(false, true); 8]);
    let without = outcomes(BrokenRules::only(Rule::JoinedLater));
    assert!(without.iter().any(|(older, _)| *older), "{without:?}");
}

/// A small object is gone with the drives that hold its payload; a third one knows of it.
#[test]
fn a_lost_payload_can_be_written_again_and_deleted() {
    let rig = Rig::new(62, (4, 1));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    for name in NAMES {
        rig.put(&set, name, &old_content()).expect("a write");
    }
    rig.rest(&set);
    rig.stop(&set);
    let order = rig.config.order(BUCKET, NAMES[0].as_bytes());
    let holders: Vec<Position> = order.iter().take(2).collect();
    holders.iter().for_each(|position| rig.replace(*position));
    let set = rig.start(NOBODY);
    let mut change = rig.view(&set).expect("reads");
    for position in holders {
        change = joined(&rig, &set, position, &change);
    }
    assert_eq!(rig.get(&set, NAMES[0]), Err(SetError::Unavailable));
    let is_lost = |name: &&str| rig.get(&set, name).is_err();
    let lost: Vec<&str> = NAMES.into_iter().filter(is_lost).collect();
    rig.put(&set, NAMES[0], &old_content()).expect("a write");
    assert_eq!(rig.get(&set, NAMES[0]), Ok(old_content()));
    for name in lost {
        assert_eq!(rig.delete(&set, name), Ok(true), "{name}");
        assert_eq!(rig.get(&set, name), Err(SetError::NoSuchKey), "{name}");
    }
}

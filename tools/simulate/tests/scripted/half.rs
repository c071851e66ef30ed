//! Sets with half of their drives: what is decided is read, nothing is written, and what brings
//! them back loses nothing.

use crate::rig::{NOBODY, Rig, Set, content, only, some};
use engine_set::SetError;
use engine_types::{Position, PositionSet};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn content_of(number: usize) -> Vec<u8> {
    content(number as u64, if number.is_multiple_of(2) { 300 } else { 100_000 })
}

/// A set that holds all objects, at rest.
fn filled(seed: u64, shape: (u8, u8)) -> (Rig, Set) {
    let rig = Rig::new(seed, shape);
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    for (number, name) in NAMES.iter().enumerate() {
        rig.put(&set, name, &content_of(number)).expect("a write");
    }
    rig.rest(&set);
    (rig, set)
}

fn check(rig: &Rig, set: &Set, when: &str) {
    for (number, name) in NAMES.iter().enumerate() {
        assert_eq!(rig.get(set, name), Ok(content_of(number)), "{name} {when}");
    }
}

#[test]
fn half_of_a_set_serves_what_is_decided_and_takes_no_writes() {
    let cases: [(u64, (u8, u8), PositionSet); 4] = [
        (31, (1, 1), some(&[1])),
        (32, (1, 1), some(&[0])),
        (33, (2, 2), some(&[1, 3])),
        (34, (2, 2), some(&[0, 2])),
    ];
    for (seed, shape, absent) in cases {
        let (rig, set) = filled(seed, shape);
        rig.stop(&set);
        let set = rig.start(absent);
        let installed = rig.view(&set).expect("reads").installed;
        assert!(installed.serving && !installed.writable && installed.reads_only, "{installed:?}");
        check(&rig, &set, "with half of the drives");
        assert_eq!(rig.list(&set), Ok(NAMES.map(str::to_owned).to_vec()));
        assert_eq!(rig.put(&set, "new", &content(9, 300)), Err(SetError::ReadsOnly));
        for position in absent.iter() {
            rig.open(&set, position);
        }
        let installed = rig.view(&set).expect("a view").installed;
        assert!(installed.writable && installed.active == rig.config.all(), "{installed:?}");
        rig.put(&set, "new", &content(9, 300)).expect("a write");
        check(&rig, &set, "with all drives");
    }
}

#[test]
fn fewer_than_half_serve_nothing() {
    let (rig, set) = filled(35, (2, 2));
    rig.stop(&set);
    let set = rig.start(some(&[0, 1, 2]));
    assert_eq!(rig.view(&set).map(|_| ()), Err(SetError::Unavailable));
}

#[test]
fn the_survivor_of_a_mirror_rebuilds_a_drive_in_the_place_of_the_lost_one() {
    for (seed, lost, survivor) in [(41, Position(1), Position(0)), (42, Position(0), Position(1))] {
        let (rig, set) = filled(seed, (1, 1));
        rig.media(lost).set_failed(true);
        for name in ["doubtful-1", "doubtful-2", "doubtful-3"] {
            let wrote = rig.put(&set, name, &content(77, 300));
            assert!(matches!(wrote, Err(SetError::Unavailable | SetError::ReadsOnly)), "{wrote:?}");
        }
        let change = rig.view(&set).expect("reads");
        assert_eq!(change.installed.active, only(survivor));
        check(&rig, &set, "from the survivor");
        // It may have been acknowledged, as far as the survivor knows.
        assert_eq!(rig.get(&set, "doubtful-1"), Err(SetError::Unavailable));
        assert_eq!(rig.list(&set), Err(SetError::Unavailable), "never a list with holes");

        rig.replace(lost);
        rig.open(&set, lost);
        let change = rig.view(&set).expect("reads");
        assert!(change.installed.reads_only && change.behind == only(lost), "{change:?}");
        check(&rig, &set, "while the new drive is empty");
        let (_, change) = rig.catch_up(&set, lost, &change).expect("it is rebuilt");
        assert!(change.installed.writable && change.installed.undecided.is_empty(), "{change:?}");
        check(&rig, &set, "from both");
        assert_eq!(rig.get(&set, "doubtful-1"), Ok(content(77, 300)), "it is whole, so it stands");
        rig.put(&set, "after", &content(78, 100_000)).expect("a write");
        rig.rest(&set);
        rig.stop(&set);

        let set = rig.start(only(survivor));
        rig.view(&set).expect("reads");
        check(&rig, &set, "from the new drive alone");
        assert_eq!(rig.get(&set, "doubtful-1"), Ok(content(77, 300)));
        assert_eq!(rig.get(&set, "after"), Ok(content(78, 100_000)));
    }
}

#[test]
fn drives_that_are_away_stay_in_the_view_while_they_may_decide_a_write() {
    let (rig, set) = filled(51, (4, 2));
    rig.stop(&set);
    let set = rig.start(some(&[4, 5]));
    assert!(rig.view(&set).expect("a view").installed.writable);
    rig.put(&set, "late", &content(88, 100_000)).expect("a write");
    // At once: no drive has logged that it is settled.
    rig.stop(&set);
    let set = rig.start(some(&[2, 3]));
    let mut change = rig.view(&set).expect("reads");
    assert_eq!(change.behind, some(&[4, 5]));
    for position in change.behind.iter() {
        change = rig.catch_up(&set, position, &change).expect("nothing is lacking").1;
    }
    assert_eq!(change.installed.active, some(&[0, 1, 4, 5]));
    assert!(change.installed.reads_only, "the others may have it acknowledged: {change:?}");
    check(&rig, &set, "without those that decide");
    assert_eq!(rig.get(&set, "late"), Err(SetError::Unavailable));
    rig.stop(&set);
    let set = rig.start(NOBODY);
    assert!(rig.view(&set).expect("a view").installed.writable);
    assert_eq!(rig.get(&set, "late"), Ok(content(88, 100_000)));
    check(&rig, &set, "with all drives");
}

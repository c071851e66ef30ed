//! Sets of which so many drives come back older that nobody can tell what they hold (rule 8).

use crate::rig::{NOBODY, Rig, Set, content, only, some};
use engine_env::{BrokenRules, Rule};
use engine_format::PeerKnown;
use engine_set::SetError;
use engine_types::{Position, PositionSet};
use shards_sim::SimImage;
use std::collections::BTreeMap;

/// In their order: added, written again, deleted and left alone while some drives keep nothing.
const NAMES: [&str; 8] = ["add-a", "add-b", "new-a", "new-b", "off-a", "off-b", "old-a", "old-b"];

/// Every other object is small and lies in the log.
fn content_of(turn: u64, number: usize) -> Vec<u8> {
    let len = if number.is_multiple_of(2) { 300 } else { 100_000 };
    content(100 * turn + number as u64, len)
}

/// What a key holds in the end.
fn newest_of(number: usize) -> Result<Vec<u8>, SetError> {
    match number {
        0..4 => Ok(content_of(2, number)),
        4..6 => Err(SetError::NoSuchKey),
        _ => Ok(content_of(1, number)),
    }
}

fn images(rig: &Rig, positions: PositionSet) -> BTreeMap<Position, SimImage> {
    positions.iter().map(|position| (position, rig.media(position).image())).collect()
}

fn put_back(rig: &Rig, images: &BTreeMap<Position, SimImage>, positions: PositionSet) {
    for position in positions.iter() {
        rig.media(position).roll_back(&images[&position]);
    }
}

/// A set that has stopped, of which some drives are older than the others remember; and what these
/// drives held when it stopped. No view changed in between.
fn came_back_older(
    seed: u64,
    shape: (u8, u8),
    older: PositionSet,
) -> (Rig, BTreeMap<Position, SimImage>) {
    let rig = Rig::new(seed, shape);
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    for (number, name) in NAMES.iter().enumerate().skip(2) {
        rig.put(&set, name, &content_of(1, number)).expect("a write");
    }
    rig.rest(&set);
    let old = images(&rig, older);
    for (number, name) in NAMES.iter().enumerate().take(4) {
        rig.put(&set, name, &content_of(2, number)).expect("a write");
    }
    for name in &NAMES[4..6] {
        assert_eq!(rig.delete(&set, name), Ok(true), "{name}");
    }
    rig.rest(&set);
    rig.stop(&set);
    let newest = images(&rig, older);
    put_back(&rig, &old, older);
    (rig, newest)
}

/// The drives that say themselves that they must be rebuilt.
fn put_out(rig: &Rig, set: &Set) -> PositionSet {
    let is_out = |position: &Position| {
        let member = set.peers.member(*position);
        member.is_some_and(|member| member.store().identity().rebuilding)
    };
    rig.config.all().iter().filter(is_out).collect()
}

fn durable(rig: &Rig, set: &Set) -> Vec<PeerKnown> {
    let members = rig.config.all().iter().filter_map(|position| set.peers.member(position));
    members.map(|member| member.store().durable()).collect()
}

/// Nothing is served, however often it is tried, and no drive is put out.
fn check_refused(rig: &Rig, set: &Set, when: &str) {
    assert_eq!(put_out(rig, set), NOBODY, "{when}");
    let before = durable(rig, set);
    for _ in 0..3 {
        assert_eq!(rig.view(set).map(|_| ()), Err(SetError::RolledBack), "{when}");
        for name in NAMES {
            assert_eq!(rig.get(set, name), Err(SetError::Unavailable), "{name} {when}");
            let wrote = rig.put(set, name, &content_of(3, 0));
            assert_eq!(wrote, Err(SetError::Unavailable), "{name} {when}");
            assert_eq!(rig.delete(set, name), Err(SetError::Unavailable), "{name} {when}");
        }
        assert_eq!(rig.list(set), Err(SetError::Unavailable), "{when}");
        rig.rest(set);
    }
    assert_eq!(put_out(rig, set), NOBODY, "{when}");
    // Nobody asked for anything to be written.
    assert_eq!(durable(rig, set), before, "{when}");
}

fn check_all(rig: &Rig, set: &Set, when: &str) {
    for (number, name) in NAMES.iter().enumerate() {
        assert_eq!(rig.get(set, name), newest_of(number), "{name} {when}");
    }
    let names = NAMES.iter().enumerate().filter(|(number, _)| newest_of(*number).is_ok());
    let names: Vec<String> = names.map(|(_, name)| (*name).to_owned()).collect();
    assert_eq!(rig.list(set), Ok(names), "{when}");
}

/// All drives are as they were when the set stopped, and every one is believed.
fn check_whole(rig: &Rig, set: &Set, when: &str) {
    let change = rig.view(set).expect("a view");
    assert_eq!(change.installed.active, rig.config.all(), "{when}: {change:?}");
    assert!(change.installed.writable && change.rolled_back.is_empty(), "{when}: {change:?}");
    check_all(rig, set, when);
    rig.put(set, "after", &content_of(3, 1)).expect("a write");
    assert_eq!(rig.get(set, "after"), Ok(content_of(3, 1)), "{when}");
}

/// At most as many as the parity are older: the others serve, and bring them back.
fn check_caught_up(rig: &Rig, set: &Set, older: PositionSet, when: &str) {
    let mut change = rig.view(set).expect("the others can tell");
    assert_eq!((change.behind, change.rolled_back), (older, older), "{when}: {change:?}");
    assert_eq!(put_out(rig, set), older, "{when}");
    check_all(rig, set, when);
    for position in older.iter() {
        change = rig.catch_up(set, position, &change).expect("nothing is lacking").1;
    }
    assert_eq!(change.installed.active, rig.config.all(), "{when}: {change:?}");
    assert!(change.installed.writable, "{when}: {change:?}");
    assert_eq!(put_out(rig, set), NOBODY, "{when}");
    check_all(rig, set, when);
    rig.rest(set);
    rig.stop(set);

    // As many others go: what is read now needs those that were older.
    let others = rig.config.all().minus(older);
    let absent: PositionSet = others.iter().take(older.len()).collect();
    let set = rig.start(absent);
    let change = rig.view(&set).expect("reads at least");
    assert_eq!(change.installed.active, rig.config.all().minus(absent), "{when}: {change:?}");
    check_all(rig, &set, when);
}

#[test]
fn too_many_drives_that_come_back_older_serve_nothing_and_none_is_put_out() {
    // So many that too few are left to tell which view is the newest.
    let cases: [(u64, (u8, u8), PositionSet); 6] = [
        (71, (2, 1), some(&[0, 1])),
        (72, (2, 1), some(&[1, 2])),
        (73, (2, 2), some(&[0, 1, 2])),
        (74, (2, 2), some(&[0, 1, 3])),
        (75, (4, 2), some(&[0, 1, 2, 3])),
        (76, (4, 2), some(&[1, 2, 3, 4, 5])),
    ];
    for (seed, shape, older) in cases {
        let (rig, newest) = came_back_older(seed, shape, older);
        // What a drive is after another start stands on it.
        for start in ["at the first start", "at the second start"] {
            let set = rig.start(NOBODY);
            check_refused(&rig, &set, &format!("{shape:?} {older} {start}"));
            rig.stop(&set);
        }
        put_back(&rig, &newest, older);
        let set = rig.start(NOBODY);
        assert_eq!(put_out(&rig, &set), NOBODY);
        check_whole(&rig, &set, &format!("{shape:?} {older}"));
    }
}

#[test]
fn a_set_serves_again_once_enough_of_the_drives_that_know_are_back() {
    let cases: [(u64, (u8, u8), PositionSet, PositionSet); 5] = [
        (81, (2, 1), some(&[0, 1]), some(&[0])),
        (82, (2, 1), some(&[1, 2]), some(&[2])),
        (83, (2, 2), some(&[0, 1, 3]), some(&[0, 3])),
        (84, (2, 2), some(&[0, 1, 2]), some(&[1])),
        (85, (4, 2), some(&[0, 1, 2, 3]), some(&[0, 2])),
    ];
    for (seed, shape, older, stays) in cases {
        let (rig, newest) = came_back_older(seed, shape, older);
        let when = format!("{shape:?} {older}, {stays} stays");
        let set = rig.start(NOBODY);
        check_refused(&rig, &set, &when);
        rig.stop(&set);
        put_back(&rig, &newest, older.minus(stays));
        let set = rig.start(NOBODY);
        check_caught_up(&rig, &set, stays, &when);
    }
}

/// Those that are there are too few to tell; those that are away are enough with them.
#[test]
fn no_drive_that_came_back_older_is_put_out_while_those_that_know_are_away() {
    let cases: [(u64, (u8, u8), PositionSet, PositionSet); 5] = [
        (91, (2, 1), some(&[0]), some(&[2])),
        (92, (2, 1), some(&[2]), some(&[0])),
        (93, (2, 2), some(&[0, 1]), some(&[3])),
        (94, (2, 2), some(&[1, 3]), some(&[0])),
        (95, (4, 2), some(&[1, 4]), some(&[0, 5])),
    ];
    for (seed, shape, older, absent) in cases {
        let (rig, _) = came_back_older(seed, shape, older);
        let when = format!("{shape:?} {older}, {absent} absent");
        let set = rig.start(absent);
        check_refused(&rig, &set, &when);
        for position in absent.iter() {
            rig.open(&set, position);
        }
        check_caught_up(&rig, &set, older, &when);
    }
}

/// Three of six know the newest view and every key, so the set reads; what lies in fragments needs
/// four.
#[test]
fn half_of_a_set_that_can_tell_answers_nothing_older() {
    let older = some(&[0, 2, 4]);
    let (rig, newest) = came_back_older(101, (4, 2), older);
    let set = rig.start(NOBODY);
    let change = rig.view(&set).expect("reads");
    assert!(change.installed.reads_only && change.behind == older, "{change:?}");
    for (number, name) in NAMES.iter().enumerate() {
        let read = rig.get(&set, name);
        let is_newest = read == newest_of(number);
        assert!(is_newest || read == Err(SetError::Unavailable), "{name}");
    }
    assert_eq!(rig.list(&set), Err(SetError::Unavailable));
    assert_eq!(rig.put(&set, "new", &content_of(3, 0)), Err(SetError::ReadsOnly));
    rig.stop(&set);
    // Nothing was written meanwhile, and none of the older ones has caught up.
    put_back(&rig, &newest, older);
    let set = rig.start(NOBODY);
    check_whole(&rig, &set, "4+2 after reads");
}

/// Whether two drives of 2+1 that came back one batch older are found out for as long as a set waits
/// that cannot be served. What was replaced before is still to be given back: in a batch of its own
/// on every drive.
fn is_found_out(broken: BrokenRules) -> bool {
    let older = some(&[0, 1]);
    let rig = Rig { release_delay_us: 2_000_000, ..Rig::new(111, (2, 1)) };
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    rig.put(&set, "replaced", &content(1, 100_000)).expect("a write");
    rig.put(&set, "replaced", &content(2, 100_000)).expect("a write");
    rig.rest(&set);
    let old = images(&rig, older);
    // One batch that the others know of.
    rig.put(&set, "lost", &content(3, 300)).expect("a write");
    rig.rest(&set);
    rig.stop(&set);
    put_back(&rig, &old, older);
    rig.world.set_broken(broken);
    let set = rig.start(NOBODY);
    (0..10).all(|_| {
        let refused = rig.view(&set).map(|_| ());
        rig.rest(&set);
        refused == Err(SetError::RolledBack)
    })
}

/// Housekeeping goes on where nothing is served; what it logs makes no drive younger.
#[test]
fn a_drive_that_came_back_older_is_found_out_however_long_it_waits() {
    assert!(is_found_out(BrokenRules::NONE));
    assert!(!is_found_out(BrokenRules::only(Rule::RecoveredCounts)), "the twin is believed");
}

/// Writes a key twice and stops; one drive has only the first of it.
fn keep_the_first_write(rig: &Rig, set: &Set, older: Position) {
    rig.put(set, "key", &content(1, 300)).expect("a write");
    rig.rest(set);
    let old = images(rig, only(older));
    rig.put(set, "key", &content(2, 300)).expect("a write");
    rig.rest(set);
    rig.stop(set);
    put_back(rig, &old, only(older));
}

/// A drive came back older and served alone, which logs; those who know come later.
#[test]
fn a_drive_that_served_alone_is_judged_by_what_it_recovered() {
    let (older, other) = (Position(0), Position(1));
    let rig = Rig::new(121, (1, 1));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    keep_the_first_write(&rig, &set, older);
    let set = rig.start(only(other));
    // Nobody is there who could know better.
    rig.view(&set).expect("reads");
    rig.rest(&set);
    rig.open(&set, other);
    let change = rig.view(&set).expect("a view");
    assert_eq!((change.behind, change.rolled_back), (only(older), only(older)), "{change:?}");
    assert_eq!(rig.get(&set, "key"), Ok(content(2, 300)));
}

/// A view was written since by drives that do not know; who does has the view before.
#[test]
fn a_witness_of_the_view_before_is_believed() {
    let (older, away, witness) = (Position(0), Position(1), Position(2));
    let rig = Rig::new(131, (2, 1));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    rig.stop(&set);
    let set = rig.start(only(away));
    rig.view(&set).expect("a view of two");
    keep_the_first_write(&rig, &set, older);
    let set = rig.start(only(witness));
    let change = rig.view(&set).expect("a view without those who know");
    assert!(!change.installed.writable, "{change:?}");
    rig.rest(&set);
    rig.open(&set, witness);
    let change = rig.view(&set).expect("a view");
    assert!(change.behind.contains(older), "{change:?}");
    let read = rig.get(&set, "key");
    assert!(read == Ok(content(2, 300)) || read == Err(SetError::Unavailable), "{read:?}");
}

/// What a drive remembers from before another one was rebuilt is no reason to rebuild it again.
#[test]
fn a_drive_that_was_away_suspects_nobody_who_was_caught_up_meanwhile() {
    let (older, away) = (Position(0), Position(5));
    let rig = Rig::new(151, (4, 2));
    let mut old = BTreeMap::new();
    for start in 0..3 {
        let set = rig.start(NOBODY);
        rig.view(&set).expect("a view");
        rig.put(&set, "key", &content(start, 300)).expect("a write");
        rig.rest(&set);
        rig.stop(&set);
        if start == 0 {
            old = images(&rig, only(older));
        }
    }
    put_back(&rig, &old, only(older));
    let set = rig.start(only(away));
    let change = rig.view(&set).expect("a view");
    assert_eq!(change.rolled_back, only(older), "{change:?}");
    let (_, change) = rig.catch_up(&set, older, &change).expect("it catches up");
    assert_eq!(change.installed.active, rig.config.all().minus(only(away)));
    rig.open(&set, away);
    let change = rig.view(&set).expect("a view");
    assert_eq!((change.behind, change.rolled_back), (only(away), NOBODY), "{change:?}");
    let (_, change) = rig.catch_up(&set, away, &change).expect("it catches up, too");
    assert_eq!(change.installed.active, rig.config.all());
    let change = rig.view(&set).expect("a view");
    assert_eq!((change.installed.active, change.rolled_back), (rig.config.all(), NOBODY));
    assert_eq!(rig.get(&set, "key"), Ok(content(2, 300)));
}

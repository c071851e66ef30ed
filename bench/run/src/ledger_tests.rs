//! What may be read, whatever happened.

use super::*;

const KEY: u64 = 7;
const PREPARED: Generation = Generation(0);

fn ledger() -> Ledger {
    Ledger::new(Initial::Exactly(PREPARED), Generation(1), true, 1)
}

fn candidates(ledger: &Ledger, known: Known) -> Vec<u64> {
    let allowed = ledger.allowed(KEY, known);
    let candidates = allowed.candidates.expect("they are known one by one");
    candidates.as_slice().iter().map(|generation| generation.0).collect()
}

#[test]
fn an_acknowledged_write_is_the_only_one_until_the_next_begins() {
    let mut ledger = ledger();
    let before = ledger.begin_read(KEY);
    assert_eq!(candidates(&ledger, before), [0]);
    let first = ledger.begin_write(KEY);
    assert_eq!(candidates(&ledger, before), [0, 1]);
    ledger.end_write(KEY, first, true);
    assert_eq!(candidates(&ledger, before), [0, 1], "it began before the write was acknowledged");
    let after = ledger.begin_read(KEY);
    assert_eq!(candidates(&ledger, after), [1]);
    let second = ledger.begin_write(KEY);
    ledger.end_write(KEY, second, true);
    let third = ledger.begin_write(KEY);
    assert_eq!(candidates(&ledger, after), [1, 2, 3]);
    ledger.end_write(KEY, third, true);
    assert_eq!(candidates(&ledger, ledger.begin_read(KEY)), [3]);
}

#[test]
fn a_write_of_unknown_outcome_may_take_effect_at_any_time() {
    let mut ledger = ledger();
    let lost = ledger.begin_write(KEY);
    ledger.end_write(KEY, lost, false);
    let next = ledger.begin_write(KEY);
    ledger.end_write(KEY, next, true);
    let known = ledger.begin_read(KEY);
    assert_eq!(candidates(&ledger, known), [1, 2]);
    assert_eq!(ledger.allowed(KEY, known).oldest, lost);
    assert_eq!(ledger.fate(KEY), Fate::Written);
    for _ in 0..UNSETTLED_MAX + 1 {
        let lost = ledger.begin_write(KEY);
        ledger.end_write(KEY, lost, false);
    }
    let allowed = ledger.allowed(KEY, ledger.begin_read(KEY));
    assert_eq!((allowed.oldest, allowed.candidates), (Generation(0), None));
}

#[test]
fn many_writes_during_one_read_are_a_range() {
    let mut ledger = ledger();
    let before = ledger.begin_read(KEY);
    for _ in 0..10 {
        let write = ledger.begin_write(KEY);
        ledger.end_write(KEY, write, true);
    }
    let allowed = ledger.allowed(KEY, before);
    assert_eq!((allowed.oldest, allowed.newest), (PREPARED, Generation(10)));
    assert_eq!(allowed.candidates, None);
    assert_eq!(candidates(&ledger, ledger.begin_read(KEY)), [10]);
}

#[test]
fn only_a_read_beside_a_delete_may_find_nothing() {
    let mut ledger = ledger();
    let before = ledger.begin_read(KEY);
    assert!(!ledger.may_be_absent(KEY, before));
    ledger.begin_delete(KEY);
    let beside = ledger.begin_read(KEY);
    assert!(ledger.may_be_absent(KEY, before) && ledger.may_be_absent(KEY, beside));
    ledger.end_delete(KEY, true);
    assert!(ledger.may_be_absent(KEY, before) && ledger.may_be_absent(KEY, beside));
    assert_eq!(ledger.fate(KEY), Fate::Deleted);
    let generation = ledger.begin_write(KEY);
    ledger.end_write(KEY, generation, true);
    assert!(!ledger.may_be_absent(KEY, ledger.begin_read(KEY)));
    assert_eq!(ledger.fate(KEY), Fate::Written);
    // A delete that failed may come at any time.
    ledger.begin_delete(KEY);
    ledger.end_delete(KEY, false);
    let generation = ledger.begin_write(KEY);
    ledger.end_write(KEY, generation, true);
    assert!(ledger.may_be_absent(KEY, ledger.begin_read(KEY)));
    assert_eq!(ledger.fate(KEY), Fate::Unknown);
}

#[test]
fn a_full_ledger_never_calls_a_right_answer_wrong() {
    let mut ledger = ledger();
    ledger.keys_max = 1;
    ledger.begin_write(1);
    let untracked = ledger.begin_write(KEY);
    ledger.begin_write(KEY);
    ledger.end_write(KEY, untracked, true);
    let known = ledger.begin_read(KEY);
    let allowed = ledger.allowed(KEY, known);
    assert!(allowed.oldest == PREPARED && allowed.newest > untracked);
    assert_eq!(allowed.candidates, None);
    assert!(ledger.may_be_absent(KEY, known));
    assert_eq!(ledger.fate(KEY), Fate::Unknown);
    assert!(ledger.is_changing(1) && !ledger.is_changing(KEY));
}

#[test]
fn what_earlier_runs_wrote_is_any_of_theirs() {
    let ledger = Ledger::new(Initial::UpTo(Generation(99)), Generation(100), true, 1);
    let allowed = ledger.allowed(KEY, ledger.begin_read(KEY));
    assert_eq!((allowed.oldest, allowed.newest), (Generation(0), Generation(99)));
    assert_eq!(allowed.candidates, None);
    assert_eq!(ledger.fate(KEY), Fate::Untouched);
}

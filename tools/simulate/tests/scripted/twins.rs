//! Every rule has a twin that the simulator catches, or docs/testing.md says what holds it.

use engine_env::Rule;
use simulate::twins::{Budget, LISTED, SCRIPTED, markdown, search};

/// Rules of commit, recovery and space.
const RULES: u8 = 24;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/testing.md");
    std::fs::read_to_string(path).expect("a file of the repository")
}

#[test]
fn every_rule_has_a_twin_or_a_test() {
    let document = document();
    for number in 1..=RULES {
        let has_twin = Rule::ALL.iter().any(|rule| rule.number() == number);
        let has_row = document.lines().any(|line| line.starts_with(&format!("| {number} | ")));
        assert!(has_twin || has_row, "rule {number}");
    }
    assert!(Rule::ALL.iter().all(|rule| (1..=RULES).contains(&rule.number())));
}

#[test]
fn the_document_shows_the_table() {
    if !LISTED.is_empty() {
        let shown = document().contains(&markdown(LISTED));
        assert!(shown, "put the output of `simulate twins --markdown` into docs/testing.md");
    }
}

#[test]
fn the_document_shows_the_scripted_tests() {
    let document = document();
    for (rule, test) in SCRIPTED {
        let (number, name, clause) = (rule.number(), rule.name(), rule.clause());
        let row = format!("| {number} `{name}` | {clause} | `{test}` |");
        assert!(document.contains(&row), "put this row into docs/testing.md: {row}");
    }
}

/// The whole table is run by `simulate twins --listed`.
#[test]
fn a_drive_that_is_in_sync_the_moment_it_answers_is_caught() {
    let budget = Budget { first: 1, seeds: 20, steps_max: u64::MAX };
    let caught = search(Rule::OutsideView, &budget);
    assert!(caught.is_ok(), "{caught:?}");
}

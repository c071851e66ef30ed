//! The catches, one for each twin: what CI runs again, and what docs/testing.md shows.
//!
//! Rows come from `simulate twins --search`.

use super::cases;
use engine_env::Rule;
use std::fmt::Write;

/// A catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The rule left out.
    pub rule: Rule,
    /// The world, as an index of `cases`.
    pub case: usize,
    /// The seed.
    pub seed: u64,
    /// Which check found it.
    pub check: &'static str,
}

/// All catches, by rule.
#[rustfmt::skip]
pub const LISTED: &[Row] = &[
    Row { rule: Rule::AnswerSettled, case: 1, seed: 3, check: "uploads" },
    Row { rule: Rule::ServeSettled, case: 2, seed: 3, check: "a read of a key nobody writes" },
    Row { rule: Rule::KeepPredecessor, case: 2, seed: 2, check: "every fragment is whole" },
    Row { rule: Rule::PendingKept, case: 0, seed: 1, check: "uploads" },
    Row { rule: Rule::DecideReadable, case: 2, seed: 2, check: "all copies are there" },
    Row { rule: Rule::DecideAny, case: 2, seed: 3, check: "a listing of keys nobody writes" },
    Row { rule: Rule::UndecidedWaits, case: 0, seed: 1, check: "a read of a key nobody writes" },
    Row { rule: Rule::UndecidedRefused, case: 0, seed: 1, check: "a read during writes" },
    Row { rule: Rule::RollForward, case: 1, seed: 1, check: "all copies are there" },
    Row { rule: Rule::DecisionDurable, case: 1, seed: 1, check: "a conditional write" },
    Row { rule: Rule::ViewBeforeSkip, case: 0, seed: 1, check: "a listing of keys nobody writes" },
    Row { rule: Rule::ViewQuorum, case: 0, seed: 5, check: "a read of a key nobody writes" },
    Row { rule: Rule::OutsideView, case: 0, seed: 1, check: "a listing of keys nobody writes" },
    Row { rule: Rule::OwnerReachable, case: 0, seed: 1, check: "progress" },
    Row { rule: Rule::SequenceEpoch, case: 0, seed: 1, check: "all copies are equal" },
    Row { rule: Rule::FenceBarrier, case: 0, seed: 1, check: "a read of a key nobody writes" },
    Row { rule: Rule::OldEpochRefused, case: 1, seed: 24, check: "a listing of keys nobody writes" },
    Row { rule: Rule::Floor, case: 1, seed: 1, check: "everything is answered once the set is whole" },
    Row { rule: Rule::MetadataWidth, case: 0, seed: 1, check: "a listing of keys nobody writes" },
    Row { rule: Rule::InlineHolders, case: 1, seed: 1, check: "coming into service" },
    Row { rule: Rule::CatchUpInFlight, case: 0, seed: 1, check: "a listing of keys nobody writes" },
    Row { rule: Rule::CatchUpPending, case: 0, seed: 1, check: "a read of a key nobody writes" },
    Row { rule: Rule::CatchUpFromAll, case: 0, seed: 9, check: "a read of a key nobody writes" },
    Row { rule: Rule::AbsenceWins, case: 0, seed: 1, check: "all copies are there" },
    Row { rule: Rule::TombstonesKept, case: 0, seed: 1, check: "a read that fails" },
    Row { rule: Rule::PeerKnowledge, case: 0, seed: 2, check: "a read of a key nobody writes" },
    Row { rule: Rule::BatchOrder, case: 1, seed: 3, check: "all copies are there" },
    Row { rule: Rule::Successors, case: 0, seed: 1, check: "a read of a key nobody writes" },
    Row { rule: Rule::FragmentRecords, case: 0, seed: 1, check: "a read of a key nobody writes" },
    Row { rule: Rule::FlushAtRecovery, case: 2, seed: 1, check: "opening a healthy drive" },
    Row { rule: Rule::DriveLock, case: 0, seed: 1, check: "a read that fails" },
    Row { rule: Rule::DataFlushed, case: 3, seed: 14, check: "a read that fails" },
    Row { rule: Rule::DataCompleted, case: 0, seed: 1, check: "a read that fails" },
    Row { rule: Rule::FragmentSums, case: 0, seed: 4, check: "the bytes of a read" },
    Row { rule: Rule::MovesCompare, case: 0, seed: 3, check: "a read of a key nobody writes" },
    Row { rule: Rule::BucketIdsFresh, case: 0, seed: 2, check: "a deleted bucket" },
    Row { rule: Rule::BucketOpenAtCommit, case: 0, seed: 1, check: "a deleted bucket" },
    Row { rule: Rule::DeletionMarked, case: 0, seed: 1, check: "an answered write" },
    Row { rule: Rule::BucketDrained, case: 0, seed: 2, check: "a deleted bucket" },
    Row { rule: Rule::BucketFoundEmpty, case: 0, seed: 1, check: "an answered write" },
    Row { rule: Rule::DeletionEnded, case: 0, seed: 1, check: "progress" },
    Row { rule: Rule::TableDurable, case: 0, seed: 6, check: "an answered write" },
    Row { rule: Rule::TableInstalled, case: 0, seed: 1, check: "the table" },
    Row { rule: Rule::PartTableEverywhere, case: 0, seed: 1, check: "nothing is left after deletes" },
    Row { rule: Rule::CompletionRepeats, case: 0, seed: 1, check: "uploads" },
    Row { rule: Rule::CompletionRetires, case: 0, seed: 1, check: "uploads" },
    Row { rule: Rule::UnusedPartsFreed, case: 0, seed: 1, check: "nothing is left after deletes" },
    Row { rule: Rule::DataIdsFresh, case: 0, seed: 1, check: "every fragment is whole" },
    Row { rule: Rule::ListWhole, case: 0, seed: 1, check: "a listing of keys nobody writes" },
    Row { rule: Rule::ReleasesFreed, case: 0, seed: 1, check: "nothing is left after deletes" },
    Row { rule: Rule::Reserve, case: 0, seed: 1, check: "opening a healthy drive" },
    Row { rule: Rule::PromiseSpace, case: 0, seed: 1, check: "opening a healthy drive" },
    Row { rule: Rule::Deadline, case: 0, seed: 2, check: "progress" },
    Row { rule: Rule::AbandonedSpaceWaits, case: 0, seed: 5, check: "a read of a key nobody writes" },
    Row { rule: Rule::IndexMemoryShared, case: 0, seed: 1, check: "the memory of the index" },
    Row { rule: Rule::SuperblockPairs, case: 1, seed: 6, check: "opening a healthy drive" },
    Row { rule: Rule::HostFull, case: 0, seed: 1, check: "a read that fails" },
    Row { rule: Rule::EmptyDriveWaits, case: 1, seed: 10, check: "coming into service" },
];

/// Twins that need more to meet than random worlds come to: the test that scripts it, and asserts
/// both what holds with all rules and what goes wrong without this one.
pub const SCRIPTED: &[(Rule, &str)] = &[
    (Rule::JoinedLater, "an_empty_drive_proves_nothing_and_a_lost_object_can_be_written_again"),
    (Rule::JoinedKnows, "a_drive_that_joins_knows_what_is_undecided"),
    (Rule::PromiseFirst, "a_view_that_was_cut_off_never_outranks_the_one_in_force"),
    (Rule::RecoveredCounts, "a_drive_that_came_back_older_is_found_out_however_long_it_waits"),
    (Rule::PayloadSums, "a_rotten_payload_is_read_from_another_holder"),
    (Rule::ListOneView, "pages_of_two_views_are_not_put_together"),
    (Rule::SuperblockRepair, "an_opening_makes_all_copies_of_the_superblock_whole"),
];

/// The scripted test of a rule's twin, if it has one.
#[must_use]
pub fn scripted_test(rule: Rule) -> Option<&'static str> {
    SCRIPTED.iter().find(|(scripted, _)| *scripted == rule).map(|(_, test)| *test)
}

/// The table of docs/testing.md.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| rule | left out | its twin is caught by | check that fires |\n|---|---|---|---|\n",
    );
    for row in rows {
        let world = cases(row.rule).get(row.case).map(ToString::to_string).unwrap_or_default();
        let (number, name) = (row.rule.number(), row.rule.name());
        // Writing to a string does not fail.
        _ = writeln!(
            text,
            "| {number} `{name}` | {} | `{world} --first {} --seeds 1 --without {name}` | {} |",
            row.rule.clause(),
            row.seed,
            row.check
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_name_worlds() {
        assert!(LISTED.windows(2).all(|pair| pair[0].rule < pair[1].rule), "one row for each rule");
        assert!(SCRIPTED.windows(2).all(|pair| pair[0].0 < pair[1].0), "one test for each rule");
        for rule in Rule::ALL.iter().copied() {
            let is_listed = LISTED.iter().any(|row| row.rule == rule);
            assert!(is_listed != scripted_test(rule).is_some(), "{}", rule.name());
        }
        for row in LISTED {
            assert!(row.case < cases(row.rule).len(), "{}", row.rule.name());
        }
    }

    #[test]
    fn a_row_is_shown_with_the_command_that_runs_it() {
        let row = Row { rule: Rule::Reserve, case: 0, seed: 7, check: "opening" };
        let text = markdown(&[row]);
        let shown = "| 19 `Reserve` | data never takes the reserve | `drive --crashes 20 --full \
                     --first 7 --seeds 1 --without Reserve` | opening |";
        assert_eq!(text.lines().nth(2), Some(shown));
    }
}

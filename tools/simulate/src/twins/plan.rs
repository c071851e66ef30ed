//! Which worlds are likely to catch which twin.
//!
//! Invariant: every rule has a world; the order of a rule's worlds is part of the table.

use crate::bucket_world::{self, BucketOptions};
use crate::drive_world::{self, DriveOptions};
use crate::options::{SetOptions, Shape};
use crate::set_world;
use crate::totals::SeedReport;
use engine_env::{BrokenRules, Rule};
use std::fmt;

/// Crashes of a seed of a set.
const SET_CRASHES: u64 = 10;
/// Crashes of a seed of a drive.
const DRIVE_CRASHES: u64 = 20;

/// Crashes of a seed of buckets.
const BUCKET_CRASHES: u64 = 6;

/// A world to run a twin in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// One drive.
    Drive(DriveOptions),
    /// A whole set.
    Set(SetOptions),
    /// The buckets of a node.
    Buckets(BucketOptions),
}

impl Case {
    /// Runs a seed of it without some rules.
    ///
    /// # Errors
    /// What the world found wrong.
    pub fn run(&self, seed: u64, broken: BrokenRules) -> Result<SeedReport, String> {
        match *self {
            Self::Drive(options) => {
                drive_world::run_seed(seed, &DriveOptions { broken, ..options })
            }
            Self::Set(options) => set_world::run_seed(seed, &SetOptions { broken, ..options }),
            Self::Buckets(options) => {
                bucket_world::run_seed(seed, &BucketOptions { broken, ..options })
            }
        }
    }
}

/// As typed behind the program's name.
impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drive(options) => fmt::Display::fmt(options, formatter),
            Self::Set(options) => fmt::Display::fmt(options, formatter),
            Self::Buckets(options) => fmt::Display::fmt(options, formatter),
        }
    }
}

fn usual(data: u8, parity: u8) -> SetOptions {
    SetOptions::new(Shape { data, parity }, SET_CRASHES)
}

fn set(data: u8, parity: u8) -> Case {
    Case::Set(usual(data, parity))
}

/// Drives differ in speed.
fn slow(data: u8, parity: u8) -> Case {
    Case::Set(SetOptions { slow: true, ..usual(data, parity) })
}

/// More drives than the parity are lost.
fn beyond(data: u8, parity: u8) -> Case {
    Case::Set(SetOptions { within_parity: false, ..usual(data, parity) })
}

/// More drives than the parity are lost, and all come back.
fn returning(data: u8, parity: u8) -> Case {
    Case::Set(SetOptions { within_parity: false, replaces: false, ..usual(data, parity) })
}

/// Processes die while they write views.
fn interrupted(data: u8, parity: u8) -> Case {
    let crashes = 3 * SET_CRASHES;
    Case::Set(SetOptions { interrupts: true, crashes, ..usual(data, parity) })
}

fn rotting(data: u8, parity: u8) -> Case {
    Case::Set(SetOptions { rot: true, ..usual(data, parity) })
}

/// Drives come back as they were some served starts ago. One is seen by what peers heard with marks,
/// two by what the change of view in between told them.
fn rolled_back(starts: u8, data: u8, parity: u8) -> Case {
    let crashes = 2 * SET_CRASHES;
    Case::Set(SetOptions { rolled_back: starts, crashes, ..usual(data, parity) })
}

fn drive() -> Case {
    Case::Drive(DriveOptions::new(DRIVE_CRASHES))
}

/// A drive that crashes much more often.
fn drive_crashing() -> Case {
    Case::Drive(DriveOptions::new(8 * DRIVE_CRASHES))
}

/// A drive that fills.
fn drive_full() -> Case {
    Case::Drive(DriveOptions { full: true, ..DriveOptions::new(DRIVE_CRASHES) })
}

/// A drive whose host has no space now and then.
fn drive_host_full() -> Case {
    Case::Drive(DriveOptions { host_full: true, ..DriveOptions::new(DRIVE_CRASHES) })
}

fn buckets() -> Case {
    Case::Buckets(BucketOptions::new(BUCKET_CRASHES))
}

/// The worlds that are likely to catch the twin of a rule, the likeliest first.
#[must_use]
pub fn cases(rule: Rule) -> Vec<Case> {
    match rule {
        Rule::AnswerSettled
        | Rule::RollForward
        | Rule::SequenceEpoch
        | Rule::ViewBeforeSkip
        | Rule::OutsideView
        | Rule::InlineHolders
        | Rule::AbsenceWins
        | Rule::PartTableEverywhere
        | Rule::CompletionRepeats
        | Rule::CompletionRetires
        | Rule::UnusedPartsFreed
        | Rule::ReleasesFreed
        | Rule::ListOneView
        | Rule::EmptyDriveWaits
        | Rule::Deadline => vec![set(2, 1), set(4, 2)],
        // Fewer than D drives have the write when the power goes.
        Rule::ServeSettled => vec![slow(4, 1), slow(4, 2), slow(8, 4)],
        // More than P and fewer than D have it.
        Rule::KeepPredecessor => vec![slow(4, 1), slow(6, 1), slow(8, 2)],
        // One drive alone holds what it acknowledged.
        Rule::PendingKept | Rule::BatchOrder => vec![set(1, 0), set(2, 1)],
        Rule::DecideReadable | Rule::FenceBarrier | Rule::OldEpochRefused => {
            vec![set(2, 1), slow(2, 1), slow(4, 2)]
        }
        Rule::JoinedLater => vec![beyond(2, 1), beyond(2, 2), set(2, 1)],
        Rule::CatchUpFromAll => vec![beyond(4, 1), beyond(4, 2), beyond(6, 1)],
        Rule::JoinedKnows => vec![beyond(2, 2), beyond(4, 2), beyond(6, 3)],
        Rule::DecideAny => vec![beyond(2, 1), set(2, 2), slow(2, 2)],
        // A view that the floor keeps while drives of it are away.
        Rule::UndecidedWaits => vec![beyond(4, 1), beyond(2, 2), set(2, 2)],
        Rule::UndecidedRefused => vec![set(2, 2), beyond(2, 2), beyond(4, 1)],
        Rule::DecisionDurable => vec![set(2, 1), slow(2, 1), interrupted(2, 1)],
        Rule::ViewQuorum => vec![beyond(2, 1), beyond(2, 2)],
        Rule::PromiseFirst => vec![interrupted(2, 1), interrupted(2, 2)],
        Rule::OwnerReachable => vec![set(2, 2), slow(2, 2)],
        Rule::Floor => vec![returning(2, 1), returning(2, 2)],
        Rule::MetadataWidth => vec![set(2, 1), set(2, 2)],
        Rule::CatchUpInFlight | Rule::CatchUpPending => {
            vec![slow(2, 1), slow(4, 2), set(2, 1)]
        }
        Rule::TombstonesKept => vec![drive(), set(1, 0)],
        Rule::PeerKnowledge | Rule::RecoveredCounts => {
            vec![rolled_back(1, 2, 1), rolled_back(2, 2, 1), rolled_back(2, 4, 2)]
        }
        Rule::Successors | Rule::FragmentRecords => vec![drive(), set(1, 0)],
        Rule::FlushAtRecovery | Rule::DriveLock | Rule::DataCompleted => {
            vec![drive(), set(1, 0), set(2, 1)]
        }
        // Records of catch-up and cleaning, which nobody verifies.
        Rule::DataFlushed => vec![set(2, 1), slow(2, 1), set(4, 2), drive_full()],
        Rule::PayloadSums | Rule::FragmentSums => vec![rotting(2, 1), rotting(4, 2)],
        Rule::MovesCompare | Rule::Reserve | Rule::PromiseSpace => vec![drive_full()],
        Rule::BucketIdsFresh
        | Rule::BucketOpenAtCommit
        | Rule::DeletionMarked
        | Rule::BucketDrained
        | Rule::BucketFoundEmpty
        | Rule::DeletionEnded
        | Rule::TableDurable
        | Rule::TableInstalled => vec![buckets()],
        Rule::DataIdsFresh => vec![set(1, 0), set(2, 1)],
        // Enough drives may be away to take all metadata of a key with them.
        Rule::ListWhole => vec![beyond(6, 1), beyond(2, 2)],
        Rule::AbandonedSpaceWaits => vec![set(1, 0), slow(2, 1), set(2, 1)],
        // Each drive more makes a drive's part of the memory smaller.
        Rule::IndexMemoryShared => vec![set(4, 2), set(8, 4)],
        Rule::SuperblockPairs | Rule::SuperblockRepair => vec![drive(), drive_crashing()],
        Rule::HostFull => vec![drive_host_full()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_worlds_and_they_are_possible() {
        for rule in Rule::ALL {
            let cases = cases(*rule);
            assert!(!cases.is_empty(), "{}", rule.name());
            for case in cases {
                if let Case::Set(options) = case {
                    assert!(options.shape.config().is_ok(), "{case}");
                }
            }
        }
    }

    #[test]
    fn worlds_are_shown_as_typed() {
        assert_eq!(
            returning(2, 1).to_string(),
            "set --geometry 2+1 --crashes 10 --beyond-parity --no-replacing"
        );
        assert_eq!(drive_full().to_string(), "drive --crashes 20 --full");
        assert_eq!(buckets().to_string(), "buckets --crashes 6");
    }
}

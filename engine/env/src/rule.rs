//! The rules of commit, recovery and space, clause by clause, so that a store without one can be
//! tried: its must-fail twin, which the simulator has to catch (docs/testing.md).
//!
//! Invariants: outside of the simulator nothing is ever broken; a clause is asked for at the place
//! that keeps it and nowhere else, so that a twin lacks this clause alone.

use crate::Env;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $number:literal $clause:literal,)+) => {
        /// A clause of a rule. The text says what a store without it does to its users.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$doc])* $name,)+
        }

        impl Rule {
            /// All clauses, by the number of their rule.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The number of the rule it belongs to.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it asks, in one line.
            #[must_use]
            pub const fn clause(self) -> &'static str {
                match self {
                    $(Self::$name => $clause,)+
                }
            }
        }
    };
}

rules! {
    /// Power fails between the first drive's flush and the others': an answered write is gone.
    AnswerSettled = 1 "an answer waits for every in-sync position",
    /// A HEAD shows a write that only the owner's drive has; a crash takes it back.
    ServeSettled = 1 "only settled records are shown",
    /// Drives free what a prepared write replaces; the write is aborted: neither version is left.
    KeepPredecessor = 1 "a predecessor's data stays until the mark is durable",
    /// A checkpoint lets go of records that no mark covers yet.
    PendingKept = 1 "a prepared record outlives checkpoints",
    /// The newest record wins though nobody can read it: the version before it is lost too.
    DecideReadable = 2 "what cannot be read is not rolled forward",
    /// Answered under a small view, then outvoted by drives that were not in it.
    DecideAny = 2 "one readable copy is enough to roll forward",
    /// Drives of the view are away: what they hold is aborted meanwhile.
    UndecidedWaits = 2 "an undecidable record is not aborted",
    /// An empty drive in the place of one that had an acknowledged write "proves" it never was.
    JoinedLater = 2 "a drive that joined the view since proves nothing by lacking a write",
    /// A drive joins beside an undecided write; those who have it go, and it answers what was before.
    JoinedKnows = 2 "a drive that joins is told of what is undecided",
    /// A key with an undecided write answers with the version before it.
    UndecidedRefused = 2 "an undecided key answers 503",
    /// The drives that lack a decided write never get it.
    RollForward = 2 "a decided record is made whole everywhere",
    /// The old version is served after the decision for the new one, until its mark lands.
    DecisionDurable = 2 "a decision is durable before anything is served",
    /// A drive drops out, writes go on, a restart brings it back as first owner.
    ViewBeforeSkip = 3 "a view is durable before an answer skips a position",
    /// A drive that starts alone believes the old view it knows.
    ViewQuorum = 3 "views are written and read on majorities",
    /// Two interrupted starts make two views of one epoch; the stale drive owns.
    PromiseFirst = 3 "an epoch is promised before its view is written",
    /// A drive that was away is in sync the moment it answers.
    OutsideView = 3 "a drive outside the view neither owns nor votes",
    /// A drive that the floor keeps in the view is away, and its keys have no owner.
    OwnerReachable = 3 "the owner is the first reachable in-sync position",
    /// Writes are ordered by owner and time: those of the first owner lose to those of the second.
    SequenceEpoch = 4 "sequences begin with the view's epoch",
    /// A batch of the old owner becomes durable after the takeover has asked.
    FenceBarrier = 4 "a fence waits for every batch under way",
    /// A queued message of the old owner commits after the takeover.
    OldEpochRefused = 4 "messages of another epoch are refused",
    /// The view shrinks until fewer than D drives take writes.
    Floor = 5 "writes keep the floors of data and metadata",
    /// Metadata lies on P drives, and P drives are lost.
    MetadataWidth = 5 "metadata lies on min(N, 2P+1) positions",
    /// The only holder of an inline payload is lost.
    InlineHolders = 6 "an inline payload lies on P+1 positions",
    /// A write is under way while its key is compared, and settles afterwards.
    CatchUpInFlight = 6 "catch-up covers writes under way",
    /// A returning drive keeps a write that the others aborted; a later mark settles it.
    CatchUpPending = 6 "catch-up voids what the returning drive had pending",
    /// All drives that lead a key are away: a drive that comes back takes it for deleted.
    CatchUpFromAll = 6 "drives in sync that do not lead every key bring nobody back",
    /// A returning drive brings a deleted object back.
    AbsenceWins = 7 "absence on the drives in sync wins",
    /// A merge drops a tombstone above the entry that it hides.
    TombstonesKept = 7 "a tombstone stays while older entries lie below it",
    /// A drive comes back as it was some starts ago, and owns.
    PeerKnowledge = 8 "a drive short of what its peers recorded is out",
    /// A drive that came back older logs releases until it has as many batches as the others know of.
    RecoveredCounts = 8 "a drive is judged by what it recovered, not by what it logged since",
    /// The second batch in flight is answered, the first is torn.
    BatchOrder = 9 "a batch is answered after all batches before it",
    /// Only the superblock says where the log goes on.
    Successors = 9 "replay follows announced successors",
    /// After a restart the allocator does not know of fragments in use.
    FragmentRecords = 10 "a drive's own records say what space is in use",
    /// A killed process's writes are believed and never flushed; then power fails.
    FlushAtRecovery = 11 "a start flushes what earlier processes wrote",
    /// A killed process's write lands after its successor used the space again.
    DriveLock = 12 "a start waits for the I/O of the process before it",
    /// A settled record lands, the data it adopts or moves does not.
    DataFlushed = 13 "data that nobody verifies later is flushed before its record",
    /// The record's flush begins while writes of its data are under way.
    DataCompleted = 13 "the writes of data have completed before its record",
    /// A payload is answered whatever it reads as.
    PayloadSums = 14 "a payload's sum is checked",
    /// A fragment's blocks are answered whatever they read as.
    FragmentSums = 14 "a fragment's sums are checked",
    /// Cleaning puts an old payload over a newer entry.
    MovesCompare = 14 "a move is void if the key was written again",
    /// Who looked a deleted bucket up writes into the one that has its id now.
    BucketIdsFresh = 15 "a bucket id is never used again",
    /// Who looked a bucket up before it was deleted goes on writing into it.
    BucketOpenAtCommit = 15 "a shard changes only what lies in an open bucket",
    /// Something is written between the look that finds a bucket empty and its end.
    DeletionMarked = 15 "a bucket that is being deleted takes nothing new",
    /// A write that began before its bucket was marked lands after the bucket was found empty.
    BucketDrained = 15 "a deletion waits for the changes under way on every shard",
    /// A bucket goes with all that is in it.
    BucketFoundEmpty = 15 "a bucket goes only when neither objects nor uploads are in it",
    /// A bucket whose deletion a crash cut short takes nothing, for good.
    DeletionEnded = 15 "a deletion cut short is finished or undone",
    /// A bucket is written to whose creation is then lost.
    TableDurable = 15 "a table is durable before it is installed",
    /// A bucket is not found though its creation was answered.
    TableInstalled = 15 "a change is answered once every shard has installed it",
    /// The part table of an object is lost with the one drive that holds it.
    PartTableEverywhere = 16 "a part table lies on all M positions",
    /// A client that heard nothing completes again, and is told that there is no upload.
    CompletionRepeats = 16 "a completion repeats its answer",
    /// An upload goes on after it became an object.
    CompletionRetires = 16 "a completion retires the upload",
    /// Parts that no object names stay for good.
    UnusedPartsFreed = 16 "parts left out of a completion are freed",
    /// A data id is used twice, and two objects share fragments.
    DataIdsFresh = 17 "a data id is never used again",
    /// Pages of two views are put together: keys between two owners are missing.
    ListOneView = 18 "a listing is of one view",
    /// A listing leaves out what only absent drives hold, or shows what is undecided.
    ListWhole = 18 "a listing is whole or refused",
    /// Deletes give nothing back.
    ReleasesFreed = 19 "space comes back after deletes",
    /// Data takes the last segment, and the drive never opens again.
    Reserve = 19 "data never takes the reserve",
    /// Payloads fill the log without having been promised room.
    PromiseSpace = 20 "space is promised before a write has a sequence",
    /// I/O to a stalled drive never ends, and so no request does.
    Deadline = 21 "every I/O has a deadline",
    /// The space of an abandoned body is used again while its writes are under way.
    AbandonedSpaceWaits = 22 "abandoned space is free after its last write",
    /// Each drive fills memory that is meant for all of them, and the node has none left.
    IndexMemoryShared = 23 "memtables and caches are sized for a node, not for each drive",
    /// Power fails while all four copies are torn.
    SuperblockPairs = 24 "superblock copies are replaced two by two",
    /// The two whole copies that a crash left are the first that the next write replaces.
    SuperblockRepair = 24 "an opening makes all superblock copies whole",
    /// A host without space is taken for a broken drive.
    HostFull = 24 "a full host makes a full drive, not a failed one",
    /// An empty drive in a member's place is taken for the member.
    EmptyDriveWaits = 24 "an empty drive is never in sync before it is rebuilt",
}

/// The rules that a world breaks: none outside of the simulator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BrokenRules(u128);

const _: () = assert!(Rule::ALL.len() <= 128, "one bit for each rule");

impl BrokenRules {
    /// All rules are kept.
    pub const NONE: Self = Self(0);

    /// All rules but one are kept.
    #[must_use]
    pub const fn only(rule: Rule) -> Self {
        Self(1 << rule as u32)
    }

    /// What a world breaks, for code that has no `Env` at hand.
    #[must_use]
    pub fn of<E: Env>(env: &E) -> Self {
        let broken = Rule::ALL.iter().filter(|rule| env.breaks(**rule));
        Self(broken.fold(0, |bits, rule| bits | Self::only(*rule).0))
    }

    /// Whether a rule is broken.
    #[must_use]
    pub const fn contains(self, rule: Rule) -> bool {
        self.0 & Self::only(rule).0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_bit_and_a_name_of_its_own() {
        for (index, rule) in Rule::ALL.iter().enumerate() {
            let broken = BrokenRules::only(*rule);
            let contained = Rule::ALL.iter().filter(|other| broken.contains(**other)).count();
            assert_eq!(contained, 1, "{}", rule.name());
            assert!(!BrokenRules::NONE.contains(*rule));
            assert!(Rule::ALL[..index].iter().all(|other| other.name() != rule.name()));
        }
        assert!(Rule::ALL.is_sorted_by_key(|rule| rule.number()));
    }
}

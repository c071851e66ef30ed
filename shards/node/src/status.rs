//! What a node tells of its drives.

use engine_env::ArenaStatistics;
use engine_store::DriveUsage;
use engine_types::{Position, SetId};
use shards_uring::{DriveLimits, DriveStatistics};
use std::path::PathBuf;

/// What a drive is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveState {
    /// Serving.
    InSync,
    /// Being brought up to date; answers nothing.
    CatchingUp,
    /// Not to be opened, or empty in a set that holds data.
    Missing,
    /// Failed while in use.
    Failed,
}

impl DriveState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::InSync, Self::CatchingUp, Self::Missing, Self::Failed];

    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InSync => "in-sync",
            Self::CatchingUp => "catching-up",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }
}

/// A drive.
#[derive(Debug, Clone)]
pub struct DriveReport {
    /// Its path as given.
    pub path: PathBuf,
    /// The shard that owns it.
    pub shard: usize,
    /// What it keeps to; of one that was never open, what it was told to.
    pub limits: DriveLimits,
    /// Its id as hexadecimal digits; empty where it was never read.
    pub uuid: String,
    /// Its set.
    pub set: SetId,
    /// Its position.
    pub position: Position,
    /// What it is doing.
    pub state: DriveState,
    /// What is wrong and what to do; empty where nothing is.
    pub advice: String,
    /// What it holds and did.
    pub usage: DriveUsage,
    /// Its I/O.
    pub io: DriveStatistics,
    /// Objects it owns that are short of protection, and what it is about to heal.
    pub objects_short: u64,
}

/// A node.
#[derive(Debug, Clone, Default)]
pub struct NodeReport {
    /// Every drive given, absent ones too.
    pub drives: Vec<DriveReport>,
    /// Whether every set serves reads and writes, and the buckets are known.
    pub ready: bool,
    /// The same of reads.
    pub readable: bool,
    /// Positions out of sync, over all sets.
    pub positions_out: usize,
    /// Changes of view since the start.
    pub view_changes: u64,
    /// The arenas of all shards.
    pub arenas: ArenaStatistics,
    /// Objects that the drives in sync cannot make whole, as the last catch-up of each set found.
    pub objects_unreadable: u64,
}

impl NodeReport {
    /// How many drives are in a state.
    #[must_use]
    pub fn count(&self, state: DriveState) -> usize {
        self.drives.iter().filter(|drive| drive.state == state).count()
    }

    /// Objects with fewer copies or fragments than they should have, as counted last.
    #[must_use]
    pub fn objects_short_of_protection(&self) -> u64 {
        let serving = self.drives.iter().filter(|drive| drive.state == DriveState::InSync);
        serving.map(|drive| drive.objects_short).sum()
    }

    /// Drives that do not serve, in whatever state.
    #[must_use]
    pub fn drives_out(&self) -> usize {
        self.drives.len() - self.count(DriveState::InSync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_are_counted_by_state() {
        let drive = |state| DriveReport {
            path: PathBuf::from("/d"),
            shard: 0,
            limits: DriveLimits::default(),
            uuid: String::new(),
            set: SetId(0),
            position: Position(0),
            state,
            advice: String::new(),
            usage: DriveUsage::default(),
            io: DriveStatistics::default(),
            objects_short: 2,
        };
        let states = [DriveState::InSync, DriveState::Failed, DriveState::InSync];
        let report = NodeReport { drives: states.map(drive).to_vec(), ..NodeReport::default() };
        assert_eq!(report.count(DriveState::InSync), 2);
        assert_eq!(report.count(DriveState::Missing), 0);
        assert_eq!(report.drives_out(), 1);
        // What a drive said before it failed counts no more: others own its objects.
        assert_eq!(report.objects_short_of_protection(), 4);
    }
}

//! A node's shards: one pinned thread each, with the drives it owns and their members; the
//! supervisor of each set's view; and `Node`, the way to all of it from other threads.
//!
//! Invariants: a drive and its member live on one thread; requests to a member are served in the
//! order they were sent; a client's operation once handed to a shard runs to its end there, also
//! if the client is gone (a commit is never cut in two).

mod backoff;
mod config;
mod control;
mod drives;
mod keep;
mod look;
mod node;
mod peers;
mod puts;
mod reads;
mod replace;
mod report;
mod seats;
mod shard;
mod shared;
mod start;
mod status;
mod supervise;

#[cfg(test)]
mod rig;

pub use engine_env::ArenaStatistics;
pub use shards_uring::{DriveLimits, SPLIT_BYTES_MIN};

pub use config::{DriveKind, LogLevel, LogSink, NodeConfig, NodeDrive};
pub use control::{Control, ControlError};
pub use look::is_missing_device;
pub use node::{Node, NodeMember, WorkKind};
pub use puts::PutId;
pub use replace::ReplaceError;
pub use start::{StartError, Threads, start};
pub use status::{DriveReport, DriveState, NodeReport};

//! What a node's shards are told.

use engine_store::{ScrubPace, StoreConfig};
use shards_uring::{DriveLimits, IoDriverKind};
use std::path::PathBuf;
use std::sync::Arc;

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// A person must look.
    Error,
    /// Unexpected, and work goes on.
    Warn,
    /// A change of state.
    Info,
    /// For finding faults: background work begins and ends.
    Debug,
}

/// Where lines of the log go: level, text, fields.
pub type LogSink = Arc<dyn Fn(LogLevel, &str, &[(&str, String)]) + Send + Sync>;

/// What a drive is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveKind {
    /// A directory in which basalt keeps its files.
    Directory,
    /// One regular file.
    File,
    /// A block device.
    Device,
}

/// A drive.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeDrive {
    /// Its path as given.
    pub path: PathBuf,
    /// What it is.
    pub kind: DriveKind,
    /// The most it may hold; a device's own size is taken for a device.
    pub capacity_bytes: u64,
    /// What is kept to on it.
    pub limits: DriveLimits,
    /// The shard that owns it, 0-based; `None`: drives are dealt out in turn.
    pub shard: Option<usize>,
}

/// What a node's shards are told.
#[derive(Clone)]
pub struct NodeConfig {
    /// All drives of the pool, in the order of their positions at the first start.
    pub drives: Vec<NodeDrive>,
    /// Drives of a set, if not AIStor's choice.
    pub set_size: Option<u8>,
    /// Parity, if not AIStor's default.
    pub parity: Option<u8>,
    /// Bytes of a cell.
    pub cell_bytes: u32,
    /// Objects up to this size lie in the log.
    pub inline_bytes_max: u64,
    /// Bytes of a segment for new drives; `None` by capacity.
    pub segment_bytes: Option<u64>,
    /// Limits of each drive.
    pub store: StoreConfig,
    /// Shard threads.
    pub shards: usize,
    /// The CPU of each shard thread; empty for no pinning.
    pub cpus: Vec<usize>,
    /// The CPUs of all other threads of the node: the control thread, those that open and grow
    /// drives, and with `IoDriverKind::ThreadPool` those that do the I/O. Empty for no pinning:
    /// then all but the control thread run where their shard does.
    pub control_cpus: Vec<usize>,
    /// Entries of each shard's submission queue, 8 or more; the kernel makes it a power of two.
    pub ring_entries: u32,
    /// The way of doing I/O.
    pub driver: IoDriverKind,
    /// Bytes of each shard's arena of I/O buffers.
    pub arena_bytes: usize,
    /// How long a drive may take for one I/O.
    pub drive_deadline_us: u64,
    /// Each drive is read through this often; 0 for never.
    pub scrub_interval_us: u64,
    /// How fast.
    pub scrub_pace: ScrubPace,
    /// Where the log goes.
    pub log: LogSink,
}

impl NodeConfig {
    /// The shard of a drive.
    #[must_use]
    pub fn shard_of(&self, index: usize) -> usize {
        let told = self.drives.get(index).and_then(|drive| drive.shard);
        told.unwrap_or(index % self.shards.max(1))
    }

    /// Why no node can run like this, if so: one clear sentence.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.shards == 0 || self.ring_entries < 8 {
            return Some("shards are above zero, and ring entries 8 or more".to_owned());
        }
        self.drives.iter().find_map(|drive| {
            let shown = drive.path.display();
            match drive.shard.filter(|shard| *shard >= self.shards) {
                Some(shard) => Some(format!(
                    "{shown} is to be on shard {shard}, but the last of {} shards is shard {}",
                    self.shards,
                    self.shards - 1
                )),
                None => drive.limits.fault().map(|fault| format!("the limits of {shown}: {fault}")),
            }
        })
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

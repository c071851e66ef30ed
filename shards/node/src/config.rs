//! What a node's shards are told.

use engine_store::{ScrubPace, StoreConfig};
use shards_uring::IoDriverKind;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDrive {
    /// Its path as given.
    pub path: PathBuf,
    /// What it is.
    pub kind: DriveKind,
    /// The most it may hold; a device's own size is taken for a device.
    pub capacity_bytes: u64,
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

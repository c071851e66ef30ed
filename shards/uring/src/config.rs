//! Settings of a runtime and of a drive.

use engine_env::BLOCK_BYTES;
use std::path::PathBuf;

/// How I/O reaches the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoDriverKind {
    /// One io_uring per shard.
    Uring,
    /// Blocking threads per drive; where io_uring is refused, or forced by setting.
    ThreadPool,
}

/// Settings of one shard's runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Entries of the submission queue; a power of two.
    pub ring_entries: u32,
    /// Threads of each drive with `IoDriverKind::ThreadPool`. They belong to a drive, not to the
    /// shard, so that a drive that hangs does not starve its neighbours.
    pub pool_threads: usize,
    /// Spin before sleeping when recently busy; 0 where another of our threads shares the CPU.
    pub spin_us: u64,
    /// Bytes of the arena that I/O buffers lie in, in steps of 2 MiB; 0 for none.
    pub arena_bytes: usize,
    /// How long the end of the runtime waits for I/O in flight before it leaks the buffers.
    pub shutdown_us: u64,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            ring_entries: 256,
            pool_threads: 4,
            spin_us: 0,
            arena_bytes: 4 << 20,
            shutdown_us: 5_000_000,
        }
    }
}

/// What a drive is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveKind {
    /// A directory of files `basalt-000000.data`, `basalt-000001.data`, ... of this length each;
    /// their concatenation is the drive. The length never changes once the drive is formatted.
    Directory {
        /// Bytes of each file; a multiple of `BLOCK_BYTES`.
        file_bytes: u64,
    },
    /// One regular file, grown by `prepare`.
    File,
    /// A whole block device.
    Device,
}

/// A drive to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveSpec {
    /// The directory (which must exist), the file (created if missing) or the device.
    pub path: PathBuf,
    /// What `path` is.
    pub kind: DriveKind,
    /// The most the drive may ever hold; a device's own size is taken for a device.
    pub capacity_bytes: u64,
    /// The largest single read or write; lowered to what a device takes in one piece.
    pub io_bytes_max: usize,
    /// Operations at the device at once; more wait in order.
    pub queue_depth: usize,
    /// How long the device may take for one operation.
    pub deadline_us: u64,
    /// How long to wait for another process to let go of the drive.
    pub lock_wait_us: u64,
}

impl DriveSpec {
    /// A directory of files of `file_bytes` each, up to `capacity_bytes` in all.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>, file_bytes: u64, capacity_bytes: u64) -> Self {
        Self::new(path.into(), DriveKind::Directory { file_bytes }, capacity_bytes)
    }

    /// One regular file of up to `capacity_bytes`.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>, capacity_bytes: u64) -> Self {
        Self::new(path.into(), DriveKind::File, capacity_bytes)
    }

    /// A whole block device.
    #[must_use]
    pub fn device(path: impl Into<PathBuf>) -> Self {
        Self::new(path.into(), DriveKind::Device, 0)
    }

    fn new(path: PathBuf, kind: DriveKind, capacity_bytes: u64) -> Self {
        Self {
            path,
            kind,
            capacity_bytes,
            io_bytes_max: 1 << 20,
            queue_depth: 64,
            deadline_us: 5_000_000,
            lock_wait_us: 10_000_000,
        }
    }

    /// Why this cannot be a drive, if it cannot.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        const IO_BYTES_LIMIT: usize = 1 << 30;
        let block_bytes = BLOCK_BYTES as u64;
        if self.io_bytes_max == 0
            || !self.io_bytes_max.is_multiple_of(BLOCK_BYTES)
            || self.io_bytes_max > IO_BYTES_LIMIT
        {
            return Some("io_bytes_max is a multiple of 4096 up to 1 GiB");
        }
        if self.queue_depth == 0 || self.deadline_us == 0 {
            return Some("queue depth and deadline are above zero");
        }
        match self.kind {
            DriveKind::Device => None,
            DriveKind::File if self.capacity_bytes < block_bytes => {
                Some("the capacity is at least one block")
            }
            DriveKind::File => None,
            DriveKind::Directory { file_bytes } => {
                if !file_bytes.is_multiple_of(block_bytes) || file_bytes < self.io_bytes_max as u64
                {
                    return Some("file_bytes is a multiple of 4096, not below io_bytes_max");
                }
                if self.capacity_bytes < file_bytes {
                    return Some("the capacity is at least one file");
                }
                None
            }
        }
    }
}

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The CPUs of the threads that block for this shard: those that open and grow drives, and
    /// those of `pool_threads`. Empty: where the shard runs. The kernel's own workers of a ring
    /// are not among them.
    pub helper_cpus: Vec<usize>,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            ring_entries: 256,
            pool_threads: 4,
            spin_us: 0,
            arena_bytes: 4 << 20,
            shutdown_us: 5_000_000,
            helper_cpus: Vec::new(),
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

/// The least `split_bytes`. Superblocks, headers of log segments and the heads of batches are read
/// and written whole, and none is longer than a block; all else `engine-store` cuts to any length.
pub const SPLIT_BYTES_MIN: usize = BLOCK_BYTES;

/// The most `split_bytes`: lengths of the kernel and of completions have 31 bits.
const SPLIT_BYTES_MAX: usize = 1 << 30;

/// The most of one direction at a drive at once: each operation has a deadline of seconds, and a
/// drive that moves hundreds of megabytes a second must be through with all of them by then.
const AT_ONCE_BYTES_MAX: u64 = 1 << 30;

/// The least `background_share`: below, what is rotten or lost would wait for weeks.
const BACKGROUND_SHARE_MIN: f64 = 0.01;

/// What is kept to on one drive. What `prepare` writes comes beside that: zeros, 1 MiB at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriveLimits {
    /// Reads at the device at once; more wait in order.
    pub read_queue_depth_max: u32,
    /// Writes at the device at once; more wait in order. A flush takes a place among them, be it
    /// alone or joined to a write.
    pub write_queue_depth_max: u32,
    /// The largest single read or write, a multiple of `BLOCK_BYTES`; lowered to what a device
    /// takes in one piece, and to a file of a directory.
    pub split_bytes: usize,
    /// What background work may take of each depth, 0.01 to 1; one at a time it always
    /// may.
    pub background_share: f64,
}

impl Default for DriveLimits {
    fn default() -> Self {
        Self {
            read_queue_depth_max: 64,
            write_queue_depth_max: 64,
            split_bytes: 1 << 20,
            background_share: 0.2,
        }
    }
}

impl DriveLimits {
    /// Why these cannot be kept to, if so.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        if self.read_queue_depth_max == 0 || self.write_queue_depth_max == 0 {
            return Some("queue depths are above zero");
        }
        let is_split = self.split_bytes.is_multiple_of(BLOCK_BYTES)
            && (SPLIT_BYTES_MIN..=SPLIT_BYTES_MAX).contains(&self.split_bytes);
        if !is_split {
            return Some("split_bytes is a multiple of 4096 from 4096 up to 1 GiB");
        }
        let depth = self.read_queue_depth_max.max(self.write_queue_depth_max);
        if u64::from(depth) * self.split_bytes as u64 > AT_ONCE_BYTES_MAX {
            return Some("queue depth times split_bytes is up to 1 GiB");
        }
        let is_share = (BACKGROUND_SHARE_MIN..=1.0).contains(&self.background_share);
        (!is_share).then_some("the background share is 0.01 to 1")
    }
}

/// A drive to open.
#[derive(Debug, Clone, PartialEq)]
pub struct DriveSpec {
    /// The directory (which must exist), the file (created if missing) or the device.
    pub path: PathBuf,
    /// What `path` is.
    pub kind: DriveKind,
    /// The most the drive may ever hold; a device's own size is taken for a device.
    pub capacity_bytes: u64,
    /// What is kept to.
    pub limits: DriveLimits,
    /// How long the device may take for one operation. What waits for a place is not at the
    /// device yet.
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
            limits: DriveLimits::default(),
            deadline_us: 5_000_000,
            lock_wait_us: 10_000_000,
        }
    }

    /// Why this cannot be a drive, if it cannot.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let block_bytes = BLOCK_BYTES as u64;
        if let Some(fault) = self.limits.fault() {
            return Some(fault);
        }
        if self.deadline_us == 0 {
            return Some("the deadline is above zero");
        }
        match self.kind {
            DriveKind::Device => None,
            DriveKind::File if self.capacity_bytes < block_bytes => {
                Some("the capacity is at least one block")
            }
            DriveKind::File => None,
            DriveKind::Directory { file_bytes } => {
                if !file_bytes.is_multiple_of(block_bytes) || file_bytes < SPLIT_BYTES_MIN as u64 {
                    return Some("file_bytes is a multiple of 4096 above zero");
                }
                if self.capacity_bytes < file_bytes {
                    return Some("the capacity is at least one file");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_be_kept_to_are_refused() {
        let good = DriveLimits::default();
        let least = DriveLimits {
            read_queue_depth_max: 1,
            write_queue_depth_max: 1,
            split_bytes: SPLIT_BYTES_MIN,
            background_share: BACKGROUND_SHARE_MIN,
        };
        for limits in [good, least, DriveLimits { background_share: 1.0, ..good }] {
            assert_eq!(limits.fault(), None, "{limits:?}");
        }
        for split_bytes in [0, 512, 4095, 5000, (1 << 30) + BLOCK_BYTES, usize::MAX] {
            assert!(DriveLimits { split_bytes, ..good }.fault().is_some(), "{split_bytes}");
        }
        for background_share in [0.0, -0.1, 0.009, 1.01, f64::NAN, f64::INFINITY] {
            let limits = DriveLimits { background_share, ..good };
            assert!(limits.fault().is_some(), "{background_share}");
        }
        assert!(DriveLimits { read_queue_depth_max: 0, ..good }.fault().is_some());
        assert!(DriveLimits { write_queue_depth_max: 0, ..good }.fault().is_some());
        assert!(DriveLimits { read_queue_depth_max: 1024, ..good }.fault().is_none());
        assert!(DriveLimits { read_queue_depth_max: 1025, ..good }.fault().is_some());
    }
}

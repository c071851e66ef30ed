//! A drive of numbers only, and scratch directories.

use crate::error::MeasureError;
use crate::load::{Drive, Load, Sample, Until};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Transfers a second at depth 1.
const RATE: f64 = 1000.0;

/// A drive that gets faster up to a depth.
pub(crate) struct FakeDrive {
    pub(crate) depth_max: u32,
    /// Each transfer is so much slower than the drives of others; 1: it is not.
    pub(crate) slowness: f64,
    /// Every second load is so much faster.
    pub(crate) noise_percent: f64,
    pub(crate) loads: Vec<Load>,
    pub(crate) moved_bytes: u64,
    /// After so many loads the user ends it.
    pub(crate) loads_max: usize,
}

impl FakeDrive {
    pub(crate) fn new(depth_max: u32) -> Self {
        Self {
            depth_max,
            slowness: 1.0,
            noise_percent: 0.0,
            loads: Vec::new(),
            moved_bytes: 0,
            loads_max: usize::MAX,
        }
    }

    pub(crate) fn depths(&self) -> Vec<u32> {
        self.loads.iter().map(|load| load.depth).collect()
    }
}

impl Drive for FakeDrive {
    fn span_bytes(&self) -> u64 {
        64 << 20
    }

    fn run(
        &mut self,
        load: &Load,
        until: Until,
        stop: &AtomicBool,
    ) -> Result<Sample, MeasureError> {
        if self.loads.len() >= self.loads_max || stop.load(Ordering::Relaxed) {
            return Err(MeasureError::Interrupted);
        }
        self.loads.push(*load);
        let noise =
            if self.loads.len().is_multiple_of(2) { self.noise_percent / 100.0 } else { 0.0 };
        let depth = f64::from(load.depth.min(self.depth_max));
        let rate = RATE * depth * (1.0 + noise) / self.slowness;
        let (ios, elapsed) = match until {
            Until::Elapsed(duration) => ((rate * duration.as_secs_f64()) as u64, duration),
            Until::Moved(bytes) => (bytes / load.io_bytes, Duration::from_secs(1)),
        };
        self.moved_bytes += ios * load.io_bytes;
        let latency_ns = (1e9 * self.slowness / RATE) as u64;
        let latencies = std::iter::repeat_n(latency_ns, ios as usize).collect();
        Ok(Sample { ios, bytes: ios * load.io_bytes, elapsed, latencies })
    }
}

/// A directory that is removed again.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        Self::below(&std::env::temp_dir(), name)
    }

    /// Where direct I/O works, which file systems in memory need not take.
    pub(crate) fn direct(name: &str) -> Self {
        Self::below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), name)
    }

    fn below(above: &Path, name: &str) -> Self {
        let path = above.join(format!("measure-{name}-{}", std::process::id()));
        // An earlier test with this number may have left one.
        _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in a directory for such files.
        _ = std::fs::remove_dir_all(&self.0);
    }
}

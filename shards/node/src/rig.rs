//! A whole node for tests: one set of two small drives, each on a shard of its own, and the
//! control thread.
//!
//! Invariant: threads end and drives go away with it, also where a test fails.

use crate::config::{DriveKind, LogSink, NodeConfig, NodeDrive};
use crate::control::Control;
use crate::node::Node;
use crate::start::{Threads, start};
use engine_store::{ScrubPace, StoreConfig};
use shards_executor::{Executor, Handle, ParkDriver, PinnedThread};
use shards_uring::{DriveLimits, IoDriverKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

const SEGMENT_BYTES: u64 = 256 << 10;
const SEGMENTS: u64 = 64;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("basalt-node-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A node, and the executor of a client of it.
pub(crate) struct Rig {
    pub node: Node,
    pub control: Control,
    executor: Executor<ParkDriver>,
    control_thread: Option<PinnedThread<()>>,
    threads: Option<Threads>,
    _scratch: Scratch,
}

/// Two drives in a directory, each on a shard of its own.
pub(crate) fn config(root: &Path) -> NodeConfig {
    let drive = |name: &str| NodeDrive {
        path: root.join(name),
        kind: DriveKind::Directory,
        capacity_bytes: SEGMENT_BYTES * SEGMENTS,
        limits: DriveLimits::default(),
        shard: None,
    };
    let log: LogSink = Arc::new(|_, _, _| {});
    NodeConfig {
        drives: vec![drive("d1"), drive("d2")],
        set_size: None,
        parity: None,
        cell_bytes: 64 << 10,
        inline_bytes_max: 4 << 10,
        segment_bytes: Some(SEGMENT_BYTES),
        store: StoreConfig {
            batch_bytes_max: 128 << 10,
            memtable_bytes: 256 << 10,
            log_bytes_between_checkpoints: 4 << 20,
            block_cache_bytes: 64 << 10,
            ..StoreConfig::default()
        },
        shards: 2,
        cpus: Vec::new(),
        control_cpus: Vec::new(),
        ring_entries: 256,
        driver: IoDriverKind::ThreadPool,
        arena_bytes: 4 << 20,
        // A busy machine must not cost the set a drive.
        drive_deadline_us: 60_000_000,
        scrub_interval_us: 0,
        scrub_pace: ScrubPace { bytes_per_second: 1 << 20 },
        log,
    }
}

impl Rig {
    /// A node that serves and has read its table of buckets.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same with other settings.
    pub(crate) fn start_with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let scratch = Scratch::new();
        let mut config = config(&scratch.0);
        change(&mut config);
        let mut executor = Executor::new(ParkDriver::new());
        let (node, threads) = executor.run(start(config)).unwrap();
        let (told, first) = mpsc::channel();
        let started = Control::start(node.clone(), move |loaded| {
            // Nobody waits for a later one.
            _ = told.send(loaded);
        });
        let (control, control_thread) = started.unwrap();
        let rig = Self {
            node,
            control,
            executor,
            control_thread: Some(control_thread),
            threads: Some(threads),
            _scratch: scratch,
        };
        assert_eq!(first.recv(), Ok(Ok(())));
        rig
    }

    /// Tasks and timers of the client.
    pub(crate) fn handle(&self) -> Handle {
        self.executor.handle()
    }

    /// Runs what a client does.
    pub(crate) fn run<T>(&mut self, main: impl Future<Output = T>) -> T {
        self.executor.run(main)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.control_thread.take() {
            _ = thread.join();
        }
        if let Some(threads) = self.threads.take() {
            threads.stop();
        }
    }
}

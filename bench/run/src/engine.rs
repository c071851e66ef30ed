//! The engine of this process: a node's shards on drives of their own, without HTTP, signatures
//! or sockets.
//!
//! Invariants: the run's bucket is new and its own, also beside what is there; the shards end
//! before anything of their drives is taken away; what this run did not write stays.

mod drives;
mod operation;
mod target;

pub(crate) use target::EngineTarget;

use crate::error::RunError;
use crate::plan::EnginePlan;
use crate::run::{RunOptions, Screen};
use crate::server::Reading;
use drives::Drives;
use engine_store::{ScrubPace, StoreConfig};
use engine_types::{BucketId, Condition};
use gateway_core::objects::{Bucket, ListEntry, ListQuery, Objects, StoreError};
use gateway_core::shards::ShardStore;
use gateway_core::shards::budget::MemoryBudget;
use shards_executor::{Executor, ParkDriver, PinnedThread};
use shards_node::{
    Control, DriveKind, DriveLimits, DriveState, LogSink, Node, NodeConfig, NodeDrive, NodeReport,
    StartError, Threads,
};
use shards_uring::{RuntimeConfig, choose_driver};
use std::path::PathBuf;
use std::sync::Arc;

/// Memory of the engine in all, shared out as the server does it: half of it for bodies, an eighth
/// for I/O buffers, an eighth each for memtables and blocks of the index.
const MEMORY_BYTES: u64 = 1 << 30;
/// Threads whose CPU time is the engine's: shards, their control, and those that open, grow and do
/// I/O for them. Those that have ended are not counted any more.
const THREADS: [&str; 3] = ["basalt-", "drive-", "iou-"];
/// A node that is well serves after so long.
const START_US_MAX: u64 = 30_000_000;
/// Objects deleted at once when cleaning up, as a page names them.
const PAGE_KEYS: usize = 256;

/// The way to the engine from a generator's thread.
#[derive(Clone)]
pub(crate) struct Door {
    node: Node,
    control: Control,
    budget: MemoryBudget,
    bucket: BucketId,
}

impl Door {
    fn store(&self) -> ShardStore {
        let (node, control) = (self.node.clone(), self.control.clone());
        ShardStore::new(node, control, self.budget.clone(), shards_executor::wall_ms)
    }
}

/// A node in this process.
pub(crate) struct Engine {
    running: Running,
    drives: Drives,
    bucket: Bucket,
    budget: MemoryBudget,
}

/// Its threads; they end with it.
struct Running {
    node: Node,
    control: Control,
    threads: Option<(PinnedThread<()>, Threads)>,
    executor: Executor<ParkDriver>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop();
        if let Some((control, shards)) = self.threads.take() {
            // Its panic was shown already.
            _ = control.join();
            shards.stop();
        }
    }
}

fn failed(problem: impl Into<String>) -> RunError {
    RunError::Engine { problem: problem.into() }
}

/// What is wrong with the first drive that does not serve.
fn ill(report: &NodeReport) -> Option<RunError> {
    let drive = report.drives.iter().find(|drive| drive.state != DriveState::InSync)?;
    let (path, word) = (drive.path.display(), drive.state.word());
    Some(failed(format!("{path} is {word}: {}", drive.advice)))
}

fn refused_by_store(what: &str) -> impl Fn(StoreError) -> RunError {
    move |error| failed(format!("{what}: {error}"))
}

impl Engine {
    /// Starts the engine on the drives of a plan.
    ///
    /// # Errors
    /// Where the drives hold anything that the options do not allow, or the shards cannot start.
    /// Directories that were made are gone then, unless something is in them.
    pub(crate) fn enter(
        plan: &EnginePlan,
        options: &RunOptions,
        screen: &mut dyn Screen,
    ) -> Result<Self, RunError> {
        let drives = Drives::take(plan, options)?;
        let budget = MemoryBudget::new(MEMORY_BYTES / 2, shards_executor::now_us);
        let config = node_config(plan, drives.paths());
        screen.note(&format!("the engine has {} shards", config.shards));
        let started = Running::start(config).and_then(|mut running| {
            let bucket = running.make_bucket(&options.run_id, &budget)?;
            Ok((running, bucket))
        });
        match started {
            Ok((running, bucket)) => Ok(Self { running, drives, bucket, budget }),
            Err(error) => {
                for path in drives.abandon() {
                    screen.note(&format!("{} stays: something is in it", path.display()));
                }
                Err(error)
            }
        }
    }

    /// The way to it from other threads.
    pub(crate) fn door(&self) -> Door {
        Door {
            node: self.running.node.clone(),
            control: self.running.control.clone(),
            budget: self.budget.clone(),
            bucket: self.bucket.id,
        }
    }

    /// What its threads and drives have done so far.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let cpu_seconds = crate::cpu::seconds_of_threads(&THREADS)?;
        Some(Reading::of_engine(cpu_seconds, &self.running.node.report()))
    }

    /// Ends it, and takes away what this run wrote unless that is to be kept.
    ///
    /// # Errors
    /// Where something cannot be deleted, or a drive has failed meanwhile.
    pub(crate) fn leave(self, keep: bool, screen: &mut dyn Screen) -> Result<(), RunError> {
        let store = self.door().store();
        let Self { mut running, drives, bucket, .. } = self;
        let ill = ill(&running.node.report());
        let is_removed = drives.are_ours() && !keep;
        if !keep {
            screen.stage("cleanup", "taking away what this run wrote");
        }
        let emptied = match keep || is_removed {
            true => Ok(()),
            false => running.executor.run(empty(&store, &bucket)),
        };
        // Shards that end write to their drives.
        drop(running);
        if is_removed {
            drives.remove()?;
        }
        emptied.map_err(refused_by_store("deleting what this run wrote"))?;
        ill.map_or(Ok(()), Err)
    }
}

/// Deletes a bucket with all that is in it.
async fn empty(store: &ShardStore, bucket: &Bucket) -> Result<(), StoreError> {
    loop {
        let query = ListQuery { entries_max: PAGE_KEYS, ..ListQuery::default() };
        let page = store.list(bucket.id, query).await?;
        if page.entries.is_empty() {
            return store.delete_bucket(&bucket.name).await;
        }
        let keys = page.entries.iter().filter_map(|entry| match entry {
            ListEntry::Object(key, _) => Some(key),
            ListEntry::CommonPrefix(_) => None,
        });
        for key in keys {
            match store.delete(bucket.id, key, Condition::None).await {
                Ok(_) | Err(StoreError::NoSuchKey) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Running {
    fn start(config: NodeConfig) -> Result<Self, RunError> {
        let mut executor = Executor::new(ParkDriver::new());
        let started = executor.run(shards_node::start(config));
        let (node, shards) = started.map_err(|error| match error {
            StartError::Refused(problem) => RunError::Setting { setting: "--drive", problem },
            StartError::Failed(problem) => failed(problem),
        })?;
        let (control, control_thread) = match Control::start(node.clone(), |_| {}) {
            Ok(started) => started,
            Err(error) => {
                shards.stop();
                return Err(failed(format!("the control thread: {error}")));
            }
        };
        let threads = Some((control_thread, shards));
        let mut running = Self { node, control, threads, executor };
        running.wait_until_well()?;
        Ok(running)
    }

    /// Waits until every drive serves and the buckets are known: figures of a node that lacks one
    /// are of something else.
    fn wait_until_well(&mut self) -> Result<(), RunError> {
        let (node, handle) = (&self.node, self.executor.handle());
        let until_us = shards_executor::now_us().saturating_add(START_US_MAX);
        self.executor.run(async {
            loop {
                let report = node.report();
                if report.ready && report.drives_out() == 0 {
                    return Ok(());
                }
                if shards_executor::now_us() >= until_us {
                    return Err(ill(&report).unwrap_or_else(|| failed("it does not serve")));
                }
                handle.sleep_us(10_000).await;
            }
        })
    }

    /// The run's own bucket.
    fn make_bucket(&mut self, run_id: &str, budget: &MemoryBudget) -> Result<Bucket, RunError> {
        let (node, control) = (self.node.clone(), self.control.clone());
        let store = ShardStore::new(node, control, budget.clone(), shards_executor::wall_ms);
        // No other run has its name, also not one whose objects were kept.
        let made = self.executor.run(store.create_bucket(run_id));
        made.map_err(refused_by_store("making a bucket"))
    }
}

/// What the server's defaults come to on these drives.
fn node_config(plan: &EnginePlan, paths: &[PathBuf]) -> NodeConfig {
    let drive_count = paths.len().max(1);
    // As many as `basalt server` would start without a profile, on the same CPUs.
    let cpus = shards_executor::allowed_cpus().unwrap_or_default();
    let shards = cpus.len().clamp(1, drive_count);
    let cpus = if cpus.len() > 1 { cpus[..shards].to_vec() } else { Vec::new() };
    let drive = |path: &PathBuf| NodeDrive {
        path: path.clone(),
        kind: DriveKind::Directory,
        capacity_bytes: plan.drive_bytes,
        limits: DriveLimits::default(),
        shard: None,
    };
    let share_bytes = (MEMORY_BYTES / 8 / drive_count as u64).clamp(256 << 10, 64 << 20) as usize;
    let log: LogSink = Arc::new(|_, _, _| {});
    NodeConfig {
        drives: paths.iter().map(drive).collect(),
        set_size: None,
        parity: None,
        cell_bytes: 256 << 10,
        inline_bytes_max: 16 << 10,
        segment_bytes: None,
        store: StoreConfig {
            memtable_bytes: share_bytes,
            block_cache_bytes: share_bytes,
            ..StoreConfig::default()
        },
        shards,
        cpus,
        control_cpus: Vec::new(),
        ring_entries: RuntimeConfig::default().ring_entries,
        driver: choose_driver(None).0,
        arena_bytes: MEMORY_BYTES as usize / 8 / shards,
        drive_deadline_us: 5_000_000,
        scrub_interval_us: 0,
        scrub_pace: ScrubPace { bytes_per_second: 16 << 20 },
        log,
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

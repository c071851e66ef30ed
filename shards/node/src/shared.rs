//! What all threads of a node share.
//!
//! Invariants: snapshots (views, buckets) are immutable and replaced whole; a lock is held for a
//! moment, never while anything is waited for.

use crate::puts::PutId;
use crate::shard::Message;
use crate::status::DriveReport;
use engine_env::{Arena, ArenaStatistics};
use engine_set::{Installed, SetConfig, SetError};
use engine_types::{DeploymentId, Position, SetId};
use shards_control::BucketTable;
use shards_mailbox::Sender;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// How the pool is cut, fixed at format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub deployment: DeploymentId,
    pub set_count: u16,
    pub set_size: u8,
    pub parity: u8,
}

/// What all threads of a node share.
pub(crate) struct Shared {
    pub senders: Vec<Sender<Message>>,
    /// Where the control thread runs; empty: anywhere.
    pub control_cpus: Vec<usize>,
    pub layout: OnceLock<(Layout, Vec<SetConfig>)>,
    routes: Mutex<BTreeMap<(SetId, Position), usize>>,
    views: Mutex<BTreeMap<SetId, Arc<Installed>>>,
    /// Not there before the control thread has read it.
    buckets: Mutex<Option<Arc<BucketTable>>>,
    troubled: Mutex<BTreeSet<SetId>>,
    pub reports: Mutex<BTreeMap<usize, DriveReport>>,
    /// Absent drives whose seat is a guess.
    pub unsure: Mutex<BTreeSet<usize>>,
    arenas: Mutex<Vec<Arc<Arena>>>,
    /// It was said that io_uring does not know an arena.
    pub unregistered_said: AtomicBool,
    /// Drives being opened again or replaced: by one at a time.
    pub claimed: Mutex<BTreeSet<usize>>,
    /// Bodies to be given up whose shard could not be told.
    orphans: Mutex<Vec<PutId>>,
    pub view_changes: AtomicU64,
    /// Objects that the last catch-up of each set found unreadable.
    pub unreadable: Mutex<BTreeMap<SetId, u64>>,
    /// Drives are about to fall silent because the node stops.
    pub stopping: AtomicBool,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(senders: Vec<Sender<Message>>) -> Self {
        Self {
            senders,
            control_cpus: Vec::new(),
            layout: OnceLock::new(),
            routes: Mutex::default(),
            views: Mutex::default(),
            buckets: Mutex::default(),
            troubled: Mutex::default(),
            reports: Mutex::default(),
            unsure: Mutex::default(),
            arenas: Mutex::default(),
            unregistered_said: AtomicBool::new(false),
            claimed: Mutex::default(),
            orphans: Mutex::default(),
            view_changes: AtomicU64::new(0),
            unreadable: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn shard_of(&self, set: SetId, position: Position) -> Option<usize> {
        locked(&self.routes).get(&(set, position)).copied()
    }

    pub(crate) fn route(&self, set: SetId, position: Position, shard: usize) {
        locked(&self.routes).insert((set, position), shard);
    }

    pub(crate) fn view(&self, set: SetId) -> Arc<Installed> {
        locked(&self.views).get(&set).cloned().unwrap_or_default()
    }

    /// Whether the last change of view found too few drives; `None` before the first one.
    pub(crate) fn has_stopped(&self, set: SetId) -> Option<bool> {
        locked(&self.views).get(&set).map(|view| !view.serving)
    }

    pub(crate) fn publish(&self, set: SetId, installed: Installed) {
        self.view_changes.fetch_add(1, Ordering::Relaxed);
        locked(&self.views).insert(set, Arc::new(installed));
    }

    pub(crate) fn buckets(&self) -> Option<Arc<BucketTable>> {
        locked(&self.buckets).clone()
    }

    /// From here on no shard begins a change under the table before.
    pub(crate) fn install_buckets(&self, table: BucketTable) {
        *locked(&self.buckets) = Some(Arc::new(table));
    }

    pub(crate) fn trouble(&self, set: SetId) {
        locked(&self.troubled).insert(set);
    }

    pub(crate) fn take_trouble(&self, set: SetId) -> bool {
        locked(&self.troubled).remove(&set)
    }

    pub(crate) fn report(&self, drive: usize, change: impl FnOnce(&mut DriveReport)) {
        if let Some(report) = locked(&self.reports).get_mut(&drive) {
            change(report);
        }
    }

    pub(crate) fn add_arena(&self, arena: Arc<Arena>) {
        locked(&self.arenas).push(arena);
    }

    pub(crate) fn arena_statistics(&self) -> ArenaStatistics {
        let mut sum = ArenaStatistics::default();
        for arena in locked(&self.arenas).iter() {
            sum += arena.statistics();
        }
        sum
    }

    pub(crate) fn add_report(&self, drive: usize, report: DriveReport) {
        locked(&self.reports).insert(drive, report);
    }

    pub(crate) fn find_drive(&self, wanted: impl Fn(&DriveReport) -> bool) -> Option<usize> {
        let reports = locked(&self.reports);
        reports.iter().find(|(_, report)| wanted(report)).map(|(index, _)| *index)
    }

    /// A body is to be given up, and its shard has no room to be told.
    pub(crate) fn add_orphan(&self, put: PutId) {
        locked(&self.orphans).push(put);
    }

    /// Bodies of a shard that nobody waits for any more.
    pub(crate) fn take_orphans(&self, shard: usize) -> Vec<PutId> {
        locked(&self.orphans).extract_if(.., |put| put.shard == shard).collect()
    }

    pub(crate) fn config(&self, set: SetId) -> Result<SetConfig, SetError> {
        let (_, configs) = self.layout.get().ok_or(SetError::Unavailable)?;
        configs.get(usize::from(set.0)).copied().ok_or(SetError::Unavailable)
    }
}

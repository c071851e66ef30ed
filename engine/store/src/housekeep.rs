//! Housekeeping of one drive: growth, releases, checkpoints, and cleaning where space is short.
//!
//! Invariants: one task does all of it, one thing after the other under `maintenance`, so that a
//! payload is never moved while a checkpoint is taken; it waits for the log only with records that
//! the log takes before all others; space is freed only by durable records.

use crate::error::DriveError;
use crate::space::Space;
use crate::store::Shared;
use engine_env::{Env, Rule};
use engine_format::{DropRecord, IndexKey, Keyspace, Record};
use engine_types::{DataId, SegmentId};
use futures_channel::oneshot;
use futures_util::future::select;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;

/// Releases carried out in one go.
const RELEASES_MAX: usize = 64;
/// How often a full host is asked for space again.
const HOST_RETRY_US: u64 = 1_000_000;

/// A checkpoint for which there was no space is tried again after this.
const CHECKPOINT_RETRY_US: u64 = 50_000;

/// A merge of all runs for the sake of space.
pub(crate) struct FullMerge {
    /// Bytes ever logged by this opening when it ended.
    pub log_bytes: u64,
    pub end_us: u64,
    pub took_us: u64,
}

/// What housekeeping remembers between rounds.
#[derive(Default)]
pub(crate) struct Memory {
    /// When each waiting release was first seen.
    releases: BTreeMap<DataId, u64>,
    /// Releases on their way through the log.
    drops: BTreeMap<DataId, oneshot::Receiver<Result<(), DriveError>>>,
    pub merged: Option<FullMerge>,
    /// Segments (with their generations) that were cleaned and gave nothing; until the next merge
    /// of all runs tells more.
    pub in_vain: BTreeSet<(SegmentId, u64)>,
    host_retry_at_us: u64,
    checkpoint_retry_at_us: u64,
    /// Space is short and nothing could be done about it.
    pub helpless: bool,
}

impl<E: Env> Shared<E> {
    pub(crate) fn needs_housekeeping(&self) -> bool {
        let space = self.space.borrow();
        self.is_checkpoint_due(&space)
            || self.log.borrow().stalled
            || (space.can_grow() && space.is_growth_due())
            || self.is_tight(&space)
    }

    /// Whether the log's past should be let go. A log that lives on the reserve is cut short, so
    /// that a checkpoint is small and comes in time.
    fn is_checkpoint_due(&self, space: &Space) -> bool {
        let (bytes, stalled) = {
            let log = self.log.borrow();
            (log.bytes_since_checkpoint, log.stalled)
        };
        let short = space.free_segments() <= space.reserve();
        self.is_memtable_full()
            || bytes > self.config.log_bytes_between_checkpoints
            || (short && bytes >= space.segment_bytes())
            || (stalled && !space.can_grow() && bytes >= space.segment_bytes() / 2)
    }

    /// Cleaning starts here: data has less than 15 % left above the reserve, or waits for room.
    pub(crate) fn is_tight(&self, space: &Space) -> bool {
        let low = space.reserve() + (space.segment_count() * 3 / 20).max(4);
        space.starving || space.free_segments() < low
    }

    pub(crate) async fn housekeep(self: Rc<Self>) {
        let mut memory = Memory::default();
        while !self.closed.get() && self.failed().is_none() {
            let signal = self.housekeeping_signal();
            let busy = (self.needs_housekeeping() && !memory.helpless) || !memory.drops.is_empty();
            if !busy || self.env.rare("store.housekeep.wait") {
                let sleep = pin!(self.env.sleep_us(self.config.housekeeping_us));
                _ = select(signal, sleep).await;
            }
            if self.closed.get() || self.failed().is_some() {
                break;
            }
            memory.helpless = false;
            if let Err(error) = self.housekeep_once(&mut memory).await {
                self.fail(error);
            }
            // Never spin where there is work but no way to do it.
            self.env.sleep_us(1000).await;
        }
    }

    async fn housekeep_once(self: &Rc<Self>, memory: &mut Memory) -> Result<(), DriveError> {
        let _permit = self.maintenance.take(1).await;
        self.free_retired();
        self.grow_if_low(memory).await;
        self.carry_out_releases(memory).await?;
        let due = self.is_checkpoint_due(&self.space.borrow());
        if due && self.env.now_us() >= memory.checkpoint_retry_at_us {
            let outcome = self.checkpoint(false).await;
            if outcome == Err(DriveError::Full) {
                memory.checkpoint_retry_at_us = self.env.now_us() + CHECKPOINT_RETRY_US;
            }
            unless_full(outcome)?;
        }
        let tight = self.is_tight(&self.space.borrow());
        if tight {
            unless_full(self.make_room(memory).await)?;
        }
        self.kick_log();
        Ok(())
    }

    async fn grow_if_low(&self, memory: &mut Memory) {
        let (low, host_full) = {
            let space = self.space.borrow();
            (space.is_growth_due(), space.host_full())
        };
        let now = self.env.now_us();
        if low && (!host_full || now >= memory.host_retry_at_us) {
            memory.host_retry_at_us = now + HOST_RETRY_US;
            // A full host is a full drive, which allocation reports.
            _ = self.grow(4).await;
        }
    }

    /// Frees fragments that settled writes released. Does not wait for the log.
    async fn carry_out_releases(self: &Rc<Self>, memory: &mut Memory) -> Result<(), DriveError> {
        let mut outcome: Result<(), DriveError> = Ok(());
        memory.drops.retain(|_, reply| match reply.try_recv() {
            Ok(None) => true,
            Ok(Some(dropped)) => {
                outcome = outcome.and(dropped);
                false
            }
            Err(oneshot::Canceled) => {
                outcome = Err(DriveError::Failed);
                false
            }
        });
        outcome?;
        let waiting = self.state.borrow().releases_waiting;
        if waiting == 0 || self.env.breaks(Rule::ReleasesFreed) {
            return Ok(());
        }
        let end = [Keyspace::Releases as u8 + 1];
        let mut page = self.scan(&[Keyspace::Releases as u8], &end, RELEASES_MAX).await?;
        // Releases carried out leave tombstones, and a page of those alone is not the end.
        while let Some(next) = page.next.take_if(|_| page.entries.is_empty()) {
            page = self.scan(&next, &end, RELEASES_MAX).await?;
        }
        let awaited = std::mem::take(&mut self.fragments.borrow_mut().awaited);
        for data in awaited {
            if self.is_release_waiting(data).await? {
                self.carry_out_release(memory, data).await?;
            }
        }
        let now = self.env.now_us();
        let hurry = self.is_tight(&self.space.borrow());
        for (key, _) in &page.entries {
            let Some(data) = IndexKey(key.clone()).data_id() else { continue };
            if memory.drops.contains_key(&data) {
                continue;
            }
            let since = *memory.releases.entry(data).or_insert(now);
            if hurry || now.saturating_sub(since) >= self.config.release_delay_us {
                self.carry_out_release(memory, data).await?;
            }
        }
        if page.entries.is_empty() && page.next.is_none() {
            let mut state = self.state.borrow_mut();
            // Others may have come while the index was read.
            if state.releases_waiting == waiting {
                state.releases_waiting = 0;
                memory.releases.clear();
            }
        }
        Ok(())
    }

    /// Nobody may be about to adopt another fragment of the id: see `wait_released`.
    async fn carry_out_release(
        self: &Rc<Self>,
        memory: &mut Memory,
        data: DataId,
    ) -> Result<(), DriveError> {
        if memory.drops.contains_key(&data) {
            return Ok(());
        }
        let fragment = self.fragment_record(data).await?;
        self.fragments.borrow_mut().forget_map(data);
        memory.releases.remove(&data);
        let dropped = self.append(Record::Drop(DropRecord { data, fragment }));
        memory.drops.insert(data, dropped);
        Ok(())
    }
}

impl<E: Env> Shared<E> {
    /// Whether a fragment of this id is to go.
    pub(crate) async fn is_release_waiting(&self, data: DataId) -> Result<bool, DriveError> {
        let key = IndexKey::local(Keyspace::Releases, data);
        Ok(self.get(&key.0).await?.is_some_and(|entry| entry.value.is_some()))
    }

    /// Waits until a release of this id that is on its way was carried out: it would take what is
    /// written under the id from now on. A drive that catches up may give up what it then has to
    /// hold after all.
    pub(crate) async fn wait_released(&self, data: DataId) -> Result<(), DriveError> {
        while self.is_release_waiting(data).await? && !self.env.breaks(Rule::ReleasesFreed) {
            if let Some(error) = self.failed() {
                return Err(error);
            }
            if self.closed.get() {
                return Err(DriveError::Failed);
            }
            self.fragments.borrow_mut().awaited.insert(data);
            self.env.sleep_us(self.config.housekeeping_us).await;
        }
        Ok(())
    }
}

/// A drive too full for what housekeeping wanted is not a failed drive.
fn unless_full(outcome: Result<(), DriveError>) -> Result<(), DriveError> {
    match outcome {
        Err(DriveError::Full) => Ok(()),
        other => other,
    }
}

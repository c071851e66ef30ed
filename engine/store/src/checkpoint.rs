//! Checkpoints: the memtable becomes a run, levels are merged, the log's past is let go.
//!
//! Invariants: a checkpoint is the state at one place of the log, and replay goes on from there;
//! runs, checkpoint and superblock are durable in this order; what the superblock before this one
//! names stays untouched until the new one is durable; one checkpoint at a time, never while
//! payloads are being moved (`maintenance`); what does not fit is given back and the state is as
//! before; a log that has run out of segments waits for it, so that it is no background work.

use crate::error::DriveError;
use crate::recover::write_superblock;
use crate::runs::{Run, RunWriter, take_run_segment};
use crate::space::Space;
use crate::state::{Memtable, State, is_replicated, log_share};
use crate::store::{Shared, Store};
use crate::work::Work;
use engine_env::{BrokenRules, DmaBuf, Drive, Env, Rule};
use engine_format::{Checkpoint, Entry, LogPosition, RunEntry};
use engine_index::{BlockQueue, Merge, Merged, Tombstones};
use engine_types::SegmentId;
use futures_channel::oneshot;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The state at the place where the memtable was frozen.
struct Frozen {
    table: Rc<Memtable>,
    at: LogPosition,
    bytes_since_checkpoint: u64,
    checkpoint: Checkpoint,
}

/// The runs after a checkpoint, and what it made of the old ones.
struct NewRuns {
    list: Vec<Rc<Run>>,
    made: Vec<Rc<Run>>,
    dead: Dead,
}

/// Bytes of each log segment (with its generation) that were found dead.
type Dead = BTreeMap<(SegmentId, u64), u64>;

impl<E: Env> Store<E> {
    /// Takes a checkpoint now; for clean stops and tests. It goes on if the caller does not wait.
    ///
    /// # Errors
    /// `Full` where no segment is left even in the reserve, or a device error.
    pub async fn checkpoint(&self) -> Result<(), DriveError> {
        let (reply, receiver) = oneshot::channel();
        let shared = Rc::clone(&self.shared);
        self.shared.env.spawn(async move {
            let _permit = shared.maintenance.take(1).await;
            let outcome = match shared.failed() {
                None => shared.checkpoint(false).await,
                Some(error) => Err(error),
            };
            shared.kick_log();
            _ = reply.send(outcome);
        });
        receiver.await.unwrap_or(Err(DriveError::Failed))
    }
}

impl<E: Env> Shared<E> {
    /// Takes a checkpoint; `full` merges all runs, which counts garbage exactly. The caller holds
    /// `maintenance`.
    pub(crate) async fn checkpoint(&self, full: bool) -> Result<(), DriveError> {
        let Some(frozen) = self.freeze() else { return Ok(()) };
        let _working = self.works.begin(Work::Flush);
        match self.checkpoint_frozen(&frozen, full).await {
            Ok(()) => {
                self.counters.checkpoints.set(self.counters.checkpoints.get() + 1);
                Ok(())
            }
            Err(error) => {
                self.thaw(&frozen);
                if !matches!(error, DriveError::Full) {
                    self.fail(error);
                }
                Err(error)
            }
        }
    }

    fn freeze(&self) -> Option<Frozen> {
        let mut state = self.state.borrow_mut();
        if state.frozen.is_some() {
            return None;
        }
        let table = Rc::new(std::mem::take(&mut state.memtable));
        state.frozen_bytes = std::mem::take(&mut state.memtable_bytes);
        state.frozen = Some(Rc::clone(&table));
        let mut log = self.log.borrow_mut();
        let bytes_since_checkpoint = std::mem::take(&mut log.bytes_since_checkpoint);
        let space = self.space.borrow();
        let keeps_pending = !self.env.breaks(Rule::PendingKept);
        let checkpoint = Checkpoint {
            marks: state.marks.values().copied().collect(),
            view: state.view.clone(),
            promised: state.promised,
            peers: state.peers.values().copied().collect(),
            pending: state
                .pending
                .values()
                .filter(|_| keeps_pending)
                .map(|pending| ((*pending.commit).clone(), pending.payload))
                .collect(),
            runs: Vec::new(),
            log: space.log_segments(),
            data: space.snapshot(),
            next_run: 0,
            filling: space.filling.stored(),
        };
        Some(Frozen { table, at: log.applied, bytes_since_checkpoint, checkpoint })
    }

    /// Undoes `freeze`: what was written meanwhile is put on top of what was frozen.
    fn thaw(&self, frozen: &Frozen) {
        let (mut state, mut space) = (self.state.borrow_mut(), self.space.borrow_mut());
        state.thaw(&mut space, &frozen.table);
        self.log.borrow_mut().bytes_since_checkpoint += frozen.bytes_since_checkpoint;
    }

    async fn checkpoint_frozen(&self, frozen: &Frozen, full: bool) -> Result<(), DriveError> {
        self.space.borrow_mut().merging = true;
        let outcome = self.checkpoint_beside_old_runs(frozen, full).await;
        // Old runs may still be read.
        self.space.borrow_mut().merging = !self.runs.borrow().retired.is_empty();
        outcome
    }

    async fn checkpoint_beside_old_runs(
        &self,
        frozen: &Frozen,
        full: bool,
    ) -> Result<(), DriveError> {
        let new = self.new_runs(&frozen.table, full).await?;
        let written = self.write_checkpoint(frozen, &new).await;
        let segment = match written {
            Ok(segment) => segment,
            Err(error) => {
                self.free_runs(&new.made);
                return Err(error);
            }
        };
        self.install(frozen, new, segment);
        Ok(())
    }

    fn free_runs(&self, runs: &[Rc<Run>]) {
        let mut space = self.space.borrow_mut();
        for segment in runs.iter().flat_map(|run| &run.segments) {
            space.free_segment(*segment);
        }
    }

    async fn new_runs(&self, table: &Memtable, full: bool) -> Result<NewRuns, DriveError> {
        let old = self.runs.borrow().list.clone();
        let mut new = NewRuns { list: old, made: Vec::new(), dead: Dead::new() };
        if let Err(error) = self.fill_new_runs(table, full, &mut new).await {
            self.free_runs(&new.made);
            return Err(error);
        }
        Ok(new)
    }

    async fn fill_new_runs(
        &self,
        table: &Memtable,
        full: bool,
        new: &mut NewRuns,
    ) -> Result<(), DriveError> {
        let mut writer = self.run_writer(table.len() as u64);
        let written = self.write_table(&mut writer, table).await;
        if let Some(run) = written.inspect_err(|_| writer.give_back(self))? {
            new.made.push(Rc::clone(&run));
            new.list.insert(0, run);
        }
        while let Some((from, count)) = merge_wanted(&new.list, self.config.runs_per_level, full) {
            let merged = match self.merge_runs(new, from, count).await {
                Ok(merged) => merged,
                // The log's past can be let go without merging.
                Err(DriveError::Full) => return Ok(()),
                Err(error) => return Err(error),
            };
            let replaced: Vec<Rc<Run>> = new.list.drain(from..from + count).collect();
            if let Some(run) = merged {
                new.made.push(Rc::clone(&run));
                new.list.insert(from, run);
            }
            // Runs made only to be merged again are nowhere named.
            let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut new.made)
                .into_iter()
                .partition(|made| replaced.iter().any(|run| Rc::ptr_eq(run, made)));
            new.made = kept;
            self.free_runs(&gone);
        }
        Ok(())
    }

    async fn write_table(
        &self,
        writer: &mut RunWriter,
        table: &Memtable,
    ) -> Result<Option<Rc<Run>>, DriveError> {
        for (key, entry) in table {
            // Tombstones of replicated keys keep their sequence.
            let is_kept = entry.value.is_some() || is_replicated(key);
            let value = is_kept.then(|| entry.encode());
            writer.push(self, key, value.as_deref()).await?;
        }
        writer.finish(self, 0).await
    }

    fn run_writer(&self, expected_entries: u64) -> RunWriter {
        let mut runs = self.runs.borrow_mut();
        let id = runs.next_run;
        runs.next_run += 1;
        RunWriter::new(id, expected_entries, self.space.borrow().segment_bytes())
    }

    async fn merge_runs(
        &self,
        new: &mut NewRuns,
        from: usize,
        count: usize,
    ) -> Result<Option<Rc<Run>>, DriveError> {
        let _working = self.works.begin(Work::Compaction);
        let group: Vec<Rc<Run>> = new.list[from..from + count].to_vec();
        let is_last = from + count == new.list.len();
        let expected = group.iter().map(|run| run.summary.entry_count).sum();
        let level = group.iter().map(|run| run.summary.level).max().unwrap_or(0) + 1;
        let mut dead = Dead::new();
        let mut writer = self.run_writer(expected);
        let merged = async {
            self.merge_into(&mut writer, &group, is_last, &mut dead).await?;
            writer.finish(self, level.min(63)).await
        };
        let run = merged.await.inspect_err(|_| writer.give_back(self))?;
        for (segment, bytes) in dead {
            *new.dead.entry(segment).or_default() += bytes;
        }
        Ok(run)
    }

    async fn merge_into(
        &self,
        writer: &mut RunWriter,
        group: &[Rc<Run>],
        is_last: bool,
        dead: &mut Dead,
    ) -> Result<(), DriveError> {
        let tombstones = if is_last { Tombstones::Drop } else { Tombstones::Keep };
        let hides_nothing = is_last || self.env.breaks(Rule::TombstonesKept);
        let mut next: Vec<u32> = vec![0; group.len()];
        let queues = group.iter().map(|_| BlockQueue::new()).collect();
        let mut merge = Merge::new(queues, tombstones);
        loop {
            let starved = match merge.step(&mut |key, value| note_dead(dead, key, value)) {
                Merged::End => return Ok(()),
                Merged::Starved(index) => index,
                Merged::Entry(_, Some(value)) if hides_nothing && is_tombstone(value) => continue,
                Merged::Entry(key, value) => {
                    writer.push(self, key, value).await?;
                    continue;
                }
            };
            let run = &group[starved];
            let block = match run.index.block(next[starved]) {
                Some(location) => Some(self.run_block(run, &location).await?),
                None => None,
            };
            next[starved] += 1;
            merge.refill(starved, |queue| match block {
                Some(block) => queue.push(block),
                None => queue.end(),
            });
        }
    }

    async fn write_checkpoint(
        &self,
        frozen: &Frozen,
        new: &NewRuns,
    ) -> Result<SegmentId, DriveError> {
        let mut checkpoint = frozen.checkpoint.clone();
        checkpoint.next_run = self.runs.borrow().next_run;
        for run in &new.list {
            let summary = run.summary.encode().to_vec();
            checkpoint.runs.push(RunEntry { summary, segments: run.segments.clone() });
        }
        for log in &mut checkpoint.log {
            let dead_bytes = new.dead.get(&(log.segment, log.generation)).copied().unwrap_or(0);
            log.live_bytes = log.live_bytes.saturating_sub(dead_bytes);
        }
        let (bytes, sum) = checkpoint.encode();
        let segment_bytes = self.space.borrow().segment_bytes();
        if bytes.len() as u64 > segment_bytes {
            return Err(DriveError::Full);
        }
        let segment = take_run_segment(self).await?;
        let offset = u64::from(segment.0) * segment_bytes;
        self.write_pieces(offset, DmaBuf::copy_of(&bytes)).await?;
        self.drive.flush().await?;
        let _permit = self.superblock_gate.take(1).await;
        let mut superblock = self.superblock.borrow().clone();
        superblock.generation += 1;
        superblock.log_start = frozen.at;
        superblock.log_tail = frozen.at.segment;
        superblock.checkpoint = segment;
        superblock.checkpoint_bytes = bytes.len() as u64;
        superblock.checkpoint_sum = sum;
        write_superblock(&self.drive, &superblock, BrokenRules::of(&self.env)).await?;
        // What is not durable is not believed.
        *self.superblock.borrow_mut() = superblock;
        Ok(segment)
    }

    fn install(&self, frozen: &Frozen, new: NewRuns, segment: SegmentId) {
        {
            let mut runs = self.runs.borrow_mut();
            let old = std::mem::replace(&mut runs.list, new.list);
            let kept = runs.list.clone();
            let gone =
                old.into_iter().filter(|run| !kept.iter().any(|other| Rc::ptr_eq(run, other)));
            runs.retired.extend(gone);
            let mut space = self.space.borrow_mut();
            if let Some(before) = runs.checkpoint_segment.replace(segment) {
                space.free_segment(before);
            }
            for ((segment, generation), bytes) in &new.dead {
                space.sub_live(*segment, *generation, *bytes);
            }
            let mut state = self.state.borrow_mut();
            (state.frozen, state.frozen_bytes) = (None, 0);
        }
        self.free_retired();
        free_dead_log(&self.state.borrow(), &mut self.space.borrow_mut(), &frozen.at);
    }
}

/// Frees log segments before the durable checkpoint, taken at `start`, that hold nothing live or
/// pending.
pub(crate) fn free_dead_log(state: &State, space: &mut Space, start: &LogPosition) {
    let pinned: BTreeSet<SegmentId> =
        state.pending.values().filter_map(|pending| Some(pending.payload?.segment)).collect();
    for log in space.log_before(start.batch_sequence) {
        if log.live_bytes == 0 && !pinned.contains(&log.segment) && log.segment != start.segment {
            space.free_segment(log.segment);
        }
    }
}

fn is_tombstone(value: &[u8]) -> bool {
    Entry::decode(value).is_ok_and(|entry| entry.value.is_none())
}

fn note_dead(dead: &mut Dead, key: &[u8], value: Option<&[u8]>) {
    let entry = value.and_then(|value| Entry::decode(value).ok());
    if let Some((location, bytes)) = entry.and_then(|entry| log_share(key, &entry)) {
        *dead.entry((location.segment, location.generation)).or_default() += bytes;
    }
}

/// Which runs to merge next: one whose tail is rotten, all of a level that has too many, or
/// everything.
fn merge_wanted(list: &[Rc<Run>], runs_per_level: usize, full: bool) -> Option<(usize, usize)> {
    if let Some(rotten) = list.iter().position(|run| run.tail_is_rotten.get()) {
        return Some((rotten, 1));
    }
    if full {
        return (list.len() > 1).then_some((0, list.len()));
    }
    let mut from = 0;
    while from < list.len() {
        let level = list[from].summary.level;
        let count = list[from..].iter().take_while(|run| run.summary.level == level).count();
        if count >= runs_per_level {
            return Some((from, count));
        }
        from += count;
    }
    None
}

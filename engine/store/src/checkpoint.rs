//! Checkpoints: the memtable becomes a run, levels are merged, the log's past is let go.
//!
//! Invariants: a checkpoint is the state at one place of the log, and replay goes on from there;
//! runs, checkpoint and superblock are durable in this order; what the superblock before this one
//! names stays untouched until the new one is durable; one checkpoint at a time, in the
//! housekeeping task, never while payloads are being moved.

use crate::error::DriveError;
use crate::recover::write_superblock;
use crate::runs::{Run, RunWriter, take_run_segment};
use crate::state::Memtable;
use crate::store::{Shared, Store};
use engine_env::{DmaBuf, Drive, Env};
use engine_format::{Checkpoint, Entry, LogPosition, LogSegment, PayloadLocation, RunEntry};
use engine_index::{BlockQueue, Merge, Merged, Tombstones};
use engine_types::SegmentId;
use std::rc::Rc;

/// The state at the place where the memtable was frozen.
struct Frozen {
    table: Rc<Memtable>,
    at: LogPosition,
    checkpoint: Checkpoint,
}

/// The runs after a checkpoint, and what it made of the old ones.
struct NewRuns {
    list: Vec<Rc<Run>>,
    made: Vec<Rc<Run>>,
    dead: Vec<PayloadLocation>,
}

impl<E: Env> Store<E> {
    /// Takes a checkpoint now; for clean stops and tests.
    ///
    /// # Errors
    /// `Full` where no segment is left even in the reserve, or a device error.
    pub async fn checkpoint(&self) -> Result<(), DriveError> {
        self.shared.checkpoint(false).await
    }
}

impl<E: Env> Shared<E> {
    /// Takes a checkpoint; `full` merges all runs, which counts garbage exactly.
    pub(crate) async fn checkpoint(&self, full: bool) -> Result<(), DriveError> {
        let Some(frozen) = self.freeze() else { return Ok(()) };
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
        state.memtable_bytes = 0;
        state.frozen = Some(Rc::clone(&table));
        let mut log = self.log.borrow_mut();
        log.bytes_since_checkpoint = 0;
        let space = self.space.borrow();
        let checkpoint = Checkpoint {
            marks: state.marks.values().copied().collect(),
            view: state.view.clone(),
            promised: state.promised,
            peers: state.peers.values().copied().collect(),
            pending: state
                .pending
                .values()
                .map(|pending| ((*pending.commit).clone(), pending.payload))
                .collect(),
            runs: Vec::new(),
            log: space.log_segments(),
            data: space.snapshot(),
            next_run: 0,
        };
        Some(Frozen { table, at: log.applied, checkpoint })
    }

    /// Undoes `freeze`: what was written meanwhile is newer than what was frozen.
    fn thaw(&self, frozen: &Frozen) {
        let mut state = self.state.borrow_mut();
        state.frozen = None;
        for (key, entry) in frozen.table.iter() {
            state.memtable.entry(key.clone()).or_insert_with(|| entry.clone());
        }
    }

    async fn checkpoint_frozen(&self, frozen: &Frozen, full: bool) -> Result<(), DriveError> {
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
        let mut new = NewRuns { list: old, made: Vec::new(), dead: Vec::new() };
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
        for (key, entry) in table {
            let value = entry.value.is_some().then(|| entry.encode());
            writer.push(self, key, value.as_deref()).await?;
        }
        if let Some(run) = writer.finish(self, 0).await? {
            new.made.push(Rc::clone(&run));
            new.list.insert(0, run);
        }
        while let Some((from, count)) = merge_wanted(&new.list, self.config.runs_per_level, full) {
            let merged = self.merge_runs(new, from, count).await?;
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
        let group: Vec<Rc<Run>> = new.list[from..from + count].to_vec();
        let is_last = from + count == new.list.len();
        let tombstones = if is_last { Tombstones::Drop } else { Tombstones::Keep };
        let expected = group.iter().map(|run| run.summary.entry_count).sum();
        let level = group.iter().map(|run| run.summary.level).max().unwrap_or(0) + 1;
        let mut writer = self.run_writer(expected);
        let mut next: Vec<u32> = vec![0; count];
        let queues = group.iter().map(|_| BlockQueue::new()).collect();
        let mut merge = Merge::new(queues, tombstones);
        loop {
            let dead = &mut new.dead;
            let starved = match merge.step(&mut |_, value| note_dead(dead, value)) {
                Merged::End => break,
                Merged::Starved(index) => index,
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
        writer.finish(self, level.min(63)).await
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
        for dead in &new.dead {
            subtract(&mut checkpoint.log, dead);
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
        let superblock = {
            let mut superblock = self.superblock.borrow_mut();
            superblock.generation += 1;
            superblock.log_start = frozen.at;
            superblock.log_tail = frozen.at.segment;
            superblock.checkpoint = segment;
            superblock.checkpoint_bytes = bytes.len() as u64;
            superblock.checkpoint_sum = sum;
            superblock.clone()
        };
        write_superblock(&self.drive, &superblock).await?;
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
            for dead in &new.dead {
                space.sub_live(dead.segment, dead.generation, dead.bytes.into());
            }
            self.state.borrow_mut().frozen = None;
        }
        self.free_retired();
        self.free_dead_log(frozen.at.batch_sequence, frozen.at.segment);
    }

    /// Frees log segments before the durable checkpoint that hold nothing live or pending.
    pub(crate) fn free_dead_log(&self, start: u64, current: SegmentId) {
        let state = self.state.borrow();
        let mut space = self.space.borrow_mut();
        for log in space.log_before(start) {
            let is_pinned = state
                .pending
                .values()
                .any(|pending| pending.payload.is_some_and(|p| p.segment == log.segment));
            if log.live_bytes == 0 && !is_pinned && log.segment != current {
                space.free_segment(log.segment);
            }
        }
    }
}

fn note_dead(dead: &mut Vec<PayloadLocation>, value: Option<&[u8]>) {
    let entry = value.and_then(|value| Entry::decode(value).ok());
    dead.extend(entry.and_then(|entry| entry.payload));
}

fn subtract(log: &mut [LogSegment], dead: &PayloadLocation) {
    let same = |log: &&mut LogSegment| {
        log.segment == dead.segment && log.generation == dead.generation
    };
    if let Some(log) = log.iter_mut().find(same) {
        log.live_bytes = log.live_bytes.saturating_sub(dead.bytes.into());
    }
}

/// Which runs to merge next: all of a level that has too many, or everything.
fn merge_wanted(list: &[Rc<Run>], runs_per_level: usize, full: bool) -> Option<(usize, usize)> {
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

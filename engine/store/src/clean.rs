//! Cleaning: segments that hold little are emptied and freed.
//!
//! Invariants: under `maintenance`, so never while a checkpoint is taken; only segments before the
//! durable start of the log, which replay does not need; a move is void if the key was written
//! again meanwhile; a segment is freed only once all that refers to it was moved durably; it is no
//! background work of the drive, for it begins only where room is short, and writes wait for it.

use crate::checkpoint::free_dead_log;
use crate::error::DriveError;
use crate::housekeep::{FullMerge, Memory};
use crate::log::record_bytes;
use crate::replay::bytes_on_drive;
use crate::space::APPEND_GENERATION;
use crate::store::Shared;
use crate::work::Work;
use engine_env::{BLOCK_BYTES, DmaBuf, Env, IoClass, IoError};
use engine_format::{
    BatchHeader, Commit, FragmentRecord, Keyspace, LogPosition, LogSegment, Move, PayloadLocation,
    Record, Relocate, SegmentHeader,
};
use engine_types::SegmentId;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::rc::Rc;

/// All runs are merged again at the earliest after this many times the last merge took,
const MERGE_PAUSE: u64 = 100;
/// while data waits for room after this many,
const MERGE_PAUSE_STARVING: u64 = 4;
/// and not before this.
const MERGE_PAUSE_US: u64 = 100_000;

/// Moves that go into one batch.
#[derive(Default)]
struct Moves {
    records: Vec<Record>,
    bytes: usize,
}

impl Moves {
    fn push(&mut self, record: Record) {
        self.bytes += record_bytes(&record);
        self.records.push(record);
    }
}

impl<E: Env> Shared<E> {
    /// Cleans the segments that give most, or finds out what is garbage.
    pub(crate) async fn make_room(self: &Rc<Self>, memory: &mut Memory) -> Result<(), DriveError> {
        let start = self.superblock.borrow().log_start;
        free_dead_log(&self.state.borrow(), &mut self.space.borrow_mut(), &start);
        if !self.is_tight(&self.space.borrow()) {
            return Ok(());
        }
        // The moves of a segment need one of the log at most, and must not wait for it.
        let may_move = self.space.borrow().log_may_take(true);
        let log = self.log_victim(&start, memory).filter(|_| may_move);
        if let Some(victim) = log {
            let _working = self.works.begin(Work::Cleaning);
            self.cleaning.set(true);
            let outcome = self.clean_log(victim, memory).await;
            self.cleaning.set(false);
            return outcome;
        }
        let may_relocate = may_move && !self.log.borrow().stalled;
        let append = self.space.borrow().append_victims(self.live_bytes_max(), &memory.in_vain);
        if may_relocate && !append.is_empty() {
            let _working = self.works.begin(Work::Cleaning);
            self.cleaning.set(true);
            let outcome = self.clean_append(append, memory).await;
            self.cleaning.set(false);
            return outcome;
        }
        if self.is_merge_due(memory) {
            return self.merge_all(memory).await;
        }
        memory.helpless = true;
        self.space.borrow_mut().starving = false;
        Ok(())
    }

    /// The most a segment may hold that is still worth cleaning: while data waits for room, nearly
    /// all of it, less what batches take beside the moves.
    fn live_bytes_max(&self) -> u64 {
        let space = self.space.borrow();
        let part = space.segment_bytes() / 16;
        if space.starving { part * 15 } else { part * 12 }
    }

    /// Whether a merge of all runs may find garbage that is worth it.
    fn is_merge_due(&self, memory: &Memory) -> bool {
        let Some(merged) = &memory.merged else { return true };
        if !self.space.borrow().unmerged {
            return false;
        }
        let (logged, stalled) = {
            let log = self.log.borrow();
            (log.bytes - merged.log_bytes, log.stalled)
        };
        let drive_bytes = {
            let space = self.space.borrow();
            u64::from(space.segment_count()) * space.segment_bytes()
        };
        // A small drive fills with little log.
        let worth = (self.config.log_bytes_between_checkpoints / 8).min(drive_bytes / 64);
        let starving = self.space.borrow().starving;
        let times = if starving { MERGE_PAUSE_STARVING } else { MERGE_PAUSE };
        let pause = (merged.took_us * times).max(MERGE_PAUSE_US);
        let rested = self.env.now_us() >= merged.end_us + pause;
        logged >= worth || (rested && (logged > 0 || stalled))
    }

    async fn merge_all(self: &Rc<Self>, memory: &mut Memory) -> Result<(), DriveError> {
        let begin_us = self.env.now_us();
        let log_bytes = self.log.borrow().bytes;
        self.space.borrow_mut().unmerged = false;
        let outcome = self.checkpoint(true).await;
        let end_us = self.env.now_us();
        memory.merged = Some(FullMerge { log_bytes, end_us, took_us: end_us - begin_us });
        if outcome.is_ok() && self.runs.borrow().len() <= 1 {
            // What is live is known exactly now.
            memory.in_vain.clear();
        } else {
            self.space.borrow_mut().unmerged = true;
        }
        outcome
    }

    fn log_victim(&self, start: &LogPosition, memory: &Memory) -> Option<LogSegment> {
        let in_use = self.log.borrow().current();
        let live_bytes_max = self.live_bytes_max();
        let space = self.space.borrow();
        space
            .log_before(start.batch_sequence)
            .into_iter()
            .filter(|log| log.segment != start.segment && log.segment != in_use)
            .filter(|log| log.live_bytes <= live_bytes_max)
            .filter(|log| !memory.in_vain.contains(&(log.segment, log.generation)))
            .filter(|log| !space.is_quarantined(log.segment) && !self.is_pinned(log.segment))
            .min_by_key(|log| (log.live_bytes, log.segment))
    }

    fn is_pinned(&self, segment: SegmentId) -> bool {
        let state = self.state.borrow();
        state.pending.values().any(|pending| pending.payload.is_some_and(|p| p.segment == segment))
    }

    /// Copies the live payloads of a log segment to the head of the log and frees it.
    async fn clean_log(
        self: &Rc<Self>,
        victim: LogSegment,
        memory: &mut Memory,
    ) -> Result<(), DriveError> {
        let identity = (victim.segment, victim.generation);
        match self.move_all(&victim).await {
            Ok(true) => {
                // Shadowed entries of the runs may still name it; readers never come to those.
                self.space.borrow_mut().free_log(victim.segment, victim.generation);
                self.counters.cleaned.set(self.counters.cleaned.get() + 1);
            }
            // Another segment may be readable.
            Ok(false) | Err(DriveError::Io(IoError::Failed(_))) => {
                memory.in_vain.insert(identity);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Moves what is live in a log segment, batch by batch. `false` where not all batches that
    /// were ever written there can be read.
    async fn move_all(self: &Rc<Self>, victim: &LogSegment) -> Result<bool, DriveError> {
        let segment_bytes = self.space.borrow().segment_bytes();
        let mut at = SegmentHeader::BYTES as u64;
        let mut last_batch = 0;
        let mut moves = Moves::default();
        while let Some((header, bytes)) = self.batch_of(victim, at, segment_bytes).await? {
            let payload = &bytes[BatchHeader::BYTES..][..header.payload_bytes as usize];
            let Ok(records) = Record::decode_all(payload, header.record_count as usize) else {
                break;
            };
            let base = at + BatchHeader::BYTES as u64;
            for (record, offset) in records {
                let location =
                    crate::log::locate(&record, victim.segment, victim.generation, base, offset);
                let Some(location) = location else { continue };
                for moved in self.moves_of(&record, location).await? {
                    moves.push(Record::Move(moved));
                    // Whole batches: a batch for each move would fill the log with padding.
                    if moves.bytes >= self.config.batch_bytes_max
                        || moves.records.len() >= self.config.batch_records_max
                    {
                        self.carry_out(&mut moves).await?;
                    }
                }
            }
            last_batch = header.sequence;
            at += bytes.len() as u64;
        }
        self.carry_out(&mut moves).await?;
        Ok(last_batch >= victim.last_batch)
    }

    /// Logs moves.
    async fn carry_out(self: &Rc<Self>, moves: &mut Moves) -> Result<(), DriveError> {
        moves.bytes = 0;
        let receivers: Vec<_> = moves.records.drain(..).map(|moved| self.append(moved)).collect();
        for moved in join_all(receivers).await {
            moved.unwrap_or(Err(DriveError::Failed))?;
        }
        Ok(())
    }

    /// The batch at an offset of a log segment, with its padding.
    async fn batch_of(
        &self,
        victim: &LogSegment,
        at: u64,
        segment_bytes: u64,
    ) -> Result<Option<(BatchHeader, DmaBuf)>, DriveError> {
        if at + BLOCK_BYTES as u64 > segment_bytes {
            return Ok(None);
        }
        let offset = self.segment_offset(victim.segment) + at;
        let head = self.read_at(offset, BLOCK_BYTES).await?;
        let Ok(header) = BatchHeader::peek(&head) else { return Ok(None) };
        let len = bytes_on_drive(&header);
        let is_other = header.generation != victim.generation || header.segment != victim.segment;
        if is_other || at + len as u64 > segment_bytes {
            return Ok(None);
        }
        let bytes = if len == BLOCK_BYTES { head } else { self.read_at(offset, len).await? };
        Ok(BatchHeader::open(&bytes).is_ok().then_some((header, bytes)))
    }

    /// The moves a record of a cleaned segment needs: of the entries that still point to it.
    async fn moves_of(
        &self,
        record: &Record,
        location: PayloadLocation,
    ) -> Result<Vec<Move>, DriveError> {
        let (keys, payload) = match record {
            Record::Commit(commit) => (self.payload_keys(commit), commit.payload.clone()),
            Record::Move(moved) => (vec![moved.key.clone()], moved.payload.clone()),
            _ => return Ok(Vec::new()),
        };
        let mut moves = Vec::new();
        for key in keys {
            let settled = self.settled_entry(&key).await?;
            let Some(entry) = settled.filter(|entry| entry.payload == Some(location)) else {
                continue;
            };
            let Some(value) = entry.value else { continue };
            moves.push(Move { key, sequence: entry.sequence, value, payload: payload.clone() });
        }
        Ok(moves)
    }

    /// The entry of a key as the log's fold has it, without what is only visible in memory.
    pub(crate) async fn settled_entry(
        &self,
        key: &[u8],
    ) -> Result<Option<engine_format::Entry>, DriveError> {
        let in_memory = self.state.borrow().settled_in_memory(key);
        if in_memory.is_some() {
            return Ok(in_memory);
        }
        let runs = self.runs.borrow().list.clone();
        self.get_in_runs(&runs, key).await
    }

    fn payload_keys(&self, commit: &Commit) -> Vec<Vec<u8>> {
        let state = self.state.borrow();
        let keys = state.keys_of(commit).into_iter();
        keys.filter(|(_, mutation)| mutation.has_payload).map(|(key, _)| key).collect()
    }

    /// Copies the fragments of append segments elsewhere.
    async fn clean_append(
        self: &Rc<Self>,
        victims: BTreeSet<SegmentId>,
        memory: &mut Memory,
    ) -> Result<(), DriveError> {
        match self.relocate_all(&victims).await {
            // The log must be cut short first.
            Ok(false) => return Ok(()),
            // What is copied takes of the reserve: there is room for it, or the drive is full.
            Ok(true) | Err(DriveError::Full | DriveError::Io(IoError::Failed(_))) => {}
            Err(error) => return Err(error),
        }
        for victim in victims {
            if self.space.borrow().is_append(victim) {
                memory.in_vain.insert((victim, APPEND_GENERATION));
            } else {
                self.counters.cleaned.set(self.counters.cleaned.get() + 1);
            }
        }
        Ok(())
    }

    /// `false` where the log has too little room to go on.
    async fn relocate_all(
        self: &Rc<Self>,
        victims: &BTreeSet<SegmentId>,
    ) -> Result<bool, DriveError> {
        let mut start = vec![Keyspace::Fragments as u8];
        let end = [Keyspace::Fragments as u8 + 1];
        loop {
            let page = self.scan(&start, &end, 256).await?;
            for (_, entry) in &page.entries {
                let Some(value) = &entry.value else { continue };
                let record = FragmentRecord::from_value(value)?;
                // A victim that is empty by now may be somebody else's already.
                let is_in_victims = record.append
                    && record.extents.iter().any(|extent| victims.contains(&extent.segment));
                if is_in_victims {
                    if !self.space.borrow().log_may_take(true) {
                        return Ok(false);
                    }
                    self.relocate(record).await?;
                }
            }
            match page.next {
                Some(next) => start = next,
                None => return Ok(true),
            }
        }
    }

    async fn relocate(self: &Rc<Self>, old: FragmentRecord) -> Result<(), DriveError> {
        let units: u64 = old.extents.iter().map(engine_format::Extent::bytes).sum();
        let bytes = self.read_linear(IoClass::Foreground, &old, 0, units).await?;
        let (data, fragment_bytes) = (old.data, old.fragment_bytes());
        let reserved = self
            .with_growth(|space| {
                if space.is_reserved(data) {
                    return Ok(None);
                }
                space.reserve_fragment(data, fragment_bytes, true).map(Some)
            })
            .await?;
        // Written anew right now: what it holds is none of ours.
        let Some((append, extents)) = reserved else { return Ok(()) };
        let new = FragmentRecord { append, extents, ..old.clone() };
        if let Err(error) = self.write_linear(&new, bytes).await {
            // A failed write, and no space of it may be used again before the drive is opened.
            self.fail(error);
            return Err(error);
        }
        let done = self.append(Record::Relocate(Relocate { new, old: Some(old) }));
        done.await.unwrap_or(Err(DriveError::Failed))?;
        self.fragments.borrow_mut().forget_map(data);
        Ok(())
    }
}

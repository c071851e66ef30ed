//! Housekeeping of one drive: growth, releases, checkpoints, cleaning.
//!
//! Invariants: one task does all of it, one thing after the other, so that a payload is never
//! moved while a checkpoint is taken; a move is void if the key was written again meanwhile;
//! space is freed only by durable records.

use crate::error::DriveError;
use crate::store::Shared;
use engine_env::{BLOCK_BYTES, Drive, Env};
use engine_format::{
    BatchHeader, Commit, DropRecord, FragmentRecord, Keyspace, LogSegment, Move, PayloadLocation,
    Record, Relocate, SegmentHeader,
};
use engine_types::{DataId, SegmentId};
use futures_util::future::{Either, join_all, select};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

/// Releases carried out in one go.
const RELEASES_MAX: usize = 64;

/// What housekeeping remembers between rounds.
#[derive(Default)]
struct Memory {
    /// When each waiting release was first seen.
    releases: BTreeMap<DataId, u64>,
    /// Log records applied when all runs were last merged for the sake of space.
    merged_at: u64,
}

impl<E: Env> Shared<E> {
    pub(crate) fn needs_housekeeping(&self) -> bool {
        let state = self.state.borrow();
        let space = self.space.borrow();
        let growth = space.prepared_free() < 4 && space.prepared() < space.segment_count();
        state.memtable_bytes > self.config.memtable_bytes
            || self.log.borrow().bytes_since_checkpoint > self.config.log_bytes_between_checkpoints
            || growth
            || self.is_tight(&space)
    }

    /// Cleaning starts here: data has less than 15 % left above the reserve.
    fn is_tight(&self, space: &crate::space::Space) -> bool {
        let low = space.reserve() + (space.segment_count() * 3 / 20).max(4);
        space.free_segments() < low
    }

    pub(crate) async fn housekeep(self: Rc<Self>) {
        let mut memory = Memory::default();
        while !self.closed.get() && self.failed().is_none() {
            let signal = self.housekeeping_signal();
            if !self.needs_housekeeping() || self.env.rare("store.housekeep.wait") {
                let sleep = pin!(self.env.sleep_us(self.config.housekeeping_us));
                match select(signal, sleep).await {
                    Either::Left(_) | Either::Right(_) => {}
                }
            }
            if self.closed.get() || self.failed().is_some() {
                break;
            }
            if let Err(error) = self.housekeep_once(&mut memory).await
                && !matches!(error, DriveError::Full)
            {
                self.fail(error);
            }
            // Never spin where there is work but no way to do it.
            self.env.sleep_us(1000).await;
        }
    }

    async fn housekeep_once(self: &Rc<Self>, memory: &mut Memory) -> Result<(), DriveError> {
        self.free_retired();
        self.grow_if_low().await;
        self.carry_out_releases(memory).await?;
        let wanted = self.state.borrow().memtable_bytes > self.config.memtable_bytes
            || self.log.borrow().bytes_since_checkpoint > self.config.log_bytes_between_checkpoints;
        if wanted {
            self.checkpoint(false).await?;
        }
        let tight = self.is_tight(&self.space.borrow());
        if tight {
            self.make_room(memory).await?;
        }
        Ok(())
    }

    async fn grow_if_low(&self) {
        let low = {
            let space = self.space.borrow();
            space.prepared_free() < 6 && space.prepared() < space.segment_count()
        };
        if low {
            // A full host is a full drive, which allocation reports.
            _ = self.grow(4).await;
        }
    }

    /// Frees fragments that settled writes released.
    async fn carry_out_releases(
        self: &Rc<Self>,
        memory: &mut Memory,
    ) -> Result<(), DriveError> {
        if self.state.borrow().releases_waiting == 0 {
            return Ok(());
        }
        let (start, end) = ([Keyspace::Releases as u8], [Keyspace::Releases as u8 + 1]);
        let page = self.scan(&start, &end, RELEASES_MAX).await?;
        let now = self.env.now_us();
        let hurry = self.is_tight(&self.space.borrow());
        let mut drops = Vec::new();
        for (key, _) in &page.entries {
            let Some(data) = engine_format::IndexKey(key.clone()).data_id() else { continue };
            let since = *memory.releases.entry(data).or_insert(now);
            if hurry || now.saturating_sub(since) >= self.config.release_delay_us {
                let fragment = self.fragment_record(data).await?;
                self.fragments.borrow_mut().forget_map(data);
                memory.releases.remove(&data);
                drops.push(self.append(Record::Drop(DropRecord { data, fragment })));
            }
        }
        if page.entries.is_empty() && page.next.is_none() {
            self.state.borrow_mut().releases_waiting = 0;
            memory.releases.clear();
        }
        for dropped in join_all(drops).await {
            dropped.unwrap_or(Err(DriveError::Failed))?;
        }
        Ok(())
    }

    /// Cleans the segment that gives most, or finds out what is garbage.
    async fn make_room(self: &Rc<Self>, memory: &mut Memory) -> Result<(), DriveError> {
        let start = self.superblock.borrow().log_start;
        self.free_dead_log(start.batch_sequence, start.segment);
        if !self.is_tight(&self.space.borrow()) {
            return Ok(());
        }
        let segment_bytes = self.space.borrow().segment_bytes();
        let log = self.log_victim(start.batch_sequence, start.segment, segment_bytes * 3 / 4);
        if let Some(victim) = log {
            self.clean_log(victim).await?;
            self.free_dead_log(start.batch_sequence, start.segment);
            return Ok(());
        }
        if let Some(victim) = self.space.borrow().append_victim() {
            return self.clean_append(victim).await;
        }
        let records = self.log.borrow().records;
        if memory.merged_at != records {
            memory.merged_at = records;
            self.checkpoint(true).await?;
            memory.merged_at = self.log.borrow().records;
        }
        Ok(())
    }

    fn log_victim(
        &self,
        start: u64,
        current: SegmentId,
        live_bytes_max: u64,
    ) -> Option<LogSegment> {
        let in_use = self.log.borrow().current();
        let candidates = self.space.borrow().log_before(start);
        candidates
            .into_iter()
            .filter(|log| log.segment != current && log.segment != in_use)
            .filter(|log| log.live_bytes <= live_bytes_max)
            .filter(|log| !self.is_pinned(log.segment))
            .min_by_key(|log| (log.live_bytes, log.segment))
    }

    fn is_pinned(&self, segment: SegmentId) -> bool {
        let state = self.state.borrow();
        state.pending.values().any(|pending| pending.payload.is_some_and(|p| p.segment == segment))
    }

    /// Copies the live payloads of a log segment to the head of the log.
    async fn clean_log(self: &Rc<Self>, victim: LogSegment) -> Result<(), DriveError> {
        let segment_bytes = usize::try_from(self.space.borrow().segment_bytes()).unwrap_or(0);
        let bytes = self.read_at(self.segment_offset(victim.segment), segment_bytes).await?;
        let mut at = SegmentHeader::BYTES;
        let mut moves = Vec::new();
        while at + BatchHeader::BYTES <= bytes.len() {
            let Ok((header, payload, _)) = BatchHeader::open(&bytes[at..]) else { break };
            if header.generation != victim.generation || header.segment != victim.segment {
                break;
            }
            let base = (at + BatchHeader::BYTES) as u64;
            for (record, offset) in Record::decode_all(payload, header.record_count as usize)? {
                let location =
                    crate::log::locate(&record, victim.segment, victim.generation, base, offset);
                let Some(location) = location else { continue };
                moves.extend(self.moves_of(&record, location).await?);
            }
            at += (BatchHeader::BYTES + payload.len()).next_multiple_of(BLOCK_BYTES);
        }
        let receivers: Vec<_> =
            moves.into_iter().map(|moved| self.append(Record::Move(moved))).collect();
        for moved in join_all(receivers).await {
            moved.unwrap_or(Err(DriveError::Failed))?;
        }
        self.counters.cleaned.set(self.counters.cleaned.get() + 1);
        Ok(())
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
            let from = (location.segment, location.generation);
            let payload = payload.clone();
            moves.push(Move { key, sequence: entry.sequence, value, from, payload });
        }
        Ok(moves)
    }

    /// The entry of a key as the log's fold has it, without what is only visible in memory.
    async fn settled_entry(
        &self,
        key: &[u8],
    ) -> Result<Option<engine_format::Entry>, DriveError> {
        if let Some(entry) = self.state.borrow().memtable.get(key).cloned() {
            return Ok(Some(entry));
        }
        let runs = self.runs.borrow().list.clone();
        self.get_in_runs(&runs, key).await
    }

    fn payload_keys(&self, commit: &Commit) -> Vec<Vec<u8>> {
        let state = self.state.borrow();
        let keys = state.keys_of(commit).into_iter();
        keys.filter(|(_, mutation)| mutation.has_payload).map(|(key, _)| key).collect()
    }

    /// Copies the fragments of an append segment elsewhere.
    async fn clean_append(self: &Rc<Self>, victim: SegmentId) -> Result<(), DriveError> {
        let mut start = vec![Keyspace::Fragments as u8];
        let end = [Keyspace::Fragments as u8 + 1];
        loop {
            let page = self.scan(&start, &end, 256).await?;
            for (_, entry) in &page.entries {
                let Some(value) = &entry.value else { continue };
                let record = FragmentRecord::from_value(value)?;
                if record.extents.iter().any(|extent| extent.segment == victim) {
                    self.relocate(record).await?;
                }
            }
            match page.next {
                Some(next) => start = next,
                None => break,
            }
        }
        self.counters.cleaned.set(self.counters.cleaned.get() + 1);
        Ok(())
    }

    async fn relocate(self: &Rc<Self>, old: FragmentRecord) -> Result<(), DriveError> {
        let units: u64 = old.extents.iter().map(engine_format::Extent::bytes).sum();
        let bytes = self.read_linear(&old, 0, units).await?;
        let fragment_bytes = old.fragment_bytes();
        let reserved =
            self.space.borrow_mut().reserve_fragment(old.data, fragment_bytes, true);
        let (append, extents) = reserved.map_err(|_| DriveError::Full)?;
        let new = FragmentRecord { append, extents, ..old.clone() };
        let written = self.write_linear(&new, bytes).await;
        if let Err(error) = written {
            self.space.borrow_mut().give_back(old.data);
            return Err(error);
        }
        let data = old.data;
        let done = self.append(Record::Relocate(Relocate { new, old: Some(old) }));
        done.await.unwrap_or(Err(DriveError::Failed))?;
        self.fragments.borrow_mut().forget_map(data);
        Ok(())
    }

    /// Flushes the drive and counts it.
    pub(crate) async fn flush_now(&self) -> Result<(), DriveError> {
        self.counters.flushes.set(self.counters.flushes.get() + 1);
        Ok(self.drive.flush().await?)
    }
}

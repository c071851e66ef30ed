//! Looking up and scanning the index, and reading payloads.
//!
//! Invariants: visible pending writes win over the memtable, that over the frozen one, that over
//! the runs, newest first; a payload is answered only if its sum ties it to the entry's write and
//! to the segment's generation.

use crate::error::DriveError;
use crate::runs::Run;
use crate::state::Memtable;
use crate::store::{Shared, Store};
use engine_env::{BLOCK_BYTES, Env, IoClass, Rule};
use engine_format::{Entry, FormatError, payload_sum};
use engine_index::{BlockQueue, Merge, Merged, Source, Tombstones};
use std::collections::VecDeque;
use std::ops::Bound;
use std::rc::Rc;

/// Entries of one page of a scan, and where to go on; `None` at the end.
#[derive(Debug, Default)]
pub struct ScanPage {
    /// Live entries in rising order of keys.
    pub entries: Vec<(Vec<u8>, Entry)>,
    /// The first key of the next page.
    pub next: Option<Vec<u8>>,
}

impl<E: Env> Store<E> {
    /// The entry at a key, if there is one that is not deleted.
    ///
    /// # Errors
    /// A device error, or `Format` where a block's sum does not hold.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Entry>, DriveError> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        Ok(self.shared.get(key).await?.filter(|entry| entry.value.is_some()))
    }

    /// The entry at a key and the payload it points to on this drive, both of the same write.
    ///
    /// # Errors
    /// As `get`; `Format(Sum)` where the payload is not what was written.
    pub async fn get_with_payload(
        &self,
        key: &[u8],
    ) -> Result<Option<(Entry, Option<Vec<u8>>)>, DriveError> {
        // Cleaning may move a payload between look-up and read; then the entry says where.
        let mut last = None;
        for _ in 0..4 {
            let Some(entry) = self.get(key).await? else { return Ok(None) };
            let Some(location) = entry.payload else { return Ok(Some((entry, None))) };
            if let Some(payload) = self.shared.pending_payload(&entry) {
                return Ok(Some((entry, Some(payload))));
            }
            match self.shared.read_payload(self.class, &entry).await {
                Ok(payload) => return Ok(Some((entry, Some(payload)))),
                Err(DriveError::Format(error)) if last != Some(location) => {
                    last = Some(location);
                    if self.shared.get(key).await?.and_then(|e| e.payload) == Some(location) {
                        self.shared.count_corrupt();
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(FormatError::Sum("a payload").into())
    }

    /// Live entries from `start` on, before `end`, at most `entries_max`.
    ///
    /// # Errors
    /// As `get`.
    pub async fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        entries_max: usize,
    ) -> Result<ScanPage, DriveError> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        self.shared.scan(start, end, entries_max).await
    }
}

/// A source of a scan: a piece of memory, or the blocks of a run.
enum ScanSource {
    Memory { entries: VecDeque<(Vec<u8>, Option<Vec<u8>>)>, more: bool },
    Blocks(BlockQueue),
}

impl Source for ScanSource {
    fn peek(&self) -> Option<(&[u8], Option<&[u8]>)> {
        match self {
            Self::Memory { entries, .. } => {
                entries.front().map(|(key, value)| (key.as_slice(), value.as_deref()))
            }
            Self::Blocks(queue) => queue.peek(),
        }
    }

    fn advance(&mut self) {
        match self {
            Self::Memory { entries, .. } => drop(entries.pop_front()),
            Self::Blocks(queue) => queue.advance(),
        }
    }

    fn starved(&self) -> bool {
        match self {
            Self::Memory { entries, more } => entries.is_empty() && *more,
            Self::Blocks(queue) => queue.starved(),
        }
    }
}

fn from_memtable(table: &Memtable, start: &[u8], end: &[u8], max: usize) -> ScanSource {
    let range = (Bound::Included(start.to_vec()), Bound::Excluded(end.to_vec()));
    let mut entries = VecDeque::new();
    if start < end {
        for (key, entry) in table.range(range) {
            if entries.len() == max {
                return ScanSource::Memory { entries, more: true };
            }
            let value = entry.value.is_some().then(|| entry.encode());
            entries.push_back((key.clone(), value));
        }
    }
    ScanSource::Memory { entries, more: false }
}

/// The run a starved source reads, and the next block of it.
type Cursor = Option<(Rc<Run>, u32)>;

impl<E: Env> Shared<E> {
    pub(crate) fn count_corrupt(&self) {
        self.counters.corrupt.set(self.counters.corrupt.get() + 1);
    }

    /// The newest entry at a key, tombstones included.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Entry>, DriveError> {
        if let Some(entry) = self.state.borrow().entry_in_memory(key) {
            return Ok(Some(entry));
        }
        let runs = self.runs.borrow().list.clone();
        self.get_in_runs(&runs, key).await
    }

    /// The newest entry at a key in the given runs, newest first.
    pub(crate) async fn get_in_runs(
        &self,
        runs: &[Rc<Run>],
        key: &[u8],
    ) -> Result<Option<Entry>, DriveError> {
        for run in runs {
            if !run.index.may_contain(key) {
                continue;
            }
            let Some(location) = run.index.block_for(key) else { continue };
            let block = self.run_block(run, &location).await?;
            match block.get(key) {
                None => {}
                Some(None) => {
                    let sequence = engine_types::Sequence::ZERO;
                    return Ok(Some(Entry { sequence, payload: None, value: None }));
                }
                Some(Some(bytes)) => return Ok(Some(Entry::decode(bytes)?)),
            }
        }
        Ok(None)
    }

    /// The payload of a pending write, which memory still has.
    fn pending_payload(&self, entry: &Entry) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        let pending = state.pending.get(&entry.sequence)?;
        (!pending.commit.payload.is_empty()).then(|| pending.commit.payload.to_vec())
    }

    pub(crate) async fn read_payload(
        &self,
        class: IoClass,
        entry: &Entry,
    ) -> Result<Vec<u8>, DriveError> {
        let Some(location) = entry.payload else { return Err(DriveError::NotFound) };
        let segment_bytes = self.space.borrow().segment_bytes();
        let (offset, len) = (u64::from(location.offset_bytes), location.bytes as usize);
        if offset + len as u64 > segment_bytes {
            return Err(FormatError::Bounds("a payload").into());
        }
        let start = offset / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let span = ((offset - start) as usize + len).next_multiple_of(BLOCK_BYTES);
        let at = self.segment_offset(location.segment) + start;
        let bytes = self.read_at_as(class, at, span).await?;
        let from = (offset - start) as usize;
        let payload = &bytes[from..from + len];
        let checks = !self.env.breaks(Rule::PayloadSums);
        if checks && payload_sum(entry.sequence, location.generation, payload) != location.sum {
            return Err(FormatError::Sum("a payload").into());
        }
        Ok(payload.to_vec())
    }

    pub(crate) async fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        entries_max: usize,
    ) -> Result<ScanPage, DriveError> {
        let memory_max = entries_max.saturating_mul(2).max(64);
        let (mut sources, mut cursors) = self.scan_sources(start, end, memory_max);
        for (source, cursor) in sources.iter_mut().zip(&mut cursors) {
            if let (ScanSource::Blocks(queue), Some((run, next))) = (source, cursor) {
                match run.index.block_from(start) {
                    None => queue.end(),
                    Some(location) => {
                        let block = self.run_block(run, &location).await?;
                        *next = location.index + 1;
                        queue.start(block.seek(start));
                    }
                }
            }
        }
        let mut merge = Merge::new(sources, Tombstones::Keep);
        let mut page = ScanPage::default();
        let mut seen = 0_usize;
        loop {
            let starved = match merge.step(&mut |_, _| {}) {
                Merged::End => return Ok(ScanPage { next: None, ..page }),
                Merged::Entry(key, _) if key >= end => return Ok(ScanPage { next: None, ..page }),
                Merged::Entry(key, value) => {
                    seen += 1;
                    // Many tombstones in a row are no reason to hold the core.
                    if page.entries.len() == entries_max || seen > memory_max * 8 {
                        page.next = Some(key.to_vec());
                        return Ok(page);
                    }
                    let entry = value.map(Entry::decode).transpose()?;
                    // Tombstones of replicated keys are entries without a value.
                    if let Some(entry) = entry.filter(|entry| entry.value.is_some()) {
                        page.entries.push((key.to_vec(), entry));
                    }
                    page.next = Some(after(key));
                    continue;
                }
                Merged::Starved(index) => index,
            };
            let Some(Some((run, next))) = cursors.get_mut(starved) else {
                // A memory source was cut short: the page ends here.
                page.next.get_or_insert_with(|| start.to_vec());
                return Ok(page);
            };
            let block = match run.index.block(*next) {
                Some(location) => Some(self.run_block(run, &location).await?),
                None => None,
            };
            *next += 1;
            merge.refill(starved, |source| {
                if let ScanSource::Blocks(queue) = source {
                    match block {
                        Some(block) => queue.push(block),
                        None => queue.end(),
                    }
                }
            });
        }
    }

    fn scan_sources(
        &self,
        start: &[u8],
        end: &[u8],
        memory_max: usize,
    ) -> (Vec<ScanSource>, Vec<Cursor>) {
        let state = self.state.borrow();
        let range = (Bound::Included(start.to_vec()), Bound::Excluded(end.to_vec()));
        let visible = if start < end {
            let entries = state.visible.range(range).filter_map(|(key, _)| {
                let entry = state.visible_entry(key)?;
                Some((key.clone(), entry.value.is_some().then(|| entry.encode())))
            });
            entries.collect()
        } else {
            VecDeque::new()
        };
        let mut sources = vec![ScanSource::Memory { entries: visible, more: false }];
        sources.push(from_memtable(&state.memtable, start, end, memory_max));
        if let Some(frozen) = &state.frozen {
            sources.push(from_memtable(frozen, start, end, memory_max));
        }
        let mut cursors: Vec<Cursor> = sources.iter().map(|_| None).collect();
        for run in &self.runs.borrow().list {
            sources.push(ScanSource::Blocks(BlockQueue::new()));
            cursors.push(Some((Rc::clone(run), 0)));
        }
        (sources, cursors)
    }
}

/// The first key behind a key.
fn after(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

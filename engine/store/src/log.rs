//! The commit log of one drive: group commit.
//!
//! Invariants: records become durable in the order they were queued, those of housekeeping before
//! all others; at most two batches are in
//! flight; a batch is answered only when it and every batch before it are written and flushed
//! (rule 9); a failed write seals its segment and the log goes on in the next (`seal`), a failed
//! flush fail-stops the drive. One flush covers the batch and all
//! appended fragment data whose writes completed before. Where the log cannot have another segment
//! it waits for housekeeping, which can always log the moves that free one.

mod seal;
mod sizes;

pub(crate) use sizes::{MOVE_BYTES, SEGMENT_OVERHEAD_BYTES, record_bytes};

use crate::error::DriveError;
use crate::store::Shared;
use engine_env::{BLOCK_BYTES, DmaBuf, Env, IoError, Rule, WriteFlushError};
use engine_format::{
    BatchHeader, LogLink, LogPosition, PayloadLocation, Record, SegmentHeader, Successor, Writer,
    payload_sum,
};
use engine_types::SegmentId;
use futures_channel::oneshot;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Who waits for a record.
pub(crate) type Reply = oneshot::Sender<Result<(), DriveError>>;

struct Queued {
    record: Record,
    bytes_estimate: usize,
    reply: Option<Reply>,
}

struct InFlight {
    records: Vec<(Record, Option<PayloadLocation>, Option<Reply>)>,
    end: LogPosition,
    /// What came back: durable, or lost with the segment it was for.
    outcome: Option<Result<(), IoError>>,
}

/// Where the log stands, and what waits for it.
pub(crate) struct Log {
    /// Records of housekeeping: they free space, and may take the last of it.
    urgent: VecDeque<Queued>,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    in_flight: BTreeMap<u64, InFlight>,
    kick_scheduled: bool,
    /// The next batch goes here.
    next: LogPosition,
    /// Everything up to here is applied.
    pub applied: LogPosition,
    generation_next: u64,
    /// Bytes logged since the last checkpoint.
    pub bytes_since_checkpoint: u64,
    /// Bytes logged since it was opened.
    pub bytes: u64,
    /// It waits for a free segment.
    pub stalled: bool,
    /// Batches and records ever made durable by this opening; for the metrics.
    pub batches: u64,
    pub records: u64,
}

/// A batch laid out and ready to write.
struct Laid {
    sequence: u64,
    offset_bytes: u64,
    buffer: DmaBuf,
}

impl Log {
    /// A log that goes on at `position`, whose generations start at `generation_next`.
    pub(crate) fn new(position: LogPosition, generation_next: u64) -> Self {
        Self {
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            in_flight: BTreeMap::new(),
            kick_scheduled: false,
            next: position,
            applied: position,
            generation_next,
            bytes_since_checkpoint: 0,
            bytes: 0,
            stalled: false,
            batches: 0,
            records: 0,
        }
    }

    pub(crate) fn current(&self) -> SegmentId {
        self.next.segment
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queued() == 0 && self.in_flight.is_empty()
    }

    fn queued(&self) -> usize {
        self.urgent.len() + self.queue.len()
    }

    /// The queue a record belongs into.
    fn queue_of(&mut self, record: &Record) -> &mut VecDeque<Queued> {
        match record {
            Record::Move(_) | Record::Drop(_) | Record::Relocate(_) => &mut self.urgent,
            _ => &mut self.queue,
        }
    }

    /// How many records of each queue the next batch takes, and at most how many bytes.
    fn next_batch(&self, limits: &Limits) -> (usize, usize, usize) {
        let (mut urgent, mut others, mut bytes) = (0, 0, 0);
        for (index, queued) in self.urgent.iter().chain(&self.queue).enumerate() {
            let over = bytes + queued.bytes_estimate > limits.bytes_max;
            let is_urgent = index < self.urgent.len();
            if index > 0 && (over || index >= limits.records_max || (limits.urgent && !is_urgent)) {
                break;
            }
            if is_urgent {
                urgent += 1
            } else {
                others += 1
            }
            bytes += queued.bytes_estimate;
        }
        (urgent, others, bytes)
    }

    /// The most the next batch takes: what is left of the segment if its first record fits there,
    /// else what a fresh segment takes.
    fn batch_bytes_max(&self, configured: usize, segment_bytes: u64) -> usize {
        let left = segment_bytes - self.next.offset_bytes;
        let left = usize::try_from(left).unwrap_or(usize::MAX).saturating_sub(BatchHeader::BYTES);
        let fresh = usize::try_from(segment_bytes - SEGMENT_OVERHEAD_BYTES).unwrap_or(usize::MAX);
        let first = self.urgent.front().or(self.queue.front());
        let fits = first.is_some_and(|first| first.bytes_estimate <= left);
        configured.min(if fits { left } else { fresh })
    }

    pub(crate) fn depth(&self) -> usize {
        self.queued() + self.in_flight.values().map(|batch| batch.records.len()).sum::<usize>()
    }
}

/// What a batch may take.
struct Limits {
    bytes_max: usize,
    records_max: usize,
    /// Of housekeeping's records only.
    urgent: bool,
}

impl<E: Env> Shared<E> {
    /// Queues a record. The receiver answers once it is durable and applied.
    pub(crate) fn append(
        self: &Rc<Self>,
        record: Record,
    ) -> oneshot::Receiver<Result<(), DriveError>> {
        let (reply, receiver) = oneshot::channel();
        self.queue(record, Some(reply));
        receiver
    }

    /// Queues a record that nobody waits for.
    pub(crate) fn append_unwatched(self: &Rc<Self>, record: Record) {
        self.queue(record, None);
    }

    pub(crate) fn queue(self: &Rc<Self>, record: Record, reply: Option<Reply>) {
        if let Some(error) = self.failed() {
            if let Some(reply) = reply {
                _ = reply.send(Err(error));
            }
            return;
        }
        let bytes_estimate = record_bytes(&record);
        let mut log = self.log.borrow_mut();
        log.queue_bytes += bytes_estimate;
        log.queue_of(&record).push_back(Queued { record, bytes_estimate, reply });
        self.schedule_kick(&mut log);
    }

    /// Lets the log try again: there may be room now.
    pub(crate) fn kick_log(self: &Rc<Self>) {
        let mut log = self.log.borrow_mut();
        self.schedule_kick(&mut log);
    }

    /// A batch is cut by a task of its own, so that whatever else is ready now joins it.
    fn schedule_kick(self: &Rc<Self>, log: &mut Log) {
        let full = log.queue_bytes >= self.config.batch_bytes_max
            || log.queued() >= self.config.batch_records_max;
        let wanted = match log.in_flight.len() {
            0 => log.queued() > 0,
            1 => full,
            _ => false,
        };
        if wanted && !log.kick_scheduled {
            log.kick_scheduled = true;
            let shared = Rc::clone(self);
            self.env.spawn(async move { shared.kick() });
        }
    }

    fn kick(self: &Rc<Self>) {
        self.log.borrow_mut().kick_scheduled = false;
        if self.failed().is_some() {
            self.fail_queue();
            return;
        }
        match self.lay_out() {
            Ok(Some(laid)) => {
                let shared = Rc::clone(self);
                // Submitted now, in order; only the wait is in the task.
                let write = self.write_durably(laid.offset_bytes, laid.buffer);
                self.env.spawn(async move {
                    let result = write.await;
                    shared.batch_done(laid.sequence, result);
                });
            }
            Ok(None) => {}
            Err(error) => self.fail(error),
        }
        let mut log = self.log.borrow_mut();
        if !log.stalled {
            self.schedule_kick(&mut log);
        }
    }

    /// Takes the records of the next batch off the queues, unless it must wait for a free segment.
    fn take_batch(self: &Rc<Self>, log: &mut Log) -> Option<Vec<Queued>> {
        let (room, can_grow, segment_bytes) = {
            let space = self.space.borrow();
            let room = [false, true].map(|is_urgent| space.log_may_take(is_urgent));
            (room, space.can_grow(), space.segment_bytes())
        };
        let is_urgent = !log.urgent.is_empty();
        let limits = Limits {
            bytes_max: log.batch_bytes_max(self.config.batch_bytes_max, segment_bytes),
            records_max: self.config.batch_records_max,
            urgent: (is_urgent || self.cleaning.get()) && !room[0],
        };
        if limits.urgent && !is_urgent {
            // Cleaning counts on what is left of the segment; what it frees is for the others.
            log.stalled = true;
            return None;
        }
        let (urgent, others, bytes) = log.next_batch(&limits);
        let batch_bytes = (BatchHeader::BYTES + bytes).next_multiple_of(BLOCK_BYTES) as u64;
        let fits = log.next.offset_bytes + batch_bytes <= segment_bytes;
        log.stalled = !fits && !room[usize::from(is_urgent)];
        if !log.stalled {
            log.queue_bytes -= bytes;
            let mut taken: Vec<Queued> = log.urgent.drain(..urgent).collect();
            taken.extend(log.queue.drain(..others));
            return Some(taken);
        }
        if can_grow && !self.growing.get() {
            // Not by housekeeping, which may itself be waiting for the log.
            let shared = Rc::clone(self);
            self.env.spawn(async move {
                // Where that fails, housekeeping tries again in its own time.
                if shared.grow(4).await.is_ok() {
                    shared.kick_log();
                }
            });
        }
        self.housekeeping_wanted();
        None
    }

    /// Cuts a batch off the queue and fixes its place.
    fn lay_out(self: &Rc<Self>) -> Result<Option<Laid>, DriveError> {
        let mut log = self.log.borrow_mut();
        if log.queued() == 0 || log.in_flight.len() >= 2 {
            return Ok(None);
        }
        let Some(taken) = self.take_batch(&mut log) else { return Ok(None) };
        let mut out = Writer::new();
        let offsets: Vec<usize> =
            taken.iter().map(|queued| queued.record.encode(&mut out)).collect();
        let payload = out.bytes;
        let batch_bytes = (BatchHeader::BYTES + payload.len()).next_multiple_of(BLOCK_BYTES) as u64;
        let header = self.place(&mut log, batch_bytes)?;
        let frame_at = header.as_ref().map_or(0, |_| SegmentHeader::BYTES);
        let next = log.next;
        let batch = BatchHeader {
            drive_low: self.drive_low(),
            segment: next.segment,
            generation: next.generation,
            sequence: next.batch_sequence + 1,
            payload_bytes: u32::try_from(payload.len()).map_err(|_| DriveError::Full)?,
            record_count: u32::try_from(taken.len()).map_err(|_| DriveError::Full)?,
            previous_chain: next.chain,
            durable_through: log.applied.batch_sequence,
            successors: next.successors,
        };
        let mut buffer = DmaBuf::zeroed(frame_at + BatchHeader::BYTES + payload.len());
        buffer.set_len_to_capacity();
        if let Some(header) = &header {
            buffer[..SegmentHeader::BYTES].copy_from_slice(&header.encode());
        }
        let chain = batch.seal(&mut buffer[frame_at..], &payload);
        let start = frame_at + BatchHeader::BYTES;
        buffer[start..start + payload.len()].copy_from_slice(&payload);
        let payload_base = next.offset_bytes + BatchHeader::BYTES as u64;
        let records = taken
            .into_iter()
            .zip(offsets)
            .map(|(queued, offset)| {
                let location =
                    locate(&queued.record, next.segment, next.generation, payload_base, offset);
                (queued.record, location, queued.reply)
            })
            .collect();
        let offset_bytes = self.segment_offset(next.segment) + next.offset_bytes - frame_at as u64;
        log.next.offset_bytes += batch_bytes;
        log.next.batch_sequence += 1;
        log.next.chain = chain;
        let end = log.next;
        log.bytes_since_checkpoint += batch_bytes;
        log.bytes += batch_bytes;
        log.in_flight.insert(end.batch_sequence, InFlight { records, end, outcome: None });
        self.space.borrow_mut().set_log(end.segment, end.generation, end.batch_sequence);
        Ok(Some(Laid { sequence: end.batch_sequence, offset_bytes, buffer }))
    }

    /// The largest record the log takes.
    pub(crate) fn record_bytes_max(&self) -> usize {
        let room_bytes = self.space.borrow().segment_bytes() - SEGMENT_OVERHEAD_BYTES;
        usize::try_from(room_bytes).unwrap_or(usize::MAX)
    }

    /// Makes room for a batch: goes on in the successor where the segment has too little left.
    fn place(&self, log: &mut Log, batch_bytes: u64) -> Result<Option<SegmentHeader>, DriveError> {
        let segment_bytes = self.space.borrow().segment_bytes();
        if batch_bytes + SegmentHeader::BYTES as u64 > segment_bytes {
            return Err(DriveError::Full);
        }
        if log.next.offset_bytes + batch_bytes <= segment_bytes {
            return Ok(None);
        }
        let last = log.next;
        let [successor, second] = last.successors;
        let header = SegmentHeader {
            drive: self.identity.drive,
            segment: successor.segment,
            generation: successor.generation,
            previous: LogLink {
                segment: last.segment,
                generation: last.generation,
                batch_sequence: last.batch_sequence,
                chain: last.chain,
            },
        };
        let mut space = self.space.borrow_mut();
        // `take_batch` has seen one.
        let third = space.take_segment().ok_or(DriveError::Full)?;
        let third = Successor { segment: third, generation: log.generation_next };
        log.generation_next += 1;
        space.set_log(third.segment, third.generation, u64::MAX);
        space.set_log(successor.segment, successor.generation, u64::MAX);
        drop(space);
        log.next = LogPosition {
            segment: successor.segment,
            generation: successor.generation,
            offset_bytes: SegmentHeader::BYTES as u64,
            batch_sequence: last.batch_sequence,
            chain: header.chain(),
            successors: [second, third],
        };
        Ok(Some(header))
    }

    fn batch_done(self: &Rc<Self>, sequence: u64, result: Result<(), WriteFlushError>) {
        let outcome = match result {
            Ok(()) => Ok(()),
            // The place is bad, or it is full underneath: the drive may be well elsewhere.
            Err(WriteFlushError::Write(error @ (IoError::Failed(_) | IoError::NoSpace))) => {
                Err(error)
            }
            Err(WriteFlushError::Write(error) | WriteFlushError::Flush(error)) => {
                self.fail(error.into());
                return;
            }
        };
        if self.failed().is_some() {
            self.fail_queue();
            return;
        }
        if let Some(batch) = self.log.borrow_mut().in_flight.get_mut(&sequence) {
            batch.outcome = Some(outcome);
        }
        if outcome.is_ok() && self.env.breaks(Rule::BatchOrder) {
            let batch = self.log.borrow_mut().in_flight.remove(&sequence);
            if let Some(batch) = batch {
                self.apply_batch(batch);
            }
        }
        loop {
            let batch = {
                let mut log = self.log.borrow_mut();
                match log.in_flight.first_entry() {
                    Some(first) if first.get().outcome == Some(Ok(())) => first.remove(),
                    _ => break,
                }
            };
            self.apply_batch(batch);
        }
        if let Err(error) = self.seal() {
            self.fail(error.into());
            return;
        }
        let mut log = self.log.borrow_mut();
        self.schedule_kick(&mut log);
        drop(log);
        if self.needs_housekeeping() {
            self.housekeeping_wanted();
        }
    }

    fn apply_batch(&self, batch: InFlight) {
        {
            let mut state = self.state.borrow_mut();
            let mut space = self.space.borrow_mut();
            for (record, location, _) in &batch.records {
                state.apply(&mut space, record, *location);
                if let Record::Commit(commit) = record
                    && self.env.breaks(Rule::ServeSettled)
                {
                    state.settle_in_memory(commit.sequence);
                }
            }
            let mut log = self.log.borrow_mut();
            log.applied = batch.end;
            log.batches += 1;
            log.records += batch.records.len() as u64;
        }
        for (_, _, reply) in batch.records {
            if let Some(reply) = reply {
                _ = reply.send(Ok(()));
            }
        }
    }

    /// Answers everything queued and in flight with the drive's failure.
    pub(crate) fn fail_queue(&self) {
        let error = self.failed().unwrap_or(DriveError::Failed);
        let (urgent, queue, in_flight) = {
            let mut log = self.log.borrow_mut();
            log.queue_bytes = 0;
            let urgent = std::mem::take(&mut log.urgent);
            (urgent, std::mem::take(&mut log.queue), std::mem::take(&mut log.in_flight))
        };
        let queued = urgent.into_iter().chain(queue).filter_map(|queued| queued.reply);
        let replies = queued
            .chain(in_flight.into_values().flat_map(|b| b.records.into_iter().filter_map(|r| r.2)));
        for reply in replies {
            _ = reply.send(Err(error));
        }
    }
}

/// Where the payload of a record lies, if it has one.
pub(crate) fn locate(
    record: &Record,
    segment: SegmentId,
    generation: u64,
    payload_base: u64,
    offset: usize,
) -> Option<PayloadLocation> {
    let (sequence, payload) = match record {
        Record::Commit(commit) => (commit.sequence, &commit.payload),
        Record::Move(moved) => (moved.sequence, &moved.payload),
        _ => return None,
    };
    if payload.is_empty() {
        return None;
    }
    Some(PayloadLocation {
        segment,
        generation,
        offset_bytes: u32::try_from(payload_base + offset as u64).ok()?,
        bytes: u32::try_from(payload.len()).ok()?,
        sum: payload_sum(sequence, generation, payload),
    })
}

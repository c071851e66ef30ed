//! What becomes of the log when a write of it fails (rule 9).
//!
//! Invariants: the segment is sealed behind the last durable batch; what was lost is laid out anew
//! in the next segment that the durable log has announced, whose header says where replay cuts.
//! That segment is begun only once nothing is in flight any more, and at most two batches ever
//! are, so nothing is laid out behind a lost batch meanwhile. Two segments are announced: a third
//! failure without a durable batch between, or one before the first batch of an opening, when none
//! is announced, fail-stops the drive.

use super::{Log, Queued, Reply, record_bytes};
use crate::store::Shared;
use engine_env::{Env, IoError};
use engine_format::{LogPosition, Record};
use std::rc::Rc;

/// How long what was lost may wait for space. A full drive that may be dying, too, is given up.
const PATIENCE_US: u64 = 5_000_000;

impl Log {
    /// Why a batch in flight was lost, once all in flight have come back.
    fn lost(&self) -> Option<IoError> {
        let mut lost = None;
        for batch in self.in_flight.values() {
            lost = lost.or(batch.outcome?.err());
        }
        lost
    }

    /// Puts a record before all others of its queue.
    fn put_back(&mut self, record: Record, reply: Option<Reply>) {
        let bytes_estimate = record_bytes(&record);
        self.queue_bytes += bytes_estimate;
        self.queue_of(&record).push_front(Queued { record, bytes_estimate, reply });
    }
}

impl<E: Env> Shared<E> {
    /// Goes on behind the last durable batch, if one in flight was lost.
    ///
    /// # Errors
    /// Why it was lost, where the log cannot go on.
    pub(super) fn seal(self: &Rc<Self>) -> Result<(), IoError> {
        let mut log = self.log.borrow_mut();
        let Some(error) = log.lost() else { return Ok(()) };
        let (end, next) = (log.applied, log.next.successors);
        if log.batches == 0 || !end.successors.contains(&next[0]) {
            return Err(error);
        }
        let mut space = self.space.borrow_mut();
        let segment_bytes = space.segment_bytes();
        // Without room here the next batch goes on in `next[0]`.
        log.next = LogPosition { offset_bytes: segment_bytes, successors: next, ..end };
        log.bytes_since_checkpoint += segment_bytes - end.offset_bytes;
        for batch in
            log.in_flight.values().filter(|batch| batch.outcome.is_some_and(|o| o.is_err()))
        {
            space.quarantine(batch.end.segment);
        }
        space.seal_log(end.segment, end.generation, end.batch_sequence);
        let lost = std::mem::take(&mut log.in_flight);
        for (record, _, reply) in lost.into_values().flat_map(|batch| batch.records).rev() {
            log.put_back(record, reply);
        }
        self.counters.sealed.set(self.counters.sealed.get() + 1);
        self.give_up_later(log.batches, error);
        Ok(())
    }

    /// Fails the drive if no batch has become durable after a while.
    fn give_up_later(self: &Rc<Self>, batches: u64, error: IoError) {
        // It must not keep a drive open that nobody uses any more.
        let (shared, sleep) = (Rc::downgrade(self), self.env.sleep_us(PATIENCE_US));
        self.env.spawn(async move {
            sleep.await;
            let Some(shared) = shared.upgrade() else { return };
            let is_stuck = shared.log.borrow().batches == batches;
            if is_stuck {
                shared.fail(error.into());
            }
        });
    }
}

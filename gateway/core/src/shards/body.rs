//! A body on its way out: stripes of its runs, read ahead of the client as far as the budget goes.
//!
//! Invariants: every answer is admitted with the bytes of its piece at hand, and then never waits
//! for the budget again; whole stripes are read only for bytes claimed beside that; pieces carry
//! their claims, so that what lies in the connection's buffer of a slow client counts too.

use super::budget::{Claim, Lane, MemoryBudget};
use super::store_error;
use super::writer::SMALL_BYTES_MAX;
use crate::objects::{Body, StoreError};
use bytes::Bytes;
use engine_set::{Found, SetError, Source};
use engine_types::{BucketId, Key};
use shards_node::Node;
use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// Stripes read ahead of the client, at most.
const READ_AHEAD: usize = 2;

/// Tries of one read: after a change of view another member of the set reads.
const READ_TRIES: usize = 4;

/// What is read at once when the budget is short.
const PIECE_BYTES: usize = 64 * 1024;

/// What an answer is admitted with: its piece at hand, and one in the connection's buffer.
const ADMISSION_BYTES: u64 = 2 * PIECE_BYTES as u64;

type Reading = Pin<Box<dyn Future<Output = Result<Vec<Bytes>, SetError>>>>;

/// Bytes together with what they cost.
struct Counted {
    bytes: Bytes,
    _claim: Option<Arc<Claim>>,
    _admission: Arc<Claim>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A read: source, offset, length, and the claim on memory it runs on.
type NextRead = (Rc<Source>, u64, usize, Option<Arc<Claim>>);

/// A body on its way out.
pub struct ShardBody {
    node: Node,
    budget: MemoryBudget,
    place: (BucketId, Key),
    admission: Arc<Claim>,
    ready: VecDeque<Bytes>,
    /// Pieces of stripes still to be read: run, offset, length.
    plan: VecDeque<(Rc<Source>, u64, usize)>,
    reading: VecDeque<(Reading, NextRead)>,
}

impl ShardBody {
    /// Admits an answer of so many bytes.
    pub(super) async fn admit(
        node: &Node,
        budget: &MemoryBudget,
        place: (BucketId, Key),
        size_bytes: u64,
    ) -> Result<Self, StoreError> {
        let lane = if size_bytes <= SMALL_BYTES_MAX { Lane::SmallRead } else { Lane::Read };
        let admission = budget.claim(lane, size_bytes.min(ADMISSION_BYTES)).await?;
        Ok(Self {
            node: node.clone(),
            budget: budget.clone(),
            place,
            admission: Arc::new(admission),
            ready: VecDeque::new(),
            plan: VecDeque::new(),
            reading: VecDeque::new(),
        })
    }

    /// Answers a range of an object found.
    pub(super) fn start(&mut self, found: &Found, range: &Range<u64>) {
        match &found.inline {
            Some(bytes) => {
                let (from, to) = (range.start as usize, range.end as usize);
                if from < to {
                    let piece = self.counted(bytes.slice(from..to), None);
                    self.ready.push_back(piece);
                }
            }
            None => self.plan = plan_of(found, range),
        }
        self.read_ahead();
    }

    fn counted(&self, bytes: Bytes, claim: Option<Arc<Claim>>) -> Bytes {
        let admission = Arc::clone(&self.admission);
        Bytes::from_owner(Counted { bytes, _claim: claim, _admission: admission })
    }

    /// What may be read next, cut to the budget: source, offset, length, and its claim.
    fn next_read(&mut self) -> Option<NextRead> {
        let is_first = self.reading.is_empty() && self.ready.is_empty();
        let (source, offset, len) = self.plan.front_mut()?;
        let (from, wanted) = (*offset, *len);
        let source = Rc::clone(source);
        if is_first && wanted <= PIECE_BYTES {
            self.plan.pop_front();
            return Some((source, from, wanted, None));
        }
        if let Some(claim) = self.budget.try_claim(Lane::Read, wanted as u64, !is_first) {
            self.plan.pop_front();
            return Some((source, from, wanted, Some(Arc::new(claim))));
        }
        if !is_first {
            return None;
        }
        *offset += PIECE_BYTES as u64;
        *len -= PIECE_BYTES;
        Some((source, from, PIECE_BYTES, None))
    }

    fn read_ahead(&mut self) {
        while self.reading.len() < READ_AHEAD {
            let Some(read) = self.next_read() else { return };
            let reading = self.begin(&read);
            self.reading.push_back((reading, read));
        }
    }

    /// Asks whoever reads for the key's set now.
    fn begin(&self, (source, offset, len, _): &NextRead) -> Reading {
        match self.node.reader_of(self.place.0, &self.place.1) {
            Some(reader) => {
                Box::pin(self.node.read_stripe(reader, Source::clone(source), *offset, *len))
            }
            None => Box::pin(std::future::ready(Err(SetError::Unavailable))),
        }
    }

    /// Waits for the first piece: what cannot be read is refused before its answer begins.
    pub(super) async fn first(&mut self) -> Result<(), StoreError> {
        match self.next().await {
            Some(Ok(bytes)) => {
                self.ready.push_front(bytes);
                Ok(())
            }
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    }
}

impl Body for ShardBody {
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            self.read_ahead();
            let (reading, read) = self.reading.pop_front()?;
            let mut outcome = reading.await;
            for _ in 1..READ_TRIES {
                if !matches!(outcome, Err(SetError::NotOwner | SetError::Unavailable)) {
                    break;
                }
                outcome = self.begin(&read).await;
            }
            match outcome {
                Ok(pieces) => {
                    for bytes in pieces {
                        let piece = self.counted(bytes, read.3.clone());
                        self.ready.push_back(piece);
                    }
                }
                Err(error) => {
                    self.plan.clear();
                    self.reading.clear();
                    return Some(Err(store_error(error)));
                }
            }
        }
    }
}

/// Cuts a range of an object into pieces of stripes of its runs.
fn plan_of(found: &Found, range: &Range<u64>) -> VecDeque<(Rc<Source>, u64, usize)> {
    let mut plan = VecDeque::new();
    let mut run_start = 0;
    for source in found.sources() {
        let run_end = run_start + source.run_bytes;
        let from = range.start.max(run_start);
        let to = range.end.min(run_end);
        let source = Rc::new(source);
        let stripe_bytes = source.geometry.stripe_bytes();
        let mut at = from;
        while at < to {
            let inside = at - run_start;
            let stripe_end = (inside / stripe_bytes + 1) * stripe_bytes;
            let len = (to - at).min(stripe_end - inside);
            plan.push_back((Rc::clone(&source), inside, len as usize));
            at += len;
        }
        run_start = run_end;
    }
    plan
}

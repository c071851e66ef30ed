//! One answer's bytes as they come: whether they are what was written.
//!
//! Invariants: of what has come only the end that is no whole block yet is kept; after the first
//! mismatch nothing more is checked. Absent: how an answer came, which its target knows.

use crate::ledger::Allowed;
use crate::planner::Planner;
use crate::task::Task;
use bench_model::{BLOCK_BYTES, Expected, Generation, Mismatch, MismatchKind, Operation, Payload};

/// What has come of one answer's object.
#[derive(Debug, Default)]
pub(crate) struct Check {
    is_checked: bool,
    /// Bytes of the object so far.
    received: u64,
    /// Bytes it says it has.
    length: Option<u64>,
    /// The end of what has come that is no whole block yet.
    carried: Vec<u8>,
    seen: Option<Generation>,
    mismatch: Option<Mismatch>,
}

impl Check {
    /// Forgets what came before.
    pub(crate) fn clear(&mut self) {
        self.carried.clear();
        (self.received, self.length) = (0, None);
        (self.is_checked, self.seen, self.mismatch) = (false, None, None);
    }

    /// An answer begins, and says how many bytes it has; whether they are to be checked.
    pub(crate) fn begin(&mut self, is_checked: bool, length: Option<u64>) {
        (self.is_checked, self.length) = (is_checked, length);
    }

    /// Bytes of the object so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The next bytes of an object.
    pub(crate) fn take(&mut self, task: &Task, bytes: &[u8], payload: &Payload, planner: &Planner) {
        if self.is_checked && self.mismatch.is_none() {
            self.take_checked(task, bytes, payload, planner);
        }
        self.received += bytes.len() as u64;
    }

    /// Checks whole blocks, and carries the rest on to what comes next.
    fn take_checked(&mut self, task: &Task, bytes: &[u8], payload: &Payload, planner: &Planner) {
        let begin = begin_of(task);
        let offset = begin + self.received;
        let received = self.received + bytes.len() as u64;
        let is_last = self.length == Some(received);
        let rest = if is_last { 0 } else { ((begin + received) % BLOCK_BYTES as u64) as usize };
        if self.carried.is_empty() {
            let whole = bytes.len().saturating_sub(rest);
            self.check((task, offset), &bytes[..whole], payload, planner);
            self.carried.extend_from_slice(&bytes[whole..]);
            return;
        }
        let mut carried = std::mem::take(&mut self.carried);
        let offset = offset - carried.len() as u64;
        carried.extend_from_slice(bytes);
        let whole = carried.len().saturating_sub(rest);
        self.check((task, offset), &carried[..whole], payload, planner);
        carried.drain(..whole);
        self.carried = carried;
    }

    fn check(
        &mut self,
        (task, offset): (&Task, u64),
        bytes: &[u8],
        payload: &Payload,
        planner: &Planner,
    ) {
        if bytes.is_empty() || self.mismatch.is_some() {
            return;
        }
        let Allowed { oldest, newest, candidates } = planner.allowed(task);
        let expected = Expected {
            key: task.key,
            size_bytes: self.length.filter(|_| task.operation == Operation::Get),
            oldest,
            newest,
            candidates,
            seen: self.seen,
        };
        match payload.verify(&expected, offset, bytes) {
            Ok(seen) => self.seen = seen,
            Err(mismatch) => self.mismatch = Some(mismatch),
        }
    }

    /// Checks the end of an object, and that all of it has come; what was wrong with it, if
    /// anything was.
    pub(crate) fn end(
        &mut self,
        task: &Task,
        payload: &Payload,
        planner: &Planner,
    ) -> Option<Mismatch> {
        let carried = std::mem::take(&mut self.carried);
        let begin = begin_of(task);
        let offset = begin + self.received - carried.len() as u64;
        self.check((task, offset), &carried, payload, planner);
        if self.mismatch.is_some() {
            return self.mismatch;
        }
        let wanted = |size_bytes: u64| match task.operation {
            // A range of no bytes is asked for as the whole object.
            Operation::GetRange if task.range.1 > 0 => {
                task.range.1.min(size_bytes.saturating_sub(task.range.0))
            }
            _ => size_bytes,
        };
        let received = self.received;
        let sizes = sizes_of(planner, task, self.seen);
        let is_right = sizes.as_ref().is_none_or(|all| all.iter().any(|s| wanted(*s) == received));
        if !is_right {
            let written_bytes = sizes.and_then(|all| all.last().copied()).unwrap_or(0);
            let kind =
                MismatchKind::WrongLength { written_bytes, answered_bytes: begin + received };
            self.mismatch = Some(Mismatch { key: task.key, offset: begin + received, kind });
        }
        self.mismatch
    }

    /// What is wrong with the length that a HEAD tells, if the object cannot have it.
    pub(crate) fn end_head(&self, task: &Task, planner: &Planner) -> Option<Mismatch> {
        let sizes = sizes_of(planner, task, None)?;
        let answered_bytes = self.length.filter(|length| !sizes.contains(length))?;
        let written_bytes = sizes.last().copied().unwrap_or(0);
        let kind = MismatchKind::WrongLength { written_bytes, answered_bytes };
        Some(Mismatch { key: task.key, offset: 0, kind })
    }
}

/// Where in the object an answer begins.
fn begin_of(task: &Task) -> u64 {
    if task.operation == Operation::GetRange { task.range.0 } else { 0 }
}

/// Sizes that the object read may have; `None` where they are too many to be told.
fn sizes_of(planner: &Planner, task: &Task, seen: Option<Generation>) -> Option<Vec<u64>> {
    if let Some(generation) = seen {
        return Some(vec![planner.size_of(task.key, generation)]);
    }
    let candidates = planner.allowed(task).candidates?;
    let size_of = |generation: &Generation| planner.size_of(task.key, *generation);
    Some(candidates.as_slice().iter().map(size_of).collect())
}

/// Whether the object may have another size than the range was made for.
pub(crate) fn is_changed(planner: &Planner, task: &Task) -> bool {
    task.operation == Operation::GetRange
        && sizes_of(planner, task, None)
            .is_none_or(|sizes| sizes.iter().any(|s| *s <= task.range.0))
}

//! One operation of the load: what it does, to which object, and when it was planned for.

use crate::ledger::Known;
use bench_model::{Generation, ObjectStamp, Operation};

/// An operation that was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// What is done.
    pub operation: Operation,
    /// The key's id; of several keys the first.
    pub key: u64,
    /// Keys of a multi-delete: `key` and those behind it that the planner named.
    pub keys: u32,
    /// The write's generation, for writes.
    pub generation: Generation,
    /// Bytes that are written; for reads what the planner expects, if it knows.
    pub size_bytes: u64,
    /// Offset and length, for range reads.
    pub range: (u64, u64),
    /// The object was deleted: it is right that it is not there, and nothing else is.
    pub is_absent: bool,
    /// What was known of the key when a read began.
    pub(crate) known: Known,
    /// When it was to begin, in nanoseconds of the phase.
    pub planned_ns: u64,
}

impl Task {
    /// The object that a write makes.
    #[must_use]
    pub fn stamp(&self) -> ObjectStamp {
        ObjectStamp { key: self.key, generation: self.generation, size_bytes: self.size_bytes }
    }

    /// Whether it makes an object.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.operation, Operation::Put | Operation::MultipartPut)
    }

    /// Whether it needs an object that is there.
    #[must_use]
    pub fn reads(&self) -> bool {
        let reads = [Operation::Get, Operation::GetRange, Operation::Head, Operation::Copy];
        reads.contains(&self.operation)
    }
}

//! The target `raw`: a drive through io_uring and direct I/O, and no store on it.
//!
//! Invariants: key k has the k-th place of the drive, as long as the largest object; an operation
//! is one transfer of whole blocks; what is read is judged only where this run alone can have
//! written it: a drive promises nothing about a read beside a write.

use crate::clock;
use crate::plan::DrivePlan;
use crate::planner::Planner;
use crate::target::{Done, Outcome, Target};
use crate::task::Task;
use bench_client::Lane;
use bench_client::drive::{ALIGNMENT_BYTES, DriveRing, Transfer};
use bench_model::{Expected, ObjectStamp, Operation, Payload};
use std::fs::File;
use std::io;
use std::time::Duration;

/// Direct I/O begins and ends at multiples of it.
pub(crate) const BLOCK_BYTES: u64 = ALIGNMENT_BYTES as u64;

/// Bytes that a drive moves for so many of an object: whole blocks, one at least.
pub(crate) fn whole_blocks(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

/// One transfer under way.
#[derive(Debug, Clone, Copy)]
struct Under {
    task: Task,
    /// Where in the key's place it begins.
    offset_bytes: u64,
    len_bytes: usize,
}

impl Under {
    fn of(task: &Task) -> Self {
        let (offset_bytes, bytes) = match task.operation {
            // It begins at its block, and its length is whole blocks.
            Operation::GetRange => (task.range.0 - task.range.0 % BLOCK_BYTES, task.range.1),
            _ => (0, task.size_bytes),
        };
        let len_bytes = usize::try_from(whole_blocks(bytes)).unwrap_or(usize::MAX);
        Self { task: *task, offset_bytes, len_bytes }
    }

    /// What is in the key's place where the task's write, or the one it expects, is.
    fn stamp(&self) -> ObjectStamp {
        ObjectStamp { size_bytes: whole_blocks(self.task.size_bytes), ..self.task.stamp() }
    }
}

/// The transfers of one thread to and from a drive.
pub struct RawTarget {
    ring: DriveRing,
    slot_bytes: u64,
    payload: Payload,
    under: Vec<Option<Under>>,
    ended: Vec<Transfer>,
}

impl RawTarget {
    /// A target of so many transfers at once.
    ///
    /// **Runs on** the thread that will use it.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring.
    pub fn new(file: File, plan: &DrivePlan, payload: Payload, lanes: u32) -> io::Result<Self> {
        let slot_bytes = plan.slot_bytes;
        let buffer_bytes = usize::try_from(slot_bytes).map_err(io::Error::other)?;
        let ring = DriveRing::new(file, lanes, buffer_bytes).map_err(|error| {
            io::Error::new(error.kind(), format!("io_uring is refused here: {error}"))
        })?;
        let under = vec![None; lanes as usize];
        Ok(Self { ring, slot_bytes, payload, under, ended: Vec::new() })
    }

    fn outcome(&self, under: &Under, transfer: &Transfer, planner: &Planner) -> Outcome {
        match &transfer.result {
            Err(error) => Outcome::Failed(code_of(error)),
            Ok(bytes) if *bytes < under.len_bytes => Outcome::Failed("short".to_owned()),
            Ok(_) if under.task.is_write() => Outcome::Done,
            Ok(_) => self.judged(under, transfer.lane, planner),
        }
    }

    fn judged(&self, under: &Under, lane: Lane, planner: &Planner) -> Outcome {
        if !planner.is_checked(&under.task) {
            return Outcome::Done;
        }
        let Some(generation) = planner.only_write(&under.task) else { return Outcome::Done };
        let expected = Expected::exactly(ObjectStamp { generation, ..under.stamp() });
        match self.payload.verify(&expected, under.offset_bytes, self.ring.bytes(lane)) {
            Ok(_) => Outcome::Done,
            Err(mismatch) => Outcome::Wrong(mismatch),
        }
    }
}

fn code_of(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("errno {number}"),
        None => error.kind().to_string(),
    }
}

impl Target for RawTarget {
    fn lanes(&self) -> u32 {
        self.ring.lane_count()
    }

    fn is_free(&self, lane: Lane) -> bool {
        self.under[lane.0 as usize].is_none() && !self.ring.is_busy(lane)
    }

    fn start(&mut self, lane: Lane, task: &Task, _: &Planner) {
        let under = Under::of(task);
        let at = task.key * self.slot_bytes + under.offset_bytes;
        if task.is_write() {
            let out = &mut self.ring.buffer(lane)[..under.len_bytes];
            self.payload.fill(under.stamp(), 0, out);
            self.ring.write(lane, at, under.len_bytes);
        } else {
            self.ring.read(lane, at, under.len_bytes);
        }
        self.under[lane.0 as usize] = Some(under);
    }

    fn turn(
        &mut self,
        timeout: Option<Duration>,
        planner: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        let mut ended = std::mem::take(&mut self.ended);
        let waited = self.ring.wait(timeout, &mut ended);
        let ended_ns = clock::now_ns();
        for transfer in ended.drain(..) {
            // Of one that was given up nobody waits for the end any more.
            let Some(under) = self.under[transfer.lane.0 as usize].take() else { continue };
            let outcome = self.outcome(&under, &transfer, planner);
            let object_bytes = if transfer.result.is_ok() { under.len_bytes as u64 } else { 0 };
            done.push(done_of(transfer.lane, outcome, object_bytes, ended_ns));
        }
        self.ended = ended;
        waited
    }

    fn abort(&mut self, lane: Lane, _: &Planner, done: &mut Vec<Done>) {
        // The kernel keeps its buffer: the lane is free once the transfer has ended.
        if self.under[lane.0 as usize].take().is_some() {
            let outcome = Outcome::Failed("timeout".to_owned());
            done.push(done_of(lane, outcome, 0, clock::now_ns()));
        }
    }
}

fn done_of(lane: Lane, outcome: Outcome, object_bytes: u64, ended_ns: u64) -> Done {
    Done {
        lane,
        outcome,
        object_bytes,
        first_byte_ns: None,
        connect_ns: None,
        connected_ns: None,
        ended_ns,
    }
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;

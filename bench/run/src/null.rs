//! The target `null`: nothing at all. What is left is what the generator itself costs.
//!
//! Invariant: payloads are stamped as for a real target, so that nothing of the generator's own
//! work is left out.

use crate::clock;
use crate::planner::Planner;
use crate::target::{Done, Outcome, Target};
use crate::task::Task;
use bench_client::Lane;
use bench_model::Payload;
use std::io;
use std::time::Duration;

/// Bytes that are stamped at once, at most.
const PIECE_BYTES: usize = 64 * 1024;

/// Operations that end as soon as they begin.
pub struct NullTarget {
    payload: Payload,
    lanes: u32,
    under: Vec<(Lane, u64)>,
    buffer: Vec<u8>,
}

impl NullTarget {
    /// A target of so many lanes.
    #[must_use]
    pub fn new(payload: Payload, lanes: u32) -> Self {
        Self { payload, lanes, under: Vec::new(), buffer: vec![0; PIECE_BYTES] }
    }
}

impl Target for NullTarget {
    fn lanes(&self) -> u32 {
        self.lanes
    }

    fn is_free(&self, _: Lane) -> bool {
        true
    }

    fn start(&mut self, lane: Lane, task: &Task, _: &Planner) {
        let mut offset = 0;
        while task.is_write() && offset < task.size_bytes {
            let left = usize::try_from(task.size_bytes - offset).unwrap_or(usize::MAX);
            let piece = &mut self.buffer[..left.min(PIECE_BYTES)];
            self.payload.fill(task.stamp(), offset, piece);
            offset += piece.len() as u64;
        }
        self.under.push((lane, task.size_bytes));
    }

    fn turn(
        &mut self,
        timeout: Option<Duration>,
        _: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        if self.under.is_empty()
            && let Some(timeout) = timeout
        {
            std::thread::sleep(timeout);
        }
        let ended_ns = clock::now_ns();
        done.extend(self.under.drain(..).map(|(lane, object_bytes)| Done {
            lane,
            outcome: Outcome::Done,
            object_bytes,
            first_byte_ns: None,
            connect_ns: None,
            connected_ns: None,
            ended_ns,
        }));
        Ok(())
    }

    fn abort(&mut self, _: Lane, _: &Planner, _: &mut Vec<Done>) {
        // Nothing is ever late.
    }
}

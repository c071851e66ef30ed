//! What operations are carried out on.

use crate::planner::Planner;
use crate::task::Task;
use bench_client::Lane;
use bench_model::Mismatch;
use std::io;
use std::time::Duration;

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// Another operation of this run came between: the object was rightly not there, or too short
    /// for the range.
    Raced,
    /// The server's code for its refusal, or the client's for what broke.
    Failed(String),
    /// The answer is not what was written.
    Wrong(Mismatch),
}

/// An operation that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Where it ran.
    pub lane: Lane,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes of objects that went either way.
    pub object_bytes: u64,
    /// When the answer's first byte came, in nanoseconds of the clock.
    pub first_byte_ns: Option<u64>,
    /// What the connection took to be made, where one was.
    pub connect_ns: Option<u64>,
    /// When it was made, where it had to be before the first request went out.
    pub connected_ns: Option<u64>,
    /// When it ended.
    pub ended_ns: u64,
}

/// What carries out the operations of one thread.
pub trait Target {
    /// How many operations may be under way.
    fn lanes(&self) -> u32;
    /// Whether an operation may start on a lane.
    fn is_free(&self, lane: Lane) -> bool;
    /// Starts an operation on a free lane.
    fn start(&mut self, lane: Lane, task: &Task, planner: &Planner);
    /// Waits for operations, at most so long, and appends those that ended.
    ///
    /// # Errors
    /// Where the target itself is of no use any more.
    fn turn(
        &mut self,
        timeout: Option<Duration>,
        planner: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()>;
    /// Gives the operation of a lane up; it is appended as failed.
    fn abort(&mut self, lane: Lane, planner: &Planner, done: &mut Vec<Done>);
}

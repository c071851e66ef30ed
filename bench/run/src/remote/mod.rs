//! Several load machines drive one run: a conductor splits the threads over workers, gives the
//! orders, and adds up what they record. docs/format/bench-worker.md draws the bytes.
//!
//! Invariants: a thread has one number in the whole run, so that every key has one owner wherever
//! its thread runs; an interval travels as it was recorded and is added, never averaged; keys of
//! S3 never travel; whoever hears nothing of the other side for too long ends the run.
//! Absent: encryption. The proof of the secret is of the connection's begin; the frames behind it
//! are for networks in which nobody changes packets.

mod hello;
mod link;
mod message;
mod offset;
mod worker;
mod workers;

pub use hello::Party;
pub use message::{Arrivals, Message, StartMessage, TimedMessage};
pub use offset::Offset;
pub use worker::{Note, Worker};
pub use workers::{WorkerClock, WorkersPlan};

pub(crate) use message::AUTHORITIES_BYTES_MAX;
pub(crate) use workers::Workers;

#[cfg(test)]
mod tests;

//! A server that does nothing but speak HTTP, or frames.
//!
//! Invariants: one thread; bodies are counted and thrown away; every answer lies in memory from the
//! start; a connection whose request cannot be parsed is ended.

mod connection;
mod frame;
mod server;

pub use frame::{BODY_BYTES_MAX, FRAME_BYTES, Frame};
pub use server::{NullServer, Options, Protocol};

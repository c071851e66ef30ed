//! HTTP/1.1 connections of one gateway thread.
//!
//! `serve` turns the calling thread into a gateway thread: it runs a monoio runtime (io_uring, or
//! epoll where that is refused), accepts on its own SO_REUSEPORT listeners, and hands each request
//! to a `Handler`. What a request means is no matter of this crate.
//!
//! Invariants: nothing but two counters is shared between threads; a body is read from the socket only as the
//! handler asks for it; a request begun before the shutdown is answered unless the drain deadline
//! passes; the count of connections never exceeds `connections_max` plus `REFUSALS_MAX`.

mod config;
mod connection;
mod serve;
mod stall;
mod stop;

pub use config::{HttpConfig, ServeError};
pub use connection::{BoxError, Handler, REFUSALS_MAX};
pub use serve::{Listening, serve};

//! What one gateway thread listens on, and its limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

/// How one gateway thread serves HTTP.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Addresses to listen on. Every gateway thread binds the same ones (SO_REUSEPORT), and the
    /// kernel spreads connections over them.
    pub listen: Vec<SocketAddr>,
    /// Connections at once of all threads that share `open`; further ones are told 503 and closed.
    pub connections_max: usize,
    /// Bytes of a request's line and headers together; longer ones are told 431.
    pub header_bytes_max: usize,
    /// Time to receive the rest of a request's head after its first bytes.
    pub header_timeout: Duration,
    /// Time a connection may stay without a byte of a request, at its start and after an answer.
    pub idle_timeout: Duration,
    /// Time that a client may take no byte of an answer.
    pub write_timeout: Duration,
    /// Set by others while requests wait for memory: that time is 10 seconds at most then.
    pub pressed: Arc<AtomicBool>,
    /// Connections open now are added to this, which threads may share.
    pub open: Arc<AtomicUsize>,
    /// Time that requests under way get at a shutdown.
    pub drain_timeout: Duration,
    /// Connections the kernel holds for us before they are accepted.
    pub backlog: i32,
    /// Entries of the io_uring submission queue.
    pub ring_entries: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            connections_max: 4096,
            header_bytes_max: 64 * 1024,
            header_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            pressed: Arc::default(),
            open: Arc::default(),
            drain_timeout: Duration::from_secs(30),
            backlog: 1024,
            ring_entries: 1024,
        }
    }
}

/// Why a gateway thread could not begin to serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken, not ours, or needs a privilege.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Neither an io_uring nor an epoll runtime could be made.
    #[error("cannot start the gateway thread's runtime: {0}")]
    Runtime(io::Error),
    /// The configuration names no address.
    #[error("no address to listen on")]
    NoAddress,
}

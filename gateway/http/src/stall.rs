//! Clients that do not take what they asked for.
//!
//! Invariant: a write to a socket that does not move for the timeout fails, which ends the
//! connection and frees what was read for it. Reads have no limit here: between two requests the
//! head's timeout counts, and in a body the server may be what is waited for.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a write may stall while others wait for memory.
pub(crate) const PRESSED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long writes may stall.
#[derive(Debug, Clone)]
pub(crate) struct StallLimits {
    pub(crate) write_timeout: Duration,
    pub(crate) pressed: Arc<AtomicBool>,
}

/// A socket with those limits.
pub(crate) struct StallGuard<I> {
    io: I,
    limits: StallLimits,
    timer: Option<Pin<Box<monoio::time::Sleep>>>,
    stalled: Duration,
}

impl<I> StallGuard<I> {
    pub(crate) fn new(io: I, limits: StallLimits) -> Self {
        Self { io, limits, timer: None, stalled: Duration::ZERO }
    }

    /// Passes what became of a write; a write that waits fails at the limit.
    fn watched(
        &mut self,
        polled: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.timer = None;
            self.stalled = Duration::ZERO;
            return polled;
        }
        let step = self.limits.write_timeout.min(PRESSED_TIMEOUT);
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(monoio::time::sleep(step)));
            ready!(timer.as_mut().poll(context));
            self.timer = None;
            self.stalled += step;
            let is_pressed = self.limits.pressed.load(Ordering::Relaxed);
            if is_pressed || self.stalled >= self.limits.write_timeout {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
    }
}

impl<I: Read + Unpin> Read for StallGuard<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: Write + Unpin> Write for StallGuard<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watched(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.watched(polled, context)
    }
}

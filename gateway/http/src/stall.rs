//! Clients that do not send what they began, or do not take what they asked for.
//!
//! Invariants: a write to a socket that does not move for its timeout fails, and so does a read
//! while a head or the next request is awaited, which ends the connection and frees what was read
//! for it. Within a request reads have no limit here: the server may be what is waited for.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a write may stall while others wait for memory.
pub(crate) const PRESSED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may let the server wait.
#[derive(Debug, Clone)]
pub(crate) struct StallLimits {
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) pressed: Arc<AtomicBool>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No byte of a request came since the last answer.
    Between,
    /// Part of a head came.
    Head,
    /// A request is in work.
    Request,
}

/// A request in work, and the body of its answer; the connection is between two requests when it
/// is dropped.
pub(crate) struct Answering {
    phase: Rc<Cell<Phase>>,
}

impl Answering {
    pub(crate) fn begin(phase: Rc<Cell<Phase>>) -> Self {
        phase.set(Phase::Request);
        Self { phase }
    }

    pub(crate) fn with<B>(self, body: B) -> Answer<B> {
        Answer { body, _answering: self }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.phase.set(Phase::Between);
    }
}

/// The body of an answer.
pub(crate) struct Answer<B> {
    body: B,
    _answering: Answering,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

type Timer = Pin<Box<monoio::time::Sleep>>;

/// A socket with those limits.
pub(crate) struct StallGuard<I> {
    io: I,
    limits: StallLimits,
    phase: Rc<Cell<Phase>>,
    /// Of a read, and the phase it is for.
    read_timer: Option<(Phase, Timer)>,
    write_timer: Option<Timer>,
    stalled: Duration,
}

impl<I> StallGuard<I> {
    pub(crate) fn new(io: I, limits: StallLimits, phase: Rc<Cell<Phase>>) -> Self {
        Self { io, limits, phase, read_timer: None, write_timer: None, stalled: Duration::ZERO }
    }

    /// Passes what became of a read; one that waits too long for a head fails.
    fn watched_read(
        &mut self,
        polled: Poll<io::Result<()>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let phase = self.phase.get();
        if polled.is_ready() {
            if phase == Phase::Between {
                self.phase.set(Phase::Head);
                self.read_timer = None;
            }
            return polled;
        }
        let limit = match phase {
            Phase::Between => self.limits.idle_timeout,
            Phase::Head => self.limits.header_timeout,
            Phase::Request => {
                self.read_timer = None;
                return Poll::Pending;
            }
        };
        let mut timer = match self.read_timer.take() {
            Some((begun_in, timer)) if begun_in == phase => timer,
            _ => Box::pin(monoio::time::sleep(limit)),
        };
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.read_timer = Some((phase, timer));
        Poll::Pending
    }

    /// Passes what became of a write; a write that waits fails at the limit.
    fn watched(
        &mut self,
        polled: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.write_timer = None;
            self.stalled = Duration::ZERO;
            return polled;
        }
        let step = self.limits.write_timeout.min(PRESSED_TIMEOUT);
        loop {
            let timer = self.write_timer.get_or_insert_with(|| Box::pin(monoio::time::sleep(step)));
            ready!(timer.as_mut().poll(context));
            self.write_timer = None;
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
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        self.watched_read(polled, context)
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

//! One connection: hyper's HTTP/1.1 state machine on a monoio socket, and the refusal of
//! connections above the limit.

use crate::stall::{Answering, Phase, StallGuard, StallLimits};
use crate::stop::{Stage, Stop};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use monoio::io::IntoPollIo;
use monoio::net::TcpStream;
use monoio_compat::hyper::MonoioIo;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

/// An error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections above the limit that are being told so; further ones are closed without a word.
pub const REFUSALS_MAX: usize = 256;

/// The most hyper holds of one connection at once, in and out, unless heads may be longer. The
/// memory budget of the store counts with it.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

const REFUSAL_BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>\
<Message>Too many connections.</Message></Error>";

/// What answers requests.
///
/// **Runs on** one gateway thread; its futures are `!Send`. Many calls are under way at once.
pub trait Handler: 'static {
    /// The body of an answer; pulled as the socket takes it.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static;

    /// Answers one request. A failure is an answer too.
    fn call(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>>;
}

/// What all connections of a thread share.
pub(crate) struct Shared<H> {
    pub(crate) handler: H,
    pub(crate) builder: http1::Builder,
    pub(crate) stop: Rc<Stop>,
    pub(crate) connections_max: usize,
    pub(crate) connections: Rc<Cell<usize>>,
    /// The connections of all threads.
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) stall: StallLimits,
    pub(crate) refusals: Rc<Cell<usize>>,
}

/// One of a counted number; gives itself back.
struct Slot(Rc<Cell<usize>>);

impl Slot {
    fn take(count: &Rc<Cell<usize>>, max: usize) -> Option<Self> {
        if count.get() >= max {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self(Rc::clone(count)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One of the connections of all threads; takes itself off.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let open = Self(Arc::clone(count));
        // What is over the limit is taken off again as `open` is dropped.
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// hyper's settings. `pipeline_flush` stays off: it would copy every byte of a body. Its timeout
/// of heads runs between two requests too, so `StallGuard` has its own.
pub(crate) fn builder(header_bytes_max: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None::<Duration>)
        .max_header_size(header_bytes_max)
        .max_buf_size(BUFFER_BYTES_MAX.max(header_bytes_max))
        .keep_alive(true);
    builder
}

/// Starts a task for a connection just accepted.
pub(crate) fn start<H: Handler>(shared: &Rc<Shared<H>>, stream: TcpStream, peer: SocketAddr) {
    // A refusal only costs latency; the connection works without it.
    let _ = stream.set_nodelay(true);
    if let Some(open) = Open::take(&shared.open, shared.connections_max) {
        let shared = Rc::clone(shared);
        let slot = Slot::take(&shared.connections, usize::MAX);
        monoio::spawn(async move {
            serve_one(&shared, stream, peer).await;
            drop((slot, open));
        });
    } else if let Some(slot) = Slot::take(&shared.refusals, REFUSALS_MAX) {
        let shared = Rc::clone(shared);
        monoio::spawn(async move {
            let refusal = refuse_one(&shared, stream);
            let _ = monoio::time::timeout(REFUSAL_TIMEOUT, refusal).await;
            drop(slot);
        });
    }
}

async fn serve_one<H: Handler>(shared: &Rc<Shared<H>>, stream: TcpStream, peer: SocketAddr) {
    let Ok(stream) = stream.into_poll_io() else { return };
    let phase = Rc::new(Cell::new(Phase::Between));
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, phase) = (Rc::clone(shared), Rc::clone(&phase));
        async move {
            let answering = Answering::begin(phase);
            let response = shared.handler.call(peer, request).await;
            Ok::<_, Infallible>(response.map(|body| answering.with(body)))
        }
    });
    let limits = shared.stall.clone();
    let guarded = StallGuard::new(MonoioIo::new(stream), limits, Rc::clone(&phase));
    drive(&shared.builder, guarded, service, &shared.stop).await;
}

async fn refuse_one<H: Handler>(shared: &Rc<Shared<H>>, stream: TcpStream) {
    let Ok(stream) = stream.into_poll_io() else { return };
    let service = service_fn(|_request: Request<Incoming>| async move {
        let mut response = Response::new(Full::new(Bytes::from_static(REFUSAL_BODY.as_bytes())));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        Ok::<_, Infallible>(response)
    });
    let mut builder = shared.builder.clone();
    builder.keep_alive(false);
    drive(&builder, MonoioIo::new(stream), service, &shared.stop).await;
}

/// Runs a connection to its end, or to the end of the shutdown.
async fn drive<I, S, B>(builder: &http1::Builder, io: I, service: S, stop: &Rc<Stop>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    let mut connection = pin!(builder.serve_connection(io, service));
    let watch = stop.watch();
    let mut draining = false;
    poll_fn(|context| {
        let stage = watch.poll_stage(context);
        if stage == Stage::Ended {
            return Poll::Ready(());
        }
        if stage == Stage::Draining && !draining {
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
        // An error here is the peer's: it went away, sent no HTTP, or was too slow.
        connection.as_mut().poll(context).map(|_outcome| ())
    })
    .await;
}

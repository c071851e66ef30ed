//! The gateway thread itself: runtime, listeners, accepting, draining.

use crate::config::{HttpConfig, ServeError};
use crate::connection::{Handler, Shared, builder, start};
use crate::stall::StallLimits;
use crate::stop::{Stage, Stop};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};
use monoio::{FusionDriver, FusionRuntime, LegacyDriver, RuntimeBuilder};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Too many open files and the like: give others time to close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const DRAIN_POLL: Duration = Duration::from_millis(5);

/// What a thread serves on, told once when it does.
#[derive(Debug, Clone)]
pub struct Listening {
    /// The addresses bound, with the port the kernel chose where the configuration says 0.
    pub addresses: Vec<SocketAddr>,
    /// Whether the sockets run on io_uring; else on epoll, which is slower: say so loudly.
    pub io_uring: bool,
}

/// Serves HTTP on the calling thread until `shutdown` is ready and the connections are drained.
///
/// `listening` is called once, when the listeners are bound. `handler` is called on this thread,
/// inside the runtime, so that it may start tasks and timers. `shutdown` may be woken from any
/// thread. Returns whether every request under way was answered before the deadline.
///
/// # Errors
/// `Bind`, `NoAddress` or `Runtime`; nothing was served then.
pub fn serve<H: Handler>(
    config: &HttpConfig,
    listening: impl FnOnce(Listening),
    handler: impl FnOnce() -> H,
    shutdown: impl Future<Output = ()>,
) -> Result<bool, ServeError> {
    let body = |io_uring: bool| run(config, io_uring, listening, handler, shutdown);
    let fused =
        RuntimeBuilder::<FusionDriver>::new().with_entries(config.ring_entries).enable_timer();
    match fused.build() {
        Ok(mut runtime) => {
            let io_uring = matches!(runtime, FusionRuntime::Uring(_));
            runtime.block_on(body(io_uring))
        }
        // The kernel's probe promised a ring, but a limit (locked memory, files) refused it.
        Err(_) => {
            let legacy = RuntimeBuilder::<LegacyDriver>::new().enable_timer();
            let mut runtime = legacy.build().map_err(ServeError::Runtime)?;
            runtime.block_on(body(false))
        }
    }
}

async fn run<H: Handler>(
    config: &HttpConfig,
    io_uring: bool,
    listening: impl FnOnce(Listening),
    handler: impl FnOnce() -> H,
    shutdown: impl Future<Output = ()>,
) -> Result<bool, ServeError> {
    let listeners = bind_all(config)?;
    let mut addresses = Vec::with_capacity(listeners.len());
    for (listener, address) in listeners.iter().zip(&config.listen) {
        let local = listener.local_addr();
        addresses.push(local.map_err(|source| ServeError::Bind { address: *address, source })?);
    }
    let shared = Rc::new(Shared {
        handler: handler(),
        builder: builder(config.header_bytes_max),
        stop: Stop::new(),
        connections_max: config.connections_max,
        connections: Rc::new(Cell::new(0)),
        open: Arc::clone(&config.open),
        stall: StallLimits {
            header_timeout: config.header_timeout,
            idle_timeout: config.idle_timeout,
            write_timeout: config.write_timeout,
            pressed: Arc::clone(&config.pressed),
        },
        refusals: Rc::new(Cell::new(0)),
    });
    for listener in listeners {
        monoio::spawn(accept_all(Rc::clone(&shared), listener));
    }
    listening(Listening { addresses, io_uring });
    shutdown.await;
    Ok(drain(&shared, config.drain_timeout).await)
}

fn bind_all(config: &HttpConfig) -> Result<Vec<TcpListener>, ServeError> {
    if config.listen.is_empty() {
        return Err(ServeError::NoAddress);
    }
    let options = ListenerOpts::new().reuse_port(true).reuse_addr(true).backlog(config.backlog);
    let mut listeners = Vec::with_capacity(config.listen.len());
    for &address in &config.listen {
        let listener = TcpListener::bind_with_config(address, &options);
        listeners.push(listener.map_err(|source| ServeError::Bind { address, source })?);
    }
    Ok(listeners)
}

async fn accept_all<H: Handler>(shared: Rc<Shared<H>>, listener: TcpListener) {
    while let Some(accepted) = accept_one(&shared, &listener).await {
        match accepted {
            Ok((stream, peer)) => start(&shared, stream, peer),
            // The peer gave up before we took it: no harm done.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => monoio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// The next connection; `None` once the shutdown began.
async fn accept_one<H: Handler>(
    shared: &Rc<Shared<H>>,
    listener: &TcpListener,
) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    let watch = shared.stop.watch();
    let mut accept = pin!(listener.accept());
    poll_fn(|context| {
        if watch.poll_stage(context) != Stage::Serving {
            return Poll::Ready(None);
        }
        accept.as_mut().poll(context).map(Some)
    })
    .await
}

/// Waits for the connections to end; whether all did by themselves.
async fn drain<H: Handler>(shared: &Rc<Shared<H>>, timeout: Duration) -> bool {
    let deadline = monoio::time::Instant::now() + timeout;
    shared.stop.advance(Stage::Draining);
    while shared.connections.get() > 0 && monoio::time::Instant::now() < deadline {
        monoio::time::sleep(DRAIN_POLL).await;
    }
    let clean = shared.connections.get() == 0;
    shared.stop.advance(Stage::Ended);
    // The tasks are dropped inside the runtime, where their sockets can be deregistered.
    while shared.connections.get() > 0 || shared.refusals.get() > 0 {
        monoio::time::sleep(DRAIN_POLL).await;
    }
    clean
}

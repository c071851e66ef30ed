//! Connections of one thread, each with one request under way.
//!
//! Invariants: a lane that `start` was called on is ended exactly once; no other request starts on
//! it before; nothing is ever sent twice: a receive is under way also while a connection is idle,
//! so that its end is known before the next request, which has a new connection then.

use crate::body::{BodyEncoder, Fill, Signing};
use crate::request::{Method, Request, write_head};
use crate::response::{Head, ResponseError, ResponseParser, Sink};
use crate::ring::{Event, Kind, Lane, Ring};
use crate::sign::{Credentials, Signer};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// Received at once, at most.
const INPUT_BYTES: usize = 256 * 1024;

/// Why a request has no answer.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// No connection to the server.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// The answer is none.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}

impl ExchangeError {
    /// A name to count it under.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Broken(_) => "broken",
            Self::Response(ResponseError::Cut) => "cut",
            Self::Response(ResponseError::Malformed(_)) => "malformed",
            Self::TimedOut => "timeout",
        }
    }
}

/// Who asks, and hears of the answers.
pub trait Handler {
    /// Fills a buffer with the payload's bytes from an offset on.
    fn fill(&mut self, lane: Lane, offset: u64, out: &mut [u8]);
    /// The kernel has told of events, which follow.
    fn woken(&mut self) {}
    /// A connection is being made for the request under way.
    fn connecting(&mut self, _: Lane) {}
    /// It was made.
    fn connected(&mut self, lane: Lane);
    /// The answer begins.
    fn head(&mut self, lane: Lane, head: &Head);
    /// The next bytes of the answer's body.
    fn body(&mut self, lane: Lane, bytes: &[u8]);
    /// The request has ended; the lane is free for the next one as soon as `is_free` says so.
    fn ended(&mut self, lane: Lane, outcome: Result<(), ExchangeError>);
}

/// The handler's side of one lane.
struct LaneOf<'a, H> {
    handler: &'a mut H,
    lane: Lane,
}

impl<H: Handler> Fill for LaneOf<'_, H> {
    fn fill(&mut self, offset: u64, out: &mut [u8]) {
        self.handler.fill(self.lane, offset, out);
    }
}

impl<H: Handler> Sink for LaneOf<'_, H> {
    fn head(&mut self, head: &Head) {
        self.handler.head(self.lane, head);
    }
    fn body(&mut self, bytes: &[u8]) {
        self.handler.body(self.lane, bytes);
    }
}

/// One connection, and the request under way on it.
struct Connection {
    is_busy: bool,
    is_connected: bool,
    /// A part of the request could not be sent: the connection is of no use afterwards.
    is_cut: bool,
    encoder: Option<BodyEncoder>,
    parser: ResponseParser,
}

impl Connection {
    fn new() -> Self {
        Self {
            is_busy: false,
            is_connected: false,
            is_cut: false,
            encoder: None,
            parser: ResponseParser::new(),
        }
    }
}

/// The server that is asked.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the Host header says.
    pub host: String,
    /// Who asks; `None`: nobody is told.
    pub credentials: Option<Credentials>,
}

/// The connections of one thread to one server.
pub struct Client {
    ring: Ring,
    connections: Vec<Connection>,
    endpoint: Endpoint,
    signer: Option<Signer>,
    events: Vec<Event>,
    scratch: Vec<u8>,
}

impl Client {
    /// A client with so many connections, none made yet.
    ///
    /// **Runs on** the thread that will use it.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring.
    pub fn new(endpoint: Endpoint, lanes: u32, unix_seconds: u64) -> io::Result<Self> {
        let signer = endpoint.credentials.clone();
        let signer =
            signer.map(|credentials| Signer::new(credentials, &endpoint.host, unix_seconds));
        Ok(Self {
            ring: Ring::new(lanes, INPUT_BYTES)?,
            connections: (0..lanes).map(|_| Connection::new()).collect(),
            endpoint,
            signer,
            events: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Tells the time, at least every few minutes.
    pub fn set_time(&mut self, unix_seconds: u64) {
        if let Some(signer) = &mut self.signer {
            signer.set_time(unix_seconds);
        }
    }

    /// Whether a request may start on a lane.
    #[must_use]
    pub fn is_free(&self, lane: Lane) -> bool {
        let connection = &self.connections[lane.0 as usize];
        !connection.is_busy && (connection.is_connected || self.ring.is_closed(lane))
    }

    /// Whether a lane has a connection, as far as is known.
    #[must_use]
    pub fn is_connected(&self, lane: Lane) -> bool {
        self.connections[lane.0 as usize].is_connected
    }

    /// Starts a request on a free lane; it goes out at the next `turn`.
    pub fn start<H: Handler>(&mut self, lane: Lane, request: &Request<'_>, handler: &mut H) {
        assert!(self.is_free(lane), "one request at a time on a lane");
        let mut request = *request;
        if self.signer.is_none() && request.signing != Signing::Trailer {
            request.signing = Signing::Unsigned;
        }
        let hash;
        if let (Signing::Signed, Some(bytes), None) =
            (request.signing, request.payload_bytes, request.payload_sha256)
        {
            let mut source = LaneOf { handler: &mut *handler, lane };
            hash = crate::body::payload_sha256(bytes, &mut self.scratch, &mut source);
            request.payload_sha256 = Some(&hash);
        }
        let output = self.ring.output(lane);
        output.clear();
        let signature = write_head(&request, &self.endpoint.host, self.signer.as_mut(), output);
        let connection = &mut self.connections[lane.0 as usize];
        connection.encoder = request.payload_bytes.map(|bytes| {
            let signer = self.signer.as_ref().filter(|_| request.signing == Signing::Chunked);
            BodyEncoder::new(request.signing, bytes, signer.map(|signer| signer.chunks(signature)))
        });
        connection.parser.begin(request.method == Method::Head);
        (connection.is_busy, connection.is_cut) = (true, false);
        self.fill_output(lane, handler);
        if self.connections[lane.0 as usize].is_connected {
            self.ring.send(lane);
            return;
        }
        handler.connecting(lane);
        if let Err(error) = self.ring.connect(lane, self.endpoint.address) {
            self.end(lane, Err(ExchangeError::Connect(error)), handler);
        }
    }

    /// Appends the next piece of the body to the output. `false` where there is no more.
    fn fill_output<H: Handler>(&mut self, lane: Lane, handler: &mut H) -> bool {
        let connection = &mut self.connections[lane.0 as usize];
        let Some(encoder) = connection.encoder.as_mut().filter(|body| !body.is_ended()) else {
            return false;
        };
        let mut source = LaneOf { handler, lane };
        encoder.next(&mut source, self.ring.output(lane));
        true
    }

    /// Waits for what was begun, at most so long, and tells the handler of it.
    ///
    /// # Errors
    /// Where the ring itself fails.
    pub fn turn<H: Handler>(
        &mut self,
        timeout: Option<Duration>,
        handler: &mut H,
    ) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        let outcome = self.ring.wait(timeout, &mut events);
        handler.woken();
        for event in events.drain(..) {
            self.take(event, handler);
        }
        self.events = events;
        outcome
    }

    /// Gives a request up: it ends with `TimedOut`.
    pub fn abort<H: Handler>(&mut self, lane: Lane, handler: &mut H) {
        if self.connections[lane.0 as usize].is_busy {
            self.end(lane, Err(ExchangeError::TimedOut), handler);
        }
    }

    fn take<H: Handler>(&mut self, event: Event, handler: &mut H) {
        let lane = event.lane;
        let connection = &mut self.connections[lane.0 as usize];
        if !connection.is_busy {
            // An idle connection ends, or the server speaks unasked.
            if connection.is_connected && event.kind == Kind::Receive {
                connection.is_connected = false;
                self.ring.close(lane);
            }
            return;
        }
        match (event.kind, event.result) {
            (Kind::Connect, Ok(_)) => {
                self.connections[lane.0 as usize].is_connected = true;
                handler.connected(lane);
                self.ring.send(lane);
                self.ring.receive(lane);
            }
            (Kind::Connect, Err(error)) => {
                self.end(lane, Err(ExchangeError::Connect(error)), handler);
            }
            (Kind::Send, Ok(_)) => {
                self.ring.output(lane).clear();
                if self.fill_output(lane, handler) {
                    self.ring.send(lane);
                }
            }
            // What the server said before it closed may still come.
            (Kind::Send, Err(_)) => {
                let connection = &mut self.connections[lane.0 as usize];
                (connection.encoder, connection.is_cut) = (None, true);
            }
            (Kind::Receive, Ok(0)) => self.take_end(lane, handler),
            (Kind::Receive, Ok(_)) => self.take_input(lane, handler),
            (Kind::Receive, Err(error)) => {
                self.end(lane, Err(ExchangeError::Broken(error)), handler);
            }
        }
    }

    fn take_input<H: Handler>(&mut self, lane: Lane, handler: &mut H) {
        let connection = &mut self.connections[lane.0 as usize];
        let mut sink = LaneOf { handler: &mut *handler, lane };
        match connection.parser.advance(self.ring.input(lane), &mut sink) {
            Ok(false) => self.ring.receive(lane),
            Ok(true) => self.end(lane, Ok(()), handler),
            Err(error) => self.end(lane, Err(error.into()), handler),
        }
    }

    /// The server has closed the connection.
    fn take_end<H: Handler>(&mut self, lane: Lane, handler: &mut H) {
        match self.connections[lane.0 as usize].parser.closed() {
            Ok(()) => self.end(lane, Ok(()), handler),
            Err(error) => self.end(lane, Err(error.into()), handler),
        }
    }

    fn end<H: Handler>(&mut self, lane: Lane, outcome: Result<(), ExchangeError>, handler: &mut H) {
        let connection = &mut self.connections[lane.0 as usize];
        let is_sent = connection.encoder.as_ref().is_none_or(BodyEncoder::is_ended);
        // An answer that came before the whole request did leaves the rest of it behind.
        let is_whole = is_sent && !connection.is_cut && !self.ring.is_sending(lane);
        let keeps = outcome.is_ok() && is_whole && connection.parser.keeps_alive();
        connection.is_busy = false;
        if keeps {
            self.ring.receive(lane);
        } else {
            connection.is_connected = false;
            self.ring.close(lane);
        }
        handler.ended(lane, outcome);
    }
}

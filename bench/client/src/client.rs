//! Connections of one thread, each with one request under way.
//!
//! Invariants: a lane that `start` was called on is ended exactly once; no other request starts on
//! it before; nothing is ever sent twice: a receive is under way also while a connection is idle,
//! so that its end is known before the next request, which has a new connection then. Without TLS
//! the bytes of a request are written where they are sent from; with it (`sealed`) they wait in the
//! lane's session until its handshake is over.

mod sealed;

use crate::body::{BodyEncoder, Fill, Signing};
use crate::request::{Method, Request, write_head};
use crate::response::{Head, ResponseError, ResponseParser, Sink};
use crate::ring::{Event, Kind, Lane, Ring};
use crate::sign::{Credentials, Signer};
use crate::tls::{Session, Tls, in_plain_words};
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
    /// The server's certificate is refused, or the server speaks TLS wrongly or not at all.
    #[error("TLS: {}", in_plain_words(.0))]
    Tls(#[from] rustls::Error),
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
            Self::Tls(_) => "tls",
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
    /// It was made; where TLS is spoken, its handshake is over too.
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
    /// Where TLS is spoken.
    sealed: Option<Box<Session>>,
}

impl Connection {
    fn new(is_sealed: bool) -> Self {
        Self {
            is_busy: false,
            is_connected: false,
            is_cut: false,
            encoder: None,
            parser: ResponseParser::new(),
            sealed: is_sealed.then(Box::default),
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
    /// How TLS is spoken to it; `None`: it is not.
    pub tls: Option<Tls>,
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
            connections: (0..lanes).map(|_| Connection::new(endpoint.tls.is_some())).collect(),
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
        let connection = &mut self.connections[lane.0 as usize];
        let output = output_of(&mut connection.sealed, &mut self.ring, lane);
        output.clear();
        let signature = write_head(&request, &self.endpoint.host, self.signer.as_mut(), output);
        connection.encoder = request.payload_bytes.map(|bytes| {
            let signer = self.signer.as_ref().filter(|_| request.signing == Signing::Chunked);
            BodyEncoder::new(request.signing, bytes, signer.map(|signer| signer.chunks(signature)))
        });
        connection.parser.begin(request.method == Method::Head);
        (connection.is_busy, connection.is_cut) = (true, false);
        self.fill_output(lane, handler);
        let connection = &self.connections[lane.0 as usize];
        let begun = match (connection.is_connected, connection.sealed.is_some()) {
            (true, false) => {
                self.ring.send(lane);
                Ok(())
            }
            (true, true) => self.send_sealed(lane, handler),
            (false, _) => {
                handler.connecting(lane);
                self.connect(lane)
            }
        };
        if let Err(error) = begun {
            self.end(lane, Err(error), handler);
        }
    }

    fn connect(&mut self, lane: Lane) -> Result<(), ExchangeError> {
        let session = self.connections[lane.0 as usize].sealed.as_mut();
        if let (Some(session), Some(tls)) = (session, &self.endpoint.tls) {
            session.begin(tls)?;
        }
        self.ring.connect(lane, self.endpoint.address).map_err(ExchangeError::Connect)
    }

    /// Appends the next piece of the body to the output. `false` where there is no more.
    fn fill_output<H: Handler>(&mut self, lane: Lane, handler: &mut H) -> bool {
        let connection = &mut self.connections[lane.0 as usize];
        let Some(encoder) = connection.encoder.as_mut().filter(|body| !body.is_ended()) else {
            return false;
        };
        let mut source = LaneOf { handler, lane };
        let output = output_of(&mut connection.sealed, &mut self.ring, lane);
        encoder.next(&mut source, output);
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
        let connection = &self.connections[lane.0 as usize];
        let is_sealed = connection.sealed.is_some();
        if !connection.is_busy {
            if connection.is_connected && event.kind == Kind::Receive {
                match event.result {
                    Ok(1..) if is_sealed => self.take_sealed_idle(lane, handler),
                    // An idle connection ends, or the server speaks unasked.
                    _ => self.close(lane),
                }
            }
            return;
        }
        if is_sealed {
            self.take_sealed(event, handler);
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
        let is_open = connection.sealed.as_ref().is_none_or(|session| session.is_open());
        let keeps = outcome.is_ok() && is_whole && is_open && connection.parser.keeps_alive();
        connection.is_busy = false;
        if keeps {
            self.ring.receive(lane);
        } else {
            self.close(lane);
        }
        handler.ended(lane, outcome);
    }

    /// Ends a connection; where TLS is spoken, the server is told.
    fn close(&mut self, lane: Lane) {
        let connection = &mut self.connections[lane.0 as usize];
        connection.is_connected = false;
        if let Some(session) = &mut connection.sealed {
            let words = session.end();
            // Nothing can be said in the middle of what is being sent.
            if !self.ring.is_sending(lane) {
                self.ring.say_last(lane, words);
            }
        }
        self.ring.close(lane);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.endpoint.tls.is_none() {
            return;
        }
        for lane in (0..self.ring.lane_count()).map(Lane) {
            if self.is_connected(lane) {
                self.close(lane);
            }
        }
    }
}

/// Where the bytes of a request go: to be sent, or to be sealed before.
fn output_of<'a>(
    sealed: &'a mut Option<Box<Session>>,
    ring: &'a mut Ring,
    lane: Lane,
) -> &'a mut Vec<u8> {
    match sealed {
        Some(session) => &mut session.plain,
        None => ring.output(lane),
    }
}

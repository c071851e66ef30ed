//! The thread: one epoll over the listener and its connections.

use crate::connection::{Answer, Connection, Kind};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const CONNECTIONS_FROM: usize = 2;

/// The object in memory: longer ones send it again and again.
const OBJECT_BYTES: usize = 1 << 20;
/// Received at once, at most.
const INPUT_BYTES: usize = 256 * 1024;

/// What the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// As much HTTP as an S3 client needs.
    #[default]
    Http,
    /// Frames: lengths and bytes.
    Frames,
}

/// What the server answers.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where it listens; port 0: any.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// How long every object is; a frame says itself what it asks for.
    pub object_bytes: u64,
    /// It answers no more requests in a second; `None`: as many as it can.
    pub requests_per_second: Option<u32>,
}

/// A limit on answers: each has its time, and the whole thread waits for it.
struct Pace {
    gap: Duration,
    next: Option<Instant>,
}

impl Pace {
    #[allow(clippy::disallowed_methods, reason = "a limit per second is about real time")]
    fn wait(&mut self) {
        let now = Instant::now();
        // What was not asked for is not made up for later.
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some(at + self.gap);
        std::thread::sleep(at.saturating_duration_since(now));
    }
}

/// Every answer, made once.
pub(crate) struct Answers {
    pub(crate) object: Vec<u8>,
    object_bytes: u64,
    object_head: Vec<u8>,
    stored: Vec<u8>,
    empty: Vec<u8>,
    listing: Vec<u8>,
}

impl Answers {
    fn new(object_bytes: u64) -> Self {
        let etag = "ETag: \"00000000000000000000000000000000\"\r\n";
        let listing = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult>\
             <KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
        let with_length = |extra: &str, bytes: u64| {
            format!("HTTP/1.1 200 OK\r\n{extra}Content-Length: {bytes}\r\n\r\n")
        };
        let listing_head = with_length("Content-Type: application/xml\r\n", listing.len() as u64);
        Self {
            object: vec![0; OBJECT_BYTES],
            object_bytes,
            object_head: with_length(etag, object_bytes).into_bytes(),
            stored: with_length(etag, 0).into_bytes(),
            empty: b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            listing: format!("{listing_head}{listing}").into_bytes(),
        }
    }

    pub(crate) fn head<'a>(&'a self, kind: &'a Kind) -> &'a [u8] {
        match kind {
            Kind::Object | Kind::ObjectHead => &self.object_head,
            Kind::Stored => &self.stored,
            Kind::Empty => &self.empty,
            Kind::Listing => &self.listing,
            Kind::Frame { head, .. } => head,
        }
    }

    /// Bytes behind an answer's head that come out of the object in memory.
    fn body_bytes(&self, kind: &Kind) -> u64 {
        match kind {
            Kind::Object => self.object_bytes,
            Kind::Frame { body_bytes, .. } => *body_bytes,
            _ => 0,
        }
    }

    /// Bytes of an answer, head and body.
    pub(crate) fn total(&self, kind: &Kind) -> u64 {
        self.head(kind).len() as u64 + self.body_bytes(kind)
    }
}

/// A server that listens and was not run yet.
pub struct NullServer {
    poll: Poll,
    listener: TcpListener,
    waker: Arc<Waker>,
    protocol: Protocol,
    answers: Answers,
    pace: Option<Pace>,
    connections: HashMap<Token, (TcpStream, Connection)>,
    next_token: usize,
    input: Vec<u8>,
}

impl NullServer {
    /// Listens.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub fn bind(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(options.address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            poll,
            listener,
            waker,
            protocol: options.protocol,
            answers: Answers::new(options.object_bytes),
            pace: options
                .requests_per_second
                .map(|rate| Pace { gap: Duration::from_secs(1) / rate.max(1), next: None }),
            connections: HashMap::new(),
            next_token: CONNECTIONS_FROM,
            input: vec![0; INPUT_BYTES],
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the kernel cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Ends the server when it is woken; from any thread.
    #[must_use]
    pub fn stopper(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// Where epoll or the listener fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    WAKER => return Ok(()),
                    token => self.serve(token),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Of a client that is gone already, or for want of descriptors.
                Err(error) if error.kind() != ErrorKind::InvalidInput => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.next_token);
            self.next_token += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, token, interest)?;
            self.connections.insert(token, (stream, Connection::new(self.protocol)));
        }
    }

    /// Reads and writes as far as the socket lets it; forgets a connection that has ended.
    fn serve(&mut self, token: Token) {
        let Some((stream, connection)) = self.connections.get_mut(&token) else { return };
        let pace = self.pace.as_mut();
        if !goes_on(stream, connection, &self.answers, (&mut self.input, pace)).unwrap_or(false) {
            self.connections.remove(&token);
        }
    }
}

/// Whether the connection lives on.
fn goes_on(
    stream: &mut TcpStream,
    connection: &mut Connection,
    answers: &Answers,
    (input, mut pace): (&mut [u8], Option<&mut Pace>),
) -> io::Result<bool> {
    let mut is_drained = false;
    loop {
        while let Some(answer) = &mut connection.answer {
            if answer.sent == answers.total(&answer.kind) {
                connection.answer = None;
                break;
            }
            let is_first = answer.sent == 0;
            let sent = match send(stream, answer, is_first, answers) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome?,
            };
            answer.sent += sent as u64;
        }
        if is_drained {
            return Ok(true);
        }
        let bytes = match stream.read(input) {
            Ok(0) => return Ok(false),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if connection.take(&input[..bytes]).is_err() {
            return Ok(false);
        }
        if connection.answer.is_some()
            && let Some(pace) = &mut pace
        {
            pace.wait();
        }
        // What comes later is told of again.
        is_drained = bytes < input.len();
    }
}

/// Head and object go out together at first.
fn send(
    stream: &mut TcpStream,
    answer: &Answer,
    is_first: bool,
    answers: &Answers,
) -> io::Result<usize> {
    let rest = answer.rest(answers);
    let body_bytes = answers.body_bytes(&answer.kind);
    if !is_first || body_bytes == 0 {
        return stream.write(rest);
    }
    let body = usize::try_from(body_bytes).unwrap_or(usize::MAX).min(answers.object.len());
    stream.write_vectored(&[io::IoSlice::new(rest), io::IoSlice::new(&answers.object[..body])])
}

//! The target `net`: frames over TCP to a sink, without HTTP, signatures or a store.
//!
//! Invariants: a put is a frame of its bytes, a get one that asks for as many; a lane has one
//! exchange under way and its connection stays; a receive is under way also while it is idle, so
//! that its end is known before the next exchange. Bytes of answers are counted, not checked.

use crate::clock;
use crate::error::RunError;
use crate::planner::Planner;
use crate::target::{Done, Outcome, Target};
use crate::task::Task;
use bench_client::ring::{Event, Kind, Ring};
use bench_client::{ExchangeError, Lane};
use bench_model::{Operation, Payload};
use bench_null::{FRAME_BYTES, Frame};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Received at once, at most.
const INPUT_BYTES: usize = 256 * 1024;
/// Sent at once, at most.
const PIECE_BYTES: u64 = 256 * 1024;
/// A sink that is there has answered the first frame after so long.
const GREETING: Duration = Duration::from_secs(5);

/// Says whether a sink listens there.
///
/// # Errors
/// Where nobody listens, or somebody who speaks no frames.
pub(crate) fn greet(address: SocketAddr) -> Result<(), RunError> {
    let mut stream =
        TcpStream::connect_timeout(&address, GREETING).map_err(|error| RunError::Unreachable {
            endpoint: address.to_string(),
            error: ExchangeError::Connect(error),
        })?;
    let empty = Frame { body_bytes: 0, answer_bytes: 0 };
    let mut exchange = || -> io::Result<Option<Frame>> {
        stream.set_read_timeout(Some(GREETING))?;
        stream.write_all(&empty.encode())?;
        let mut head = [0; FRAME_BYTES];
        stream.read_exact(&mut head)?;
        Ok(Frame::decode(&head))
    };
    if exchange().is_ok_and(|answer| answer == Some(empty)) {
        return Ok(());
    }
    let problem = format!(
        "what listens on {address} speaks no frames; basalt bench serve-null --protocol frames does"
    );
    Err(RunError::Setting { setting: "--endpoint", problem })
}

/// The frame that asks for an operation.
fn frame_of(task: &Task) -> Frame {
    match task.operation {
        Operation::Put => Frame { body_bytes: task.size_bytes, answer_bytes: 0 },
        Operation::GetRange => Frame { body_bytes: 0, answer_bytes: task.range.1 },
        _ => Frame { body_bytes: 0, answer_bytes: task.size_bytes },
    }
}

/// One connection, and the exchange under way on it.
#[derive(Default)]
struct Link {
    is_connected: bool,
    task: Option<Task>,
    has_sent_head: bool,
    sent_bytes: u64,
    head: [u8; FRAME_BYTES],
    head_bytes: usize,
    received_bytes: u64,
    connecting_ns: u64,
    connected_ns: Option<u64>,
    first_byte_ns: Option<u64>,
}

impl Link {
    /// Takes what was received: whether the answer is complete; `None` where it is none.
    fn take(&mut self, asked: Frame, input: &[u8]) -> Option<bool> {
        let taken = input.len().min(FRAME_BYTES - self.head_bytes);
        self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&input[..taken]);
        self.head_bytes += taken;
        self.received_bytes += (input.len() - taken) as u64;
        if self.head_bytes < FRAME_BYTES {
            return Some(false);
        }
        let answer = Frame::decode(&self.head)?;
        let is_right = answer.body_bytes == asked.answer_bytes
            && self.received_bytes <= asked.answer_bytes
            && self.sent_bytes == asked.body_bytes;
        is_right.then_some(self.received_bytes == asked.answer_bytes)
    }
}

/// The connections of one thread to a sink.
pub struct NetTarget {
    ring: Ring,
    address: SocketAddr,
    payload: Payload,
    links: Vec<Link>,
    events: Vec<Event>,
    /// Lanes that could not even begin to connect.
    refused: Vec<Lane>,
    /// When the kernel told of what is being heard.
    woken_ns: u64,
}

impl NetTarget {
    /// A target of so many connections; none is made yet.
    ///
    /// **Runs on** the thread that will use it.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring.
    pub fn new(address: SocketAddr, payload: Payload, lanes: u32) -> io::Result<Self> {
        let ring = Ring::new(lanes, INPUT_BYTES).map_err(|error| {
            io::Error::new(error.kind(), format!("io_uring is refused here: {error}"))
        })?;
        Ok(Self {
            ring,
            address,
            payload,
            links: (0..lanes).map(|_| Link::default()).collect(),
            events: Vec::new(),
            refused: Vec::new(),
            woken_ns: 0,
        })
    }

    /// Sends the next piece of a lane's frame, if there is one.
    fn send(&mut self, lane: Lane) {
        let link = &mut self.links[lane.0 as usize];
        let Some(task) = link.task else { return };
        let asked = frame_of(&task);
        let output = self.ring.output(lane);
        output.clear();
        if !link.has_sent_head {
            output.extend_from_slice(&asked.encode());
            link.has_sent_head = true;
        }
        let piece_bytes = (asked.body_bytes - link.sent_bytes).min(PIECE_BYTES);
        if piece_bytes > 0 {
            let begin = output.len();
            output.resize(begin + usize::try_from(piece_bytes).unwrap_or(usize::MAX), 0);
            self.payload.fill(task.stamp(), link.sent_bytes, &mut output[begin..]);
            link.sent_bytes += piece_bytes;
        }
        if !output.is_empty() {
            self.ring.send(lane);
        }
    }

    fn hear(&mut self, event: Event, done: &mut Vec<Done>) {
        let Event { lane, kind, result } = event;
        let link = &mut self.links[lane.0 as usize];
        if link.task.is_none() {
            // An idle connection ends, or the sink speaks unasked.
            if link.is_connected && kind == Kind::Receive {
                link.is_connected = false;
                self.ring.close(lane);
            }
            return;
        }
        match (kind, result) {
            (Kind::Connect, Ok(_)) => {
                (link.is_connected, link.connected_ns) = (true, Some(self.woken_ns));
                self.send(lane);
                self.ring.receive(lane);
            }
            (Kind::Connect, Err(_)) => self.end(lane, failed("connect"), done),
            (Kind::Send, Ok(_)) => self.send(lane),
            // The receive that is under way tells of it too.
            (Kind::Send, Err(_)) => {}
            (Kind::Receive, Ok(0) | Err(_)) => self.end(lane, failed("broken"), done),
            (Kind::Receive, Ok(_)) => self.receive(lane, done),
        }
    }

    fn receive(&mut self, lane: Lane, done: &mut Vec<Done>) {
        let link = &mut self.links[lane.0 as usize];
        let Some(task) = link.task else { return };
        link.first_byte_ns.get_or_insert(self.woken_ns);
        match link.take(frame_of(&task), self.ring.input(lane)) {
            Some(true) => self.end(lane, Outcome::Done, done),
            Some(false) => self.ring.receive(lane),
            None => self.end(lane, failed("malformed"), done),
        }
    }

    fn end(&mut self, lane: Lane, outcome: Outcome, done: &mut Vec<Done>) {
        let link = &mut self.links[lane.0 as usize];
        let Some(task) = link.task.take() else { return };
        let asked = frame_of(&task);
        let is_done = outcome == Outcome::Done;
        if is_done && !self.ring.is_sending(lane) {
            self.ring.receive(lane);
        } else {
            link.is_connected = false;
            self.ring.close(lane);
        }
        let connect_ns = link.connected_ns.map(|at| at.saturating_sub(link.connecting_ns));
        done.push(Done {
            lane,
            outcome,
            object_bytes: if is_done { asked.body_bytes + asked.answer_bytes } else { 0 },
            first_byte_ns: link.first_byte_ns,
            connect_ns,
            connected_ns: link.connected_ns,
            ended_ns: self.woken_ns,
        });
    }
}

fn failed(code: &str) -> Outcome {
    Outcome::Failed(code.to_owned())
}

impl Target for NetTarget {
    fn lanes(&self) -> u32 {
        self.ring.lane_count()
    }

    fn is_free(&self, lane: Lane) -> bool {
        let link = &self.links[lane.0 as usize];
        link.task.is_none() && (link.is_connected || self.ring.is_closed(lane))
    }

    fn start(&mut self, lane: Lane, task: &Task, _: &Planner) {
        let link = &mut self.links[lane.0 as usize];
        let is_connected = link.is_connected;
        *link = Link { is_connected, task: Some(*task), ..Link::default() };
        if is_connected {
            self.send(lane);
            return;
        }
        link.connecting_ns = clock::now_ns();
        if self.ring.connect(lane, self.address).is_err() {
            self.refused.push(lane);
        }
    }

    fn turn(
        &mut self,
        timeout: Option<Duration>,
        _: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        let waited = self.ring.wait(timeout, &mut events);
        self.woken_ns = clock::now_ns();
        for event in events.drain(..) {
            self.hear(event, done);
        }
        self.events = events;
        while let Some(lane) = self.refused.pop() {
            self.end(lane, failed("connect"), done);
        }
        waited
    }

    fn abort(&mut self, lane: Lane, _: &Planner, done: &mut Vec<Done>) {
        self.woken_ns = clock::now_ns();
        self.end(lane, failed("timeout"), done);
    }
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;

//! Sockets of one thread on an io_uring.
//!
//! Invariants: a lane has at most one connect, one send and one receive under way; its buffers
//! belong to the ring and are lent out only while no operation uses them; the socket is closed
//! only once nothing is under way; a ring that ends with operations under way leaks their buffers.
#![allow(unsafe_code, reason = "submission entries carry raw addresses")]

use crate::uring;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// One connection's place in the ring: an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

/// What has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection is made; nothing is told by the result.
    Connect,
    /// The whole output is with the kernel; the result is its length.
    Send,
    /// Bytes have come; the result is how many, 0 at the end of the stream.
    Receive,
}

/// An operation that has ended.
#[derive(Debug)]
pub struct Event {
    /// On which connection.
    pub lane: Lane,
    /// What.
    pub kind: Kind,
    /// Bytes, by the kind; or what went wrong.
    pub result: io::Result<usize>,
}

/// Rounds that the end of a ring waits for the kernel to let go of its buffers.
const END_ROUNDS: u32 = 100;

struct State {
    socket: Option<Socket>,
    /// Boxed: the kernel reads it while it connects.
    address: Option<Box<SockAddr>>,
    output: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    input_bytes: usize,
    connecting: bool,
    sending: bool,
    receiving: bool,
    closing: bool,
}

impl State {
    fn new(input_bytes: usize) -> Self {
        Self {
            socket: None,
            address: None,
            output: Vec::new(),
            sent: 0,
            input: vec![0; input_bytes],
            input_bytes: 0,
            connecting: false,
            sending: false,
            receiving: false,
            closing: false,
        }
    }

    fn is_idle(&self) -> bool {
        !self.connecting && !self.sending && !self.receiving
    }

    fn socket(&self) -> &Socket {
        self.socket.as_ref().expect("only a connected lane sends and receives")
    }
}

/// The ring of one thread.
pub struct Ring {
    ring: IoUring,
    lanes: Vec<State>,
}

impl Ring {
    /// A ring for so many connections that receive at most `input_bytes` at once.
    ///
    /// **Runs on** the thread that will use it.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring.
    pub fn new(lanes: u32, input_bytes: usize) -> io::Result<Self> {
        let entries = (lanes * 2).next_power_of_two().clamp(8, 4096);
        let ring = uring::build(entries)?;
        Ok(Self { ring, lanes: (0..lanes).map(|_| State::new(input_bytes)).collect() })
    }

    /// How many connections there can be.
    #[must_use]
    pub fn lane_count(&self) -> u32 {
        u32::try_from(self.lanes.len()).unwrap_or(u32::MAX)
    }

    fn state(&mut self, lane: Lane) -> &mut State {
        &mut self.lanes[lane.0 as usize]
    }

    /// Begins to connect. The lane must be closed.
    ///
    /// # Errors
    /// Where the host has no sockets left.
    pub fn connect(&mut self, lane: Lane, address: SocketAddr) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nodelay(true)?;
        let state = self.state(lane);
        assert!(state.socket.is_none(), "a lane is closed before it connects again");
        let address = Box::new(SockAddr::from(address));
        let fd = Fd(socket.as_raw_fd());
        let entry = opcode::Connect::new(fd, address.as_ptr().cast(), address.len())
            .build()
            .user_data(user_data(lane, Kind::Connect));
        state.socket = Some(socket);
        state.address = Some(address);
        state.connecting = true;
        state.closing = false;
        self.push(entry);
        Ok(())
    }

    /// What is sent next, to be filled; the last output is still in it until it is cleared.
    pub fn output(&mut self, lane: Lane) -> &mut Vec<u8> {
        let state = self.state(lane);
        assert!(!state.sending, "the kernel is reading this output");
        &mut state.output
    }

    /// Begins to send the whole output.
    pub fn send(&mut self, lane: Lane) {
        let state = self.state(lane);
        assert!(!state.sending, "one send at a time");
        assert!(!state.output.is_empty(), "there is something to send");
        state.sending = true;
        state.sent = 0;
        self.push_send(lane);
    }

    fn push_send(&mut self, lane: Lane) {
        let state = self.state(lane);
        let rest = &state.output[state.sent..];
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(state.socket().as_raw_fd()), rest.as_ptr(), len)
            .flags(libc_flags::WAITALL | libc_flags::NOSIGNAL)
            .build()
            .user_data(user_data(lane, Kind::Send));
        self.push(entry);
    }

    /// Begins to receive; what was received before is gone.
    pub fn receive(&mut self, lane: Lane) {
        let state = self.state(lane);
        assert!(!state.receiving, "one receive at a time");
        state.receiving = true;
        state.input_bytes = 0;
        let len = u32::try_from(state.input.len()).unwrap_or(u32::MAX);
        let fd = Fd(state.socket().as_raw_fd());
        let entry = opcode::Recv::new(fd, state.input.as_mut_ptr(), len)
            .build()
            .user_data(user_data(lane, Kind::Receive));
        self.push(entry);
    }

    /// What was received last.
    #[must_use]
    pub fn input(&self, lane: Lane) -> &[u8] {
        let state = &self.lanes[lane.0 as usize];
        assert!(!state.receiving, "the kernel is writing this input");
        &state.input[..state.input_bytes]
    }

    /// Whether the kernel has not taken the whole output yet.
    #[must_use]
    pub fn is_sending(&self, lane: Lane) -> bool {
        self.lanes[lane.0 as usize].sending
    }

    /// Whether the lane has neither a connection nor anything under way.
    #[must_use]
    pub fn is_closed(&self, lane: Lane) -> bool {
        self.lanes[lane.0 as usize].socket.is_none()
    }

    /// Sends a few bytes at once, as far as the socket takes them, before a connection is closed. No
    /// send may be under way.
    pub fn say_last(&mut self, lane: Lane, bytes: &[u8]) {
        let state = self.state(lane);
        assert!(!state.sending, "what is being sent goes first");
        if let Some(socket) = state.socket.as_ref().filter(|_| !state.connecting) {
            // Perhaps nobody hears it any more.
            _ = socket.send_with_flags(bytes, libc_flags::DONTWAIT | libc_flags::NOSIGNAL);
        }
    }

    /// Ends a connection. Where operations are under way it is closed once they have ended; their
    /// events are not told any more.
    pub fn close(&mut self, lane: Lane) {
        let state = self.state(lane);
        let Some(socket) = &state.socket else { return };
        if state.is_idle() {
            state.socket = None;
            return;
        }
        state.closing = true;
        // It may be broken already.
        _ = socket.shutdown(Shutdown::Both);
    }

    /// Submits what was begun and waits for an event, at most so long; `None`: without end. Events
    /// are appended.
    ///
    /// # Errors
    /// Where the ring itself fails.
    pub fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        uring::wait(&self.ring, timeout)?;
        self.take_completions(events);
        Ok(())
    }

    fn take_completions(&mut self, events: &mut Vec<Event>) {
        loop {
            let Some(completion) = self.ring.completion().next() else { return };
            let (lane, kind) = parted(completion.user_data());
            let result = match completion.result() {
                bytes if bytes >= 0 => Ok(bytes.unsigned_abs() as usize),
                code => Err(io::Error::from_raw_os_error(-code)),
            };
            if let Some(event) = self.take_completion(lane, kind, result) {
                events.push(event);
            }
        }
    }

    fn take_completion(
        &mut self,
        lane: Lane,
        kind: Kind,
        mut result: io::Result<usize>,
    ) -> Option<Event> {
        let state = self.state(lane);
        match kind {
            Kind::Connect => {
                state.connecting = false;
                state.address = None;
            }
            Kind::Receive => {
                state.receiving = false;
                state.input_bytes = *result.as_ref().unwrap_or(&0);
            }
            Kind::Send => {
                if let Ok(bytes) = result {
                    state.sent += bytes;
                    let left = state.output.len() - state.sent;
                    if left > 0 && bytes > 0 && !state.closing {
                        self.push_send(lane);
                        return None;
                    }
                    result = match left {
                        0 => Ok(state.sent),
                        _ => Err(io::ErrorKind::WriteZero.into()),
                    };
                }
                state.sending = false;
            }
        }
        let state = self.state(lane);
        if state.closing {
            if state.is_idle() {
                state.socket = None;
                state.closing = false;
            }
            return None;
        }
        Some(Event { lane, kind, result })
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: the memory an entry names (address, output, input) belongs to a lane of this
        // ring, is not touched while the lane's flag for the operation is set, and is leaked by
        // `Drop` where that flag never goes.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            // A full queue is submitted; an error shows at the next wait.
            if self.ring.submit().is_err() {
                std::hint::spin_loop();
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for lane in 0..self.lane_count() {
            self.close(Lane(lane));
        }
        let mut rounds = 0;
        while self.lanes.iter().any(|state| !state.is_idle()) && rounds < END_ROUNDS {
            let waited = self.wait(Some(Duration::from_millis(10)), &mut Vec::new());
            if waited.is_err() {
                break;
            }
            rounds += 1;
        }
        for state in self.lanes.drain(..).filter(|state| !state.is_idle()) {
            // The kernel may still use them.
            Box::leak(Box::new((state.output, state.input, state.address)));
        }
    }
}

mod libc_flags {
    /// A stream's send is whole or failed.
    pub(super) const WAITALL: i32 = 0x100;
    /// No signal where the peer is gone.
    pub(super) const NOSIGNAL: i32 = 0x4000;
    /// As much as there is room for, at once.
    pub(super) const DONTWAIT: i32 = 0x40;
}

fn user_data(lane: Lane, kind: Kind) -> u64 {
    let kind = match kind {
        Kind::Connect => 0,
        Kind::Send => 1,
        Kind::Receive => 2,
    };
    u64::from(lane.0) << 2 | kind
}

fn parted(user_data: u64) -> (Lane, Kind) {
    let kind = match user_data & 3 {
        0 => Kind::Connect,
        1 => Kind::Send,
        _ => Kind::Receive,
    };
    (Lane((user_data >> 2) as u32), kind)
}

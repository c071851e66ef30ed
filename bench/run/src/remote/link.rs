//! Messages over TCP: each is its length u32, little-endian, and its bytes.
//!
//! Invariants: no more than the bound of a message is kept of what comes in; a message that could
//! not be written as a whole ends the connection; a side that sends nothing is found.

use crate::clock;
use crate::remote::message::{HELLO_BYTES_MAX, MESSAGE_BYTES_MAX, Message};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Who waits for a message looks up so often.
const TURN: Duration = Duration::from_millis(50);
/// A side that takes nothing for so long is lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The two ends of a connection that was just made.
///
/// # Errors
/// Where the socket refuses its options.
pub(crate) fn ends_of(stream: TcpStream) -> io::Result<(Incoming, Outgoing)> {
    stream.set_nonblocking(false)?;
    // A ping must not wait for more to send.
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TURN))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let outgoing = Outgoing { stream: Mutex::new(stream.try_clone()?) };
    let heard_ns = clock::now_ns();
    let incoming = Incoming {
        stream,
        buffer: Vec::new(),
        piece: vec![0; PIECE_BYTES],
        bytes_max: HELLO_BYTES_MAX,
        heard_ns,
    };
    Ok((incoming, outgoing))
}

/// Where messages go.
pub(crate) struct Outgoing {
    stream: Mutex<TcpStream>,
}

impl Outgoing {
    /// Sends a message.
    ///
    /// # Errors
    /// Where the connection is of no use any more; whoever reads from it sees that too.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        let mut frame = vec![0; 4];
        message.encode(&mut frame);
        let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
        frame[..4].copy_from_slice(&length.to_le_bytes());
        // The frame is whole or the connection ended, so a panic elsewhere spoils nothing.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = stream.write_all(&frame);
        if sent.is_err() {
            _ = stream.shutdown(Shutdown::Both);
        }
        sent
    }

    /// Says that nothing more will come.
    pub(crate) fn finish(&self) {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        // It may be gone already.
        _ = stream.shutdown(Shutdown::Write);
    }
}

/// Where messages come from.
pub(crate) struct Incoming {
    stream: TcpStream,
    buffer: Vec<u8>,
    piece: Vec<u8>,
    bytes_max: usize,
    heard_ns: u64,
}

impl Incoming {
    /// The other side has proven who it is: its messages may be long.
    pub(crate) fn trust(&mut self) {
        self.bytes_max = MESSAGE_BYTES_MAX;
    }

    /// The next message, if there is one within a moment.
    ///
    /// # Errors
    /// `UnexpectedEof` where the other side has ended the connection; where it is lost, or sends
    /// what is no message.
    pub(crate) fn poll(&mut self) -> io::Result<Option<Message>> {
        if let Some(message) = self.take()? {
            return Ok(Some(message));
        }
        match self.stream.read(&mut self.piece) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.heard_ns = clock::now_ns();
                self.buffer.extend_from_slice(&self.piece[..count]);
                self.take()
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The next message, within a time.
    ///
    /// # Errors
    /// As `poll`; `TimedOut` where there is none.
    pub(crate) fn expect(&mut self, within: Duration) -> io::Result<Message> {
        let begin_ns = clock::now_ns();
        loop {
            if let Some(message) = self.poll()? {
                return Ok(message);
            }
            let waited = Duration::from_nanos(clock::now_ns().saturating_sub(begin_ns));
            if waited > within {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// How long nothing came.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_nanos(clock::now_ns().saturating_sub(self.heard_ns))
    }

    fn take(&mut self) -> io::Result<Option<Message>> {
        let wrong = |problem: String| io::Error::new(ErrorKind::InvalidData, problem);
        let Some((length, behind)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.bytes_max {
            return Err(wrong(format!("a message of {length} bytes")));
        }
        let Some(body) = behind.get(..length) else { return Ok(None) };
        let message = Message::decode(body).map_err(|error| wrong(error.to_string()))?;
        self.buffer.drain(..4 + length);
        Ok(Some(message))
    }
}

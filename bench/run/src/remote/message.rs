//! What conductor and worker say to each other, as bytes.
//!
//! Shape, little-endian: a kind u8, then the fields of that kind one after the other; a text is
//! its length u16 (a long one u32) and that many bytes of UTF-8. docs/format/bench-worker.md has the
//! table.
//!
//! Invariants: every length is bounded before anything is taken on its word; nothing may follow a
//! message; what `decode` accepts, `encode` writes the same way; no input makes it panic.

mod mismatch;

use crate::error::RunError;
use crate::generator::Part;
use crate::planner::Stage;
use bench_model::{Mismatch, RATE_MAX};
use bench_stats::{Cursor, INTERVAL_BYTES_MAX, Interval};

/// What this build speaks; the first message of a worker names it.
const PROTOCOL: u16 = 2;
/// What the first message begins with.
const MAGIC: [u8; 4] = *b"BSBW";
/// The most bytes of a message.
pub(crate) const MESSAGE_BYTES_MAX: usize = INTERVAL_BYTES_MAX + 64;
/// The most bytes of a message of somebody who has not proven the secret yet.
pub(crate) const HELLO_BYTES_MAX: usize = 1024;
/// The longest text: settings.
pub(crate) const TEXT_BYTES_MAX: usize = u16::MAX as usize;
/// The longest text of certificates of authorities.
pub(crate) const AUTHORITIES_BYTES_MAX: usize = 1 << 20;
/// Wrong answers of one thread and stage; it keeps no more.
const MISMATCHES_MAX: usize = 100;

/// One message, either way.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Worker, first: who it is, and what the proof of a secret must contain.
    Hello {
        /// CPUs it may use.
        cpus: u32,
        /// Whether it has a secret.
        has_secret: bool,
        /// Random bytes.
        nonce: [u8; 32],
        /// Commit of its build.
        commit: String,
    },
    /// Conductor, second.
    Greeting {
        /// Random bytes.
        nonce: [u8; 32],
        /// That it knows the secret.
        proof: [u8; 32],
        /// Commit of its build.
        commit: String,
    },
    /// Worker, third: it serves.
    Welcome {
        /// That it knows the secret too.
        proof: [u8; 32],
    },
    /// Worker, at any time: it does not serve, or no longer.
    Refused {
        /// Why.
        problem: String,
    },
    /// Conductor: what the run is. The worker's threads start.
    Start(StartMessage),
    /// Worker: its threads wait for orders.
    Ready,
    /// Conductor: what is your time?
    Ping {
        /// Of this ping.
        number: u32,
    },
    /// Worker: this.
    Pong {
        /// Of the ping.
        number: u32,
        /// Nanoseconds of its clock.
        now_ns: u64,
    },
    /// Conductor: a stage.
    Order(TimedMessage),
    /// Worker: what a thread recorded.
    Interval {
        /// Its number in the run.
        thread: u32,
        /// Of what the interval is.
        part: Part,
        /// It.
        interval: Interval,
    },
    /// Worker: a thread has ended a stage.
    Ended {
        /// Its number in the run.
        thread: u32,
        /// Wrong answers that it kept, or what ended it.
        outcome: Result<Vec<Mismatch>, String>,
    },
    /// Conductor: end the stage at once.
    Stop,
    /// Either: nothing to say, and still there.
    Alive,
}

/// What a worker must know of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartMessage {
    /// The run's name.
    pub run_id: String,
    /// Its settings, as a scenario file has them; `threads` are those of all workers.
    pub settings: String,
    /// Certificates of authorities to trust beside those that the worker knows, in PEM; may be
    /// empty.
    pub authorities: String,
    /// The worker's first thread.
    pub first_thread: u32,
    /// How many it runs.
    pub threads: u32,
    /// The conductor's wall clock, which generations of writes follow from.
    pub unix_ms: u64,
}

/// A stage, on the worker's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedMessage {
    /// What operations are for.
    pub stage: Stage,
    /// When they begin.
    pub arrivals: Arrivals,
    /// Tells one stage's arrivals from another's.
    pub number: u64,
    /// When the first may begin.
    pub begin_ns: u64,
    /// When none begins any more; all ones: once all keys were gone through.
    pub end_ns: u64,
}

/// When operations of a stage begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// As soon as others ended.
    Closed,
    /// As the settings say.
    OfSettings,
    /// Evenly, so many in a second of all threads.
    Constant(f64),
    /// Independently, so many in a second of all threads.
    Poisson(f64),
}

impl Message {
    /// Appends the message's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { cpus, has_secret, nonce, commit } => {
                out.push(1);
                out.extend_from_slice(&MAGIC);
                out.extend_from_slice(&PROTOCOL.to_le_bytes());
                out.extend_from_slice(&cpus.to_le_bytes());
                out.push(u8::from(*has_secret));
                out.extend_from_slice(nonce);
                put_text(commit, out);
            }
            Self::Greeting { nonce, proof, commit } => {
                out.push(2);
                out.extend_from_slice(nonce);
                out.extend_from_slice(proof);
                put_text(commit, out);
            }
            Self::Welcome { proof } => {
                out.push(3);
                out.extend_from_slice(proof);
            }
            Self::Refused { problem } => {
                out.push(4);
                put_text(problem, out);
            }
            Self::Start(start) => {
                out.push(5);
                put_start(start, out);
            }
            Self::Ready => out.push(6),
            Self::Ping { number } => {
                out.push(7);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Pong { number, now_ns } => {
                out.push(8);
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&now_ns.to_le_bytes());
            }
            Self::Order(order) => {
                out.push(9);
                put_order(order, out);
            }
            Self::Interval { thread, part, interval } => {
                out.push(10);
                out.extend_from_slice(&thread.to_le_bytes());
                out.push(u8::from(*part == Part::Drain));
                interval.encode(out);
            }
            Self::Ended { thread, outcome } => {
                out.push(11);
                out.extend_from_slice(&thread.to_le_bytes());
                put_outcome(outcome, out);
            }
            Self::Stop => out.push(12),
            Self::Alive => out.push(13),
        }
    }

    /// The message of some bytes, all of them.
    ///
    /// # Errors
    /// `Message` where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, RunError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(damaged("it is too long"));
        }
        let mut cursor = Cursor::new(bytes, "fields");
        let message = match cursor.u8()? {
            1 => take_hello(&mut cursor)?,
            2 => Self::Greeting {
                nonce: cursor.array()?,
                proof: cursor.array()?,
                commit: cursor.text()?,
            },
            3 => Self::Welcome { proof: cursor.array()? },
            4 => Self::Refused { problem: cursor.text()? },
            5 => Self::Start(take_start(&mut cursor)?),
            6 => Self::Ready,
            7 => Self::Ping { number: cursor.u32()? },
            8 => Self::Pong { number: cursor.u32()?, now_ns: cursor.u64()? },
            9 => Self::Order(take_order(&mut cursor)?),
            10 => Self::Interval {
                thread: cursor.u32()?,
                part: if cursor.flag()? { Part::Drain } else { Part::Phase },
                interval: Interval::decode(cursor.take_rest())?,
            },
            11 => Self::Ended { thread: cursor.u32()?, outcome: take_outcome(&mut cursor)? },
            12 => Self::Stop,
            13 => Self::Alive,
            other => return Err(damaged(&format!("there is no kind {other}"))),
        };
        if !cursor.take_rest().is_empty() {
            return Err(damaged("it goes on after its end"));
        }
        Ok(message)
    }

    /// Its kind, for errors about messages that come at the wrong time.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Greeting { .. } => "greeting",
            Self::Welcome { .. } => "welcome",
            Self::Refused { .. } => "refused",
            Self::Start(_) => "start",
            Self::Ready => "ready",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Order(_) => "order",
            Self::Interval { .. } => "interval",
            Self::Ended { .. } => "ended",
            Self::Stop => "stop",
            Self::Alive => "alive",
        }
    }
}

/// An error about bytes that are no message.
fn damaged(problem: &str) -> RunError {
    RunError::Message { problem: problem.to_owned() }
}

/// A text, cut where it would be too long to be read.
fn put_text(text: &str, out: &mut Vec<u8>) {
    let text = cut(text, TEXT_BYTES_MAX);
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Certificates of authorities, cut as a text is: the settings refuse more before.
fn put_authorities(text: &str, out: &mut Vec<u8>) {
    let text = cut(text, AUTHORITIES_BYTES_MAX);
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn take_authorities(cursor: &mut Cursor<'_>) -> Result<String, RunError> {
    let length = cursor.u32()? as usize;
    if length > AUTHORITIES_BYTES_MAX {
        return Err(damaged(&format!("{length} bytes of authorities")));
    }
    let text = std::str::from_utf8(cursor.slice(length)?);
    Ok(text.map_err(|_| damaged("a text is no UTF-8"))?.to_owned())
}

fn take_hello(cursor: &mut Cursor<'_>) -> Result<Message, RunError> {
    if cursor.array::<4>()? != MAGIC {
        return Err(damaged("it is not of a worker of `basalt bench`"));
    }
    let protocol = cursor.u16()?;
    // What is behind it in another version is not known.
    if protocol != PROTOCOL {
        let problem = format!("it speaks version {protocol}, this build version {PROTOCOL}");
        return Err(damaged(&problem));
    }
    Ok(Message::Hello {
        cpus: cursor.u32()?,
        has_secret: cursor.flag()?,
        nonce: cursor.array()?,
        commit: cursor.text()?,
    })
}

fn put_start(start: &StartMessage, out: &mut Vec<u8>) {
    put_text(&start.run_id, out);
    put_text(&start.settings, out);
    put_authorities(&start.authorities, out);
    out.extend_from_slice(&start.first_thread.to_le_bytes());
    out.extend_from_slice(&start.threads.to_le_bytes());
    out.extend_from_slice(&start.unix_ms.to_le_bytes());
}

fn take_start(cursor: &mut Cursor<'_>) -> Result<StartMessage, RunError> {
    Ok(StartMessage {
        run_id: cursor.text()?,
        settings: cursor.text()?,
        authorities: take_authorities(cursor)?,
        first_thread: cursor.u32()?,
        threads: cursor.u32()?,
        unix_ms: cursor.u64()?,
    })
}

fn put_order(order: &TimedMessage, out: &mut Vec<u8>) {
    out.push(match order.stage {
        Stage::Prepare => 0,
        Stage::Load => 1,
        Stage::Sweep => 2,
    });
    let (arrivals, rate) = match order.arrivals {
        Arrivals::Closed => (0, 0.0),
        Arrivals::OfSettings => (1, 0.0),
        Arrivals::Constant(rate) => (2, rate),
        Arrivals::Poisson(rate) => (3, rate),
    };
    out.push(arrivals);
    out.extend_from_slice(&f64::to_le_bytes(rate));
    out.extend_from_slice(&order.number.to_le_bytes());
    out.extend_from_slice(&order.begin_ns.to_le_bytes());
    out.extend_from_slice(&order.end_ns.to_le_bytes());
}

fn take_order(cursor: &mut Cursor<'_>) -> Result<TimedMessage, RunError> {
    let stage = match cursor.u8()? {
        0 => Stage::Prepare,
        1 => Stage::Load,
        2 => Stage::Sweep,
        other => return Err(damaged(&format!("there is no stage {other}"))),
    };
    let (arrivals, rate) = (cursor.u8()?, f64::from_le_bytes(cursor.array()?));
    let is_rate = rate > 0.0 && rate <= RATE_MAX;
    let arrivals = match arrivals {
        // Only one text of nothing: what is accepted is written the same way.
        0 if rate.to_bits() == 0 => Arrivals::Closed,
        1 if rate.to_bits() == 0 => Arrivals::OfSettings,
        2 if is_rate => Arrivals::Constant(rate),
        3 if is_rate => Arrivals::Poisson(rate),
        other => return Err(damaged(&format!("{rate} per second of arrivals {other}"))),
    };
    let (number, begin_ns, end_ns) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
    if end_ns < begin_ns {
        return Err(damaged("a stage ends before it begins"));
    }
    Ok(TimedMessage { stage, arrivals, number, begin_ns, end_ns })
}

fn put_outcome(outcome: &Result<Vec<Mismatch>, String>, out: &mut Vec<u8>) {
    match outcome {
        Ok(mismatches) => {
            let kept = &mismatches[..mismatches.len().min(MISMATCHES_MAX)];
            out.push(0);
            out.extend_from_slice(&u16::try_from(kept.len()).unwrap_or(0).to_le_bytes());
            for mismatch in kept {
                mismatch::put(mismatch, out);
            }
        }
        Err(problem) => {
            out.push(1);
            put_text(problem, out);
        }
    }
}

fn take_outcome(cursor: &mut Cursor<'_>) -> Result<Result<Vec<Mismatch>, String>, RunError> {
    if cursor.flag()? {
        return Ok(Err(cursor.text()?));
    }
    let count = usize::from(cursor.u16()?);
    if count > MISMATCHES_MAX {
        return Err(damaged(&format!("{count} wrong answers of one thread")));
    }
    let mismatches = (0..count).map(|_| mismatch::take(cursor)).collect::<Result<_, _>>()?;
    Ok(Ok(mismatches))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;

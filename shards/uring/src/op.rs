//! One operation at the device, and the state of the drive it belongs to.

use crate::config::DriveLimits;
use crate::counters::DriveCounters;
use crate::files::DriveFile;
use crate::pool::Lane;
use crate::queue::{Direction, Place, Queue};
use engine_env::{DmaBuf, IoClass, IoError};
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// EINTR and EAGAIN taken in a row before an operation counts as failed.
const RETRIES_MAX: u32 = 64;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Read,
    Write,
    /// A write to one file, and fdatasync of it as soon as it is done.
    WriteSync,
    /// fdatasync of the file of the first piece.
    Sync,
}

/// What a completion is of: `WriteSync` has two, all else has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    First,
    Sync,
}

/// A run of bytes in one file.
pub(crate) struct Piece {
    pub(crate) file: Rc<DriveFile>,
    pub(crate) offset_bytes: u64,
    pub(crate) len_bytes: usize,
}

/// How an operation ended; a read gives its buffer back.
pub(crate) type Outcome = Result<Option<DmaBuf>, IoError>;

/// An operation that is not at the device yet.
pub(crate) struct Request {
    pub(crate) work: Work,
    pub(crate) class: IoClass,
    pub(crate) first: Piece,
    /// Where the bytes go on in the next file of a directory.
    pub(crate) second: Option<Piece>,
    pub(crate) buffer: Option<DmaBuf>,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

impl Request {
    /// What it takes at the device.
    pub(crate) fn place(&self) -> Place {
        let direction = match self.work {
            Work::Read => Direction::Read,
            Work::Write | Work::WriteSync | Work::Sync => Direction::Write,
        };
        Place { direction, class: self.class }
    }

    pub(crate) fn refuse(self, error: IoError) {
        // Nobody waits any more: fine.
        let _ = self.reply.send(Err(error));
    }
}

/// What the shard knows of a drive while operations are under way.
pub(crate) struct DriveState {
    pub(crate) counters: Arc<DriveCounters>,
    pub(crate) deadline_us: u64,
    /// What waits for a place at the device.
    pub(crate) queue: RefCell<Queue<Request>>,
    pub(crate) offline: Cell<bool>,
    /// Sticks: the kernel reports lost writes to one flush only, later ones would lie.
    pub(crate) flush_error: Cell<Option<IoError>>,
    /// The threads of this drive, where there is no ring.
    pub(crate) lane: Option<Lane>,
}

impl DriveState {
    /// A drive on which nothing was done yet.
    pub(crate) fn new(limits: &DriveLimits, deadline_us: u64, lane: Option<Lane>) -> Self {
        Self {
            counters: Arc::default(),
            deadline_us,
            queue: RefCell::new(Queue::new(limits)),
            offline: Cell::new(false),
            flush_error: Cell::new(None),
            lane,
        }
    }

    /// Takes no more I/O, and refuses what waits.
    pub(crate) fn take_offline(&self) {
        self.offline.set(true);
        let waiting = self.queue.borrow_mut().take_waiting();
        for request in waiting {
            request.refuse(IoError::Offline);
        }
    }
}

/// An operation at the device. Owns the buffer and the files until its completion.
pub(crate) struct Op {
    pub(crate) drive: Rc<DriveState>,
    pub(crate) place: Place,
    pub(crate) work: Work,
    pub(crate) first: Piece,
    pub(crate) second: Option<Piece>,
    /// Here with a ring; with the thread that works on it otherwise.
    pub(crate) buffer: Option<DmaBuf>,
    pub(crate) done_bytes: usize,
    pub(crate) retries: u32,
    pub(crate) started_us: u64,
    pub(crate) deadline_us: u64,
    /// `writes_done` of the file when a flush went to the device.
    pub(crate) flush_mark: u64,
    pub(crate) pair: Pair,
    /// Gone once the deadline has passed.
    pub(crate) reply: Option<oneshot::Sender<Outcome>>,
}

/// Where a `WriteSync` stands.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    /// What has come back of the halves at the device.
    first: Option<i32>,
    sync: Option<i32>,
    /// The write is done; only the flush is still wanted.
    pub(crate) is_written: bool,
    /// The flush may have begun before the write was done.
    pub(crate) is_torn: bool,
    /// The ring's count of torn submissions when the halves were handed over.
    pub(crate) torn_before: u64,
    /// It was the flush that failed.
    pub(crate) flush_failed: bool,
}

/// What follows a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its other half is at the device.
    Wait,
    /// Hand it to the device again: it was interrupted, or did only a part.
    Again,
    /// It is over; an errno if it failed.
    Done(Result<(), i32>),
}

impl Op {
    pub(crate) fn total_bytes(&self) -> usize {
        self.first.len_bytes + self.second.as_ref().map_or(0, |piece| piece.len_bytes)
    }

    /// The piece that comes next, and how much of it is done.
    pub(crate) fn current(&self) -> (&Piece, usize) {
        match &self.second {
            Some(second) if self.done_bytes >= self.first.len_bytes => {
                (second, self.done_bytes - self.first.len_bytes)
            }
            _ => (&self.first, self.done_bytes),
        }
    }

    /// Takes in a completion: bytes done, or an errno below zero.
    pub(crate) fn advance(&mut self, half: Half, result: i32) -> Step {
        if self.work != Work::WriteSync {
            return self.advance_one(result);
        }
        match half {
            Half::First if !self.pair.is_written => self.pair.first = Some(result),
            _ => self.pair.sync = Some(result),
        }
        self.advance_pair()
    }

    fn advance_pair(&mut self) -> Step {
        let mut after_write = None;
        if !self.pair.is_written {
            let (Some(first), Some(_)) = (self.pair.first, self.pair.sync) else {
                return Step::Wait;
            };
            self.pair.first = None;
            match self.advance_one(first) {
                Step::Done(Ok(())) => self.pair.is_written = true,
                // It failed or came short, which has cancelled the flush.
                step => after_write = Some(step),
            }
        }
        let Some(synced) = self.pair.sync.take() else { return Step::Wait };
        let errno = synced.saturating_neg();
        let is_passing = is_passing(errno) || errno == libc::ECANCELED;
        // A flush that failed says so once: whatever else is wrong comes after it.
        if synced < 0 && !(is_passing && self.may_retry()) {
            self.pair.flush_failed = true;
            return Step::Done(Err(errno));
        }
        if let Some(step) = after_write {
            return step;
        }
        if synced < 0 || std::mem::take(&mut self.pair.is_torn) {
            return Step::Again;
        }
        Step::Done(Ok(()))
    }

    fn may_retry(&mut self) -> bool {
        self.retries += 1;
        self.retries <= RETRIES_MAX
    }

    fn advance_one(&mut self, result: i32) -> Step {
        if result < 0 {
            let errno = result.saturating_neg();
            if is_passing(errno) && self.may_retry() {
                return Step::Again;
            }
            return Step::Done(Err(errno));
        }
        if self.work == Work::Sync {
            return Step::Done(Ok(()));
        }
        self.done_bytes += usize::try_from(result).unwrap_or(0);
        if self.done_bytes >= self.total_bytes() {
            Step::Done(Ok(()))
        } else if result == 0 {
            // The file ends inside the drive: somebody cut it.
            Step::Done(Err(libc::EIO))
        } else {
            Step::Again
        }
    }
}

/// Whether the same operation may succeed when it is tried again.
fn is_passing(errno: i32) -> bool {
    errno == libc::EINTR || errno == libc::EAGAIN
}

/// What an errno means to the engine.
pub(crate) fn io_error(errno: i32) -> IoError {
    match errno {
        libc::ENOSPC | libc::EDQUOT => IoError::NoSpace,
        _ => IoError::Failed(errno),
    }
}

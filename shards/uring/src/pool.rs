//! Drives without io_uring: a lane of blocking threads for each drive.
//!
//! Invariant: a job owns its buffer and its files; both come back with the completion, or stay
//! with a thread that hangs in the kernel.

use crate::op::{Half, Op, Piece, Work};
use engine_env::DmaBuf;
use shards_executor::{Park, Unpark, Unparker, start_thread_on};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A completion: bytes done or an errno below zero, and the buffer if a thread had it.
pub(crate) struct Event {
    pub(crate) id: usize,
    pub(crate) half: Half,
    pub(crate) result: i32,
    pub(crate) buffer: Option<DmaBuf>,
}

struct Job {
    id: usize,
    work: Work,
    first: JobPiece,
    second: Option<JobPiece>,
    buffer: Option<DmaBuf>,
}

struct JobPiece {
    file: Arc<File>,
    offset_bytes: u64,
    len_bytes: usize,
}

impl JobPiece {
    fn of(piece: &Piece) -> Self {
        let (offset_bytes, len_bytes) = (piece.offset_bytes, piece.len_bytes);
        Self { file: piece.file.file.clone(), offset_bytes, len_bytes }
    }
}

impl Job {
    fn run(&mut self) -> io::Result<usize> {
        let (Some(buffer), second) = (self.buffer.as_mut(), self.second.as_ref()) else {
            return self.first.file.sync_data().map(|()| 0);
        };
        let (head, tail) = buffer.split_at_mut(self.first.len_bytes);
        let first = &self.first;
        match self.work {
            Work::Read => {
                first.file.read_exact_at(head, first.offset_bytes)?;
                if let Some(second) = second {
                    second.file.read_exact_at(tail, second.offset_bytes)?;
                }
            }
            Work::Write | Work::WriteSync => {
                first.file.write_all_at(head, first.offset_bytes)?;
                if let Some(second) = second {
                    second.file.write_all_at(tail, second.offset_bytes)?;
                }
            }
            Work::Sync => first.file.sync_data()?,
        }
        Ok(first.len_bytes + second.map_or(0, |piece| piece.len_bytes))
    }

    /// Lets go of the files before the completions are seen: they may hold the drive's lock.
    fn complete(mut self) -> (Event, Option<Event>) {
        let id = self.id;
        let result = code_of(self.run());
        let synced = (self.work == Work::WriteSync).then(|| match result {
            0.. => code_of(self.first.file.sync_data().map(|()| 0)),
            _ => -libc::ECANCELED,
        });
        let synced = synced.map(|result| Event { id, half: Half::Sync, result, buffer: None });
        (Event { id, half: Half::First, result, buffer: self.buffer }, synced)
    }
}

fn code_of(result: io::Result<usize>) -> i32 {
    match result {
        Ok(bytes) => i32::try_from(bytes).unwrap_or(i32::MAX),
        Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// The completions of all lanes of a shard.
#[derive(Default)]
struct Done {
    events: Mutex<Vec<Event>>,
    park: Park,
}

impl Unpark for Done {
    fn unpark(&self) {
        self.park.unpark();
    }
}

/// The thread-pool driver of one shard.
#[derive(Default)]
pub(crate) struct Pool {
    done: Arc<Done>,
}

impl Pool {
    pub(crate) fn unparker(&self) -> Unparker {
        self.done.clone()
    }

    /// A lane of `threads` threads for one drive, on these CPUs.
    pub(crate) fn open_lane(&self, threads: usize, cpus: &[usize]) -> io::Result<Lane> {
        let queue = LaneQueue { jobs: VecDeque::new(), closed: false };
        let shared = LaneShared {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            done: self.done.clone(),
        };
        let lane = Lane { shared: Arc::new(shared), cpus: cpus.to_vec() };
        lane.start_threads(threads)?;
        Ok(lane)
    }

    /// Hands an operation to the threads of its drive.
    pub(crate) fn push(&self, id: usize, op: &mut Op) {
        let Some(lane) = op.drive.lane.as_ref() else {
            unreachable!("every drive of a pool has a lane");
        };
        lane.shared.push(Job {
            id,
            work: if op.pair.is_written { Work::Sync } else { op.work },
            first: JobPiece::of(&op.first),
            second: op.second.as_ref().map(JobPiece::of),
            buffer: op.buffer.take(),
        });
    }

    pub(crate) fn collect(&self, events: &mut Vec<Event>) {
        let mut done = self.done.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.append(&mut done);
    }

    pub(crate) fn wait(&self, timeout_us: Option<u64>) {
        self.done.park.wait(timeout_us);
    }
}

struct LaneQueue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct LaneShared {
    queue: Mutex<LaneQueue>,
    changed: Condvar,
    done: Arc<Done>,
}

impl LaneShared {
    fn lock(&self) -> MutexGuard<'_, LaneQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.changed.notify_one();
    }

    /// The next job, or nothing once the lane is closed and empty.
    fn next(&self) -> Option<Job> {
        let idle = |queue: &mut LaneQueue| queue.jobs.is_empty() && !queue.closed;
        let waited = self.changed.wait_while(self.lock(), idle);
        waited.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            let (first, synced) = job.complete();
            let mut events = self.done.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push(first);
            events.extend(synced);
            drop(events);
            self.done.park.unpark();
        }
    }
}

/// The threads of one drive. Dropping it lets them end once their queue is empty; it does not
/// wait for them, as one may hang in the kernel.
pub(crate) struct Lane {
    shared: Arc<LaneShared>,
    /// Where its threads run; empty: where their starter does.
    cpus: Vec<usize>,
}

impl Lane {
    pub(crate) fn start_threads(&self, threads: usize) -> io::Result<()> {
        for _ in 0..threads {
            let shared = self.shared.clone();
            start_thread_on("drive-io", &self.cpus, move || shared.serve())?;
        }
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

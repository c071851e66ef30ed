//! Operations under way on one shard: slab, completions, deadlines, the end.
//!
//! Invariants: an operation enters the slab with its place at the drive (`queue.rs`), from when its
//! deadline counts, and leaves it only at its completion; its deadline only takes away its answer.
//! Nothing here calls back into tasks: answers wake them, and they run later.

use crate::config::{IoDriverKind, RuntimeConfig};
use crate::counters::add;
use crate::files::{DriveFile, OpenFile, RetiredSlots};
use crate::op::{DriveState, Op, Pair, Request, Step, Work, io_error};
use crate::pool::{Event, Lane, Pool};
use crate::queue::Place;
use crate::ring::Ring;
use engine_env::{Arena, IoClass, IoError};
use shards_executor::{Unparker, now_us};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// With I/O in flight the shard looks at the clock at least this often.
const TICK_US: u64 = 500_000;

/// A longer gap between two looks means that the shard itself stood still (a stopped process, a
/// paused machine): that time is not the device's fault.
const STALL_US: u64 = 2 * TICK_US;

enum Backend {
    Ring(Box<Ring>),
    Pool(Pool),
}

pub(crate) struct Core {
    backend: Backend,
    config: RuntimeConfig,
    ops: Vec<Option<Op>>,
    free: Vec<usize>,
    live: usize,
    /// No deadline of a live operation is before this.
    next_deadline_us: u64,
    last_tick_us: u64,
    events: Vec<Event>,
    retired: RetiredSlots,
    arena: Option<Arc<Arena>>,
    /// Why the ring does not know the arena.
    unregistered: Option<String>,
    closed: bool,
}

impl Core {
    pub(crate) fn new(kind: IoDriverKind, config: RuntimeConfig) -> io::Result<Self> {
        let backend = match kind {
            IoDriverKind::Uring => Backend::Ring(Box::new(Ring::new(config.ring_entries)?)),
            IoDriverKind::ThreadPool => Backend::Pool(Pool::default()),
        };
        Ok(Self {
            backend,
            config,
            ops: Vec::new(),
            free: Vec::new(),
            live: 0,
            next_deadline_us: u64::MAX,
            last_tick_us: now_us(),
            events: Vec::new(),
            retired: RetiredSlots::default(),
            arena: None,
            unregistered: None,
            closed: false,
        })
    }

    /// Tells the driver where most buffers will lie.
    pub(crate) fn use_arena(&mut self, arena: &Arc<Arena>) {
        self.arena = Some(arena.clone());
        if let Backend::Ring(ring) = &mut self.backend
            && let Err(error) = ring.register(arena)
        {
            self.unregistered = Some(format!("io_uring_register: {error}"));
        }
    }

    pub(crate) fn arena(&self) -> Option<Arc<Arena>> {
        self.arena.clone()
    }

    pub(crate) fn unregistered(&self) -> Option<String> {
        self.unregistered.clone()
    }

    pub(crate) fn kind(&self) -> IoDriverKind {
        match self.backend {
            Backend::Ring(_) => IoDriverKind::Uring,
            Backend::Pool(_) => IoDriverKind::ThreadPool,
        }
    }

    pub(crate) fn unparker(&self) -> Unparker {
        match &self.backend {
            Backend::Ring(ring) => ring.unparker(),
            Backend::Pool(pool) => pool.unparker(),
        }
    }

    /// Makes an open file usable for operations.
    pub(crate) fn attach(&mut self, file: OpenFile) -> DriveFile {
        let slot = match &mut self.backend {
            Backend::Ring(ring) if !self.closed => ring.attach(file.raw()),
            _ => None,
        };
        DriveFile::new(file, slot, self.retired.clone())
    }

    /// The threads of a new drive, where drives have some.
    pub(crate) fn open_lane(&self) -> io::Result<Option<Lane>> {
        match &self.backend {
            Backend::Ring(_) => Ok(None),
            Backend::Pool(pool) => {
                pool.open_lane(self.config.pool_threads, &self.config.helper_cpus).map(Some)
            }
        }
    }

    /// Where threads that block for this shard run; empty: where it does.
    pub(crate) fn helper_cpus(&self) -> Vec<usize> {
        self.config.helper_cpus.clone()
    }

    /// Starts an operation, or has it wait for a place at its drive.
    pub(crate) fn submit(&mut self, drive: &Rc<DriveState>, request: Request) {
        if self.closed || drive.offline.get() {
            request.refuse(IoError::Offline);
            return;
        }
        let place = request.place();
        drive.queue.borrow_mut().push(place, request);
        self.admit(drive);
        // They keep their order: it waits if any like it does.
        if drive.queue.borrow().is_waiting(place) {
            add(&drive.counters.waited, 1);
        }
    }

    /// Starts what may go to the device now.
    fn admit(&mut self, drive: &Rc<DriveState>) {
        while !self.closed {
            let admitted = drive.queue.borrow_mut().admit();
            let Some((place, request)) = admitted else { return };
            self.start(drive, place, request);
        }
    }

    fn start(&mut self, drive: &Rc<DriveState>, place: Place, request: Request) {
        let started_us = now_us();
        let deadline_us = started_us.saturating_add(drive.deadline_us);
        self.next_deadline_us = self.next_deadline_us.min(deadline_us);
        let at_device = drive.queue.borrow().at_device(place.direction);
        drive.counters.began(place.direction, at_device);
        let op = Op {
            drive: drive.clone(),
            place,
            work: request.work,
            flush_mark: request.first.file.writes_done.get(),
            first: request.first,
            second: request.second,
            buffer: request.buffer,
            done_bytes: 0,
            retries: 0,
            started_us,
            deadline_us,
            pair: Pair::default(),
            reply: Some(request.reply),
        };
        self.live += 1;
        let id = match self.free.pop() {
            Some(id) => {
                self.ops[id] = Some(op);
                id
            }
            None => {
                self.ops.push(Some(op));
                self.ops.len() - 1
            }
        };
        self.push(id);
    }

    fn push(&mut self, id: usize) {
        let Some(op) = self.ops[id].as_mut() else { return };
        match &mut self.backend {
            Backend::Ring(ring) => ring.push(id, op),
            Backend::Pool(pool) => pool.push(id, op),
        }
    }

    /// Hands what is queued to the device, serves completions, then deadlines.
    pub(crate) fn poll(&mut self) {
        self.release_slots();
        let mut events = std::mem::take(&mut self.events);
        match &mut self.backend {
            Backend::Ring(ring) => {
                ring.submit();
                ring.collect(&mut events);
            }
            Backend::Pool(pool) => pool.collect(&mut events),
        }
        for event in events.drain(..) {
            self.serve(event);
        }
        self.events = events;
        self.tick(now_us());
    }

    /// Sleeps until a completion, an unpark, the timeout or a deadline.
    pub(crate) fn wait(&mut self, timeout_us: Option<u64>) {
        self.release_slots();
        let mut timeout_us = timeout_us;
        if self.live > 0 {
            let deadline_us = self.next_deadline_us.saturating_sub(now_us()).min(TICK_US);
            timeout_us = Some(timeout_us.map_or(deadline_us, |given_us| given_us.min(deadline_us)));
        }
        match &mut self.backend {
            Backend::Ring(ring) => ring.wait(timeout_us),
            Backend::Pool(pool) => pool.wait(timeout_us),
        }
    }

    fn release_slots(&mut self) {
        if self.retired.borrow().is_empty() {
            return;
        }
        let slots = std::mem::take(&mut *self.retired.borrow_mut());
        if let Backend::Ring(ring) = &mut self.backend {
            for slot in slots {
                ring.detach(slot);
            }
        }
    }

    fn serve(&mut self, event: Event) {
        let Some(entry) = self.ops.get_mut(event.id) else { return };
        let Some(op) = entry.as_mut() else { return };
        if event.buffer.is_some() {
            op.buffer = event.buffer;
        }
        if let Backend::Ring(ring) = &self.backend {
            op.pair.is_torn |= ring.torn() != op.pair.torn_before;
        }
        let result = match op.advance(event.half, event.result) {
            Step::Wait => return,
            Step::Again => {
                self.push(event.id);
                return;
            }
            Step::Done(result) => result,
        };
        if let Some(op) = entry.take() {
            self.free.push(event.id);
            self.live -= 1;
            self.complete(op, result);
        }
    }

    fn complete(&mut self, op: Op, result: Result<(), i32>) {
        let drive = op.drive.clone();
        drive.queue.borrow_mut().give_back(op.place);
        count(&op, result.is_err());
        let result = result.map_err(io_error);
        match (op.work, result) {
            (Work::Read, _) => {}
            (Work::Write, _) => note_write(&op),
            // What a pair has written needs no other flush.
            (Work::Sync | Work::WriteSync, Ok(())) => {
                let flushed = &op.first.file.flushed_through;
                flushed.set(flushed.get().max(op.flush_mark));
            }
            (Work::Sync, Err(error)) => drive.flush_error.set(Some(error)),
            (Work::WriteSync, Err(error)) => {
                note_write(&op);
                if op.pair.flush_failed {
                    drive.flush_error.set(Some(error));
                }
            }
        }
        if let Some(reply) = op.reply {
            let buffer = if op.work == Work::Read { op.buffer } else { None };
            // Nobody waits any more: the result and the buffer end here.
            let _ = reply.send(result.map(|()| buffer));
        }
        self.admit(&drive);
    }

    /// Answers for the operations whose time is over; the device keeps their buffers.
    fn tick(&mut self, now_us: u64) {
        let gap_us = now_us.saturating_sub(self.last_tick_us);
        self.last_tick_us = now_us;
        if self.live == 0 {
            self.next_deadline_us = u64::MAX;
            return;
        }
        if gap_us > STALL_US {
            self.next_deadline_us = self.next_deadline_us.saturating_add(gap_us);
            for op in self.ops.iter_mut().flatten() {
                op.deadline_us = op.deadline_us.saturating_add(gap_us);
            }
        }
        if now_us < self.next_deadline_us {
            return;
        }
        self.next_deadline_us = u64::MAX;
        for op in self.ops.iter_mut().flatten() {
            if op.deadline_us > now_us {
                self.next_deadline_us = self.next_deadline_us.min(op.deadline_us);
            } else if let Some(reply) = op.reply.take() {
                let _ = reply.send(Err(IoError::Timeout));
                add(&op.drive.counters.timeouts, 1);
                op.drive.take_offline();
            }
        }
    }

    /// Waits for what is in flight, up to the limit of the settings, then leaks what the kernel
    /// may still write to. Nothing is submitted afterwards.
    pub(crate) fn shutdown(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        let until_us = now_us().saturating_add(self.config.shutdown_us);
        while self.live > 0 && now_us() < until_us {
            self.wait(Some(100_000));
            self.poll();
        }
        let idle = self.live == 0;
        let mut ops = std::mem::take(&mut self.ops);
        for op in ops.iter_mut().flatten() {
            op.reply = None;
        }
        if !idle {
            let _: &'static mut Vec<Option<Op>> = Box::leak(Box::new(ops));
        }
        self.live = 0;
        self.free.clear();
        if let Backend::Ring(ring) = &mut self.backend {
            ring.close(idle);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The files have a write that no flush may have covered.
fn note_write(op: &Op) {
    for piece in [Some(&op.first), op.second.as_ref()].into_iter().flatten() {
        piece.file.writes_done.set(piece.file.writes_done.get() + 1);
    }
}

/// Takes a completed operation into the drive's counters; a pair is a write and a flush.
fn count(op: &Op, failed: bool) {
    let counters = &op.drive.counters;
    let latency_us = now_us().saturating_sub(op.started_us);
    let bytes = op.total_bytes() as u64;
    counters.in_flight.fetch_sub(1, Ordering::Relaxed);
    if op.work == Work::Read {
        add(&counters.reads, 1);
        add(&counters.read_bytes, bytes);
        add(&counters.read_us, latency_us);
    }
    if matches!(op.work, Work::Write | Work::WriteSync) {
        add(&counters.writes, 1);
        add(&counters.write_bytes, bytes);
        add(&counters.write_us, latency_us);
    }
    if matches!(op.work, Work::Sync | Work::WriteSync) {
        add(&counters.flushes, 1);
        add(&counters.flush_us, latency_us);
    }
    if op.place.class == IoClass::Background {
        add(&counters.background_ios, 1);
        add(&counters.background_bytes, bytes);
    }
    if failed {
        add(&counters.errors, 1);
    }
}

//! The io_uring of one shard.
//!
//! Invariants: every entry names memory owned by an `Op`, which stays in its slab until the
//! completion, or by `wake_buffer`, which is leaked if its read is still armed at the end. An
//! entry the kernel has no room for waits in `backlog`; none is lost, none is submitted twice. A
//! write and the flush linked to it stand side by side in the queue; where the kernel has taken a
//! submission in part only, it may have taken them apart, and such a flush is made again.
#![allow(unsafe_code, reason = "submission entries carry raw addresses")]

use crate::op::{Half, Op, Piece, Work};
use crate::pool::Event;
use crate::sys::EventFd;
use engine_env::{Arena, DmaBuf};
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use shards_executor::{Unpark, Unparker};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// The completion of the eventfd read; operations use their slab index.
const WAKE: u64 = u64::MAX;

/// Set beside the index for the flush of a pair.
const SYNC_HALF: u64 = 1 << 62;

/// The arena's place among the ring's registered buffers: it is the only one.
const ARENA_INDEX: u16 = 0;

/// Sizes of the registered file table, tried in order; the process's limit on descriptors
/// bounds it.
const FILE_TABLE_SIZES: [u32; 3] = [4096, 1024, 256];

/// Threads of the kernel for what has to wait: flushes, above all. By default there are four for
/// each CPU, and one drive that stalls takes so many.
const WORKERS_MAX: u32 = 512;

/// Whether io_uring works here, and why not.
///
/// # Errors
/// The reason, for the log and for `doctor`.
pub fn probe_uring() -> Result<(), String> {
    let mut ring = build(8).map_err(|error| format!("io_uring_setup: {error}"))?;
    let parameters = ring.params();
    if !parameters.is_feature_ext_arg() || !parameters.is_feature_nodrop() {
        return Err("the kernel's io_uring is too old (5.11 is needed)".to_owned());
    }
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.map_err(|error| format!("io_uring_register: {error}"))?;
    let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE, opcode::Nop::CODE];
    if !needed.iter().all(|code| probe.is_supported(*code)) {
        return Err("io_uring lacks read, write or fsync".to_owned());
    }
    let entry = opcode::Nop::new().build();
    // SAFETY: a no-op names no memory.
    if unsafe { ring.submission().push(&entry) }.is_err() {
        return Err("a fresh submission queue is full".to_owned());
    }
    ring.submit_and_wait(1).map_err(|error| format!("io_uring_enter: {error}"))?;
    match ring.completion().next() {
        Some(completion) if completion.result() == 0 => Ok(()),
        Some(completion) => {
            Err(format!("a no-op failed: {}", io::Error::from_raw_os_error(-completion.result())))
        }
        None => Err("a no-op did not complete".to_owned()),
    }
}

/// A ring with the best flags this kernel takes.
fn build(entries: u32) -> io::Result<IoUring> {
    let mut best: io_uring::Builder = IoUring::builder();
    best.dontfork().setup_clamp().setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
    if let Ok(ring) = best.build(entries) {
        return Ok(ring);
    }
    let mut plain: io_uring::Builder = IoUring::builder();
    plain.dontfork().setup_clamp();
    plain.build(entries)
}

/// Entries that the kernel must get in one submission.
enum Entries {
    One(squeue::Entry),
    Pair([squeue::Entry; 2]),
}

impl Entries {
    fn as_slice(&self) -> &[squeue::Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Pair(entries) => entries,
        }
    }
}

pub(crate) struct Ring {
    ring: IoUring,
    backlog: VecDeque<Entries>,
    event: Arc<EventFd>,
    /// Where the eventfd's counter is read to; taken out only to be leaked.
    wake_buffer: Option<DmaBuf>,
    free_slots: Vec<u32>,
    /// Memory the kernel knows. Behind `ring`, so that it outlives it.
    registered: Option<Arc<Arena>>,
    /// How often the kernel took a submission in part only.
    torn: u64,
}

impl Ring {
    /// **Runs on** the thread that will use it: the kernel remembers the issuer.
    pub(crate) fn new(entries: u32) -> io::Result<Self> {
        let ring = build(entries)?;
        // An older kernel keeps its limit.
        let _ = ring.submitter().register_iowq_max_workers(&mut [WORKERS_MAX, 0]);
        let mut free_slots = Vec::new();
        for size in FILE_TABLE_SIZES {
            if ring.submitter().register_files_sparse(size).is_ok() {
                free_slots.extend((0..size).rev());
                break;
            }
        }
        let mut ring = Self {
            ring,
            backlog: VecDeque::new(),
            event: Arc::new(EventFd::new()?),
            wake_buffer: Some(DmaBuf::zeroed(8)),
            free_slots,
            registered: None,
            torn: 0,
        };
        ring.arm_wake();
        Ok(ring)
    }

    pub(crate) fn unparker(&self) -> Unparker {
        self.event.clone()
    }

    /// Registers the memory that most buffers lie in; without that they are used by address.
    pub(crate) fn register(&mut self, arena: &Arc<Arena>) -> io::Result<()> {
        let (memory, len) = arena.region();
        let region = libc::iovec { iov_base: memory.as_ptr().cast(), iov_len: len };
        // SAFETY: the region is of the arena, which `registered` keeps for as long as the ring is.
        let registered = unsafe { self.ring.submitter().register_buffers(&[region]) };
        registered?;
        self.registered = Some(arena.clone());
        Ok(())
    }

    /// How often a pair may have been torn apart so far.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }

    /// Registers a file; without a slot it is used by its descriptor.
    pub(crate) fn attach(&mut self, descriptor: RawFd) -> Option<u32> {
        let slot = self.free_slots.pop()?;
        match self.ring.submitter().register_files_update(slot, &[descriptor]) {
            Ok(_) => Some(slot),
            Err(_) => {
                self.free_slots.push(slot);
                None
            }
        }
    }

    /// Lets go of a registered file that no operation uses any more.
    pub(crate) fn detach(&mut self, slot: u32) {
        // A slot the kernel does not empty is not used again.
        if self.ring.submitter().register_files_update(slot, &[-1]).is_ok() {
            self.free_slots.push(slot);
        }
    }

    /// Queues what is left of an operation. `op` stays where it is until the completion.
    pub(crate) fn push(&mut self, id: usize, op: &mut Op) {
        op.pair.torn_before = self.torn;
        let id = id as u64;
        let entries = match op.work {
            Work::WriteSync if !op.pair.is_written => {
                let write = self.transfer_entry(op).flags(squeue::Flags::IO_LINK);
                let sync = sync_entry(&op.first).user_data(id | SYNC_HALF);
                Entries::Pair([write.user_data(id), sync])
            }
            Work::Read | Work::Write => Entries::One(self.transfer_entry(op).user_data(id)),
            Work::Sync | Work::WriteSync => Entries::One(sync_entry(&op.first).user_data(id)),
        };
        self.push_entries(entries);
    }

    fn push_entries(&mut self, entries: Entries) {
        if !self.backlog.is_empty() || !self.try_push(&entries) {
            self.backlog.push_back(entries);
        }
    }

    fn try_push(&mut self, entries: &Entries) -> bool {
        // SAFETY: the memory of the entries lives until their completions (module header).
        if unsafe { self.ring.submission().push_multiple(entries.as_slice()) }.is_ok() {
            return true;
        }
        self.enter();
        // SAFETY: as above; the first push did not take any of them.
        unsafe { self.ring.submission().push_multiple(entries.as_slice()) }.is_ok()
    }

    fn enter(&mut self) {
        if let Err(error) = self.ring.submit() {
            tolerate(&error);
        }
        self.note_rest();
    }

    /// Looks whether the kernel has left entries in the queue.
    fn note_rest(&mut self) {
        if !self.ring.submission().is_empty() {
            self.torn += 1;
        }
    }

    fn drain_backlog(&mut self) {
        while let Some(entries) = self.backlog.pop_front() {
            if !self.try_push(&entries) {
                self.backlog.push_front(entries);
                return;
            }
        }
    }

    /// Hands what is queued to the kernel, and lets it run what it has deferred.
    pub(crate) fn submit(&mut self) {
        self.drain_backlog();
        let queue = self.ring.submission();
        let pending = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        if pending {
            self.enter();
        }
    }

    pub(crate) fn collect(&mut self, events: &mut Vec<Event>) {
        let mut woken = false;
        for completion in self.ring.completion() {
            let (tag, result) = (completion.user_data(), completion.result());
            let half = if tag & SYNC_HALF == 0 { Half::First } else { Half::Sync };
            match usize::try_from(tag & !SYNC_HALF) {
                Ok(id) if tag != WAKE => events.push(Event { id, half, result, buffer: None }),
                _ => woken = true,
            }
        }
        if woken {
            self.arm_wake();
        }
    }

    /// Submits, and sleeps until a completion, an unpark or the timeout.
    pub(crate) fn wait(&mut self, timeout_us: Option<u64>) {
        self.drain_backlog();
        let submitter = self.ring.submitter();
        let waited = match timeout_us {
            None => submitter.submit_and_wait(1),
            Some(timeout_us) => {
                let timeout = Timespec::from(Duration::from_micros(timeout_us));
                let arguments = SubmitArgs::new().timespec(&timeout);
                submitter.submit_with_args(1, &arguments)
            }
        };
        if let Err(error) = waited {
            tolerate(&error);
        }
        self.note_rest();
    }

    fn arm_wake(&mut self) {
        let Some(buffer) = self.wake_buffer.as_mut() else { return };
        let read = opcode::Read::new(Fd(self.event.as_raw()), buffer.as_mut_ptr(), 8);
        self.push_entries(Entries::One(read.build().user_data(WAKE)));
    }

    /// The end. `idle`: nothing but the wake is in flight; otherwise the caller leaks what is.
    pub(crate) fn close(&mut self, idle: bool) {
        if idle {
            // Registered files hold the locks of their drives, and the ring itself ends lazily.
            // Not with I/O in flight: the kernel may wait for it.
            let _ = self.ring.submitter().unregister_files();
            // And memory that is locked counts against a limit.
            let _ = self.ring.submitter().unregister_buffers();
        }
        self.free_slots.clear();
        let Some(buffer) = self.wake_buffer.take() else { return };
        self.event.unpark();
        for _ in 0..10 {
            self.wait(Some(100_000));
            if self.ring.completion().any(|completion| completion.user_data() == WAKE) {
                return;
            }
        }
        // The kernel may still write there.
        let _: &'static mut DmaBuf = Box::leak(Box::new(buffer));
    }
}

impl Ring {
    /// The entry that does what is left of a transfer in one file.
    fn transfer_entry(&self, op: &mut Op) -> squeue::Entry {
        let (piece, done_bytes) = op.current();
        let at = piece.offset_bytes + done_bytes as u64;
        let len = u32::try_from(piece.len_bytes - done_bytes).unwrap_or(u32::MAX);
        let (file, flags) = target_of(piece);
        let skip_bytes = op.done_bytes;
        let known = self.registered.as_ref();
        let (address, is_known) = match op.buffer.as_mut() {
            Some(buffer) => {
                let is_known = known.is_some_and(|arena| buffer.lies_in(arena));
                (buffer[skip_bytes..].as_mut_ptr(), is_known)
            }
            None => (std::ptr::null_mut(), false),
        };
        let entry = match (op.work == Work::Read, is_known) {
            (true, false) => opcode::Read::new(file, address, len).offset(at).build(),
            (true, true) => {
                opcode::ReadFixed::new(file, address, len, ARENA_INDEX).offset(at).build()
            }
            (false, false) => opcode::Write::new(file, address, len).offset(at).build(),
            (false, true) => {
                opcode::WriteFixed::new(file, address, len, ARENA_INDEX).offset(at).build()
            }
        };
        entry.flags(flags)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.close(false);
    }
}

/// The file of a piece as entries name it.
fn target_of(piece: &Piece) -> (Fd, squeue::Flags) {
    let waits = if piece.file.waits { squeue::Flags::ASYNC } else { squeue::Flags::empty() };
    match piece.file.slot.and_then(|slot| i32::try_from(slot).ok()) {
        Some(slot) => (Fd(slot), squeue::Flags::FIXED_FILE | waits),
        None => (Fd(piece.file.raw()), waits),
    }
}

fn sync_entry(piece: &Piece) -> squeue::Entry {
    let (descriptor, flags) = target_of(piece);
    opcode::Fsync::new(descriptor).flags(FsyncFlags::DATASYNC).build().flags(flags)
}

/// Refusals that pass; anything else means that the ring is not usable at all.
///
/// # Panics
/// On those: no I/O of this shard can complete any more.
fn tolerate(error: &io::Error) {
    match error.raw_os_error() {
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME | libc::ENOMEM) => {}
        _ => panic!("io_uring_enter: {error}"),
    }
}

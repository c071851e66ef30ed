//! The real drive.

use crate::config::{DriveKind, DriveLimits, DriveSpec};
use crate::counters::DriveCounters;
use crate::env::RealEnv;
use crate::files::{DriveFile, OpenFile, locate};
use crate::grow;
use crate::helper::on_thread;
use crate::op::{DriveState, Outcome, Piece, Request, Work, io_error};
use crate::open::{OpenError, Opened, open_blocking};
use crate::operations::Core;
use engine_env::sync::Gate;
use engine_env::{BLOCK_BYTES, DmaBuf, Drive, DriveGeometry, IoClass, IoError, WriteFlushError};
use futures_channel::oneshot;
use shards_executor::Handle;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Files looked at by one call of `still_linked`, so that it stays short.
const LINK_CHECKS: usize = 64;

/// A drive of this machine. Cheap to clone; its lock goes with the last clone and the last
/// operation.
#[derive(Clone)]
pub struct RealDrive {
    inner: Rc<Inner>,
    /// Of the reads and writes of this handle.
    class: IoClass,
}

struct Inner {
    core: Rc<RefCell<Core>>,
    handle: Handle,
    state: Rc<DriveState>,
    spec: DriveSpec,
    files: RefCell<Vec<Rc<DriveFile>>>,
    file_bytes: u64,
    prepared_bytes: Cell<u64>,
    geometry: DriveGeometry,
    direct: Result<(), String>,
    /// One growth at a time.
    growth: Gate,
    abort_growth: Arc<AtomicBool>,
    next_link_check: Cell<usize>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.abort_growth.store(true, Ordering::Relaxed);
    }
}

impl RealDrive {
    /// Opens and locks a drive; a new directory gets its first file, zero-written. The blocking
    /// parts run on a thread of their own.
    ///
    /// # Errors
    /// Why it is not usable; `OpenError::Locked` if another process keeps it.
    pub async fn open(env: &RealEnv, spec: DriveSpec) -> Result<Self, OpenError> {
        if let Some(fault) = spec.fault() {
            return Err(OpenError::Invalid(fault));
        }
        let described = spec.clone();
        let cpus = env.core().borrow().helper_cpus();
        match on_thread("drive-open", &cpus, move || open_blocking(&described)).await {
            Ok(opened) => Self::assemble(env, spec, opened?),
            Err(error) => Err(OpenError::io(&spec.path, error)),
        }
    }

    /// Makes an opened drive part of this shard.
    pub(crate) fn assemble(
        env: &RealEnv,
        spec: DriveSpec,
        opened: Opened,
    ) -> Result<Self, OpenError> {
        let core = env.core().clone();
        let lane = core.borrow().open_lane().map_err(|error| OpenError::io(&spec.path, error))?;
        let state = DriveState::new(&spec.limits, spec.deadline_us, lane);
        let mut files = Vec::new();
        for file in opened.files {
            files.push(Rc::new(core.borrow_mut().attach(file)));
        }
        let (capacity_bytes, io_bytes_max) = (opened.capacity_bytes, opened.io_bytes_max);
        let inner = Inner {
            core,
            handle: env.handle().clone(),
            state: Rc::new(state),
            spec,
            files: RefCell::new(files),
            file_bytes: opened.file_bytes,
            prepared_bytes: Cell::new(opened.prepared_bytes),
            geometry: DriveGeometry { capacity_bytes, io_bytes_max },
            direct: opened.direct,
            growth: Gate::new(1),
            abort_growth: Arc::default(),
            next_link_check: Cell::new(0),
        };
        Ok(Self { inner: Rc::new(inner), class: IoClass::Foreground })
    }

    /// The path in the settings.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.spec.path
    }

    /// What is kept to: as the settings have it, but no more in one piece than it takes.
    #[must_use]
    pub fn limits(&self) -> DriveLimits {
        DriveLimits { split_bytes: self.inner.geometry.io_bytes_max, ..self.inner.spec.limits }
    }

    /// What the drive has done so far; may be read on any thread.
    #[must_use]
    pub fn counters(&self) -> Arc<DriveCounters> {
        self.inner.state.counters.clone()
    }

    /// Whether I/O is direct.
    ///
    /// # Errors
    /// Why it is buffered.
    pub fn direct(&self) -> Result<(), &str> {
        self.inner.direct.as_ref().copied().map_err(String::as_str)
    }

    /// Whether an operation missed its deadline: every further one fails then.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.inner.state.offline.get()
    }

    /// Takes no more I/O from here on; what is in flight completes.
    pub fn take_offline(&self) {
        self.inner.state.take_offline();
    }

    /// Whether the paths still lead to the open files: an unlinked file goes on taking writes
    /// that nobody will find again. For a check each second; looks at the first file and, in
    /// turn, at some of the others.
    #[must_use]
    pub fn still_linked(&self) -> bool {
        let files = self.inner.files.borrow();
        let Some(first) = files.first() else { return false };
        let (start, checks) = (self.inner.next_link_check.get(), files.len().min(LINK_CHECKS));
        self.inner.next_link_check.set((start + checks) % files.len());
        first.still_linked()
            && (start..start + checks).all(|index| files[index % files.len()].still_linked())
    }

    #[cfg(test)]
    pub(crate) fn start_threads(&self, threads: usize) {
        if let Some(lane) = &self.inner.state.lane {
            lane.start_threads(threads).unwrap();
        }
    }

    /// Submits a read or a write.
    fn transfer(
        &self,
        work: Work,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> oneshot::Receiver<Outcome> {
        match self.locate(offset_bytes, buffer.len()) {
            Some((first, second)) => self.submit(work, first, second, Some(buffer)),
            None => {
                let (reply, receiver) = oneshot::channel();
                // The receiver is here.
                let _ = reply.send(Err(IoError::Failed(libc::EINVAL)));
                receiver
            }
        }
    }

    fn submit(
        &self,
        work: Work,
        first: Piece,
        second: Option<Piece>,
        buffer: Option<DmaBuf>,
    ) -> oneshot::Receiver<Outcome> {
        let (reply, receiver) = oneshot::channel();
        // What a flush makes durable may be anybody's.
        let class = if work == Work::Sync { IoClass::Foreground } else { self.class };
        let request = Request { work, class, first, second, buffer, reply };
        self.inner.core.borrow_mut().submit(&self.inner.state, request);
        receiver
    }

    /// Why no flush can be believed any more, if that is so.
    fn flush_refusal(&self) -> Option<IoError> {
        let state = &self.inner.state;
        state.flush_error.get().or_else(|| self.is_offline().then_some(IoError::Offline))
    }

    /// Submits a flush of every file that needs one, but `except`.
    fn flush_files(&self, except: Option<&Rc<DriveFile>>) -> Vec<oneshot::Receiver<Outcome>> {
        let mut receivers = Vec::new();
        for file in self.inner.files.borrow().iter().filter(|file| file.needs_flush()) {
            if !except.is_some_and(|except| Rc::ptr_eq(except, file)) {
                let piece = Piece { file: file.clone(), offset_bytes: 0, len_bytes: 0 };
                receivers.push(self.submit(Work::Sync, piece, None, None));
            }
        }
        receivers
    }

    /// Where a range lies, if an operation may name it.
    fn locate(&self, offset_bytes: u64, len_bytes: usize) -> Option<(Piece, Option<Piece>)> {
        let inner = &self.inner;
        let aligned = offset_bytes.is_multiple_of(BLOCK) && len_bytes.is_multiple_of(BLOCK_BYTES);
        let end_bytes = offset_bytes.checked_add(len_bytes as u64)?;
        if !aligned
            || len_bytes == 0
            || len_bytes > inner.geometry.io_bytes_max
            || end_bytes > inner.prepared_bytes.get()
        {
            return None;
        }
        locate(&inner.files.borrow(), inner.file_bytes, offset_bytes, len_bytes)
    }

    async fn grow(self, end_bytes: u64) -> Result<(), IoError> {
        let _alone = self.inner.growth.take(1).await;
        while self.prepared_bytes() < end_bytes {
            if self.is_offline() {
                return Err(IoError::Offline);
            }
            self.grow_once(end_bytes).await.map_err(|error| {
                error.raw_os_error().map_or(IoError::Failed(libc::EIO), io_error)
            })?;
        }
        Ok(())
    }

    /// One more file, or the rest of a single one.
    async fn grow_once(&self, end_bytes: u64) -> io::Result<()> {
        let inner = &self.inner;
        let prepared_bytes = inner.prepared_bytes.get();
        let (abort, cpus) = (inner.abort_growth.clone(), inner.core.borrow().helper_cpus());
        let first = inner.files.borrow().first().map(|first| first.file.clone());
        let Some(first) = first else { return Err(io::Error::other("a drive without files")) };
        match inner.spec.kind {
            DriveKind::Directory { file_bytes } => {
                let (directory, direct) = (inner.spec.path.clone(), inner.direct.is_ok());
                let index = inner.files.borrow().len();
                let grown = on_thread("drive-grow", &cpus, move || {
                    // Holds the drive's lock for as long as this thread writes.
                    let _locked = first;
                    grow::next_file(&directory, index, file_bytes, direct, &abort)
                        .map(|(path, file)| OpenFile::new(path, file))
                });
                let file = grown.await??;
                let file = inner.core.borrow_mut().attach(file);
                inner.files.borrow_mut().push(Rc::new(file));
                inner.prepared_bytes.set(prepared_bytes + file_bytes);
            }
            DriveKind::File => {
                let end_bytes =
                    end_bytes.next_multiple_of(BLOCK).min(inner.geometry.capacity_bytes);
                let range = prepared_bytes..end_bytes;
                let body = move || grow::extend(&first, range, &abort);
                on_thread("drive-grow", &cpus, body).await??;
                inner.prepared_bytes.set(end_bytes);
            }
            DriveKind::Device => return Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        }
        Ok(())
    }
}

/// The outcome; an operation the runtime's end swept away counts as offline.
async fn outcome(receiver: oneshot::Receiver<Outcome>) -> Outcome {
    receiver.await.unwrap_or(Err(IoError::Offline))
}

impl Drive for RealDrive {
    fn geometry(&self) -> DriveGeometry {
        self.inner.geometry
    }

    fn background(&self) -> Self {
        Self { inner: self.inner.clone(), class: IoClass::Background }
    }

    fn prepared_bytes(&self) -> u64 {
        self.inner.prepared_bytes.get()
    }

    fn prepare(&self, end_bytes: u64) -> impl Future<Output = Result<(), IoError>> + use<> {
        let (reply, receiver) = oneshot::channel();
        if end_bytes <= self.prepared_bytes() {
            let _ = reply.send(Ok(()));
        } else if end_bytes > self.inner.geometry.capacity_bytes {
            let _ = reply.send(Err(IoError::NoSpace));
        } else {
            let drive = self.clone();
            self.inner.handle.spawn(async move {
                // Nobody waits any more: the drive has grown all the same.
                let _ = reply.send(drive.grow(end_bytes).await);
            });
        }
        async move { receiver.await.unwrap_or(Err(IoError::Offline)) }
    }

    fn read(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<DmaBuf, IoError>> + use<> {
        let receiver = self.transfer(Work::Read, offset_bytes, buffer);
        async move {
            match outcome(receiver).await? {
                Some(buffer) => Ok(buffer),
                None => unreachable!("a read that succeeds gives its buffer back"),
            }
        }
    }

    fn write(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), IoError>> + use<> {
        let receiver = self.transfer(Work::Write, offset_bytes, buffer);
        async move { outcome(receiver).await.map(|_| ()) }
    }

    fn flush(&self) -> impl Future<Output = Result<(), IoError>> + use<> {
        let refused = self.flush_refusal();
        let receivers = if refused.is_none() { self.flush_files(None) } else { Vec::new() };
        let drive = self.clone();
        async move {
            match refused {
                Some(error) => Err(error),
                None => {
                    flushed(receivers).await?;
                    drive.flush_held()
                }
            }
        }
    }

    fn write_and_flush(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), WriteFlushError>> + use<> {
        let begun = self.begin_write_and_flush(offset_bytes, buffer);
        let drive = self.clone();
        async move {
            match begun? {
                Begun::Joined { pair, others } => {
                    let written = outcome(pair).await;
                    let others = flushed(others).await;
                    written.map_err(|error| match drive.inner.state.flush_error.get() {
                        Some(error) => WriteFlushError::Flush(error),
                        None => WriteFlushError::Write(error),
                    })?;
                    others.and_then(|()| drive.flush_held()).map_err(WriteFlushError::Flush)
                }
                Begun::Apart { write } => {
                    outcome(write).await.map_err(WriteFlushError::Write)?;
                    drive.flush().await.map_err(WriteFlushError::Flush)
                }
            }
        }
    }
}

/// A write with its flush, submitted.
enum Begun {
    /// The device has both; other files that need it are being flushed too.
    Joined { pair: oneshot::Receiver<Outcome>, others: Vec<oneshot::Receiver<Outcome>> },
    /// It lies in two files: all there is to flush is flushed once it is done.
    Apart { write: oneshot::Receiver<Outcome> },
}

impl RealDrive {
    /// Of flushes that overlap the kernel tells only one of a failed write, and the others that
    /// all is well: they hold only if none failed by now.
    fn flush_held(&self) -> Result<(), IoError> {
        self.inner.state.flush_error.get().map_or(Ok(()), Err)
    }

    fn begin_write_and_flush(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> Result<Begun, WriteFlushError> {
        if let Some(error) = self.flush_refusal() {
            return Err(WriteFlushError::Flush(error));
        }
        let place = self.locate(offset_bytes, buffer.len());
        let (first, second) = place.ok_or(WriteFlushError::Write(IoError::Failed(libc::EINVAL)))?;
        if second.is_some() {
            let write = self.submit(Work::Write, first, second, Some(buffer));
            return Ok(Begun::Apart { write });
        }
        let others = self.flush_files(Some(&first.file));
        let pair = self.submit(Work::WriteSync, first, None, Some(buffer));
        Ok(Begun::Joined { pair, others })
    }
}

/// Waits for flushes; the first failure, if there is one.
async fn flushed(receivers: Vec<oneshot::Receiver<Outcome>>) -> Result<(), IoError> {
    let mut result = Ok(());
    for receiver in receivers {
        result = result.and(outcome(receiver).await.map(|_| ()));
    }
    result
}

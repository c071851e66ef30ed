//! The files of a drive, and how its linear address space lies on them.

use crate::op::Piece;
use crate::sys::submission_waits;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Slots of the ring's file table that may be given back.
pub(crate) type RetiredSlots = Rc<RefCell<Vec<u32>>>;

/// One open file of a drive. Operations hold it until they complete.
pub(crate) struct DriveFile {
    /// Shared with the threads that do blocking I/O.
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    /// Its place in the ring's file table, where it has one.
    pub(crate) slot: Option<u32>,
    /// Handing over I/O may wait for it: the shard's thread must not be who does.
    pub(crate) waits: bool,
    retired: RetiredSlots,
    /// Writes completed here, failed ones too. Starts at 1: what an earlier process wrote may
    /// not be durable, so the first flush must not be skipped.
    pub(crate) writes_done: Cell<u64>,
    /// `writes_done` when the newest successful flush began.
    pub(crate) flushed_through: Cell<u64>,
}

/// A file as whoever opened it found it.
pub(crate) struct OpenFile {
    file: Arc<File>,
    path: PathBuf,
    waits: bool,
}

impl OpenFile {
    /// **Runs on** the thread that opened the file: its file system is asked, and may not answer.
    pub(crate) fn new(path: PathBuf, file: File) -> Self {
        let waits = submission_waits(&file);
        Self { file: Arc::new(file), path, waits }
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl DriveFile {
    pub(crate) fn new(open: OpenFile, slot: Option<u32>, retired: RetiredSlots) -> Self {
        let OpenFile { file, path, waits } = open;
        let (writes_done, flushed_through) = (Cell::new(1), Cell::new(0));
        Self { file, path, slot, waits, retired, writes_done, flushed_through }
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(crate) fn needs_flush(&self) -> bool {
        self.writes_done.get() > self.flushed_through.get()
    }

    /// Whether the path still leads to this file.
    pub(crate) fn still_linked(&self) -> bool {
        is_linked(&self.file, &self.path)
    }
}

impl Drop for DriveFile {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.retired.borrow_mut().push(slot);
        }
    }
}

/// Whether `path` leads to the open `file`.
pub(crate) fn is_linked(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    open.nlink() > 0 && open.dev() == named.dev() && open.ino() == named.ino()
}

/// The piece or two pieces that hold `len_bytes` from `offset_bytes`. The caller has checked the
/// range, and that no operation is longer than a file.
pub(crate) fn locate(
    files: &[Rc<DriveFile>],
    file_bytes: u64,
    offset_bytes: u64,
    len_bytes: usize,
) -> Option<(Piece, Option<Piece>)> {
    let index = usize::try_from(offset_bytes / file_bytes).ok()?;
    let within = offset_bytes % file_bytes;
    let room = usize::try_from(file_bytes - within).unwrap_or(usize::MAX);
    let head_bytes = len_bytes.min(room);
    let piece = |index: usize, offset_bytes: u64, len_bytes: usize| {
        files.get(index).map(|file| Piece { file: file.clone(), offset_bytes, len_bytes })
    };
    let first = piece(index, within, head_bytes)?;
    if head_bytes == len_bytes {
        return Some((first, None));
    }
    let second = piece(index + 1, 0, len_bytes - head_bytes)?;
    Some((first, Some(second)))
}

//! FUSE on one side, `Disk` on the other.
//!
//! Files open for direct I/O always, so that nothing stays in the kernel's page cache and what is
//! unflushed is known here; names and attributes are never cached by the kernel.

use crate::disk::{CONTROL, CONTROL_NAME, Disk, Errno, Fault, ROOT};
use fuser::consts::FUSE_ASYNC_DIO;
use fuser::{
    FileAttr, FileType, Filesystem, KernelConfig, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
};
use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

const UNCACHED: Duration = Duration::ZERO;
const BLOCK_BYTES: u32 = 4096;
const ZERO_PIECE_BYTES: u64 = 1 << 20;

/// A request to a stalled drive.
#[derive(Debug)]
enum Held {
    Read { number: u64, offset: i64, length: u32, reply: ReplyData },
    Write { number: u64, offset: i64, bytes: Vec<u8>, reply: ReplyWrite },
    Flush { number: u64, reply: ReplyEmpty },
}

/// The mounted file system.
#[derive(Debug)]
pub struct Mounted {
    disk: Disk,
    held: Vec<Held>,
}

fn text(name: &OsStr) -> Result<&str, Errno> {
    name.to_str().ok_or(libc::EINVAL)
}

fn unsigned(offset: i64) -> Result<u64, Errno> {
    u64::try_from(offset).map_err(|_| libc::EINVAL)
}

fn finish(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn finish_entry(result: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&UNCACHED, &attributes, 0),
        Err(errno) => reply.error(errno),
    }
}

impl Mounted {
    /// Serves a disk.
    #[must_use]
    pub fn new(disk: Disk) -> Self {
        Self { disk, held: Vec::new() }
    }

    /// Serves a request, or keeps it while its drive stalls.
    fn serve(&mut self, request: Held) {
        let (Held::Read { number, .. } | Held::Write { number, .. } | Held::Flush { number, .. }) =
            request;
        if self.disk.fault(number) == Some(Fault::Stall) {
            self.held.push(request);
            return;
        }
        match request {
            Held::Read { number, offset, length, reply } => {
                match self.load(number, offset, length) {
                    Ok(bytes) => reply.data(&bytes),
                    Err(errno) => reply.error(errno),
                }
            }
            Held::Write { number, offset, bytes, reply } => {
                match self.store(number, offset, &bytes) {
                    Ok(length) => reply.written(length),
                    Err(errno) => reply.error(errno),
                }
            }
            Held::Flush { number, reply } => finish(self.disk.flush(number), reply),
        }
    }

    /// Serves what was kept, in order, as far as its drive was healed (or power was lost).
    fn release(&mut self) {
        for request in std::mem::take(&mut self.held) {
            self.serve(request);
        }
    }

    fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        let (kind, size, mode, linked) = if number == CONTROL {
            (FileType::RegularFile, self.disk.report().len() as u64, 0o600, true)
        } else {
            let inode = self.disk.inode(number)?;
            match &inode.file {
                Some(file) => (FileType::RegularFile, file.size_bytes(), inode.mode, inode.linked),
                None => (FileType::Directory, 0, inode.mode, inode.linked),
            }
        };
        let (uid, gid) = self.disk.owner();
        let links = if kind == FileType::Directory { 2 } else { 1 };
        Ok(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind,
            perm: u16::try_from(mode & 0o7777).unwrap_or(0o600),
            nlink: if linked { links } else { 0 },
            uid,
            gid,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        })
    }

    fn find(&self, parent: u64, name: &OsStr) -> Result<FileAttr, Errno> {
        if parent == ROOT && name == CONTROL_NAME {
            return self.attributes(CONTROL);
        }
        self.attributes(self.disk.find(parent, text(name)?)?)
    }

    fn make(
        &mut self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        directory: bool,
    ) -> Result<FileAttr, Errno> {
        let place = (parent, text(name)?.to_owned());
        let number = self.disk.create(place, mode, directory)?;
        self.attributes(number)
    }

    fn change(
        &mut self,
        number: u64,
        mode: Option<u32>,
        size: Option<u64>,
    ) -> Result<FileAttr, Errno> {
        if number == CONTROL {
            return self.attributes(CONTROL);
        }
        self.disk.check()?;
        if let Some(mode) = mode {
            self.disk.set_mode(number, mode)?;
        }
        if let Some(size) = size {
            self.disk.resize(number, size)?;
        }
        self.attributes(number)
    }

    fn load(&mut self, number: u64, offset: i64, length: u32) -> Result<Vec<u8>, Errno> {
        let offset = unsigned(offset)?;
        let length = usize::try_from(length).map_err(|_| libc::EINVAL)?;
        if number == CONTROL {
            let report = self.disk.report().into_bytes();
            let skip = usize::try_from(offset).unwrap_or(usize::MAX);
            return Ok(report.into_iter().skip(skip).take(length).collect());
        }
        self.disk.read(number, offset, length)
    }

    fn store(&mut self, number: u64, offset: i64, bytes: &[u8]) -> Result<u32, Errno> {
        let offset = unsigned(offset)?;
        if number == CONTROL {
            let line = std::str::from_utf8(bytes).map_err(|_| libc::EINVAL)?;
            self.disk.command(line)?;
        } else {
            self.disk.write(number, offset, bytes)?;
        }
        u32::try_from(bytes.len()).map_err(|_| libc::EINVAL)
    }

    fn allocate(&mut self, number: u64, range: (i64, i64), mode: i32) -> Result<(), Errno> {
        let start = unsigned(range.0)?;
        let end = start.checked_add(unsigned(range.1)?).ok_or(libc::EFBIG)?;
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 if keep_size => self.disk.inode(number).map(|_| ()),
            0 => self.disk.extend(number, end),
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE => {
                if !keep_size {
                    self.disk.extend(number, end)?;
                }
                self.zero(number, start, end)
            }
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    fn zero(&mut self, number: u64, start: u64, end: u64) -> Result<(), Errno> {
        let size = self.disk.inode(number)?.file.as_ref().map_or(0, |file| file.size_bytes());
        let end = end.min(size);
        let mut at = start;
        while at < end {
            let length = (end - at).min(ZERO_PIECE_BYTES);
            let zeros = vec![0; usize::try_from(length).map_err(|_| libc::EINVAL)?];
            self.disk.write(number, at, &zeros)?;
            at += length;
        }
        Ok(())
    }

    fn fill(&self, number: u64, offset: i64, reply: &mut ReplyDirectory) -> Result<(), Errno> {
        let mut entries = vec![(".".to_owned(), number), ("..".to_owned(), ROOT)];
        entries.extend(self.disk.list(number)?);
        let skip = usize::try_from(offset).map_err(|_| libc::EINVAL)?;
        for (index, (name, inode)) in entries.into_iter().enumerate().skip(skip) {
            let kind = match &self.disk.inode(inode)?.file {
                Some(_) => FileType::RegularFile,
                None => FileType::Directory,
            };
            let next = i64::try_from(index + 1).map_err(|_| libc::EINVAL)?;
            if reply.add(inode, next, kind, name) {
                break;
            }
        }
        Ok(())
    }
}

impl Filesystem for Mounted {
    fn init(&mut self, _req: &Request<'_>, config: &mut KernelConfig) -> Result<(), Errno> {
        // As on a real drive: whoever submits does not wait, also while another drive stalls.
        config.add_capabilities(FUSE_ASYNC_DIO).map_err(|_| libc::ENOSYS)?;
        config.set_max_background(u16::MAX).map_err(|_| libc::EINVAL)?;
        config.set_congestion_threshold(u16::MAX).map_err(|_| libc::EINVAL)?;
        Ok(())
    }

    fn destroy(&mut self) {
        // A clean unmount keeps everything; nobody is left to hear of an error.
        let _ = self.disk.sync_all();
    }

    fn lookup(&mut self, _req: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEntry) {
        finish_entry(self.find(parent, name), reply);
    }

    fn getattr(&mut self, _req: &Request<'_>, ino: u64, _fh: Option<u64>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Ok(attributes) => reply.attr(&UNCACHED, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &mut self,
        _req: &Request<'_>,
        ino: u64,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<u64>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<u32>,
        reply: ReplyAttr,
    ) {
        match self.change(ino, mode, size) {
            Ok(attributes) => reply.attr(&UNCACHED, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(
        &mut self,
        _req: &Request<'_>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        finish_entry(self.make(parent, name, mode & !umask, true), reply);
    }

    fn unlink(&mut self, _req: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        let result = text(name).and_then(|name| self.disk.remove((parent, name.to_owned()), false));
        finish(result, reply);
    }

    fn rmdir(&mut self, _req: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        let result = text(name).and_then(|name| self.disk.remove((parent, name.to_owned()), true));
        finish(result, reply);
    }

    fn rename(
        &mut self,
        _req: &Request<'_>,
        parent: u64,
        name: &OsStr,
        newparent: u64,
        newname: &OsStr,
        flags: u32,
        reply: ReplyEmpty,
    ) {
        let (from, to) = match (text(name), text(newname)) {
            (Ok(from), Ok(to)) => ((parent, from.to_owned()), (newparent, to.to_owned())),
            _ => return reply.error(libc::EINVAL),
        };
        finish(self.disk.rename(from, to, flags), reply);
    }

    fn open(&mut self, _req: &Request<'_>, ino: u64, _flags: i32, reply: ReplyOpen) {
        match self.attributes(ino) {
            Ok(_) => reply.opened(0, fuser::consts::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &mut self,
        _req: &Request<'_>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(parent, name, mode & !umask, false) {
            Ok(attributes) => {
                reply.created(&UNCACHED, &attributes, 0, 0, fuser::consts::FOPEN_DIRECT_IO);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &mut self,
        _req: &Request<'_>,
        ino: u64,
        _fh: u64,
        offset: i64,
        size: u32,
        _flags: i32,
        _lock_owner: Option<u64>,
        reply: ReplyData,
    ) {
        self.serve(Held::Read { number: ino, offset, length: size, reply });
    }

    fn write(
        &mut self,
        _req: &Request<'_>,
        ino: u64,
        _fh: u64,
        offset: i64,
        data: &[u8],
        _write_flags: u32,
        _flags: i32,
        _lock_owner: Option<u64>,
        reply: ReplyWrite,
    ) {
        self.serve(Held::Write { number: ino, offset, bytes: data.to_vec(), reply });
        if ino == CONTROL {
            self.release();
        }
    }

    fn flush(&mut self, _req: &Request<'_>, _ino: u64, _fh: u64, _owner: u64, reply: ReplyEmpty) {
        // close(2) makes nothing durable.
        reply.ok();
    }

    fn fsync(&mut self, _req: &Request<'_>, ino: u64, _fh: u64, _data: bool, reply: ReplyEmpty) {
        self.serve(Held::Flush { number: ino, reply });
    }

    fn fsyncdir(&mut self, _req: &Request<'_>, ino: u64, _fh: u64, _data: bool, reply: ReplyEmpty) {
        finish(self.disk.flush(ino), reply);
    }

    fn readdir(
        &mut self,
        _req: &Request<'_>,
        ino: u64,
        _fh: u64,
        offset: i64,
        mut reply: ReplyDirectory,
    ) {
        match self.fill(ino, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&mut self, _req: &Request<'_>, _ino: u64, reply: ReplyStatfs) {
        let (capacity, free) = self.disk.space_bytes();
        let block = u64::from(BLOCK_BYTES);
        let (all, left) = (capacity / block, free / block);
        reply.statfs(all, left, left, 1 << 20, 1 << 20, BLOCK_BYTES, 255, BLOCK_BYTES);
    }

    fn fallocate(
        &mut self,
        _req: &Request<'_>,
        ino: u64,
        _fh: u64,
        offset: i64,
        length: i64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        finish(self.allocate(ino, (offset, length), mode), reply);
    }
}

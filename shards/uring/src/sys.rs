//! The system calls that std does not wrap.
#![allow(unsafe_code, reason = "system calls without a safe wrapper")]

use shards_executor::Unpark;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Switches direct I/O of this very description on or off; its lock stays.
pub(crate) fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    // SAFETY: the descriptor is open; F_GETFL has no argument.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = if direct { flags | libc::O_DIRECT } else { flags & !libc::O_DIRECT };
    // SAFETY: the descriptor is open; F_SETFL takes an int.
    let failed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags) } < 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reserves blocks without changing the length, so that a full host says so before zeros are
/// written. File systems that cannot are not asked twice: their writes will say.
pub(crate) fn reserve(file: &File, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
    let (Ok(offset), Ok(len)) =
        (libc::off_t::try_from(offset_bytes), libc::off_t::try_from(len_bytes))
    else {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    };
    // SAFETY: the descriptor is open; no memory is passed.
    let failed =
        unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, offset, len) } != 0;
    if !failed {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINTR) => Ok(()),
        _ => Err(error),
    }
}

/// File systems that take I/O only by waiting for it, whatever io_uring asks: FUSE, NFS, SMB (its
/// three numbers), 9p, Ceph. Source: linux/magic.h.
const WAITING: [u32; 7] =
    [0x6573_5546, 0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x0102_1997, 0x00c3_6400];

/// Whether handing over I/O on this file may wait for that I/O, or for other of the same file.
pub(crate) fn submission_waits(file: &File) -> bool {
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open, and the kernel writes no more than the structure.
    if unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the kernel has filled it.
    let found = unsafe { found.assume_init() };
    // The numbers have 32 bits; the field is of another type on each machine.
    WAITING.contains(&(found.f_type as u32))
}

/// A counter in the kernel that a ring can read; wakes the ring's thread.
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// Blocking on purpose: a ring answers a read of a non-blocking one at once.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    pub(crate) fn as_raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Unpark for EventFd {
    fn unpark(&self) {
        // Fails only where the counter is about to overflow, and then a wake is pending anyway.
        // SAFETY: the descriptor is open; no memory is passed.
        let _ = unsafe { libc::eventfd_write(self.0.as_raw_fd(), 1) };
    }
}

/// Fills `words` with random bits.
///
/// # Panics
/// If the kernel has no random numbers: nothing here is safe without them.
pub(crate) fn fill_random(words: &mut [u64; 32]) {
    let len = size_of_val(words);
    loop {
        // SAFETY: the kernel writes at most `len` bytes into an array of that size.
        let got = unsafe { libc::getrandom(words.as_mut_ptr().cast(), len, 0) };
        // Up to 256 bytes come whole once the pool is ready.
        if usize::try_from(got) == Ok(len) {
            return;
        }
        let error = io::Error::last_os_error();
        assert!(
            got >= 0 || error.kind() == io::ErrorKind::Interrupted,
            "the kernel gives no random numbers: {error}"
        );
    }
}

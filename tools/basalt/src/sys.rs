//! The only unsafe code of the binary: calls into libc, each wrapped so that no pointer leaves.
#![allow(unsafe_code, reason = "libc calls; the safe wrappers are the module's whole content")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A limit of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Open file descriptors.
    OpenFiles,
    /// Bytes of memory that may be locked (registered buffers count).
    LockedMemory,
}

/// Soft and hard value of a limit; `u64::MAX` means none.
pub fn limit(which: Limit) -> io::Result<(u64, u64)> {
    let resource = match which {
        Limit::OpenFiles => libc::RLIMIT_NOFILE,
        Limit::LockedMemory => libc::RLIMIT_MEMLOCK,
    };
    let mut value = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `value` is a valid rlimit that outlives the call.
    let result = unsafe { libc::getrlimit(resource, &mut value) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((value.rlim_cur, value.rlim_max))
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = limit(Limit::OpenFiles)?;
    let value = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: `value` is a valid rlimit that outlives the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &value) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(hard)
}

/// Room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystemRoom {
    /// All of it.
    pub total_bytes: u64,
    /// What an ordinary user may still take.
    pub available_bytes: u64,
}

/// Room of the file system that holds `path`.
pub fn file_system_room(path: &Path) -> io::Result<FileSystemRoom> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut value = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `name` is NUL-terminated, `value` has room for a statvfs; both outlive the call.
    let result = unsafe { libc::statvfs(name.as_ptr(), value.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it is filled in (and all-zero is a valid value anyway).
    let value = unsafe { value.assume_init() };
    Ok(FileSystemRoom {
        total_bytes: value.f_blocks.saturating_mul(value.f_frsize),
        available_bytes: value.f_bavail.saturating_mul(value.f_frsize),
    })
}

/// Room of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters of a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// The size of a terminal; an error where it is none, or does not know its size.
pub fn terminal_size(terminal: impl AsFd) -> io::Result<TerminalSize> {
    let mut value = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    let descriptor = terminal.as_fd().as_raw_fd();
    // SAFETY: `value` is a valid winsize that outlives the call, which writes no more than one.
    let result = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &raw mut value) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if value.ws_col == 0 || value.ws_row == 0 {
        return Err(io::Error::other("the terminal does not know its size"));
    }
    Ok(TerminalSize { columns: value.ws_col, rows: value.ws_row })
}

/// Sets up a ring and drops it again: tells whether this process may use io_uring.
pub fn probe_io_uring() -> io::Result<()> {
    const ENTRIES: libc::c_uint = 8;
    // struct io_uring_params has been 120 bytes since it exists; all-zero asks for defaults.
    let mut parameters = [0u64; 15];
    // SAFETY: the kernel reads and writes 120 bytes at the pointer, which the array has.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, parameters.as_mut_ptr()) };
    let Ok(descriptor) = i32::try_from(result) else {
        return Err(io::Error::other("io_uring_setup returned no descriptor"));
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is fresh and owned by nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(())
}

/// Fills the buffer with random bytes of the kernel.
pub fn random_bytes(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: the pointer and length are those of a live, writable slice.
        let result = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(result) {
            Ok(count) => filled += count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

fn termination_signals() -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `set` has room for a sigset_t; sigemptyset makes it valid before the others use it.
    let result = unsafe {
        libc::sigemptyset(set.as_mut_ptr())
            | libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM)
            | libc::sigaddset(set.as_mut_ptr(), libc::SIGINT)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigemptyset has initialised it.
    Ok(unsafe { set.assume_init() })
}

/// Blocks SIGTERM and SIGINT in this thread and in every thread it starts from now on.
pub fn block_termination_signals() -> io::Result<()> {
    let set = termination_signals()?;
    // SAFETY: `set` is valid; a null old set is allowed.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    Ok(())
}

/// Waits for SIGTERM or SIGINT, which must be blocked, and returns its number.
pub fn wait_for_termination_signal() -> io::Result<i32> {
    let set = termination_signals()?;
    let mut signal: libc::c_int = 0;
    // SAFETY: both pointers are to live values of the right type.
    let result = unsafe { libc::sigwait(&set, &mut signal) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    Ok(signal)
}

/// Ends the process at once: no destructors, no exit handlers that could wait for anything.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit takes any integer and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_ordered() {
        for which in [Limit::OpenFiles, Limit::LockedMemory] {
            let (soft, hard) = limit(which).unwrap();
            assert!(soft <= hard, "{which:?}");
        }
    }

    #[test]
    fn room_is_plausible_and_a_missing_path_fails() {
        let room = file_system_room(Path::new("/")).unwrap();
        assert!(room.total_bytes > 0 && room.available_bytes <= room.total_bytes);
        assert!(file_system_room(Path::new("/no/such/path")).is_err());
    }

    #[test]
    fn what_is_no_terminal_has_no_size() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(terminal_size(file).is_err());
    }

    #[test]
    fn random_bytes_differ() {
        let (mut first, mut second) = ([0u8; 32], [0u8; 32]);
        random_bytes(&mut first).unwrap();
        random_bytes(&mut second).unwrap();
        assert_ne!(first, second);
    }
}

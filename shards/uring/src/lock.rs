//! Taking a drive for this process alone.
//!
//! Invariant: the lock sits on the very description that does the I/O, so that it lasts as long
//! as any I/O of a killed process may (rule 12 of the commit rules); a locked file is one its
//! path still leads to.

use crate::config::DriveSpec;
use crate::files::is_linked;
use crate::open::OpenError;
use shards_executor::now_us;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

const RETRY: Duration = Duration::from_millis(50);

/// Tries until `attempt` has something, or another process has kept the drive for too long.
pub(crate) fn patiently<T>(
    spec: &DriveSpec,
    mut attempt: impl FnMut() -> Result<Option<T>, OpenError>,
) -> Result<T, OpenError> {
    let until_us = now_us().saturating_add(spec.lock_wait_us);
    loop {
        if let Some(taken) = attempt()? {
            return Ok(taken);
        }
        if now_us() >= until_us {
            return Err(OpenError::Locked { path: spec.path.clone() });
        }
        std::thread::sleep(RETRY);
    }
}

/// Opens a file without changing it.
pub(crate) fn open_file(path: &Path, create: bool) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false).mode(0o600);
    options.open(path).map_err(|error| OpenError::io(path, error))
}

/// Opens and locks a file; nothing if another process has it, or it went away meanwhile.
pub(crate) fn open_locked(path: &Path, create: bool) -> Result<Option<File>, OpenError> {
    let file = open_file(path, create)?;
    match file.try_lock() {
        Ok(()) => Ok(is_linked(&file, path).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, error)),
    }
}

/// Opens a block device; nothing if another process (or a mount) has it.
pub(crate) fn open_device(path: &Path) -> Result<Option<File>, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_EXCL);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(None),
        Err(error) => Err(OpenError::io(path, error)),
    }
}

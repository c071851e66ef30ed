//! Growing a drive: zeros written once, synced, only then usable. Blocking; runs on helper
//! threads.
//!
//! Invariant: a file named `.data` is complete and durable. What is unfinished is named
//! `.preparing` and removed by the next owner of the drive.

use crate::sys::{reserve, set_direct};
use engine_env::{BLOCK_BYTES, DmaBuf};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Zeros written at once: what one submission to a device takes.
const CHUNK_BYTES: usize = 1 << 20;

/// The file with this number.
pub(crate) fn data_path(directory: &Path, index: usize) -> PathBuf {
    directory.join(format!("basalt-{index:06}.data"))
}

/// The same file while it is being written.
pub(crate) fn preparing_path(directory: &Path, index: usize) -> PathBuf {
    directory.join(format!("basalt-{index:06}.preparing"))
}

/// Turns direct I/O on where the file system takes it; otherwise why not.
pub(crate) fn make_direct(file: &File) -> io::Result<Result<(), String>> {
    if let Err(error) = set_direct(file, true) {
        return refusal(error);
    }
    match file.read_at(&mut DmaBuf::zeroed(BLOCK_BYTES), 0) {
        Ok(_) => Ok(Ok(())),
        Err(error) => {
            set_direct(file, false)?;
            refusal(error)
        }
    }
}

/// Tells a refusal of direct I/O from a failing device.
fn refusal(error: io::Error) -> io::Result<Result<(), String>> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => Ok(Err(format!("O_DIRECT refused: {error}"))),
        _ => Err(error),
    }
}

/// Writes zeros over `range` and makes them, and the length, durable.
pub(crate) fn fill_zeros(file: &File, range: Range<u64>, abort: &AtomicBool) -> io::Result<()> {
    reserve(file, range.start, range.end - range.start)?;
    let zeros = DmaBuf::zeroed(CHUNK_BYTES);
    let mut offset_bytes = range.start;
    while offset_bytes < range.end {
        if abort.load(Ordering::Relaxed) {
            return Err(io::Error::other("the drive was closed"));
        }
        let left_bytes = usize::try_from(range.end - offset_bytes).unwrap_or(usize::MAX);
        let chunk = &zeros[..left_bytes.min(CHUNK_BYTES)];
        file.write_all_at(chunk, offset_bytes)?;
        offset_bytes += chunk.len() as u64;
    }
    file.sync_all()
}

/// Makes the locked `.preparing` file of a new drive its first data file.
pub(crate) fn first_file(
    directory: &Path,
    file: &File,
    file_bytes: u64,
) -> io::Result<Result<(), String>> {
    let go_on = AtomicBool::new(false);
    let filled = || -> io::Result<Result<(), String>> {
        file.set_len(0)?;
        let mut direct = make_direct(file)?;
        match fill_zeros(file, 0..file_bytes, &go_on) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && direct.is_ok() => {
                set_direct(file, false)?;
                direct = Err(format!("O_DIRECT refused: {error}"));
                fill_zeros(file, 0..file_bytes, &go_on)?;
            }
            result => result?,
        }
        publish(directory, 0)?;
        Ok(direct)
    };
    let result = filled();
    if result.is_err() {
        // Best effort: the next owner removes what stays.
        let _ = std::fs::remove_file(preparing_path(directory, 0));
    }
    result
}

/// Creates data file `index`, complete and durable.
pub(crate) fn next_file(
    directory: &Path,
    index: usize,
    file_bytes: u64,
    direct: bool,
    abort: &AtomicBool,
) -> io::Result<(PathBuf, File)> {
    let (preparing, data) = (preparing_path(directory, index), data_path(directory, index));
    if data.try_exists()? {
        // Never over something that may hold data.
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&preparing)?;
    let filled = || -> io::Result<()> {
        if direct {
            set_direct(&file, true)?;
        }
        fill_zeros(&file, 0..file_bytes, abort)?;
        publish(directory, index)
    };
    match filled() {
        Ok(()) => Ok((data, file)),
        Err(error) => {
            // Best effort: the next owner removes what stays.
            let _ = std::fs::remove_file(&preparing);
            Err(error)
        }
    }
}

/// Grows a single file over `range`; on failure it is as long as before.
pub(crate) fn extend(file: &File, range: Range<u64>, abort: &AtomicBool) -> io::Result<()> {
    let start_bytes = range.start;
    let result = fill_zeros(file, range, abort);
    if result.is_err() {
        // Best effort: a longer file holds zeros, and is counted in at the next start.
        let _ = file.set_len(start_bytes);
    }
    result
}

/// Gives a finished file its name, durably.
fn publish(directory: &Path, index: usize) -> io::Result<()> {
    let data = data_path(directory, index);
    std::fs::rename(preparing_path(directory, index), &data)?;
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    if synced.is_err() {
        // Not durable, so not there: a later attempt starts anew.
        let _ = std::fs::remove_file(&data);
    }
    synced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aborted_file_leaves_nothing_and_a_data_file_is_never_replaced() {
        let directory = std::env::temp_dir().join(format!("basalt-grow-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let abort = AtomicBool::new(true);
        assert!(next_file(&directory, 3, 8192, false, &abort).is_err());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        abort.store(false, Ordering::Relaxed);
        let (path, file) = next_file(&directory, 3, 8192, false, &abort).unwrap();
        assert_eq!((file.metadata().unwrap().len(), path), (8192, data_path(&directory, 3)));
        let again = next_file(&directory, 3, 8192, false, &abort).unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::EEXIST));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

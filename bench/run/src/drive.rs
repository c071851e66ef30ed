//! The drive of the target `raw`: what may be done to it, and making it where it is missing.
//!
//! Invariants: a drive is opened for writing only where the load writes and the user allows it;
//! what is in use, or carries the mark of somebody's data, is not written whatever the user says;
//! a file that is made has no holes, and one with holes is refused: reading them reads nothing.

mod signature;

use crate::error::RunError;
use crate::patience::patiently;
use crate::plan::DrivePlan;
use crate::raw::BLOCK_BYTES;
use crate::run::Screen;
use bench_client::Lane;
use bench_client::drive::DriveRing;
use bench_model::{Generation, ObjectStamp, Payload, PayloadSpec};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file is filled by so many writes at once, each of so many bytes.
const FILL_LANES: u32 = 8;
const FILL_BYTES: u64 = 1 << 20;
/// What `blocks` of a file counts.
const SECTOR_BYTES: u64 = 512;
const NO_DIRECT: &str = "its file system takes no direct I/O";

fn refused(path: &Path, problem: impl Into<String>) -> RunError {
    RunError::Drive { path: path.to_owned(), problem: problem.into() }
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> RunError {
    move |error| RunError::File { path: path.to_owned(), error }
}

/// Whole blocks of what is at a path; `None`: nothing is.
///
/// # Errors
/// Where it is neither a file nor a block device, or cannot be looked at.
pub(crate) fn bytes_at(path: &Path) -> Result<Option<u64>, RunError> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(in_file(path))?,
    };
    let bytes = if metadata.is_file() {
        metadata.len()
    } else if metadata.file_type().is_block_device() {
        let end = File::open(path).and_then(|mut device| device.seek(SeekFrom::End(0)));
        end.map_err(in_file(path))?
    } else {
        return Err(refused(path, "it is neither a file nor a block device"));
    };
    Ok(Some(bytes - bytes % BLOCK_BYTES))
}

/// Refuses what would be made in memory, among the nodes of devices.
///
/// # Errors
/// Where nothing is there, and a device is meant.
pub fn refuse_missing_device(path: &Path) -> Result<(), RunError> {
    match shards_node::is_missing_device(path) {
        true => Err(refused(path, "there is no such device")),
        false => Ok(()),
    }
}

/// Opens the drive of a plan for direct I/O; makes it where it is missing.
///
/// # Errors
/// Where it cannot be had, or must not be written and would be.
pub(crate) fn open(
    plan: &DrivePlan,
    payload: PayloadSpec,
    stop: &AtomicBool,
    screen: &mut dyn Screen,
) -> Result<File, RunError> {
    let path = plan.path.as_path();
    if plan.is_missing {
        let about = format!("filling {} with {} bytes", path.display(), plan.drive_bytes);
        screen.stage("prepare", &about);
        make(plan, &Payload::new(payload)?, stop)?;
    }
    let metadata = std::fs::metadata(path).map_err(in_file(path))?;
    let is_device = metadata.file_type().is_block_device();
    if plan.is_written {
        refuse_data(path, &metadata)?;
    }
    let mut options = direct();
    options.write(plan.is_written);
    if is_device && plan.is_written {
        // The kernel refuses it while anybody else has it: a mount, a volume, another server.
        options.custom_flags(libc::O_DIRECT | libc::O_EXCL);
    }
    let mut file =
        patiently(stop, || options.open(path)).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => refused(path, NO_DIRECT),
            Some(libc::EBUSY) => refused(path, "it is in use: mounted, held or opened by another"),
            _ => in_file(path)(error),
        })?;
    if is_device {
        let bytes = file.seek(SeekFrom::End(0)).map_err(in_file(path))?;
        if bytes < plan.drive_bytes {
            return Err(refused(path, "it has shrunk"));
        }
        return Ok(file);
    }
    if plan.is_written {
        patiently(stop, || Ok(file.try_lock()?)).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => refused(path, "another process uses it"),
            _ => in_file(path)(error),
        })?;
    }
    let opened = file.metadata().map_err(in_file(path))?;
    if opened.len() < plan.drive_bytes {
        return Err(refused(path, "it has shrunk"));
    }
    if opened.blocks() * SECTOR_BYTES < plan.drive_bytes {
        let problem = "it has holes, and reading those reads nothing; delete it, and give \
                       --drive-bytes to have it made";
        return Err(refused(path, problem));
    }
    Ok(file)
}

fn direct() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    options
}

/// Refuses what must not be written, whatever the user says: a device that is mounted, that another
/// one is made of or that has partitions, and whatever carries the mark of somebody's data.
///
/// # Errors
/// Where it is one of those, or cannot be looked at.
pub fn refuse_data(path: &Path, metadata: &Metadata) -> Result<(), RunError> {
    if metadata.file_type().is_block_device()
        && let Some(user) = user_of(metadata.rdev())
    {
        return Err(refused(path, format!("it is not overwritten: {user}")));
    }
    let file = File::open(path).map_err(in_file(path))?;
    let found = signature::of(&file, metadata.is_file()).map_err(in_file(path))?;
    match found {
        Some(name) => Err(refused(path, format!("it is not overwritten: it holds {name}"))),
        None => Ok(()),
    }
}

/// Who uses a block device.
fn user_of(device: u64) -> Option<String> {
    let number = format!("{}:{}", libc::major(device), libc::minor(device));
    let place = format!("/sys/dev/block/{number}");
    let names = |directory: &str| -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(point) = mounted_at(&mounts, &number) {
        return Some(format!("it is mounted at {point}"));
    }
    if let Some(holder) = names(&format!("{place}/holders")).first() {
        return Some(format!("{holder} is made of it"));
    }
    let is_partition = |name: &&String| Path::new(&format!("{place}/{name}/partition")).exists();
    let part = names(&place).iter().find(is_partition).cloned();
    part.map(|part| format!("it has partitions, as {part}"))
}

/// Where `/proc/self/mountinfo` says that a device is mounted.
fn mounted_at<'a>(mounts: &'a str, number: &str) -> Option<&'a str> {
    let mut lines = mounts.lines().map(|line| line.split(' '));
    lines.find_map(|mut fields| (fields.nth(2)? == number).then(|| fields.nth(1))?)
}

/// Makes a file and fills it. What could not be filled is not left behind.
fn make(plan: &DrivePlan, payload: &Payload, stop: &AtomicBool) -> Result<(), RunError> {
    let path = plan.path.as_path();
    let mut options = direct();
    options.write(true).create_new(true).mode(0o600);
    let made = options.open(path).map_err(|error| {
        if error.raw_os_error() != Some(libc::EINVAL) {
            return in_file(path)(error);
        }
        // It was made before direct I/O was refused, and only then.
        _ = std::fs::remove_file(path);
        refused(path, NO_DIRECT)
    })?;
    let filled = fill(&made, plan.drive_bytes, payload, stop);
    if filled.is_err() {
        // The error that kept it from being filled is told.
        _ = std::fs::remove_file(path);
    }
    filled.map_err(in_file(path))
}

fn fill(file: &File, all_bytes: u64, payload: &Payload, stop: &AtomicBool) -> io::Result<()> {
    let stamp = ObjectStamp { key: 0, generation: Generation(0), size_bytes: all_bytes };
    let mut ring = DriveRing::new(file.try_clone()?, FILL_LANES, FILL_BYTES as usize)?;
    let mut free: Vec<Lane> = (0..FILL_LANES).map(Lane).collect();
    let (mut offset, mut written, mut ended) = (0, 0, Vec::new());
    loop {
        while offset < all_bytes
            && let Some(lane) = free.pop()
        {
            let bytes = (all_bytes - offset).min(FILL_BYTES);
            let out = &mut ring.buffer(lane)[..bytes as usize];
            payload.fill(stamp, offset, out);
            ring.write(lane, offset, bytes as usize);
            offset += bytes;
        }
        if free.len() == FILL_LANES as usize {
            break;
        }
        ring.wait(None, &mut ended)?;
        for transfer in ended.drain(..) {
            written += transfer.result? as u64;
            free.push(transfer.lane);
        }
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(ErrorKind::Interrupted, "interrupted while it was filled"));
        }
    }
    if written < all_bytes {
        return Err(ErrorKind::WriteZero.into());
    }
    file.sync_all()
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;

//! Opening a drive: what is there, whose it is, how it takes I/O. Blocking; runs on a helper
//! thread.

use crate::config::{DriveKind, DriveSpec};
use crate::files::OpenFile;
use crate::grow::{data_path, first_file, make_direct, preparing_path};
use crate::lock::{open_device, open_file, open_locked, patiently};
use crate::sys::set_direct;
use engine_env::BLOCK_BYTES;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Why a drive was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The settings contradict themselves.
    #[error("drive settings: {0}")]
    Invalid(&'static str),
    /// The path is of another kind than the settings say.
    #[error("{} is not a {expected}", .path.display())]
    WrongType {
        /// The path.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// Somebody else holds the lock.
    #[error("another process uses this drive: {}", .path.display())]
    Locked {
        /// The drive.
        path: PathBuf,
    },
    /// The host has no room for the first file.
    #[error("no space for a new drive at {}", .path.display())]
    NoSpace {
        /// The drive.
        path: PathBuf,
    },
    /// A data file has not the length all have: other settings, or it was cut.
    #[error("{} has {found_bytes} bytes, not {expected_bytes}", .path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The length in the settings.
        expected_bytes: u64,
        /// The length found.
        found_bytes: u64,
    },
    /// A data file is gone while later ones are there.
    #[error("{} is missing, but later files are there", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace { path },
            _ => Self::Io { path, source },
        }
    }
}

/// A drive found, locked and opened; not yet part of a shard.
pub(crate) struct Opened {
    pub(crate) files: Vec<OpenFile>,
    /// Bytes per file; endless for a single one.
    pub(crate) file_bytes: u64,
    pub(crate) prepared_bytes: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) io_bytes_max: usize,
    /// Whether I/O is direct, or why not.
    pub(crate) direct: Result<(), String>,
}

/// Opens what `spec` describes; waits for its lock.
pub(crate) fn open_blocking(spec: &DriveSpec) -> Result<Opened, OpenError> {
    match spec.kind {
        DriveKind::Directory { file_bytes } => open_directory(spec, file_bytes),
        DriveKind::File => open_single(spec),
        DriveKind::Device => open_block_device(spec),
    }
}

fn open_single(spec: &DriveSpec) -> Result<Opened, OpenError> {
    let path = &spec.path;
    if path.exists() && !path.is_file() {
        return Err(OpenError::WrongType { path: path.clone(), expected: "regular file" });
    }
    let file = patiently(spec, || open_locked(path, true))?;
    let fault = |error| OpenError::io(path, error);
    let direct = make_direct(&file).map_err(fault)?;
    // The length counts as prepared, so it must be durable.
    file.sync_all().map_err(fault)?;
    let len = file.metadata().map_err(fault)?.len();
    let prepared_bytes = len - len % BLOCK;
    Ok(Opened {
        files: vec![OpenFile::new(path.clone(), file)],
        file_bytes: u64::MAX,
        prepared_bytes,
        capacity_bytes: (spec.capacity_bytes - spec.capacity_bytes % BLOCK).max(prepared_bytes),
        io_bytes_max: spec.limits.split_bytes,
        direct,
    })
}

fn open_block_device(spec: &DriveSpec) -> Result<Opened, OpenError> {
    let path = &spec.path;
    let fault = |error| OpenError::io(path, error);
    let metadata = std::fs::metadata(path).map_err(fault)?;
    if !metadata.file_type().is_block_device() {
        return Err(OpenError::WrongType { path: path.clone(), expected: "block device" });
    }
    let mut file = patiently(spec, || open_device(path))?;
    let direct = make_direct(&file).map_err(fault)?;
    let len = file.seek(SeekFrom::End(0)).map_err(fault)?;
    let capacity_bytes = len - len % BLOCK;
    Ok(Opened {
        files: vec![OpenFile::new(path.clone(), file)],
        file_bytes: u64::MAX,
        prepared_bytes: capacity_bytes,
        capacity_bytes,
        io_bytes_max: spec.limits.split_bytes.min(device_io_bytes(metadata.rdev())),
        direct,
    })
}

/// What the device takes in one piece; more would be handed to a kernel worker.
fn device_io_bytes(device: u64) -> usize {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & 0xff_ff_ff_00);
    let setting = |name: &str| {
        // A partition has no queue of its own; its parent directory is the whole device.
        ["queue", "../queue"].iter().find_map(|queue| {
            let path = format!("/sys/dev/block/{major}:{minor}/{queue}/{name}");
            std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok()
        })
    };
    let by_sectors = setting("max_sectors_kb").unwrap_or(usize::MAX / 1024).saturating_mul(1024);
    let by_segments = setting("max_segments").unwrap_or(usize::MAX).saturating_mul(BLOCK_BYTES);
    let bytes = by_sectors.min(by_segments);
    (bytes - bytes % BLOCK_BYTES).max(BLOCK_BYTES)
}

fn open_directory(spec: &DriveSpec, file_bytes: u64) -> Result<Opened, OpenError> {
    let directory = &spec.path;
    if !directory.is_dir() {
        return Err(OpenError::WrongType { path: directory.clone(), expected: "directory" });
    }
    let first_path = data_path(directory, 0);
    let (first, formatted) = patiently(spec, || take_first(directory))?;
    let fault = |error| OpenError::io(directory, error);
    let direct = if formatted {
        make_direct(&first).map_err(fault)?
    } else {
        first_file(directory, &first, file_bytes).map_err(fault)?
    };
    let mut files = vec![(first_path, first)];
    for index in 1..count_files(directory)? {
        let path = data_path(directory, index);
        let file = open_file(&path, false)?;
        if direct.is_ok() {
            set_direct(&file, true).map_err(fault)?;
        }
        files.push((path, file));
    }
    for (path, file) in &files {
        let found_bytes = file.metadata().map_err(fault)?.len();
        if found_bytes != file_bytes {
            let (path, expected_bytes) = (path.clone(), file_bytes);
            return Err(OpenError::WrongSize { path, expected_bytes, found_bytes });
        }
    }
    let prepared_bytes = file_bytes * files.len() as u64;
    let split_bytes = spec.limits.split_bytes;
    Ok(Opened {
        files: files.into_iter().map(|(path, file)| OpenFile::new(path, file)).collect(),
        file_bytes,
        prepared_bytes,
        capacity_bytes: (spec.capacity_bytes - spec.capacity_bytes % file_bytes)
            .max(prepared_bytes),
        // No operation lies in more than two files.
        io_bytes_max: usize::try_from(file_bytes).map_or(split_bytes, |one| split_bytes.min(one)),
        direct,
    })
}

/// The locked first file, and whether it is formatted. A new drive is locked by the file that
/// becomes the first one: renaming it keeps the description and so the lock.
fn take_first(directory: &Path) -> Result<Option<(File, bool)>, OpenError> {
    let data = data_path(directory, 0);
    let is_formatted = || data.try_exists().map_err(|error| OpenError::io(&data, error));
    if is_formatted()? {
        return Ok(open_locked(&data, false)?.map(|file| (file, true)));
    }
    let file = open_locked(&preparing_path(directory, 0), true)?;
    // Another process may have finished the format between the two looks.
    if is_formatted()? {
        return Ok(None);
    }
    Ok(file.map(|file| (file, false)))
}

/// Counts the data files and removes unfinished ones. Only under the lock.
fn count_files(directory: &Path) -> Result<usize, OpenError> {
    let fault = |error| OpenError::io(directory, error);
    let mut indexes: Vec<usize> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix("basalt-")) else {
            continue;
        };
        if let Some(index) = name.strip_suffix(".data").and_then(|index| index.parse().ok()) {
            indexes.push(index);
        } else if let Some(Ok(index)) = name.strip_suffix(".preparing").map(str::parse::<usize>) {
            // One that cannot be removed is overwritten when its turn comes.
            let _ = std::fs::remove_file(preparing_path(directory, index));
        }
    }
    indexes.sort_unstable();
    match indexes.iter().enumerate().find(|(expected, index)| expected != *index) {
        Some((expected, _)) => Err(OpenError::Missing { path: data_path(directory, expected) }),
        None => Ok(indexes.len()),
    }
}

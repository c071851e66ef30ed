//! Drive arguments: what each one is, and the refusals that need no more than a look.
//!
//! Invariant: no look writes anything. A drive that cannot be looked at because it fails is reported
//! and kept, so that a store with a dead drive still starts; one that is somebody else's, or
//! that we may not open, is refused.

use super::signatures::{self, Content};
use crate::logging;
use std::collections::BTreeMap;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a drive argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveKind {
    /// A directory; basalt keeps its files in it.
    Directory,
    /// A regular file.
    File,
    /// A block device.
    BlockDevice,
    /// Nothing is there, or it cannot be looked at: a new directory, or an absent drive.
    Missing,
}

/// What makes two names the same drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// Device number of the file system, and inode.
    Inode(u64, u64),
    /// Number of a block device, whatever its nodes are called.
    Device(u64),
}

/// One drive of the command line, after expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveArg {
    /// As given: logs, status and metrics name it so.
    pub path: PathBuf,
    /// What it is.
    pub kind: DriveKind,
    /// Without links, relative parts and `..`.
    pub canonical: PathBuf,
    /// None for what is missing.
    pub identity: Option<Identity>,
    /// Device number of the file system it is on, or would be made on; None for block devices.
    pub file_system: Option<u64>,
}

/// Why the drives are refused; each is one clear sentence.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// A pattern that does not expand.
    #[error("{0}")]
    Pattern(String),
    /// No drive at all.
    #[error("no drives: give DRIVE arguments, or try `basalt server --dev`")]
    NoDrives,
    /// The same drive under two names, or under one.
    #[error("{first} and {second} are the same drive")]
    Twice {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// A drive in a drive.
    #[error("{inner} lies inside {outer}, which is a drive itself")]
    Nested {
        /// The inner one.
        inner: String,
        /// The outer one.
        outer: String,
    },
    /// A directory of another object store.
    #[error("{path} is a drive of {owner} (it holds {marker}); basalt does not touch it")]
    Foreign {
        /// The drive.
        path: String,
        /// The store.
        owner: &'static str,
        /// What gives it away.
        marker: &'static str,
    },
    /// A directory with something in it.
    #[error("{path} is not empty and not a drive of basalt (it holds {found})")]
    NotEmpty {
        /// The drive.
        path: String,
        /// One of its entries.
        found: String,
    },
    /// A device or file with a known signature.
    #[error("{path} holds {signature}; clear it first (wipefs) if it may be lost")]
    Signed {
        /// The drive.
        path: String,
        /// What it holds.
        signature: &'static str,
    },
    /// A device or file with other data.
    #[error(
        "{path} holds data that basalt does not know; a new drive must have its first and last \
         MiB zero"
    )]
    UnknownContent {
        /// The drive.
        path: String,
    },
    /// A socket, a terminal...
    #[error("{path} is {what}; a drive is a directory, a file or a block device")]
    NotADrive {
        /// The argument.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// No permission.
    #[error("{path} cannot be opened: permission denied for this user")]
    Denied {
        /// The drive.
        path: String,
    },
    /// Mounted, or held by RAID, LVM, another process.
    #[error("{path} is in use (mounted, part of a RAID or LVM, or held by another process)")]
    InUse {
        /// The drive.
        path: String,
    },
}

/// Drives that are not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// In the order given.
    pub drives: Vec<DriveArg>,
    /// One sentence each.
    pub warnings: Vec<String>,
}

const FOREIGN: &[(&str, &str)] = &[("MinIO", ".minio.sys"), ("RustFS", ".rustfs.sys")];

/// Expands `{1...6}` in every argument, in order.
pub fn expand(patterns: &[String]) -> Result<Vec<PathBuf>, Refusal> {
    let drives = engine_placement::expand_all(patterns)
        .map_err(|error| Refusal::Pattern(error.to_string()))?;
    Ok(drives.into_iter().map(PathBuf::from).collect())
}

/// How long a start waits for a device that a dying process still holds.
pub const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_STEP: Duration = Duration::from_millis(100);

/// Looks at every drive, and at all of them together. Devices that somebody holds are waited for
/// as long as `patience` says, all together.
pub fn inspect(paths: &[PathBuf], mut patience: Duration) -> Result<Inspected, Refusal> {
    if paths.is_empty() {
        return Err(Refusal::NoDrives);
    }
    let mut warnings = Vec::new();
    let mut drives: Vec<DriveArg> = Vec::new();
    for path in paths {
        let drive = loop {
            match inspect_one(path, &mut warnings) {
                Err(Refusal::InUse { .. }) if !patience.is_zero() => {
                    std::thread::sleep(PATIENCE_STEP);
                    patience = patience.saturating_sub(PATIENCE_STEP);
                }
                outcome => break outcome?,
            }
        };
        for other in &drives {
            check_pair(other, &drive)?;
        }
        drives.push(drive);
    }
    warn_of_shared_file_systems(&drives, &mut warnings);
    Ok(Inspected { drives, warnings })
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn check_pair(first: &DriveArg, second: &DriveArg) -> Result<(), Refusal> {
    let same_inode = first.identity.is_some() && first.identity == second.identity;
    if same_inode || first.canonical == second.canonical {
        return Err(Refusal::Twice { first: show(&first.path), second: show(&second.path) });
    }
    for (inner, outer) in [(first, second), (second, first)] {
        if inner.canonical.starts_with(&outer.canonical) {
            return Err(Refusal::Nested { inner: show(&inner.path), outer: show(&outer.path) });
        }
    }
    Ok(())
}

fn warn_of_shared_file_systems(drives: &[DriveArg], warnings: &mut Vec<String>) {
    let mut by_file_system: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for drive in drives {
        if let Some(file_system) = drive.file_system {
            by_file_system.entry(file_system).or_default().push(show(&drive.path));
        }
    }
    for paths in by_file_system.values().filter(|paths| paths.len() > 1) {
        warnings.push(format!(
            "{} are on one file system: parity does not protect them against its loss",
            paths.join(", ")
        ));
    }
}

fn inspect_one(path: &Path, warnings: &mut Vec<String>) -> Result<DriveArg, Refusal> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return absent(path, &error, warnings),
    };
    let file_type = metadata.file_type();
    let kind = if file_type.is_dir() {
        DriveKind::Directory
    } else if file_type.is_file() {
        DriveKind::File
    } else if file_type.is_block_device() {
        DriveKind::BlockDevice
    } else {
        return Err(Refusal::NotADrive { path: show(path), what: describe(&metadata) });
    };
    let content = match kind {
        DriveKind::Directory => check_directory(path),
        _ => check_content(path, kind, &metadata),
    };
    match content {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => return Err(refusal),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(Refusal::Denied { path: show(path) });
        }
        Err(error) => {
            warnings.push(format!("{} cannot be read and counts as failed: {error}", show(path)));
        }
    }
    let device = kind == DriveKind::BlockDevice;
    Ok(DriveArg {
        path: path.to_owned(),
        kind,
        canonical: std::fs::canonicalize(path).unwrap_or_else(|_| canonical_of_missing(path)),
        identity: Some(if device {
            Identity::Device(metadata.rdev())
        } else {
            Identity::Inode(metadata.dev(), metadata.ino())
        }),
        file_system: (!device).then(|| metadata.dev()),
    })
}

fn describe(metadata: &Metadata) -> &'static str {
    let file_type = metadata.file_type();
    if file_type.is_char_device() {
        "a character device"
    } else if file_type.is_fifo() {
        "a pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "nothing that can hold data"
    }
}

fn absent(path: &Path, error: &io::Error, warnings: &mut Vec<String>) -> Result<DriveArg, Refusal> {
    match error.kind() {
        ErrorKind::NotFound => {}
        ErrorKind::PermissionDenied => return Err(Refusal::Denied { path: show(path) }),
        ErrorKind::NotADirectory => {
            let what = "below something that is no directory";
            return Err(Refusal::NotADrive { path: show(path), what });
        }
        _ => warnings.push(format!("{} cannot be read and counts as failed: {error}", show(path))),
    }
    let canonical = canonical_of_missing(path);
    let device_of = |above: &Path| Some(std::fs::metadata(above).ok()?.dev());
    Ok(DriveArg {
        path: path.to_owned(),
        kind: DriveKind::Missing,
        file_system: canonical.ancestors().find_map(device_of),
        canonical,
        identity: None,
    })
}

/// Resolves the part that exists, so that one missing drive under two names is noticed.
fn canonical_of_missing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in absolute.ancestors() {
        if let Ok(known) = std::fs::canonicalize(ancestor) {
            let rest = absolute.strip_prefix(ancestor).unwrap_or(Path::new(""));
            // Joining an empty rest would add a slash.
            return if rest.as_os_str().is_empty() { known } else { known.join(rest) };
        }
    }
    absolute
}

type Checked = io::Result<Result<(), Refusal>>;

fn check_directory(path: &Path) -> Checked {
    let (mut ours, mut other) = (false, None);
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(&(owner, marker)) = FOREIGN.iter().find(|(_, marker)| *marker == name) {
            return Ok(Err(Refusal::Foreign { path: show(path), owner, marker }));
        }
        let prefix = name.starts_with("basalt-") || name.starts_with(".basalt-");
        ours |= prefix && name.ends_with(".data");
        // A format that was killed may have left only files of ours that are no drive files, and
        // every fresh ext file system has a lost+found.
        if !prefix && name != "lost+found" {
            other = Some(name);
        }
    }
    Ok(match other {
        Some(found) if !ours => Err(Refusal::NotEmpty { path: show(path), found }),
        _ => Ok(()),
    })
}

fn check_content(path: &Path, kind: DriveKind, metadata: &Metadata) -> Checked {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    if kind == DriveKind::BlockDevice {
        // On a block device this fails while something else holds it; it creates nothing.
        options.custom_flags(libc::O_EXCL);
    }
    let file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            return Ok(Err(Refusal::InUse { path: show(path) }));
        }
        opened => opened?,
    };
    let bytes = match kind {
        DriveKind::BlockDevice => device_bytes(&file)?,
        _ => metadata.len(),
    };
    Ok(match signatures::examine(&file, bytes)? {
        Content::Empty | Content::Ours => Ok(()),
        Content::Known(signature) => Err(Refusal::Signed { path: show(path), signature }),
        Content::Unknown => Err(Refusal::UnknownContent { path: show(path) }),
    })
}

/// The size of a block device, if it can be read.
pub fn device_size(path: &Path) -> Option<u64> {
    device_bytes(&File::open(path).ok()?).ok()
}

/// Takes the rights of others from file drives, once they are ours: what they hold is for nobody
/// else to read.
pub fn make_private(drives: &[DriveArg]) {
    for drive in drives.iter().filter(|drive| drive.kind == DriveKind::File) {
        let made = std::fs::metadata(&drive.path).and_then(|metadata| {
            let mode = metadata.permissions().mode();
            if mode & 0o077 == 0 {
                return Ok(());
            }
            std::fs::set_permissions(&drive.path, Permissions::from_mode(mode & 0o700))
        });
        if let Err(error) = made {
            logging::warn(
                "others may read a drive",
                &[("drive", &show(&drive.path)), ("error", &error), ("do", &"run chmod 600 on it")],
            );
        }
    }
}

fn device_bytes(file: &File) -> io::Result<u64> {
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

#[cfg(test)]
#[path = "drives_tests.rs"]
mod tests;

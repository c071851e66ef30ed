//! A look at a drive's path before it is opened.
//!
//! Invariant: opening a drive may create its first file; looking never creates or changes anything.

use crate::config::{DriveKind, NodeDrive};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What lies at a drive's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing, or it cannot be looked at.
    Absent(String),
    /// An empty directory or file.
    Blank,
    /// Something that must be opened to be known.
    Used,
    /// Files of somebody else, or of ours without the first.
    Strange(String),
}

/// Looks at a drive's path.
pub(crate) fn look(drive: &NodeDrive) -> Look {
    let shown = drive.path.display();
    if drive.kind == DriveKind::Directory {
        return match names(drive) {
            Ok(names) => match judge(&names) {
                Look::Strange(text) => Look::Strange(format!("{shown} {text}")),
                other => other,
            },
            Err(error) => Look::Absent(error),
        };
    }
    match std::fs::metadata(&drive.path) {
        Ok(metadata) => look_at_file(drive, &metadata),
        Err(error) => Look::Absent(format!("{shown}: {error}")),
    }
}

fn look_at_file(drive: &NodeDrive, metadata: &Metadata) -> Look {
    let shown = drive.path.display();
    let file_type = metadata.file_type();
    match drive.kind {
        DriveKind::File if !file_type.is_file() => Look::Strange(format!("{shown} is no file")),
        DriveKind::File if metadata.len() == 0 => Look::Blank,
        DriveKind::Device if !file_type.is_block_device() => {
            Look::Strange(format!("{shown} is no block device"))
        }
        _ => Look::Used,
    }
}

fn names(drive: &NodeDrive) -> Result<Vec<String>, String> {
    let shown = drive.path.display();
    let mut names = Vec::new();
    let entries = std::fs::read_dir(&drive.path).map_err(|error| format!("{shown}: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("{shown}: {error}"))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// What a directory with these entries is.
fn judge(names: &[String]) -> Look {
    if names.iter().any(|name| name == FIRST_FILE) {
        return Look::Used;
    }
    for name in names {
        let ours = name.starts_with("basalt-") || name.starts_with(".basalt-");
        if ours && name.ends_with(".data") {
            return Look::Strange(format!("holds {name} but not {FIRST_FILE}"));
        }
        // Every fresh ext file system has a lost+found; files of ours that are no data are what a
        // cut-off format leaves.
        if !ours && name != "lost+found" {
            return Look::Strange(format!("is not a drive of basalt (it holds {name})"));
        }
    }
    Look::Blank
}

/// The first file of a directory drive.
pub(crate) const FIRST_FILE: &str = "basalt-000000.data";

/// Whether a new pool may make the drive: a directory that is missing in one that is there.
pub(crate) fn may_be_made(drive: &NodeDrive) -> bool {
    let missing =
        std::fs::metadata(&drive.path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    drive.kind == DriveKind::Directory && missing && parent_of(&drive.path).is_dir()
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Whether nothing is there, and what would be made there would lie among the nodes of devices, in
/// memory: a device is meant then that is gone for now, or misspelt. Blocking; for any thread.
#[must_use]
pub fn is_missing_device(path: &Path) -> bool {
    let file_system = |path: &Path| Some(std::fs::metadata(path).ok()?.dev());
    let devices = file_system(Path::new("/dev"));
    let is_own = devices.is_some() && devices != file_system(Path::new("/"));
    is_own && !path.exists() && file_system(parent_of(path)) == devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use shards_uring::DriveLimits;
    use std::path::PathBuf;

    fn judged(names: &[&str]) -> Look {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        judge(&names)
    }

    #[test]
    fn directories_are_blank_used_or_strange() {
        assert_eq!(judged(&[]), Look::Blank);
        assert_eq!(judged(&["lost+found", "basalt-000000.preparing"]), Look::Blank);
        assert_eq!(judged(&["lost+found", FIRST_FILE]), Look::Used);
        assert!(matches!(judged(&["thesis.txt"]), Look::Strange(text) if text.contains("thesis")));
        // Without its first file a drive is broken; made anew, it would pass for an empty one.
        assert!(matches!(judged(&["basalt-000001.data"]), Look::Strange(_)));
    }

    #[test]
    fn looking_creates_nothing() {
        let root = std::env::temp_dir().join(format!("basalt-look-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let drive = |name: &str, kind| NodeDrive {
            path: root.join(name),
            kind,
            capacity_bytes: 1 << 30,
            limits: DriveLimits::default(),
            shard: None,
        };
        let absent = drive("absent", DriveKind::Directory);
        assert!(matches!(look(&absent), Look::Absent(_)));
        assert!(may_be_made(&absent) && !absent.path.exists());
        assert!(!may_be_made(&drive("absent/inner", DriveKind::Directory)));
        assert!(!may_be_made(&drive("absent", DriveKind::File)));
        let file_system = |path| std::fs::metadata(path).map(|found| found.dev()).ok();
        let is_told = is_missing_device(Path::new("/dev/basalt-absent"));
        assert_eq!(is_told, file_system("/dev") != file_system("/"));
        assert!(!is_missing_device(&absent.path) && !is_missing_device(Path::new("/dev/null")));
        std::fs::create_dir(root.join("empty")).unwrap();
        assert_eq!(look(&drive("empty", DriveKind::Directory)), Look::Blank);
        assert_eq!(std::fs::read_dir(root.join("empty")).unwrap().count(), 0);
        std::fs::write(root.join("file"), b"").unwrap();
        assert_eq!(look(&drive("file", DriveKind::File)), Look::Blank);
        std::fs::write(root.join("file"), b"x").unwrap();
        assert_eq!(look(&drive("file", DriveKind::File)), Look::Used);
        assert!(matches!(look(&drive("file", DriveKind::Device)), Look::Strange(_)));
        assert!(matches!(look(&drive("file", DriveKind::Directory)), Look::Absent(_)));
        assert!(matches!(
            look(&NodeDrive { path: PathBuf::from("/absent/x"), ..absent }),
            Look::Absent(_)
        ));
        std::fs::remove_dir_all(&root).unwrap();
    }
}

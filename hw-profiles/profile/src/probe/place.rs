//! From a drive argument (directory, file, block device) to the devices it lies on: partitions to
//! their disk, loop devices to their file, that to its file system, LVM and RAID to their members.
//!
//! Invariants: each device stands once in the chain, above those it lies on; the walk ends
//! whatever the links say; what cannot be followed is a note.

use super::block::{self, backing_file};
use super::mounts::Mounts;
use super::root::Root;
use serde::Serialize;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How many devices may lie on each other.
const DEPTH_MAX: u32 = 16;

/// What a drive argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A block device or partition.
    BlockDevice,
    /// Nothing yet: the place it will be in is looked at.
    Missing,
}

/// Where a drive lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrivePlace {
    /// As given.
    pub path: String,
    /// What it is.
    pub kind: PlaceKind,
    /// What names the drive in a profile: of a device its identity, with `/partN` for a partition;
    /// else, and of a device that has none, `path:` and the absolute path.
    pub identity: Option<String>,
    /// Names of all devices below, from the top down, partitions included.
    pub chain: Vec<String>,
    /// Those at the bottom.
    pub disks: Vec<String>,
    /// Type of the file system that holds a directory or file.
    pub file_system: Option<String>,
    /// What could not be followed.
    pub notes: Vec<String>,
}

impl DrivePlace {
    pub(super) fn find(root: &Root, mounts: &Mounts, path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut walk =
            Walk { root, mounts, chain: Vec::new(), disks: Vec::new(), notes: Vec::new() };
        let resolved = without_links(root, &absolute);
        let mut place = Self {
            path: path.display().to_string(),
            kind: kind(root, &absolute),
            identity: Some(format!("path:{}", resolved.display())),
            chain: Vec::new(),
            disks: Vec::new(),
            file_system: None,
            notes: Vec::new(),
        };
        match device_of(root, &absolute) {
            Some(device) => {
                place.kind = PlaceKind::BlockDevice;
                // Its node may be another device's some day, but it is how it is found today.
                place.identity = block::identity(root, &device).or(place.identity);
                walk.device(&device, 0);
            }
            None => place.file_system = walk.file(&absolute, 0),
        }
        Self { chain: walk.chain, disks: walk.disks, notes: walk.notes, ..place }
    }
}

/// The path without links; of one that is not there yet the part that is, so that its identity is
/// the same when it has been made.
fn without_links(root: &Root, absolute: &Path) -> PathBuf {
    if let Some(resolved) = root.resolve(absolute) {
        return resolved;
    }
    let made = absolute.ancestors().skip(1).find_map(|above| {
        let rest = absolute.strip_prefix(above).ok()?;
        Some(root.resolve(above)?.join(rest))
    });
    made.unwrap_or_else(|| absolute.to_owned())
}

fn kind(root: &Root, absolute: &Path) -> PlaceKind {
    match std::fs::metadata(root.path(absolute)) {
        Ok(metadata) if metadata.is_dir() => PlaceKind::Directory,
        Ok(_) => PlaceKind::File,
        Err(_) => PlaceKind::Missing,
    }
}

/// The kernel name of the block device at that path, if it is one.
fn device_of(root: &Root, absolute: &Path) -> Option<String> {
    let resolved = root.resolve(absolute)?;
    if let Some(name) = device_name(root, &resolved) {
        return Some(name);
    }
    // A node outside of /dev, or of another name.
    let metadata = std::fs::metadata(root.path(&resolved)).ok()?;
    if !metadata.file_type().is_block_device() {
        return None;
    }
    root.resolved_name(&format!("/sys/dev/block/{}", device_number(metadata.rdev())))
}

/// `/dev/nvme0n1` to `nvme0n1`, if the kernel has such a device.
fn device_name(root: &Root, resolved: &Path) -> Option<String> {
    let inside = resolved.strip_prefix("/dev").ok()?.to_str()?;
    // The kernel's own names cannot hold a slash.
    let name = inside.replace('/', "!");
    (!name.is_empty() && root.exists(&format!("/sys/class/block/{name}"))).then_some(name)
}

/// Major and minor number, as the kernel writes them.
fn device_number(device: u64) -> String {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    format!("{major}:{minor}")
}

struct Walk<'a> {
    root: &'a Root,
    mounts: &'a Mounts,
    chain: Vec<String>,
    disks: Vec<String>,
    notes: Vec<String>,
}

impl Walk<'_> {
    fn device(&mut self, name: &str, depth: u32) {
        if depth > DEPTH_MAX {
            self.notes.push(format!("{name}: more than {DEPTH_MAX} devices on each other"));
            return;
        }
        if self.chain.iter().any(|known| known == name) {
            return;
        }
        self.chain.push(name.to_owned());
        let base = format!("/sys/class/block/{name}");
        if self.root.exists(&format!("{base}/partition")) {
            match self.root.resolved_parent_name(&base) {
                Some(disk) => self.device(&disk, depth + 1),
                None => self.notes.push(format!("{name}: its disk is unknown")),
            }
            return;
        }
        if let Some(file) = backing_file(self.root, name) {
            self.file(Path::new(&file), depth + 1);
            return;
        }
        let slaves = self.root.names(&format!("{base}/slaves"));
        if slaves.is_empty() {
            self.disks.push(name.to_owned());
        }
        for slave in slaves {
            self.device(&slave, depth + 1);
        }
    }

    /// Follows a file or directory, or the nearest one above it that exists, to the device of its
    /// file system; answers the file system's type.
    fn file(&mut self, absolute: &Path, depth: u32) -> Option<String> {
        let (root, mounts) = (self.root, self.mounts);
        let existing: Option<PathBuf> = absolute.ancestors().find_map(|above| root.resolve(above));
        let mount = existing.as_deref().and_then(|path| mounts.holding(path));
        let Some(mount) = mount else {
            self.notes.push(format!("{}: its file system is unknown", absolute.display()));
            return None;
        };
        let by_number = root.resolved_name(&format!("/sys/dev/block/{}", mount.device));
        // btrfs and others have a number of their own, and name one device as their source.
        let by_source = || device_of(root, Path::new(&mount.source));
        match by_number.or_else(by_source) {
            Some(device) => self.device(&device, depth + 1),
            None => self.notes.push(format!(
                "{}: the file system {} has no device",
                absolute.display(),
                mount.kind
            )),
        }
        Some(mount.kind.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_taken_apart_as_the_kernel_does() {
        assert_eq!(device_number(0x0801), "8:1");
        assert_eq!(device_number(0x0010_0300), "3:256");
        assert_eq!(device_number(0x1000_0000_0000), "4096:0");
    }
}

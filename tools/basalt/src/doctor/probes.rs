//! Checks of one drive: file system, room, direct I/O.

use super::{Row, Verdict};
use crate::config::values::show_size;
use crate::sys;
use hw_profile::{Mounts, Root};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const BLOCK_BYTES: usize = 4096;

/// Direct I/O wants aligned memory.
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Rows of one drive. A drive that does not exist yet is judged by the directory it will be in.
pub fn rows(path: &Path) -> Vec<Row> {
    let name = path.display().to_string();
    let Some(place) = existing(path) else {
        let row = Row::ok(name, "no part of the path can be read");
        return vec![row.but(Verdict::Fail, "check the path and the rights to it")];
    };
    let is_device = !place.is_dir() && !place.is_file();
    let mut rows = Vec::new();
    if !is_device {
        rows.push(file_system_row(&name, &Mounts::read(&Root::real()), &place));
        rows.push(room_row(&name, &place));
    }
    let probe = if place.is_dir() { probe_directory(&place) } else { probe_file(&place) };
    rows.push(direct_row(&name, probe));
    rows
}

fn existing(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|ancestor| std::fs::canonicalize(ancestor).ok())
}

fn room_row(name: &str, place: &Path) -> Row {
    match sys::file_system_room(place) {
        Ok(room) => {
            let gib = |bytes: u64| show_size(bytes >> 20 << 20);
            let (free, total) = (gib(room.available_bytes), gib(room.total_bytes));
            let row = Row::ok(name, format!("{free} of {total} free"));
            if room.available_bytes >= 1 << 30 {
                return row;
            }
            row.but(Verdict::Warn, "make room: less than 1GiB is free")
        }
        Err(error) => {
            let row = Row::ok(name, format!("room cannot be read: {error}"));
            row.but(Verdict::Warn, "check the file system")
        }
    }
}

fn file_system_row(name: &str, mounts: &Mounts, place: &Path) -> Row {
    let kind = mounts.holding(place).map_or("unknown", |mount| mount.kind.as_str());
    let row = Row::ok(name, format!("file system {kind}"));
    let advice = match kind {
        "ext4" | "xfs" => return row,
        "tmpfs" | "ramfs" => "everything is lost at a restart: use ext4 or xfs on a drive",
        "overlay" => "mount a volume: a container's own layer is slow and goes with it",
        "btrfs" | "zfs" | "bcachefs" => "copy-on-write doubles every write: use ext4 or xfs",
        "nfs" | "nfs4" | "cifs" | "ceph" => "a network is no drive: use local ext4 or xfs",
        _ => "not tested: ext4 and xfs are",
    };
    row.but(Verdict::Warn, advice)
}

/// What became of a direct I/O.
enum Probe {
    Works,
    NoDirect,
    Failed(io::Error),
}

fn classify(result: io::Result<()>) -> Probe {
    match result {
        Ok(()) => Probe::Works,
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Probe::NoDirect,
        Err(error) => Probe::Failed(error),
    }
}

fn direct_row(name: &str, probe: Probe) -> Row {
    match probe {
        Probe::Works => Row::ok(name, "direct I/O works"),
        Probe::NoDirect => Row::ok(name, "no direct I/O: the page cache is used")
            .but(Verdict::Warn, "use ext4, xfs or a block device for less CPU and memory"),
        Probe::Failed(error) => Row::ok(name, format!("I/O fails: {error}"))
            .but(Verdict::Fail, "check the drive, and the rights of this user to it"),
    }
}

/// Writes one block to a file without a name, or to one that is removed at once where the file
/// system cannot do that.
fn probe_directory(directory: &Path) -> Probe {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options.custom_flags(libc::O_TMPFILE | libc::O_DIRECT);
    let unnamed = options.open(directory).and_then(|file| write_block(&file));
    let unsupported = [libc::EOPNOTSUPP, libc::EISDIR, libc::ENOENT];
    match unnamed {
        Err(error) if error.raw_os_error().is_some_and(|code| unsupported.contains(&code)) => {
            classify(probe_named(directory))
        }
        result => classify(result),
    }
}

fn probe_named(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".basalt-probe-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_DIRECT);
    let opened = options.open(&path);
    // Some file systems create the file and refuse the flag afterwards.
    let removed = std::fs::remove_file(&path);
    write_block(&opened?)?;
    removed
}

fn write_block(file: &File) -> io::Result<()> {
    file.write_all_at(&Box::new(Block([0; BLOCK_BYTES])).0, 0)
}

/// Reads one block; the file or device is left as it is.
fn probe_file(path: &Path) -> Probe {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    let read = options.open(path).and_then(|file| {
        let mut block = Box::new(Block([0; BLOCK_BYTES]));
        // A short file gives less; only an error counts.
        file.read_at(&mut block.0, 0).map(|_| ())
    });
    classify(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    const MOUNTS: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /tmp rw - tmpfs tmpfs rw
23 21 8:17 / /mnt/my\\040drive rw - xfs /dev/sdb1 rw
24 21 8:33 / /mnt/d rw - btrfs /dev/sdc1 rw
25 24 8:34 / /mnt/d rw - ext4 /dev/sdd1 rw
";

    #[test]
    fn the_nearest_and_latest_mount_decides() {
        let row = |mounts: &str, path: &str| {
            let row = file_system_row("d", &Mounts::parse(mounts), Path::new(path));
            (row.found, row.verdict)
        };
        let found = |path: &str| row(MOUNTS, path);
        assert_eq!(found("/tmp/x"), ("file system tmpfs".to_owned(), Verdict::Warn));
        assert_eq!(found("/tmpx"), ("file system ext4".to_owned(), Verdict::Ok));
        assert_eq!(found("/mnt/my drive/d1"), ("file system xfs".to_owned(), Verdict::Ok));
        assert_eq!(found("/mnt/d"), ("file system ext4".to_owned(), Verdict::Ok));
        assert_eq!(row("", "/"), ("file system unknown".to_owned(), Verdict::Warn));
    }

    #[test]
    fn probing_a_directory_leaves_nothing_behind() {
        let place = TempDir::new();
        let rows = rows(place.path());
        assert!(rows.iter().all(|row| row.verdict != Verdict::Fail), "{rows:?}");
        assert!(!matches!(classify(probe_named(place.path())), Probe::Failed(_)));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn probing_a_file_leaves_it_alone() {
        let place = TempDir::new();
        let path = place.file("drive", b"short");
        assert!(!matches!(probe_file(Path::new(&path)), Probe::Failed(_)));
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        let absent = Path::new(&path).join("below");
        assert!(matches!(probe_file(&absent), Probe::Failed(_)));
    }
}

//! On files of the host. What needs direct I/O is left out where the file system has none.

use super::*;
use std::path::PathBuf;

struct Silent;

impl Screen for Silent {
    fn stage(&mut self, _: &str, _: &str) {}
    fn second(&mut self, _: usize, _: &bench_stats::Interval) {}
    fn note(&mut self, _: &str) {}
}

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("bench-drive-{name}-{}", std::process::id()));
    // An earlier test with this number may have left one.
    _ = std::fs::remove_file(&path);
    path
}

fn opened(
    path: &Path,
    drive_bytes: u64,
    is_missing: bool,
    is_written: bool,
) -> Result<File, String> {
    let plan = DrivePlan {
        path: path.to_owned(),
        drive_bytes,
        slot_bytes: BLOCK_BYTES,
        is_missing,
        is_written,
    };
    let payload = PayloadSpec { seed: 1, compressible_percent: 0, duplicate_percent: 0 };
    open(&plan, payload, &AtomicBool::new(false), &mut Silent).map_err(|error| error.to_string())
}

#[test]
fn a_file_is_made_whole_and_taken_by_one() {
    let path = scratch("made");
    let drive_bytes = 3 * FILL_BYTES + BLOCK_BYTES;
    let file = match opened(&path, drive_bytes, true, true) {
        Err(problem) if problem.contains(NO_DIRECT) => return,
        opened => opened.unwrap(),
    };
    assert_eq!(bytes_at(&path).unwrap(), Some(drive_bytes));
    assert!(opened(&path, drive_bytes, false, true).unwrap_err().contains("another process"));
    assert!(opened(&path, drive_bytes + 1, false, false).unwrap_err().contains("shrunk"));
    drop(opened(&path, drive_bytes, false, false).unwrap());
    drop(file);
    assert!(opened(&path, drive_bytes, true, true).is_err(), "what is there is never made anew");
    assert_eq!(bytes_at(&path).unwrap(), Some(drive_bytes));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_is_marked_or_has_holes_is_refused() {
    let path = scratch("marked");
    std::fs::write(&path, [b"XFSB".as_slice(), &[0; 8188]].concat()).unwrap();
    assert!(opened(&path, 8192, false, true).unwrap_err().contains("XFS"));
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let problem = opened(&path, 1 << 20, false, false).unwrap_err();
    assert!(problem.contains("holes") || problem.contains(NO_DIRECT), "{problem}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn mounts_are_found_by_their_number() {
    let mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 21 8:17 / /mnt rw - xfs /dev/sdb1 rw\n";
    assert_eq!(mounted_at(mounts, "8:17"), Some("/mnt"));
    assert_eq!(mounted_at(mounts, "8:1"), Some("/"));
    assert_eq!(mounted_at(mounts, "8:2"), None);
    assert_eq!(mounted_at("nonsense\n", "8:2"), None);
}

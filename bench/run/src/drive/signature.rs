//! Marks of data on a drive: of basalt, of file systems, of volumes, of images.
//!
//! Invariants: what is found may be wrong (a mark of two bytes is there by chance in one of 65,536
//! drives), and is a refusal then; what is not found says nothing: somebody's data need not be
//! marked. Sources: linux/magic.h, libblkid's superblocks.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// What a block of a benchmark has behind its sum (bench-model's layout).
const OURS: (u64, &[u8]) = (8, b"bsltblk1");
/// As far as the first block of a benchmark goes.
const OURS_BYTES: u64 = 4096;

const SUPERBLOCK: &[u8] = b"BASALTSB";
/// A superblock's second copy is at one of these powers of two.
const COPY_POWERS: std::ops::RangeInclusive<u32> = 14..=28;

/// Longest mark.
const MARK_BYTES_MAX: usize = 16;

/// Where, what, whose.
const KNOWN: [(u64, &[u8], &str); 27] = [
    (0, SUPERBLOCK, "a drive of basalt"),
    (0, b"XFSB", "a file system (XFS)"),
    (1080, b"\x53\xef", "a file system (ext2, ext3 or ext4)"),
    (65_600, b"_BHRfS_M", "a file system (btrfs)"),
    (1024, b"\x10\x20\xf5\xf2", "a file system (F2FS)"),
    (4120, b"\xc6\x85\x73\xf6", "a file system or cache (bcachefs, bcache)"),
    (131_072, b"\x0c\xb1\xba\x00", "a pool (ZFS)"),
    (3, b"NTFS    ", "a file system (NTFS)"),
    (3, b"EXFAT   ", "a file system (exFAT)"),
    (54, b"FAT1", "a file system (FAT)"),
    (82, b"FAT32", "a file system (FAT)"),
    (0, b"hsqs", "a file system (squashfs)"),
    (32_769, b"CD001", "a file system (ISO 9660)"),
    (512, b"EFI PART", "a partition table"),
    (4096, b"EFI PART", "a partition table"),
    (510, b"\x55\xaa", "a partition table"),
    (0, b"LABELONE", "a volume (LVM)"),
    (512, b"LABELONE", "a volume (LVM)"),
    (0, b"LUKS\xba\xbe", "an encrypted volume"),
    (0, b"\xfc\x4e\x2b\xa9", "a part of an array (md)"),
    (4096, b"\xfc\x4e\x2b\xa9", "a part of an array (md)"),
    (4086, b"SWAPSPACE2", "swap space"),
    (0, b"bluestore block", "a drive of Ceph"),
    (0, b"QFI\xfb", "an image of a machine"),
    (0, b"SQLite format 3", "a database (SQLite)"),
    (0, b"\x7fELF", "a program"),
    (0, b"PK\x03\x04", "an archive"),
];

/// Whose mark is on a drive. A file that begins with a block of a benchmark is one.
pub(super) fn of(drive: &File, is_file: bool) -> io::Result<Option<&'static str>> {
    let is_ours = stands_at(drive, OURS.0, OURS.1)?;
    if is_ours && is_file {
        return Ok(None);
    }
    let from = if is_ours { OURS_BYTES } else { 0 };
    for (offset, mark, name) in KNOWN {
        if offset >= from && stands_at(drive, offset, mark)? {
            return Ok(Some(name));
        }
    }
    for power in COPY_POWERS {
        if stands_at(drive, 1 << power, SUPERBLOCK)? {
            return Ok(Some("a drive of basalt"));
        }
    }
    Ok(None)
}

fn stands_at(drive: &File, offset: u64, mark: &[u8]) -> io::Result<bool> {
    let mut found = [0; MARK_BYTES_MAX];
    let found = &mut found[..mark.len()];
    match drive.read_exact_at(found, offset) {
        Ok(()) => Ok(*found == *mark),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, marks: &[(u64, &[u8])], is_file: bool) -> Option<&'static str> {
        let path = std::env::temp_dir().join(format!("bench-mark-{name}-{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).expect("a scratch file");
        file.set_len(1 << 20).expect("a sparse file");
        for (offset, mark) in marks {
            file.write_all_at(mark, *offset).expect("a mark");
        }
        let found = of(&file, is_file).expect("it can be read");
        std::fs::remove_file(&path).expect("it is there");
        found
    }

    #[test]
    fn every_mark_is_found_and_nothing_else_is() {
        assert_eq!(found("none", &[], true), None);
        for (offset, mark, name) in KNOWN {
            assert!(mark.len() <= MARK_BYTES_MAX);
            assert_eq!(found("one", &[(offset, mark)], true), Some(name));
        }
        // The first copy of a superblock may be torn.
        let copy = [(1 << 18, SUPERBLOCK)];
        assert_eq!(found("copy", &copy, true), Some("a drive of basalt"));
    }

    #[test]
    fn a_file_of_a_benchmark_is_free_and_a_device_only_as_far_as_it_is_one() {
        let chance: [(u64, &[u8]); 2] = [OURS, (510, b"\x55\xaa")];
        assert_eq!(found("ours", &chance, true), None);
        assert_eq!(found("ours", &chance, false), None);
        let array: [(u64, &[u8]); 2] = [OURS, (4096, b"\xfc\x4e\x2b\xa9")];
        assert_eq!(found("array", &array, true), None);
        assert_eq!(found("array", &array, false), Some("a part of an array (md)"));
    }
}

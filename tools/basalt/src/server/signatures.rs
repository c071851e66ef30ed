//! What a file or block device already holds. Only a look: nothing is written, and a known
//! signature is reported by name so that its owner can be told.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MIB: usize = 1 << 20;
/// First bytes of each superblock copy of basalt.
const OUR_MAGIC: &[u8] = b"BASALTSB";
/// Copies stand a quarter of a segment apart, and a segment is a number of MiB.
const OUR_STEP_BYTES: u64 = 256 << 10;
/// Where the search for further copies ends: the second copy of a 256 MiB segment.
const OUR_SPAN_BYTES: u64 = 64 << 20;

/// Content of a drive, as far as the ends show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// First and last MiB are zero, no superblock copy anywhere.
    Empty,
    /// A superblock copy of basalt is there; whether it is sound is not checked here.
    Ours,
    /// Somebody else's, by name.
    Known(&'static str),
    /// Not zero, and we do not know what it is.
    Unknown,
}

struct Signature {
    name: &'static str,
    offset: usize,
    magic: &'static [u8],
}

const fn at(name: &'static str, offset: usize, magic: &'static [u8]) -> Signature {
    Signature { name, offset, magic }
}

/// Most telling first: partition tables come last, because boot sectors of file systems look
/// like them.
const SIGNATURES: &[Signature] = &[
    at("LUKS encryption", 0, b"LUKS\xba\xbe"),
    at("an LVM physical volume", 0, b"LABELONE"),
    at("an LVM physical volume", 512, b"LABELONE"),
    at("an LVM physical volume", 1024, b"LABELONE"),
    at("an LVM physical volume", 1536, b"LABELONE"),
    at("a Linux RAID member", 0, b"\xfc\x4e\x2b\xa9"),
    at("a Linux RAID member", 4096, b"\xfc\x4e\x2b\xa9"),
    at("a bcache device", 4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    at("a Ceph BlueStore device", 0, b"bluestore block device"),
    at("an XFS file system", 0, b"XFSB"),
    at("a btrfs file system", 0x1_0040, b"_BHRfS_M"),
    at("an F2FS file system", 1024, b"\x10\x20\xf5\xf2"),
    at("an ext file system", 1080, b"\x53\xef"),
    at("swap space", 4096 - 10, b"SWAPSPACE2"),
    at("swap space", 4096 - 10, b"SWAP-SPACE"),
    at("swap space", 16_384 - 10, b"SWAPSPACE2"),
    at("swap space", 65_536 - 10, b"SWAPSPACE2"),
    at("an NTFS file system", 3, b"NTFS    "),
    at("an exFAT file system", 3, b"EXFAT   "),
    at("a FAT file system", 82, b"FAT32   "),
    at("a FAT file system", 54, b"FAT1"),
    at("an ISO 9660 image", 32_769, b"CD001"),
    at("a squashfs image", 0, b"hsqs"),
    at("a qcow2 image", 0, b"QFI\xfb"),
    at("a GPT partition table", 512, b"EFI PART"),
    at("a GPT partition table", 4096, b"EFI PART"),
    at("an MBR partition table", 510, b"\x55\xaa"),
];

/// Looks at the ends of a drive of `bytes` bytes.
pub fn examine(file: &File, bytes: u64) -> io::Result<Content> {
    if is_ours(file, bytes)? {
        return Ok(Content::Ours);
    }
    let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(MIB);
    let mut first = vec![0u8; length];
    file.read_exact_at(&mut first, 0)?;
    if let Some(name) = known(&first) {
        return Ok(Content::Known(name));
    }
    let mut last = vec![0u8; length];
    file.read_exact_at(&mut last, bytes - length as u64)?;
    // A backup GPT outlives a wiped beginning.
    if last.len() >= 512 && last[last.len() - 512..].starts_with(b"EFI PART") {
        return Ok(Content::Known("a GPT partition table"));
    }
    let empty = first.iter().chain(&last).all(|byte| *byte == 0);
    Ok(if empty { Content::Empty } else { Content::Unknown })
}

fn is_ours(file: &File, bytes: u64) -> io::Result<bool> {
    let end = bytes.min(OUR_SPAN_BYTES + 1);
    let mut offset_bytes = 0;
    while offset_bytes + OUR_MAGIC.len() as u64 <= end {
        let mut found = [0u8; OUR_MAGIC.len()];
        file.read_exact_at(&mut found, offset_bytes)?;
        if found == OUR_MAGIC {
            return Ok(true);
        }
        offset_bytes += OUR_STEP_BYTES;
    }
    Ok(false)
}

fn known(first: &[u8]) -> Option<&'static str> {
    let holds = |signature: &&Signature| {
        let end = signature.offset + signature.magic.len();
        first.get(signature.offset..end) == Some(signature.magic)
    };
    let found = SIGNATURES.iter().find(holds).map(|signature| signature.name);
    // A partition table may cover a ZFS label, but not the reverse.
    match found {
        Some(name) if !name.contains("partition table") => Some(name),
        other => {
            if has_zfs_label(first) {
                Some("a ZFS pool member")
            } else {
                other
            }
        }
    }
}

/// The ring of uberblocks fills the second half of a label, one per KiB or more.
fn has_zfs_label(first: &[u8]) -> bool {
    const RING_BYTES: std::ops::Range<usize> = 128 << 10..256 << 10;
    const MAGIC: u64 = 0x00ba_b10c;
    let ring = first.get(RING_BYTES).unwrap_or(&[]);
    ring.chunks_exact(1024).any(|slot| {
        slot.starts_with(&MAGIC.to_le_bytes()) || slot.starts_with(&MAGIC.to_be_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    const BYTES: usize = 4 * MIB;

    fn content(patches: &[(usize, &[u8])]) -> Content {
        let mut bytes = vec![0u8; BYTES];
        for (offset, patch) in patches {
            bytes[*offset..*offset + patch.len()].copy_from_slice(patch);
        }
        let directory = TempDir::new();
        let path = directory.file("image", &bytes);
        examine(&File::open(path).unwrap(), BYTES as u64).unwrap()
    }

    #[test]
    fn every_signature_is_found_by_name() {
        for signature in SIGNATURES {
            let found = content(&[(signature.offset, signature.magic)]);
            assert_eq!(found, Content::Known(signature.name));
        }
        let zfs = [(130 << 10, 0x00ba_b10cu64.to_le_bytes())];
        let zfs: Vec<(usize, &[u8])> =
            zfs.iter().map(|(offset, magic)| (*offset, magic.as_slice())).collect();
        assert_eq!(content(&zfs), Content::Known("a ZFS pool member"));
        let backup = content(&[(BYTES - 512, b"EFI PART")]);
        assert_eq!(backup, Content::Known("a GPT partition table"));
    }

    #[test]
    fn boot_sectors_of_file_systems_are_not_taken_for_partition_tables() {
        let found = content(&[(3, b"NTFS    "), (510, b"\x55\xaa")]);
        assert_eq!(found, Content::Known("an NTFS file system"));
    }

    #[test]
    fn zeros_are_empty_and_single_bytes_are_not() {
        assert_eq!(content(&[]), Content::Empty);
        assert_eq!(content(&[(MIB - 1, b"x")]), Content::Unknown);
        assert_eq!(content(&[(BYTES - 1, b"x")]), Content::Unknown);
        // Only the ends are looked at.
        assert_eq!(content(&[(2 * MIB + 1, b"x")]), Content::Empty);
    }

    #[test]
    fn any_superblock_copy_makes_it_ours() {
        assert_eq!(content(&[(0, OUR_MAGIC)]), Content::Ours);
        assert_eq!(content(&[(0, b"damaged"), (MIB, OUR_MAGIC)]), Content::Ours);
        assert_eq!(content(&[(3 * MIB, OUR_MAGIC)]), Content::Ours);
        assert_eq!(content(&[(100, OUR_MAGIC)]), Content::Unknown);
    }

    #[test]
    fn short_files_are_no_trouble() {
        let directory = TempDir::new();
        for (bytes, expected) in [
            (vec![0u8; 0], Content::Empty),
            (vec![0; 5], Content::Empty),
            (vec![1; 5], Content::Unknown),
        ] {
            let path = directory.file("short", &bytes);
            let file = File::open(path).unwrap();
            assert_eq!(examine(&file, bytes.len() as u64).unwrap(), expected);
        }
    }
}

//! What survives a loss, without a mount.

use crate::cache::SECTOR_BYTES;
use crate::disk::{Disk, Fault, Options, ROOT};
use std::path::PathBuf;

struct Backing(PathBuf);

impl Backing {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("powerloss-{}-{test}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self, seed: u64) -> Disk {
        let backing = self.0.clone();
        let (capacity_bytes, cache_bytes_max) = (1 << 30, 1 << 20);
        Disk::open(Options { backing, seed, capacity_bytes, cache_bytes_max }).unwrap()
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn place(name: &str) -> (u64, String) {
    (ROOT, name.to_owned())
}

/// One file of 8 flushed sectors of 1s, overwritten unflushed with 2s, then a loss.
fn overwritten(test: &str, seed: u64) -> Vec<u8> {
    let backing = Backing::new(&format!("{test}-{seed}"));
    let mut disk = backing.open(seed);
    let file = disk.create(place("file"), 0o600, false).unwrap();
    disk.write(file, 0, &[1; 4096]).unwrap();
    disk.sync_all().unwrap();
    disk.write(file, 0, &[2; 4096]).unwrap();
    disk.lose().unwrap();
    assert_eq!(disk.read(file, 0, 4096), Err(libc::EIO));
    drop(disk);
    let mut disk = backing.open(0);
    let file = disk.find(ROOT, "file").unwrap();
    disk.read(file, 0, 8192).unwrap()
}

#[test]
fn each_sector_is_the_old_or_the_new_one() {
    let (mut old, mut new, mut mixed) = (0, 0, 0);
    for seed in 0..64 {
        let bytes = overwritten("sectors", seed);
        assert_eq!(bytes.len(), 4096);
        let sector = usize::try_from(SECTOR_BYTES).unwrap();
        assert!(bytes.chunks(sector).all(|s| s.iter().all(|b| *b == s[0])));
        match (bytes.contains(&1), bytes.contains(&2)) {
            (true, true) => mixed += 1,
            (true, false) => old += 1,
            _ => new += 1,
        }
    }
    assert!(old > 0 && new > 0 && mixed > 0, "{old} old, {new} new, {mixed} mixed");
}

#[test]
fn the_same_seed_draws_the_same_fate() {
    for seed in 0..8 {
        assert_eq!(overwritten("same-a", seed), overwritten("same-b", seed));
    }
}

#[test]
fn flushed_bytes_and_sizes_stay() {
    for seed in 0..32 {
        let backing = Backing::new(&format!("flushed-{seed}"));
        let mut disk = backing.open(seed);
        let file = disk.create(place("file"), 0o600, false).unwrap();
        disk.write(file, 0, &[7; 10_000]).unwrap();
        disk.flush(file).unwrap();
        disk.flush(ROOT).unwrap();
        disk.resize(file, 100).unwrap();
        disk.resize(file, 20_000).unwrap();
        disk.write(file, 30_000, &[9; 512]).unwrap();
        disk.lose().unwrap();
        let mut disk = backing.open(0);
        let file = disk.find(ROOT, "file").unwrap();
        let bytes = disk.read(file, 0, 40_000).unwrap();
        assert!(bytes[..100.min(bytes.len())].iter().all(|b| *b == 7));
        assert!([100, 10_000, 20_000].contains(&bytes.len()) || bytes.len() > 30_000);
    }
}

#[test]
fn a_name_needs_its_directory_synced() {
    let (mut kept, mut gone) = (0, 0);
    for seed in 0..64 {
        let backing = Backing::new(&format!("names-{seed}"));
        let mut disk = backing.open(seed);
        let drive = disk.create(place("drive"), 0o700, true).unwrap();
        let durable = disk.create((drive, "durable".to_owned()), 0o600, false).unwrap();
        disk.flush(durable).unwrap();
        disk.flush(drive).unwrap();
        let unsynced = disk.create((drive, "unsynced".to_owned()), 0o600, false).unwrap();
        disk.write(unsynced, 0, &[1; 512]).unwrap();
        disk.flush(unsynced).unwrap();
        disk.lose().unwrap();
        let disk = backing.open(0);
        let drive = disk.find(ROOT, "drive").unwrap();
        assert!(disk.find(drive, "durable").is_ok());
        match disk.find(drive, "unsynced") {
            Ok(_) => kept += 1,
            Err(_) => gone += 1,
        }
    }
    assert!(kept > 0 && gone > 0, "{kept} kept, {gone} gone");
}

#[test]
fn a_rename_leaves_one_of_the_two_names() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..64 {
        let backing = Backing::new(&format!("rename-{seed}"));
        let mut disk = backing.open(seed);
        disk.create(place("a"), 0o600, false).unwrap();
        disk.create(place("b"), 0o600, false).unwrap();
        disk.flush(ROOT).unwrap();
        let a = disk.find(ROOT, "a").unwrap();
        disk.rename(place("a"), place("b"), 0).unwrap();
        assert_eq!(disk.find(ROOT, "b"), Ok(a));
        disk.lose().unwrap();
        let disk = backing.open(0);
        assert!(disk.find(ROOT, "b").is_ok());
        match disk.find(ROOT, "a") {
            Ok(_) => before += 1,
            Err(_) => after += 1,
        }
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}

#[test]
fn power_goes_at_the_write_that_was_named() {
    let backing = Backing::new("after");
    let mut disk = backing.open(3);
    let file = disk.create(place("file"), 0o600, false).unwrap();
    disk.command("after 3\n").unwrap();
    disk.write(file, 0, &[1; 512]).unwrap();
    disk.flush(file).unwrap();
    assert_eq!(disk.write(file, 512, &[1; 512]), Err(libc::EIO));
    assert_eq!(disk.flush(file), Err(libc::EIO));
    assert!(disk.report().starts_with("state lost\n"));
    assert_eq!(disk.command("nonsense"), Err(libc::EINVAL));
}

#[test]
fn a_full_disk_says_so_and_a_clean_close_keeps_all() {
    let backing = Backing::new("full");
    let mut disk = backing.open(3);
    let file = disk.create(place("file"), 0o640, false).unwrap();
    assert_eq!(disk.extend(file, (1 << 30) + 1), Err(libc::ENOSPC));
    disk.extend(file, 1 << 20).unwrap();
    disk.write(file, 4096, &[5; 512]).unwrap();
    assert_eq!(disk.remove(place("missing"), false), Err(libc::ENOENT));
    disk.sync_all().unwrap();
    drop(disk);
    let mut disk = backing.open(4);
    let file = disk.find(ROOT, "file").unwrap();
    assert_eq!(disk.inode(file).unwrap().mode, 0o640);
    assert_eq!(disk.read(file, 4096, 512).unwrap(), vec![5; 512]);
    assert_eq!(disk.space_bytes(), (1 << 30, (1 << 30) - (1 << 20)));
}

#[test]
fn a_fault_hits_its_drive_only() {
    let backing = Backing::new("faults");
    let mut disk = backing.open(3);
    let mut files = Vec::new();
    for name in ["d1", "d2"] {
        let drive = disk.create(place(name), 0o700, true).unwrap();
        files.push(disk.create((drive, "file".to_owned()), 0o600, false).unwrap());
    }
    disk.command("fail d1").unwrap();
    disk.command("stall d2").unwrap();
    assert_eq!(disk.write(files[0], 0, &[1; 512]), Err(libc::EIO));
    assert_eq!(disk.flush(files[0]), Err(libc::EIO));
    assert_eq!(disk.fault(files[1]), Some(Fault::Stall));
    disk.command("heal d1").unwrap();
    disk.write(files[0], 0, &[1; 512]).unwrap();
    assert_eq!(disk.command("fail d3"), Err(libc::ENOENT));
}

#[test]
fn a_lying_flush_loses_what_it_promised() {
    let mut gone = 0;
    for seed in 0..32 {
        let backing = Backing::new(&format!("lie-{seed}"));
        let mut disk = backing.open(seed);
        let file = disk.create(place("file"), 0o600, false).unwrap();
        disk.sync_all().unwrap();
        disk.command("lie").unwrap();
        disk.write(file, 0, &[1; 512]).unwrap();
        disk.flush(file).unwrap();
        disk.lose().unwrap();
        let mut disk = backing.open(0);
        let file = disk.find(ROOT, "file").unwrap();
        if disk.read(file, 0, 512).unwrap().is_empty() {
            gone += 1;
        }
    }
    assert!(gone > 0, "every write survived");
}

//! Over a file of the host; without direct I/O, which not every file system takes.

use super::*;
use std::path::PathBuf;

const LANES: u32 = 4;
const BLOCK: usize = 4096;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: usize) -> Self {
        let path = std::env::temp_dir().join(format!("bench-{name}-{}", std::process::id()));
        std::fs::write(&path, vec![7; bytes]).expect("a scratch file");
        Self(path)
    }

    fn open(&self, writable: bool) -> File {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(writable).open(&self.0).expect("the scratch file")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in a directory for such files.
        _ = std::fs::remove_file(&self.0);
    }
}

/// Waits for so many transfers.
fn ended(ring: &mut DriveRing, count: usize) -> Vec<Transfer> {
    let mut all = Vec::new();
    while all.len() < count {
        ring.wait(Some(Duration::from_secs(1)), &mut all).expect("the ring works");
    }
    all
}

#[test]
fn what_is_written_is_read_again() {
    let scratch = Scratch::new("drive-again", 16 * BLOCK);
    let mut ring = DriveRing::new(scratch.open(true), LANES, 2 * BLOCK).unwrap();
    for lane in 0..LANES {
        let buffer = ring.buffer(Lane(lane));
        assert!(buffer.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES));
        buffer.fill(lane as u8 + 10);
        ring.write(Lane(lane), u64::from(lane) * 2 * BLOCK as u64, 2 * BLOCK);
        assert!(ring.is_busy(Lane(lane)));
    }
    for transfer in ended(&mut ring, LANES as usize) {
        assert_eq!(transfer.result.unwrap(), 2 * BLOCK);
        assert!(!ring.is_busy(transfer.lane));
        // From the other end, so that a buffer cannot bring its own bytes back.
        let other = LANES - 1 - transfer.lane.0;
        ring.read(transfer.lane, u64::from(other) * 2 * BLOCK as u64, BLOCK);
    }
    for transfer in ended(&mut ring, LANES as usize) {
        let other = (LANES - 1 - transfer.lane.0) as u8;
        assert_eq!(transfer.result.unwrap(), BLOCK);
        assert_eq!(ring.bytes(transfer.lane), vec![other + 10; BLOCK]);
    }
}

#[test]
fn the_end_of_a_file_cuts_a_read() {
    let scratch = Scratch::new("drive-end", BLOCK + 100);
    let mut ring = DriveRing::new(scratch.open(false), 1, 2 * BLOCK).unwrap();
    ring.read(Lane(0), BLOCK as u64, BLOCK);
    assert_eq!(ended(&mut ring, 1).remove(0).result.unwrap(), 100);
    assert_eq!(ring.bytes(Lane(0)), vec![7; 100]);
}

#[test]
fn a_file_opened_for_reading_is_never_written() {
    let scratch = Scratch::new("drive-read-only", BLOCK);
    let mut ring = DriveRing::new(scratch.open(false), 1, BLOCK).unwrap();
    ring.write(Lane(0), 0, BLOCK);
    assert!(ended(&mut ring, 1).remove(0).result.is_err());
    assert_eq!(std::fs::read(&scratch.0).unwrap(), vec![7; BLOCK]);
}

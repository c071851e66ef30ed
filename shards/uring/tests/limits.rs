//! What a drive is told to keep to, on real files and over both drivers.
#![allow(clippy::unwrap_used, reason = "tests")]

use engine_env::{DmaBuf, Drive};
use shards_uring::{
    DriveLimits, DriveSpec, IoDriverKind, RealDrive, RealEnv, RuntimeConfig, ShardRuntime,
    probe_uring,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const BLOCK: usize = 4096;
const FILE_BYTES: u64 = 2 << 20;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("basalt-limits-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn spec(&self, limits: DriveLimits) -> DriveSpec {
        DriveSpec { limits, ..DriveSpec::directory(&self.0, FILE_BYTES, 2 * FILE_BYTES) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The drivers this machine has.
fn kinds() -> Vec<IoDriverKind> {
    let mut kinds = vec![IoDriverKind::ThreadPool];
    if probe_uring().is_ok() {
        kinds.push(IoDriverKind::Uring);
    }
    kinds
}

fn pattern(seed: u64, blocks: usize) -> DmaBuf {
    let mut buffer = DmaBuf::zeroed(blocks * BLOCK);
    for (index, byte) in buffer.iter_mut().enumerate() {
        *byte = (seed as usize).wrapping_mul(31).wrapping_add(index / 7) as u8;
    }
    buffer
}

async fn assert_holds(drive: &RealDrive, offset_bytes: u64, expected: &DmaBuf) {
    let read = drive.read(offset_bytes, DmaBuf::zeroed(expected.len())).await.unwrap();
    assert!(read[..] == expected[..], "other bytes at {offset_bytes}");
}

#[test]
fn no_more_is_at_the_device_than_its_limits_say() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let limits = DriveLimits {
            read_queue_depth_max: 2,
            write_queue_depth_max: 1,
            split_bytes: 4 * BLOCK,
            background_share: 0.5,
        };
        let spec = scratch.spec(limits);
        let main = |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            assert_eq!(drive.geometry().io_bytes_max, 4 * BLOCK);
            assert_eq!(drive.limits(), limits);
            let background = drive.background();
            let at = |index: u64| index * 4 * BLOCK as u64;
            let (mut reads, mut writes) = (Vec::new(), Vec::new());
            for index in 0..60 {
                let handle = if index % 3 == 0 { &background } else { &drive };
                writes.push(handle.write(at(index), pattern(index, 4)));
                reads.push(handle.read(at(index), DmaBuf::zeroed(4 * BLOCK)));
            }
            for write in writes {
                write.await.unwrap();
            }
            for read in reads {
                read.await.unwrap();
            }
            drive.flush().await.unwrap();
            let statistics = drive.counters().statistics();
            assert_eq!((statistics.reads, statistics.writes, statistics.in_flight), (60, 60, 0));
            assert_eq!((statistics.in_flight_reads_max, statistics.in_flight_writes_max), (2, 1));
            // All but those that found every place free.
            assert_eq!(statistics.waited, 58 + 59);
            assert_eq!(statistics.background_ios, 20 + 20);
            assert_eq!(statistics.background_bytes, 40 * 4 * BLOCK as u64);
            for index in 0..60 {
                assert_holds(&drive, at(index), &pattern(index, 4)).await;
            }
        };
        ShardRuntime::run(kind, RuntimeConfig::default(), main).unwrap();
    }
}

#[test]
fn the_background_takes_its_share_of_a_drive_that_has_nothing_else_to_do() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec(DriveLimits { background_share: 0.1, ..DriveLimits::default() });
        let main = |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            let background = drive.background();
            let reads: Vec<_> = (0..100)
                .map(|index| background.read(index * BLOCK as u64, DmaBuf::zeroed(BLOCK)))
                .collect();
            for read in reads {
                read.await.unwrap();
            }
            background.write_and_flush(0, pattern(1, 1)).await.unwrap();
            let statistics = drive.counters().statistics();
            assert_eq!((statistics.in_flight_reads_max, statistics.in_flight_writes_max), (6, 1));
            assert_eq!((statistics.background_ios, statistics.flushes), (101, 1));
            // Whoever waits for a flush waits for no share.
            drive.write(0, pattern(2, 1)).await.unwrap();
            background.flush().await.unwrap();
            assert_eq!(drive.counters().statistics().background_ios, 101);
        };
        ShardRuntime::run(kind, RuntimeConfig::default(), main).unwrap();
    }
}

#[test]
fn no_operation_is_longer_than_a_file_of_a_directory() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec(DriveLimits { split_bytes: 16 << 20, ..DriveLimits::default() });
        let main = |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            assert_eq!(drive.geometry().io_bytes_max as u64, FILE_BYTES);
            assert_eq!(drive.limits().split_bytes as u64, FILE_BYTES);
            drive.prepare(2 * FILE_BYTES).await.unwrap();
            let half = FILE_BYTES / 2;
            drive.write(half, pattern(3, 512)).await.unwrap();
            assert_holds(&drive, half, &pattern(3, 512)).await;
        };
        ShardRuntime::run(kind, RuntimeConfig::default(), main).unwrap();
    }
}

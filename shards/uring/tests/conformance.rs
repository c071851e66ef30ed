//! One suite for both drivers: what a drive promises, on real files.
#![allow(clippy::unwrap_used, reason = "tests")]

use engine_env::{DmaBuf, Drive, Env, IoError, WriteFlushError};
use futures_channel::oneshot;
use shards_executor::start_pinned_thread;
use shards_uring::{
    DriveLimits, DriveSpec, DriveStatistics, IoDriverKind, OpenError, RealDrive, RealEnv,
    RuntimeConfig, ShardRuntime, probe_uring,
};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const BLOCK: usize = 4096;
const MIB: u64 = 1 << 20;
const FILE_BYTES: u64 = 2 * MIB;
const EINVAL: IoError = IoError::Failed(22);

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("basalt-uring-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn spec(&self) -> DriveSpec {
        let spec = DriveSpec::directory(&self.0, FILE_BYTES, 4 * FILE_BYTES);
        let limits = DriveLimits {
            read_queue_depth_max: 8,
            write_queue_depth_max: 8,
            ..DriveLimits::default()
        };
        DriveSpec { limits, lock_wait_us: 10_000_000, ..spec }
    }

    fn data(&self, index: usize) -> PathBuf {
        self.0.join(format!("basalt-{index:06}.data"))
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

fn run<M, F>(kind: IoDriverKind, main: M) -> F::Output
where
    M: FnOnce(RealEnv) -> F,
    F: Future,
{
    ShardRuntime::run(kind, RuntimeConfig::default(), main).unwrap()
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
fn what_is_written_is_read_also_after_a_reopen() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            assert_eq!(env.driver_kind(), kind);
            let drive = RealDrive::open(&env, spec).await.unwrap();
            assert_eq!(drive.prepared_bytes(), FILE_BYTES);
            assert_eq!(drive.geometry().capacity_bytes, 4 * FILE_BYTES);
            assert_holds(&drive, 0, &DmaBuf::zeroed(16 * BLOCK)).await;
            // Far more than the queue depth; all submitted before the first is awaited.
            let writes: Vec<_> = (0..100)
                .map(|index| drive.write(index * 4 * BLOCK as u64, pattern(index, 4)))
                .collect();
            assert!(drive.counters().statistics().in_flight <= 8);
            for write in writes {
                write.await.unwrap();
            }
            drive.flush().await.unwrap();
            let statistics = drive.counters().statistics();
            assert_eq!((statistics.writes, statistics.in_flight, statistics.errors), (100, 0, 0));
            assert_eq!(statistics.write_bytes, 400 * BLOCK as u64);
        });
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            assert_eq!(drive.prepared_bytes(), FILE_BYTES);
            for index in (0..100).rev() {
                assert_holds(&drive, index * 4 * BLOCK as u64, &pattern(index, 4)).await;
            }
        });
    }
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            assert_eq!(drive.write(0, DmaBuf::zeroed(100)).await, Err(EINVAL));
            assert_eq!(drive.write(512, DmaBuf::zeroed(BLOCK)).await, Err(EINVAL));
            assert_eq!(drive.write(FILE_BYTES, DmaBuf::zeroed(BLOCK)).await, Err(EINVAL));
            assert_eq!(drive.write(u64::MAX - 4095, DmaBuf::zeroed(BLOCK)).await, Err(EINVAL));
            let long = drive.geometry().io_bytes_max + BLOCK;
            assert_eq!(drive.write(0, DmaBuf::zeroed(long)).await, Err(EINVAL));
            assert!(drive.read(0, DmaBuf::zeroed(BLOCK + 1)).await.is_err());
            assert_eq!(drive.counters().statistics(), DriveStatistics::default());
            // And the drive is as good as before.
            drive.write(FILE_BYTES - BLOCK as u64, pattern(1, 1)).await.unwrap();
            assert_holds(&drive, FILE_BYTES - BLOCK as u64, &pattern(1, 1)).await;
        });
    }
}

#[test]
fn a_directory_grows_by_whole_files() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (spec, again) = (scratch.spec(), scratch.spec());
        let leftover = scratch.0.join("basalt-000003.preparing");
        let left = leftover.clone();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            // Abandoned at once: the drive grows all the same, and the second call waits for it.
            drop(drive.prepare(FILE_BYTES + 1));
            drive.prepare(2 * FILE_BYTES + 1).await.unwrap();
            assert_eq!(drive.prepared_bytes(), 3 * FILE_BYTES);
            assert_holds(&drive, 2 * FILE_BYTES, &DmaBuf::zeroed(256 * BLOCK)).await;
            assert_eq!(drive.prepare(4 * FILE_BYTES + 1).await, Err(IoError::NoSpace));
            // Half in the first file, half in the second.
            let across = FILE_BYTES - 2 * BLOCK as u64;
            drive.write(across, pattern(9, 4)).await.unwrap();
            drive.write(3 * FILE_BYTES - BLOCK as u64, pattern(5, 1)).await.unwrap();
            drive.flush().await.unwrap();
            assert_holds(&drive, across, &pattern(9, 4)).await;
            std::fs::write(left, b"unfinished").unwrap();
        });
        let second = std::fs::read(scratch.data(1)).unwrap();
        assert_eq!(second.len() as u64, FILE_BYTES);
        assert!(second[..2 * BLOCK] == pattern(9, 4)[2 * BLOCK..]);
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, again).await.unwrap();
            assert_eq!(drive.prepared_bytes(), 3 * FILE_BYTES);
            assert_holds(&drive, 3 * FILE_BYTES - BLOCK as u64, &pattern(5, 1)).await;
        });
        assert!(!leftover.exists());
    }
}

#[test]
fn a_single_file_grows_to_its_capacity() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = DriveSpec::file(scratch.0.join("drive"), 3 * MIB);
        let again = spec.clone();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            assert_eq!(drive.prepared_bytes(), 0);
            assert_eq!(drive.write(0, pattern(1, 1)).await, Err(EINVAL));
            drive.prepare(MIB + 1).await.unwrap();
            assert_eq!(drive.prepared_bytes(), MIB + BLOCK as u64);
            drive.prepare(3 * MIB).await.unwrap();
            drive.write(3 * MIB - BLOCK as u64, pattern(2, 1)).await.unwrap();
            drive.flush().await.unwrap();
            assert_eq!(drive.prepare(3 * MIB + 1).await, Err(IoError::NoSpace));
        });
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, again).await.unwrap();
            assert_eq!(drive.prepared_bytes(), 3 * MIB);
            assert_holds(&drive, 3 * MIB - BLOCK as u64, &pattern(2, 1)).await;
            assert_holds(&drive, 0, &DmaBuf::zeroed(BLOCK)).await;
        });
    }
}

#[test]
fn a_drive_has_one_owner() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            let first = RealDrive::open(&env, spec.clone()).await.unwrap();
            let hasty = DriveSpec { lock_wait_us: 120_000, ..spec.clone() };
            let start_us = env.now_us();
            let second = RealDrive::open(&env, hasty).await;
            let Err(error) = second else { panic!("two owners") };
            assert!(matches!(error, OpenError::Locked { .. }));
            assert!(error.to_string().contains("another process uses this drive"));
            assert!(env.now_us() - start_us >= 120_000);
            // The lock goes with the drive, and the wait for it ends.
            first.write(0, pattern(3, 1)).await.unwrap();
            drop(first);
            let third = RealDrive::open(&env, spec).await.unwrap();
            assert_holds(&third, 0, &pattern(3, 1)).await;
        });
    }
}

#[test]
fn abandoned_operations_complete() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            for index in 0..40 {
                drop(drive.write(index * BLOCK as u64, pattern(index, 1)));
                drop(drive.read(index * BLOCK as u64, DmaBuf::zeroed(BLOCK)));
            }
            let counters = drive.counters();
            assert_eq!(counters.statistics().in_flight, 8 + 8);
            while counters.statistics().reads + counters.statistics().writes < 80 {
                env.sleep_us(1_000).await;
            }
            for index in 0..40 {
                assert_holds(&drive, index * BLOCK as u64, &pattern(index, 1)).await;
            }
        });
    }
}

#[test]
fn the_end_of_a_runtime_waits_for_what_is_in_flight() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            let tasks = env.clone();
            env.spawn(async move {
                drop(tasks.sleep_us(1_000_000_000));
                std::future::pending::<()>().await;
            });
            drop(drive.write(0, pattern(77, 8)));
        });
        let written = std::fs::read(scratch.data(0)).unwrap();
        assert!(written[..8 * BLOCK] == pattern(77, 8)[..]);
    }
}

#[test]
fn a_flush_syncs_what_was_written_since_the_last() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            drive.prepare(2 * FILE_BYTES).await.unwrap();
            let flushes = |drive: &RealDrive| drive.counters().statistics().flushes;
            // Nothing is known of earlier writers: the first flush covers both files.
            drive.flush().await.unwrap();
            assert_eq!(flushes(&drive), 2);
            drive.flush().await.unwrap();
            assert_eq!(flushes(&drive), 2);
            drive.write(FILE_BYTES, pattern(1, 1)).await.unwrap();
            // Two at once: neither may rely on the other, which has not completed.
            let (first, second) = (drive.flush(), drive.flush());
            second.await.unwrap();
            first.await.unwrap();
            assert_eq!(flushes(&drive), 4);
        });
    }
}

#[test]
fn a_write_joined_to_its_flush_is_written_and_flushed() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let spec = scratch.spec();
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            drive.prepare(2 * FILE_BYTES).await.unwrap();
            drive.flush().await.unwrap();
            let counted = |drive: &RealDrive| {
                let statistics = drive.counters().statistics();
                (statistics.writes, statistics.flushes)
            };
            assert_eq!(counted(&drive), (0, 2));
            drive.write_and_flush(0, pattern(1, 4)).await.unwrap();
            assert_eq!(counted(&drive), (1, 3));
            drive.flush().await.unwrap();
            assert_eq!(counted(&drive), (1, 3), "nothing is left to flush");
            // What was written before in another file is flushed too.
            drive.write(FILE_BYTES, pattern(2, 1)).await.unwrap();
            drive.write_and_flush(4 * BLOCK as u64, pattern(3, 1)).await.unwrap();
            assert_eq!(counted(&drive), (3, 5));
            // Over two files, and several at once.
            let across = FILE_BYTES - BLOCK as u64;
            let both = [
                drive.write_and_flush(across, pattern(4, 2)),
                drive.write_and_flush(8 * BLOCK as u64, pattern(5, 256)),
            ];
            for one in both {
                one.await.unwrap();
            }
            drive.flush().await.unwrap();
            for (at, seed, blocks) in [(0, 1, 4), (4, 3, 1), (8, 5, 256)] {
                assert_holds(&drive, at * BLOCK as u64, &pattern(seed, blocks)).await;
            }
            assert_holds(&drive, across, &pattern(4, 2)).await;
            let refused = drive.write_and_flush(512, pattern(1, 1)).await;
            assert_eq!(refused, Err(WriteFlushError::Write(EINVAL)));
        });
    }
}

#[test]
fn buffers_inside_and_outside_of_the_arena_serve_alike() {
    for kind in kinds() {
        for arena_bytes in [0, 2 << 20] {
            let scratch = Scratch::new();
            let spec = scratch.spec();
            let config = RuntimeConfig { arena_bytes, ..RuntimeConfig::default() };
            let ran = ShardRuntime::run(kind, config, |env: RealEnv| async move {
                let drive = RealDrive::open(&env, spec).await.unwrap();
                if let Some(reason) = env.unregistered() {
                    println!("the arena is not registered here: {reason}");
                }
                let arena = env.arena();
                assert_eq!(arena.is_some(), arena_bytes > 0);
                let lies_in = |buffer: &DmaBuf| arena.as_ref().is_some_and(|a| buffer.lies_in(a));
                let inside = pattern(1, 64);
                assert_eq!(lies_in(&inside), arena_bytes > 0);
                drive.write(0, inside).await.unwrap();
                let all: Vec<DmaBuf> = (0..4).map(|_| DmaBuf::zeroed(512 << 10)).collect();
                let outside = pattern(2, 64);
                assert!(!lies_in(&outside));
                drive.write_and_flush(64 * BLOCK as u64, outside).await.unwrap();
                assert_holds(&drive, 0, &pattern(1, 64)).await;
                drop(all);
                assert_holds(&drive, 64 * BLOCK as u64, &pattern(2, 64)).await;
                let used_bytes = arena.map_or(0, |arena| arena.statistics().used_bytes);
                assert_eq!(used_bytes, 0, "all came back");
            });
            ran.unwrap();
        }
    }
}

#[test]
fn an_unlinked_file_is_noticed() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (spec, data) = (scratch.spec(), scratch.data(0));
        run(kind, |env: RealEnv| async move {
            let drive = RealDrive::open(&env, spec).await.unwrap();
            assert!(drive.still_linked() && drive.still_linked());
            std::fs::remove_file(&data).unwrap();
            assert!(!drive.still_linked());
            std::fs::write(&data, b"another file of that name").unwrap();
            assert!(!drive.still_linked());
        });
    }
}

fn open_error(spec: DriveSpec) -> OpenError {
    let opened = run(IoDriverKind::ThreadPool, |env: RealEnv| async move {
        RealDrive::open(&env, spec).await.map(|_| ())
    });
    opened.unwrap_err()
}

fn make_file(path: &Path, bytes: u64) {
    std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn what_is_not_a_drive_is_refused() {
    let scratch = Scratch::new();
    let missing = DriveSpec { path: scratch.0.join("missing"), ..scratch.spec() };
    assert!(matches!(open_error(missing), OpenError::WrongType { .. }));
    let no_device = DriveSpec::device(&scratch.0);
    assert!(matches!(open_error(no_device), OpenError::WrongType { .. }));
    let no_file = DriveSpec::file(&scratch.0, MIB);
    assert!(matches!(open_error(no_file), OpenError::WrongType { .. }));
    let too_small = DriveSpec { capacity_bytes: FILE_BYTES - 1, ..scratch.spec() };
    assert!(matches!(open_error(too_small), OpenError::Invalid(_)));
    let limits = DriveLimits { split_bytes: 5000, ..DriveLimits::default() };
    let odd = DriveSpec { limits, ..scratch.spec() };
    assert!(matches!(open_error(odd), OpenError::Invalid(_)));
    // Nothing above has left a trace, so this is what counts.
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    make_file(&scratch.data(0), FILE_BYTES);
    make_file(&scratch.data(2), FILE_BYTES);
    let OpenError::Missing { path } = open_error(scratch.spec()) else { panic!("a gap") };
    assert_eq!(path, scratch.data(1));
    make_file(&scratch.data(1), FILE_BYTES - 4096);
    let OpenError::WrongSize { path, found_bytes, .. } = open_error(scratch.spec()) else {
        panic!("a short file")
    };
    assert_eq!((path, found_bytes), (scratch.data(1), FILE_BYTES - 4096));
}

#[test]
fn other_threads_wake_a_sleeping_shard() {
    for kind in kinds() {
        run(kind, |env: RealEnv| async move {
            for round in 0..20_u64 {
                let (sender, receiver) = oneshot::channel();
                let thread = start_pinned_thread("waker", None, move || {
                    std::thread::sleep(Duration::from_micros(200 * (round % 4)));
                    sender.send(round).unwrap();
                })
                .unwrap();
                // A lost wake hangs this test.
                assert_eq!(receiver.await, Ok(round));
                thread.join().unwrap();
            }
            assert_ne!(env.random_u64(), env.random_u64());
            let start_us = env.now_us();
            env.sleep_us(3_000).await;
            assert!(env.now_us() - start_us >= 3_000);
        });
    }
}

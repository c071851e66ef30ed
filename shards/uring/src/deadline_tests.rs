//! Operations that hang, come in parts or meet the end of a file: over a pipe where there is a
//! ring, over a lane without threads where there is none.

use crate::config::{DriveLimits, DriveSpec, IoDriverKind, RuntimeConfig};
use crate::drive::RealDrive;
use crate::env::RealEnv;
use crate::files::OpenFile;
use crate::open::Opened;
use crate::ring::probe_uring;
use crate::runtime::ShardRuntime;
use engine_env::{DmaBuf, Drive, Env, IoError, WriteFlushError};
use shards_executor::now_us;
use std::fs::{File, OpenOptions};
use std::future::{Future, poll_fn};
use std::io::{PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;

const LEN: usize = 4096;

fn config() -> RuntimeConfig {
    RuntimeConfig { pool_threads: 0, shutdown_us: 200_000, ..RuntimeConfig::default() }
}

fn opened(path: PathBuf, file: File) -> Opened {
    Opened {
        files: vec![OpenFile::new(path, file)],
        file_bytes: u64::MAX,
        prepared_bytes: 1 << 20,
        capacity_bytes: 1 << 20,
        io_bytes_max: 1 << 20,
        direct: Err("a test".to_owned()),
    }
}

fn spec(deadline_us: u64) -> DriveSpec {
    DriveSpec { deadline_us, ..DriveSpec::file("nowhere", 1 << 20) }
}

/// A drive whose reads take what is written to the pipe.
fn pipe_drive(env: &RealEnv, deadline_us: u64) -> (RealDrive, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let opened = opened(PathBuf::from("pipe"), File::from(OwnedFd::from(reader)));
    (RealDrive::assemble(env, spec(deadline_us), opened).unwrap(), writer)
}

async fn until_idle(env: &RealEnv, drive: &RealDrive) {
    while drive.counters().statistics().in_flight > 0 {
        env.sleep_us(1_000).await;
    }
}

#[test]
fn a_ring_keeps_the_buffer_of_an_expired_read() {
    if probe_uring().is_err() {
        return;
    }
    ShardRuntime::run(IoDriverKind::Uring, config(), |env: RealEnv| async move {
        let (drive, mut pipe) = pipe_drive(&env, 100_000);
        let start_us = now_us();
        let result = drive.read(0, DmaBuf::zeroed(LEN)).await;
        assert!(matches!(result, Err(IoError::Timeout)));
        assert!(now_us() - start_us >= 100_000);
        assert!(drive.is_offline());
        let statistics = drive.counters().statistics();
        assert_eq!((statistics.in_flight, statistics.timeouts), (1, 1));
        let refused = drive.write(0, DmaBuf::zeroed(LEN)).await;
        assert_eq!(refused, Err(IoError::Offline));
        assert_eq!(drive.flush().await, Err(IoError::Offline));
        // The device comes back: only now the buffer goes.
        pipe.write_all(&[7; LEN]).unwrap();
        until_idle(&env, &drive).await;
        assert_eq!(drive.counters().statistics().reads, 1);
        assert!(drive.is_offline(), "back only through a new open");
    })
    .unwrap();
}

#[test]
fn an_abandoned_read_keeps_its_piece_of_the_arena_until_it_completes() {
    if probe_uring().is_err() {
        return;
    }
    let config = RuntimeConfig { arena_bytes: 2 << 20, ..config() };
    ShardRuntime::run(IoDriverKind::Uring, config, |env: RealEnv| async move {
        let arena = env.arena().unwrap();
        let (drive, mut pipe) = pipe_drive(&env, 60_000_000);
        let buffer = DmaBuf::zeroed(LEN);
        assert!(buffer.lies_in(&arena));
        let place = buffer.as_ptr().addr();
        drop(drive.read(0, buffer));
        // Whoever takes all there is does not get what the device still writes to.
        let others: Vec<DmaBuf> = (0..512).map(|_| DmaBuf::zeroed(LEN)).collect();
        assert!(others.iter().all(|other| other.as_ptr().addr() != place));
        assert_eq!((arena.statistics().served, arena.statistics().plain), (512, 1));
        drop(others);
        assert_eq!(arena.statistics().used_bytes, LEN as u64);
        pipe.write_all(&[7; LEN]).unwrap();
        until_idle(&env, &drive).await;
        assert_eq!(arena.statistics().used_bytes, 0);
        let again: Vec<DmaBuf> = (0..512).map(|_| DmaBuf::zeroed(LEN)).collect();
        assert!(again.iter().any(|buffer| buffer.as_ptr().addr() == place));
    })
    .unwrap();
}

#[test]
fn of_a_write_joined_to_its_flush_the_half_that_failed_is_named() {
    let path = std::env::temp_dir().join(format!("basalt-pair-{}", std::process::id()));
    std::fs::write(&path, [0; LEN]).unwrap();
    let mut kinds = vec![IoDriverKind::ThreadPool];
    kinds.extend(probe_uring().is_ok().then_some(IoDriverKind::Uring));
    for kind in kinds {
        let (inside, config) = (path.clone(), RuntimeConfig { pool_threads: 2, ..config() });
        ShardRuntime::run(kind, config, |env: RealEnv| async move {
            // It cannot be written, but flushed.
            let file = File::open(&inside).unwrap();
            let drive = RealDrive::assemble(&env, spec(5_000_000), opened(inside, file)).unwrap();
            let failed = drive.write_and_flush(0, DmaBuf::zeroed(LEN)).await;
            assert_eq!(failed, Err(WriteFlushError::Write(IoError::Failed(libc::EBADF))));
            assert_eq!(drive.flush().await, Ok(()));
            let statistics = drive.counters().statistics();
            assert_eq!((statistics.writes, statistics.flushes, statistics.errors), (1, 2, 1));
            // It can be written, but not flushed.
            let null = PathBuf::from("/dev/null");
            let file = OpenOptions::new().write(true).open(&null).unwrap();
            let drive = RealDrive::assemble(&env, spec(5_000_000), opened(null, file)).unwrap();
            let failed = Err(WriteFlushError::Flush(IoError::Failed(libc::EINVAL)));
            assert_eq!(drive.write_and_flush(0, DmaBuf::zeroed(LEN)).await, failed);
            assert_eq!(drive.flush().await, Err(IoError::Failed(libc::EINVAL)));
            assert_eq!(drive.write_and_flush(0, DmaBuf::zeroed(LEN)).await, failed);
            assert_eq!(drive.counters().statistics().writes, 1, "the last one never began");
        })
        .unwrap();
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_waits_behind_an_expired_operation_is_refused() {
    if probe_uring().is_err() {
        return;
    }
    ShardRuntime::run(IoDriverKind::Uring, config(), |env: RealEnv| async move {
        let (reader, _pipe) = std::io::pipe().unwrap();
        let file = File::from(OwnedFd::from(reader));
        let limits = DriveLimits { read_queue_depth_max: 1, ..DriveLimits::default() };
        let spec = DriveSpec { limits, ..spec(50_000) };
        let opened = opened(PathBuf::from("pipe"), file);
        let drive = RealDrive::assemble(&env, spec, opened).unwrap();
        let first = drive.read(0, DmaBuf::zeroed(LEN));
        let second = drive.read(0, DmaBuf::zeroed(LEN));
        let third = drive.background().read(0, DmaBuf::zeroed(LEN));
        let statistics = drive.counters().statistics();
        assert_eq!((statistics.in_flight, statistics.waited), (1, 2));
        assert!(matches!(first.await, Err(IoError::Timeout)));
        assert!(matches!(second.await, Err(IoError::Offline)));
        assert!(matches!(third.await, Err(IoError::Offline)));
        assert_eq!(drive.counters().statistics().timeouts, 1, "what waits is not late");
    })
    .unwrap();
}

#[test]
fn a_ring_goes_on_after_short_reads_and_fails_at_the_end() {
    if probe_uring().is_err() {
        return;
    }
    ShardRuntime::run(IoDriverKind::Uring, config(), |env: RealEnv| async move {
        let (drive, mut pipe) = pipe_drive(&env, 5_000_000);
        let mut read = pin!(drive.read(0, DmaBuf::zeroed(LEN)));
        pipe.write_all(&[1; 1000]).unwrap();
        env.sleep_us(20_000).await;
        let early = poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_ready())).await;
        assert!(!early, "a part is not the whole");
        pipe.write_all(&[2; LEN - 1000]).unwrap();
        let buffer = read.await.unwrap();
        assert!(buffer[..1000].iter().all(|byte| *byte == 1));
        assert!(buffer[1000..].iter().all(|byte| *byte == 2));
        pipe.write_all(&[3; 10]).unwrap();
        drop(pipe);
        let result = drive.read(0, DmaBuf::zeroed(LEN)).await;
        assert!(matches!(result, Err(IoError::Failed(libc::EIO))));
    })
    .unwrap();
}

#[test]
fn the_end_of_a_runtime_does_not_wait_for_ever() {
    if probe_uring().is_err() {
        return;
    }
    let start_us = now_us();
    let mut pipe = ShardRuntime::run(IoDriverKind::Uring, config(), |env: RealEnv| async move {
        let (drive, pipe) = pipe_drive(&env, 60_000_000);
        drop(drive.read(0, DmaBuf::zeroed(LEN)));
        env.sleep_us(5_000).await;
        pipe
    })
    .unwrap();
    let took_us = now_us() - start_us;
    assert!((200_000..5_000_000).contains(&took_us), "{took_us}");
    // If the kernel still reads, it writes into memory that was leaked, not freed.
    let _ = pipe.write_all(&[9; LEN]);
}

#[test]
fn a_lane_keeps_the_buffer_of_an_expired_read() {
    let path = std::env::temp_dir().join(format!("basalt-lane-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.set_len(LEN as u64).unwrap();
    let inside = path.clone();
    ShardRuntime::run(IoDriverKind::ThreadPool, config(), |env: RealEnv| async move {
        let opened = opened(inside, file);
        let drive = RealDrive::assemble(&env, spec(100_000), opened).unwrap();
        assert!(matches!(drive.read(0, DmaBuf::zeroed(LEN)).await, Err(IoError::Timeout)));
        assert_eq!(drive.write(0, DmaBuf::zeroed(LEN)).await, Err(IoError::Offline));
        assert_eq!(drive.counters().statistics().in_flight, 1);
        drive.start_threads(1);
        until_idle(&env, &drive).await;
        assert_eq!(drive.counters().statistics().reads, 1);
    })
    .unwrap();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_lane_fails_at_the_end_of_a_file_and_a_failed_flush_sticks() {
    let path = std::env::temp_dir().join(format!("basalt-cut-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    let (inside, config) = (path.clone(), RuntimeConfig { pool_threads: 2, ..config() });
    ShardRuntime::run(IoDriverKind::ThreadPool, config, |env: RealEnv| async move {
        let opened_file = opened(inside, file);
        let drive = RealDrive::assemble(&env, spec(5_000_000), opened_file).unwrap();
        let result = drive.read(0, DmaBuf::zeroed(LEN)).await;
        assert!(matches!(result, Err(IoError::Failed(libc::EIO))));
        assert_eq!(drive.counters().statistics().errors, 1);
        // A pipe cannot be synced, nor a later flush of it believed.
        let (reader, _pipe) = std::io::pipe().unwrap();
        let opened_pipe = opened(PathBuf::from("pipe"), File::from(OwnedFd::from(reader)));
        let drive = RealDrive::assemble(&env, spec(5_000_000), opened_pipe).unwrap();
        let first = drive.flush().await;
        assert_eq!(first, Err(IoError::Failed(libc::EINVAL)));
        assert_eq!(drive.flush().await, first);
        assert_eq!(drive.counters().statistics().flushes, 1);
    })
    .unwrap();
    std::fs::remove_file(&path).unwrap();
}

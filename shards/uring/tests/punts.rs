//! Reads and writes reach no worker thread of the kernel: each that does costs several times the
//! CPU. Alone in its process, because workers are counted by name.
#![allow(clippy::unwrap_used, reason = "tests")]

use engine_env::{DmaBuf, Drive};
use shards_uring::{
    DriveSpec, IoDriverKind, RealDrive, RealEnv, RuntimeConfig, ShardRuntime, probe_uring,
};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const FILE_BYTES: u64 = 8 * MIB;
/// Lengths of transfers, the largest last.
const BLOCKS: [u64; 4] = [1, 16, 64, 256];
const BLOCK: u64 = 4096;

/// How many threads of this process are workers of io_uring. An idle one stays for seconds.
fn workers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    // A thread may end between the two looks.
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("iou-wrk-"))).count()
}

/// The type of the file system that holds a path: that of the longest mount point above it.
fn file_system(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let point = PathBuf::from(left.split(' ').nth(4)?);
        let kind = right.split(' ').next()?.to_owned();
        path.starts_with(&point).then(|| (point.as_os_str().len(), kind))
    });
    mounts.max_by_key(|(len, _)| *len).map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

/// Writes and reads all over the file, a few at a time.
async fn load(drive: &RealDrive) {
    for round in 0..64_u64 {
        for blocks in BLOCKS {
            let len = usize::try_from(blocks * BLOCK).unwrap();
            let places = FILE_BYTES / (blocks * BLOCK);
            let at = |index: u64| (round * 7 + index * 3) % places * blocks * BLOCK;
            let writes: Vec<_> =
                (0..2).map(|index| drive.write(at(index), DmaBuf::zeroed(len))).collect();
            for write in writes {
                write.await.unwrap();
            }
            let reads: Vec<_> =
                (0..2).map(|index| drive.read(at(index), DmaBuf::zeroed(len))).collect();
            for read in reads {
                read.await.unwrap();
            }
        }
    }
}

#[test]
fn reads_and_writes_reach_no_worker_of_the_kernel() {
    if let Err(reason) = probe_uring() {
        println!("skipped: no io_uring here: {reason}");
        return;
    }
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("punts-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let inside = directory.clone();
    let ran = ShardRuntime::run(
        IoDriverKind::Uring,
        RuntimeConfig::default(),
        |env: RealEnv| async move {
            let spec = DriveSpec::directory(&inside, FILE_BYTES, FILE_BYTES);
            let drive = RealDrive::open(&env, spec).await.unwrap();
            if let Err(reason) = drive.direct() {
                println!("skipped: {reason}");
                return;
            }
            load(&drive).await;
            let of_load = workers();
            drive.flush().await.unwrap();
            if workers() == 0 {
                // The kernel flushes with a worker; it must be seen, or the count says nothing.
                println!("skipped: this kernel shows no workers");
                return;
            }
            let kind = file_system(&inside);
            if kind == "ext4" {
                assert_eq!(of_load, 0, "workers of reads and writes");
            } else {
                println!("not judged: {of_load} workers of reads and writes on {kind}");
            }
        },
    );
    std::fs::remove_dir_all(&directory).unwrap();
    ran.unwrap();
}

//! CPU time of one drive: durable puts of 4 KiB, 64 at a time, and reads of 4 KiB, 32 at a time.
//! `cargo bench -p bench-micro --bench drive`; the drive is a directory, made in BASALT_BENCH_DIR
//! or in the build's own folder.
//!
//! The first figures are those of the shard's thread; those of the process count the kernel's
//! workers for it too, which flush.
#![allow(clippy::print_stdout, reason = "a bench prints")]

use bench_micro::{Meter, is_measured, print_head, print_us};
use bytes::Bytes;
use engine_env::{DmaBuf, Drive};
use engine_format::{Commit, CommitData, IndexKey, Keyspace, Mark, Mutation, Order};
use engine_store::{FormatOptions, Store, StoreConfig};
use engine_types::{
    BucketId, DeploymentId, DriveId, Epoch, Position, PositionSet, Sequence, SetId,
};
use futures_util::future::join_all;
use shards_uring::{DriveSpec, RealDrive, RealEnv, RuntimeConfig, ShardRuntime, choose_driver};
use std::hint::black_box;
use std::path::{Path, PathBuf};

const PAYLOAD_BYTES: usize = 4096;
const PUTS_AT_ONCE: u64 = 64;
const READS_AT_ONCE: u64 = 32;

#[derive(Clone, Copy)]
struct Scale {
    segment_bytes: u64,
    segments: u64,
    rounds: usize,
    /// Batches of puts, and of reads, of a round.
    batches: u64,
}

fn main() {
    let scale = if is_measured() {
        Scale { segment_bytes: 4 << 20, segments: 64, rounds: 9, batches: 32 }
    } else {
        Scale { segment_bytes: 1 << 20, segments: 24, rounds: 1, batches: 1 }
    };
    let given = std::env::var_os("BASALT_BENCH_DIR").map(PathBuf::from);
    let root = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let directory = root.join(format!("bench-drive-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the drive");
    let (kind, reason) = choose_driver(None);
    println!("driver {kind:?} {}", reason.unwrap_or_default());
    let config = RuntimeConfig { arena_bytes: 32 << 20, ..RuntimeConfig::default() };
    let inside = directory.clone();
    let ran = ShardRuntime::run(kind, config, |env: RealEnv| async move {
        measure(&env, &inside, scale).await;
    });
    std::fs::remove_dir_all(&directory).expect("the drive goes away");
    ran.expect("a shard");
}

async fn measure(env: &RealEnv, directory: &Path, scale: Scale) {
    let capacity_bytes = scale.segment_bytes * scale.segments;
    let spec = DriveSpec::directory(directory, 4 * scale.segment_bytes, capacity_bytes);
    let drive = RealDrive::open(env, spec).await.expect("a drive");
    // Growing is not what is measured.
    drive.prepare(capacity_bytes).await.expect("room for the drive");
    if let Err(reason) = drive.direct() {
        println!("not direct: {reason}");
    }
    if let Some(reason) = env.unregistered() {
        println!("buffers not registered: {reason}");
    }
    let options = format_options(scale.segment_bytes);
    Store::<RealEnv>::format(&drive, &options).await.expect("a format");
    let opened =
        Store::open(env.clone(), drive.clone(), scale.segment_bytes, StoreConfig::default());
    let (store, _) = opened.await.expect("a drive just formatted");
    let mut client = Client { store, puts: 0 };

    print_head("4 KiB");
    client.put_batch().await;
    let (mut of_thread, mut of_process) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let meter = Meter::begin();
        for _ in 0..scale.batches {
            client.put_batch().await;
        }
        let count = (scale.batches * PUTS_AT_ONCE) as usize;
        of_thread.push(meter.thread_us(count));
        of_process.push(meter.process_us(count));
    }
    print_us("durable put, 64 at once", of_thread);
    print_us("durable put, 64 at once, of the process", of_process);
    // Afterwards payloads are on the drive only.
    client.store.barrier().await.expect("a healthy drive");

    let of_store = reads(scale, async |batch| client.get_batch(batch).await).await;
    print_us("get from the store, 32 at once", of_store);
    let of_drive = reads(scale, async |batch| read_batch(&drive, batch, capacity_bytes).await);
    print_us("read from the drive, 32 at once", of_drive.await);
    client.store.close();
}

/// Microseconds of CPU per read, for each round.
async fn reads(scale: Scale, batch: impl AsyncFn(u64)) -> Vec<f64> {
    batch(0).await;
    let mut figures = Vec::new();
    for _ in 0..scale.rounds {
        let meter = Meter::begin();
        for number in 0..scale.batches {
            batch(number).await;
        }
        figures.push(meter.thread_us((scale.batches * READS_AT_ONCE) as usize));
    }
    figures
}

async fn read_batch(drive: &RealDrive, batch: u64, capacity_bytes: u64) {
    let blocks = capacity_bytes / PAYLOAD_BYTES as u64;
    let reads = (0..READS_AT_ONCE).map(|index| {
        let block = (batch * READS_AT_ONCE + index).wrapping_mul(0x9e37_79b9) % blocks;
        drive.read(block * PAYLOAD_BYTES as u64, DmaBuf::for_read(PAYLOAD_BYTES))
    });
    for read in join_all(reads).await {
        black_box(read.expect("a healthy drive"));
    }
}

fn format_options(segment_bytes: u64) -> FormatOptions {
    FormatOptions {
        drive: DriveId([7; 16]),
        deployment: DeploymentId([8; 16]),
        set: SetId(0),
        position: Position(0),
        set_size: 1,
        set_count: 1,
        parity: 0,
        segment_bytes,
        rebuilding: false,
    }
}

struct Client {
    store: Store<RealEnv>,
    puts: u64,
}

fn suffix(number: u64) -> Vec<u8> {
    IndexKey::current_suffix(BucketId(1), format!("tenant-0001/object-{number:012}").as_bytes())
}

impl Client {
    /// Puts objects at once, as an owner without followers does.
    async fn put_batch(&mut self) {
        let payload = Bytes::from(vec![self.puts as u8; PAYLOAD_BYTES]);
        let first = self.puts;
        self.puts += PUTS_AT_ONCE;
        let sequence =
            |number: u64| Sequence { epoch: Epoch(1), owner: Position(0), counter: number + 1 };
        for _ in first..self.puts {
            let promised = self.store.promise_payload(PAYLOAD_BYTES as u64).await;
            promised.expect("room on the drive");
        }
        let prepared = (first..self.puts).map(|number| {
            self.store.prepare(commit(sequence(number), suffix(number), payload.clone()))
        });
        let prepared: Vec<_> = prepared.collect();
        for (outcome, number) in join_all(prepared).await.into_iter().zip(first..) {
            outcome.expect("a healthy drive");
            self.store.settled(sequence(number));
        }
        self.store.mark_lazily(vec![Mark { through: sequence(self.puts - 1) }]);
    }

    async fn get_batch(&self, batch: u64) {
        let keys: Vec<Vec<u8>> = (0..READS_AT_ONCE)
            .map(|index| {
                let number = (batch * READS_AT_ONCE + index).wrapping_mul(0x9e37_79b9) % self.puts;
                IndexKey::ranked(Keyspace::Current, 0, &suffix(number)).0
            })
            .collect();
        for found in join_all(keys.iter().map(|key| self.store.get_with_payload(key))).await {
            let (_, payload) = found.expect("a healthy drive").expect("an object");
            assert_eq!(payload.map(|payload| payload.len()), Some(PAYLOAD_BYTES));
        }
    }
}

fn commit(sequence: Sequence, suffix: Vec<u8>, payload: Bytes) -> Commit {
    let value = Some(vec![1; 100]);
    Commit {
        sequence,
        settled: false,
        order: Order::new(&[0]),
        positions: PositionSet::first(1),
        missing: PositionSet::EMPTY,
        holders: PositionSet::first(1),
        data: CommitData::Payload,
        mutations: vec![Mutation { space: Keyspace::Current, suffix, value, has_payload: true }],
        adopts: Vec::new(),
        releases: Vec::new(),
        payload,
    }
}

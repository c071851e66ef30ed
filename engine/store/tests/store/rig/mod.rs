//! One drive of inline objects in the simulator: put, delete, read, and open it again.
#![allow(dead_code, reason = "each test uses what it needs")]

use bytes::Bytes;
use engine_env::Env;
use engine_format::{Commit, CommitData, IndexKey, Keyspace, Mark, Mutation, Order, SegmentHeader};
use engine_store::{DriveError, FormatOptions, Store, StoreConfig};
use engine_types::{
    BucketId, DeploymentId, DriveId, Epoch, Position, PositionSet, Sequence, SetId,
};
use shards_sim::{Random, SimEnv, SimMedia, World};
use std::collections::BTreeMap;
use std::future::Future;

pub const SEGMENT_BYTES: u64 = 256 << 10;

/// A world, a drive in it, and what the drive must hold.
pub struct Rig {
    pub world: World,
    pub media: SimMedia,
    pub config: StoreConfig,
    epoch: u32,
}

/// A handle to write with; what it was told is kept in `live`.
pub struct Client {
    pub store: Store<SimEnv>,
    pub env: SimEnv,
    pub object_bytes: usize,
    /// The generation of each key that holds an object.
    pub live: BTreeMap<u64, u64>,
    epoch: u32,
    counter: u64,
    next: u64,
}

pub fn config() -> StoreConfig {
    StoreConfig {
        batch_bytes_max: 128 << 10,
        batch_records_max: 16,
        memtable_bytes: 32 << 10,
        log_bytes_between_checkpoints: 512 << 10,
        block_cache_bytes: 64 << 10,
        runs_per_level: 3,
        release_delay_us: 0,
        room_wait_us: 500_000,
        housekeeping_us: 2000,
    }
}

impl Rig {
    pub fn new(seed: u64, segments: u64) -> Self {
        let world = World::new(seed);
        let media = SimMedia::new(SEGMENT_BYTES * segments, seed, "drive");
        media.set_delay_us_max(20);
        let options = FormatOptions {
            drive: DriveId([7; 16]),
            deployment: DeploymentId([8; 16]),
            set: SetId(0),
            position: Position(0),
            set_size: 1,
            set_count: 1,
            parity: 0,
            segment_bytes: SEGMENT_BYTES,
            rebuilding: false,
        };
        let rig = Self { world, media, config: config(), epoch: 0 };
        let (media, world) = (rig.media.clone(), rig.world.clone());
        rig.run(async move { Store::<SimEnv>::format(&media.open(&world), &options).await })
            .expect("format works");
        rig
    }

    pub fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        self.world.run(future, 200_000_000).expect("it ends")
    }

    /// Opens the drive; what is undecided rolls forward, as in a set of one drive.
    pub fn open(&mut self) -> Result<Store<SimEnv>, DriveError> {
        self.epoch += 1;
        let (env, media, world) = (self.world.env(), self.media.clone(), self.world.clone());
        let config = self.config;
        self.run(async move {
            let drive = media.open(&world);
            let (store, _) = Store::open(env, drive, SEGMENT_BYTES, config).await?;
            let through = store.unsettled().last().map(|commit| commit.sequence);
            if let Some(through) = through {
                store.mark(vec![Mark { through }]).await?;
            }
            Ok(store)
        })
    }

    pub fn client(&mut self, live: BTreeMap<u64, u64>) -> Client {
        let store = self.open().unwrap_or_else(|error| panic!("open: {error}"));
        let next = live.last_key_value().map_or(0, |(key, _)| key + 1);
        let (env, epoch) = (self.world.env(), self.epoch);
        Client { store, env, object_bytes: 8000, live, epoch, counter: 0, next }
    }

    /// The process dies.
    pub fn kill(&self) {
        self.world.kill();
        self.media.kill();
    }

    /// The power fails.
    pub fn lose_power(&self) {
        self.world.kill();
        self.media.lose_power();
    }
}

/// The segment for which a write is a batch of the log, with or without the segment's header.
pub fn log_batch_segment(bytes: &[u8]) -> Option<u32> {
    let at = if bytes.starts_with(b"BASALTLS") { SegmentHeader::BYTES } else { 0 };
    let batch = bytes.get(at..)?.strip_prefix(b"BTCH")?;
    // Behind the magic: version, a filler, half of the drive's id.
    Some(u32::from_le_bytes(*batch.get(12..)?.first_chunk()?))
}

pub fn index_key(key: u64) -> Vec<u8> {
    IndexKey::ranked(Keyspace::Current, 0, &suffix(key)).0
}

fn suffix(key: u64) -> Vec<u8> {
    IndexKey::current_suffix(BucketId(1), format!("key-{key:06}").as_bytes())
}

impl Client {
    pub fn payload(&self, generation: u64) -> Vec<u8> {
        let mut random = Random::new(generation, "payload");
        (0..self.object_bytes).map(|_| random.next() as u8).collect()
    }

    pub fn next_sequence(&mut self) -> Sequence {
        self.counter += 1;
        Sequence { epoch: Epoch(self.epoch), owner: Position(0), counter: self.counter }
    }

    pub fn commit(sequence: Sequence, mutations: Vec<Mutation>, payload: Vec<u8>) -> Commit {
        let data = if payload.is_empty() { CommitData::None } else { CommitData::Payload };
        Commit {
            sequence,
            settled: false,
            order: Order::new(&[0]),
            positions: PositionSet::first(1),
            missing: PositionSet::EMPTY,
            holders: PositionSet::first(1),
            data,
            mutations,
            adopts: Vec::new(),
            releases: Vec::new(),
            payload: Bytes::from(payload),
        }
    }

    fn mutation(key: u64, generation: Option<u64>) -> Mutation {
        Mutation {
            space: Keyspace::Current,
            suffix: suffix(key),
            value: generation.map(|generation| generation.to_le_bytes().to_vec()),
            has_payload: generation.is_some(),
        }
    }

    async fn write(&mut self, key: u64, generation: Option<u64>) -> Result<(), DriveError> {
        let sequence = self.next_sequence();
        let mutation = Self::mutation(key, generation);
        let payload = generation.map_or(Vec::new(), |generation| self.payload(generation));
        self.store.prepare(Self::commit(sequence, vec![mutation], payload)).await?;
        self.store.settled(sequence);
        self.store.mark_lazily(vec![Mark { through: sequence }]);
        Ok(())
    }

    /// Puts one more object; gives its key.
    pub async fn put(&mut self) -> Result<u64, DriveError> {
        self.store.promise_payload(self.object_bytes as u64).await?;
        let key = self.next;
        self.next += 1;
        self.write(key, Some(key)).await?;
        self.live.insert(key, key);
        Ok(key)
    }

    /// Puts several objects whose records are queued at once.
    pub async fn put_together(&mut self, count: usize) -> Result<(), DriveError> {
        let mut begun = Vec::new();
        for _ in 0..count {
            self.store.promise_payload(self.object_bytes as u64).await?;
            let key = self.next;
            self.next += 1;
            let sequence = self.next_sequence();
            let mutations = vec![Self::mutation(key, Some(key))];
            let commit = Self::commit(sequence, mutations, self.payload(key));
            begun.push((key, sequence, self.store.prepare(commit)));
        }
        for (key, sequence, prepared) in begun {
            prepared.await?;
            self.store.settled(sequence);
            self.store.mark_lazily(vec![Mark { through: sequence }]);
            self.live.insert(key, key);
        }
        Ok(())
    }

    pub async fn delete(&mut self, key: u64) {
        self.write(key, None).await.expect("deletes go on");
        self.live.remove(&key);
    }

    /// Puts objects until the drive stays full for two seconds; gives how many.
    pub async fn fill(&mut self) -> usize {
        let (mut count, mut refused) = (0, 0);
        while refused < 40 {
            match self.put().await {
                Ok(_) => (count, refused) = (count + 1, 0),
                Err(DriveError::Full | DriveError::Cleaning) => {
                    refused += 1;
                    self.env.sleep_us(50_000).await;
                }
                Err(error) => panic!("a full drive is not a failed one: {error}"),
            }
        }
        assert_eq!(self.store.failed(), None, "a full drive is not a failed one");
        count
    }

    /// Every object is there with its bytes, and no other.
    pub async fn check(&self) {
        for (key, generation) in &self.live {
            let found = self.store.get_with_payload(&index_key(*key)).await;
            let found = found.unwrap_or_else(|error| panic!("key {key}: {error}"));
            let (_, payload) = found.unwrap_or_else(|| panic!("key {key} is gone"));
            assert!(payload == Some(self.payload(*generation)), "payload of key {key}");
        }
        let mut listed = 0;
        let mut start = IndexKey::ranked(Keyspace::Current, 0, &[]).0;
        let end = IndexKey::ranked(Keyspace::Current, 1, &[]).0;
        loop {
            let page = self.store.scan(&start, &end, 100).await.expect("a scan");
            listed += page.entries.len();
            match page.next {
                Some(next) => start = next,
                None => break,
            }
        }
        assert_eq!(listed, self.live.len(), "a scan lists what is live");
    }
}

//! One seed of one drive: random writes, crashes at random moments (kill and power loss), recovery
//! (crashed too); then everything acknowledged must be there and nothing deleted back.
//!
//! Invariants: each writer has keys of its own, as an owner sees to; odd generations are
//! fragments, even ones payloads in the log; on a full drive deletes go on, and afterwards there is
//! room again.

use crate::model::{Model, Value};
use crate::process::Verdict;
use crate::totals::{SeedReport, Totals};
use bytes::Bytes;
use engine_env::{BrokenRules, DmaBuf, Env, Rule};
use engine_format::{Commit, CommitData, IndexKey, Keyspace, Mark, Mutation, Order};
use engine_store::{DriveError, FormatOptions, FragmentPlan, Store, StoreConfig};
use engine_types::{
    BucketId, DataId, DeploymentId, DriveId, Epoch, FragmentIndex, Geometry, Position, PositionSet,
    Sequence, SetId,
};
use shards_sim::{Random, SimEnv, SimMedia, World};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

const SEGMENT_BYTES: u64 = 256 << 10;
const SEGMENTS: u64 = 48;
/// Of a drive that fills.
const SEGMENTS_FEW: u64 = 32;
const CELL_BYTES: usize = 64 << 10;
const KEYS: u64 = 24;
/// Enough to fill `SEGMENTS_FEW`.
const KEYS_MANY: u64 = 480;
const WRITERS: u64 = 4;
/// After all deletes there is room within so many tries, a moment apart.
const ROOM_TRIES: u64 = 1000;
const ROOM_PAUSE_US: u64 = 10_000;
/// Anything that must end does so within so many steps.
const STEPS_MAX: u64 = 50_000_000;
const GEOMETRY: Geometry = Geometry { data: 1, parity: 0, cell_bytes: 64 << 10 };
const OPTIONS: FormatOptions = FormatOptions {
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

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveOptions {
    /// Crashes of each seed.
    pub crashes: u64,
    /// Whether the drive is small and gets more than it holds.
    pub full: bool,
    /// Whether the host has no space to grow the drive now and then.
    pub host_full: bool,
    /// Rules that the drive is without.
    pub broken: BrokenRules,
}

impl DriveOptions {
    /// The usual: a drive with room.
    #[must_use]
    pub fn new(crashes: u64) -> Self {
        Self { crashes, full: false, host_full: false, broken: BrokenRules::NONE }
    }

    /// The flags that differ from the usual, as typed.
    #[must_use]
    pub fn flags(&self) -> String {
        let flags = [(self.full, " --full"), (self.host_full, " --host-full")];
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect()
    }

    fn keys(&self) -> u64 {
        if self.full { KEYS_MANY } else { KEYS }
    }
}

/// As typed behind the program's name.
impl fmt::Display for DriveOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "drive --crashes {}{}", self.crashes, self.flags())
    }
}

fn config() -> StoreConfig {
    StoreConfig {
        batch_bytes_max: 128 << 10,
        batch_records_max: 16,
        memtable_bytes: 6 << 10,
        log_bytes_between_checkpoints: 300 << 10,
        block_cache_bytes: 64 << 10,
        runs_per_level: 3,
        release_delay_us: 0,
        room_wait_us: 500_000,
        housekeeping_us: 2000,
    }
}

fn is_fragment(generation: u64) -> bool {
    !generation.is_multiple_of(2)
}

fn bytes_of(generation: u64, full: bool) -> Vec<u8> {
    let mut random = Random::new(generation, "drive");
    let len = if is_fragment(generation) {
        *random.pick(&[1, 4096, CELL_BYTES, CELL_BYTES + 1, 100_000, 200_000])
    } else if full {
        *random.pick(&[4001, 16 << 10, 16 << 10])
    } else {
        *random.pick(&[1, 2, 100, 4001, 16 << 10])
    };
    let mut bytes = vec![0_u8; len];
    for chunk in bytes.chunks_mut(8) {
        let value = random.next().to_le_bytes();
        chunk.copy_from_slice(&value[..chunk.len()]);
    }
    bytes
}

fn data_id(generation: u64) -> DataId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&generation.to_le_bytes());
    DataId(id)
}

fn suffix(key: u64) -> Vec<u8> {
    IndexKey::current_suffix(BucketId(1), format!("key-{key:03}").as_bytes())
}

/// The drive, open, from a start to a crash.
#[derive(Clone)]
struct Run {
    options: DriveOptions,
    store: Store<SimEnv>,
    env: SimEnv,
    model: Rc<RefCell<Model>>,
    verdict: Verdict,
    epoch: u32,
    counter: Rc<Cell<u64>>,
}

impl Run {
    fn bytes_of(&self, generation: u64) -> Vec<u8> {
        bytes_of(generation, self.options.full)
    }

    /// What a key holds; bytes that are not those of its generation are an error.
    async fn look(&self, key: u64) -> Result<Value, String> {
        let wrong = |error: DriveError| format!("key {key}: {error}");
        let index_key = IndexKey::ranked(Keyspace::Current, 0, &suffix(key)).0;
        let found = self.store.get_with_payload(&index_key).await.map_err(wrong)?;
        let Some((entry, payload)) = found else { return Ok(Value::Absent) };
        let value = entry.value.unwrap_or_default();
        let Some(generation) = value.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
        else {
            return Err(format!("key {key}: a value that is not ours"));
        };
        let expected = self.bytes_of(generation);
        let found = if is_fragment(generation) {
            let len = GEOMETRY.fragment_bytes(expected.len() as u64) as usize;
            let read = self.store.read_fragment(data_id(generation), 0, len).await;
            let (_, bytes) = read.map_err(wrong)?;
            bytes[..expected.len()].to_vec()
        } else {
            payload.unwrap_or_default()
        };
        if found != expected {
            return Err(format!("key {key}, generation {generation}: wrong bytes"));
        }
        Ok(Value::Object(generation))
    }

    async fn judge(&self, key: u64) -> Result<Value, String> {
        let found = self.look(key).await?;
        self.model.borrow_mut().judge(key, found, self.epoch)?;
        Ok(found)
    }

    /// One write of one key, from reservation to mark.
    async fn write(&self, key: u64, is_delete: bool) -> Result<(), String> {
        let old = self.judge(key).await?;
        let generation = self.model.borrow_mut().next_generation();
        let value = if is_delete { Value::Absent } else { Value::Object(generation) };
        let bytes = if is_delete { Vec::new() } else { self.bytes_of(generation) };
        let fragment = !is_delete && is_fragment(generation);
        let payload = if fragment { Vec::new() } else { bytes.clone() };
        if fragment && self.write_fragment(generation, &bytes).await.is_err() {
            self.store.discard_fragment(data_id(generation));
            return Ok(());
        }
        if !payload.is_empty() && self.store.promise_payload(payload.len() as u64).await.is_err() {
            return Ok(());
        }
        self.model.borrow_mut().attempt(key, value);
        self.counter.set(self.counter.get() + 1);
        let sequence =
            Sequence { epoch: Epoch(self.epoch), owner: Position(0), counter: self.counter.get() };
        let mut adopts = Vec::new();
        if fragment {
            let adopted = self.store.adopt_fragment(data_id(generation), sequence);
            adopts.push(adopted.map_err(|error| format!("a finished fragment: {error}"))?);
        }
        let releases = match old {
            Value::Object(old) if is_fragment(old) => vec![data_id(old)],
            _ => Vec::new(),
        };
        let has_payload = !payload.is_empty();
        let commit = Commit {
            sequence,
            settled: false,
            order: Order::new(&[0]),
            positions: PositionSet::first(1),
            missing: PositionSet::EMPTY,
            holders: PositionSet::first(1),
            data: if has_payload { CommitData::Payload } else { CommitData::None },
            mutations: vec![Mutation {
                space: Keyspace::Current,
                suffix: suffix(key),
                value: (!is_delete).then(|| generation.to_le_bytes().to_vec()),
                has_payload,
            }],
            adopts,
            releases,
            payload: Bytes::from(payload),
        };
        if self.store.prepare(commit).await.is_err() {
            return Ok(());
        }
        self.store.settled(sequence);
        self.model.borrow_mut().acknowledge(key, value);
        self.judge(key).await?;
        self.store.mark_lazily(vec![Mark { through: sequence }]);
        Ok(())
    }

    async fn write_fragment(&self, generation: u64, bytes: &[u8]) -> Result<(), DriveError> {
        let data = data_id(generation);
        let object_bytes = bytes.len() as u64;
        let index = FragmentIndex(0);
        let plan = FragmentPlan { data, index, geometry: GEOMETRY, object_bytes, heals: false };
        self.store.reserve_fragment(plan).await?;
        let mut whole = bytes.to_vec();
        whole.resize(GEOMETRY.fragment_bytes(object_bytes) as usize, 0);
        for cell in whole.chunks(CELL_BYTES) {
            self.store.write_fragment(data, DmaBuf::copy_of(cell))?;
            self.store.fragment_progress(data, 2).await?;
        }
        self.store.finish_fragment(data).await
    }

    async fn write_on(self, writer: u64, mut random: Random) {
        while !self.verdict.is_wrong() {
            let key = random.below(self.options.keys() / WRITERS) * WRITERS + writer;
            let outcome = self.write(key, random.one_in(4)).await;
            self.verdict.note(outcome);
            self.env.sleep_us(1 + random.below(100)).await;
        }
    }

    /// Judges every key, then a scan.
    async fn check_all(self) -> Result<(), String> {
        for key in 0..self.options.keys() {
            self.judge(key).await?;
        }
        let mut listed = 0;
        let mut start = IndexKey::ranked(Keyspace::Current, 0, &[]).0;
        let end = IndexKey::ranked(Keyspace::Current, 1, &[]).0;
        loop {
            let page = self.store.scan(&start, &end, 7).await;
            let page = page.map_err(|error| format!("a scan: {error}"))?;
            listed += page.entries.len();
            match page.next {
                Some(next) => start = next,
                None => break,
            }
        }
        let live = self.model.borrow().live();
        if listed == live { Ok(()) } else { Err(format!("{listed} of {live} keys are listed")) }
    }

    /// Deletes everything, which no full drive may refuse, and finds room afterwards.
    async fn delete_all(self) -> Result<(), String> {
        for key in 0..self.options.keys() {
            self.write(key, true).await?;
            if self.judge(key).await? != Value::Absent {
                return Err(format!("key {key}: a delete was refused"));
            }
        }
        for _ in 0..ROOM_TRIES {
            self.write(0, false).await?;
            if self.judge(0).await? != Value::Absent {
                return Ok(());
            }
            self.env.sleep_us(ROOM_PAUSE_US).await;
        }
        Err("all is deleted, but there is no room".to_owned())
    }
}

/// Opens the drive and settles what is undecided, as a set of one drive would: everything whole
/// rolls forward.
async fn open(world: World, media: SimMedia) -> Result<Store<SimEnv>, DriveError> {
    let drive = media.open(&world);
    let (store, _) = Store::open(world.env(), drive, SEGMENT_BYTES, config()).await?;
    let mut through = None;
    for commit in store.unsettled() {
        let mut whole = true;
        for fragment in &commit.adopts {
            whole &= store.verify_fragment(fragment.data).await?;
        }
        if whole {
            through = Some(commit.sequence);
        } else {
            store.abort(vec![commit.sequence]).await?;
        }
    }
    if let Some(through) = through {
        store.mark(vec![Mark { through }]).await?;
    }
    Ok(store)
}

/// One drive over all its lives.
struct DriveWorld {
    options: DriveOptions,
    world: World,
    media: SimMedia,
    random: Random,
    model: Rc<RefCell<Model>>,
    totals: Totals,
}

/// Runs a seed to its end.
///
/// # Errors
/// What is wrong.
pub fn run_seed(seed: u64, options: &DriveOptions) -> Result<SeedReport, String> {
    let segments = if options.full { SEGMENTS_FEW } else { SEGMENTS };
    let mut drive = DriveWorld {
        options: *options,
        world: World::new(seed),
        media: SimMedia::new(SEGMENT_BYTES * segments, seed, "drive"),
        random: Random::new(seed, "drive world"),
        model: Rc::new(RefCell::new(Model::default())),
        totals: Totals { seeds: 1, ..Totals::default() },
    };
    drive.world.set_broken(options.broken);
    drive.media.set_unlocked(options.broken.contains(Rule::DriveLock));
    let outcome = drive.run(&mut Random::new(seed, "host"));
    drive.world.kill();
    outcome?;
    let mut totals = drive.totals;
    totals.acknowledged = drive.model.borrow().acknowledged;
    totals.reads = drive.model.borrow().reads;
    totals.steps = drive.world.steps();
    Ok(SeedReport { totals, trace: drive.world.trace() })
}

impl DriveWorld {
    fn run(&mut self, host: &mut Random) -> Result<(), String> {
        let (media, world) = (self.media.clone(), self.world.clone());
        let format = async move { Store::<SimEnv>::format(&media.open(&world), &OPTIONS).await };
        let done = self.world.run(format, 9999).ok_or("format never ends")?;
        done.map_err(|error| format!("format: {error}"))?;
        for crash in 0..self.options.crashes {
            let outcome = self.one_life(crash, host);
            outcome.map_err(|what| format!("after {crash} crashes: {what}"))?;
            self.crash();
        }
        if self.options.full {
            let run = self.start(self.options.crashes, STEPS_MAX)?.ok_or("recovery never ends")?;
            let deleted = self.world.run(run.delete_all(), STEPS_MAX);
            deleted.ok_or("deletes never end")?.map_err(|what| format!("at the end: {what}"))?;
        }
        Ok(())
    }

    /// Opens the drive, checks it and loads it, until the process dies.
    fn one_life(&mut self, crash: u64, host: &mut Random) -> Result<(), String> {
        self.media.set_host_full(false);
        // Recovery itself is crashed one time in four.
        let dies = self.random.one_in(4);
        let steps = if dies { 1 + self.random.below(60) } else { 1_000_000 };
        let Some(run) = self.start(crash, steps)? else {
            return if dies { Ok(()) } else { Err("recovery never ends".to_owned()) };
        };
        self.media.set_host_full(self.options.host_full && host.one_in(2));
        self.load(&run)?;
        let usage = run.store.usage();
        self.totals.checkpoints += usage.checkpoints;
        self.totals.cleaned += usage.cleaned_segments;
        Ok(())
    }

    /// Opens the drive; `None` where that takes more steps.
    fn start(&self, crash: u64, steps: u64) -> Result<Option<Run>, String> {
        let opened = self.world.run(open(self.world.clone(), self.media.clone()), steps);
        let Some(opened) = opened else { return Ok(None) };
        let store = opened.map_err(|error| format!("open: {error}"))?;
        let epoch = u32::try_from(crash).unwrap_or(u32::MAX).saturating_add(1);
        Ok(Some(Run {
            options: self.options,
            store,
            env: self.world.env(),
            model: Rc::clone(&self.model),
            verdict: Verdict::default(),
            epoch,
            counter: Rc::default(),
        }))
    }

    /// Checks, then writes for some steps.
    fn load(&mut self, run: &Run) -> Result<(), String> {
        let (world, random) = (&self.world, &mut self.random);
        world.run(run.clone().check_all(), 5_000_000).ok_or("reads never end")??;
        for writer in 0..WRITERS {
            let own = Random::new(random.next(), "writer");
            world.env().spawn(run.clone().write_on(writer, own));
        }
        let long = random.one_in(8) || self.options.full;
        for _ in 0..random.below(if long { 20_000 } else { 1500 }) {
            if !world.step() {
                break;
            }
        }
        run.verdict.get()?;
        run.store.failed().map_or(Ok(()), |error| Err(format!("the drive failed: {error}")))
    }

    /// The process dies; the drive loses its power too, or keeps it.
    fn crash(&mut self) {
        self.world.kill();
        self.model.borrow_mut().process_died();
        if self.random.one_in(3) {
            self.media.kill()
        } else {
            self.media.lose_power()
        }
        self.totals.crashes += 1;
    }
}

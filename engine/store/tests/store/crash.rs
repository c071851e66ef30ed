//! One drive in the simulator: random writes, crashes at random moments (kill and power loss),
//! recovery (crashed too), then everything acknowledged must be there and nothing deleted back.
use crate::rig::log_batch_segment;
use bytes::Bytes;
use engine_env::{DmaBuf, Env};
use engine_format::{Commit, CommitData, IndexKey, Keyspace, Mark, Mutation, Order};
use engine_store::{FormatOptions, FragmentPlan, Store, StoreConfig};
use engine_types::{
    BucketId, DataId, DeploymentId, DriveId, Epoch, FragmentIndex, Geometry, Position, PositionSet,
    Sequence, SetId,
};
use shards_sim::{Random, Remains, SimEnv, SimMedia, World};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

const SEGMENT_BYTES: u64 = 256 << 10;
const KEYS: u64 = 24;
/// Generations from here on have fragments that are appended, not given extents.
const SMALL: u64 = 1 << 40;

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

/// What a key may hold: a generation of bytes, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Absent,
    Inline(u64),
    Fragment(u64),
}

#[derive(Default, Clone)]
struct History {
    acknowledged: Option<Value>,
    /// Attempted since; any may have become true.
    attempted: Vec<Value>,
}

struct Model {
    keys: BTreeMap<u64, History>,
    generation: u64,
    acknowledged: u64,
}

fn inline_bytes(generation: u64) -> Vec<u8> {
    let mut random = Random::new(generation, "inline");
    let len = [0, 1, 100, 4000, 16 << 10][random.below(5) as usize] + 1;
    (0..len).map(|_| random.next() as u8).collect()
}

fn fragment_bytes(generation: u64) -> Vec<u8> {
    let mut random = Random::new(generation, "fragment");
    let lens = [1, 4096, 64 << 10, (64 << 10) + 1, 100_000, 200_000];
    let small = [1, 4095, 4096, 9000, 20_000, 60_000];
    let len = *random.pick(if generation > SMALL { &small } else { &lens });
    let mut bytes = vec![0_u8; len];
    for chunk in bytes.chunks_mut(8) {
        let value = random.next().to_le_bytes();
        chunk.copy_from_slice(&value[..chunk.len()]);
    }
    bytes
}

fn geometry() -> Geometry {
    Geometry { data: 1, parity: 0, cell_bytes: 64 << 10 }
}

fn data_id(generation: u64) -> DataId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&generation.to_le_bytes());
    DataId(id)
}

fn suffix(key: u64) -> Vec<u8> {
    IndexKey::current_suffix(BucketId(1), format!("key-{key:03}").as_bytes())
}

fn index_key(key: u64) -> Vec<u8> {
    IndexKey::ranked(Keyspace::Current, 0, &suffix(key)).0
}

async fn value_at(store: &Store<SimEnv>, key: u64) -> Value {
    let entry = store.get_with_payload(&index_key(key)).await.expect("a healthy drive");
    let Some((entry, payload)) = entry else { return Value::Absent };
    let value = entry.value.expect("live");
    let generation = u64::from_le_bytes(value[1..9].try_into().unwrap());
    if value[0] == 0 {
        assert_eq!(payload.expect("inline"), inline_bytes(generation), "payload of key {key}");
        return Value::Inline(generation);
    }
    let expected = fragment_bytes(generation);
    let fragment_len = geometry().fragment_bytes(expected.len() as u64) as usize;
    let (_, bytes) = store
        .read_fragment(data_id(generation), 0, fragment_len)
        .await
        .unwrap_or_else(|error| panic!("fragment of key {key} generation {generation}: {error}"));
    assert_eq!(&bytes[..expected.len()], &expected[..], "fragment of key {key}");
    Value::Fragment(generation)
}

struct Run {
    store: Store<SimEnv>,
    env: SimEnv,
    model: Rc<RefCell<Model>>,
    epoch: u32,
    counter: Rc<RefCell<u64>>,
}

impl Run {
    /// One write of one key, from reservation to mark.
    async fn write(&self, key: u64, kind: u64) {
        let generation = {
            let mut model = self.model.borrow_mut();
            model.generation += 1;
            model.generation
        };
        let old = value_at(&self.store, key).await;
        let value = match kind {
            0 => Value::Absent,
            1 => Value::Inline(generation),
            _ => Value::Fragment(generation),
        };
        let payload = if kind == 1 { inline_bytes(generation) } else { Vec::new() };
        if kind >= 2 && self.write_fragment(generation).await.is_err() {
            self.store.discard_fragment(data_id(generation));
            return;
        }
        if kind == 1 && self.store.promise_payload(payload.len() as u64).await.is_err() {
            return;
        }
        self.model.borrow_mut().keys.entry(key).or_default().attempted.push(value);
        let sequence = {
            let mut counter = self.counter.borrow_mut();
            *counter += 1;
            Sequence { epoch: Epoch(self.epoch), owner: Position(0), counter: *counter }
        };
        let mut adopts = Vec::new();
        if kind >= 2 {
            adopts.push(self.store.adopt_fragment(data_id(generation), sequence).unwrap());
        }
        let releases = match old {
            Value::Fragment(generation) => vec![data_id(generation)],
            _ => Vec::new(),
        };
        let mut bytes = vec![u8::from(kind >= 2)];
        bytes.extend_from_slice(&generation.to_le_bytes());
        let commit = Commit {
            sequence,
            // As catch-up writes it: nobody verifies it after a crash.
            settled: kind == 3,
            order: Order::new(&[0]),
            positions: PositionSet::first(1),
            missing: PositionSet::EMPTY,
            holders: PositionSet::first(1),
            data: if kind == 1 { CommitData::Payload } else { CommitData::None },
            mutations: vec![Mutation {
                space: Keyspace::Current,
                suffix: suffix(key),
                value: (kind > 0).then_some(bytes),
                has_payload: kind == 1,
            }],
            adopts,
            releases,
            payload: Bytes::from(payload),
        };
        if self.store.prepare(commit).await.is_err() {
            return;
        }
        self.store.settled(sequence);
        {
            let mut model = self.model.borrow_mut();
            let history = model.keys.entry(key).or_default();
            history.acknowledged = Some(value);
            history.attempted.clear();
            model.acknowledged += 1;
        }
        assert_eq!(value_at(&self.store, key).await, value, "read after write of key {key}");
        self.store.mark_lazily(vec![Mark { through: sequence }]);
    }

    async fn write_fragment(&self, generation: u64) -> Result<(), engine_store::DriveError> {
        let bytes = fragment_bytes(generation);
        let data = data_id(generation);
        let plan = FragmentPlan {
            data,
            index: FragmentIndex(0),
            geometry: geometry(),
            object_bytes: bytes.len() as u64,
            heals: false,
        };
        self.store.reserve_fragment(plan).await?;
        let padded = geometry().fragment_bytes(bytes.len() as u64) as usize;
        let mut whole = bytes.clone();
        whole.resize(padded, 0);
        for cell in whole.chunks(64 << 10) {
            self.store.write_fragment(data, DmaBuf::copy_of(cell))?;
            self.store.fragment_progress(data, 2).await?;
        }
        self.store.finish_fragment(data).await
    }
}

/// Opens the drive and settles what is undecided, as a set of one drive would: everything whole
/// rolls forward.
async fn open(
    env: SimEnv,
    media: &SimMedia,
    world: &World,
) -> Result<Store<SimEnv>, engine_store::DriveError> {
    let drive = media.open(world);
    let (store, _) = Store::open(env, drive, SEGMENT_BYTES, config()).await?;
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

fn check_all(world: &World, store: &Store<SimEnv>, model: &Rc<RefCell<Model>>, context: &str) {
    let (store, model, context) = (store.clone(), Rc::clone(model), context.to_owned());
    let done = world.run(
        async move {
            for key in 0..KEYS {
                let found = value_at(&store, key).await;
                let mut model = model.borrow_mut();
                let history = model.keys.entry(key).or_default();
                let expected = history.acknowledged.unwrap_or(Value::Absent);
                assert!(
                    found == expected || history.attempted.contains(&found),
                    "{context}: key {key} holds {found:?}, acknowledged {expected:?}, attempted {:?}",
                    history.attempted
                );
                // What was read once must stay.
                history.acknowledged = Some(found);
                history.attempted.clear();
            }
            check_scan(&store, &model).await;
        },
        5_000_000,
    );
    assert!(done.is_some(), "reads end");
}

async fn check_scan(store: &Store<SimEnv>, model: &Rc<RefCell<Model>>) {
    let mut listed = 0;
    let mut start = IndexKey::ranked(Keyspace::Current, 0, &[]).0;
    let end = IndexKey::ranked(Keyspace::Current, 1, &[]).0;
    loop {
        let page = store.scan(&start, &end, 7).await.unwrap();
        listed += page.entries.len();
        match page.next {
            Some(next) => start = next,
            None => break,
        }
    }
    let live = |history: &&History| history.acknowledged.is_some_and(|v| v != Value::Absent);
    assert_eq!(listed, model.borrow().keys.values().filter(live).count(), "a scan lists all");
}

struct Totals {
    crashes: u64,
    acknowledged: u64,
    checkpoints: u64,
    cleaned: u64,
}

/// From now on a batch of the log fails to be written now and then, never so soon after another
/// that the drive would fail; counted in `faults`.
fn fail_log_writes(media: &SimMedia, seed: u64, faults: &Rc<Cell<u64>>) {
    let (mut random, faults) = (Random::new(seed, "log faults"), Rc::clone(faults));
    let mut since = 0;
    media.set_write_faults(move |_, bytes| {
        log_batch_segment(bytes)?;
        since += 1;
        if since <= 2 || !random.one_in(6) {
            return None;
        }
        since = 0;
        faults.set(faults.get() + 1);
        Some(*random.pick(&[Remains::Nothing, Remains::Part, Remains::All]))
    });
}

fn one_seed(seed: u64, crashes: u64, first_generation: u64) -> (Totals, u64) {
    one_seed_with(seed, crashes, first_generation, None)
}

/// With `faults` given, writes of the log fail under the load.
fn one_seed_with(
    seed: u64,
    crashes: u64,
    first_generation: u64,
    faults: Option<&Rc<Cell<u64>>>,
) -> (Totals, u64) {
    let world = World::new(seed);
    let media = SimMedia::new(SEGMENT_BYTES * 48, seed, "drive");
    let mut random = Random::new(seed, "test");
    let model = Rc::new(RefCell::new(Model {
        keys: BTreeMap::new(),
        generation: first_generation,
        acknowledged: 0,
    }));
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
    let formatted = media.clone();
    let opener = world.clone();
    world
        .run(async move { Store::<SimEnv>::format(&formatted.open(&opener), &options).await }, 9999)
        .expect("format ends")
        .expect("format works");
    let mut totals = Totals { crashes: 0, acknowledged: 0, checkpoints: 0, cleaned: 0 };
    for crash in 0..crashes {
        let context = format!("seed {seed} crash {crash}");
        let (env, opened, opener) = (world.env(), media.clone(), world.clone());
        // Recovery itself is crashed one time in four.
        let steps = if random.one_in(4) { 1 + random.below(60) } else { 1_000_000 };
        let store = world.run(async move { open(env, &opened, &opener).await }, steps);
        if let Some(store) = store {
            let store = store.unwrap_or_else(|error| panic!("{context}: open: {error}"));
            check_all(&world, &store, &model, &context);
            if let Some(faults) = faults {
                fail_log_writes(&media, random.next(), faults);
            }
            load(&world, &store, &model, &mut random, crash);
            totals.checkpoints += store.usage().checkpoints;
            totals.cleaned += store.usage().cleaned_segments;
        }
        world.kill();
        media.clear_write_faults();
        if random.one_in(3) {
            media.kill()
        } else {
            media.lose_power()
        }
        totals.crashes += 1;
    }
    totals.acknowledged = model.borrow().acknowledged;
    (totals, world.trace())
}

fn load(
    world: &World,
    store: &Store<SimEnv>,
    model: &Rc<RefCell<Model>>,
    random: &mut Random,
    crash: u64,
) {
    let counter = Rc::new(RefCell::new(0));
    let epoch = u32::try_from(crash).unwrap() + 1;
    // Each writer has keys of its own: one write at a time per key, as an owner sees to.
    for writer in 0..4_u64 {
        let run = Run {
            store: store.clone(),
            env: world.env(),
            model: Rc::clone(model),
            epoch,
            counter: Rc::clone(&counter),
        };
        let mut random = Random::new(random.next(), "writer");
        world.env().spawn(async move {
            loop {
                let key = random.below(KEYS / 4) * 4 + writer;
                run.write(key, random.below(4)).await;
                run.env.sleep_us(1 + random.below(100)).await;
            }
        });
    }
    let long = random.one_in(8);
    let steps = random.below(if long { 20_000 } else { 1500 });
    for _ in 0..steps {
        if !world.step() {
            break;
        }
    }
    assert_eq!(store.failed(), None, "the drive is healthy");
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_deleted_comes_back() {
    let seeds: u64 = std::env::var("BASALT_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let first: u64 =
        std::env::var("BASALT_FIRST_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut totals = Totals { crashes: 0, acknowledged: 0, checkpoints: 0, cleaned: 0 };
    for seed in first..first + seeds {
        let (one, _) = one_seed(seed, 40, 0);
        totals.crashes += one.crashes;
        totals.acknowledged += one.acknowledged;
        totals.checkpoints += one.checkpoints;
        totals.cleaned += one.cleaned;
    }
    println!(
        "{} crashes, {} writes acknowledged, {} checkpoints, {} segments cleaned",
        totals.crashes, totals.acknowledged, totals.checkpoints, totals.cleaned
    );
    assert!(totals.acknowledged > totals.crashes, "the load does work");
    assert!(totals.checkpoints > 0 && totals.cleaned > 0, "housekeeping was crashed too");
}

#[test]
fn nothing_is_lost_where_writes_of_the_log_fail() {
    let seeds: u64 = std::env::var("BASALT_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let faults = Rc::new(Cell::new(0));
    let mut totals = Totals { crashes: 0, acknowledged: 0, checkpoints: 0, cleaned: 0 };
    for seed in 1..=seeds {
        let (one, _) = one_seed_with(seed, 30, 0, Some(&faults));
        totals.crashes += one.crashes;
        totals.acknowledged += one.acknowledged;
        totals.checkpoints += one.checkpoints;
    }
    println!(
        "{} failed writes, {} crashes, {} writes acknowledged",
        faults.get(),
        totals.crashes,
        totals.acknowledged
    );
    assert!(totals.acknowledged > totals.crashes, "the load does work");
    assert!(faults.get() * 2 > totals.crashes, "writes failed");
    assert!(totals.checkpoints > 0, "housekeeping was crashed too");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(one_seed(5, 6, 0).1, one_seed(5, 6, 0).1);
}

#[test]
fn appended_fragments_survive_crashes_and_cleaning() {
    let mut totals = Totals { crashes: 0, acknowledged: 0, checkpoints: 0, cleaned: 0 };
    for seed in 1..=10 {
        let (one, _) = one_seed(seed, 30, SMALL);
        totals.crashes += one.crashes;
        totals.acknowledged += one.acknowledged;
        totals.checkpoints += one.checkpoints;
    }
    assert!(totals.acknowledged > totals.crashes, "the load does work");
    assert!(totals.checkpoints > 0, "housekeeping was crashed too");
}

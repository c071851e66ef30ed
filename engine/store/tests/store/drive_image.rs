//! A whole drive of format version 1, as an earlier build left it when the power went: this build
//! opens it and finds everything. A drive of a newer version is refused and stays as it is.

#[path = "../../../format/tests/fixture/mod.rs"]
mod fixture;

use bytes::Bytes;
use engine_env::{DmaBuf, Drive};
use engine_format::{
    Commit, CommitData, FormatError, IndexKey, Keyspace, Mark, Mutation, Order, PeerKnown,
    SUPERBLOCK_BYTES, Superblock, View, ViewMember, crc64,
};
use engine_store::{DriveError, FormatOptions, FragmentPlan, Recovery, Store, StoreConfig};
use engine_types::{
    BucketId, DataId, DeploymentId, DriveId, Epoch, FragmentIndex, Geometry, Position, PositionSet,
    Sequence, SetId,
};
use shards_sim::{SimEnv, SimMedia, World};
use std::sync::OnceLock;

const NAME: &str = "drive";
const SEGMENT_BYTES: u64 = 256 << 10;
const SEGMENTS: u64 = 32;
const STEPS_MAX: u64 = 10_000_000;
const DATA: DataId = DataId([0x40; 16]);
const GEOMETRY: Geometry = Geometry { data: 1, parity: 0, cell_bytes: 64 << 10 };
const OBJECT_BYTES: usize = 5000;

fn config() -> StoreConfig {
    StoreConfig {
        batch_bytes_max: 128 << 10,
        batch_records_max: 16,
        memtable_bytes: 32 << 10,
        // Nothing but `checkpoint` takes one.
        log_bytes_between_checkpoints: 1 << 30,
        block_cache_bytes: 64 << 10,
        runs_per_level: 3,
        release_delay_us: 0,
        room_wait_us: 500_000,
        housekeeping_us: 2000,
    }
}

fn options() -> FormatOptions {
    FormatOptions {
        drive: DriveId([7; 16]),
        deployment: DeploymentId([8; 16]),
        set: SetId(0),
        position: Position(0),
        set_size: 1,
        set_count: 1,
        parity: 0,
        segment_bytes: SEGMENT_BYTES,
        rebuilding: false,
    }
}

fn sequence(counter: u64) -> Sequence {
    Sequence { epoch: Epoch(1), owner: Position(0), counter }
}

fn suffix(key: &str) -> Vec<u8> {
    IndexKey::current_suffix(BucketId(1), key.as_bytes())
}

fn index_key(key: &str) -> Vec<u8> {
    IndexKey::ranked(Keyspace::Current, 0, &suffix(key)).0
}

fn peer() -> PeerKnown {
    let (position, incarnation) = (Position(1), 3);
    PeerKnown { drive: DriveId([9; 16]), position, incarnation, batch_sequence: 4 }
}

fn commit(counter: u64, key: &str, value: Option<&str>, payload: &[u8]) -> Commit {
    let mutation = Mutation {
        space: Keyspace::Current,
        suffix: suffix(key),
        value: value.map(|value| value.as_bytes().to_vec()),
        has_payload: !payload.is_empty(),
    };
    Commit {
        sequence: sequence(counter),
        settled: false,
        order: Order::new(&[0]),
        positions: PositionSet::first(1),
        missing: PositionSet::EMPTY,
        holders: PositionSet::first(1),
        data: if payload.is_empty() { CommitData::None } else { CommitData::Payload },
        mutations: vec![mutation],
        adopts: Vec::new(),
        releases: Vec::new(),
        payload: Bytes::copy_from_slice(payload),
    }
}

/// Commits and settles.
async fn settle(store: &Store<SimEnv>, commit: Commit) -> Result<(), DriveError> {
    let sequence = commit.sequence;
    store.promise_payload(commit.payload.len() as u64).await?;
    store.prepare(commit).await?;
    store.settled(sequence);
    store.mark(vec![Mark { through: sequence }]).await
}

/// Something of everything: before the checkpoint, behind it, and prepared only.
async fn fill(store: &Store<SimEnv>) -> Result<(), DriveError> {
    assert!(store.promise(Epoch(1)).await?, "the first promise");
    let members = vec![ViewMember { drive: DriveId([7; 16]), joined: Epoch(1) }];
    let view = View { epoch: Epoch(1), in_sync: PositionSet::first(1), members };
    assert!(store.write_view(view).await?, "the first view");
    settle(store, commit(1, "a", Some("old"), &[b'o'; 3000])).await?;
    settle(store, commit(2, "a/b", Some("kept"), &[b'k'; 100])).await?;
    settle(store, commit(3, "gone", Some("gone"), b"gone")).await?;
    let plan = FragmentPlan {
        data: DATA,
        index: FragmentIndex(0),
        geometry: GEOMETRY,
        object_bytes: OBJECT_BYTES as u64,
        heals: false,
    };
    store.reserve_fragment(plan).await?;
    store.write_fragment(DATA, DmaBuf::copy_of(&fragment()))?;
    store.finish_fragment(DATA).await?;
    let mut fragments = commit(4, "large", Some("large"), b"");
    fragments.data = CommitData::Fragments(DATA, GEOMETRY, OBJECT_BYTES as u64);
    fragments.adopts.push(store.adopt_fragment(DATA, sequence(4))?);
    settle(store, fragments).await?;
    store.checkpoint().await?;
    settle(store, commit(5, "a", Some("new"), &[b'n'; 2000])).await?;
    settle(store, commit(6, "gone", None, b"")).await?;
    store.note_peers(vec![peer()]);
    store.promise_payload(8).await?;
    store.prepare(commit(7, "pending", Some("pending"), b"prepared")).await
}

fn fragment() -> Vec<u8> {
    let mut bytes = vec![b'f'; OBJECT_BYTES];
    bytes.resize(GEOMETRY.fragment_bytes(OBJECT_BYTES as u64) as usize, 0);
    bytes
}

/// The image as this build writes it.
fn image() -> Vec<u8> {
    let world = World::new(1);
    let media = SimMedia::new(SEGMENT_BYTES * SEGMENTS, 1, "drive");
    let (env, drive) = (world.env(), media.open(&world));
    let outcome = world.run(
        async move {
            Store::<SimEnv>::format(&drive, &options()).await?;
            let (store, _) = Store::open(env, drive, SEGMENT_BYTES, config()).await?;
            fill(&store).await
        },
        STEPS_MAX,
    );
    assert_eq!(outcome, Some(Ok(())), "the drive is filled");
    world.kill();
    media.lose_power();
    media.contents(0, (SEGMENT_BYTES * SEGMENTS) as usize)
}

/// The committed drive in a world of its own.
fn committed() -> (World, SimMedia) {
    // The tests of this file run side by side; one of them writes it where it is blessed.
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = IMAGE.get_or_init(|| {
        if fixture::is_blessing() {
            fixture::write(NAME, "docs/format/README.md: a drive after a power loss", &image());
        }
        fixture::read(NAME)
    });
    let world = World::new(2);
    let media = SimMedia::new(bytes.len() as u64, 2, "drive");
    let (drive, end_bytes) = (media.open(&world), bytes.len() as u64);
    let prepared = world.run(async move { drive.prepare(end_bytes).await }, STEPS_MAX);
    assert_eq!(prepared, Some(Ok(())), "the drive is prepared");
    media.overwrite(0, bytes);
    (world, media)
}

fn open(world: &World, media: &SimMedia) -> Result<(Store<SimEnv>, Recovery), DriveError> {
    let (env, drive) = (world.env(), media.open(world));
    let opening = async move { Store::open(env, drive, SEGMENT_BYTES, config()).await };
    world.run(opening, STEPS_MAX).expect("it ends")
}

async fn check_contents(store: Store<SimEnv>) {
    for (key, value, payload) in [("a", "new", vec![b'n'; 2000]), ("a/b", "kept", vec![b'k'; 100])]
    {
        let found = store.get_with_payload(&index_key(key)).await.expect("a sound drive");
        let (entry, found) = found.unwrap_or_else(|| panic!("{key} is there"));
        assert_eq!(entry.value, Some(value.as_bytes().to_vec()), "{key}");
        assert_eq!(found, Some(payload), "{key}");
    }
    for key in ["gone", "pending"] {
        assert_eq!(store.get(&index_key(key)).await, Ok(None), "{key}");
    }
    let expected = fragment();
    let (index, bytes) =
        store.read_fragment(DATA, 0, expected.len()).await.expect("a sound fragment");
    assert_eq!((index, &bytes[..]), (FragmentIndex(0), &expected[..]));
    let (start, end) = (index_key(""), IndexKey::ranked(Keyspace::Current, 1, &[]).0);
    let page = store.scan(&start, &end, 100).await.expect("a sound index");
    let keys: Vec<Vec<u8>> = page.entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "a/b", "large"].map(index_key));
}

#[test]
fn a_drive_of_version_1_opens_with_everything() {
    let (world, media) = committed();
    let (store, recovery) = open(&world, &media).unwrap();
    assert!(recovery.records > 0, "what lies behind the checkpoint is replayed");
    let identity = store.identity();
    assert_eq!((identity.drive, identity.deployment), (DriveId([7; 16]), DeploymentId([8; 16])));
    assert_eq!((store.view().epoch, store.promised()), (Epoch(1), Epoch(1)));
    assert_eq!(store.marks(), [sequence(6)]);
    assert_eq!(store.peers(), [peer()]);
    let pending: Vec<Commit> = store.unsettled().iter().map(|commit| (**commit).clone()).collect();
    assert_eq!(pending, [commit(7, "pending", Some("pending"), b"prepared")]);
    world.run(check_contents(store), STEPS_MAX).expect("it ends");
}

#[test]
fn a_newer_drive_is_refused_and_left_as_it_is() {
    let (world, media) = committed();
    for offset in Superblock::copy_offsets(SEGMENT_BYTES) {
        let mut copy = media.contents(offset, SUPERBLOCK_BYTES);
        copy[8] = 2;
        let sum = crc64(&copy[..SUPERBLOCK_BYTES - 8]).to_le_bytes();
        copy[SUPERBLOCK_BYTES - 8..].copy_from_slice(&sum);
        media.overwrite(offset, &copy);
    }
    let before = media.contents(0, (SEGMENT_BYTES * SEGMENTS) as usize);
    let error = open(&world, &media).err();
    let newer = FormatError::Version { structure: "the drive", found: 2, known: 1 };
    assert_eq!(error, Some(DriveError::Format(newer)));
    let after = media.contents(0, (SEGMENT_BYTES * SEGMENTS) as usize);
    assert!(before == after, "a drive that is refused is not written to");
}

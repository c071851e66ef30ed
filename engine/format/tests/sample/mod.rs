//! One fully populated value of every structure. Numbers differ from field to field, so that two
//! fields that changed places are seen.
#![allow(dead_code, reason = "each test uses what it needs")]

pub mod objects;

use bytes::Bytes;
use engine_format::{
    BatchHeader, Checkpoint, Commit, CommitData, DriveState, DropRecord, Entry, Extent,
    FragmentFooter, FragmentRecord, IndexKey, Keyspace, LogLink, LogPosition, LogSegment, Mark,
    Move, Mutation, Order, PayloadLocation, PeerKnown, Record, Relocate, RunEntry, SegmentHeader,
    SegmentUse, Successor, Superblock, View, ViewMember, payload_sum,
};
use engine_types::{
    BucketId, DataId, DeploymentId, DriveId, Epoch, FragmentIndex, Geometry, PartNumber, PoolId,
    Position, PositionSet, SegmentId, Sequence, SetId, UploadId,
};

pub const PAYLOAD: &[u8] = b"an inline payload";

pub fn sequence(counter: u64) -> Sequence {
    Sequence { epoch: Epoch(0x0102_0304), owner: Position(5), counter }
}

/// Sixteen bytes that tell their order.
pub fn id(first: u8) -> [u8; 16] {
    let mut id = [0; 16];
    for (index, byte) in (0_u8..).zip(&mut id) {
        *byte = first + index;
    }
    id
}

pub fn geometry() -> Geometry {
    Geometry { data: 4, parity: 2, cell_bytes: 256 << 10 }
}

pub fn order() -> Order {
    Order::new(&[5, 3, 1, 0, 2, 4])
}

pub fn positions(numbers: &[u8]) -> PositionSet {
    numbers.iter().map(|number| Position(*number)).collect()
}

fn successors() -> [Successor; 2] {
    [
        Successor { segment: SegmentId(0x21), generation: 0x2222 },
        Successor { segment: SegmentId(0x23), generation: 0x2424 },
    ]
}

pub fn superblock() -> Superblock {
    Superblock {
        drive: DriveId(id(0x10)),
        deployment: DeploymentId(id(0x30)),
        pool: PoolId(2),
        set: SetId(3),
        position: Position(4),
        set_size: 12,
        parity: 5,
        set_count: 6,
        state: DriveState::Rebuilding,
        segment_bytes: 4 << 20,
        segment_count: 0x1234,
        generation: 0x0102_0304_0506_0708,
        incarnation: 7,
        log_start: LogPosition {
            segment: SegmentId(8),
            generation: 9,
            offset_bytes: 0x1000,
            batch_sequence: 10,
            chain: 0x1112_1314_1516_1718,
            successors: successors(),
        },
        log_tail: SegmentId(11),
        checkpoint: SegmentId(12),
        checkpoint_bytes: 0x2000,
        checkpoint_sum: 0x2122_2324_2526_2728,
    }
}

pub fn segment_header() -> SegmentHeader {
    SegmentHeader {
        drive: DriveId(id(0x10)),
        segment: SegmentId(1),
        generation: 2,
        previous: LogLink {
            segment: SegmentId(3),
            generation: 4,
            batch_sequence: 5,
            chain: 0x0102_0304_0506_0708,
        },
    }
}

pub fn batch_header(payload_bytes: u32, record_count: u32) -> BatchHeader {
    BatchHeader {
        drive_low: 0x1716_1514_1312_1110,
        segment: SegmentId(1),
        generation: 2,
        sequence: 3,
        payload_bytes,
        record_count,
        previous_chain: 0x0102_0304_0506_0708,
        durable_through: 4,
        successors: successors(),
    }
}

/// A fragment in two extents, above or below the size that is appended.
pub fn fragment(object_bytes: u64, append: bool) -> FragmentRecord {
    let units = FragmentRecord::units_of(geometry().fragment_bytes(object_bytes));
    let units = u32::try_from(units).expect("a small fragment");
    FragmentRecord {
        data: DataId(id(0x40)),
        index: FragmentIndex(5),
        geometry: geometry(),
        object_bytes,
        sequence: sequence(6),
        append,
        extents: vec![
            Extent { segment: SegmentId(7), offset_units: 16, units: units - 1 },
            Extent { segment: SegmentId(8), offset_units: 32, units: 1 },
        ],
        footer_sum: 0x3132_3334_3536_3738,
    }
}

pub fn footer() -> FragmentFooter {
    FragmentFooter {
        data: DataId(id(0x40)),
        index: FragmentIndex(5),
        drive: DriveId(id(0x10)),
        sums: vec![0x0102_0304_0506_0708, 0x1112_1314_1516_1718, 0x2122_2324_2526_2728],
    }
}

pub fn location() -> PayloadLocation {
    PayloadLocation {
        segment: SegmentId(1),
        generation: 2,
        offset_bytes: 3,
        bytes: 17,
        sum: payload_sum(sequence(4), 2, PAYLOAD),
    }
}

pub fn entry() -> Entry {
    let value = Some(b"the value".to_vec());
    Entry { sequence: sequence(4), payload: Some(location()), value }
}

pub fn tombstone() -> Entry {
    Entry { sequence: sequence(5), payload: None, value: None }
}

/// A key of each keyspace, by the name of its fixture.
pub fn keys() -> Vec<(&'static str, IndexKey)> {
    let bucket = BucketId(0x0102_0304_0506_0708);
    // A zero byte is what escaping is for.
    let key = b"a/\0b";
    let upload = UploadId(id(0x50));
    let part = PartNumber::new(0x0102).expect("a part number");
    let ranked = |space, suffix: Vec<u8>| IndexKey::ranked(space, 9, &suffix);
    vec![
        ("key-current", ranked(Keyspace::Current, IndexKey::current_suffix(bucket, key))),
        ("key-upload", ranked(Keyspace::Uploads, IndexKey::upload_suffix(bucket, key, upload))),
        ("key-part", ranked(Keyspace::Parts, IndexKey::part_suffix(upload, part))),
        ("key-fragment", IndexKey::local(Keyspace::Fragments, DataId(id(0x40)))),
        ("key-release", IndexKey::local(Keyspace::Releases, DataId(id(0x40)))),
    ]
}

/// A write of an erasure-coded object that replaces one and ends an upload.
pub fn commit() -> Commit {
    let (bucket, upload) = (BucketId(1), UploadId(id(0x50)));
    let part = PartNumber::new(3).expect("a part number");
    Commit {
        sequence: sequence(1),
        settled: true,
        order: order(),
        positions: positions(&[0, 1, 2, 3, 5]),
        missing: positions(&[4]),
        holders: positions(&[5, 3]),
        data: CommitData::Fragments(DataId(id(0x40)), geometry(), 5_000_000),
        mutations: vec![
            Mutation {
                space: Keyspace::Current,
                suffix: IndexKey::current_suffix(bucket, b"key"),
                value: Some(b"an object record".to_vec()),
                has_payload: true,
            },
            Mutation {
                space: Keyspace::Uploads,
                suffix: IndexKey::upload_suffix(bucket, b"key", upload),
                value: None,
                has_payload: false,
            },
            Mutation {
                space: Keyspace::Parts,
                suffix: IndexKey::part_suffix(upload, part),
                value: Some(b"a part record".to_vec()),
                has_payload: false,
            },
        ],
        adopts: vec![fragment(5_000_000, false), fragment(100_000, true)],
        releases: vec![DataId(id(0x60)), DataId(id(0x70))],
        payload: Bytes::from_static(PAYLOAD),
    }
}

/// A write whose data is of another kind, and nothing else.
pub fn small_commit(data: CommitData) -> Commit {
    Commit {
        sequence: sequence(2),
        settled: false,
        order: Order::new(&[0]),
        positions: positions(&[0]),
        missing: PositionSet::EMPTY,
        holders: positions(&[0]),
        data,
        mutations: Vec::new(),
        adopts: Vec::new(),
        releases: Vec::new(),
        payload: match data {
            CommitData::Payload => Bytes::from_static(PAYLOAD),
            _ => Bytes::new(),
        },
    }
}

pub fn view() -> View {
    View {
        epoch: Epoch(7),
        in_sync: positions(&[0, 2, 127]),
        members: vec![
            ViewMember { drive: DriveId(id(0x10)), joined: Epoch(1) },
            ViewMember::default(),
            ViewMember { drive: DriveId(id(0x20)), joined: Epoch(0x0304) },
        ],
    }
}

pub fn peers() -> Vec<PeerKnown> {
    let peer = |first, position, incarnation, batch_sequence| PeerKnown {
        drive: DriveId(id(first)),
        position: Position(position),
        incarnation,
        batch_sequence,
    };
    vec![peer(0x10, 1, 2, 3), peer(0x20, 4, 5, 6)]
}

/// Every record, by its kind and the name of its fixture.
pub fn records() -> Vec<(u32, &'static str, Record)> {
    let commit_of = |data| Record::Commit(Box::new(small_commit(data)));
    let appended = fragment(100_000, true);
    vec![
        (1, "record-1-commit", Record::Commit(Box::new(commit()))),
        (1, "record-1-commit-payload", commit_of(CommitData::Payload)),
        (1, "record-1-commit-none", commit_of(CommitData::None)),
        (2, "record-2-marks", Record::Marks(vec![mark(1), mark(2)])),
        (3, "record-3-aborts", Record::Aborts(vec![sequence(3), sequence(4)])),
        (4, "record-4-view", Record::View(view())),
        (5, "record-5-promise", Record::Promise(Epoch(0x0102_0304))),
        (6, "record-6-peers", Record::Peers(peers())),
        (7, "record-7-move", Record::Move(moved())),
        (
            8,
            "record-8-drop",
            Record::Drop(DropRecord {
                data: DataId(id(0x40)),
                fragment: Some(fragment(5_000_000, false)),
            }),
        ),
        (
            8,
            "record-8-drop-nothing",
            Record::Drop(DropRecord { data: DataId(id(0x40)), fragment: None }),
        ),
        (
            9,
            "record-9-relocate",
            Record::Relocate(Relocate { new: fragment(100_000, true), old: Some(appended) }),
        ),
    ]
}

fn mark(counter: u64) -> Mark {
    Mark { through: sequence(counter) }
}

fn moved() -> Move {
    Move {
        key: b"C\0a key of the index".to_vec(),
        sequence: sequence(5),
        value: b"an object record".to_vec(),
        payload: Bytes::from_static(PAYLOAD),
    }
}

pub fn checkpoint() -> Checkpoint {
    Checkpoint {
        marks: vec![sequence(1), sequence(2)],
        view: view(),
        promised: Epoch(8),
        peers: peers(),
        pending: vec![(commit(), Some(location())), (small_commit(CommitData::None), None)],
        runs: vec![RunEntry {
            summary: vec![0x5a; 48],
            segments: vec![SegmentId(3), SegmentId(4)],
        }],
        log: vec![
            LogSegment { segment: SegmentId(5), generation: 6, live_bytes: 7, last_batch: 8 },
            LogSegment { segment: SegmentId(9), generation: 10, live_bytes: 0, last_batch: 12 },
        ],
        data: vec![
            (SegmentId(13), SegmentUse::Append(14)),
            (SegmentId(15), SegmentUse::Extents(vec![0x0102_0304_0506_0708, u64::MAX])),
        ],
        next_run: 16,
        filling: 41,
    }
}

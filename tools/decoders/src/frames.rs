//! Superblock, frames and records of the log, checkpoint.
//!
//! Rules beside the round trip: a payload lies where the record's offset says, a commit that was
//! read is one that may be written, and no sum but the right one opens a checkpoint.

use crate::Decoder;
use crate::seal::{choosing, chosen, put, round_trips, same, trimmed, u32_at, with_sum_behind};
use bytes::Bytes;
use engine_format::{
    BatchHeader, Checkpoint, Commit, CommitData, DriveState, DropRecord, Extent, FragmentRecord,
    IndexKey, Keyspace, LogLink, LogPosition, LogSegment, Mark, Move, Mutation, Order,
    PayloadLocation, PeerKnown, Reader, Record, Relocate, RunEntry, SUPERBLOCK_BYTES,
    SegmentHeader, SegmentUse, Successor, Superblock, View, ViewMember, Writer, crc64, crc64_parts,
};
use engine_index::RunSummary;
use engine_types::{
    BucketId, DataId, DeploymentId, DriveId, Epoch, FragmentIndex, Geometry, PoolId, Position,
    PositionSet, SegmentId, Sequence, SetId,
};

pub(crate) const SUPERBLOCK: Decoder = Decoder {
    name: "superblock",
    check: superblock,
    samples: superblock_samples,
    words: &["BASALTSB"],
    rounds: 8_000,
};

pub(crate) const LOG_FRAMES: Decoder = Decoder {
    name: "log_frames",
    check: log_frames,
    samples: log_samples,
    words: &["BASALTLS", "BTCH"],
    rounds: 8_000,
};

pub(crate) const COMMIT: Decoder =
    Decoder { name: "commit", check: commit, samples: commit_samples, words: &[], rounds: 8_000 };

pub(crate) const RECORD: Decoder =
    Decoder { name: "record", check: record, samples: record_samples, words: &[], rounds: 8_000 };

pub(crate) const CHECKPOINT: Decoder = Decoder {
    name: "checkpoint",
    check: checkpoint,
    samples: checkpoint_samples,
    words: &["BASALTCP"],
    rounds: 8_000,
};

/// How the samples are cut.
pub(crate) const GEOMETRY: Geometry = Geometry { data: 4, parity: 2, cell_bytes: 256 << 10 };

/// Kinds of records other than the commit: 2 and those behind it.
const SMALL_KINDS: u8 = 8;
const PAYLOAD_BYTES_AT: usize = 20;
const BATCH_SUM_AT: usize = BatchHeader::BYTES - 8;

fn superblock(input: &[u8]) -> bool {
    round_trips(input, Superblock::decode, Superblock::encode);
    let sealed = with_sum_behind(input, SUPERBLOCK_BYTES - 8);
    round_trips(&sealed, Superblock::decode, Superblock::encode)
}

fn log_frames(input: &[u8]) -> bool {
    match chosen(input, 2) {
        Some((0, header)) => segment_header(header),
        Some((_, frame)) => batch(frame),
        None => false,
    }
}

fn segment_header(input: &[u8]) -> bool {
    round_trips(input, SegmentHeader::decode, SegmentHeader::encode);
    let sealed = with_sum_behind(input, SegmentHeader::BYTES - 8);
    round_trips(&sealed, SegmentHeader::decode, SegmentHeader::encode)
}

/// A header and what follows it: the payload it names, cut to what there is.
fn batch(input: &[u8]) -> bool {
    // Whether the sum holds or not.
    let _ = BatchHeader::open(input);
    let mut frame = input.to_vec();
    frame.resize(frame.len().max(BatchHeader::BYTES), 0);
    let behind = frame.len() - BatchHeader::BYTES;
    let payload_bytes = behind.min(u32_at(&frame, PAYLOAD_BYTES_AT) as usize);
    put(&mut frame, PAYLOAD_BYTES_AT, &(payload_bytes as u32).to_le_bytes());
    let payload = &frame[BatchHeader::BYTES..BatchHeader::BYTES + payload_bytes];
    let sum = crc64_parts(&[&frame[..BATCH_SUM_AT], payload]);
    put(&mut frame, BATCH_SUM_AT, &sum.to_le_bytes());

    let Ok((header, payload, chain)) = BatchHeader::open(&frame) else { return false };
    assert_eq!((chain, payload.len()), (sum, payload_bytes));
    let mut again = vec![0; BatchHeader::BYTES];
    header.seal(&mut again, payload);
    again.extend_from_slice(payload);
    let opened = BatchHeader::open(&again).map(|(header, payload, _)| (header, payload.to_vec()));
    same(&(header, payload.to_vec()), opened);
    records(payload, header.record_count as usize)
}

/// All records of a batch.
fn records(payload: &[u8], count: usize) -> bool {
    let Ok(found) = Record::decode_all(payload, count) else { return false };
    assert_eq!(found.len(), count);
    let mut out = Writer::new();
    for (record, offset) in &found {
        let written = record.encode(&mut out);
        let bytes = match record {
            Record::Commit(commit) => {
                assert!(commit.check().is_ok(), "what was read may not be written: {commit:?}");
                &commit.payload
            }
            Record::Move(moved) => &moved.payload,
            _ => {
                assert_eq!((*offset, written), (0, 0), "an offset of no payload");
                continue;
            }
        };
        assert_eq!(payload.get(*offset..*offset + bytes.len()), Some(&bytes[..]));
        assert_eq!(out.bytes.get(written..written + bytes.len()), Some(&bytes[..]));
    }
    let whole =
        |list: Vec<(Record, usize)>| list.into_iter().map(|pair| pair.0).collect::<Vec<_>>();
    let again = Record::decode_all(&out.bytes, count).map(whole);
    same(&whole(found), again);
    true
}

/// One record other than a commit: its kind, then its body.
fn record(input: &[u8]) -> bool {
    let Some((choice, body)) = chosen(input, SMALL_KINDS) else { return false };
    let mut payload = (u32::from(choice) + 2).to_le_bytes().to_vec();
    payload.extend_from_slice(&(body.len() as u32).to_le_bytes());
    payload.extend_from_slice(body);
    records(&payload, 1)
}

fn commit(input: &[u8]) -> bool {
    let Ok((found, at)) = Commit::decode(&mut Reader::new(input, "a commit")) else {
        return false;
    };
    assert!(found.check().is_ok(), "what was read may not be written: {found:?}");
    let len = found.payload.len();
    assert_eq!(input.get(at..at + len), Some(&found.payload[..]));
    let mut out = Writer::new();
    let at = found.encode(&mut out);
    assert_eq!(out.bytes.get(at..at + len), Some(&found.payload[..]));
    let again = Commit::decode(&mut Reader::new(&out.bytes, "a commit"));
    same(&found, again.map(|pair| pair.0));
    true
}

fn checkpoint(input: &[u8]) -> bool {
    let sum = crc64(input);
    assert!(Checkpoint::decode(input, sum ^ 1).is_err(), "a wrong sum was taken");
    let Ok(found) = Checkpoint::decode(input, sum) else { return false };
    let (bytes, sum) = found.encode();
    assert!(bytes.len().is_multiple_of(4096));
    same(&found, Checkpoint::decode(&bytes, sum));
    for run in &found.runs {
        // The index judges it; here it must only not panic.
        let _ = RunSummary::decode(&run.summary);
    }
    true
}

/// A sequence of the samples.
pub(crate) fn sequence(counter: u64) -> Sequence {
    Sequence { epoch: Epoch(3), owner: Position(1), counter }
}

/// A fragment record: 25,024 bytes and their footer take 8 units.
pub(crate) fn fragment_value() -> FragmentRecord {
    FragmentRecord {
        data: DataId([7; 16]),
        index: FragmentIndex(5),
        geometry: GEOMETRY,
        object_bytes: 100_000,
        sequence: sequence(9),
        append: true,
        extents: vec![Extent { segment: SegmentId(4), offset_units: 9, units: 8 }],
        footer_sum: 5,
    }
}

fn superblock_samples() -> Vec<Vec<u8>> {
    let successor = Successor { segment: SegmentId(7), generation: 13 };
    let superblock = Superblock {
        drive: DriveId([1; 16]),
        deployment: DeploymentId([2; 16]),
        pool: PoolId(0),
        set: SetId(1),
        position: Position(3),
        set_size: 6,
        parity: 2,
        set_count: 2,
        state: DriveState::Active,
        segment_bytes: 4 << 20,
        segment_count: 400,
        generation: 7,
        incarnation: 2,
        log_start: LogPosition {
            segment: SegmentId(5),
            generation: 12,
            offset_bytes: 8192,
            batch_sequence: 40,
            chain: 99,
            successors: [successor; 2],
        },
        log_tail: SegmentId(6),
        checkpoint: SegmentId(9),
        checkpoint_bytes: 4096,
        checkpoint_sum: u64::MAX,
    };
    vec![trimmed(&superblock.encode()[..SUPERBLOCK_BYTES - 8])]
}

fn log_samples() -> Vec<Vec<u8>> {
    let header = SegmentHeader {
        drive: DriveId([3; 16]),
        segment: SegmentId(8),
        generation: 77,
        previous: LogLink {
            segment: SegmentId(7),
            generation: 76,
            batch_sequence: 12,
            chain: u64::MAX,
        },
    };
    let mut records = small_records();
    records.push(Record::Commit(Box::new(commit_value())));
    let payload = encoded(&records);
    let batch = BatchHeader {
        drive_low: 4,
        segment: SegmentId(2),
        generation: 9,
        sequence: 41,
        payload_bytes: payload.len() as u32,
        record_count: records.len() as u32,
        previous_chain: 6,
        durable_through: 40,
        successors: [
            Successor { segment: SegmentId(3), generation: 10 },
            Successor { segment: SegmentId(4), generation: 11 },
        ],
    };
    let mut frame = vec![0; BatchHeader::BYTES];
    batch.seal(&mut frame, &payload);
    frame.extend_from_slice(&payload);
    let header = trimmed(&header.encode()[..SegmentHeader::BYTES - 8]);
    vec![choosing(0, &header), choosing(1, &frame)]
}

fn commit_samples() -> Vec<Vec<u8>> {
    let mut out = Writer::new();
    commit_value().encode(&mut out);
    let plain = Commit {
        data: CommitData::Payload,
        mutations: Vec::new(),
        adopts: Vec::new(),
        releases: Vec::new(),
        ..commit_value()
    };
    let mut other = Writer::new();
    plain.encode(&mut other);
    vec![out.bytes, other.bytes]
}

fn record_samples() -> Vec<Vec<u8>> {
    let records = small_records();
    let bytes = records.iter().map(|record| encoded(std::slice::from_ref(record)));
    bytes.map(|bytes| choosing(bytes[0] - 2, &bytes[8..])).collect()
}

fn checkpoint_samples() -> Vec<Vec<u8>> {
    let summary = RunSummary {
        run_id: 3,
        entry_count: 40,
        blocks_bytes: 8192,
        tail_bytes: 4096,
        tail_sum: 77,
        level: 1,
    };
    let location = PayloadLocation {
        segment: SegmentId(2),
        generation: 9,
        offset_bytes: 4096,
        bytes: 7,
        sum: 11,
    };
    let checkpoint = Checkpoint {
        marks: vec![sequence(8)],
        view: view_value(),
        promised: Epoch(4),
        peers: vec![peer_value()],
        pending: vec![(commit_value(), Some(location)), (commit_value(), None)],
        runs: vec![RunEntry {
            summary: summary.encode().to_vec(),
            segments: vec![SegmentId(5), SegmentId(6)],
        }],
        log: vec![LogSegment {
            segment: SegmentId(2),
            generation: 9,
            live_bytes: 4096,
            last_batch: 41,
        }],
        data: vec![
            (SegmentId(8), SegmentUse::Append(65_536)),
            (SegmentId(9), SegmentUse::Extents(vec![0, u64::MAX])),
        ],
        next_run: 4,
        filling: 0,
    };
    vec![trimmed(&checkpoint.encode().0)]
}

fn view_value() -> View {
    let member = |id, joined| ViewMember { drive: DriveId([id; 16]), joined: Epoch(joined) };
    let members = vec![member(1, 1), member(2, 3), ViewMember::default()];
    View { epoch: Epoch(3), in_sync: PositionSet::first(3), members }
}

fn peer_value() -> PeerKnown {
    PeerKnown { drive: DriveId([1; 16]), position: Position(1), incarnation: 2, batch_sequence: 40 }
}

fn commit_value() -> Commit {
    Commit {
        sequence: sequence(9),
        settled: false,
        order: Order::new(&[2, 0, 1]),
        positions: PositionSet::first(3),
        missing: PositionSet::EMPTY,
        holders: PositionSet::first(2),
        data: CommitData::Fragments(DataId([7; 16]), GEOMETRY, 100_000),
        mutations: vec![
            Mutation {
                space: Keyspace::Current,
                suffix: IndexKey::current_suffix(BucketId(1), b"a/b"),
                value: Some(vec![1, 2, 3]),
                has_payload: true,
            },
            Mutation {
                space: Keyspace::Parts,
                suffix: vec![9; 18],
                value: None,
                has_payload: false,
            },
        ],
        adopts: vec![fragment_value()],
        releases: vec![DataId([8; 16])],
        payload: Bytes::from_static(b"payload"),
    }
}

/// A record of each kind but the commit.
fn small_records() -> Vec<Record> {
    vec![
        Record::Marks(vec![Mark { through: sequence(8) }]),
        Record::Aborts(vec![sequence(7), sequence(6)]),
        Record::View(view_value()),
        Record::Promise(Epoch(4)),
        Record::Peers(vec![peer_value()]),
        Record::Move(Move {
            key: IndexKey::ranked(Keyspace::Current, 1, b"suffix").0,
            sequence: sequence(5),
            value: vec![4; 20],
            payload: Bytes::from_static(b"moved"),
        }),
        Record::Drop(DropRecord { data: DataId([7; 16]), fragment: Some(fragment_value()) }),
        Record::Relocate(Relocate { new: fragment_value(), old: None }),
    ]
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut out = Writer::new();
    for record in records {
        record.encode(&mut out);
    }
    out.bytes
}

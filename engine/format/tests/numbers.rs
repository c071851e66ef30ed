//! Numbers that stand on drives. A number here is never changed and never given to anything else:
//! what an earlier build wrote means the same to every later one.

mod sample;

use engine_format::{
    CommitData, DriveState, Entry, Etag, FormatError, FragmentRecord, Keyspace, ObjectRecord,
    Record, Storage, Superblock, TAG_COMPLETED_UPLOAD, UploadRecord, Writer,
};
use engine_types::{AttributeKind, ChecksumKind, DataId, Epoch, Geometry, Position, Sequence};
use sample::objects::{self, ATTRIBUTE_KINDS, CHECKSUM_KINDS};

#[test]
fn numbers_on_drives_keep_their_meaning() {
    assert_eq!(ATTRIBUTE_KINDS.map(|kind| kind as u16), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(CHECKSUM_KINDS.map(|kind| kind as u8), [1, 2, 3, 4, 5]);
    assert_eq!(CHECKSUM_KINDS.map(ChecksumKind::bytes), [4, 4, 8, 20, 32]);
    let known = (0..=u16::MAX).filter_map(AttributeKind::from_u16);
    assert!(known.eq(ATTRIBUTE_KINDS), "every kind, and no other number");
    let known = (0..=u8::MAX).filter_map(ChecksumKind::from_u8);
    assert!(known.eq(CHECKSUM_KINDS), "every kind, and no other number");
    let spaces: Vec<u8> = (0..=u8::MAX).filter(|byte| Keyspace::from_u8(*byte).is_some()).collect();
    assert_eq!(spaces, b"CFPRU");
    assert_eq!(Keyspace::from_u8(b'C'), Some(Keyspace::Current));
    assert_eq!(Keyspace::from_u8(b'F'), Some(Keyspace::Fragments));
    assert_eq!(Keyspace::from_u8(b'P'), Some(Keyspace::Parts));
    assert_eq!(Keyspace::from_u8(b'R'), Some(Keyspace::Releases));
    assert_eq!(Keyspace::from_u8(b'U'), Some(Keyspace::Uploads));
}

#[test]
fn kinds_of_records_keep_their_numbers() {
    let mut seen = Vec::new();
    for (kind, name, record) in sample::records() {
        let mut out = Writer::new();
        record.encode(&mut out);
        assert_eq!(out.bytes[..4], kind.to_le_bytes(), "{name}");
        seen.push(kind);
    }
    seen.dedup();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9], "every kind has its sample");
    for kind in [0_u32, 10] {
        let mut unknown = kind.to_le_bytes().to_vec();
        unknown.extend_from_slice(&[0; 4]);
        let outcome = Record::decode_all(&unknown, 1);
        let is_refused =
            matches!(outcome, Err(FormatError::Version { found, known: 9, .. }) if found == kind);
        assert!(is_refused, "kind {kind}: {outcome:?}");
    }
}

#[test]
fn kinds_inside_of_records_keep_their_numbers() {
    for (state, number) in
        [(DriveState::Formatting, 1), (DriveState::Active, 2), (DriveState::Rebuilding, 3)]
    {
        let superblock = Superblock { state, ..sample::superblock() };
        assert_eq!(superblock.encode()[55], number, "{state:?}");
    }
    let geometry = Geometry { data: 1, parity: 0, cell_bytes: 4096 };
    for (storage, number) in [
        (Storage::Empty, 0),
        (Storage::Inline, 1),
        (Storage::Fragments(DataId([1; 16]), geometry), 2),
        (Storage::Parts, 3),
    ] {
        let bytes = objects::plain_object(storage, 1).encode();
        assert_eq!(bytes[1], number, "{storage:?}");
        assert_eq!(bytes[6], 1, "the sums are CRC-64/NVME");
    }
    for (data, number) in [
        (CommitData::None, 0),
        (CommitData::Payload, 1),
        (CommitData::Fragments(DataId([1; 16]), geometry, 1), 2),
    ] {
        let mut out = Writer::new();
        sample::small_commit(data).encode(&mut out);
        // Sequence, settled, an order of one, three sets of positions.
        assert_eq!(out.bytes[16 + 1 + 5 + 48], number, "{data:?}");
    }
    // A fragment record that is appended, an entry with payload and value.
    assert_eq!(sample::fragment(100_000, true).to_value()[17], 1);
    assert_eq!(sample::entry().encode()[0], 3);
    assert_eq!(sample::tombstone().encode()[0], 0);
}

#[test]
fn tags_keep_their_numbers() {
    let tag_of = |record: &ObjectRecord| {
        // The tagged fields stand last: how many, the tag, the length, the bytes.
        let without = ObjectRecord {
            checksums: Vec::new(),
            attributes: Vec::new(),
            unknown: Vec::new(),
            ..record.clone()
        };
        let start = without.encode().len() - 4;
        record.encode()[start..start + 6].to_vec()
    };
    let plain = objects::plain_object(Storage::Empty, 0);
    let whole = objects::object();
    let attribute = ObjectRecord { attributes: whole.attributes[..1].to_vec(), ..plain.clone() };
    assert_eq!(tag_of(&attribute), [1, 0, 0, 0, 1, 0x80]);
    let checksum = ObjectRecord { checksums: whole.checksums[..1].to_vec(), ..plain.clone() };
    assert_eq!(tag_of(&checksum), [1, 0, 0, 0, 2, 0x80]);
    let unknown = vec![(TAG_COMPLETED_UPLOAD, vec![7; 16])];
    let completed = ObjectRecord { unknown, ..plain };
    assert_eq!(tag_of(&completed), [1, 0, 0, 0, 3, 0]);
}

#[test]
fn flags_nobody_knows_are_refused() {
    let mut entry = sample::entry().encode();
    entry[0] |= 4;
    assert_eq!(Entry::decode(&entry), Err(FormatError::Bounds("an index entry")));
    let mut upload = objects::upload().encode();
    upload[1] = 6;
    assert_eq!(UploadRecord::decode(&upload), Err(FormatError::Bounds("an upload record")));
    // A parity count that no codec has.
    let mut fragment = sample::fragment(100_000, true).to_value();
    fragment[19] = 33;
    let outcome = FragmentRecord::from_value(&fragment);
    assert_eq!(outcome, Err(FormatError::Bounds("a fragment record")));
}

#[test]
fn ids_are_made_the_same_way_for_ever() {
    // Data ids and upload ids are the sequence of their making.
    let sequence =
        Sequence { epoch: Epoch(0x0102_0304), owner: Position(5), counter: 0x0607_0809_0a0b_0c0d };
    let bytes = [1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 8, 9, 10, 11, 12, 13];
    assert_eq!(sequence.to_sortable_bytes(), bytes);
    assert_eq!(DataId(bytes).to_string(), "0102030405000000060708090a0b0c0d");
    let etag = Etag { md5: bytes, part_count: 12 };
    assert_eq!(etag.text(), "0102030405000000060708090a0b0c0d-12");
    assert_eq!(Etag::parse(&etag.text()), Some(etag));
}

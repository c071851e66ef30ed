//! Fragments, object records, uploads and parts, the tables of buckets and of seats.
//!
//! Rules beside the round trip: no sum but the right one opens a footer, and a record that was
//! read can be shown to a client.

use crate::Decoder;
use crate::frames::{GEOMETRY, fragment_value, sequence};
use crate::seal::{choosing, chosen, round_trips, same, trimmed, u64_at, with_sum_behind};
use engine_format::{
    Etag, FragmentFooter, FragmentRecord, ObjectRecord, Order, PartEntry, PartRecord, PartTable,
    Storage, UploadRecord, crc64,
};
use engine_types::{
    Attribute, AttributeKind, ChecksumKind, DataId, DriveId, FragmentIndex, ObjectChecksum,
    PartNumber, PoolId, Position, PositionSet, SetId,
};
use shards_control::{BucketState, BucketTable, SeatTable};

pub(crate) const FRAGMENT: Decoder = Decoder {
    name: "fragment",
    check: fragment,
    samples: fragment_samples,
    words: &["BASALTFF"],
    rounds: 8_000,
};

pub(crate) const OBJECT: Decoder =
    Decoder { name: "object", check: object, samples: object_samples, words: &[], rounds: 8_000 };

pub(crate) const UPLOAD: Decoder =
    Decoder { name: "upload", check: upload, samples: upload_samples, words: &[], rounds: 8_000 };

pub(crate) const BUCKET_TABLE: Decoder = Decoder {
    name: "bucket_table",
    check: bucket_table,
    samples: bucket_samples,
    words: &["BASALTBK"],
    rounds: 8_000,
};

pub(crate) const SEAT_TABLE: Decoder = Decoder {
    name: "seat_table",
    check: seat_table,
    samples: seat_samples,
    words: &["BASALTST"],
    rounds: 8_000,
};

/// Where a footer names how many sums it holds.
const FOOTER_COUNT_AT: usize = 48;

fn fragment(input: &[u8]) -> bool {
    match chosen(input, 2) {
        Some((0, value)) => fragment_record(value),
        Some((_, bytes)) => footer(bytes),
        None => false,
    }
}

fn fragment_record(input: &[u8]) -> bool {
    let Ok(found) = FragmentRecord::from_value(input) else { return false };
    same(&found, FragmentRecord::from_value(&found.to_value()));
    let units: u64 = found.extents.iter().map(|extent| u64::from(extent.units)).sum();
    assert_eq!(units, FragmentRecord::units_of(found.fragment_bytes()));
    true
}

/// Read as one of as many blocks as it claims, however many those are.
fn footer(input: &[u8]) -> bool {
    let block_count = u64_at(input, FOOTER_COUNT_AT) as usize;
    let sum = crc64(input);
    assert!(FragmentFooter::decode(input, sum ^ 1, block_count).is_err(), "a wrong sum was taken");
    let Ok(found) = FragmentFooter::decode(input, sum, block_count) else { return false };
    assert_eq!(found.sums.len(), block_count);
    let (bytes, sum) = found.encode();
    same(&found, FragmentFooter::decode(&bytes, sum, block_count));
    true
}

fn object(input: &[u8]) -> bool {
    let Ok(found) = ObjectRecord::decode(input) else { return false };
    same(&found, ObjectRecord::decode(&found.encode()));
    let info = found.info();
    assert_eq!(Etag::parse(&info.etag), Some(found.etag), "an ETag that clients cannot name");
    true
}

fn upload(input: &[u8]) -> bool {
    match chosen(input, 3) {
        Some((0, value)) => round_trips(value, UploadRecord::decode, UploadRecord::encode),
        Some((1, value)) => round_trips(value, PartRecord::decode, PartRecord::encode),
        Some((_, payload)) => round_trips(payload, PartTable::decode, PartTable::encode),
        None => false,
    }
}

fn bucket_table(input: &[u8]) -> bool {
    round_trips(input, BucketTable::decode, BucketTable::encode);
    let sealed = with_sum_behind(input, input.len());
    round_trips(&sealed, BucketTable::decode, BucketTable::encode)
}

fn seat_table(input: &[u8]) -> bool {
    round_trips(input, SeatTable::decode, SeatTable::encode);
    let sealed = with_sum_behind(input, input.len());
    round_trips(&sealed, SeatTable::decode, SeatTable::encode)
}

fn fragment_samples() -> Vec<Vec<u8>> {
    let footer = FragmentFooter {
        data: DataId([1; 16]),
        index: FragmentIndex(2),
        drive: DriveId([3; 16]),
        sums: vec![u64::MAX; 3],
    };
    let footer = trimmed(&footer.encode().0);
    vec![choosing(0, &fragment_value().to_value()), choosing(1, &footer)]
}

fn object_samples() -> Vec<Vec<u8>> {
    let storages = [
        Storage::Empty,
        Storage::Inline,
        Storage::Fragments(DataId([7; 16]), GEOMETRY),
        Storage::Parts,
    ];
    storages.into_iter().map(|storage| object_value(storage).encode()).collect()
}

fn object_value(storage: Storage) -> ObjectRecord {
    ObjectRecord {
        sequence: sequence(9),
        metadata_revision: 1,
        version: [0; 16],
        null_version: true,
        delete_marker: false,
        pool: PoolId(0),
        set: SetId(1),
        order: Order::new(&[2, 0, 1]),
        holders: PositionSet::first(2),
        missing: PositionSet::EMPTY,
        storage,
        size_bytes: 100_000,
        stored_bytes: 100_000,
        modified_ms: 1_700_000_000_000,
        etag: Etag { md5: [3; 16], part_count: 2 },
        lock_mode: 1,
        lock_until_ms: 1_800_000_000_000,
        legal_hold: true,
        checksums: vec![checksum(ChecksumKind::Crc64Nvme, true)],
        attributes: attributes(),
        unknown: vec![(0x55, b"kept as it is".to_vec())],
    }
}

fn checksum(kind: ChecksumKind, composite: bool) -> ObjectChecksum {
    ObjectChecksum { kind, composite, sum: vec![6; kind.bytes()] }
}

fn attributes() -> Vec<Attribute> {
    let attribute = |kind, name: &str, value: &str| Attribute {
        kind,
        name: name.to_owned(),
        value: value.to_owned(),
    };
    vec![
        attribute(AttributeKind::ContentType, "", "text/plain"),
        attribute(AttributeKind::UserMetadata, "colour", "grey"),
    ]
}

fn upload_samples() -> Vec<Vec<u8>> {
    let order = Order::new(&[2, 0, 1]);
    let upload = UploadRecord {
        order: order.clone(),
        created_ms: 1_700_000_000_000,
        checksum: Some((ChecksumKind::Sha256, true)),
        attributes: attributes(),
        unknown: Vec::new(),
    };
    let parts: Vec<PartEntry> = part_entries();
    let mut samples = vec![choosing(0, &upload.encode())];
    for entry in &parts {
        let part = PartRecord {
            order: order.clone(),
            modified_ms: 1_700_000_000_000,
            entry: entry.clone(),
        };
        samples.push(choosing(1, &part.encode()));
    }
    samples.push(choosing(2, &PartTable { parts }.encode()));
    samples
}

fn part_entries() -> Vec<PartEntry> {
    let sums = [None, Some(checksum(ChecksumKind::Sha256, false))];
    let entry = |(number, checksum)| PartEntry {
        number,
        size_bytes: 5 << 20,
        stored_bytes: 5 << 20,
        data: DataId([9; 16]),
        geometry: GEOMETRY,
        md5: [4; 16],
        checksum,
        unknown: Vec::new(),
    };
    (1..).filter_map(PartNumber::new).zip(sums).map(entry).collect()
}

fn bucket_samples() -> Vec<Vec<u8>> {
    let table = BucketTable::default()
        .with_bucket("photos", 5)
        .and_then(|table| table.with_bucket("logs", 6))
        .and_then(|table| table.with_state("logs", BucketState::Deleting));
    let bytes = table.unwrap_or_default().encode();
    vec![bytes[..bytes.len() - 8].to_vec()]
}

fn seat_samples() -> Vec<Vec<u8>> {
    let seat = |set, position, path: &str| ((SetId(set), Position(position)), path.into());
    let seats = [seat(0, 0, "/srv/d1"), seat(0, 1, "/srv/d2"), seat(3, 0, "/dev/nvme0n1")];
    let bytes = SeatTable { version: 7, seats: seats.into() }.encode();
    vec![bytes[..bytes.len() - 8].to_vec()]
}

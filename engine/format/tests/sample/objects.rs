//! Records of objects, uploads and parts.

use super::{geometry, id, order, positions, sequence};
use engine_format::{
    Etag, ObjectRecord, PartEntry, PartRecord, PartTable, Storage, TAG_COMPLETED_UPLOAD,
    UploadRecord,
};
use engine_types::{
    Attribute, AttributeKind, ChecksumKind, DataId, ObjectChecksum, PartNumber, PoolId, SetId,
};

pub const ATTRIBUTE_KINDS: [AttributeKind; 9] = [
    AttributeKind::ContentType,
    AttributeKind::CacheControl,
    AttributeKind::ContentDisposition,
    AttributeKind::ContentEncoding,
    AttributeKind::ContentLanguage,
    AttributeKind::Expires,
    AttributeKind::WebsiteRedirect,
    AttributeKind::StorageClass,
    AttributeKind::UserMetadata,
];

pub const CHECKSUM_KINDS: [ChecksumKind; 5] = [
    ChecksumKind::Crc32,
    ChecksumKind::Crc32c,
    ChecksumKind::Crc64Nvme,
    ChecksumKind::Sha1,
    ChecksumKind::Sha256,
];

fn checksum(kind: ChecksumKind, composite: bool) -> ObjectChecksum {
    let sum = (1_u8..).take(kind.bytes()).collect();
    ObjectChecksum { kind, composite, sum }
}

fn attribute(kind: AttributeKind) -> Attribute {
    let is_named = kind == AttributeKind::UserMetadata;
    let name = if is_named { "color".to_owned() } else { String::new() };
    Attribute { kind, name, value: format!("value of {}", kind as u16) }
}

/// Every field differs from what nothing sets yet.
pub fn object() -> ObjectRecord {
    let unknown =
        vec![(TAG_COMPLETED_UPLOAD, id(0x50).to_vec()), (0x7abc, b"of a later build".to_vec())];
    ObjectRecord {
        sequence: sequence(1),
        metadata_revision: 2,
        version: id(0x80),
        null_version: true,
        delete_marker: true,
        pool: PoolId(3),
        set: SetId(4),
        order: order(),
        holders: positions(&[5, 3]),
        missing: positions(&[4]),
        storage: Storage::Fragments(DataId(id(0x40)), geometry()),
        size_bytes: 5_000_000,
        stored_bytes: 4_000_000,
        modified_ms: 1_800_000_000_123,
        etag: Etag { md5: id(0x90), part_count: 5 },
        lock_mode: 2,
        lock_until_ms: 1_900_000_000_456,
        legal_hold: true,
        checksums: vec![
            checksum(ChecksumKind::Crc64Nvme, false),
            checksum(ChecksumKind::Sha256, true),
        ],
        attributes: ATTRIBUTE_KINDS.map(attribute).to_vec(),
        unknown,
    }
}

/// A plain object of another storage.
pub fn plain_object(storage: Storage, size_bytes: u64) -> ObjectRecord {
    ObjectRecord {
        storage,
        version: [0; 16],
        delete_marker: false,
        size_bytes,
        stored_bytes: size_bytes,
        lock_mode: 0,
        lock_until_ms: 0,
        legal_hold: false,
        checksums: Vec::new(),
        attributes: Vec::new(),
        unknown: Vec::new(),
        ..object()
    }
}

pub fn part_table() -> PartTable {
    let checksums = CHECKSUM_KINDS.map(|kind| Some(checksum(kind, false)));
    let entries =
        checksums.into_iter().chain([None]).zip(1_u8..).map(|(checksum, number)| PartEntry {
            number: PartNumber::new(u16::from(number) * 1000).expect("a part number"),
            size_bytes: (5 << 20) | u64::from(number),
            stored_bytes: (4 << 20) | u64::from(number),
            data: DataId(id(number)),
            geometry: geometry(),
            md5: id(0x90 + number),
            checksum,
            unknown: if number == 1 { vec![(0x7abc, vec![1, 2, 3])] } else { Vec::new() },
        });
    PartTable { parts: entries.collect() }
}

pub fn upload() -> UploadRecord {
    UploadRecord {
        order: order(),
        created_ms: 1_800_000_000_789,
        checksum: Some((ChecksumKind::Crc32c, true)),
        attributes: vec![
            attribute(AttributeKind::ContentType),
            attribute(AttributeKind::UserMetadata),
        ],
        unknown: vec![(0x7abc, b"of a later build".to_vec())],
    }
}

pub fn part() -> PartRecord {
    let entry = part_table().parts.swap_remove(0);
    PartRecord { order: order(), modified_ms: 1_800_000_000_999, entry }
}

//! The record of an object version.
//!
//! Fixed fields first (rule 17 of commit.md), with room for versions, locks and transformed bytes
//! that later work fills; then tagged fields. Bucket and key stand in the index key.

use crate::FormatError;
use crate::tagged::{Tagged, decode_tagged, encode_tagged};
use crate::wire::{Reader, SUM_CRC64_NVME, Writer};
use engine_types::{
    Attribute, DataId, Geometry, ObjectChecksum, ObjectInfo, PoolId, Position, PositionSet,
    Sequence, SetId,
};
use std::sync::Arc;

const VERSION: u8 = 1;
const LOCK_MODE_MAX: u8 = 2;

/// The positions of a set in the order of a key; the first M hold its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Arc<[u8]>);

impl Order {
    /// An order of positions.
    #[must_use]
    pub fn new(positions: &[u8]) -> Self {
        Self(positions.into())
    }

    /// The rank of a position.
    #[must_use]
    pub fn rank(&self, position: Position) -> Option<u8> {
        let rank = self.0.iter().position(|other| *other == position.0)?;
        u8::try_from(rank).ok()
    }

    /// The position at a rank.
    #[must_use]
    pub fn at(&self, rank: usize) -> Option<Position> {
        self.0.get(rank).copied().map(Position)
    }

    /// The positions in order.
    pub fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        self.0.iter().copied().map(Position)
    }

    /// How many positions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first `count` positions as a set.
    #[must_use]
    pub fn first(&self, count: usize) -> PositionSet {
        self.iter().take(count).collect()
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.bytes(&self.0);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let bytes = reader.bytes(128)?;
        let mut seen = PositionSet::EMPTY;
        for position in bytes {
            if *position >= 128 || seen.contains(Position(*position)) {
                return Err(reader.bounds());
            }
            seen.insert(Position(*position));
        }
        Ok(Self::new(bytes))
    }
}

/// An ETag: an MD5, and for a multipart object the number of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Etag {
    /// The MD5.
    pub md5: [u8; 16],
    /// Parts; 0 for an object written in one PUT.
    pub part_count: u16,
}

impl Etag {
    /// As clients see it, without quotes.
    #[must_use]
    pub fn text(&self) -> String {
        let md5 = DataId(self.md5);
        if self.part_count == 0 { md5.to_string() } else { format!("{md5}-{}", self.part_count) }
    }

    /// Reads what `text` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (md5, part_count) = match text.split_once('-') {
            Some((md5, count)) => (md5, count.parse().ok()?),
            None => (text, 0),
        };
        Some(Self { md5: DataId::from_hex(md5)?.0, part_count })
    }
}

/// Where the bytes of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// No bytes.
    Empty,
    /// In the log record, on the holders.
    Inline,
    /// Erasure-coded under one data id.
    Fragments(DataId, Geometry),
    /// Each part under its own data id; the part table is the payload, on the holders.
    Parts,
}

/// The record of an object version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRecord {
    /// The write that made the version.
    pub sequence: Sequence,
    /// Rises with each change of its metadata alone.
    pub metadata_revision: u32,
    /// The opaque version id; zero where none was given out.
    pub version: [u8; 16],
    /// Whether it is the null version: what a key has that is written without versioning.
    pub null_version: bool,
    /// Whether it is a delete marker.
    pub delete_marker: bool,
    /// Its pool.
    pub pool: PoolId,
    /// Its erasure set.
    pub set: SetId,
    /// The positions in the key's order.
    pub order: Order,
    /// Who holds the payload.
    pub holders: PositionSet,
    /// Who missed the write.
    pub missing: PositionSet,
    /// Where the bytes are.
    pub storage: Storage,
    /// Logical bytes.
    pub size_bytes: u64,
    /// Bytes kept of them, without parity: as many unless something transformed them.
    pub stored_bytes: u64,
    /// Wall clock of the write, milliseconds since 1970.
    pub modified_ms: u64,
    /// The ETag.
    pub etag: Etag,
    /// Object lock: 0 none, 1 governance, 2 compliance.
    pub lock_mode: u8,
    /// Object lock: held until, milliseconds since 1970.
    pub lock_until_ms: u64,
    /// Object lock: legal hold.
    pub legal_hold: bool,
    /// Checksums kept with the object.
    pub checksums: Vec<ObjectChecksum>,
    /// Headers and user metadata.
    pub attributes: Vec<Attribute>,
    /// Tagged fields this build does not know: tag and bytes.
    pub unknown: Vec<(u16, Vec<u8>)>,
}

impl ObjectRecord {
    /// The value of the `Current` keyspace.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let (kind, data, geometry) = match self.storage {
            Storage::Empty => (0, DataId::default(), None),
            Storage::Inline => (1, DataId::default(), None),
            Storage::Fragments(data, geometry) => (2, data, Some(geometry)),
            Storage::Parts => (3, DataId::default(), None),
        };
        out.u8(VERSION).u8(kind).u8(self.delete_marker.into()).u8(self.lock_mode);
        out.u8(self.legal_hold.into()).u8(self.null_version.into()).u8(SUM_CRC64_NVME).u8(0);
        out.sequence(self.sequence).u32(self.metadata_revision).raw(&self.version);
        out.u16(self.pool.0).u16(self.set.0);
        self.order.encode(&mut out);
        out.positions(self.holders).positions(self.missing);
        out.raw(&data.0);
        let none = Geometry { data: 1, parity: 0, cell_bytes: 4096 };
        out.geometry(geometry.unwrap_or(none));
        out.u64(self.size_bytes).u64(self.stored_bytes).u64(self.modified_ms);
        out.raw(&self.etag.md5).u16(self.etag.part_count).u64(self.lock_until_ms);
        let rest = Tagged { attributes: &self.attributes, unknown: &self.unknown };
        encode_tagged(&mut out, &self.checksums, &rest);
        out.bytes
    }

    /// Reads a value of the `Current` keyspace.
    ///
    /// # Errors
    /// `Version` or `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "an object record");
        let found = reader.u8()?;
        if found != VERSION {
            return Err(reader.version(found.into(), VERSION.into()));
        }
        let kind = reader.u8()?;
        let delete_marker = reader.flag()?;
        let lock_mode = reader.u8()?;
        let (legal_hold, null_version) = (reader.flag()?, reader.flag()?);
        let sum_kind = reader.u8()?;
        if lock_mode > LOCK_MODE_MAX || sum_kind != SUM_CRC64_NVME {
            return Err(reader.bounds());
        }
        reader.u8()?;
        let sequence = reader.sequence()?;
        let metadata_revision = reader.u32()?;
        let version = reader.array()?;
        let (pool, set) = (PoolId(reader.u16()?), SetId(reader.u16()?));
        let order = Order::decode(&mut reader)?;
        let (holders, missing) = (reader.positions()?, reader.positions()?);
        let data = reader.data_id()?;
        let geometry = reader.geometry()?;
        let storage = match kind {
            0 => Storage::Empty,
            1 => Storage::Inline,
            2 => Storage::Fragments(data, geometry),
            3 => Storage::Parts,
            _ => return Err(reader.bounds()),
        };
        let (size_bytes, stored_bytes) = (reader.u64()?, reader.u64()?);
        let modified_ms = reader.u64()?;
        let etag = Etag { md5: reader.array()?, part_count: reader.u16()? };
        let lock_until_ms = reader.u64()?;
        let (checksums, attributes, unknown) = decode_tagged(&mut reader)?;
        Ok(Self {
            sequence,
            metadata_revision,
            version,
            null_version,
            delete_marker,
            pool,
            set,
            order,
            holders,
            missing,
            storage,
            size_bytes,
            stored_bytes,
            modified_ms,
            etag,
            lock_mode,
            lock_until_ms,
            legal_hold,
            checksums,
            attributes,
            unknown,
        })
    }

    /// What a client may see.
    #[must_use]
    pub fn info(&self) -> ObjectInfo {
        ObjectInfo {
            size_bytes: self.size_bytes,
            modified_ms: self.modified_ms,
            etag: self.etag.text(),
            checksums: self.checksums.clone(),
            attributes: self.attributes.clone(),
            part_count: self.etag.part_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_types::{AttributeKind, ChecksumKind, Epoch};

    fn sample() -> ObjectRecord {
        let checksum = ObjectChecksum {
            kind: ChecksumKind::Crc64Nvme,
            composite: false,
            sum: vec![1, 2, 3, 4, 5, 6, 7, 8],
        };
        ObjectRecord {
            sequence: Sequence { epoch: Epoch(3), owner: Position(1), counter: 9 },
            metadata_revision: 4,
            version: [5; 16],
            null_version: true,
            delete_marker: true,
            pool: PoolId(6),
            set: SetId(7),
            order: Order::new(&[1, 0, 2]),
            holders: PositionSet::first(2),
            missing: PositionSet::first(1),
            storage: Storage::Fragments(
                DataId([8; 16]),
                Geometry { data: 2, parity: 1, cell_bytes: 64 << 10 },
            ),
            size_bytes: 1000,
            stored_bytes: 900,
            modified_ms: 10,
            etag: Etag { md5: [11; 16], part_count: 12 },
            lock_mode: 2,
            lock_until_ms: 13,
            legal_hold: true,
            checksums: vec![checksum],
            attributes: vec![Attribute {
                kind: AttributeKind::UserMetadata,
                name: "color".to_owned(),
                value: "blue".to_owned(),
            }],
            unknown: vec![(77, b"of a later build".to_vec()), (78, Vec::new())],
        }
    }

    #[test]
    fn every_field_comes_back_and_unknown_ones_survive() {
        let bytes = sample().encode();
        let record = ObjectRecord::decode(&bytes).unwrap();
        assert_eq!(record, sample());
        assert_eq!(record.encode(), bytes);
        for storage in [Storage::Empty, Storage::Inline, Storage::Parts] {
            let record = ObjectRecord { storage, ..sample() };
            assert_eq!(ObjectRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn what_must_be_understood_and_is_not_refuses_the_record() {
        let mut record = sample();
        record.unknown[0].0 |= 0x8000;
        let error = ObjectRecord::decode(&record.encode()).unwrap_err();
        let said = "a tagged field has format version 77; this build reads up to 3";
        assert_eq!(error.to_string(), said);
        let mut newer = sample().encode();
        newer[0] = 2;
        let error = ObjectRecord::decode(&newer).unwrap_err();
        let said = "an object record has format version 2; this build reads up to 1";
        assert_eq!(error.to_string(), said);
        // Storage, delete marker, lock mode, hold, null version, type of the sums.
        for (place, value) in [(1_usize, 4_u8), (2, 2), (3, 3), (4, 2), (5, 2), (6, 0), (6, 2)] {
            let mut other = sample().encode();
            other[place] = value;
            let outcome = ObjectRecord::decode(&other);
            assert_eq!(outcome, Err(FormatError::Bounds("an object record")), "byte {place}");
        }
    }

    #[test]
    fn cut_off_records_are_refused() {
        let bytes = sample().encode();
        for len in 0..bytes.len() {
            assert!(ObjectRecord::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }
}

//! The record of an object version, and the part table of a multipart object.
//!
//! Fixed fields first (rule 17 of commit.md), with room for versions, locks and tiers that later
//! work fills; then tagged fields. A tagged field with the must-understand bit that a build does
//! not know refuses the record; any other unknown one is kept and written back unchanged.

use crate::FormatError;
use crate::wire::{Reader, Writer};
use engine_types::{
    Attribute, AttributeKind, ChecksumKind, DataId, Geometry, ObjectChecksum, ObjectInfo,
    PartNumber, PoolId, Position, PositionSet, Sequence, SetId,
};
use std::sync::Arc;

const VERSION: u8 = 1;
const TAG_ATTRIBUTE: u16 = 1;
const TAG_CHECKSUM: u16 = 2;
const MUST_UNDERSTAND: u16 = 0x8000;
const FIELD_BYTES_MAX: usize = 64 << 10;

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
    /// The opaque version id; zero is the null version.
    pub version: [u8; 16],
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

pub(crate) fn encode_tagged(out: &mut Writer, checksums: &[ObjectChecksum], rest: &Tagged<'_>) {
    out.count(checksums.len() + rest.attributes.len() + rest.unknown.len());
    for checksum in checksums {
        let mut field = Writer::new();
        field.u8(checksum.kind as u8).u8(checksum.composite.into()).raw(&checksum.sum);
        out.u16(TAG_CHECKSUM | MUST_UNDERSTAND).bytes(&field.bytes);
    }
    for attribute in rest.attributes {
        let mut field = Writer::new();
        field.u16(attribute.kind as u16).bytes(attribute.name.as_bytes());
        field.raw(attribute.value.as_bytes());
        out.u16(TAG_ATTRIBUTE | MUST_UNDERSTAND).bytes(&field.bytes);
    }
    for (tag, bytes) in rest.unknown {
        out.u16(*tag).bytes(bytes);
    }
}

/// The tagged fields beside the checksums.
pub(crate) struct Tagged<'a> {
    pub attributes: &'a [Attribute],
    pub unknown: &'a [(u16, Vec<u8>)],
}

pub(crate) type DecodedTagged = (Vec<ObjectChecksum>, Vec<Attribute>, Vec<(u16, Vec<u8>)>);

pub(crate) fn decode_tagged(reader: &mut Reader<'_>) -> Result<DecodedTagged, FormatError> {
    let count = reader.count(4096)?;
    let (mut checksums, mut attributes, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let tag = reader.u16()?;
        let bytes = reader.bytes(FIELD_BYTES_MAX)?;
        let mut field = Reader::new(bytes, "a tagged field");
        match tag & !MUST_UNDERSTAND {
            TAG_CHECKSUM => checksums.push(decode_checksum(&mut field)?),
            TAG_ATTRIBUTE => {
                let kind = AttributeKind::from_u16(field.u16()?).ok_or(field.bounds())?;
                let name = field.text(4096)?;
                let value = std::str::from_utf8(field.rest()).map_err(|_| field.bounds())?;
                attributes.push(Attribute { kind, name, value: value.to_owned() });
            }
            _ if tag & MUST_UNDERSTAND != 0 => {
                return Err(FormatError::Version {
                    structure: "an object record (tagged field)",
                    found: tag.into(),
                    known: (TAG_CHECKSUM | MUST_UNDERSTAND).into(),
                });
            }
            _ => unknown.push((tag, bytes.to_vec())),
        }
    }
    Ok((checksums, attributes, unknown))
}

fn decode_checksum(field: &mut Reader<'_>) -> Result<ObjectChecksum, FormatError> {
    let kind = ChecksumKind::from_u8(field.u8()?).ok_or(field.bounds())?;
    let composite = field.u8()? != 0;
    let sum = field.take(kind.bytes())?.to_vec();
    Ok(ObjectChecksum { kind, composite, sum })
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
        out.u8(self.legal_hold.into()).raw(&[0; 3]);
        out.sequence(self.sequence).u32(self.metadata_revision).raw(&self.version);
        out.u16(self.pool.0).u16(self.set.0);
        self.order.encode(&mut out);
        out.positions(self.holders).positions(self.missing);
        out.raw(&data.0);
        let none = Geometry { data: 1, parity: 0, cell_bytes: 4096 };
        out.geometry(geometry.unwrap_or(none));
        out.u64(self.size_bytes).u64(self.modified_ms).raw(&self.etag.md5);
        out.u16(self.etag.part_count).u64(self.lock_until_ms);
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
            return Err(FormatError::Version {
                structure: "an object record",
                found: found.into(),
                known: VERSION.into(),
            });
        }
        let kind = reader.u8()?;
        let delete_marker = reader.u8()? != 0;
        let lock_mode = reader.u8()?;
        let legal_hold = reader.u8()? != 0;
        reader.take(3)?;
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
        let (size_bytes, modified_ms) = (reader.u64()?, reader.u64()?);
        let etag = Etag { md5: reader.array()?, part_count: reader.u16()? };
        let lock_until_ms = reader.u64()?;
        let (checksums, attributes, unknown) = decode_tagged(&mut reader)?;
        Ok(Self {
            sequence,
            metadata_revision,
            version,
            delete_marker,
            pool,
            set,
            order,
            holders,
            missing,
            storage,
            size_bytes,
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

/// A part of a multipart object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartEntry {
    /// Its number.
    pub number: PartNumber,
    /// Its bytes; a part of 0 bytes has no fragments.
    pub size_bytes: u64,
    /// Where they are.
    pub data: DataId,
    /// How they are cut.
    pub geometry: Geometry,
    /// The MD5.
    pub md5: [u8; 16],
    /// Its checksum, if one is kept.
    pub checksum: Option<ObjectChecksum>,
}

/// The parts of a multipart object, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartTable {
    /// The parts, numbers rising.
    pub parts: Vec<PartEntry>,
}

impl PartTable {
    /// The payload of a completed object.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).count(self.parts.len());
        for part in &self.parts {
            out.u16(part.number.get()).u64(part.size_bytes).raw(&part.data.0);
            out.geometry(part.geometry).raw(&part.md5);
            match &part.checksum {
                None => out.u8(0),
                Some(checksum) => out.u8(checksum.kind as u8).raw(&checksum.sum),
            };
        }
        out.bytes
    }

    /// Reads the payload of a completed object.
    ///
    /// # Errors
    /// `Version` or `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "a part table");
        if reader.u8()? != VERSION {
            return Err(reader.bounds());
        }
        let count = reader.count(usize::from(PartNumber::MAX))?;
        let mut parts: Vec<PartEntry> = Vec::with_capacity(count);
        for _ in 0..count {
            let number = PartNumber::new(reader.u16()?).ok_or(reader.bounds())?;
            if parts.last().is_some_and(|last| last.number >= number) {
                return Err(reader.bounds());
            }
            let (size_bytes, data) = (reader.u64()?, reader.data_id()?);
            let (geometry, md5) = (reader.geometry()?, reader.array()?);
            let checksum = match reader.u8()? {
                0 => None,
                kind => {
                    let kind = ChecksumKind::from_u8(kind).ok_or(reader.bounds())?;
                    let sum = reader.take(kind.bytes())?.to_vec();
                    Some(ObjectChecksum { kind, composite: false, sum })
                }
            };
            parts.push(PartEntry { number, size_bytes, data, geometry, md5, checksum });
        }
        Ok(Self { parts })
    }
}

//! Records of multipart uploads under way.

use crate::FormatError;
use crate::object::{Order, PartEntry, Tagged, decode_tagged, encode_tagged};
use crate::wire::{Reader, Writer};
use engine_types::{Attribute, ChecksumKind, DataId, ObjectChecksum, PartNumber};

const VERSION: u8 = 1;

/// An upload under way; the value of the `Uploads` keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRecord {
    /// The positions in the key's order.
    pub order: Order,
    /// Wall clock of its creation, milliseconds since 1970.
    pub created_ms: u64,
    /// The checksum announced: algorithm and whether composite.
    pub checksum: Option<(ChecksumKind, bool)>,
    /// Headers and user metadata the object will have.
    pub attributes: Vec<Attribute>,
}

impl UploadRecord {
    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let (kind, composite) = match self.checksum {
            None => (0, false),
            Some((kind, composite)) => (kind as u8, composite),
        };
        out.u8(VERSION).u8(kind).u8(composite.into()).u8(0).u64(self.created_ms);
        self.order.encode(&mut out);
        encode_tagged(&mut out, &[], &Tagged { attributes: &self.attributes, unknown: &[] });
        out.bytes
    }

    /// Reads the value.
    ///
    /// # Errors
    /// `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "an upload record");
        if reader.u8()? != VERSION {
            return Err(reader.bounds());
        }
        let kind = reader.u8()?;
        let composite = reader.u8()? != 0;
        reader.u8()?;
        let checksum = match kind {
            0 => None,
            kind => Some((ChecksumKind::from_u8(kind).ok_or(reader.bounds())?, composite)),
        };
        let created_ms = reader.u64()?;
        let order = Order::decode(&mut reader)?;
        let (_, attributes, _) = decode_tagged(&mut reader)?;
        Ok(Self { order, created_ms, checksum, attributes })
    }
}

/// An uploaded part; the value of the `Parts` keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRecord {
    /// The positions in the key's order.
    pub order: Order,
    /// Wall clock of the write, milliseconds since 1970.
    pub modified_ms: u64,
    /// What the part table will hold of it.
    pub entry: PartEntry,
}

impl PartRecord {
    /// The value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entry = &self.entry;
        let mut out = Writer::new();
        out.u8(VERSION).u16(entry.number.get()).u64(self.modified_ms).u64(entry.size_bytes);
        out.raw(&entry.data.0).geometry(entry.geometry).raw(&entry.md5);
        match &entry.checksum {
            None => out.u8(0),
            Some(checksum) => out.u8(checksum.kind as u8).raw(&checksum.sum),
        };
        self.order.encode(&mut out);
        out.bytes
    }

    /// Reads the value.
    ///
    /// # Errors
    /// `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "a part record");
        if reader.u8()? != VERSION {
            return Err(reader.bounds());
        }
        let number = PartNumber::new(reader.u16()?).ok_or(reader.bounds())?;
        let (modified_ms, size_bytes) = (reader.u64()?, reader.u64()?);
        let data: DataId = reader.data_id()?;
        let (geometry, md5) = (reader.geometry()?, reader.array()?);
        let checksum = match reader.u8()? {
            0 => None,
            kind => {
                let kind = ChecksumKind::from_u8(kind).ok_or(reader.bounds())?;
                let sum = reader.take(kind.bytes())?.to_vec();
                Some(ObjectChecksum { kind, composite: false, sum })
            }
        };
        let order = Order::decode(&mut reader)?;
        let entry = PartEntry { number, size_bytes, data, geometry, md5, checksum };
        Ok(Self { order, modified_ms, entry })
    }
}

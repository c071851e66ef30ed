//! Parts: one that was uploaded, and the table of those a completed object is made of.

use crate::FormatError;
use crate::object::Order;
use crate::wire::{Reader, Writer};
use engine_types::{ChecksumKind, DataId, Geometry, ObjectChecksum, PartNumber};

const VERSION: u8 = 1;

/// A part of a multipart object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartEntry {
    /// Its number.
    pub number: PartNumber,
    /// Its logical bytes; a part of 0 bytes has no fragments.
    pub size_bytes: u64,
    /// Bytes of its run: as many as the logical ones unless something transformed them.
    pub stored_bytes: u64,
    /// Where they are.
    pub data: DataId,
    /// How they are cut.
    pub geometry: Geometry,
    /// The MD5.
    pub md5: [u8; 16],
    /// Its checksum, if one is kept.
    pub checksum: Option<ObjectChecksum>,
    /// Tagged fields this build does not know: tag and bytes.
    pub unknown: Vec<(u16, Vec<u8>)>,
}

impl PartEntry {
    fn encode(&self, out: &mut Writer) {
        out.u16(self.number.get()).u64(self.size_bytes).u64(self.stored_bytes).raw(&self.data.0);
        out.geometry(self.geometry).raw(&self.md5);
        match &self.checksum {
            None => out.u8(0),
            Some(checksum) => out.u8(checksum.kind as u8).raw(&checksum.sum),
        };
        out.unknown_fields(&self.unknown);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let number = PartNumber::new(reader.u16()?).ok_or(reader.bounds())?;
        let (size_bytes, stored_bytes) = (reader.u64()?, reader.u64()?);
        let data = reader.data_id()?;
        let (geometry, md5) = (reader.geometry()?, reader.array()?);
        let checksum = match reader.u8()? {
            0 => None,
            kind => {
                let kind = ChecksumKind::from_u8(kind).ok_or(reader.bounds())?;
                let sum = reader.take(kind.bytes())?.to_vec();
                Some(ObjectChecksum { kind, composite: false, sum })
            }
        };
        let unknown = reader.unknown_fields()?;
        Ok(Self { number, size_bytes, stored_bytes, data, geometry, md5, checksum, unknown })
    }
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
            part.encode(&mut out);
        }
        out.bytes
    }

    /// Reads the payload of a completed object.
    ///
    /// # Errors
    /// `Version` or `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "a part table");
        check_version(&mut reader)?;
        let count = reader.count(usize::from(PartNumber::MAX))?;
        let mut parts: Vec<PartEntry> = Vec::with_capacity(count);
        for _ in 0..count {
            let part = PartEntry::decode(&mut reader)?;
            if parts.last().is_some_and(|last| last.number >= part.number) {
                return Err(reader.bounds());
            }
            parts.push(part);
        }
        Ok(Self { parts })
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
        let mut out = Writer::new();
        out.u8(VERSION).u64(self.modified_ms);
        self.order.encode(&mut out);
        self.entry.encode(&mut out);
        out.bytes
    }

    /// Reads the value.
    ///
    /// # Errors
    /// `Version` or `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "a part record");
        check_version(&mut reader)?;
        let modified_ms = reader.u64()?;
        let order = Order::decode(&mut reader)?;
        Ok(Self { order, modified_ms, entry: PartEntry::decode(&mut reader)? })
    }
}

fn check_version(reader: &mut Reader<'_>) -> Result<(), FormatError> {
    let found = reader.u8()?;
    if found == VERSION { Ok(()) } else { Err(reader.version(found.into(), VERSION.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u16) -> PartEntry {
        PartEntry {
            number: PartNumber::new(number).unwrap(),
            size_bytes: 5 << 20,
            stored_bytes: 4 << 20,
            data: DataId([7; 16]),
            geometry: Geometry { data: 4, parity: 2, cell_bytes: 256 << 10 },
            md5: [8; 16],
            checksum: None,
            unknown: Vec::new(),
        }
    }

    #[test]
    fn a_table_takes_ten_thousand_parts_in_rising_order() {
        let mut table = PartTable { parts: (1..=10_000).map(part).collect() };
        let bytes = table.encode();
        // One log record holds the table, in the smallest segments a server makes.
        assert!(bytes.len() < 1 << 20, "{}", bytes.len());
        assert_eq!(PartTable::decode(&bytes), Ok(table.clone()));
        table.parts.swap(3, 4);
        assert!(PartTable::decode(&table.encode()).is_err());
        table.parts = vec![part(1), part(1)];
        assert!(PartTable::decode(&table.encode()).is_err());
    }

    #[test]
    fn unknown_fields_of_parts_survive_and_some_refuse_the_part() {
        let mut record = PartRecord { order: Order::new(&[1, 0]), modified_ms: 5, entry: part(2) };
        record.entry.unknown = vec![(77, b"later".to_vec())];
        assert_eq!(PartRecord::decode(&record.encode()), Ok(record.clone()));
        record.entry.unknown[0].0 |= 0x8000;
        let error = PartRecord::decode(&record.encode()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a tagged field has format version 77; this build reads up to 3"
        );
    }

    #[test]
    fn cut_off_parts_are_refused() {
        let record = PartRecord { order: Order::new(&[1, 0]), modified_ms: 5, entry: part(2) };
        let bytes = record.encode();
        for len in 0..bytes.len() {
            assert!(PartRecord::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert!(matches!(PartRecord::decode(&newer), Err(FormatError::Version { found: 2, .. })));
    }
}

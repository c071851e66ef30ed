//! The record of a multipart upload under way.

use crate::FormatError;
use crate::object::Order;
use crate::tagged::{Tagged, decode_tagged, encode_tagged};
use crate::wire::{Reader, Writer};
use engine_types::{Attribute, ChecksumKind};

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
    /// Tagged fields this build does not know, for the object: tag and bytes.
    pub unknown: Vec<(u16, Vec<u8>)>,
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
        let rest = Tagged { attributes: &self.attributes, unknown: &self.unknown };
        encode_tagged(&mut out, &[], &rest);
        out.bytes
    }

    /// Reads the value.
    ///
    /// # Errors
    /// `Version` or `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "an upload record");
        let found = reader.u8()?;
        if found != VERSION {
            return Err(reader.version(found.into(), VERSION.into()));
        }
        let kind = reader.u8()?;
        let composite = reader.flag()?;
        reader.u8()?;
        let checksum = match kind {
            0 => None,
            kind => Some((ChecksumKind::from_u8(kind).ok_or(reader.bounds())?, composite)),
        };
        let created_ms = reader.u64()?;
        let order = Order::decode(&mut reader)?;
        let (checksums, attributes, unknown) = decode_tagged(&mut reader)?;
        // Nothing is summed yet.
        if !checksums.is_empty() {
            return Err(reader.bounds());
        }
        Ok(Self { order, created_ms, checksum, attributes, unknown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_types::AttributeKind;

    fn sample() -> UploadRecord {
        UploadRecord {
            order: Order::new(&[2, 0, 1]),
            created_ms: 5,
            checksum: Some((ChecksumKind::Sha256, true)),
            attributes: vec![Attribute {
                kind: AttributeKind::ContentType,
                name: String::new(),
                value: "text/plain".to_owned(),
            }],
            unknown: vec![(77, b"of a later build".to_vec())],
        }
    }

    #[test]
    fn every_field_comes_back_and_unknown_ones_survive() {
        assert_eq!(UploadRecord::decode(&sample().encode()), Ok(sample()));
        let without = UploadRecord { checksum: None, ..sample() };
        assert_eq!(UploadRecord::decode(&without.encode()), Ok(without));
    }

    #[test]
    fn what_is_newer_or_cut_off_is_refused() {
        let bytes = sample().encode();
        for len in 0..bytes.len() {
            assert!(UploadRecord::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert!(matches!(UploadRecord::decode(&newer), Err(FormatError::Version { found: 2, .. })));
        let mut record = sample();
        record.unknown[0].0 |= 0x8000;
        assert!(matches!(
            UploadRecord::decode(&record.encode()),
            Err(FormatError::Version { found: 77, .. })
        ));
    }
}

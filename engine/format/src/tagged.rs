//! Tagged fields: what a record holds behind its fixed fields.
//!
//! A list of tag u16 and bytes. A field with the must-understand bit that a build does not know
//! refuses the record; any other unknown one is kept and written back unchanged. The numbers of
//! tags stand on drives and never change their meaning.

use crate::FormatError;
use crate::wire::{Reader, Writer};
use engine_types::{Attribute, AttributeKind, ChecksumKind, ObjectChecksum};

const TAG_ATTRIBUTE: u16 = 1;
const TAG_CHECKSUM: u16 = 2;
/// The upload an object was completed from, 16 bytes. Kept among the unknown fields.
pub const TAG_COMPLETED_UPLOAD: u16 = 3;
const TAG_NEWEST: u16 = TAG_COMPLETED_UPLOAD;
const MUST_UNDERSTAND: u16 = 0x8000;
const FIELDS_MAX: usize = 4096;
const FIELD_BYTES_MAX: usize = 64 << 10;

/// The tagged fields beside the checksums.
pub(crate) struct Tagged<'a> {
    pub attributes: &'a [Attribute],
    pub unknown: &'a [(u16, Vec<u8>)],
}

pub(crate) type DecodedTagged = (Vec<ObjectChecksum>, Vec<Attribute>, Vec<(u16, Vec<u8>)>);

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

pub(crate) fn decode_tagged(reader: &mut Reader<'_>) -> Result<DecodedTagged, FormatError> {
    let count = reader.count(FIELDS_MAX)?;
    let (mut checksums, mut attributes, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let tag = reader.u16()?;
        let bytes = reader.bytes(FIELD_BYTES_MAX)?;
        let mut field = Reader::new(bytes, "a tagged field");
        match tag & !MUST_UNDERSTAND {
            TAG_CHECKSUM => checksums.push(decode_checksum(&mut field)?),
            TAG_ATTRIBUTE => attributes.push(decode_attribute(&mut field)?),
            _ => unknown.push(keep(tag, &field)?),
        }
    }
    Ok((checksums, attributes, unknown))
}

fn decode_checksum(field: &mut Reader<'_>) -> Result<ObjectChecksum, FormatError> {
    let kind = ChecksumKind::from_u8(field.u8()?).ok_or(field.bounds())?;
    let composite = field.flag()?;
    let sum = field.take(kind.bytes())?.to_vec();
    Ok(ObjectChecksum { kind, composite, sum })
}

fn decode_attribute(field: &mut Reader<'_>) -> Result<Attribute, FormatError> {
    let kind = AttributeKind::from_u16(field.u16()?).ok_or(field.bounds())?;
    let name = field.text(4096)?;
    let value = std::str::from_utf8(field.rest()).map_err(|_| field.bounds())?.to_owned();
    Ok(Attribute { kind, name, value })
}

/// An unknown field, unless it must be understood.
fn keep(tag: u16, field: &Reader<'_>) -> Result<(u16, Vec<u8>), FormatError> {
    if tag & MUST_UNDERSTAND != 0 {
        return Err(field.version((tag & !MUST_UNDERSTAND).into(), TAG_NEWEST.into()));
    }
    Ok((tag, field.rest().to_vec()))
}

impl Writer {
    /// The tagged fields of a record that knows none.
    pub fn unknown_fields(&mut self, fields: &[(u16, Vec<u8>)]) -> &mut Self {
        encode_tagged(self, &[], &Tagged { attributes: &[], unknown: fields });
        self
    }
}

impl Reader<'_> {
    /// The tagged fields of a record that knows none, each as tag and bytes.
    ///
    /// # Errors
    /// `Version` for a field that must be understood; `Bounds` above 4,096 fields or 64 KiB.
    pub fn unknown_fields(&mut self) -> Result<Vec<(u16, Vec<u8>)>, FormatError> {
        let count = self.count(FIELDS_MAX)?;
        let mut fields = Vec::new();
        for _ in 0..count {
            let tag = self.u16()?;
            fields.push(keep(tag, &Reader::new(self.bytes(FIELD_BYTES_MAX)?, "a tagged field"))?);
        }
        Ok(fields)
    }
}

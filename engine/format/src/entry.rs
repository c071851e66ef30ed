//! The value of an index entry: the write it comes from, where its payload lies in the log, and
//! the value itself.

use crate::FormatError;
use crate::wire::{Reader, Writer, crc64_parts};
use engine_types::{SegmentId, Sequence};

/// Where an inline payload lies in the log of this drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLocation {
    /// The log segment.
    pub segment: SegmentId,
    /// Its generation when the payload was written.
    pub generation: u64,
    /// The offset in the segment.
    pub offset_bytes: u32,
    /// The payload's length.
    pub bytes: u32,
    /// `payload_sum` of it: ties bytes, sequence and generation together.
    pub sum: u64,
}

/// The sum of a payload: over its sequence, the generation of its segment and its bytes, so that
/// the bytes of another write or another life of the segment never pass.
#[must_use]
pub fn payload_sum(sequence: Sequence, generation: u64, payload: &[u8]) -> u64 {
    crc64_parts(&[&sequence.to_sortable_bytes(), &generation.to_le_bytes(), payload])
}

/// An index entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The write that made it. Of two entries of a key the higher sequence is the newer.
    pub sequence: Sequence,
    /// Where the payload lies, if this drive holds it.
    pub payload: Option<PayloadLocation>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Entry {
    /// The bytes stored in a run.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let flags = u8::from(self.payload.is_some()) | u8::from(self.value.is_some()) << 1;
        out.u8(flags).sequence(self.sequence);
        if let Some(payload) = &self.payload {
            out.u32(payload.segment.0).u64(payload.generation).u32(payload.offset_bytes);
            out.u32(payload.bytes).u64(payload.sum);
        }
        if let Some(value) = &self.value {
            out.raw(value);
        }
        out.bytes
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// `Bounds`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "an index entry");
        let flags = reader.u8()?;
        if flags & !3 != 0 {
            return Err(reader.bounds());
        }
        let sequence = reader.sequence()?;
        let payload = if flags & 1 == 0 {
            None
        } else {
            Some(PayloadLocation {
                segment: SegmentId(reader.u32()?),
                generation: reader.u64()?,
                offset_bytes: reader.u32()?,
                bytes: reader.u32()?,
                sum: reader.u64()?,
            })
        };
        let value = (flags & 2 != 0).then(|| reader.rest().to_vec());
        Ok(Self { sequence, payload, value })
    }

    /// The sequence of an encoded entry, without the rest.
    #[must_use]
    pub fn peek_sequence(bytes: &[u8]) -> Option<Sequence> {
        Reader::new(bytes.get(1..)?, "an index entry").sequence().ok()
    }
}

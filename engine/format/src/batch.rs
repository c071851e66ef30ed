//! The frames of the log: segment headers and batches.
//!
//! A log segment is a 4 KiB header, then batches, each on a 4 KiB boundary. The chain (each batch
//! holds the sum of the one before, the first one the sum of the segment header) makes a batch
//! valid only behind the very bytes it was written behind; the generation makes what an earlier
//! life of the segment left behind invalid.

use crate::FormatError;
use crate::wire::{Reader, Writer, crc64_parts};
use engine_types::{DriveId, SegmentId};

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"BASALTLS");
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"BTCH");
const VERSION: u16 = 1;

/// A segment the log may go on in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Successor {
    /// The segment.
    pub segment: SegmentId,
    /// The generation it will have.
    pub generation: u64,
}

/// Which batch a segment follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLink {
    /// The segment of that batch; 0 for none (the first segment ever).
    pub segment: SegmentId,
    /// Its generation.
    pub generation: u64,
    /// The last valid batch in it: replay cuts the segment behind it.
    pub batch_sequence: u64,
    /// The sum of that batch.
    pub chain: u64,
}

/// The header of a log segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The drive.
    pub drive: DriveId,
    /// The segment itself: misdirected writes are seen.
    pub segment: SegmentId,
    /// Never used before by any segment of this drive.
    pub generation: u64,
    /// What it follows.
    pub previous: LogLink,
}

impl SegmentHeader {
    /// Bytes of a header on the drive.
    pub const BYTES: usize = 4096;

    /// The 4 KiB block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(SEGMENT_MAGIC).u16(VERSION).u16(0).u32(self.segment.0).u64(self.generation);
        out.raw(&self.drive.0).u32(self.previous.segment.0).u32(0).u64(self.previous.generation);
        out.u64(self.previous.batch_sequence).u64(self.previous.chain);
        out.bytes.resize(Self::BYTES - 8, 0);
        let sum = crc64_parts(&[&out.bytes]);
        out.u64(sum);
        out.bytes
    }

    /// The root of the chain of the segment: the header's own sum.
    #[must_use]
    pub fn chain(&self) -> u64 {
        let bytes = self.encode();
        crc64_parts(&[&bytes[..Self::BYTES - 8]])
    }

    /// Reads a header.
    ///
    /// # Errors
    /// Any `FormatError`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "a log segment header");
        let body = reader.take(Self::BYTES - 8)?;
        let sum = reader.u64()?;
        let mut reader = Reader::new(body, "a log segment header");
        if reader.u64()? != SEGMENT_MAGIC {
            return Err(FormatError::Magic("a log segment header"));
        }
        if crc64_parts(&[body]) != sum {
            return Err(FormatError::Sum("a log segment header"));
        }
        let found = reader.u16()?;
        if found != VERSION {
            return Err(FormatError::Version {
                structure: "the log",
                found: found.into(),
                known: VERSION.into(),
            });
        }
        reader.u16()?;
        let segment = SegmentId(reader.u32()?);
        let generation = reader.u64()?;
        let drive = reader.drive_id()?;
        let previous_segment = SegmentId(reader.u32()?);
        reader.u32()?;
        let previous = LogLink {
            segment: previous_segment,
            generation: reader.u64()?,
            batch_sequence: reader.u64()?,
            chain: reader.u64()?,
        };
        Ok(Self { drive, segment, generation, previous })
    }
}

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first half of the drive's id.
    pub drive_low: u64,
    /// The segment it stands in.
    pub segment: SegmentId,
    /// The generation of that segment.
    pub generation: u64,
    /// Rises by one with each batch of the drive.
    pub sequence: u64,
    /// Bytes of the records behind the header.
    pub payload_bytes: u32,
    /// How many records.
    pub record_count: u32,
    /// The sum of the batch before, or of the segment header.
    pub previous_chain: u64,
    /// The batch known durable when this one was written: a break at or before it is rot.
    pub durable_through: u64,
    /// Where the log goes on when this segment is full or fails.
    pub successors: [Successor; 2],
}

impl BatchHeader {
    /// Bytes of a header.
    pub const BYTES: usize = 96;

    /// Encodes header and sum in front of `payload`; gives the chain value of the batch.
    ///
    /// # Panics
    /// If `frame` is shorter than the header or `payload_bytes` is not the payload's length.
    pub fn seal(&self, frame: &mut [u8], payload: &[u8]) -> u64 {
        assert_eq!(payload.len(), self.payload_bytes as usize, "the header names its payload");
        let mut out = Writer::new();
        out.u32(BATCH_MAGIC).u16(VERSION).u16(0).u64(self.drive_low);
        out.u32(self.segment.0).u32(self.payload_bytes).u64(self.generation).u64(self.sequence);
        out.u32(self.record_count).u32(self.successors[0].segment.0).u64(self.previous_chain);
        out.u64(self.durable_through).u64(self.successors[0].generation);
        out.u64(self.successors[1].generation).u32(self.successors[1].segment.0).u32(0);
        assert_eq!(out.bytes.len(), Self::BYTES - 8, "the layout of the header");
        let sum = crc64_parts(&[&out.bytes, payload]);
        out.u64(sum);
        frame[..Self::BYTES].copy_from_slice(&out.bytes);
        sum
    }

    /// Reads the header alone: enough to know how many bytes to read. The sum is not checked.
    ///
    /// # Errors
    /// `Magic`, `Version` or `Bounds`.
    pub fn peek(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "a batch");
        if reader.u32()? != BATCH_MAGIC {
            return Err(FormatError::Magic("a batch"));
        }
        let found = reader.u16()?;
        if found != VERSION {
            return Err(FormatError::Version {
                structure: "the log",
                found: found.into(),
                known: VERSION.into(),
            });
        }
        reader.u16()?;
        let drive_low = reader.u64()?;
        let segment = SegmentId(reader.u32()?);
        let payload_bytes = reader.u32()?;
        let generation = reader.u64()?;
        let sequence = reader.u64()?;
        let record_count = reader.u32()?;
        let first = SegmentId(reader.u32()?);
        let previous_chain = reader.u64()?;
        let durable_through = reader.u64()?;
        let first = Successor { segment: first, generation: reader.u64()? };
        let second_generation = reader.u64()?;
        let second = Successor { segment: SegmentId(reader.u32()?), generation: second_generation };
        Ok(Self {
            drive_low,
            segment,
            generation,
            sequence,
            payload_bytes,
            record_count,
            previous_chain,
            durable_through,
            successors: [first, second],
        })
    }

    /// Checks the sum of a whole batch at the front of `bytes`; gives header, payload and chain.
    ///
    /// # Errors
    /// Any `FormatError`.
    pub fn open(bytes: &[u8]) -> Result<(Self, &[u8], u64), FormatError> {
        let header = Self::peek(bytes)?;
        let mut reader = Reader::new(bytes, "a batch");
        let head = reader.take(Self::BYTES - 8)?;
        let sum = reader.u64()?;
        let payload = reader.take(header.payload_bytes as usize)?;
        if crc64_parts(&[head, payload]) != sum {
            return Err(FormatError::Sum("a batch"));
        }
        Ok((header, payload, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_round_trips_and_refuses_flips() {
        let header = SegmentHeader {
            drive: DriveId([3; 16]),
            segment: SegmentId(8),
            generation: 77,
            previous: LogLink {
                segment: SegmentId(7),
                generation: 76,
                batch_sequence: 12,
                chain: 99,
            },
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..SegmentHeader::BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_batch_is_valid_only_whole() {
        let payload = [5_u8; 333];
        let header = BatchHeader {
            drive_low: 4,
            segment: SegmentId(2),
            generation: 9,
            sequence: 41,
            payload_bytes: 333,
            record_count: 2,
            previous_chain: 6,
            durable_through: 40,
            successors: [
                Successor { segment: SegmentId(3), generation: 10 },
                Successor { segment: SegmentId(4), generation: 11 },
            ],
        };
        let mut bytes = vec![0; BatchHeader::BYTES];
        let chain = header.seal(&mut bytes, &payload);
        bytes.extend_from_slice(&payload);
        assert_eq!(BatchHeader::open(&bytes), Ok((header, &payload[..], chain)));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(BatchHeader::open(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(BatchHeader::open(&bytes[..len]).is_err(), "{len} bytes");
        }
    }
}

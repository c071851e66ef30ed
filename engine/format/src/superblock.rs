//! The superblock: who the drive is, and where its log and checkpoint begin.
//!
//! Four copies in segment 0, a quarter segment apart. A write replaces copies 0 and 1, flushes,
//! then 2 and 3, flushes: after any crash one generation has two whole copies. A reader takes
//! the newest generation with at least two valid copies, so that one misdirected or stale copy
//! never decides.

use crate::FormatError;
use crate::batch::Successor;
use crate::wire::{Reader, Writer, crc64};
use engine_types::{DeploymentId, DriveId, PoolId, Position, SegmentId, SetId};

/// Bytes of one copy.
pub const SUPERBLOCK_BYTES: usize = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"BASALTSB");
const VERSION: u32 = 1;

/// What stage of its life a drive is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DriveState {
    /// Format began; an interrupted one is done again from the start.
    Formatting = 1,
    /// In use.
    Active = 2,
    /// Empty in an active set: never in sync before it is rebuilt.
    Rebuilding = 3,
}

/// A place between two batches of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The segment; 0 for none.
    pub segment: SegmentId,
    /// Its generation.
    pub generation: u64,
    /// The offset in the segment of the next batch.
    pub offset_bytes: u64,
    /// The sequence of the batch before.
    pub batch_sequence: u64,
    /// The sum of the batch before (or of the segment header).
    pub chain: u64,
    /// Where the log goes on when the segment ends here.
    pub successors: [Successor; 2],
}

/// The superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The drive.
    pub drive: DriveId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its pool.
    pub pool: PoolId,
    /// Its erasure set, counted through all pools.
    pub set: SetId,
    /// Its place in the set.
    pub position: Position,
    /// Drives of the set.
    pub set_size: u8,
    /// Parity cells of a stripe, by default.
    pub parity: u8,
    /// Erasure sets of the pool.
    pub set_count: u16,
    /// Stage of life.
    pub state: DriveState,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Segments the drive may ever have.
    pub segment_count: u32,
    /// Rises with each write of the superblock.
    pub generation: u64,
    /// Rises with each opening of the drive.
    pub incarnation: u32,
    /// Where replay begins.
    pub log_start: LogPosition,
    /// The segment that recovery of this incarnation went on in; its header leads back.
    pub log_tail: SegmentId,
    /// The segment of the checkpoint; 0 for none.
    pub checkpoint: SegmentId,
    /// Bytes of the checkpoint.
    pub checkpoint_bytes: u64,
    /// The sum of the checkpoint.
    pub checkpoint_sum: u64,
}

impl Superblock {
    /// Where the four copies stand.
    #[must_use]
    pub fn copy_offsets(segment_bytes: u64) -> [u64; 4] {
        let quarter = segment_bytes / 4;
        [0, quarter, 2 * quarter, 3 * quarter]
    }

    /// One copy.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(MAGIC).u32(VERSION).u32(0);
        out.raw(&self.drive.0).raw(&self.deployment.0);
        out.u16(self.pool.0).u16(self.set.0).u8(self.position.0).u8(self.set_size);
        out.u8(self.parity).u8(self.state as u8).u16(self.set_count).u16(0);
        out.u64(self.segment_bytes).u32(self.segment_count).u64(self.generation);
        out.u32(self.incarnation);
        self.log_start.encode(&mut out);
        out.u32(self.log_tail.0).u32(self.checkpoint.0);
        out.u64(self.checkpoint_bytes).u64(self.checkpoint_sum);
        out.bytes.resize(SUPERBLOCK_BYTES - 8, 0);
        let sum = crc64(&out.bytes);
        out.u64(sum);
        out.bytes
    }

    /// Reads one copy.
    ///
    /// # Errors
    /// Any `FormatError`; `Version` only of a copy whose sum holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "the superblock");
        let body = reader.take(SUPERBLOCK_BYTES - 8)?;
        let sum = reader.u64()?;
        let mut reader = Reader::new(body, "the superblock");
        if reader.u64()? != MAGIC {
            return Err(FormatError::Magic("the superblock"));
        }
        if crc64(body) != sum {
            return Err(FormatError::Sum("the superblock"));
        }
        let found = reader.u32()?;
        if found != VERSION {
            return Err(FormatError::Version { structure: "the drive", found, known: VERSION });
        }
        reader.u32()?;
        Self::decode_fields(reader)
    }

    fn decode_fields(mut reader: Reader<'_>) -> Result<Self, FormatError> {
        let drive = reader.drive_id()?;
        let deployment = DeploymentId(reader.array()?);
        let (pool, set) = (PoolId(reader.u16()?), SetId(reader.u16()?));
        let (position, set_size, parity) = (Position(reader.u8()?), reader.u8()?, reader.u8()?);
        let state = match reader.u8()? {
            1 => DriveState::Formatting,
            2 => DriveState::Active,
            3 => DriveState::Rebuilding,
            _ => return Err(reader.bounds()),
        };
        let set_count = reader.u16()?;
        reader.u16()?;
        let superblock = Self {
            drive,
            deployment,
            pool,
            set,
            position,
            set_size,
            parity,
            set_count,
            state,
            segment_bytes: reader.u64()?,
            segment_count: reader.u32()?,
            generation: reader.u64()?,
            incarnation: reader.u32()?,
            log_start: LogPosition::decode(&mut reader)?,
            log_tail: SegmentId(reader.u32()?),
            checkpoint: SegmentId(reader.u32()?),
            checkpoint_bytes: reader.u64()?,
            checkpoint_sum: reader.u64()?,
        };
        superblock.check(reader)
    }

    fn check(self, reader: Reader<'_>) -> Result<Self, FormatError> {
        let inside = |segment: SegmentId| segment.0 < self.segment_count;
        let sound = (64 << 10..=1 << 30).contains(&self.segment_bytes)
            && self.segment_bytes.is_power_of_two()
            && (8..=1 << 24).contains(&self.segment_count)
            && (1..=128).contains(&self.set_size)
            && self.position.0 < self.set_size
            && self.parity <= self.set_size / 2
            && self.set_count >= 1
            && [self.log_start.segment, self.log_tail, self.checkpoint].into_iter().all(inside)
            && self.log_start.offset_bytes <= self.segment_bytes
            && self.checkpoint_bytes <= self.segment_bytes;
        if sound { Ok(self) } else { Err(reader.bounds()) }
    }
}

impl LogPosition {
    /// No log yet.
    pub const NONE: Self = Self {
        segment: SegmentId(0),
        generation: 0,
        offset_bytes: 0,
        batch_sequence: 0,
        chain: 0,
        successors: [Successor { segment: SegmentId(0), generation: 0 }; 2],
    };

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u32(self.segment.0).u64(self.generation).u64(self.offset_bytes);
        out.u64(self.batch_sequence).u64(self.chain);
        for successor in self.successors {
            out.u32(successor.segment.0).u64(successor.generation);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let successor = |reader: &mut Reader<'_>| {
            let segment = SegmentId(reader.u32()?);
            Ok::<_, FormatError>(Successor { segment, generation: reader.u64()? })
        };
        Ok(Self {
            segment: SegmentId(reader.u32()?),
            generation: reader.u64()?,
            offset_bytes: reader.u64()?,
            batch_sequence: reader.u64()?,
            chain: reader.u64()?,
            successors: [successor(reader)?, successor(reader)?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        Superblock {
            drive: DriveId([1; 16]),
            deployment: DeploymentId([2; 16]),
            pool: PoolId(0),
            set: SetId(1),
            position: Position(3),
            set_size: 6,
            parity: 2,
            set_count: 2,
            state: DriveState::Active,
            segment_bytes: 4 << 20,
            segment_count: 400,
            generation: 7,
            incarnation: 2,
            log_start: LogPosition { segment: SegmentId(5), ..LogPosition::NONE },
            log_tail: SegmentId(6),
            checkpoint: SegmentId(9),
            checkpoint_bytes: 4096,
            checkpoint_sum: 11,
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(Superblock::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = sample().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = sample().encode();
        bytes[8] = 2;
        let sum = crc64(&bytes[..SUPERBLOCK_BYTES - 8]).to_le_bytes();
        bytes[SUPERBLOCK_BYTES - 8..].copy_from_slice(&sum);
        let error = Superblock::decode(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "the drive has format version 2; this build reads up to 1");
    }
}

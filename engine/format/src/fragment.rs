//! Fragments: which extents they have, and the sums of their bytes, kept outside those bytes.
//!
//! A fragment's space is its data, padded to 4 KiB, then its footer, padded to 4 KiB. The footer
//! holds a sum per 64 KiB block of data; the footer's own sum stands in the record, so that a
//! lost, stale or misdirected write of either is seen.

use crate::FormatError;
use crate::wire::{Reader, SUM_CRC64_NVME, Writer, crc64};
use engine_types::{DataId, DriveId, FragmentIndex, Geometry, SegmentId, Sequence};

/// Bytes of fragment data under one sum.
pub const FOOTER_BLOCK_BYTES: usize = 64 << 10;
const UNIT: u64 = 4096;
const EXTENTS_MAX: usize = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"BASALTFF");
const FOOTER_VERSION: u8 = 1;

/// A contiguous run of 4 KiB units in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The segment.
    pub segment: SegmentId,
    /// The first unit in it.
    pub offset_units: u32,
    /// How many units.
    pub units: u32,
}

impl Extent {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.units) * UNIT
    }
}

/// What a drive knows of a fragment it holds; commits with the write that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentRecord {
    /// The run of bytes it is a piece of.
    pub data: DataId,
    /// Which piece.
    pub index: FragmentIndex,
    /// How the run is cut.
    pub geometry: Geometry,
    /// Bytes of the whole run.
    pub object_bytes: u64,
    /// The write that adopted it.
    pub sequence: Sequence,
    /// Whether it lies in append segments (below 1 MiB) and not in extent segments.
    pub append: bool,
    /// Where it lies, in order: data then footer.
    pub extents: Vec<Extent>,
    /// The sum of the footer.
    pub footer_sum: u64,
}

/// Bytes of the footer of a fragment of `fragment_bytes`, unpadded.
#[must_use]
pub fn footer_bytes(fragment_bytes: u64) -> u64 {
    fragment_bytes.div_ceil(FOOTER_BLOCK_BYTES as u64) * 8 + 64
}

impl FragmentRecord {
    /// Bytes of its data.
    #[must_use]
    pub fn fragment_bytes(&self) -> u64 {
        self.geometry.fragment_bytes(self.object_bytes)
    }

    /// 4 KiB units a fragment of `fragment_bytes` takes, footer included.
    #[must_use]
    pub fn units_of(fragment_bytes: u64) -> u64 {
        fragment_bytes.div_ceil(UNIT) + footer_bytes(fragment_bytes).div_ceil(UNIT)
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Writer) {
        out.raw(&self.data.0).u8(self.index.0).u8(u8::from(self.append)).geometry(self.geometry);
        out.u64(self.object_bytes).sequence(self.sequence).u64(self.footer_sum);
        out.count(self.extents.len());
        for extent in &self.extents {
            out.u32(extent.segment.0).u32(extent.offset_units).u32(extent.units);
        }
    }

    /// Reads a record; the extents cover exactly what the fragment needs.
    ///
    /// # Errors
    /// `Bounds`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let data = reader.data_id()?;
        let index = FragmentIndex(reader.u8()?);
        let append = reader.flag()?;
        let geometry = reader.geometry()?;
        let object_bytes = reader.u64()?;
        let sequence = reader.sequence()?;
        let footer_sum = reader.u64()?;
        let count = reader.count(EXTENTS_MAX)?;
        let mut extents = Vec::with_capacity(count);
        let mut units = 0;
        for _ in 0..count {
            let extent = Extent {
                segment: SegmentId(reader.u32()?),
                offset_units: reader.u32()?,
                units: reader.u32()?,
            };
            units += u64::from(extent.units);
            extents.push(extent);
        }
        if object_bytes > 1 << 50 || usize::from(index.0) >= geometry.width() {
            return Err(reader.bounds());
        }
        let record =
            Self { data, index, geometry, object_bytes, sequence, append, extents, footer_sum };
        if Self::units_of(record.fragment_bytes()) == units {
            Ok(record)
        } else {
            Err(reader.bounds())
        }
    }

    /// The value of the `Fragments` keyspace.
    #[must_use]
    pub fn to_value(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.bytes
    }

    /// Reads a value of the `Fragments` keyspace.
    ///
    /// # Errors
    /// `Bounds`.
    pub fn from_value(value: &[u8]) -> Result<Self, FormatError> {
        Self::decode(&mut Reader::new(value, "a fragment record"))
    }
}

/// The sums of a fragment's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentFooter {
    /// The run of bytes.
    pub data: DataId,
    /// Which piece.
    pub index: FragmentIndex,
    /// The drive it was written for.
    pub drive: DriveId,
    /// CRC-64/NVME of each 64 KiB of data, the last one shorter.
    pub sums: Vec<u64>,
}

impl FragmentFooter {
    /// The footer, padded to 4 KiB, and its sum.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, u64) {
        let mut out = Writer::new();
        out.u64(MAGIC).raw(&self.data.0).raw(&self.drive.0).u8(self.index.0);
        out.u8(FOOTER_VERSION).u8(SUM_CRC64_NVME).raw(&[0; 5]);
        out.u64(self.sums.len() as u64).u64(0);
        for sum in &self.sums {
            out.u64(*sum);
        }
        out.pad(UNIT as usize);
        let sum = crc64(&out.bytes);
        (out.bytes, sum)
    }

    /// Reads a footer of a fragment with `block_count` blocks.
    ///
    /// # Errors
    /// `Sum` where it is not the one with this sum; `Version`, `Misplaced` or `Bounds` after that.
    pub fn decode(bytes: &[u8], sum: u64, block_count: usize) -> Result<Self, FormatError> {
        if crc64(bytes) != sum {
            return Err(FormatError::Sum("a fragment footer"));
        }
        let mut reader = Reader::new(bytes, "a fragment footer");
        if reader.u64()? != MAGIC {
            return Err(FormatError::Magic("a fragment footer"));
        }
        let data = reader.data_id()?;
        let drive = reader.drive_id()?;
        let index = FragmentIndex(reader.u8()?);
        let found = reader.u8()?;
        if found != FOOTER_VERSION {
            return Err(reader.version(found.into(), FOOTER_VERSION.into()));
        }
        if reader.u8()? != SUM_CRC64_NVME {
            return Err(reader.bounds());
        }
        reader.take(5)?;
        if reader.u64()? != block_count as u64 {
            return Err(FormatError::Misplaced("a fragment footer"));
        }
        reader.u64()?;
        // The count is the record's, which may be anything; the bytes are here.
        if block_count > reader.rest().len() / 8 {
            return Err(reader.bounds());
        }
        let mut sums = Vec::with_capacity(block_count);
        for _ in 0..block_count {
            sums.push(reader.u64()?);
        }
        Ok(Self { data, index, drive, sums })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_is_bound_to_its_sum() {
        let footer = FragmentFooter {
            data: DataId([1; 16]),
            index: FragmentIndex(2),
            drive: DriveId([3; 16]),
            sums: (0..700).collect(),
        };
        let (bytes, sum) = footer.encode();
        assert_eq!(bytes.len() % 4096, 0);
        assert_eq!(bytes.len() as u64, footer_bytes(700 << 16).next_multiple_of(4096));
        assert_eq!(FragmentFooter::decode(&bytes, sum, 700), Ok(footer));
        assert!(FragmentFooter::decode(&bytes, sum ^ 1, 700).is_err());
        assert!(FragmentFooter::decode(&bytes, sum, 699).is_err());
    }

    #[test]
    fn more_sums_than_a_footer_has_take_no_memory() {
        let footer = FragmentFooter {
            data: DataId([1; 16]),
            index: FragmentIndex(2),
            drive: DriveId([3; 16]),
            sums: vec![7],
        };
        let (mut bytes, _) = footer.encode();
        let claimed = u64::MAX;
        bytes[48..56].copy_from_slice(&claimed.to_le_bytes());
        let found = FragmentFooter::decode(&bytes, crc64(&bytes), claimed as usize);
        assert_eq!(found, Err(FormatError::Bounds("a fragment footer")));
    }

    #[test]
    fn a_record_must_cover_its_fragment() {
        let mut record = FragmentRecord {
            data: DataId([1; 16]),
            index: FragmentIndex(5),
            geometry: Geometry { data: 4, parity: 2, cell_bytes: 256 << 10 },
            object_bytes: 100_000,
            sequence: Sequence::ZERO,
            append: true,
            extents: vec![Extent { segment: SegmentId(4), offset_units: 9, units: 8 }],
            footer_sum: 5,
        };
        assert_eq!(FragmentRecord::units_of(25_024), 8);
        assert_eq!(FragmentRecord::from_value(&record.to_value()), Ok(record.clone()));
        record.extents[0].units = 7;
        assert!(FragmentRecord::from_value(&record.to_value()).is_err());
    }
}

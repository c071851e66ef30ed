//! Bounded little-endian reading and writing, and the one sum used on drives (CRC-64/NVME).

use crate::FormatError;
use engine_types::{BucketId, DataId, DriveId, Epoch, Geometry, Position, PositionSet, Sequence};

/// The number of CRC-64/NVME where a structure names the sum its bytes are under.
pub(crate) const SUM_CRC64_NVME: u8 = 1;

/// CRC-64/NVME of the bytes.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes)
}

/// CRC-64/NVME of the concatenation of the parts.
#[must_use]
pub fn crc64_parts(parts: &[&[u8]]) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// Reads from a byte slice, front to back; every read is bounded.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader; `what` names the structure in errors.
    #[must_use]
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The error of a value outside its bounds.
    #[must_use]
    pub fn bounds(&self) -> FormatError {
        FormatError::Bounds(self.what)
    }

    /// The error of a version this build does not read.
    #[must_use]
    pub fn version(&self, found: u32, known: u32) -> FormatError {
        FormatError::Version { structure: self.what, found, known }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Bounds` where fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(self.bounds())?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// `Bounds` where fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(self.bounds())?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// A byte.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    /// A byte that is 0 or 1.
    ///
    /// # Errors
    /// `Bounds` at the end or for any other byte.
    pub fn flag(&mut self) -> Result<bool, FormatError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bounds()),
        }
    }

    /// Two bytes.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count, at most `max`.
    ///
    /// # Errors
    /// `Bounds` at the end or above `max`.
    pub fn count(&mut self, max: usize) -> Result<usize, FormatError> {
        let count = self.u32()? as usize;
        if count > max { Err(self.bounds()) } else { Ok(count) }
    }

    /// Bytes behind their four-byte length, at most `max`.
    ///
    /// # Errors
    /// `Bounds` at the end or above `max`.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], FormatError> {
        let len = self.count(max)?;
        self.take(len)
    }

    /// UTF-8 text behind its four-byte length, at most `max` bytes.
    ///
    /// # Errors
    /// `Bounds` at the end, above `max` or not UTF-8.
    pub fn text(&mut self, max: usize) -> Result<String, FormatError> {
        let bytes = self.bytes(max)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.bounds())
    }

    /// A sequence.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn sequence(&mut self) -> Result<Sequence, FormatError> {
        let epoch = Epoch(self.u32()?);
        let owner = Position(self.u8()?);
        self.take(3)?;
        Ok(Sequence { epoch, owner, counter: self.u64()? })
    }

    /// A set of positions.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn positions(&mut self) -> Result<PositionSet, FormatError> {
        Ok(PositionSet(u128::from_le_bytes(self.array()?)))
    }

    /// A data id.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn data_id(&mut self) -> Result<DataId, FormatError> {
        Ok(DataId(self.array()?))
    }

    /// A drive id.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn drive_id(&mut self) -> Result<DriveId, FormatError> {
        Ok(DriveId(self.array()?))
    }

    /// A bucket id.
    ///
    /// # Errors
    /// `Bounds` at the end.
    pub fn bucket(&mut self) -> Result<BucketId, FormatError> {
        Ok(BucketId(self.u64()?))
    }

    /// A geometry within the bounds of the codec.
    ///
    /// # Errors
    /// `Bounds` at the end or outside D 1..=100, P 0..=32, cells of 4 KiB to 16 MiB.
    pub fn geometry(&mut self) -> Result<Geometry, FormatError> {
        let (data, parity) = (self.u8()?, self.u8()?);
        let cell_bytes = self.u32()?;
        let sound = (1..=100).contains(&data)
            && parity <= 32
            && (4096..=16 << 20).contains(&cell_bytes)
            && cell_bytes % 4096 == 0;
        if sound { Ok(Geometry { data, parity, cell_bytes }) } else { Err(self.bounds()) }
    }
}

/// Appends to a byte vector.
#[derive(Debug, Default)]
pub struct Writer {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Nothing written.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// A count as four bytes.
    ///
    /// # Panics
    /// If it does not fit: the caller bounds what it stores.
    pub fn count(&mut self, count: usize) -> &mut Self {
        match u32::try_from(count) {
            Ok(count) => self.u32(count),
            Err(_) => panic!("a count of {count} does not fit the format"),
        }
    }

    /// Bytes behind their four-byte length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// A sequence.
    pub fn sequence(&mut self, sequence: Sequence) -> &mut Self {
        self.u32(sequence.epoch.0).u8(sequence.owner.0).raw(&[0; 3]).u64(sequence.counter)
    }

    /// A set of positions.
    pub fn positions(&mut self, positions: PositionSet) -> &mut Self {
        self.raw(&positions.0.to_le_bytes())
    }

    /// A geometry.
    pub fn geometry(&mut self, geometry: Geometry) -> &mut Self {
        self.u8(geometry.data).u8(geometry.parity).u32(geometry.cell_bytes)
    }

    /// Zeros up to a multiple of `unit`.
    pub fn pad(&mut self, unit: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(unit), 0);
        self
    }
}

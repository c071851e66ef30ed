//! What blocks and tails have in common: sum, magic, version, padding.
//!
//! ```text
//! 0   sum      u64  CRC-64/NVME of every byte behind it, padding included
//! 8   magic    u32
//! 12  version  u16
//! ```
//! Invariants: `open` reads nothing but the sum before the sum holds. The place and the kind of
//! the sum are the same in every version.

use crate::{IndexError, UNIT_BYTES};
use crc_fast::CrcAlgorithm;

/// The version of all layouts of this crate.
pub const VERSION: u16 = 1;
/// Bytes of the sum, at the start of a frame.
pub(crate) const SUM_BYTES: usize = 8;

/// CRC-64/NVME.
pub(crate) fn sum_of(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The start of a frame: room for the sum, then magic and version.
pub(crate) fn begin(magic: u32, capacity_bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(capacity_bytes);
    frame.extend_from_slice(&[0; SUM_BYTES]);
    frame.extend_from_slice(&magic.to_le_bytes());
    frame.extend_from_slice(&VERSION.to_le_bytes());
    frame
}

/// Pads a frame with zeros, writes its sum and returns it.
pub(crate) fn seal(frame: &mut Vec<u8>) -> u64 {
    frame.resize(frame.len().next_multiple_of(UNIT_BYTES), 0);
    let sum = sum_of(&frame[SUM_BYTES..]);
    frame[..SUM_BYTES].copy_from_slice(&sum.to_le_bytes());
    sum
}

/// Checks length, sum, magic and version, in this order, and returns the sum.
pub(crate) fn open(frame: &[u8], magic: u32) -> Result<u64, IndexError> {
    if frame.is_empty() || !frame.len().is_multiple_of(UNIT_BYTES) {
        return Err(IndexError::Length { found_bytes: frame.len() });
    }
    let sum = u64_at(frame, 0)?;
    if sum_of(&frame[SUM_BYTES..]) != sum {
        return Err(IndexError::Sum);
    }
    if u32_at(frame, 8)? != magic {
        return Err(IndexError::Magic);
    }
    match u16_at(frame, 12)? {
        VERSION => Ok(sum),
        version => Err(IndexError::Version(version)),
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, IndexError> {
    Ok(u16::from_le_bytes(array_at(bytes, at)?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, IndexError> {
    Ok(u32::from_le_bytes(array_at(bytes, at)?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, IndexError> {
    Ok(u64::from_le_bytes(array_at(bytes, at)?))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], IndexError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    field.copied().ok_or(IndexError::Malformed("a field lies outside"))
}

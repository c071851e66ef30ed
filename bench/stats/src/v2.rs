//! HdrHistogram's V2 encoding, plain and deflated.
//!
//! Shape, big-endian: cookie u32, bytes of the counts u32, index offset u32 (0), significant
//! digits u32 (3), lowest u64 (1), highest u64, unit ratio f64 (1.0), then the counts from slot 0
//! on, each a ZigZag LEB128 of at most 9 bytes; a number below zero is that many empty slots. The
//! deflated form is a cookie u32, a length u32 and a zlib stream of the plain form.
//!
//! Invariants: what is decoded has at most `SLOTS` counts and a total below 2^63, whatever the
//! bytes say; no length is believed; decoding what was encoded gives the same histogram.
//! Source: the HdrHistogram project, `AbstractHistogram.encodeIntoByteBuffer`.

use crate::bytes::Cursor;
use crate::error::StatsError;
use crate::histogram::{HIGHEST_NS, Histogram, SLOTS};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use std::io::{Read, Write};

const COOKIE: u32 = 0x1c84_9313;
const DEFLATED_COOKIE: u32 = 0x1c84_9314;
const HEADER_BYTES: usize = 40;
const DIGITS: u32 = 3;
const LOWEST: u64 = 1;
/// Bytes of the longest number.
const NUMBER_BYTES_MAX: usize = 9;
/// Bytes of the largest plain form.
pub(crate) const PLAIN_BYTES_MAX: usize = HEADER_BYTES + SLOTS * NUMBER_BYTES_MAX;
/// How errors name these bytes.
const WHAT: &str = "histogram";

/// Appends the plain form.
pub(crate) fn encode(histogram: &Histogram, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&COOKIE.to_be_bytes());
    out.extend_from_slice(&0_u32.to_be_bytes());
    out.extend_from_slice(&0_u32.to_be_bytes());
    out.extend_from_slice(&DIGITS.to_be_bytes());
    out.extend_from_slice(&LOWEST.to_be_bytes());
    out.extend_from_slice(&HIGHEST_NS.to_be_bytes());
    out.extend_from_slice(&1.0_f64.to_be_bytes());
    let mut next = 0_u32;
    for (slot, count) in histogram.slots() {
        match slot - next {
            0 => {}
            // A single empty slot is a count of zero, as the reference writes it.
            1 => put_number(out, 0),
            empty => put_number(out, -i64::from(empty)),
        }
        put_number(out, i64::try_from(*count).unwrap_or(i64::MAX));
        next = slot + 1;
    }
    let length = (out.len() - start - HEADER_BYTES) as u32;
    out[start + 4..start + 8].copy_from_slice(&length.to_be_bytes());
}

/// The histogram of a plain form.
///
/// # Errors
/// `Damaged` where the bytes are no V2 histogram, are not all of one, or are one with other
/// digits or another unit than ours.
pub(crate) fn decode(bytes: &[u8]) -> Result<Histogram, StatsError> {
    let mut cursor = Cursor::new(bytes, WHAT);
    if u32::from_be_bytes(cursor.array()?) != COOKIE {
        return Err(cursor.damaged("it does not begin as the V2 encoding does"));
    }
    let length = u32::from_be_bytes(cursor.array()?) as usize;
    let offset = u32::from_be_bytes(cursor.array()?);
    let digits = u32::from_be_bytes(cursor.array()?);
    let lowest = u64::from_be_bytes(cursor.array()?);
    // The highest value says only how long the counts may be, which is checked below.
    let _highest: [u8; 8] = cursor.array()?;
    let ratio = f64::from_be_bytes(cursor.array()?);
    if (offset, digits, lowest) != (0, DIGITS, LOWEST) || ratio.to_bits() != 1.0_f64.to_bits() {
        let why = format!("{digits} digits from {lowest}, offset {offset}, ratio {ratio}");
        return Err(cursor.damaged(format!("{why}; ours have 3 from 1, offset 0, ratio 1")));
    }
    let counts = cursor.take_rest();
    if counts.len() != length || length > PLAIN_BYTES_MAX - HEADER_BYTES {
        let why = format!("{} bytes of counts where {length} are announced", counts.len());
        return Err(cursor.damaged(why));
    }
    decode_counts(counts)
}

fn decode_counts(mut bytes: &[u8]) -> Result<Histogram, StatsError> {
    let damaged = |why: &str| StatsError::damaged(WHAT, why);
    let mut counts = Vec::new();
    let mut total = 0_i64;
    let mut slot = 0_usize;
    while !bytes.is_empty() {
        let number = take_number(&mut bytes).ok_or_else(|| damaged("a count is cut short"))?;
        if number < 0 {
            let empty = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
            slot = slot.saturating_add(empty);
            continue;
        }
        if number > 0 {
            if slot >= SLOTS {
                return Err(damaged("a count lies above 1 hour"));
            }
            total = total.checked_add(number).ok_or_else(|| damaged("the counts overflow"))?;
            counts.push((slot as u32, number.unsigned_abs()));
        }
        slot = slot.saturating_add(1);
    }
    Ok(Histogram::from_slots(counts))
}

/// The deflated form, which the interval log holds.
///
/// # Errors
/// `Io` where the compressor fails.
pub(crate) fn encode_deflated(histogram: &Histogram) -> Result<Vec<u8>, StatsError> {
    let mut plain = Vec::new();
    encode(histogram, &mut plain);
    let mut out = Vec::new();
    out.extend_from_slice(&DEFLATED_COOKIE.to_be_bytes());
    out.extend_from_slice(&0_u32.to_be_bytes());
    let mut encoder = ZlibEncoder::new(out, Compression::default());
    encoder.write_all(&plain)?;
    let mut out = encoder.finish()?;
    let length = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// The histogram of a deflated form.
///
/// # Errors
/// As `decode`, and `TooLarge` where more is deflated than a histogram can have.
pub(crate) fn decode_deflated(bytes: &[u8]) -> Result<Histogram, StatsError> {
    let mut cursor = Cursor::new(bytes, WHAT);
    if u32::from_be_bytes(cursor.array()?) != DEFLATED_COOKIE {
        return Err(cursor.damaged("it does not begin as the deflated V2 encoding does"));
    }
    let length = u32::from_be_bytes(cursor.array()?) as usize;
    let deflated = cursor.take_rest();
    if deflated.len() != length {
        let why = format!("{} bytes where {length} are announced", deflated.len());
        return Err(cursor.damaged(why));
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(deflated)
        .take(PLAIN_BYTES_MAX as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| cursor.damaged(format!("it does not inflate: {error}")))?;
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(StatsError::TooLarge { what: WHAT, limit: PLAIN_BYTES_MAX });
    }
    decode(&plain)
}

/// Appends a number; the ninth byte, if it comes to that, carries all its eight bits.
fn put_number(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    for _ in 1..NUMBER_BYTES_MAX {
        if rest < 0x80 {
            break;
        }
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Takes a number off the front; `None` where the bytes end within it.
fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for index in 0..NUMBER_BYTES_MAX {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if index == NUMBER_BYTES_MAX - 1 {
            value |= u64::from(*byte) << 56;
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(((value >> 1) as i64) ^ -((value & 1) as i64))
}

#[cfg(test)]
#[path = "v2_tests.rs"]
mod tests;

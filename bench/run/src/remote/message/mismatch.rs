//! A wrong answer as bytes: key u64, offset u64, kind u8, which of the two numbers behind are
//! there (bit 0, bit 1) u8, two numbers u64, zero where they are not there.

use super::damaged;
use crate::error::RunError;
use bench_model::{Generation, Mismatch, MismatchKind};
use bench_stats::Cursor;

/// Appends a wrong answer.
pub(super) fn put(mismatch: &Mismatch, out: &mut Vec<u8>) {
    let (kind, one, other) = match mismatch.kind {
        MismatchKind::Stale { found, oldest } => (0_u8, Some(found.0), Some(oldest.0)),
        MismatchKind::NeverWritten { found, newest } => (1, Some(found.0), Some(newest.0)),
        MismatchKind::Torn { generation, other } => {
            (2, generation.map(|generation| generation.0), other.map(|other| other.0))
        }
        MismatchKind::Misdirected { found_key, found_offset } => {
            (3, Some(found_key), Some(found_offset))
        }
        MismatchKind::WrongLength { written_bytes, answered_bytes } => {
            (4, Some(written_bytes), Some(answered_bytes))
        }
        MismatchKind::Foreign { run } => (5, run, None),
    };
    out.extend_from_slice(&mismatch.key.to_le_bytes());
    out.extend_from_slice(&mismatch.offset.to_le_bytes());
    out.push(kind);
    out.push(u8::from(one.is_some()) | u8::from(other.is_some()) << 1);
    out.extend_from_slice(&one.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&other.unwrap_or(0).to_le_bytes());
}

/// Takes a wrong answer off the front.
pub(super) fn take(cursor: &mut Cursor<'_>) -> Result<Mismatch, RunError> {
    let (key, offset) = (cursor.u64()?, cursor.u64()?);
    let (kind, there) = (cursor.u8()?, cursor.u8()?);
    let mut number = |bit: u8| -> Result<Option<u64>, RunError> {
        let number = cursor.u64()?;
        match there & bit {
            0 if number != 0 => Err(damaged("a number where none is announced")),
            0 => Ok(None),
            _ => Ok(Some(number)),
        }
    };
    let (one, other) = (number(1)?, number(2)?);
    let kind = match (kind, one, other) {
        (_, _, _) if there > 3 => return Err(damaged("a wrong answer of three numbers")),
        (0, Some(found), Some(oldest)) => {
            MismatchKind::Stale { found: Generation(found), oldest: Generation(oldest) }
        }
        (1, Some(found), Some(newest)) => {
            MismatchKind::NeverWritten { found: Generation(found), newest: Generation(newest) }
        }
        (2, generation, other) => MismatchKind::Torn {
            generation: generation.map(Generation),
            other: other.map(Generation),
        },
        (3, Some(found_key), Some(found_offset)) => {
            MismatchKind::Misdirected { found_key, found_offset }
        }
        (4, Some(written_bytes), Some(answered_bytes)) => {
            MismatchKind::WrongLength { written_bytes, answered_bytes }
        }
        (5, run, None) => MismatchKind::Foreign { run },
        (other, _, _) => return Err(damaged(&format!("there is no wrong answer {other}"))),
    };
    Ok(Mismatch { key, offset, kind })
}

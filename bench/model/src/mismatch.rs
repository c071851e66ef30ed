//! What is wrong with bytes that a store gave back.
//!
//! Invariant: the sentence a mismatch prints says which key, at which byte, what stands there and
//! what should, so that it is of use without the run at hand.

use crate::payload::COMMON_KEY;
use crate::{Generation, KEYS_MAX};
use std::fmt;

/// Bytes of an object that are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key {key} at byte {offset}: {kind}")]
pub struct Mismatch {
    /// Id of the key that was read.
    pub key: u64,
    /// Offset in the object: of the block that is wrong, or of the first byte too many.
    pub offset: u64,
    /// What is wrong.
    pub kind: MismatchKind,
}

/// What is wrong with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MismatchKind {
    /// An older write of the key than the last one acknowledged before the read began.
    Stale {
        /// The write whose bytes stand there.
        found: Generation,
        /// The oldest one allowed.
        oldest: Generation,
    },
    /// A write of the key that has not begun: the store has the bytes of an earlier run.
    NeverWritten {
        /// The write whose bytes stand there.
        found: Generation,
        /// The newest one begun.
        newest: Generation,
    },
    /// Not the bytes of one write: a block whose sum is wrong, or blocks of several writes.
    Torn {
        /// The write that other blocks are of, or that the block says it is of.
        generation: Option<Generation>,
        /// A second write in the same answer.
        other: Option<Generation>,
    },
    /// A sound block that belongs elsewhere.
    Misdirected {
        /// The key it was written to.
        found_key: u64,
        /// Its offset in that key's object.
        found_offset: u64,
    },
    /// A sound block of an object of another length than the answer claims.
    WrongLength {
        /// Length that was written, as far as is known.
        written_bytes: u64,
        /// Length of the answer, or where it goes on past the end.
        answered_bytes: u64,
    },
    /// No block of this run.
    Foreign {
        /// The run it is of; nothing if it is no block at all.
        run: Option<u64>,
    },
}

impl fmt::Display for MismatchKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { found, oldest } => write!(
                formatter,
                "stale: generation {found} was read after generation {oldest} was acknowledged"
            ),
            Self::NeverWritten { found, newest } => write!(
                formatter,
                "never written: generation {found} was read, the newest begun is {newest}; the \
                 store may hold an earlier run of this seed"
            ),
            Self::Torn { generation: Some(one), other: Some(other) } => {
                write!(formatter, "torn: bytes of generation {one} and of generation {other}")
            }
            Self::Torn { generation: Some(generation), .. } => write!(
                formatter,
                "torn: the block is of generation {generation}, but its bytes are damaged"
            ),
            Self::Torn { generation: None, .. } => {
                write!(formatter, "torn: the bytes are of no generation that may stand here")
            }
            Self::Misdirected { found_key: COMMON_KEY, .. } => {
                write!(formatter, "misdirected: a duplicate block, where none was written")
            }
            Self::Misdirected { found_key, found_offset } => write!(
                formatter,
                "misdirected: the block of key {found_key} at byte {found_offset}{}",
                if *found_key < KEYS_MAX { "" } else { ", a key that no run has" }
            ),
            Self::WrongLength { written_bytes, answered_bytes } => write!(
                formatter,
                "wrong length: {written_bytes} bytes were written, {answered_bytes} answered"
            ),
            Self::Foreign { run: Some(run) } => {
                write!(formatter, "foreign: a block of another run ({run:016x})")
            }
            Self::Foreign { run: None } => {
                write!(formatter, "foreign: the bytes are no block of a benchmark")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_what_where_and_what_instead() {
        let said = |kind| Mismatch { key: 77, offset: 8_192, kind }.to_string();
        let stale = said(MismatchKind::Stale { found: Generation(3), oldest: Generation(5) });
        assert_eq!(
            stale,
            "key 77 at byte 8192: stale: generation 3 was read after generation 5 was acknowledged"
        );
        let expected = [
            (
                MismatchKind::NeverWritten { found: Generation(9), newest: Generation(5) },
                ["never written", "generation 9", "begun is 5"],
            ),
            (
                MismatchKind::Torn { generation: Some(Generation(1)), other: Some(Generation(2)) },
                ["torn", "generation 1", "generation 2"],
            ),
            (
                MismatchKind::Torn { generation: Some(Generation(1)), other: None },
                ["torn", "generation 1", "damaged"],
            ),
            (
                MismatchKind::Torn { generation: None, other: None },
                ["torn", "no generation", "byte 8192"],
            ),
            (
                MismatchKind::Misdirected { found_key: 5, found_offset: 4_096 },
                ["misdirected", "key 5", "byte 4096"],
            ),
            (
                MismatchKind::Misdirected { found_key: COMMON_KEY, found_offset: 0 },
                ["misdirected", "duplicate", "key 77"],
            ),
            (
                MismatchKind::WrongLength { written_bytes: 10, answered_bytes: 20 },
                ["wrong length", "10 bytes were written", "20 answered"],
            ),
            (
                MismatchKind::Foreign { run: Some(255) },
                ["foreign", "another run", "00000000000000ff"],
            ),
            (MismatchKind::Foreign { run: None }, ["foreign", "no block", "key 77"]),
        ];
        for (kind, words) in expected {
            let sentence = said(kind);
            assert!(words.iter().all(|word| sentence.contains(word)), "{sentence}");
        }
    }
}

//! Why bytes are not a block, a tail or a summary.

use engine_types::ErrorClass;

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not the length that was expected, or no length such bytes can have.
    #[error("{found_bytes} bytes cannot be this part of a run")]
    Length {
        /// The bytes given.
        found_bytes: usize,
    },
    /// The bytes are not those that were written.
    #[error("the sum does not hold")]
    Sum,
    /// The bytes are whole but not those the index or the checkpoint names.
    #[error("the sum holds but is not the one expected: an older or another write")]
    OtherSum,
    /// Not this kind of frame.
    #[error("the magic number is wrong")]
    Magic,
    /// Written by a version of the format that this code does not know.
    #[error("format version {0} is not known")]
    Version(u16),
    /// A part of another run.
    #[error("run {found} lies where run {expected} was expected")]
    Run {
        /// The run asked for.
        expected: u64,
        /// The run found.
        found: u64,
    },
    /// Another block of the run.
    #[error("block {found} lies where block {expected} was expected")]
    Block {
        /// The block asked for.
        expected: u32,
        /// The block found.
        found: u32,
    },
    /// The sum holds, but the contents contradict themselves.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

impl IndexError {
    /// What a caller does about it: whatever the reason, another copy may serve.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

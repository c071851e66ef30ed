//! Why bytes are not what they should be.

use engine_types::ErrorClass;

/// Why bytes were not decoded. Never a panic: disk and network are not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Not this structure.
    #[error("the magic number of {0} is missing")]
    Magic(&'static str),
    /// A version this build does not read.
    #[error("{structure} has format version {found}; this build reads up to {known}")]
    Version {
        /// Which structure.
        structure: &'static str,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The sum does not hold.
    #[error("the sum of {0} does not hold")]
    Sum(&'static str),
    /// A length or number outside its bounds, or the bytes end too early.
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
    /// Sound bytes of another place or time.
    #[error("{0} belongs to another place or time")]
    Misplaced(&'static str),
}

impl FormatError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        match self {
            Self::Version { .. } => ErrorClass::Invalid,
            _ => ErrorClass::Corrupt,
        }
    }
}

//! Why a drive refused or failed.

use engine_env::IoError;
use engine_format::FormatError;
use engine_types::ErrorClass;

/// Why a drive refused or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// An I/O failed. After a failed flush, or writes of the log that failed one after the other,
    /// the drive is `Failed` until opened again.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Bytes are not what they should be; another drive may serve.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The drive failed earlier and takes nothing until it is opened again.
    #[error("the drive failed and was taken out of service")]
    Failed,
    /// No space for data. Deletes go on.
    #[error("the drive is full")]
    Full,
    /// No space for data now; garbage is being cleaned away.
    #[error("the drive is full, and space is being freed")]
    Cleaning,
    /// No such fragment or entry on this drive.
    #[error("not on this drive")]
    NotFound,
    /// No basalt superblock: an empty or foreign drive.
    #[error("the drive is not formatted")]
    NotFormatted,
    /// The log breaks before something known durable: rot, not a torn tail.
    #[error("the log breaks before batch {0}, which was durable")]
    LogRot(u64),
    /// The index is rotten: nobody may guess what it said. The drive takes nothing any more.
    #[error("the index of the drive is rotten")]
    IndexRot,
    /// Sent under an epoch that is not in force here.
    #[error("another view is in force")]
    Fenced,
    /// Too small for the reserve.
    #[error("the drive has {0} segments; at least {1} are needed")]
    TooSmall(u32, u32),
}

impl DriveError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        match self {
            Self::Io(error) => error.class(),
            Self::Format(error) => error.class(),
            Self::Failed | Self::NotFormatted | Self::IndexRot => ErrorClass::Device,
            Self::Full => ErrorClass::NoSpace,
            Self::Fenced | Self::Cleaning => ErrorClass::Busy,
            Self::NotFound => ErrorClass::NotFound,
            Self::LogRot(_) => ErrorClass::Corrupt,
            Self::TooSmall(..) => ErrorClass::Invalid,
        }
    }

    /// Whether a drive that says so when it is opened, or fails with it, is beyond repair by itself:
    /// what it holds is not what was written. `Store::begin_anew` gives it another life. A format
    /// of another version is no rot.
    #[must_use]
    pub fn is_rot(self) -> bool {
        match self {
            Self::LogRot(_) | Self::IndexRot => true,
            Self::Format(error) => error.class() == ErrorClass::Corrupt,
            _ => false,
        }
    }
}

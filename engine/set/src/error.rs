//! Why a set refused or failed.

use engine_store::DriveError;
use engine_types::ErrorClass;

/// Why a set refused or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// No object at the key.
    #[error("no object at this key")]
    NoSuchKey,
    /// The bucket is not open for this (any more).
    #[error("no such bucket")]
    NoSuchBucket,
    /// No such upload.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part named by a completion is missing or has another ETag.
    #[error("a named part is missing or has another ETag")]
    InvalidPart,
    /// The condition of a write does not hold.
    #[error("the condition does not hold")]
    ConditionFailed,
    /// The body is not as long as declared.
    #[error("the body is not as long as declared")]
    WrongLength,
    /// This member does not own the key in the view in force; look up again.
    #[error("another drive owns the key")]
    NotOwner,
    /// Too few drives, or a change of view is under way.
    #[error("too few drives are reachable")]
    Unavailable,
    /// So many drives came back without writes they had said were durable that nobody can tell what
    /// the set holds (rule 8).
    #[error("too many drives came back without writes they had said were durable")]
    RolledBack,
    /// Too few drives are in sync for writes; what is decided can be read.
    #[error("too few drives are in sync for writes; reads go on")]
    ReadsOnly,
    /// No space on the drives.
    #[error("no space left")]
    Full,
    /// No capacity now.
    #[error("busy")]
    Busy,
}

impl SetError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        match self {
            Self::NoSuchKey | Self::NoSuchBucket | Self::NoSuchUpload => ErrorClass::NotFound,
            Self::InvalidPart | Self::WrongLength => ErrorClass::Invalid,
            Self::ConditionFailed | Self::NotOwner => ErrorClass::Conflict,
            Self::Unavailable | Self::RolledBack | Self::ReadsOnly => ErrorClass::Unavailable,
            Self::Full => ErrorClass::NoSpace,
            Self::Busy => ErrorClass::Busy,
        }
    }
}

impl From<DriveError> for SetError {
    fn from(error: DriveError) -> Self {
        match error.class() {
            ErrorClass::NoSpace => Self::Full,
            _ if error == DriveError::Cleaning => Self::Busy,
            _ => Self::Unavailable,
        }
    }
}

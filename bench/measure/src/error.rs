//! Why drives were not measured, or not to the end.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why drives were not measured, or not to the end.
#[derive(Debug, Error)]
pub enum MeasureError {
    /// A drive is not what may be measured.
    #[error("drive {path}: {problem}")]
    Drive {
        /// Its path.
        path: PathBuf,
        /// Why, and what is to be done.
        problem: String,
    },
    /// A drive must not be written.
    #[error(transparent)]
    Refused(#[from] bench_run::RunError),
    /// What an earlier run has kept does not belong to this one.
    #[error(
        "{path}: {problem}; go on with the same drives and options, or delete it to begin anew"
    )]
    Partial {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Ended before its time, as the user wanted it.
    #[error("interrupted")]
    Interrupted,
    /// A thread or its ring.
    #[error("the measurement failed: {0}")]
    Host(#[from] io::Error),
}

impl MeasureError {
    /// Whether what was given has to change; else the machine refuses, or the user has ended it.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Drive { .. } | Self::Partial { .. } => true,
            Self::Refused(error) => error.class() == bench_run::ErrorClass::Usage,
            Self::File { .. } | Self::Interrupted | Self::Host(_) => false,
        }
    }
}

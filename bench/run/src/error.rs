//! Why a run did not happen, or ended before its time.

use bench_client::ExchangeError;
use bench_model::ModelError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// What callers do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The user gave something that cannot be.
    Usage,
    /// The target cannot be had, or refuses.
    Target,
    /// This machine refuses.
    Host,
}

/// Why a run did not happen, or ended before its time.
#[derive(Debug, Error)]
pub enum RunError {
    /// A setting cannot be.
    #[error("{setting}: {problem}")]
    Setting {
        /// Its name as a flag.
        setting: &'static str,
        /// What is wrong, and what is valid.
        problem: String,
    },
    /// A part of the load cannot be.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Nobody answers.
    #[error("cannot reach {endpoint}: {error}")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// Why.
        error: ExchangeError,
    },
    /// The server says no.
    #[error("the server refuses to {what} bucket {bucket:?}: {code}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Of which bucket.
        bucket: String,
        /// Its status.
        status: u16,
        /// Status and code, as a text.
        code: String,
    },
    /// Something is in the bucket.
    #[error(
        "bucket {bucket:?} is not empty (it holds {name:?}); give an empty one, or \
         --into-existing to work beside what is there"
    )]
    NotEmpty {
        /// The bucket.
        bucket: String,
        /// The first name in it.
        name: String,
    },
    /// Something is where this run's objects would be.
    #[error(
        "bucket {bucket:?} holds {name:?} under the prefix {prefix:?} already; give another \
         --prefix, or --prepared where an earlier run kept its objects there"
    )]
    PrefixTaken {
        /// The bucket.
        bucket: String,
        /// The run's prefix.
        prefix: String,
        /// The first name under it.
        name: String,
    },
    /// The prepare phase could not write all objects.
    #[error("preparing failed: {failed} of {all} objects could not be written, mostly: {first}")]
    NotPrepared {
        /// Objects that are missing.
        failed: u64,
        /// Objects there should be.
        all: u64,
        /// The code that came most.
        first: String,
    },
    /// A worker cannot be had, or does not serve.
    #[error("worker {worker}: {problem}")]
    Worker {
        /// Its address.
        worker: String,
        /// Why.
        problem: String,
    },
    /// A worker was lost while it had a part in the run.
    #[error("the run is void: worker {worker} was lost: {problem}")]
    WorkerLost {
        /// Its address.
        worker: String,
        /// How.
        problem: String,
    },
    /// Bytes between conductor and worker.
    #[error("damaged message: {problem}")]
    Message {
        /// What is wrong with them.
        problem: String,
    },
    /// The engine of this process does not start, or not serve.
    #[error("the engine: {problem}")]
    Engine {
        /// Why.
        problem: String,
    },
    /// A drive is not, or not so, what the load may work on.
    #[error("drive {path}: {problem}")]
    Drive {
        /// Its path.
        path: PathBuf,
        /// Why, and what is to be done.
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
    /// A thread or its ring.
    #[error("the load generator failed: {0}")]
    Host(#[from] io::Error),
}

impl From<bench_stats::StatsError> for RunError {
    /// Of bytes between conductor and worker.
    fn from(error: bench_stats::StatsError) -> Self {
        Self::Message { problem: error.to_string() }
    }
}

impl RunError {
    /// What callers do about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Setting { .. }
            | Self::Model(_)
            | Self::NotEmpty { .. }
            | Self::Drive { .. }
            | Self::PrefixTaken { .. } => ErrorClass::Usage,
            Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::NotPrepared { .. }
            | Self::Worker { .. }
            | Self::WorkerLost { .. } => ErrorClass::Target,
            Self::Engine { .. } | Self::Message { .. } | Self::File { .. } | Self::Host(_) => {
                ErrorClass::Host
            }
        }
    }
}

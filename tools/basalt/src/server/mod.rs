//! `basalt server`: from the command line to `ServerOptions`, checked and complete.
//!
//! Invariants: when `run` is called, every refusal that needs no drive I/O beyond a look at the
//! first and last MiB has been made, signals are blocked in every thread to come, and nothing
//! has been written outside the directory of `--dev`.

pub mod admin;
mod chosen;
pub mod credentials;
pub mod dev;
pub mod drives;
mod edge;
pub mod hardware;
mod layout;
pub mod options;
mod placement;
mod run;
mod signatures;
pub mod start;
mod view;

pub use drives::{DriveArg, DriveKind};
pub use hardware::ProfileChoice;
pub use options::{DriverChoice, Limits, ServerOptions, StorageOptions, Timeouts};
pub use run::run;

use crate::exit;

/// Why the server ended other than by a clean stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Configuration or drives were refused; nothing was written. One clear sentence.
    #[error("{0}")]
    Refused(String),
    /// It failed. One clear sentence.
    #[error("{0}")]
    Failed(String),
}

impl ServerError {
    /// Its exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => exit::USAGE,
            Self::Failed(_) => exit::FAILED,
        }
    }
}

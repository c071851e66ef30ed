//! What tuning has changed, on disk, so that it can be taken back.
//!
//! Invariants: written whole to a new file that then takes the place of the old one; a change is
//! in the log before it is on the machine; what is read is not trusted (`apply.rs` checks it).

use crate::error::ProfileError;
use crate::load::{bad_field, read};
use crate::whole_file::write_whole;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the log's schema.
const LOG_SCHEMA: u32 = 1;
/// Everybody may read it.
const RIGHTS: u32 = 0o644;

/// One value that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneChange {
    /// Row of the table.
    pub name: String,
    /// The file.
    pub path: String,
    /// Its value before.
    pub before: String,
    /// The value it got.
    pub after: String,
    /// When, in words of the caller.
    pub time: String,
    /// Identity of the drive that the file belonged to.
    #[serde(default)]
    pub wwid: Option<String>,
}

/// All of them, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneLog {
    /// `1`.
    pub schema: u32,
    /// From the first to the last.
    #[serde(default)]
    pub change: Vec<TuneChange>,
}

impl Default for TuneLog {
    fn default() -> Self {
        Self { schema: LOG_SCHEMA, change: Vec::new() }
    }
}

impl TuneLog {
    /// Reads a log; a file that is not there is an empty one.
    ///
    /// # Errors
    /// Where the file cannot be read or is no log of this schema.
    pub fn load(file: &Path) -> Result<Self, ProfileError> {
        let text = match read(file) {
            Err(ProfileError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(Self::default());
            }
            text => text?,
        };
        let log: Self = toml::from_str(&text).map_err(|error| bad_field(file, &text, &error))?;
        if log.schema != LOG_SCHEMA {
            return Err(ProfileError::Schema {
                file: file.to_owned(),
                found: log.schema.to_string(),
                expected: LOG_SCHEMA,
            });
        }
        Ok(log)
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// Where the directory is not there or cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), ProfileError> {
        let text = toml::to_string(self)?;
        let unwritable = |source| ProfileError::Unwritable { file: file.to_owned(), source };
        write_whole(file, &text, RIGHTS).map_err(unwritable)
    }
}

//! Why a profile or a tune log cannot be used; each is one clear sentence.

use std::io;
use std::path::PathBuf;

/// Errors of profile files, presets and tune logs. Probing has none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file cannot be opened or read.
    #[error("{} cannot be read: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", .file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Far more bytes than any profile has.
    #[error("{} is no profile: it has more than {bytes_max} bytes", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// The text is not TOML, or not UTF-8.
    #[error("{}, line {line}: {reason}", .file.display())]
    NotToml {
        /// The file.
        file: PathBuf,
        /// 1-based.
        line: usize,
        /// From the parser.
        reason: String,
    },
    /// Written for another version of the schema.
    #[error("{} has schema {found}; this build reads schema {expected}", .file.display())]
    Schema {
        /// The file.
        file: PathBuf,
        /// What stands there.
        found: String,
        /// What this build reads.
        expected: u32,
    },
    /// A field that the schema does not have, lacks, or has with another type.
    #[error("{}, line {line}, `{field}`: {reason}", .file.display())]
    BadField {
        /// The file.
        file: PathBuf,
        /// 1-based.
        line: usize,
        /// Section and key.
        field: String,
        /// What is wrong, with the valid names or values.
        reason: String,
    },
    /// A value out of bounds, or one that does not go with the others.
    #[error("{}: `{field}` is {found}; {expected}", .file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Section and key.
        field: String,
        /// The value.
        found: String,
        /// What would be valid.
        expected: String,
    },
    /// No preset of that name.
    #[error("there is no preset `{name}`; there are {known}")]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// Every name.
        known: String,
    },
    /// Serialisation failed, which no valid profile does.
    #[error("the profile cannot be written as TOML: {0}")]
    NotRendered(#[from] toml::ser::Error),
}

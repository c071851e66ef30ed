//! What was found so far, kept beside the profile that it will become.
//!
//! Invariants: the file is replaced whole; one that is damaged, of another version, of other drives
//! or with other parameters is refused and never overwritten; no more than a bound is read.

use crate::error::MeasureError;
use crate::load::LARGE_BYTES;
use crate::session::Target;
use crate::steps::{Found, Step};
use hw_profile::{Method, write_whole};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Of the file's fields.
const VERSION: u32 = 1;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Everybody may read it.
const RIGHTS: u32 = 0o644;

/// Where the figures of a profile are kept until they are complete.
#[must_use]
pub fn partial_of(profile: &Path) -> PathBuf {
    let mut name = profile.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// What figures of one run have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    pub(crate) method: Method,
    pub(crate) seconds_per_point: f64,
    /// As asked for.
    pub(crate) bytes: Option<u64>,
}

/// A file that was made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// One drive, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundDrive {
    /// As given.
    pub path: String,
    /// What names it in a profile.
    pub identity: String,
    /// Identities of the disks below: a path may lead to others some day.
    pub(crate) disks: Vec<String>,
    /// Of those disks together; `None`: not known.
    pub(crate) capacity_bytes: Option<u64>,
    /// Bytes that are read and written; 0: not known yet.
    pub(crate) span_bytes: u64,
    /// The file that was made on it and is there as long as this stands here.
    pub(crate) scratch: Option<FileIdentity>,
    /// By step.
    pub found: BTreeMap<Step, Found>,
}

impl FoundDrive {
    /// Nothing was found yet.
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            path: target.path.display().to_string(),
            identity: target.identity.clone(),
            disks: target.disks.clone(),
            capacity_bytes: target.capacity_bytes,
            span_bytes: 0,
            scratch: None,
            found: BTreeMap::new(),
        }
    }
}

/// The figures of all drives so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partial {
    version: u32,
    pub(crate) parameters: Parameters,
    /// In the order they were given.
    pub drives: Vec<FoundDrive>,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: Option<u64>,
}

impl Partial {
    pub(crate) fn new(parameters: Parameters, targets: &[Target]) -> Self {
        let drives = targets.iter().map(FoundDrive::new).collect();
        Self { version: VERSION, parameters, drives }
    }

    /// What an earlier run has kept; `None`: nothing.
    pub(crate) fn load(file: &Path) -> Result<Option<Self>, MeasureError> {
        let failed = |error| MeasureError::File { path: file.to_owned(), error };
        let opened = match File::open(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(foreign(file, "it is too large to be of a measurement"));
        }
        let damaged = |error: serde_json::Error| foreign(file, format!("it is damaged: {error}"));
        let only: VersionOnly = serde_json::from_slice(&bytes).map_err(damaged)?;
        if only.version != Some(u64::from(VERSION)) {
            return Err(foreign(file, format!("it is not of version {VERSION}")));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Refuses what is of another run.
    pub(crate) fn check(&self, file: &Path, other: &Self) -> Result<(), MeasureError> {
        let identities = |partial: &Self| -> Vec<String> {
            partial.drives.iter().map(|drive| drive.identity.clone()).collect()
        };
        if identities(self) != identities(other) {
            let known = identities(self).join(", ");
            return Err(foreign(file, format!("it is of other drives: {known}")));
        }
        for (known, now) in self.drives.iter().zip(&other.drives) {
            if (&known.disks, known.capacity_bytes) != (&now.disks, now.capacity_bytes) {
                let problem = format!("other disks are below {} now than before", now.path);
                return Err(foreign(file, problem));
            }
            if !known.span_bytes.is_multiple_of(LARGE_BYTES) {
                return Err(foreign(file, "a span in it is no multiple of 1 MiB"));
            }
        }
        if self.parameters != other.parameters {
            return Err(foreign(file, "it is of a run with other options"));
        }
        Ok(())
    }

    pub(crate) fn save(&self, file: &Path) -> Result<(), MeasureError> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| MeasureError::Host(error.into()))?;
        let failed = |error| MeasureError::File { path: file.to_owned(), error };
        write_whole(file, &(text + "\n"), RIGHTS).map_err(failed)
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_complete(&self) -> bool {
        let mut steps = Step::ALONE.into_iter().chain(Step::TOGETHER);
        steps.all(|step| self.drives.iter().all(|drive| drive.found.contains_key(&step)))
    }
}

fn foreign(file: &Path, problem: impl Into<String>) -> MeasureError {
    MeasureError::Partial { path: file.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn partial(identity: &str, seconds_per_point: f64) -> Partial {
        let parameters =
            Parameters { method: Method::Quick, seconds_per_point, bytes: Some(1 << 30) };
        let target = Target {
            path: PathBuf::from("/d1"),
            identity: identity.to_owned(),
            disks: vec!["eui.below".to_owned()],
            capacity_bytes: Some(1 << 40),
        };
        Partial::new(parameters, &[target])
    }

    #[test]
    fn what_was_saved_is_loaded_again() {
        let scratch = Scratch::new("partial");
        let file = partial_of(&scratch.path().join("lab.toml"));
        assert!(Partial::load(&file).unwrap().is_none());
        let mut saved = partial("eui.1", 0.1);
        let found = Found { rate: 0.1 + 0.2, knee: Some(4), ..Found::default() };
        saved.drives[0].found.insert(Step::ReadDepth, found);
        saved.drives[0].scratch = Some(FileIdentity { device: 1, inode: 2 });
        saved.save(&file).unwrap();
        assert_eq!(Partial::load(&file).unwrap().as_ref(), Some(&saved));
        assert!(file.ends_with("lab.toml.partial") && !saved.is_complete());
    }

    #[test]
    fn what_is_damaged_or_of_others_is_refused() {
        let scratch = Scratch::new("foreign");
        let file = scratch.path().join("lab.toml.partial");
        for (text, word) in [
            ("", "damaged"),
            ("[1]", "damaged"),
            ("{\"version\": 2, \"more\": 1}", "version 1"),
            ("{}", "version 1"),
            ("{\"version\": 1}", "damaged"),
        ] {
            std::fs::write(&file, text).unwrap();
            let said = Partial::load(&file).unwrap_err().to_string();
            assert!(said.contains(word) && said.contains("delete it"), "{text}: {said}");
        }
        let mine = partial("eui.1", 0.1);
        mine.check(&file, &mine).unwrap();
        let drives = mine.check(&file, &partial("eui.2", 0.1)).unwrap_err().to_string();
        assert!(drives.contains("eui.1"), "{drives}");
        assert!(mine.check(&file, &partial("eui.1", 9.0)).is_err());
        let mut other = mine.clone();
        other.drives[0].disks = vec!["eui.other".to_owned()];
        let disks = mine.check(&file, &other).unwrap_err().to_string();
        assert!(disks.contains("other disks") && disks.contains("delete it"), "{disks}");
        other = mine.clone();
        other.drives[0].capacity_bytes = Some(1 << 41);
        assert!(mine.check(&file, &other).is_err());
        other = mine.clone();
        other.drives[0].span_bytes = (16 << 20) + 1;
        assert!(other.check(&file, &mine).unwrap_err().to_string().contains("1 MiB"));
    }
}

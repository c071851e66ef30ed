//! Settings of the kernel that the profile wants: the table (a dry run), applying it, taking it
//! back, and the same as a script for review.
//!
//! Invariants: the table changes nothing; every knob has a row, one that cannot be set has the
//! reason in it; a value is logged before it is written, and only files of `files.rs` are ever
//! written, whatever a log or profile says; a write cache is never flipped. What is set lasts until
//! the next start of the machine.

mod apply;
mod files;
mod log;
mod script;

pub use apply::{Outcome, apply, revert};
pub use log::{TuneChange, TuneLog};
pub use script::script;

use crate::file::Profile;
use crate::probe::{self, Machine, Root};
use files::{Bound, Place, SPECS, Spec};
use serde::Serialize;

/// How a knob stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KnobState {
    /// It has the wanted value already.
    Set,
    /// It can be set.
    Differs {
        /// Whether this user may not, but root may.
        needs_root: bool,
    },
    /// It cannot be set here.
    CannotSet {
        /// Why.
        reason: String,
    },
    /// It could be set, and is not.
    Refused {
        /// Why.
        reason: String,
    },
}

/// One file that a knob sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnobFile {
    /// The file.
    pub path: String,
    /// Its value now.
    pub now: Option<String>,
    /// Identity of the drive that the file belongs to.
    pub wwid: Option<String>,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Knob {
    /// Drive and setting, such as `nvme0n1 scheduler`, or the setting alone.
    pub name: String,
    /// Its value now; several, parted by `+`, where its files differ.
    pub now: Option<String>,
    /// The value the profile wants.
    pub wanted: String,
    /// What it is good for.
    pub why: &'static str,
    /// What it can do harm to.
    pub risk: &'static str,
    /// How long it lasts.
    pub persists: &'static str,
    /// How it stands.
    pub state: KnobState,
    /// Its files.
    pub files: Vec<KnobFile>,
}

/// The table: a row for every knob that the profile sets, and for every device in use where the
/// knob belongs to drives.
#[must_use]
pub fn knobs(profile: &Profile, machine: &Machine, root: &Root) -> Vec<Knob> {
    let mut rows = Vec::new();
    for (field, wanted) in profile.os.wanted() {
        let Some(spec) = SPECS.iter().find(|spec| spec.field == field) else { continue };
        match spec.place {
            Place::Queue => {
                for name in machine.devices_in_use() {
                    let file = knob_file(root, files::queue_file(name, field), Some(name));
                    rows.push(row(root, spec, format!("{name} {field}"), &wanted, vec![file]));
                }
            }
            Place::Governors => {
                let files = files::governor_files(root).into_iter();
                let files = files.map(|path| knob_file(root, path, None)).collect();
                rows.push(row(root, spec, field.to_owned(), &wanted, files));
            }
            Place::File(path) => {
                let file = knob_file(root, path.to_owned(), None);
                rows.push(row(root, spec, field.to_owned(), &wanted, vec![file]));
            }
        }
    }
    rows
}

fn knob_file(root: &Root, path: String, device: Option<&str>) -> KnobFile {
    let now = root.word(&path).map(|text| probe::chosen(&text).to_owned());
    let wwid = device.and_then(|name| probe::identity(root, name));
    KnobFile { path, now, wwid }
}

fn row(root: &Root, spec: &Spec, name: String, wanted: &str, files: Vec<KnobFile>) -> Knob {
    let mut values: Vec<&str> = files.iter().filter_map(|one| one.now.as_deref()).collect();
    values.sort_unstable();
    values.dedup();
    let now = if values.is_empty() { None } else { Some(values.join("+")) };
    Knob {
        name,
        now,
        wanted: wanted.to_owned(),
        why: spec.why,
        risk: spec.risk,
        persists: "until the next start",
        state: state(root, spec, wanted, &files),
        files,
    }
}

fn state(root: &Root, spec: &Spec, wanted: &str, files: &[KnobFile]) -> KnobState {
    if let Some(reason) = spec.refused {
        return KnobState::Refused { reason: reason.to_owned() };
    }
    let cannot = |reason: String| KnobState::CannotSet { reason };
    if files.is_empty() || files.iter().any(|file| file.now.is_none()) {
        return cannot("the kernel has no such setting here".to_owned());
    }
    if files.iter().all(|file| is_met(spec, file, wanted)) {
        return KnobState::Set;
    }
    let mut needs_root = false;
    for file in files {
        if let Some(offered) = files::offered(root, spec, &file.path)
            && !offered.iter().any(|word| word == wanted)
        {
            return cannot(format!("the kernel offers {}", offered.join(", ")));
        }
        match root.check_writable(&file.path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => needs_root = true,
            Err(error) => return cannot(format!("{} cannot be written: {error}", file.path)),
        }
    }
    KnobState::Differs { needs_root }
}

fn is_met(spec: &Spec, file: &KnobFile, wanted: &str) -> bool {
    let Some(now) = file.now.as_deref() else { return false };
    if now == wanted {
        return true;
    }
    let number = |text: &str| text.parse::<u64>().ok();
    match (spec.bound, number(now), number(wanted)) {
        (Bound::AtLeast, Some(now), Some(wanted)) => now >= wanted,
        _ => false,
    }
}

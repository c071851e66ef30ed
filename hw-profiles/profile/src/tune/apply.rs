//! Setting the knobs, and taking it back.
//!
//! Invariants: all changes of a run are in the log before the first is made; after a write the
//! value is read back, because the kernel may round it or take it silently; one knob that fails
//! stops no other; taking back goes from the last change to the first and leaves alone what
//! somebody else has changed since.

use super::files::may_write;
use super::log::{TuneChange, TuneLog};
use super::{Knob, KnobState};
use crate::error::ProfileError;
use crate::probe::{self, Root};
use crate::validate::is_plain_word;
use serde::Serialize;
use std::path::Path;

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Row of the table.
    pub name: String,
    /// The file; empty for a knob that was not touched.
    pub path: String,
    /// Its value before.
    pub before: Option<String>,
    /// The value it was to get.
    pub wanted: String,
    /// Why it did not; None: it did.
    pub problem: Option<String>,
}

/// Sets what the table says can be set. `time` goes to the log as it is.
///
/// # Errors
/// Where the log cannot be read or written; nothing has been changed then.
pub fn apply(
    root: &Root,
    knobs: &[Knob],
    log_file: &Path,
    time: &str,
) -> Result<Vec<Outcome>, ProfileError> {
    let mut log = TuneLog::load(log_file)?;
    let mut outcomes = Vec::new();
    let mut changes = Vec::new();
    for knob in knobs {
        match &knob.state {
            KnobState::Set => {}
            KnobState::Differs { .. } => changes.extend(changes_of(root, knob, time)),
            KnobState::CannotSet { reason } | KnobState::Refused { reason } => {
                outcomes.push(Outcome {
                    name: knob.name.clone(),
                    path: String::new(),
                    before: knob.now.clone(),
                    wanted: knob.wanted.clone(),
                    problem: Some(reason.clone()),
                });
            }
        }
    }
    if changes.is_empty() {
        return Ok(outcomes);
    }
    log.change.extend(changes.iter().cloned());
    log.save(log_file)?;
    for change in changes {
        let problem = set(root, &change.path, &change.after).err();
        outcomes.push(Outcome {
            name: change.name,
            path: change.path,
            before: Some(change.before),
            wanted: change.after,
            problem,
        });
    }
    Ok(outcomes)
}

/// The files of a knob that differ now, with their values as they are now.
fn changes_of(root: &Root, knob: &Knob, time: &str) -> Vec<TuneChange> {
    let change = |file: &super::KnobFile| {
        let before = value(root, &file.path)?;
        (before != knob.wanted).then(|| TuneChange {
            name: knob.name.clone(),
            path: file.path.clone(),
            before,
            after: knob.wanted.clone(),
            time: time.to_owned(),
            wwid: file.wwid.clone(),
        })
    };
    knob.files.iter().filter_map(change).collect()
}

fn value(root: &Root, path: &str) -> Option<String> {
    root.word(path).map(|text| probe::chosen(&text).to_owned())
}

fn set(root: &Root, path: &str, wanted: &str) -> Result<(), String> {
    if !may_write(path) {
        return Err("this is no file that tuning may write".to_owned());
    }
    if !is_plain_word(wanted) {
        return Err(format!("{wanted:?} is no value of a knob"));
    }
    root.write(path, wanted).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => format!("{error}; run it as root"),
        _ => error.to_string(),
    })?;
    match value(root, path) {
        Some(now) if now == wanted => Ok(()),
        now => Err(format!("the kernel has {} instead", now.as_deref().unwrap_or("nothing"))),
    }
}

/// Takes back what the log says was changed; what could not be stays in the log.
///
/// # Errors
/// Where the log cannot be read, or cannot be written afterwards.
pub fn revert(root: &Root, log_file: &Path) -> Result<Vec<Outcome>, ProfileError> {
    let log = TuneLog::load(log_file)?;
    let mut outcomes = Vec::new();
    let mut left = Vec::new();
    for change in log.change.into_iter().rev() {
        let before = value(root, &change.path);
        let problem = take_back(root, &change, before.as_deref()).err();
        outcomes.push(Outcome {
            name: change.name.clone(),
            path: change.path.clone(),
            before,
            wanted: change.before.clone(),
            problem: problem.clone(),
        });
        if problem.is_some() {
            left.push(change);
        }
    }
    left.reverse();
    TuneLog { schema: log.schema, change: left }.save(log_file)?;
    Ok(outcomes)
}

fn take_back(root: &Root, change: &TuneChange, now: Option<&str>) -> Result<(), String> {
    let Some(now) = now else { return Err("the setting is not there any more".to_owned()) };
    if let Some(wwid) = &change.wwid {
        let device =
            change.path.strip_prefix("/sys/block/").and_then(|rest| rest.split('/').next());
        let live = device.and_then(|name| probe::identity(root, name));
        if live.as_ref() != Some(wwid) {
            return Err(format!("the name belongs to another drive now, not to {wwid}"));
        }
    }
    if now == change.before {
        return Ok(());
    }
    if now != change.after {
        return Err(format!("somebody has set it to {now} since; it is left alone"));
    }
    set(root, &change.path, &change.before)
}

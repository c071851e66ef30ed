//! The directories that the engine's drives lie in: looked at before, and taken away after.
//!
//! Invariants: nothing is made before all were looked at; what is in use or of somebody else is
//! refused and stays as it is; only files that a drive is made of are ever deleted, only where
//! there was nothing before and the engine had them, and directories only where this run made them.

use crate::drive::refuse_missing_device;
use crate::error::RunError;
use crate::plan::EnginePlan;
use crate::run::RunOptions;
use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first file of a drive.
const FIRST_FILE: &str = "basalt-000000.data";
/// Every fresh ext file system has one.
const OF_FILE_SYSTEM: &str = "lost+found";
/// Of the number in the name of a drive's file.
const NUMBER_DIGITS: usize = 6;
/// A drive that grows may make a file so long after its shard has ended.
const LATE_US_MAX: u64 = 2_000_000;
const RETRY: Duration = Duration::from_millis(50);

fn refused(path: &Path, problem: impl Into<String>) -> RunError {
    RunError::Drive { path: path.to_owned(), problem: problem.into() }
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> RunError {
    move |error| RunError::File { path: path.to_owned(), error }
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Missing,
    Empty,
    /// A drive of basalt.
    Drive,
    /// Something of this name.
    Foreign(String),
}

/// Looks at a directory without changing it.
fn look(path: &Path) -> Result<Look, RunError> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            refuse_missing_device(path)?;
            return Ok(Look::Missing);
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(refused(path, "the target engine takes directories only"));
        }
        found => found.map_err(in_file(path))?,
    };
    let (mut first, mut is_drive) = (None, false);
    for entry in entries {
        let name = entry.map_err(in_file(path))?.file_name();
        let name = name.to_string_lossy();
        is_drive |= name == FIRST_FILE;
        if name != OF_FILE_SYSTEM {
            first.get_or_insert_with(|| name.into_owned());
        }
    }
    Ok(match first {
        _ if is_drive => Look::Drive,
        Some(name) => Look::Foreign(name),
        None => Look::Empty,
    })
}

/// The drives' directories.
#[derive(Debug)]
pub(super) struct Drives {
    paths: Vec<PathBuf>,
    /// Directories that this run made, parents first.
    made: Vec<PathBuf>,
    /// There was nothing in them: all that is, is this run's.
    is_ours: bool,
}

impl Drives {
    /// Looks at the drives of a plan, and makes those directories that are missing.
    ///
    /// # Errors
    /// Where one holds anything that the options do not allow, or cannot be made.
    pub(super) fn take(plan: &EnginePlan, options: &RunOptions) -> Result<Self, RunError> {
        let (root, paths) = places(plan, options);
        let looked: Vec<Look> = paths.iter().map(|path| look(path)).collect::<Result<_, _>>()?;
        let is_drive = |look: &Look| *look == Look::Drive;
        for (path, look) in paths.iter().zip(&looked) {
            match look {
                Look::Foreign(name) => {
                    let problem = format!("it is no drive of basalt (it holds {name:?})");
                    return Err(refused(path, problem));
                }
                Look::Drive if !options.into_existing => {
                    let problem = "it holds data; give an empty directory, or --into-existing to \
                                   work beside what is there";
                    return Err(refused(path, problem));
                }
                Look::Missing | Look::Empty if looked.iter().any(is_drive) => {
                    return Err(refused(path, "nothing is in it, but other drives hold data"));
                }
                Look::Missing | Look::Empty | Look::Drive => {}
            }
        }
        let is_ours = !looked.iter().any(is_drive);
        if let Some(root) = root.as_deref().filter(|_| is_ours) {
            let name = match look(root)? {
                Look::Missing | Look::Empty => None,
                Look::Foreign(name) => Some(name),
                Look::Drive => Some(FIRST_FILE.to_owned()),
            };
            if let Some(name) = name {
                return Err(refused(root, format!("it is not empty (it holds {name:?})")));
            }
        }
        let mut drives = Self { paths, made: Vec::new(), is_ours };
        let wanted: Vec<PathBuf> = root.into_iter().chain(drives.paths.clone()).collect();
        for path in wanted {
            match std::fs::create_dir(&path) {
                Ok(()) => drives.made.push(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    // The error that keeps the run from beginning is told.
                    _ = drives.abandon();
                    return Err(in_file(&path)(error));
                }
            }
        }
        Ok(drives)
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether there was nothing in them before.
    pub(super) fn are_ours(&self) -> bool {
        self.is_ours
    }

    /// Takes away the directories that this run made, where nothing is in them; answers those that
    /// stay. No file is deleted: another process may have made it after the look.
    pub(super) fn abandon(self) -> Vec<PathBuf> {
        let made = self.made.into_iter().rev();
        made.filter(|path| std::fs::remove_dir(path).is_err()).collect()
    }

    /// Takes away what this run wrote and made. The engine must have had all drives, and no thread
    /// may have them open any more.
    ///
    /// # Errors
    /// Where something cannot be deleted.
    pub(super) fn remove(mut self) -> Result<(), RunError> {
        if !self.is_ours {
            return Ok(());
        }
        let until_us = shards_executor::now_us().saturating_add(LATE_US_MAX);
        loop {
            for path in &self.paths {
                remove_files(path)?;
            }
            match self.remove_made() {
                Ok(()) => return Ok(()),
                Err((_, error))
                    if error.kind() == ErrorKind::DirectoryNotEmpty
                        && shards_executor::now_us() < until_us => {}
                Err((path, error)) => return Err(in_file(&path)(error)),
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Forgets each directory once it is gone: whoever makes it again owns it.
    fn remove_made(&mut self) -> Result<(), (PathBuf, io::Error)> {
        while let Some(path) = self.made.pop() {
            match std::fs::remove_dir(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    self.made.push(path.clone());
                    return Err((path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Deletes the files of a drive.
fn remove_files(path: &Path) -> Result<(), RunError> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(in_file(path))?,
    };
    for entry in entries {
        let entry = entry.map_err(in_file(path))?;
        if !is_of_drive(&entry) {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            // One that was being prepared has its own name now; the next look finds it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.map_err(in_file(&entry.path()))?,
        }
    }
    Ok(())
}

/// Whether it is a file that a drive is made of, by its whole name (`shards-uring`, `grow.rs`). There
/// are no others.
fn is_of_drive(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let number = name.to_str().and_then(|name| {
        let rest = name.strip_prefix("basalt-")?;
        rest.strip_suffix(".data").or_else(|| rest.strip_suffix(".preparing"))
    });
    number.is_some_and(|digits| {
        digits.len() == NUMBER_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit())
    }) && entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// The directory that drives are made in, where none is given; and the drives.
fn places(plan: &EnginePlan, options: &RunOptions) -> (Option<PathBuf>, Vec<PathBuf>) {
    if !plan.drives.is_empty() {
        return (None, plan.drives.clone());
    }
    let root = match &plan.directory {
        Some(directory) => directory.clone(),
        None => options.directory.join("engine"),
    };
    let drives = (1..=plan.drive_count).map(|number| root.join(format!("drive-{number}")));
    let drives = drives.collect();
    (Some(root), drives)
}

#[cfg(test)]
#[path = "drives_tests.rs"]
mod tests;

//! `basalt profile measure`: what the drives do, put into the profile of this machine.
//!
//! Invariants: a profile that is there is refused before anything is measured, unless it is to be
//! replaced, and so is a machine that no profile can hold; it is there whole or not at all; figures
//! are kept beside it until then; one that could not be read back is never printed or written.

use super::arguments::MeasureArguments;
use super::{Refused, choice, files, plain, probe, refused};
use crate::{exit, output, signals, sys};
use bench_measure::{
    FoundDrive, MeasureError, Options, Target, measure, merge, partial_of, placeholders,
};
use hw_profile::{Machine, Method, Profile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs it and returns the exit code.
pub(super) fn command(arguments: &MeasureArguments) -> Result<u8, Refused> {
    let out = arguments.out.as_deref();
    if let Some(file) = out {
        files::refuse_existing(file, arguments.force)?;
    }
    // Before any thread is started: they inherit what it blocks.
    let shutdown = signals::listen().map_err(|error| (exit::FAILED, error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let to_stop = Arc::clone(&stop);
    shutdown.on_begin(move || to_stop.store(true, Ordering::Relaxed));
    let machine = choice::look(&arguments.drives)?;
    let options = options(arguments);
    let targets = targets(&machine);
    let name = out.map_or_else(|| probe::NAME.to_owned(), probe::name_of);
    // What no profile can hold is refused now, not after hours.
    profile_of(&machine, &name, &placeholders(&targets), options.method)?;
    let mut say = |line: &str| output::complain(&plain(line));
    let drives = measure(&targets, &options, &stop, &mut say)
        .map_err(|error| explained(&error, options.partial.as_deref()))?;
    let (text, notes) = profile_of(&machine, &name, &drives, options.method)?;
    for note in &notes {
        output::complain(&plain(note));
    }
    let Some(file) = out else {
        output::out(&text);
        return Ok(exit::OK);
    };
    // Somebody may have made one in the meantime: it looks again.
    files::write(file, &text, files::READABLE, arguments.force)?;
    // Its figures are in the profile now; that it stays does no harm.
    _ = std::fs::remove_file(partial_of(file));
    output::complain(&plain(&format!("the profile is in {}", file.display())));
    Ok(exit::OK)
}

/// The machine's profile with these figures, as a text that can be read back, and what a person
/// should know.
fn profile_of(
    machine: &Machine,
    name: &str,
    drives: &[FoundDrive],
    method: Method,
) -> Result<(String, Vec<String>), Refused> {
    let draft = probe::drafted(machine, name);
    let merged = merge(draft, machine, drives, method, &probe::today());
    let text = merged.profile.to_toml().map_err(|error| refused(&error))?;
    match Profile::parse(Path::new("draft"), &text) {
        Ok(_) => Ok((text, merged.notes)),
        Err(error) => Err((exit::FAILED, format!("no valid profile can be made of this: {error}"))),
    }
}

fn options(arguments: &MeasureArguments) -> Options {
    Options {
        method: if arguments.full { Method::Full } else { Method::Quick },
        seconds_per_point: arguments.seconds_per_step,
        bytes: arguments.bytes,
        may_destroy: arguments.destroy,
        partial: arguments.out.as_deref().map(partial_of),
        available_bytes,
    }
}

fn available_bytes(path: &Path) -> io::Result<u64> {
    sys::file_system_room(path).map(|room| room.available_bytes)
}

fn targets(machine: &Machine) -> Vec<Target> {
    let target = |place: &hw_profile::DrivePlace| {
        let disks: Vec<_> = place.disks.iter().map(|name| machine.device(name)).collect();
        // Not the kernel's name, which is another one after the next start.
        let identity = |disk: &Option<&hw_profile::BlockDevice>| {
            disk.and_then(|disk| disk.identity.clone()).unwrap_or_else(|| "unknown".to_owned())
        };
        let capacities = disks.iter().map(|disk| disk.and_then(|disk| disk.capacity_bytes));
        let capacity_bytes: Option<u64> = capacities.sum();
        let mut identities: Vec<String> = disks.iter().map(identity).collect();
        identities.sort();
        Target {
            path: PathBuf::from(&place.path),
            // Each place has one.
            identity: place.identity.clone().unwrap_or_else(|| format!("path:{}", place.path)),
            disks: identities,
            capacity_bytes,
        }
    };
    machine.drives.iter().map(target).collect()
}

fn explained(error: &MeasureError, partial: Option<&Path>) -> Refused {
    let code = match error {
        MeasureError::Interrupted => exit::PARTIAL,
        _ if error.is_usage() => exit::USAGE,
        _ => exit::FAILED,
    };
    let kept = partial.filter(|file| code != exit::USAGE && file.exists());
    let text = match kept {
        Some(file) => {
            let file = file.display();
            format!("{error}; what was found is in {file}, and the same command goes on from there")
        }
        None => error.to_string(),
    };
    (code, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_drive_that_no_profile_can_hold_is_refused_before_it_is_measured() {
        let tried = |path: &str| {
            let place = hw_profile::DrivePlace {
                path: path.to_owned(),
                kind: hw_profile::PlaceKind::Directory,
                identity: Some(format!("path:{path}")),
                chain: Vec::new(),
                disks: Vec::new(),
                file_system: None,
                notes: Vec::new(),
            };
            let machine = Machine { drives: vec![place], ..Machine::default() };
            profile_of(&machine, "lab", &placeholders(&targets(&machine)), Method::Quick)
        };
        let (text, _) = tried("/srv/d1").unwrap();
        assert!(text.contains("path:/srv/d1"), "{text}");
        let (code, said) = tried("/srv/d\u{7}1").unwrap_err();
        assert!(code == exit::FAILED && said.contains("device.wwid"), "{said}");
    }

    #[test]
    fn an_interruption_says_how_to_go_on() {
        let place = TempDir::new();
        let file = PathBuf::from(place.file("lab.toml.partial", b"{}"));
        let (code, said) = explained(&MeasureError::Interrupted, Some(&file));
        assert!(code == exit::PARTIAL && said.contains("lab.toml.partial"), "{said}");
        assert_eq!(explained(&MeasureError::Interrupted, None).1, "interrupted");
    }
}

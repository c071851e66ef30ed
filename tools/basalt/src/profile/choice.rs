//! Which profile is meant, and which drives: the rules for the arguments of all commands.
//!
//! Invariants: the name of a preset always means the preset; a file of a profile ends in `.toml` or
//! is far smaller than any drive; what is neither there nor looks like a path is a profile, so that
//! a misspelt preset is refused and never taken for a drive.

use super::{Refused, plain, refused};
use crate::server::drives;
use crate::{exit, output};
use hw_profile::{
    Machine, PRESETS, PROFILE_BYTES_MAX, PlaceKind, Profile, Root, choose_preset, preset, probe,
};
use std::path::Path;

/// The profile's name, if one is given, and the drives after it.
pub(super) fn split(given: &[String]) -> (Option<&str>, &[String]) {
    match given.split_first() {
        Some((first, drives)) if is_profile(first) => (Some(first.as_str()), drives),
        _ => (None, given),
    }
}

fn is_preset(name: &str) -> bool {
    PRESETS.iter().any(|preset| preset.name == name)
}

fn is_toml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "toml")
}

fn is_profile(name: &str) -> bool {
    if is_preset(name) || is_toml(name) {
        return true;
    }
    match std::fs::metadata(name) {
        Ok(metadata) => metadata.is_file() && metadata.len() <= PROFILE_BYTES_MAX,
        Err(_) => !name.contains(['/', '{']),
    }
}

/// Reads a profile: a preset, or else a file.
pub(super) fn load(name: &str) -> Result<Profile, Refused> {
    let path = Path::new(name);
    let is_file = is_toml(name) || name.contains('/') || path.exists();
    let profile = if is_file && !is_preset(name) { Profile::load(path) } else { preset(name) };
    profile.map_err(|error| refused(&error))
}

/// Looks at the machine, and at what the drives lie on.
pub(super) fn look(patterns: &[String]) -> Result<Machine, Refused> {
    let expanded = if patterns.is_empty() { Ok(Vec::new()) } else { drives::expand(patterns) };
    let paths = expanded.map_err(|refusal| (exit::USAGE, refusal.to_string()))?;
    let machine = probe(&Root::real(), &paths);
    for drive in machine.drives.iter().filter(|drive| drive.kind == PlaceKind::Missing) {
        let path = &drive.path;
        let text = match shards_node::is_missing_device(Path::new(path)) {
            true => format!("{path}: there is no such device"),
            false => {
                format!("{path} is not there yet, so the directory it will be in is looked at")
            }
        };
        output::complain(&plain(&text));
    }
    Ok(machine)
}

/// The profile of that name; without a name the preset that fits, with a warning.
pub(super) fn choose(name: Option<&str>, machine: &Machine) -> Result<Profile, Refused> {
    let Some(name) = name else {
        let choice = choose_preset(machine).map_err(|error| refused(&error))?;
        output::complain(&plain(&choice.warning));
        return Ok(choice.profile);
    };
    load(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    const OWN: &[u8] = b"\
schema = 1
[profile]
name = \"own\"
source = \"manual\"
created = \"2026-11-30\"
";

    fn name_of(given: &[&str]) -> (Option<String>, usize) {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        let (name, drives) = split(&given);
        (name.map(str::to_owned), drives.len())
    }

    #[test]
    fn the_first_argument_is_a_profile_by_its_name_or_size() {
        let place = TempDir::new();
        let small = place.file("small", b"schema = 1\n");
        let large = place.file("large", b"");
        let opened = std::fs::OpenOptions::new().write(true).open(&large).unwrap();
        opened.set_len(PROFILE_BYTES_MAX + 1).unwrap();
        let directory = place.directory("d1");
        for profile in ["generic", "absent.toml", "aws-i9", small.as_str()] {
            assert_eq!(name_of(&[profile, "/d"]), (Some(profile.to_owned()), 1), "{profile}");
        }
        for drive in [large.as_str(), directory.as_str(), "/absent/d1", "d{1...4}", "/dev/null"] {
            assert_eq!(name_of(&[drive, "/d"]), (None, 2), "{drive}");
        }
        assert_eq!(name_of(&[]), (None, 0));
    }

    #[test]
    fn presets_and_files_are_loaded_and_what_is_neither_is_named() {
        assert_eq!(load("generic").unwrap().profile.name, "generic");
        let place = TempDir::new();
        let file = place.file("own", OWN);
        assert_eq!(load(&file).unwrap().profile.name, "own");
        let (code, said) = load("aws-i9").unwrap_err();
        assert!(code == exit::NOT_FOUND && said.contains("`aws-i9`"), "{said}");
        let (code, said) = load(&place.entry("none.toml")).unwrap_err();
        assert!(code == exit::NOT_FOUND && said.contains("none.toml"), "{said}");
    }

    #[test]
    fn a_broken_pattern_is_refused() {
        let (code, said) = look(&["/d{3...1}".to_owned()]).unwrap_err();
        assert!(code == exit::USAGE && said.contains("{3...1}"), "{said}");
    }
}

//! `basalt profile probe`: the machine as it is, and the draft of its profile.
//!
//! Invariant: a draft that could not be read back is never printed or written.

use super::arguments::{ProbeArguments, ProbeFormat};
use super::{Refused, choice, files, json, plain, refused};
use crate::{exit, logging, output, version};
use hw_profile::{DraftHeader, Machine, Profile, draft, fingerprint};
use std::path::Path;

/// Name of a draft that is not written to a file.
pub(super) const NAME: &str = "machine";
/// Names of profiles are no longer.
const NAME_BYTES_MAX: usize = 64;

/// Runs it and returns the exit code.
pub(super) fn command(arguments: &ProbeArguments) -> Result<u8, Refused> {
    let machine = choice::look(&arguments.drives)?;
    let name = arguments.out.as_deref().map_or_else(|| NAME.to_owned(), name_of);
    let text = match arguments.format {
        ProbeFormat::Text => plain(&format!("{machine}fingerprint {}\n", fingerprint(&machine))),
        ProbeFormat::Toml => draft_text(&machine, &name)?,
        ProbeFormat::Json => json(&machine)?,
    };
    if let Some(file) = &arguments.out {
        let draft = draft_text(&machine, &name)?;
        files::write(file, &draft, files::READABLE, arguments.force)?;
        output::complain(&format!("the draft of a profile is in {}", file.display()));
    }
    output::out(&text);
    Ok(exit::OK)
}

/// Today, such as `2026-11-30`.
pub(super) fn today() -> String {
    logging::utc_now().chars().take("2026-11-30".len()).collect()
}

/// The facts of a machine as a profile of that name.
pub(super) fn drafted(machine: &Machine, name: &str) -> Profile {
    let header = DraftHeader {
        name: name.to_owned(),
        created: today(),
        tool_version: version::VERSION.to_owned(),
    };
    draft(machine, header)
}

fn draft_text(machine: &Machine, name: &str) -> Result<String, Refused> {
    let text = drafted(machine, name).to_toml().map_err(|error| refused(&error))?;
    match Profile::parse(Path::new("draft"), &text) {
        Ok(_) => Ok(text),
        Err(error) => {
            Err((exit::FAILED, format!("no valid profile can be made of this machine: {error}")))
        }
    }
}

/// The name of the file without its ending, in the letters that a profile's name may have.
pub(super) fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name: String = stem
        .chars()
        .map(|letter| if fits(letter) { letter } else { '-' })
        .take(NAME_BYTES_MAX)
        .collect();
    if name.is_empty() { NAME.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_has_the_name_of_its_file() {
        for (file, name) in [
            ("/etc/basalt/Lab 7.toml", "lab-7"),
            ("rack_3.toml", "rack_3"),
            ("m\u{fc}ll.toml", "m-ll"),
            ("/", NAME),
        ] {
            assert_eq!(name_of(Path::new(file)), name, "{file}");
        }
        assert_eq!(name_of(Path::new(&"x".repeat(200))).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn a_machine_without_facts_has_a_draft() {
        let text = draft_text(&Machine::default(), "empty").unwrap();
        assert!(text.contains("source = \"probe\"") && text.contains("fingerprint"), "{text}");
    }
}

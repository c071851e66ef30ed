//! Files that a command writes for its user.
//!
//! Invariants: a file that is there stays as it is without `--force`; with it only a regular file
//! is replaced, by a new one with rights of its own; a file that could not be written whole is
//! removed again.

use super::Refused;
use crate::exit;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Rights of a file that everybody may read.
pub(super) const READABLE: u32 = 0o644;
/// Rights of a script.
pub(super) const EXECUTABLE: u32 = 0o755;

/// Writes a new file. `mode` is narrowed by the umask.
pub(super) fn write(file: &Path, text: &str, mode: u32, force: bool) -> Result<(), Refused> {
    let failed = |error: std::io::Error| {
        (exit::FAILED, format!("{} cannot be written: {error}", file.display()))
    };
    if force {
        make_room(file)?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let mut opened = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = format!("{} is there already; --force overwrites it", file.display());
            return Err((exit::CONFLICT, text));
        }
        opened => opened.map_err(failed)?,
    };
    opened.write_all(text.as_bytes()).map_err(|error| {
        // Half a profile or script must not be taken for a whole one.
        _ = std::fs::remove_file(file);
        failed(error)
    })
}

/// Removes a regular file; devices and directories are never meant.
fn make_room(file: &Path) -> Result<(), Refused> {
    let Ok(metadata) = std::fs::symlink_metadata(file) else { return Ok(()) };
    if !metadata.is_file() {
        let text = format!("{} is no regular file, so it is not replaced", file.display());
        return Err((exit::CONFLICT, text));
    }
    std::fs::remove_file(file)
        .map_err(|error| (exit::FAILED, format!("{} cannot be replaced: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    #[test]
    fn a_file_is_replaced_by_force_only() {
        let place = TempDir::new();
        let file = PathBuf::from(place.file("out", b"old"));
        let (code, said) = write(&file, "new", READABLE, false).unwrap_err();
        assert!(code == exit::CONFLICT && said.contains("--force"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        write(&file, "new", EXECUTABLE, true).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_ne!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o100, 0);
        let absent = PathBuf::from(place.entry("none")).join("out");
        assert_eq!(write(&absent, "new", READABLE, true).unwrap_err().0, exit::FAILED);
    }

    #[test]
    fn what_is_no_regular_file_stays() {
        let place = TempDir::new();
        let directory = PathBuf::from(place.directory("d"));
        assert_eq!(write(&directory, "new", READABLE, true).unwrap_err().0, exit::CONFLICT);
        assert!(directory.is_dir());
    }
}

//! Files that a command writes for its user.
//!
//! Invariants: a file that is there stays as it is without `--force`; with it only a regular file
//! is replaced, by a new one with rights of its own; a file is there whole or not at all.

use super::Refused;
use crate::exit;
use hw_profile::write_whole;
use std::io::ErrorKind;
use std::path::Path;

/// Rights of a file that everybody may read.
pub(super) const READABLE: u32 = 0o644;
/// Rights of a script.
pub(super) const EXECUTABLE: u32 = 0o755;

/// Writes a new file. `mode` is narrowed by the umask.
pub(super) fn write(file: &Path, text: &str, mode: u32, force: bool) -> Result<(), Refused> {
    refuse_existing(file, force)?;
    write_whole(file, text, mode)
        .map_err(|error| (exit::FAILED, format!("{} cannot be written: {error}", file.display())))
}

/// A file that is there is replaced only if the user says so; what is no file never is.
pub(super) fn refuse_existing(file: &Path, force: bool) -> Result<(), Refused> {
    let shown = file.display();
    match std::fs::symlink_metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err((exit::FAILED, format!("{shown} cannot be looked at: {error}"))),
        Ok(metadata) if !metadata.is_file() => {
            Err((exit::CONFLICT, format!("{shown} is no regular file, so it is not replaced")))
        }
        Ok(_) if force => Ok(()),
        Ok(_) => Err((exit::CONFLICT, format!("{shown} is there already; --force overwrites it"))),
    }
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
        refuse_existing(&PathBuf::from(place.entry("none.toml")), false).unwrap();
    }
}

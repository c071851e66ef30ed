//! Files that are there whole or not at all.
//!
//! Invariants: whoever looks sees the old file or the new one, also after power was lost; what is
//! there under another name, whoever made it, is left alone.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Names that are tried; who finds so many taken looks at what happens there.
const NAMES_MAX: u32 = 100;

/// Writes a file under another name, flushes it and gives it its own name, in the place of what has
/// it. `mode` are its rights, narrowed by the umask.
///
/// # Errors
/// Where it cannot be written: what was there is still there then, unless no more than the flush of
/// its directory failed.
pub fn write_whole(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let (beside, opened) = make_beside(file, mode)?;
    write(file, &beside, opened, text).inspect_err(|_| {
        // The error that kept it from being written is told.
        _ = std::fs::remove_file(&beside);
    })
}

/// A new file under a name that nobody has.
fn make_beside(file: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut number = 0;
    loop {
        let path = beside(file, number);
        match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < NAMES_MAX => {
                number += 1;
            }
            opened => return Ok((path, opened?)),
        }
    }
}

fn beside(file: &Path, number: u32) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}-{number}.new", std::process::id()));
    PathBuf::from(name)
}

fn write(file: &Path, beside: &Path, mut opened: File, text: &str) -> io::Result<()> {
    opened.write_all(text.as_bytes())?;
    opened.sync_all()?;
    std::fs::rename(beside, file)?;
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeRoot;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let place = FakeRoot::new();
        let file = place.path("/out.toml");
        for (text, mode) in [("first", 0o644), ("second", 0o700)] {
            write_whole(&file, text, mode).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
            let rights = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(rights & 0o700, mode & 0o700, "{text}");
        }
        assert_eq!(std::fs::read_dir(place.path("/")).unwrap().count(), 1);
        let taken = beside(&file, 0);
        std::fs::write(&taken, "precious").unwrap();
        write_whole(&file, "third", 0o644).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "third");
        assert_eq!(std::fs::read_to_string(&taken).unwrap(), "precious");
        assert!(write_whole(&place.path("/absent/out.toml"), "text", 0o644).is_err());
    }

    #[test]
    fn what_cannot_be_replaced_stays_as_it_is() {
        let place = FakeRoot::new();
        place.directory("/out/full");
        assert!(write_whole(&place.path("/out"), "text", 0o644).is_err());
        assert!(place.path("/out/full").is_dir());
        assert_eq!(std::fs::read_dir(place.path("/")).unwrap().count(), 1);
    }
}

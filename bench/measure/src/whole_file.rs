//! Files that are there whole or not at all.

use crate::error::MeasureError;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Names that are tried; who finds so many taken looks at what happens there.
const NAMES_MAX: u32 = 100;

/// Writes a file under another name, flushes it and gives it its own name: whoever looks sees the
/// old one or the new one.
///
/// # Errors
/// Where it cannot be written; what was there is still there then.
pub fn write_whole(file: &Path, text: &str) -> Result<(), MeasureError> {
    let failed = |error| MeasureError::File { path: file.to_owned(), error };
    let (beside, opened) = make_beside(file).map_err(failed)?;
    write(file, &beside, opened, text).map_err(|error| {
        // The error that kept it from being written is told.
        _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// A new file under a name that nobody has: what is there, whoever made it, is left alone.
fn make_beside(file: &Path) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    let mut number = 0;
    loop {
        let path = beside(file, &format!(".{}-{number}.new", std::process::id()));
        match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < NAMES_MAX => {
                number += 1;
            }
            opened => return Ok((path, opened?)),
        }
    }
}

/// The path with something behind its name.
pub(crate) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
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
    use crate::testing::Scratch;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let scratch = Scratch::new("whole");
        let file = scratch.path().join("out.toml");
        for text in ["first", "second"] {
            write_whole(&file, text).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
        let taken = beside(&file, &format!(".{}-0.new", std::process::id()));
        std::fs::write(&taken, "precious").unwrap();
        write_whole(&file, "third").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "third");
        assert_eq!(std::fs::read_to_string(&taken).unwrap(), "precious");
        let absent = scratch.path().join("absent").join("out.toml");
        assert!(write_whole(&absent, "text").is_err());
    }
}

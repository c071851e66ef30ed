//! The tree that facts are read from: `/`, or a directory that a test has filled.
//!
//! Invariants: paths are absolute and stay below the root; reads are bounded; the only function
//! that writes is for tuning, and creates nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const FILE_BYTES_MAX: u64 = 1 << 20;
const ENTRIES_MAX: usize = 16_384;

/// Prefix of every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The machine itself.
    #[must_use]
    pub fn real() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A tree below this directory.
    #[must_use]
    pub fn below(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// Where an absolute path really is.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The content of a file without white space around it; at most 1 MiB of it.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(path)).ok()?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The same, None if nothing is in it; runs of white space become one space.
    pub(crate) fn word(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.is_empty() { None } else { Some(words.join(" ")) }
    }

    /// A number that is not negative.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Names in a directory, sorted; empty where it cannot be read.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(directory)) else { return Vec::new() };
        let names = entries.take(ENTRIES_MAX).filter_map(|entry| {
            let entry = entry.ok()?;
            Some(entry.file_name().to_string_lossy().into_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    /// Names in a directory that are this prefix and a number, in the order of the numbers.
    pub(crate) fn numbered(&self, directory: &str, prefix: &str) -> Vec<(u32, String)> {
        let mut found: Vec<(u32, String)> = self
            .names(directory)
            .into_iter()
            .filter_map(|name| Some((name.strip_prefix(prefix)?.parse::<u32>().ok()?, name)))
            .collect();
        found.sort_unstable();
        found
    }

    /// Whether something is there.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The path with every link followed, absolute below the root; None if it does not exist.
    pub(crate) fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let root = std::fs::canonicalize(&self.0).ok()?;
        let whole = std::fs::canonicalize(self.path(path)).ok()?;
        Some(Path::new("/").join(whole.strip_prefix(&root).ok()?))
    }

    /// The name of what a link leads to.
    pub(crate) fn resolved_name(&self, path: &str) -> Option<String> {
        let resolved = self.resolve(Path::new(path))?;
        Some(resolved.file_name()?.to_string_lossy().into_owned())
    }

    /// The name of the directory that holds what a link leads to.
    pub(crate) fn resolved_parent_name(&self, path: &str) -> Option<String> {
        let resolved = self.resolve(Path::new(path))?;
        Some(resolved.parent()?.file_name()?.to_string_lossy().into_owned())
    }

    /// Whether a file could be written, without writing.
    pub(crate) fn check_writable(&self, path: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path(path)).map(|_| ())
    }

    /// Writes a word to a file that exists.
    pub(crate) fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.path(path))?;
        // In one call, because the kernel takes each write as a whole value.
        file.write_all(format!("{value}\n").as_bytes())
    }
}

//! Temporary directories for unit tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A fresh directory, removed on drop.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("basalt-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Path of an entry, as text.
    pub fn entry(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// Creates a directory in it.
    pub fn directory(&self, name: &str) -> String {
        std::fs::create_dir_all(self.0.join(name)).expect("directory");
        self.entry(name)
    }

    /// Creates a file in it.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.0.join(name), content).expect("file");
        self.entry(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

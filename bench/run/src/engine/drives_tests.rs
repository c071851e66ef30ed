//! In a scratch directory, without an engine.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-engine-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a scratch directory");
        Self(path)
    }

    fn plan(&self, drives: &[&str]) -> EnginePlan {
        EnginePlan {
            drives: drives.iter().map(|name| self.0.join(name)).collect(),
            drive_count: 2,
            directory: None,
            drive_bytes: 1 << 30,
        }
    }

    fn options(&self) -> RunOptions {
        RunOptions { directory: self.0.clone(), ..RunOptions::default() }
    }

    fn write(&self, name: &str) {
        std::fs::write(self.0.join(name), b"value").expect("room for a few bytes");
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the scratch directory");
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn said(taken: Result<Drives, RunError>) -> String {
    taken.map_or_else(|error| error.to_string(), |drives| format!("{drives:?}"))
}

#[test]
fn what_was_made_goes_away_and_nothing_else() {
    let scratch = Scratch::new();
    let drives = Drives::take(&scratch.plan(&[]), &scratch.options()).unwrap();
    assert_eq!(scratch.names(), ["engine"]);
    assert!(drives.are_ours() && drives.paths()[1].ends_with("engine/drive-2"));
    scratch.write("engine/drive-1/basalt-000000.data");
    drives.remove().unwrap();
    assert_eq!(scratch.names(), Vec::<String>::new());
    // A directory that was there, and what somebody laid into it meanwhile, stay.
    std::fs::create_dir(scratch.0.join("d1")).unwrap();
    let drives = Drives::take(&scratch.plan(&["d1"]), &scratch.options()).unwrap();
    for name in ["basalt-000000.data", "basalt-000001.preparing"] {
        scratch.write(&format!("d1/{name}"));
    }
    let of_others = ["basalt-00000a.data", "basalt-00001.data", "basalt-notes", "thesis.txt"];
    for name in of_others {
        scratch.write(&format!("d1/{name}"));
    }
    drives.remove().unwrap();
    let left = std::fs::read_dir(scratch.0.join("d1")).unwrap().flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, of_others);
}

#[test]
fn a_start_that_failed_deletes_no_file() {
    let scratch = Scratch::new();
    let drives = Drives::take(&scratch.plan(&["d1", "d2"]), &scratch.options()).unwrap();
    // Another process came between the look and the start.
    scratch.write("d1/basalt-000000.data");
    assert_eq!(drives.abandon(), [scratch.0.join("d1")]);
    assert_eq!(scratch.names(), ["d1"]);
    assert!(scratch.0.join("d1/basalt-000000.data").exists());
}

#[test]
fn what_holds_anything_is_refused_before_anything_is_made() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.0.join("used")).unwrap();
    scratch.write("used/thesis.txt");
    let mut options = scratch.options();
    for into_existing in [false, true] {
        options.into_existing = into_existing;
        let text = said(Drives::take(&scratch.plan(&["new", "used"]), &options));
        assert!(text.contains("thesis.txt"), "{text}");
    }
    std::fs::create_dir(scratch.0.join("drive")).unwrap();
    scratch.write("drive/basalt-000000.data");
    options.into_existing = false;
    let text = said(Drives::take(&scratch.plan(&["new", "drive"]), &options));
    assert!(text.contains("nothing is in it") || text.contains("--into-existing"), "{text}");
    options.into_existing = true;
    let text = said(Drives::take(&scratch.plan(&["new", "drive"]), &options));
    assert!(text.contains("nothing is in it"), "{text}");
    let drives = Drives::take(&scratch.plan(&["drive"]), &options).unwrap();
    assert!(!drives.are_ours());
    drives.remove().unwrap();
    assert!(scratch.0.join("drive/basalt-000000.data").exists(), "it was there before");
    scratch.write("file");
    let text = said(Drives::take(&scratch.plan(&["file"]), &options));
    assert!(text.contains("directories only"), "{text}");
    assert_eq!(scratch.names(), ["drive", "file", "used"]);
}

#[test]
fn a_directory_for_drives_is_empty_before() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.0.join("all")).unwrap();
    scratch.write("all/thesis.txt");
    let plan = EnginePlan { directory: Some(scratch.0.join("all")), ..scratch.plan(&[]) };
    let text = said(Drives::take(&plan, &scratch.options()));
    assert!(text.contains("thesis.txt"), "{text}");
    assert!(!scratch.0.join("all/drive-1").exists());
}

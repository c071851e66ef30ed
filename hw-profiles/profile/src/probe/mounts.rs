//! What is mounted where, as this process sees it.

use super::root::Root;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// Number of the device, such as `8:1`; `0:N` where the file system has no device, or several.
    pub device: String,
    /// Type of the file system.
    pub kind: String,
    /// What was mounted, as it was named then.
    pub source: String,
}

/// All mounts, in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads `/proc/self/mountinfo`.
    #[must_use]
    pub fn read(root: &Root) -> Self {
        Self::parse(&root.text("/proc/self/mountinfo").unwrap_or_default())
    }

    /// Reads the text of that file; lines that are not understood are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(parse_line).collect())
    }

    /// The mount that holds a path without links: the longest point above it; of several on one
    /// point, the one mounted last.
    #[must_use]
    pub fn holding(&self, path: &Path) -> Option<&Mount> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        // Of equal ones this takes the last.
        above.max_by_key(|mount| mount.point.as_os_str().len())
    }

    /// Where the device of that number is mounted.
    pub(crate) fn points_of(&self, device: &str) -> Vec<String> {
        let mounts = self.0.iter().filter(|mount| mount.device == device);
        mounts.map(|mount| mount.point.display().to_string()).collect()
    }
}

/// Such as `36 35 98:0 /below /mnt rw,noatime master:1 - ext3 /dev/root rw`.
fn parse_line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let device = left.next()?.to_owned();
    let point = PathBuf::from(unescape(left.nth(1)?));
    let mut right = right.split(' ');
    let kind = right.next()?.to_owned();
    let source = unescape(right.next().unwrap_or(""));
    Some(Mount { point, device, kind, source })
}

/// The kernel writes space, tab, newline and backslash as octal.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /tmp rw - tmpfs tmpfs rw
23 21 8:17 / /mnt/my\\040drive rw - xfs /dev/sdb1 rw
24 21 8:33 / /mnt/d rw - btrfs /dev/sdc1 rw
25 24 8:34 /sub /mnt/d rw - ext4 /dev/sdd1 rw
not a line
";

    #[test]
    fn the_nearest_and_latest_mount_holds_a_path() {
        let mounts = Mounts::parse(MOUNTS);
        let held = |path: &str| mounts.holding(Path::new(path)).map(|mount| mount.device.as_str());
        assert_eq!(held("/tmp/x"), Some("0:20"));
        assert_eq!(held("/tmpx"), Some("8:1"));
        assert_eq!(held("/mnt/my drive/d1"), Some("8:17"));
        assert_eq!(held("/mnt/d"), Some("8:34"));
        assert_eq!(Mounts::default().holding(Path::new("/")), None);
        assert_eq!(mounts.points_of("8:17"), ["/mnt/my drive"]);
    }
}

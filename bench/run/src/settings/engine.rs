//! Settings of the target `engine`: which drives, and which operations it does.

use super::Settings;
use super::values::{size, small, wrong};
use crate::error::RunError;
use crate::plan::{EnginePlan, Load};
use bench_model::Operation;
use std::path::PathBuf;

/// Drives that are made where none is given.
const DRIVES: u32 = 6;
/// Drives of a node, at most.
const DRIVES_MAX: u32 = 256;
/// What each may hold.
const DRIVE_BYTES: u64 = 1 << 30;
/// What it does.
const OPERATIONS: [Operation; 6] = [
    Operation::Put,
    Operation::Get,
    Operation::GetRange,
    Operation::Head,
    Operation::Delete,
    Operation::List,
];

impl Settings {
    /// The engine's drives; nothing is made, or looked at, yet.
    pub(super) fn engine(&self, load: &Load) -> Result<EnginePlan, RunError> {
        let mut streams = load.mix.streams().iter();
        if let Some(stream) = streams.find(|stream| !OPERATIONS.contains(&stream.operation)) {
            let problem = format!(
                "{} is the gateway's work; the target engine does put, get, get-range, head, \
                 delete and list",
                stream.operation
            );
            return Err(wrong("--mix", problem));
        }
        let mut drives: Vec<PathBuf> = Vec::new();
        for text in &self.drive {
            for path in expanded(text)? {
                if drives.contains(&path) {
                    return Err(wrong("--drive", format!("{} stands there twice", path.display())));
                }
                drives.push(path);
            }
        }
        if !drives.is_empty() {
            for (setting, is_given) in
                [("--drives", self.drives.is_some()), ("--dir", self.dir.is_some())]
            {
                if is_given {
                    return Err(wrong(setting, "the drives are named by --drive already"));
                }
            }
        }
        let drive_bytes = size("--drive-bytes", self.drive_bytes.as_deref(), DRIVE_BYTES)?;
        let drive_count = small("--drives", self.drives.as_deref(), DRIVES, (1, DRIVES_MAX))?;
        let directory = self.dir.as_deref().map(PathBuf::from);
        Ok(EnginePlan { drives, drive_count, directory, drive_bytes })
    }
}

/// The paths of a text with at most one `{1...6}`.
fn expanded(text: &str) -> Result<Vec<PathBuf>, RunError> {
    let refused =
        || wrong("--drive", format!("{text:?} is no path, as /srv/d1 or /srv/d{{1...6}}"));
    if text.is_empty() {
        return Err(refused());
    }
    let Some((before, rest)) = text.split_once('{') else {
        return Ok(vec![PathBuf::from(text)]);
    };
    let (range, behind) = rest.split_once('}').ok_or_else(refused)?;
    let (first, last) = range.split_once("...").ok_or_else(refused)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| refused());
    let (first, last) = (number(first)?, number(last)?);
    let is_right = first <= last && last - first < DRIVES_MAX && !behind.contains(['{', '}']);
    if !is_right {
        return Err(refused());
    }
    Ok((first..=last).map(|number| PathBuf::from(format!("{before}{number}{behind}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::TargetPlan;
    use crate::run::RunOptions;

    fn engine(change: impl FnOnce(&mut Settings)) -> Result<(EnginePlan, RunOptions), RunError> {
        let mut settings = Settings { target: Some("engine".to_owned()), ..Settings::default() };
        change(&mut settings);
        let (plan, options) = settings.check("run-1")?;
        let TargetPlan::Engine(engine) = plan.target else { panic!("{}", plan.target) };
        Ok((engine, options))
    }

    #[test]
    fn drives_are_made_unless_they_are_named() {
        let (plan, options) = engine(|_| {}).unwrap();
        assert!(plan.drives.is_empty() && plan.directory.is_none() && !options.keep);
        assert_eq!((plan.drive_count, plan.drive_bytes), (6, 1 << 30));
        let (plan, _) = engine(|settings| {
            settings.drive = vec!["/srv/d{2...4}/x".to_owned(), "/mnt/e".to_owned()];
            settings.drive_bytes = Some("8GiB".to_owned());
        })
        .unwrap();
        let expected = ["/srv/d2/x", "/srv/d3/x", "/srv/d4/x", "/mnt/e"].map(PathBuf::from);
        assert_eq!((plan.drives.as_slice(), plan.drive_bytes), (expected.as_slice(), 8 << 30));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let said = |change: fn(&mut Settings)| engine(change).unwrap_err().to_string();
        for (message, wanted) in [
            (said(|all| all.mix = Some("get=1,copy=1".to_owned())), "copy is the gateway's work"),
            (said(|all| all.mix = Some("multi-delete".to_owned())), "multi-delete"),
            (said(|all| all.bucket = Some("abc".to_owned())), "--bucket"),
            (said(|all| all.signing = Some("signed".to_owned())), "--signing"),
            (said(|all| all.endpoint = Some("http://localhost".to_owned())), "--endpoint"),
            (said(|all| all.prepared = true), "--prepared"),
            (said(|all| all.overwrite_drive = true), "--overwrite-drive"),
            (said(|all| all.server_pid = Some("1".to_owned())), "--server-pid"),
            (said(|all| all.drives = Some("0".to_owned())), "--drives"),
            (said(|all| all.drive = vec!["/a".to_owned(), "/a".to_owned()]), "twice"),
            (said(|all| all.drive = vec![String::new()]), "no path"),
            (said(|all| all.drive = vec!["/d{1..2}".to_owned()]), "no path"),
            (said(|all| all.drive = vec!["/d{2...1}".to_owned()]), "no path"),
            (said(|all| all.drive = vec!["/d{0...256}".to_owned()]), "no path"),
        ] {
            assert!(message.contains(wanted), "{wanted}: {message}");
        }
        let both = engine(|all| {
            (all.drive, all.drives) = (vec!["/a".to_owned()], Some("2".to_owned()));
        });
        assert!(both.unwrap_err().to_string().contains("--drives"));
    }
}

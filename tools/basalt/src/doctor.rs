//! `basalt doctor`: is this machine fit, are these drives fit, and what to do where they are not.
//!
//! Only what makes the server refuse to run, or lose data, is a FAIL; what makes it slow is a
//! WARN, because a fallback exists. The one thing written is an unnamed (or at once removed)
//! probe file in drive directories.

mod machine;
mod probes;

use crate::cli::DoctorArguments;
use crate::server::drives;
use crate::{exit, output};
use std::time::Duration;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, less well.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How it went.
    pub verdict: Verdict,
    /// What was looked at.
    pub check: String,
    /// What was found.
    pub found: String,
    /// What to do; empty if nothing.
    pub advice: String,
}

impl Row {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Ok,
            check: check.into(),
            found: found.into(),
            advice: String::new(),
        }
    }

    fn but(self, verdict: Verdict, advice: impl Into<String>) -> Self {
        Self { verdict, advice: advice.into(), ..self }
    }
}

/// Prints the report and returns the exit code.
pub fn command(arguments: &DoctorArguments) -> u8 {
    let mut rows = machine::rows();
    if !arguments.drives.is_empty() {
        match drives::expand(&arguments.drives) {
            Ok(paths) => {
                rows.extend(refusals(&paths));
                rows.extend(paths.iter().flat_map(|path| probes::rows(path)));
            }
            Err(refusal) => {
                output::complain(&refusal.to_string());
                return exit::USAGE;
            }
        }
    }
    output::out(&render(&rows));
    if rows.iter().any(|row| row.verdict == Verdict::Fail) { exit::CHECK_FAILED } else { exit::OK }
}

/// What `basalt server` would say of the drives.
fn refusals(paths: &[std::path::PathBuf]) -> Vec<Row> {
    match drives::inspect(paths, Duration::ZERO) {
        Ok(inspected) => {
            let mut rows = vec![Row::ok("drives", format!("{} accepted", paths.len()))];
            for warning in inspected.warnings {
                rows.push(Row::ok("drives", warning).but(
                    Verdict::Warn,
                    "give each drive a device or file system of its own, and replace failed ones",
                ));
            }
            rows
        }
        Err(refusal) => vec![
            Row::ok("drives", refusal.to_string())
                .but(Verdict::Fail, "the server would refuse these drives"),
        ],
    }
}

fn render(rows: &[Row]) -> String {
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| vec![row.verdict.name().to_owned(), row.check.clone(), row.found.clone()])
        .collect();
    let mut text = String::new();
    for (line, row) in output::table(&lines).lines().zip(rows) {
        text.push_str(line);
        text.push('\n');
        if !row.advice.is_empty() {
            text.push_str("      to do: ");
            text.push_str(&row.advice);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn advice_stands_below_its_row() {
        let rows = [
            Row::ok("kernel", "6.1"),
            Row::ok("io_uring", "refused").but(Verdict::Warn, "allow it"),
        ];
        let text = render(&rows);
        assert_eq!(text, "OK    kernel    6.1\nWARN  io_uring  refused\n      to do: allow it\n");
    }

    #[test]
    fn refused_drives_fail_and_good_ones_do_not() {
        let place = TempDir::new();
        let path = std::path::PathBuf::from(place.directory("d1"));
        let worst = |paths: &[std::path::PathBuf]| {
            refusals(paths).iter().map(|row| row.verdict).max().unwrap()
        };
        assert_eq!(worst(std::slice::from_ref(&path)), Verdict::Ok);
        assert_eq!(worst(&[path.clone(), path]), Verdict::Fail);
    }
}

//! `basalt profile check`: this machine held against a profile.
//!
//! Invariants: every row says what was found, one that is not OK why; the exit code is 8 where a
//! row is FAIL, and only there; the JSON has a version, which changes where a field loses its
//! meaning.

use super::arguments::{CheckArguments, CheckFormat};
use super::{Refused, choice, json, plain};
use crate::{exit, output};
use hw_profile::{CheckRow, CheckVerdict, Profile, Root, check};
use serde::Serialize;

/// Version of the JSON.
const REPORT_SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    profile: &'a str,
    verdict: CheckVerdict,
    rows: &'a [CheckRow],
}

/// Runs it and returns the exit code.
pub(super) fn command(arguments: &CheckArguments) -> Result<u8, Refused> {
    let (name, patterns) = choice::split(&arguments.given);
    let machine = choice::look(patterns)?;
    let profile = choice::choose(name, &machine)?;
    let rows = check(&profile, &machine, &Root::real());
    let worst = rows.iter().map(|row| row.verdict).max().unwrap_or(CheckVerdict::Ok);
    output::out(&match arguments.format {
        CheckFormat::Text => plain(&text(&profile, &rows)),
        CheckFormat::Json => json(&Report {
            schema: REPORT_SCHEMA,
            profile: &profile.profile.name,
            verdict: worst,
            rows: &rows,
        })?,
    });
    Ok(if worst == CheckVerdict::Fail { exit::CHECK_FAILED } else { exit::OK })
}

fn text(profile: &Profile, rows: &[CheckRow]) -> String {
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| vec![row.verdict.name().to_owned(), row.check.clone(), compared(row)])
        .collect();
    let mut text = String::new();
    for (line, row) in output::table(&lines).lines().zip(rows) {
        text.push_str(line);
        text.push('\n');
        if !row.reason.is_empty() {
            text.push_str(&format!("      {}\n", row.reason));
        }
    }
    let count = |verdict: CheckVerdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let counts: Vec<String> =
        [CheckVerdict::Ok, CheckVerdict::Warn, CheckVerdict::Fail, CheckVerdict::Unsupported]
            .into_iter()
            .map(|verdict| format!("{} {}", count(verdict), verdict.name()))
            .collect();
    text.push_str(&format!("profile {}: {}\n", profile.profile.name, counts.join(", ")));
    text
}

/// What was found, and beside it what the profile has where that is something else.
fn compared(row: &CheckRow) -> String {
    let differs = row.verdict != CheckVerdict::Ok && !row.wanted.is_empty();
    if differs { format!("{}; wanted: {}", row.found, row.wanted) } else { row.found.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(verdict: CheckVerdict, wanted: &str, reason: &str) -> CheckRow {
        CheckRow {
            verdict,
            check: "CPUs online".to_owned(),
            found: "4".to_owned(),
            wanted: wanted.to_owned(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn reasons_stand_below_their_rows_and_the_sum_at_the_end() {
        let profile = hw_profile::preset("generic").unwrap();
        let rows = [row(CheckVerdict::Ok, "4", ""), row(CheckVerdict::Warn, "8", "too few")];
        assert_eq!(
            text(&profile, &rows),
            "OK    CPUs online  4\nWARN  CPUs online  4; wanted: 8\n      too few\n\
             profile generic: 1 OK, 1 WARN, 0 FAIL, 0 UNSUPPORTED\n"
        );
    }
}

//! Run directories, from the command line's side.

use super::{Refused, build_of, refused};
use crate::{exit, output};
use bench_run::{Manifest, Settings, StoredRun, read_run, runs_to_compare, runs_to_report};
use bench_stats::compare::Run;
use std::path::{Path, PathBuf};

/// `20261130-083834`, in UTC.
fn compact_utc(unix_seconds: u64) -> String {
    let text = utc_text(unix_seconds);
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .replace('T', "-")
        .replace('Z', "")
}

/// `2026-11-30T08:38:34Z`.
fn utc_text(unix_seconds: u64) -> String {
    let amz = bench_client::sign::amz_date(unix_seconds);
    let (date, time) = amz.split_at(8);
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..8],
        &time[1..3],
        &time[3..5],
        &time[5..7]
    )
}

/// Now, for humans.
pub(super) fn utc_now() -> String {
    utc_text(bench_run::unix_ms() / 1000)
}

/// A name that no other run has: time and process.
pub(super) fn new_run_id() -> String {
    let milliseconds = bench_run::unix_ms();
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!("bench-{}-{rest:03}-{}", compact_utc(seconds), std::process::id())
}

/// Settings as they were given, build and machine.
pub(super) fn manifest(settings: &Settings, run_id: &str, label: &str, started: &str) -> Manifest {
    let mut manifest = Manifest::new();
    if let Ok(serde_json::Value::Object(all)) = serde_json::to_value(settings) {
        for (name, value) in all {
            let text = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            manifest.insert(format!("settings.{name}"), text);
        }
    }
    for (name, value) in build_of() {
        manifest.insert(name.to_owned(), value.to_owned());
    }
    for (name, value) in [("run.id", run_id), ("run.label", label), ("run.started", started)] {
        manifest.insert(name.to_owned(), value.to_owned());
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |text| text.trim_start_matches([' ', '\t', ':']));
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for (name, value) in [
        ("machine.cpu", model.to_owned()),
        ("machine.cpus", cpus.to_string()),
        ("machine.kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
    ] {
        manifest.insert(name.to_owned(), value);
    }
    manifest
}

fn stored(paths: &[PathBuf]) -> Result<Vec<StoredRun>, Refused> {
    paths.iter().map(|path| read_run(path).map_err(|error| refused(&error))).collect()
}

/// All repeats of some runs, to be compared.
pub(super) fn runs(paths: &[PathBuf]) -> Result<Vec<Run>, Refused> {
    Ok(stored(paths)?.iter().flat_map(runs_to_compare).collect())
}

/// Writes the page of a run into its directory.
pub(super) fn write_report(directory: &Path) -> Result<(), Refused> {
    let run = read_run(directory).map_err(|error| refused(&error))?;
    write_page(&runs_to_report(&run), &directory.join("report.html"))
}

fn write_page(runs: &[bench_report::RunData], path: &Path) -> Result<(), Refused> {
    let page = bench_report::render(runs);
    std::fs::write(path, page)
        .map_err(|error| (exit::FAILED, format!("{}: {error}", path.display())))
}

/// `basalt bench report`.
pub(super) fn report(paths: &[PathBuf], out: &Path) -> Result<u8, Refused> {
    let runs: Vec<_> = stored(paths)?.iter().flat_map(runs_to_report).collect();
    write_page(&runs, out)?;
    output::out(&format!("{} runs in {}\n", runs.len(), out.display()));
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(utc_text(1_369_353_600), "2013-05-24T00:00:00Z");
        assert_eq!(compact_utc(1_369_353_600), "20130524-000000");
    }
}

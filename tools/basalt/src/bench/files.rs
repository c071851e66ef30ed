//! Run directories, from the command line's side.

use super::{Refused, build_of, refused};
use crate::{exit, logging, output};
use bench_run::{Manifest, Settings, StoredRun, read_run, runs_to_compare, runs_to_report};
use bench_stats::compare::Run;
use hw_profile::{Cpus, Root, choose_preset, probe};
use std::path::{Path, PathBuf};

/// `20261130-083834-250` of `2026-11-30T08:38:34.250Z`.
fn compact(utc: &str) -> String {
    let kept = |letter: char| match letter {
        '0'..='9' => Some(letter),
        'T' | '.' => Some('-'),
        _ => None,
    };
    utc.chars().filter_map(kept).collect()
}

/// A name that no other run has: time and process.
pub(super) fn new_run_id() -> String {
    format!("bench-{}-{}", compact(&logging::utc_now()), std::process::id())
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
    let root = Root::real();
    let model = Cpus::read(&root).model;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let preset = choose_preset(&probe(&root, &[])).map(|choice| choice.profile.profile.name);
    for (name, value) in [
        ("machine.profile", preset.unwrap_or_else(|_| "none".to_owned())),
        ("machine.cpu", model.unwrap_or_else(|| "unknown".to_owned())),
        ("machine.cpus", cpus.to_string()),
        ("machine.kernel", kernel.trim().to_owned()),
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
    fn a_run_is_named_by_its_time() {
        assert_eq!(compact("2013-05-24T00:00:00.007Z"), "20130524-000000-007");
        let (id, process) = (new_run_id(), format!("-{}", std::process::id()));
        assert!(id.starts_with("bench-2") && id.ends_with(&process), "{id}");
        assert_eq!(id.len(), "bench-20130524-000000-007".len() + process.len(), "{id}");
    }
}

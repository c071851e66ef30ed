//! A run as files: `runs/<id>/` with manifest.toml, and for each repeat summary.json,
//! intervals.csv, latency.hlog and intervals.bin; a second repeat has `-2` in its names.
//!
//! Invariants: a run never overwrites another; files are read back bounded and checked, for they
//! may come from anywhere; a manifest's keys that begin with `build.` or `run.` may differ
//! between runs that are compared.

use crate::error::RunError;
use crate::rows::nearest_second;
use crate::run::{Repeat, RunOutcome};
use bench_stats::{Detail, HlogWriter, Interval, LatencyKind, Summary};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// No file of a run is longer.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// What intervals.bin begins with: name and version.
const INTERVALS_MAGIC: &[u8; 8] = b"BASBENI1";

/// What a run was: settings, build and machine, flat.
pub type Manifest = BTreeMap<String, String>;

/// A repeat read back.
#[derive(Debug, Clone)]
pub struct StoredRepeat {
    /// What it came to.
    pub summary: Summary,
    /// Second by second, or in rows of 2, 4, 8, ... of them where it was longer than two hours.
    pub intervals: Vec<Interval>,
    /// What ended after the last of them.
    pub drain: Interval,
    /// What was done when, in seconds since its begin.
    pub marks: Vec<(f64, String)>,
}

/// A run read back.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// What it was.
    pub manifest: Manifest,
    /// Its repeats, in order.
    pub repeats: Vec<StoredRepeat>,
}

fn of_file(path: &Path) -> impl Fn(io::Error) -> RunError + '_ {
    move |error| RunError::File { path: path.to_owned(), error }
}

/// `summary.json`, `summary-2.json` and so on.
fn name_of(stem: &str, extension: &str, repeat: usize) -> String {
    match repeat {
        1 => format!("{stem}.{extension}"),
        _ => format!("{stem}-{repeat}.{extension}"),
    }
}

/// Makes the directory of a run under `root`.
///
/// # Errors
/// Where it is there already, or cannot be made.
pub fn make_directory(root: &Path, run_id: &str) -> Result<PathBuf, RunError> {
    std::fs::create_dir_all(root).map_err(of_file(root))?;
    let path = root.join(run_id);
    std::fs::create_dir(&path).map_err(of_file(&path))?;
    Ok(path)
}

/// Writes a run into its directory.
///
/// # Errors
/// Where a file cannot be written.
pub fn write_run(
    directory: &Path,
    manifest: &Manifest,
    outcome: &RunOutcome,
) -> Result<(), RunError> {
    write(&directory.join("manifest.toml"), manifest_text(manifest)?.as_bytes())?;
    for (number, repeat) in (1..).zip(&outcome.repeats) {
        let path = |stem, extension| directory.join(name_of(stem, extension, number));
        let summary = repeat.summary.to_json().map_err(wrong_figures)?;
        write(&path("summary", "json"), summary.as_bytes())?;
        write(&path("intervals", "csv"), csv_of(&repeat.intervals).as_bytes())?;
        let with_drain: Vec<&Interval> = repeat.intervals.iter().chain([&repeat.drain]).collect();
        write(&path("intervals", "bin"), &binary_of(&with_drain))?;
        write(&path("latency", "hlog"), &hlog_of(repeat)?)?;
        if !repeat.marks.is_empty() {
            let seconds =
                |mark: &(std::time::Duration, String)| (mark.0.as_secs_f64(), mark.1.clone());
            let marks: Vec<_> = repeat.marks.iter().map(seconds).collect();
            let text = serde_json::to_string_pretty(&marks).map_err(io::Error::other)?;
            write(&path("marks", "json"), text.as_bytes())?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    std::fs::write(path, bytes).map_err(of_file(path))
}

fn wrong_figures(error: bench_stats::StatsError) -> RunError {
    io::Error::other(error.to_string()).into()
}

fn manifest_text(manifest: &Manifest) -> Result<String, RunError> {
    let mut tables = BTreeMap::<&str, BTreeMap<&str, &str>>::new();
    for (name, value) in manifest {
        let (table, name) = name.split_once('.').unwrap_or(("run", name));
        tables.entry(table).or_default().insert(name, value);
    }
    toml::to_string(&tables).map_err(|error| io::Error::other(error).into())
}

fn hlog_of(repeat: &Repeat) -> Result<Vec<u8>, RunError> {
    let started = repeat.summary.started_unix_ms;
    let mut log =
        HlogWriter::new(Vec::new(), started, Detail::Operations).map_err(wrong_figures)?;
    for (at, text) in &repeat.marks {
        let comment = format!("at {:.3} s: {text}", at.as_secs_f64());
        log.comment(&comment).map_err(wrong_figures)?;
    }
    for interval in repeat.intervals.iter().chain([&repeat.drain]) {
        log.write(interval).map_err(wrong_figures)?;
    }
    log.finish().map_err(wrong_figures)
}

/// Lines of each row and operation, and one of all operations with what belongs to none.
fn csv_of(intervals: &[Interval]) -> String {
    let mut text = "second,start_s,length_s,operation,count,bytes,errors,shed,client_cpu_us,\
        p50_us,p99_us,p999_us,max_us\n"
        .to_owned();
    for interval in intervals {
        let second = nearest_second(interval.start_ns);
        let start_s = interval.start_ns as f64 / 1e9;
        let length_s = interval.length_s();
        // Writing to a string does not fail.
        _ = writeln!(
            text,
            "{second},{start_s:.6},{length_s:.6},all,{},{},{},{},{},,,,",
            interval.count(),
            interval.bytes(),
            interval.error_count(),
            interval.shed,
            interval.client_cpu_ns / 1000,
        );
        for operation in interval.operations() {
            let cell = interval.operation(operation);
            let response = cell.latency(LatencyKind::Response);
            let quantile_us = |share| response.quantile_ns(share) as f64 / 1e3;
            _ = writeln!(
                text,
                "{second},{start_s:.6},{length_s:.6},{operation},{},{},{},,,{:.3},{:.3},{:.3},{:.3}",
                cell.count,
                cell.bytes,
                cell.error_count(),
                quantile_us(0.5),
                quantile_us(0.99),
                quantile_us(0.999),
                response.max_ns() as f64 / 1e3,
            );
        }
    }
    text
}

/// Magic, then each interval, the drain last, as its length (u32, little-endian) and its wire form.
fn binary_of(intervals: &[&Interval]) -> Vec<u8> {
    let mut out = INTERVALS_MAGIC.to_vec();
    for interval in intervals {
        let mut bytes = Vec::new();
        interval.encode(&mut bytes);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&bytes);
    }
    out
}

fn intervals_of(bytes: &[u8]) -> Result<Vec<Interval>, String> {
    let mut rest = bytes.strip_prefix(INTERVALS_MAGIC).ok_or("it is no file of intervals")?;
    let mut intervals = Vec::new();
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or("it is cut off")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (one, behind) = behind.split_at_checked(length).ok_or("it is cut off")?;
        intervals.push(Interval::decode(one).map_err(|error| error.to_string())?);
        rest = behind;
    }
    Ok(intervals)
}

/// Reads a run back from its directory.
///
/// # Errors
/// Where a file is missing, or is not what it should be.
pub fn read_run(directory: &Path) -> Result<StoredRun, RunError> {
    let path = directory.join("manifest.toml");
    let text = String::from_utf8_lossy(&read(&path)?).into_owned();
    let tables: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(&text).map_err(|error| of_file(&path)(io::Error::other(error)))?;
    let mut manifest = Manifest::new();
    for (table, entries) in tables {
        for (name, value) in entries {
            manifest.insert(format!("{table}.{name}"), value);
        }
    }
    let mut repeats = Vec::new();
    for number in 1.. {
        let path = directory.join(name_of("summary", "json", number));
        if number > 1 && !path.exists() {
            break;
        }
        let summary = Summary::from_json(&read(&path)?);
        let summary =
            summary.map_err(|error| of_file(&path)(io::Error::other(error.to_string())))?;
        let path = directory.join(name_of("intervals", "bin", number));
        let intervals = intervals_of(&read(&path)?);
        let mut intervals =
            intervals.map_err(|problem| of_file(&path)(io::Error::other(problem)))?;
        let drain = intervals.pop().unwrap_or_default();
        let path = directory.join(name_of("marks", "json", number));
        let marks = if path.exists() {
            let read = serde_json::from_slice(&read(&path)?);
            read.map_err(|error| of_file(&path)(io::Error::other(error)))?
        } else {
            Vec::new()
        };
        repeats.push(StoredRepeat { summary, intervals, drain, marks });
    }
    Ok(StoredRun { manifest, repeats })
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    let length = std::fs::metadata(path).map_err(of_file(path))?.len();
    if length > FILE_BYTES_MAX {
        return Err(of_file(path)(io::Error::other("it is too long for a run's file")));
    }
    std::fs::read(path).map_err(of_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_second_at_which_its_row_starts() {
        let rows = [
            Interval::new(0, 2_003_000_000),
            Interval::new(2_003_000_000, 4_000_500_000),
            Interval::new(4_000_500_000, 5_000_000_000),
        ];
        let text = csv_of(&rows);
        let starts: Vec<&str> = text.lines().skip(1).map(|line| &line[..19]).collect();
        assert_eq!(starts, ["0,0.000000,2.003000", "2,2.003000,1.997500", "4,4.000500,0.999500"]);
    }
}

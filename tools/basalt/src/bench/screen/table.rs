//! The lines of the live table: what a stage came to so far, and its last second.
//!
//! Invariants: no line is wider than it may be, so that none wraps and the next table can be
//! written over it; columns line up; an operation that occurred once keeps its row to the end of
//! the stage, so that a table never gets shorter. Nothing is written here.

use super::{bytes_text, time_text};
use bench_stats::{Interval, LatencyKind, Operation};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

const COLUMNS: usize = 9;
const HEADER: [&str; COLUMNS] =
    ["operation", "count", "ops/s", "bytes/s", "p50", "p99", "p99.9", "max", "errors"];
/// Columns do not move with every figure, and all fit into the usual 80 characters.
const WIDTHS_MIN: [usize; COLUMNS] = [9, 9, 7, 8, 7, 7, 7, 7, 6];

/// What a stage came to so far.
#[derive(Debug, Default)]
pub(super) struct SoFar {
    /// The stage's name.
    pub(super) stage: String,
    /// How long it takes, where that is known before.
    length: Option<Duration>,
    /// Seconds that are over.
    seconds: usize,
    /// Operations that occurred.
    operations: BTreeMap<Operation, Tally>,
    /// Operations given up.
    shed: u64,
}

/// What one operation came to.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: u64,
    errors: u64,
}

impl SoFar {
    /// A stage that begins.
    pub(super) fn new(stage: &str, length: Option<Duration>) -> Self {
        Self { stage: stage.to_owned(), length, ..Self::default() }
    }

    /// Adds a second.
    pub(super) fn add(&mut self, second: usize, interval: &Interval) {
        self.seconds = second + 1;
        for (operation, _, cell) in interval.cells() {
            let tally = self.operations.entry(operation).or_default();
            tally.count = tally.count.saturating_add(cell.count);
            tally.errors = tally.errors.saturating_add(cell.error_count());
        }
        self.shed = self.shed.saturating_add(interval.shed);
    }
}

/// Lines of at most `width` characters: the stage, a header, and a row for each operation. Counts,
/// errors and what was given up are of the whole stage, rates and latencies of its last second.
pub(super) fn table_lines(so_far: &SoFar, last: &Interval, width: usize) -> Vec<String> {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for (operation, tally) in &so_far.operations {
        rows.push(row_of(*operation, *tally, last));
    }
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter().fold(WIDTHS_MIN[column], |widest, row| widest.max(row[column].len()))
    });
    let mut lines = vec![head_line(so_far, last)];
    lines.extend(rows.iter().map(|row| row_line(row, &widths)));
    lines.iter().map(|line| line.chars().take(width).collect()).collect()
}

/// The stage, and all operations together.
fn head_line(so_far: &SoFar, last: &Interval) -> String {
    let of = match so_far.length {
        Some(length) => format!(" of {:.0}", length.as_secs_f64().ceil()),
        None => String::new(),
    };
    let seconds = seconds_of(last);
    let errors: u64 = so_far.operations.values().map(|tally| tally.errors).sum();
    format!(
        "{} {:>4}{of} s  {:>9.0} ops/s {:>9}/s  {errors} errors  {} given up",
        so_far.stage,
        so_far.seconds,
        last.count() as f64 / seconds,
        bytes_text(last.bytes() as f64 / seconds),
        so_far.shed
    )
}

fn row_of(operation: Operation, tally: Tally, last: &Interval) -> [String; COLUMNS] {
    let (cell, seconds) = (last.operation(operation), seconds_of(last));
    let response = cell.latency(LatencyKind::Response);
    let time = |latency_ns: u64| match response.is_empty() {
        true => "-".to_owned(),
        false => narrow(&time_text(latency_ns as f64 / 1e3)),
    };
    [
        operation.name().to_owned(),
        tally.count.to_string(),
        format!("{:.0}", cell.count as f64 / seconds),
        narrow(&bytes_text(cell.bytes as f64 / seconds)),
        time(response.quantile_ns(0.5)),
        time(response.quantile_ns(0.99)),
        time(response.quantile_ns(0.999)),
        time(response.max_ns()),
        tally.errors.to_string(),
    ]
}

/// The name begins its column, figures end theirs.
fn row_line(row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let mut line = format!("{:<1$}", row[0], widths[0]);
    for (cell, width) in row.iter().zip(*widths).skip(1) {
        _ = write!(line, " {cell:>width$}");
    }
    line
}

/// A figure without the space before its unit: columns are parted by one only.
fn narrow(figure: &str) -> String {
    figure.replace(' ', "")
}

/// The length of an interval, never zero.
fn seconds_of(interval: &Interval) -> f64 {
    interval.length_s().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_stats::{Recorder, SizeClass};

    const SECOND_NS: u64 = 1_000_000_000;
    const WIDE: usize = 1_000;

    /// 100 reads, one write, one that failed, and two operations given up.
    fn busy_second() -> Interval {
        let class = SizeClass::of(4_096);
        let mut recorder = Recorder::new(0);
        for _ in 0..100 {
            recorder.record(Operation::Get, class, LatencyKind::Response, 250_000);
            recorder.count(Operation::Get, class, 4_096);
        }
        recorder.record(Operation::Put, class, LatencyKind::Response, 1_500_000);
        recorder.count(Operation::Put, class, 4_096);
        recorder.count_error(Operation::Put, class, "SlowDown");
        recorder.count_shed(2);
        recorder.take_interval(SECOND_NS)
    }

    /// A minute's stage after its first second.
    fn begun() -> (SoFar, Interval) {
        let mut so_far = SoFar::new("measure", Some(Duration::from_secs(60)));
        let last = busy_second();
        so_far.add(0, &last);
        (so_far, last)
    }

    #[test]
    fn each_operation_has_a_row_below_the_sums() {
        let (so_far, last) = begun();
        let expected = [
            "measure    1 of 60 s        101 ops/s 404.0 KiB/s  1 errors  2 given up",
            "operation     count   ops/s  bytes/s     p50     p99   p99.9     max errors",
            "put               1       1   4.0KiB  1.50ms  1.50ms  1.50ms  1.50ms      1",
            "get             100     100 400.0KiB   250us   250us   250us   250us      0",
        ];
        assert_eq!(table_lines(&so_far, &last, WIDE), expected);
    }

    #[test]
    fn counts_and_errors_add_up_and_rates_are_of_the_last_second() {
        let (mut so_far, last) = begun();
        so_far.add(1, &last);
        let expected = [
            "measure    2 of 60 s        101 ops/s 404.0 KiB/s  2 errors  4 given up",
            "operation     count   ops/s  bytes/s     p50     p99   p99.9     max errors",
            "put               2       1   4.0KiB  1.50ms  1.50ms  1.50ms  1.50ms      2",
            "get             200     100 400.0KiB   250us   250us   250us   250us      0",
        ];
        assert_eq!(table_lines(&so_far, &last, WIDE), expected);
    }

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let (mut so_far, last) = begun();
        let huge = Tally { count: 12_345_678_901, errors: 1_234_567_890 };
        so_far.operations.insert(Operation::MultipartPut, huge);
        let lines = table_lines(&so_far, &last, WIDE);
        assert_eq!(lines.len(), 5);
        assert!(lines[4].starts_with("multipart-put 12345678901 "));
        assert!(lines[4].ends_with(" 1234567890"));
        assert!(lines[1..].iter().all(|line| line.len() == lines[1].len()));
        // Figures end where the word above them does.
        let end = lines[1].find("count").unwrap() + "count".len();
        assert!(lines[1..].iter().all(|line| !line[..end].ends_with(' ')));
        assert!(lines[1..].iter().all(|line| line[end..].starts_with(' ')));
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        let (so_far, last) = begun();
        let whole = table_lines(&so_far, &last, WIDE);
        for width in 0..100 {
            let lines = table_lines(&so_far, &last, width);
            assert_eq!(lines.len(), whole.len());
            for (line, whole) in lines.iter().zip(&whole) {
                assert_eq!(line.as_str(), &whole[..width.min(whole.len())]);
            }
        }
        assert!(whole.iter().all(|line| line.len() <= 80));
    }

    #[test]
    fn in_an_empty_second_rows_stay_without_latencies() {
        let (mut so_far, _) = begun();
        let empty = Interval::new(SECOND_NS, 2 * SECOND_NS);
        so_far.add(1, &empty);
        let expected = [
            "measure    2 of 60 s          0 ops/s     0.0 B/s  1 errors  2 given up",
            "operation     count   ops/s  bytes/s     p50     p99   p99.9     max errors",
            "put               1       0     0.0B       -       -       -       -      1",
            "get             100       0     0.0B       -       -       -       -      0",
        ];
        assert_eq!(table_lines(&so_far, &empty, WIDE), expected);
    }

    #[test]
    fn a_stage_of_unknown_length_in_which_nothing_happened_has_no_rows() {
        let mut so_far = SoFar::new("prepare", None);
        so_far.add(0, &Interval::default());
        let lines = table_lines(&so_far, &Interval::default(), WIDE);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("prepare    1 s  "));
    }
}

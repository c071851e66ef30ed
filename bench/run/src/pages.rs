//! Runs read back, as the report and the comparison want them.

use crate::directory::{Manifest, StoredRepeat, StoredRun};
use crate::rows::{nearest_second, seconds_of};
use bench_report::{
    Heat, IntervalPoint, LatencyKind as RowKind, LatencyRow, LoopKind, OperationData, RunData,
};
use bench_stats::compare::Run;
use bench_stats::{Cell, Histogram, Interval, LatencyKind, Load, Operation, Summary};

/// Bounds of the heat map are so many to a power of ten.
const HEAT_BOUNDS_PER_DECADE: i32 = 8;
/// Points of the percentile curve: each is this much nearer to 100 % than the last.
const CURVE_STEP: f64 = 0.8;

/// The repeats of a run as the comparison wants them.
#[must_use]
pub fn runs_to_compare(run: &StoredRun) -> Vec<Run> {
    let of_repeat = |repeat: &StoredRepeat| Run {
        summary: repeat.summary.clone(),
        intervals: repeat.intervals.clone(),
        manifest: run.manifest.clone(),
    };
    run.repeats.iter().map(of_repeat).collect()
}

/// The repeats of a run as the report wants them.
#[must_use]
pub fn runs_to_report(run: &StoredRun) -> Vec<RunData> {
    run.repeats.iter().map(|repeat| data_of(repeat, &run.manifest)).collect()
}

fn data_of(repeat: &StoredRepeat, manifest: &Manifest) -> RunData {
    let summary = &repeat.summary;
    let label = match manifest.get("run.label").filter(|label| !label.is_empty()) {
        Some(label) => format!("{label} #{}", summary.repeat),
        None => format!("{} #{}", summary.run_id, summary.repeat),
    };
    RunData {
        label,
        started: manifest.get("run.started").cloned().unwrap_or_default(),
        verdict_reasons: summary.verdict.reasons.iter().map(|r| r.text.clone()).collect(),
        loop_kind: match summary.load {
            Load::Open => LoopKind::Open,
            Load::Closed => LoopKind::Closed,
        },
        manifest: manifest.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        operations: operations_of(repeat),
        marks: repeat.marks.clone(),
        server: server_of(summary),
    }
}

fn operations_of(repeat: &StoredRepeat) -> Vec<OperationData> {
    let mut total = repeat.drain.clone();
    for interval in &repeat.intervals {
        total.add(interval);
    }
    let of_operation = |operation: Operation| {
        let cell = total.operation(operation);
        let shown = repeat.summary.operations.get(operation.name());
        OperationData {
            name: operation.name().to_owned(),
            count: cell.count,
            errors: cell.errors().iter().map(|(code, count)| (code.clone(), *count)).collect(),
            operations_per_second: shown.map_or(0.0, |shown| shown.operations_per_second),
            bytes_per_second: shown.map_or(0.0, |shown| shown.bytes_per_second),
            latency: rows_of(&cell),
            percentile_curve: curve_of(cell.latency(LatencyKind::Response)),
            intervals: points_of(&repeat.intervals, operation),
            heat: heat_of(&repeat.intervals, operation),
        }
    };
    total.operations().into_iter().map(of_operation).collect()
}

fn rows_of(cell: &Cell) -> Vec<LatencyRow> {
    let kinds = [
        (RowKind::Response, LatencyKind::Response),
        (RowKind::Service, LatencyKind::Service),
        (RowKind::FirstByte, LatencyKind::FirstByte),
    ];
    let mut rows = Vec::new();
    for (kind, recorded) in kinds {
        let Some(summary) = bench_stats::LatencySummary::of(cell.latency(recorded)) else {
            continue;
        };
        rows.push(LatencyRow {
            kind,
            min_us: summary.min_us,
            mean_us: summary.mean_us,
            p50_us: summary.p50_us,
            p90_us: summary.p90_us,
            p99_us: summary.p99_us,
            p999_us: summary.p999_us,
            p9999_us: summary.p9999_us,
            max_us: summary.max_us,
        });
    }
    rows
}

/// From the fastest to the slowest, up to the percentile that one operation alone is above.
fn curve_of(histogram: &Histogram) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let mut points = Vec::new();
    let (mut above, last) = (1.0, 1.0 / histogram.count() as f64);
    while above > last {
        let share = 1.0 - above;
        points.push((100.0 * share, histogram.quantile_ns(share) as f64 / 1e3));
        above *= CURVE_STEP;
    }
    points.push((100.0, histogram.max_ns() as f64 / 1e3));
    points
}

fn points_of(intervals: &[Interval], operation: Operation) -> Vec<IntervalPoint> {
    let mut points: Vec<IntervalPoint> = Vec::new();
    let seconds_max = seconds_of(intervals);
    for interval in intervals {
        let cell = interval.operation(operation);
        let response = cell.latency(LatencyKind::Response);
        let quantile_us = |share| response.quantile_ns(share) as f64 / 1e3;
        let second = nearest_second(interval.start_ns);
        // One thread that was late makes a row long in which the others did no more for it.
        let seconds = nearest_second(interval.end_ns).saturating_sub(second).clamp(1, seconds_max);
        points.push(IntervalPoint {
            second,
            seconds,
            operations: cell.count,
            bytes: cell.bytes,
            errors: cell.error_count(),
            p50_us: quantile_us(0.5),
            p99_us: quantile_us(0.99),
            p999_us: quantile_us(0.999),
        });
    }
    points
}

fn heat_of(intervals: &[Interval], operation: Operation) -> Heat {
    let cells: Vec<Cell> = intervals.iter().map(|interval| interval.operation(operation)).collect();
    let responses = || cells.iter().map(|cell| cell.latency(LatencyKind::Response));
    let lowest_ns = responses().filter(|all| !all.is_empty()).map(Histogram::min_ns).min();
    let highest_ns = responses().map(Histogram::max_ns).max().unwrap_or(0);
    let Some(lowest_ns) = lowest_ns else { return Heat::default() };
    let decade = f64::from(HEAT_BOUNDS_PER_DECADE);
    let place = |ns: u64| (ns.max(1) as f64 / 1e3).log10() * decade;
    let (first, last) = (place(lowest_ns).floor() as i32, place(highest_ns).floor() as i32 + 1);
    let bounds_us = (first..=last).map(|step| 10_f64.powf(f64::from(step) / decade)).collect();
    let buckets = usize::try_from(last - first).unwrap_or(0);
    let counts = responses().map(|histogram| {
        let mut counts = vec![0_u64; buckets];
        for bucket in histogram.buckets() {
            let step = place(bucket.high_ns).floor() as i32 - first;
            let step = usize::try_from(step).unwrap_or(0).min(buckets.saturating_sub(1));
            counts[step] += bucket.count;
        }
        counts
    });
    Heat { bounds_us, seconds_per_column: seconds_of(intervals), counts: counts.collect() }
}

fn server_of(summary: &Summary) -> Option<Vec<(String, String)>> {
    let server = summary.server.as_ref()?;
    let mut rows = vec![("CPU seconds".to_owned(), format!("{:.2}", server.counters.cpu_seconds))];
    if let Some(cost) = server.cpu_us_per_operation {
        rows.push(("CPU per operation".to_owned(), format!("{cost:.2} us")));
    }
    for (name, value) in [
        ("device bytes read", server.counters.device_bytes_read),
        ("device bytes written", server.counters.device_bytes_written),
        ("flushes", server.counters.flushes),
    ] {
        if let Some(value) = value {
            rows.push((name.to_owned(), value.to_string()));
        }
    }
    for (name, value) in &server.counters.batch_sizes {
        rows.push((name.replace('_', " "), value.to_string()));
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_to_the_slowest() {
        let histogram: Histogram = (1..=10_000_u64).map(|us| us * 1000).collect();
        let curve = curve_of(&histogram);
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        let near = |share: f64| curve.iter().find(|(p, _)| *p >= share).unwrap().1;
        assert!((near(50.0) / 5_500.0 - 1.0).abs() < 0.15);
        assert_eq!(curve.last().unwrap().0, 100.0);
        assert!(curve_of(&Histogram::default()).is_empty());
    }

    #[test]
    fn points_are_as_long_as_their_rows() {
        let row =
            |start_ms: u64, end_ms: u64| Interval::new(start_ms * 1_000_000, end_ms * 1_000_000);
        let of = |rows: &[Interval]| -> Vec<(u64, u64)> {
            let points = points_of(rows, Operation::Get);
            points.iter().map(|point| (point.second, point.seconds)).collect()
        };
        // A thread was late with the first row, and the last is half full.
        let rows = [row(0, 2_900), row(2_003, 4_001), row(4_001, 5_000)];
        assert_eq!(of(&rows), [(0, 2), (2, 2), (4, 1)]);
        assert_eq!(of(&[row(0, 1_003), row(1_003, 1_200)]), [(0, 1), (1, 1)]);
    }
}

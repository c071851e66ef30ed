//! Runs for the tests, computed and always the same.

use crate::data::{Heat, IntervalPoint, LatencyKind, LatencyRow, LoopKind, OperationData, RunData};

/// An open-loop run of `seconds` seconds that only gets.
pub(crate) fn run(label: &str, seconds: u64) -> RunData {
    RunData {
        label: label.to_owned(),
        started: "2026-11-30 09:00:00 UTC".to_owned(),
        verdict_reasons: Vec::new(),
        loop_kind: LoopKind::Open,
        manifest: vec![("rate".to_owned(), "20k".to_owned())],
        operations: vec![operation("get", seconds)],
        marks: Vec::new(),
        server: None,
    }
}

/// The figures of one operation with a tail that grows and falls.
pub(crate) fn operation(name: &str, seconds: u64) -> OperationData {
    let row = |kind| LatencyRow {
        kind,
        min_us: 80.0,
        mean_us: 140.0,
        p50_us: 120.0,
        p90_us: 200.0,
        p99_us: 900.0,
        p999_us: 4000.0,
        p9999_us: 9000.0,
        max_us: 12_345.6,
    };
    OperationData {
        name: name.to_owned(),
        count: 20_000 * seconds,
        errors: Vec::new(),
        operations_per_second: 20_000.0,
        bytes_per_second: 81_920_000.0,
        latency: vec![row(LatencyKind::Response), row(LatencyKind::Service)],
        percentile_curve: vec![
            (0.0, 80.0),
            (50.0, 120.0),
            (90.0, 200.0),
            (99.0, 900.0),
            (99.9, 4000.0),
            (99.99, 9000.0),
            (100.0, 12_345.6),
        ],
        intervals: (0..seconds).map(interval).collect(),
        heat: Heat {
            bounds_us: vec![50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0, 20_000.0],
            seconds_per_column: 1,
            counts: (0..seconds).map(|second| vec![900, 18_000, 900, 150, second % 5, 0]).collect(),
        },
    }
}

fn interval(second: u64) -> IntervalPoint {
    let burst = (second % 10) as f64;
    IntervalPoint {
        second,
        seconds: 1,
        operations: 20_000 - second % 3,
        bytes: 81_920_000,
        errors: 0,
        p50_us: 120.0,
        p99_us: 900.0 + 50.0 * burst,
        p999_us: 4000.0 + 800.0 * burst,
    }
}

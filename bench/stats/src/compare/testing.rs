//! Runs for the tests of the comparison.

use crate::compare::Run;
use crate::compare::comparison::{Method, Outcome, Row};
use crate::compare::metric::{Better, Unit};
use crate::interval::Interval;
use crate::key::{LatencyKind, SizeClass};
use crate::operation::Operation;
use crate::summary::{ClientFacts, Load, RunFacts, ServerCounters, Summary};
use crate::testing::latencies;
use crate::verdict::Limits;
use std::collections::BTreeMap;

/// Operations of every run made here.
const OPERATIONS: u64 = 2_000;

/// A valid open-loop run of GETs that began `start_s` seconds after some time and cost the server
/// so much CPU per operation. But for that, all runs are equal.
pub(crate) fn run(start_s: u64, server_cpu_us: f64) -> Run {
    let mut total = Interval::new(0, 5_000_000_000);
    total.client_cpu_ns = 30_000_000;
    let cell = total.cell_mut(Operation::Get, SizeClass::UpTo4KiB);
    cell.count = OPERATIONS;
    cell.bytes = OPERATIONS * 4_096;
    *cell.latency_mut(LatencyKind::Response) =
        latencies(1, OPERATIONS as usize).into_iter().collect();
    let facts = RunFacts {
        run_id: format!("run-{start_s}"),
        repeat: 1,
        target: "s3".to_owned(),
        load: Load::Open,
        started_unix_ms: 1_764_493_200_000 + start_s * 1_000,
    };
    let client = ClientFacts { threads: 1, busiest_thread_percent: 20.0, steal_percent: 0.0 };
    let server = Some(ServerCounters::default());
    let mut summary =
        Summary::new(facts, &total, &Interval::default(), (client, server), &Limits::default());
    if let Some(server) = &mut summary.server {
        server.cpu_us_per_operation = Some(server_cpu_us);
    }
    Run { summary, intervals: Vec::new(), manifest: BTreeMap::new() }
}

/// Alternating runs, base first, that cost the server so much.
pub(crate) fn pairs(base: &[f64], new: &[f64]) -> (Vec<Run>, Vec<Run>) {
    let side = |costs: &[f64], first: u64| -> Vec<Run> {
        costs.iter().zip(0..).map(|(cost, index)| run(first + 2 * index, *cost)).collect()
    };
    (side(base, 0), side(new, 1))
}

/// Seconds in which so many GETs were done, each for a microsecond of the client's CPU.
pub(crate) fn seconds(counts: &[u64]) -> Vec<Interval> {
    let mut intervals = Vec::new();
    for (count, second) in counts.iter().zip(0_u64..) {
        let start_ns = second * 1_000_000_000;
        let mut interval = Interval::new(start_ns, start_ns + 1_000_000_000);
        interval.client_cpu_ns = count * 1_000;
        let cell = interval.cell_mut(Operation::Get, SizeClass::UpTo4KiB);
        cell.count = *count;
        *cell.latency_mut(LatencyKind::Response) =
            std::iter::repeat_n(1_000_000, *count as usize).collect();
        intervals.push(interval);
    }
    intervals
}

/// A row with this interval.
pub(crate) fn row(metric: &str, low: f64, high: f64) -> Row {
    Row {
        metric: metric.to_owned(),
        unit: Unit::Microseconds,
        better: Better::Lower,
        base: 1.0,
        new: 1.0,
        ratio: (low * high).sqrt(),
        low,
        high,
        method: Method::Paired { pairs: 5 },
        difference: false,
        outcome: Outcome::NoDifference,
        drift_percent_per_run: None,
    }
}

//! `summary.json`: what one measured repeat of a run came to.
//!
//! Invariants: every number is finite; a figure that could not be measured is absent, never zero;
//! percentiles come out of merged counts. The meaning of a field changes only with `schema`; a
//! field may be added without. docs/bench-summary.md lists the fields.

use crate::error::StatsError;
use crate::histogram::Histogram;
use crate::interval::{Cell, Interval};
use crate::key::{LatencyKind, SizeClass};
use crate::operation::Operation;
use crate::verdict::{Limits, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema that this build writes and reads.
pub const SUMMARY_SCHEMA: u32 = 1;
/// The most bytes that are read as a summary.
pub const SUMMARY_BYTES_MAX: usize = 4 << 20;

/// How the load is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// By a schedule; the tail is whole.
    Open,
    /// A fixed number in flight; a slow server is asked less, so the tail is understated.
    Closed,
}

/// What is known about a run before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// The name of the run's directory.
    pub run_id: String,
    /// Which repeat of the run, from 1.
    pub repeat: u32,
    /// `s3`, `engine`, `raw`, `net` or `null`.
    pub target: String,
    /// How the load is offered.
    pub load: Load,
    /// When measuring began, in milliseconds since 1970.
    pub started_unix_ms: u64,
}

/// What the client knows about itself beside its intervals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClientFacts {
    /// Generator threads, of all workers.
    pub threads: u32,
    /// CPU time of the busiest thread, in percent of the time measured.
    pub busiest_thread_percent: f64,
    /// Time that the hypervisor took from the machine, in percent of all CPUs' time.
    pub steal_percent: f64,
}

/// Counters of the server, over the time measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServerCounters {
    /// CPU time of the process, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Bytes read from its drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_bytes_read: Option<u64>,
    /// Bytes written to its drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_bytes_written: Option<u64>,
    /// Flushes of its drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flushes: Option<u64>,
    /// How many commits had at most so many records, by the bound as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub batch_sizes: BTreeMap<String, u64>,
}

/// One measured repeat of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `SUMMARY_SCHEMA`.
    pub schema: u32,
    /// The name of the run's directory.
    pub run_id: String,
    /// Which repeat of the run, from 1.
    pub repeat: u32,
    /// `s3`, `engine`, `raw`, `net` or `null`.
    pub target: String,
    /// How the load is offered.
    pub load: Load,
    /// When measuring began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// How long was measured, in seconds.
    pub length_s: f64,
    /// Whether the figures may be believed.
    pub verdict: Verdict,
    /// All operations together.
    pub total: Totals,
    /// By name of the operation.
    pub operations: BTreeMap<String, OperationSummary>,
    /// The load generator itself.
    pub client: ClientSummary,
    /// The server, where its counters can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSummary>,
}

/// All operations together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Operations that succeeded.
    pub count: u64,
    /// Operations that failed.
    pub error_count: u64,
    /// Operations that were planned and given up.
    pub shed: u64,
    /// Payloads that were not what had been written.
    pub mismatches: u64,
    /// Object bytes moved.
    pub bytes: u64,
    /// Successes per second.
    pub operations_per_second: f64,
    /// Object bytes per second.
    pub bytes_per_second: f64,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OperationSummary {
    /// Operations that succeeded.
    pub count: u64,
    /// Operations that failed, by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// Object bytes moved.
    pub bytes: u64,
    /// Successes per second.
    pub operations_per_second: f64,
    /// Object bytes per second.
    pub bytes_per_second: f64,
    /// By name of the kind of latency: `response`, `service`, `first_byte`, `connect`, `queue`.
    pub latency: BTreeMap<String, LatencySummary>,
    /// By name of the size class, where there is more than one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sizes: BTreeMap<String, SizeSummary>,
}

/// One size class of an operation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SizeSummary {
    /// Operations that succeeded.
    pub count: u64,
    /// Object bytes moved.
    pub bytes: u64,
    /// By name of the kind of latency.
    pub latency: BTreeMap<String, LatencySummary>,
}

/// Latencies, in microseconds with fractions.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencySummary {
    /// How many were measured. A percentile with fewer than ten beyond it says little.
    pub count: u64,
    /// The shortest.
    pub min_us: f64,
    /// The mean.
    pub mean_us: f64,
    /// 50 % took no longer.
    pub p50_us: f64,
    /// 90 % took no longer.
    pub p90_us: f64,
    /// 99 % took no longer.
    pub p99_us: f64,
    /// 99.9 % took no longer.
    pub p999_us: f64,
    /// 99.99 % took no longer.
    pub p9999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// The load generator itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClientSummary {
    /// Generator threads, of all workers.
    pub threads: u32,
    /// CPU time of all of them, in seconds.
    pub cpu_seconds: f64,
    /// That, per operation that succeeded, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_operation: Option<f64>,
    /// CPU time of the busiest thread, in percent of the time measured.
    pub busiest_thread_percent: f64,
    /// Time that the hypervisor took from the machine, in percent of all CPUs' time.
    pub steal_percent: f64,
    /// How late the generator began operations by its own fault; an open loop only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_lag: Option<LatencySummary>,
}

/// The server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServerSummary {
    /// CPU time per operation that succeeded, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_operation: Option<f64>,
    /// What that is made of.
    #[serde(flatten)]
    pub counters: ServerCounters,
}

impl Summary {
    /// The summary of a repeat: `measured` is the sum of its intervals, `drain` what ended after
    /// them, which counts for latencies and costs and never for rates.
    #[must_use]
    pub fn new(
        facts: RunFacts,
        measured: &Interval,
        drain: &Interval,
        (client, server): (ClientFacts, Option<ServerCounters>),
        limits: &Limits,
    ) -> Self {
        let mut total = measured.clone();
        total.add(drain);
        let total = &total;
        let seconds = measured.length_s();
        let client = ClientSummary::new(client, total);
        let operation = |operation: Operation| {
            (operation.name().to_owned(), OperationSummary::new(operation, total, measured))
        };
        Self {
            schema: SUMMARY_SCHEMA,
            run_id: facts.run_id,
            repeat: facts.repeat,
            target: facts.target,
            load: facts.load,
            started_unix_ms: facts.started_unix_ms,
            length_s: seconds,
            verdict: Verdict::judge(total, &client, limits),
            total: Totals::new(total, measured),
            operations: total.operations().into_iter().map(operation).collect(),
            client,
            server: server.map(|counters| ServerSummary::new(counters, total.count())),
        }
    }

    /// The summary as JSON for people and programs: indented, with a line end.
    ///
    /// # Errors
    /// `Json` where it cannot be serialised.
    pub fn to_json(&self) -> Result<String, StatsError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The summary of a file's bytes.
    ///
    /// # Errors
    /// `TooLarge` above `SUMMARY_BYTES_MAX`, `Schema` where another schema is found, `Json` where
    /// the bytes are no summary.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StatsError> {
        /// The one field that every schema has.
        #[derive(Deserialize)]
        struct Head {
            schema: u64,
        }
        if bytes.len() > SUMMARY_BYTES_MAX {
            return Err(StatsError::TooLarge { what: "summary", limit: SUMMARY_BYTES_MAX });
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.schema != u64::from(SUMMARY_SCHEMA) {
            return Err(StatsError::Schema {
                what: "summary",
                found: head.schema,
                supported: u64::from(SUMMARY_SCHEMA),
            });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// A rate that is finite for every length.
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// CPU time per operation, in microseconds.
fn per_operation_us(cpu_seconds: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| cpu_seconds * 1e6 / count as f64)
}

fn latencies(cell: &Cell) -> BTreeMap<String, LatencySummary> {
    let mut latencies = BTreeMap::new();
    for kind in LatencyKind::ALL {
        if let Some(summary) = LatencySummary::of(cell.latency(kind)) {
            latencies.insert(kind.name().to_owned(), summary);
        }
    }
    latencies
}

impl Totals {
    fn new(total: &Interval, measured: &Interval) -> Self {
        let seconds = measured.length_s();
        Self {
            count: total.count(),
            error_count: total.error_count(),
            shed: total.shed,
            mismatches: total.mismatches,
            bytes: total.bytes(),
            operations_per_second: per_second(measured.count(), seconds),
            bytes_per_second: per_second(measured.bytes(), seconds),
        }
    }
}

impl OperationSummary {
    fn new(operation: Operation, total: &Interval, measured: &Interval) -> Self {
        let cell = total.operation(operation);
        let (inside, seconds) = (measured.operation(operation), measured.length_s());
        let mut sizes = BTreeMap::new();
        for size_class in SizeClass::ALL {
            if let Some(cell) = total.cell(operation, size_class) {
                let (count, bytes, latency) = (cell.count, cell.bytes, latencies(cell));
                let name = size_class.name().to_owned();
                sizes.insert(name, SizeSummary { count, bytes, latency });
            }
        }
        if sizes.len() == 1 {
            sizes.clear();
        }
        Self {
            count: cell.count,
            errors: cell.errors().clone(),
            bytes: cell.bytes,
            operations_per_second: per_second(inside.count, seconds),
            bytes_per_second: per_second(inside.bytes, seconds),
            latency: latencies(&cell),
            sizes,
        }
    }
}

impl LatencySummary {
    /// The figures of a histogram; `None` for an empty one.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let quantile_us = |quantile| histogram.quantile_ns(quantile) as f64 / 1e3;
        Some(Self {
            count: histogram.count(),
            min_us: histogram.min_ns() as f64 / 1e3,
            // A mean is known no better than to the nanosecond.
            mean_us: histogram.mean_ns().round() / 1e3,
            p50_us: quantile_us(0.5),
            p90_us: quantile_us(0.9),
            p99_us: quantile_us(0.99),
            p999_us: quantile_us(0.999),
            p9999_us: quantile_us(0.9999),
            max_us: histogram.max_ns() as f64 / 1e3,
        })
    }
}

impl ClientSummary {
    fn new(facts: ClientFacts, total: &Interval) -> Self {
        let cpu_seconds = total.client_cpu_ns as f64 / 1e9;
        Self {
            threads: facts.threads,
            cpu_seconds,
            cpu_us_per_operation: per_operation_us(cpu_seconds, total.count()),
            busiest_thread_percent: facts.busiest_thread_percent,
            steal_percent: facts.steal_percent,
            schedule_lag: LatencySummary::of(&total.schedule_lag),
        }
    }
}

impl ServerSummary {
    fn new(counters: ServerCounters, count: u64) -> Self {
        Self { cpu_us_per_operation: per_operation_us(counters.cpu_seconds, count), counters }
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;

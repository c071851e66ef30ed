//! The figures that are compared, and where a summary holds them.
//!
//! Invariants: a figure is positive and finite or absent, so that it has a logarithm; a
//! percentile with fewer than ten latencies beyond it is absent; a void run has no latency and
//! no rate, and no cost either where its verdict takes that away.

use crate::key::LatencyKind;
use crate::operation::Operation;
use crate::summary::{LatencySummary, OperationSummary, Summary};
use serde::Serialize;

/// Latencies that must lie beyond a percentile for it to mean something.
const BEYOND_MIN: f64 = 10.0;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better: latency, cost.
    Lower,
    /// More is better: rate.
    Higher,
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Operations per second.
    OperationsPerSecond,
    /// Object bytes per second.
    BytesPerSecond,
    /// Microseconds.
    Microseconds,
    /// CPU microseconds per operation.
    MicrosecondsPerOperation,
    /// Device bytes per operation.
    BytesPerOperation,
    /// How many per operation.
    PerOperation,
}

/// A percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    P50,
    P90,
    P99,
    P999,
    P9999,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::P9999 => "p9999",
        }
    }

    /// The share of latencies beyond it.
    const fn beyond(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.1,
            Self::P99 => 0.01,
            Self::P999 => 0.001,
            Self::P9999 => 0.0001,
        }
    }

    fn of(self, latency: &LatencySummary) -> Option<f64> {
        if latency.count as f64 * self.beyond() < BEYOND_MIN {
            return None;
        }
        Some(match self {
            Self::P50 => latency.p50_us,
            Self::P90 => latency.p90_us,
            Self::P99 => latency.p99_us,
            Self::P999 => latency.p999_us,
            Self::P9999 => latency.p9999_us,
        })
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    Rate,
    Bandwidth,
    Mean,
    Percentile(LatencyKind, Level),
    ServerCpu,
    ClientCpu,
    DeviceRead,
    DeviceWritten,
    Flushes,
}

/// What each operation is compared by.
const OF_OPERATIONS: [Quantity; 12] = [
    Quantity::Rate,
    Quantity::Bandwidth,
    Quantity::Mean,
    Quantity::Percentile(LatencyKind::Response, Level::P50),
    Quantity::Percentile(LatencyKind::Response, Level::P90),
    Quantity::Percentile(LatencyKind::Response, Level::P99),
    Quantity::Percentile(LatencyKind::Response, Level::P999),
    Quantity::Percentile(LatencyKind::Response, Level::P9999),
    Quantity::Percentile(LatencyKind::Service, Level::P50),
    Quantity::Percentile(LatencyKind::Service, Level::P99),
    Quantity::Percentile(LatencyKind::FirstByte, Level::P50),
    Quantity::Percentile(LatencyKind::FirstByte, Level::P99),
];

/// What the whole run is compared by; a server cannot tell whose its CPU time was.
const OF_RUNS: [Quantity; 7] = [
    Quantity::Rate,
    Quantity::Bandwidth,
    Quantity::ServerCpu,
    Quantity::ClientCpu,
    Quantity::DeviceRead,
    Quantity::DeviceWritten,
    Quantity::Flushes,
];

/// A figure of one operation, or of the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    operation: Option<Operation>,
    quantity: Quantity,
}

/// The metrics of runs in which these operations occur.
pub(crate) fn catalogue(operations: &[Operation]) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for operation in operations {
        let of = |quantity| Metric { operation: Some(*operation), quantity };
        metrics.extend(OF_OPERATIONS.map(of));
    }
    metrics.extend(OF_RUNS.map(|quantity| Metric { operation: None, quantity }));
    metrics
}

impl Metric {
    /// Its name in rules and tables: `get.p99`, `all.server_cpu`.
    pub(crate) fn name(self) -> String {
        let subject = self.operation.map_or("all", Operation::name);
        let figure = match self.quantity {
            Quantity::Rate => "rate".to_owned(),
            Quantity::Bandwidth => "bandwidth".to_owned(),
            Quantity::Mean => "mean".to_owned(),
            Quantity::Percentile(LatencyKind::Response, level) => level.name().to_owned(),
            Quantity::Percentile(kind, level) => format!("{}_{}", kind.name(), level.name()),
            Quantity::ServerCpu => "server_cpu".to_owned(),
            Quantity::ClientCpu => "client_cpu".to_owned(),
            Quantity::DeviceRead => "device_read".to_owned(),
            Quantity::DeviceWritten => "device_written".to_owned(),
            Quantity::Flushes => "flushes".to_owned(),
        };
        format!("{subject}.{figure}")
    }

    /// Which way is better.
    pub(crate) const fn better(self) -> Better {
        match self.quantity {
            Quantity::Rate | Quantity::Bandwidth => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// Its unit.
    pub(crate) const fn unit(self) -> Unit {
        match self.quantity {
            Quantity::Rate => Unit::OperationsPerSecond,
            Quantity::Bandwidth => Unit::BytesPerSecond,
            Quantity::Mean | Quantity::Percentile(..) => Unit::Microseconds,
            Quantity::ServerCpu | Quantity::ClientCpu => Unit::MicrosecondsPerOperation,
            Quantity::DeviceRead | Quantity::DeviceWritten => Unit::BytesPerOperation,
            Quantity::Flushes => Unit::PerOperation,
        }
    }

    /// By how much the logarithm of a ratio of two single runs of one build is taken to spread
    /// (standard deviation) where there are too few runs to see it.
    pub(crate) const fn assumed_spread(self) -> f64 {
        match self.quantity {
            Quantity::Rate | Quantity::Bandwidth | Quantity::Mean => 0.05,
            Quantity::Percentile(_, Level::P50) => 0.05,
            Quantity::Percentile(_, Level::P90) => 0.10,
            Quantity::Percentile(..) => 0.20,
            _ => 0.03,
        }
    }

    /// Its value in a run that may be believed that far.
    pub(crate) fn believed(self, summary: &Summary) -> Option<f64> {
        let stands = match self.unit() {
            Unit::OperationsPerSecond | Unit::BytesPerSecond | Unit::Microseconds => {
                summary.verdict.latency_stands()
            }
            Unit::MicrosecondsPerOperation | Unit::BytesPerOperation | Unit::PerOperation => {
                summary.verdict.cost_stands()
            }
        };
        if stands { self.value(summary) } else { None }
    }

    /// Its value in a summary, whatever the verdict.
    pub(crate) fn value(self, summary: &Summary) -> Option<f64> {
        let value = match self.operation {
            Some(operation) => self.of_operation(summary.operations.get(operation.name())?),
            None => self.of_run(summary),
        };
        value.filter(|value| value.is_finite() && *value > 0.0)
    }

    fn of_operation(self, summary: &OperationSummary) -> Option<f64> {
        match self.quantity {
            Quantity::Rate => Some(summary.operations_per_second),
            Quantity::Bandwidth => Some(summary.bytes_per_second),
            Quantity::Mean => {
                summary.latency.get(LatencyKind::Response.name()).map(|latency| latency.mean_us)
            }
            Quantity::Percentile(kind, level) => level.of(summary.latency.get(kind.name())?),
            _ => None,
        }
    }

    fn of_run(self, summary: &Summary) -> Option<f64> {
        let server = summary.server.as_ref();
        let each = |count: Option<u64>| {
            let operations = summary.total.count;
            count.filter(|_| operations > 0).map(|count| count as f64 / operations as f64)
        };
        match self.quantity {
            Quantity::Rate => Some(summary.total.operations_per_second),
            Quantity::Bandwidth => Some(summary.total.bytes_per_second),
            Quantity::ServerCpu => server?.cpu_us_per_operation,
            Quantity::ClientCpu => summary.client.cpu_us_per_operation,
            Quantity::DeviceRead => each(server?.counters.device_bytes_read),
            Quantity::DeviceWritten => each(server?.counters.device_bytes_written),
            Quantity::Flushes => each(server?.counters.flushes),
            Quantity::Mean | Quantity::Percentile(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::run;
    use crate::verdict::{Reason, ReasonKind, Voids};
    use std::collections::BTreeSet;

    fn value(name: &str, summary: &Summary) -> Option<f64> {
        let metrics = catalogue(&Operation::ALL);
        let metric = metrics.iter().find(|metric| metric.name() == name).unwrap();
        metric.believed(summary)
    }

    #[test]
    fn names_are_unique() {
        let metrics = catalogue(&Operation::ALL);
        let names: BTreeSet<String> = metrics.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), metrics.len());
        for name in ["get.p99", "get.rate", "put.service_p50", "all.server_cpu", "all.flushes"] {
            assert!(names.contains(name), "{name}");
        }
    }

    #[test]
    fn values_come_from_the_summary() {
        let summary = run(0, 1.5).summary;
        assert_eq!(value("all.server_cpu", &summary), Some(1.5));
        assert_eq!(value("get.rate", &summary), Some(summary.total.operations_per_second));
        let response = summary.operations["get"].latency["response"];
        assert_eq!(value("get.p99", &summary), Some(response.p99_us));
        assert_eq!(value("get.p9999", &summary), None, "too few latencies beyond it");
        assert_eq!(value("put.rate", &summary), None);
        assert_eq!(value("all.flushes", &summary), None);
    }

    #[test]
    fn a_void_run_keeps_its_cost_if_its_verdict_says_so() {
        let mut summary = run(0, 1.5).summary;
        let reason = |voids| Reason {
            kind: ReasonKind::ClientCpu,
            measured: 99.0,
            limit: 90.0,
            voids,
            text: "the client was the limit".to_owned(),
        };
        summary.verdict.valid = false;
        summary.verdict.reasons.push(reason(Voids::LatencyAndRate));
        assert_eq!(value("get.p50", &summary), None);
        assert_eq!(value("all.rate", &summary), None);
        assert_eq!(value("all.server_cpu", &summary), Some(1.5));
        summary.verdict.reasons.push(reason(Voids::Everything));
        assert_eq!(value("all.server_cpu", &summary), None);
    }

    #[test]
    fn what_has_no_logarithm_is_absent() {
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut summary = run(0, 1.5).summary;
            summary.total.operations_per_second = odd;
            assert_eq!(value("all.rate", &summary), None, "{odd}");
        }
    }
}

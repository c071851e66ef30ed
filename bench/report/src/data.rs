//! What a report is made of: plain figures that the owner fills out of run directories.
//!
//! Invariants: nothing is checked when it is made. The report leaves out what cannot be drawn
//! (numbers that are negative or not finite, bounds that do not grow) and never fails. Units
//! stand in the names; seconds count from the start of the measured phase.

/// One run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunData {
    /// What the run is called in legends and tables; "run 1" and so on where it is empty.
    pub label: String,
    /// When it began, as text.
    pub started: String,
    /// Why its rates and latencies do not count, each a sentence; none: the run is valid.
    pub verdict_reasons: Vec<String>,
    /// How requests were timed.
    pub loop_kind: LoopKind,
    /// Parameters, commit, kernel and the like, in the order to be shown.
    pub manifest: Vec<(String, String)>,
    /// What was recorded, each name once.
    pub operations: Vec<OperationData>,
    /// Events to be drawn: the second and what happened.
    pub marks: Vec<(f64, String)>,
    /// The server's own counters, where it told them.
    pub server: Option<Vec<(String, String)>>,
}

impl RunData {
    /// The figures of the operation of this name.
    pub(crate) fn operation(&self, name: &str) -> Option<&OperationData> {
        self.operations.iter().find(|operation| operation.name == name)
    }
}

/// How requests were timed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoopKind {
    /// At planned times, whatever the server does.
    #[default]
    Open,
    /// The next when one before has ended, so that a stalled server is asked less.
    Closed,
}

impl LoopKind {
    /// What a reader must know about the latencies.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "open loop: latency counts from the planned time",
            Self::Closed => "closed loop: the tail is understated",
        }
    }
}

/// One kind of operation of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperationData {
    /// Its name, the same in all runs.
    pub name: String,
    /// Operations that ended well.
    pub count: u64,
    /// Failed operations by code.
    pub errors: Vec<(String, u64)>,
    /// Operations per second over the measured phase.
    pub operations_per_second: f64,
    /// Payload bytes per second over the measured phase.
    pub bytes_per_second: f64,
    /// The latencies of the whole phase, each kind at most once.
    pub latency: Vec<LatencyRow>,
    /// Percentile, 0 to 100, and response time in us at it, both never falling.
    pub percentile_curve: Vec<(f64, f64)>,
    /// One entry for each second or few, in order; a second left out is drawn as a gap.
    pub intervals: Vec<IntervalPoint>,
    /// How the response times are distributed over time.
    pub heat: Heat,
}

/// From where to where a latency is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LatencyKind {
    /// From the planned time to the end.
    #[default]
    Response,
    /// From sending to the end.
    Service,
    /// From sending to the first byte of the answer.
    FirstByte,
}

impl LatencyKind {
    /// Every kind, in the order of the tables.
    pub(crate) const ALL: [Self; 3] = [Self::Response, Self::Service, Self::FirstByte];

    /// The name in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Response => "response time (planned to done)",
            Self::Service => "service time (sent to done)",
            Self::FirstByte => "first byte (sent to first byte)",
        }
    }
}

/// A latency distribution in eight numbers, microseconds with fractions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LatencyRow {
    /// What was measured.
    pub kind: LatencyKind,
    /// The smallest.
    pub min_us: f64,
    /// The arithmetic mean.
    pub mean_us: f64,
    /// The median.
    pub p50_us: f64,
    /// The 90th percentile.
    pub p90_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// The 99.9th percentile.
    pub p999_us: f64,
    /// The 99.99th percentile.
    pub p9999_us: f64,
    /// The largest.
    pub max_us: f64,
}

/// What happened in one second, or in a few together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct IntervalPoint {
    /// Its first second: 0 is the first of all.
    pub second: u64,
    /// How many seconds it is of; 0 counts as 1.
    pub seconds: u64,
    /// Operations that ended in it; without any, its percentiles are not drawn.
    pub operations: u64,
    /// Payload bytes of them.
    pub bytes: u64,
    /// Operations that failed in it.
    pub errors: u64,
    /// The median response time of them.
    pub p50_us: f64,
    /// The 99th percentile of them.
    pub p99_us: f64,
    /// The 99.9th percentile of them.
    pub p999_us: f64,
}

impl IntervalPoint {
    /// How long it is, never 0.
    pub(crate) fn length_s(&self) -> u64 {
        self.seconds.max(1)
    }
}

/// Counts by time and latency.
///
/// **Shape**: `counts[column][bucket]`; bucket `b` holds latencies from `bounds_us[b]` to
/// `bounds_us[b + 1]`, so there is one bound more than buckets. A row of counts may be short:
/// what is missing is 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heat {
    /// Bounds of the buckets: finite, not negative, growing.
    pub bounds_us: Vec<f64>,
    /// How many seconds each column is of, but the last may be of fewer; 0 counts as 1. Those of
    /// runs that are drawn together divide each other.
    pub seconds_per_column: u64,
    /// Counts of each column, from second 0 on.
    pub counts: Vec<Vec<u64>>,
}

impl Heat {
    /// How long a column is, never 0.
    pub(crate) fn column_s(&self) -> u64 {
        self.seconds_per_column.max(1)
    }

    /// How long all columns are together.
    pub(crate) fn length_s(&self) -> u64 {
        self.column_s().saturating_mul(self.counts.len() as u64)
    }

    /// When it ends at the earliest: the last column is of one second at least.
    pub(crate) fn end_s(&self) -> f64 {
        self.length_s().saturating_sub(self.column_s() - 1) as f64
    }
}

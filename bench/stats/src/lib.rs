//! What a load run records, what is made of it, and how runs are compared.
//!
//! A thread records into its `Recorder` and takes an `Interval` each second. Intervals of threads
//! and workers are added up, written to the log by `HlogWriter`, and summed into the total that a
//! `Summary` is made of, verdict included. `compare` holds summaries of two builds against each
//! other.
//!
//! ```
//! use bench_stats::{Interval, LatencyKind, Operation, Recorder, SizeClass};
//!
//! let mut recorder = Recorder::new(0);
//! let (operation, class) = (Operation::Get, SizeClass::of(4_096));
//! recorder.record(operation, class, LatencyKind::Response, 250_000);
//! recorder.count(operation, class, 4_096);
//! let mut total = Interval::default();
//! total.add(&recorder.take_interval(1_000_000_000));
//! let get = total.operation(Operation::Get);
//! assert_eq!(get.count, 1);
//! assert_eq!(get.latency(LatencyKind::Response).quantile_ns(0.5) / 1_000, 250);
//! ```
//!
//! Invariants: merging is exact and its order does not matter; a percentile is taken of merged
//! counts, never averaged; bytes and text from outside are bounded and end in `StatsError`, never
//! in a panic. No clock, no sockets, no files: the caller brings times, readers and writers.

mod bytes;
pub mod compare;
mod counters;
mod error;
mod histogram;
mod hlog;
mod interval;
mod key;
mod operation;
mod random;
mod recorder;
mod summary;
mod v2;
mod verdict;
mod wire;

pub use bytes::Cursor;
pub use error::StatsError;
pub use histogram::{Bucket, HIGHEST_NS, Histogram};
pub use hlog::{Detail, HlogReader, HlogWriter, LogEntry, read_intervals};
pub use interval::{Cell, ERROR_CODES_MAX, Interval};
pub use key::{LatencyKind, SizeClass};
pub use operation::Operation;
pub use recorder::Recorder;
pub use summary::{
    ClientFacts, ClientSummary, LatencySummary, Load, OperationSummary, RunFacts,
    SUMMARY_BYTES_MAX, SUMMARY_SCHEMA, ServerCounters, ServerSummary, SizeSummary, Summary, Totals,
};
pub use verdict::{Limits, RACED, Reason, ReasonKind, Verdict, Voids};
pub use wire::INTERVAL_BYTES_MAX;

#[cfg(test)]
mod testing;

//! One self-contained HTML file that shows what one run of the load generator did, or how
//! several differ.
//!
//! Invariants: a pure function of its input, no I/O, no clock; the file needs no network and is
//! complete without scripts; every text is escaped; nothing that is not a finite number is ever
//! written as one; percentiles are drawn as they were recorded, never averaged.

mod axis;
mod chart;
mod data;
mod escape;
mod heat;
#[cfg(test)]
mod markup;
mod number;
mod operation;
mod page;
#[cfg(test)]
mod samples;
mod series;
mod style;
mod table;

pub use data::{Heat, IntervalPoint, LatencyKind, LatencyRow, LoopKind, OperationData, RunData};
pub use page::render;

//! Whether a new build is better, worse or the same: runs of both are compared.
//!
//! The machines are shared and noisy: they drift, slow phases last from a second to minutes, and
//! a second resembles the one before it. So:
//!
//! - The unit is the run. Seconds of one run are not independent; an interval over them is far
//!   too narrow and calls two runs of one build different in a third of all cases (a test shows
//!   it). A run gives one value per metric, out of its whole, exactly merged histogram.
//! - Everything is a ratio, on the logarithmic scale: noise multiplies, and `a / b` and `b / a`
//!   then have the same interval.
//! - Where the sides alternate in time (B N B N ...), neighbours are paired: what is slow for
//!   minutes slows both and cancels. Three pairs or more give an interval by Student's t over the
//!   differences within pairs. From 8 pairs on, a fifth is trimmed at either end (Yuen), so that
//!   a neighbour's burst that hits one run decides nothing. From 5 pairs on, a drift that both
//!   sides share (Theil and Sen's slope, above two standard errors) is taken out, since in
//!   B N B N the new build always runs later. A percentile bootstrap over so few values covers
//!   too seldom; t does not.
//! - Without alternation, three runs or more of each side give Welch's interval. It does not see
//!   what changed between the two groups, and a warning says so.
//! - With fewer runs, how runs of one build spread cannot be seen. It is then assumed
//!   (`assumed_spread` of the metric), and what a block bootstrap sees within the runs is added.
//!   The row says so; large changes are still found.
//! - A difference is claimed where the whole interval lies beyond the tolerance (1 %): two
//!   processes of one build differ by about that much, by luck of memory layout.
//!
//! Assumed: differences within pairs are independent of each other, and about symmetric. Strict
//! alternation makes neighbouring pairs slightly opposed, which errs to the safe side; B N N B
//! makes them alike, which does not. Each row is judged by itself: of twenty rows, one may differ
//! by chance. docs/bench-compare.md says all of this with numbers.

mod blocks;
mod comparison;
mod design;
mod estimate;
mod metric;
mod render;
mod rule;
mod sides;
mod student;
mod warn;

pub use comparison::{COMPARISON_SCHEMA, Comparison, Method, Outcome, Row};
pub use metric::{Better, Unit};
pub use rule::{Judgement, Rule, RuleResult};

use crate::error::StatsError;
use crate::interval::Interval;
use crate::operation::Operation;
use crate::summary::Summary;
use sides::{Side, Sides};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Runs of one side that are taken.
pub const RUNS_MAX: usize = 200;

/// One measured repeat, and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its summary.
    pub summary: Summary,
    /// Its intervals in the order of time; may be empty. They are used where there are too few
    /// runs for an interval of their own.
    pub intervals: Vec<Interval>,
    /// Its manifest as flat keys. Keys that begin with `build.` or `run.` may differ.
    pub manifest: BTreeMap<String, String>,
}

/// How runs are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The probability with which an interval holds the true ratio; 0.5 to 0.999.
    pub confidence: f64,
    /// Ratios this close to 1 are no difference; 0.01 is 1 %.
    pub tolerance: f64,
    /// Resamples of the block bootstrap; 2 to 10,000.
    pub resamples: u32,
    /// The seed of the block bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { confidence: 0.95, tolerance: 0.01, resamples: 200, seed: 1 }
    }
}

impl Options {
    fn check(&self) -> Result<(), StatsError> {
        let resamples = f64::from(self.resamples);
        let checks = [
            ("the confidence", self.confidence, 0.5..=0.999, "0.5 to 0.999"),
            ("the tolerance", self.tolerance, 0.0..=1.0, "0 to 1"),
            ("the number of resamples", resamples, 2.0..=10_000.0, "2 to 10,000"),
        ];
        for (name, value, range, valid) in checks {
            if !range.contains(&value) {
                return Err(StatsError::Setting { name, value, valid });
            }
        }
        Ok(())
    }
}

/// Compares runs of two builds.
///
/// # Errors
/// `RunCount` where a side has no run or more than `RUNS_MAX`, `Setting` where a setting is out of
/// range.
pub fn compare(base: &[Run], new: &[Run], options: &Options) -> Result<Comparison, StatsError> {
    options.check()?;
    for (side, runs) in [("base", base), ("new", new)] {
        if !(1..=RUNS_MAX).contains(&runs.len()) {
            return Err(StatsError::RunCount { side, count: runs.len(), limit: RUNS_MAX });
        }
    }
    let metrics = metric::catalogue(&operations(base, new));
    let sides = Sides { base, new, design: design::design(base, new), options };
    // Resampling takes time, and most comparisons have enough runs to do without.
    let resampled = OnceCell::new();
    let mut rows = Vec::new();
    for (place, metric) in metrics.iter().enumerate() {
        let within = |side: Side, run: usize| {
            resampled.get_or_init(|| sides.variances(&metrics)).of(side, run, place)
        };
        rows.extend(sides.row(*metric, &within));
    }
    let warnings = warn::warnings(&sides, &rows);
    Ok(Comparison {
        schema: COMPARISON_SCHEMA,
        confidence: options.confidence,
        tolerance: options.tolerance,
        base_runs: base.len(),
        new_runs: new.len(),
        rows,
        rules: Vec::new(),
        warnings,
    })
}

/// The operations that occur on either side.
fn operations(base: &[Run], new: &[Run]) -> Vec<Operation> {
    let occurs = |operation: &Operation| {
        let has = |run: &Run| run.summary.operations.contains_key(operation.name());
        base.iter().chain(new).any(has)
    };
    Operation::ALL.into_iter().filter(occurs).collect()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "trial_tests.rs"]
mod trial_tests;

//! What a comparison comes to.
//!
//! Invariant: every number in it is finite, so that it can be written as JSON.

use crate::compare::metric::{Better, Unit};
use crate::compare::rule::{Judgement, Rule, RuleResult};
use crate::error::StatsError;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// The schema of a comparison as JSON.
pub const COMPARISON_SCHEMA: u32 = 1;

/// Where a row's interval comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Method {
    /// The differences within pairs of neighbours in time.
    Paired {
        /// How many pairs.
        pairs: usize,
    },
    /// The spread of the runs of each side.
    Unpaired {
        /// Base runs.
        base: usize,
        /// New runs.
        new: usize,
    },
    /// An assumed spread between runs, and the measured one within them.
    Assumed {
        /// Base runs.
        base: usize,
        /// New runs.
        new: usize,
    },
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paired { pairs } => write!(formatter, "{pairs} pairs"),
            Self::Unpaired { base, new } => write!(formatter, "{base}+{new} runs"),
            Self::Assumed { base, new } => write!(formatter, "{base}+{new} runs, spread assumed"),
        }
    }
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The interval reaches into the tolerance.
    NoDifference,
    /// The whole interval is better by more than the tolerance.
    Better,
    /// The whole interval is worse by more than the tolerance.
    Worse,
}

/// One metric of both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name, as in `get.p99`.
    pub metric: String,
    /// The unit of `base` and `new`.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// The median of the base runs.
    pub base: f64,
    /// The median of the new runs.
    pub new: f64,
    /// New over base. Not the ratio of the medians: it is estimated from pairs, without drift.
    pub ratio: f64,
    /// The lower end of the ratio's interval.
    pub low: f64,
    /// The upper end of the ratio's interval.
    pub high: f64,
    /// Where the interval comes from.
    pub method: Method,
    /// Whether the whole interval lies beyond the tolerance.
    pub difference: bool,
    /// Which way it does.
    pub outcome: Outcome,
    /// How much the metric moved from run to run on both sides, in percent; taken out of `ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_percent_per_run: Option<f64>,
}

/// Runs of two builds, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// `COMPARISON_SCHEMA`.
    pub schema: u32,
    /// The probability with which an interval holds the true ratio.
    pub confidence: f64,
    /// Ratios this close to 1 are no difference.
    pub tolerance: f64,
    /// Base runs.
    pub base_runs: usize,
    /// New runs.
    pub new_runs: usize,
    /// One row for each metric that both sides measured.
    pub rows: Vec<Row>,
    /// The rules that it was held against.
    pub rules: Vec<RuleResult>,
    /// What a reader must know before believing the rows.
    pub warnings: Vec<String>,
}

impl Comparison {
    /// Holds the comparison against rules.
    ///
    /// Where all runs have one and the same operation, `get.server_cpu` means `all.server_cpu`.
    ///
    /// # Errors
    /// `UnknownMetric` where a rule is about something that is not measured: a gate that cannot
    /// be judged must not pass.
    pub fn hold_against(&mut self, rules: &[Rule]) -> Result<(), StatsError> {
        for rule in rules {
            let row = self.find(rule.metric()).ok_or_else(|| StatsError::UnknownMetric {
                metric: rule.metric().to_owned(),
                valid: self.names().join(", "),
            })?;
            let result = rule.judge(row);
            self.rules.push(result);
        }
        Ok(())
    }

    /// Whether a rule is broken.
    #[must_use]
    pub fn breaks_a_rule(&self) -> bool {
        self.rules.iter().any(|result| result.judgement == Judgement::Broken)
    }

    /// The comparison as JSON, with a line end.
    ///
    /// # Errors
    /// `Json` where it cannot be serialised.
    pub fn to_json(&self) -> Result<String, StatsError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn names(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.metric.as_str()).collect()
    }

    fn find(&self, metric: &str) -> Option<&Row> {
        let named = |name: &str| self.rows.iter().find(|row| row.metric == name);
        named(metric).or_else(|| {
            let (subject, figure) = metric.split_once('.')?;
            let subjects: BTreeSet<&str> =
                self.rows.iter().filter_map(|row| Some(row.metric.split_once('.')?.0)).collect();
            let only = BTreeSet::from(["all", subject]);
            if subjects == only { named(&format!("all.{figure}")) } else { None }
        })
    }
}

//! Both sides of a comparison, and how one metric's interval is estimated from them.
//!
//! Invariants: the first way that the runs allow is taken: pairs, groups, assumption. A row
//! exists where both sides have at least one believed value. The header of `compare` says why
//! each way is as it is.

use crate::compare::comparison::{Method, Outcome, Row};
use crate::compare::design::Design;
use crate::compare::estimate::{self, LogInterval};
use crate::compare::metric::{Better, Metric};
use crate::compare::{Options, Run, blocks, student};

/// Pairs, or runs of each side, that an interval of their own needs.
const RUNS_MIN: usize = 3;
/// From this many pairs on the common drift is taken out.
const DRIFT_FROM: usize = 5;
/// Bounds a logarithm of a ratio, so that every ratio is finite.
const LOG_MAX: f64 = 20.0;
/// Degrees of freedom at which Student's distribution is the normal one.
const MANY_DEGREES: usize = 1_000;

/// Which side a run is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Base,
    New,
}

/// Variances within runs, by run and metric.
pub(crate) struct Within {
    base: Vec<Vec<Option<f64>>>,
    new: Vec<Vec<Option<f64>>>,
}

impl Within {
    pub(crate) fn of(&self, side: Side, run: usize, place: usize) -> Option<f64> {
        match side {
            Side::Base => self.base[run][place],
            Side::New => self.new[run][place],
        }
    }
}

/// The variance of one metric within a run, where it can be seen.
type VarianceOf<'a> = dyn Fn(Side, usize) -> Option<f64> + 'a;

/// Logarithms of one metric, by run; absent where a run does not have it.
struct Logs {
    base: Vec<Option<f64>>,
    new: Vec<Option<f64>>,
}

/// Both sides and how they are compared.
pub(crate) struct Sides<'a> {
    pub(crate) base: &'a [Run],
    pub(crate) new: &'a [Run],
    pub(crate) design: Design,
    pub(crate) options: &'a Options,
}

/// A ratio's logarithm and where it comes from.
struct Estimate {
    interval: LogInterval,
    method: Method,
    drift: Option<f64>,
}

impl Sides<'_> {
    /// What varies within each run, for each metric.
    pub(crate) fn variances(&self, metrics: &[Metric]) -> Within {
        let of = |run: &Run| blocks::log_variances(run, metrics, self.options);
        Within { base: self.base.iter().map(of).collect(), new: self.new.iter().map(of).collect() }
    }

    /// The row of a metric; `None` where a side does not have it.
    pub(crate) fn row(&self, metric: Metric, within: &VarianceOf<'_>) -> Option<Row> {
        let believed = |run: &Run| metric.believed(&run.summary);
        let base_values: Vec<f64> = self.base.iter().filter_map(believed).collect();
        let new_values: Vec<f64> = self.new.iter().filter_map(believed).collect();
        if base_values.is_empty() || new_values.is_empty() {
            return None;
        }
        let log = |run: &Run| believed(run).map(f64::ln);
        let logs = Logs {
            base: self.base.iter().map(log).collect(),
            new: self.new.iter().map(log).collect(),
        };
        let found = self
            .paired(&logs)
            .or_else(|| self.unpaired(&logs))
            .unwrap_or_else(|| self.assumed(&logs, metric, within));
        let ratio = |log: f64| log.clamp(-LOG_MAX, LOG_MAX).exp();
        let LogInterval { center, half } = found.interval;
        let (low, high) = (ratio(center - half), ratio(center + half));
        let rises = low > 1.0 + self.options.tolerance;
        let falls = high < 1.0 / (1.0 + self.options.tolerance);
        Some(Row {
            metric: metric.name(),
            unit: metric.unit(),
            better: metric.better(),
            base: estimate::median(&base_values),
            new: estimate::median(&new_values),
            ratio: ratio(center),
            low,
            high,
            method: found.method,
            difference: rises || falls,
            outcome: match (rises, falls, metric.better()) {
                (false, false, _) => Outcome::NoDifference,
                (true, _, Better::Higher) | (false, true, Better::Lower) => Outcome::Better,
                (true, _, Better::Lower) | (false, true, Better::Higher) => Outcome::Worse,
            },
            drift_percent_per_run: found.drift.map(|drift| (ratio(drift) - 1.0) * 100.0),
        })
    }

    /// By pairs, where the sides alternate and enough pairs are whole.
    fn paired(&self, logs: &Logs) -> Option<Estimate> {
        let mut differences = Vec::new();
        let mut distances = Vec::new();
        for pair in self.design.pairs.as_ref()? {
            if let (Some(base), Some(new)) = (logs.base[pair.base], logs.new[pair.new]) {
                differences.push(new - base);
                let places = (self.design.base_places[pair.base], self.design.new_places[pair.new]);
                distances.push(places.1 - places.0);
            }
        }
        if differences.len() < RUNS_MIN {
            return None;
        }
        let mut interval = estimate::paired(&differences, self.options.confidence);
        let drift = if differences.len() < DRIFT_FROM {
            None
        } else {
            let base = placed(&self.design.base_places, &logs.base);
            let new = placed(&self.design.new_places, &logs.new);
            estimate::drift([&base, &new])
        };
        // By how much later the new runs were, on average: zero where the order is balanced.
        interval.center -= drift.unwrap_or(0.0) * estimate::mean(&distances);
        let method = Method::Paired { pairs: differences.len() };
        Some(Estimate { interval, method, drift })
    }

    /// By groups, where the sides do not alternate and both have enough runs.
    fn unpaired(&self, logs: &Logs) -> Option<Estimate> {
        let base: Vec<f64> = logs.base.iter().flatten().copied().collect();
        let new: Vec<f64> = logs.new.iter().flatten().copied().collect();
        if self.design.pairs.is_some() || base.len() < RUNS_MIN || new.len() < RUNS_MIN {
            return None;
        }
        let interval = estimate::unpaired(&base, &new, self.options.confidence);
        let method = Method::Unpaired { base: base.len(), new: new.len() };
        Some(Estimate { interval, method, drift: None })
    }

    /// With too few runs: an assumed spread between them, and the measured one within them.
    fn assumed(&self, logs: &Logs, metric: Metric, within: &VarianceOf<'_>) -> Estimate {
        let spread = metric.assumed_spread();
        let mut variance = 0.0_f64;
        let mut means = [0.0_f64; 2];
        let mut counts = [0_usize; 2];
        let sides = [(Side::Base, &logs.base), (Side::New, &logs.new)];
        for (index, (side, logs)) in sides.into_iter().enumerate() {
            let present: Vec<f64> = logs.iter().flatten().copied().collect();
            let count = present.len() as f64;
            // The spread is that of a ratio; each side has half of its variance.
            variance += spread * spread / 2.0 / count;
            for run in (0..logs.len()).filter(|run| logs[*run].is_some()) {
                variance += within(side, run).unwrap_or(0.0) / (count * count);
            }
            means[index] = estimate::mean(&present);
            counts[index] = present.len();
        }
        let quantile = student::two_sided(self.options.confidence, MANY_DEGREES);
        let interval =
            LogInterval { center: means[1] - means[0], half: quantile * variance.sqrt() };
        let method = Method::Assumed { base: counts[0], new: counts[1] };
        Estimate { interval, method, drift: None }
    }
}

/// Places and logarithms of the runs that have one.
fn placed(places: &[f64], logs: &[Option<f64>]) -> Vec<(f64, f64)> {
    places.iter().zip(logs).filter_map(|(place, log)| Some((*place, (*log)?))).collect()
}

//! The acceptance trial, simulated: a machine that drifts, is slow for a while at times and whose
//! seconds resemble each other; builds that are equal, and builds that cost 10 % more.
//!
//! The trial asks for 18 of 20. Each test here runs ten times twenty trials and asks it of each
//! twenty. The seeds are fixed, so a failure is a change of the method, not bad luck.

use super::testing::run;
use super::*;
use crate::random::Random;

/// Runs of each side in a trial, and seconds of a run.
const PAIRS: usize = 10;
const SECONDS: usize = 5;
/// Seconds between runs, in which the machine goes on.
const GAP_SECONDS: usize = 2;

/// How slow the machine is, second by second, as a logarithm.
struct Machine {
    random: Random,
    drift: f64,
    slow: f64,
    burst: bool,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), drift: 0.0, slow: 0.0, burst: false }
    }

    fn second(&mut self) -> f64 {
        // A random walk of 0.1 % a second, noise of 3.4 % that lasts ten seconds, bursts of 12 %
        // that last fifteen seconds and come every three minutes, noise of 2 % that does not last.
        self.drift += 0.001 * self.random.normal();
        self.slow = 0.9 * self.slow + 0.015 * self.random.normal();
        let chance = self.random.unit();
        self.burst = if self.burst { chance < 0.93 } else { chance < 1.0 / 200.0 };
        let burst = if self.burst { 0.12 } else { 0.0 };
        self.drift + self.slow + 0.02 * self.random.normal() + burst
    }

    /// The cost of an operation in each second of a run.
    fn run(&mut self, cost: f64, seconds: usize) -> Vec<f64> {
        let costs = (0..seconds).map(|_| cost * self.second().exp()).collect();
        for _ in 0..GAP_SECONDS {
            self.second();
        }
        costs
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether a trial finds a difference in the server's CPU time: base and new runs in turn, the
/// new build costing `cost` times as much, and every run costing half a percent more than the
/// one before it.
fn finds_a_difference(seed: u64, cost: f64) -> bool {
    let mut machine = Machine::new(seed);
    let (mut base, mut new) = (Vec::new(), Vec::new());
    for place in 0..2 * PAIRS {
        let steady = (0.005 * place as f64).exp();
        let is_base = place.is_multiple_of(2);
        let (side, times) = if is_base { (&mut base, 1.0) } else { (&mut new, cost) };
        let costs = machine.run(times * steady, SECONDS);
        side.push(run(place as u64, 10.0 * mean(&costs)));
    }
    let comparison = compare(&base, &new, &Options::default()).unwrap();
    comparison.rows.iter().any(|row| row.metric == "all.server_cpu" && row.difference)
}

/// How many of each twenty trials find a difference.
fn findings(cost: f64) -> Vec<usize> {
    let of = |batch: u64| {
        (0..20_u64).filter(|trial| finds_a_difference(1_000 * batch + *trial, cost)).count()
    };
    (1..=10).map(of).collect()
}

#[test]
fn equal_builds_are_equal_in_18_of_20_trials() {
    let findings = findings(1.0);
    assert!(findings.iter().all(|found| *found <= 2), "{findings:?}");
    assert!(findings.iter().sum::<usize>() <= 6, "3 % of 200 at most: {findings:?}");
}

#[test]
fn a_slowdown_of_a_tenth_is_found_in_18_of_20_trials() {
    let findings = findings(1.10);
    assert!(findings.iter().all(|found| *found >= 18), "{findings:?}");
}

/// The method that this crate does not use: all seconds of all runs, taken for independent.
#[test]
fn seconds_taken_for_independent_find_differences_where_there_are_none() {
    let mut found = 0;
    for seed in 0..200 {
        let mut machine = Machine::new(seed);
        let (mut base, mut new) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            base.extend(machine.run(1.0, 30).into_iter().map(f64::ln));
            new.extend(machine.run(1.0, 30).into_iter().map(f64::ln));
        }
        let naive = estimate::unpaired(&base, &new, 0.95);
        if naive.center.abs() > naive.half {
            found += 1;
        }
    }
    assert!(found > 50, "it would be a fair method: {found} of 200");
}

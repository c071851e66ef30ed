//! Running twins: looking for the seed that catches one, and running it again.
//!
//! Invariant: a search ends with the first catch, or with its budget.

use super::{Case, Row, cases};
use engine_env::{BrokenRules, Rule};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long a twin is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The first seed.
    pub first: u64,
    /// Seeds of each world.
    pub seeds: u64,
    /// Steps of the runs that passed.
    pub steps_max: u64,
}

/// A twin that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catch {
    /// The world, as an index of `cases`.
    pub case: usize,
    /// The seed.
    pub seed: u64,
    /// What the world found wrong.
    pub what: String,
}

/// A twin that was not caught.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missed {
    /// Runs of the twin.
    pub runs: u64,
    /// Steps of those that passed.
    pub steps: u64,
    /// The last panic of a run, which proves nothing.
    pub panic: Option<String>,
    /// The last run that failed with all rules kept too, which proves nothing either.
    pub control: Option<String>,
}

/// How a run ended.
enum Ended {
    Passed(u64),
    Failed(String),
    Panicked(String),
}

fn run(case: &Case, seed: u64, broken: BrokenRules) -> Ended {
    match catch_unwind(AssertUnwindSafe(|| case.run(seed, broken))) {
        Ok(Ok(report)) => Ended::Passed(report.totals.steps),
        Ok(Err(what)) => Ended::Failed(what),
        Err(panic) => Ended::Panicked(panic_text(panic.as_ref())),
    }
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Whether a seed passes with all rules kept.
fn control(case: &Case, seed: u64) -> Result<(), String> {
    match run(case, seed, BrokenRules::NONE) {
        Ended::Passed(_) => Ok(()),
        Ended::Failed(what) | Ended::Panicked(what) => {
            Err(format!("{case} --first {seed} fails with all rules kept: {what}"))
        }
    }
}

/// Looks for a seed that catches the twin of a rule, seed by seed over all its worlds.
///
/// # Errors
/// It was not caught.
pub fn search(rule: Rule, budget: &Budget) -> Result<Catch, Missed> {
    let cases = cases(rule);
    let mut missed = Missed::default();
    for seed in budget.first..budget.first.saturating_add(budget.seeds) {
        for (index, case) in cases.iter().enumerate() {
            missed.runs += 1;
            match run(case, seed, BrokenRules::only(rule)) {
                Ended::Passed(steps) => missed.steps += steps,
                Ended::Panicked(text) => missed.panic = Some(format!("{case} {seed}: {text}")),
                Ended::Failed(what) => match control(case, seed) {
                    Ok(()) => return Ok(Catch { case: index, seed, what }),
                    Err(text) => missed.control = Some(text),
                },
            }
            if missed.steps > budget.steps_max {
                return Err(missed);
            }
        }
    }
    Err(missed)
}

/// Runs a row of the table again: passes with all rules kept, and fails without its rule. Gives
/// what was found wrong.
///
/// # Errors
/// Why the row does not hold.
pub fn run_row(row: &Row) -> Result<String, String> {
    let cases = cases(row.rule);
    let case = cases.get(row.case).ok_or("the row names no world of its rule")?;
    control(case, row.seed)?;
    match run(case, row.seed, BrokenRules::only(row.rule)) {
        Ended::Failed(what) => Ok(what),
        Ended::Passed(_) => Err("the twin was not caught".to_owned()),
        Ended::Panicked(text) => Err(format!("the twin panicked: {text}")),
    }
}

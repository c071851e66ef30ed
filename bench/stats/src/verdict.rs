//! Whether a run may be believed, and what of it.
//!
//! Invariant: a run that the client limited loses its latency and its rate, never its CPU per
//! operation: what the server spends on a request does not depend on who was slower. A run that
//! failed or read wrong bytes loses everything.

use crate::interval::Interval;
use crate::summary::ClientSummary;
use serde::{Deserialize, Serialize};

/// The code of operations that another one of the same run came before: an object was rightly not
/// there any more. They are counted among the errors, and nobody's fault.
pub const RACED: &str = "raced";

/// From so many operations on, a client whose CPU time is zero is one whose time is unknown.
const OPERATIONS_WITHOUT_CPU_MAX: u64 = 10_000;

/// Above what a run is void.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// 99 % of the operations of an open loop begin no later than this, in microseconds.
    pub schedule_lag_p99_us: f64,
    /// The busiest thread of the client uses no more of its CPU than this, in percent.
    pub client_cpu_percent: f64,
    /// No more of the operations fail than this, in percent.
    pub errors_percent: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { schedule_lag_p99_us: 1_000.0, client_cpu_percent: 90.0, errors_percent: 0.1 }
    }
}

/// What makes a run void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// No operation succeeded.
    Empty,
    /// The generator fell behind its schedule.
    ScheduleLag,
    /// The client's CPU was full.
    ClientCpu,
    /// The backlog was full, operations were given up.
    Shed,
    /// Operations failed.
    Errors,
    /// Payloads were not what had been written.
    Mismatches,
}

/// What a reason takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voids {
    /// Latency and rate; CPU per operation stands.
    LatencyAndRate,
    /// Every figure.
    Everything,
}

/// One reason why a run is void.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What it is.
    pub kind: ReasonKind,
    /// What was measured, in the unit of the limit.
    pub measured: f64,
    /// What it was held against.
    pub limit: f64,
    /// What it takes away.
    pub voids: Voids,
    /// All of it in a sentence.
    pub text: String,
}

/// Whether a run may be believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether every figure may be believed.
    pub valid: bool,
    /// Why not; empty where it is valid.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// The verdict on a run, `total` being all that happened in it.
    #[must_use]
    pub fn judge(total: &Interval, client: &ClientSummary, limits: &Limits) -> Self {
        let mut reasons = Vec::new();
        reasons.extend(empty(total));
        reasons.extend(schedule_lag(total, limits));
        reasons.extend(client_cpu(total, client, limits));
        reasons.extend(shed(total));
        reasons.extend(errors(total, limits));
        reasons.extend(mismatches(total));
        Self { valid: reasons.is_empty(), reasons }
    }

    /// Whether latencies and rates may be believed.
    #[must_use]
    pub fn latency_stands(&self) -> bool {
        self.valid && self.reasons.is_empty()
    }

    /// Whether costs per operation may be believed.
    #[must_use]
    pub fn cost_stands(&self) -> bool {
        self.reasons.iter().all(|reason| reason.voids == Voids::LatencyAndRate)
    }
}

fn empty(total: &Interval) -> Option<Reason> {
    (total.count() == 0).then(|| Reason {
        kind: ReasonKind::Empty,
        measured: 0.0,
        limit: 1.0,
        voids: Voids::Everything,
        text: "no operation succeeded".to_owned(),
    })
}

fn schedule_lag(total: &Interval, limits: &Limits) -> Option<Reason> {
    let lag_us = total.schedule_lag.quantile_ns(0.99) as f64 / 1e3;
    let limit_us = limits.schedule_lag_p99_us;
    (lag_us > limit_us).then(|| Reason {
        kind: ReasonKind::ScheduleLag,
        measured: lag_us,
        limit: limit_us,
        voids: Voids::LatencyAndRate,
        text: format!(
            "the client was late: 1 % of the operations began {lag_us:.0} us or more after their \
             planned time (limit {limit_us:.0} us)"
        ),
    })
}

fn client_cpu(total: &Interval, client: &ClientSummary, limits: &Limits) -> Option<Reason> {
    let (percent, limit) = (client.busiest_thread_percent, limits.client_cpu_percent);
    if total.client_cpu_ns == 0 && total.count() > OPERATIONS_WITHOUT_CPU_MAX {
        return Some(Reason {
            kind: ReasonKind::ClientCpu,
            measured: 0.0,
            limit,
            voids: Voids::LatencyAndRate,
            text: "the kernel does not tell the client's CPU time: nobody knows whether the \
                   client was the limit"
                .to_owned(),
        });
    }
    (percent > limit).then(|| Reason {
        kind: ReasonKind::ClientCpu,
        measured: percent,
        limit,
        voids: Voids::LatencyAndRate,
        text: format!(
            "the client was the limit: its busiest thread used {percent:.0} % of a CPU (limit \
             {limit:.0} %)"
        ),
    })
}

fn shed(total: &Interval) -> Option<Reason> {
    let shed = total.shed;
    (shed > 0).then(|| Reason {
        kind: ReasonKind::Shed,
        measured: shed as f64,
        limit: 0.0,
        voids: Voids::LatencyAndRate,
        text: format!("the rate was not held: {shed} planned operations were given up"),
    })
}

fn errors(total: &Interval, limits: &Limits) -> Option<Reason> {
    let raced = |operation| total.operation(operation).errors().get(RACED).copied().unwrap_or(0);
    let raced: u64 = total.operations().into_iter().map(raced).sum();
    let (failed, limit) = (total.error_count().saturating_sub(raced), limits.errors_percent);
    let attempts = failed.saturating_add(total.count()).max(1);
    let percent = failed as f64 / attempts as f64 * 100.0;
    (percent > limit).then(|| Reason {
        kind: ReasonKind::Errors,
        // To the thousandth, as it is shown: no reader needs seventeen digits.
        measured: (percent * 1e3).round() / 1e3,
        limit,
        voids: Voids::Everything,
        text: format!(
            "{failed} operations failed, {percent:.2} % of all (limit {limit:.2} %); see the \
             errors by code"
        ),
    })
}

fn mismatches(total: &Interval) -> Option<Reason> {
    let mismatches = total.mismatches;
    (mismatches > 0).then(|| Reason {
        kind: ReasonKind::Mismatches,
        measured: mismatches as f64,
        limit: 0.0,
        voids: Voids::Everything,
        text: format!("{mismatches} payloads were not what had been written"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SizeClass;
    use crate::operation::Operation;

    fn good() -> Interval {
        let mut total = Interval::new(0, 1_000_000_000);
        total.cell_mut(Operation::Get, SizeClass::Any).count = 10_000;
        total.schedule_lag = std::iter::repeat_n(20_000, 10_000).collect();
        total
    }

    fn client(busiest_thread_percent: f64) -> ClientSummary {
        ClientSummary { busiest_thread_percent, ..ClientSummary::default() }
    }

    /// The verdict on `total`, and the one kind of reason it must have.
    fn check(total: &Interval, busiest_thread_percent: f64, kind: ReasonKind) -> Verdict {
        let verdict = Verdict::judge(total, &client(busiest_thread_percent), &Limits::default());
        let kinds: Vec<ReasonKind> = verdict.reasons.iter().map(|reason| reason.kind).collect();
        assert_eq!(kinds, [kind]);
        assert!(!verdict.valid && !verdict.latency_stands());
        verdict
    }

    #[test]
    fn a_good_run_is_valid() {
        let verdict = Verdict::judge(&good(), &client(90.0), &Limits::default());
        assert!(verdict.valid && verdict.latency_stands() && verdict.cost_stands());
    }

    #[test]
    fn a_slow_client_voids_latency_but_not_cost() {
        assert!(check(&good(), 90.5, ReasonKind::ClientCpu).cost_stands());
        let mut late = good();
        late.schedule_lag.add(&std::iter::repeat_n(2_000_000, 200).collect());
        let verdict = check(&late, 50.0, ReasonKind::ScheduleLag);
        assert!(verdict.cost_stands());
        assert!(verdict.reasons[0].text.contains("limit 1000 us"), "{}", verdict.reasons[0].text);
        let mut full = good();
        full.shed = 1;
        assert!(check(&full, 50.0, ReasonKind::Shed).cost_stands());
    }

    #[test]
    fn failures_void_everything() {
        let mut failing = good();
        failing.cell_mut(Operation::Get, SizeClass::Any).count_errors("SlowDown", 10);
        let few = Verdict::judge(&failing, &client(0.0), &Limits::default());
        assert!(few.valid, "10 of 10,010 are below the limit");
        failing.cell_mut(Operation::Get, SizeClass::Any).count_errors("SlowDown", 1);
        assert!(!check(&failing, 0.0, ReasonKind::Errors).cost_stands());
        let mut wrong = good();
        wrong.mismatches = 1;
        assert!(!check(&wrong, 0.0, ReasonKind::Mismatches).cost_stands());
        assert!(!check(&Interval::new(0, 1), 0.0, ReasonKind::Empty).cost_stands());
    }
}

//! The highest rate at which latency keeps to its objective.
//!
//! Method: the rate is doubled from the first one on until the objective is missed twice in a row,
//! then the gap is halved (geometrically) until it is small. Every step is an open loop at a rate
//! of its own, so that a queue that grows is seen as latency and not as a lower rate.

use crate::error::RunError;
use bench_stats::{Interval, LatencyKind, Reason, ReasonKind};

/// The search ends once the rate that fails is so much above the one that holds.
const CLOSE_ENOUGH: f64 = 1.03;
/// A rate that is not reached to this share does not hold.
const REACHED_SHARE: f64 = 0.98;
/// Standard deviations by which a count may be below its mean by chance.
const DEVIATIONS: f64 = 4.0;
/// Below this, nothing holds.
const RATE_MIN: f64 = 1.0;
/// The most that is tried.
const RATE_MAX: f64 = 1e8;

/// What latency must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Share of the operations, 0 to 1.
    pub quantile: f64,
    /// They take so long at most, in nanoseconds.
    pub limit_ns: u64,
}

impl Objective {
    /// `p99=5ms`, `p99.9=20ms`, `p50=800us`.
    ///
    /// # Errors
    /// `Setting` where it is none.
    pub fn parse(text: &str) -> Result<Self, RunError> {
        let refused = || RunError::Setting {
            setting: "--slo",
            problem: format!("{text:?} is not like p99=5ms or p99.9=20ms"),
        };
        let (percentile, limit) = text
            .trim()
            .strip_prefix('p')
            .and_then(|rest| rest.split_once('='))
            .ok_or_else(refused)?;
        let percent: f64 = percentile.parse().map_err(|_| refused())?;
        let seconds = match limit.strip_suffix("us") {
            Some(us) => us.parse::<f64>().ok().map(|us| us / 1e6),
            None => bench_model::seconds(limit),
        };
        let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds < 1e6);
        if !(percent > 0.0 && percent < 100.0) {
            return Err(refused());
        }
        let limit_ns = (seconds.ok_or_else(refused)? * 1e9).round() as u64;
        Ok(Self { quantile: percent / 100.0, limit_ns })
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The rate that was planned, per second.
    pub rate: f64,
    /// What was reached.
    pub reached: f64,
    /// The objective's percentile.
    pub latency_ns: u64,
    /// Whether it holds.
    pub verdict: StepVerdict,
}

/// Whether a rate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepVerdict {
    /// It does.
    Holds,
    /// Latency, errors or the rate itself missed.
    Fails,
    /// The client was the limit: nothing is known of the server.
    ClientLimited,
}

impl Step {
    /// Judges what was recorded in a step; `void`: the run's verdict on it.
    #[must_use]
    pub fn judge(rate: f64, measured: &Interval, objective: &Objective, void: &[Reason]) -> Self {
        let latency_ns = quantile_ns(measured, objective, LatencyKind::Response);
        let seconds = measured.length_s().max(1e-9);
        let reached = measured.count() as f64 / seconds;
        let failed = measured.error_count() as f64 > 0.001 * measured.count() as f64;
        // Poisson's counts vary by the root of their mean.
        let planned = rate * seconds;
        let least = REACHED_SHARE * planned - DEVIATIONS * planned.sqrt();
        // Of a step without a request nothing is known, however few were planned.
        let is_reached =
            measured.count() > 0 && measured.count() as f64 >= least && measured.shed == 0;
        let holds = is_reached && !failed && latency_ns <= objective.limit_ns;
        let verdict = match (holds, is_client_limited(measured, objective, void)) {
            (true, _) => StepVerdict::Holds,
            (false, true) => StepVerdict::ClientLimited,
            (false, false) => StepVerdict::Fails,
        };
        Self { rate, reached, latency_ns, verdict }
    }
}

fn quantile_ns(measured: &Interval, objective: &Objective, kind: LatencyKind) -> u64 {
    let mut all = bench_stats::Histogram::default();
    for operation in measured.operations() {
        all.add(measured.operation(operation).latency(kind));
    }
    all.quantile_ns(objective.quantile)
}

/// Whether a step that missed may have missed by the client's fault. A client that was late is
/// none where requests took too long by more than it was late, counted from when they were sent: a
/// neighbour's noise makes it late a little, and the server was too slow all the same.
fn is_client_limited(measured: &Interval, objective: &Objective, void: &[Reason]) -> bool {
    let has = |kind| void.iter().any(|reason| reason.kind == kind);
    let lag_ns = measured.schedule_lag.quantile_ns(0.99);
    let service_ns = quantile_ns(measured, objective, LatencyKind::Service);
    has(ReasonKind::ClientCpu)
        || (has(ReasonKind::ScheduleLag) && service_ns <= objective.limit_ns.saturating_add(lag_ns))
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    first: f64,
    holds: Option<f64>,
    fails: Option<f64>,
    /// A rate that has missed once.
    doubted: Option<f64>,
    is_over: bool,
}

impl Search {
    /// Begins at a rate.
    #[must_use]
    pub fn new(first: f64) -> Self {
        Self { first, holds: None, fails: None, doubted: None, is_over: false }
    }

    /// The rate to try next; `None`: the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        if self.is_over {
            return None;
        }
        if let Some(rate) = self.doubted {
            return Some(rate);
        }
        let rate = match (self.holds, self.fails) {
            (None, None) => self.first,
            (Some(holds), None) => holds * 2.0,
            (None, Some(fails)) => fails / 2.0,
            (Some(holds), Some(fails)) if fails / holds > CLOSE_ENOUGH => (holds * fails).sqrt(),
            (Some(_), Some(_)) => return None,
        };
        (RATE_MIN..=RATE_MAX).contains(&rate).then_some(rate)
    }

    /// Takes what a rate came to.
    pub fn tell(&mut self, step: &Step) {
        match step.verdict {
            StepVerdict::Holds => {
                self.holds = Some(step.rate);
                self.doubted = None;
            }
            // Once may be a neighbour's noise.
            StepVerdict::Fails | StepVerdict::ClientLimited if self.doubted.is_none() => {
                self.doubted = Some(step.rate);
            }
            StepVerdict::ClientLimited => self.is_over = true,
            StepVerdict::Fails => {
                self.fails = Some(step.rate);
                self.doubted = None;
            }
        }
    }

    /// The highest rate that was seen to hold.
    #[must_use]
    pub fn knee(&self) -> Option<f64> {
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_stats::{Operation, Recorder, SizeClass, Voids};

    fn step(rate: f64, verdict: StepVerdict) -> Step {
        Step { rate, reached: rate, latency_ns: 0, verdict }
    }

    fn search(first: f64, holds: impl Fn(f64, usize) -> bool) -> (Option<f64>, usize) {
        let mut search = Search::new(first);
        let mut steps = 0;
        while let Some(rate) = search.next() {
            let verdict = if holds(rate, steps) { StepVerdict::Holds } else { StepVerdict::Fails };
            search.tell(&step(rate, verdict));
            steps += 1;
            assert!(steps < 100, "it ends");
        }
        (search.knee(), steps)
    }

    #[test]
    fn a_cap_is_found_from_anywhere() {
        for cap in [7.0, 333.0, 20_000.0, 1_234_567.0] {
            for first in [1.0, 100.0, 1e6] {
                let (knee, steps) = search(first, |rate, _| rate <= cap);
                let knee = knee.expect("something holds");
                assert!(knee <= cap && knee > cap / CLOSE_ENOUGH, "{cap} from {first}: {knee}");
                assert!(steps < 50, "{steps}");
            }
        }
    }

    #[test]
    fn noise_that_comes_once_is_no_failure() {
        let (knee, _) = search(100.0, |rate, step| rate <= 5_000.0 && step != 3 && step != 9);
        let knee = knee.expect("something holds");
        assert!(knee <= 5_000.0 && knee > 4_800.0, "{knee}");
    }

    #[test]
    fn where_nothing_holds_there_is_no_knee() {
        assert_eq!(search(100.0, |_, _| false).0, None);
        let mut search = Search::new(100.0);
        search.tell(&step(100.0, StepVerdict::Holds));
        search.tell(&step(200.0, StepVerdict::ClientLimited));
        assert_eq!(search.next(), Some(200.0), "a client is late by chance, too");
        search.tell(&step(200.0, StepVerdict::ClientLimited));
        assert_eq!((search.next(), search.knee()), (None, Some(100.0)));
    }

    /// A step at 1,000 per second for a second, every operation alike, in milliseconds.
    fn judged(service_ms: u64, response_ms: u64, lag_ms: u64, kind: ReasonKind) -> StepVerdict {
        let (operation, class) = (Operation::Put, SizeClass::of(4_096));
        let mut recorder = Recorder::new(0);
        for _ in 0..1_000 {
            recorder.record(operation, class, LatencyKind::Service, service_ms * 1_000_000);
            recorder.record(operation, class, LatencyKind::Response, response_ms * 1_000_000);
            recorder.record_schedule_lag(lag_ms * 1_000_000);
            recorder.count(operation, class, 4096);
        }
        let reason = Reason {
            kind,
            measured: 0.0,
            limit: 0.0,
            voids: Voids::LatencyAndRate,
            text: String::new(),
        };
        let objective = Objective { quantile: 0.5, limit_ns: 50_000_000 };
        Step::judge(1_000.0, &recorder.take_interval(1_000_000_000), &objective, &[reason]).verdict
    }

    #[test]
    fn a_late_client_is_no_excuse_for_a_server_that_is_slower() {
        let late = |service, response, lag| judged(service, response, lag, ReasonKind::ScheduleLag);
        assert_eq!(late(10, 40, 5), StepVerdict::Holds);
        assert_eq!(late(80, 1_000, 5), StepVerdict::Fails);
        assert_eq!(late(10, 1_000, 5), StepVerdict::ClientLimited);
        assert_eq!(late(80, 1_000, 60), StepVerdict::ClientLimited);
        assert_eq!(judged(80, 1_000, 0, ReasonKind::ClientCpu), StepVerdict::ClientLimited);
        assert_eq!(judged(10, 1_000, 0, ReasonKind::Shed), StepVerdict::Fails);
    }

    #[test]
    fn a_step_that_measured_nothing_does_not_hold() {
        let objective = Objective { quantile: 0.5, limit_ns: 50_000_000 };
        let step = Step::judge(100.0, &Interval::default(), &objective, &[]);
        assert_eq!(step.verdict, StepVerdict::Fails);
    }

    #[test]
    fn objectives_are_read_or_refused() {
        let objective = Objective::parse("p99.9=20ms").unwrap();
        assert!((objective.quantile - 0.999).abs() < 1e-12);
        assert_eq!(objective.limit_ns, 20_000_000);
        assert_eq!(Objective::parse("p50=800us").unwrap().limit_ns, 800_000);
        for wrong in ["", "p99", "99=5ms", "p100=5ms", "p0=5ms", "p99=5", "p99=0ms", "p99=-1ms"] {
            let message = Objective::parse(wrong).unwrap_err().to_string();
            assert!(message.contains("--slo"), "{message}");
        }
    }
}

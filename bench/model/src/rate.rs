//! How many requests are planned when.
//!
//! Invariants: a parsed rate is finite, at most `RATE_MAX`, and asks for at least one request at
//! some time. A rate describes the whole run; `Schedule` makes one thread's part of it.

use crate::ModelError;
use crate::error::shown;
use crate::number::{per_second, seconds};

/// The highest rate in requests a second: one a nanosecond, the unit of planned times.
pub const RATE_MAX: f64 = 1e9;

/// Most steps of a stepped rate.
const STEPS_MAX: usize = 1_000;

/// The planned arrivals of a run, in requests a second.
#[derive(Debug, Clone, PartialEq)]
pub enum Rate {
    /// Evenly spaced, without end.
    Constant(f64),
    /// Independent of each other, as requests of many users are, without end.
    Poisson(f64),
    /// Evenly rising or falling; then the plan ends.
    Ramp {
        /// The rate at the start.
        from: f64,
        /// The rate at the end.
        to: f64,
        /// How long it takes.
        over_s: f64,
    },
    /// Evenly spaced, one rate after the other; then the plan ends.
    Steps(Vec<Step>),
}

/// A part of a stepped rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Requests a second; 0 is a pause.
    pub per_second: f64,
    /// How long the step takes.
    pub seconds: f64,
}

impl Rate {
    /// Reads `20k` or `const:20k`, `poisson:20k`, `ramp:1k..20k/60s`, `steps:1k@10s,0@1s,2k@10s`;
    /// rates take k and M, times ms, s, m and h.
    ///
    /// # Errors
    /// `ModelError::Rate` names the text and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let text = text.trim();
        let refused = |problem: &'static str| ModelError::Rate {
            input: shown(text),
            problem: problem.to_owned(),
        };
        parse(text).map_err(refused)
    }

    /// How long the plan takes; nothing if it has no end.
    #[must_use]
    pub fn duration_s(&self) -> Option<f64> {
        match self {
            Self::Constant(_) | Self::Poisson(_) => None,
            Self::Ramp { over_s, .. } => Some(*over_s),
            Self::Steps(steps) => Some(steps.iter().map(|step| step.seconds).sum()),
        }
    }

    /// Requests planned in the first `seconds` of the run, on average.
    #[must_use]
    pub fn planned_by(&self, seconds: f64) -> f64 {
        match self {
            Self::Constant(rate) | Self::Poisson(rate) => rate * seconds,
            Self::Ramp { from, to, over_s } => {
                let seconds = seconds.min(*over_s);
                seconds * (from + (to - from) * seconds / over_s / 2.0)
            }
            Self::Steps(steps) => {
                let mut left = seconds;
                let mut planned = 0.0;
                for step in steps {
                    planned += step.per_second * left.clamp(0.0, step.seconds);
                    left -= step.seconds;
                }
                planned
            }
        }
    }
}

fn parse(text: &str) -> Result<Rate, &'static str> {
    let Some((kind, argument)) = text.split_once(':') else {
        return positive(text).map(Rate::Constant);
    };
    match kind.trim() {
        "const" | "constant" => positive(argument).map(Rate::Constant),
        "poisson" => positive(argument).map(Rate::Poisson),
        "ramp" => parse_ramp(argument),
        "steps" => parse_steps(argument),
        _ => Err("there is no kind of arrivals of this name"),
    }
}

fn parse_ramp(text: &str) -> Result<Rate, &'static str> {
    let (rates, time) = text.split_once('/').ok_or("a ramp is written from..to/time")?;
    let (from, to) = rates.split_once("..").ok_or("a ramp is written from..to/time")?;
    let (from, to, over_s) = (rate(from)?, rate(to)?, time_s(time)?);
    if from + to == 0.0 {
        return Err("one of the rates must be above 0");
    }
    Ok(Rate::Ramp { from, to, over_s })
}

fn parse_steps(text: &str) -> Result<Rate, &'static str> {
    let step = |text: &str| -> Result<Step, &'static str> {
        let (rate_text, time) = text.split_once('@').ok_or("a step is written rate@time")?;
        Ok(Step { per_second: rate(rate_text)?, seconds: time_s(time)? })
    };
    let steps = text.split(',').map(step).collect::<Result<Vec<Step>, _>>()?;
    if steps.len() > STEPS_MAX {
        return Err("there are more than 1000 steps");
    }
    if steps.iter().all(|step| step.per_second == 0.0) {
        return Err("one of the rates must be above 0");
    }
    Ok(Rate::Steps(steps))
}

/// A rate above 0.
fn positive(text: &str) -> Result<f64, &'static str> {
    let rate = rate(text)?;
    if rate > 0.0 { Ok(rate) } else { Err("the rate must be above 0") }
}

/// A rate, possibly 0.
fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = per_second(text).ok_or("a rate is a number, with k or M where it is large")?;
    if rate > RATE_MAX {
        return Err("a rate is at most 1000M, one request a nanosecond");
    }
    Ok(rate)
}

/// A time above 0.
fn time_s(text: &str) -> Result<f64, &'static str> {
    let time_s = seconds(text).ok_or("a time is a number with ms, s, m or h")?;
    if time_s > 0.0 { Ok(time_s) } else { Err("a time must be above 0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        assert_eq!(Rate::parse("20k").unwrap(), Rate::Constant(20_000.0));
        assert_eq!(Rate::parse(" const:20k ").unwrap(), Rate::Constant(20_000.0));
        assert_eq!(Rate::parse("poisson:1.5M").unwrap(), Rate::Poisson(1_500_000.0));
        assert_eq!(
            Rate::parse("ramp:1k..20k/60s").unwrap(),
            Rate::Ramp { from: 1_000.0, to: 20_000.0, over_s: 60.0 }
        );
        assert_eq!(
            Rate::parse("steps:1k@10s,0@500ms").unwrap(),
            Rate::Steps(vec![
                Step { per_second: 1_000.0, seconds: 10.0 },
                Step { per_second: 0.0, seconds: 0.5 },
            ])
        );
    }

    #[test]
    fn a_refusal_names_the_input_and_the_problem() {
        let wrong = [
            ("", "number, with k or M"),
            ("fast", "number, with k or M"),
            ("0", "above 0"),
            ("-1", "number, with k or M"),
            ("1001M", "at most 1000M"),
            ("burst:1k", "no kind of arrivals"),
            ("poisson:0", "above 0"),
            ("ramp:1k..2k", "from..to/time"),
            ("ramp:1k-2k/60s", "from..to/time"),
            ("ramp:1k..2k/60", "number with ms, s, m or h"),
            ("ramp:1k..2k/0s", "a time must be above 0"),
            ("ramp:0..0/1s", "one of the rates"),
            ("steps:1k", "rate@time"),
            ("steps:0@1s,0@2s", "one of the rates"),
            ("steps:1k@10s,", "rate@time"),
        ];
        for (text, reason) in wrong {
            let message = Rate::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
            assert!(message.contains(&format!("`{text}`")), "{text}: {message}");
        }
        let many = format!("steps:{}", vec!["1@1s"; 1_001].join(","));
        assert!(Rate::parse(&many).unwrap_err().to_string().contains("more than 1000 steps"));
    }

    #[test]
    fn durations_and_planned_counts() {
        let steps = Rate::parse("steps:10@2s,0@1s,20@1s").unwrap();
        assert_eq!(steps.duration_s(), Some(4.0));
        let planned = [0.5, 2.0, 2.5, 3.5, 9.0].map(|second| steps.planned_by(second));
        assert_eq!(planned, [5.0, 20.0, 20.0, 30.0, 40.0]);
        let ramp = Rate::parse("ramp:0..100/10s").unwrap();
        assert_eq!(ramp.duration_s(), Some(10.0));
        assert_eq!([5.0, 10.0, 20.0].map(|second| ramp.planned_by(second)), [125.0, 500.0, 500.0]);
        let constant = Rate::parse("10").unwrap();
        assert_eq!((constant.duration_s(), constant.planned_by(3.0)), (None, 30.0));
    }
}

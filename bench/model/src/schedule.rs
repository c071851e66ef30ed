//! The planned times of one thread's requests.
//!
//! Invariants: planned times never decrease and do not depend on what happens in the run, so that
//! a request's latency can be counted from the time it was planned for; the union of all threads'
//! even plans is the run's even plan (arrival n of the run belongs to thread `n % threads`, so
//! threads never fire together), and the union of their Poisson plans is a Poisson plan.
//! Absent: a clock, and any catching up.

use crate::random::{Random, mix64};
use crate::{Rate, Step, Thread};

/// Salt of the gaps of a Poisson plan.
const GAPS_SALT: u64 = 0x6a95_0000_0000_0001;

const NANOSECONDS: f64 = 1e9;

/// Planned times of one thread, in nanoseconds since the start of a phase.
#[derive(Debug, Clone)]
pub struct Schedule {
    plan: Plan,
    last_ns: u64,
}

#[derive(Debug, Clone)]
enum Plan {
    Even(Even),
    Poisson { random: Random, mean_gap_s: f64, at_s: f64 },
}

/// Evenly spaced arrivals along a line of rates that is made of straight pieces.
#[derive(Debug, Clone)]
struct Even {
    pieces: Vec<Piece>,
    /// The piece that the next arrival is looked for in.
    current: usize,
    /// Arrivals of the run before the current piece, with fractions.
    planned_before: f64,
    /// Seconds before the current piece.
    seconds_before: f64,
    /// Number of this thread's next arrival among those of the run.
    next: u64,
    threads: u64,
}

/// A straight piece of the line; `seconds` may be infinite if the rate does not change.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: f64,
    to: f64,
    seconds: f64,
}

impl Schedule {
    /// The plan of `thread` in a run with this rate; the seed decides the gaps of a Poisson plan.
    #[must_use]
    pub fn new(rate: &Rate, thread: Thread, seed: u64) -> Self {
        let pieces = match rate {
            Rate::Poisson(per_second) => {
                let random = Random::new(mix64(seed, GAPS_SALT), u64::from(thread.index));
                let mean_gap_s = f64::from(thread.count) / per_second;
                return Self { plan: Plan::Poisson { random, mean_gap_s, at_s: 0.0 }, last_ns: 0 };
            }
            Rate::Constant(rate) => vec![Piece { from: *rate, to: *rate, seconds: f64::INFINITY }],
            Rate::Ramp { from, to, over_s } => {
                vec![Piece { from: *from, to: *to, seconds: *over_s }]
            }
            Rate::Steps(steps) => {
                let piece = |step: &Step| Piece {
                    from: step.per_second,
                    to: step.per_second,
                    seconds: step.seconds,
                };
                steps.iter().map(piece).collect()
            }
        };
        let even = Even {
            pieces,
            current: 0,
            planned_before: 0.0,
            seconds_before: 0.0,
            next: u64::from(thread.index),
            threads: u64::from(thread.count),
        };
        Self { plan: Plan::Even(even), last_ns: 0 }
    }

    /// When the next request is planned, in nanoseconds since the start of the phase; nothing when
    /// the plan is at its end.
    pub fn next_ns(&mut self) -> Option<u64> {
        let at_s = match &mut self.plan {
            Plan::Even(even) => even.next_s()?,
            Plan::Poisson { random, mean_gap_s, at_s } => {
                // One minus a unit draw is above 0, so that the logarithm is finite.
                *at_s -= (1.0 - random.unit()).ln() * *mean_gap_s;
                *at_s
            }
        };
        // Rounding must not turn two equal times around.
        self.last_ns = self.last_ns.max((at_s * NANOSECONDS).round() as u64);
        Some(self.last_ns)
    }
}

impl Even {
    fn next_s(&mut self) -> Option<f64> {
        let number = self.next as f64;
        loop {
            let piece = self.pieces.get(self.current)?;
            let inside = number - self.planned_before;
            let planned = (piece.from + piece.to) / 2.0 * piece.seconds;
            if inside < planned {
                self.next += self.threads;
                return Some(self.seconds_before + piece.time_of(inside));
            }
            self.planned_before += planned;
            self.seconds_before += piece.seconds;
            self.current += 1;
        }
    }
}

impl Piece {
    /// When `arrivals` have arrived since the piece's start: the root of
    /// `from * t + (to - from) / seconds * t^2 / 2 = arrivals`, in the form that does not cancel.
    fn time_of(&self, arrivals: f64) -> f64 {
        if arrivals <= 0.0 {
            return 0.0;
        }
        let growth = (self.to - self.from) / self.seconds;
        let rate_then = (self.from * self.from + 2.0 * growth * arrivals).max(0.0).sqrt();
        2.0 * arrivals / (self.from + rate_then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str, index: u32, count: u32, take: usize) -> Vec<u64> {
        let rate = Rate::parse(text).unwrap();
        let mut schedule = Schedule::new(&rate, Thread { index, count }, 5);
        std::iter::from_fn(|| schedule.next_ns()).take(take).collect()
    }

    fn union(text: &str, count: u32, take: usize) -> Vec<u64> {
        let mut all: Vec<u64> =
            (0..count).flat_map(|index| times(text, index, count, take)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_constant_rate_is_even_and_threads_are_staggered() {
        assert_eq!(times("1k", 0, 1, 4), [0, 1_000_000, 2_000_000, 3_000_000]);
        assert_eq!(times("1k", 1, 4, 3), [1_000_000, 5_000_000, 9_000_000]);
        let expected: Vec<u64> = (0..400).map(|number| number * 1_000_000).collect();
        assert_eq!(union("1k", 4, 100), expected);
    }

    #[test]
    fn a_constant_rate_does_not_drift() {
        let mut schedule = Schedule::new(&Rate::Constant(3.0), Thread { index: 0, count: 1 }, 1);
        let last = std::iter::from_fn(|| schedule.next_ns()).nth(3_000_000).unwrap();
        assert!(last.abs_diff(1_000_000_000_000_000) <= 1, "{last}");
    }

    #[test]
    fn steps_follow_each_other_and_end() {
        // Ten arrivals in the first second, none in the second, four in the third.
        let all = times("steps:10@1s,0@1s,4@1s", 0, 1, 100);
        let mut expected: Vec<u64> = (0..10).map(|number| number * 100_000_000).collect();
        expected.extend((0..4).map(|number| 2_000_000_000 + number * 250_000_000));
        assert_eq!(all, expected);
        assert_eq!(union("steps:10@1s,0@1s,4@1s", 3, 100), expected);
    }

    #[test]
    fn a_step_goes_on_where_a_fraction_was_left() {
        // Two and a half arrivals in the first step: the fourth comes half a gap into the second.
        let all = times("steps:5@500ms,1@2s", 0, 1, 10);
        assert_eq!(all, [0, 200_000_000, 400_000_000, 1_000_000_000, 2_000_000_000]);
    }

    #[test]
    fn a_ramp_has_the_integral_of_its_rate() {
        for text in ["ramp:0..1k/10s", "ramp:1k..0/10s", "ramp:100..900/10s", "ramp:500..500/10s"] {
            let rate = Rate::parse(text).unwrap();
            let all = union(text, 3, usize::MAX);
            assert_eq!(all.len(), 5_000, "{text}");
            assert!(all[4_999] < 10_000_000_000, "{text}");
            for (number, at_ns) in all.iter().enumerate() {
                let planned = rate.planned_by(*at_ns as f64 / 1e9);
                assert!((planned - number as f64).abs() < 1e-3, "{text}: {number} {planned}");
            }
        }
    }

    #[test]
    fn poisson_gaps_are_exponential_in_each_thread_and_in_the_union() {
        let mut union = union("poisson:1k", 4, 10_000);
        let one = times("poisson:1k", 2, 4, 20_000);
        // Threads end at different times; only what all of them reach counts.
        let reached = (0..4).map(|index| *times("poisson:1k", index, 4, 10_000).last().unwrap());
        let end = reached.min().unwrap();
        union.retain(|at| *at <= end);
        for (all, mean_ns) in [(one, 4_000_000.0), (union, 1_000_000.0)] {
            assert!(all.is_sorted());
            let gaps: Vec<f64> =
                all.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / mean_ns).collect();
            let count = gaps.len() as f64;
            assert!(count > 19_000.0);
            let mean = gaps.iter().sum::<f64>() / count;
            assert!((mean - 1.0).abs() < 0.03, "{mean}");
            // Of exponential gaps e^-1 are above the mean and e^-3 above three times it.
            for multiple in [1.0_f64, 3.0] {
                let above = gaps.iter().filter(|gap| **gap > multiple).count() as f64 / count;
                assert!((above - (-multiple).exp()).abs() < 0.015, "{multiple}: {above}");
            }
        }
    }

    #[test]
    fn poisson_plans_differ_by_thread_and_by_seed_only() {
        let first = |index, seed| {
            let thread = Thread { index, count: 2 };
            Schedule::new(&Rate::Poisson(10.0), thread, seed).next_ns().unwrap()
        };
        assert_eq!(first(0, 1), first(0, 1));
        assert_ne!(first(0, 1), first(1, 1));
        assert_ne!(first(0, 1), first(0, 2));
    }

    #[test]
    fn planned_times_never_decrease() {
        for text in ["1000M", "ramp:900M..1000M/1ms", "ramp:1000M..0/1ms", "poisson:1000M"] {
            assert!(times(text, 1, 3, 100_000).is_sorted(), "{text}");
        }
    }
}

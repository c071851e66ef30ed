//! How far one run's figures would move if its seconds were others: a block bootstrap.
//!
//! Invariants: seconds next to each other stay together in a block, since they resemble each
//! other; blocks are merged exactly before a percentile is taken; the same seed gives the same
//! answer. This sees what varies within a run only, never what differs between runs; a server's
//! counters are of whole runs, so that nothing varies within them that could be seen.

use crate::compare::metric::Metric;
use crate::compare::{Options, Run, estimate};
use crate::interval::Interval;
use crate::random::Random;
use crate::summary::{ClientFacts, Load, RunFacts, Summary};
use crate::verdict::Limits;

/// Fewer blocks say nothing.
const BLOCKS_MIN: usize = 5;
/// More blocks cost time and cut the seconds that resemble each other apart.
const BLOCKS_MAX: usize = 20;
/// Intervals of a block, where there are enough.
const BLOCK_INTERVALS: usize = 3;

/// A stretch of a run.
struct Block {
    sum: Interval,
    length_ns: u64,
}

/// For each metric, the variance of its logarithm over the resampled run; `None` where the run
/// has too few intervals or they do not hold the metric.
pub(crate) fn log_variances(run: &Run, metrics: &[Metric], options: &Options) -> Vec<Option<f64>> {
    let blocks = blocks_of(&run.intervals);
    if blocks.is_empty() {
        return vec![None; metrics.len()];
    }
    let mut random = Random::new(options.seed ^ run.summary.started_unix_ms);
    let mut logs: Vec<Vec<f64>> = vec![Vec::new(); metrics.len()];
    for _ in 0..options.resamples {
        let figures = figures(&resample(&blocks, &mut random));
        for (metric, logs) in metrics.iter().zip(&mut logs) {
            logs.extend(metric.value(&figures).map(f64::ln));
        }
    }
    // Resampling n blocks shows (n - 1) / n of their variance.
    let correction = blocks.len() as f64 / (blocks.len() - 1) as f64;
    let complete = |logs: &Vec<f64>| logs.len() > 1 && logs.len() == options.resamples as usize;
    logs.iter().map(|logs| complete(logs).then(|| estimate::variance(logs) * correction)).collect()
}

fn blocks_of(intervals: &[Interval]) -> Vec<Block> {
    let count = (intervals.len() / BLOCK_INTERVALS).clamp(BLOCKS_MIN, BLOCKS_MAX);
    if intervals.len() < count {
        return Vec::new();
    }
    let bound = |index: usize| index * intervals.len() / count;
    let mut blocks = Vec::with_capacity(count);
    for index in 0..count {
        let mut block = Block { sum: Interval::default(), length_ns: 0 };
        for interval in &intervals[bound(index)..bound(index + 1)] {
            block.sum.add(interval);
            block.length_ns += interval.end_ns.saturating_sub(interval.start_ns);
        }
        blocks.push(block);
    }
    blocks
}

/// A run of as many blocks, drawn with repetition.
fn resample(blocks: &[Block], random: &mut Random) -> Interval {
    let mut sum = Interval::default();
    let mut length_ns = 0_u64;
    for _ in 0..blocks.len() {
        let block = &blocks[random.below(blocks.len())];
        sum.add(&block.sum);
        length_ns = length_ns.saturating_add(block.length_ns);
    }
    // The blocks drawn are not next to each other: their lengths count, not their times.
    sum.start_ns = 0;
    sum.end_ns = length_ns;
    sum
}

/// The figures of a resampled run; only what metrics are made of is filled in.
fn figures(total: &Interval) -> Summary {
    let facts = RunFacts {
        run_id: String::new(),
        repeat: 0,
        target: String::new(),
        load: Load::Closed,
        started_unix_ms: 0,
    };
    let client = ClientFacts::default();
    Summary::new(facts, total, &Interval::default(), (client, None), &Limits::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::metric::catalogue;
    use crate::compare::testing::{run, seconds};
    use crate::operation::Operation;

    fn variance_of(name: &str, run: &Run) -> Option<f64> {
        let metrics = catalogue(&[Operation::Get]);
        let place = metrics.iter().position(|metric| metric.name() == name).unwrap();
        log_variances(run, &metrics, &Options::default())[place]
    }

    #[test]
    fn seconds_that_are_equal_have_no_variance() {
        let mut run = run(0, 1.0);
        run.intervals = seconds(&[100; 30]);
        let variance = variance_of("get.rate", &run).unwrap();
        assert!(variance.abs() < 1e-20, "{variance}");
        assert!(variance_of("all.client_cpu", &run).unwrap().abs() < 1e-20);
        assert_eq!(variance_of("all.server_cpu", &run), None, "known for the whole run only");
    }

    #[test]
    fn the_variance_of_independent_seconds_is_that_of_their_mean() {
        let mut random = Random::new(8);
        let counts: Vec<u64> = (0..60).map(|_| 1_000 + random.below(400) as u64).collect();
        let mut run = run(0, 1.0);
        run.intervals = seconds(&counts);
        // Uniform over 400 around 1,200: variance 400^2 / 12, of a mean of 60, relative.
        let expected = 400.0_f64.powi(2) / 12.0 / 60.0 / 1_200.0_f64.powi(2);
        let found = variance_of("get.rate", &run).unwrap();
        assert!(found > expected * 0.4 && found < expected * 2.5, "{found} {expected}");
    }

    #[test]
    fn seconds_that_resemble_each_other_have_more() {
        let apart: Vec<u64> = (0..60).map(|second| 1_000 + 400 * (second % 2)).collect();
        let together: Vec<u64> = (0..60).map(|second| 1_000 + 400 * (second / 10 % 2)).collect();
        let of = |counts: &[u64]| {
            let mut run = run(0, 1.0);
            run.intervals = seconds(counts);
            variance_of("get.rate", &run).unwrap()
        };
        assert!(of(&together) > 3.0 * of(&apart));
    }

    #[test]
    fn too_few_seconds_have_none() {
        let mut run = run(0, 1.0);
        assert_eq!(variance_of("get.rate", &run), None);
        run.intervals = seconds(&[100; 4]);
        assert_eq!(variance_of("get.rate", &run), None);
        run.intervals = seconds(&[100; 5]);
        assert!(variance_of("get.rate", &run).is_some());
    }
}

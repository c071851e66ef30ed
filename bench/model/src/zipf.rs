//! Zipf-distributed ranks without tables.
//!
//! Invariants: rank k of 1..=count is drawn with a share of k^-theta / sum of i^-theta, exactly
//! up to rounding, for every theta above 0, 1 included; memory and expected time do not depend on
//! the count. Source: Hoermann and Derflinger, "Rejection-inversion to generate variates from
//! monotone discrete distributions", ACM TOMACS 6(3), 1996.
//!
//! The bars k^-theta, each one wide and centred on k, are covered by the area below x^-theta from
//! 1/2 on; a uniform point of that area, found by inverting the integral, falls into the bar it is
//! rounded to, or is drawn again. The area of the first bar is cut to the bar itself. Most
//! points need no second look: within `shortcut` below k they lie in the bar for certain.

use crate::random::Random;

/// A zipf law over ranks.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    theta: f64,
    /// 1 - theta, what the integral's power is.
    power: f64,
    count: f64,
    /// The integral where the first bar begins (cut to its own area).
    integral_first: f64,
    /// The integral behind the last bar.
    integral_last: f64,
    shortcut: f64,
}

impl Zipf {
    /// The law over ranks 1 to `count`, below 2^53, with `theta` above 0.
    pub(crate) fn new(count: u64, theta: f64) -> Self {
        let power = 1.0 - theta;
        let count = count as f64;
        Self {
            theta,
            power,
            count,
            integral_first: integral(1.5, power) - 1.0,
            integral_last: integral(count + 0.5, power),
            shortcut: 2.0 - inverse(integral(2.5, power) - 2.0_f64.powf(-theta), power),
        }
    }

    /// A rank, from 1 to the count.
    pub(crate) fn rank(&self, random: &mut Random) -> u64 {
        let span = self.integral_first - self.integral_last;
        loop {
            let area = self.integral_last + random.unit() * span;
            let point = inverse(area, self.power);
            // The bounds hold against rounding of `inverse`, whose true value needs no bounds.
            let rank = (point + 0.5).floor().clamp(1.0, self.count);
            let certain = rank - point <= self.shortcut;
            if certain || area >= integral(rank + 0.5, self.power) - rank.powf(-self.theta) {
                return rank as u64;
            }
        }
    }
}

/// The integral of t^(power - 1) from 1 to `x`.
fn integral(x: f64, power: f64) -> f64 {
    if power == 0.0 { x.ln() } else { (power * x.ln()).exp_m1() / power }
}

/// The `x` whose integral is `area`.
fn inverse(area: f64, power: f64) -> f64 {
    if power == 0.0 { area.exp() } else { ((area * power).max(-1.0).ln_1p() / power).exp() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The sum of i^-theta over `first..=last`: the head term by term, the rest by Euler-Maclaurin.
    pub(crate) fn weight_of_ranks(first: u64, last: u64, theta: f64) -> f64 {
        let head_end = last.min(first + 100_000);
        let head: f64 = (first..head_end).map(|rank| (rank as f64).powf(-theta)).sum();
        let (from, to) = (head_end as f64, last as f64);
        let area = integral(to, 1.0 - theta) - integral(from, 1.0 - theta);
        let ends = (from.powf(-theta) + to.powf(-theta)) / 2.0;
        let slopes = theta * (from.powf(-theta - 1.0) - to.powf(-theta - 1.0)) / 12.0;
        head + area + ends + slopes
    }

    #[test]
    fn the_reference_sums_are_right() {
        assert!((weight_of_ranks(1, 1, 1.0) - 1.0).abs() < 1e-12);
        let plain: f64 = (1..=200_000).map(|rank| f64::from(rank).powf(-0.7)).sum();
        assert!((weight_of_ranks(1, 200_000, 0.7) / plain - 1.0).abs() < 1e-10);
        // The harmonic number of 10^9.
        assert!((weight_of_ranks(1, 1_000_000_000, 1.0) - 21.300_481_502_348).abs() < 1e-9);
    }

    /// Chi-square of the first 50 ranks, each alone, and all others together.
    fn chi_square(count: u64, theta: f64, draws: u32) -> f64 {
        let zipf = Zipf::new(count, theta);
        let mut random = Random::new(2_024, theta.to_bits());
        let mut seen = [0_u32; 51];
        for _ in 0..draws {
            let rank = zipf.rank(&mut random);
            assert!((1..=count).contains(&rank), "{rank}");
            seen[(rank - 1).min(50) as usize] += 1;
        }
        let total = weight_of_ranks(1, count, theta);
        let mut sum = 0.0;
        for (rank, found) in (1_u64..).zip(seen) {
            let last = if rank == 51 { count } else { rank };
            let expected = weight_of_ranks(rank, last, theta) / total * f64::from(draws);
            sum += (f64::from(found) - expected).powi(2) / expected;
        }
        sum
    }

    #[test]
    fn the_first_ranks_follow_the_exact_law() {
        for theta in [0.2, 0.5, 0.99, 1.0, 1.2, 2.0] {
            let found = chi_square(1_000, theta, 300_000);
            // 50 degrees of freedom: 86.7 is passed once in a thousand.
            assert!(found < 86.7, "theta {theta}: {found}");
        }
    }

    #[test]
    fn a_billion_ranks_follow_the_exact_law() {
        for theta in [0.99, 1.0, 1.2] {
            let found = chi_square(1_000_000_000, theta, 300_000);
            assert!(found < 86.7, "theta {theta}: {found}");
        }
    }

    #[test]
    fn the_tail_of_a_billion_ranks_has_its_share() {
        let (count, draws) = (1_000_000_000_u64, 100_000_u32);
        for theta in [0.5, 0.99, 1.0] {
            let zipf = Zipf::new(count, theta);
            let mut random = Random::new(7, 7);
            let far = (0..draws).filter(|_| zipf.rank(&mut random) > 1_000_000).count() as f64;
            let share = weight_of_ranks(1_000_001, count, theta) / weight_of_ranks(1, count, theta);
            assert!((far / f64::from(draws) - share).abs() < 0.006, "theta {theta}: {far}");
        }
    }

    #[test]
    fn few_ranks_and_extreme_thetas_stay_in_range() {
        for theta in [0.001, 0.999_999_999, 1.0, 1.000_000_001, 10.0] {
            for count in [1, 2, 3] {
                let zipf = Zipf::new(count, theta);
                let mut random = Random::new(1, count);
                let mut seen = [0_u32; 4];
                for _ in 0..10_000 {
                    seen[zipf.rank(&mut random) as usize] += 1;
                }
                let total = weight_of_ranks(1, count, theta);
                assert_eq!(seen[0], 0);
                for rank in 1..=count {
                    let expected = (rank as f64).powf(-theta) / total * 10_000.0;
                    let found = f64::from(seen[rank as usize]);
                    let bound = 4.0 * expected.sqrt() + 1.0;
                    assert!((found - expected).abs() < bound, "{theta} {count} {rank}: {seen:?}");
                }
            }
        }
    }
}

//! Quantiles of Student's t distribution, for whole degrees of freedom.
//!
//! For whole degrees the distribution is a finite sum, exact to rounding; the quantile is found
//! by halving. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3-4.

use std::f64::consts::FRAC_2_PI;

/// Above this many degrees the distribution is the normal one, to three digits.
const DEGREES_MAX: usize = 1_000;
/// Above every quantile that is asked for.
const QUANTILE_MAX: f64 = 1e5;

/// The probability that a t variable lies within `-t..=t`.
fn within(t: f64, degrees: usize) -> f64 {
    let angle = (t / (degrees as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    if degrees == 1 {
        return FRAC_2_PI * angle;
    }
    let even = degrees.is_multiple_of(2);
    let (mut term, mut step) = if even { (1.0, 1) } else { (cosine, 2) };
    let mut sum = term;
    while step + 3 <= degrees {
        term *= step as f64 / (step + 1) as f64 * cosine * cosine;
        sum += term;
        step += 2;
    }
    if even { sine * sum } else { FRAC_2_PI * (angle + sine * sum) }
}

/// The t that a t variable of `degrees` (1 or more) stays within with the probability
/// `confidence`.
pub(crate) fn two_sided(confidence: f64, degrees: usize) -> f64 {
    let degrees = degrees.clamp(1, DEGREES_MAX);
    let (mut low, mut high) = (0.0, QUANTILE_MAX);
    // Each step halves the range; 80 bring it below every float's last digit.
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if within(middle, degrees) < confidence {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let table = [
            (0.95, 1, 12.7062),
            (0.95, 2, 4.3027),
            (0.95, 3, 3.1824),
            (0.95, 4, 2.7764),
            (0.95, 5, 2.5706),
            (0.95, 9, 2.2622),
            (0.95, 10, 2.2281),
            (0.95, 30, 2.0423),
            (0.99, 1, 63.6567),
            (0.99, 2, 9.9248),
            (0.99, 5, 4.0321),
            (0.99, 10, 3.1693),
            (0.999, 1, 636.6193),
        ];
        for (confidence, degrees, expected) in table {
            let found = two_sided(confidence, degrees);
            assert!((found - expected).abs() < 1e-4, "{confidence} {degrees}: {found}");
        }
        assert!((two_sided(0.95, usize::MAX) - 1.96).abs() < 0.003, "the normal distribution");
    }
}

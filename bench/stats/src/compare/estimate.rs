//! A ratio and its interval out of few noisy values, on the logarithmic scale.
//!
//! Invariants: the callers give finite values and at least two of them; what comes out is finite.
//! Nothing here knows runs or metrics. The reasons for each choice are in the module above.

use crate::compare::student::two_sided;

/// From this many differences on, the outermost ones are trimmed.
const TRIM_FROM: usize = 8;
/// The share that is trimmed at either end is one over this.
const TRIM_SHARE: usize = 5;

/// The standard deviation of normal scatter, over the median of its absolute deviations.
const DEVIATION_OF_MEDIAN: f64 = 1.4826;
/// Standard errors that a drift must exceed.
const BEYOND_DOUBT: f64 = 2.0;

/// A logarithm of a ratio, known to plus or minus `half`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogInterval {
    pub(crate) center: f64,
    pub(crate) half: f64,
}

/// The mean; zero for none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The sum of the squared distances from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// The variance of what was sampled.
pub(crate) fn variance(values: &[f64]) -> f64 {
    squares(values) / values.len().saturating_sub(1).max(1) as f64
}

/// The median; zero for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        count if count.is_multiple_of(2) => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// How many differences of `count` are trimmed at either end.
const fn trimmed(count: usize) -> usize {
    if count < TRIM_FROM { 0 } else { count / TRIM_SHARE }
}

/// The mean of the differences within pairs: trimmed, with Yuen's interval, where there are
/// enough of them to trim; else the plain mean with Student's.
pub(crate) fn paired(differences: &[f64], confidence: f64) -> LogInterval {
    let mut sorted = differences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = trimmed(sorted.len());
    let kept = &sorted[cut..sorted.len() - cut];
    let (least, most) = (kept[0], kept[kept.len() - 1]);
    let pulled_in: Vec<f64> = sorted.iter().map(|value| value.clamp(least, most)).collect();
    let count = kept.len() as f64;
    let error = (squares(&pulled_in) / (count * (count - 1.0))).sqrt();
    LogInterval { center: mean(kept), half: two_sided(confidence, kept.len() - 1) * error }
}

/// The difference of two means, with Welch's interval; degrees of freedom are rounded down.
pub(crate) fn unpaired(base: &[f64], new: &[f64], confidence: f64) -> LogInterval {
    let center = mean(new) - mean(base);
    let base_error = variance(base) / base.len() as f64;
    let new_error = variance(new) / new.len() as f64;
    let error = base_error + new_error;
    if error == 0.0 {
        return LogInterval { center, half: 0.0 };
    }
    let base_part = base_error.powi(2) / (base.len() - 1) as f64;
    let new_part = new_error.powi(2) / (new.len() - 1) as f64;
    let degrees = (error.powi(2) / (base_part + new_part)).floor() as usize;
    LogInterval { center, half: two_sided(confidence, degrees) * error.sqrt() }
}

/// The drift per place that both series have in common, where it is beyond doubt: the median of
/// the slopes between any two points of one series (Theil and Sen), which a few odd points do not
/// move. A machine that jumps between two speeds has a slope too, by chance, and a scatter that
/// gives it away: a slope below two standard errors is not taken for a drift.
pub(crate) fn drift(series: [&[(f64, f64)]; 2]) -> Option<f64> {
    let mut slopes = Vec::new();
    for points in series {
        for (index, (place, value)) in points.iter().enumerate() {
            for (later_place, later_value) in &points[index + 1..] {
                slopes.push((later_value - value) / (later_place - place));
            }
        }
    }
    let slope = median(&slopes);
    let mut scatter = Vec::new();
    let mut spread = 0.0_f64;
    for points in series {
        let flat: Vec<f64> = points.iter().map(|(place, value)| value - slope * place).collect();
        let level = median(&flat);
        scatter.extend(flat.iter().map(|value| (value - level).abs()));
        let places: Vec<f64> = points.iter().map(|(place, _)| *place).collect();
        spread += squares(&places);
    }
    let error = DEVIATION_OF_MEDIAN * median(&scatter) / spread.sqrt();
    // Without a spread of places the error is no number, and nothing is above it.
    (slope.abs() > BEYOND_DOUBT * error).then_some(slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }

    #[test]
    fn few_pairs_have_students_interval() {
        // Mean 3, variance 2.5; 2.7764 * sqrt(2.5 / 5).
        let found = paired(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95);
        close(found.center, 3.0);
        close(found.half, 1.9632);
    }

    #[test]
    fn an_outlier_among_many_pairs_counts_little() {
        let mut differences = vec![0.9, 1.0, 1.1, 0.95, 1.05, 1.02, 0.98, 1.0, 1.01, 0.99];
        let clean = paired(&differences, 0.95);
        differences[3] = 50.0;
        let spoilt = paired(&differences, 0.95);
        assert!((spoilt.center - clean.center).abs() < 0.02, "{spoilt:?}");
        assert!(spoilt.half < 0.1, "{spoilt:?}");
    }

    #[test]
    fn equal_values_have_an_interval_of_no_width() {
        assert_eq!(paired(&[0.5; 4], 0.95), LogInterval { center: 0.5, half: 0.0 });
        assert_eq!(unpaired(&[1.0; 3], &[1.5; 3], 0.95), LogInterval { center: 0.5, half: 0.0 });
    }

    #[test]
    fn groups_have_welchs_interval() {
        // Variances 1 and 4 of three values each: error sqrt(5/3), 2.94 degrees, taken as 2.
        let found = unpaired(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0], 0.95);
        close(found.center, 2.0);
        close(found.half, 5.5548);
    }

    #[test]
    fn drift_is_the_slope_that_both_sides_share() {
        let line = |start: usize, offset: f64| -> Vec<(f64, f64)> {
            (0..6).map(|index| (start + 2 * index) as f64).map(|x| (x, offset + 0.5 * x)).collect()
        };
        let (mut base, mut new) = (line(0, 1.0), line(1, 7.0));
        for (index, wobble) in [0.1, -0.1, 0.05, -0.05, 0.1, -0.1].into_iter().enumerate() {
            base[index].1 += wobble;
            new[index].1 -= wobble;
        }
        assert!((drift([&base, &new]).unwrap() - 0.5).abs() < 0.03);
        base[2].1 = 1e6;
        let found = drift([&base, &new]).unwrap();
        assert!((found - 0.5).abs() < 0.05, "an odd point hardly moves it: {found}");
    }

    #[test]
    fn jumps_are_no_drift() {
        let jumps = |start: usize| -> Vec<(f64, f64)> {
            let levels = [1.0, 1.01, 2.0, 2.01, 1.0, 2.0];
            levels.iter().zip(0..).map(|(y, index)| ((start + 2 * index) as f64, *y)).collect()
        };
        assert_eq!(drift([&jumps(0), &jumps(1)]), None);
        assert_eq!(drift([&[], &[(1.0, 1.0)]]), None, "one point has no slope");
    }

    #[test]
    fn medians() {
        close(median(&[3.0, 1.0, 2.0]), 2.0);
        close(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        close(median(&[]), 0.0);
    }
}

//! Where more of something, queue depth or size, no longer pays.
//!
//! Invariants: a pure function of points in rising order; a gain is counted from the knee so far,
//! so that many small gains add up and noise of less than 5 % moves nothing; two points in a row
//! without a gain end it: a rate far beyond is noise, or not worth the waiting of others.

/// The least gain that is one.
const GAIN: f64 = 1.05;
/// So many points in a row without a gain end the search.
const POINTS_WITHOUT_GAIN: u32 = 2;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Queue depth or size.
    pub at: u64,
    /// Operations or bytes a second.
    pub rate: f64,
}

/// The point beyond which nothing is gained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knee {
    /// Its queue depth or size.
    pub at: u64,
    /// Its rate.
    pub rate: f64,
}

/// The largest point that still gained 5 %; `None`: there is no point.
#[must_use]
pub fn knee(points: &[Point]) -> Option<Knee> {
    search(points).map(|(knee, _)| knee)
}

/// Whether points after these would not be looked at.
#[must_use]
pub fn is_past_knee(points: &[Point]) -> bool {
    search(points).is_some_and(|(_, is_over)| is_over)
}

fn search(points: &[Point]) -> Option<(Knee, bool)> {
    let (first, rest) = points.split_first()?;
    let mut knee = Knee { at: first.at, rate: first.rate };
    let mut without_gain = 0;
    for point in rest {
        if point.rate >= knee.rate * GAIN {
            knee = Knee { at: point.at, rate: point.rate };
            without_gain = 0;
        } else {
            without_gain += 1;
        }
        if without_gain == POINTS_WITHOUT_GAIN {
            return Some((knee, true));
        }
    }
    Some((knee, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rates: &[f64]) -> Vec<Point> {
        rates
            .iter()
            .enumerate()
            .map(|(power, rate)| Point { at: 1 << power, rate: *rate })
            .collect()
    }

    fn at(rates: &[f64]) -> Option<u64> {
        knee(&points(rates)).map(|knee| knee.at)
    }

    #[test]
    fn the_knee_is_the_last_point_that_gained() {
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[100.0]), Some(1));
        assert_eq!(at(&[100.0, 200.0, 400.0]), Some(4));
        assert_eq!(at(&[100.0, 200.0, 205.0, 207.0]), Some(2));
        assert_eq!(at(&[100.0, 90.0, 80.0]), Some(1));
    }

    #[test]
    fn noise_below_five_percent_moves_nothing_and_small_gains_add_up() {
        assert_eq!(at(&[100.0, 200.0, 196.0, 209.0]), Some(2));
        assert_eq!(at(&[100.0, 104.0, 108.0, 112.0, 117.0]), Some(16));
    }

    #[test]
    fn one_dent_is_passed_and_two_end_the_search() {
        assert_eq!(at(&[100.0, 90.0, 200.0]), Some(4));
        let dents = [100.0, 90.0, 90.0, 900.0];
        assert_eq!(at(&dents), Some(1));
        assert!(!is_past_knee(&points(&dents[..2])) && is_past_knee(&points(&dents[..3])));
        assert!(!is_past_knee(&[]));
    }
}

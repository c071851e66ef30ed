//! Points of lines: which are joined, and fewer where there are too many.
//!
//! Invariants: every point is finite and not negative; a second without a value is a gap, never a
//! line across it; where points are left out, the lowest and the highest of each stretch stay,
//! so that no spike is lost and nothing is averaged.

use crate::axis::VALUE_MAX;
use crate::data::IntervalPoint;

/// A row of joined points.
pub(crate) type Segment = Vec<(f64, f64)>;

/// Points of one line; with more, stretches are reduced to their lowest and highest point.
pub(crate) const POINTS_MAX: usize = 2000;
/// Later seconds are taken for this one (30,000 years), so that neighbours stay apart.
const SECONDS_MAX: u64 = 1_000_000_000_000;

/// A value as it can be drawn; `None` where it cannot.
pub(crate) fn drawable(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value.min(VALUE_MAX))
}

/// The end of an interval.
pub(crate) fn end_of(interval: &IntervalPoint) -> f64 {
    let last = interval.second.saturating_add(interval.length_s() - 1);
    last.min(SECONDS_MAX) as f64 + 1.0
}

/// The line of a value over time, at the middle of each interval.
pub(crate) fn over_time(
    intervals: &[IntervalPoint],
    value: impl Fn(&IntervalPoint) -> Option<f64>,
) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    // The second behind the last interval that was drawn.
    let mut next: Option<u64> = None;
    for interval in intervals {
        let Some(y) = value(interval).and_then(drawable) else {
            next = None;
            continue;
        };
        let start_s = interval.second.min(SECONDS_MAX) as f64;
        let point = (start_s.midpoint(end_of(interval)), y);
        let joined = next == Some(interval.second);
        if joined && let Some(segment) = segments.last_mut() {
            segment.push(point);
        } else {
            segments.push(vec![point]);
        }
        next = interval.second.checked_add(interval.length_s());
    }
    thinned(segments)
}

/// The same line with fewer points, where it has too many.
pub(crate) fn thinned(segments: Vec<Segment>) -> Vec<Segment> {
    let total: usize = segments.iter().map(Vec::len).sum();
    if total <= POINTS_MAX {
        return segments;
    }
    let stretch = total.div_ceil(POINTS_MAX / 2);
    let thin = |segment: Segment| segment.chunks(stretch).flat_map(ends).collect::<Segment>();
    segments.into_iter().map(thin).collect()
}

/// The lowest and the highest point of a stretch, in the order of the line.
fn ends(stretch: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let by_value = |left: &usize, right: &usize| stretch[*left].1.total_cmp(&stretch[*right].1);
    let low = (0..stretch.len()).min_by(by_value);
    let high = (0..stretch.len()).max_by(by_value);
    let (Some(low), Some(high)) = (low, high) else {
        return Vec::new();
    };
    let mut kept = vec![stretch[low.min(high)]];
    if low != high {
        kept.push(stretch[low.max(high)]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(second: u64, operations: u64) -> IntervalPoint {
        IntervalPoint { second, operations, ..IntervalPoint::default() }
    }

    fn operations(interval: &IntervalPoint) -> Option<f64> {
        Some(interval.operations as f64)
    }

    #[test]
    fn gaps_are_not_bridged() {
        let intervals = [interval(0, 5), interval(1, 6), interval(3, 7), interval(4, 0)];
        assert_eq!(
            over_time(&intervals, operations),
            [vec![(0.5, 5.0), (1.5, 6.0)], vec![(3.5, 7.0), (4.5, 0.0)]]
        );
        let busy = |interval: &IntervalPoint| (interval.operations > 0).then_some(1.0);
        assert_eq!(over_time(&intervals, busy)[1], [(3.5, 1.0)]);
        assert_eq!(over_time(&[], operations), Vec::<Segment>::new());
    }

    #[test]
    fn longer_intervals_are_joined_at_their_middles() {
        let long = |second, seconds| IntervalPoint { seconds, ..interval(second, 6) };
        let intervals = [long(0, 2), long(2, 2), long(5, 2), long(7, 1)];
        assert_eq!(
            over_time(&intervals, operations),
            [vec![(1.0, 6.0), (3.0, 6.0)], vec![(6.0, 6.0), (7.5, 6.0)]]
        );
        assert_eq!(end_of(&long(5, 2)), 7.0);
    }

    #[test]
    fn what_cannot_be_drawn_is_a_gap() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            let value =
                |interval: &IntervalPoint| Some(if interval.second == 1 { bad } else { 2.0 });
            let segments = over_time(&[interval(0, 1), interval(1, 1), interval(2, 1)], value);
            assert_eq!(segments, [vec![(0.5, 2.0)], vec![(2.5, 2.0)]], "{bad}");
        }
        assert_eq!(drawable(f64::MAX), Some(VALUE_MAX));
        let late = over_time(&[interval(u64::MAX, 1), interval(u64::MAX, 2)], operations);
        assert_eq!(late.len(), 2, "no overflow, no joined points");
        assert!(late.iter().flatten().all(|point| point.0.is_finite()));
    }

    #[test]
    fn thinning_keeps_every_spike() {
        let day = 86_400;
        let intervals: Vec<IntervalPoint> = (0..day)
            .map(|second| interval(second, if second == 12_345 { 9_999 } else { 100 + second % 7 }))
            .collect();
        let segments = over_time(&intervals, operations);
        assert_eq!(segments.len(), 1);
        let points = &segments[0];
        assert!(points.len() <= POINTS_MAX + 2, "{}", points.len());
        assert!(points.contains(&(12_345.5, 9_999.0)));
        assert!(points.iter().any(|point| point.1 == 100.0));
        assert!(points.iter().zip(points.iter().skip(1)).all(|(left, right)| left.0 < right.0));
    }
}

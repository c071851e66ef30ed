//! Which runs belong together: the order in time decides, not the order of the arguments.
//!
//! Invariant: a run is in one pair at most, and a pair is two neighbours in time, one of each side.

use crate::compare::Run;

/// A base run and the new run beside it, by their places in the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) base: usize,
    pub(crate) new: usize,
}

/// How the runs were laid out in time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Design {
    /// Neighbours, where the sides alternate.
    pub(crate) pairs: Option<Vec<Pair>>,
    /// For each base run, which run of all it was.
    pub(crate) base_places: Vec<f64>,
    /// For each new run, which run of all it was.
    pub(crate) new_places: Vec<f64>,
    /// Runs without a partner.
    pub(crate) alone: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Base,
    New,
}

/// The layout of the runs of both sides.
pub(crate) fn design(base: &[Run], new: &[Run]) -> Design {
    let mut order: Vec<(u64, Side, usize)> = Vec::new();
    for (side, runs) in [(Side::Base, base), (Side::New, new)] {
        let starts = runs.iter().map(|run| run.summary.started_unix_ms);
        order.extend(starts.enumerate().map(|(index, start)| (start, side, index)));
    }
    order.sort_unstable();
    let mut base_places = vec![0.0; base.len()];
    let mut new_places = vec![0.0; new.len()];
    for (place, (_, side, index)) in order.iter().enumerate() {
        let places = if *side == Side::Base { &mut base_places } else { &mut new_places };
        places[*index] = place as f64;
    }
    let mut pairs = Vec::new();
    let mut place = 0;
    while place + 1 < order.len() {
        let (_, side, index) = order[place];
        let (_, next_side, next_index) = order[place + 1];
        match (side, next_side) {
            (Side::Base, Side::New) => pairs.push(Pair { base: index, new: next_index }),
            (Side::New, Side::Base) => pairs.push(Pair { base: next_index, new: index }),
            // This one has no partner; its neighbour may have one on the other side.
            (Side::Base, Side::Base) | (Side::New, Side::New) => {
                place += 1;
                continue;
            }
        }
        place += 2;
    }
    // A run or two may be missing from an alternation; when a quarter is, it is none.
    let alone = order.len() - 2 * pairs.len();
    let alternates = !pairs.is_empty() && 4 * alone <= order.len();
    Design { pairs: alternates.then_some(pairs), base_places, new_places, alone }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::run;

    /// The layout of runs that began in this order, and how many pairs it has.
    fn laid_out(order: &str) -> (Design, usize) {
        let (mut base, mut new) = (Vec::new(), Vec::new());
        for (place, side) in order.chars().enumerate() {
            let side = if side == 'B' { &mut base } else { &mut new };
            side.push(run(place as u64, 1.0));
        }
        // The order of the arguments is not that of time.
        base.reverse();
        let design = design(&base, &new);
        let pairs = design.pairs.as_ref().map_or(0, Vec::len);
        (design, pairs)
    }

    #[test]
    fn neighbours_in_time_are_paired() {
        let (design, _) = laid_out("BNBN");
        let pairs = design.pairs.unwrap();
        assert_eq!(pairs, [Pair { base: 1, new: 0 }, Pair { base: 0, new: 1 }]);
        assert_eq!(design.base_places, [2.0, 0.0]);
        assert_eq!(design.new_places, [1.0, 3.0]);
        assert_eq!(design.alone, 0);
    }

    #[test]
    fn alternation_may_have_gaps_and_either_order() {
        for (order, pairs) in
            [("BN", 1), ("NB", 1), ("BNNBBN", 3), ("BNBBNBNBN", 4), ("BNBNB", 2), ("NBNBNBN", 3)]
        {
            assert_eq!(laid_out(order).1, pairs, "{order}");
        }
    }

    #[test]
    fn one_side_after_the_other_is_no_alternation() {
        for order in ["BBNN", "BBBNNN", "BNN", "BBBB"] {
            assert_eq!(laid_out(order).0.pairs, None, "{order}");
        }
    }
}

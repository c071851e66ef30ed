//! The seconds of a stage as rows, few however long it is.
//!
//! Invariants: every second is in exactly one row, in order; rows are added exactly, nothing is
//! averaged; all rows are of equally many seconds, a power of two, but the last may be of fewer.

use bench_stats::Interval;

/// Two hours have their seconds.
const ROWS_MAX: usize = 7_200;
const SECOND_NS: u64 = 1_000_000_000;

/// What a stage has recorded.
pub(crate) struct Rows {
    rows: Vec<Interval>,
    rows_max: usize,
    /// Of a full row.
    seconds: u64,
    /// Of the last row.
    seconds_last: u64,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self::of_at_most(ROWS_MAX)
    }

    fn of_at_most(rows_max: usize) -> Self {
        assert!(rows_max > 0 && rows_max.is_multiple_of(2), "pairs leave no row half full");
        Self { rows: Vec::new(), rows_max, seconds: 1, seconds_last: 0 }
    }

    /// Takes the next second.
    pub(crate) fn push(&mut self, second: Interval) {
        if let Some(last) = self.rows.last_mut()
            && self.seconds_last < self.seconds
        {
            last.add(&second);
            self.seconds_last += 1;
            return;
        }
        if self.rows.len() == self.rows_max {
            self.merge_pairs();
        }
        self.rows.push(second);
        self.seconds_last = 1;
    }

    pub(crate) fn into_rows(self) -> Vec<Interval> {
        self.rows
    }

    fn merge_pairs(&mut self) {
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        while let Some(mut row) = rows.next() {
            if let Some(next) = rows.next() {
                row.add(&next);
            }
            self.rows.push(row);
        }
        self.seconds *= 2;
    }
}

/// The nearest whole second: threads end their seconds a moment late.
pub(crate) fn nearest_second(time_ns: u64) -> u64 {
    time_ns.saturating_add(SECOND_NS / 2) / SECOND_NS
}

/// How many seconds each row but the last is of.
pub(crate) fn seconds_of(rows: &[Interval]) -> u64 {
    let [_, .., last] = rows else { return 1 };
    // By the last one's start: no row starts before its time, and what it is late by, divided by
    // the number of rows before it, is less than a second.
    (last.start_ns / (rows.len() as u64 - 1) / SECOND_NS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each second has a bit of its own in `shed`, so that a sum tells which are in it.
    fn rows(seconds: u64, rows_max: usize) -> Vec<Interval> {
        let mut rows = Rows::of_at_most(rows_max);
        for second in 0..seconds {
            let mut interval = Interval::new(second * SECOND_NS, (second + 1) * SECOND_NS);
            interval.shed = 1_u64 << second;
            rows.push(interval);
        }
        rows.into_rows()
    }

    #[test]
    fn rows_are_few_and_equal_and_hold_every_second_once_and_in_order() {
        for length in 0..=40_u64 {
            let rows = rows(length, 4);
            assert!(rows.len() <= 4, "{length}");
            let seconds = length.div_ceil(4).next_power_of_two();
            let mut from = 0;
            for row in &rows {
                let to = length.min(from + seconds);
                assert_eq!((row.start_ns, row.end_ns), (from * SECOND_NS, to * SECOND_NS));
                assert_eq!(row.shed, (1_u64 << to) - (1_u64 << from), "{length}: {from} to {to}");
                from = to;
            }
            assert_eq!(from, length);
            let told = if rows.len() > 1 { seconds } else { 1 };
            assert_eq!(seconds_of(&rows), told, "{length}");
        }
    }

    #[test]
    fn up_to_the_maximum_every_second_has_a_row() {
        for length in 0..=8_u64 {
            assert_eq!(rows(length, 8).len() as u64, length);
        }
        assert_eq!(rows(9, 8).len(), 5);
    }

    #[test]
    fn a_thread_that_comes_late_does_not_change_the_length_of_rows() {
        let late = |second: u64| Interval::new(second * SECOND_NS + 900_000_000, u64::MAX);
        assert_eq!(seconds_of(&[late(0), late(1)]), 1);
        assert_eq!(seconds_of(&[late(0), late(2), late(4)]), 2);
        assert_eq!((nearest_second(1_499_999_999), nearest_second(1_500_000_000)), (1, 2));
    }
}

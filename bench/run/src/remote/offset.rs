//! How far a worker's clock is from the conductor's.
//!
//! Method: a few pings, of which the one with the shortest way there and back counts; its answer is
//! taken to be of the middle of that time. It is wrong by half of the round trip at most.

use std::fmt;

/// Pings of one measurement.
pub(crate) const PINGS: u32 = 15;

/// A worker's clock, as seen from the conductor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// What is added to the conductor's time to have the worker's, in nanoseconds. The clocks
    /// begin with their processes: it is no difference of time of day.
    pub offset_ns: i64,
    /// The round trip it was measured with.
    pub round_trip_ns: u64,
}

impl Offset {
    /// Of one ping: when it was sent, what the worker answered, when that was heard.
    pub(crate) fn of_ping(sent_ns: u64, worker_ns: u64, heard_ns: u64) -> Self {
        let round_trip_ns = heard_ns.saturating_sub(sent_ns);
        let middle_ns = sent_ns + round_trip_ns / 2;
        let offset_ns = i128::from(worker_ns) - i128::from(middle_ns);
        let furthest = if offset_ns < 0 { i64::MIN } else { i64::MAX };
        Self { offset_ns: i64::try_from(offset_ns).unwrap_or(furthest), round_trip_ns }
    }

    /// The better one of two.
    pub(crate) fn better(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.round_trip_ns <= self.round_trip_ns => other,
            _ => self,
        }
    }

    /// A time of the conductor on the worker's clock; the end of all time stays what it is.
    pub(crate) fn of_worker(self, conductor_ns: u64) -> u64 {
        match conductor_ns {
            u64::MAX => u64::MAX,
            _ => conductor_ns.saturating_add_signed(self.offset_ns),
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.6} s +- {:.1} us",
            self.offset_ns as f64 / 1e9,
            self.round_trip_ns as f64 / 2e3
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_shortest_round_trip_counts() {
        // The worker is 1,000 ns ahead; the way back of the first ping took longer.
        let slow = Offset::of_ping(100, 1_150, 400);
        let fast = Offset::of_ping(500, 1_510, 520);
        assert_eq!(slow, Offset { offset_ns: 900, round_trip_ns: 300 });
        assert_eq!(fast, Offset { offset_ns: 1_000, round_trip_ns: 20 });
        assert_eq!(slow.better(Some(fast)), fast);
        assert_eq!(fast.better(Some(slow)), fast);
        assert_eq!(slow.better(None), slow);
    }

    #[test]
    fn times_are_those_of_the_worker() {
        let ahead = Offset::of_ping(0, 50, 0);
        let behind = Offset::of_ping(1_000, 0, 1_000);
        assert_eq!((ahead.of_worker(7), behind.of_worker(5_000)), (57, 4_000));
        assert_eq!((behind.of_worker(10), ahead.of_worker(u64::MAX)), (0, u64::MAX));
        assert_eq!(Offset::of_ping(0, u64::MAX, 0).offset_ns, i64::MAX);
    }
}

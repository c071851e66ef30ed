//! What the tests of several modules need. Nothing here depends on time or on the machine.

use crate::histogram::HIGHEST_NS;
use crate::interval::Interval;
use crate::key::{LatencyKind, SizeClass};
use crate::operation::Operation;
use crate::random::Random;

/// Latencies from 1 us to some seconds, most of them near 1 ms.
pub(crate) fn latencies(seed: u64, count: usize) -> Vec<u64> {
    let mut random = Random::new(seed);
    let mut draw = || (1e6 * (1.8 * random.normal()).exp()) as u64;
    (0..count).map(|_| draw().max(1_000)).collect()
}

/// The same latencies in the reference's histogram.
pub(crate) fn reference(latencies_ns: &[u64]) -> hdrhistogram::Histogram<u64> {
    let mut histogram = hdrhistogram::Histogram::new_with_bounds(1, HIGHEST_NS, 3)
        .expect("the bounds are within the reference's");
    for latency_ns in latencies_ns {
        histogram.saturating_record(*latency_ns);
    }
    histogram
}

/// A busy second that begins `start_s` after the phase, with a bit of everything in it.
pub(crate) fn interval(seed: u64, start_s: u64) -> Interval {
    let start_ns = start_s * 1_000_000_000;
    let mut interval = Interval::new(start_ns, start_ns + 1_000_000_000);
    interval.shed = seed;
    interval.mismatches = seed / 2;
    interval.client_cpu_ns = 5_000_000 * seed;
    interval.schedule_lag = latencies(seed + 100, 50).into_iter().collect();
    let cells = [
        (Operation::Put, SizeClass::UpTo4KiB, 4_096),
        (Operation::Get, SizeClass::UpTo64KiB, 65_536),
        (Operation::Get, SizeClass::UpTo1MiB, 1 << 20),
        (Operation::List, SizeClass::Any, 0),
    ];
    for (index, (operation, size_class, size_bytes)) in cells.into_iter().enumerate() {
        let cell = interval.cell_mut(operation, size_class);
        let values = latencies(seed * 10 + index as u64, 200);
        cell.count = 200;
        cell.bytes = 200 * size_bytes;
        cell.count_errors("SlowDown", seed + index as u64);
        *cell.latency_mut(LatencyKind::Response) = values.iter().copied().collect();
        let service = values.iter().map(|latency_ns| latency_ns / 2);
        *cell.latency_mut(LatencyKind::Service) = service.collect();
    }
    interval
}

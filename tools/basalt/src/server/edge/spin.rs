//! A slowdown of a known size, in builds made to try whether `basalt bench compare` finds it
//! (feature `injected-spin`, see `tests/bench/trials.py`). No build that is shipped has it.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Nanoseconds for each request: the variable `INJECTED_SPIN_NS`, 0 without it.
static SPIN: LazyLock<Duration> = LazyLock::new(|| {
    let text = std::env::var("INJECTED_SPIN_NS").unwrap_or_default();
    Duration::from_nanos(text.parse().unwrap_or(0))
});

/// Burns the calling thread's CPU.
pub fn spin() {
    let begin = Instant::now();
    while begin.elapsed() < *SPIN {
        std::hint::spin_loop();
    }
}

//! The clocks of a run.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Monotonic nanoseconds since the process first asked; the same on all threads.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a load generator lives in real time")]
pub fn now_ns() -> u64 {
    let origin = ORIGIN.get_or_init(Instant::now);
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Wall clock in milliseconds since 1970, for humans.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a load generator lives in real time")]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The same in seconds, for signatures.
#[must_use]
pub fn unix_seconds() -> u64 {
    unix_ms() / 1000
}

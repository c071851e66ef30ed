//! The clocks of the real world. One origin for the whole process, so that times taken on
//! different cores can be compared.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Monotonic microseconds since the process first asked.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the real clock behind Env")]
pub fn now_us() -> u64 {
    let origin = ORIGIN.get_or_init(Instant::now);
    u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Wall clock in milliseconds since 1970. For humans and HTTP dates; never for ordering.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the real clock behind Env")]
pub fn wall_ms() -> u64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        Err(_) => 0,
    }
}

//! What the benches share: CPU time, and a line for each figure.
//!
//! Invariants: time is CPU time, which holds on shared machines; of several rounds the median and
//! the best are shown, never the best alone.
#![allow(unsafe_code, clippy::print_stdout, reason = "a bench prints; CPU clocks are only in libc")]

/// Nanoseconds that this thread has been on a CPU.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The same for all threads of the process, the kernel's workers for it included.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to.
    let code = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(code, 0, "a CPU clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether `cargo bench` runs this. A test run of all targets does not measure; it only has to
/// see that everything runs.
#[must_use]
pub fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The middle and the lowest of some values.
///
/// # Panics
/// Without a value.
#[must_use]
pub fn median_and_lowest(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0])
}

/// Prints the line above figures.
pub fn print_head(title: &str) {
    println!("{title:<44}    median      best");
}

/// Prints a figure of several rounds, in microseconds for each operation.
pub fn print_us(name: &str, values: Vec<f64>) {
    let (median, lowest) = median_and_lowest(values);
    println!("{name:<44} {median:9.3} {lowest:9.3} us");
}

/// CPU time from here on.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    thread_ns: u64,
    process_ns: u64,
}

impl Meter {
    /// Begins.
    #[must_use]
    pub fn begin() -> Self {
        Self { thread_ns: thread_cpu_ns(), process_ns: process_cpu_ns() }
    }

    /// Microseconds of this thread for each of `count` operations since it began.
    #[must_use]
    pub fn thread_us(&self, count: usize) -> f64 {
        (thread_cpu_ns() - self.thread_ns) as f64 / 1e3 / count as f64
    }

    /// The same of the whole process.
    #[must_use]
    pub fn process_us(&self, count: usize) -> f64 {
        (process_cpu_ns() - self.process_ns) as f64 / 1e3 / count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_rises_with_work() {
        let meter = Meter::begin();
        let mut sum = 0_u64;
        // The kernel brings the two clocks up to date at moments of their own.
        while meter.thread_us(1) < 100.0 || meter.process_us(1) < 100.0 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(sum > 0 && meter.thread_us(2) >= 50.0);
        assert_eq!(median_and_lowest(vec![3.0, 1.0, 2.0]), (2.0, 1.0));
    }
}

//! CPU time, of this thread and of the machine.
//!
//! Source: proc(5), `/proc/PID/task/TID/schedstat` and `/proc/stat`.

/// What a thread has spent since it was asked last.
///
/// **Runs on** one thread: it is that thread's time.
#[derive(Debug, Default)]
pub(crate) struct ThreadCpu {
    before_ns: u64,
}

impl ThreadCpu {
    /// CPU time since the last call, in nanoseconds; 0 where the kernel does not tell.
    pub(crate) fn spent_ns(&mut self) -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let now_ns = first_number(&text).unwrap_or(self.before_ns);
        let spent_ns = now_ns.saturating_sub(self.before_ns);
        self.before_ns = now_ns;
        spent_ns
    }
}

/// CPU time of those threads of this process that have not ended and whose names begin so, in seconds;
/// `None` where the kernel does not tell, or there is no such thread. It falls when one ends.
///
/// **Source**: proc(5), `/proc/self/task/TID/comm` and `schedstat`.
pub(crate) fn seconds_of_threads(names: &[&str]) -> Option<f64> {
    let mut sum_ns: Option<u64> = None;
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        // One that has ended meanwhile tells nothing.
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if !names.iter().any(|wanted| name.starts_with(wanted)) {
            continue;
        }
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        if let Some(spent_ns) = first_number(&text) {
            sum_ns = Some(sum_ns.unwrap_or(0).saturating_add(spent_ns));
        }
    }
    sum_ns.map(|sum_ns| sum_ns as f64 / 1e9)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// CPU time of the whole machine, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MachineCpu {
    /// All of it.
    all: u64,
    /// What a hypervisor took for others.
    steal: u64,
}

impl MachineCpu {
    /// Now.
    pub(crate) fn now() -> Self {
        Self::of(&std::fs::read_to_string("/proc/stat").unwrap_or_default()).unwrap_or_default()
    }

    fn of(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
        // User, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        Some(Self { all: ticks.iter().take(8).sum(), steal: *ticks.get(7)? })
    }

    /// The share that was stolen since, in percent.
    pub(crate) fn steal_percent_until(self, later: Self) -> f64 {
        let all = later.all.saturating_sub(self.all);
        let steal = later.steal.saturating_sub(self.steal);
        if all == 0 { 0.0 } else { 100.0 * steal as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_share_of_all() {
        let before = MachineCpu::of("cpu  10 0 10 60 0 0 0 20 5 5\ncpu0 1\n").unwrap();
        assert_eq!(before, MachineCpu { all: 100, steal: 20 });
        let later = MachineCpu::of("cpu  60 0 60 100 0 0 0 80 9 9\n").unwrap();
        assert_eq!(before.steal_percent_until(later), 30.0);
        assert_eq!(later.steal_percent_until(before), 0.0);
        assert_eq!(MachineCpu::of("nothing"), None);
    }

    #[test]
    fn threads_are_told_apart_by_their_names() {
        let work = || {
            // Clocks of threads may be coarse.
            let until_us = shards_executor::now_us() + 10_000_000;
            loop {
                let seconds = seconds_of_threads(&["cpu-of-one"]);
                let is_seen = seconds.is_some_and(|seconds| seconds > 0.0);
                if is_seen || shards_executor::now_us() >= until_us {
                    return seconds;
                }
            }
        };
        let thread = shards_executor::start_pinned_thread("cpu-of-one-thr", None, work);
        let seconds = thread.unwrap().join().ok().flatten();
        assert!(seconds.is_some_and(|seconds| seconds > 0.0), "{seconds:?}");
        assert_eq!(seconds_of_threads(&["cpu-of-nobody"]), None);
    }

    #[test]
    fn work_costs_time() {
        let mut cpu = ThreadCpu::default();
        cpu.spent_ns();
        for number in 0..1_000_000_u64 {
            std::hint::black_box(number);
        }
        let spent_ns = cpu.spent_ns();
        assert!(spent_ns > 0 && spent_ns < 60_000_000_000, "{spent_ns}");
    }
}

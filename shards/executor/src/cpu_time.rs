//! CPU time of processes of this machine.
//!
//! Source: proc_pid_stat(5).

/// User and system time of all threads of a process, those of the kernel that work for it
/// included, in seconds; `None` where there is no such process.
#[must_use]
pub fn process_cpu_seconds(pid: u32) -> Option<f64> {
    cpu_seconds_of(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fourteenth and the fifteenth field, in hundredths of a second on every Linux. The second
/// one is a name in brackets that may hold anything.
fn cpu_seconds_of(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_its_times_behind_any_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 9 0 0 0 123 45 0 0 20 0 3 0 99 1 2";
        assert_eq!(cpu_seconds_of(stat), Some(1.68));
        assert_eq!(cpu_seconds_of("42 (a) S 1"), None);
        assert!(process_cpu_seconds(std::process::id()).is_some());
        assert_eq!(process_cpu_seconds(u32::MAX), None);
    }
}

//! Checks of the machine: kernel, io_uring, limits, CPU.

use super::{Row, Verdict};
use crate::config::values::show_size;
use crate::sys::{self, Limit};
use std::fs::read_to_string;
use std::io;

/// Oldest kernel the server is made for, and the oldest it is fast on.
const KERNEL_LEAST: (u32, u32) = (5, 19);
const KERNEL_GOOD: (u32, u32) = (6, 1);
const LOCKED_MEMORY_BYTES: u64 = 64 << 20;
const OPEN_FILES_LEAST: u64 = 1024;
const OPEN_FILES_GOOD: u64 = 16_384;

/// All of them.
pub fn rows() -> Vec<Row> {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let disabled = read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    vec![
        kernel(release.trim()),
        io_uring(&sys::probe_io_uring(), disabled.trim()),
        locked_memory(sys::limit(Limit::LockedMemory), is_unlimited()),
        open_files(sys::limit(Limit::OpenFiles)),
        cpu(),
    ]
}

fn kernel(release: &str) -> Row {
    let row = Row::ok("kernel", release);
    let advice = "install kernel 6.1 or newer";
    match parse_release(release) {
        Some(version) if version >= KERNEL_GOOD => row,
        Some(version) if version >= KERNEL_LEAST => {
            row.but(Verdict::Warn, format!("{advice}: io_uring is slower on this one"))
        }
        Some(_) => row.but(Verdict::Fail, format!("{advice}; 5.19 is the oldest supported")),
        None => row.but(Verdict::Warn, "the version cannot be read; 5.19 or newer is needed"),
    }
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn io_uring(probe: &io::Result<()>, disabled: &str) -> Row {
    let error = match probe {
        Ok(()) => return Row::ok("io_uring", "works"),
        Err(error) => error,
    };
    let row = Row::ok("io_uring", format!("refused ({error}): the threads driver is used"));
    let advice = match (error.raw_os_error(), disabled) {
        (_, "1") => {
            "run sysctl kernel.io_uring_disabled=0, or put the user in kernel.io_uring_group"
        }
        (_, "2") => "run sysctl kernel.io_uring_disabled=0",
        (Some(libc::ENOSYS), _) => "use a kernel with CONFIG_IO_URING, or allow it in seccomp",
        (Some(libc::ENOMEM), _) => "raise the locked memory limit (LimitMEMLOCK=infinity)",
        _ => {
            "allow io_uring_setup, io_uring_enter and io_uring_register: the seccomp profiles of \
             container runtimes deny them by default"
        }
    };
    row.but(Verdict::Warn, advice)
}

fn show_limit(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

/// Whether the limit of locked memory does not bind this process (CAP_IPC_LOCK).
fn is_unlimited() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| (bits >> CAP_IPC_LOCK) & 1 == 1)
}

fn locked_memory(limit: io::Result<(u64, u64)>, is_unlimited: bool) -> Row {
    match limit {
        Ok((soft, _)) => {
            let shown = if soft == u64::MAX { show_limit(soft) } else { show_size(soft) };
            if is_unlimited {
                return Row::ok("locked memory", format!("{shown}, which does not bind this user"));
            }
            let row = Row::ok("locked memory", shown);
            if soft >= LOCKED_MEMORY_BYTES {
                return row;
            }
            row.but(
                Verdict::Warn,
                "raise it (LimitMEMLOCK=infinity, or ulimit -l unlimited): the rings and \
                 registered buffers of io_uring need it; without, I/O is slower",
            )
        }
        Err(error) => unknown("locked memory", &error),
    }
}

fn open_files(limit: io::Result<(u64, u64)>) -> Row {
    match limit {
        // The server raises the soft limit itself.
        Ok((soft, hard)) => {
            let row = Row::ok("open files", format!("{soft}, at most {}", show_limit(hard)));
            let advice = "raise the hard limit (LimitNOFILE=1048576): each connection takes one";
            match hard {
                OPEN_FILES_GOOD.. => row,
                OPEN_FILES_LEAST.. => row.but(Verdict::Warn, advice),
                _ => row.but(Verdict::Fail, advice),
            }
        }
        Err(error) => unknown("open files", &error),
    }
}

fn unknown(check: &str, error: &io::Error) -> Row {
    Row::ok(check, format!("cannot be read: {error}")).but(Verdict::Warn, "check it by hand")
}

fn cpu() -> Row {
    let features = cpu_features();
    let names: Vec<&str> =
        features.iter().filter(|(_, present)| *present).map(|(name, _)| *name).collect();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let row = Row::ok("CPU", format!("{cpus} usable, {}", names.join(" ")));
    let fast = ["avx2", "neon"].iter().any(|name| names.contains(name));
    if fast { row } else { row.but(Verdict::Warn, "erasure coding is slow without AVX2 or NEON") }
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<(&'static str, bool)> {
    use std::arch::is_x86_feature_detected as has;
    vec![
        ("ssse3", has!("ssse3")),
        ("avx2", has!("avx2")),
        ("gfni", has!("gfni")),
        ("avx512bw", has!("avx512bw")),
        ("avx512vl", has!("avx512vl")),
        ("vpclmulqdq", has!("vpclmulqdq")),
        ("sha", has!("sha")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as has;
    vec![("neon", has!("neon")), ("aes", has!("aes")), ("sha2", has!("sha2"))]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<(&'static str, bool)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_by_age() {
        let verdict = |release| kernel(release).verdict;
        assert_eq!(verdict("6.18.44-generic"), Verdict::Ok);
        assert_eq!(verdict("6.1.0"), Verdict::Ok);
        assert_eq!(verdict("5.19.17-arch1"), Verdict::Warn);
        assert_eq!(verdict("5.4.0-200"), Verdict::Fail);
        assert_eq!(verdict("10.0"), Verdict::Ok);
        assert_eq!(verdict("unknown"), Verdict::Warn);
    }

    #[test]
    fn a_refused_ring_is_a_warning_that_names_the_cause() {
        assert_eq!(io_uring(&Ok(()), "0").verdict, Verdict::Ok);
        let denied = || Err(io::Error::from_raw_os_error(libc::EPERM));
        for (disabled, word) in [("2", "sysctl"), ("1", "io_uring_group"), ("0", "seccomp")] {
            let row = io_uring(&denied(), disabled);
            assert_eq!(row.verdict, Verdict::Warn);
            assert!(row.advice.contains(word), "{row:?}");
        }
        let absent = Err(io::Error::from_raw_os_error(libc::ENOSYS));
        assert!(io_uring(&absent, "").advice.contains("CONFIG_IO_URING"));
    }

    #[test]
    fn limits_by_size() {
        assert_eq!(locked_memory(Ok((8 << 20, 8 << 20)), false).verdict, Verdict::Warn);
        assert_eq!(locked_memory(Ok((8 << 20, 8 << 20)), true).verdict, Verdict::Ok);
        assert_eq!(locked_memory(Ok((u64::MAX, u64::MAX)), false).verdict, Verdict::Ok);
        assert_eq!(open_files(Ok((1024, 1_048_576))).verdict, Verdict::Ok);
        assert_eq!(open_files(Ok((1024, 4096))).verdict, Verdict::Warn);
        assert_eq!(open_files(Ok((256, 256))).verdict, Verdict::Fail);
        let error = Err(io::Error::from_raw_os_error(libc::EINVAL));
        assert_eq!(open_files(error).verdict, Verdict::Warn);
    }
}

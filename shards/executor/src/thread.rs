//! The one place that starts threads.
#![allow(unsafe_code, reason = "CPU affinity has no safe wrapper")]

use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

/// A thread started here. Dropping it lets the thread go on alone.
pub struct PinnedThread<T>(JoinHandle<Option<T>>);

impl<T> PinnedThread<T> {
    /// Waits for its end.
    ///
    /// # Errors
    /// The payload of its panic.
    pub fn join(self) -> std::thread::Result<T> {
        match self.0.join() {
            Ok(Some(value)) => Ok(value),
            Ok(None) => unreachable!("a thread that was not pinned was never handed out"),
            Err(payload) => Err(payload),
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Starts a thread, pinned to `cpu` if one is given; otherwise it inherits the caller's CPUs.
///
/// # Errors
/// Where the host refuses the thread or the CPU; `body` has not run then.
pub fn start_pinned_thread<T, F>(
    name: &str,
    cpu: Option<usize>,
    body: F,
) -> io::Result<PinnedThread<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let Some(cpu) = cpu else { return start_thread_on(name, &[], body) };
    let (report, pinned) = mpsc::sync_channel(1);
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        let result = pin_current_thread(&[cpu]);
        let refused = result.is_err();
        // The starter waits for exactly this report.
        let _ = report.send(result);
        if refused { None } else { Some(body()) }
    })?;
    match pinned.recv() {
        Ok(Ok(())) => Ok(PinnedThread(thread)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the thread died before it was pinned")),
    }
}

/// Starts a thread that is to keep to these CPUs; with none given, or where the host refuses them (any
/// more), it runs where its starter may. Does not wait for the thread.
///
/// # Errors
/// Where the host refuses the thread.
pub fn start_thread_on<T, F>(name: &str, cpus: &[usize], body: F) -> io::Result<PinnedThread<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let cpus = cpus.to_vec();
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        if !cpus.is_empty() {
            // What it does matters more than where: drives grow on such threads.
            let _ = pin_current_thread(&cpus);
        }
        Some(body())
    })?;
    Ok(PinnedThread(thread))
}

/// The CPUs this thread may run on, in order.
///
/// # Errors
/// Where the kernel refuses to say.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mut set = empty_set();
    // SAFETY: the kernel writes at most `size_of::<cpu_set_t>()` bytes into a set that is ours.
    let failed =
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every number is below the size of the set.
    let allowed = (0..set_size()).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) });
    Ok(allowed.collect())
}

fn pin_current_thread(cpus: &[usize]) -> io::Result<()> {
    let mut set = empty_set();
    for cpu in cpus {
        if *cpu >= set_size() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: the number is below the size of the set.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: the kernel reads `size_of::<cpu_set_t>()` bytes of a set that is ours.
    let failed =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: a CPU set is an array of integers; all zero is the empty set.
    unsafe { std::mem::zeroed() }
}

fn set_size() -> usize {
    size_of::<libc::cpu_set_t>() * 8
}

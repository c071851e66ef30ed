//! SIGTERM and SIGINT: the first begins a drain, the second ends the process at once.
//!
//! Invariant: `listen` runs before any other thread is started, because the signals are blocked
//! by a mask that threads inherit; one thread waits for them, so nothing runs in a signal handler.

use crate::{exit, logging, sys};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Callback = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    reason: Option<String>,
    callbacks: Vec<Callback>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

/// Tells every part of the server that it must stop. Clones are the same handle.
#[derive(Clone, Default)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

impl Shutdown {
    /// A handle that no signal reaches yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between statements, so a panic elsewhere does not spoil it.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the drain. Only the first call counts.
    pub fn begin(&self, reason: &str) {
        let callbacks = {
            let mut state = self.state();
            if state.reason.is_some() {
                return;
            }
            state.reason = Some(reason.to_owned());
            std::mem::take(&mut state.callbacks)
        };
        self.inner.changed.notify_all();
        for callback in callbacks {
            callback();
        }
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.state().reason.is_some()
    }

    /// Why it began, once it has.
    pub fn reason(&self) -> Option<String> {
        self.state().reason.clone()
    }

    /// Blocks this thread until the drain begins.
    pub fn wait(&self) {
        let mut state = self.state();
        while state.reason.is_none() {
            state = self.inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Blocks this thread until the drain begins or the time is over; says whether it began.
    pub fn wait_timeout(&self, duration: Duration) -> bool {
        let waited = self
            .inner
            .changed
            .wait_timeout_while(self.state(), duration, |state| state.reason.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        waited.0.reason.is_some()
    }

    /// Calls `callback` once, when the drain begins, on the thread that begins it; at once if it
    /// has begun. It must not block: it wakes another thread, and no more.
    pub fn on_begin(&self, callback: impl FnOnce() + Send + 'static) {
        {
            let mut state = self.state();
            if state.reason.is_none() {
                state.callbacks.push(Box::new(callback));
                return;
            }
        }
        callback();
    }
}

/// Takes over SIGTERM and SIGINT. Call once, before any other thread is started.
pub fn listen() -> io::Result<Shutdown> {
    sys::block_termination_signals()?;
    let shutdown = Shutdown::new();
    let handle = shutdown.clone();
    std::thread::Builder::new().name("basalt-signals".to_owned()).spawn(move || relay(&handle))?;
    Ok(shutdown)
}

fn relay(shutdown: &Shutdown) {
    loop {
        match sys::wait_for_termination_signal() {
            Ok(_) if shutdown.is_draining() => {
                logging::warn("second signal: ending at once", &[]);
                sys::exit_now(exit::INTERRUPTED);
            }
            Ok(signal) => {
                let name = if signal == libc::SIGTERM { "SIGTERM" } else { "SIGINT" };
                logging::info("draining; a second signal ends at once", &[("signal", &name)]);
                shutdown.begin(name);
            }
            Err(error) => {
                logging::error("signals can no longer be received", &[("error", &error)]);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn callbacks_run_once_whether_early_or_late() {
        let shutdown = Shutdown::new();
        let calls = Arc::new(AtomicU32::new(0));
        let count = |calls: &Arc<AtomicU32>| {
            let calls = Arc::clone(calls);
            move || {
                calls.fetch_add(1, Ordering::SeqCst);
            }
        };
        shutdown.on_begin(count(&calls));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        shutdown.begin("test");
        shutdown.begin("again");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        shutdown.on_begin(count(&calls));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert_eq!(shutdown.reason().as_deref(), Some("test"));
    }

    #[test]
    fn waiting_ends_when_it_begins() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait_timeout(Duration::from_millis(1)));
        let other = shutdown.clone();
        let builder = std::thread::Builder::new();
        let thread = builder.spawn(move || other.begin("test")).unwrap();
        shutdown.wait();
        assert!(shutdown.is_draining() && shutdown.wait_timeout(Duration::ZERO));
        thread.join().unwrap();
    }
}

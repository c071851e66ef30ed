//! Sleeping and being woken from another thread.

use crate::Driver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Wakes a sleeping driver.
///
/// **Runs on** any thread. A call made before the driver sleeps makes the next sleep return at
/// once.
pub trait Unpark: Send + Sync + 'static {
    /// Wakes it.
    fn unpark(&self);
}

/// A shared way to wake one driver.
pub type Unparker = Arc<dyn Unpark>;

/// A place to sleep without a ring: one flag and a condition variable.
#[derive(Default)]
pub struct Park {
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Park {
    /// Nobody sleeps here yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sleeps until `unpark` was called or the time is over. Takes the notification with it.
    pub fn wait(&self, timeout_us: Option<u64>) {
        let guard = self.notified.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = match timeout_us {
            None => self
                .changed
                .wait_while(guard, |notified| !*notified)
                .unwrap_or_else(PoisonError::into_inner),
            Some(timeout_us) => {
                let timeout = Duration::from_micros(timeout_us);
                let waited = self.changed.wait_timeout_while(guard, timeout, |notified| !*notified);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        *guard = false;
    }
}

impl Unpark for Park {
    fn unpark(&self) {
        *self.notified.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

/// A driver without I/O: the executor sleeps on a `Park`.
#[derive(Default)]
pub struct ParkDriver {
    park: Arc<Park>,
}

impl ParkDriver {
    /// A driver with a park of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Driver for ParkDriver {
    fn poll(&mut self) {}

    fn wait(&mut self, timeout_us: Option<u64>) {
        self.park.wait(timeout_us);
    }

    fn unparker(&self) -> Unparker {
        self.park.clone()
    }
}

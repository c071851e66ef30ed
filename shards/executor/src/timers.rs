//! Timers of one executor, ordered by deadline, then by age.

use crate::clock::now_us;
use crate::executor::Inner;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Deadline in microseconds, then a number that rises.
type TimerKey = (u64, u64);

#[derive(Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<TimerKey, Waker>,
    next_id: u64,
}

impl Timers {
    fn arm(&mut self, deadline_us: u64, known: Option<TimerKey>, waker: &Waker) -> TimerKey {
        let key = match known {
            Some(key) => key,
            None => {
                self.next_id += 1;
                (deadline_us, self.next_id)
            }
        };
        match self.waiting.get_mut(&key) {
            Some(armed) => armed.clone_from(waker),
            None => {
                self.waiting.insert(key, waker.clone());
            }
        }
        key
    }

    fn disarm(&mut self, key: TimerKey) {
        self.waiting.remove(&key);
    }

    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(key, _)| key.0)
    }

    /// The first timer whose time has come, taken out.
    pub(crate) fn take_due(&mut self, now_us: u64) -> Option<Waker> {
        let entry = self.waiting.first_entry()?;
        if entry.key().0 > now_us {
            return None;
        }
        Some(entry.remove())
    }
}

/// Ready at a point in time. Dropping it disarms the timer.
pub struct Sleep {
    inner: Rc<Inner>,
    deadline_us: u64,
    key: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn until(inner: Rc<Inner>, deadline_us: u64) -> Self {
        Self { inner, deadline_us, key: None }
    }

    fn disarm(&mut self) {
        if let Some(key) = self.key.take() {
            self.inner.timers.borrow_mut().disarm(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut();
        if now_us() >= sleep.deadline_us {
            sleep.disarm();
            return Poll::Ready(());
        }
        let mut timers = sleep.inner.timers.borrow_mut();
        sleep.key = Some(timers.arm(sleep.deadline_us, sleep.key, context.waker()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

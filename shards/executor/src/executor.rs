//! The run loop.

use crate::clock::now_us;
use crate::ready::{MAIN_SLOT, ReadyQueue, TaskHeader, TaskId};
use crate::tasks::Tasks;
use crate::timers::{Sleep, Timers};
use crate::{Unparker, clock};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What brings events from outside to one executor.
///
/// **Runs on** the executor's thread; only the `Unparker` leaves it.
pub trait Driver {
    /// Hands queued I/O to the device and serves the completions that are there. Never blocks.
    fn poll(&mut self);

    /// Hands queued I/O to the device and sleeps until a completion, an unpark or the timeout.
    /// Serves nothing itself: `poll` follows. May return early.
    fn wait(&mut self, timeout_us: Option<u64>);

    /// Wakes `wait` from any thread.
    fn unparker(&self) -> Unparker;
}

/// Settings of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorOptions {
    /// Polls of tasks between two turns of the driver.
    pub budget: usize,
    /// How long a recently busy executor spins before it sleeps. 0 where another thread of ours
    /// shares the CPU.
    pub spin_us: u64,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self { budget: 128, spin_us: 0 }
    }
}

/// What the executor, its handles and its timers share.
pub(crate) struct Inner {
    ready: Arc<ReadyQueue>,
    tasks: RefCell<Tasks>,
    pub(crate) timers: RefCell<Timers>,
}

impl Inner {
    fn poll_task(&self, id: TaskId) {
        let taken = self.tasks.borrow_mut().take(id);
        let Some(mut task) = taken else { return };
        match task.poll() {
            Poll::Pending => self.tasks.borrow_mut().put_back(id, task),
            Poll::Ready(()) => {
                self.tasks.borrow_mut().release(id);
                // The task drops here, with nothing borrowed: its parts may spawn and wake.
            }
        }
    }

    fn fire_timers(&self) {
        if self.timers.borrow().next_deadline_us().is_none() {
            return;
        }
        let now_us = now_us();
        loop {
            let due = self.timers.borrow_mut().take_due(now_us);
            match due {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }
}

/// Spawns tasks and timers on one executor. Cheap to clone; `!Send`.
#[derive(Clone)]
pub struct Handle {
    inner: Rc<Inner>,
}

impl Handle {
    /// Starts a task. It runs until it ends or the executor is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let waker = self.inner.tasks.borrow_mut().insert(Box::pin(task), &self.inner.ready);
        waker.wake();
    }

    /// Waits; the time counts from this call.
    #[must_use]
    pub fn sleep_us(&self, duration_us: u64) -> Sleep {
        Sleep::until(self.inner.clone(), now_us().saturating_add(duration_us))
    }

    /// Monotonic microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        clock::now_us()
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.inner.tasks.borrow().live()
    }
}

/// The executor of one core. Dropping it drops its tasks first, then the driver.
pub struct Executor<D: Driver> {
    inner: Rc<Inner>,
    driver: D,
    options: ExecutorOptions,
    batch: VecDeque<TaskId>,
    runs: u32,
}

impl<D: Driver> Executor<D> {
    /// An executor over `driver` with the default options.
    #[must_use]
    pub fn new(driver: D) -> Self {
        Self::with_options(driver, ExecutorOptions::default())
    }

    /// An executor over `driver`.
    ///
    /// # Panics
    /// If the budget is 0.
    #[must_use]
    pub fn with_options(driver: D, options: ExecutorOptions) -> Self {
        assert!(options.budget > 0, "an executor polls at least one task a turn");
        let inner = Inner {
            ready: Arc::new(ReadyQueue::new(driver.unparker())),
            tasks: RefCell::default(),
            timers: RefCell::default(),
        };
        Self { inner: Rc::new(inner), driver, options, batch: VecDeque::new(), runs: 0 }
    }

    /// A handle for tasks.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { inner: self.inner.clone() }
    }

    /// Runs tasks until `main` completes. Other tasks stay where they are.
    pub fn run<F: Future>(&mut self, main: F) -> F::Output {
        self.runs = self.runs.wrapping_add(1);
        let id = TaskId { slot: MAIN_SLOT, generation: self.runs };
        let header = TaskHeader::new(id, &self.inner.ready);
        let waker = Waker::from(header.clone());
        let mut main = pin!(main);
        waker.wake_by_ref();
        loop {
            self.inner.fire_timers();
            let mut busy = false;
            for _ in 0..self.options.budget {
                let Some(next) = self.next_ready() else { break };
                busy = true;
                if next.slot != MAIN_SLOT {
                    self.inner.poll_task(next);
                } else if next == id {
                    header.begin_poll();
                    let polled = main.as_mut().poll(&mut Context::from_waker(&waker));
                    if let Poll::Ready(output) = polled {
                        return output;
                    }
                }
            }
            self.rest(busy);
        }
    }

    fn next_ready(&mut self) -> Option<TaskId> {
        if self.batch.is_empty() {
            self.inner.ready.take_into(&mut self.batch);
        }
        self.batch.pop_front()
    }

    /// Turns the driver; sleeps if there is nothing else to do.
    fn rest(&mut self, busy: bool) {
        if !self.batch.is_empty() || (busy && self.spin()) {
            self.driver.poll();
            return;
        }
        let deadline_us = self.inner.timers.borrow().next_deadline_us();
        let timeout_us = deadline_us.map(|deadline_us| deadline_us.saturating_sub(now_us()));
        if timeout_us != Some(0) && self.inner.ready.fall_asleep() {
            self.driver.wait(timeout_us);
            self.inner.ready.wake_up();
        }
        self.driver.poll();
    }

    /// Looks for work for a while; whether there is some.
    fn spin(&mut self) -> bool {
        if self.options.spin_us == 0 {
            return false;
        }
        let until_us = now_us().saturating_add(self.options.spin_us);
        loop {
            self.driver.poll();
            let now_us = now_us();
            let timer_due =
                self.inner.timers.borrow().next_deadline_us().is_some_and(|due| due <= now_us);
            if timer_due || !self.inner.ready.is_empty() {
                return true;
            }
            if now_us >= until_us {
                return false;
            }
            std::hint::spin_loop();
        }
    }
}

impl<D: Driver> Drop for Executor<D> {
    fn drop(&mut self) {
        // Tasks hold handles, and handles hold the tasks: the cycle ends here. A task may spawn
        // while it drops, hence the loop.
        loop {
            let tasks = self.inner.tasks.borrow_mut().take_all();
            if tasks.is_empty() {
                return;
            }
            drop(tasks);
        }
    }
}

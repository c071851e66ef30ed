//! The queue of tasks that want to be polled, and the flag that says the executor sleeps.
//!
//! Invariant: queue and flag change under one lock. Whoever pushes sees either an executor that
//! is awake (and will look at the queue before it sleeps) or one that is asleep (and unparks it).

use crate::Unparker;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// The slot number of the future given to `Executor::run`, which lives in no slot.
pub(crate) const MAIN_SLOT: u32 = u32::MAX;

/// A task; the generation tells a slot's tenants apart, so that a late wake is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

pub(crate) struct ReadyQueue {
    state: Mutex<ReadyState>,
    unparker: Unparker,
}

struct ReadyState {
    queue: VecDeque<TaskId>,
    asleep: bool,
}

impl ReadyQueue {
    pub(crate) fn new(unparker: Unparker) -> Self {
        let state = ReadyState { queue: VecDeque::new(), asleep: false };
        Self { state: Mutex::new(state), unparker }
    }

    fn lock(&self) -> MutexGuard<'_, ReadyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, id: TaskId) {
        let was_asleep = {
            let mut state = self.lock();
            state.queue.push_back(id);
            std::mem::replace(&mut state.asleep, false)
        };
        if was_asleep {
            self.unparker.unpark();
        }
    }

    /// Exchanges the queue for an empty one.
    pub(crate) fn take_into(&self, batch: &mut VecDeque<TaskId>) {
        std::mem::swap(&mut self.lock().queue, batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Says that the executor is about to sleep; false if there is work after all.
    pub(crate) fn fall_asleep(&self) -> bool {
        let mut state = self.lock();
        state.asleep = state.queue.is_empty();
        state.asleep
    }

    pub(crate) fn wake_up(&self) {
        self.lock().asleep = false;
    }
}

/// What the wakers of one task share.
pub(crate) struct TaskHeader {
    id: TaskId,
    queued: AtomicBool,
    ready: Arc<ReadyQueue>,
}

impl TaskHeader {
    pub(crate) fn new(id: TaskId, ready: &Arc<ReadyQueue>) -> Arc<Self> {
        Arc::new(Self { id, queued: AtomicBool::new(false), ready: ready.clone() })
    }

    /// Called right before a poll: wakes from here on queue the task again.
    pub(crate) fn begin_poll(&self) {
        // A swap and not a store: it reads the waker's swap and so sees what was written before it.
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for TaskHeader {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.id);
        }
    }
}

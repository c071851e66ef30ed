//! The shutdown of one gateway thread, as its tasks see it.
//!
//! Invariant: a stage only rises, and every task that looked at a lower stage is woken.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

/// How far the shutdown is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// No shutdown yet.
    Serving,
    /// Accept nothing more; finish the requests under way.
    Draining,
    /// The deadline passed: drop what is left.
    Ended,
}

/// The stage, and who waits for the next one.
#[derive(Debug)]
pub(crate) struct Stop {
    stage: Cell<Stage>,
    next_id: Cell<u64>,
    wakers: RefCell<BTreeMap<u64, Waker>>,
}

impl Stop {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            stage: Cell::new(Stage::Serving),
            next_id: Cell::new(0),
            wakers: RefCell::new(BTreeMap::new()),
        })
    }

    /// Goes to a later stage.
    pub(crate) fn advance(&self, stage: Stage) {
        assert!(stage >= self.stage.get(), "a shutdown never goes back");
        self.stage.set(stage);
        let wakers = mem::take(&mut *self.wakers.borrow_mut());
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    /// A task's view.
    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        Watch { id, stop: Rc::clone(self) }
    }
}

/// One task's view of the shutdown.
#[derive(Debug)]
pub(crate) struct Watch {
    id: u64,
    stop: Rc<Stop>,
}

impl Watch {
    /// The stage now; the task is woken when it rises.
    pub(crate) fn poll_stage(&self, context: &Context<'_>) -> Stage {
        let mut wakers = self.stop.wakers.borrow_mut();
        match wakers.get_mut(&self.id) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                wakers.insert(self.id, context.waker().clone());
            }
        }
        self.stop.stage.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.wakers.borrow_mut().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_stage_wakes_each_watcher_once_and_forgets_dropped_ones() {
        let stop = Stop::new();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let context = Context::from_waker(&waker);
        let (kept, dropped) = (stop.watch(), stop.watch());
        assert_eq!(kept.poll_stage(&context), Stage::Serving);
        assert_eq!(kept.poll_stage(&context), Stage::Serving);
        assert_eq!(dropped.poll_stage(&context), Stage::Serving);
        drop(dropped);
        stop.advance(Stage::Draining);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(kept.poll_stage(&context), Stage::Draining);
        stop.advance(Stage::Ended);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}

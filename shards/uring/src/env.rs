//! The world of one core, for real.

use crate::config::IoDriverKind;
use crate::drive::RealDrive;
use crate::operations::Core;
use crate::sys::fill_random;
use engine_env::{Arena, Env};
use shards_executor::{Handle, now_us, wall_ms};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

/// Clock, tasks, randomness and drives of one shard. Cheap to clone; `!Send`.
#[derive(Clone)]
pub struct RealEnv {
    handle: Handle,
    core: Rc<RefCell<Core>>,
    random: Rc<RefCell<Vec<u64>>>,
}

impl RealEnv {
    pub(crate) fn new(handle: Handle, core: Rc<RefCell<Core>>) -> Self {
        Self { handle, core, random: Rc::default() }
    }

    /// The executor underneath.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How I/O reaches the kernel.
    #[must_use]
    pub fn driver_kind(&self) -> IoDriverKind {
        self.core.borrow().kind()
    }

    /// Where this shard's buffers lie, if it has an arena.
    #[must_use]
    pub fn arena(&self) -> Option<Arc<Arena>> {
        self.core.borrow().arena()
    }

    /// Why io_uring works with the arena's addresses instead of knowing it, if that is so.
    #[must_use]
    pub fn unregistered(&self) -> Option<String> {
        self.core.borrow().unregistered()
    }

    pub(crate) fn core(&self) -> &Rc<RefCell<Core>> {
        &self.core
    }
}

impl Env for RealEnv {
    type Drive = RealDrive;

    fn now_us(&self) -> u64 {
        now_us()
    }

    fn wall_ms(&self) -> u64 {
        wall_ms()
    }

    fn sleep_us(&self, duration_us: u64) -> impl Future<Output = ()> + use<> {
        self.handle.sleep_us(duration_us)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.handle.spawn(task);
    }

    fn random_u64(&self) -> u64 {
        let mut random = self.random.borrow_mut();
        loop {
            if let Some(word) = random.pop() {
                return word;
            }
            // One system call for many numbers.
            let mut words = [0; 32];
            fill_random(&mut words);
            random.extend(words);
        }
    }
}

//! The core as the driver of an executor.

use crate::operations::Core;
use shards_executor::{Driver, Unparker};
use std::cell::RefCell;
use std::rc::Rc;

/// Shared with the drives; ends the core when the executor drops it, after the tasks.
pub(crate) struct IoDriver {
    core: Rc<RefCell<Core>>,
}

impl IoDriver {
    pub(crate) fn new(core: Rc<RefCell<Core>>) -> Self {
        Self { core }
    }
}

impl Driver for IoDriver {
    fn poll(&mut self) {
        self.core.borrow_mut().poll();
    }

    fn wait(&mut self, timeout_us: Option<u64>) {
        self.core.borrow_mut().wait(timeout_us);
    }

    fn unparker(&self) -> Unparker {
        self.core.borrow().unparker()
    }
}

impl Drop for IoDriver {
    fn drop(&mut self) {
        // Borrowed only where the core itself panicked; it ends with its last owner then.
        if let Ok(mut core) = self.core.try_borrow_mut() {
            core.shutdown();
        }
    }
}

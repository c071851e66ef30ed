//! The runtime of one shard: executor and driver on the current thread.

use crate::config::{IoDriverKind, RuntimeConfig};
use crate::driver::IoDriver;
use crate::env::RealEnv;
use crate::operations::Core;
use crate::ring::probe_uring;
use engine_env::ArenaScope;
use shards_executor::{Executor, ExecutorOptions};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;

/// The driver to use: the forced one, else io_uring where it works. With it the reason why
/// io_uring was passed over, which belongs into the log, the metrics and `doctor`.
#[must_use]
pub fn choose_driver(forced: Option<IoDriverKind>) -> (IoDriverKind, Option<String>) {
    match forced {
        Some(IoDriverKind::ThreadPool) => {
            (IoDriverKind::ThreadPool, Some("forced by setting".to_owned()))
        }
        Some(IoDriverKind::Uring) => (IoDriverKind::Uring, None),
        None => match probe_uring() {
            Ok(()) => (IoDriverKind::Uring, None),
            Err(reason) => (IoDriverKind::ThreadPool, Some(reason)),
        },
    }
}

/// Runs a shard. See `ShardRuntime::run`.
pub struct ShardRuntime;

impl ShardRuntime {
    /// Runs `main` on this thread until it completes; then drops the other tasks, waits for I/O
    /// in flight and ends the driver. Buffers made meanwhile lie in an arena where they can.
    ///
    /// # Errors
    /// Where the host refuses the driver; `main` has not run then.
    pub fn run<M, F>(kind: IoDriverKind, config: RuntimeConfig, main: M) -> io::Result<F::Output>
    where
        M: FnOnce(RealEnv) -> F,
        F: Future,
    {
        let (arena_bytes, spin_us) = (config.arena_bytes, config.spin_us);
        let mut core = Core::new(kind, config)?;
        let scope = ArenaScope::begin(arena_bytes);
        if let Some(arena) = scope.arena() {
            core.use_arena(arena);
        }
        let core = Rc::new(RefCell::new(core));
        let options = ExecutorOptions { spin_us, ..ExecutorOptions::default() };
        let mut executor = Executor::with_options(IoDriver::new(core.clone()), options);
        let env = RealEnv::new(executor.handle(), core);
        Ok(executor.run(main(env)))
    }
}

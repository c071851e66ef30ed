//! The executor of one core: `!Send` tasks, timers, one driver, wakers usable from any thread.
//!
//! Invariants: a task is polled only by the thread that runs its executor; ready tasks are served
//! first in, first out; a wake that arrives while the executor goes to sleep is never lost
//! (`ready.rs` holds the argument); the driver is turned at least once per `budget` polls.

mod clock;
mod cpu_time;
mod executor;
mod park;
mod ready;
mod tasks;
mod thread;
mod timers;

pub use clock::{now_us, wall_ms};
pub use cpu_time::process_cpu_seconds;
pub use executor::{Driver, Executor, ExecutorOptions, Handle};
pub use park::{Park, ParkDriver, Unpark, Unparker};
pub use thread::{PinnedThread, allowed_cpus, start_pinned_thread, start_thread_on};
pub use timers::Sleep;

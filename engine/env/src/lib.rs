//! What one core's engine asks of the world, and nothing more.
//!
//! `Env` bundles a clock, a task spawner, randomness and the type of its drives. The real one
//! (`shards-uring`) and the simulated one (`shards-sim`) stand side by side and are swapped by
//! type, never by a cargo feature. Everything here lives on one thread: tasks, drives and the
//! `sync` helpers are `!Send`; only `DmaBuf` crosses threads, and its memory finds back from there.
//!
//! Invariants: an I/O is submitted when the method is called, not when its future is polled;
//! dropping that future does not cancel it; the buffer is held until the device is done with it.

mod arena;
mod buffer;
mod drive;
mod rule;
pub mod sync;

pub use arena::{Arena, ArenaScope, ArenaStatistics};
pub use buffer::{BLOCK_BYTES, DmaBuf};
pub use drive::{Drive, DriveGeometry, IoClass, IoError, WriteFlushError};
pub use rule::{BrokenRules, Rule};

use std::future::Future;

/// The world of one core.
///
/// **Runs on** the thread of its executor only.
pub trait Env: Clone + 'static {
    /// The drives of this world.
    type Drive: Drive;

    /// Monotonic time in microseconds, from any origin.
    fn now_us(&self) -> u64;

    /// Wall clock in milliseconds since 1970. For humans and HTTP dates; never for ordering.
    fn wall_ms(&self) -> u64;

    /// Waits.
    fn sleep_us(&self, duration_us: u64) -> impl Future<Output = ()> + use<Self>;

    /// Starts a task on this core. It runs until it ends or the process does.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// A random number; in the simulator a function of the seed.
    fn random_u64(&self) -> u64;

    /// A named rare branch: always false outside the simulator, which may say true to make
    /// rare things happen often.
    fn rare(&self, _name: &'static str) -> bool {
        false
    }

    /// Whether this world is a must-fail twin without a rule: always false outside the simulator.
    fn breaks(&self, _rule: Rule) -> bool {
        false
    }
}

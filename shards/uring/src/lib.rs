//! The real world of one core: `RealEnv` with drives over io_uring, or over blocking threads
//! where io_uring is refused.
//!
//! Invariants: an operation owns its buffer and its file until the device has completed it,
//! whatever happens to the future, the drive or the runtime (at worst both are leaked); the very
//! descriptor that does the I/O holds the drive's lock; a completion is served only on the thread
//! that submitted; an operation that misses its deadline takes its drive offline; what waits for
//! a place at its drive is not late.

mod config;
mod counters;
mod drive;
mod driver;
mod env;
mod files;
mod grow;
mod helper;
mod lock;
mod op;
mod open;
mod operations;
mod pool;
mod queue;
mod ring;
mod runtime;
mod sys;

#[cfg(test)]
mod deadline_tests;
#[cfg(test)]
mod op_tests;

pub use config::{DriveKind, DriveLimits, DriveSpec, IoDriverKind, RuntimeConfig, SPLIT_BYTES_MIN};
pub use counters::{DriveCounters, DriveStatistics};
pub use drive::RealDrive;
pub use env::RealEnv;
pub use open::OpenError;
pub use ring::probe_uring;
pub use runtime::{ShardRuntime, choose_driver};

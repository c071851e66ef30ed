//! One drive: its commit log, index, space and fragments, and how all of it comes back after a
//! crash.
//!
//! A drive's state is a fold of its log (`state`). The log commits in groups (`log`), is cut short
//! by checkpoints (`checkpoint`), and is replayed at opening (`recover`). Nothing here knows of
//! other drives, threads, clocks or HTTP.

mod anew;
mod checkpoint;
mod clean;
mod config;
mod error;
mod fragments;
mod housekeep;
mod io;
mod log;
mod memory;
mod read;
mod recover;
mod replay;
mod runs;
mod scrub;
mod space;
mod state;
mod store;
mod structures;
mod usage;
mod work;

pub use config::StoreConfig;
pub use error::DriveError;
pub use fragments::{FragmentPlan, Healing};
pub use memory::IndexMemory;
pub use read::ScanPage;
pub use recover::{FormatOptions, Recovery, SEGMENTS_MIN, format_bytes};
pub use scrub::ScrubPace;
pub use store::Store;
pub use structures::{Placed, Structure};
pub use usage::{DriveIdentity, DriveUsage};
pub use work::{Work, WorkWatcher};

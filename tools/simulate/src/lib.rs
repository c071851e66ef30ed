//! The simulated worlds: one drive, whole sets of drives, and the buckets of a node.
//!
//! Invariants: a run is a function of the commit, the seed and the options; what a client is told
//! is judged by `model`, which knows nothing of drives.

pub mod bucket_world;
mod check;
mod client;
pub mod drive_world;
mod drives;
mod faults;
mod listing;
pub mod model;
mod multipart;
pub mod options;
pub mod pages;
pub mod peers;
mod process;
mod progress;
mod replicas;
pub mod rot_world;
pub mod set_world;
mod supervisor;
pub mod totals;
pub mod twins;
mod workload;

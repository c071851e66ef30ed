//! Measures drives for a hardware profile.
//!
//! Invariants: nothing of somebody else's is written: a file is made here and removed here, a device
//! is blank and was given up by its owner; every transfer bypasses the page cache and what is written
//! does not compress; a percentile is taken of merged counts, never averaged; what was found is kept
//! after each step. Absent: printing, signals, and what a server does with the figures.

mod error;
mod knee;
mod load;
mod merge;
mod partial;
mod place;
mod real;
mod session;
mod steps;

#[cfg(test)]
mod testing;

pub use error::MeasureError;
pub use knee::{Knee, Point, is_past_knee, knee};
pub use merge::{Merged, merge, placeholders};
pub use partial::{FoundDrive, partial_of};
pub use session::{Options, Target, measure};
pub use steps::{Found, Step};

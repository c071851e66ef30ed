//! The simulated twin of a core: executor, clock, randomness and drives, all from one seed.
//!
//! Invariants: the result depends on the commit and the seed only; each source of randomness has
//! a stream of its own, so that a new draw in one does not change the others; a crash drops every
//! task at once and keeps of each drive what was flushed plus any subset of the sectors that were
//! not.

mod drive;
mod media;
mod random;
mod sites;
mod world;

pub use drive::{Remains, SimDrive, SimImage, SimMedia};
pub use random::Random;
pub use sites::write_sites;
pub use world::{SimEnv, World};

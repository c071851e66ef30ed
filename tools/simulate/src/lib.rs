//! Whole sets in the simulator.

pub mod model;
pub mod peers;

//! Whole sets step by step: what random runs come to rarely, or cannot tell from something else.

mod beside;
mod half;
mod known;
mod rig;
mod unreadable;

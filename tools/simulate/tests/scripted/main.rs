//! Whole sets step by step: what random runs come to rarely, or cannot tell from something else.

mod beside;
mod half;
mod joined;
mod known;
mod pages;
mod payload;
mod promise;
mod rig;
mod unreadable;

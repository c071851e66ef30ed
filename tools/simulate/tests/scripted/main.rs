//! Whole sets step by step: what random runs come to rarely, or cannot tell from something else; and
//! a little of what the commands run at random. One program: it is compiled once for all of it.

mod background;
mod beside;
mod half;
mod joined;
mod known;
mod older;
mod pages;
mod payload;
mod promise;
mod rig;
mod rot;
mod set;
mod twins;
mod unreadable;

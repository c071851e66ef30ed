//! One drive through the store's public face, in the simulator: one program, so that the store is
//! compiled once for all of it.
#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod crash;
mod drive_image;
mod full;
mod heal;
mod memory;
mod release;
mod rig;
mod rot;
mod seal;
mod superblock;

//! S3 semantics in one place, whatever the front end.
//!
//! Invariants: front ends parse requests and write answers, and decide nothing; the store keeps
//! bytes and orders writes, and knows no S3. No clock, no thread and no I/O of its own.

pub mod api;
mod buckets;
mod concurrent;
mod conditions;
mod copy;
pub mod date;
mod delete;
pub mod digest;
pub mod encoding;
mod error_map;
pub mod failure;
mod get;
mod listing;
pub mod model;
mod multipart;
mod names;
pub mod objects;
mod put;
mod range;
pub mod shards;
mod uploads;

#[cfg(test)]
mod tests;

pub use api::*;
pub use failure::{ErrorCode, S3Failure};

//! What a load generator asks for: random numbers, sizes, keys, arrivals, mixes, payloads.
//!
//! Invariants: everything is a pure function of a seed and of how often it was asked; no I/O, no
//! clock, no threads, no state that grows with the number of keys but one bit per key where keys
//! are deleted. A run has several generator threads; each owns the keys `id % threads == thread`,
//! for reads and writes alike, so that threads share nothing.
//!
//! ```
//! use bench_model::{KeyPicker, Popularity, Random, Sizes, Thread, ThreadKeys, object_draw};
//!
//! # fn main() -> Result<(), bench_model::ModelError> {
//! let seed = 7;
//! let keys = ThreadKeys::new(1_000_000_000, Thread { index: 3, count: 8 })?;
//! let mut picker = KeyPicker::new(&Popularity::parse("zipf(0.99)")?, keys, seed)?;
//! let sizes = Sizes::parse("lognormal(median=128KiB,sigma=1.2,max=1GiB)")?;
//! let mut random = Random::new(seed, 3);
//! let key = picker.next(&mut random);
//! assert_eq!(key % 8, 3);
//! assert!(sizes.size_of(object_draw(seed, key, 0)) <= 1 << 30);
//! # Ok(())
//! # }
//! ```

mod block;
mod error;
mod keyspace;
mod membership;
mod mismatch;
mod mix;
mod number;
mod payload;
mod permutation;
mod popularity;
mod random;
mod rate;
mod schedule;
mod size_table;
mod sizes;
mod thread;
mod verify;
mod zipf;

#[cfg(test)]
mod payload_tests;
#[cfg(test)]
mod sizes_tests;
#[cfg(test)]
mod verify_tests;

pub use block::{BLOCK_BYTES, HEADER_BYTES};
pub use error::ModelError;
pub use keyspace::{KEYS_MAX, KeySpace};
pub use membership::Membership;
pub use mismatch::{Mismatch, MismatchKind};
pub use mix::{Mix, Operation, Stream};
pub use number::{SIZE_BYTES_MAX, seconds, size_bytes};
pub use payload::{Generation, ObjectStamp, Payload, PayloadSpec};
pub use popularity::{KeyPicker, Popularity};
pub use random::{Random, mix64, object_draw};
pub use rate::{RATE_MAX, Rate, Step};
pub use schedule::Schedule;
pub use size_table::SizeTable;
pub use sizes::Sizes;
pub use thread::{Thread, ThreadKeys};
pub use verify::{Candidates, Expected};

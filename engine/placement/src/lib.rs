//! Where things lie: drives from arguments, drives to erasure sets, parity, quorums, keys to sets
//! and to positions.
//!
//! Invariants: pure functions of their arguments, no I/O, no clock, no state. What `set_of` and
//! `order` answer is a persistent format: an object is found again only if they never change,
//! so known-answer tests freeze them. Placement hashes the position in a set, never the drive's
//! UUID: a replaced drive moves nothing.
//! Sources: reference/s3-peers.md 0.1-0.4, commit.md rule 5 (which overrules), design.md 6.

mod ellipsis;
mod layout;
mod place;
mod quorum;

pub use ellipsis::{ExpandError, expand, expand_all};
pub use layout::{
    DRIVES_MAX, LayoutError, PoolLayout, SET_SIZE_DEFAULT_MAX, SET_SIZE_MAX, check_parity,
    default_parity, pool_layout, set_size,
};
pub use place::{PositionOrder, order, set_of};
pub use quorum::{Quorums, SchemaError};

//! What a request asks for, by name.
//!
//! Invariant: the order of `Operation::ALL` and the names are part of the wire and log formats:
//! append, never reorder.

use crate::error::StatsError;
pub use bench_model::Operation;

/// The operation of a name.
///
/// # Errors
/// `UnknownName`, with the names that exist.
pub fn operation_of(name: &str) -> Result<Operation, StatsError> {
    Operation::of_name(name).ok_or_else(|| StatsError::UnknownName {
        what: "operation",
        name: name.to_owned(),
        valid: Operation::ALL.map(Operation::name).join(", "),
    })
}

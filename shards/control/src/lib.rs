//! Control documents: what the node knows beside objects, and how buckets come and go.
//!
//! Invariants: a document is versioned and checksummed; a change names the version it is made
//! from and is refused if another came first; readers hold immutable snapshots.

mod buckets;
mod gate;
mod keeper;
mod seats;

pub use buckets::{BucketEntry, BucketState, BucketTable, TableError};
pub use gate::{BucketChange, BucketGate};
pub use keeper::{BucketHost, BucketKeeper, KeeperError};
pub use seats::{Seat, SeatTable};

/// Where documents are agreed on. One node commits them through its engine; a cluster will elect
/// a leader for it.
pub trait ControlLog {
    /// Why a proposal failed.
    type Error;

    /// The newest document and its version token; `None` where there is none yet.
    ///
    /// # Errors
    /// Where it cannot be read now.
    fn read(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<(Vec<u8>, String)>, Self::Error>>;

    /// Replaces the document if its version token is still `from` (`None`: if there is none).
    /// Answered when durable. `Ok(false)`: another came first.
    ///
    /// # Errors
    /// Where it cannot be committed now; the outcome may be unknown.
    fn propose(
        &self,
        name: &str,
        from: Option<String>,
        document: Vec<u8>,
    ) -> impl Future<Output = Result<bool, Self::Error>>;
}

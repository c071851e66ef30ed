//! Words every layer shares: ids, sequences, error classes, object descriptions.
//!
//! Invariants: plain data only; no I/O, no clock, no threads; a value made here is valid
//! (`Key`, `PartNumber` check their bounds when made). One meaning per word: docs/glossary.md.

mod class;
mod ids;
mod object;
mod sequence;

pub use class::ErrorClass;
pub use ids::{
    BucketId, DataId, DeploymentId, DriveId, FragmentIndex, Key, KeyError, PartNumber, PoolId,
    Position, PositionSet, SegmentId, SetId, ShardId, UploadId,
};
pub use object::{
    Attribute, AttributeKind, ChecksumKind, Condition, Geometry, ObjectChecksum, ObjectInfo,
    PartInfo,
};
pub use sequence::{Epoch, Sequence};

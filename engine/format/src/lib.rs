//! What stands on a drive, byte by byte: encode, bound, check, decode. No I/O.
//!
//! Invariants: little-endian, fixed widths; a sum is checked before anything under it is
//! believed; every length is bounded before it is used; no input makes a decoder panic.
//! One page per structure in docs/format/.

mod batch;
mod checkpoint;
mod commit;
mod entry;
mod error;
mod fragment;
mod keys;
mod object;
mod part;
mod record;
mod superblock;
mod tagged;
mod upload;
mod wire;

pub use batch::{BatchHeader, LogLink, SegmentHeader, Successor};
pub use checkpoint::{Checkpoint, LogSegment, RunEntry, SegmentUse};
pub use commit::{Commit, CommitData, Mutation};
pub use entry::{Entry, PayloadLocation, payload_sum};
pub use error::FormatError;
pub use fragment::{Extent, FOOTER_BLOCK_BYTES, FragmentFooter, FragmentRecord, footer_bytes};
pub use keys::{IndexKey, Keyspace, escape_key, unescape_key};
pub use object::{Etag, ObjectRecord, Order, Storage};
pub use part::{PartEntry, PartRecord, PartTable};
pub use record::{Drop as DropRecord, Mark, Move, PeerKnown, Record, Relocate, View, ViewMember};
pub use superblock::{DriveState, LogPosition, SUPERBLOCK_BYTES, Superblock};
pub use tagged::TAG_COMPLETED_UPLOAD;
pub use upload::UploadRecord;
pub use wire::{Reader, Writer, crc64, crc64_parts};

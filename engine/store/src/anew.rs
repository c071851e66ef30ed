//! Another life for a drive whose log, index or checkpoint is rotten: it keeps its seat and nothing
//! else, and is rebuilt from the others.
//!
//! Invariants: who it is stays readable at every moment, and a drive that was cut off here is
//! either what it was or empty; the new life has an id of its own, so that nothing the old one
//! wrote passes for its own.

use crate::error::DriveError;
use crate::recover::{repair_copies, write_superblock};
use crate::store::Store;
use engine_env::{BrokenRules, DmaBuf, Drive, Env};
use engine_format::{DriveState, LogLink, LogPosition, SegmentHeader, Successor, Superblock};
use engine_types::{DriveId, SegmentId};

impl<E: Env> Store<E> {
    /// Empties a drive of a set, which must not be open, and gives it a new id. It is never in sync
    /// before it is rebuilt.
    ///
    /// # Errors
    /// As `read_superblock`, where nobody can tell whose drive it is; a device error.
    pub async fn begin_anew(
        drive: &E::Drive,
        segment_bytes: u64,
        id: DriveId,
    ) -> Result<(), DriveError> {
        drive.flush().await?;
        let old = Self::read_superblock(drive, segment_bytes).await?;
        repair_copies(drive, &old).await?;
        let first = first_segment(id);
        let superblock = Superblock {
            drive: id,
            state: DriveState::Rebuilding,
            generation: old.generation + 1,
            incarnation: 0,
            log_start: first_position(&first),
            log_tail: first.segment,
            checkpoint: SegmentId(0),
            checkpoint_bytes: 0,
            checkpoint_sum: 0,
            ..old
        };
        write_superblock(drive, &superblock, BrokenRules::NONE).await?;
        // Replay does not need it: the superblock says where the log begins.
        drive.write(segment_bytes, DmaBuf::copy_of(&first.encode())).await?;
        Ok(drive.flush().await?)
    }
}

/// The header of the first segment of a drive's log.
pub(crate) fn first_segment(drive: DriveId) -> SegmentHeader {
    SegmentHeader {
        drive,
        segment: SegmentId(1),
        generation: 1,
        previous: LogLink { segment: SegmentId(0), generation: 0, batch_sequence: 0, chain: 0 },
    }
}

/// Where the log of a new drive begins, and where it goes on.
pub(crate) fn first_position(first: &SegmentHeader) -> LogPosition {
    let successors = [2, 3].map(|segment: u32| Successor {
        segment: SegmentId(segment),
        generation: u64::from(segment),
    });
    LogPosition {
        segment: first.segment,
        generation: first.generation,
        offset_bytes: SegmentHeader::BYTES as u64,
        batch_sequence: 0,
        chain: first.chain(),
        successors,
    }
}

//! Whether a drive is full: by what is live on it.

use super::{NoSpace, Slot, Space, UNIT_BYTES};

/// Of log and append segments, one part in so many may be garbage on a full drive. Without it the
/// last room would cost copying nearly all of a segment to free little of it.
const GARBAGE_SHARE: u64 = 10;

/// The drive is judged anew once so many parts of a segment were freed.
const FREED_SHARE: u64 = 8;

impl Space {
    /// Whether data may take a segment beyond `promised` ones and the reserve.
    pub(super) fn check_room(&mut self, promised: u32) -> Result<(), NoSpace> {
        let kept = self.reserve().saturating_add(promised);
        self.starving = self.free_segments() <= kept;
        if !self.starving {
            return Ok(());
        }
        if self.unmerged || self.could_be_free() > kept {
            Err(NoSpace::Cleaning)
        } else {
            Err(NoSpace::Full)
        }
    }

    /// Free segments of a drive without garbage. Many ask while room is short: it is reckoned anew
    /// only where something came of cleaning, or was freed.
    fn could_be_free(&mut self) -> u32 {
        let now = (self.free_segments(), self.unmerged);
        if let Some((free, unmerged, could_be_free)) = self.judged
            && (free, unmerged) == now
            && self.freed_bytes < self.segment_bytes / FREED_SHARE
        {
            return could_be_free;
        }
        let could_be_free = self.had_segments().saturating_sub(self.live_segments());
        self.judged = Some((now.0, now.1, could_be_free));
        self.freed_bytes = 0;
        could_be_free
    }

    /// Segments of the drive, or those prepared while the host has no more.
    fn had_segments(&self) -> u32 {
        if self.host_full { self.prepared } else { self.segment_count() }
    }

    /// Segments a drive without garbage would need, and the share cleaning leaves.
    fn live_segments(&self) -> u32 {
        let (mut whole, mut bytes, mut append_bytes) = (0_u64, 0_u64, 0_u64);
        for (slot, segment) in self.slots.iter().zip(0_u32..) {
            match slot {
                // It is nobody's, also once it is empty.
                _ if self.quarantined.contains(&segment) => whole += 1,
                Slot::Free => {}
                Slot::Superblock | Slot::Run | Slot::Extents { .. } => whole += 1,
                // Announced, or written to since the last checkpoint, which cleaning waits for.
                Slot::Log { last_batch: u64::MAX, .. } => whole += 1,
                Slot::Log { live_bytes, .. } => bytes += live_bytes,
                Slot::Append { live_units } => append_bytes += live_units * UNIT_BYTES,
            }
        }
        // Packed as tightly as is sure.
        whole += append_bytes.div_ceil(self.append_bytes());
        let with_garbage = (bytes + bytes / GARBAGE_SHARE).div_ceil(self.segment_bytes);
        u32::try_from(whole + with_garbage).unwrap_or(u32::MAX)
    }
}

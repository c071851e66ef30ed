//! Whether a drive is full: by what is live on it.

use super::{NoSpace, Slot, Space, UNIT_BYTES};

/// Log and append segments need a part in so many beside what is live. Without it the last room
/// would cost copying nearly all of a segment to free little of it.
const GARBAGE_SHARE: u64 = 10;

/// The drive is judged anew once so many parts of a segment were freed.
const FREED_SHARE: u64 = 8;

impl Space {
    /// Whether data may take a segment beyond `promised` ones and the reserve. The share that
    /// cleaning leaves is never taken, so that a full drive takes as much again as is deleted.
    pub(super) fn check_room(&mut self, promised: u32) -> Result<(), NoSpace> {
        let kept = self.reserve().saturating_add(promised);
        let free = self.free_segments();
        let is_short = free <= kept;
        // A drive on which all is live needs a third more than is in use at the most.
        let used = self.had_segments().saturating_sub(free);
        if free > kept.saturating_add(used / 3 + 1) {
            self.starving = false;
            return Ok(());
        }
        let is_full = self.could_be_free() <= kept;
        self.starving = is_short || is_full;
        match (is_full, is_short) {
            // A merge may find that less is live.
            (true, _) if self.unmerged => Err(NoSpace::Cleaning),
            (true, _) => Err(NoSpace::Full),
            (false, true) => Err(NoSpace::Cleaning),
            (false, false) => Ok(()),
        }
    }

    /// [`Self::free_without_garbage`] as it was lately. Many ask while room is short: it is
    /// reckoned anew only where something came of cleaning, or was freed.
    fn could_be_free(&mut self) -> u32 {
        let now = (self.free_segments(), self.unmerged);
        if let Some((free, unmerged, could_be_free)) = self.judged
            && (free, unmerged) == now
            && self.freed_bytes < self.segment_bytes / FREED_SHARE
        {
            return could_be_free;
        }
        let could_be_free = self.free_without_garbage();
        self.judged = Some((now.0, now.1, could_be_free));
        self.freed_bytes = 0;
        could_be_free
    }

    /// Free segments once all garbage but the share cleaning leaves is gone.
    pub(super) fn free_without_garbage(&self) -> u32 {
        self.had_segments().saturating_sub(self.live_segments())
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
        let with_garbage =
            |bytes: u64| (bytes + bytes / GARBAGE_SHARE).div_ceil(self.segment_bytes);
        // Packed as tightly as is sure.
        whole += with_garbage(append_bytes).max(append_bytes.div_ceil(self.append_bytes()));
        u32::try_from(whole + with_garbage(bytes)).unwrap_or(u32::MAX)
    }
}

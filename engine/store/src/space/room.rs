//! Whether a drive is full: by what is live on it.

use super::{NoSpace, Slot, Space, UNIT_BYTES};
use crate::store::Store;
use engine_env::Env;

/// Log and append segments need a part in so many beside what is live. Without it the last room
/// would cost copying nearly all of a segment to free little of it.
const GARBAGE_SHARE: u64 = 10;

/// The drive is judged anew once so many parts of a segment were freed.
const FREED_SHARE: u64 = 8;

/// Of log and append segments, a part in so many is kept for refills, and whole segments besides:
/// what is written in the place of what was deleted falls on the drives of a set otherwise, and
/// its index takes a segment more or less.
const REFILL_SHARE: u64 = 64;
const REFILL_SEGMENTS: u64 = 2;

/// A drive that was full has been deleted from once so many eighths of what was live are left.
const REFILL_EIGHTHS: u64 = 7;

/// How often a drive was filled. The first filling leaves a little room, so that whatever is deleted
/// later, as much can be written again; in a checkpoint, for that holds across starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Filling {
    /// It was never full.
    #[default]
    First,
    /// It refused data or was about to, and this many segments were live at the most.
    Full(u32),
    /// It was full, and was deleted from since.
    Again,
}

/// What is live on a drive, and what was so when that was reckoned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    free: u32,
    unmerged: bool,
    live: u32,
    kept_for_refills: u32,
}

impl Filling {
    const AGAIN: u32 = u32::MAX;

    /// As a checkpoint has it.
    pub(crate) fn stored(self) -> u32 {
        match self {
            Self::First => 0,
            Self::Full(live) => live,
            Self::Again => Self::AGAIN,
        }
    }

    /// From a checkpoint.
    pub(crate) fn from_stored(stored: u32) -> Self {
        match stored {
            0 => Self::First,
            Self::AGAIN => Self::Again,
            live => Self::Full(live),
        }
    }
}

impl<E: Env> Store<E> {
    /// Whether what is written from here on is what other drives hold. Then it must find room: what is
    /// kept for refills is not left, nor the share of cleaning, nor all of the reserve, until it is
    /// written.
    pub fn catches_up(&self, catches_up: bool) {
        let mut space = self.shared.space.borrow_mut();
        if space.catches_up != catches_up {
            space.catches_up = catches_up;
            space.judged = None;
        }
    }
}

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
        let judged = self.judge();
        let could_be_free = self.without_garbage(judged);
        let is_full = could_be_free <= kept;
        self.starving = is_short || is_full;
        let is_nearly_full = could_be_free <= kept.saturating_add(judged.kept_for_refills);
        if is_nearly_full && !self.merging {
            self.note_full(judged.live);
        }
        match (is_full, is_short) {
            // A merge may find that less is live, or is about to.
            (true, _) if self.unmerged || self.merging => Err(NoSpace::Cleaning),
            (true, _) => Err(NoSpace::Full),
            (false, true) => Err(NoSpace::Cleaning),
            (false, false) => Ok(()),
        }
    }

    /// What is live, as it was lately. Many ask while room is short: it is reckoned anew only where
    /// something came of cleaning, or was freed.
    fn judge(&mut self) -> Judged {
        let (free, unmerged) = (self.free_segments(), self.unmerged);
        if let Some(judged) = self.judged
            && (judged.free, judged.unmerged) == (free, unmerged)
            && self.freed_bytes < self.segment_bytes / FREED_SHARE
        {
            return judged;
        }
        let (live, kept_for_refills) = self.live_segments();
        let judged = Judged { free, unmerged, live, kept_for_refills };
        self.judged = Some(judged);
        self.freed_bytes = 0;
        self.note_deleted(live);
        judged
    }

    /// Free segments once all garbage but the share cleaning leaves is gone, without what is kept
    /// for refills.
    pub(super) fn free_without_garbage(&self) -> u32 {
        let (live, kept_for_refills) = self.live_segments();
        let judged =
            Judged { free: self.free_segments(), unmerged: self.unmerged, live, kept_for_refills };
        self.without_garbage(judged)
    }

    fn without_garbage(&self, judged: Judged) -> u32 {
        let keeps = self.filling != Filling::Again && !self.catches_up;
        let kept = if keeps { judged.kept_for_refills } else { 0 };
        self.had_segments().saturating_sub(judged.live.saturating_add(kept))
    }

    /// Data is refused, or soon will be: the drives of a set are not full all at once, and one that
    /// is makes the set refuse.
    fn note_full(&mut self, live: u32) {
        self.filling = match self.filling {
            // It holds what the others hold, who may have been refilled.
            _ if self.catches_up => Filling::Again,
            Filling::First => Filling::Full(live.max(1)),
            Filling::Full(most) => Filling::Full(most.max(live)),
            Filling::Again => Filling::Again,
        };
    }

    /// Less may be live than when data was refused.
    fn note_deleted(&mut self, live: u32) {
        if let Filling::Full(most) = self.filling
            && u64::from(live) * 8 <= u64::from(most) * REFILL_EIGHTHS
        {
            self.filling = Filling::Again;
        }
    }

    /// Segments of the drive, or those prepared while the host has no more.
    fn had_segments(&self) -> u32 {
        if self.host_full { self.prepared } else { self.segment_count() }
    }

    /// Segments a drive without garbage would need with the share cleaning leaves, and those that
    /// a first filling leaves.
    fn live_segments(&self) -> (u32, u32) {
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
        let share =
            |bytes: u64| bytes / if self.catches_up { 2 * GARBAGE_SHARE } else { GARBAGE_SHARE };
        let with_garbage = |bytes: u64| (bytes + share(bytes)).div_ceil(self.segment_bytes);
        // Packed as tightly as is sure.
        whole += with_garbage(append_bytes).max(append_bytes.div_ceil(self.append_bytes()));
        let packed = bytes + append_bytes;
        let kept_for_refills = match packed {
            0 => 0,
            _ => (packed / REFILL_SHARE).div_ceil(self.segment_bytes) + REFILL_SEGMENTS,
        };
        let segments = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        (segments(whole + with_garbage(bytes)), segments(kept_for_refills))
    }
}

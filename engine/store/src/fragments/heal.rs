//! Healing: what went bad on this drive is written anew elsewhere on it, as background work. Where
//! the right bytes come from is the caller's business.
//!
//! Invariants: compare-and-put: what was freed, replaced or moved meanwhile stays as it is; only
//! the very bytes that were written here once are put in their place; they are durable before the
//! drive's own log says where they are (rule 10); the segments in which bytes went bad take nothing
//! new until the drive is opened again.

use super::linear::pieces_of;
use super::{FragmentPlan, push_sums};
use crate::error::DriveError;
use crate::store::{Shared, Store};
use bytes::Bytes;
use engine_env::{BLOCK_BYTES, Env, IoClass};
use engine_format::{
    Entry, FormatError, FragmentFooter, FragmentRecord, IndexKey, Keyspace, Move, Record, Relocate,
    payload_sum,
};
use engine_types::{DataId, SegmentId};
use std::collections::BTreeSet;
use std::rc::Rc;

/// A fragment that is being written anew.
///
/// **Cancel**: it must come to `finish_heal` or `give_up_heal`, or its space stays taken until the
/// drive is opened again.
pub struct Healing {
    old: FragmentRecord,
    new: FragmentRecord,
    sums: Vec<u64>,
    written_bytes: u64,
    /// The segments in which bytes went bad.
    bad: BTreeSet<SegmentId>,
}

impl Healing {
    /// Which fragment.
    #[must_use]
    pub fn plan(&self) -> FragmentPlan {
        FragmentPlan {
            data: self.old.data,
            index: self.old.index,
            geometry: self.old.geometry,
            object_bytes: self.old.object_bytes,
            heals: true,
        }
    }
}

impl<E: Env> Store<E> {
    /// Begins to write a settled fragment of this drive anew. `None`: the drive holds none (any
    /// more).
    ///
    /// # Errors
    /// `Fenced` while its space is being reserved or moved: to be tried again; `Full`, `Cleaning`; a
    /// device error.
    pub async fn begin_heal(&self, data: DataId) -> Result<Option<Healing>, DriveError> {
        let shared = &self.shared;
        if let Some(error) = shared.failed() {
            return Err(error);
        }
        let Some(old) = shared.settled_fragment(data).await? else { return Ok(None) };
        let fragment_bytes = old.fragment_bytes();
        let reserved = shared
            .with_room(|space| {
                if space.is_reserved(data) {
                    return Ok(None);
                }
                space.reserve_fragment(data, fragment_bytes, true).map(Some)
            })
            .await?;
        let Some((append, extents)) = reserved else { return Err(DriveError::Fenced) };
        let new = FragmentRecord { append, extents, ..old.clone() };
        let bad = BTreeSet::new();
        Ok(Some(Healing { old, new, sums: Vec::new(), written_bytes: 0, bad }))
    }

    /// Writes the next bytes, all but the last a multiple of `FOOTER_BLOCK_BYTES`. `was_bad`: they
    /// could not be read where they were.
    ///
    /// # Errors
    /// A device error; the drive has failed then.
    ///
    /// # Panics
    /// If more is written than the fragment has.
    pub async fn write_heal(
        &self,
        healing: &mut Healing,
        bytes: &[u8],
        was_bad: bool,
    ) -> Result<(), DriveError> {
        let offset = healing.written_bytes;
        let len = bytes.len() as u64;
        assert!(offset + len <= healing.new.fragment_bytes(), "no more than the fragment has");
        push_sums(&mut healing.sums, offset, bytes);
        if was_bad {
            let pieces = pieces_of(&healing.old, offset, len.next_multiple_of(BLOCK_BYTES as u64));
            healing.bad.extend(pieces.iter().map(|piece| piece.extent.segment));
        }
        let (shared, class) = (&self.shared, IoClass::Background);
        if let Err(error) = shared.write_linear_at(class, &healing.new, offset, bytes).await {
            shared.fail(error);
            return Err(error);
        }
        healing.written_bytes += len;
        Ok(())
    }

    /// Puts the new fragment in the place of the old one. `Ok(false)`: that was freed or moved
    /// meanwhile, and nothing was done.
    ///
    /// # Errors
    /// `Format(Sum)` where these are not the bytes the drive once wrote; a device error.
    pub async fn finish_heal(&self, mut healing: Healing) -> Result<bool, DriveError> {
        let shared = &self.shared;
        let fragment_bytes = healing.new.fragment_bytes();
        let footer = FragmentFooter {
            data: healing.old.data,
            index: healing.old.index,
            drive: shared.identity.drive,
            sums: std::mem::take(&mut healing.sums),
        };
        let (bytes, sum) = footer.encode();
        if healing.written_bytes != fragment_bytes || sum != healing.old.footer_sum {
            self.give_up_heal(healing);
            return Err(FormatError::Sum("a fragment written anew").into());
        }
        let offset = fragment_bytes.next_multiple_of(BLOCK_BYTES as u64);
        let written = async {
            shared.write_linear_at(IoClass::Background, &healing.new, offset, &bytes).await?;
            shared.flush_now().await
        };
        if let Err(error) = written.await {
            shared.fail(error);
            return Err(error);
        }
        shared.put_healed(healing).await
    }

    /// Gives the space of a heal back.
    pub fn give_up_heal(&self, healing: Healing) {
        self.shared.space.borrow_mut().give_back(healing.new.data);
    }

    /// Writes the payload of an entry anew. `Ok(false)`: the key was written again or the payload
    /// moved meanwhile, and nothing was done.
    ///
    /// # Errors
    /// `Format(Sum)` where this is not the payload the drive once wrote; `Full` where the log has
    /// no room now; a device error.
    pub async fn heal_payload(
        &self,
        key: &[u8],
        rotten: &Entry,
        payload: Bytes,
    ) -> Result<bool, DriveError> {
        let shared = &self.shared;
        let (Some(location), Some(value)) = (rotten.payload, rotten.value.clone()) else {
            return Ok(false);
        };
        if payload_sum(rotten.sequence, location.generation, &payload) != location.sum {
            return Err(FormatError::Sum("a payload written anew").into());
        }
        let _permit = shared.maintenance.take(1).await;
        if shared.settled_entry(key).await?.as_ref() != Some(rotten) {
            return Ok(false);
        }
        shared.check_log_room()?;
        shared.space.borrow_mut().quarantine(location.segment);
        let (key, sequence) = (key.to_vec(), rotten.sequence);
        let moved = shared.append(Record::Move(Move { key, sequence, value, payload }));
        moved.await.unwrap_or(Err(DriveError::Failed))?;
        // A copy of the entry in the runs still counts as live where the payload was.
        shared.space.borrow_mut().unmerged = true;
        shared.counters.healed.set(shared.counters.healed.get() + 1);
        let start = shared.superblock.borrow().log_start.batch_sequence;
        let past = shared.space.borrow().log_before(start);
        if past.iter().all(|log| log.segment != location.segment) {
            // Replay would come to the rotten batch and end there. A drive too full for a
            // checkpoint takes one when it can.
            match shared.checkpoint(false).await {
                Ok(()) | Err(DriveError::Full) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl<E: Env> Shared<E> {
    /// The record of a fragment as the log's fold has it, without what is only prepared.
    async fn settled_fragment(&self, data: DataId) -> Result<Option<FragmentRecord>, DriveError> {
        let entry = self.settled_entry(&IndexKey::local(Keyspace::Fragments, data).0).await?;
        let Some(value) = entry.and_then(|entry| entry.value) else { return Ok(None) };
        Ok(Some(FragmentRecord::from_value(&value)?))
    }

    /// Whoever holds `maintenance` must not wait for a log that waits for housekeeping.
    fn check_log_room(&self) -> Result<(), DriveError> {
        let has_room = self.space.borrow().log_may_take(true) && !self.log.borrow().stalled;
        if has_room { Ok(()) } else { Err(DriveError::Full) }
    }

    /// While `maintenance` is held no memtable is frozen: what changes the fragment between the
    /// look at its record and the new one, the log's fold sees.
    async fn put_healed(self: &Rc<Self>, healing: Healing) -> Result<bool, DriveError> {
        let _permit = self.maintenance.take(1).await;
        let data = healing.old.data;
        let same = match self.settled_fragment(data).await {
            Ok(found) => self.check_log_room().map(|()| found.as_ref() == Some(&healing.old)),
            Err(error) => Err(error),
        };
        if same != Ok(true) {
            self.space.borrow_mut().give_back(data);
            return same;
        }
        {
            let mut space = self.space.borrow_mut();
            healing.bad.iter().for_each(|segment| space.quarantine(*segment));
        }
        let record = Relocate { new: healing.new, old: Some(healing.old) };
        let done = self.append(Record::Relocate(record));
        done.await.unwrap_or(Err(DriveError::Failed))?;
        self.fragments.borrow_mut().forget_map(data);
        self.counters.healed.set(self.counters.healed.get() + 1);
        Ok(true)
    }
}

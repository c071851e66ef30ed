//! What a drive that catches up holds and the in-sync ones do not: absence on them wins (rule 7).
//!
//! Invariants: data goes only once no compared key refers to it, at the end; where it is not known
//! what some object is made of, none goes.

use super::entries::{order_of, replaced_runs, settled};
use super::{Found, KEYS_AT_ONCE, SPACES, Way};
use crate::SetConfig;
use crate::error::SetError;
use crate::message::Peers;
use bytes::Bytes;
use engine_format::{Entry, IndexKey, Keyspace, Mutation, Order};
use engine_types::{DataId, Sequence};
use futures_util::stream::{self, TryStreamExt};

impl<P: Peers> Way<'_, P> {
    /// What the drive holds and the drives in sync do not: absence on them wins (rule 7). First, so
    /// that a full drive has room for what it lacks.
    pub(super) async fn remove_absent(&self) -> Result<(), SetError> {
        for space in SPACES {
            let (mut at, end) = (vec![space as u8], vec![space as u8 + 1]);
            loop {
                let page = self.scan(self.position, at, end.clone()).await?;
                let entries = stream::iter(page.entries.into_iter().map(Ok));
                let removed = entries.try_for_each_concurrent(KEYS_AT_ONCE, |(key, entry)| {
                    self.remove_if_absent(space, key, entry)
                });
                removed.await?;
                match page.next {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Fragments no compared key refers to.
    pub(super) async fn find_extra(&self) -> Result<(), SetError> {
        let (mut at, end) = (vec![Keyspace::Fragments as u8], vec![Keyspace::Fragments as u8 + 1]);
        loop {
            let page = self.scan(self.position, at, end.clone()).await?;
            let found = page.entries.iter().filter_map(|(key, _)| IndexKey(key.clone()).data_id());
            let Found { wanted, extra, .. } = &mut *self.found.borrow_mut();
            extra.extend(found.filter(|data| !wanted.contains(data)));
            match page.next {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }

    /// Releases what is not wanted after all: a write that failed names data it did not replace.
    pub(super) async fn release_extra(&self) -> Result<(), SetError> {
        let mut extra = {
            let mut found = self.found.borrow_mut();
            let mut extra = std::mem::take(&mut found.extra);
            if found.keeps_extra {
                return Ok(());
            }
            extra.retain(|data| !found.wanted.contains(data));
            extra
        };
        extra.sort_unstable();
        extra.dedup();
        for chunk in extra.chunks(1000) {
            self.release(chunk.to_vec()).await?;
        }
        Ok(())
    }

    async fn release(&self, releases: Vec<DataId>) -> Result<(), SetError> {
        if releases.is_empty() {
            return Ok(());
        }
        let mut commit = settled(Sequence::ZERO, Order::new(&[]), Vec::new(), Bytes::new());
        commit.releases = releases;
        self.send(commit, None).await
    }

    async fn remove_if_absent(
        &self,
        space: Keyspace,
        key: Vec<u8>,
        entry: Entry,
    ) -> Result<(), SetError> {
        let value = entry.value.as_deref().ok_or(SetError::Unavailable)?;
        let order = order_of(space, value)?;
        let suffix = &key[2..];
        let owner = SetConfig::owner(&order, self.installed.active).ok_or(SetError::Unavailable)?;
        let rank = order.rank(owner).ok_or(SetError::Unavailable)?;
        if self.get(owner, IndexKey::ranked(space, rank, suffix).0).await?.is_some() {
            return Ok(());
        }
        let sequence = entry.sequence;
        self.delete(space, suffix.to_vec(), order, sequence).await?;
        // A part that became part of an object is wanted still; what is left over goes at the end.
        let data = replaced_runs(space, Some((entry, None)));
        if space == Keyspace::Current { self.release(data).await } else { Ok(()) }
    }

    pub(super) async fn delete(
        &self,
        space: Keyspace,
        suffix: Vec<u8>,
        order: Order,
        sequence: Sequence,
    ) -> Result<(), SetError> {
        self.found.borrow_mut().done.deleted += 1;
        let mutation = Mutation { space, suffix, value: None, has_payload: false };
        self.send(settled(sequence, order, vec![mutation], Bytes::new()), None).await
    }
}

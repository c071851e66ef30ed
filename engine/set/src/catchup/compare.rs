//! What a drive that catches up lacks: every key the in-sync drives lead, its entry, payload and
//! fragments.
//!
//! Invariants: only the owner of a key knows what is settled; an entry comes before its fragments,
//! since what it replaces makes room; what no drive can read is counted, unless one is away that
//! may bring it back.

use super::entries::{holders_of, needs_payload, order_of, replaced_runs, runs_of, settled};
use super::{KEYS_AT_ONCE, SPACES, Way};
use crate::SetConfig;
use crate::decide::copy_fragment;
use crate::error::SetError;
use crate::message::{DriveReply, DriveRequest, Peers};
use bytes::Bytes;
use engine_format::{Entry, IndexKey, Keyspace, Mutation, Order};
use engine_store::FragmentPlan;
use engine_types::{DataId, FragmentIndex, Geometry, Position, Sequence};
use futures_util::stream::{self, TryStreamExt};

/// The state of a key on an in-sync drive that leads it.
struct Led {
    space: Keyspace,
    suffix: Vec<u8>,
    order: Order,
    entry: Entry,
    payload: Option<Vec<u8>>,
}

/// A payload that was looked for.
enum Sought {
    Found(Vec<u8>),
    /// The key was written again meanwhile: its owner recorded it.
    Newer,
    /// Nobody can read it any more.
    Lost,
}

impl<P: Peers> Way<'_, P> {
    /// Every key the in-sync drives lead.
    pub(super) async fn compare_all(&self) -> Result<(), SetError> {
        let config = self.coordinator.config;
        let out = usize::from(config.set_size) - self.installed.active.len();
        let ranks = u8::try_from((out + 1).min(config.quorums.metadata)).unwrap_or(u8::MAX);
        for owner in self.installed.active.iter() {
            for space in SPACES {
                for rank in 0..ranks {
                    let mut at = vec![space as u8, rank];
                    let end = vec![space as u8, rank + 1];
                    loop {
                        let page = self.scan(owner, at, end.clone()).await?;
                        let entries = stream::iter(page.entries.into_iter().map(Ok));
                        let compared = entries
                            .try_for_each_concurrent(KEYS_AT_ONCE, |(key, entry)| {
                                self.compare_led(owner, space, key, entry)
                            });
                        compared.await?;
                        // What is written meanwhile is not left to pile up.
                        self.compare_dirty().await?;
                        match page.next {
                            Some(next) => at = next,
                            None => break,
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn compare_led(
        &self,
        owner: Position,
        space: Keyspace,
        key: Vec<u8>,
        entry: Entry,
    ) -> Result<(), SetError> {
        let value = entry.value.as_deref().ok_or(SetError::Unavailable)?;
        let order = order_of(space, value)?;
        if SetConfig::owner(&order, self.installed.active) != Some(owner) {
            return Ok(());
        }
        let suffix = key[2..].to_vec();
        let payload = match needs_payload(space, value, self.position)? {
            false => None,
            true => match self.payload(owner, &suffix, &order, &entry).await? {
                Sought::Found(payload) => Some(payload),
                Sought::Newer => return Ok(()),
                Sought::Lost => {
                    self.note_unreadable(space, &suffix);
                    None
                }
            },
        };
        self.compare(Led { space, suffix, order, entry, payload }).await
    }

    fn note_unreadable(&self, space: Keyspace, suffix: &[u8]) {
        let done = &mut self.found.borrow_mut().done;
        if done.unreadable == 0 {
            done.unreadable_first = match IndexKey::parse_current(suffix) {
                Some((bucket, key)) if space == Keyspace::Current => {
                    format!("object {key} of bucket {bucket}")
                }
                _ => "a part of an upload".to_owned(),
            };
        }
        done.unreadable += 1;
    }

    /// The payload of an object that `owner` leads from any drive that holds it, also from the one
    /// that comes back.
    async fn payload(
        &self,
        owner: Position,
        suffix: &[u8],
        order: &Order,
        entry: &Entry,
    ) -> Result<Sought, SetError> {
        let mut asked = self.installed.active;
        asked.insert(self.position);
        let mut all_answered = true;
        for position in asked.iter() {
            match self.object_on(position, suffix, order).await {
                Ok(Some((found, Some(payload)))) if found.sequence == entry.sequence => {
                    return Ok(Sought::Found(payload));
                }
                Ok(_) => {}
                Err(_) => all_answered = false,
            }
        }
        if !self.is_still(owner, suffix, order, entry).await? {
            return Ok(Sought::Newer);
        }
        let is_lost = all_answered && self.coordinator.is_nobody_away();
        if is_lost { Ok(Sought::Lost) } else { Err(SetError::Unavailable) }
    }

    async fn object_on(
        &self,
        position: Position,
        suffix: &[u8],
        order: &Order,
    ) -> Result<Option<(Entry, Option<Vec<u8>>)>, SetError> {
        let rank = order.rank(position).ok_or(SetError::Unavailable)?;
        self.get(position, IndexKey::ranked(Keyspace::Current, rank, suffix).0).await
    }

    /// Whether the owner of an object still has this very entry. Only it knows what is settled.
    async fn is_still(
        &self,
        owner: Position,
        suffix: &[u8],
        order: &Order,
        entry: &Entry,
    ) -> Result<bool, SetError> {
        let found = self.object_on(owner, suffix, order).await?;
        Ok(found.is_some_and(|(found, _)| found.sequence == entry.sequence))
    }

    /// Makes a key on the drive what it is on the drives in sync. The entry comes first: what it
    /// replaces makes room for its fragments.
    async fn compare(&self, led: Led) -> Result<(), SetError> {
        self.found.borrow_mut().done.compared += 1;
        let Some(rank) = led.order.rank(self.position) else { return Ok(()) };
        let value = led.entry.value.clone().ok_or(SetError::Unavailable)?;
        let mut runs = match runs_of(led.space, &value, led.payload.as_deref()) {
            Ok(runs) => runs,
            // Its part table is lost.
            Err(_) if led.payload.is_none() => {
                self.found.borrow_mut().keeps_extra = true;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        runs.retain(|(_, geometry, _)| usize::from(rank) < geometry.width());
        self.found.borrow_mut().wanted.extend(runs.iter().map(|(data, ..)| *data));
        if usize::from(rank) < self.coordinator.config.quorums.metadata {
            self.compare_entry(&led, rank, &value).await?;
        }
        let mut is_whole = true;
        for (data, geometry, run_bytes) in runs {
            is_whole &= self.compare_fragment(&led, data, geometry, run_bytes).await?;
        }
        if !is_whole {
            self.note_unreadable(led.space, &led.suffix);
        }
        Ok(())
    }

    async fn compare_entry(&self, led: &Led, rank: u8, value: &[u8]) -> Result<(), SetError> {
        let is_holder = holders_of(led.space, value)?.contains(self.position);
        let key = IndexKey::ranked(led.space, rank, &led.suffix).0;
        let found = self.get(self.position, key).await.unwrap_or(None);
        let same = found.as_ref().is_some_and(|(entry, payload)| {
            entry.sequence == led.entry.sequence
                && entry.value.as_deref() == Some(value)
                && (!is_holder || payload.is_some())
        });
        if same {
            return Ok(());
        }
        let payload =
            led.payload.clone().filter(|_| is_holder).map(Bytes::from).unwrap_or_default();
        let mutation = Mutation {
            space: led.space,
            suffix: led.suffix.clone(),
            value: Some(value.to_vec()),
            has_payload: !payload.is_empty(),
        };
        self.found.borrow_mut().done.written += 1;
        let (sequence, order) = (led.entry.sequence, led.order.clone());
        let mut commit = settled(sequence, order, vec![mutation], payload);
        commit.releases = replaced_runs(led.space, found);
        commit.releases.retain(|data| !self.found.borrow().wanted.contains(data));
        // A drive too full for it says so; its log must not wait for room that never comes.
        let payload_bytes = commit.payload.len() as u64;
        if payload_bytes > 0 {
            let epoch = self.installed.view.epoch;
            self.ask(self.position, DriveRequest::PromisePayload(epoch, payload_bytes)).await?;
        }
        self.send(commit, None).await
    }

    /// `false` where the fragment cannot be rebuilt any more.
    async fn compare_fragment(
        &self,
        led: &Led,
        data: DataId,
        geometry: Geometry,
        run_bytes: u64,
    ) -> Result<bool, SetError> {
        let reply = self.ask(self.position, DriveRequest::FragmentRecord(data)).await?;
        let rank = led.order.rank(self.position).ok_or(SetError::Unavailable)?;
        if let DriveReply::Fragment(Some(record)) = &reply
            && record.index.0 == rank
        {
            return Ok(true);
        }
        let plan = FragmentPlan {
            data,
            index: FragmentIndex(rank),
            geometry,
            object_bytes: run_bytes,
            heals: true,
        };
        let sources: Vec<(usize, Position)> = led
            .order
            .iter()
            .enumerate()
            .take(geometry.width())
            .filter(|(_, position)| self.installed.active.contains(*position))
            .collect();
        let epoch = self.installed.view.epoch;
        self.ask(self.position, DriveRequest::Reserve(epoch, plan)).await?;
        let (peers, position) = (self.peers(), self.position);
        let copied = copy_fragment(peers, &plan, &sources, position, self.class.get()).await;
        if let Err(error) = copied {
            self.ask(self.position, DriveRequest::Discard(data)).await?;
            return self.is_gone(led, &plan, &sources).await?.ok_or(error);
        }
        self.found.borrow_mut().done.rebuilt += 1;
        let commit = settled(led.entry.sequence, led.order.clone(), Vec::new(), Bytes::new());
        self.send(commit, Some(data)).await?;
        Ok(true)
    }

    /// A fragment could not be rebuilt. `Some(true)`: its key was written again meanwhile;
    /// `Some(false)`: too few fragments are left, and always will be; `None`: it may work yet.
    async fn is_gone(
        &self,
        led: &Led,
        plan: &FragmentPlan,
        sources: &[(usize, Position)],
    ) -> Result<Option<bool>, SetError> {
        let mut whole = 0;
        for (_, source) in sources {
            let request = DriveRequest::VerifyFragment(plan.data, self.class.get());
            let reply = self.ask(*source, request).await?;
            whole += usize::from(matches!(reply, DriveReply::Was(true)));
        }
        let owner = SetConfig::owner(&led.order, self.installed.active);
        let owner = owner.ok_or(SetError::Unavailable)?;
        let rank = led.order.rank(owner).ok_or(SetError::Unavailable)?;
        let key = IndexKey::ranked(led.space, rank, &led.suffix).0;
        // In this order: what a newer write released was readable before that write was seen.
        match self.get(owner, key).await? {
            Some((entry, _)) if entry.sequence == led.entry.sequence => {
                let is_lost =
                    whole < usize::from(plan.geometry.data) && self.coordinator.is_nobody_away();
                Ok(is_lost.then_some(false))
            }
            _ => Ok(Some(true)),
        }
    }

    /// A key that was written while the drive caught up.
    pub(super) async fn compare_written(
        &self,
        (space, suffix): (Keyspace, Vec<u8>),
        order: Order,
    ) -> Result<(), SetError> {
        let owner = SetConfig::owner(&order, self.installed.active).ok_or(SetError::Unavailable)?;
        let rank = order.rank(owner).ok_or(SetError::Unavailable)?;
        let metadata = self.coordinator.config.quorums.metadata;
        let own_rank = order.rank(self.position).map_or(usize::MAX, usize::from);
        let key = IndexKey::ranked(space, rank, &suffix).0;
        match self.get(owner, key.clone()).await? {
            Some((entry, _)) => self.compare_led(owner, space, key, entry).await,
            None if own_rank < metadata => self.delete(space, suffix, order, Sequence::ZERO).await,
            None => Ok(()),
        }
    }
}

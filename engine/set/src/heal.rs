//! Healing: what a member finds rotten on its own drive it writes anew, and an owner brings back
//! fragments that are not where they should be.
//!
//! Invariants: nobody waits for a heal, so that its bytes are background work of the drives; one at
//! a time and a bounded list of them; a heal changes nothing that was written or deleted meanwhile:
//! on its own drive a member compares before it puts (`engine-store`), on another's the owner holds
//! the key; what is rebuilt comes from fragments and payloads whose sums hold.

use crate::catchup::settled;
use crate::decide::{copy_fragment, rebuild_range};
use crate::error::SetError;
use crate::get::{Found, Source};
use crate::member::{Inner, Member};
use crate::message::{DriveReply, DriveRequest, Peers, Prepare};
use bytes::Bytes;
use engine_env::{Env, IoClass};
use engine_format::{IndexKey, ObjectRecord, Order};
use engine_store::{DriveError, FragmentPlan, Healing};
use engine_types::{DataId, FragmentIndex, Position, Sequence};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::rc::Rc;

/// More than this is found again by the next reader, or by a scrub.
const HEALS_MAX: usize = 256;
/// A heal that failed is tried again after this, the next time after twice as long,
const RETRY_US: u64 = 2_000_000;
/// and so on up to this: it may wait for a drive to come back.
const RETRY_US_MAX: u64 = 600_000_000;
/// How often the list is looked through while all of it waits.
const LOOK_US: u64 = 100_000;
/// A piece of a fragment that is healed; a multiple of what stands under one sum.
const PIECE_BYTES: u64 = 256 << 10;

/// What must be healed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rotten {
    /// A fragment on this drive.
    Fragment(DataId),
    /// The payload of an entry of this drive, by its index key.
    Payload(Vec<u8>),
    /// A fragment that a drive in sync should hold and does not, of the object with this suffix.
    Missing(Vec<u8>, DataId, Position),
}

/// What is to be healed.
#[derive(Default)]
pub(crate) struct Heals {
    /// And when it is tried, and how long it waits after that.
    waiting: BTreeMap<Rotten, (u64, u64)>,
    is_running: bool,
    /// Fragments brought back to drives that had no record of them.
    restored: u64,
}

impl Heals {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Room for one more: what failed again and again goes first. `false`: there is none.
    fn make_room(&mut self) -> bool {
        if self.len() < HEALS_MAX {
            return true;
        }
        let longest = self.waiting.iter().max_by_key(|(_, (_, pause_us))| *pause_us);
        match longest.filter(|(_, (_, pause_us))| *pause_us > RETRY_US) {
            Some((rotten, _)) => {
                let rotten = rotten.clone();
                self.waiting.remove(&rotten);
                true
            }
            None => false,
        }
    }

    fn next(&self) -> Option<(Rotten, u64)> {
        let next = self.waiting.iter().min_by_key(|(_, (at_us, _))| *at_us);
        next.map(|(rotten, (at_us, _))| (rotten.clone(), *at_us))
    }
}

impl<E: Env, P: Peers> Member<E, P> {
    /// Fragments this owner brought back to drives in sync that had no record of them. Rot brings
    /// none about, for a drive whose records are rotten serves nobody.
    #[must_use]
    pub fn restored_fragments(&self) -> u64 {
        self.inner.heals.borrow().restored
    }
}

impl<E: Env, P: Peers> Inner<E, P> {
    /// Has something healed soon; nobody waits for it.
    pub(crate) fn want_heal(self: &Rc<Self>, rotten: Rotten) {
        {
            let mut heals = self.heals.borrow_mut();
            if heals.waiting.contains_key(&rotten) || !heals.make_room() {
                return;
            }
            heals.waiting.insert(rotten, (0, RETRY_US));
            if std::mem::replace(&mut heals.is_running, true) {
                return;
            }
        }
        let inner = Rc::clone(self);
        self.env.spawn(async move { inner.heal_all().await });
    }

    async fn heal_all(self: Rc<Self>) {
        loop {
            let next = self.heals.borrow().next();
            let is_over = self.store.failed().is_some();
            let Some((rotten, at_us)) = next.filter(|_| !is_over) else {
                // What a failed drive holds is compared, or rebuilt, before it serves again.
                let mut heals = self.heals.borrow_mut();
                heals.waiting.clear();
                heals.is_running = false;
                return;
            };
            let now_us = self.env.now_us();
            if at_us > now_us {
                self.env.sleep_us(LOOK_US.min(at_us - now_us)).await;
                continue;
            }
            let outcome = self.heal(&rotten).await;
            let mut heals = self.heals.borrow_mut();
            match outcome {
                Ok(()) => _ = heals.waiting.remove(&rotten),
                Err(_) => {
                    if let Some((at_us, pause_us)) = heals.waiting.get_mut(&rotten) {
                        *at_us = self.env.now_us() + *pause_us;
                        *pause_us = (*pause_us * 2).min(RETRY_US_MAX);
                    }
                }
            }
        }
    }

    /// Heals something, unless there is nothing to heal (any more).
    pub(crate) async fn heal(self: &Rc<Self>, rotten: &Rotten) -> Result<(), SetError> {
        match rotten {
            Rotten::Fragment(data) => self.heal_fragment(*data).await,
            Rotten::Payload(key) => self.heal_payload(key).await,
            Rotten::Missing(suffix, data, position) => {
                self.restore_fragment(suffix, *data, *position).await
            }
        }
    }

    async fn heal_fragment(&self, data: DataId) -> Result<(), SetError> {
        if self.store.with_class(IoClass::Background).verify_fragment(data).await? {
            return Ok(());
        }
        let Some(mut healing) = self.store.begin_heal(data).await? else { return Ok(()) };
        match self.refill(&mut healing).await {
            Ok(()) => {
                self.store.finish_heal(healing).await?;
                Ok(())
            }
            Err(error) => {
                self.store.give_up_heal(healing);
                Err(error)
            }
        }
    }

    /// Writes what can be read from where it was, the rest from the other drives.
    async fn refill(&self, healing: &mut Healing) -> Result<(), SetError> {
        let (plan, class) = (healing.plan(), IoClass::Background);
        let store = self.store.with_class(class);
        let sources = self.sources_of(&plan).await;
        let fragment_bytes = plan.geometry.fragment_bytes(plan.object_bytes);
        let mut at = 0;
        while at < fragment_bytes {
            let len = (fragment_bytes - at).min(PIECE_BYTES) as usize;
            let read = store.read_fragment(plan.data, at, len).await;
            let was_bad = read.is_err();
            let bytes = match read {
                Ok((_, bytes)) => bytes,
                Err(DriveError::Format(_)) => {
                    rebuild_range(&self.peers, &plan, &sources, (at, len), class).await?
                }
                Err(error) => return Err(error.into()),
            };
            store.write_heal(healing, &bytes[..len], was_bad).await?;
            at += len as u64;
        }
        Ok(())
    }

    /// The other active drives that hold a fragment of the same run: rank and position.
    async fn sources_of(&self, plan: &FragmentPlan) -> Vec<(usize, Position)> {
        let active = self.view().active;
        let others = active.iter().filter(|position| *position != self.position);
        let calls = others.map(|position| {
            let call = self.peers.call(position, DriveRequest::FragmentRecord(plan.data));
            async move { (position, call.await) }
        });
        let mut sources = Vec::new();
        for (position, outcome) in join_all(calls).await {
            if let Ok(DriveReply::Fragment(Some(record))) = outcome
                && record.geometry == plan.geometry
                && record.object_bytes == plan.object_bytes
            {
                sources.push((usize::from(record.index.0), position));
            }
        }
        sources
    }

    async fn heal_payload(&self, key: &[u8]) -> Result<(), SetError> {
        let class = IoClass::Background;
        let entry = match self.store.with_class(class).get_with_payload(key).await {
            Ok(_) => return Ok(()),
            Err(DriveError::Format(_)) => self.store.get(key).await?,
            Err(error) => return Err(error.into()),
        };
        let Some(entry) = entry else { return Ok(()) };
        let value = entry.value.as_deref().unwrap_or_default();
        let record = ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?;
        let (order, suffix) = (record.order.clone(), key.get(2..).unwrap_or_default());
        let found = self.with_payload_elsewhere(&order, suffix, record, class).await?;
        let payload = found.and_then(|(_, payload)| payload).ok_or(SetError::Unavailable)?;
        self.store.heal_payload(key, &entry, Bytes::from(payload)).await?;
        Ok(())
    }

    /// Brings a fragment back to a drive in sync that has no record of it. A copy is made first;
    /// whether it is still wanted is decided while nobody else writes the key.
    async fn restore_fragment(
        self: &Rc<Self>,
        suffix: &[u8],
        data: DataId,
        position: Position,
    ) -> Result<(), SetError> {
        let Some((bucket, key)) = IndexKey::parse_current(suffix) else { return Ok(()) };
        let order = self.config.order(bucket, key.as_bytes());
        let view = match self.check_owner(&order, suffix, true) {
            // Its new owner's readers find it again.
            Err(SetError::NotOwner) => return Ok(()),
            other => other?,
        };
        let epoch = view.view.epoch;
        if !view.active.contains(position) {
            return Ok(());
        }
        let Some(lost) = self.lost(&order, suffix, data, position).await? else { return Ok(()) };
        let sources: Vec<(usize, Position)> = order
            .iter()
            .enumerate()
            .take(lost.plan.geometry.width())
            .filter(|(_, other)| *other != position && view.active.contains(*other))
            .collect();
        self.peers.call(position, DriveRequest::Reserve(epoch, lost.plan)).await?;
        let class = IoClass::Background;
        let copied = copy_fragment(&self.peers, &lost.plan, &sources, position, class).await;
        let guard = self.locks.lock(suffix.to_vec()).await;
        let outcome = match copied {
            Ok(()) if self.view().view.epoch != epoch => Err(SetError::Unavailable),
            Ok(()) => self.lost(&order, suffix, data, position).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Some(lost)) => {
                let commit = settled(lost.sequence, order, Vec::new(), Bytes::new());
                let prepare = Prepare { epoch, marks: Vec::new(), commit, adopt: Some(data) };
                let prepare = DriveRequest::Prepare(Box::new(prepare));
                self.peers.call(position, prepare).await?;
                self.heals.borrow_mut().restored += 1;
            }
            Ok(None) => _ = self.peers.call(position, DriveRequest::Discard(data)).await?,
            Err(error) => {
                self.peers.call(position, DriveRequest::Discard(data)).await?;
                return Err(error);
            }
        }
        drop(guard);
        Ok(())
    }

    /// What a position should hold of a run of the object at a key; `None` where the object has no
    /// such run any more, or the position holds it.
    async fn lost(
        self: &Rc<Self>,
        order: &Order,
        suffix: &[u8],
        data: DataId,
        position: Position,
    ) -> Result<Option<Lost>, SetError> {
        let Some((record, payload)) = self.current(order, suffix).await? else { return Ok(None) };
        let sequence = record.sequence;
        let found = Found::new(record, payload, suffix)?;
        let of_run = |source: &Source| source.data == data;
        let Some(run) = found.sources().into_iter().find(of_run) else { return Ok(None) };
        let rank = order.rank(position).filter(|rank| usize::from(*rank) < run.geometry.width());
        let Some(rank) = rank else { return Ok(None) };
        let held = self.peers.call(position, DriveRequest::FragmentRecord(data)).await?;
        if matches!(held, DriveReply::Fragment(Some(_))) {
            return Ok(None);
        }
        let plan = FragmentPlan {
            data,
            index: FragmentIndex(rank),
            geometry: run.geometry,
            object_bytes: run.run_bytes,
            heals: true,
        };
        Ok(Some(Lost { plan, sequence }))
    }
}

/// A fragment that is not where it should be.
struct Lost {
    plan: FragmentPlan,
    /// The write of its object.
    sequence: Sequence,
}

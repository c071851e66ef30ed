//! How an owner commits: one sequence, every in-sync position, then the answer.
//!
//! Invariants: the key is locked from the look at its old state to the end; space is promised on
//! all positions before the sequence is assigned (rule 20); a write is answered only when every
//! in-sync position has it durable (rule 1); a failure leaves it to the next change of view to
//! decide (rule 2), and the caller learns only that the outcome is unknown.

use crate::error::SetError;
use crate::heal::Rotten;
use crate::member::{Inner, Member};
use crate::message::{Dirty, DriveReply, DriveRequest, Installed, Peers, Prepare};
use bytes::Bytes;
use engine_env::sync::KeyGuard;
use engine_env::{Env, IoClass, Rule};
use engine_format::{
    Commit, CommitData, IndexKey, Keyspace, Mutation, ObjectRecord, Order, PartTable, Storage,
};
use engine_store::DriveError;
use engine_types::{BucketId, DataId, Epoch, ErrorClass, Key, PositionSet, Sequence};
use futures_util::future::join_all;
use std::rc::Rc;

/// A key in the hands of its owner: locked, under one view.
pub(crate) struct Held {
    pub order: Order,
    pub view: Rc<Installed>,
    pub suffix: Vec<u8>,
    /// Held until dropped.
    pub _guard: KeyGuard<Vec<u8>>,
}

/// What a write changes.
pub(crate) struct Change {
    pub mutations: Vec<Mutation>,
    pub data: CommitData,
    pub payload: Bytes,
    /// Positions that hold the payload.
    pub holders: PositionSet,
    /// The fragments each position of `fragment_positions` adopts.
    pub adopt: Option<DataId>,
    pub fragment_positions: PositionSet,
    pub releases: Vec<DataId>,
    /// Positions that hold something of what is released.
    pub release_positions: PositionSet,
}

impl Change {
    /// A change of index entries alone.
    pub(crate) fn of(mutations: Vec<Mutation>) -> Self {
        Self {
            mutations,
            data: CommitData::None,
            payload: Bytes::new(),
            holders: PositionSet::EMPTY,
            adopt: None,
            fragment_positions: PositionSet::EMPTY,
            releases: Vec::new(),
            release_positions: PositionSet::EMPTY,
        }
    }
}

impl<E: Env, P: Peers> Member<E, P> {
    /// Waits for the key and checks that this member owns it.
    pub(crate) async fn hold(&self, bucket: BucketId, key: &Key) -> Result<Held, SetError> {
        let inner = &self.inner;
        let order = inner.config.order(bucket, key.as_bytes());
        let suffix = IndexKey::current_suffix(bucket, key.as_bytes());
        inner.check_owner(&order, &suffix, true)?;
        let guard = inner.locks.lock(suffix.clone()).await;
        let view = inner.check_owner(&order, &suffix, true)?;
        Ok(Held { order, view, suffix, _guard: guard })
    }
}

impl<E: Env, P: Peers> Inner<E, P> {
    /// The view in force, if this member owns keys of this order under it.
    pub(crate) fn check_owner(
        &self,
        order: &Order,
        suffix: &[u8],
        for_write: bool,
    ) -> Result<Rc<Installed>, SetError> {
        let view = self.view();
        if view.serving && for_write && view.reads_only {
            return Err(SetError::ReadsOnly);
        }
        if !view.serving || (for_write && !view.writable) {
            return Err(SetError::Unavailable);
        }
        if crate::SetConfig::owner(order, view.active) != Some(self.position) {
            return Err(SetError::NotOwner);
        }
        let rank = order.rank(self.position).map(usize::from);
        if rank.is_none_or(|rank| rank >= self.config.quorums.metadata) {
            // Nobody who answers holds metadata of the key.
            return Err(SetError::Unavailable);
        }
        let refuses = !self.env.breaks(Rule::UndecidedRefused);
        if refuses && view.undecided.iter().any(|undecided| undecided == suffix) {
            return Err(SetError::Unavailable);
        }
        Ok(view)
    }

    /// The first M positions of the order that are in sync.
    pub(crate) fn metadata_positions(&self, order: &Order, view: &Installed) -> PositionSet {
        order.first(self.config.quorums.metadata).and(view.view.in_sync)
    }

    /// P + 1 in-sync metadata positions, in order: who holds a payload (rule 6).
    pub(crate) fn holders(&self, order: &Order, view: &Installed) -> PositionSet {
        let metadata = self.metadata_positions(order, view);
        let few = self.env.breaks(Rule::InlineHolders);
        let wanted = if few { 1 } else { usize::from(self.config.geometry.parity) + 1 };
        order.iter().filter(|position| metadata.contains(*position)).take(wanted).collect()
    }

    /// The in-sync positions that hold fragments of keys of this order.
    pub(crate) fn fragment_positions(&self, order: &Order, view: &Installed) -> PositionSet {
        order.first(self.config.geometry.width()).and(view.view.in_sync)
    }

    /// The record of the object at a key this member owns, with its payload.
    pub(crate) async fn current(
        self: &Rc<Self>,
        order: &Order,
        suffix: &[u8],
    ) -> Result<Option<(ObjectRecord, Option<Vec<u8>>)>, SetError> {
        let Some(rank) = order.rank(self.position) else { return Err(SetError::NotOwner) };
        let key = IndexKey::ranked(Keyspace::Current, rank, suffix).0;
        let found = self.store.get_with_payload(&key).await;
        let (entry, payload) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => return self.current_elsewhere(order, suffix, error).await,
        };
        let Some(value) = entry.value else { return Ok(None) };
        let record = ObjectRecord::decode(&value).map_err(|_| SetError::Unavailable)?;
        let needs_payload = matches!(record.storage, Storage::Inline | Storage::Parts);
        if needs_payload && payload.is_none() {
            let class = IoClass::Foreground;
            return self.with_payload_elsewhere(order, suffix, record, class).await;
        }
        Ok(Some((record, payload)))
    }

    /// As `current`, for who writes the key: what nobody can read any more may be written again and
    /// deleted. Its payload is then missing.
    pub(crate) async fn replaceable(
        self: &Rc<Self>,
        order: &Order,
        suffix: &[u8],
    ) -> Result<Option<(ObjectRecord, Option<Vec<u8>>)>, SetError> {
        let failed = match self.current(order, suffix).await {
            Err(SetError::Unavailable) => SetError::Unavailable,
            outcome => return outcome,
        };
        let rank = order.rank(self.position).ok_or(SetError::NotOwner)?;
        let key = IndexKey::ranked(Keyspace::Current, rank, suffix).0;
        let Some(value) = self.store.get(&key).await?.and_then(|entry| entry.value) else {
            return Err(failed);
        };
        let record = ObjectRecord::decode(&value).map_err(|_| SetError::Unavailable)?;
        let is_gone = match record.storage {
            Storage::Inline => true,
            Storage::Parts => self.is_nowhere(order, suffix, record.holders).await,
            _ => false,
        };
        if is_gone { Ok(Some((record, None))) } else { Err(failed) }
    }

    /// Whether all holders in sync say that they cannot read a part table. It says what to release:
    /// one that may come back is waited for.
    async fn is_nowhere(&self, order: &Order, suffix: &[u8], holders: PositionSet) -> bool {
        let view = self.view();
        for position in holders.and(view.view.in_sync).iter() {
            let Some(rank) = order.rank(position) else { return false };
            let key = IndexKey::ranked(Keyspace::Current, rank, suffix).0;
            match self.peers.call(position, DriveRequest::Get(key, IoClass::Foreground)).await {
                Ok(_) => {}
                Err(error) if error.class() == ErrorClass::Corrupt => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// The owner's own copy cannot be read: the payload may be rotten, the entry is asked of the
    /// other holders of the key.
    async fn current_elsewhere(
        self: &Rc<Self>,
        order: &Order,
        suffix: &[u8],
        error: engine_store::DriveError,
    ) -> Result<Option<(ObjectRecord, Option<Vec<u8>>)>, SetError> {
        let Some(rank) = order.rank(self.position) else { return Err(SetError::NotOwner) };
        let key = IndexKey::ranked(Keyspace::Current, rank, suffix).0;
        // An unreadable index fails the drive: nobody may guess what it would have said.
        let entry = match self.store.get(&key).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(None),
            Err(_) => {
                self.store.fail(error);
                self.report_trouble();
                return Err(SetError::Unavailable);
            }
        };
        if matches!(error, DriveError::Format(_)) {
            self.want_heal(Rotten::Payload(key));
        }
        let value = entry.value.ok_or(SetError::Unavailable)?;
        let record = ObjectRecord::decode(&value).map_err(|_| SetError::Unavailable)?;
        self.with_payload_elsewhere(order, suffix, record, IoClass::Foreground).await
    }

    pub(crate) async fn with_payload_elsewhere(
        &self,
        order: &Order,
        suffix: &[u8],
        record: ObjectRecord,
        class: IoClass,
    ) -> Result<Option<(ObjectRecord, Option<Vec<u8>>)>, SetError> {
        let view = self.view();
        for position in record.holders.and(view.active).iter() {
            if position == self.position {
                continue;
            }
            let Some(rank) = order.rank(position) else { continue };
            let key = IndexKey::ranked(Keyspace::Current, rank, suffix).0;
            let reply = self.peers.call(position, DriveRequest::Get(key, class)).await;
            if let Ok(DriveReply::Entry(Some((entry, Some(payload))))) = reply
                && entry.sequence == record.sequence
            {
                return Ok(Some((record, Some(payload))));
            }
        }
        Err(SetError::Unavailable)
    }

    /// All data ids an object refers to.
    pub(crate) fn data_of(
        record: &ObjectRecord,
        payload: Option<&[u8]>,
    ) -> Result<Vec<DataId>, SetError> {
        match record.storage {
            Storage::Empty | Storage::Inline => Ok(Vec::new()),
            Storage::Fragments(data, _) => Ok(vec![data]),
            Storage::Parts => {
                let table = PartTable::decode(payload.ok_or(SetError::Unavailable)?)
                    .map_err(|_| SetError::Unavailable)?;
                let with_bytes = table.parts.iter().filter(|part| part.size_bytes > 0);
                Ok(with_bytes.map(|part| part.data).collect())
            }
        }
    }

    /// Commits a change of a held key.
    pub(crate) async fn commit(
        self: &Rc<Self>,
        held: &Held,
        change: impl FnOnce(Sequence) -> Change,
    ) -> Result<Sequence, SetError> {
        let view = &held.view;
        // The view may have changed while the caller prepared the change.
        if self.view().view.epoch != view.view.epoch || !self.view().writable {
            return Err(SetError::Unavailable);
        }
        let sequence = self.next_sequence(view);
        let mut change = change(sequence);
        let dirty = Dirty {
            order: held.order.clone(),
            entries: change.mutations.iter().map(|m| (m.space, m.suffix.clone())).collect(),
            releases: change.releases.clone(),
        };
        change.mutations.sort_by(|a, b| (a.space, &a.suffix).cmp(&(b.space, &b.suffix)));
        let metadata = self.metadata_positions(&held.order, view);
        let positions = metadata
            .or(change.fragment_positions)
            .or(change.release_positions.and(view.view.in_sync));
        let marks = self.mark_due();
        if let Some(mark) = marks.first() {
            self.owner.borrow_mut().told = mark.through;
        }
        {
            let mut owner = self.owner.borrow_mut();
            if self.view().record_dirty {
                owner.dirty.push(dirty.clone());
            }
            owner.in_flight.insert(sequence, dirty);
        }
        let calls: Vec<_> = positions
            .iter()
            .map(|position| {
                let is_metadata = metadata.contains(position);
                let is_holder = change.holders.contains(position);
                let commit = Commit {
                    sequence,
                    settled: false,
                    order: held.order.clone(),
                    positions,
                    missing: self.config.all().minus(view.view.in_sync),
                    holders: change.holders,
                    data: change.data,
                    mutations: mutations_for(&change.mutations, is_metadata, is_holder),
                    adopts: Vec::new(),
                    releases: change.releases.clone(),
                    payload: if is_holder { change.payload.clone() } else { Bytes::new() },
                };
                let adopt = change.adopt.filter(|_| change.fragment_positions.contains(position));
                let prepare =
                    Prepare { epoch: view.view.epoch, marks: marks.clone(), commit, adopt };
                self.peers.call(position, DriveRequest::Prepare(Box::new(prepare)))
            })
            .collect();
        let outcomes = join_all(self.waited_for(positions, calls)).await;
        if self.view().view.epoch != view.view.epoch || !self.view().serving {
            // The next view has decided this write, or will.
            return Err(SetError::Unavailable);
        }
        self.hear(&outcomes);
        if outcomes.iter().any(Result::is_err) {
            self.stop_writing();
            // A fence is no trouble: the change of view under way decides the write.
            if outcomes.iter().any(|o| matches!(o, Err(e) if *e != DriveError::Fenced)) {
                self.report_trouble();
            }
            return Err(SetError::Unavailable);
        }
        self.settle(sequence);
        Ok(sequence)
    }

    /// All calls; in the twin that answers too early only the one to the owner's own drive.
    fn waited_for<T>(&self, positions: PositionSet, mut calls: Vec<T>) -> Vec<T> {
        if self.env.breaks(Rule::AnswerSettled) {
            let own = positions.iter().position(|position| position == self.position);
            calls.swap(0, own.unwrap_or_default());
            calls.truncate(1);
        }
        calls
    }

    fn next_sequence(&self, view: &Installed) -> Sequence {
        let mut owner = self.owner.borrow_mut();
        owner.counter += 1;
        if self.env.breaks(Rule::SequenceEpoch) {
            owner.counter = owner.counter.max(self.env.now_us());
            return Sequence { epoch: Epoch(1), owner: self.position, counter: owner.counter };
        }
        Sequence { epoch: view.view.epoch, owner: self.position, counter: owner.counter }
    }

    fn settle(self: &Rc<Self>, sequence: Sequence) {
        {
            let mut owner = self.owner.borrow_mut();
            owner.in_flight.remove(&sequence);
            owner.newest_settled = owner.newest_settled.max(sequence);
        }
        self.store.settled(sequence);
        self.schedule_mark();
    }

    /// A data id nobody ever had: epoch, owner and a counter of this opening.
    pub(crate) fn next_data_id(&self, view: &Installed) -> DataId {
        let mut owner = self.owner.borrow_mut();
        owner.data_counter += 1;
        let fresh = !self.env.breaks(Rule::DataIdsFresh);
        let epoch = if fresh { view.view.epoch } else { Epoch(1) };
        let id = Sequence { epoch, owner: self.position, counter: owner.data_counter };
        DataId(id.to_sortable_bytes())
    }
}

/// What a position logs of the mutations: nothing without metadata; a payload only on holders.
fn mutations_for(all: &[Mutation], is_metadata: bool, is_holder: bool) -> Vec<Mutation> {
    if !is_metadata {
        return Vec::new();
    }
    all.iter()
        .map(|mutation| Mutation {
            has_payload: mutation.has_payload && is_holder,
            ..mutation.clone()
        })
        .collect()
}

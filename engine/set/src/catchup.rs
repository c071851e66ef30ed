//! How a drive outside the view comes back: everything it should hold is compared with what the
//! in-sync drives hold, both ways, and made equal; then a new view admits it (rules 6, 7).
//!
//! Invariants: the whole state of a key is compared, never record by record; what the in-sync
//! drives do not have goes; keys written meanwhile are recorded by their owners and compared again
//! while writes stand still; a replaced (empty) drive takes the same way.

use crate::SetConfig;
use crate::decide::copy_fragment;
use crate::error::SetError;
use crate::message::{Dirty, DriveReply, DriveRequest, Installed, Peers, Prepare};
use crate::view::{Change, Coordinator};
use bytes::Bytes;
use engine_format::{
    Commit, CommitData, Entry, IndexKey, Keyspace, Mutation, ObjectRecord, Order, PartRecord,
    PartTable, Storage, UploadRecord,
};
use engine_store::{FragmentPlan, ScanPage};
use engine_types::{DataId, FragmentIndex, Geometry, Position, PositionSet, Sequence};
use std::collections::BTreeSet;

const PAGE_ENTRIES: usize = 256;
const ROUNDS_MAX: usize = 8;
const FEW_WRITES: usize = 64;
const SPACES: [Keyspace; 3] = [Keyspace::Current, Keyspace::Uploads, Keyspace::Parts];

/// What catching up has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CatchUp {
    /// Keys compared.
    pub compared: u64,
    /// Entries written to the drive.
    pub written: u64,
    /// Entries deleted from it.
    pub deleted: u64,
    /// Fragments rebuilt on it.
    pub rebuilt: u64,
}

/// The state of a key on an in-sync drive that leads it.
struct Led {
    space: Keyspace,
    suffix: Vec<u8>,
    order: Order,
    entry: Entry,
    payload: Option<Vec<u8>>,
}

/// One drive's way back.
struct Way<'a, P: Peers> {
    coordinator: &'a Coordinator<P>,
    installed: &'a Installed,
    position: Position,
    /// Data ids the drive must hold.
    wanted: BTreeSet<DataId>,
    /// Data ids it held and need not.
    extra: Vec<DataId>,
    done: CatchUp,
}

impl<P: Peers> Coordinator<P> {
    /// Brings a drive that is outside the view up to date and admits it.
    ///
    /// # Errors
    /// `Unavailable` where the drive or the set fails meanwhile; to be tried again after a change
    /// of view.
    pub async fn catch_up(
        &self,
        position: Position,
        installed: &Installed,
    ) -> Result<(CatchUp, Change), SetError> {
        // Its undecided writes are decided by now: what of them holds, the others have.
        let reply = self.peers.call(position, DriveRequest::Fence).await?;
        let DriveReply::Hello(hello) = reply else { return Err(SetError::Unavailable) };
        let pending: Vec<Sequence> = hello.unsettled.iter().map(|commit| commit.sequence).collect();
        if !pending.is_empty() {
            self.peers.call(position, DriveRequest::Abort(pending)).await?;
        }
        let mut recording = installed.clone();
        recording.record_dirty = true;
        let mut all = installed.active;
        all.insert(position);
        self.install(&recording, all).await;
        let mut way = Way {
            coordinator: self,
            installed,
            position,
            wanted: BTreeSet::new(),
            extra: Vec::new(),
            done: CatchUp::default(),
        };
        way.remove_absent().await?;
        way.compare_all().await?;
        way.find_extra().await?;
        // What is written while it catches up is compared again, round by round, so that little
        // is left for the moment when writes stand still.
        for _ in 0..ROUNDS_MAX {
            if way.compare_dirty(installed.active).await? < FEW_WRITES {
                break;
            }
        }
        let still = self.change(PositionSet::EMPTY, true).await?;
        if still.installed.active != installed.active {
            return Err(SetError::Unavailable);
        }
        way.installed = &still.installed;
        // What was wanted before a key was written again may be wanted no more: the keys compared
        // now say anew.
        way.compare_dirty(still.installed.active).await?;
        way.release_extra().await?;
        let done = way.done;
        self.peers.call(position, DriveRequest::Rebuilt).await?;
        let mut admit = PositionSet::EMPTY;
        admit.insert(position);
        let change = self.change_view(admit).await?;
        Ok((done, change))
    }
}

impl<P: Peers> Way<'_, P> {
    fn peers(&self) -> &P {
        &self.coordinator.peers
    }

    async fn get(
        &self,
        position: Position,
        key: Vec<u8>,
    ) -> Result<Option<(Entry, Option<Vec<u8>>)>, SetError> {
        match self.peers().call(position, DriveRequest::Get(key)).await {
            Ok(DriveReply::Entry(found)) => Ok(found),
            _ => Err(SetError::Unavailable),
        }
    }

    async fn scan(
        &self,
        position: Position,
        start: Vec<u8>,
        end: Vec<u8>,
    ) -> Result<ScanPage, SetError> {
        match self.peers().call(position, DriveRequest::Scan(start, end, PAGE_ENTRIES)).await {
            Ok(DriveReply::Page(page)) => Ok(page),
            _ => Err(SetError::Unavailable),
        }
    }

    /// Compares what was written since the last look; gives how many writes.
    async fn compare_dirty(&mut self, owners: PositionSet) -> Result<usize, SetError> {
        let mut written = Vec::new();
        for owner in owners.iter() {
            let reply = self.peers().call(owner, DriveRequest::TakeDirty).await?;
            let DriveReply::Dirty(dirty) = reply else { return Err(SetError::Unavailable) };
            written.extend(dirty);
        }
        let count = written.len();
        for written in written {
            for data in &written.releases {
                self.wanted.remove(data);
            }
            self.extra.extend(&written.releases);
            self.compare_written(written).await?;
        }
        Ok(count)
    }

    /// Every key the in-sync drives lead.
    async fn compare_all(&mut self) -> Result<(), SetError> {
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
                        for (key, entry) in page.entries {
                            self.compare_led(owner, space, key, entry).await?;
                        }
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
        &mut self,
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
        let payload = match needs_payload(space, value)? {
            false => None,
            true => match self.payload(space, &suffix, &order, &entry).await? {
                // Written again meanwhile: its owner recorded it.
                None => return Ok(()),
                found => found,
            },
        };
        self.compare(Led { space, suffix, order, entry, payload }).await
    }

    /// The payload of an entry from any active holder; `None` where all have a newer entry.
    async fn payload(
        &self,
        space: Keyspace,
        suffix: &[u8],
        order: &Order,
        entry: &Entry,
    ) -> Result<Option<Vec<u8>>, SetError> {
        let mut newer = false;
        for position in self.installed.active.iter() {
            let Some(rank) = order.rank(position) else { continue };
            let key = IndexKey::ranked(space, rank, suffix).0;
            match self.get(position, key).await {
                Ok(Some((found, Some(payload)))) if found.sequence == entry.sequence => {
                    return Ok(Some(payload));
                }
                Ok(Some((found, _))) if found.sequence == entry.sequence => {}
                Ok(_) => newer = true,
                Err(_) => {}
            }
        }
        if newer { Ok(None) } else { Err(SetError::Unavailable) }
    }

    /// Makes a key on the drive what it is on the drives in sync. The entry comes first: what it
    /// replaces makes room for its fragments.
    async fn compare(&mut self, led: Led) -> Result<(), SetError> {
        self.done.compared += 1;
        let Some(rank) = led.order.rank(self.position) else { return Ok(()) };
        let value = led.entry.value.clone().ok_or(SetError::Unavailable)?;
        let mut runs = runs_of(led.space, &value, led.payload.as_deref())?;
        runs.retain(|(_, geometry, _)| usize::from(rank) < geometry.width());
        self.wanted.extend(runs.iter().map(|(data, ..)| *data));
        if usize::from(rank) < self.coordinator.config.quorums.metadata {
            self.compare_entry(&led, rank, &value).await?;
        }
        for (data, geometry, run_bytes) in runs {
            self.compare_fragment(&led, data, geometry, run_bytes).await?;
        }
        Ok(())
    }

    async fn compare_entry(&mut self, led: &Led, rank: u8, value: &[u8]) -> Result<(), SetError> {
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
        self.done.written += 1;
        let (sequence, order) = (led.entry.sequence, led.order.clone());
        let mut commit = settled(sequence, order, vec![mutation], payload);
        commit.releases = replaced_runs(led.space, found);
        commit.releases.retain(|data| !self.wanted.contains(data));
        self.send(commit, None).await
    }

    async fn compare_fragment(
        &mut self,
        led: &Led,
        data: DataId,
        geometry: Geometry,
        run_bytes: u64,
    ) -> Result<(), SetError> {
        let reply = self.peers().call(self.position, DriveRequest::FragmentRecord(data)).await?;
        let rank = led.order.rank(self.position).ok_or(SetError::Unavailable)?;
        if let DriveReply::Fragment(Some(record)) = &reply
            && record.index.0 == rank
        {
            return Ok(());
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
        self.peers().call(self.position, DriveRequest::Reserve(epoch, plan)).await?;
        let copied = copy_fragment(self.peers(), &plan, &sources, self.position).await;
        if let Err(error) = copied {
            self.peers().call(self.position, DriveRequest::Discard(data)).await?;
            return self.gone_meanwhile(led, error).await;
        }
        self.done.rebuilt += 1;
        let commit = settled(led.entry.sequence, led.order.clone(), Vec::new(), Bytes::new());
        self.send(commit, Some(data)).await
    }

    /// A fragment could not be rebuilt: fine if its key was written again meanwhile.
    async fn gone_meanwhile(&self, led: &Led, error: SetError) -> Result<(), SetError> {
        let owner = SetConfig::owner(&led.order, self.installed.active);
        let owner = owner.ok_or(SetError::Unavailable)?;
        let rank = led.order.rank(owner).ok_or(SetError::Unavailable)?;
        let key = IndexKey::ranked(led.space, rank, &led.suffix).0;
        match self.get(owner, key).await? {
            Some((entry, _)) if entry.sequence == led.entry.sequence => Err(error),
            _ => Ok(()),
        }
    }

    async fn send(&self, commit: Commit, adopt: Option<DataId>) -> Result<(), SetError> {
        let epoch = self.installed.view.epoch;
        let prepare = Prepare { epoch, marks: Vec::new(), commit, adopt };
        self.peers().call(self.position, DriveRequest::Prepare(Box::new(prepare))).await?;
        Ok(())
    }

    /// What the drive holds and the drives in sync do not: absence on them wins (rule 7). First, so
    /// that a full drive has room for what it lacks.
    async fn remove_absent(&mut self) -> Result<(), SetError> {
        for space in SPACES {
            let (mut at, end) = (vec![space as u8], vec![space as u8 + 1]);
            loop {
                let page = self.scan(self.position, at, end.clone()).await?;
                for (key, entry) in page.entries {
                    self.remove_if_absent(space, &key, entry).await?;
                }
                match page.next {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Fragments no compared key refers to.
    async fn find_extra(&mut self) -> Result<(), SetError> {
        let (mut at, end) = (vec![Keyspace::Fragments as u8], vec![Keyspace::Fragments as u8 + 1]);
        loop {
            let page = self.scan(self.position, at, end.clone()).await?;
            let found = page.entries.iter().filter_map(|(key, _)| IndexKey(key.clone()).data_id());
            self.extra.extend(found.filter(|data| !self.wanted.contains(data)));
            match page.next {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }

    /// Releases what is not wanted after all: a write that failed names data it did not replace.
    async fn release_extra(&mut self) -> Result<(), SetError> {
        let mut extra = std::mem::take(&mut self.extra);
        extra.retain(|data| !self.wanted.contains(data));
        extra.sort_unstable();
        extra.dedup();
        for chunk in extra.chunks(1000) {
            self.release(chunk.to_vec()).await?;
        }
        Ok(())
    }

    async fn release(&mut self, releases: Vec<DataId>) -> Result<(), SetError> {
        if releases.is_empty() {
            return Ok(());
        }
        let mut commit = settled(Sequence::ZERO, Order::new(&[]), Vec::new(), Bytes::new());
        commit.releases = releases;
        self.send(commit, None).await
    }

    async fn remove_if_absent(
        &mut self,
        space: Keyspace,
        key: &[u8],
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

    async fn delete(
        &mut self,
        space: Keyspace,
        suffix: Vec<u8>,
        order: Order,
        sequence: Sequence,
    ) -> Result<(), SetError> {
        self.done.deleted += 1;
        let mutation = Mutation { space, suffix, value: None, has_payload: false };
        self.send(settled(sequence, order, vec![mutation], Bytes::new()), None).await
    }

    /// A key that was written while the drive caught up.
    async fn compare_written(&mut self, written: Dirty) -> Result<(), SetError> {
        let owner =
            SetConfig::owner(&written.order, self.installed.active).ok_or(SetError::Unavailable)?;
        let rank = written.order.rank(owner).ok_or(SetError::Unavailable)?;
        let metadata = self.coordinator.config.quorums.metadata;
        let own_rank = written.order.rank(self.position).map_or(usize::MAX, usize::from);
        for (space, suffix) in written.entries {
            let key = IndexKey::ranked(space, rank, &suffix).0;
            match self.get(owner, key.clone()).await? {
                Some((entry, _)) => self.compare_led(owner, space, key, entry).await?,
                None if own_rank < metadata => {
                    let order = written.order.clone();
                    self.delete(space, suffix, order, Sequence::ZERO).await?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// A write that is settled elsewhere, for one position.
fn settled(sequence: Sequence, order: Order, mutations: Vec<Mutation>, payload: Bytes) -> Commit {
    Commit {
        sequence,
        settled: true,
        order,
        positions: PositionSet::EMPTY,
        missing: PositionSet::EMPTY,
        holders: PositionSet::EMPTY,
        data: CommitData::None,
        mutations,
        adopts: Vec::new(),
        releases: Vec::new(),
        payload,
    }
}

/// The runs an entry that is replaced refers to; those of a part table go with what is left over.
fn replaced_runs(space: Keyspace, found: Option<(Entry, Option<Vec<u8>>)>) -> Vec<DataId> {
    let Some((entry, payload)) = found else { return Vec::new() };
    let Some(value) = entry.value else { return Vec::new() };
    let runs = runs_of(space, &value, payload.as_deref()).unwrap_or_default();
    runs.into_iter().map(|(data, ..)| data).collect()
}

fn order_of(space: Keyspace, value: &[u8]) -> Result<Order, SetError> {
    let order = match space {
        Keyspace::Current => ObjectRecord::decode(value).map(|record| record.order),
        Keyspace::Uploads => UploadRecord::decode(value).map(|record| record.order),
        _ => PartRecord::decode(value).map(|record| record.order),
    };
    order.map_err(|_| SetError::Unavailable)
}

fn needs_payload(space: Keyspace, value: &[u8]) -> Result<bool, SetError> {
    if space != Keyspace::Current {
        return Ok(false);
    }
    let record = ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?;
    Ok(matches!(record.storage, Storage::Inline | Storage::Parts))
}

fn holders_of(space: Keyspace, value: &[u8]) -> Result<PositionSet, SetError> {
    if space != Keyspace::Current {
        return Ok(PositionSet::EMPTY);
    }
    Ok(ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?.holders)
}

/// The runs of bytes an entry refers to.
fn runs_of(
    space: Keyspace,
    value: &[u8],
    payload: Option<&[u8]>,
) -> Result<Vec<(DataId, Geometry, u64)>, SetError> {
    match space {
        Keyspace::Current => {
            let record = ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?;
            match record.storage {
                Storage::Empty | Storage::Inline => Ok(Vec::new()),
                Storage::Fragments(data, geometry) => Ok(vec![(data, geometry, record.size_bytes)]),
                Storage::Parts => {
                    let table = PartTable::decode(payload.ok_or(SetError::Unavailable)?)
                        .map_err(|_| SetError::Unavailable)?;
                    let parts = table.parts.into_iter().filter(|part| part.size_bytes > 0);
                    Ok(parts.map(|part| (part.data, part.geometry, part.size_bytes)).collect())
                }
            }
        }
        Keyspace::Parts => {
            let entry = PartRecord::decode(value).map_err(|_| SetError::Unavailable)?.entry;
            let has_bytes = entry.size_bytes > 0;
            Ok(has_bytes
                .then_some((entry.data, entry.geometry, entry.size_bytes))
                .into_iter()
                .collect())
        }
        _ => Ok(Vec::new()),
    }
}

//! The decision about every unsettled write (rule 2).
//!
//! Invariants: a write some in-sync drive holds a mark for is settled; of the others, one that can
//! be read (D verified fragments, or one payload, or nothing to read) is made whole on every
//! in-sync position it belongs to; one that cannot, and that some answering in-sync position never
//! had, was never acknowledged and is aborted; otherwise nobody may guess, and its key answers 503:
//! until more drives are back, or, where those that had the rest were replaced, until it is written
//! again.

use crate::error::SetError;
use crate::message::{DriveReply, DriveRequest, Peers, Prepare};
use crate::view::{Coordinator, Hellos};
use bytes::Bytes;
use engine_env::{DmaBuf, IoClass, Rule};
use engine_format::{Commit, CommitData, IndexKey, Keyspace, Mark, PeerKnown, View};
use engine_store::FragmentPlan;
use engine_types::{DataId, FragmentIndex, Geometry, Position, PositionSet, Sequence};
use futures_util::future::join_all;
use std::collections::BTreeMap;

/// The unsettled writes of a set, one decision at a time.
pub(crate) struct Decisions<'a, P: Peers> {
    coordinator: &'a Coordinator<P>,
    view: &'a View,
    /// In sync and answering.
    active: PositionSet,
    pub undecided: Vec<Vec<u8>>,
    /// The writes that stay undecided, with all that is known of them.
    pub held: Vec<Commit>,
    pub rolled_forward: u64,
    pub aborted: u64,
    /// Writes that may have been acknowledged, and that nobody can read any more.
    pub lost: u64,
    /// What the active drives had made durable once they had the marks of what was decided.
    pub durable: BTreeMap<Position, PeerKnown>,
}

/// What the active drives say of a write.
#[derive(Default)]
struct Judged {
    /// It can be read.
    whole: bool,
    /// Drives that hold its record with bytes that are not whole.
    damaged: PositionSet,
    /// Drives that hold its record and cannot say.
    unknown: PositionSet,
}

/// A write and the positions that have it.
struct Unsettled {
    /// By position: each logs its own variant (payload, mutations).
    copies: BTreeMap<Position, Commit>,
}

impl Unsettled {
    fn any(&self) -> Option<&Commit> {
        // A copy with mutations is from a metadata position and says most.
        self.copies.values().max_by_key(|commit| (commit.mutations.len(), commit.payload.len()))
    }

    /// All that is known of it, with its payload where somebody has that.
    fn merged(&self) -> Option<Commit> {
        let mut merged = self.any()?.clone();
        if let Some(with) = self.copies.values().find(|copy| !copy.payload.is_empty()) {
            merged.payload = with.payload.clone();
            merged.mutations.clone_from(&with.mutations);
        }
        Some(merged)
    }

    fn bare(&self) -> PositionSet {
        let is_bare = |(position, copy): &(&Position, &Commit)| is_bare(copy, **position);
        self.copies.iter().filter(is_bare).map(|(position, _)| *position).collect()
    }
}

/// Whether a position has the record of a write without the bytes that belong to it: it was told of
/// the write when it joined the view.
pub(crate) fn is_bare(copy: &Commit, position: Position) -> bool {
    match copy.data {
        CommitData::None => false,
        CommitData::Payload => copy.holders.contains(position) && copy.payload.is_empty(),
        CommitData::Fragments(data, geometry, _) => {
            copy.order.first(geometry.width()).contains(position)
                && copy.adopts.iter().all(|fragment| fragment.data != data)
        }
    }
}

/// What a position logs of a write that is not settled, of which all is known that anybody knows.
pub(crate) fn variant_for(merged: &Commit, metadata: PositionSet, position: Position) -> Commit {
    let mut copy = merged.clone();
    copy.adopts.clear();
    if !metadata.contains(position) {
        copy.mutations.clear();
    }
    if !copy.holders.contains(position) || copy.payload.is_empty() {
        copy.payload = Bytes::new();
        for mutation in &mut copy.mutations {
            mutation.has_payload = false;
        }
    }
    copy
}

impl<'a, P: Peers> Decisions<'a, P> {
    pub(crate) fn new(
        coordinator: &'a Coordinator<P>,
        view: &'a View,
        active: PositionSet,
    ) -> Self {
        Self {
            coordinator,
            view,
            active,
            undecided: Vec::new(),
            held: Vec::new(),
            rolled_forward: 0,
            aborted: 0,
            lost: 0,
            durable: BTreeMap::new(),
        }
    }

    pub(crate) async fn run(&mut self, hellos: &Hellos) -> Result<(), SetError> {
        let mut marks: BTreeMap<Position, Sequence> = BTreeMap::new();
        let mut writes: BTreeMap<Sequence, Unsettled> = BTreeMap::new();
        for (position, hello) in hellos {
            if !self.active.contains(*position) {
                continue;
            }
            for mark in &hello.marks {
                let newest = marks.entry(mark.owner).or_insert(*mark);
                *newest = (*newest).max(*mark);
            }
            for commit in &hello.unsettled {
                let write = writes
                    .entry(commit.sequence)
                    .or_insert_with(|| Unsettled { copies: BTreeMap::new() });
                write.copies.insert(*position, commit.clone());
            }
        }
        // Settled means on every drive of the view (rule 1): while one of them is away nothing new
        // is decided, for it may hold what the others lack, or lack what they hold.
        let is_whole_view = self.active == self.view.in_sync;
        let mut open = Vec::new();
        let mut through = marks.clone();
        for (sequence, write) in &writes {
            let settled = marks.get(&sequence.owner).is_some_and(|mark| mark >= sequence);
            if !settled && (is_whole_view || self.breaks(Rule::UndecidedWaits)) {
                let (aborted, held) = (self.aborted, self.held.len());
                self.decide(*sequence, write).await?;
                if self.aborted == aborted && self.held.len() == held {
                    open.push(write);
                }
            } else if !settled {
                self.hold_back(write);
            }
            let newest = through.entry(sequence.owner).or_insert(*sequence);
            *newest = (*newest).max(*sequence);
        }
        if self.undecided.is_empty() {
            return self.mark_decided(&through).await;
        }
        // Marks must not pass over what is undecided; what was decided beside it stays unmarked,
        // and so unseen, and answers 503 too.
        for write in open {
            self.hold_back(write);
        }
        self.mark_decided(&marks).await
    }

    async fn mark_decided(
        &mut self,
        through: &BTreeMap<Position, Sequence>,
    ) -> Result<(), SetError> {
        let marks: Vec<Mark> = through.values().map(|through| Mark { through: *through }).collect();
        if marks.is_empty() {
            return Ok(());
        }
        self.everywhere(|| DriveRequest::Mark(marks.clone())).await
    }

    /// Sends something to every active drive and waits until it is durable there.
    async fn everywhere(&mut self, request: impl Fn() -> DriveRequest) -> Result<(), SetError> {
        let calls = self.active.iter().map(|position| self.peers().call(position, request()));
        if self.breaks(Rule::DecisionDurable) {
            calls.for_each(drop);
            return Ok(());
        }
        let outcomes = join_all(calls).await;
        for outcome in outcomes {
            if let DriveReply::Durable(known) = outcome? {
                self.durable.insert(known.position, known);
            }
        }
        Ok(())
    }

    fn peers(&self) -> &P {
        &self.coordinator.peers
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.peers().breaks(rule)
    }

    async fn decide(&mut self, sequence: Sequence, write: &Unsettled) -> Result<(), SetError> {
        let Some(commit) = write.any() else { return Ok(()) };
        // A drive that joined the view since was caught up with what was settled then: what is
        // decided now it needs too, but that it lacks it proves nothing.
        let mut belongs = commit.order.first(self.coordinator.config.quorums.metadata);
        if let CommitData::Fragments(_, geometry, _) = commit.data {
            belongs = belongs.or(commit.order.first(geometry.width()));
        }
        let asked = self.coordinator.asked(commit, self.view, self.active);
        let involved = asked.or(belongs.and(self.active));
        let have: PositionSet = write.copies.keys().copied().collect();
        let lacking = involved.minus(have);
        let quorum = self.coordinator.config.quorums.metadata_write;
        if have.minus(write.bare()).len() < quorum && self.breaks(Rule::DecideAny) {
            return self.abort(sequence).await;
        }
        let judged = self.judge(commit, write).await?;
        let unfit = lacking.or(judged.damaged).or(judged.unknown).or(write.bare());
        if judged.whole {
            let behind = if self.breaks(Rule::RollForward) { PositionSet::EMPTY } else { unfit };
            for position in behind.iter() {
                self.roll_forward(commit, write, position).await?;
            }
            self.rolled_forward += u64::from(!unfit.is_empty());
            return Ok(());
        }
        if self.breaks(Rule::DecideReadable) {
            return Ok(());
        }
        let never_there = !lacking.and(asked).is_empty() || !judged.damaged.is_empty();
        let may_abort = never_there && judged.unknown.is_empty();
        if may_abort || self.breaks(Rule::UndecidedWaits) {
            return self.abort(sequence).await;
        }
        if !judged.unknown.is_empty() {
            self.hold_back(write);
            return Ok(());
        }
        self.settle_lost(commit, write, lacking).await
    }

    /// Every drive it was sent to and that is still one of the set has the write, and it cannot be
    /// read: others had the rest, and have been replaced. It may have been acknowledged, so nobody
    /// may answer what was before it; its key answers 503 until it is written again.
    async fn settle_lost(
        &mut self,
        commit: &Commit,
        write: &Unsettled,
        lacking: PositionSet,
    ) -> Result<(), SetError> {
        if !self.is_known(commit, write) {
            // Nobody is left who knows its key, or anything older of that key.
            return self.abort(commit.sequence).await;
        }
        for position in lacking.iter() {
            self.prepare(commit, write, position, None).await?;
        }
        self.lost += 1;
        Ok(())
    }

    /// Whether somebody has the write with what it changes: the others only know of its bytes.
    fn is_known(&self, commit: &Commit, write: &Unsettled) -> bool {
        let metadata = commit.order.first(self.coordinator.config.quorums.metadata);
        write.copies.keys().any(|position| metadata.contains(*position))
    }

    /// The key of a write answers 503 until more drives are back.
    fn hold_back(&mut self, write: &Unsettled) {
        let mutations = || write.copies.values().flat_map(|commit| &commit.mutations);
        let current = mutations().find(|mutation| mutation.space == Keyspace::Current);
        let upload = || mutations().find(|mutation| mutation.space == Keyspace::Uploads);
        let key = current.map(|mutation| mutation.suffix.clone()).or_else(|| {
            let (bucket, key, _) = IndexKey::parse_upload(&upload()?.suffix)?;
            Some(IndexKey::current_suffix(bucket, key.as_bytes()))
        });
        // A part does not tell its key.
        self.undecided.push(key.unwrap_or_default());
        self.held.extend(write.merged());
    }

    async fn abort(&mut self, sequence: Sequence) -> Result<(), SetError> {
        self.everywhere(|| DriveRequest::Abort(vec![sequence])).await?;
        self.aborted += 1;
        Ok(())
    }

    /// Whether the write can be read from the active drives.
    async fn judge(&self, commit: &Commit, write: &Unsettled) -> Result<Judged, SetError> {
        match commit.data {
            CommitData::None => {
                // A copy without metadata knows what is released and not what is written.
                Ok(Judged { whole: self.is_known(commit, write), ..Judged::default() })
            }
            CommitData::Payload => {
                let whole = write.copies.values().any(|copy| !copy.payload.is_empty());
                Ok(Judged { whole, ..Judged::default() })
            }
            CommitData::Fragments(data, geometry, _) => {
                let holders: Vec<Position> = write
                    .copies
                    .iter()
                    .filter(|(_, copy)| copy.adopts.iter().any(|f| f.data == data))
                    .map(|(position, _)| *position)
                    .collect();
                let calls = holders.iter().map(|position| {
                    let request = DriveRequest::VerifyFragment(data, IoClass::Foreground);
                    self.peers().call(*position, request)
                });
                let mut judged = Judged::default();
                for (position, outcome) in holders.iter().zip(join_all(calls).await) {
                    match outcome {
                        Ok(DriveReply::Was(true)) => {}
                        Ok(_) => judged.damaged.insert(*position),
                        // What cannot be read proves nothing.
                        Err(_) => judged.unknown.insert(*position),
                    }
                }
                let bad = judged.damaged.or(judged.unknown).len();
                judged.whole = self.is_known(commit, write)
                    && holders.len() - bad >= usize::from(geometry.data);
                Ok(judged)
            }
        }
    }

    /// Makes the write whole on a position.
    async fn roll_forward(
        &self,
        commit: &Commit,
        write: &Unsettled,
        position: Position,
    ) -> Result<(), SetError> {
        if write.copies.contains_key(&position) && !write.bare().contains(position) {
            // Its record is there and its fragment is not: void the record, then send both anew. One
            // that was only told of it must know of it all the time.
            self.peers().call(position, DriveRequest::Abort(vec![commit.sequence])).await?;
        }
        let mut adopt = None;
        if let CommitData::Fragments(data, geometry, run_bytes) = commit.data {
            let rank = commit.order.rank(position).map(usize::from);
            if let Some(rank) = rank.filter(|rank| *rank < geometry.width()) {
                let run = Run { data, geometry, run_bytes, commit };
                self.rebuild_fragment(&run, write, rank, position).await?;
                adopt = Some(data);
            }
        }
        self.prepare(commit, write, position, adopt).await
    }

    /// Sends a position its variant of a write.
    async fn prepare(
        &self,
        commit: &Commit,
        write: &Unsettled,
        position: Position,
        adopt: Option<DataId>,
    ) -> Result<(), SetError> {
        let metadata = commit.order.first(self.coordinator.config.quorums.metadata);
        let Some(merged) = write.merged() else { return Ok(()) };
        let copy = variant_for(&merged, metadata, position);
        let prepare = Prepare { epoch: self.view.epoch, marks: Vec::new(), commit: copy, adopt };
        self.peers().call(position, DriveRequest::Prepare(Box::new(prepare))).await?;
        Ok(())
    }

    async fn rebuild_fragment(
        &self,
        run: &Run<'_>,
        write: &Unsettled,
        rank: usize,
        position: Position,
    ) -> Result<(), SetError> {
        let index = FragmentIndex(u8::try_from(rank).map_err(|_| SetError::Unavailable)?);
        let sources: Vec<(usize, Position)> = write
            .copies
            .iter()
            .filter(|(other, copy)| {
                **other != position && copy.adopts.iter().any(|f| f.data == run.data)
            })
            .filter_map(|(other, _)| Some((usize::from(run.commit.order.rank(*other)?), *other)))
            .collect();
        let plan = FragmentPlan {
            data: run.data,
            index,
            geometry: run.geometry,
            object_bytes: run.run_bytes,
            heals: true,
        };
        let reserve = DriveRequest::Reserve(self.view.epoch, plan);
        self.peers().call(position, reserve).await?;
        // The set stands still meanwhile.
        copy_fragment(self.peers(), &plan, &sources, position, IoClass::Foreground).await
    }
}

/// A run of bytes under decision.
struct Run<'a> {
    data: DataId,
    geometry: Geometry,
    run_bytes: u64,
    commit: &'a Commit,
}

/// Rebuilds a reserved fragment cell by cell from the fragments of `sources` (rank, position),
/// and finishes it.
pub(crate) async fn copy_fragment<P: Peers>(
    peers: &P,
    plan: &FragmentPlan,
    sources: &[(usize, Position)],
    position: Position,
    class: IoClass,
) -> Result<(), SetError> {
    let geometry = plan.geometry;
    let fragment_bytes = geometry.fragment_bytes(plan.object_bytes);
    let mut offset = 0;
    while offset < fragment_bytes {
        let len = (fragment_bytes - offset).min(u64::from(geometry.cell_bytes)) as usize;
        let cell = rebuild_range(peers, plan, sources, (offset, len), class).await?;
        peers.call(position, DriveRequest::Write(plan.data, cell, class)).await?;
        offset += len as u64;
    }
    peers.call(position, DriveRequest::Finish(plan.data)).await?;
    Ok(())
}

/// Rebuilds bytes of a fragment, `len` from `offset` on, from the same bytes of the fragments of
/// `sources` (rank, position).
pub(crate) async fn rebuild_range<P: Peers>(
    peers: &P,
    plan: &FragmentPlan,
    sources: &[(usize, Position)],
    (offset, len): (u64, usize),
    class: IoClass,
) -> Result<DmaBuf, SetError> {
    let codec = engine_codec::Codec::new(plan.geometry.data, plan.geometry.parity)
        .map_err(|_| SetError::Unavailable)?;
    let calls = sources.iter().map(|(rank, source)| {
        let request = DriveRequest::ReadFragment(plan.data, offset, len, class);
        let call = peers.call(*source, request);
        async move { (*rank, call.await) }
    });
    let mut present: Vec<(u8, DmaBuf)> = Vec::new();
    for (rank, outcome) in join_all(calls).await {
        if let Ok(DriveReply::Bytes(index, bytes)) = outcome
            && usize::from(index.0) == rank
        {
            present.push((index.0, bytes));
        }
    }
    if present.len() < usize::from(plan.geometry.data) {
        return Err(SetError::Unavailable);
    }
    let mut rebuilt = DmaBuf::zeroed(len);
    let slices: Vec<(u8, &[u8])> =
        present.iter().map(|(rank, bytes)| (*rank, &bytes[..])).collect();
    codec
        .reconstruct(&slices, &[plan.index.0], &mut [&mut rebuilt[..]])
        .map_err(|_| SetError::Unavailable)?;
    Ok(rebuilt)
}

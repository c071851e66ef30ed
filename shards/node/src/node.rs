//! The way to a node's shards from any thread.
//!
//! Invariants: snapshots (views, buckets) are immutable and replaced whole; an operation that
//! changes something is handed over once and runs to its end; only what had no effect is retried.

use crate::peers::NodePeers;
use crate::shard::{Job, Message, ShardLocal};
use crate::status::{DriveReport, NodeReport};
use bytes::Bytes;
use engine_env::{Arena, ArenaStatistics, Env};
use engine_set::{
    Installed, Member, PutFinish, PutTarget, SetConfig, SetError, SetListEntry, SetListPage,
    SetListQuery, SetUpload, Source,
};
use engine_types::{BucketId, DeploymentId, Key, ObjectInfo, Position, SetId, UploadId};
use futures_util::future::join_all;
use shards_control::BucketTable;
use shards_mailbox::Sender;
use shards_uring::RealEnv;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A member on a real shard.
pub type NodeMember = Member<RealEnv, NodePeers>;

/// Tries of what had no effect.
const TRIES: usize = 40;
/// Tries of a listing, each under one view.
const LIST_TRIES: usize = 4;
/// How long an operation waits for a view to be served.
const SERVING_WAIT_US: u64 = 10_000_000;

/// A body on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutId {
    pub(crate) shard: usize,
    pub(crate) id: u64,
}

/// How the pool is cut, fixed at format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub deployment: DeploymentId,
    pub set_count: u16,
    pub set_size: u8,
    pub parity: u8,
}

/// What all threads of a node share.
pub(crate) struct Shared {
    pub senders: Vec<Sender<Message>>,
    pub layout: OnceLock<(Layout, Vec<SetConfig>)>,
    routes: Mutex<BTreeMap<(SetId, Position), usize>>,
    views: Mutex<BTreeMap<SetId, Arc<Installed>>>,
    buckets: Mutex<Arc<BucketTable>>,
    troubled: Mutex<BTreeSet<SetId>>,
    reports: Mutex<BTreeMap<usize, DriveReport>>,
    arenas: Mutex<Vec<Arc<Arena>>>,
    /// It was said that io_uring does not know an arena.
    pub unregistered_said: AtomicBool,
    /// Drives being opened again or replaced: by one at a time.
    pub claimed: Mutex<BTreeSet<usize>>,
    pub view_changes: AtomicU64,
    /// Drives are about to fall silent because the node stops.
    pub stopping: AtomicBool,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(senders: Vec<Sender<Message>>) -> Self {
        Self {
            senders,
            layout: OnceLock::new(),
            routes: Mutex::default(),
            views: Mutex::default(),
            buckets: Mutex::default(),
            troubled: Mutex::default(),
            reports: Mutex::default(),
            arenas: Mutex::default(),
            unregistered_said: AtomicBool::new(false),
            claimed: Mutex::default(),
            view_changes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn shard_of(&self, set: SetId, position: Position) -> Option<usize> {
        locked(&self.routes).get(&(set, position)).copied()
    }

    pub(crate) fn route(&self, set: SetId, position: Position, shard: usize) {
        locked(&self.routes).insert((set, position), shard);
    }

    pub(crate) fn view(&self, set: SetId) -> Arc<Installed> {
        locked(&self.views).get(&set).cloned().unwrap_or_default()
    }

    pub(crate) fn publish(&self, set: SetId, installed: Installed) {
        self.view_changes.fetch_add(1, Ordering::Relaxed);
        locked(&self.views).insert(set, Arc::new(installed));
    }

    pub(crate) fn buckets(&self) -> Arc<BucketTable> {
        Arc::clone(&locked(&self.buckets))
    }

    pub(crate) fn trouble(&self, set: SetId) {
        locked(&self.troubled).insert(set);
    }

    pub(crate) fn take_trouble(&self, set: SetId) -> bool {
        locked(&self.troubled).remove(&set)
    }

    pub(crate) fn report(&self, drive: usize, change: impl FnOnce(&mut DriveReport)) {
        if let Some(report) = locked(&self.reports).get_mut(&drive) {
            change(report);
        }
    }

    pub(crate) fn add_arena(&self, arena: Arc<Arena>) {
        locked(&self.arenas).push(arena);
    }

    fn arena_statistics(&self) -> ArenaStatistics {
        let mut sum = ArenaStatistics::default();
        for arena in locked(&self.arenas).iter() {
            sum += arena.statistics();
        }
        sum
    }

    pub(crate) fn add_report(&self, drive: usize, report: DriveReport) {
        locked(&self.reports).insert(drive, report);
    }

    pub(crate) fn find_drive(&self, wanted: impl Fn(&DriveReport) -> bool) -> Option<usize> {
        let reports = locked(&self.reports);
        reports.iter().find(|(_, report)| wanted(report)).map(|(index, _)| *index)
    }

    pub(crate) fn config(&self, set: SetId) -> Result<SetConfig, SetError> {
        let (_, configs) = self.layout.get().ok_or(SetError::Unavailable)?;
        configs.get(usize::from(set.0)).copied().ok_or(SetError::Unavailable)
    }
}

/// A node's shards, from any thread.
#[derive(Clone)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
}

impl Node {
    /// The set a key lies in.
    ///
    /// # Errors
    /// `Unavailable` before the node has started.
    pub fn set_of(&self, bucket: BucketId, key: &Key) -> Result<SetId, SetError> {
        let (layout, _) = self.shared.layout.get().ok_or(SetError::Unavailable)?;
        let set_count = layout.set_count;
        Ok(engine_placement::set_of(layout.deployment, bucket, key.as_bytes(), set_count))
    }

    /// The deployment.
    #[must_use]
    pub fn deployment(&self) -> Option<DeploymentId> {
        self.shared.layout.get().map(|(layout, _)| layout.deployment)
    }

    /// Sets, drives of a set, parity.
    #[must_use]
    pub fn geometry(&self) -> Option<(u16, u8, u8)> {
        let (layout, _) = self.shared.layout.get()?;
        Some((layout.set_count, layout.set_size, layout.parity))
    }

    /// The buckets.
    #[must_use]
    pub fn buckets(&self) -> Arc<BucketTable> {
        self.shared.buckets()
    }

    /// Installs a bucket table on all threads: from here on no shard begins a change under the
    /// old one.
    pub fn install_buckets(&self, table: BucketTable) {
        *locked(&self.shared.buckets) = Arc::new(table);
    }

    /// Waits until every shard has ended the changes of a bucket that were under way.
    ///
    /// # Errors
    /// `Busy` or `Unavailable` where a shard could not be asked: it may still change the bucket.
    pub async fn drain_bucket(&self, bucket: BucketId) -> Result<(), SetError> {
        let waits = (0..self.shared.senders.len()).map(|shard| {
            self.run(shard, move |local| async move {
                local.drain(bucket).await;
            })
        });
        join_all(waits).await.into_iter().collect()
    }

    /// How the node is.
    #[must_use]
    pub fn report(&self) -> NodeReport {
        let drives = locked(&self.shared.reports).values().cloned().collect();
        let views = locked(&self.shared.views);
        let (mut ready, mut positions_out) = (self.shared.layout.get().is_some(), 0);
        if let Some((layout, _)) = self.shared.layout.get() {
            for set in 0..layout.set_count {
                let view = views.get(&SetId(set));
                ready &= view.is_some_and(|view| view.serving && view.writable);
                let active = view.map_or(0, |view| view.active.len());
                positions_out += usize::from(layout.set_size).saturating_sub(active);
            }
        }
        let view_changes = self.shared.view_changes.load(Ordering::Relaxed);
        let arenas = self.shared.arena_statistics();
        NodeReport { drives, ready, positions_out, view_changes, arenas }
    }

    /// Runs work on a shard. It runs to its end, also if this future is dropped.
    pub(crate) async fn run<R, F, Fut>(&self, shard: usize, work: F) -> Result<R, SetError>
    where
        R: Send + 'static,
        F: FnOnce(Rc<ShardLocal>) -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
    {
        let (reply, answer) = shards_mailbox::reply();
        let job: Job = Box::new(move |local| {
            let future = work(local);
            Box::pin(async move {
                _ = reply.send(future.await);
            })
        });
        let sender = self.shared.senders.get(shard).ok_or(SetError::Unavailable)?;
        if sender.try_send(Message::Job(job)).is_err() {
            return Err(SetError::Busy);
        }
        answer.await.map_err(|_| SetError::Unavailable)
    }

    /// Runs work at the owner of a key. What answers `NotOwner` had no effect and is tried again
    /// at the new owner.
    ///
    /// # Errors
    /// `NoSuchBucket` for a change in a bucket that is not open; whatever the work answers.
    pub async fn at_owner<R, F, Fut>(
        &self,
        (bucket, key): (BucketId, &Key),
        kind: WorkKind,
        work: F,
    ) -> Result<R, SetError>
    where
        R: Send + 'static,
        F: Fn(NodeMember) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<R, SetError>> + 'static,
    {
        self.at_owner_local((bucket, key), kind, move |_, member| work(member)).await
    }

    pub(crate) async fn at_owner_local<R, F, Fut>(
        &self,
        (bucket, key): (BucketId, &Key),
        kind: WorkKind,
        work: F,
    ) -> Result<R, SetError>
    where
        R: Send + 'static,
        F: Fn(Rc<ShardLocal>, NodeMember) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<R, SetError>> + 'static,
    {
        let set = self.set_of(bucket, key)?;
        let config = self.shared.config(set)?;
        let order = config.order(bucket, key.as_bytes());
        let mut outcome = Err(SetError::Unavailable);
        for attempt in 0..TRIES {
            let view = self.shared.view(set);
            // With no view in force yet, the first position's shard is as good as any to wait on.
            let position = SetConfig::owner(&order, view.active).or(order.at(0));
            let position = position.ok_or(SetError::Unavailable)?;
            let shard = self.shared.shard_of(set, position);
            let shard = shard.unwrap_or(attempt % self.shared.senders.len());
            let work = work.clone();
            outcome = self
                .run(shard, move |local| async move {
                    let _change = match kind {
                        WorkKind::Read => None,
                        WorkKind::Change => {
                            Some(local.begin_change(bucket).ok_or(SetError::NoSuchBucket)?)
                        }
                    };
                    let member = serving_member(&local, set, position, kind).await?;
                    work(local, member).await
                })
                .await?;
            match &outcome {
                Err(SetError::NotOwner) => {}
                Err(SetError::Unavailable) if kind == WorkKind::Read && attempt < 3 => {}
                _ => break,
            }
        }
        match outcome {
            Err(SetError::NotOwner) => Err(SetError::Unavailable),
            other => other,
        }
    }

    /// Starts a body.
    ///
    /// # Errors
    /// As `Member::begin_put`, and `NoSuchBucket`.
    pub async fn begin_put(
        &self,
        bucket: BucketId,
        key: &Key,
        target: PutTarget,
        size_bytes: u64,
    ) -> Result<PutId, SetError> {
        let name = key.clone();
        self.at_owner_local((bucket, key), WorkKind::Change, move |local, member| {
            let name = name.clone();
            async move {
                let put = member.begin_put(bucket, &name, target, size_bytes).await?;
                Ok(local.keep_put(put))
            }
        })
        .await
    }

    /// Gives the next bytes of a body.
    ///
    /// # Errors
    /// As `Put::write`; the put is over then.
    pub async fn write_put(&self, id: PutId, pieces: Vec<Bytes>) -> Result<(), SetError> {
        self.run(id.shard, move |local| async move {
            let mut put = local.take_put(id).ok_or(SetError::Unavailable)?;
            for piece in pieces {
                if let Err(error) = put.write(piece).await {
                    local.forget_put(id);
                    return Err(error);
                }
            }
            local.give_put(id, put);
            Ok(())
        })
        .await?
    }

    /// Commits a body.
    ///
    /// # Errors
    /// As `Put::finish`, and `NoSuchBucket`.
    pub async fn finish_put(
        &self,
        bucket: BucketId,
        id: PutId,
        finish: PutFinish,
    ) -> Result<ObjectInfo, SetError> {
        self.run(id.shard, move |local| async move {
            let put = local.forget_put(id).ok_or(SetError::Unavailable)?;
            let _change = local.begin_change(bucket).ok_or(SetError::NoSuchBucket)?;
            put.finish(finish).await
        })
        .await?
    }

    /// Writes a body that is here whole, in one go.
    ///
    /// # Errors
    /// As `begin_put`, `write_put` and `finish_put`.
    pub async fn put_whole(
        &self,
        (bucket, key): (BucketId, &Key),
        target: PutTarget,
        pieces: Vec<Bytes>,
        finish: PutFinish,
    ) -> Result<ObjectInfo, SetError> {
        let name = key.clone();
        self.at_owner((bucket, key), WorkKind::Change, move |member| {
            let (name, pieces, finish) = (name.clone(), pieces.clone(), finish.clone());
            async move {
                let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
                let mut put = member.begin_put(bucket, &name, target, size_bytes).await?;
                for piece in pieces {
                    put.write(piece).await?;
                }
                put.finish(finish).await
            }
        })
        .await
    }

    /// Reads bytes of one stripe of a run, at a member of its set; asked for at once.
    pub fn read_stripe(
        &self,
        (set, position): (SetId, Position),
        source: Source,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = Result<Vec<Bytes>, SetError>> + 'static + use<> {
        let (reply, answer) = shards_mailbox::reply();
        let job: Job = Box::new(move |local| {
            Box::pin(async move {
                let outcome = match serving_member(&local, set, position, WorkKind::Read).await {
                    Ok(member) => member.read_stripe(&source, offset, len).await,
                    Err(_) => Err(SetError::NotOwner),
                };
                _ = reply.send(outcome);
            })
        });
        let sent = match self.shared.shard_of(set, position) {
            Some(shard) => self.shared.senders[shard].try_send(Message::Job(job)).is_ok(),
            None => false,
        };
        async move {
            if !sent {
                return Err(SetError::Busy);
            }
            answer.await.unwrap_or(Err(SetError::Unavailable))
        }
    }

    /// An active member of a key's set, the owner first.
    #[must_use]
    pub fn reader_of(&self, bucket: BucketId, key: &Key) -> Option<(SetId, Position)> {
        let set = self.set_of(bucket, key).ok()?;
        let order = self.shared.config(set).ok()?.order(bucket, key.as_bytes());
        Some((set, SetConfig::owner(&order, self.shared.view(set).active)?))
    }

    /// Object bytes of a full stripe.
    #[must_use]
    pub fn stripe_bytes(&self) -> usize {
        let config = self.shared.config(SetId(0)).ok();
        config.map_or(1 << 20, |config| config.geometry.stripe_bytes() as usize)
    }

    /// Gives up a body; nobody waits.
    pub fn drop_put(&self, id: PutId) {
        let job: Job = Box::new(move |local| {
            local.forget_put(id);
            Box::pin(std::future::ready(()))
        });
        if let Some(sender) = self.shared.senders.get(id.shard) {
            _ = sender.try_send_reserved(Message::Job(job));
        }
    }

    /// Lists objects of a bucket over all sets.
    ///
    /// # Errors
    /// `Unavailable` rather than a page with holes.
    pub async fn list(
        &self,
        bucket: BucketId,
        query: &SetListQuery,
    ) -> Result<SetListPage, SetError> {
        let mut outcome = Err(SetError::Unavailable);
        for _ in 0..LIST_TRIES {
            outcome = self.list_once(bucket, query).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn list_once(
        &self,
        bucket: BucketId,
        query: &SetListQuery,
    ) -> Result<SetListPage, SetError> {
        let pages = self.at_all_leaders(|| {
            let query = query.clone();
            move |member: NodeMember| async move { member.list(bucket, &query).await }
        });
        let mut merged = SetListPage::default();
        let mut cut: Option<Vec<u8>> = None;
        for page in pages.await? {
            if page.truncated
                && let Some(last) = page.entries.last()
            {
                let last = last.sort_key().to_vec();
                cut = Some(cut.map_or(last.clone(), |cut| cut.min(last)));
            }
            merged.entries.extend(page.entries);
        }
        merged.entries.sort_by(|a, b| a.sort_key().cmp(b.sort_key()));
        merged.entries.dedup_by(|a, b| a.sort_key() == b.sort_key());
        // Behind the end of a cut page others may know more than it does.
        if let Some(cut) = cut {
            merged.truncated = true;
            merged.entries.retain(|entry: &SetListEntry| entry.sort_key() <= cut.as_slice());
        }
        if merged.entries.len() > query.entries_max {
            merged.entries.truncate(query.entries_max);
            merged.truncated = true;
        }
        Ok(merged)
    }

    /// Lists uploads of a bucket over all sets, from a key (and an upload of it) on.
    ///
    /// # Errors
    /// `Unavailable` rather than a page with holes.
    pub async fn list_uploads(
        &self,
        bucket: BucketId,
        prefix: &str,
        start: &str,
        start_upload: Option<UploadId>,
        uploads_max: usize,
    ) -> Result<(Vec<SetUpload>, bool), SetError> {
        let mut pages = Err(SetError::Unavailable);
        for _ in 0..LIST_TRIES {
            let asked = self.at_all_leaders(|| {
                let (prefix, start) = (prefix.as_bytes().to_vec(), start.as_bytes().to_vec());
                move |member: NodeMember| async move {
                    member.list_uploads(bucket, &prefix, uploads_max, (&start, start_upload)).await
                }
            });
            pages = asked.await;
            if pages.is_ok() {
                break;
            }
        }
        let mut uploads: Vec<SetUpload> = Vec::new();
        let mut truncated = false;
        for (page, more) in pages? {
            uploads.extend(page);
            truncated |= more;
        }
        uploads.sort_by(|a, b| (a.key.as_bytes(), a.upload).cmp(&(b.key.as_bytes(), b.upload)));
        truncated |= uploads.len() > uploads_max;
        uploads.truncate(uploads_max);
        Ok((uploads, truncated))
    }

    /// Runs the same work at every active member of every set.
    async fn at_all_leaders<R, F, Fut>(
        &self,
        mut work: impl FnMut() -> F,
    ) -> Result<Vec<R>, SetError>
    where
        R: Send + 'static,
        F: FnOnce(NodeMember) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, SetError>> + 'static,
    {
        let (layout, _) = self.shared.layout.get().ok_or(SetError::Unavailable)?;
        let mut calls = Vec::new();
        for set in (0..layout.set_count).map(SetId) {
            let view = self.shared.view(set);
            if !view.serving {
                return Err(SetError::Unavailable);
            }
            for position in view.active.iter() {
                let shard = self.shared.shard_of(set, position).ok_or(SetError::Unavailable)?;
                let (work, epoch) = (work(), view.view.epoch);
                calls.push(self.run(shard, move |local| async move {
                    let member = serving_member(&local, set, position, WorkKind::Read).await?;
                    let outcome = work(member.clone()).await;
                    // Under another view others lead: pages of two views leave holes (rule 18).
                    let now = member.installed();
                    if now.view.epoch != epoch || !now.serving {
                        return Err(SetError::Unavailable);
                    }
                    outcome
                }));
            }
        }
        join_all(calls).await.into_iter().map(|outcome| outcome?).collect()
    }
}

/// Whether work may be tried again freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// It changes nothing.
    Read,
    /// It changes something in its bucket.
    Change,
}

/// The member, once it serves; waits out a change of view.
async fn serving_member(
    local: &ShardLocal,
    set: SetId,
    position: Position,
    kind: WorkKind,
) -> Result<NodeMember, SetError> {
    let until_us = local.env.now_us() + SERVING_WAIT_US;
    loop {
        if let Some(member) = local.member(set, position) {
            let installed = member.installed();
            let ready = installed.serving && (kind == WorkKind::Read || installed.writable);
            if ready {
                return Ok(member);
            }
        }
        // The view may have moved the key elsewhere meanwhile.
        let view = local.shared.view(set);
        if view.serving && !view.active.contains(position) {
            return Err(SetError::NotOwner);
        }
        if view.serving && kind == WorkKind::Change && !view.writable {
            return Err(SetError::Unavailable);
        }
        if local.env.now_us() >= until_us {
            return Err(SetError::Unavailable);
        }
        local.env.sleep_us(5_000).await;
    }
}

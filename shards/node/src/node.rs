//! The way to a node's shards from any thread.
//!
//! Invariants: an operation that changes something is handed over once and runs to its end; only
//! what had no effect is retried.

use crate::peers::NodePeers;
use crate::shard::{Job, Message, ShardLocal};
use crate::shared::{Shared, locked};
use crate::status::NodeReport;
use engine_env::Env;
use engine_set::{Member, SetConfig, SetError};
use engine_types::{BucketId, DeploymentId, Key, Position, SetId};
use futures_util::future::join_all;
use shards_control::BucketTable;
use shards_uring::RealEnv;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A member on a real shard.
pub type NodeMember = Member<RealEnv, NodePeers>;

/// Tries of what had no effect.
const TRIES: usize = 40;
/// How long an operation waits for a view to be served.
const SERVING_WAIT_US: u64 = 10_000_000;
/// The same where the set said that too few drives answer: it tries again twice a second.
const STOPPED_WAIT_US: u64 = 1_500_000;

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

    /// The buckets; `None` until the control thread has read them.
    #[must_use]
    pub fn buckets(&self) -> Option<Arc<BucketTable>> {
        self.shared.buckets()
    }

    /// Whether the set of a key serves now.
    pub(crate) fn serves(&self, bucket: BucketId, key: &Key) -> bool {
        self.set_of(bucket, key).is_ok_and(|set| self.shared.view(set).serving)
    }

    /// Installs a bucket table on all threads: from here on no shard begins a change under the
    /// old one.
    pub fn install_buckets(&self, table: BucketTable) {
        self.shared.install_buckets(table);
    }

    /// Waits until every shard has ended the changes of a bucket that were under way.
    ///
    /// # Errors
    /// `Busy` or `Unavailable` where a shard could not be asked: it may still change the bucket.
    pub async fn drain_bucket(&self, bucket: BucketId) -> Result<(), SetError> {
        let waits = (0..self.shared.senders.len()).map(|shard| {
            self.run(shard, move |local| async move {
                local.gate.drain(bucket).await;
            })
        });
        join_all(waits).await.into_iter().collect()
    }

    /// How the node is.
    #[must_use]
    pub fn report(&self) -> NodeReport {
        let drives = locked(&self.shared.reports).values().cloned().collect();
        let knows_all = self.shared.layout.get().is_some() && self.shared.buckets().is_some();
        let (mut ready, mut readable, mut positions_out) = (knows_all, knows_all, 0);
        if let Some((layout, _)) = self.shared.layout.get() {
            for set in (0..layout.set_count).map(SetId) {
                let view = self.shared.view(set);
                ready &= view.serving && view.writable;
                readable &= view.serving;
                positions_out += usize::from(layout.set_size).saturating_sub(view.active.len());
            }
        }
        let view_changes = self.shared.view_changes.load(Ordering::Relaxed);
        let objects_unreadable = locked(&self.shared.unreadable).values().sum();
        let arenas = self.shared.arena_statistics();
        NodeReport {
            drives,
            ready,
            readable,
            positions_out,
            view_changes,
            objects_unreadable,
            arenas,
        }
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
            let served = self
                .run(shard, move |local| async move {
                    let _change = match kind {
                        WorkKind::Read => None,
                        WorkKind::Change => {
                            Some(local.begin_change(bucket).ok_or(SetError::NoSuchBucket)?)
                        }
                    };
                    let member = serving_member(&local, set, position, kind).await?;
                    Ok::<_, SetError>(work(local, member).await)
                })
                .await?;
            // A set that does not serve was waited for; what it answered may differ next time.
            let may_differ = served.is_ok() && kind == WorkKind::Read && attempt < 3;
            outcome = served.flatten();
            match &outcome {
                Err(SetError::NotOwner) => {}
                Err(SetError::Unavailable) if may_differ => {}
                _ => break,
            }
        }
        match outcome {
            Err(SetError::NotOwner) => Err(SetError::Unavailable),
            other => other,
        }
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
pub(crate) async fn serving_member(
    local: &ShardLocal,
    set: SetId,
    position: Position,
    kind: WorkKind,
) -> Result<NodeMember, SetError> {
    let begin_us = local.env.now_us();
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
            return Err(if view.reads_only { SetError::ReadsOnly } else { SetError::Unavailable });
        }
        let has_stopped = local.shared.has_stopped(set) == Some(true);
        let wait_us = if has_stopped { STOPPED_WAIT_US } else { SERVING_WAIT_US };
        if local.env.now_us() - begin_us >= wait_us {
            return Err(SetError::Unavailable);
        }
        local.env.sleep_us(5_000).await;
    }
}

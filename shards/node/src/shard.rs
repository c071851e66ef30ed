//! One shard thread: its drives, its members, and the loop that takes messages.

use crate::config::NodeConfig;
use crate::node::NodeMember;
use crate::peers::NodePeers;
use crate::puts::PutId;
use crate::shared::Shared;
use engine_env::{BrokenRules, Env};
use engine_set::{DriveOutcome, DriveRequest, Put};
use engine_types::{BucketId, Position, SetId};
use futures_util::future::{join_all, select};
use shards_control::{BucketChange, BucketGate};
use shards_mailbox::{Receiver, ReplySender};
use shards_uring::{RealDrive, RealEnv};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

/// How long checkpoints may hold up a stop.
const STOP_CHECKPOINT_US: u64 = 5_000_000;

/// Work for a shard, sent as a closure: it makes a future there.
pub(crate) type Job = Box<dyn FnOnce(Rc<ShardLocal>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A message to a shard.
pub(crate) enum Message {
    /// A request to a drive's member.
    Drive {
        set: SetId,
        position: Position,
        request: DriveRequest,
        reply: ReplySender<DriveOutcome>,
    },
    /// Anything else.
    Job(Job),
    /// Stop taking messages.
    Stop,
}

/// A body on its way in, between two pieces.
pub(crate) type PutSlot = Option<Put<RealEnv, NodePeers>>;

/// What lives on one shard thread.
pub(crate) struct ShardLocal {
    pub shard: usize,
    pub env: RealEnv,
    pub shared: Arc<Shared>,
    pub config: NodeConfig,
    members: RefCell<BTreeMap<(SetId, Position), NodeMember>>,
    /// Drives opened and not yet part of a set, and handles of those that are, by index.
    pub drives: RefCell<BTreeMap<usize, RealDrive>>,
    /// Drives that did not open the last time because of rot, by index.
    pub rotten: RefCell<BTreeSet<usize>>,
    puts: RefCell<BTreeMap<u64, PutSlot>>,
    next_put: RefCell<u64>,
    /// Changes of buckets under way here.
    pub gate: BucketGate,
}

impl ShardLocal {
    pub(crate) fn new(
        shard: usize,
        env: RealEnv,
        shared: Arc<Shared>,
        config: NodeConfig,
    ) -> Rc<Self> {
        let gate = BucketGate::new(BrokenRules::of(&env));
        Rc::new(Self {
            shard,
            env,
            shared,
            config,
            members: RefCell::default(),
            drives: RefCell::default(),
            rotten: RefCell::default(),
            puts: RefCell::default(),
            next_put: RefCell::new(0),
            gate,
        })
    }

    pub(crate) fn member(&self, set: SetId, position: Position) -> Option<NodeMember> {
        self.members.borrow().get(&(set, position)).cloned()
    }

    pub(crate) fn members(&self) -> Vec<(SetId, NodeMember)> {
        self.members.borrow().iter().map(|((set, _), member)| (*set, member.clone())).collect()
    }

    pub(crate) fn join(self: &Rc<Self>, set: SetId, member: NodeMember) {
        self.members.borrow_mut().insert((set, member.position()), member.clone());
        let local = Rc::clone(self);
        self.env.spawn(async move {
            // A member that finds trouble tells the supervisor of its set.
            while member.store().failed().is_none() {
                member.trouble().await;
                // One that is retired has left its view: the others need no new one.
                if local.member(set, member.position()).is_none() {
                    return;
                }
                local.shared.trouble(set);
            }
            local.shared.trouble(set);
        });
    }

    pub(crate) fn leave(&self, set: SetId, position: Position) -> Option<NodeMember> {
        self.members.borrow_mut().remove(&(set, position))
    }

    /// Serves messages until told to stop.
    pub(crate) async fn serve(self: Rc<Self>, mut mailbox: Receiver<Message>) {
        while let Some(message) = mailbox.recv().await {
            match message {
                Message::Drive { set, position, request, reply } => {
                    let Some(member) = self.member(set, position) else {
                        _ = reply.send(Err(engine_store::DriveError::Failed));
                        continue;
                    };
                    // The part that must happen in order happens here.
                    let serving = member.serve(request);
                    self.env.spawn(async move {
                        _ = reply.send(serving.await);
                    });
                }
                Message::Job(job) => self.env.spawn(job(Rc::clone(&self))),
                Message::Stop => break,
            }
        }
        self.checkpoint_all().await;
        for (_, member) in self.members() {
            member.store().close();
        }
    }

    /// Takes a checkpoint of every drive, for a quick next start. One that takes too long is left:
    /// the log has everything.
    async fn checkpoint_all(&self) {
        let stores: Vec<_> =
            self.members().into_iter().map(|(_, member)| member.store().clone()).collect();
        let checkpoints = join_all(stores.iter().map(|store| store.checkpoint()));
        let limit = self.env.sleep_us(STOP_CHECKPOINT_US);
        // What came first does not matter, nor what a failed drive says.
        _ = select(pin!(checkpoints), pin!(limit)).await;
    }

    pub(crate) fn keep_put(&self, put: Put<RealEnv, NodePeers>) -> PutId {
        let mut next = self.next_put.borrow_mut();
        *next += 1;
        self.puts.borrow_mut().insert(*next, Some(put));
        PutId { shard: self.shard, id: *next }
    }

    /// Takes a put for a piece of work; `None` where it is gone.
    pub(crate) fn take_put(&self, id: PutId) -> PutSlot {
        self.puts.borrow_mut().get_mut(&id.id)?.take()
    }

    /// Gives it back, unless its client left meanwhile.
    pub(crate) fn give_put(&self, id: PutId, put: Put<RealEnv, NodePeers>) {
        if let Some(slot) = self.puts.borrow_mut().get_mut(&id.id) {
            *slot = Some(put);
        }
    }

    pub(crate) fn forget_put(&self, id: PutId) -> PutSlot {
        self.puts.borrow_mut().remove(&id.id).flatten()
    }

    /// Gives up bodies that nobody waits for and whose end could not be told in time.
    pub(crate) fn forget_orphans(&self) {
        for id in self.shared.take_orphans(self.shard) {
            self.forget_put(id);
        }
    }

    /// Begins a change of a bucket, if it is open (rule 15).
    pub(crate) fn begin_change(&self, bucket: BucketId) -> Option<BucketChange> {
        // Without a table only the system's bucket is open.
        let is_open = self.shared.buckets().unwrap_or_default().is_open(bucket);
        self.gate.begin(bucket, is_open)
    }
}

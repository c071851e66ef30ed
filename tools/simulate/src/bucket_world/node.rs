//! One process of a simulated node: the real keeper and the real gates over stubs of the log, the
//! objects and the uploads.
//!
//! Invariants: everything here dies with the process but what is on `Disk`; what the log answers
//! with an error may be durable all the same, from then on.

use super::BucketSwarm;
use super::model::Handle;
use engine_env::{BrokenRules, Env, Rule};
use engine_types::BucketId;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::{Either, join_all, select};
use shards_control::{
    BucketEntry, BucketGate, BucketHost, BucketKeeper, BucketTable, ControlLog, KeeperError,
};
use shards_sim::{Random, SimEnv};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

const SHARDS: u64 = 3;

/// How long the table stays unread before it is tried again.
const RELOAD_US: u64 = 10_000;

/// One write in so many takes long.
const SLOW_ONE_IN: u64 = 4;
const SLOW_TIMES: u64 = 10;

/// The log, or a shard, did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// Why a request about a bucket failed.
pub(super) type Failure = KeeperError<Lost>;

/// What a crash leaves: the document with its version, and what is in buckets. Odd things are
/// uploads, even ones objects.
#[derive(Default)]
pub(super) struct Disk {
    document: RefCell<Option<(Vec<u8>, u64)>>,
    things: RefCell<BTreeMap<(BucketId, u64), u64>>,
}

impl Disk {
    fn document(&self) -> Option<(Vec<u8>, String)> {
        let stored = self.document.borrow();
        stored.as_ref().map(|(bytes, version)| (bytes.clone(), version.to_string()))
    }

    fn commit(&self, from: Option<&str>, document: Vec<u8>) -> bool {
        let mut stored = self.document.borrow_mut();
        let version = stored.as_ref().map(|(_, version)| *version);
        if version.map(|version| version.to_string()).as_deref() != from {
            return false;
        }
        *stored = Some((document, version.unwrap_or_default() + 1));
        true
    }

    /// What a thing is.
    pub(super) fn get(&self, bucket: BucketId, thing: u64) -> Option<u64> {
        self.things.borrow().get(&(bucket, thing)).copied()
    }

    fn put(&self, bucket: BucketId, thing: u64, value: Option<u64>) {
        let mut things = self.things.borrow_mut();
        match value {
            Some(value) => things.insert((bucket, thing), value),
            None => things.remove(&(bucket, thing)),
        };
    }

    fn holds(&self, bucket: BucketId, uploads: bool) -> bool {
        let things = self.things.borrow();
        things.keys().any(|(of, thing)| *of == bucket && thing.is_multiple_of(2) != uploads)
    }
}

enum Request {
    Create(String, u64, oneshot::Sender<Result<BucketEntry, Failure>>),
    Delete(String, oneshot::Sender<Result<(), Failure>>),
}

/// A process.
pub(super) struct BucketNode {
    pub env: SimEnv,
    pub disk: Rc<Disk>,
    pub swarm: BucketSwarm,
    gates: Vec<BucketGate>,
    installed: RefCell<Option<Arc<BucketTable>>>,
    random: RefCell<Random>,
    requests: mpsc::UnboundedSender<Request>,
    /// Whether the keeper has loaded the table.
    pub is_loaded: Cell<bool>,
    /// Clients end when they see it, and nothing fails any more.
    pub is_quiet: Cell<bool>,
    /// Clients under way.
    pub busy: Cell<u64>,
    /// The names whose buckets clients are emptying.
    pub emptied: Vec<Cell<bool>>,
}

impl BucketNode {
    /// Starts a process.
    pub(super) fn start(
        env: SimEnv,
        disk: Rc<Disk>,
        swarm: BucketSwarm,
        random: Random,
    ) -> Rc<Self> {
        let (requests, mailbox) = mpsc::unbounded();
        let broken = BrokenRules::of(&env);
        let node = Rc::new(Self {
            env,
            disk,
            swarm,
            gates: (0..SHARDS).map(|_| BucketGate::new(broken)).collect(),
            installed: RefCell::default(),
            random: RefCell::new(random),
            requests,
            is_loaded: Cell::new(false),
            is_quiet: Cell::new(false),
            busy: Cell::new(0),
            emptied: (0..super::NAMES).map(|_| Cell::new(false)).collect(),
        });
        node.env.spawn(serve(Rc::clone(&node), mailbox));
        node
    }

    /// Starts a client.
    pub(super) fn spawn(self: &Rc<Self>, client: impl Future<Output = ()> + 'static) {
        let node = Rc::clone(self);
        self.busy.set(self.busy.get() + 1);
        self.env.spawn(async move {
            client.await;
            node.busy.set(node.busy.get() - 1);
        });
    }

    /// The table in force.
    pub(super) fn table(&self) -> Arc<BucketTable> {
        self.installed.borrow().clone().unwrap_or_default()
    }

    /// Waits up to so long.
    pub(super) async fn pause(&self, most_us: u64) {
        let pause_us = self.random.borrow_mut().below(most_us);
        self.env.sleep_us(pause_us).await;
    }

    fn one_in(&self, times: u64) -> bool {
        self.random.borrow_mut().one_in(times)
    }

    fn fails(&self) -> bool {
        let times = self.swarm.fails_one_in;
        !self.is_quiet.get() && times > 0 && self.one_in(times)
    }

    /// A write as a shard serves it: its bucket is judged, it takes some time, and it is there.
    /// Whether it was answered; otherwise it was refused.
    pub(super) async fn write(&self, bucket: BucketId, thing: u64, value: Option<u64>) -> bool {
        self.pause(self.swarm.write_us).await;
        let is_open = self.table().is_open(bucket);
        let gate = &self.gates[(thing % SHARDS) as usize];
        let Some(_change) = gate.begin(bucket, is_open) else { return false };
        let times = if self.one_in(SLOW_ONE_IN) { SLOW_TIMES } else { 1 };
        self.pause(times * self.swarm.write_us).await;
        self.disk.put(bucket, thing, value);
        self.pause(self.swarm.write_us).await;
        true
    }

    /// Creates a bucket.
    pub(super) async fn create(&self, name: &str, token: u64) -> Result<BucketEntry, Failure> {
        let (reply, answer) = oneshot::channel();
        // Where nobody takes it, the answer says so.
        _ = self.requests.unbounded_send(Request::Create(name.to_owned(), token, reply));
        answer.await.unwrap_or(Err(KeeperError::Host(Lost)))
    }

    /// Deletes a bucket.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        // Where nobody takes it, the answer says so.
        _ = self.requests.unbounded_send(Request::Delete(name.to_owned(), reply));
        answer.await.unwrap_or(Err(KeeperError::Host(Lost)))
    }

    /// What a name means in the table in force, if its bucket is open.
    pub(super) fn look_up(&self, name: usize) -> Option<Handle> {
        let table = self.table();
        let entry = table.open(super::NAME[name])?;
        Some(Handle { name, token: entry.created_ms, id: entry.id })
    }
}

/// The control task, as the control thread of `shards-node`.
async fn serve(node: Rc<BucketNode>, mut mailbox: mpsc::UnboundedReceiver<Request>) {
    let keeper = BucketKeeper::new(Host(Rc::clone(&node)));
    // Whether it succeeded the keeper knows.
    _ = keeper.load().await;
    loop {
        node.is_loaded.set(keeper.is_loaded());
        let request = if keeper.is_loaded() {
            mailbox.next().await
        } else {
            let pause = pin!(node.env.sleep_us(RELOAD_US));
            match select(mailbox.next(), pause).await {
                Either::Left((request, _)) => request,
                Either::Right(_) => {
                    _ = keeper.load().await;
                    continue;
                }
            }
        };
        match request {
            Some(Request::Create(name, token, reply)) => {
                _ = reply.send(keeper.create(&name, token).await);
            }
            Some(Request::Delete(name, reply)) => _ = reply.send(keeper.delete(&name).await),
            None => return,
        }
    }
}

struct Host(Rc<BucketNode>);

impl ControlLog for Host {
    type Error = Lost;

    async fn read(&self, _name: &str) -> Result<Option<(Vec<u8>, String)>, Lost> {
        self.0.pause(self.0.swarm.log_us).await;
        if self.0.fails() { Err(Lost) } else { Ok(self.0.disk.document()) }
    }

    async fn propose(
        &self,
        _name: &str,
        from: Option<String>,
        document: Vec<u8>,
    ) -> Result<bool, Lost> {
        let node = &self.0;
        let fails = node.fails();
        node.pause(node.swarm.log_us).await;
        if fails && node.one_in(2) {
            return Err(Lost);
        }
        let is_first = node.disk.commit(from.as_deref(), document);
        node.pause(node.swarm.log_us).await;
        if fails { Err(Lost) } else { Ok(is_first) }
    }
}

impl BucketHost for Host {
    fn serves(&self, _name: &str) -> bool {
        !self.0.fails()
    }

    fn installed(&self) -> Option<Arc<BucketTable>> {
        self.0.installed.borrow().clone()
    }

    fn install(&self, table: BucketTable) {
        *self.0.installed.borrow_mut() = Some(Arc::new(table));
    }

    async fn drain(&self, bucket: BucketId) -> Result<(), Lost> {
        let node = &self.0;
        let waits = node.gates.iter().map(|gate| async move {
            node.pause(node.swarm.log_us).await;
            gate.drain(bucket).await;
        });
        join_all(waits).await;
        if node.fails() { Err(Lost) } else { Ok(()) }
    }

    async fn is_empty(&self, bucket: BucketId) -> Result<bool, Lost> {
        let node = &self.0;
        for uploads in [false, true] {
            node.pause(node.swarm.log_us).await;
            if node.fails() {
                return Err(Lost);
            }
            if node.disk.holds(bucket, uploads) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.0.env.breaks(rule)
    }
}

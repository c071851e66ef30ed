//! One drive's part in its set: it serves the requests of the others, and it owns keys.
//!
//! Invariants: requests are taken in the order they come; nothing is taken under another epoch
//! than the one in force (rule 4); a fenced member serves nobody until a view is installed.

use crate::config::SetConfig;
use crate::heal::Heals;
use crate::known::Known;
use crate::message::{
    Dirty, DriveOutcome, DriveReply, DriveRequest, Hello, Installed, Peers, Prepare,
};
use crate::short::Short;
use engine_env::sync::KeyLocks;
use engine_env::{Env, Rule};
use engine_format::{Mark, PeerKnown};
use engine_store::{DriveError, Store};
use engine_types::{Epoch, ErrorClass, Position, Sequence};
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// Marks wait this long for a write to travel with.
const MARK_DELAY_US: u64 = 20_000;

/// One drive's part in its set. Clones are handles to the same member.
pub struct Member<E: Env, P: Peers> {
    pub(crate) inner: Rc<Inner<E, P>>,
}

impl<E: Env, P: Peers> Clone for Member<E, P> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

pub(crate) struct Inner<E: Env, P: Peers> {
    pub env: E,
    pub store: Store<E>,
    pub peers: P,
    pub config: SetConfig,
    pub position: Position,
    pub codec: engine_codec::Codec,
    pub locks: KeyLocks<Vec<u8>>,
    pub owner: RefCell<Ownership>,
    pub heals: RefCell<Heals>,
    pub short: Cell<Short>,
    /// What of the other drives stands in this one's log, or is on its way there.
    noted: RefCell<Known>,
    installed: RefCell<Rc<Installed>>,
    pub(crate) accepts: Cell<Epoch>,
    /// Somebody found a drive failing; the coordinator looks.
    trouble: RefCell<Option<oneshot::Sender<()>>>,
    trouble_seen: Cell<bool>,
}

/// What an owner knows of its own writes.
#[derive(Default)]
pub(crate) struct Ownership {
    pub counter: u64,
    pub data_counter: u64,
    /// Assigned and not settled, with what they change.
    pub in_flight: BTreeMap<Sequence, Dirty>,
    /// The newest settled.
    pub newest_settled: Sequence,
    /// Everything through here is settled and every member was told.
    pub told: Sequence,
    pub mark_scheduled: bool,
    /// What the drives said they made durable, to be passed on with the next marks.
    pub heard: Known,
    /// What was written while a drive catches up.
    pub dirty: Vec<Dirty>,
}

impl Ownership {
    /// Everything through here is settled.
    pub(crate) fn settled_through(&self) -> Option<Sequence> {
        // A write that failed stays in flight until the next view decides it.
        match self.in_flight.first_key_value().map(|(oldest, _)| oldest) {
            None => Some(self.newest_settled),
            Some(oldest) if oldest.counter > 1 => {
                Some(Sequence { counter: oldest.counter - 1, ..*oldest })
            }
            Some(_) => None,
        }
    }
}

/// The answer on its way.
pub type Serving = Pin<Box<dyn Future<Output = DriveOutcome>>>;

impl<E: Env, P: Peers> Member<E, P> {
    /// A member that serves nothing yet.
    ///
    /// # Panics
    /// If the configuration's geometry is not one of the codec's: it was checked when made.
    #[must_use]
    pub fn new(env: E, store: Store<E>, peers: P, config: SetConfig) -> Self {
        let Ok(codec) = engine_codec::Codec::new(config.geometry.data, config.geometry.parity)
        else {
            panic!("the geometry of a set is one of the codec's");
        };
        let position = store.identity().position;
        Self {
            inner: Rc::new(Inner {
                env,
                store,
                peers,
                config,
                position,
                codec,
                locks: KeyLocks::default(),
                owner: RefCell::default(),
                heals: RefCell::default(),
                short: Cell::default(),
                noted: RefCell::default(),
                installed: RefCell::default(),
                accepts: Cell::new(Epoch(0)),
                trouble: RefCell::default(),
                trouble_seen: Cell::new(false),
            }),
        }
    }

    /// The drive.
    #[must_use]
    pub fn store(&self) -> &Store<E> {
        &self.inner.store
    }

    /// The view in force here.
    #[must_use]
    pub fn installed(&self) -> Rc<Installed> {
        Rc::clone(&self.inner.installed.borrow())
    }

    /// Its position.
    #[must_use]
    pub fn position(&self) -> Position {
        self.inner.position
    }

    /// Resolves when this member has found a drive of the set failing.
    pub async fn trouble(&self) {
        if self.inner.trouble_seen.replace(false) {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        *self.inner.trouble.borrow_mut() = Some(sender);
        _ = receiver.await;
        self.inner.trouble_seen.set(false);
    }

    /// Takes the drive out of service for good. Whoever waits for `trouble` is woken: it would hold
    /// the drive, and the drive its lock, for ever.
    pub fn retire(&self) {
        let store = &self.inner.store;
        store.fail(DriveError::Failed);
        store.close();
        self.inner.report_trouble();
    }

    /// Takes a request. What must happen in order happens before this returns.
    #[must_use]
    pub fn serve(&self, request: DriveRequest) -> Serving {
        let inner = &self.inner;
        let store = inner.store.clone();
        match request {
            DriveRequest::Fence => self.fence(),
            DriveRequest::Promise(epoch) => {
                let inner = Rc::clone(inner);
                Box::pin(async move {
                    let taken = inner.store.promise(epoch).await?;
                    if taken {
                        inner.accepts.set(epoch);
                    }
                    Ok(DriveReply::Was(taken))
                })
            }
            DriveRequest::WriteView(view) => {
                Box::pin(async move { Ok(DriveReply::Was(store.write_view(view).await?)) })
            }
            DriveRequest::Install(installed) => {
                inner.install(*installed);
                done(Ok(DriveReply::Done))
            }
            DriveRequest::NotePeers(peers) => {
                inner.noted.borrow_mut().reset(&peers);
                store.note_peers(peers);
                done(Ok(DriveReply::Done))
            }
            DriveRequest::RecordDirty(epoch) => {
                done(inner.record_dirty(epoch).map(|()| DriveReply::Done))
            }
            DriveRequest::TakeDirty => {
                let mut owner = inner.owner.borrow_mut();
                // What is still in flight may settle after this look at it.
                let again = inner.dirty_in_flight(&owner);
                let dirty = std::mem::replace(&mut owner.dirty, again);
                drop(owner);
                done(Ok(DriveReply::Dirty(dirty)))
            }
            // One put in its place meanwhile, or begun anew, lacks everything.
            DriveRequest::Rebuilt(drive) if drive != store.identity().drive => {
                done(Err(DriveError::Fenced))
            }
            DriveRequest::Rebuilt(_) => {
                Box::pin(async move { store.rebuilt().await.map(|()| DriveReply::Done) })
            }
            DriveRequest::Distrust => {
                Box::pin(async move { store.distrust().await.map(|()| DriveReply::Done) })
            }
            DriveRequest::Prepare(prepare) => inner.prepare(*prepare),
            DriveRequest::Mark(marks) => {
                let marked = store.mark(marks);
                Box::pin(async move {
                    marked.await?;
                    Ok(DriveReply::Durable(store.durable()))
                })
            }
            DriveRequest::MarkLazily(epoch, marks, known) => {
                if epoch == inner.accepts.get() {
                    inner.note_lazily(marks, &known);
                }
                done(Ok(DriveReply::Done))
            }
            DriveRequest::Abort(sequences) => answer(store.abort(sequences)),
            other => self.serve_data(other),
        }
    }

    /// Stops serving; answers when all that was queued is durable.
    fn fence(&self) -> Serving {
        let inner = Rc::clone(&self.inner);
        inner.accepts.set(Epoch(0));
        // Bodies on their way in and promises are void: their owners commit under no old epoch.
        inner.store.abandon_streams();
        let mut stopped = Installed::clone(&inner.installed.borrow());
        stopped.serving = false;
        stopped.writable = false;
        *inner.installed.borrow_mut() = Rc::new(stopped);
        // What this owner knows settled nobody must decide: others may be gone for good.
        let settled = inner.owner.borrow().settled_through();
        if let Some(through) = settled.filter(|through| through.counter > 0) {
            inner.store.mark_lazily(vec![Mark { through }]);
        }
        Box::pin(async move {
            let store = &inner.store;
            if !inner.env.breaks(Rule::FenceBarrier) {
                store.barrier().await?;
            }
            Ok(DriveReply::Hello(Box::new(Hello {
                identity: store.identity(),
                view: store.view(),
                promised: store.promised(),
                marks: store.marks(),
                durable: store.durable(),
                recovered_batch: store.recovered_batch(),
                peers: store.peers(),
                unsettled: store.unsettled().iter().map(|commit| (**commit).clone()).collect(),
            })))
        })
    }
}

pub(crate) fn done(outcome: DriveOutcome) -> Serving {
    Box::pin(std::future::ready(outcome))
}

fn answer(outcome: impl Future<Output = Result<(), DriveError>> + 'static) -> Serving {
    Box::pin(async move { outcome.await.map(|()| DriveReply::Done) })
}

impl<E: Env, P: Peers> Inner<E, P> {
    fn install(&self, installed: Installed) {
        {
            let mut owner = self.owner.borrow_mut();
            if !installed.record_dirty {
                owner.dirty.clear();
            } else if !self.installed.borrow().record_dirty {
                let in_flight = self.dirty_in_flight(&owner);
                owner.dirty.extend(in_flight);
            }
            if installed.view.epoch != self.installed.borrow().view.epoch {
                owner.counter = 0;
                owner.in_flight.clear();
                owner.newest_settled = Sequence::ZERO;
                owner.told = Sequence::ZERO;
                owner.heard.reset(&[]);
            }
        }
        self.accepts.set(installed.view.epoch);
        *self.installed.borrow_mut() = Rc::new(installed);
    }

    /// Tells the store whether what it is given is what the others hold.
    pub(crate) fn note_if_behind(&self) {
        let view = self.view();
        // While a view is being made the one before says nothing.
        if view.view.epoch == self.accepts.get() {
            self.store.catches_up(!view.active.contains(self.position));
        }
    }

    /// Whatever else the view in force has become here meanwhile (`stop_writing`) stays.
    fn record_dirty(&self, epoch: Epoch) -> Result<(), DriveError> {
        let mut recording = Installed::clone(&self.view());
        if recording.view.epoch != epoch || self.accepts.get() != epoch {
            return Err(DriveError::Fenced);
        }
        if !recording.record_dirty {
            let mut owner = self.owner.borrow_mut();
            let in_flight = self.dirty_in_flight(&owner);
            owner.dirty.extend(in_flight);
        }
        recording.record_dirty = true;
        *self.installed.borrow_mut() = Rc::new(recording);
        Ok(())
    }

    /// What is under way and may settle after a look at it.
    fn dirty_in_flight(&self, owner: &Ownership) -> Vec<Dirty> {
        let covered = !self.env.breaks(Rule::CatchUpInFlight);
        owner.in_flight.values().filter(|_| covered).cloned().collect()
    }

    fn prepare(&self, prepare: Prepare) -> Serving {
        let refuses = !self.env.breaks(Rule::OldEpochRefused);
        if refuses && prepare.epoch != self.accepts.get() {
            return done(Err(DriveError::Fenced));
        }
        let mut commit = prepare.commit;
        if let Some(data) = prepare.adopt {
            match self.store.adopt_fragment(data, commit.sequence) {
                Ok(fragment) => commit.adopts.push(fragment),
                Err(error) => return done(Err(error)),
            }
        }
        if !prepare.marks.is_empty() {
            self.store.mark_lazily(prepare.marks);
        }
        let store = self.store.clone();
        let prepared = store.prepare(commit);
        Box::pin(async move {
            prepared.await?;
            Ok(DriveReply::Durable(store.durable()))
        })
    }

    /// Logs marks and what is news of the other drives with whatever batch comes next. The news
    /// first: whoever says that a write is settled knows then which drives must have it.
    fn note_lazily(&self, marks: Vec<Mark>, known: &[PeerKnown]) {
        let others: Vec<PeerKnown> =
            known.iter().filter(|peer| peer.position != self.position).copied().collect();
        let news = self.noted.borrow_mut().raise(&others);
        if !news.is_empty() {
            self.store.note_peers(news);
        }
        if !marks.is_empty() {
            self.store.mark_lazily(marks);
        }
    }

    /// Takes note of what the drives that answered a write have made durable.
    pub(crate) fn hear(&self, outcomes: &[DriveOutcome]) {
        let said: Vec<PeerKnown> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Ok(DriveReply::Durable(known)) => Some(*known),
                _ => None,
            })
            .collect();
        self.owner.borrow_mut().heard.raise(&said);
    }

    /// The view in force.
    pub(crate) fn view(&self) -> Rc<Installed> {
        Rc::clone(&self.installed.borrow())
    }

    /// A write failed with its outcome unknown: nothing more is written under this view, for the
    /// next write of the key would not know what it replaces.
    pub(crate) fn stop_writing(&self) {
        let mut stopped = Installed::clone(&self.view());
        stopped.writable = false;
        *self.installed.borrow_mut() = Rc::new(stopped);
    }

    /// A drive failed a request: the coordinator must look.
    pub(crate) fn report_trouble(&self) {
        self.trouble_seen.set(true);
        if let Some(sender) = self.trouble.borrow_mut().take() {
            _ = sender.send(());
        }
    }

    /// Reports trouble where a drive failed; a fence or a full drive is none.
    pub(crate) fn report_failed(&self, error: DriveError) {
        if error.class() == ErrorClass::Device {
            self.report_trouble();
        }
    }

    /// The mark that the next message should carry, if there is news.
    pub(crate) fn mark_due(&self) -> Vec<Mark> {
        let owner = self.owner.borrow();
        match owner.settled_through() {
            Some(through) if through > owner.told && through.counter > 0 => vec![Mark { through }],
            _ => Vec::new(),
        }
    }

    /// Sees to it that every member learns the mark, with a write or soon after, and with it what
    /// the drives have made durable.
    pub(crate) fn schedule_mark(self: &Rc<Self>) {
        if std::mem::replace(&mut self.owner.borrow_mut().mark_scheduled, true) {
            return;
        }
        let inner = Rc::clone(self);
        self.env.spawn(async move {
            inner.env.sleep_us(MARK_DELAY_US).await;
            inner.owner.borrow_mut().mark_scheduled = false;
            let view = inner.view();
            if !view.writable {
                return;
            }
            let marks = inner.mark_due();
            let known = {
                let mut owner = inner.owner.borrow_mut();
                if let Some(mark) = marks.first() {
                    owner.told = mark.through;
                }
                owner.heard.take_news()
            };
            if marks.is_empty() && known.is_empty() {
                return;
            }
            for position in view.active.iter() {
                let request =
                    DriveRequest::MarkLazily(view.view.epoch, marks.clone(), known.clone());
                let call = inner.peers.call(position, request);
                inner.env.spawn(async move {
                    _ = call.await;
                });
            }
        });
    }
}

//! One drive, open: its log, index, space and fragments behind one handle.
//!
//! Invariants: lives on the thread of its shard; every public write is answered only when it is
//! durable on this drive; after a failed flush, or a failed write that the log could not go on
//! behind, it answers `Failed` until opened again.

use crate::config::StoreConfig;
use crate::error::DriveError;
use crate::fragments::Fragments;
use crate::log::{Log, Reply, record_bytes};
use crate::runs::Runs;
use crate::space::Space;
use crate::state::State;
use crate::usage::{Counters, DriveIdentity, DriveUsage};
use crate::work::{WorkWatcher, Works};
use engine_env::sync::Gate;
use engine_env::{BrokenRules, Drive, Env, IoClass, Rule};
use engine_format::{Commit, DriveState, Mark, PeerKnown, Record, Superblock, View};
use engine_types::{DataId, Epoch, SegmentId, Sequence};
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

/// The insides, shared by the tasks of one drive.
pub(crate) struct Shared<E: Env> {
    pub env: E,
    pub drive: E::Drive,
    /// The same drive for work nobody waits for.
    pub background: E::Drive,
    pub config: StoreConfig,
    pub identity: DriveIdentity,
    pub superblock: RefCell<Superblock>,
    /// One write of the superblock at a time.
    pub superblock_gate: Gate,
    /// One of checkpoint, cleaning and the other housekeeping at a time.
    pub maintenance: Gate,
    pub state: RefCell<State>,
    pub space: RefCell<Space>,
    /// The newest batch of the log when it was opened.
    recovered_batch: u64,
    pub log: RefCell<Log>,
    pub runs: RefCell<Runs>,
    pub fragments: RefCell<Fragments>,
    pub counters: Counters,
    pub works: Works,
    failed: Cell<Option<DriveError>>,
    housekeeping: RefCell<Option<oneshot::Sender<()>>>,
    /// The highest epoch of a promise or view that is queued or applied.
    promise_queued: Cell<Epoch>,
    /// Settled commits that wait for a flush before they are queued.
    flushing_first: Cell<usize>,
    pub growing: Cell<bool>,
    /// A segment is being cleaned: its moves must find room in the log.
    pub cleaning: Cell<bool>,
    pub closed: Cell<bool>,
}

/// One drive, open. Clones are handles to the same drive.
pub struct Store<E: Env> {
    pub(crate) shared: Rc<Shared<E>>,
    /// Of the bytes of fragments and payloads that this handle reads and writes.
    pub(crate) class: IoClass,
}

impl<E: Env> Clone for Store<E> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), class: self.class }
    }
}

/// The parts recovery or format puts together.
pub(crate) struct Parts<E: Env> {
    pub env: E,
    pub drive: E::Drive,
    pub config: StoreConfig,
    pub superblock: Superblock,
    pub state: State,
    pub space: Space,
    pub log: Log,
    pub runs: Runs,
}

impl<E: Env> Store<E> {
    pub(crate) fn assemble(parts: Parts<E>) -> Self {
        let superblock = &parts.superblock;
        let identity = DriveIdentity {
            drive: superblock.drive,
            deployment: superblock.deployment,
            set: superblock.set,
            position: superblock.position,
            set_size: superblock.set_size,
            set_count: superblock.set_count,
            parity: superblock.parity,
            rebuilding: superblock.state == DriveState::Rebuilding,
            incarnation: superblock.incarnation,
        };
        let shared = Rc::new(Shared {
            env: parts.env,
            background: parts.drive.background(),
            drive: parts.drive,
            config: parts.config,
            identity,
            superblock: RefCell::new(parts.superblock),
            superblock_gate: Gate::new(1),
            maintenance: Gate::new(1),
            promise_queued: Cell::new(Epoch(0)),
            flushing_first: Cell::new(0),
            state: RefCell::new(parts.state),
            space: RefCell::new(parts.space),
            recovered_batch: parts.log.applied.batch_sequence,
            log: RefCell::new(parts.log),
            runs: RefCell::new(parts.runs),
            fragments: RefCell::new(Fragments::default()),
            counters: Counters::default(),
            works: Works::default(),
            failed: Cell::new(None),
            housekeeping: RefCell::new(None),
            growing: Cell::new(false),
            cleaning: Cell::new(false),
            closed: Cell::new(false),
        });
        let housekeeper = Rc::clone(&shared);
        shared.env.spawn(async move { housekeeper.housekeep().await });
        Self { shared, class: IoClass::Foreground }
    }

    /// A handle that reads and writes the bytes of fragments, and reads payloads, for somebody who
    /// waits or for nobody. The log, the index and flushes everybody shares: they are never
    /// background work.
    #[must_use]
    pub fn with_class(&self, class: IoClass) -> Self {
        Self { shared: Rc::clone(&self.shared), class }
    }

    /// Who the drive is.
    #[must_use]
    pub fn identity(&self) -> DriveIdentity {
        let rebuilding = self.shared.superblock.borrow().state == DriveState::Rebuilding;
        DriveIdentity { rebuilding, ..self.shared.identity }
    }

    /// Why the drive is out of service, if it is.
    #[must_use]
    pub fn failed(&self) -> Option<DriveError> {
        self.shared.failed()
    }

    /// Takes the drive out of service.
    pub fn fail(&self, error: DriveError) {
        self.shared.fail(error);
    }

    /// Has background work told; in the place of whoever watched before.
    pub fn watch(&self, watcher: WorkWatcher) {
        self.shared.works.watch(watcher);
    }

    /// Stops housekeeping; the handle answers until it is dropped.
    pub fn close(&self) {
        self.shared.closed.set(true);
        self.shared.housekeeping_wanted();
    }

    /// Logs a prepared write. The order of calls is the order of the log, but for settled writes
    /// that adopt fragments: those wait for a flush of their data first, because nobody verifies
    /// them after a crash. The answer comes when it is durable here.
    ///
    /// `Full` where it does not fit a segment of the log, `Format(Bounds)` where it is no sound
    /// commit; it is not logged then, and what it adopts is given back.
    pub fn prepare(&self, commit: Commit) -> impl Future<Output = Result<(), DriveError>> + use<E> {
        let shared = &self.shared;
        shared.space.borrow_mut().return_log_promise(commit.payload.len() as u64);
        let adopted: Vec<DataId> = commit.adopts.iter().map(|fragment| fragment.data).collect();
        let sound = commit.check();
        let flush_first = commit.settled
            && commit.adopts.iter().any(|fragment| fragment.append)
            && !shared.env.breaks(Rule::DataFlushed);
        let record = Record::Commit(Box::new(commit));
        let refused: Option<DriveError> = match sound {
            Err(error) => Some(error.into()),
            Ok(()) if record_bytes(&record) > shared.record_bytes_max() => Some(DriveError::Full),
            Ok(()) => None,
        };
        let (reply, receiver) = oneshot::channel();
        if let Some(error) = refused {
            for data in adopted {
                shared.space.borrow_mut().give_back(data);
            }
            _ = reply.send(Err(error));
        } else if flush_first {
            shared.queue_after_flush(record, reply);
        } else {
            shared.queue(record, Some(reply));
        }
        async move { receiver.await.unwrap_or(Err(DriveError::Failed)) }
    }

    /// The write is settled on every in-sync position: visible here from now on.
    pub fn settled(&self, sequence: Sequence) {
        self.shared.state.borrow_mut().settle_in_memory(sequence);
    }

    /// Logs settled-through marks.
    pub fn mark(&self, marks: Vec<Mark>) -> impl Future<Output = Result<(), DriveError>> + use<E> {
        let receiver = self.shared.append(Record::Marks(marks));
        async move { receiver.await.unwrap_or(Err(DriveError::Failed)) }
    }

    /// Logs marks with whatever batch comes next; nobody waits.
    pub fn mark_lazily(&self, marks: Vec<Mark>) {
        self.shared.append_unwatched(Record::Marks(marks));
    }

    /// Logs that these writes never were.
    pub fn abort(
        &self,
        sequences: Vec<Sequence>,
    ) -> impl Future<Output = Result<(), DriveError>> + use<E> {
        let receiver = self.shared.append(Record::Aborts(sequences));
        async move { receiver.await.unwrap_or(Err(DriveError::Failed)) }
    }

    /// Logs a promise: no view below this epoch is written here any more.
    ///
    /// # Errors
    /// `Ok(false)` where a higher one stands.
    pub async fn promise(&self, epoch: Epoch) -> Result<bool, DriveError> {
        let shared = &self.shared;
        if shared.env.breaks(Rule::PromiseFirst) {
            return Ok(true);
        }
        if self.promised().max(shared.promise_queued.get()) >= epoch {
            return Ok(false);
        }
        shared.promise_queued.set(epoch);
        let receiver = shared.append(Record::Promise(epoch));
        receiver.await.unwrap_or(Err(DriveError::Failed))?;
        Ok(true)
    }

    /// Logs a view. `Ok(false)` where a higher epoch is promised or written, durably or on its
    /// way.
    ///
    /// # Errors
    /// Any `DriveError`.
    pub async fn write_view(&self, view: View) -> Result<bool, DriveError> {
        let shared = &self.shared;
        let highest = self.promised().max(shared.promise_queued.get()).max(self.view().epoch);
        if highest > view.epoch {
            return Ok(false);
        }
        shared.promise_queued.set(view.epoch);
        let receiver = shared.append(Record::View(view));
        receiver.await.unwrap_or(Err(DriveError::Failed))?;
        Ok(true)
    }

    /// The drive holds all it should: it may be in sync again after the next opening too.
    ///
    /// # Errors
    /// Any `DriveError`; the drive has failed then.
    pub async fn rebuilt(&self) -> Result<(), DriveError> {
        self.set_state(DriveState::Active).await
    }

    /// The drive lost something it had made durable: it must be rebuilt before it may be in sync,
    /// also after the next opening.
    ///
    /// # Errors
    /// Any `DriveError`; the drive has failed then.
    pub async fn distrust(&self) -> Result<(), DriveError> {
        self.set_state(DriveState::Rebuilding).await
    }

    async fn set_state(&self, state: DriveState) -> Result<(), DriveError> {
        let shared = &self.shared;
        let _permit = shared.superblock_gate.take(1).await;
        let mut superblock = shared.superblock.borrow().clone();
        if superblock.state == state {
            return Ok(());
        }
        superblock.state = state;
        superblock.generation += 1;
        let broken = BrokenRules::of(&shared.env);
        let written = crate::recover::write_superblock(&shared.drive, &superblock, broken).await;
        if let Err(error) = written {
            shared.fail(error);
            return Err(error);
        }
        *shared.superblock.borrow_mut() = superblock;
        Ok(())
    }

    /// Logs what the other drives have made durable.
    pub fn note_peers(&self, peers: Vec<PeerKnown>) {
        self.shared.append_unwatched(Record::Peers(peers));
    }

    /// Waits until everything queued before is durable and applied.
    ///
    /// # Errors
    /// Any `DriveError`.
    pub async fn barrier(&self) -> Result<(), DriveError> {
        while self.shared.flushing_first.get() > 0 && self.failed().is_none() {
            self.shared.env.sleep_us(200).await;
        }
        if self.shared.log.borrow().is_idle() {
            return self.failed().map_or(Ok(()), Err);
        }
        let receiver = self.shared.append(Record::Marks(Vec::new()));
        receiver.await.unwrap_or(Err(DriveError::Failed))
    }

    /// The newest view here.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.state.borrow().view.clone()
    }

    /// The highest epoch promised here.
    #[must_use]
    pub fn promised(&self) -> Epoch {
        self.shared.state.borrow().promised
    }

    /// The newest durable settled-through marks here.
    #[must_use]
    pub fn marks(&self) -> Vec<Sequence> {
        self.shared.state.borrow().marks.values().copied().collect()
    }

    /// What this drive knows the others to have made durable.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerKnown> {
        self.shared.state.borrow().peers.values().copied().collect()
    }

    /// What this drive has made durable: its incarnation and newest applied batch.
    #[must_use]
    pub fn durable(&self) -> PeerKnown {
        PeerKnown {
            drive: self.shared.identity.drive,
            position: self.shared.identity.position,
            incarnation: self.shared.identity.incarnation,
            batch_sequence: self.shared.log.borrow().applied.batch_sequence,
        }
    }

    /// The newest batch of its log when it was opened.
    #[must_use]
    pub fn recovered_batch(&self) -> u64 {
        self.shared.recovered_batch
    }

    /// Writes prepared and not covered by a durable mark, oldest first.
    #[must_use]
    pub fn unsettled(&self) -> Vec<Rc<Commit>> {
        let state = self.shared.state.borrow();
        state.pending.values().map(|pending| Rc::clone(&pending.commit)).collect()
    }

    /// Promises room for a payload of so many bytes in the log; waits while cleaning makes some.
    /// Dropping the future promises nothing.
    ///
    /// # Errors
    /// `Full`, `Cleaning` where that takes too long, or `Failed`.
    pub async fn promise_payload(&self, bytes: u64) -> Result<(), DriveError> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        if self.shared.env.breaks(Rule::PromiseSpace) {
            return Ok(());
        }
        let abandoned = self.shared.fragments.borrow().abandoned;
        self.shared.with_room(|space| space.promise_log(bytes)).await?;
        if self.shared.fragments.borrow().abandoned == abandoned {
            return Ok(());
        }
        self.return_payload_promise(bytes);
        Err(DriveError::Fenced)
    }

    /// Gives a promise of `promise_payload` back unused.
    pub fn return_payload_promise(&self, bytes: u64) {
        self.shared.space.borrow_mut().return_log_promise(bytes);
    }

    /// Numbers for status and metrics.
    #[must_use]
    pub fn usage(&self) -> DriveUsage {
        let shared = &self.shared;
        let (space, log) = (shared.space.borrow(), shared.log.borrow());
        let runs = shared.runs.borrow();
        DriveUsage {
            capacity_bytes: u64::from(space.segment_count()) * space.segment_bytes(),
            free_bytes: space.free_bytes(),
            log_depth: log.depth(),
            batches: log.batches,
            records: log.records,
            flushes: shared.counters.flushes.get(),
            pending: shared.state.borrow().pending.len(),
            checkpoints: shared.counters.checkpoints.get(),
            cleaned_segments: shared.counters.cleaned.get(),
            corrupt_blocks: shared.counters.corrupt.get(),
            healed: shared.counters.healed.get(),
            quarantined_segments: space.quarantined_count(),
            sealed_segments: shared.counters.sealed.get(),
            runs: runs.len(),
            index_memory_bytes: runs.memory_bytes(),
        }
    }

    /// How many segments have each use; for tests and `inspect`.
    #[must_use]
    pub fn census(&self) -> std::collections::BTreeMap<&'static str, u32> {
        self.shared.space.borrow().census()
    }

    /// Fragments reserved and not adopted; for tests.
    #[must_use]
    pub fn reserved_fragments(&self) -> usize {
        self.shared.space.borrow().reserved_count()
    }

    /// Gives back every fragment that no write adopted and every promise of log space: the owners
    /// they belong to are out of office (a change of view), and will not come back for them.
    pub fn abandon_streams(&self) {
        self.shared.abandon_streams();
    }

    /// Gives back the space of a fragment that no write adopted.
    pub fn discard_fragment(&self, data: DataId) {
        self.shared.discard_fragment(data);
    }
}

impl<E: Env> Shared<E> {
    pub(crate) fn failed(&self) -> Option<DriveError> {
        self.failed.get()
    }

    /// Fail-stop: everything waiting is answered, nothing more is taken.
    pub(crate) fn fail(&self, error: DriveError) {
        if self.failed.get().is_none() {
            self.failed.set(Some(error));
        }
        self.fail_queue();
        self.housekeeping_wanted();
    }

    /// Queues a record once everything that completed before is flushed. Not for the caller to
    /// abandon: what the record adopts would be lost.
    fn queue_after_flush(self: &Rc<Self>, record: Record, reply: Reply) {
        self.flushing_first.set(self.flushing_first.get() + 1);
        let shared = Rc::clone(self);
        self.env.spawn(async move {
            match shared.flush_now().await {
                Ok(()) => shared.queue(record, Some(reply)),
                Err(error) => {
                    shared.fail(error);
                    _ = reply.send(Err(error));
                }
            }
            shared.flushing_first.set(shared.flushing_first.get() - 1);
        });
    }

    /// The handle of the drive for a class.
    pub(crate) fn drive_of(&self, class: IoClass) -> &E::Drive {
        match class {
            IoClass::Foreground => &self.drive,
            IoClass::Background => &self.background,
        }
    }

    pub(crate) fn drive_low(&self) -> u64 {
        u64::from_le_bytes(self.identity.drive.0.first_chunk().copied().unwrap_or_default())
    }

    pub(crate) fn segment_offset(&self, segment: SegmentId) -> u64 {
        u64::from(segment.0) * self.space.borrow().segment_bytes()
    }

    /// Wakes housekeeping.
    pub(crate) fn housekeeping_wanted(&self) {
        if let Some(sender) = self.housekeeping.borrow_mut().take() {
            _ = sender.send(());
        }
    }

    pub(crate) fn housekeeping_signal(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        *self.housekeeping.borrow_mut() = Some(sender);
        receiver
    }
}

//! One drive, open: its log, index, space and fragments behind one handle.
//!
//! Invariants: lives on the thread of its shard; every public write is answered only when it is
//! durable on this drive; after a failed write or flush it answers `Failed` until opened again.

use crate::config::StoreConfig;
use crate::error::DriveError;
use crate::fragments::Fragments;
use crate::log::Log;
use crate::runs::Runs;
use crate::space::{NoSpace, Space};
use crate::state::State;
use engine_env::sync::Gate;
use engine_env::{DmaBuf, Drive, Env};
use engine_format::{Commit, DriveState, Mark, PeerKnown, Record, Superblock, View};
use engine_types::{DataId, DeploymentId, DriveId, Epoch, Position, SegmentId, Sequence, SetId};
use futures_channel::oneshot;
use futures_util::future::try_join_all;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

/// Who a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveIdentity {
    /// The drive.
    pub drive: DriveId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its erasure set.
    pub set: SetId,
    /// Its place in the set.
    pub position: Position,
    /// Drives of the set.
    pub set_size: u8,
    /// Erasure sets of the pool.
    pub set_count: u16,
    /// Parity cells of a stripe, by default.
    pub parity: u8,
    /// Whether it must be rebuilt before it may be in sync.
    pub rebuilding: bool,
    /// Rises with each opening.
    pub incarnation: u32,
}

/// What a drive has done and holds; for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriveUsage {
    /// The most it may hold.
    pub capacity_bytes: u64,
    /// What data may still take, down to the reserve.
    pub free_bytes: u64,
    /// Records not durable yet.
    pub log_depth: usize,
    /// Log batches since it was opened.
    pub batches: u64,
    /// Log records since it was opened.
    pub records: u64,
    /// Flushes since it was opened.
    pub flushes: u64,
    /// Writes prepared here and not known settled.
    pub pending: usize,
    /// Checkpoints since it was opened.
    pub checkpoints: u64,
    /// Segments cleaned since it was opened.
    pub cleaned_segments: u64,
    /// Blocks whose sum did not hold since it was opened.
    pub corrupt_blocks: u64,
    /// Runs of the index.
    pub runs: usize,
    /// Bytes of memory of the index.
    pub index_memory_bytes: usize,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub flushes: Cell<u64>,
    pub checkpoints: Cell<u64>,
    pub cleaned: Cell<u64>,
    pub corrupt: Cell<u64>,
}

/// The insides, shared by the tasks of one drive.
pub(crate) struct Shared<E: Env> {
    pub env: E,
    pub drive: E::Drive,
    pub config: StoreConfig,
    pub identity: DriveIdentity,
    pub superblock: RefCell<Superblock>,
    /// One write of the superblock at a time.
    pub superblock_gate: Gate,
    pub state: RefCell<State>,
    pub space: RefCell<Space>,
    pub log: RefCell<Log>,
    pub runs: RefCell<Runs>,
    pub fragments: RefCell<Fragments>,
    pub counters: Counters,
    failed: Cell<Option<DriveError>>,
    housekeeping: RefCell<Option<oneshot::Sender<()>>>,
    pub growing: Cell<bool>,
    pub closed: Cell<bool>,
}

/// One drive, open. Clones are handles to the same drive.
pub struct Store<E: Env> {
    pub(crate) shared: Rc<Shared<E>>,
}

impl<E: Env> Clone for Store<E> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
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
            drive: parts.drive,
            config: parts.config,
            identity,
            superblock: RefCell::new(parts.superblock),
            superblock_gate: Gate::new(1),
            state: RefCell::new(parts.state),
            space: RefCell::new(parts.space),
            log: RefCell::new(parts.log),
            runs: RefCell::new(parts.runs),
            fragments: RefCell::new(Fragments::default()),
            counters: Counters::default(),
            failed: Cell::new(None),
            housekeeping: RefCell::new(None),
            growing: Cell::new(false),
            closed: Cell::new(false),
        });
        let housekeeper = Rc::clone(&shared);
        shared.env.spawn(async move { housekeeper.housekeep().await });
        Self { shared }
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

    /// Stops housekeeping; the handle answers until it is dropped.
    pub fn close(&self) {
        self.shared.closed.set(true);
        self.shared.housekeeping_wanted();
    }

    /// Logs a prepared write. The order of calls is the order of the log. The answer comes when
    /// it is durable here.
    pub fn prepare(
        &self,
        commit: Commit,
    ) -> impl Future<Output = Result<(), DriveError>> + use<E> {
        let promised = commit.payload.len() as u64;
        self.shared.space.borrow_mut().return_log_promise(promised);
        let receiver = self.shared.append(Record::Commit(Box::new(commit)));
        async move { receiver.await.unwrap_or(Err(DriveError::Failed)) }
    }

    /// The write is settled on every in-sync position: visible here from now on.
    pub fn settled(&self, sequence: Sequence) {
        self.shared.state.borrow_mut().settle_in_memory(sequence);
    }

    /// Logs settled-through marks.
    pub fn mark(
        &self,
        marks: Vec<Mark>,
    ) -> impl Future<Output = Result<(), DriveError>> + use<E> {
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
        if self.promised() >= epoch {
            return Ok(false);
        }
        let receiver = self.shared.append(Record::Promise(epoch));
        receiver.await.unwrap_or(Err(DriveError::Failed))?;
        Ok(true)
    }

    /// Logs a view. `Ok(false)` where a higher epoch is promised or written.
    ///
    /// # Errors
    /// Any `DriveError`.
    pub async fn write_view(&self, view: View) -> Result<bool, DriveError> {
        if self.promised() > view.epoch || self.view().epoch > view.epoch {
            return Ok(false);
        }
        let receiver = self.shared.append(Record::View(view));
        receiver.await.unwrap_or(Err(DriveError::Failed))?;
        Ok(true)
    }

    /// The drive holds all it should: it may be in sync again after the next opening too.
    ///
    /// # Errors
    /// Any `DriveError`.
    pub async fn rebuilt(&self) -> Result<(), DriveError> {
        let _permit = self.shared.superblock_gate.take(1).await;
        let superblock = {
            let mut superblock = self.shared.superblock.borrow_mut();
            if superblock.state == DriveState::Active {
                return Ok(());
            }
            superblock.state = DriveState::Active;
            superblock.generation += 1;
            superblock.clone()
        };
        crate::recover::write_superblock(&self.shared.drive, &superblock).await
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
            position: self.shared.identity.position,
            incarnation: self.shared.identity.incarnation,
            batch_sequence: self.shared.log.borrow().applied.batch_sequence,
        }
    }

    /// Writes prepared and not covered by a durable mark, oldest first.
    #[must_use]
    pub fn unsettled(&self) -> Vec<Rc<Commit>> {
        let state = self.shared.state.borrow();
        state.pending.values().map(|pending| Rc::clone(&pending.commit)).collect()
    }

    /// Whether there is room for a payload of so many bytes in the log; promises it.
    ///
    /// # Errors
    /// `Full`, or `Failed`.
    pub fn promise_payload(&self, bytes: u64) -> Result<(), DriveError> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        let promised = self.shared.space.borrow_mut().promise_log(bytes);
        self.shared.housekeeping_wanted();
        promised.map_err(|_| DriveError::Full)
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

    /// Writes a buffer at an offset of the drive, in pieces the drive takes. Submitted at once.
    pub(crate) fn write_pieces(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), DriveError>> + 'static + use<E> {
        let piece_bytes = self.drive.geometry().io_bytes_max;
        let mut writes = Vec::new();
        if buffer.len() <= piece_bytes {
            writes.push(self.drive.write(offset_bytes, buffer));
        } else {
            let mut at = 0;
            while at < buffer.len() {
                let end = (at + piece_bytes).min(buffer.len());
                let piece = DmaBuf::copy_of(&buffer[at..end]);
                writes.push(self.drive.write(offset_bytes + at as u64, piece));
                at = end;
            }
        }
        async move {
            try_join_all(writes).await?;
            Ok(())
        }
    }

    /// Reads whole blocks at an offset of the drive.
    pub(crate) async fn read_at(
        &self,
        offset_bytes: u64,
        len: usize,
    ) -> Result<DmaBuf, DriveError> {
        let piece_bytes = self.drive.geometry().io_bytes_max;
        if len <= piece_bytes {
            return Ok(self.drive.read(offset_bytes, DmaBuf::zeroed(len)).await?);
        }
        let mut whole = DmaBuf::zeroed(len);
        let mut reads = Vec::new();
        for at in (0..len).step_by(piece_bytes) {
            let piece = DmaBuf::zeroed(piece_bytes.min(len - at));
            reads.push(self.drive.read(offset_bytes + at as u64, piece));
        }
        for (piece, at) in try_join_all(reads).await?.iter().zip((0..len).step_by(piece_bytes)) {
            whole[at..at + piece.len()].copy_from_slice(piece);
        }
        Ok(whole)
    }

    /// Prepares more segments where few are left; one at a time.
    pub(crate) async fn grow(&self, wanted: u32) -> Result<(), DriveError> {
        if self.growing.replace(true) {
            // Somebody grows already; come back after a moment.
            self.env.sleep_us(1000).await;
            return Ok(());
        }
        let (prepared, count, segment_bytes) = {
            let space = self.space.borrow();
            (space.prepared(), space.segment_count(), space.segment_bytes())
        };
        let target = (prepared + wanted).min(count);
        let result = self.drive.prepare(u64::from(target) * segment_bytes).await;
        self.growing.set(false);
        let ready = self.drive.prepared_bytes() / segment_bytes;
        self.space.borrow_mut().set_prepared(u32::try_from(ready).unwrap_or(u32::MAX));
        Ok(result?)
    }

    /// Runs an allocation, growing the drive as long as that helps.
    pub(crate) async fn with_growth<T>(
        &self,
        mut allocate: impl FnMut(&mut Space) -> Result<T, NoSpace>,
    ) -> Result<T, DriveError> {
        loop {
            let outcome = allocate(&mut self.space.borrow_mut());
            match outcome {
                Ok(value) => return Ok(value),
                Err(NoSpace::Full) => return Err(DriveError::Full),
                Err(NoSpace::Growth) => match self.grow(4).await {
                    Ok(()) => {}
                    Err(DriveError::Io(engine_env::IoError::NoSpace)) => {
                        return Err(DriveError::Full);
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

//! What members of a set ask of each other's drives. All of it can cross threads, and one day
//! nodes.
//!
//! Invariants: requests of one sender to one drive are served in the order sent; everything that
//! changes a drive carries the epoch under which it was sent, and a drive refuses other epochs;
//! what moves bytes says for whom: only where nobody waits is it background work of the drive.

use engine_env::{DmaBuf, IoClass, Rule};
use engine_format::{Commit, Entry, FragmentRecord, Keyspace, Mark, Order, PeerKnown, View};
use engine_store::{DriveError, DriveIdentity, FragmentPlan, ScanPage};
use engine_types::{DataId, DriveId, Epoch, FragmentIndex, Position, PositionSet, Sequence};

/// What a drive says of itself at a change of view.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Who it is.
    pub identity: DriveIdentity,
    /// Its newest view.
    pub view: View,
    /// The highest epoch it promised.
    pub promised: Epoch,
    /// Its newest durable marks.
    pub marks: Vec<Sequence>,
    /// What it has made durable.
    pub durable: PeerKnown,
    /// The newest batch of its log when it was opened.
    pub recovered_batch: u64,
    /// What it knows the others to have made durable.
    pub peers: Vec<PeerKnown>,
    /// Writes prepared on it and not covered by its marks.
    pub unsettled: Vec<Commit>,
}

/// The view in force, as members install it.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    /// Rises with each installation, also of a view that was installed before.
    pub number: u64,
    /// The view.
    pub view: View,
    /// The in-sync positions that answer.
    pub active: PositionSet,
    /// Whether reads are served.
    pub serving: bool,
    /// Whether writes are: the floors hold.
    pub writable: bool,
    /// Too few drives of the view answer for writes, and that does not pass by itself.
    pub reads_only: bool,
    /// Whether writes are recorded for a drive that is catching up.
    pub record_dirty: bool,
    /// Keys with an undecided write: answered with 503 until a drive returns. An empty one stands
    /// for the parts of some upload.
    pub undecided: Vec<Vec<u8>>,
}

/// A request to a drive of the set.
#[derive(Debug)]
pub enum DriveRequest {
    /// Stop serving, finish what is in flight, and say where you stand.
    Fence,
    /// Promise an epoch.
    Promise(Epoch),
    /// Write a view.
    WriteView(View),
    /// Serve under this view.
    Install(Box<Installed>),
    /// Reserve a fragment.
    Reserve(Epoch, FragmentPlan),
    /// Give a reservation back.
    Discard(DataId),
    /// The next bytes of a fragment.
    Write(DataId, DmaBuf, IoClass),
    /// The fragment is complete: footer, and flush where it needs one.
    Finish(DataId),
    /// Promise log space for a payload, or give the promise back.
    PromisePayload(Epoch, u64),
    /// Give a promise of log space back.
    ReturnPromise(Epoch, u64),
    /// Log a write, adopting a finished fragment; marks go before it.
    Prepare(Box<Prepare>),
    /// Log marks; answered when durable.
    Mark(Vec<Mark>),
    /// Log marks, and what the others have made durable, with the next batch; answered at once.
    MarkLazily(Epoch, Vec<Mark>, Vec<PeerKnown>),
    /// Log that these never were; answered when durable.
    Abort(Vec<Sequence>),
    /// An index entry and the payload it points to.
    Get(Vec<u8>, IoClass),
    /// Live entries of the index.
    Scan(Vec<u8>, Vec<u8>, usize),
    /// Bytes of a fragment, checked.
    ReadFragment(DataId, u64, usize, IoClass),
    /// Whether a fragment is whole.
    VerifyFragment(DataId, IoClass),
    /// The record of a fragment.
    FragmentRecord(DataId),
    /// What the others have made durable, whatever was known before: a change of view says so.
    NotePeers(Vec<PeerKnown>),
    /// From here on record what is written under this view, for a drive that catches up.
    RecordDirty(Epoch),
    /// What was written since recording began; recording goes on.
    TakeDirty,
    /// The drive of this id is rebuilt.
    Rebuilt(DriveId),
    /// The drive lost what it had made durable: it must be rebuilt.
    Distrust,
}

/// What a write changed while a drive caught up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirty {
    /// The positions in the key's order.
    pub order: Order,
    /// The entries changed: keyspace and suffix.
    pub entries: Vec<(Keyspace, Vec<u8>)>,
    /// The data released.
    pub releases: Vec<DataId>,
}

/// A write for one position.
#[derive(Debug)]
pub struct Prepare {
    /// The view's epoch under which it is sent.
    pub epoch: Epoch,
    /// Marks to log before it.
    pub marks: Vec<Mark>,
    /// The write; `adopts` is filled in by the drive.
    pub commit: Commit,
    /// The finished fragment it adopts there.
    pub adopt: Option<DataId>,
}

/// The answer of a drive.
#[derive(Debug)]
pub enum DriveReply {
    /// Done.
    Done,
    /// Done, or not: an epoch that is taken, a fragment that is not whole.
    Was(bool),
    /// `Fence`.
    Hello(Box<Hello>),
    /// `Get`.
    Entry(Option<(Entry, Option<Vec<u8>>)>),
    /// `Scan`.
    Page(ScanPage),
    /// `ReadFragment`.
    Bytes(FragmentIndex, DmaBuf),
    /// `FragmentRecord`.
    Fragment(Option<Box<FragmentRecord>>),
    /// `TakeDirty`.
    Dirty(Vec<Dirty>),
    /// `Prepare`, `Mark`: it is durable, and so is everything of the drive up to here.
    Durable(PeerKnown),
}

/// The outcome of a request.
pub type DriveOutcome = Result<DriveReply, DriveError>;

/// The way to the drives of one set.
///
/// **Runs on** the thread of its shard.
pub trait Peers: Clone + 'static {
    /// Sends a request now; the future waits for the answer. Dropping it drops only the answer.
    fn call(
        &self,
        position: Position,
        request: DriveRequest,
    ) -> impl Future<Output = DriveOutcome> + 'static + use<Self>;

    /// Whether the set is a must-fail twin without a rule: always false outside the simulator.
    fn breaks(&self, _rule: Rule) -> bool {
        false
    }
}

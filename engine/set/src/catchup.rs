//! How a drive outside the view comes back: everything it should hold is compared with what the
//! in-sync drives hold, both ways, and made equal; then a new view admits it (rules 6, 7).
//!
//! Invariants: the whole state of a key is compared, never record by record; what the in-sync
//! drives do not have goes; keys written meanwhile are recorded by their owners and compared again
//! while writes stand still; a replaced (empty) drive takes the same way; a change of view beside
//! it ends it; what nobody can read any more is counted, and keeps no drive out; its bytes are
//! background work of all drives, but for keys that clients write meanwhile, and where writes wait
//! for it: while they stand still, or all along where the set takes none until it has ended.

mod compare;
mod entries;
mod remove;

pub(crate) use entries::settled;

use crate::decide::{is_bare, variant_for};
use crate::error::SetError;
use crate::message::{Dirty, DriveReply, DriveRequest, Installed, Peers, Prepare};
use crate::view::{Change, Coordinator};
use engine_env::{IoClass, Rule};
use engine_format::{Commit, Entry, Keyspace};
use engine_store::{DriveError, ScanPage};
use engine_types::{DataId, DriveId, ErrorClass, Position, PositionSet, Sequence};
use futures_util::stream::{self, TryStreamExt};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

const PAGE_ENTRIES: usize = 256;
/// Keys compared at a time: each waits for drives, and for their flushes where it is written.
const KEYS_AT_ONCE: usize = 16;
const ROUNDS_MAX: usize = 8;
const FEW_WRITES: usize = 64;
const SPACES: [Keyspace; 3] = [Keyspace::Current, Keyspace::Uploads, Keyspace::Parts];

/// What catching up has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatchUp {
    /// Keys compared.
    pub compared: u64,
    /// Entries written to the drive.
    pub written: u64,
    /// Entries deleted from it.
    pub deleted: u64,
    /// Fragments rebuilt on it.
    pub rebuilt: u64,
    /// Objects and parts that no drives in sync can make whole: they stay short of protection.
    pub unreadable: u64,
    /// The first of them, for the log.
    pub unreadable_first: String,
}

/// One drive's way back.
struct Way<'a, P: Peers> {
    coordinator: &'a Coordinator<P>,
    installed: Installed,
    position: Position,
    /// The drive that began to catch up there.
    drive: DriveId,
    /// Writes it was told of when it joined an earlier view.
    told: Vec<Sequence>,
    /// What was found so far; many keys are compared at a time.
    found: RefCell<Found>,
    /// For whom bytes are read and written: for nobody, or for writes that wait (module header).
    class: Cell<IoClass>,
}

#[derive(Default)]
struct Found {
    /// Data ids the drive must hold.
    wanted: BTreeSet<DataId>,
    /// Data ids it held and need not.
    extra: Vec<DataId>,
    /// What some object is made of cannot be read: whatever may be of it stays.
    keeps_extra: bool,
    done: CatchUp,
}

impl<P: Peers> Coordinator<P> {
    /// Whether a drive can catch up from the drives in sync: a key that none of them leads would be
    /// absent for good.
    #[must_use]
    pub fn can_catch_up(&self, installed: &Installed) -> bool {
        installed.serving
            && (self.config.leads_every_key(installed.active)
                || self.peers.breaks(Rule::CatchUpFromAll))
    }

    /// Brings a drive that is outside the view up to date and admits it. Changes of view go on
    /// beside it, but for its first and last moments.
    ///
    /// # Errors
    /// `Unavailable` where the drives in sync do not lead every key (`can_catch_up`), where the view
    /// is not (any more) the one given, or the drive or the set fails meanwhile; to be tried again,
    /// after a change of view if `must_change` says so.
    pub async fn catch_up(
        &self,
        position: Position,
        installed: &Installed,
    ) -> Result<(CatchUp, Change), SetError> {
        if !self.can_catch_up(installed) {
            return Err(SetError::Unavailable);
        }
        let mut way = Way {
            coordinator: self,
            installed: installed.clone(),
            position,
            drive: DriveId::default(),
            told: Vec::new(),
            found: RefCell::default(),
            // Where the set takes no writes until this has ended, clients wait for it.
            class: Cell::new(match installed.reads_only {
                true => IoClass::Foreground,
                false => IoClass::Background,
            }),
        };
        let outcome = way.go().await;
        if outcome.is_err() {
            self.left_behind(&way.installed);
        }
        outcome.map(|change| (way.found.into_inner().done, change))
    }
}

impl<P: Peers> Way<'_, P> {
    async fn go(&mut self) -> Result<Change, SetError> {
        self.begin().await?;
        if !self.peers().breaks(Rule::AbsenceWins) {
            self.remove_absent().await?;
        }
        self.compare_all().await?;
        self.find_extra().await?;
        // What is written while it catches up is compared again, round by round, so that little
        // is left for the moment when writes stand still.
        for _ in 0..ROUNDS_MAX {
            if self.compare_dirty().await? < FEW_WRITES {
                break;
            }
        }
        self.end().await
    }

    /// Has owners record what they write from here on, and the drive take what is sent to it.
    async fn begin(&mut self) -> Result<(), SetError> {
        // Its undecided writes are decided by now: what of them holds, the others have.
        let reply = self.ask(self.position, DriveRequest::Fence).await?;
        let DriveReply::Hello(hello) = reply else { return Err(SetError::Unavailable) };
        self.drive = hello.identity.drive;
        // Not what it was only told of: until it is admitted, that is what tells that it lacks it.
        let (told, pending): (Vec<&Commit>, Vec<&Commit>) =
            hello.unsettled.iter().partition(|commit| is_bare(commit, self.position));
        let sequences =
            |commits: Vec<&Commit>| commits.iter().map(|commit| commit.sequence).collect();
        self.told = sequences(told);
        let pending: Vec<Sequence> = sequences(pending);
        if !pending.is_empty() && !self.peers().breaks(Rule::CatchUpPending) {
            self.ask(self.position, DriveRequest::Abort(pending)).await?;
        }
        let _turn = self.coordinator.turn.take(1).await;
        let epoch = self.installed.view.epoch;
        for owner in self.installed.active.iter() {
            self.ask(owner, DriveRequest::RecordDirty(epoch)).await?;
        }
        let installed = Box::new(self.installed.clone());
        self.ask(self.position, DriveRequest::Install(installed)).await?;
        Ok(())
    }

    /// The last comparison, while writes stand still, and the view that admits the drive.
    async fn end(&mut self) -> Result<Change, SetError> {
        let coordinator = self.coordinator;
        let _turn = coordinator.turn.take(1).await;
        if !coordinator.is_in_force(&self.installed) {
            return Err(SetError::Unavailable);
        }
        // From here on nothing is served, and everybody waits for this.
        self.class.set(IoClass::Foreground);
        let still = coordinator.change(PositionSet::EMPTY, true).await?;
        let Change { installed, held, rolled_forward, aborted, lost, .. } = still;
        let before = std::mem::replace(&mut self.installed, installed);
        if self.installed.active != before.active {
            return Err(SetError::Unavailable);
        }
        // What was wanted before a key was written again may be wanted no more: the keys compared
        // now say anew.
        self.compare_dirty().await?;
        self.release_extra().await?;
        let told = std::mem::take(&mut self.told);
        if !told.is_empty() {
            self.ask(self.position, DriveRequest::Abort(told)).await?;
        }
        self.tell_of(&held).await?;
        self.ask(self.position, DriveRequest::Rebuilt(self.drive)).await?;
        let mut admit = PositionSet::EMPTY;
        admit.insert(self.position);
        let mut change = coordinator.change(admit, false).await?;
        change.rolled_forward += rolled_forward;
        change.aborted += aborted;
        change.lost += lost;
        Ok(change)
    }

    /// Tells the drive of writes nobody can decide now. It may come to own their keys while those
    /// who have them are away, and would answer what was before.
    async fn tell_of(&self, held: &[Commit]) -> Result<(), SetError> {
        for commit in held {
            let metadata = commit.order.first(self.coordinator.config.quorums.metadata);
            let is_told = metadata.contains(self.position) && !commit.mutations.is_empty();
            if is_told && !self.peers().breaks(Rule::JoinedKnows) {
                self.send(variant_for(commit, metadata, self.position), None).await?;
            }
        }
        Ok(())
    }

    fn peers(&self) -> &P {
        &self.coordinator.peers
    }

    /// Asks a drive, as long as the view is the one everything here rests on.
    async fn ask(
        &self,
        position: Position,
        request: DriveRequest,
    ) -> Result<DriveReply, DriveError> {
        if !self.coordinator.is_in_force(&self.installed) {
            return Err(DriveError::Fenced);
        }
        self.peers().call(position, request).await
    }

    /// The entry of a key on a drive, with its payload where there is one and it can be read.
    async fn get(
        &self,
        position: Position,
        key: Vec<u8>,
    ) -> Result<Option<(Entry, Option<Vec<u8>>)>, SetError> {
        match self.ask(position, DriveRequest::Get(key.clone(), self.class.get())).await {
            Ok(DriveReply::Entry(found)) => Ok(found),
            Err(error) if error.class() == ErrorClass::Corrupt => {
                let mut end = key.clone();
                end.push(0);
                let mut page = self.scan(position, key, end).await?;
                Ok(page.entries.pop().map(|(_, entry)| (entry, None)))
            }
            _ => Err(SetError::Unavailable),
        }
    }

    async fn scan(
        &self,
        position: Position,
        start: Vec<u8>,
        end: Vec<u8>,
    ) -> Result<ScanPage, SetError> {
        match self.ask(position, DriveRequest::Scan(start, end, PAGE_ENTRIES)).await {
            Ok(DriveReply::Page(page)) => Ok(page),
            _ => Err(SetError::Unavailable),
        }
    }

    /// Compares what was written since the last look; gives how many writes.
    async fn compare_dirty(&self) -> Result<usize, SetError> {
        let mut written = Vec::new();
        for owner in self.installed.active.iter() {
            let reply = self.ask(owner, DriveRequest::TakeDirty).await?;
            let DriveReply::Dirty(dirty) = reply else { return Err(SetError::Unavailable) };
            written.extend(dirty);
        }
        let count = written.len();
        // Each key once, however often it was written: what its owner has now is what counts.
        let mut keys = BTreeMap::new();
        for Dirty { order, entries, releases } in written {
            let mut found = self.found.borrow_mut();
            for data in &releases {
                found.wanted.remove(data);
            }
            found.extra.extend(&releases);
            keys.extend(entries.into_iter().map(|key| (key, order.clone())));
        }
        let keys = keys.into_iter().map(Ok);
        let compared = stream::iter(keys)
            .try_for_each_concurrent(KEYS_AT_ONCE, |(key, order)| self.compare_written(key, order));
        // Clients write these keys: a share of the drives would let more come than are compared.
        let before = self.class.replace(IoClass::Foreground);
        let compared = compared.await;
        self.class.set(before);
        compared.map(|()| count)
    }

    async fn send(&self, commit: Commit, adopt: Option<DataId>) -> Result<(), SetError> {
        let epoch = self.installed.view.epoch;
        let prepare = Prepare { epoch, marks: Vec::new(), commit, adopt };
        self.ask(self.position, DriveRequest::Prepare(Box::new(prepare))).await?;
        Ok(())
    }
}

//! Changes of view: who is in sync, decided and durable before anyone is served.
//!
//! Invariants (rules 2, 3, 4, 8; `shared` model): fence first, so that nothing of the old epoch
//! lands later; an epoch is promised on a majority above everything seen, then its view is written
//! on a majority; every unsettled write is rolled forward or aborted, durably, before anything is
//! served; a drive outside the view, rebuilt or short of what a peer knows of it neither owns nor
//! votes; where too few drives answer for a view of their own, or too few of the view's own, what
//! is decided is read and nothing written.

use crate::SetConfig;
use crate::decide::Decisions;
use crate::error::SetError;
use crate::message::{DriveReply, DriveRequest, Hello, Installed, Peers};
use engine_env::Rule;
use engine_env::sync::Gate;
use engine_format::{Commit, PeerKnown, View, ViewMember};
use engine_types::{Epoch, Position, PositionSet};
use futures_util::future::join_all;
use std::cell::Cell;
use std::collections::BTreeMap;

/// Decides views for one set.
///
/// **Runs on** the shard of one of the set's drives; one per set. A drive may catch up beside
/// changes of view: a change ends the catch-up, which begins again under the new view.
pub struct Coordinator<P: Peers> {
    pub(crate) peers: P,
    pub(crate) config: SetConfig,
    /// One change of view at a time.
    pub(crate) turn: Gate,
    /// The installation in force; 0 while there is none.
    in_force: Cell<u64>,
    installations: Cell<u64>,
    /// Positions of the view in force that do not answer: they may come back with what the others
    /// lack.
    away: Cell<PositionSet>,
    must_change: Cell<bool>,
}

/// What a change of view came to.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What was installed.
    pub installed: Installed,
    /// Writes that stay undecided: who joins the view must know of them.
    pub(crate) held: Vec<Commit>,
    /// Positions that answered but are not in sync: they must catch up.
    pub behind: PositionSet,
    /// Of these, those that came back without writes they had said were durable (rule 8), and that
    /// nobody had found out before.
    pub rolled_back: PositionSet,
    /// Writes rolled forward.
    pub rolled_forward: u64,
    /// Writes aborted.
    pub aborted: u64,
    /// Writes that may have been acknowledged and that replaced drives took with them.
    pub lost: u64,
}

/// The drives that answered a fence.
pub(crate) type Hellos = BTreeMap<Position, Hello>;

impl<P: Peers> Coordinator<P> {
    /// A coordinator.
    #[must_use]
    pub fn new(peers: P, config: SetConfig) -> Self {
        Self {
            peers,
            config,
            turn: Gate::new(1),
            in_force: Cell::new(0),
            installations: Cell::new(0),
            away: Cell::default(),
            must_change: Cell::new(false),
        }
    }

    /// Whether a catch-up that failed left a view behind that records for nobody or serves
    /// nothing: the view must change.
    #[must_use]
    pub fn must_change(&self) -> bool {
        self.must_change.get()
    }

    /// Whether this is in force, and not being changed.
    pub(crate) fn is_in_force(&self, installed: &Installed) -> bool {
        installed.number > 0 && self.in_force.get() == installed.number
    }

    /// Whether every drive of the view in force answers, or another has its seat: then what the
    /// drives in sync cannot read is lost, and nobody will bring it back.
    pub(crate) fn is_nobody_away(&self) -> bool {
        self.away.get().is_empty()
    }

    /// A catch-up under this has failed.
    pub(crate) fn left_behind(&self, installed: &Installed) {
        if self.in_force.get() == 0 || self.in_force.get() == installed.number {
            self.must_change.set(true);
        }
    }

    pub(crate) async fn fence(&self) -> Hellos {
        let calls = self.config.all().iter().map(|position| {
            let call = self.peers.call(position, DriveRequest::Fence);
            async move { (position, call.await) }
        });
        let mut hellos = Hellos::new();
        for (position, outcome) in join_all(calls).await {
            if let Ok(DriveReply::Hello(hello)) = outcome
                && hello.identity.position == position
            {
                hellos.insert(position, *hello);
            }
        }
        hellos
    }

    /// Changes the view: drives that do not answer leave it, `admit` joins it (its caller has seen
    /// to it that they are caught up).
    ///
    /// # Errors
    /// `Unavailable` where too few drives answer; nothing is served then.
    pub async fn change_view(&self, admit: PositionSet) -> Result<Change, SetError> {
        let _turn = self.turn.take(1).await;
        self.change(admit, false).await
    }

    /// As `change_view`, for a caller that has the turn; with `standstill` nothing is served
    /// afterwards and what owners recorded for a drive that catches up stays.
    pub(crate) async fn change(
        &self,
        admit: PositionSet,
        standstill: bool,
    ) -> Result<Change, SetError> {
        self.in_force.set(0);
        let hellos = self.fence().await;
        // Whom this admits was just made equal: that it has fewer batches now tells nothing.
        let rolled_back = self.rolled_back(&hellos).minus(admit);
        let quorums = &self.config.quorums;
        // A drive put in another's place, or rolled back, knows nothing of the views before.
        let is_knowing = |(position, hello): &(&Position, &Hello)| {
            !hello.identity.rebuilding && !rolled_back.contains(**position)
        };
        let few_do = self.peers.breaks(Rule::ViewQuorum);
        if hellos.iter().filter(is_knowing).count() < quorums.view_read && !few_do {
            let few_answer = rolled_back.is_empty();
            return Err(if few_answer { SetError::Unavailable } else { SetError::RolledBack });
        }
        let is_news = |position: &Position| !hellos[position].identity.rebuilding;
        let news: PositionSet = rolled_back.iter().filter(is_news).collect();
        // Only where the others suffice: otherwise they would be out for good, all together.
        self.distrust(rolled_back).await;
        let old = self.newest_view(&hellos)?;
        let answering: PositionSet = hellos.keys().copied().collect();
        let sound = self.sound(&hellos, &old, rolled_back);
        if hellos.len() < quorums.view_majority && !few_do {
            let change = self.read_only(&hellos, old, sound, standstill).await?;
            return Ok(Change { rolled_back: news, ..change });
        }
        // Who admits a drive has seen it rebuilt; one that is not was put in its place since.
        let is_rebuilt = |(_, hello): &(&Position, &Hello)| !hello.identity.rebuilding;
        let rebuilt: PositionSet = hellos.iter().filter(is_rebuilt).map(|(at, _)| *at).collect();
        // What it was told of may have turned out to be settled since: it catches up again.
        let admit = admit.and(rebuilt).minus(Self::told_only(&hellos, sound.or(admit)));
        let reachable = sound.or(admit);
        let may_shrink = self.floor_holds(reachable) && self.can_spare_away(&hellos, &old, sound);
        // Otherwise drives that do not answer stay in the view: reads only.
        let in_sync = if may_shrink { reachable } else { old.in_sync.or(reachable) };
        let epoch = self.promise(&hellos).await?;
        let members = self.members(&hellos, &old, (sound, admit), epoch);
        let view = View { epoch, in_sync, members };
        if in_sync == self.config.all() || !self.peers.breaks(Rule::ViewBeforeSkip) {
            self.write_view(&hellos, &view).await?;
        }
        let mut decisions = Decisions::new(self, &view, reachable);
        decisions.run(&hellos).await?;
        let (rolled_forward, aborted) = (decisions.rolled_forward, decisions.aborted);
        let lost = decisions.lost;
        let (undecided, held) = (decisions.undecided, decisions.held);
        let decided = decisions.durable;
        let installed = Installed {
            number: self.next_number(),
            active: self.owners(in_sync, reachable),
            serving: !standstill && !reachable.is_empty(),
            writable: !standstill && may_shrink && undecided.is_empty(),
            reads_only: !may_shrink,
            record_dirty: standstill,
            undecided,
            view,
        };
        self.note_peers(&hellos, &decided, reachable).await;
        self.put_in_force(&installed, answering).await;
        let behind = answering.minus(reachable);
        Ok(Change { installed, held, behind, rolled_back: news, rolled_forward, aborted, lost })
    }

    fn floor_holds(&self, in_sync: PositionSet) -> bool {
        self.config.floor_holds(in_sync) || self.peers.breaks(Rule::Floor)
    }

    /// Who owns keys: in-sync positions that answer; in the twin of rule 3 those that do not, too.
    fn owners(&self, in_sync: PositionSet, reachable: PositionSet) -> PositionSet {
        if self.peers.breaks(Rule::OwnerReachable) { in_sync } else { reachable }
    }

    /// Too few drives answer for a view of their own. Every view in force was written on one of
    /// them, so the newest one's drives serve what it left decided (rule 3).
    async fn read_only(
        &self,
        hellos: &Hellos,
        view: View,
        active: PositionSet,
        standstill: bool,
    ) -> Result<Change, SetError> {
        if active.is_empty() {
            return Err(SetError::Unavailable);
        }
        let mut decisions = Decisions::new(self, &view, active);
        decisions.run(hellos).await?;
        let (undecided, held) = (decisions.undecided, decisions.held);
        let installed = Installed {
            number: self.next_number(),
            active: self.owners(view.in_sync, active),
            serving: !standstill,
            writable: false,
            reads_only: true,
            record_dirty: standstill,
            undecided,
            view,
        };
        self.put_in_force(&installed, hellos.keys().copied().collect()).await;
        Ok(Change { installed, held, ..Change::default() })
    }

    fn next_number(&self) -> u64 {
        self.installations.set(self.installations.get() + 1);
        self.installations.get()
    }

    async fn put_in_force(&self, installed: &Installed, answering: PositionSet) {
        let calls = answering.iter().map(|position| {
            self.peers.call(position, DriveRequest::Install(Box::new(installed.clone())))
        });
        join_all(calls).await;
        self.away.set(installed.view.in_sync.minus(answering));
        self.in_force.set(installed.number);
        self.must_change.set(false);
    }

    /// The newest view written; on drives never used, all of them.
    fn newest_view(&self, hellos: &Hellos) -> Result<View, SetError> {
        let knowing = || hellos.values().filter(|hello| !hello.identity.rebuilding);
        let newest = knowing().map(|hello| &hello.view).max_by_key(|view| view.epoch);
        match newest {
            Some(view) if view.epoch > Epoch(0) => Ok(view.clone()),
            _ if knowing().count() == usize::from(self.config.set_size) => {
                Ok(View { in_sync: self.config.all(), ..View::default() })
            }
            // Not all drives of a new set have answered: nobody knows whether it is new.
            _ => Err(SetError::Unavailable),
        }
    }

    /// Who is at each position under the view of `epoch`: `admit` joins with it.
    fn members(
        &self,
        hellos: &Hellos,
        old: &View,
        (sound, admit): (PositionSet, PositionSet),
        epoch: Epoch,
    ) -> Vec<ViewMember> {
        let member = |position: Position| {
            let before = old.members.get(usize::from(position.0)).copied().unwrap_or_default();
            match hellos.get(&position).map(|hello| hello.identity.drive) {
                Some(drive) if admit.contains(position) => ViewMember { drive, joined: epoch },
                // Of a set never used nobody was seen.
                Some(drive) if sound.contains(position) => ViewMember { drive, ..before },
                // Not what the view knew: whatever it says later, it joined since.
                Some(_) => ViewMember { joined: epoch, ..before },
                None => before,
            }
        };
        self.config.all().iter().map(member).collect()
    }

    async fn promise(&self, hellos: &Hellos) -> Result<Epoch, SetError> {
        let seen = hellos
            .values()
            .map(|hello| hello.view.epoch.max(hello.promised))
            .max()
            .unwrap_or_default();
        let epoch = Epoch(seen.0 + 1);
        let calls =
            hellos.keys().map(|position| self.peers.call(*position, DriveRequest::Promise(epoch)));
        self.majority(join_all(calls).await)?;
        Ok(epoch)
    }

    async fn write_view(&self, hellos: &Hellos, view: &View) -> Result<(), SetError> {
        let calls = hellos
            .keys()
            .map(|position| self.peers.call(*position, DriveRequest::WriteView(view.clone())));
        self.majority(join_all(calls).await)
    }

    fn majority(&self, outcomes: Vec<crate::DriveOutcome>) -> Result<(), SetError> {
        let taken =
            outcomes.iter().filter(|outcome| matches!(outcome, Ok(DriveReply::Was(true)))).count();
        let one = self.peers.breaks(Rule::ViewQuorum);
        let wanted = if one { 1 } else { self.config.quorums.view_majority };
        if taken >= wanted { Ok(()) } else { Err(SetError::Unavailable) }
    }

    /// Tells every drive what the others have made durable (rule 8), what was `decided` included.
    async fn note_peers(
        &self,
        hellos: &Hellos,
        decided: &BTreeMap<Position, PeerKnown>,
        active: PositionSet,
    ) {
        // Only what drives in sync say: a drive that rolled back must not lower what is known of it.
        let in_sync = hellos.iter().filter(|(position, _)| active.contains(**position));
        let newest = |(position, hello): (&Position, &Hello)| {
            decided.get(position).copied().unwrap_or(hello.durable)
        };
        let known: Vec<PeerKnown> = in_sync.map(newest).collect();
        let calls = active.iter().map(|position| {
            let others = known.iter().filter(|peer| peer.position != position).copied().collect();
            self.peers.call(position, DriveRequest::NotePeers(others))
        });
        join_all(calls).await;
    }
}

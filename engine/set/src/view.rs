//! Changes of view: who is in sync, decided and durable before anyone is served.
//!
//! Invariants (rules 2, 3, 4, 8; `shared` model): fence first, so that nothing of the old epoch
//! lands later; an epoch is promised on a majority above everything seen, then its view is written
//! on a majority; every unsettled write is rolled forward or aborted, durably, before anything is
//! served; a drive outside the view, rebuilt or short of what a peer knows of it neither owns nor
//! votes.

use crate::SetConfig;
use crate::decide::Decisions;
use crate::error::SetError;
use crate::message::{DriveReply, DriveRequest, Hello, Installed, Peers};
use engine_format::View;
use engine_types::{DriveId, Epoch, Position, PositionSet};
use futures_util::future::join_all;
use std::collections::BTreeMap;

/// Decides views for one set.
///
/// **Runs on** the shard of one of the set's drives; one at a time per set.
pub struct Coordinator<P: Peers> {
    pub(crate) peers: P,
    pub(crate) config: SetConfig,
}

/// What a change of view came to.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What was installed.
    pub installed: Installed,
    /// Positions that answered but are not in sync: they must catch up.
    pub behind: PositionSet,
    /// Writes rolled forward and aborted.
    pub rolled_forward: u64,
    /// Writes aborted.
    pub aborted: u64,
}

/// The drives that answered a fence.
pub(crate) type Hellos = BTreeMap<Position, Hello>;

impl<P: Peers> Coordinator<P> {
    /// A coordinator.
    #[must_use]
    pub fn new(peers: P, config: SetConfig) -> Self {
        Self { peers, config }
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
        self.change(admit, false).await
    }

    /// As `change_view`; with `standstill` nothing is served afterwards and what owners recorded
    /// for a drive that catches up stays.
    pub(crate) async fn change(
        &self,
        admit: PositionSet,
        standstill: bool,
    ) -> Result<Change, SetError> {
        let hellos = self.fence().await;
        let quorums = &self.config.quorums;
        // A drive put in another's place knows nothing of the views before it.
        let knowing = hellos.values().filter(|hello| !hello.identity.rebuilding).count();
        if knowing < quorums.view_read || hellos.len() < quorums.view_majority {
            return Err(SetError::Unavailable);
        }
        let old = self.newest_view(&hellos)?;
        let answering: PositionSet = hellos.keys().copied().collect();
        let sound = self.sound(&hellos, &old).or(admit.and(answering));
        let mut target = sound.and(answering);
        let mut reachable = target;
        if !self.config.floor_holds(target) {
            // The floor keeps drives in the view that do not answer: reads only.
            reachable = target;
            target = old.in_sync.or(admit);
        }
        let epoch = self.promise(&hellos).await?;
        let view = View { epoch, in_sync: target, members: self.members(&hellos, &old, reachable) };
        self.write_view(&hellos, &view).await?;
        let mut decisions = Decisions::new(self, &view, reachable);
        decisions.run(&hellos).await?;
        let (rolled_forward, aborted) = (decisions.rolled_forward, decisions.aborted);
        let installed = Installed {
            active: reachable,
            serving: !standstill && !reachable.is_empty(),
            writable: !standstill
                && self.config.floor_holds(reachable)
                && decisions.undecided.is_empty(),
            record_dirty: standstill,
            undecided: decisions.undecided,
            view,
        };
        self.note_peers(&hellos, reachable).await;
        self.install(&installed, answering).await;
        let behind = answering.minus(reachable);
        Ok(Change { installed, behind, rolled_forward, aborted })
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

    /// The in-sync drives that are still what the view knows them as.
    fn sound(&self, hellos: &Hellos, old: &View) -> PositionSet {
        hellos
            .iter()
            .filter(|(position, hello)| {
                let member = old.members.get(usize::from(position.0));
                let same = member.is_none_or(|member| {
                    *member == hello.identity.drive || *member == DriveId::default()
                });
                let known = hellos
                    .values()
                    .flat_map(|other| &other.peers)
                    .filter(|known| known.drive == hello.identity.drive)
                    .map(|known| (known.incarnation, known.batch_sequence))
                    .max();
                // Rule 8: a drive that recovered short of what a peer recorded has rolled back.
                let rolled_back = same
                    && known.is_some_and(|(incarnation, batch)| {
                        hello.durable.incarnation < incarnation
                            || hello.durable.batch_sequence < batch
                    });
                old.in_sync.contains(**position)
                    && same
                    && !hello.identity.rebuilding
                    && !rolled_back
            })
            .map(|(position, _)| *position)
            .collect()
    }

    fn members(&self, hellos: &Hellos, old: &View, active: PositionSet) -> Vec<DriveId> {
        self.config
            .all()
            .iter()
            .map(|position| {
                let before = old.members.get(usize::from(position.0)).copied();
                match hellos.get(&position) {
                    Some(hello) if active.contains(position) => hello.identity.drive,
                    _ => before.unwrap_or_default(),
                }
            })
            .collect()
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
        if taken >= self.config.quorums.view_majority { Ok(()) } else { Err(SetError::Unavailable) }
    }

    /// Tells every drive what the others have made durable (rule 8).
    async fn note_peers(&self, hellos: &Hellos, active: PositionSet) {
        // Only what drives in sync say: a drive that rolled back must not lower what is known of it.
        let in_sync = hellos.iter().filter(|(position, _)| active.contains(**position));
        let known: Vec<_> = in_sync.map(|(_, hello)| hello.durable).collect();
        let calls = active.iter().map(|position| {
            let others = known.iter().filter(|peer| peer.position != position).copied().collect();
            self.peers.call(position, DriveRequest::NotePeers(others))
        });
        join_all(calls).await;
    }

    pub(crate) async fn install(&self, installed: &Installed, answering: PositionSet) {
        let calls = answering.iter().map(|position| {
            self.peers.call(position, DriveRequest::Install(Box::new(installed.clone())))
        });
        join_all(calls).await;
    }
}

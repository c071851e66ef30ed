//! Which drives a change of view believes, and which it can do without (rules 2, 3, 8).
//!
//! Invariants: a drive that has less than another remembers of it is not believed, neither in what
//! it holds nor in the views it knows, before it is rebuilt; an in-sync drive that is away leaves
//! the view only if everything it may have acknowledged can be decided without it.

use crate::decide::is_bare;
use crate::message::{DriveRequest, Hello, Peers};
use crate::view::{Coordinator, Hellos};
use engine_env::Rule;
use engine_format::{Commit, CommitData, View};
use engine_types::{DriveId, Epoch, Position, PositionSet, Sequence};
use futures_util::future::join_all;

impl<P: Peers> Coordinator<P> {
    /// The in-sync drives that answer and are still what the view knows them as.
    pub(crate) fn sound(
        &self,
        hellos: &Hellos,
        old: &View,
        rolled_back: PositionSet,
    ) -> PositionSet {
        let breaks = |rule| self.peers.breaks(rule);
        let is_same = |hello: &Hello| {
            let member = old.members.get(usize::from(hello.identity.position.0));
            member.is_none_or(|member| {
                member.drive == hello.identity.drive || member.drive == DriveId::default()
            })
        };
        let sound: PositionSet = hellos
            .iter()
            .filter(|&(position, hello)| {
                let is_filled = is_same(hello) && !hello.identity.rebuilding;
                (old.in_sync.contains(*position) || breaks(Rule::OutsideView))
                    && (is_filled || breaks(Rule::EmptyDriveWaits))
                    && !rolled_back.contains(*position)
            })
            .map(|(position, _)| *position)
            .collect();
        sound.minus(Self::told_only(hellos, sound))
    }

    /// Drives that were only told of a write which turns out to be settled: they lack its bytes.
    pub(crate) fn told_only(hellos: &Hellos, sound: PositionSet) -> PositionSet {
        let sound = || hellos.iter().filter(|(position, _)| sound.contains(**position));
        let marks: Vec<Sequence> = sound().flat_map(|(_, hello)| &hello.marks).copied().collect();
        let is_settled = |sequence: Sequence| {
            marks.iter().any(|mark| mark.owner == sequence.owner && *mark >= sequence)
        };
        let lacks = |(position, hello): &(&Position, &Hello)| {
            let told = hello.unsettled.iter().filter(|commit| is_bare(commit, **position));
            told.map(|commit| commit.sequence).any(is_settled)
        };
        sound().filter(lacks).map(|(position, _)| *position).collect()
    }

    /// Drives that recovered short of what another one recorded of them (rule 8). What they have
    /// logged since they were opened tells nothing. Only those count as witnesses whose view is not
    /// from before the drive joined: one that was away since may remember what it had before it
    /// rolled back and was caught up.
    pub(crate) fn rolled_back(&self, hellos: &Hellos) -> PositionSet {
        if self.peers.breaks(Rule::PeerKnowledge) {
            return PositionSet::EMPTY;
        }
        let knowing = || hellos.values().filter(|hello| !hello.identity.rebuilding);
        let newest = knowing().map(|hello| &hello.view).max_by_key(|view| view.epoch);
        let joined = |position: Position| {
            let member = newest.and_then(|view| view.members.get(usize::from(position.0)));
            member.map_or(Epoch(0), |member| member.joined)
        };
        let logged_counts = self.peers.breaks(Rule::RecoveredCounts);
        let is_short = |hello: &Hello| {
            knowing()
                .filter(|other| other.view.epoch >= joined(hello.identity.position))
                .flat_map(|other| &other.peers)
                .filter(|known| known.drive == hello.identity.drive)
                .any(|known| {
                    let durable = &hello.durable;
                    let of_this_opening = durable.incarnation == known.incarnation;
                    let has = match of_this_opening || logged_counts {
                        true => durable.batch_sequence,
                        false => hello.recovered_batch,
                    };
                    durable.incarnation < known.incarnation || has < known.batch_sequence
                })
        };
        hellos.iter().filter(|&(_, hello)| is_short(hello)).map(|(position, _)| *position).collect()
    }

    /// Makes drives that rolled back say so themselves: later those who know may be away.
    pub(crate) async fn distrust(&self, rolled_back: PositionSet) {
        let calls =
            rolled_back.iter().map(|position| self.peers.call(position, DriveRequest::Distrust));
        // One that fails is not in the view either.
        join_all(calls).await;
    }

    /// Whether the view can do without the in-sync drives that do not answer: had a write that is
    /// not decided been acknowledged, the others would have enough of it.
    pub(crate) fn can_spare_away(&self, hellos: &Hellos, old: &View, sound: PositionSet) -> bool {
        let answering: PositionSet = hellos.keys().copied().collect();
        let away = old.in_sync.minus(answering);
        let unsettled = hellos
            .iter()
            .filter(|(position, _)| sound.contains(**position))
            .flat_map(|(_, hello)| &hello.unsettled);
        away.is_empty()
            || unsettled
                .filter(|commit| !commit.positions.and(away).is_empty())
                .all(|commit| self.is_enough(commit, self.asked(commit, old, sound)))
    }

    /// Of these positions, those that a write was sent to and that have not joined the view since:
    /// one of them that lacks it has never had it.
    pub(crate) fn asked(&self, commit: &Commit, view: &View, among: PositionSet) -> PositionSet {
        let was_there = |position: &Position| {
            let member = view.members.get(usize::from(position.0));
            member.is_none_or(|member| member.joined <= commit.sequence.epoch)
                || self.peers.breaks(Rule::JoinedLater)
        };
        commit.positions.and(among).iter().filter(was_there).collect()
    }

    /// Whether these positions can tell what a write holds, if each has what it must.
    fn is_enough(&self, commit: &Commit, here: PositionSet) -> bool {
        let metadata = commit.order.first(self.config.quorums.metadata);
        let has_data = match commit.data {
            CommitData::None => true,
            CommitData::Payload => !here.and(commit.holders).is_empty(),
            CommitData::Fragments(_, geometry, _) => {
                let fragments = here.and(commit.order.first(geometry.width()));
                fragments.len() >= usize::from(geometry.data)
            }
        };
        has_data && !here.and(metadata).is_empty()
    }
}

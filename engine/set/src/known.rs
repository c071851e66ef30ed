//! What the drives of a set have made durable, as one member knows it (rule 8).
//!
//! An owner hears it with the answers to its writes and passes it on with its next marks; every
//! drive logs what is news to it, in the batch of those marks. A drive that comes back with less
//! than any other remembers has lost something.
//!
//! Invariants: only what is durable is ever said; within a view knowledge only rises; a change of
//! view says anew what holds, also of a drive that came back with less and was caught up.

use engine_format::PeerKnown;
use engine_types::{Position, PositionSet};
use std::collections::BTreeMap;

/// The newest known of each position.
#[derive(Default)]
pub(crate) struct Known {
    newest: BTreeMap<Position, PeerKnown>,
    /// Positions of which more is known since `take_news`.
    news: PositionSet,
}

impl Known {
    /// Forgets everything but what a change of view says.
    pub(crate) fn reset(&mut self, peers: &[PeerKnown]) {
        self.newest = peers.iter().map(|peer| (peer.position, *peer)).collect();
        self.news = PositionSet::EMPTY;
    }

    /// Takes note; gives what was news.
    pub(crate) fn raise(&mut self, peers: &[PeerKnown]) -> Vec<PeerKnown> {
        let mut news = Vec::new();
        for peer in peers {
            let is_old = self.newest.get(&peer.position).is_some_and(|known| {
                known.drive == peer.drive
                    && (known.incarnation, known.batch_sequence)
                        >= (peer.incarnation, peer.batch_sequence)
            });
            if !is_old {
                self.newest.insert(peer.position, *peer);
                self.news.insert(peer.position);
                news.push(*peer);
            }
        }
        news
    }

    /// What was learned since this was last asked.
    pub(crate) fn take_news(&mut self) -> Vec<PeerKnown> {
        let news = std::mem::take(&mut self.news);
        news.iter().filter_map(|position| self.newest.get(&position).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_types::DriveId;

    fn peer(drive: u8, incarnation: u32, batch_sequence: u64) -> PeerKnown {
        PeerKnown {
            drive: DriveId([drive; 16]),
            position: Position(3),
            incarnation,
            batch_sequence,
        }
    }

    #[test]
    fn knowledge_only_rises_until_a_change_of_view_says_anew() {
        let mut known = Known::default();
        assert_eq!(known.raise(&[peer(1, 2, 9)]), [peer(1, 2, 9)]);
        assert!(known.raise(&[peer(1, 2, 8), peer(1, 2, 9), peer(1, 1, 99)]).is_empty());
        assert_eq!(known.raise(&[peer(1, 2, 11), peer(1, 2, 10)]), [peer(1, 2, 11)]);
        assert_eq!(known.take_news(), [peer(1, 2, 11)]);
        assert!(known.take_news().is_empty());
        // It came back with less, and was caught up.
        known.reset(&[peer(1, 2, 5)]);
        assert_eq!(known.raise(&[peer(1, 2, 6)]), [peer(1, 2, 6)]);
        // Another drive in its place.
        assert_eq!(known.raise(&[peer(7, 1, 1)]), [peer(7, 1, 1)]);
    }
}

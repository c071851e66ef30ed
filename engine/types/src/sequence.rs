//! The order of writes: (view epoch, owner position, counter), compared in that order.
//!
//! Wall time takes no part in it. Source: commit.md rule 4 ("Fence").

use crate::Position;
use std::fmt;

/// The number of a view of an erasure set; it only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// The sequence of one write. The derived order is the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sequence {
    /// The view's epoch under which the owner assigned it.
    pub epoch: Epoch,
    /// The owner's position in the set.
    pub owner: Position,
    /// Rises by one with each write of this owner in this epoch; starts at 1.
    pub counter: u64,
}

impl Sequence {
    /// Before every write.
    pub const ZERO: Self = Self { epoch: Epoch(0), owner: Position(0), counter: 0 };

    /// The 16 bytes that sort like the sequence: epoch, owner, 3 bytes of zero, counter.
    #[must_use]
    pub fn to_sortable_bytes(self) -> [u8; 16] {
        let mut bytes = [0_u8; 16];
        bytes[0..4].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[4] = self.owner.0;
        bytes[8..16].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// Reads what `to_sortable_bytes` wrote.
    #[must_use]
    pub fn from_sortable_bytes(bytes: [u8; 16]) -> Self {
        let [e0, e1, e2, e3, owner, _, _, _, c0, c1, c2, c3, c4, c5, c6, c7] = bytes;
        Self {
            epoch: Epoch(u32::from_be_bytes([e0, e1, e2, e3])),
            owner: Position(owner),
            counter: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.epoch, self.owner, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_then_owner_then_counter() {
        let at = |epoch, owner, counter| Sequence {
            epoch: Epoch(epoch),
            owner: Position(owner),
            counter,
        };
        let rising = [at(1, 0, 9), at(1, 1, 1), at(2, 0, 1), at(2, 0, 2), at(300, 0, 0)];
        for pair in rising.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].to_sortable_bytes() < pair[1].to_sortable_bytes());
        }
        for sequence in rising {
            assert_eq!(Sequence::from_sortable_bytes(sequence.to_sortable_bytes()), sequence);
        }
    }
}

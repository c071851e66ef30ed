//! How many positions must hold, answer or agree, for one schema of one set.
//!
//! Invariants: a write and a read of metadata meet in a position (W + R > M); so do the writing
//! and the reading of a view; the promised tolerance is the parity, else the schema is refused.
//! Source: commit.md rules 3 and 5.

use crate::layout::SET_SIZE_MAX;
use engine_types::ErrorClass;

/// Why a schema is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The set has no drive or more than a set may have.
    #[error("a set has 1 to {SET_SIZE_MAX} drives, not {set_size}")]
    SetSize {
        /// The drives of the set.
        set_size: usize,
    },
    /// No data cell.
    #[error("a schema has at least one data cell")]
    NoData,
    /// More cells than drives.
    #[error("{data} data and {parity} parity cells do not fit a set of {set_size}")]
    TooWide {
        /// The drives of the set.
        set_size: usize,
        /// The data cells of a stripe.
        data: usize,
        /// The parity cells of a stripe.
        parity: usize,
    },
    /// The metadata would survive fewer losses than the data.
    #[error("parity {parity} promises more lost drives than the {tolerance} the set survives")]
    Tolerance {
        /// The parity cells of a stripe.
        parity: usize,
        /// The losses that metadata survives.
        tolerance: usize,
    },
}

impl SchemaError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// The counts that decide for one set (N drives) and one schema (D data, P parity cells).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorums {
    /// M: positions that hold a key's metadata, the first of its order; min(N, 2P+1).
    pub metadata: usize,
    /// W: positions that must hold a record before it may be answered; floor(M/2)+1.
    pub metadata_write: usize,
    /// R: positions that must answer after an owner change; M-W+1.
    pub metadata_read: usize,
    /// Fragments that must be written before a write may be answered; D, one more if D <= P
    /// and P > 0.
    pub data_floor: usize,
    /// Positions that must hold a promise or a view; floor(N/2)+1.
    pub view_majority: usize,
    /// Positions whose views a start reads; N - floor(N/2).
    pub view_read: usize,
    /// Lost positions that every acknowledged write survives; min(P, M-R), always P.
    pub tolerance: usize,
}

impl Quorums {
    /// Counts for a set of `set_size` drives and stripes of `data` and `parity` cells.
    ///
    /// # Errors
    /// `SchemaError` if the schema does not fit the set or promises too much.
    pub fn new(set_size: usize, data: usize, parity: usize) -> Result<Self, SchemaError> {
        if !(1..=SET_SIZE_MAX).contains(&set_size) {
            return Err(SchemaError::SetSize { set_size });
        }
        if data == 0 {
            return Err(SchemaError::NoData);
        }
        if data.saturating_add(parity) > set_size {
            return Err(SchemaError::TooWide { set_size, data, parity });
        }
        let metadata = set_size.min(2 * parity + 1);
        let metadata_write = metadata / 2 + 1;
        let metadata_read = metadata - metadata_write + 1;
        let tolerance = parity.min(metadata - metadata_read);
        if tolerance < parity {
            return Err(SchemaError::Tolerance { parity, tolerance });
        }
        Ok(Self {
            metadata,
            metadata_write,
            metadata_read,
            data_floor: data + usize::from(data <= parity && parity > 0),
            view_majority: set_size / 2 + 1,
            view_read: set_size - set_size / 2,
            tolerance,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::default_parity;

    #[test]
    fn the_example_of_the_commit_rules() {
        let quorums = Quorums::new(6, 4, 2).unwrap();
        let expected = Quorums {
            metadata: 5,
            metadata_write: 3,
            metadata_read: 3,
            data_floor: 4,
            view_majority: 4,
            view_read: 3,
            tolerance: 2,
        };
        assert_eq!(quorums, expected);
    }

    #[test]
    fn known_schemas() {
        // (N, D, P) -> (M, W, R, data floor)
        let expected = [
            ((1, 1, 0), (1, 1, 1, 1)),
            ((2, 1, 1), (2, 2, 1, 2)),
            ((4, 2, 2), (4, 3, 2, 3)),
            ((8, 4, 4), (8, 5, 4, 5)),
            ((16, 12, 4), (9, 5, 5, 12)),
            ((4, 4, 0), (1, 1, 1, 4)),
            ((5, 1, 2), (5, 3, 3, 2)),
            ((16, 2, 1), (3, 2, 2, 2)),
        ];
        for ((set_size, data, parity), (m, w, r, floor)) in expected {
            let quorums = Quorums::new(set_size, data, parity).unwrap();
            let found = (
                quorums.metadata,
                quorums.metadata_write,
                quorums.metadata_read,
                quorums.data_floor,
            );
            assert_eq!(found, (m, w, r, floor), "{set_size}: {data}+{parity}");
        }
    }

    #[test]
    fn quorums_always_meet() {
        for set_size in 1..=SET_SIZE_MAX {
            for parity in 0..=set_size / 2 {
                for data in 1..=set_size - parity {
                    let quorums = Quorums::new(set_size, data, parity).unwrap();
                    assert!(quorums.metadata_write + quorums.metadata_read > quorums.metadata);
                    assert!(quorums.metadata_write > parity, "W survives the promised losses");
                    assert!(quorums.metadata <= set_size);
                    assert!(quorums.data_floor <= data + parity);
                    assert!(quorums.view_majority + quorums.view_read > set_size);
                    assert_eq!(quorums.tolerance, parity);
                }
            }
            let parity = default_parity(set_size);
            assert!(Quorums::new(set_size, set_size - parity, parity).is_ok());
        }
    }

    #[test]
    fn schemas_that_promise_too_much_are_refused() {
        // A mirror of all four drives: metadata of four survives two losses, not three.
        assert_eq!(Quorums::new(4, 1, 3), Err(SchemaError::Tolerance { parity: 3, tolerance: 2 }));
        assert_eq!(Quorums::new(3, 1, 2), Err(SchemaError::Tolerance { parity: 2, tolerance: 1 }));
        assert_eq!(Quorums::new(4, 0, 2), Err(SchemaError::NoData));
        assert_eq!(
            Quorums::new(4, 3, 2),
            Err(SchemaError::TooWide { set_size: 4, data: 3, parity: 2 })
        );
        assert!(matches!(Quorums::new(4, usize::MAX, 2), Err(SchemaError::TooWide { .. })));
        assert_eq!(Quorums::new(0, 1, 0), Err(SchemaError::SetSize { set_size: 0 }));
        assert_eq!(Quorums::new(33, 1, 0), Err(SchemaError::SetSize { set_size: 33 }));
    }
}

//! How many drives make an erasure set, and how much parity it has.
//!
//! Invariants: a set has 1 drive (a server of one drive) or 2..=16, up to 32 only when asked for;
//! every drive of a pool is in exactly one set, so the size divides the count; a count that
//! allows no such size is refused and the refusal names counts that do.
//! Source: reference/s3-peers.md 0.1 and 0.2.

use engine_types::ErrorClass;

/// The most drives one pool may have.
pub const DRIVES_MAX: usize = 4096;
/// The largest set that is chosen without being asked for.
pub const SET_SIZE_DEFAULT_MAX: usize = 16;
/// The largest set.
pub const SET_SIZE_MAX: usize = 32;

/// Why drives cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No drives, or an argument without any.
    #[error("no drives")]
    NoDrives,
    /// More drives than a pool may have.
    #[error("{drive_count} drives are more than the {DRIVES_MAX} of one pool")]
    TooManyDrives {
        /// The drives given.
        drive_count: usize,
    },
    /// No set size divides the count.
    #[error(
        "{drive_count} drives cannot be cut into equal erasure sets of 2 to \
         {SET_SIZE_DEFAULT_MAX}; the nearest counts that can are {below} and {above}"
    )]
    NoSetSize {
        /// The drives given.
        drive_count: usize,
        /// The next smaller count that works.
        below: usize,
        /// The next larger count that works.
        above: usize,
    },
    /// The drive counts of several arguments have no common divisor.
    #[error("the drive counts of the arguments have no common divisor above 1")]
    NoCommonDivisor,
    /// The size asked for is no set size.
    #[error("a set size of {set_size} was asked for; it must be 2 to {SET_SIZE_MAX}")]
    SetSizeRange {
        /// The size asked for.
        set_size: usize,
    },
    /// The size asked for does not divide the count.
    #[error(
        "{drive_count} drives cannot be cut into sets of {set_size}, as was asked for; sizes they \
         can be cut into: {sizes}"
    )]
    SetSizeDoesNotDivide {
        /// The drives given.
        drive_count: usize,
        /// The size asked for.
        set_size: usize,
        /// Those that divide the count.
        sizes: String,
    },
    /// More parity than half the set.
    #[error("parity {parity} is too much for a set of {set_size}; at most half of it")]
    Parity {
        /// The drives of a set.
        set_size: usize,
        /// The parity asked for.
        parity: usize,
    },
}

impl LayoutError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// A pool cut into erasure sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLayout {
    /// Drives of each set, 1..=32.
    pub set_size: usize,
    /// Sets; drive i of the expanded list is position `i % set_size` of set `i / set_size`.
    pub set_count: u16,
}

/// Cuts a pool of `drive_count` drives into sets: of the size asked for, else of the largest
/// that divides the count.
///
/// # Errors
/// `LayoutError` says why the count or the size asked for does not work.
pub fn pool_layout(
    drive_count: usize,
    set_size_override: Option<u8>,
) -> Result<PoolLayout, LayoutError> {
    if drive_count > DRIVES_MAX {
        return Err(LayoutError::TooManyDrives { drive_count });
    }
    let set_size = size_for(drive_count, set_size_override)?;
    let set_count = u16::try_from(drive_count / set_size)
        .map_err(|_| LayoutError::TooManyDrives { drive_count })?;
    Ok(PoolLayout { set_size, set_count })
}

/// The set size of a pool written as several arguments, by AIStor's rule: each argument alone
/// must divide into sets, so that no set straddles two of them. Arguments of one drive each are
/// one list of drives.
///
/// # Errors
/// `LayoutError` says why the counts or the size asked for do not work.
pub fn set_size(
    drive_counts_per_arg: &[usize],
    set_size_override: Option<u8>,
) -> Result<usize, LayoutError> {
    if drive_counts_per_arg.contains(&0) {
        return Err(LayoutError::NoDrives);
    }
    if drive_counts_per_arg.iter().all(|count| *count == 1) {
        return size_for(drive_counts_per_arg.len(), set_size_override);
    }
    let common = drive_counts_per_arg.iter().fold(0, |common, count| gcd(common, *count));
    if common == 1 {
        return Err(LayoutError::NoCommonDivisor);
    }
    size_for(common, set_size_override)
}

/// The default parity of a set.
#[must_use]
pub fn default_parity(set_size: usize) -> usize {
    match set_size {
        0 | 1 => 0,
        2 | 3 => 1,
        4 | 5 => 2,
        6 | 7 => 3,
        _ => 4,
    }
}

/// Whether a set of this size may have this parity: at most half of it.
///
/// # Errors
/// `LayoutError::Parity` if it may not.
pub fn check_parity(set_size: usize, parity: usize) -> Result<(), LayoutError> {
    if parity > set_size / 2 {
        return Err(LayoutError::Parity { set_size, parity });
    }
    Ok(())
}

/// The sizes of sets that divide a count, for the person who asked for another.
fn sizes_of(drive_count: usize) -> String {
    let divide = |size: &usize| drive_count.is_multiple_of(*size);
    let sizes: Vec<String> =
        (2..=SET_SIZE_MAX).filter(divide).map(|size| size.to_string()).collect();
    if sizes.is_empty() { "none".to_owned() } else { sizes.join(", ") }
}

fn size_for(drive_count: usize, set_size_override: Option<u8>) -> Result<usize, LayoutError> {
    if drive_count == 0 {
        return Err(LayoutError::NoDrives);
    }
    if let Some(asked) = set_size_override {
        let set_size = usize::from(asked);
        if !(2..=SET_SIZE_MAX).contains(&set_size) {
            return Err(LayoutError::SetSizeRange { set_size });
        }
        if !drive_count.is_multiple_of(set_size) {
            let sizes = sizes_of(drive_count);
            return Err(LayoutError::SetSizeDoesNotDivide { drive_count, set_size, sizes });
        }
        return Ok(set_size);
    }
    // Both searches end at once: 1 works, and so does every even count.
    default_size(drive_count).ok_or_else(|| LayoutError::NoSetSize {
        drive_count,
        below: (1..drive_count).rev().find(|count| default_size(*count).is_some()).unwrap_or(1),
        above: drive_count + 1 + (drive_count + 1) % 2,
    })
}

fn default_size(drive_count: usize) -> Option<usize> {
    if drive_count == 1 {
        return Some(1);
    }
    (2..=SET_SIZE_DEFAULT_MAX).rev().find(|size| drive_count.is_multiple_of(*size))
}

fn gcd(left: usize, right: usize) -> usize {
    if right == 0 { left } else { gcd(right, left % right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(drive_count: usize) -> (usize, u16) {
        let layout = pool_layout(drive_count, None).unwrap();
        (layout.set_size, layout.set_count)
    }

    #[test]
    fn the_largest_divisor_wins() {
        let expected = [
            (1, (1, 1)),
            (2, (2, 1)),
            (3, (3, 1)),
            (7, (7, 1)),
            (16, (16, 1)),
            (18, (9, 2)),
            (20, (10, 2)),
            (24, (12, 2)),
            (32, (16, 2)),
            (34, (2, 17)),
            (60, (15, 4)),
            (4096, (16, 256)),
        ];
        for (drive_count, sizes) in expected {
            assert_eq!(layout(drive_count), sizes, "{drive_count} drives");
        }
    }

    #[test]
    fn every_drive_is_in_exactly_one_set() {
        for drive_count in 1..=DRIVES_MAX {
            match pool_layout(drive_count, None) {
                Ok(layout) => {
                    assert_eq!(layout.set_size * usize::from(layout.set_count), drive_count);
                    let mut larger = layout.set_size + 1..=SET_SIZE_DEFAULT_MAX;
                    assert!(larger.all(|size| !drive_count.is_multiple_of(size)));
                }
                Err(LayoutError::NoSetSize { below, above, .. }) => {
                    assert!(below < drive_count && drive_count < above);
                    for count in below..=above {
                        let works = default_size(count).is_some();
                        assert_eq!(works, count == below || count == above, "{count}");
                    }
                }
                Err(error) => panic!("{drive_count}: {error}"),
            }
        }
    }

    #[test]
    fn a_refusal_names_the_nearest_counts() {
        let error = pool_layout(17, None).unwrap_err();
        assert_eq!(error, LayoutError::NoSetSize { drive_count: 17, below: 16, above: 18 });
        let message = error.to_string();
        assert!(message.contains("16 and 18"), "{message}");
        let error = pool_layout(19, None).unwrap_err();
        assert_eq!(error, LayoutError::NoSetSize { drive_count: 19, below: 18, above: 20 });
        assert_eq!(pool_layout(0, None), Err(LayoutError::NoDrives));
        assert!(matches!(pool_layout(4097, None), Err(LayoutError::TooManyDrives { .. })));
    }

    #[test]
    fn the_override_must_divide() {
        let asked = |drive_count, size| pool_layout(drive_count, Some(size));
        assert_eq!(asked(64, 32), Ok(PoolLayout { set_size: 32, set_count: 2 }));
        assert_eq!(asked(16, 4), Ok(PoolLayout { set_size: 4, set_count: 4 }));
        assert_eq!(asked(17, 17), Ok(PoolLayout { set_size: 17, set_count: 1 }));
        for size in [0_u8, 1, 33, 255] {
            let set_size = usize::from(size);
            assert_eq!(asked(66, size), Err(LayoutError::SetSizeRange { set_size }));
        }
        assert_eq!(
            asked(16, 5),
            Err(LayoutError::SetSizeDoesNotDivide {
                drive_count: 16,
                set_size: 5,
                sizes: "2, 4, 8, 16".to_owned()
            })
        );
        assert_eq!(sizes_of(37), "none");
        assert!(matches!(asked(1, 2), Err(LayoutError::SetSizeDoesNotDivide { .. })));
    }

    #[test]
    fn several_arguments_share_a_divisor() {
        assert_eq!(set_size(&[16, 24], None), Ok(8));
        assert_eq!(set_size(&[64], None), Ok(16));
        assert_eq!(set_size(&[1], None), Ok(1));
        assert_eq!(set_size(&[1, 1, 1, 1], None), Ok(4));
        assert_eq!(set_size(&[64, 32], Some(32)), Ok(32));
        assert_eq!(set_size(&[3, 4], None), Err(LayoutError::NoCommonDivisor));
        assert!(matches!(set_size(&[17, 34], None), Err(LayoutError::NoSetSize { .. })));
        assert_eq!(set_size(&[], None), Err(LayoutError::NoDrives));
        assert_eq!(set_size(&[4, 0], None), Err(LayoutError::NoDrives));
    }

    #[test]
    fn parity_by_set_size() {
        let expected = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4];
        for (index, parity) in expected.into_iter().enumerate() {
            assert_eq!(default_parity(index + 1), parity, "set of {}", index + 1);
            assert_eq!(check_parity(index + 1, parity), Ok(()));
        }
        assert_eq!(default_parity(32), 4);
        assert_eq!(check_parity(4, 0), Ok(()));
        assert_eq!(check_parity(7, 4), Err(LayoutError::Parity { set_size: 7, parity: 4 }));
        assert_eq!(check_parity(1, 1), Err(LayoutError::Parity { set_size: 1, parity: 1 }));
    }
}

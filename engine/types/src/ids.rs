//! Identifiers. Each is a newtype, so that two integers are never mixed up at a crate border.

use std::fmt;
use std::sync::Arc;

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

integer_id!(
    /// One core's executor and the drives it owns. Never an erasure piece.
    ShardId(u16)
);
integer_id!(
    /// A bucket, for ever: ids are never used again. 0 holds the system's own documents.
    BucketId(u64)
);
integer_id!(
    /// A group of erasure sets added together.
    PoolId(u16)
);
integer_id!(
    /// An erasure set, counted through all pools.
    SetId(u16)
);
integer_id!(
    /// A place in an erasure set, 0-based. Placement hashes the position, never the drive's UUID.
    Position(u8)
);
integer_id!(
    /// The rank of an erasure piece in its stripe: data 0..D, then parity D..D+P.
    FragmentIndex(u8)
);
integer_id!(
    /// A segment of a drive, 0-based; segment 0 holds the superblocks.
    SegmentId(u32)
);

impl BucketId {
    /// The bucket of the system's own documents; no S3 name maps to it.
    pub const SYSTEM: Self = Self(0);
}

macro_rules! wide_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }

        impl $name {
            /// Reads the 32 hexadecimal digits that `Display` writes.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                // The numbers' own parser also takes a sign.
                if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                let mut id = [0_u8; 16];
                for (index, byte) in id.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
                }
                Some(Self(id))
            }
        }
    };
}

wide_id!(
    /// One drive, made at format.
    DriveId
);
wide_id!(
    /// One deployment: all drives that were formatted together or added later.
    DeploymentId
);
wide_id!(
    /// One immutable run of erasure-coded bytes (an object's body or a part's). Unique for ever:
    /// made of the view's epoch, the owner's position and a counter.
    DataId
);
wide_id!(
    /// One multipart upload.
    UploadId
);

/// A set of positions of one erasure set, as a bitmap (at most 128 positions).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PositionSet(pub u128);

impl PositionSet {
    /// No position.
    pub const EMPTY: Self = Self(0);

    /// The positions 0..count.
    ///
    /// # Panics
    /// If `count` is over 128.
    #[must_use]
    pub fn first(count: usize) -> Self {
        assert!(count <= 128, "an erasure set has at most 128 positions");
        if count == 128 { Self(u128::MAX) } else { Self((1 << count) - 1) }
    }

    /// Whether the position is in the set.
    #[must_use]
    pub fn contains(self, position: Position) -> bool {
        self.0 >> position.0 & 1 == 1
    }

    /// Adds a position.
    pub fn insert(&mut self, position: Position) {
        self.0 |= 1 << position.0;
    }

    /// Takes a position out.
    pub fn remove(&mut self, position: Position) {
        self.0 &= !(1 << position.0);
    }

    /// How many positions.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no position is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The positions in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The positions in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The positions of this set that are not in the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The positions, rising.
    pub fn iter(self) -> impl Iterator<Item = Position> + Clone {
        (0..128_u8).map(Position).filter(move |position| self.contains(*position))
    }
}

impl FromIterator<Position> for PositionSet {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut set = Self::EMPTY;
        for position in positions {
            set.insert(position);
        }
        set
    }
}

impl fmt::Debug for PositionSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter().map(|position| position.0)).finish()
    }
}

impl fmt::Display for PositionSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// An object's key: 1 to 1,024 bytes of UTF-8.
/// Source: S3 user guide, "Naming Amazon S3 objects".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No bytes at all.
    #[error("the key is empty")]
    Empty,
    /// More than 1,024 bytes.
    #[error("the key is longer than 1,024 bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the key is not UTF-8")]
    NotUtf8,
}

impl Key {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// Checks the bounds.
    ///
    /// # Errors
    /// `KeyError` names the bound that does not hold.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// The same from bytes that may not be UTF-8 (disk, wire).
    ///
    /// # Errors
    /// `KeyError` names the bound that does not hold.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(std::str::from_utf8(bytes).map_err(|_| KeyError::NotUtf8)?)
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as bytes; keys sort by these.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, formatter)
    }
}

/// The number of a part of a multipart upload: 1..=10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartNumber(u16);

impl PartNumber {
    /// The highest part number.
    pub const MAX: u16 = 10_000;

    /// `None` outside 1..=10,000.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_sets_are_sets() {
        let mut set: PositionSet = [Position(0), Position(5), Position(127)].into_iter().collect();
        assert_eq!(set.len(), 3);
        set.remove(Position(5));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Position(0), Position(127)]);
        assert_eq!(PositionSet::first(128).len(), 128);
        assert_eq!(PositionSet::first(3).minus(set).len(), 2);
    }

    #[test]
    fn keys_keep_their_bounds() {
        assert_eq!(Key::new(""), Err(KeyError::Empty));
        assert!(Key::new(&"k".repeat(1024)).is_ok());
        assert_eq!(Key::new(&"k".repeat(1025)), Err(KeyError::TooLong));
        assert_eq!(Key::from_bytes(&[0xff]), Err(KeyError::NotUtf8));
    }

    #[test]
    fn wide_ids_round_trip_as_hexadecimal() {
        let id = DataId([0xa5; 16]);
        assert_eq!(DataId::from_hex(&id.to_string()), Some(id));
        assert_eq!(DataId::from_hex("a5"), None);
        assert_eq!(DataId::from_hex(&"+a".repeat(16)), None);
    }
}

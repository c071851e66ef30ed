//! What a latency is filed under: size class and kind, beside the operation.
//!
//! Invariant: as for `Operation`, order and names are part of the wire and log formats.

use crate::error::StatsError;

/// How large the object of an operation is; small and large ones have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeClass {
    /// Sizes are not told apart, or the operation has none (list, delete).
    Any,
    /// No bytes.
    Empty,
    /// 1 byte to 4 KiB.
    UpTo4KiB,
    /// Above that, to 64 KiB.
    UpTo64KiB,
    /// Above that, to 1 MiB.
    UpTo1MiB,
    /// Above that, to 16 MiB.
    UpTo16MiB,
    /// Above 16 MiB.
    Above16MiB,
}

impl SizeClass {
    /// Every class, in the order of `index`.
    pub const ALL: [Self; 7] = [
        Self::Any,
        Self::Empty,
        Self::UpTo4KiB,
        Self::UpTo64KiB,
        Self::UpTo1MiB,
        Self::UpTo16MiB,
        Self::Above16MiB,
    ];

    /// The class of an object of `size_bytes`.
    #[must_use]
    pub const fn of(size_bytes: u64) -> Self {
        match size_bytes {
            0 => Self::Empty,
            1..=0x1000 => Self::UpTo4KiB,
            0x1001..=0x1_0000 => Self::UpTo64KiB,
            0x1_0001..=0x10_0000 => Self::UpTo1MiB,
            0x10_0001..=0x100_0000 => Self::UpTo16MiB,
            _ => Self::Above16MiB,
        }
    }

    /// The name in logs and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Empty => "empty",
            Self::UpTo4KiB => "to_4KiB",
            Self::UpTo64KiB => "to_64KiB",
            Self::UpTo1MiB => "to_1MiB",
            Self::UpTo16MiB => "to_16MiB",
            Self::Above16MiB => "above_16MiB",
        }
    }

    /// The place in `ALL`.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class of a name.
    ///
    /// # Errors
    /// `UnknownName`, with the names that exist.
    pub fn parse(name: &str) -> Result<Self, StatsError> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| {
            StatsError::UnknownName {
                what: "size class",
                name: name.to_owned(),
                valid: Self::ALL.map(Self::name).join(", "),
            }
        })
    }
}

/// Which stretch of an operation a latency measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LatencyKind {
    /// From the planned send time to the last byte: what a user waits, queues included.
    Response,
    /// From the send to the last byte: what the server took.
    Service,
    /// From the send to the first byte of the answer.
    FirstByte,
    /// To open a connection.
    Connect,
    /// From the planned send time to the send: what the client's queue took.
    Queue,
}

impl LatencyKind {
    /// Every kind, in the order of `index`.
    pub const ALL: [Self; 5] =
        [Self::Response, Self::Service, Self::FirstByte, Self::Connect, Self::Queue];

    /// The name in logs and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
            Self::FirstByte => "first_byte",
            Self::Connect => "connect",
            Self::Queue => "queue",
        }
    }

    /// The place in `ALL`.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The kind of a name.
    ///
    /// # Errors
    /// `UnknownName`, with the names that exist.
    pub fn parse(name: &str) -> Result<Self, StatsError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            StatsError::UnknownName {
                what: "kind of latency",
                name: name.to_owned(),
                valid: Self::ALL.map(Self::name).join(", "),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_are_the_ones_written_down() {
        for (index, class) in SizeClass::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
            assert_eq!(SizeClass::parse(class.name()).unwrap(), class);
        }
        for (index, kind) in LatencyKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(LatencyKind::parse(kind.name()).unwrap(), kind);
        }
        assert!(SizeClass::parse("4KiB").unwrap_err().to_string().contains("to_4KiB"));
        assert!(LatencyKind::parse("p99").unwrap_err().to_string().contains("first_byte"));
    }

    #[test]
    fn classes_end_at_their_bounds() {
        let bounds = [
            (0, SizeClass::Empty),
            (1, SizeClass::UpTo4KiB),
            (4096, SizeClass::UpTo4KiB),
            (4097, SizeClass::UpTo64KiB),
            (65_536, SizeClass::UpTo64KiB),
            (65_537, SizeClass::UpTo1MiB),
            (1_048_576, SizeClass::UpTo1MiB),
            (1_048_577, SizeClass::UpTo16MiB),
            (16_777_216, SizeClass::UpTo16MiB),
            (16_777_217, SizeClass::Above16MiB),
            (u64::MAX, SizeClass::Above16MiB),
        ];
        for (size_bytes, class) in bounds {
            assert_eq!(SizeClass::of(size_bytes), class, "{size_bytes}");
        }
    }
}

//! Under which path the drive of each seat was seen last.
//!
//! For drives that are absent at a start: one that can be read says itself where it belongs.

use engine_format::{FormatError, Reader, Writer, crc64};
use engine_types::{Position, SetId};
use std::collections::BTreeMap;

const MAGIC: u64 = u64::from_le_bytes(*b"BASALTST");
const VERSION: u32 = 1;
const SEATS_MAX: usize = 100_000;
const PATH_BYTES_MAX: usize = 4096;

/// A place in a set.
pub type Seat = (SetId, Position);

/// Paths by seat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeatTable {
    /// Rises with each change.
    pub version: u64,
    /// The absolute path of each seat's drive, as the system's bytes.
    pub seats: BTreeMap<Seat, Vec<u8>>,
}

impl SeatTable {
    /// The seat whose drive was seen under a path.
    #[must_use]
    pub fn seat_at(&self, path: &[u8]) -> Option<Seat> {
        self.seats.iter().find(|(_, known)| *known == path).map(|(seat, _)| *seat)
    }

    /// The table with what is known now. Of other seats the old paths stay, unless they are taken.
    #[must_use]
    pub fn with(&self, known: &BTreeMap<Seat, Vec<u8>>) -> Self {
        let mut next = self.clone();
        next.seats.retain(|_, path| !known.values().any(|taken| taken == path));
        next.seats.extend(known.iter().map(|(seat, path)| (*seat, path.clone())));
        next.version += u64::from(next.seats != self.seats);
        next
    }

    /// The document.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(MAGIC).u32(VERSION).u64(self.version).count(self.seats.len());
        for ((set, position), path) in &self.seats {
            out.u16(set.0).u8(position.0).bytes(path);
        }
        let sum = crc64(&out.bytes);
        out.u64(sum);
        out.bytes
    }

    /// Reads the document.
    ///
    /// # Errors
    /// Any `FormatError`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let what = "the table of seats";
        let body_bytes = bytes.len().checked_sub(8).ok_or(FormatError::Bounds(what))?;
        let (body, sum) = bytes.split_at(body_bytes);
        if crc64(body).to_le_bytes() != sum {
            return Err(FormatError::Sum(what));
        }
        let mut reader = Reader::new(body, what);
        if reader.u64()? != MAGIC {
            return Err(FormatError::Magic(what));
        }
        let found = reader.u32()?;
        if found != VERSION {
            return Err(FormatError::Version { structure: what, found, known: VERSION });
        }
        let version = reader.u64()?;
        let count = reader.count(SEATS_MAX)?;
        let mut seats = BTreeMap::new();
        for _ in 0..count {
            let seat = (SetId(reader.u16()?), Position(reader.u8()?));
            let rises = seats.last_key_value().is_none_or(|(last, _)| *last < seat);
            if !rises {
                return Err(reader.bounds());
            }
            seats.insert(seat, reader.bytes(PATH_BYTES_MAX)?.to_vec());
        }
        Ok(Self { version, seats })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(position: u8) -> Seat {
        (SetId(0), Position(position))
    }

    fn known(paths: &[(u8, &str)]) -> BTreeMap<Seat, Vec<u8>> {
        paths.iter().map(|(position, path)| (seat(*position), path.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_is_known_now_replaces_what_was_seen_before() {
        let table = SeatTable::default().with(&known(&[(0, "/a"), (1, "/b"), (2, "/c")]));
        assert_eq!(table.seat_at(b"/b"), Some(seat(1)));
        // The drive of seat 0 lies at /b now; seat 1 is absent, and where it is nobody knows.
        let next = table.with(&known(&[(0, "/b"), (2, "/c")]));
        assert_eq!(next.seats, known(&[(0, "/b"), (2, "/c")]));
        assert_eq!((next.seat_at(b"/b"), next.seat_at(b"/a")), (Some(seat(0)), None));
        assert_eq!(next.version, table.version + 1);
        // An absent drive keeps its path.
        assert_eq!(table.with(&known(&[(0, "/a")])), table);
    }

    #[test]
    fn a_table_round_trips_and_refuses_flips() {
        let table = SeatTable::default().with(&known(&[(0, "/srv/d1"), (7, "/srv/d8")]));
        let bytes = table.encode();
        assert_eq!(SeatTable::decode(&bytes), Ok(table));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SeatTable::decode(&flipped).is_err());
        }
        assert!(SeatTable::decode(&[]).is_err());
    }

    #[test]
    fn no_seat_is_there_twice() {
        let table = SeatTable::default().with(&known(&[(0, "/a"), (1, "/b")]));
        let mut bytes = table.encode();
        let end = bytes.len() - 8;
        // The second position, in front of its path's length and two bytes.
        bytes[end - 7] = 0;
        let sum = crc64(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&sum);
        assert_eq!(SeatTable::decode(&bytes), Err(FormatError::Bounds("the table of seats")));
    }
}

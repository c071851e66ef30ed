//! An `Interval` as bytes, from a worker to the one that gathers.
//!
//! Shape, little-endian: magic "BSI1"; start, end, shed, mismatches, client CPU, u64 each; a byte
//! 0, reserved; schedule lag; cells u16. A cell: operation u8, size class u8, count u64, bytes
//! u64, codes u16, each code as length u8, characters, count u64; a byte whose bits say which
//! kinds follow; those. A histogram: length u32, then the plain V2 form.
//!
//! Invariants: cells and codes rise, so that an interval has exactly one form and nothing comes
//! twice; a decoder takes no memory on the word of a length; what it accepts, `encode` repeats.

use crate::bytes::Cursor;
use crate::error::StatsError;
use crate::histogram::Histogram;
use crate::interval::{Cell, ERROR_CODE_BYTES_MAX, ERROR_CODES_MAX, Interval};
use crate::key::{LatencyKind, SizeClass};
use crate::operation::Operation;
use crate::v2;

const MAGIC: [u8; 4] = *b"BSI1";
/// A byte without a meaning, so that an interval has one form.
const RESERVED: u8 = 0;
/// Cells of the fullest interval.
const CELLS_MAX: usize = Operation::ALL.len() * SizeClass::ALL.len();
/// How errors name these bytes.
const WHAT: &str = "interval from a worker";

/// The most bytes an encoded interval may have; whoever receives one stops reading there. It
/// bounds every interval of a real load by far, not the largest that could be made up.
pub const INTERVAL_BYTES_MAX: usize = 32 << 20;

impl Interval {
    /// Appends the interval's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        let numbers = [self.start_ns, self.end_ns, self.shed, self.mismatches, self.client_cpu_ns];
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(RESERVED);
        put_histogram(&self.schedule_lag, out);
        let cells = self.cells();
        out.extend_from_slice(&(cells.len() as u16).to_le_bytes());
        for (operation, size_class, cell) in cells {
            out.push(operation.index() as u8);
            out.push(size_class.index() as u8);
            put_cell(cell, out);
        }
    }

    /// The interval of some bytes, all of them.
    ///
    /// # Errors
    /// `TooLarge` above `INTERVAL_BYTES_MAX`, `Damaged` where the bytes are not an interval.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatsError> {
        if bytes.len() > INTERVAL_BYTES_MAX {
            return Err(StatsError::TooLarge { what: WHAT, limit: INTERVAL_BYTES_MAX });
        }
        let mut cursor = Cursor::new(bytes, WHAT);
        if cursor.array::<4>()? != MAGIC {
            return Err(cursor.damaged("it does not begin with BSI1"));
        }
        let (start_ns, end_ns) = (cursor.u64()?, cursor.u64()?);
        if end_ns < start_ns {
            return Err(cursor.damaged("it ends before it starts"));
        }
        let mut interval = Self::new(start_ns, end_ns);
        interval.shed = cursor.u64()?;
        interval.mismatches = cursor.u64()?;
        interval.client_cpu_ns = cursor.u64()?;
        if cursor.u8()? != RESERVED {
            return Err(cursor.damaged("its reserved byte is not 0"));
        }
        interval.schedule_lag = take_histogram(&mut cursor)?;
        take_cells(&mut cursor, &mut interval)?;
        if !cursor.take_rest().is_empty() {
            return Err(cursor.damaged("it goes on after its end"));
        }
        Ok(interval)
    }
}

fn put_histogram(histogram: &Histogram, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&0_u32.to_le_bytes());
    v2::encode(histogram, out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_cell(cell: &Cell, out: &mut Vec<u8>) {
    out.extend_from_slice(&cell.count.to_le_bytes());
    out.extend_from_slice(&cell.bytes.to_le_bytes());
    out.extend_from_slice(&(cell.errors().len() as u16).to_le_bytes());
    for (code, count) in cell.errors() {
        out.push(code.len() as u8);
        out.extend_from_slice(code.as_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }
    let mut kinds = 0_u8;
    for kind in LatencyKind::ALL {
        kinds |= u8::from(!cell.latency(kind).is_empty()) << kind.index();
    }
    out.push(kinds);
    for kind in LatencyKind::ALL {
        if !cell.latency(kind).is_empty() {
            put_histogram(cell.latency(kind), out);
        }
    }
}

fn take_histogram(cursor: &mut Cursor<'_>) -> Result<Histogram, StatsError> {
    let length = cursor.u32()? as usize;
    v2::decode(cursor.slice(length)?)
}

fn take_cells(cursor: &mut Cursor<'_>, interval: &mut Interval) -> Result<(), StatsError> {
    let cells = usize::from(cursor.u16()?);
    if cells > CELLS_MAX {
        return Err(cursor.damaged(format!("{cells} cells, there are only {CELLS_MAX}")));
    }
    let mut before = None;
    for _ in 0..cells {
        let (operation_index, class_index) = (cursor.u8()?, cursor.u8()?);
        let operation = Operation::ALL.get(usize::from(operation_index));
        let size_class = SizeClass::ALL.get(usize::from(class_index));
        let (Some(operation), Some(size_class)) = (operation, size_class) else {
            let why = format!("a cell of operation {operation_index}, size class {class_index}");
            return Err(cursor.damaged(why));
        };
        let place = Some((*operation, *size_class));
        if place <= before {
            return Err(cursor.damaged("its cells do not rise"));
        }
        before = place;
        take_cell(cursor, interval.cell_mut(*operation, *size_class))?;
    }
    Ok(())
}

fn take_cell(cursor: &mut Cursor<'_>, cell: &mut Cell) -> Result<(), StatsError> {
    cell.count = cursor.u64()?;
    cell.bytes = cursor.u64()?;
    let codes = usize::from(cursor.u16()?);
    // One more than are told apart: the one that holds the others.
    if codes > ERROR_CODES_MAX + 1 {
        return Err(cursor.damaged(format!("{codes} error codes in one cell")));
    }
    let mut before = "";
    for _ in 0..codes {
        let code = take_code(cursor)?;
        if code <= before {
            return Err(cursor.damaged("its error codes do not rise"));
        }
        before = code;
        let count = cursor.u64()?;
        cell.insert_errors(code, count);
    }
    let kinds = cursor.u8()?;
    if usize::from(kinds) >> LatencyKind::ALL.len() != 0 {
        return Err(cursor.damaged("a kind of latency that does not exist"));
    }
    for kind in LatencyKind::ALL {
        if (kinds >> kind.index()) & 1 == 1 {
            let histogram = take_histogram(cursor)?;
            if histogram.is_empty() {
                return Err(cursor.damaged("an empty histogram where one is announced"));
            }
            *cell.latency_mut(kind) = histogram;
        }
    }
    Ok(())
}

fn take_code<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, StatsError> {
    let length = usize::from(cursor.u8()?);
    let bytes = cursor.slice(length)?;
    let fit = (1..=ERROR_CODE_BYTES_MAX).contains(&length);
    match std::str::from_utf8(bytes) {
        Ok(code) if fit && bytes.iter().all(u8::is_ascii_graphic) => Ok(code),
        _ => Err(cursor.damaged("an error code that could not be shown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::interval;

    fn encoded(interval: &Interval) -> Vec<u8> {
        let mut bytes = Vec::new();
        interval.encode(&mut bytes);
        bytes
    }

    #[test]
    fn intervals_come_back() {
        let mut full = Interval::default();
        for index in 0..40_u64 {
            let cell = full.cell_mut(Operation::Head, SizeClass::Any);
            cell.count_errors(&format!("Code{index:02}"), index + 1);
        }
        for interval in [Interval::default(), interval(3, 5), full] {
            assert_eq!(Interval::decode(&encoded(&interval)).unwrap(), interval);
        }
    }

    #[test]
    fn merging_after_the_wire_is_merging_before_it() {
        let (one, two) = (interval(1, 0), interval(2, 0));
        let mut near = one.clone();
        near.add(&two);
        let mut far = Interval::decode(&encoded(&one)).unwrap();
        far.add(&Interval::decode(&encoded(&two)).unwrap());
        assert_eq!(near, far);
    }

    #[test]
    fn cut_and_prolonged_bytes_are_refused() {
        let mut bytes = encoded(&interval(2, 0));
        for length in 0..bytes.len() {
            assert!(Interval::decode(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert!(Interval::decode(&bytes).is_err());
        let large = vec![0; INTERVAL_BYTES_MAX + 1];
        assert!(matches!(Interval::decode(&large), Err(StatsError::TooLarge { .. })));
    }

    #[test]
    fn flipped_bytes_give_an_error_or_an_interval_with_one_form() {
        let bytes = encoded(&interval(2, 0));
        let mut random = Random::new(17);
        let mut refused = 0;
        for _ in 0..3_000 {
            let mut flipped = bytes.clone();
            let place = random.below(bytes.len());
            flipped[place] ^= 1 << random.below(8);
            match Interval::decode(&flipped) {
                Ok(interval) => {
                    let again = Interval::decode(&encoded(&interval)).unwrap();
                    assert_eq!(again, interval);
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 50, "{refused}");
    }

    #[test]
    fn a_reserved_byte_with_something_in_it_is_refused() {
        let mut bytes = encoded(&interval(2, 0));
        let place = MAGIC.len() + 5 * 8;
        assert_eq!(bytes[place], RESERVED);
        bytes[place] = 1;
        let message = Interval::decode(&bytes).unwrap_err().to_string();
        assert!(message.contains("reserved"), "{message}");
    }

    #[test]
    fn cells_out_of_order_are_refused() {
        let mut twice = Interval::default();
        twice.cell_mut(Operation::Put, SizeClass::Any).count = 1;
        twice.cell_mut(Operation::Get, SizeClass::Any).count = 1;
        let mut bytes = encoded(&twice);
        // An empty cell is two indices, two numbers, no codes and no kinds.
        let cell_bytes = 2 + 16 + 2 + 1;
        let second = bytes.len() - cell_bytes;
        assert_eq!(bytes[second], Operation::Get.index() as u8);
        bytes[second] = Operation::Put.index() as u8;
        let message = Interval::decode(&bytes).unwrap_err().to_string();
        assert!(message.contains("do not rise"), "{message}");
        bytes[second] = 200;
        let message = Interval::decode(&bytes).unwrap_err().to_string();
        assert!(message.contains("operation 200"), "{message}");
    }
}

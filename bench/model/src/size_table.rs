//! Sizes by weighted ranges: exact buckets, warp's buckets, and cumulative shares out of a file.
//!
//! Invariants: at least one row has a weight; the rows' `end`s rise and the last is `u64::MAX`, so
//! that every draw finds a row; a row without weight is left out.

use crate::ModelError;
use crate::error::shown;
use crate::number::{decimal, size_bytes};
use crate::random::{mix64, scaled};

/// Most rows of a table, in whichever form it is given.
const ROWS_MAX: usize = 65_536;
/// Salt of the second draw, which decides inside a row.
const WITHIN_SALT: u64 = 0x7a1e_5eed_0000_0001;
/// 2^64.
const DRAWS: f64 = 18_446_744_073_709_551_616.0;

/// Ranges of sizes with weights; inside a range every size is equally likely.
#[derive(Debug, Clone, PartialEq)]
pub struct SizeTable {
    rows: Vec<Row>,
}

/// A range of sizes, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    /// Draws below this one, and not below the row before, fall here.
    end: u64,
    min_bytes: u64,
    max_bytes: u64,
}

/// A range of sizes and its weight, as parsed.
pub(crate) struct Range {
    pub(crate) min_bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) weight: f64,
}

impl SizeTable {
    /// A table of `ranges`; nothing if no range has a weight or there are too many.
    pub(crate) fn new(ranges: &[Range]) -> Option<Self> {
        let total: f64 = ranges.iter().map(|range| range.weight).sum();
        if ranges.len() > ROWS_MAX || !(total > 0.0 && total.is_finite()) {
            return None;
        }
        let mut rows = Vec::with_capacity(ranges.len());
        let mut before = 0.0;
        for range in ranges.iter().filter(|range| range.weight > 0.0) {
            before += range.weight;
            rows.push(Row {
                end: (before / total * DRAWS) as u64,
                min_bytes: range.min_bytes,
                max_bytes: range.max_bytes,
            });
        }
        rows.last_mut()?.end = u64::MAX;
        Some(Self { rows })
    }

    /// Reads lines `size,share of objects up to this size`, both rising, the last share 1.
    ///
    /// The first line is the smallest size and the share of objects that have it; further on,
    /// objects between two lines are of every size above the first and up to the second equally.
    /// Empty lines, lines that start with `#`, and a first line that starts with a letter are
    /// skipped.
    pub(crate) fn from_cdf(text: &str) -> Result<Self, ModelError> {
        let mut ranges: Vec<Range> = Vec::new();
        let mut reached = 0.0;
        let mut last = (0, "");
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let heading = ranges.is_empty() && line.starts_with(|c: char| c.is_ascii_alphabetic());
            if line.is_empty() || line.starts_with('#') || heading {
                continue;
            }
            last = (index + 1, line);
            let (size_bytes, share) =
                cdf_line(line).map_err(|problem| wrong(index + 1, line, problem))?;
            let below = ranges.last().map(|range| range.max_bytes);
            if below.is_some_and(|below| size_bytes <= below) {
                return Err(wrong(index + 1, line, "sizes must rise"));
            }
            if share < reached {
                return Err(wrong(index + 1, line, "shares must not fall"));
            }
            if ranges.len() == ROWS_MAX {
                return Err(wrong(index + 1, line, "the file has more than 65536 sizes"));
            }
            let min_bytes = below.map_or(size_bytes, |below| below + 1);
            ranges.push(Range { min_bytes, max_bytes: size_bytes, weight: share - reached });
            reached = share;
        }
        // Shares are printed with a few digits; a file that ends at 0.999 is cut off, not rounded.
        if (reached - 1.0).abs() > 1e-6 {
            return Err(wrong(last.0, last.1, "the last share must be 1"));
        }
        Self::new(&ranges).ok_or_else(|| wrong(last.0, last.1, "no size has a share"))
    }

    /// The size for a draw of 64 random bits.
    #[must_use]
    pub fn size_of(&self, draw: u64) -> u64 {
        let index = self.rows.partition_point(|row| row.end <= draw);
        // The last end is u64::MAX, which is itself a draw.
        let Some(row) = self.rows.get(index).or(self.rows.last()) else { return 0 };
        let further = row.max_bytes - row.min_bytes;
        if further == 0 {
            return row.min_bytes;
        }
        row.min_bytes + scaled(mix64(draw, WITHIN_SALT), further + 1)
    }

    /// The largest size.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.max_bytes).max().unwrap_or(0)
    }
}

fn cdf_line(line: &str) -> Result<(u64, f64), &'static str> {
    let (size, share) = line.split_once(',').ok_or("there is no comma")?;
    let size = size_bytes(size).ok_or("the size is not one")?;
    let share = decimal(share.trim()).ok_or("the share is not a number")?;
    if share > 1.0 + 1e-6 {
        return Err("the share is above 1");
    }
    Ok((size, share))
}

fn wrong(line: usize, input: &str, problem: &str) -> ModelError {
    ModelError::SizeFile { line, input: shown(input), problem: problem.to_owned() }
}

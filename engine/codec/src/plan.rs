//! How to compute lost cells from present ones.
//!
//! Invariant: `coefficients` has one row per wanted cell and one column per used cell.
//!
//! The matrix that makes the used cells from the data cells is the identity for the used data
//! cells and Cauchy rows for the used parity cells. Its inverse needs the inverse of one small
//! block only (rows: used parity cells, columns: lost data cells), so a wide geometry with few
//! losses costs little.

use crate::codec::{Codec, CodecError};
use crate::gf;
use crate::matrix::{self, Coefficients};

/// A reconstruction worked out once, for any number of stripes with the same losses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    used: Vec<u8>,
    wanted: Vec<u8>,
    coefficients: Coefficients,
}

impl Plan {
    pub(crate) fn new(codec: &Codec, present: &[u8], want: &[u8]) -> Result<Self, CodecError> {
        let used = choose(codec, present)?;
        for index in want {
            check_index(codec, *index)?;
        }
        let data_rows = data_rows(codec, &used);
        let width = used.len();
        let mut bytes = vec![0; want.len() * width];
        for (row, index) in bytes.chunks_exact_mut(width).zip(want) {
            if *index < codec.data() {
                row.copy_from_slice(&data_rows[usize::from(*index)]);
                continue;
            }
            let parity = usize::from(*index - codec.data());
            for (column, data_row) in data_rows.iter().enumerate() {
                add(row, codec.parity_rows().at(parity, column), data_row);
            }
        }
        let coefficients = Coefficients::new(want.len(), width, bytes);
        Ok(Self { used, wanted: want.to_vec(), coefficients })
    }

    /// The cells it reads: as many as the stripe has data cells, in rising order.
    #[must_use]
    pub fn used(&self) -> &[u8] {
        &self.used
    }

    /// The cells it computes.
    #[must_use]
    pub fn wanted(&self) -> &[u8] {
        &self.wanted
    }

    pub(crate) fn coefficients(&self) -> &Coefficients {
        &self.coefficients
    }
}

fn check_index(codec: &Codec, index: u8) -> Result<(), CodecError> {
    let cells = codec.cells();
    if index < cells { Ok(()) } else { Err(CodecError::CellIndex { index, cells }) }
}

/// The cells to read: the lowest indexes, so data cells before parity cells.
fn choose(codec: &Codec, present: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut seen = [false; 256];
    for index in present {
        check_index(codec, *index)?;
        if std::mem::replace(&mut seen[usize::from(*index)], true) {
            return Err(CodecError::DuplicateCell { index: *index });
        }
    }
    let needed = usize::from(codec.data());
    if present.len() < needed {
        return Err(CodecError::TooFewCells { present: present.len(), needed });
    }
    Ok((0..codec.cells()).filter(|index| seen[usize::from(*index)]).take(needed).collect())
}

/// For each data cell, its coefficients over the used cells.
///
/// With A the block of the used parity rows and the lost data columns, and B that of the used
/// parity rows and the kept data columns: parity = B * kept + A * lost, so
/// lost = A^-1 * parity + (A^-1 * B) * kept (plus and minus are the same here).
fn data_rows(codec: &Codec, used: &[u8]) -> Vec<Vec<u8>> {
    let data = codec.data();
    let kept: Vec<u8> = used.iter().copied().filter(|index| *index < data).collect();
    let lost: Vec<u8> = (0..data).filter(|index| !kept.contains(index)).collect();
    let parity: Vec<usize> =
        used[kept.len()..].iter().map(|index| usize::from(*index - data)).collect();
    assert_eq!(parity.len(), lost.len(), "one parity cell for each lost data cell");

    let rows = codec.parity_rows();
    let block = parity
        .iter()
        .flat_map(|row| lost.iter().map(move |column| rows.at(*row, usize::from(*column))))
        .collect();
    let inverse = matrix::invert(lost.len(), block)
        .expect("every square part of a Cauchy matrix has an inverse");

    let mut result = vec![vec![0; used.len()]; usize::from(data)];
    for (place, index) in kept.iter().enumerate() {
        result[usize::from(*index)][place] = 1;
    }
    for (k, index) in lost.iter().enumerate() {
        let row = &mut result[usize::from(*index)];
        for (q, parity_row) in parity.iter().enumerate() {
            let factor = inverse[k * lost.len() + q];
            row[kept.len() + q] = factor;
            for (place, column) in kept.iter().enumerate() {
                row[place] ^= gf::multiply(factor, rows.at(*parity_row, usize::from(*column)));
            }
        }
    }
    result
}

/// `sum` += `factor` * `row`.
fn add(sum: &mut [u8], factor: u8, row: &[u8]) {
    for (target, coefficient) in sum.iter_mut().zip(row) {
        *target ^= gf::multiply(factor, *coefficient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(data: u8, parity: u8) -> Codec {
        Codec::new(data, parity).expect("a geometry")
    }

    #[test]
    fn data_cells_are_used_before_parity_cells() {
        let plan = codec(4, 3).plan(&[6, 5, 3, 2, 0], &[1]).unwrap();
        assert_eq!(plan.used(), [0, 2, 3, 5]);
        assert_eq!(plan.wanted(), [1]);
    }

    #[test]
    fn a_used_cell_is_itself() {
        let plan = codec(4, 3).plan(&[0, 2, 5, 6], &[5, 2]).unwrap();
        assert_eq!(plan.coefficients().bytes(), [0, 0, 1, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn without_losses_parity_is_encoded_again() {
        let codec = codec(5, 3);
        let plan = codec.plan(&[0, 1, 2, 3, 4], &[5, 6, 7]).unwrap();
        assert_eq!(plan.coefficients(), codec.parity_rows());
    }

    #[test]
    fn bad_indexes_are_refused() {
        let codec = codec(2, 2);
        let index = |index| Err(CodecError::CellIndex { index, cells: 4 });
        assert_eq!(codec.plan(&[0, 4], &[1]), index(4));
        assert_eq!(codec.plan(&[0, 1], &[255]), index(255));
        assert_eq!(codec.plan(&[1, 1], &[0]), Err(CodecError::DuplicateCell { index: 1 }));
        let too_few = Err(CodecError::TooFewCells { present: 1, needed: 2 });
        assert_eq!(codec.plan(&[3], &[0]), too_few);
    }
}

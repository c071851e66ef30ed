//! Coefficient matrices over GF(2^8).
//!
//! Invariant: `bytes` and `affine` hold the same coefficients, row after row, and exactly
//! `rows * columns` of them; the SIMD kernels rely on it.

use crate::gf;

/// A matrix of coefficients, prepared for every kernel.
///
/// Times `columns` source cells it gives `rows` output cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coefficients {
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
    affine: Vec<u64>,
}

impl Coefficients {
    /// Takes `rows * columns` coefficients, row after row.
    ///
    /// # Panics
    /// If `bytes` has another length.
    #[must_use]
    pub fn new(rows: usize, columns: usize, bytes: Vec<u8>) -> Self {
        assert_eq!(rows.checked_mul(columns), Some(bytes.len()), "a matrix of rows * columns");
        let affine = bytes.iter().map(|byte| gf::AFFINE[usize::from(*byte)]).collect();
        Self { rows, columns, bytes, affine }
    }

    /// How many output cells it gives.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many source cells it takes.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The coefficients, row after row.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One coefficient.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> u8 {
        assert!(column < self.columns, "column {column} of {}", self.columns);
        self.bytes[row * self.columns + column]
    }

    /// `count` rows of coefficients, from `first` on.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(crate) fn byte_rows(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[first * self.columns..(first + count) * self.columns]
    }

    /// `count` rows of bit matrices, from `first` on.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn affine_rows(&self, first: usize, count: usize) -> &[u64] {
        &self.affine[first * self.columns..(first + count) * self.columns]
    }
}

/// The parity rows of a geometry: row i, column j is the inverse of `(data + i) xor j`.
///
/// With `data + parity <= 256` no two of the numbers `data + i` and `j` are equal, so this is a
/// Cauchy matrix and every square part of it can be inverted. One data cell is the exception:
/// its rows are 1, which makes the parity cells copies (a mirror); 1 is never zero, so any one
/// cell still gives back all others.
pub(crate) fn parity_rows(data: u8, parity: u8) -> Coefficients {
    let mut bytes = Vec::with_capacity(usize::from(data) * usize::from(parity));
    for row in 0..parity {
        for column in 0..data {
            bytes.push(if data == 1 { 1 } else { gf::inverse((data + row) ^ column) });
        }
    }
    Coefficients::new(usize::from(parity), usize::from(data), bytes)
}

/// The inverse of a square matrix by elimination; `None` if it has none.
pub(crate) fn invert(size: usize, mut matrix: Vec<u8>) -> Option<Vec<u8>> {
    assert_eq!(matrix.len(), size * size, "a square matrix");
    let mut result = vec![0; size * size];
    for diagonal in 0..size {
        result[diagonal * size + diagonal] = 1;
    }
    for pivot in 0..size {
        let found = (pivot..size).find(|row| matrix[*row * size + pivot] != 0)?;
        if found != pivot {
            for column in 0..size {
                matrix.swap(found * size + column, pivot * size + column);
                result.swap(found * size + column, pivot * size + column);
            }
        }
        let scale = gf::inverse(matrix[pivot * size + pivot]);
        for column in pivot * size..(pivot + 1) * size {
            matrix[column] = gf::multiply(scale, matrix[column]);
            result[column] = gf::multiply(scale, result[column]);
        }
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = matrix[row * size + pivot];
            add_row(&mut matrix, size, pivot, row, factor);
            add_row(&mut result, size, pivot, row, factor);
        }
    }
    Some(result)
}

/// Row `to` += `factor` * row `from`.
fn add_row(matrix: &mut [u8], size: usize, from: usize, to: usize, factor: u8) {
    if factor == 0 {
        return;
    }
    for column in 0..size {
        let term = gf::multiply(factor, matrix[from * size + column]);
        matrix[to * size + column] ^= term;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(size: usize, a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut result = vec![0; size * size];
        for row in 0..size {
            for column in 0..size {
                for k in 0..size {
                    let term = gf::multiply(a[row * size + k], b[k * size + column]);
                    result[row * size + column] ^= term;
                }
            }
        }
        result
    }

    fn identity(size: usize) -> Vec<u8> {
        (0..size * size).map(|at| u8::from(at / size == at % size)).collect()
    }

    #[test]
    fn the_first_parity_rows_of_four_data_cells() {
        let rows = parity_rows(4, 2);
        assert_eq!(rows.bytes(), [0x47, 0xa7, 0x7a, 0xba, 0xa7, 0x47, 0xba, 0x7a]);
        assert_eq!((rows.rows(), rows.columns(), rows.at(1, 3)), (2, 4, 0x7a));
    }

    #[test]
    fn one_data_cell_is_copied() {
        assert_eq!(parity_rows(1, 3).bytes(), [1, 1, 1]);
    }

    #[test]
    fn square_cauchy_matrices_have_inverses() {
        for size in 2..=32_u8 {
            let matrix = parity_rows(size, size).bytes().to_vec();
            let size = usize::from(size);
            let inverse = invert(size, matrix.clone()).unwrap();
            assert_eq!(times(size, &matrix, &inverse), identity(size), "size {size}");
            assert_eq!(times(size, &inverse, &matrix), identity(size), "size {size}");
        }
    }

    #[test]
    fn a_zero_on_the_diagonal_is_swapped_away() {
        assert_eq!(invert(2, vec![0, 1, 1, 0]), Some(vec![0, 1, 1, 0]));
    }

    #[test]
    fn dependent_rows_have_no_inverse() {
        assert_eq!(invert(2, vec![3, 5, 3, 5]), None);
        assert_eq!(invert(1, vec![0]), None);
    }
}

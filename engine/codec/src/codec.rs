//! One geometry: data cells in, parity cells out, and lost cells back.
//!
//! Invariants: the parity of a geometry never changes (it is part of the on-drive format): it is
//! ISA-L's `gf_gen_cauchy1_matrix` with `ec_encode_data`, byte for byte, except that one data
//! cell (a mirror) is copied. Any `data` cells of a stripe give back all others.

use crate::kernel::Kernel;
use crate::matrix::{self, Coefficients};
use crate::plan::Plan;

/// The most data cells of a stripe.
pub const MAX_DATA: u8 = 100;

/// The most parity cells of a stripe.
pub const MAX_PARITY: u8 = 32;

/// The most cells of a stripe.
pub const MAX_CELLS: u8 = 128;

/// Why a stripe cannot be computed. The outputs are untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// There is no code for these numbers of cells.
    #[error("no code for {data} data and {parity} parity cells")]
    Geometry {
        /// Data cells asked for.
        data: u8,
        /// Parity cells asked for.
        parity: u8,
    },
    /// Another number of cells than the geometry or the plan has.
    #[error("{got} cells given where {expected} belong")]
    CellCount {
        /// How many belong there.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// The cells of one stripe have one length.
    #[error("a cell of {got_bytes} bytes in a stripe of {expected_bytes} byte cells")]
    CellLength {
        /// The length of the first cell.
        expected_bytes: usize,
        /// The length of the one that differs.
        got_bytes: usize,
    },
    /// A cell that this geometry does not have.
    #[error("cell {index} of a stripe of {cells} cells")]
    CellIndex {
        /// The index given.
        index: u8,
        /// How many cells a stripe has.
        cells: u8,
    },
    /// One cell was given twice.
    #[error("cell {index} given twice")]
    DuplicateCell {
        /// Its index.
        index: u8,
    },
    /// Too few cells are left: the stripe is lost.
    #[error("{present} cells present, {needed} needed")]
    TooFewCells {
        /// How many there are.
        present: usize,
        /// How many any reconstruction needs.
        needed: usize,
    },
}

/// The code of one geometry on one kernel.
///
/// Cells are numbered 0.. : the data cells first, then the parity cells.
#[derive(Debug, Clone)]
pub struct Codec {
    data: u8,
    parity: u8,
    kernel: Kernel,
    parity_rows: Coefficients,
}

impl Codec {
    /// For `data` (1..=100) and `parity` (0..=32) cells, at most 128 together, on the best
    /// kernel of this CPU.
    ///
    /// With one data cell the parity cells are copies of it.
    ///
    /// # Errors
    /// `Geometry` for other numbers.
    pub fn new(data: u8, parity: u8) -> Result<Self, CodecError> {
        Self::with_kernel(data, parity, Kernel::best())
    }

    /// The same on a given kernel.
    ///
    /// # Errors
    /// As `new`.
    ///
    /// # Panics
    /// If this CPU lacks the kernel.
    pub fn with_kernel(data: u8, parity: u8, kernel: Kernel) -> Result<Self, CodecError> {
        assert!(kernel.is_available(), "this CPU has no {kernel}");
        // The bounds are checked one by one before the sum, which then cannot overflow.
        let fits =
            (1..=MAX_DATA).contains(&data) && parity <= MAX_PARITY && data + parity <= MAX_CELLS;
        if !fits {
            return Err(CodecError::Geometry { data, parity });
        }
        let parity_rows = matrix::parity_rows(data, parity);
        Ok(Self { data, parity, kernel, parity_rows })
    }

    /// How many data cells a stripe has.
    #[must_use]
    pub fn data(&self) -> u8 {
        self.data
    }

    /// How many parity cells a stripe has.
    #[must_use]
    pub fn parity(&self) -> u8 {
        self.parity
    }

    /// How many cells a stripe has.
    #[must_use]
    pub fn cells(&self) -> u8 {
        self.data + self.parity
    }

    /// What it runs on.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The coefficients: one row per parity cell, one column per data cell.
    #[must_use]
    pub fn parity_rows(&self) -> &Coefficients {
        &self.parity_rows
    }

    /// Computes the parity cells of a stripe, whatever they held before.
    ///
    /// # Errors
    /// `CellCount` or `CellLength` if the cells are not those of one stripe.
    pub fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), CodecError> {
        check_count(usize::from(self.data), data.len())?;
        check_count(usize::from(self.parity), parity.len())?;
        check_lengths(data, parity)?;
        if let [original] = data {
            for copy in parity {
                copy.copy_from_slice(original);
            }
            return Ok(());
        }
        self.kernel.multiply(&self.parity_rows, data, parity);
        Ok(())
    }

    /// Computes the cells `want`, data or parity, from any `data` present cells; `out[k]` gets
    /// the cell `want[k]`. Cells beyond the first `data` are not read (the lowest indexes are,
    /// so that intact data cells are preferred).
    ///
    /// To rebuild many stripes with the same losses, make a `plan` once and `apply` it to each.
    ///
    /// # Errors
    /// `TooFewCells` if the stripe is lost; `CellIndex`, `DuplicateCell`, `CellCount`,
    /// `CellLength` if the cells are not those of one stripe.
    pub fn reconstruct(
        &self,
        present: &[(u8, &[u8])],
        want: &[u8],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        let indexes: Vec<u8> = present.iter().map(|(index, _)| *index).collect();
        let plan = self.plan(&indexes, want)?;
        let mut cell_at: [&[u8]; 256] = [&[]; 256];
        for (index, cell) in present {
            cell_at[usize::from(*index)] = cell;
        }
        let cells: Vec<&[u8]> =
            plan.used().iter().map(|index| cell_at[usize::from(*index)]).collect();
        self.apply(&plan, &cells, out)
    }

    /// Works out how to compute the cells `want` from the cells `present`.
    ///
    /// # Errors
    /// `TooFewCells`, `CellIndex` or `DuplicateCell`.
    pub fn plan(&self, present: &[u8], want: &[u8]) -> Result<Plan, CodecError> {
        Plan::new(self, present, want)
    }

    /// Carries out a plan of this geometry: `cells` are those of `plan.used()`, in that order;
    /// `out[k]` gets the cell `plan.wanted()[k]`.
    ///
    /// # Errors
    /// `CellCount` or `CellLength` if these are not the cells of the plan.
    pub fn apply(
        &self,
        plan: &Plan,
        cells: &[&[u8]],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        check_count(plan.used().len(), cells.len())?;
        check_count(plan.wanted().len(), out.len())?;
        check_lengths(cells, out)?;
        self.kernel.multiply(plan.coefficients(), cells, out);
        Ok(())
    }
}

fn check_count(expected: usize, got: usize) -> Result<(), CodecError> {
    if expected == got { Ok(()) } else { Err(CodecError::CellCount { expected, got }) }
}

fn check_lengths(sources: &[&[u8]], outputs: &[&mut [u8]]) -> Result<(), CodecError> {
    let expected_bytes = sources.first().map_or(0, |cell| cell.len());
    let lengths = sources.iter().map(|cell| cell.len());
    let mut lengths = lengths.chain(outputs.iter().map(|cell| cell.len()));
    match lengths.find(|got_bytes| *got_bytes != expected_bytes) {
        Some(got_bytes) => Err(CodecError::CellLength { expected_bytes, got_bytes }),
        None => Ok(()),
    }
}

//! The kernels: output cells = coefficients times source cells, one file per instruction set.
//!
//! Invariants: all kernels give the same bytes for any length and any alignment; a kernel runs
//! only on a CPU that has its instructions (checked here for a clear message, and once more in
//! each SIMD file, which is where memory safety depends on it).

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_gfni;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod ssse3;

use crate::matrix::Coefficients;
use crate::self_test::self_test;
use std::fmt;

/// All cells of one tile together should stay within a share of a core's L2 cache.
const TILES_BYTES: usize = 512 * 1024;

/// The smallest tile, also for the widest geometries.
const TILE_MIN_BYTES: usize = 16 * 1024;

/// The largest tile, also for the narrowest geometries.
const TILE_MAX_BYTES: usize = 64 * 1024;

/// A way to compute, by instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// x86-64 with AVX-512 F and BW, and GFNI: bit matrices on 64 bytes, masked tails.
    Avx512Gfni,
    /// x86-64 with AVX2 and GFNI: bit matrices on 32 bytes.
    Avx2Gfni,
    /// x86-64 with AVX2: nibble tables on 32 bytes.
    Avx2,
    /// x86-64 with SSSE3: nibble tables on 16 bytes.
    Ssse3,
    /// 64 bit ARM: nibble tables on 16 bytes.
    Neon,
    /// Every machine: nibble tables, byte by byte.
    Scalar,
}

/// One call of a kernel: which bytes of the cells, and what to multiply.
#[derive(Clone, Copy)]
struct Job<'a> {
    coefficients: &'a Coefficients,
    sources: &'a [&'a [u8]],
    from: usize,
    to: usize,
}

impl Job<'_> {
    /// The same for other bytes of the cells.
    fn between(self, from: usize, to: usize) -> Self {
        Self { from, to, ..self }
    }

    /// The part of the range that is a multiple of `step` bytes ends here.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn whole_steps_end(&self, step: usize) -> usize {
        self.from + (self.to - self.from) / step * step
    }

    /// What unsafe code relies on: the matrix fits the cells, and every cell has the bytes
    /// `from..to`.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn assert_fits(&self, outputs: &[&mut [u8]]) {
        assert!(self.from <= self.to, "a range");
        assert_eq!(self.coefficients.columns(), self.sources.len(), "a source for each column");
        assert_eq!(self.coefficients.rows(), outputs.len(), "an output for each row");
        assert!(self.sources.iter().all(|cell| cell.len() >= self.to), "sources of that length");
        assert!(outputs.iter().all(|cell| cell.len() >= self.to), "outputs of that length");
    }
}

/// Where `ROWS` output cells begin, from row `first` on.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn pointers<const ROWS: usize>(outputs: &mut [&mut [u8]], first: usize) -> [*mut u8; ROWS] {
    std::array::from_fn(|row| outputs[first + row].as_mut_ptr())
}

impl Kernel {
    /// All kernels, the fastest first.
    pub const ALL: [Self; 6] =
        [Self::Avx512Gfni, Self::Avx2Gfni, Self::Avx2, Self::Ssse3, Self::Neon, Self::Scalar];

    /// The kernels this CPU can run, the fastest first; the last is always `Scalar`.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|kernel| kernel.is_available()).collect()
    }

    /// The fastest kernel of this CPU, or `Scalar` if the self test found any kernel wrong.
    ///
    /// The first call of a process runs the self test.
    #[must_use]
    pub fn best() -> Self {
        self_test().chosen
    }

    /// A short name for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512Gfni => "avx512-gfni",
            Self::Avx2Gfni => "avx2-gfni",
            Self::Avx2 => "avx2",
            Self::Ssse3 => "ssse3",
            Self::Neon => "neon",
            Self::Scalar => "scalar",
        }
    }

    /// Whether this CPU can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Gfni => avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Gfni => avx2_gfni::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => ssse3::is_available(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::is_available(),
            _ => false,
        }
    }

    /// Overwrites `outputs[row]` with the sum over all columns of
    /// `coefficients.at(row, column) * sources[column]`.
    ///
    /// Cells may have any length and any alignment. Work goes tile by tile, so that the sources
    /// are still in cache when the next group of four rows reads them.
    ///
    /// # Panics
    /// If the CPU lacks this kernel, if there is not one source per column and one output per
    /// row, or if the cells differ in length.
    pub fn multiply(
        self,
        coefficients: &Coefficients,
        sources: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) {
        assert!(self.is_available(), "this CPU has no {self}");
        assert_eq!(coefficients.columns(), sources.len(), "a source for each column");
        assert_eq!(coefficients.rows(), outputs.len(), "an output for each row");
        let cell_bytes = outputs.first().map_or(0, |output| output.len());
        assert!(outputs.iter().all(|cell| cell.len() == cell_bytes), "outputs of one length");
        if outputs.is_empty() {
            return;
        }
        assert!(sources.iter().all(|cell| cell.len() == cell_bytes), "sources of that length");
        let tile_bytes = tile_bytes(sources.len() + outputs.len());
        let mut from = 0;
        while from < cell_bytes {
            let to = cell_bytes.min(from + tile_bytes);
            self.run(Job { coefficients, sources, from, to }, outputs);
            from = to;
        }
    }

    fn run(self, job: Job<'_>, outputs: &mut [&mut [u8]]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Gfni => avx512::run(job, outputs),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Gfni => avx2_gfni::run(job, outputs),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::run(job, outputs),
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => ssse3::run(job, outputs),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::run(job, outputs),
            _ => scalar::run(job, outputs),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How many bytes of each cell are worked on before going on, for so many cells.
fn tile_bytes(cells: usize) -> usize {
    let share = TILES_BYTES / cells.max(1);
    (share / 4096 * 4096).clamp(TILE_MIN_BYTES, TILE_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_whole_pages_between_the_bounds() {
        assert_eq!(tile_bytes(0), TILE_MAX_BYTES);
        assert_eq!(tile_bytes(6), TILE_MAX_BYTES);
        assert_eq!(tile_bytes(12), 40 * 1024);
        assert_eq!(tile_bytes(128), TILE_MIN_BYTES);
    }

    #[test]
    fn scalar_is_always_there_and_last() {
        assert_eq!(Kernel::available().last(), Some(&Kernel::Scalar));
    }

    #[test]
    #[should_panic(expected = "outputs of one length")]
    fn outputs_of_two_lengths_are_refused() {
        let coefficients = Coefficients::new(2, 1, vec![1, 1]);
        let (mut long, mut short) = ([0; 8], [0; 7]);
        let outputs: &mut [&mut [u8]] = &mut [&mut long, &mut short];
        Kernel::Scalar.multiply(&coefficients, &[&[1; 8]], outputs);
    }

    #[test]
    #[should_panic(expected = "sources of that length")]
    fn short_sources_are_refused() {
        let coefficients = Coefficients::new(1, 1, vec![1]);
        let mut output = [0; 8];
        let outputs: &mut [&mut [u8]] = &mut [&mut output];
        Kernel::Scalar.multiply(&coefficients, &[&[1; 7]], outputs);
    }
}

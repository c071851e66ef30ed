//! AVX-512 with GFNI: four rows by four 64 byte vectors at a time, two sources per step, masked
//! loads and stores for what is left.
//!
//! Two sources per step, because one `vpternlogq` then adds two products. The sums (16), the
//! sources (8) and the two bit matrices fit the 32 registers.
#![allow(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "intrinsics on raw pointers; loops of fixed length over arrays kept in registers"
)]

use super::{Job, pointers};
use std::arch::x86_64::{
    __m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512,
    _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

const VECTOR_BYTES: usize = 64;
const VECTORS: usize = 4;
const STEP_BYTES: usize = VECTORS * VECTOR_BYTES;

/// The truth table of a ^ b ^ c.
const XOR3: i32 = 0x96;

pub(super) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("gfni")
}

pub(super) fn run(job: Job<'_>, outputs: &mut [&mut [u8]]) {
    assert!(is_available(), "this CPU has no AVX-512 with GFNI");
    job.assert_fits(outputs);
    let mut row = 0;
    while row < outputs.len() {
        let rest = outputs.len() - row;
        // SAFETY: the CPU has the instructions, and the job fits the cells (both asserted);
        // there are as many rows from `row` on as each call takes.
        unsafe {
            match rest {
                1 => rows::<1>(job, row, outputs),
                2 => rows::<2>(job, row, outputs),
                3 => rows::<3>(job, row, outputs),
                _ => rows::<4>(job, row, outputs),
            }
        }
        row += 4;
    }
}

/// # Safety
/// The CPU has AVX-512 F and BW and GFNI, the job fits the outputs, and there are `ROWS` rows
/// from `first` on.
#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn rows<const ROWS: usize>(job: Job<'_>, first: usize, outputs: &mut [&mut [u8]]) {
    let whole_end = job.whole_steps_end(STEP_BYTES);
    let targets = pointers::<ROWS>(outputs, first);
    // SAFETY: as this function; the targets are those rows of the outputs, and the two ranges
    // lie in the range of the job, the first being whole steps.
    unsafe {
        whole_steps::<ROWS>(job.between(job.from, whole_end), first, targets);
        masked_steps::<ROWS>(job.between(whole_end, job.to), first, targets);
    }
}

/// # Safety
/// As `rows`; the job is a multiple of `STEP_BYTES`, and each target has its bytes.
#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn whole_steps<const ROWS: usize>(job: Job<'_>, first: usize, targets: [*mut u8; ROWS]) {
    let columns = job.sources.len();
    let matrices = job.coefficients.affine_rows(first, ROWS);
    let mut at = job.from;
    while at < job.to {
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; ROWS];
        let mut column = 0;
        while column + 2 <= columns {
            // SAFETY: both columns are below `columns`, the number of sources, each of which
            // has the bytes at..at + STEP_BYTES; there are ROWS * columns matrices.
            unsafe {
                let a = load(job.sources.get_unchecked(column).as_ptr().add(at));
                let b = load(job.sources.get_unchecked(column + 1).as_ptr().add(at));
                for row in 0..ROWS {
                    let matrix = matrices.as_ptr().add(row * columns + column);
                    let by_a = _mm512_set1_epi64(*matrix as i64);
                    let by_b = _mm512_set1_epi64(*matrix.add(1) as i64);
                    for vector in 0..VECTORS {
                        sums[row][vector] = _mm512_ternarylogic_epi64::<XOR3>(
                            sums[row][vector],
                            _mm512_gf2p8affine_epi64_epi8::<0>(a[vector], by_a),
                            _mm512_gf2p8affine_epi64_epi8::<0>(b[vector], by_b),
                        );
                    }
                }
            }
            column += 2;
        }
        if column < columns {
            // SAFETY: as above, for the last of an odd number of sources.
            unsafe {
                let a = load(job.sources.get_unchecked(column).as_ptr().add(at));
                for row in 0..ROWS {
                    let by_a =
                        _mm512_set1_epi64(*matrices.as_ptr().add(row * columns + column) as i64);
                    for vector in 0..VECTORS {
                        let product = _mm512_gf2p8affine_epi64_epi8::<0>(a[vector], by_a);
                        sums[row][vector] = _mm512_xor_si512(sums[row][vector], product);
                    }
                }
            }
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                // SAFETY: each target has the bytes at..at + STEP_BYTES.
                unsafe {
                    let target = targets[row].add(at + vector * VECTOR_BYTES);
                    _mm512_storeu_si512(target.cast(), sums[row][vector]);
                }
            }
        }
        at += STEP_BYTES;
    }
}

/// # Safety
/// As `rows`; each target has the bytes of the job. A masked access touches only the bytes of
/// its mask.
#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn masked_steps<const ROWS: usize>(job: Job<'_>, first: usize, targets: [*mut u8; ROWS]) {
    let columns = job.sources.len();
    let matrices = job.coefficients.affine_rows(first, ROWS);
    let mut at = job.from;
    while at < job.to {
        let bytes = VECTOR_BYTES.min(job.to - at);
        let mask = u64::MAX >> (VECTOR_BYTES - bytes);
        let mut sums = [_mm512_setzero_si512(); ROWS];
        for (column, source) in job.sources.iter().enumerate() {
            // SAFETY: each source has the `bytes` bytes of the mask from `at` on; there are
            // ROWS * columns matrices.
            unsafe {
                let a = _mm512_maskz_loadu_epi8(mask, source.as_ptr().add(at).cast());
                for row in 0..ROWS {
                    let by_a =
                        _mm512_set1_epi64(*matrices.as_ptr().add(row * columns + column) as i64);
                    let product = _mm512_gf2p8affine_epi64_epi8::<0>(a, by_a);
                    sums[row] = _mm512_xor_si512(sums[row], product);
                }
            }
        }
        for row in 0..ROWS {
            // SAFETY: each target has the `bytes` bytes of the mask from `at` on.
            unsafe { _mm512_mask_storeu_epi8(targets[row].add(at).cast(), mask, sums[row]) }
        }
        at += bytes;
    }
}

/// # Safety
/// The CPU has AVX-512 F, and `STEP_BYTES` bytes can be read at `source`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn load(source: *const u8) -> [__m512i; VECTORS] {
    // SAFETY: four vectors are the STEP_BYTES bytes that can be read.
    unsafe {
        [
            _mm512_loadu_si512(source.cast()),
            _mm512_loadu_si512(source.add(VECTOR_BYTES).cast()),
            _mm512_loadu_si512(source.add(2 * VECTOR_BYTES).cast()),
            _mm512_loadu_si512(source.add(3 * VECTOR_BYTES).cast()),
        ]
    }
}

//! AVX2 with GFNI: four rows by two 32 byte vectors at a time; a scalar tail.
#![allow(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "intrinsics on raw pointers; loops of fixed length over arrays kept in registers"
)]

use super::{Job, pointers, scalar};
use std::arch::x86_64::{
    _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_xor_si256,
};

const VECTOR_BYTES: usize = 32;
const VECTORS: usize = 2;
const STEP_BYTES: usize = VECTORS * VECTOR_BYTES;

pub(super) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("gfni")
}

pub(super) fn run(job: Job<'_>, outputs: &mut [&mut [u8]]) {
    assert!(is_available(), "this CPU has no AVX2 with GFNI");
    job.assert_fits(outputs);
    let whole_end = job.whole_steps_end(STEP_BYTES);
    let whole = job.between(job.from, whole_end);
    let mut row = 0;
    while row < outputs.len() {
        let rest = outputs.len() - row;
        // SAFETY: the CPU has the instructions, and the job fits the cells (both asserted); it
        // is whole steps, and there are as many rows from `row` on as each call takes.
        unsafe {
            match rest {
                1 => rows::<1>(whole, row, outputs),
                2 => rows::<2>(whole, row, outputs),
                3 => rows::<3>(whole, row, outputs),
                _ => rows::<4>(whole, row, outputs),
            }
        }
        row += 4;
    }
    scalar::run(job.between(whole_end, job.to), outputs);
}

/// # Safety
/// The CPU has AVX2 and GFNI, the job fits the outputs and is a multiple of `STEP_BYTES`, and
/// there are `ROWS` rows from `first` on.
#[target_feature(enable = "avx2,gfni")]
unsafe fn rows<const ROWS: usize>(job: Job<'_>, first: usize, outputs: &mut [&mut [u8]]) {
    let columns = job.sources.len();
    let matrices = job.coefficients.affine_rows(first, ROWS);
    let targets = pointers::<ROWS>(outputs, first);
    let mut at = job.from;
    while at < job.to {
        let mut sums = [[_mm256_setzero_si256(); VECTORS]; ROWS];
        for (column, source) in job.sources.iter().enumerate() {
            // SAFETY: each source has the bytes at..at + STEP_BYTES; there are ROWS * columns
            // matrices.
            unsafe {
                let source = source.as_ptr().add(at);
                let a = [
                    _mm256_loadu_si256(source.cast()),
                    _mm256_loadu_si256(source.add(VECTOR_BYTES).cast()),
                ];
                for row in 0..ROWS {
                    let matrix = *matrices.as_ptr().add(row * columns + column);
                    let matrix = _mm256_set1_epi64x(matrix as i64);
                    for vector in 0..VECTORS {
                        let product = _mm256_gf2p8affine_epi64_epi8::<0>(a[vector], matrix);
                        sums[row][vector] = _mm256_xor_si256(sums[row][vector], product);
                    }
                }
            }
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                // SAFETY: each output has the bytes at..at + STEP_BYTES.
                unsafe {
                    let target = targets[row].add(at + vector * VECTOR_BYTES);
                    _mm256_storeu_si256(target.cast(), sums[row][vector]);
                }
            }
        }
        at += STEP_BYTES;
    }
}

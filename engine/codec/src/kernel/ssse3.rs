//! SSSE3: two table look-ups per byte by shuffle, four rows by two 16 byte vectors at a time; a
//! scalar tail.
#![allow(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "intrinsics on raw pointers; loops of fixed length over arrays kept in registers"
)]

use super::{Job, pointers, scalar};
use crate::gf::NIBBLES;
use std::arch::x86_64::{
    _mm_and_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_setzero_si128, _mm_shuffle_epi8,
    _mm_srli_epi64, _mm_storeu_si128, _mm_xor_si128,
};

const VECTOR_BYTES: usize = 16;
const VECTORS: usize = 2;
const STEP_BYTES: usize = VECTORS * VECTOR_BYTES;

pub(super) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("ssse3")
}

pub(super) fn run(job: Job<'_>, outputs: &mut [&mut [u8]]) {
    assert!(is_available(), "this CPU has no SSSE3");
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
/// The CPU has SSSE3, the job fits the outputs and is a multiple of `STEP_BYTES`, and there are
/// `ROWS` rows from `first` on.
#[target_feature(enable = "ssse3")]
unsafe fn rows<const ROWS: usize>(job: Job<'_>, first: usize, outputs: &mut [&mut [u8]]) {
    let columns = job.sources.len();
    let coefficients = job.coefficients.byte_rows(first, ROWS);
    let targets = pointers::<ROWS>(outputs, first);
    let nibble_mask = _mm_set1_epi8(0x0f);
    let mut at = job.from;
    while at < job.to {
        let mut sums = [[_mm_setzero_si128(); VECTORS]; ROWS];
        for (column, source) in job.sources.iter().enumerate() {
            // SAFETY: each source has the bytes at..at + STEP_BYTES; there are ROWS * columns
            // coefficients; a table of 32 bytes exists for every value of a byte.
            unsafe {
                let source = source.as_ptr().add(at);
                let a = [
                    _mm_loadu_si128(source.cast()),
                    _mm_loadu_si128(source.add(VECTOR_BYTES).cast()),
                ];
                let low_nibbles =
                    [_mm_and_si128(a[0], nibble_mask), _mm_and_si128(a[1], nibble_mask)];
                let high_nibbles = [
                    _mm_and_si128(_mm_srli_epi64::<4>(a[0]), nibble_mask),
                    _mm_and_si128(_mm_srli_epi64::<4>(a[1]), nibble_mask),
                ];
                for row in 0..ROWS {
                    let coefficient = *coefficients.get_unchecked(row * columns + column);
                    let table = NIBBLES.0.get_unchecked(usize::from(coefficient)).as_ptr();
                    let low = _mm_loadu_si128(table.cast());
                    let high = _mm_loadu_si128(table.add(16).cast());
                    for vector in 0..VECTORS {
                        let product = _mm_xor_si128(
                            _mm_shuffle_epi8(low, low_nibbles[vector]),
                            _mm_shuffle_epi8(high, high_nibbles[vector]),
                        );
                        sums[row][vector] = _mm_xor_si128(sums[row][vector], product);
                    }
                }
            }
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                // SAFETY: each output has the bytes at..at + STEP_BYTES.
                unsafe {
                    let target = targets[row].add(at + vector * VECTOR_BYTES);
                    _mm_storeu_si128(target.cast(), sums[row][vector]);
                }
            }
        }
        at += STEP_BYTES;
    }
}

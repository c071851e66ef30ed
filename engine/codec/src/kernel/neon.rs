//! NEON: two table look-ups per byte, four rows by two 16 byte vectors at a time; a scalar tail.
#![allow(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "intrinsics on raw pointers; loops of fixed length over arrays kept in registers"
)]

use super::{Job, pointers, scalar};
use crate::gf::NIBBLES;
use std::arch::aarch64::{
    vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};

const VECTOR_BYTES: usize = 16;
const VECTORS: usize = 2;
const STEP_BYTES: usize = VECTORS * VECTOR_BYTES;

pub(super) fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

pub(super) fn run(job: Job<'_>, outputs: &mut [&mut [u8]]) {
    assert!(is_available(), "this CPU has no NEON");
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
/// The CPU has NEON, the job fits the outputs and is a multiple of `STEP_BYTES`, and there are
/// `ROWS` rows from `first` on.
#[target_feature(enable = "neon")]
unsafe fn rows<const ROWS: usize>(job: Job<'_>, first: usize, outputs: &mut [&mut [u8]]) {
    let columns = job.sources.len();
    let coefficients = job.coefficients.byte_rows(first, ROWS);
    let targets = pointers::<ROWS>(outputs, first);
    let nibble_mask = vdupq_n_u8(0x0f);
    let mut at = job.from;
    while at < job.to {
        let mut sums = [[vdupq_n_u8(0); VECTORS]; ROWS];
        for (column, source) in job.sources.iter().enumerate() {
            // SAFETY: each source has the bytes at..at + STEP_BYTES; there are ROWS * columns
            // coefficients; a table of 32 bytes exists for every value of a byte.
            unsafe {
                let source = source.as_ptr().add(at);
                let a = [vld1q_u8(source), vld1q_u8(source.add(VECTOR_BYTES))];
                let low_nibbles = [vandq_u8(a[0], nibble_mask), vandq_u8(a[1], nibble_mask)];
                let high_nibbles = [vshrq_n_u8::<4>(a[0]), vshrq_n_u8::<4>(a[1])];
                for row in 0..ROWS {
                    let coefficient = *coefficients.get_unchecked(row * columns + column);
                    let table = NIBBLES.0.get_unchecked(usize::from(coefficient)).as_ptr();
                    let low = vld1q_u8(table);
                    let high = vld1q_u8(table.add(16));
                    for vector in 0..VECTORS {
                        let product = veorq_u8(
                            vqtbl1q_u8(low, low_nibbles[vector]),
                            vqtbl1q_u8(high, high_nibbles[vector]),
                        );
                        sums[row][vector] = veorq_u8(sums[row][vector], product);
                    }
                }
            }
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                // SAFETY: each output has the bytes at..at + STEP_BYTES.
                unsafe {
                    let target = targets[row].add(at + vector * VECTOR_BYTES);
                    vst1q_u8(target, sums[row][vector]);
                }
            }
        }
        at += STEP_BYTES;
    }
}

//! The kernel without SIMD: the reference of the others, and their tail.

use super::Job;
use crate::gf;

pub(super) fn run(job: Job<'_>, outputs: &mut [&mut [u8]]) {
    if job.from == job.to {
        return;
    }
    for (row, output) in outputs.iter_mut().enumerate() {
        let output = &mut output[job.from..job.to];
        output.fill(0);
        for (column, source) in job.sources.iter().enumerate() {
            let table = &gf::NIBBLES.0[usize::from(job.coefficients.at(row, column))];
            for (sum, byte) in output.iter_mut().zip(&source[job.from..job.to]) {
                *sum ^= table[usize::from(byte & 15)] ^ table[16 + usize::from(byte >> 4)];
            }
        }
    }
}

//! Every kernel of this CPU against the scalar one: lengths, alignments, shapes.

mod common;

use common::{Random, views, views_mut};
use engine_codec::{Coefficients, Kernel};
use std::io::Write as _;

/// Rows and columns: every size of the last group of rows, odd and even numbers of sources.
const SHAPES: [(usize, usize); 9] =
    [(1, 1), (1, 4), (2, 3), (3, 8), (4, 2), (4, 10), (5, 3), (7, 5), (10, 2)];

/// What is around the outputs and in them before a kernel runs.
const UNWRITTEN: u8 = 0x5a;

/// Room before the cells (for misalignment) and after them (to see writes beyond the end).
const MARGIN_BYTES: usize = 8;

fn coefficients(random: &mut Random, rows: usize, columns: usize) -> Coefficients {
    Coefficients::new(rows, columns, random.bytes(rows * columns))
}

/// What a kernel writes, with the margins around it: source cell j begins `shift + j` bytes, and
/// output cell i `shift + i + 1` bytes, modulo 4, into its buffer.
fn multiply(
    kernel: Kernel,
    coefficients: &Coefficients,
    sources: &[Vec<u8>],
    cell_bytes: usize,
    shift: usize,
) -> Vec<Vec<u8>> {
    let sources: Vec<&[u8]> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| {
            let begin = (shift + at) % 4;
            &source[begin..begin + cell_bytes]
        })
        .collect();
    let mut buffers = vec![vec![UNWRITTEN; cell_bytes + MARGIN_BYTES]; coefficients.rows()];
    let mut outputs: Vec<&mut [u8]> = buffers
        .iter_mut()
        .enumerate()
        .map(|(at, buffer)| {
            let begin = (shift + at + 1) % 4;
            &mut buffer[begin..begin + cell_bytes]
        })
        .collect();
    kernel.multiply(coefficients, &sources, &mut outputs);
    buffers
}

/// Compares all kernels of this CPU with the scalar one.
fn compare(cell_bytes: usize, shift: usize, coefficients: &Coefficients, sources: &[Vec<u8>]) {
    let expected = multiply(Kernel::Scalar, coefficients, sources, cell_bytes, shift);
    for kernel in Kernel::available() {
        let got = multiply(kernel, coefficients, sources, cell_bytes, shift);
        assert!(
            got == expected,
            "{kernel} differs: {} rows, {} columns, {cell_bytes} bytes, misaligned by {shift}",
            coefficients.rows(),
            coefficients.columns()
        );
    }
}

#[test]
fn every_length_and_misalignment() {
    for kernel in Kernel::ALL {
        if !kernel.is_available() {
            // Not by a macro, whose text is shown of tests that fail only.
            let said = writeln!(std::io::stderr(), "NOT TESTED, this CPU lacks it: {kernel}");
            said.expect("somebody reads this");
        }
    }
    let mut random = Random::new(1);
    for (rows, columns) in SHAPES {
        let coefficients = coefficients(&mut random, rows, columns);
        let sources = random.cells(columns, 257 + MARGIN_BYTES);
        for cell_bytes in 0..=257 {
            for shift in 0..4 {
                compare(cell_bytes, shift, &coefficients, &sources);
            }
        }
    }
}

#[test]
fn lengths_of_many_steps_and_tiles() {
    let mut random = Random::new(2);
    for (rows, columns) in [(1, 3), (4, 8), (6, 5)] {
        let coefficients = coefficients(&mut random, rows, columns);
        for cell_bytes in [511, 512, 1023, 4096, 4097, 16_384, 65_536, 65_549, 150_003] {
            let sources = random.cells(columns, cell_bytes + MARGIN_BYTES);
            compare(cell_bytes, cell_bytes % 4, &coefficients, &sources);
        }
    }
}

#[test]
fn wide_matrices() {
    let mut random = Random::new(3);
    for (rows, columns) in [(28, 100), (32, 32), (100, 100), (1, 100)] {
        let coefficients = coefficients(&mut random, rows, columns);
        let sources = random.cells(columns, 333 + MARGIN_BYTES);
        compare(333, 1, &coefficients, &sources);
    }
}

#[test]
fn every_coefficient_times_every_byte() {
    // One source with every byte, one row per coefficient; checked against plain arithmetic.
    let coefficients = Coefficients::new(256, 1, (0..=255).collect());
    let source: Vec<u8> = (0..=255).collect();
    for kernel in Kernel::available() {
        let mut outputs = vec![vec![UNWRITTEN; 256]; 256];
        kernel.multiply(&coefficients, &[&source], &mut views_mut(&mut outputs));
        for (a, output) in outputs.iter().enumerate() {
            for (b, got) in output.iter().enumerate() {
                assert_eq!(*got, product(a as u16, b as u16), "{kernel}: {a} * {b}");
            }
        }
    }
}

/// Polynomial product, then the remainder by 0x11d.
fn product(a: u16, b: u16) -> u8 {
    let mut sum = 0_u16;
    for bit in 0..8 {
        if (b >> bit) & 1 == 1 {
            sum ^= a << bit;
        }
    }
    for bit in (8..15).rev() {
        if (sum >> bit) & 1 == 1 {
            sum ^= 0x11d << (bit - 8);
        }
    }
    sum as u8
}

#[test]
fn no_columns_give_zeros() {
    let coefficients = Coefficients::new(2, 0, Vec::new());
    for kernel in Kernel::available() {
        let mut outputs = vec![vec![UNWRITTEN; 300]; 2];
        kernel.multiply(&coefficients, &views(&[]), &mut views_mut(&mut outputs));
        assert!(outputs.iter().flatten().all(|byte| *byte == 0), "{kernel}");
    }
}

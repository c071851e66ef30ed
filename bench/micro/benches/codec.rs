//! GB/s of data bytes per kernel and geometry, by CPU time of this thread: time that the kernel
//! of the system gives to others does not count. `cargo bench -p bench-micro --bench codec`.
//!
//! Each figure is the median and the best of the rounds; cells stay in cache if they fit.
#![allow(clippy::print_stdout, reason = "a bench prints")]

use bench_micro::{is_measured, thread_cpu_ns};
use engine_codec::{Codec, Kernel, crc64};
use std::hint::black_box;

const GEOMETRIES: [(u8, u8); 7] = [(4, 2), (8, 4), (10, 4), (12, 4), (16, 4), (32, 8), (100, 28)];
static CELL_BYTES: [usize; 3] = [4096, 65_536, 1 << 20];

/// How long to measure: how many rounds, and how much work each should be.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    round_bytes: usize,
}

fn main() {
    let measured = is_measured();
    let effort = if measured {
        Effort { rounds: 9, round_bytes: 64 << 20 }
    } else {
        Effort { rounds: 1, round_bytes: 1 }
    };
    println!("median/best GB/s of data bytes; rec = as many data cells lost as possible");
    let cell_sizes = if measured { &CELL_BYTES[..] } else { &CELL_BYTES[..1] };
    for (data, parity) in GEOMETRIES {
        for &cell_bytes in cell_sizes {
            for kernel in Kernel::available() {
                // Large cells would take the scalar kernel minutes.
                if kernel != Kernel::Scalar || cell_bytes <= 65_536 {
                    run(kernel, (data, parity), cell_bytes, effort);
                }
            }
        }
    }
    for &bytes in cell_sizes {
        let buffer = made_up(1, bytes);
        let sum = rates(bytes, effort, || {
            black_box(crc64(black_box(&buffer)));
        });
        println!("crc64nvme {bytes:8} B  {sum}");
    }
}

fn run(kernel: Kernel, (data, parity): (u8, u8), cell_bytes: usize, effort: Effort) {
    // An idea of its speed is enough for the scalar kernel.
    let share = if kernel == Kernel::Scalar { 32 } else { 1 };
    let effort = Effort { round_bytes: effort.round_bytes / share, ..effort };
    let codec = Codec::with_kernel(data, parity, kernel).expect("a geometry");
    let cells: Vec<Vec<u8>> =
        (0..usize::from(data)).map(|cell| made_up(cell, cell_bytes)).collect();
    let sources: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
    let mut outputs = vec![vec![0; cell_bytes]; usize::from(parity)];
    let mut targets: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let data_bytes = usize::from(data) * cell_bytes;

    let encode = rates(data_bytes, effort, || {
        codec.encode(black_box(&sources), &mut targets).expect("one stripe");
    });
    let lost = parity.min(data);
    let present: Vec<u8> = (lost..lost + data).collect();
    let want: Vec<u8> = (0..lost).collect();
    let plan = codec.plan(&present, &want).expect("enough cells");
    let reconstruct = rates(data_bytes, effort, || {
        codec.apply(&plan, black_box(&sources), &mut targets).expect("one stripe");
    });
    println!(
        "{:<11} {data:3}+{parity:<2} {cell_bytes:8} B  enc {encode}  rec {reconstruct}",
        kernel.name()
    );
}

fn rates(bytes: usize, effort: Effort, mut work: impl FnMut()) -> String {
    let repeats = (effort.round_bytes / bytes).max(1);
    work();
    let mut rates: Vec<f64> = (0..effort.rounds)
        .map(|_| {
            let begin = thread_cpu_ns();
            for _ in 0..repeats {
                work();
            }
            let elapsed_ns = (thread_cpu_ns() - begin).max(1);
            (bytes * repeats) as f64 / elapsed_ns as f64
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    format!("{:6.2}/{:6.2}", rates[rates.len() / 2], rates[rates.len() - 1])
}

fn made_up(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed as u8).collect()
}

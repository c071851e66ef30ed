//! Lost cells come back, whichever are lost; and what cannot be computed is refused.

mod common;

use common::{Random, views, views_mut};
use engine_codec::{Codec, CodecError, Kernel};

/// All cells of a stripe with random data.
fn stripe(codec: &Codec, random: &mut Random, cell_bytes: usize) -> Vec<Vec<u8>> {
    let mut cells = random.cells(usize::from(codec.data()), cell_bytes);
    let mut parity = vec![vec![0; cell_bytes]; usize::from(codec.parity())];
    codec.encode(&views(&cells), &mut views_mut(&mut parity)).expect("a stripe");
    cells.append(&mut parity);
    cells
}

/// Rebuilds `want` from the cells that are not `lost`, and compares.
fn check(codec: &Codec, cells: &[Vec<u8>], lost: &[u8], want: &[u8]) {
    let present: Vec<(u8, &[u8])> = (0..codec.cells())
        .filter(|index| !lost.contains(index))
        .map(|index| (index, cells[usize::from(index)].as_slice()))
        .collect();
    let mut out = vec![vec![0x77; cells[0].len()]; want.len()];
    codec.reconstruct(&present, want, &mut views_mut(&mut out)).expect("enough cells");
    for (index, got) in want.iter().zip(&out) {
        assert!(
            *got == cells[usize::from(*index)],
            "cell {index} of {}+{} with {lost:?} lost",
            codec.data(),
            codec.parity()
        );
    }
}

#[test]
fn every_pattern_of_small_geometries() {
    let mut random = Random::new(6);
    for data in 1..=8_u8 {
        for parity in 0..=8 - data {
            let codec = Codec::new(data, parity).unwrap();
            let cells = stripe(&codec, &mut random, 37);
            let all: Vec<u8> = (0..codec.cells()).collect();
            for pattern in 0..1_u32 << codec.cells() {
                if pattern.count_ones() > u32::from(parity) {
                    continue;
                }
                let is_lost = |index: &u8| (pattern >> *index) & 1 == 1;
                let lost: Vec<u8> = all.iter().copied().filter(is_lost).collect();
                check(&codec, &cells, &lost, &lost);
                check(&codec, &cells, &lost, &all);
            }
        }
    }
}

#[test]
fn random_patterns_of_wide_geometries() {
    let mut random = Random::new(7);
    for (data, parity) in [(32, 8), (100, 28), (96, 32)] {
        let codec = Codec::new(data, parity).unwrap();
        let cells = stripe(&codec, &mut random, 129);
        for round in 0..24 {
            let mut order: Vec<u8> = (0..codec.cells()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, (random.number() % (at as u64 + 1)) as usize);
            }
            // Half the rounds lose all they may, the others any number.
            let most = u64::from(parity);
            let count = if round % 2 == 0 { most } else { random.number() % (most + 1) };
            let lost = &order[..count as usize];
            check(&codec, &cells, lost, lost);
        }
        // The worst: as many data cells as there are parity cells.
        let lost: Vec<u8> = (0..parity).collect();
        check(&codec, &cells, &lost, &lost);
    }
}

#[test]
fn the_order_of_the_present_cells_is_free() {
    let codec = Codec::new(4, 2).unwrap();
    let cells = stripe(&codec, &mut Random::new(8), 50);
    let present: Vec<(u8, &[u8])> =
        [5_u8, 3, 0, 4].map(|index| (index, cells[usize::from(index)].as_slice())).to_vec();
    let mut out = vec![vec![0; 50]; 2];
    codec.reconstruct(&present, &[2, 1], &mut views_mut(&mut out)).unwrap();
    assert_eq!(out, [cells[2].clone(), cells[1].clone()]);
}

#[test]
fn one_plan_serves_many_stripes_and_kernels() {
    let mut random = Random::new(9);
    for kernel in Kernel::available() {
        let codec = Codec::with_kernel(6, 3, kernel).unwrap();
        let plan = codec.plan(&[1, 2, 3, 4, 6, 8], &[0, 5, 7]).unwrap();
        for cell_bytes in [0, 1, 64, 1000] {
            let cells = stripe(&codec, &mut random, cell_bytes);
            let used: Vec<&[u8]> =
                plan.used().iter().map(|index| cells[usize::from(*index)].as_slice()).collect();
            let mut out = vec![vec![0; cell_bytes]; 3];
            codec.apply(&plan, &used, &mut views_mut(&mut out)).unwrap();
            let expected = [cells[0].clone(), cells[5].clone(), cells[7].clone()];
            assert_eq!(out, expected, "{kernel}, {cell_bytes} bytes");
        }
    }
}

#[test]
fn one_loss_too_many_is_refused() {
    let codec = Codec::new(4, 2).unwrap();
    let cells = stripe(&codec, &mut Random::new(10), 20);
    let present: Vec<(u8, &[u8])> =
        [0_u8, 4, 5].map(|index| (index, cells[usize::from(index)].as_slice())).to_vec();
    let mut out = vec![vec![9; 20]];
    let result = codec.reconstruct(&present, &[1], &mut views_mut(&mut out));
    assert_eq!(result, Err(CodecError::TooFewCells { present: 3, needed: 4 }));
    assert_eq!(out, [vec![9; 20]], "the output is untouched");
}

#[test]
fn wrong_counts_and_lengths_are_refused() {
    let codec = Codec::new(2, 1).unwrap();
    let (long, short) = (vec![1_u8; 10], vec![1_u8; 9]);
    let mut out = vec![vec![0; 10]];
    let result = codec.encode(&[&long], &mut views_mut(&mut out));
    assert_eq!(result, Err(CodecError::CellCount { expected: 2, got: 1 }));
    let result = codec.encode(&[&long, &long], &mut []);
    assert_eq!(result, Err(CodecError::CellCount { expected: 1, got: 0 }));
    let length = Err(CodecError::CellLength { expected_bytes: 10, got_bytes: 9 });
    assert_eq!(codec.encode(&[&long, &short], &mut views_mut(&mut out)), length);
    let present: [(u8, &[u8]); 2] = [(0, long.as_slice()), (2, short.as_slice())];
    assert_eq!(codec.reconstruct(&present, &[1], &mut views_mut(&mut out)), length);
    let mut short_out = vec![vec![0; 9]];
    assert_eq!(codec.encode(&[&long, &long], &mut views_mut(&mut short_out)), length);
}

#[test]
fn geometries_have_bounds() {
    for (data, parity) in [(1, 0), (1, 32), (100, 28), (96, 32), (100, 0)] {
        let codec = Codec::new(data, parity).unwrap();
        assert_eq!((codec.data(), codec.parity()), (data, parity));
    }
    for (data, parity) in [(0, 0), (0, 4), (101, 0), (4, 33), (100, 29), (97, 32), (255, 255)] {
        let refused = Codec::new(data, parity).map(|codec| codec.cells());
        assert_eq!(refused, Err(CodecError::Geometry { data, parity }));
    }
}

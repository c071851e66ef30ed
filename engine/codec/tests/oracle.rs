//! The frozen parity: known answers, and byte identity with another implementation of ISA-L.

mod common;

use common::{Random, views, views_mut};
use engine_codec::{Codec, Kernel};
use rusty_erasure::{Matrix, coder};

const GEOMETRIES: [(u8, u8); 14] = [
    (2, 1),
    (2, 2),
    (3, 2),
    (4, 2),
    (5, 3),
    (8, 4),
    (10, 4),
    (12, 4),
    (16, 4),
    (17, 3),
    (32, 8),
    (50, 20),
    (96, 32),
    (100, 28),
];

/// Worked out once by separate code from the definition (8+4, cell j byte k = 31 j + 7 k + 1).
/// It must never change: parity on drives is made by it.
const PARITY_8_4: [u128; 4] = [
    0xd98a_ad60_4179_2fdb_c787_2ad8_ea2d_93fb,
    0xeb83_cd6a_2182_9d0f_75a9_4afe_8a75_da32,
    0x2cad_6d5e_ffb6_3e56_fdd5_d338_c4b3_d01f,
    0x338f_0d83_9fcd_b593_76e0_b360_a495_81c4,
];

#[test]
fn parity_is_frozen() {
    let data: Vec<Vec<u8>> =
        (0..8).map(|cell| (0..16).map(|at| (31 * cell + 7 * at + 1) as u8).collect()).collect();
    for kernel in Kernel::available() {
        let codec = Codec::with_kernel(8, 4, kernel).unwrap();
        let mut parity = vec![vec![0; 16]; 4];
        codec.encode(&views(&data), &mut views_mut(&mut parity)).unwrap();
        assert_eq!(parity, PARITY_8_4.map(u128::to_be_bytes), "{kernel}");
    }
}

#[test]
fn coefficients_are_those_of_isal() {
    for (data, parity) in GEOMETRIES {
        let theirs = Matrix::cauchy(usize::from(data), usize::from(parity)).unwrap();
        let codec = Codec::new(data, parity).unwrap();
        assert_eq!(codec.parity_rows().bytes(), theirs.parity_bytes(), "{data}+{parity}");
    }
}

#[test]
fn parity_is_that_of_isal() {
    let mut random = Random::new(4);
    for (data, parity) in GEOMETRIES {
        let matrix = Matrix::cauchy(usize::from(data), usize::from(parity)).unwrap();
        let theirs = coder(matrix).unwrap();
        for cell_bytes in [1, 100, 4096, 70_001] {
            let cells = random.cells(usize::from(data), cell_bytes);
            let mut expected = vec![vec![0; cell_bytes]; usize::from(parity)];
            theirs.encode(&views(&cells), &mut views_mut(&mut expected)).unwrap();
            for kernel in Kernel::available() {
                let codec = Codec::with_kernel(data, parity, kernel).unwrap();
                let mut got = vec![vec![0xee; cell_bytes]; usize::from(parity)];
                codec.encode(&views(&cells), &mut views_mut(&mut got)).unwrap();
                assert!(got == expected, "{kernel}, {data}+{parity}, {cell_bytes} bytes");
            }
        }
    }
}

#[test]
fn one_data_cell_is_mirrored() {
    let original = Random::new(5).bytes(1000);
    for kernel in Kernel::available() {
        let codec = Codec::with_kernel(1, 3, kernel).unwrap();
        let mut copies = vec![vec![0; 1000]; 3];
        codec.encode(&[&original], &mut views_mut(&mut copies)).unwrap();
        assert!(copies.iter().all(|copy| *copy == original), "{kernel}");
    }
}

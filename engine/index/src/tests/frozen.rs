//! The formats never change: the numbers here were computed by an independent encoder, written
//! from the module headers. Never adapt them; a new layout gets a new version.

use super::{Built, Model};
use crate::RunSummary;
use crate::filter::hash_of;
use crate::frame::sum_of;

fn model() -> Model {
    Model::from([
        (b"a".to_vec(), Some(b"1".to_vec())),
        (b"ab".to_vec(), None),
        (b"b".to_vec(), Some(Vec::new())),
        ([b"bucket/".as_slice(), &[b'k'; 200]].concat(), Some(vec![b'v'; 300])),
    ])
}

#[test]
fn the_run_is_frozen() {
    let built = Built::of(0x0102_0304_0506_0708, &model());
    let expected = RunSummary {
        run_id: 0x0102_0304_0506_0708,
        entry_count: 4,
        blocks_bytes: 4096,
        tail_bytes: 4096,
        tail_sum: 0x87db_a597_eb68_43c1,
        level: 0,
    };
    assert_eq!(&built.blocks[0][8..16], b"bsIB\x01\0\0\0");
    assert_eq!(built.blocks[0][40..54], [0, 1, 2, 97, 49, 1, 1, 0, 98, 0, 1, 1, 98, 1]);
    assert_eq!(built.index.block(0).unwrap().sum, 0xcf8f_85a4_1887_6a18);
    assert_eq!(&built.tail[8..16], b"bsIT\x01\0\x01\0");
    assert_eq!(built.summary, expected);
}

#[test]
fn the_summary_is_frozen() {
    let summary = RunSummary {
        run_id: 1,
        entry_count: 0x0203,
        blocks_bytes: 0x4000,
        tail_bytes: 0x1000,
        tail_sum: 0x1122_3344_5566_7788,
        level: 6,
    };
    let mut expected = [0_u8; 48];
    expected[0] = 1;
    expected[8..10].copy_from_slice(&[3, 2]);
    expected[17] = 0x40;
    expected[25] = 0x10;
    expected[32..40].copy_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    expected[40] = 6;
    assert_eq!(summary.encode(), expected);
}

#[test]
fn sum_and_hash_are_frozen() {
    // The check value of CRC-64/NVME in the catalogue of CRC algorithms.
    assert_eq!(sum_of(b"123456789"), 0xae8b_1486_0a79_9888);
    assert_eq!(hash_of(b"basalt"), 0x71eb_fa58_6ca3_494d);
    assert_eq!(hash_of(b""), 0);
}

//! Tests of `Payload::fill`: what an object looks like, and that it always looks the same.

use crate::block::Header;
use crate::{BLOCK_BYTES, Generation, HEADER_BYTES, ObjectStamp, Payload, PayloadSpec, Random};
use std::collections::BTreeSet;

fn payload(compressible_percent: u8, duplicate_percent: u8) -> Payload {
    Payload::new(PayloadSpec { seed: 7, compressible_percent, duplicate_percent }).unwrap()
}

fn whole(payload: &Payload, key: u64, generation: u64, size_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![0; size_bytes as usize];
    let object = ObjectStamp { key, generation: Generation(generation), size_bytes };
    payload.fill(object, 0, &mut bytes);
    bytes
}

#[test]
fn a_payload_filled_in_arbitrary_pieces_equals_the_whole() {
    let mut random = Random::new(3, 3);
    for (compressible, duplicate) in [(0, 0), (50, 0), (0, 50), (30, 30), (100, 100)] {
        let payload = payload(compressible, duplicate);
        for size_bytes in [0, 1, 7, 55, 56, 57, 4_095, 4_096, 4_097, 4_151, 4_152, 40_000] {
            let expected = whole(&payload, 9, 2, size_bytes);
            let object = ObjectStamp { key: 9, generation: Generation(2), size_bytes };
            for _ in 0..20 {
                let mut found = vec![0xee; expected.len()];
                let mut at = 0;
                while at < found.len() {
                    let left = (found.len() - at) as u64;
                    let longest = left.min(1 << random.below(14));
                    let count = (1 + random.below(longest)) as usize;
                    payload.fill(object, at as u64, &mut found[at..at + count]);
                    at += count;
                }
                assert_eq!(found, expected, "{size_bytes} bytes, {compressible} {duplicate}");
            }
        }
    }
}

#[test]
fn every_block_says_who_it_is() {
    let bytes = whole(&payload(0, 0), 0x1234, 5, 3 * 4_096 + 56);
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        let header = Header::read(block).unwrap();
        assert_eq!(header.key, 0x1234);
        assert_eq!(header.generation, 5);
        assert_eq!(header.offset, number as u64 * 4_096);
        assert_eq!(header.size_bytes, 3 * 4_096 + 56);
        assert_eq!(header.sum, crc_fast::crc64_nvme(&block[8..]));
    }
}

#[test]
fn the_bytes_do_not_change_between_versions() {
    // Objects outlive a build of the generator. Computed by an independent implementation.
    let block = whole(&payload(0, 0), 1, 1, 4_096);
    let (words, _) = block.as_chunks::<8>();
    let expected = [
        0x1f8d_5776_9c33_afe1,
        0x316b_6c62_746c_7362,
        0xb8b4_c297_7eab_ce45,
        1,
        1,
        0,
        4_096,
        0xe42e_8036_4a1f_cc90,
        0x997d_f754_3629_0291,
    ];
    for (word, value) in words.iter().zip(expected) {
        assert_eq!(u64::from_le_bytes(*word), value);
    }
    assert_eq!(crc_fast::crc64_nvme(&block), 0x8757_4a20_fb07_2f48);
    let with_zeros = whole(&payload(50, 0), 1, 1, 5_096);
    assert_eq!(crc_fast::crc64_nvme(&with_zeros), 0xecb4_d660_ea55_1cac);
}

#[test]
fn objects_generations_offsets_and_seeds_all_make_other_bytes() {
    let payload = payload(0, 0);
    let base = whole(&payload, 1, 1, 8_192);
    let other_seed =
        Payload::new(PayloadSpec { seed: 8, compressible_percent: 0, duplicate_percent: 0 });
    let others = [
        whole(&payload, 2, 1, 8_192),
        whole(&payload, 1, 2, 8_192),
        whole(&other_seed.unwrap(), 1, 1, 8_192),
    ];
    for other in &others {
        let same = base.iter().zip(other).filter(|(one, two)| one == two).count();
        // Chance makes one byte of 256 equal; headers share magic, zeros and more.
        assert!(same < 8_192 / 256 + 120, "{same} bytes are the same");
    }
    let (first, second) = base.split_at(4_096);
    let same = first.iter().zip(second).filter(|(one, two)| one == two).count();
    assert!(same < 4_096 / 256 + 100, "{same} bytes are the same");
    // Only size and sum depend on the size of the object.
    let longer = whole(&payload, 1, 1, 9_000);
    assert_eq!(base[8..48], longer[8..48]);
    assert_eq!(base[HEADER_BYTES..4_096], longer[HEADER_BYTES..4_096]);
}

#[test]
fn filler_has_no_repetition_that_a_compressor_could_use() {
    let bytes = whole(&payload(0, 0), 3, 0, 1 << 20);
    let mut words = BTreeSet::new();
    let mut count = 0;
    for block in bytes.chunks(BLOCK_BYTES) {
        for word in block[HEADER_BYTES..].chunks(8) {
            words.insert(word);
            count += 1;
        }
    }
    assert_eq!(words.len(), count, "the same eight bytes stand twice in a mebibyte");
    let mut histogram = [0_u32; 256];
    for byte in &bytes {
        histogram[usize::from(*byte)] += 1;
    }
    // Headers bring zeros and a few fixed bytes; without them every value stands 4096 times.
    let even = histogram.iter().filter(|times| (3_700..4_500).contains(*times)).count();
    assert!(even >= 240, "{histogram:?}");
}

#[test]
fn the_compressible_share_is_zeros() {
    for percent in [0_u8, 25, 50, 90, 100] {
        for size_bytes in [4_096, 65_536, 600] {
            let bytes = whole(&payload(percent, 0), 3, 0, size_bytes);
            let filler = bytes.chunks(BLOCK_BYTES).flat_map(|block| &block[HEADER_BYTES..]);
            let (mut zeros, mut total) = (0.0, 0.0);
            for byte in filler {
                zeros += if *byte == 0 { 1.0 } else { 0.0 };
                total += 1.0;
            }
            let share = 100.0 * zeros / total;
            // Headers stand in the way of some zeros, and random bytes are zero now and then.
            assert!((share - f64::from(percent)).abs() < 4.0, "{percent} {size_bytes}: {share}");
        }
    }
}

#[test]
fn the_duplicate_share_is_one_block() {
    for percent in [0_u8, 20, 70, 100] {
        let payload = payload(0, percent);
        let mut duplicates = 0;
        let mut distinct = BTreeSet::new();
        for key in 0..100 {
            for block in whole(&payload, key, key % 3, 40 * 4_096).chunks(BLOCK_BYTES) {
                if block == payload.common_block() {
                    duplicates += 1;
                } else {
                    assert!(distinct.insert(block.to_vec()), "an own block stands twice");
                }
            }
        }
        let share = f64::from(duplicates) / 40.0;
        assert!((share - f64::from(percent)).abs() < 3.0, "{percent}: {share}");
    }
    // A short last block is never a duplicate: no store would find it equal to a whole one.
    let last = &whole(&payload(0, 100), 1, 0, 4_096 + 1_000)[4_096..];
    assert_eq!(Header::read(last).unwrap().key, 1);
}

#[test]
fn shares_above_a_hundred_are_refused() {
    let refused = |compressible_percent, duplicate_percent| {
        let spec = PayloadSpec { seed: 1, compressible_percent, duplicate_percent };
        Payload::new(spec).err().unwrap().to_string()
    };
    assert!(refused(101, 0).contains("compressible share is 101"));
    assert!(refused(0, 255).contains("duplicate share is 255"));
}

#[test]
#[should_panic(expected = "is not in")]
fn a_range_past_the_end_is_a_programmers_error() {
    let object = ObjectStamp { key: 1, generation: Generation(0), size_bytes: 10 };
    payload(0, 0).fill(object, 5, &mut [0; 6]);
}

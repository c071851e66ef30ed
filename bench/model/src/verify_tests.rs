//! Tests of `Payload::verify`: right bytes pass in every range, and each way to be wrong is named.

use crate::MismatchKind::{Foreign, Misdirected, NeverWritten, Stale, Torn, WrongLength};
use crate::{
    Candidates, Expected, Generation, Mismatch, ObjectStamp, Payload, PayloadSpec, Random,
};

const SIZE: u64 = 3 * 4_096 + 1_000;

fn spec() -> PayloadSpec {
    PayloadSpec { seed: 7, compressible_percent: 0, duplicate_percent: 0 }
}

fn payload() -> Payload {
    Payload::new(spec()).unwrap()
}

fn object(key: u64, generation: u64, size_bytes: u64) -> ObjectStamp {
    ObjectStamp { key, generation: Generation(generation), size_bytes }
}

fn bytes_of(payload: &Payload, object: ObjectStamp) -> Vec<u8> {
    let mut bytes = vec![0; object.size_bytes as usize];
    payload.fill(object, 0, &mut bytes);
    bytes
}

/// A read of key 5 of which generation 4 is acknowledged and 6 begun.
fn expected(size_bytes: Option<u64>) -> Expected {
    Expected {
        key: 5,
        size_bytes,
        oldest: Generation(4),
        newest: Generation(6),
        candidates: None,
        seen: None,
    }
}

/// The verdict about whole objects, with the size known and unknown; both must agree.
fn verdict(bytes: &[u8]) -> Result<Option<Generation>, Mismatch> {
    let known = payload().verify(&expected(Some(bytes.len() as u64)), 0, bytes);
    let unknown = payload().verify(&expected(None), 0, bytes);
    assert_eq!(known, unknown);
    known
}

fn wrong(bytes: &[u8]) -> Mismatch {
    let mismatch = verdict(bytes).unwrap_err();
    assert_eq!(mismatch.key, 5);
    mismatch
}

#[test]
fn right_bytes_pass_in_every_range() {
    let mut random = Random::new(5, 5);
    for (compressible_percent, duplicate_percent) in
        [(0, 0), (50, 0), (0, 60), (40, 40), (100, 100)]
    {
        let spec = PayloadSpec { seed: 7, compressible_percent, duplicate_percent };
        let payload = Payload::new(spec).unwrap();
        for size in [1, 8, 55, 56, 57, 4_095, 4_096, 4_097, 4_152, 8_191, SIZE] {
            for generation in [4, 5, 6] {
                let bytes = bytes_of(&payload, object(5, generation, size));
                let mut ranges = vec![(0, size)];
                for _ in 0..60 {
                    let start = random.below(size);
                    ranges.push((start, start + random.below(size - start + 1)));
                }
                for (start, end) in ranges {
                    let range = &bytes[start as usize..end as usize];
                    for size_bytes in [Some(size), None] {
                        let context = format!("{start}..{end} of {size}, {size_bytes:?}");
                        let found = payload.verify(&expected(size_bytes), start, range);
                        let seen = found.unwrap_or_else(|wrong| panic!("{context}: {wrong}"));
                        let right = seen.is_none_or(|seen| seen.0 == generation);
                        assert!(right, "{context}: {seen:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_generation_is_told_where_the_bytes_can_tell_it() {
    let payload = payload();
    let bytes = bytes_of(&payload, object(5, 5, SIZE));
    let found = |start: usize, end: usize| {
        payload.verify(&expected(None), start as u64, &bytes[start..end]).unwrap()
    };
    let five = Some(Generation(5));
    assert_eq!(found(0, SIZE as usize), five);
    assert_eq!(found(100, 200), five, "filler tells it");
    assert_eq!(found(0, 40), five, "so does the field in a piece of a header");
    assert_eq!(found(8, 32), None, "magic, run and key are the same in all generations");
    assert_eq!(found(4_000, 4_110), five, "the end of a block and the beginning of the next");
    assert_eq!(found(10, 10), None);
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    for size in [20, 56, 200, 4_096, SIZE] {
        let right = bytes_of(&payload(), object(5, 5, size));
        let steps = (right.len() / 400).max(1);
        for place in (0..right.len()).step_by(steps) {
            let mut bytes = right.clone();
            bytes[place] ^= 0x10;
            let mismatch = wrong(&bytes);
            let block = place as u64 / 4_096 * 4_096;
            assert_eq!(mismatch.offset, block, "bit at {place} of {size}");
            // Not even damage of the magic or the key makes a torn block somebody else's.
            let torn = matches!(mismatch.kind, Torn { other: None, .. });
            let nothing_else = size == 56 && matches!(mismatch.kind, Foreign { run: None });
            assert!(torn || nothing_else, "bit at {place} of {size}: {mismatch}");
        }
    }
}

#[test]
fn a_flipped_bit_is_found_in_ranges_too() {
    let payload = payload();
    let right = bytes_of(&payload, object(5, 5, SIZE));
    let mut random = Random::new(9, 9);
    for _ in 0..2_000 {
        let start = random.below(SIZE - 1) as usize;
        let length = 1 + random.below((SIZE - start as u64).min(6_000)) as usize;
        let mut bytes = right[start..start + length].to_vec();
        bytes[random.below(length as u64) as usize] ^= 1 << random.below(8);
        let mut expected = expected(Some(SIZE));
        expected.oldest = Generation(5);
        expected.newest = Generation(5);
        let found = payload.verify(&expected, start as u64, &bytes);
        assert!(found.is_err(), "{start} + {length}");
    }
}

#[test]
fn an_old_version_is_stale() {
    let stale = Stale { found: Generation(3), oldest: Generation(4) };
    // Of another size, too short for a header, and as it was before.
    for size in [SIZE, 5_000, 56, 55, 20] {
        let bytes = bytes_of(&payload(), object(5, 3, size));
        assert_eq!(wrong(&bytes).kind, stale, "{size}");
        assert_eq!(wrong(&bytes).offset, 0, "{size}");
    }
    // Eight bytes of an unknown size could be any block's sum; of a known one they are enough.
    let bytes = bytes_of(&payload(), object(5, 3, 8));
    assert_eq!(payload().verify(&expected(Some(8)), 0, &bytes).unwrap_err().kind, stale);
    assert_eq!(payload().verify(&expected(None), 0, &bytes), Ok(None));
    // The planned size of the new version does not hide that the old one came.
    let bytes = bytes_of(&payload(), object(5, 3, 5_000));
    let found = payload().verify(&expected(Some(7_000)), 0, &bytes).unwrap_err();
    assert_eq!(found.kind, stale);
    let found = payload().verify(&expected(Some(100)), 0, &bytes).unwrap_err();
    assert_eq!(found.kind, stale);
    // A range inside of a block.
    let found = payload().verify(&expected(None), 1_000, &bytes[1_000..2_000]).unwrap_err();
    assert_eq!((found.kind, found.offset), (stale, 1_000));
}

#[test]
fn a_version_that_nobody_wrote_is_told() {
    let bytes = bytes_of(&payload(), object(5, 7, SIZE));
    assert_eq!(wrong(&bytes).kind, NeverWritten { found: Generation(7), newest: Generation(6) });
}

#[test]
fn a_block_of_two_writes_is_torn() {
    let old = bytes_of(&payload(), object(5, 4, SIZE));
    let mut bytes = bytes_of(&payload(), object(5, 5, SIZE));
    bytes[4_096 + 512..8_192].copy_from_slice(&old[4_096 + 512..8_192]);
    let mismatch = wrong(&bytes);
    assert_eq!(mismatch.offset, 4_096);
    assert_eq!(mismatch.kind, Torn { generation: Some(Generation(5)), other: None });
}

#[test]
fn blocks_of_two_writes_in_one_answer_are_torn() {
    let (four, five) = (Generation(4), Generation(5));
    let old = bytes_of(&payload(), object(5, 4, SIZE));
    let new = bytes_of(&payload(), object(5, 5, SIZE));
    let mixed = Torn { generation: Some(five), other: Some(four) };
    for start in [4_096_usize, 8_192, 12_288] {
        let mut bytes = new.clone();
        bytes[start..].copy_from_slice(&old[start..]);
        let mismatch = wrong(&bytes);
        assert_eq!((mismatch.offset, mismatch.kind), (start as u64, mixed));
    }
    // Even if one of them is older than all that is allowed.
    let mut bytes = bytes_of(&payload(), object(5, 1, SIZE));
    bytes[4_096..].copy_from_slice(&new[4_096..]);
    let kind = wrong(&bytes).kind;
    assert_eq!(kind, Torn { generation: Some(Generation(1)), other: Some(five) });
    // A range that ends before the second block's header does.
    let mut bytes = new[..4_096 + 50].to_vec();
    bytes[4_096..].copy_from_slice(&old[4_096..4_096 + 50]);
    let found = payload().verify(&expected(Some(SIZE)), 0, &bytes).unwrap_err();
    assert_eq!((found.offset, found.kind), (4_096, mixed));
    // A range that begins inside of the first block.
    let mut bytes = new[3_000..8_192].to_vec();
    bytes[..1_096].copy_from_slice(&old[3_000..4_096]);
    let found = payload().verify(&expected(Some(SIZE)), 3_000, &bytes).unwrap_err();
    assert_eq!((found.offset, found.kind), (3_000, mixed));
}

#[test]
fn generations_do_not_mix_between_pieces_of_an_answer() {
    let payload = payload();
    let old = bytes_of(&payload, object(5, 4, SIZE));
    let new = bytes_of(&payload, object(5, 5, SIZE));
    let mut expected = expected(Some(SIZE));
    expected.seen = payload.verify(&expected, 0, &new[..5_000]).unwrap();
    assert_eq!(expected.seen, Some(Generation(5)));
    assert_eq!(payload.verify(&expected, 5_000, &new[5_000..]), Ok(Some(Generation(5))));
    assert_eq!(payload.verify(&expected, 5_000, &new[5_000..5_003]), Ok(Some(Generation(5))));
    let mixed = Torn { generation: Some(Generation(5)), other: Some(Generation(4)) };
    let found = payload.verify(&expected, 8_192, &old[8_192..]).unwrap_err();
    assert_eq!((found.offset, found.kind), (8_192, mixed));
    let found = payload.verify(&expected, 5_000, &old[5_000..6_000]).unwrap_err();
    assert_eq!((found.offset, found.kind), (5_000, mixed));
}

#[test]
fn a_block_from_elsewhere_is_misdirected() {
    // Another key's block at the same place.
    let other = bytes_of(&payload(), object(8, 5, SIZE));
    let right = bytes_of(&payload(), object(5, 5, SIZE));
    let mut bytes = right.clone();
    bytes[4_096..8_192].copy_from_slice(&other[4_096..8_192]);
    let mismatch = wrong(&bytes);
    assert_eq!(mismatch.offset, 4_096);
    assert_eq!(mismatch.kind, Misdirected { found_key: 8, found_offset: 4_096 });
    // A block of the same object at another place.
    let mut bytes = right.clone();
    bytes.copy_within(8_192..12_288, 4_096);
    let mismatch = wrong(&bytes);
    assert_eq!(mismatch.offset, 4_096);
    assert_eq!(mismatch.kind, Misdirected { found_key: 5, found_offset: 8_192 });
    // Another key's whole object, and the beginning of one.
    assert_eq!(wrong(&other).kind, Misdirected { found_key: 8, found_offset: 0 });
    let found = payload().verify(&expected(Some(SIZE)), 0, &other[..100]).unwrap_err();
    assert_eq!(found.kind, Misdirected { found_key: 8, found_offset: 0 });
    // The short last block of another object, where a whole one should be.
    let mut bytes = right;
    bytes[4_096..5_096].copy_from_slice(&other[12_288..]);
    let found = payload().verify(&expected(None), 0, &bytes).unwrap_err();
    let misdirected = Misdirected { found_key: 8, found_offset: 12_288 };
    assert_eq!((found.offset, found.kind), (4_096, misdirected));
}

#[test]
fn a_wrong_length_is_told() {
    let bytes = bytes_of(&payload(), object(5, 5, SIZE));
    let found = |size_bytes, bytes: &[u8]| {
        payload().verify(&expected(size_bytes), 0, bytes).unwrap_err().kind
    };
    // Cut off at a block: all blocks are sound, but the answer claims a smaller object.
    let cut = WrongLength { written_bytes: SIZE, answered_bytes: 8_192 };
    assert_eq!(found(Some(8_192), &bytes[..8_192]), cut);
    let cut = WrongLength { written_bytes: SIZE, answered_bytes: 8_200 };
    assert_eq!(found(Some(8_200), &bytes[..8_200]), cut);
    // Too long, whatever follows.
    let long = WrongLength { written_bytes: SIZE, answered_bytes: SIZE + 10_000 };
    let mut longer = bytes;
    longer.resize(SIZE as usize + 10_000, 0);
    assert_eq!(found(Some(SIZE), &longer), long);
    let short = bytes_of(&payload(), object(5, 5, 20));
    let long = WrongLength { written_bytes: 10, answered_bytes: 20 };
    assert_eq!(found(Some(10), &short), long);
}

#[test]
fn what_is_no_block_of_the_run_is_foreign() {
    let right = bytes_of(&payload(), object(5, 5, SIZE));
    let mut bytes = right.clone();
    bytes[4_096..8_192].fill(0);
    assert_eq!((wrong(&bytes).offset, wrong(&bytes).kind), (4_096, Foreign { run: None }));
    let mut random = Random::new(1, 1);
    bytes[4_096..8_192].fill_with(|| random.next_u64() as u8);
    assert_eq!(wrong(&bytes).kind, Foreign { run: None });
    let other_run = Payload::new(PayloadSpec { seed: 8, ..spec() }).unwrap();
    let foreign = bytes_of(&other_run, object(5, 5, SIZE));
    assert_eq!(wrong(&foreign).kind, Foreign { run: Some(other_run.run) });
    let found = payload().verify(&expected(Some(SIZE)), 0, &foreign[..100]).unwrap_err();
    assert_eq!(found.kind, Foreign { run: Some(other_run.run) });
    let other_shares = Payload::new(PayloadSpec { duplicate_percent: 1, ..spec() }).unwrap();
    assert_ne!(other_shares.run, payload().run, "other shares make other bytes");
}

#[test]
fn a_lost_header_is_a_torn_block_and_not_a_foreign_one() {
    let mut bytes = bytes_of(&payload(), object(5, 5, SIZE));
    bytes[4_096..4_096 + 56].fill(0);
    let mismatch = wrong(&bytes);
    assert_eq!(mismatch.offset, 4_096);
    assert_eq!(mismatch.kind, Torn { generation: Some(Generation(5)), other: None });
}

#[test]
fn duplicate_blocks_are_checked_too() {
    let payload = Payload::new(PayloadSpec { duplicate_percent: 50, ..spec() }).unwrap();
    let size = 64 * 4_096;
    let right = bytes_of(&payload, object(5, 5, size));
    let is_common = |number: &u64| payload.is_common(5, number * 4_096);
    let common = (1..64).find(is_common).unwrap() * 4_096;
    let own = (1..64).find(|number| !is_common(number)).unwrap() * 4_096;
    let found = |bytes: &[u8]| payload.verify(&expected(Some(size)), 0, bytes).unwrap_err();
    // Damage of a duplicate block.
    let mut bytes = right.clone();
    bytes[common as usize + 1_000] ^= 1;
    let mismatch = found(&bytes);
    assert_eq!((mismatch.offset, mismatch.kind), (common, Torn { generation: None, other: None }));
    bytes[common as usize..common as usize + 4_096].fill(0);
    assert_eq!(found(&bytes).kind, Foreign { run: None });
    // A duplicate block where none was written.
    let mut bytes = right.clone();
    bytes.copy_within(common as usize..common as usize + 4_096, own as usize);
    let mismatch = found(&bytes);
    assert_eq!(mismatch.offset, own);
    assert_eq!(mismatch.kind, Misdirected { found_key: u64::MAX, found_offset: 0 });
    // A block with an identity where a duplicate was written.
    let mut bytes = right;
    bytes.copy_within(own as usize..own as usize + 4_096, common as usize);
    assert_eq!(found(&bytes).kind, Misdirected { found_key: 5, found_offset: own });
}

#[test]
fn headers_full_of_lies_do_no_harm() {
    let payload = payload();
    let right = bytes_of(&payload, object(5, 5, 4_096));
    let mut random = Random::new(2, 2);
    for _ in 0..5_000 {
        let mut bytes = right.clone();
        let field = (random.below(7) * 8) as usize;
        let small = random.below(9_000);
        let lie = if random.below(2) == 0 { u64::MAX - small } else { small };
        bytes[field..field + 8].copy_from_slice(&lie.to_le_bytes());
        let length = 1 + random.below(4_096) as usize;
        let start = random.below(2) * 4_096;
        for size_bytes in [None, Some(4_096)] {
            // Any verdict will do, a panic will not.
            let _ = payload.verify(&expected(size_bytes), start, &bytes[..length]);
        }
    }
}

#[test]
fn only_candidates_may_be_read_where_they_are_known() {
    let payload = payload();
    let object =
        |generation| ObjectStamp { key: 5, generation: Generation(generation), size_bytes: 32 };
    let large = |generation| ObjectStamp { size_bytes: 4096, ..object(generation) };
    let expected = |size_bytes| Expected {
        newest: Generation(50_000),
        candidates: Candidates::new([Generation(50_000), Generation(5), Generation(5)]),
        ..expected(Some(size_bytes))
    };
    for (stamp, is_right) in [(5, true), (50_000, true), (4, false), (6, false), (49_999, false)] {
        for object in [object(stamp), large(stamp)] {
            let mut bytes = vec![0; object.size_bytes as usize];
            payload.fill(object, 0, &mut bytes);
            let outcome = payload.verify(&expected(object.size_bytes), 0, &bytes);
            assert_eq!(outcome.is_ok(), is_right, "{object:?}: {outcome:?}");
        }
    }
    // Where there are too many to be tried, nobody is accused for want of a header.
    let mut bytes = vec![0; 32];
    payload.fill(object(100), 0, &mut bytes);
    let many = Expected { candidates: None, ..expected(32) };
    assert_eq!(payload.verify(&many, 0, &bytes), Ok(None));
    assert_eq!(Candidates::new([]), None);
    assert_eq!(Candidates::new((0..13).map(Generation)), None);
}

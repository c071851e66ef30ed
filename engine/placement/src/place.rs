//! A key's erasure set and its order of the set's positions.
//!
//! Invariants: answers depend on the arguments alone and never change between releases (the
//! known-answer tests freeze them); the order of a set of n positions is the order of a larger
//! set with the further positions left out; neither looks at drives, so replacing one moves
//! nothing. The set is keyed by the deployment; the order is not, as it only spreads load.

use crate::layout::SET_SIZE_MAX;
use engine_types::{BucketId, DeploymentId, Position, SetId};
use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher;
use std::ops::Deref;

/// The SipHash key of `order`. Part of the persistent format.
const ORDER_KEY: (u64, u64) = (u64::from_le_bytes(*b"basalt-o"), u64::from_le_bytes(*b"rder-v1."));
/// Tells the positions of one key apart: 2^64 divided by the golden ratio. Part of the format.
const POSITION_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The positions of a set, the most preferred first. Dereferences to a slice.
///
/// **Shape**: 1 to 32 positions in place, each once; no heap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PositionOrder {
    positions: [Position; SET_SIZE_MAX],
    len: usize,
}

impl PositionOrder {
    /// The positions as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[Position] {
        &self.positions[..self.len]
    }
}

impl Deref for PositionOrder {
    type Target = [Position];

    fn deref(&self) -> &[Position] {
        self.as_slice()
    }
}

impl fmt::Debug for PositionOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter().map(|position| position.0)).finish()
    }
}

/// The erasure set of a key: SipHash-2-4, keyed by the deployment, over the bucket's id (8 bytes
/// little-endian) and the key, scaled to the count of sets.
///
/// # Panics
/// If `set_count` is 0.
#[must_use]
pub fn set_of(deployment: DeploymentId, bucket: BucketId, key: &[u8], set_count: u16) -> SetId {
    assert!(set_count > 0, "a pool has at least one set");
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7] = deployment.0;
    let sip_key = (
        u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
        u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
    );
    let hash = hash(sip_key, bucket, key);
    // The upper half of hash * count lies in 0..count and is uniform to within count / 2^64.
    let scaled = (u128::from(hash) * u128::from(set_count)) >> 64;
    SetId(scaled as u16)
}

/// The key's order of the positions of its set: highest random weight first, ties by position.
/// The first reachable in-sync position owns the key; metadata and fragments follow the order.
///
/// # Panics
/// If `set_size` is 0 or over 32.
#[must_use]
pub fn order(bucket: BucketId, key: &[u8], set_size: usize) -> PositionOrder {
    assert!((1..=SET_SIZE_MAX).contains(&set_size), "a set has 1 to 32 positions");
    let hash = hash(ORDER_KEY, bucket, key);
    let mut weighed = [(0_u64, Position(0)); SET_SIZE_MAX];
    for (number, slot) in (0_u8..).zip(&mut weighed[..set_size]) {
        *slot = (weight(hash, number), Position(number));
    }
    weighed[..set_size]
        .sort_unstable_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
    let mut positions = [Position(0); SET_SIZE_MAX];
    for (position, (_, weighed_position)) in positions.iter_mut().zip(&weighed[..set_size]) {
        *position = *weighed_position;
    }
    PositionOrder { positions, len: set_size }
}

fn hash(sip_key: (u64, u64), bucket: BucketId, key: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(sip_key.0, sip_key.1);
    // `write` of bytes only: the integer methods of `Hasher` may depend on the host's byte order.
    hasher.write(&bucket.0.to_le_bytes());
    hasher.write(key);
    hasher.finish()
}

/// A bijection of 64 bits with full avalanche (the output step of SplitMix64, Steele and others
/// 2014), so that weights of different positions are unrelated.
fn weight(hash: u64, position: u8) -> u64 {
    let mut mixed = hash ^ POSITION_STEP.wrapping_mul(u64::from(position) + 1);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting_deployment() -> DeploymentId {
        DeploymentId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    fn numbers(bucket: u64, key: &[u8], set_size: usize) -> Vec<u8> {
        order(BucketId(bucket), key, set_size).iter().map(|position| position.0).collect()
    }

    /// Computed by an independent implementation. A failure here means that stored objects
    /// would not be found again: never adapt the numbers.
    #[test]
    fn sets_are_frozen() {
        let counting = counting_deployment();
        let set = |deployment, bucket, key: &[u8], set_count| {
            set_of(deployment, BucketId(bucket), key, set_count).0
        };
        assert_eq!(set(DeploymentId([0; 16]), 1, b"a", 7), 6);
        assert_eq!(set(counting, 1, b"a", 7), 3);
        assert_eq!(set(counting, 2, b"a", 7), 0);
        assert_eq!(set(counting, 1, b"photos/2019/07/14/img_0001.jpg", 64), 51);
        assert_eq!(set(counting, u64::MAX, &[0xff; 1024], 4096), 1153);
        assert_eq!(set(counting, 0, b"bmd", 1), 0);
        let umlaut = b"schl\xc3\xbcssel";
        assert_eq!(set(DeploymentId([0xa5; 16]), 42, umlaut, 1000), 653);
    }

    /// As `sets_are_frozen`: never adapt the numbers.
    #[test]
    fn orders_are_frozen() {
        assert_eq!(numbers(1, b"a", 4), [2, 0, 1, 3]);
        assert_eq!(numbers(1, b"a", 6), [5, 4, 2, 0, 1, 3]);
        assert_eq!(numbers(2, b"a", 6), [3, 5, 2, 1, 4, 0]);
        assert_eq!(
            numbers(1, b"photos/2019/07/14/img_0001.jpg", 16),
            [13, 6, 9, 8, 15, 11, 10, 4, 3, 7, 1, 12, 5, 0, 14, 2]
        );
        assert_eq!(
            numbers(u64::MAX, &[0xff; 1024], 16),
            [4, 3, 11, 15, 13, 14, 2, 0, 1, 9, 8, 6, 10, 12, 7, 5]
        );
        assert_eq!(numbers(0, b"bmd", 1), [0]);
        assert_eq!(
            numbers(42, b"schl\xc3\xbcssel", 32),
            [
                14, 16, 4, 2, 6, 18, 5, 11, 21, 22, 28, 20, 9, 27, 13, 25, 26, 19, 31, 30, 12, 29,
                10, 23, 7, 17, 15, 3, 1, 8, 0, 24
            ]
        );
    }

    #[test]
    fn sets_are_uniform() {
        for set_count in [3_u16, 16, 100] {
            let mut counts = vec![0_u32; usize::from(set_count)];
            let expected = 4000_u32;
            for index in 0..expected * u32::from(set_count) {
                let key = format!("tenant/{index}.jpg");
                let set = set_of(counting_deployment(), BucketId(9), key.as_bytes(), set_count);
                counts[usize::from(set.0)] += 1;
            }
            // Six standard deviations are 10 %; a bias by the shape of keys is far larger.
            let bounds = expected * 9 / 10..=expected * 11 / 10;
            assert!(counts.iter().all(|count| bounds.contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn every_position_is_first_equally_often() {
        for set_size in [2_usize, 4, 6, 16] {
            let expected = 12_000_u32;
            let mut firsts = vec![0_u32; set_size];
            let mut lasts = vec![0_u32; set_size];
            for index in 0..expected * set_size as u32 {
                let order = order(BucketId(7), format!("key-{index}").as_bytes(), set_size);
                firsts[usize::from(order[0].0)] += 1;
                lasts[usize::from(order[set_size - 1].0)] += 1;
            }
            let bounds = expected * 95 / 100..=expected * 105 / 100;
            assert!(firsts.iter().all(|count| bounds.contains(count)), "{firsts:?}");
            assert!(lasts.iter().all(|count| bounds.contains(count)), "{lasts:?}");
        }
    }

    #[test]
    fn the_second_does_not_depend_on_the_first() {
        // What a lost owner leaves behind must spread over all others.
        let set_size = 6;
        let expected = 4000_u32;
        let mut counts = vec![0_u32; set_size * set_size];
        for index in 0..expected * 30 {
            let order = order(BucketId(7), format!("key-{index}").as_bytes(), set_size);
            counts[usize::from(order[0].0) * set_size + usize::from(order[1].0)] += 1;
        }
        for (pair, count) in counts.into_iter().enumerate() {
            if pair / set_size == pair % set_size {
                assert_eq!(count, 0);
            } else {
                assert!((3600..=4400).contains(&count), "pair {pair}: {count}");
            }
        }
    }

    #[test]
    fn taking_a_position_away_moves_no_other() {
        for index in 0..2000_u32 {
            let key = format!("key-{index}");
            let whole = numbers(3, key.as_bytes(), SET_SIZE_MAX);
            let mut sorted = whole.clone();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..32), "each position once");
            for set_size in 1..SET_SIZE_MAX {
                let kept = whole.iter().copied().filter(|number| usize::from(*number) < set_size);
                assert_eq!(numbers(3, key.as_bytes(), set_size), kept.collect::<Vec<_>>());
            }
        }
    }
}

//! A permutation of 0..count that needs no memory.
//!
//! Invariants: `apply` maps the numbers below `count` one to one onto themselves; keys differ, so
//! do permutations. A balanced network over the next power of two, walked until it lands below
//! `count`; the walk is short, since at most half of the power of two lies above, and it ends,
//! since a permutation's cycle comes back to where it began.
//! Source: Black and Rogaway, "Ciphers with arbitrary finite domains", 2002 (cycle walking over
//! a Feistel network). It hides nothing; it spreads.

use crate::random::mix64;

/// Half-rounds; each changes one half by a function of the other.
const HALF_ROUNDS: usize = 4;

/// A permutation of the numbers below a count.
#[derive(Debug, Clone)]
pub(crate) struct Permutation {
    count: u64,
    low_bits: u32,
    low_mask: u64,
    high_mask: u64,
    keys: [u64; HALF_ROUNDS],
}

impl Permutation {
    /// A permutation of `count` numbers, 1 to 2^48, chosen by `key`.
    pub(crate) fn new(count: u64, key: u64) -> Self {
        let bits = (u64::BITS - count.saturating_sub(1).leading_zeros()).max(2);
        let low_bits = bits / 2;
        let high_bits = bits - low_bits;
        Self {
            count,
            low_bits,
            low_mask: (1 << low_bits) - 1,
            high_mask: (1 << high_bits) - 1,
            keys: [1, 2, 3, 4].map(|round| mix64(key, round)),
        }
    }

    /// Where `index`, a number below the count, goes.
    pub(crate) fn apply(&self, index: u64) -> u64 {
        debug_assert!(index < self.count, "{index} of {}", self.count);
        let mut value = index;
        loop {
            value = self.step(value);
            if value < self.count {
                return value;
            }
        }
    }

    /// One walk over the power of two.
    fn step(&self, value: u64) -> u64 {
        let [first, second, third, fourth] = self.keys;
        let (mut high, mut low) = (value >> self.low_bits, value & self.low_mask);
        high ^= round(low, first) & self.high_mask;
        low ^= round(high, second) & self.low_mask;
        high ^= round(low, third) & self.high_mask;
        low ^= round(high, fourth) & self.low_mask;
        (high << self.low_bits) | low
    }
}

/// 24 bits that depend on all bits of `half`; no half is wider than that.
fn round(half: u64, key: u64) -> u64 {
    let mixed = (half ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_hit_once() {
        for count in [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 1_000, 4_096, 65_537] {
            for key in 0..3 {
                let permutation = Permutation::new(count, key);
                let mut hit = vec![false; count as usize];
                for index in 0..count {
                    let value = permutation.apply(index) as usize;
                    assert!(!hit[value], "{count} {key}: {value} is hit twice");
                    hit[value] = true;
                }
            }
        }
    }

    #[test]
    fn large_counts_stay_in_range_and_do_not_collide() {
        for count in [(1 << 32) + 1, 1_000_000_007, 1 << 48] {
            let permutation = Permutation::new(count, 9);
            let mut values: Vec<u64> = (0..10_000).map(|index| permutation.apply(index)).collect();
            values.push(permutation.apply(count - 1));
            assert!(values.iter().all(|value| *value < count));
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), 10_001, "{count}");
        }
    }

    #[test]
    fn neighbours_are_spread_evenly() {
        let count = 1_000_000;
        let permutation = Permutation::new(count, 3);
        let mut buckets = [0_u32; 20];
        for index in 0..20_000 {
            buckets[(permutation.apply(index) * 20 / count) as usize] += 1;
        }
        // 19 degrees of freedom: 43.8 is passed once in a thousand.
        let chi_square: f64 =
            buckets.iter().map(|hits| (f64::from(*hits) - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi_square < 43.8, "{chi_square} {buckets:?}");
    }

    #[test]
    fn keys_give_different_orders() {
        let order = |key| {
            let permutation = Permutation::new(1_000, key);
            (0..1_000).map(|index| permutation.apply(index)).collect::<Vec<u64>>()
        };
        assert_eq!(order(1), order(1));
        let same = order(1).iter().zip(order(2)).filter(|(one, two)| **one == *two).count();
        assert!(same < 10, "{same} of 1000 stand where they stood");
    }
}

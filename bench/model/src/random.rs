//! Random numbers: a generator with independent streams, and hashes without state.
//!
//! Invariants: the same seed and stream give the same numbers on every machine and in every
//! version (results of a seed are compared over years); nothing here is fit for secrets.
//! Source: xoshiro256++ and splitmix64, Blackman and Vigna, "Scrambled linear pseudorandom number
//! generators", 2021; unbiased bounding by multiplication, Lemire 2019.

/// The odd constant of splitmix64, 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// 2^-53: what one step of a unit draw is worth.
const UNIT_STEP: f64 = 1.0 / (1_u64 << 53) as f64;

/// A generator of random numbers, xoshiro256++.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator of one stream of a seed; streams of one seed are independent.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let base = mix64(seed, stream);
        // Consecutive values of splitmix64 differ, so the state is never all zero.
        let value = |step: u64| scramble(base.wrapping_add(GOLDEN.wrapping_mul(step)));
        Self { state: [1, 2, 3, 4].map(value) }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);
        let s2 = s2 ^ s0;
        let s3 = s3 ^ s1;
        self.state = [s0 ^ s3, s1 ^ s2, s2 ^ (s1 << 17), s3.rotate_left(45)];
        result
    }

    /// A number from 0, included, to 1, not included; a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        unit_of(self.next_u64())
    }

    /// A number below `bound`, each equally likely; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let mut product = u128::from(self.next_u64()) * u128::from(bound);
        // The low half tells whether this draw belongs to the few that would favour some results.
        if (product as u64) < bound {
            let surplus = bound.wrapping_neg() % bound;
            while (product as u64) < surplus {
                product = u128::from(self.next_u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }
}

/// A hash of two numbers; for each `a` a permutation of `b`, and the other way round.
#[must_use]
pub fn mix64(a: u64, b: u64) -> u64 {
    scramble((scramble(a.wrapping_add(GOLDEN)) ^ b).wrapping_add(GOLDEN))
}

/// The draw that decides about one version of an object, such as its size.
#[must_use]
pub fn object_draw(seed: u64, key: u64, generation: u64) -> u64 {
    mix64(mix64(seed, key), generation)
}

/// 64 random bits as a number from 0, included, to 1, not included.
pub(crate) fn unit_of(draw: u64) -> f64 {
    (draw >> 11) as f64 * UNIT_STEP
}

/// 64 random bits as a number below `bound`; the bias is below `bound` / 2^64.
pub(crate) fn scaled(draw: u64, bound: u64) -> u64 {
    ((u128::from(draw) * u128::from(bound)) >> 64) as u64
}

/// The output function of splitmix64, a permutation.
fn scramble(value: u64) -> u64 {
    let mixed = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xoshiro_gives_the_published_sequence() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
        ];
        for value in expected {
            assert_eq!(random.next_u64(), value);
        }
    }

    #[test]
    fn splitmix_gives_the_published_sequence() {
        let outputs = [1, 2, 3].map(|step: u64| scramble(GOLDEN.wrapping_mul(step)));
        assert_eq!(outputs, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn streams_and_seeds_are_different_and_repeatable() {
        let first = |seed, stream| Random::new(seed, stream).next_u64();
        assert_eq!(first(1, 2), first(1, 2));
        let all = [first(1, 2), first(2, 1), first(1, 3), first(0, 0), first(0, 1), first(1, 0)];
        for (index, value) in all.iter().enumerate() {
            assert!(!all[..index].contains(value), "{all:?}");
        }
    }

    #[test]
    fn below_is_uniform_and_bounded() {
        let mut random = Random::new(11, 0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[random.below(7) as usize] += 1;
        }
        // Chi-square of six degrees of freedom passes 22.5 once in a thousand.
        let chi_square: f64 =
            counts.iter().map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi_square < 22.5, "{chi_square} {counts:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn below_has_no_bias_where_multiplication_alone_has_one() {
        // Of three quarters of 2^64, plain scaling gives every third number twice as often.
        let bound = 3 << 62;
        let mut random = Random::new(5, 5);
        let thirds = (0..30_000).filter(|_| random.below(bound).is_multiple_of(3)).count();
        assert!((9_700..10_300).contains(&thirds), "{thirds}");
    }

    #[test]
    fn unit_draws_stay_below_one() {
        assert_eq!(unit_of(0), 0.0);
        assert!(unit_of(u64::MAX) < 1.0);
        let mut random = Random::new(3, 1);
        let mean = (0..100_000).map(|_| random.unit()).sum::<f64>() / 100_000.0;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
    }

    #[test]
    fn mix64_flips_half_of_the_bits() {
        let mut flipped = 0;
        for bit in 0..64 {
            flipped += (mix64(17, 4) ^ mix64(17, 4 ^ (1 << bit))).count_ones();
            flipped += (mix64(17, 4) ^ mix64(17 ^ (1 << bit), 4)).count_ones();
        }
        let mean = f64::from(flipped) / 128.0;
        assert!((30.0..34.0).contains(&mean), "{mean}");
        assert_ne!(mix64(1, 2), mix64(2, 1));
    }

    #[test]
    fn an_object_draw_depends_on_all_of_its_arguments() {
        let draw = object_draw(1, 2, 3);
        assert_eq!(draw, object_draw(1, 2, 3));
        for other in [object_draw(0, 2, 3), object_draw(1, 1, 3), object_draw(1, 2, 4)] {
            assert_ne!(draw, other);
        }
    }
}

//! The filter of a run: says "absent" for nearly every key that is absent.
//!
//! A Bloom filter in lines of 512 bits (one cache line): the key's hash chooses the line, six
//! bits of it are set. At 10 bits a key 1 % of absent keys pass; one memory access a look-up.
//! Invariants: a key that was inserted always passes. The hash, the choice of line and bits and
//! the order of words are part of the persistent format.

use crate::frame::sum_of;

/// Bits of the filter for each expected entry.
const BITS_PER_KEY: u64 = 10;
/// Bits of a line.
const LINE_BITS: u64 = 512;
/// Words of a line.
const LINE_WORDS: usize = 8;
/// Bytes of a line.
pub(crate) const LINE_BYTES: usize = 64;
/// Bits set for a key. Six are best for lines of 512 bits at 10 bits a key.
const PROBES: u32 = 6;
/// Tells the choice of bits apart from the choice of the line.
const BITS_SALT: u64 = 0x9e37_79b9_7f4a_7c15;
/// More entries than a run ever holds; bounds the memory a wrong caller could ask for.
const EXPECTED_ENTRIES_MAX: u64 = 1 << 34;

/// The hash of a key. A CRC is linear and well spread only after mixing.
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    mix(sum_of(key))
}

/// The filter's bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// An empty filter for so many entries; more may be inserted, at the price of more false
    /// positives.
    pub(crate) fn new(expected_entries: u64) -> Self {
        assert!(expected_entries <= EXPECTED_ENTRIES_MAX, "a run has below 2^34 entries");
        let lines = (expected_entries * BITS_PER_KEY).div_ceil(LINE_BITS).max(1) as usize;
        Self { words: vec![0; lines * LINE_WORDS] }
    }

    /// Remembers a key.
    pub(crate) fn insert(&mut self, hash: u64) {
        let first = self.line_of(hash);
        let mut bits = mix(hash ^ BITS_SALT);
        for _ in 0..PROBES {
            let bit = (bits % LINE_BITS) as usize;
            self.words[first + bit / 64] |= 1_u64 << (bit % 64);
            bits /= LINE_BITS;
        }
    }

    /// `false` only if the key was never inserted.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let first = self.line_of(hash);
        let mut bits = mix(hash ^ BITS_SALT);
        for _ in 0..PROBES {
            let bit = (bits % LINE_BITS) as usize;
            if self.words[first + bit / 64] & (1_u64 << (bit % 64)) == 0 {
                return false;
            }
            bits /= LINE_BITS;
        }
        true
    }

    /// Bytes in memory and encoded.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// Appends the words.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        for word in &self.words {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads what `write_to` wrote; `None` unless it is at least one line and whole lines.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(LINE_BYTES) {
            return None;
        }
        let (words, _) = bytes.as_chunks::<8>();
        Some(Self { words: words.iter().map(|word| u64::from_le_bytes(*word)).collect() })
    }

    /// The first word of the hash's line.
    fn line_of(&self, hash: u64) -> usize {
        let lines = (self.words.len() / LINE_WORDS) as u128;
        ((u128::from(hash) * lines) >> 64) as usize * LINE_WORDS
    }
}

/// A bijection of 64 bits with full avalanche (the output step of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

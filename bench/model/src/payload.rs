//! The bytes of every object, computed from its key and generation.
//!
//! Invariants: `fill` writes the same bytes however an object is cut into ranges; nothing is
//! stored per object. The filler is a run of random words out of a small table, each combined
//! with a word of the block's own, so that no two blocks look alike to a compressor, and costs
//! little more than a copy. See `block` for the layout and `verify` for the way back.

use crate::ModelError;
use crate::block::{BLOCK_BYTES, HEADER_BYTES, Header, block_bytes};
use crate::random::{Random, mix64, scaled};
use std::fmt;
use std::sync::Arc;

/// Words in the table where a block's filler may begin, as a power of two: 64 KiB of them.
const NOISE_STARTS_LOG2: u32 = 13;
const NOISE_WORDS: usize = (1 << NOISE_STARTS_LOG2) + BLOCK_BYTES / 8;
/// Zeros stand at the end of every run of this many bytes, so that small objects have them too.
const ZERO_PERIOD_BYTES: usize = 512;

/// The key in the header of the block that is the same everywhere; no real key is so large.
pub(crate) const COMMON_KEY: u64 = u64::MAX;

/// Salts of what the seed decides.
const NOISE_SALT: u64 = 0x90a1_5e00_0000_0001;
const COMMON_SALT: u64 = 0xc0aa_0000_0000_0001;

/// Which write of a key: 0 for the first, one more for each further one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// What kind of bytes a run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadSpec {
    /// Seed of the run; another run's seed makes its blocks foreign.
    pub seed: u64,
    /// Part of the filler that is zeros, 0 to 100.
    pub compressible_percent: u8,
    /// Part of the whole blocks that are one and the same block, 0 to 100. They say nothing about
    /// key and generation, so a stale or misdirected one among them cannot be told.
    pub duplicate_percent: u8,
}

/// One version of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectStamp {
    /// Id of the key.
    pub key: u64,
    /// Which write of the key.
    pub generation: Generation,
    /// Size of this version in bytes.
    pub size_bytes: u64,
}

/// Makes and checks payloads; a clone shares the tables.
#[derive(Clone)]
pub struct Payload {
    pub(crate) run: u64,
    zero_bytes: usize,
    duplicate_percent: u64,
    noise: Arc<[u64]>,
    common: Arc<[u8]>,
}

impl Payload {
    /// The payloads of a run.
    ///
    /// # Errors
    /// `ModelError::Percent` if a share is above 100.
    pub fn new(spec: PayloadSpec) -> Result<Self, ModelError> {
        let PayloadSpec { seed, compressible_percent, duplicate_percent } = spec;
        for (name, percent) in [
            ("the compressible share", compressible_percent),
            ("the duplicate share", duplicate_percent),
        ] {
            if percent > 100 {
                return Err(ModelError::Percent { name, percent });
            }
        }
        // Other shares make other bytes, so they make another run.
        let shares = (u64::from(compressible_percent) << 8) | u64::from(duplicate_percent);
        let run = mix64(seed, shares);
        let mut random = Random::new(run, NOISE_SALT);
        let mut payload = Self {
            run,
            zero_bytes: ZERO_PERIOD_BYTES * usize::from(compressible_percent) / 100,
            duplicate_percent: u64::from(duplicate_percent),
            noise: (0..NOISE_WORDS).map(|_| random.next_u64()).collect(),
            common: Arc::from(Vec::<u8>::new()),
        };
        let everywhere = ObjectStamp {
            key: COMMON_KEY,
            generation: Generation(0),
            size_bytes: BLOCK_BYTES as u64,
        };
        payload.common = Arc::from(payload.own_block(&everywhere, 0));
        Ok(payload)
    }

    /// Writes the bytes at `offset` of an object.
    ///
    /// # Panics
    /// If the range does not lie in the object.
    pub fn fill(&self, object: ObjectStamp, offset: u64, out: &mut [u8]) {
        let end = offset.saturating_add(out.len() as u64);
        assert!(end <= object.size_bytes, "{offset}..{end} is not in {object:?}");
        let identity = self.identity(&object);
        let mut start = (offset % BLOCK_BYTES as u64) as usize;
        let mut block_offset = offset - start as u64;
        let mut rest = out;
        while !rest.is_empty() {
            let length = block_bytes(object.size_bytes, block_offset);
            let count = (length - start).min(rest.len());
            let (piece, behind) = std::mem::take(&mut rest).split_at_mut(count);
            if count == length {
                self.stamp(&object, identity, block_offset, piece);
            } else {
                let mut block = [0_u8; BLOCK_BYTES];
                self.stamp(&object, identity, block_offset, &mut block[..length]);
                piece.copy_from_slice(&block[start..start + count]);
            }
            rest = behind;
            block_offset += BLOCK_BYTES as u64;
            start = 0;
        }
    }

    /// The block at `block_offset` of an object as it would be if it were none of the common ones.
    pub(crate) fn own_block(&self, object: &ObjectStamp, block_offset: u64) -> Vec<u8> {
        let mut block = vec![0; block_bytes(object.size_bytes, block_offset)];
        self.stamp_own(object, self.identity(object), block_offset, &mut block);
        block
    }

    /// The block that stands at all common places.
    pub(crate) fn common_block(&self) -> &[u8] {
        &self.common
    }

    /// Whether a whole block of the key at this offset is the common one, in all generations.
    pub(crate) fn is_common(&self, key: u64, block_offset: u64) -> bool {
        if self.duplicate_percent == 0 {
            return false;
        }
        let draw = mix64(mix64(self.run ^ COMMON_SALT, key), block_offset);
        scaled(draw, 100) < self.duplicate_percent
    }

    /// What the fillers of an object's blocks depend on.
    fn identity(&self, object: &ObjectStamp) -> u64 {
        mix64(mix64(self.run, object.key), object.generation.0)
    }

    /// Writes a block; `out` is as long as the block is.
    fn stamp(&self, object: &ObjectStamp, identity: u64, block_offset: u64, out: &mut [u8]) {
        if out.len() == BLOCK_BYTES && self.is_common(object.key, block_offset) {
            out.copy_from_slice(&self.common);
        } else {
            self.stamp_own(object, identity, block_offset, out);
        }
    }

    /// Writes a block that is none of the common ones.
    fn stamp_own(&self, object: &ObjectStamp, identity: u64, block_offset: u64, out: &mut [u8]) {
        self.write_noise(mix64(identity, block_offset), out);
        if out.len() < HEADER_BYTES {
            return;
        }
        self.write_zeros(out);
        let header = Header {
            sum: 0,
            run: self.run,
            key: object.key,
            generation: object.generation.0,
            offset: block_offset,
            size_bytes: object.size_bytes,
        };
        header.seal(out);
    }

    /// Random bytes that depend on `hash` alone; shorter `out` gets their beginning.
    fn write_noise(&self, hash: u64, out: &mut [u8]) {
        // The upper bits choose the place; all bits are mixed into every word.
        let place = (hash >> (u64::BITS - NOISE_STARTS_LOG2)) as usize;
        let words = &self.noise[place..place + BLOCK_BYTES / 8];
        let (whole, rest) = out.as_chunks_mut::<8>();
        for (bytes, word) in whole.iter_mut().zip(words) {
            *bytes = (word ^ hash).to_le_bytes();
        }
        if let Some(word) = words.get(whole.len()) {
            let bytes = (word ^ hash).to_le_bytes();
            rest.copy_from_slice(&bytes[..rest.len()]);
        }
    }

    /// Puts the zeros of the compressible share into a block, behind its header.
    fn write_zeros(&self, block: &mut [u8]) {
        if self.zero_bytes == 0 {
            return;
        }
        let from = ZERO_PERIOD_BYTES - self.zero_bytes;
        for (index, period) in block.chunks_mut(ZERO_PERIOD_BYTES).enumerate() {
            let from = if index == 0 { from.max(HEADER_BYTES) } else { from };
            if let Some(zeros) = period.get_mut(from..) {
                zeros.fill(0);
            }
        }
    }
}

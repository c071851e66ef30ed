//! Seeded mutations: the same seed gives the same inputs.

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the limit, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Numbers at which bounds break.
const NUMBERS: [u64; 12] =
    [0, 1, 7, 64, 255, 4096, 0xffff, 1 << 20, 0x7fff_ffff, 0xffff_ffff, 1 << 50, u64::MAX];

/// One of the samples after one to five changes.
pub fn mutated(random: &mut Random, samples: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = random.one_of(samples).clone();
    for _ in 0..=random.below(5) {
        change(random, &mut bytes, samples, words);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, samples: &[Vec<u8>], words: &[&str]) {
    let at = random.below(bytes.len() + 1);
    let end = at + random.below(bytes.len() - at + 1).min(random.below(24));
    match random.below(10) {
        0..3 => {
            let bit = random.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        3 => {
            let value = random.number() as u8;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        4 => {
            let number = random.one_of(&NUMBERS).to_le_bytes();
            let len = *random.one_of(&[1, 2, 4, 8]);
            if let Some(field) = bytes.get_mut(at..at + len) {
                field.copy_from_slice(&number[..len]);
            }
        }
        5 => drop(bytes.drain(at..end)),
        6 => {
            let piece = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
        7 => {
            let other = random.one_of(samples);
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ if words.is_empty() => {
            let value = random.number() as u8;
            bytes.insert(at, value);
        }
        _ => {
            let word = random.one_of(words).bytes();
            drop(bytes.splice(at..at, word));
        }
    }
}

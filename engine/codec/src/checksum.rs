//! CRC-64/NVME, the checksum over stored bytes.
//!
//! It finds damage; it does not find malice. The implementation is `crc-fast`, which picks the
//! widest carry-less multiply of the CPU at run time.

use crc_fast::{CrcAlgorithm, Digest};

/// CRC-64/NVME of `bytes`.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::crc64_nvme(bytes)
}

/// CRC-64/NVME of bytes that come in pieces; how they are cut makes no difference.
#[derive(Debug, Clone)]
pub struct Crc64 {
    digest: Digest,
}

impl Crc64 {
    /// Of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self { digest: Digest::new(CrcAlgorithm::Crc64Nvme) }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The checksum of all bytes so far; more may follow.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.digest.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, from the definition: reflected polynomial, all ones in and out.
    fn slow(bytes: &[u8]) -> u64 {
        let mut state = u64::MAX;
        for byte in bytes {
            state ^= u64::from(*byte);
            for _ in 0..8 {
                let odd = state & 1 != 0;
                state >>= 1;
                if odd {
                    state ^= 0x9a6c_9329_ac4b_c9b5;
                }
            }
        }
        !state
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 131 + at / 7) as u8).collect()
    }

    #[test]
    fn known_answers() {
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(crc64(b""), 0);
        assert_eq!(Crc64::default().value(), 0);
    }

    #[test]
    fn every_length_agrees_with_the_definition() {
        let bytes = sample(1200);
        for length in (0..600).chain([1023, 1024, 1025, 1200]) {
            assert_eq!(crc64(&bytes[..length]), slow(&bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn cuts_make_no_difference() {
        let bytes = sample(700);
        let whole = crc64(&bytes);
        for cut in 0..=700 {
            let mut sum = Crc64::new();
            sum.update(&bytes[..cut]);
            assert_eq!(sum.value(), crc64(&bytes[..cut]), "cut at {cut}");
            sum.update(&bytes[cut..]);
            assert_eq!(sum.value(), whole, "cut at {cut}");
        }
    }
}

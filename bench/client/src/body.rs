//! Bodies on their way out, as the payload is signed.
//!
//! Source: "Signature calculations for the Authorization header" of the Amazon S3 API reference:
//! payload in one chunk, unsigned, in multiple chunks, and with a trailing checksum.
//!
//! Invariants: a body has exactly the bytes that `encoded_bytes` said before; `fill` is asked for
//! every byte of the payload once, in order (twice where the whole payload is signed).

use crate::request::encode_base64;
use crate::sign::{ChunkSigner, Hex, hex};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use sha2::{Digest, Sha256};

/// Payload bytes of a chunk. Amazon wants 8 KiB at least.
const CHUNK_BYTES: u64 = 64 * 1024;
/// Payload bytes that are put into the output at once, at most.
const PIECE_BYTES: u64 = 256 * 1024;
/// `;chunk-signature=` and 64 digits.
const CHUNK_SIGNATURE_BYTES: u64 = 17 + 64;
/// The checksum that trails.
const TRAILER_NAME: &str = "x-amz-checksum-crc64nvme";

/// How the payload of a PUT is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signing {
    /// The request is signed, the payload is not: `UNSIGNED-PAYLOAD`.
    #[default]
    Unsigned,
    /// The payload's SHA-256 is signed with the request.
    Signed,
    /// Chunks of 64 KiB are signed one after the other.
    Chunked,
    /// Unsigned chunks, and a CRC64NVME behind them, as current SDKs send it.
    Trailer,
}

impl Signing {
    /// What `x-amz-content-sha256` says where it is not the payload's own hash.
    #[must_use]
    pub fn marker(self) -> &'static str {
        match self {
            Self::Unsigned | Self::Signed => "UNSIGNED-PAYLOAD",
            Self::Chunked => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Self::Trailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }

    /// Whether the body is framed as `aws-chunked`.
    #[must_use]
    pub fn is_framed(self) -> bool {
        matches!(self, Self::Chunked | Self::Trailer)
    }

    /// The name of the checksum that trails, if one does.
    #[must_use]
    pub fn trailer(self) -> Option<&'static str> {
        (self == Self::Trailer).then_some(TRAILER_NAME)
    }

    /// What `Content-Length` says for a payload of so many bytes.
    #[must_use]
    pub fn encoded_bytes(self, payload_bytes: u64) -> u64 {
        if !self.is_framed() {
            return payload_bytes;
        }
        let signature = if self == Self::Chunked { CHUNK_SIGNATURE_BYTES } else { 0 };
        let frame = |bytes: u64| hex_digits(bytes) + signature + 2;
        let (whole, rest) = (payload_bytes / CHUNK_BYTES, payload_bytes % CHUNK_BYTES);
        let mut bytes = payload_bytes + whole * (frame(CHUNK_BYTES) + 2);
        if rest > 0 {
            bytes += frame(rest) + 2;
        }
        // The last chunk is empty. Base64 of 8 bytes has 12 characters.
        let trailer = self.trailer().map_or(0, |name| name.len() as u64 + 1 + 12 + 2);
        bytes + frame(0) + trailer + 2
    }
}

/// Puts the payload's bytes from an offset on into a buffer.
pub trait Fill {
    /// Fills the whole buffer.
    fn fill(&mut self, offset: u64, out: &mut [u8]);
}

impl<F: FnMut(u64, &mut [u8])> Fill for F {
    fn fill(&mut self, offset: u64, out: &mut [u8]) {
        self(offset, out);
    }
}

/// The SHA-256 of a payload, for `Signing::Signed`; `scratch` is used on the way.
pub fn payload_sha256(payload_bytes: u64, scratch: &mut Vec<u8>, source: &mut impl Fill) -> Hex {
    let mut hash = Sha256::new();
    let mut offset = 0;
    while offset < payload_bytes {
        let now = (payload_bytes - offset).min(CHUNK_BYTES);
        scratch.resize(now as usize, 0);
        source.fill(offset, scratch);
        hash.update(&*scratch);
        offset += now;
    }
    hex(&hash.finalize().into())
}

/// A body of which a part may have gone out.
pub struct BodyEncoder {
    signing: Signing,
    payload_bytes: u64,
    offset: u64,
    is_ended: bool,
    /// Where chunks are signed.
    chunks: Option<ChunkSigner>,
    crc: Crc,
}

impl BodyEncoder {
    /// A body; where its chunks are signed, they need their request's `chunks`.
    #[must_use]
    pub fn new(signing: Signing, payload_bytes: u64, chunks: Option<ChunkSigner>) -> Self {
        let is_ended = payload_bytes == 0 && !signing.is_framed();
        let crc = Crc::new(CrcAlgorithm::Crc64Nvme);
        Self { signing, payload_bytes, offset: 0, is_ended, chunks, crc }
    }

    /// Whether all of it was given out.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Appends the next piece of the body.
    pub fn next(&mut self, source: &mut impl Fill, out: &mut Vec<u8>) {
        if !self.signing.is_framed() {
            self.append(PIECE_BYTES, source, out);
            self.is_ended = self.offset == self.payload_bytes;
            return;
        }
        let end = self.offset.saturating_add(PIECE_BYTES).min(self.payload_bytes);
        while self.offset < end {
            self.chunk(source, out);
        }
        if self.offset == self.payload_bytes {
            self.end(out);
        }
    }

    /// Appends payload bytes as they are; gives where they begin.
    fn append(&mut self, bytes_max: u64, source: &mut impl Fill, out: &mut Vec<u8>) -> usize {
        let now = (self.payload_bytes - self.offset).min(bytes_max);
        let begin = out.len();
        out.resize(begin + now as usize, 0);
        source.fill(self.offset, &mut out[begin..]);
        self.offset += now;
        begin
    }

    fn chunk(&mut self, source: &mut impl Fill, out: &mut Vec<u8>) {
        let now = (self.payload_bytes - self.offset).min(CHUNK_BYTES);
        write_hex(now, out);
        if self.signing == Signing::Chunked {
            // The signature's place; it is known once the data is.
            out.extend_from_slice(b";chunk-signature=");
            out.extend_from_slice(&[b'0'; 64]);
        }
        let signature_end = out.len();
        out.extend_from_slice(b"\r\n");
        let begin = self.append(now, source, out);
        if self.signing == Signing::Chunked {
            let signature = self.sign(&out[begin..]);
            out[signature_end - 64..signature_end].copy_from_slice(&signature);
        } else {
            self.crc.update(&out[begin..]);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"0");
        if self.signing == Signing::Chunked {
            out.extend_from_slice(b";chunk-signature=");
            let signature = self.sign(b"");
            out.extend_from_slice(&signature);
        }
        out.extend_from_slice(b"\r\n");
        if let Some(name) = self.signing.trailer() {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            encode_base64(&self.crc.finalize().to_be_bytes(), out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.is_ended = true;
    }

    fn sign(&mut self, data: &[u8]) -> Hex {
        self.chunks.as_mut().expect("only who signs sends signed chunks").sign(data)
    }
}

fn hex_digits(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).div_ceil(4).max(1))
}

fn write_hex(value: u64, out: &mut Vec<u8>) {
    let digits = hex_digits(value);
    for digit in (0..digits).rev() {
        let nibble = (value >> (digit * 4)) & 15;
        out.push(b"0123456789abcdef"[nibble as usize]);
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;

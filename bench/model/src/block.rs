//! The layout of a payload.
//!
//! An object is a row of 4 KiB blocks, the last one as short as it comes. A block of at least
//! `HEADER_BYTES` begins with a header, little-endian:
//!
//! ```text
//! 0   sum         u64  CRC-64/NVME of all bytes of the block behind it
//! 8   magic       u64  "bsltblk1"
//! 16  run         u64  hash of seed and shares: whose payload this is
//! 24  key         u64  id of the key
//! 32  generation  u64  which write of the key
//! 40  offset      u64  of the block in the object, bytes
//! 48  size        u64  of the object, bytes
//! 56  filler           random bytes that depend on run, key, generation and offset
//! ```
//! Invariants: the filler does not depend on the object's size, so that a piece of a block can be
//! checked without knowing it; a shorter last block is filler alone; a block says enough to be
//! checked without any other. Headers come from a server and are believed only after the sum.

/// Bytes of a block; the last block of an object may be shorter.
pub const BLOCK_BYTES: usize = 4_096;

/// Bytes of a block's header; a block shorter than this has none.
pub const HEADER_BYTES: usize = 56;

/// Bytes of the sum, which does not cover itself.
pub(crate) const SUM_BYTES: usize = 8;

/// Where the object's size stands in the header.
pub(crate) const SIZE_AT: usize = 48;
pub(crate) const SIZE_BYTES: usize = 8;

const MAGIC: u64 = u64::from_le_bytes(*b"bsltblk1");

/// A header without the magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sum: u64,
    pub(crate) run: u64,
    pub(crate) key: u64,
    pub(crate) generation: u64,
    pub(crate) offset: u64,
    pub(crate) size_bytes: u64,
}

impl Header {
    /// The header at the start of `block`; nothing if it is too short or has no magic.
    pub(crate) fn read(block: &[u8]) -> Option<Self> {
        let (words, _) = block.as_chunks::<8>();
        let [sum, magic, run, key, generation, offset, size, ..] = words else { return None };
        if u64::from_le_bytes(*magic) != MAGIC {
            return None;
        }
        Some(Self {
            sum: u64::from_le_bytes(*sum),
            run: u64::from_le_bytes(*run),
            key: u64::from_le_bytes(*key),
            generation: u64::from_le_bytes(*generation),
            offset: u64::from_le_bytes(*offset),
            size_bytes: u64::from_le_bytes(*size),
        })
    }

    /// Writes the header at the start of `block` and seals the block: its sum is computed here.
    pub(crate) fn seal(&self, block: &mut [u8]) {
        let fields = [0, MAGIC, self.run, self.key, self.generation, self.offset, self.size_bytes];
        let (words, _) = block.as_chunks_mut::<8>();
        for (word, field) in words.iter_mut().zip(fields) {
            *word = field.to_le_bytes();
        }
        let sum = sum_of(block);
        if let Some(place) = block.first_chunk_mut::<SUM_BYTES>() {
            *place = sum.to_le_bytes();
        }
    }

    /// Bytes of the block this header claims to stand in; 0 if it makes no sense.
    pub(crate) fn block_bytes(&self) -> usize {
        let aligned = self.offset.is_multiple_of(BLOCK_BYTES as u64);
        if aligned { block_bytes(self.size_bytes, self.offset) } else { 0 }
    }
}

/// The sum over a block's bytes behind the sum.
pub(crate) fn sum_of(block: &[u8]) -> u64 {
    crc_fast::crc64_nvme(block.get(SUM_BYTES..).unwrap_or_default())
}

/// Bytes of the block at `block_offset` of an object of `size_bytes`; 0 past its end.
pub(crate) fn block_bytes(size_bytes: u64, block_offset: u64) -> usize {
    size_bytes.saturating_sub(block_offset).min(BLOCK_BYTES as u64) as usize
}

/// Bytes of an object that lie in one block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// Offset of the block in the object.
    pub(crate) block_offset: u64,
    /// Where in the block the bytes begin.
    pub(crate) start: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Whether a whole header is in view.
    pub(crate) fn has_header(&self) -> bool {
        self.start == 0 && self.bytes.len() >= HEADER_BYTES
    }

    /// Offset of the first byte in the object.
    pub(crate) fn offset(&self) -> u64 {
        self.block_offset + self.start as u64
    }

    /// Offset behind the last byte in the object.
    pub(crate) fn end(&self) -> u64 {
        self.offset() + self.bytes.len() as u64
    }

    /// Whether the bytes are those of `block` at their place.
    pub(crate) fn is_part_of(&self, block: &[u8]) -> bool {
        block.get(self.start..self.start + self.bytes.len()) == Some(self.bytes)
    }

    /// The piece behind the header, for a piece that has one.
    pub(crate) fn filler(&self) -> Piece<'a> {
        let bytes = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        Piece { block_offset: self.block_offset, start: HEADER_BYTES, bytes }
    }
}

/// Cuts the bytes at `offset` of an object at the borders of its blocks.
pub(crate) fn pieces(offset: u64, bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut start = (offset % BLOCK_BYTES as u64) as usize;
    let mut block_offset = offset - start as u64;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (bytes, behind) = rest.split_at(rest.len().min(BLOCK_BYTES - start));
        let piece = Piece { block_offset, start, bytes };
        rest = behind;
        block_offset += BLOCK_BYTES as u64;
        start = 0;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_header_reads_back_and_is_where_the_layout_says() {
        let header = Header {
            sum: 0,
            run: 1,
            key: 0x0203,
            generation: 4,
            offset: 8_192,
            size_bytes: 8_192 + 100,
        };
        let mut block = [7_u8; 100];
        header.seal(&mut block);
        let read = Header::read(&block).unwrap();
        assert_eq!(read, Header { sum: sum_of(&block), ..header });
        assert_eq!(block[8..16], *b"bsltblk1");
        assert_eq!(block[16..26], [1, 0, 0, 0, 0, 0, 0, 0, 3, 2]);
        assert_eq!((block[32], block[40], block[41]), (4, 0, 0x20));
        assert_eq!(block[SIZE_AT..SIZE_AT + 8], 8_292_u64.to_le_bytes());
        assert!(block[HEADER_BYTES..].iter().all(|byte| *byte == 7));
        assert_eq!(read.block_bytes(), 100);
    }

    #[test]
    fn short_or_strange_bytes_are_no_header() {
        let mut block = [0_u8; 64];
        Header { sum: 0, run: 1, key: 2, generation: 3, offset: 0, size_bytes: 64 }
            .seal(&mut block);
        assert!(Header::read(&block).is_some());
        assert_eq!(Header::read(&block[..HEADER_BYTES - 1]), None);
        assert_eq!(Header::read(&[0; 4_096]), None);
        block[9] ^= 1;
        assert_eq!(Header::read(&block), None);
    }

    #[test]
    fn claims_that_make_no_sense_have_no_length() {
        let header = |offset, size_bytes| Header {
            sum: 0,
            run: 0,
            key: 0,
            generation: 0,
            offset,
            size_bytes,
        };
        assert_eq!(header(0, 5_000).block_bytes(), 4_096);
        assert_eq!(header(4_096, 5_000).block_bytes(), 904);
        assert_eq!(header(8_192, 5_000).block_bytes(), 0);
        assert_eq!(header(1, 5_000).block_bytes(), 0);
        assert_eq!(header(u64::MAX - 4_095, u64::MAX).block_bytes(), 4_095);
    }

    #[test]
    fn pieces_cover_the_bytes_and_end_at_blocks() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|index| index as u8).collect();
        for offset in [0, 1, 4_095, 4_096, 5_000] {
            for length in [0, 1, 55, 4_096, 4_097, 12_289, 20_000] {
                let mut covered = 0;
                for piece in pieces(offset, &bytes[..length]) {
                    assert_eq!(piece.offset(), offset + covered as u64);
                    assert_eq!(piece.bytes, &bytes[covered..covered + piece.bytes.len()]);
                    assert!(piece.block_offset.is_multiple_of(4_096));
                    assert!(piece.start + piece.bytes.len() <= BLOCK_BYTES);
                    covered += piece.bytes.len();
                    let at_border = piece.end().is_multiple_of(4_096);
                    assert!(at_border || covered == length);
                }
                assert_eq!(covered, length);
            }
        }
    }
}

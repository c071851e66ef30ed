//! Bytes of a body between its client and the drives.
//!
//! Invariant: what is kept costs at most twice its length: a piece may be a slice of a far larger
//! read buffer, so short ones are copied together.

use bytes::Bytes;

/// Shorter pieces are copied. gateway-http reads into buffers of at most 64 KiB, so a longer one
/// keeps at most twice its length alive.
const KEPT_BYTES_MIN: usize = 32 * 1024;

/// Short pieces are copied into buffers of up to this length.
const TAIL_BYTES_MAX: usize = 64 * 1024;

/// Bytes in the order they came.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    /// Short pieces behind them.
    tail: Vec<u8>,
    bytes: usize,
}

impl Pieces {
    /// Bytes in all.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Adds a piece. The last one of a body is not kept for long: alone it is never copied. The
    /// caller drops the piece, which may give back a claim and so must not happen under a lock.
    pub(super) fn push(&mut self, piece: &Bytes, is_last: bool) {
        let is_all = self.bytes == 0 && is_last;
        self.bytes += piece.len();
        if is_all || piece.len() >= KEPT_BYTES_MIN {
            self.flush();
            self.whole.push(piece.clone());
            return;
        }
        if self.tail.len() + piece.len() > TAIL_BYTES_MAX {
            self.flush();
        }
        self.tail.extend_from_slice(piece);
    }

    fn flush(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        if self.tail.len() >= TAIL_BYTES_MAX / 2 {
            self.whole.push(Bytes::from(std::mem::take(&mut self.tail)));
        } else {
            // The buffer may be far larger than what is in it: keep it for what follows.
            self.whole.push(Bytes::copy_from_slice(&self.tail));
            self.tail.clear();
        }
    }

    /// Takes the first `wanted` bytes, or all if there are fewer.
    pub(super) fn take(&mut self, wanted: usize) -> Vec<Bytes> {
        self.flush();
        let mut taken = Vec::new();
        let mut rest = Vec::new();
        let mut left = wanted;
        for mut piece in std::mem::take(&mut self.whole) {
            if left == 0 {
                rest.push(piece);
            } else if piece.len() <= left {
                left -= piece.len();
                taken.push(piece);
            } else {
                taken.push(piece.split_to(left));
                left = 0;
                rest.push(piece);
            }
        }
        self.whole = rest;
        self.bytes -= wanted - left;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_however_they_were_cut() {
        let body: Vec<u8> = (0..400_000_u32).map(|byte| byte as u8).collect();
        let mut pieces = Pieces::default();
        let mut rest = &body[..];
        let mut taken = Vec::new();
        for len in [1, 40_000, 31_000, 31_000, 31_000, 5, 65_536, 7, 90_000, 100_000].repeat(2) {
            let (piece, behind) = rest.split_at(len.min(rest.len()));
            rest = behind;
            pieces.push(&Bytes::copy_from_slice(piece), rest.is_empty());
            while pieces.len() >= 70_000 {
                taken.extend(pieces.take(70_000));
            }
        }
        assert!(rest.is_empty(), "all of the body was given");
        let left = pieces.len();
        assert!(left < 70_000);
        taken.extend(pieces.take(usize::MAX));
        let came: Vec<u8> = taken.iter().flat_map(|piece| piece.to_vec()).collect();
        assert_eq!((pieces.len(), came.len()), (0, 400_000));
        assert!(came == body);
    }

    #[test]
    fn short_pieces_do_not_keep_their_buffers() {
        let buffer = Bytes::from(vec![7; 65_536]);
        let mut pieces = Pieces::default();
        for at in 0..100 {
            pieces.push(&buffer.slice(at..at + 1), false);
        }
        assert!(buffer.is_unique());
        pieces.push(&buffer.slice(0..KEPT_BYTES_MIN), false);
        assert!(!buffer.is_unique(), "long pieces are not copied");
        assert_eq!(pieces.take(usize::MAX).len(), 2);
        pieces.push(&buffer.slice(0..10), true);
        assert!(!buffer.is_unique(), "a whole body is not copied");
    }
}

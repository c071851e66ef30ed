//! Frames: lengths and bytes over TCP, without HTTP. docs/format/frames.md has the layout.
//!
//! Invariants: a request and its answer begin with the same head; what is reserved is zero and
//! refused otherwise; a length is bounded before anyone waits for so many bytes.

/// Bytes of a frame's head.
pub const FRAME_BYTES: usize = 24;
/// The most bytes behind a head: S3's largest object.
pub const BODY_BYTES_MAX: u64 = 5 << 40;

const MAGIC: [u8; 4] = *b"bsNF";
const VERSION: u16 = 1;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes that follow.
    pub body_bytes: u64,
    /// Bytes that the answer is to have; 0 in an answer.
    pub answer_bytes: u64,
}

impl Frame {
    /// As it goes over the wire.
    #[must_use]
    pub fn encode(self) -> [u8; FRAME_BYTES] {
        let mut out = [0; FRAME_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[8..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[16..].copy_from_slice(&self.answer_bytes.to_le_bytes());
        out
    }

    /// As it came; `None` where it is no frame of this version.
    #[must_use]
    pub fn decode(head: &[u8; FRAME_BYTES]) -> Option<Self> {
        let (words, _) = head.as_chunks::<8>();
        let [[m0, m1, m2, m3, v0, v1, 0, 0], body, answer] = words else { return None };
        let is_ours = [*m0, *m1, *m2, *m3] == MAGIC && u16::from_le_bytes([*v0, *v1]) == VERSION;
        let body_bytes = u64::from_le_bytes(*body);
        let answer_bytes = u64::from_le_bytes(*answer);
        let is_bounded = body_bytes <= BODY_BYTES_MAX && answer_bytes <= BODY_BYTES_MAX;
        (is_ours && is_bounded).then_some(Self { body_bytes, answer_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_a_changed_one_does_not() {
        let frame = Frame { body_bytes: 4096, answer_bytes: BODY_BYTES_MAX };
        let head = frame.encode();
        assert_eq!(Frame::decode(&head), Some(frame));
        // Magic, version and reserved bytes, one at a time.
        for at in 0..8 {
            let mut changed = head;
            changed[at] ^= 0x80;
            assert_eq!(Frame::decode(&changed), None, "byte {at}");
        }
        let long = Frame { body_bytes: BODY_BYTES_MAX + 1, answer_bytes: 0 };
        assert_eq!(Frame::decode(&long.encode()), None);
        let long = Frame { body_bytes: 0, answer_bytes: u64::MAX };
        assert_eq!(Frame::decode(&long.encode()), None);
    }
}

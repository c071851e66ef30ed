//! A guard on aws-chunked bodies around what s3s 0.14.1 takes: it holds a whole chunk in memory
//! and sets no limit on it, it reads a malformed size as another number, and it takes the end of
//! the stream for the last chunk.
//!
//! Invariants: bytes pass unchanged; a body whose last chunk (of size 0) never came ends with an
//! error, so it is not stored; s3s judges signatures, trailers and line ends.

use bytes::Bytes;
use futures_util::Stream;
use s3s::stream::{ByteStream, DynByteStream, RemainingLength};
use s3s::{Body, StdError};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The largest chunk: what one request may hold in memory.
pub(crate) const CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The digits of a size that s3s looks at.
const SIZE_DIGITS_MAX: u32 = 8;

/// The texts tell `body::body_error` what it is.
#[derive(Debug, thiserror::Error)]
enum ChunkError {
    #[error("ChunkTooLarge: a chunk has more than 16 MiB")]
    TooLarge,
    #[error("FormatError: the size of a chunk is no number of up to 8 hexadecimal digits")]
    Malformed,
    #[error("Incomplete: the body ended before its last chunk")]
    Incomplete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the hexadecimal digits of a size: how many there were, and what they say.
    Size { digits: u32, bytes: u64 },
    /// Behind them, before the line's end.
    Extension(u64),
    /// In a chunk; so many bytes and the line's end to go.
    Data(u64),
    /// Behind the line of the last chunk.
    Past,
}

const START: State = State::Size { digits: 0, bytes: 0 };

struct Guard {
    inner: Body,
    state: State,
}

/// The body with the guard around it.
pub(crate) fn guarded(body: Body) -> Body {
    let stream: DynByteStream = Box::pin(Guard { inner: body, state: START });
    Body::from(stream)
}

/// Follows the framing through `bytes`.
fn follow(mut state: State, mut bytes: &[u8]) -> Result<State, ChunkError> {
    while let Some((&byte, rest)) = bytes.split_first() {
        if let State::Data(left) = state {
            let passed = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - passed as u64;
            state = if left == 0 { START } else { State::Data(left) };
            bytes = &bytes[passed..];
            continue;
        }
        bytes = rest;
        state = match (state, byte) {
            (State::Past, _) => return Ok(State::Past),
            (State::Size { digits: 0, .. }, b';' | b'\r' | b'\n') => {
                return Err(ChunkError::Malformed);
            }
            (State::Size { bytes: 0, .. } | State::Extension(0), b'\n') => State::Past,
            // The chunk's own line end follows its bytes.
            (State::Size { bytes: size, .. } | State::Extension(size), b'\n') => {
                State::Data(size + 2)
            }
            (State::Extension(size), _) | (State::Size { bytes: size, .. }, b';' | b'\r') => {
                State::Extension(size)
            }
            (State::Size { digits, bytes: size }, _) => with_digit(digits, size, byte)?,
            (State::Data(left), _) => State::Data(left),
        };
    }
    Ok(state)
}

fn with_digit(digits: u32, bytes: u64, byte: u8) -> Result<State, ChunkError> {
    let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Malformed)?;
    // No overflow: what was read before is within the limit.
    let bytes = bytes * 16 + u64::from(digit);
    if bytes > CHUNK_BYTES_MAX {
        return Err(ChunkError::TooLarge);
    }
    if digits == SIZE_DIGITS_MAX {
        return Err(ChunkError::Malformed);
    }
    Ok(State::Size { digits: digits + 1, bytes })
}

impl Stream for Guard {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_next(context);
        Poll::Ready(match std::task::ready!(polled) {
            Some(Ok(bytes)) => match follow(this.state, &bytes) {
                Ok(state) => {
                    this.state = state;
                    Some(Ok(bytes))
                }
                Err(error) => Some(Err(Box::new(error))),
            },
            None if this.state != State::Past => {
                // Said once; then the stream has ended.
                this.state = State::Past;
                Some(Err(Box::new(ChunkError::Incomplete)))
            }
            other => other,
        })
    }
}

impl ByteStream for Guard {
    fn remaining_length(&self) -> RemainingLength {
        self.inner.remaining_length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    const CHUNKS: &[u8] = b"10;chunk-signature=ab\r\n0123456789\r\n0;ff\r\n3\r\nx0\n\r\n";

    #[test]
    fn data_is_skipped_wherever_the_pieces_are_cut() {
        for cut in 0..=CHUNKS.len() {
            let state = follow(START, &CHUNKS[..cut]).unwrap();
            let state = follow(state, &CHUNKS[cut..]).unwrap();
            assert_eq!(state, START, "{cut}");
            assert_eq!(follow(state, b"0;x=y\r\nt:1\r\n\r\n").unwrap(), State::Past);
        }
        let inside = follow(START, b"5\r\nab").unwrap();
        assert_eq!(inside, State::Data(5));
    }

    #[test]
    fn large_chunks_are_refused_as_soon_as_their_size_is_known() {
        assert!(follow(START, b"1000000\r\n").is_ok());
        for large in ["1000001", "ffffffffffffffffffffffff", "1\r\nx\r\nfffffff;"] {
            let refused = follow(START, large.as_bytes());
            assert!(matches!(refused, Err(ChunkError::TooLarge)), "{large}");
        }
    }

    #[test]
    fn sizes_that_s3s_would_read_as_another_number_are_refused() {
        assert!(follow(START, b"00000004\r\n").is_ok());
        for malformed in ["zz", "4x\r\n", "-1\r\n", " 4\r\n", "\r\n", "\n", ";", "000000004\r\n"] {
            let refused = follow(START, malformed.as_bytes());
            assert!(matches!(refused, Err(ChunkError::Malformed)), "{malformed:?}");
        }
    }

    #[test]
    fn a_body_must_reach_its_last_chunk() {
        let whole = b"3\r\nabc\r\n0\r\n";
        for cut in 0..=whole.len() {
            let mut body = guarded(Body::from(whole[..cut].to_vec()));
            let mut context = Context::from_waker(Waker::noop());
            let mut error = None;
            while let Poll::Ready(Some(piece)) = Pin::new(&mut body).poll_next(&mut context) {
                if let Err(found) = piece {
                    error = Some(found.to_string());
                }
            }
            let incomplete = error.is_some_and(|text| text.starts_with("Incomplete"));
            assert_eq!(incomplete, cut < whole.len(), "{cut}");
        }
    }
}

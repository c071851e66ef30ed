//! A guard on aws-chunked bodies: s3s 0.14.1 holds a whole chunk in memory before it passes any of
//! it on, and sets no limit on a chunk. This refuses chunks above 16 MiB as their size is read.
//!
//! Invariant: bytes pass unchanged; whether the framing is right is s3s's to judge.

use bytes::Bytes;
use futures_util::Stream;
use s3s::stream::{ByteStream, DynByteStream, RemainingLength};
use s3s::{Body, StdError};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The largest chunk: what one request may hold in memory.
pub(crate) const CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The text tells `body::body_error` what it is.
#[derive(Debug, thiserror::Error)]
#[error("ChunkTooLarge: a chunk has more than 16 MiB")]
struct ChunkTooLarge;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the hexadecimal digits of a size.
    Size(u64),
    /// Behind them, before the line's end.
    Extension(u64),
    /// In a chunk; so many bytes and the line's end to go.
    Data(u64),
    /// Behind the last chunk, or lost: s3s judges.
    Past,
}

struct Guard {
    inner: Body,
    state: State,
}

/// The body with the guard around it.
pub(crate) fn guarded(body: Body) -> Body {
    let stream: DynByteStream = Box::pin(Guard { inner: body, state: State::Size(0) });
    Body::from(stream)
}

/// Follows the framing through `bytes`.
fn follow(mut state: State, mut bytes: &[u8]) -> Result<State, ChunkTooLarge> {
    while let Some((&byte, rest)) = bytes.split_first() {
        if let State::Data(left) = state {
            let passed = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - passed as u64;
            state = if left == 0 { State::Size(0) } else { State::Data(left) };
            bytes = &bytes[passed..];
            continue;
        }
        bytes = rest;
        state = match (state, byte) {
            (State::Past, _) => return Ok(State::Past),
            (State::Size(0) | State::Extension(0), b'\n') => State::Past,
            // The chunk's own line end follows its bytes.
            (State::Size(size) | State::Extension(size), b'\n') => State::Data(size + 2),
            (State::Extension(size), _) | (State::Size(size), b';' | b'\r') => {
                State::Extension(size)
            }
            (State::Size(size), _) => match char::from(byte).to_digit(16) {
                Some(digit) => State::Size(size * 16 + u64::from(digit)),
                None => State::Past,
            },
            (State::Data(left), _) => State::Data(left),
        };
        if let State::Size(size) = state
            && size > CHUNK_BYTES_MAX
        {
            return Err(ChunkTooLarge);
        }
    }
    Ok(state)
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

    const CHUNKS: &[u8] = b"10;chunk-signature=ab\r\n0123456789\r\n0;ff\r\n3\r\nx0\n\r\n";

    #[test]
    fn data_is_skipped_wherever_the_pieces_are_cut() {
        for cut in 0..=CHUNKS.len() {
            let state = follow(State::Size(0), &CHUNKS[..cut]).unwrap();
            let state = follow(state, &CHUNKS[cut..]).unwrap();
            assert_eq!(state, State::Size(0), "{cut}");
            assert_eq!(follow(state, b"0;x=y\r\nt:1\r\n\r\n").unwrap(), State::Past);
        }
        let inside = follow(State::Size(0), b"5\r\nab").unwrap();
        assert_eq!(inside, State::Data(5));
    }

    #[test]
    fn large_chunks_are_refused_as_soon_as_their_size_is_known() {
        assert!(follow(State::Size(0), b"1000000\r\n").is_ok());
        assert!(follow(State::Size(0), b"1000001").is_err());
        assert!(follow(State::Size(0), b"ffffffffffffffffffffffff").is_err());
        assert!(follow(State::Size(0), b"1\r\nx\r\nfffffff;").is_err());
        assert_eq!(follow(State::Size(0), b"zz").unwrap(), State::Past);
    }
}

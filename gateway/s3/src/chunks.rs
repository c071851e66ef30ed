//! aws-chunked bodies on their way to s3s 0.14.1, which holds a whole chunk in memory and sets no
//! limit on it, reads a malformed size as another number, and takes the end of the stream for the
//! last chunk.
//!
//! Invariants: of an unsigned body s3s sees chunks no longer than one read of the socket, whatever
//! the client's are; a signed chunk, which nobody may cut, has at most `SIGNED_BYTES_MAX`; a body
//! whose last chunk (of size 0) never came ends with an error, so it is not stored; s3s judges
//! signatures and trailers.

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http::header::HeaderValue;
use s3s::stream::{ByteStream, DynByteStream, RemainingLength};
use s3s::{Body, StdError};
use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The longest signed chunk: it waits in memory until its signature is known. Clients make them
/// of 64 or 128 KiB.
pub(crate) const SIGNED_BYTES_MAX: u64 = 1024 * 1024;

/// Digits of a size: s3s looks at 8 of a signed chunk's, which the limit above makes plenty.
const SIGNED_DIGITS_MAX: u32 = 8;
const UNSIGNED_DIGITS_MAX: u32 = 16;

/// How a body is sent, as its `x-amz-content-sha256` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// As it is.
    None,
    /// In chunks, each with a signature.
    Signed,
    /// In chunks without.
    Unsigned,
}

impl Chunks {
    /// How the body of a request is sent. s3s refuses hashes that nobody knows.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get("x-amz-content-sha256").map(HeaderValue::as_bytes) {
            Some(b"STREAMING-UNSIGNED-PAYLOAD-TRAILER") => Self::Unsigned,
            Some(hash) if hash.starts_with(b"STREAMING-") => Self::Signed,
            _ => Self::None,
        }
    }
}

/// The texts tell `body::body_error` what it is.
#[derive(Debug, thiserror::Error)]
enum ChunkError {
    #[error("TooLarge: a signed chunk has more than 1 MiB")]
    TooLarge,
    #[error("FormatError: the chunks are malformed")]
    Malformed,
    #[error("Incomplete: the body ended before its last chunk")]
    Incomplete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the hexadecimal digits of a size: how many there were, and what they say.
    Size { digits: u32, bytes: u64 },
    /// Behind them, before the line's end.
    Line(u64),
    /// In a chunk; so many bytes to go.
    Data(u64),
    /// Behind a chunk; so many bytes of its line end to go.
    End(u8),
    /// Behind the line of the last chunk.
    Past,
}

const START: State = State::Size { digits: 0, bytes: 0 };

impl State {
    /// Behind the line of a chunk of so many bytes.
    fn behind(bytes: u64) -> Self {
        if bytes == 0 { Self::Past } else { Self::Data(bytes) }
    }
}

/// Follows the framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Framing {
    is_signed: bool,
    state: State,
}

impl Framing {
    fn new(is_signed: bool) -> Self {
        Self { is_signed, state: START }
    }

    /// Takes a byte that is not data.
    fn take(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::Size { digits: 0, .. }, b';' | b'\r' | b'\n') => {
                return Err(ChunkError::Malformed);
            }
            (State::Size { bytes, .. }, b'\r') => State::Line(bytes),
            // Only signed chunks say more than their size.
            (State::Size { bytes, .. }, b';') if self.is_signed => State::Line(bytes),
            // Whether a bare line feed will do is s3s's to say.
            (State::Size { bytes, .. }, b'\n') if self.is_signed => State::behind(bytes),
            (State::Line(bytes), b'\n') => State::behind(bytes),
            (State::Line(bytes), _) if self.is_signed => State::Line(bytes),
            (State::Size { digits, bytes }, _) => self.with_digit(digits, bytes, byte)?,
            (State::End(2), b'\r') => State::End(1),
            (State::End(1), b'\n') => START,
            (State::Line(_) | State::End(_), _) => return Err(ChunkError::Malformed),
            (state @ (State::Data(_) | State::Past), _) => state,
        };
        Ok(())
    }

    fn with_digit(&self, digits: u32, bytes: u64, byte: u8) -> Result<State, ChunkError> {
        let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Malformed)?;
        let digits_max = if self.is_signed { SIGNED_DIGITS_MAX } else { UNSIGNED_DIGITS_MAX };
        // What 16 digits say fits.
        let bytes = (bytes << 4) | u64::from(digit);
        if self.is_signed && bytes > SIGNED_BYTES_MAX {
            return Err(ChunkError::TooLarge);
        }
        if digits == digits_max {
            return Err(ChunkError::Malformed);
        }
        Ok(State::Size { digits: digits + 1, bytes })
    }

    /// How many of these bytes are data of one chunk; they count as taken.
    fn take_data(&mut self, len: usize) -> usize {
        let State::Data(left) = self.state else { return 0 };
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(len);
        let left = left - taken as u64;
        self.state = if left == 0 { State::End(2) } else { State::Data(left) };
        taken
    }

    /// Follows a piece and gives what s3s is to read of it.
    fn follow(&mut self, piece: Bytes) -> Result<VecDeque<Bytes>, ChunkError> {
        let mut out = VecDeque::new();
        let mut rest = piece.clone();
        while !rest.is_empty() {
            if self.state == State::Past {
                if !self.is_signed {
                    out.push_back(mem::take(&mut rest));
                }
                break;
            }
            let data = rest.split_to(self.take_data(rest.len()));
            if !data.is_empty() && !self.is_signed {
                out.push_back(Bytes::from(format!("{:x}\r\n", data.len())));
                out.push_back(data);
                out.push_back(Bytes::from_static(b"\r\n"));
            } else if data.is_empty() {
                self.take(rest.split_to(1)[0])?;
                if self.state == State::Past && !self.is_signed {
                    out.push_back(Bytes::from_static(b"0\r\n"));
                }
            }
        }
        if self.is_signed {
            out.push_back(piece);
        }
        Ok(out)
    }
}

struct Guard {
    inner: Body,
    framing: Framing,
    ready: VecDeque<Bytes>,
}

/// The body with the guard around it.
pub(crate) fn guarded(body: Body, is_signed: bool) -> Body {
    let framing = Framing::new(is_signed);
    let stream: DynByteStream = Box::pin(Guard { inner: body, framing, ready: VecDeque::new() });
    Body::from(stream)
}

impl Stream for Guard {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            match std::task::ready!(Pin::new(&mut this.inner).poll_next(context)) {
                Some(Ok(bytes)) => match this.framing.follow(bytes) {
                    Ok(ready) => this.ready = ready,
                    Err(error) => return Poll::Ready(Some(Err(Box::new(error)))),
                },
                None if this.framing.state != State::Past => {
                    // Said once; then the stream has ended.
                    this.framing.state = State::Past;
                    return Poll::Ready(Some(Err(Box::new(ChunkError::Incomplete))));
                }
                other => return Poll::Ready(other),
            }
        }
    }
}

impl ByteStream for Guard {
    fn remaining_length(&self) -> RemainingLength {
        if self.framing.is_signed {
            self.inner.remaining_length()
        } else {
            RemainingLength::unknown()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    const SIGNED: &[u8] = b"10;chunk-signature=ab\r\n0123456789abcdef\r\n3;x\r\nx0\n\r\n";
    const UNSIGNED: &[u8] = b"10\r\n0123456789abcdef\r\n3\r\nx0\n\r\n0\r\na:b\r\n\r\n";

    fn followed(framing: &mut Framing, bytes: &[u8]) -> Result<Vec<u8>, ChunkError> {
        let out = framing.follow(Bytes::copy_from_slice(bytes))?;
        Ok(out.into_iter().flatten().collect())
    }

    fn error(is_signed: bool, bytes: &[u8]) -> String {
        followed(&mut Framing::new(is_signed), bytes).unwrap_err().to_string()
    }

    /// What an unsigned body says, and what follows its last chunk.
    fn decoded(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut data = Vec::new();
        loop {
            let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16);
            bytes = &bytes[end + 2..];
            match size.unwrap() {
                0 => return (data, bytes.to_vec()),
                size => {
                    data.extend_from_slice(&bytes[..size]);
                    bytes = bytes[size..].strip_prefix(b"\r\n").unwrap();
                }
            }
        }
    }

    #[test]
    fn signed_bodies_pass_unchanged_wherever_the_pieces_are_cut() {
        for cut in 0..=SIGNED.len() {
            let mut framing = Framing::new(true);
            let mut passed = followed(&mut framing, &SIGNED[..cut]).unwrap();
            passed.extend(followed(&mut framing, &SIGNED[cut..]).unwrap());
            assert_eq!((framing.state, &passed[..]), (START, SIGNED), "{cut}");
            followed(&mut framing, b"0;x=y\r\nt:1\r\n\r\n").unwrap();
            assert_eq!(framing.state, State::Past);
        }
    }

    #[test]
    fn unsigned_bodies_say_the_same_in_chunks_no_longer_than_their_pieces() {
        for cut in 0..=UNSIGNED.len() {
            let mut framing = Framing::new(false);
            let mut passed = followed(&mut framing, &UNSIGNED[..cut]).unwrap();
            passed.extend(followed(&mut framing, &UNSIGNED[cut..]).unwrap());
            let (data, trailers) = decoded(&passed);
            assert_eq!(data, b"0123456789abcdefx0\n", "{cut}");
            assert_eq!((framing.state, &trailers[..]), (State::Past, &b"a:b\r\n\r\n"[..]), "{cut}");
        }
        let mut framing = Framing::new(false);
        assert_eq!(followed(&mut framing, b"ffffffffff\r\nabc").unwrap(), b"3\r\nabc\r\n");
        assert_eq!(followed(&mut framing, b"d").unwrap(), b"1\r\nd\r\n");
    }

    #[test]
    fn large_signed_chunks_are_refused_as_soon_as_their_size_is_known() {
        assert!(followed(&mut Framing::new(true), b"100000\r\n").is_ok());
        for large in ["100001", "ffffffffffffffffffffffff", "1\r\nx\r\nfffffff;"] {
            assert!(error(true, large.as_bytes()).starts_with("TooLarge"), "{large}");
        }
    }

    #[test]
    fn what_s3s_would_read_as_something_else_is_refused() {
        assert!(followed(&mut Framing::new(true), b"00000004\r\n").is_ok());
        for malformed in ["zz", "4x\r\n", "-1\r\n", " 4\r\n", "\r\n", "\n", ";", "1\r\nxy"] {
            for is_signed in [true, false] {
                let text = error(is_signed, malformed.as_bytes());
                assert!(text.starts_with("FormatError"), "{malformed:?}");
            }
        }
        assert!(error(true, b"000000004\r\n").starts_with("FormatError"));
        for malformed in ["4;x\r\n", "4\rx", "4\n", "00000000000000004\r\n"] {
            assert!(error(false, malformed.as_bytes()).starts_with("FormatError"), "{malformed:?}");
        }
    }

    #[test]
    fn a_body_must_reach_its_last_chunk() {
        let whole = b"3\r\nabc\r\n0\r\n";
        for (cut, is_signed) in (0..=whole.len()).flat_map(|cut| [(cut, true), (cut, false)]) {
            let mut body = guarded(Body::from(whole[..cut].to_vec()), is_signed);
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

//! Responses of HTTP/1.1, parsed as they come, without copying their bodies.
//!
//! Invariants: nothing of a peer is trusted: heads, lines and trailers are bounded, lengths are
//! checked; bytes behind the end of a response are an error, for nothing was asked yet.

use thiserror::Error;

/// The most that a head may take.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers a head may have.
const HEADERS_MAX: usize = 64;
/// The most that the line with a chunk's size, or a trailer line, may take.
const LINE_BYTES_MAX: usize = 4096;
/// Entity tags longer than this are not kept.
const ETAG_BYTES_MAX: usize = 80;

/// Why a response cannot be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ResponseError {
    /// Not HTTP/1.1, or beyond the bounds.
    #[error("the response is not HTTP/1.1: {0}")]
    Malformed(&'static str),
    /// The connection ended before the response did.
    #[error("the connection was closed in the middle of a response")]
    Cut,
}

/// An entity tag, without its quotes.
#[derive(Clone, Copy)]
pub struct EntityTag {
    bytes: [u8; ETAG_BYTES_MAX],
    len: u8,
}

impl EntityTag {
    fn new(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\"").unwrap_or(text);
        let text = text.strip_suffix(b"\"").unwrap_or(text);
        let mut tag = Self { bytes: [0; ETAG_BYTES_MAX], len: 0 };
        if text.len() <= ETAG_BYTES_MAX {
            tag.bytes[..text.len()].copy_from_slice(text);
            tag.len = u8::try_from(text.len()).unwrap_or(0);
        }
        tag
    }

    /// Its characters; empty where the server sent none.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for EntityTag {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// What a response begins with.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes of the body, where the server said so before.
    pub content_length: Option<u64>,
    /// The entity tag.
    pub etag: EntityTag,
    /// Whether the connection may be used again.
    pub keeps_alive: bool,
}

impl Head {
    /// Whether the request was carried out.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Who gets a response piece by piece.
pub trait Sink {
    /// The head, once.
    fn head(&mut self, head: &Head);
    /// The next bytes of the body.
    fn body(&mut self, bytes: &[u8]);
}

const TOO_LONG: ResponseError = ResponseError::Malformed("its head or a line of it is too long");

/// Where the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Sized { left: u64 },
    UntilClosed,
    ChunkSize,
    Chunk { left: u64 },
    ChunkEnd,
    Trailer,
    Ended,
}

/// Parses one response after the other.
#[derive(Debug)]
pub struct ResponseParser {
    state: State,
    /// A head or line of which only a part has come.
    partial: Vec<u8>,
    is_head_request: bool,
    keeps_alive: bool,
}

impl Default for ResponseParser {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseParser {
    /// A parser that waits for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let partial = Vec::new();
        Self { state: State::Ended, partial, is_head_request: false, keeps_alive: true }
    }

    /// Waits for the response to a request. `is_head_request`: no body comes, whatever its length.
    pub fn begin(&mut self, is_head_request: bool) {
        self.state = State::Head;
        self.partial.clear();
        self.is_head_request = is_head_request;
    }

    /// Whether the whole response has come.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the connection may be used again, as the last head said.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// Takes bytes in. `true` once the response is whole.
    ///
    /// # Errors
    /// Where they are no response; the connection is of no use then.
    pub fn advance(
        &mut self,
        mut input: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, ResponseError> {
        while !input.is_empty() {
            input = match self.state {
                State::Head => self.take_head(input, sink)?,
                State::Sized { left } | State::Chunk { left } => self.take(input, left, sink),
                State::UntilClosed => {
                    sink.body(input);
                    &[]
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.take_line(input)?,
                State::Ended => {
                    return Err(ResponseError::Malformed("bytes behind its end"));
                }
            };
        }
        Ok(self.is_ended())
    }

    /// The peer sends nothing more. `Ok` where that is a proper end.
    ///
    /// # Errors
    /// `Cut` in the middle of a response.
    pub fn closed(&mut self) -> Result<(), ResponseError> {
        match self.state {
            State::UntilClosed | State::Ended => {
                self.state = State::Ended;
                Ok(())
            }
            _ => Err(ResponseError::Cut),
        }
    }

    fn take_head<'a>(
        &mut self,
        input: &'a [u8],
        sink: &mut impl Sink,
    ) -> Result<&'a [u8], ResponseError> {
        if self.partial.is_empty() {
            // All of it has come at once, as nearly always.
            return match self.parse_head(input, sink)? {
                Some(used) => Ok(&input[used..]),
                None => self.keep(input, HEAD_BYTES_MAX),
            };
        }
        // What follows the head may be long: no more of it is kept than a head may take.
        let before = self.partial.len();
        let taken = input.len().min(HEAD_BYTES_MAX.saturating_sub(before));
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(&input[..taken]);
        match self.parse_head(&partial, sink)? {
            Some(used) => Ok(&input[used - before..]),
            None if taken < input.len() => Err(TOO_LONG),
            None => {
                self.partial = partial;
                Ok(&[])
            }
        }
    }

    fn keep<'a>(&mut self, input: &[u8], bytes_max: usize) -> Result<&'a [u8], ResponseError> {
        if self.partial.len() + input.len() > bytes_max {
            return Err(TOO_LONG);
        }
        self.partial.extend_from_slice(input);
        Ok(&[])
    }

    /// Parses a head; gives its length, or `None` where more must come.
    fn parse_head(
        &mut self,
        input: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let used = match response.parse(input) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(ResponseError::Malformed("its head cannot be parsed")),
        };
        let status = response.code.unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            // The real one follows.
            return Ok(Some(used));
        }
        let mut head = Head {
            status,
            content_length: None,
            etag: EntityTag::new(b""),
            keeps_alive: response.version == Some(1),
        };
        let is_chunked = read_headers(response.headers, &mut head)?;
        self.keeps_alive = head.keeps_alive;
        let has_body = !(self.is_head_request || status == 204 || status == 304);
        self.state = match (has_body, is_chunked, head.content_length) {
            (false, _, _) | (true, false, Some(0)) => State::Ended,
            (true, true, _) => State::ChunkSize,
            (true, false, Some(left)) => State::Sized { left },
            (true, false, None) => State::UntilClosed,
        };
        if self.state == State::UntilClosed {
            self.keeps_alive = false;
        }
        sink.head(&head);
        Ok(Some(used))
    }

    fn take<'a>(&mut self, input: &'a [u8], left: u64, sink: &mut impl Sink) -> &'a [u8] {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (body, rest) = input.split_at(now);
        sink.body(body);
        let left = left - now as u64;
        self.state = match (self.state, left) {
            (State::Chunk { .. }, 0) => State::ChunkEnd,
            (State::Chunk { .. }, left) => State::Chunk { left },
            (_, 0) => State::Ended,
            (_, left) => State::Sized { left },
        };
        rest
    }

    fn take_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], ResponseError> {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return self.keep(input, LINE_BYTES_MAX);
        };
        self.keep(&input[..end], LINE_BYTES_MAX)?;
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        self.state = match self.state {
            State::ChunkSize => match chunk_bytes(line)? {
                0 => State::Trailer,
                left => State::Chunk { left },
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err(ResponseError::Malformed("a chunk is too long")),
            _ if line.is_empty() => State::Ended,
            state => state,
        };
        self.partial.clear();
        Ok(&input[end + 1..])
    }
}

/// Fills a head from its headers; whether the body comes in chunks.
fn read_headers(headers: &[httparse::Header<'_>], head: &mut Head) -> Result<bool, ResponseError> {
    let mut is_chunked = false;
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).ok();
            let length = text.and_then(|text| text.trim().parse::<u64>().ok());
            head.content_length =
                Some(length.ok_or(ResponseError::Malformed("its length is no number"))?);
        } else if header.name.eq_ignore_ascii_case("etag") {
            head.etag = EntityTag::new(header.value);
        } else if header.name.eq_ignore_ascii_case("connection") {
            if header.value.eq_ignore_ascii_case(b"close") {
                head.keeps_alive = false;
            } else if header.value.eq_ignore_ascii_case(b"keep-alive") {
                head.keeps_alive = true;
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = header.value.eq_ignore_ascii_case(b"chunked");
            if !is_chunked {
                return Err(ResponseError::Malformed("its transfer encoding is not 'chunked'"));
            }
        }
    }
    Ok(is_chunked)
}

/// The size of a chunk; what follows a semicolon is an extension.
fn chunk_bytes(line: &[u8]) -> Result<u64, ResponseError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
    let text = std::str::from_utf8(digits).unwrap_or("").trim();
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parsed = if is_plain { u64::from_str_radix(text, 16).ok() } else { None };
    parsed.ok_or(ResponseError::Malformed("a chunk's size is no number"))
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;

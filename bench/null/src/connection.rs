//! One connection, without I/O: bytes come in, answers are to be sent.

use crate::frame::{FRAME_BYTES, Frame};
use crate::server::{Answers, Protocol};

/// The most that a head may take.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most headers a head may have.
const HEADERS_MAX: usize = 64;

/// What is sent next: bytes of a head, then bytes of the object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Which head.
    pub(crate) kind: Kind,
    /// How much of head and object went out.
    pub(crate) sent: u64,
}

/// Which answer it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The object with its head.
    #[default]
    Object,
    /// The object's head alone.
    ObjectHead,
    /// An entity tag and nothing else.
    Stored,
    /// Nothing, for deletes.
    Empty,
    /// An empty listing.
    Listing,
    /// A frame of as many bytes as were asked for.
    Frame {
        /// Its head.
        head: [u8; FRAME_BYTES],
        /// Bytes behind it.
        body_bytes: u64,
    },
}

/// Where a connection is.
#[derive(Debug)]
pub(crate) struct Connection {
    protocol: Protocol,
    head: Vec<u8>,
    /// Bytes of a body still to come, and what is answered once they have.
    body: Option<(u64, Kind)>,
    pub(crate) answer: Option<Answer>,
}

/// A request that is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Connection {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self { protocol, head: Vec::new(), body: None, answer: None }
    }

    /// Takes what was received. The client does not ask again before it has its answer.
    pub(crate) fn take(&mut self, mut input: &[u8]) -> Result<(), Unreadable> {
        while !input.is_empty() {
            if self.answer.is_some() {
                return Err(Unreadable);
            }
            input = match self.body {
                Some((left, kind)) => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    self.expect_body(left - now as u64, kind);
                    &input[now..]
                }
                None => match self.protocol {
                    Protocol::Http => self.take_head(input)?,
                    Protocol::Frames => self.take_frame(input)?,
                },
            };
        }
        Ok(())
    }

    fn expect_body(&mut self, left: u64, kind: Kind) {
        self.body = (left > 0).then_some((left, kind));
        if left == 0 {
            self.answer = Some(Answer { kind, sent: 0 });
        }
    }

    fn take_head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Unreadable> {
        let before = self.head.len();
        if before == 0 {
            // All of it has come at once, as nearly always.
            if let Some((used, kind, length)) = parsed(input)? {
                self.expect_body(length, kind);
                return Ok(&input[used..]);
            }
        }
        // What follows the head may be long: no more of it is kept than a head may take.
        let taken = input.len().min(HEAD_BYTES_MAX - before);
        self.head.extend_from_slice(&input[..taken]);
        let Some((used, kind, length)) = parsed(&self.head)? else {
            return if taken < input.len() { Err(Unreadable) } else { Ok(&[]) };
        };
        self.head.clear();
        self.expect_body(length, kind);
        Ok(&input[used - before..])
    }

    fn take_frame<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Unreadable> {
        let taken = input.len().min(FRAME_BYTES - self.head.len());
        self.head.extend_from_slice(&input[..taken]);
        let Some(head) = self.head.first_chunk::<FRAME_BYTES>() else { return Ok(&[]) };
        let asked = Frame::decode(head).ok_or(Unreadable)?;
        self.head.clear();
        let head = Frame { body_bytes: asked.answer_bytes, answer_bytes: 0 }.encode();
        let kind = Kind::Frame { head, body_bytes: asked.answer_bytes };
        self.expect_body(asked.body_bytes, kind);
        Ok(&input[taken..])
    }
}

/// The length of a head, what is answered, and how long the body is.
fn parsed(input: &[u8]) -> Result<Option<(usize, Kind, u64)>, Unreadable> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let used = match request.parse(input) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Unreadable),
    };
    let path = request.path.unwrap_or("/");
    // A bucket has no second slash; its GET is a listing.
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_object = path[1..].split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let kind = match request.method {
        Some("GET") if is_object && query.is_empty() => Kind::Object,
        Some("GET") => Kind::Listing,
        Some("HEAD") if is_object => Kind::ObjectHead,
        Some("PUT" | "HEAD") => Kind::Stored,
        Some("DELETE") => Kind::Empty,
        _ => return Err(Unreadable),
    };
    let length =
        request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        None => 0,
        Some(header) => {
            let text = std::str::from_utf8(header.value).map_err(|_| Unreadable)?;
            text.trim().parse().map_err(|_| Unreadable)?
        }
    };
    Ok(Some((used, kind, length)))
}

impl Answer {
    /// What goes out next: some of the head, or some of the object. Empty: all did.
    pub(crate) fn rest<'a>(&'a self, answers: &'a Answers) -> &'a [u8] {
        let head = answers.head(&self.kind);
        let head_bytes = head.len() as u64;
        if self.sent < head_bytes {
            return &head[self.sent as usize..];
        }
        let left = answers.total(&self.kind) - self.sent;
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(answers.object.len());
        &answers.object[..now]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /bucket/key HTTP/1.1\r\nHost: x\r\n\r\n";
    const PUT: &[u8] = b"PUT /bucket/key HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn a_request_split_anywhere_has_the_same_answer() {
        for (text, kind) in [(GET, Kind::Object), (PUT, Kind::Stored)] {
            for split in 0..text.len() {
                let mut connection = Connection::new(Protocol::Http);
                connection.take(&text[..split]).unwrap();
                assert_eq!(connection.answer, None, "before its end");
                connection.take(&text[split..]).unwrap();
                assert_eq!(connection.answer, Some(Answer { kind, sent: 0 }));
            }
        }
    }

    #[test]
    fn what_is_asked_decides() {
        for (line, kind) in [
            ("GET /b/k", Kind::Object),
            ("GET /b/k/l", Kind::Object),
            ("GET /b", Kind::Listing),
            ("GET /b/", Kind::Listing),
            ("GET /b?list-type=2", Kind::Listing),
            ("HEAD /b/k", Kind::ObjectHead),
            ("HEAD /b", Kind::Stored),
            ("PUT /b", Kind::Stored),
            ("DELETE /b/k", Kind::Empty),
        ] {
            let mut connection = Connection::new(Protocol::Http);
            connection.take(format!("{line} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(connection.answer, Some(Answer { kind, sent: 0 }), "{line}");
        }
    }

    #[test]
    fn a_frame_split_anywhere_has_its_answer() {
        let asked = Frame { body_bytes: 5, answer_bytes: 9 };
        let text = [asked.encode().as_slice(), b"hello"].concat();
        let head = Frame { body_bytes: 9, answer_bytes: 0 }.encode();
        let answer = Answer { kind: Kind::Frame { head, body_bytes: 9 }, sent: 0 };
        for split in 0..text.len() {
            let mut connection = Connection::new(Protocol::Frames);
            connection.take(&text[..split]).unwrap();
            assert_eq!(connection.answer, None, "before its end");
            connection.take(&text[split..]).unwrap();
            assert_eq!(connection.answer, Some(answer));
        }
        let mut connection = Connection::new(Protocol::Frames);
        assert_eq!(connection.take(&GET[..FRAME_BYTES]), Err(Unreadable));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let long = [b"GET /".as_slice(), &vec![b'a'; HEAD_BYTES_MAX]].concat();
        for text in [
            b"nonsense\r\n\r\n".as_slice(),
            b"PATCH /b/k HTTP/1.1\r\n\r\n",
            b"PUT /b/k HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET /b/k HTTP/1.1\r\n\r\nGET /b/k HTTP/1.1\r\n\r\n",
            &long,
        ] {
            assert_eq!(Connection::new(Protocol::Http).take(text), Err(Unreadable));
        }
    }
}

//! What is asked of an endpoint beside the load: whether the bucket is there and empty, and what
//! is in it at the end. One request at a time.

use crate::clock;
use crate::error::RunError;
use bench_client::request::{encode_base64, encode_query};
use bench_client::{
    Client, Endpoint, ExchangeError, Handler, Head, Lane, Method, Request, Signing,
};
use md5::{Digest, Md5};
use std::time::Duration;

/// No answer may be longer.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// No request may take longer.
const TIMEOUT_NS: u64 = 60_000_000_000;
const TURN: Duration = Duration::from_millis(100);

/// A client that waits for each answer.
pub(crate) struct Admin {
    client: Client,
    endpoint: String,
    bucket: String,
}

/// A request's body, and an answer as a whole.
#[derive(Debug, Default)]
struct Answer {
    text_out: Vec<u8>,
    status: u16,
    body: Vec<u8>,
    outcome: Option<Result<(), ExchangeError>>,
}

impl Handler for Answer {
    fn fill(&mut self, _: Lane, offset: u64, out: &mut [u8]) {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        out.copy_from_slice(&self.text_out[begin..begin + out.len()]);
    }
    fn connected(&mut self, _: Lane) {}
    fn head(&mut self, _: Lane, head: &Head) {
        self.status = head.status;
    }
    fn body(&mut self, _: Lane, bytes: &[u8]) {
        let room = ANSWER_BYTES_MAX.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    fn ended(&mut self, _: Lane, outcome: Result<(), ExchangeError>) {
        self.outcome = Some(outcome);
    }
}

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Names, in order.
    pub(crate) names: Vec<Vec<u8>>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<Vec<u8>>,
}

impl Admin {
    /// **Runs on** the thread that will use it.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring.
    pub(crate) fn new(endpoint: &Endpoint, bucket: &str) -> Result<Self, RunError> {
        let client = Client::new(endpoint.clone(), 1, clock::unix_seconds())?;
        Ok(Self { client, endpoint: endpoint.host.clone(), bucket: bucket.to_owned() })
    }

    fn ask(&mut self, method: Method, path: &str, query: &[u8]) -> Result<Answer, RunError> {
        self.carry_out(
            &Request {
                method,
                path: path.as_bytes(),
                query,
                headers: &[],
                payload_bytes: None,
                signing: Signing::Unsigned,
                payload_sha256: None,
            },
            Vec::new(),
        )
    }

    fn carry_out(&mut self, request: &Request<'_>, text: Vec<u8>) -> Result<Answer, RunError> {
        self.client.set_time(clock::unix_seconds());
        let mut answer = Answer { text_out: text, ..Answer::default() };
        let begin_ns = clock::now_ns();
        // The end of a connection that was idle is known only to who asks for it.
        self.client.turn(Some(Duration::ZERO), &mut answer)?;
        while !self.client.is_free(Lane(0)) {
            self.client.turn(Some(TURN), &mut answer)?;
        }
        self.client.start(Lane(0), request, &mut answer);
        while answer.outcome.is_none() || !self.client.is_free(Lane(0)) {
            self.client.turn(Some(TURN), &mut answer)?;
            if clock::now_ns() - begin_ns > TIMEOUT_NS {
                self.client.abort(Lane(0), &mut answer);
            }
        }
        match answer.outcome.take() {
            Some(Err(error)) => {
                Err(RunError::Unreachable { endpoint: self.endpoint.clone(), error })
            }
            _ => Ok(answer),
        }
    }

    fn refused(&self, what: &'static str, answer: &Answer) -> RunError {
        let text = crate::s3::tag_of(&answer.body, "Code").unwrap_or_default();
        let code = match text.is_empty() {
            true => answer.status.to_string(),
            false => format!("{} {}", answer.status, String::from_utf8_lossy(text)),
        };
        RunError::Refused { what, bucket: self.bucket.clone(), status: answer.status, code }
    }

    /// Makes the bucket where it is missing; gives whether it did.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses.
    pub(crate) fn make_bucket(&mut self) -> Result<bool, RunError> {
        let path = format!("/{}", self.bucket);
        let there = self.ask(Method::Head, &path, b"")?;
        match there.status {
            200..300 => return Ok(false),
            404 => {}
            _ => return Err(self.refused("look at", &there)),
        }
        let made = self.ask(Method::Put, &path, b"")?;
        if (200..300).contains(&made.status) { Ok(true) } else { Err(self.refused("make", &made)) }
    }

    /// One page of the names under a prefix.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses.
    pub(crate) fn list(
        &mut self,
        prefix: &[u8],
        start_after: &[u8],
        names_max: u32,
    ) -> Result<Page, RunError> {
        let mut query = format!("list-type=2&max-keys={names_max}&prefix=").into_bytes();
        encode_query(prefix, &mut query);
        if !start_after.is_empty() {
            query.extend_from_slice(b"&start-after=");
            encode_query(start_after, &mut query);
        }
        let path = format!("/{}", self.bucket);
        let answer = self.ask(Method::Get, &path, &query)?;
        if !(200..300).contains(&answer.status) {
            return Err(self.refused("list", &answer));
        }
        Ok(page_of(&answer.body))
    }

    /// Deletes objects of these names, a thousand at most.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses, be it one of them.
    pub(crate) fn delete_all(&mut self, names: &[&[u8]]) -> Result<(), RunError> {
        let mut text = Vec::new();
        let mut sum = Vec::new();
        crate::s3::write_multi_delete(names.iter().copied(), &mut text);
        encode_base64(&Md5::digest(&text), &mut sum);
        let path = format!("/{}", self.bucket);
        let request = Request {
            method: Method::Post,
            path: path.as_bytes(),
            query: b"delete=",
            headers: &[("content-md5", &sum)],
            payload_bytes: Some(text.len() as u64),
            signing: Signing::Signed,
            payload_sha256: None,
        };
        let answer = self.carry_out(&request, text)?;
        let failed = crate::s3::tag_of(&answer.body, "Code").is_some();
        if failed || !(200..300).contains(&answer.status) {
            return Err(self.refused("delete from", &answer));
        }
        Ok(())
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses.
    pub(crate) fn delete_bucket(&mut self) -> Result<(), RunError> {
        let path = format!("/{}", self.bucket);
        let answer = self.ask(Method::Delete, &path, b"")?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(self.refused("delete", &answer))
    }

    /// A text under a path that needs no signature, as metrics are.
    pub(crate) fn text(&mut self, path: &str) -> Option<String> {
        let answer = self.ask(Method::Get, path, b"").ok()?;
        (answer.status == 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// Names are those of `Key` elements. The list is truncated where it says so; the next page begins
/// behind its last name.
fn page_of(text: &[u8]) -> Page {
    let mut page = Page::default();
    let mut rest = text;
    while let Some(name) = crate::s3::tag_of(rest, "Key") {
        let end = name.as_ptr() as usize - rest.as_ptr() as usize + name.len();
        page.names.push(unescaped(name));
        rest = &rest[end..];
    }
    let is_truncated = crate::s3::tag_of(text, "IsTruncated") == Some(b"true");
    page.next = page.names.last().filter(|_| is_truncated).cloned();
    page
}

/// The five entities of XML, and characters by number.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let Some((entity, after)) = behind.split_once(';') else {
            out.push('&');
            rest = behind;
            continue;
        };
        let number = match entity.strip_prefix('#') {
            Some(digits) => match digits.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => digits.parse().ok(),
            },
            None => None,
        };
        let character = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => number.and_then(char::from_u32),
        };
        match character {
            Some(character) => out.push(character),
            None => out.push_str(&format!("&{entity};")),
        }
        rest = after;
    }
    out.push_str(rest);
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn a_connection_that_ended_while_idle_is_no_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ended, end) = std::sync::mpsc::channel();
        let server = shards_executor::start_thread_on("server", &[], move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                drop(stream);
                ended.send(()).unwrap();
            }
        })
        .unwrap();
        let host = address.to_string();
        let endpoint = Endpoint { address, host, tls: None, credentials: None };
        let Ok(mut admin) = Admin::new(&endpoint, "bucket") else {
            eprintln!("untested: io_uring is refused here");
            return;
        };
        for _ in 0..2 {
            let answer = admin.ask(Method::Head, "/bucket", b"").unwrap();
            assert_eq!(answer.status, 200);
            // Nobody looks at the connection while it ends.
            end.recv().unwrap();
        }
        server.join().unwrap();
    }

    #[test]
    fn a_page_is_read_from_its_xml() {
        let text = b"<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a&amp;b</Key>\
            <Size>1</Size></Contents><Contents><Key>c&#x2F;d&#10;</Key></Contents></ListBucketResult>";
        let names = vec![b"a&b".to_vec(), b"c/d\n".to_vec()];
        assert_eq!(page_of(text), Page { next: names.last().cloned(), names });
        assert_eq!(page_of(b"<ListBucketResult></ListBucketResult>"), Page::default());
    }

    #[test]
    fn what_is_no_entity_stays() {
        assert_eq!(unescaped(b"&&nope;x&amp"), b"&&nope;x&amp");
        assert_eq!(unescaped(b"&lt;&gt;&quot;&apos;"), b"<>\"'");
    }
}

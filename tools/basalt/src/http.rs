//! A GET over plain HTTP/1.1 on a blocking socket: all that the client commands need.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES: u64 = 64 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body, without the framing.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The endpoint is not `http://HOST[:PORT]`.
    #[error("`{0}` is not an endpoint; write http://HOST:PORT (TLS is not supported yet)")]
    Endpoint(String),
    /// No connection, or it broke.
    #[error("{endpoint} cannot be reached: {source}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// What came is not HTTP.
    #[error("{0} does not answer in HTTP/1.1")]
    NotHttp(String),
}

/// Host and port of `http://HOST[:PORT][/]`. IPv6 literals stand in brackets.
fn authority(endpoint: &str) -> Option<(&str, u16)> {
    let rest = endpoint.strip_prefix("http://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() || rest.contains(['/', '@', '?', '#', ' ', '\r', '\n']) {
        return None;
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (rest, 80),
    };
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host, port))
}

/// Asks for `path` at the endpoint.
pub fn get(endpoint: &str, path: &str) -> Result<Answer, HttpError> {
    let (host, port) =
        authority(endpoint).ok_or_else(|| HttpError::Endpoint(endpoint.to_owned()))?;
    let unreachable =
        |source: io::Error| HttpError::Unreachable { endpoint: endpoint.to_owned(), source };
    let mut stream = connect(host, port).map_err(unreachable)?;
    let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {shown}:{port}\r\nUser-Agent: basalt/{}\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n",
        crate::version::VERSION
    );
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut bytes).map_err(unreachable)?;
    parse(&bytes).ok_or_else(|| HttpError::NotHttp(endpoint.to_owned()))
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ');
    if !first.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = first.next()?.parse().ok()?;
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        }
    }
    let body = match length {
        _ if chunked => unchunk(body)?,
        Some(length) => body.get(..length)?.to_vec(),
        None => body.to_vec(),
    };
    Some(Answer { status, body })
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        let size = line.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        let rest = &bytes[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        bytes = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn endpoints() {
        assert_eq!(authority("http://127.0.0.1:9000"), Some(("127.0.0.1", 9000)));
        assert_eq!(authority("http://[::1]:9000/"), Some(("::1", 9000)));
        assert_eq!(authority("http://[::1]"), Some(("::1", 80)));
        assert_eq!(authority("http://host"), Some(("host", 80)));
        let wrong =
            ["https://host", "host:9000", "http://", "http://:80", "http://a:b", "http://::1:1"];
        for wrong in wrong.into_iter().chain(["http://a/b", "http://u@a", "http://a:99999"]) {
            assert_eq!(authority(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bodies_by_length_by_chunks_and_to_the_end() {
        let answer = |body: &[u8]| Some(Answer { status: 200, body: body.to_vec() });
        let head = "HTTP/1.1 200 OK\r\n";
        let length = format!("{head}Content-Length: 2\r\n\r\nabc");
        assert_eq!(parse(length.as_bytes()), answer(b"ab"));
        let chunks = format!(
            "{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
        );
        assert_eq!(parse(chunks.as_bytes()), answer(b"abc0123456789"));
        let end = format!("{head}\r\nabc");
        assert_eq!(parse(end.as_bytes()), answer(b"abc"));
    }

    #[test]
    fn broken_answers_are_refused_without_a_panic() {
        let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let needed = whole.len() - "\r\n".len();
        for cut in 0..needed {
            assert_eq!(parse(&whole.as_bytes()[..cut]), None, "{cut}");
        }
        for wrong in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn asks_a_real_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0u8; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let server = std::thread::Builder::new().spawn(serve).unwrap();
        let answer = get(&endpoint, "/-/status").unwrap();
        assert_eq!(answer, Answer { status: 404, body: b"x".to_vec() });
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /-/status HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        assert!(matches!(get(&endpoint, "/"), Err(HttpError::Unreachable { .. })));
    }
}

//! GET and POST over plain HTTP/1.1 on a blocking socket: all that the client commands need.
//!
//! Invariant: credentials go to loopback addresses only, because nothing here is encrypted.

use crate::secret::Secret;
use gateway_core::encoding::base64;
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

/// A POST of JSON with credentials.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    /// Where to.
    pub path: &'a str,
    /// The user.
    pub user: &'a str,
    /// The user's password.
    pub password: &'a Secret,
    /// JSON.
    pub body: &'a str,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// Which addresses may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Any,
    Loopback,
}

/// Asks for `path` at the endpoint.
pub fn get(endpoint: &str, path: &str) -> Result<Answer, HttpError> {
    exchange(endpoint, (Reach::Any, TIMEOUT), |host| {
        format!("GET {path} HTTP/1.1\r\n{}\r\n", common_headers(host))
    })
}

/// Posts to the endpoint, which must be an address of this machine's loopback.
pub fn post(endpoint: &str, post: &Post<'_>) -> Result<Answer, HttpError> {
    exchange(endpoint, (Reach::Loopback, post.timeout), |host| {
        let token = base64(format!("{}:{}", post.user, post.password.expose()).as_bytes());
        format!(
            "POST {} HTTP/1.1\r\n{}Authorization: Basic {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
            post.path,
            common_headers(host),
            post.body.len(),
            post.body
        )
    })
}

fn common_headers(host: &str) -> String {
    format!(
        "Host: {host}\r\nUser-Agent: basalt/{}\r\nAccept: application/json\r\n\
         Connection: close\r\n",
        crate::version::VERSION
    )
}

/// Sends what `request` makes of the host's name, and reads the answer.
fn exchange(
    endpoint: &str,
    (reach, timeout): (Reach, Duration),
    request: impl FnOnce(&str) -> String,
) -> Result<Answer, HttpError> {
    let (host, port) =
        authority(endpoint).ok_or_else(|| HttpError::Endpoint(endpoint.to_owned()))?;
    let unreachable =
        |source: io::Error| HttpError::Unreachable { endpoint: endpoint.to_owned(), source };
    let mut stream = connect(host, port, reach).map_err(unreachable)?;
    stream.set_read_timeout(Some(timeout)).map_err(unreachable)?;
    let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = request(&format!("{shown}:{port}"));
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut bytes).map_err(unreachable)?;
    parse(&bytes).ok_or_else(|| HttpError::NotHttp(endpoint.to_owned()))
}

fn connect(host: &str, port: u16, reach: Reach) -> io::Result<TcpStream> {
    let mut last = match reach {
        Reach::Any => io::Error::other("the name has no address"),
        Reach::Loopback => io::Error::other(
            "it is not on this machine's loopback, and credentials go nowhere else",
        ),
    };
    for address in (host, port).to_socket_addrs()? {
        if reach == Reach::Loopback && !address.ip().to_canonical().is_loopback() {
            continue;
        }
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_write_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads a whole answer; `None`: it is none, or is cut off.
pub fn parse(bytes: &[u8]) -> Option<Answer> {
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

    /// Answers one connection with 404 and `x`; gives what was asked.
    fn serve_once() -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0u8; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        (endpoint, std::thread::Builder::new().spawn(serve).unwrap())
    }

    #[test]
    fn asks_a_real_socket() {
        let (endpoint, server) = serve_once();
        let answer = get(&endpoint, "/-/status").unwrap();
        assert_eq!(answer, Answer { status: 404, body: b"x".to_vec() });
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /-/status HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        assert!(request.ends_with("Connection: close\r\n\r\n"), "{request}");
        assert!(matches!(get(&endpoint, "/"), Err(HttpError::Unreachable { .. })));
    }

    #[test]
    fn posts_credentials_to_the_loopback_only() {
        let password = Secret::new("hunter2-hunter2".to_owned());
        let sent =
            Post { path: "/x", user: "admin", password: &password, body: "{}", timeout: TIMEOUT };
        let (endpoint, server) = serve_once();
        assert_eq!(post(&endpoint, &sent).unwrap().status, 404);
        let request = server.join().unwrap();
        assert!(request.starts_with("POST /x HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        // `printf admin:hunter2-hunter2 | base64`
        let header = "\r\nAuthorization: Basic YWRtaW46aHVudGVyMi1odW50ZXIy\r\n";
        assert!(request.contains(header), "{request}");
        assert!(request.ends_with("\r\nContent-Length: 2\r\n\r\n{}"), "{request}");
        let refused = post("http://192.0.2.1:9", &sent).unwrap_err().to_string();
        assert!(refused.contains("loopback"), "{refused}");
        assert!(!format!("{sent:?}").contains("hunter2"), "Debug shows the secret");
    }
}

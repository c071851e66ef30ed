//! The server over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use bytes::Bytes;
use futures_channel::oneshot;
use gateway_http::{Handler, HttpConfig, Listening, ServeError, serve};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What no socket takes without a reader.
const LARGE_BYTES: usize = 64 << 20;

/// Answers the length of the body; `/slow` waits first; `/large` answers more than sockets take.
struct Lengths;

impl Handler for Lengths {
    type Body = Full<Bytes>;

    async fn call(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        assert!(peer.ip().is_loopback());
        if request.uri().path() == "/slow" {
            monoio::time::sleep(Duration::from_millis(300)).await;
        }
        if request.uri().path() == "/large" {
            return Response::new(Full::new(Bytes::from(vec![b'x'; LARGE_BYTES])));
        }
        let body = request.into_body().collect().await.map(|body| body.to_bytes());
        let length = body.map_or(0, |body| body.len());
        Response::new(Full::new(Bytes::from(format!("length {length}"))))
    }
}

fn config() -> HttpConfig {
    HttpConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        connections_max: 4,
        header_timeout: Duration::from_millis(400),
        drain_timeout: Duration::from_secs(5),
        ..HttpConfig::default()
    }
}

/// Runs `client` against a server, which is shut down when it returns; whether it drained.
fn with_server(config: &HttpConfig, client: impl FnOnce(SocketAddr, oneshot::Sender<()>)) -> bool {
    let (listening_in, listening_out) = mpsc::channel();
    let (stop_in, stop_out) = oneshot::channel();
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let told = move |listening: Listening| listening_in.send(listening).unwrap();
            let stopped = async move {
                // A dropped sender is a shutdown too.
                let _ = stop_out.await;
            };
            serve(config, told, || Lengths, stopped).unwrap()
        });
        let listening = listening_out.recv().unwrap();
        client(listening.addresses[0], stop_in);
        server.join().unwrap()
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Reads until `end` was seen or the peer closed.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0_u8; 4096];
    while !text.contains(end) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => text.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
        }
    }
    text
}

/// The peer closes without an answer, and before the read's timeout.
fn assert_closes(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert_eq!(String::from_utf8(rest).unwrap(), ""),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn requests_share_a_connection() {
    let drained = with_server(&config(), |address, _stop| {
        let mut stream = connect(address);
        stream.write_all(b"PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc").unwrap();
        let first = read_until(&mut stream, "length 3");
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
        let large = vec![b'x'; 1 << 20];
        let head = format!("PUT /b HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", large.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&large).unwrap();
        let second = read_until(&mut stream, "length 1048576");
        assert!(second.contains("length 1048576"), "{second}");
    });
    assert!(drained);
}

#[test]
fn long_heads_are_refused_and_slow_ones_are_dropped() {
    with_server(&config(), |address, _stop| {
        let mut stream = connect(address);
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(70_000));
        stream.write_all(head.as_bytes()).unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
        assert_closes(&mut stream);
    });
}

#[test]
fn between_requests_a_connection_has_its_own_time() {
    let config = HttpConfig { idle_timeout: Duration::from_millis(1200), ..config() };
    with_server(&config, |address, _stop| {
        let mut stream = connect(address);
        for _ in 0..2 {
            // Longer than a head may take.
            thread::sleep(Duration::from_millis(700));
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            let answer = read_until(&mut stream, "length 0");
            assert!(answer.contains("200 OK"), "{answer}");
        }
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
        assert_closes(&mut stream);
        assert_closes(&mut connect(address));
    });
}

#[test]
fn connections_above_the_limit_are_told_so() {
    let config = HttpConfig { connections_max: 1, ..config() };
    with_server(&config, |address, _stop| {
        let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut first = connect(address);
        first.write_all(request).unwrap();
        assert!(read_until(&mut first, "length 0").contains("200 OK"));
        let mut second = connect(address);
        second.write_all(request).unwrap();
        let answer = read_until(&mut second, "</Error>");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("<Code>SlowDown</Code>"), "{answer}");
    });
}

#[test]
fn a_request_under_way_is_answered_at_a_shutdown() {
    let drained = with_server(&config(), |address, stop| {
        let mut stream = connect(address);
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(100));
        stop.send(()).unwrap();
        let answer = read_until(&mut stream, "length 0");
        assert!(answer.contains("200 OK") && answer.ends_with("length 0"), "{answer}");
        assert_closes(&mut stream);
    });
    assert!(drained);
}

#[test]
fn a_request_that_outlives_the_drain_is_dropped() {
    let config = HttpConfig { drain_timeout: Duration::from_millis(20), ..config() };
    let drained = with_server(&config, |address, stop| {
        let mut stream = connect(address);
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(100));
        stop.send(()).unwrap();
        assert_closes(&mut stream);
    });
    assert!(!drained);
}

/// Asks for the large answer, looks away for a second, and says how much came.
fn taken_late(config: &HttpConfig) -> usize {
    let mut taken = 0;
    with_server(config, |address, _stop| {
        let mut stream = connect(address);
        stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        thread::sleep(Duration::from_secs(1));
        assert!(config.open.load(Ordering::SeqCst) <= 1);
        let mut buffer = vec![0; 1 << 20];
        while taken < LARGE_BYTES {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => taken += count,
            }
        }
    });
    assert_eq!(config.open.load(Ordering::SeqCst), 0, "all connections were counted off");
    taken
}

#[test]
fn a_client_that_does_not_take_its_answer_is_dropped() {
    assert!(taken_late(&config()) >= LARGE_BYTES, "a second is not too long");
    let hasty = HttpConfig { write_timeout: Duration::from_millis(100), ..config() };
    assert!(taken_late(&hasty) < LARGE_BYTES);
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    let address = "192.0.2.1:9000".parse().unwrap();
    let config = HttpConfig { listen: vec![address], ..HttpConfig::default() };
    let error = serve(&config, |_| panic!("listens"), || Lengths, async {}).unwrap_err();
    assert!(matches!(&error, ServeError::Bind { address: named, .. } if *named == address));
    assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:9000: "), "{error}");
    let none = serve(&HttpConfig::default(), |_| {}, || Lengths, async {}).unwrap_err();
    assert!(matches!(none, ServeError::NoAddress));
}

//! What the tests of clients against servers share.

use bench_client::client::{Client, ExchangeError, Handler};
use bench_client::{Head, Lane, Method, Request, Signing};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// An answer that leaves its connection open.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// What a client told.
#[derive(Default)]
pub struct Told {
    pub connected: usize,
    pub statuses: Vec<u16>,
    pub body: Vec<u8>,
    pub ended: Vec<Result<(), ExchangeError>>,
}

impl Handler for Told {
    fn fill(&mut self, _: Lane, offset: u64, out: &mut [u8]) {
        for (byte, at) in out.iter_mut().zip(offset..) {
            *byte = (at % 251) as u8;
        }
    }
    fn connected(&mut self, _: Lane) {
        self.connected += 1;
    }
    fn head(&mut self, _: Lane, head: &Head) {
        self.statuses.push(head.status);
    }
    fn body(&mut self, _: Lane, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
    fn ended(&mut self, _: Lane, outcome: Result<(), ExchangeError>) {
        self.ended.push(outcome);
    }
}

/// What a client sends as the body of so many bytes.
pub fn payload(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

pub const GET: Request<'static> = Request {
    method: Method::Get,
    path: b"/bucket/key",
    query: b"",
    headers: &[],
    payload_bytes: None,
    signing: Signing::Unsigned,
    payload_sha256: None,
};

pub fn put(bytes: u64) -> Request<'static> {
    Request { method: Method::Put, payload_bytes: Some(bytes), ..GET }
}

/// Runs a client beside a server that gets the listener.
pub fn beside<R: Send>(
    server: impl FnOnce(TcpListener) -> R + Send,
    client: impl FnOnce(SocketAddr) -> Client,
    work: impl FnOnce(&mut Client, &mut Told),
) -> (R, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::scope(|scope| {
        let served = scope.spawn(move || server(listener));
        let mut told = Told::default();
        let mut client = client(address);
        work(&mut client, &mut told);
        drop(client);
        (served.join().expect("the server lives"), told)
    })
}

/// One request, until it has ended and its lane is free again.
pub fn ask(client: &mut Client, told: &mut Told, request: &Request<'_>) {
    let before = told.ended.len();
    client.start(Lane(0), request, told);
    while told.ended.len() == before || !client.is_free(Lane(0)) {
        client.turn(Some(Duration::from_millis(100)), told).expect("the ring works");
    }
}

/// Reads a request: its head, and as many bytes as it says.
pub fn request_of(connection: &mut impl Read) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        if connection.read(&mut byte).unwrap_or(0) == 0 {
            return None;
        }
        all.push(byte[0]);
    }
    let head = String::from_utf8(all).expect("text");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    connection.read_exact(&mut body).ok()?;
    Some(body)
}

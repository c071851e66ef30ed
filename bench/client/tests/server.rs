//! A client against servers that behave, and that do not.

use bench_client::client::{Client, Endpoint, ExchangeError, Handler};
use bench_client::{Head, Lane, Method, Request, Signing};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// What a client told.
#[derive(Default)]
struct Told {
    connected: usize,
    statuses: Vec<u16>,
    body: Vec<u8>,
    ended: Vec<Result<(), ExchangeError>>,
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

const GET: Request<'static> = Request {
    method: Method::Get,
    path: b"/bucket/key",
    query: b"",
    headers: &[],
    payload_bytes: None,
    signing: Signing::Unsigned,
    payload_sha256: None,
};

fn put(bytes: u64) -> Request<'static> {
    Request { method: Method::Put, payload_bytes: Some(bytes), ..GET }
}

fn client(address: SocketAddr) -> Client {
    let endpoint = Endpoint { address, host: address.to_string(), credentials: None };
    Client::new(endpoint, 2, 1_369_353_600).expect("a ring")
}

/// Runs a client beside a server that gets the listener.
fn beside<R: Send>(
    server: impl FnOnce(TcpListener) -> R + Send,
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
fn ask(client: &mut Client, told: &mut Told, request: &Request<'_>) {
    let before = told.ended.len();
    client.start(Lane(0), request, told);
    while told.ended.len() == before || !client.is_free(Lane(0)) {
        client.turn(Some(Duration::from_millis(100)), told).expect("the ring works");
    }
}

/// Reads a request: its head, and as many bytes as it says.
fn request_of(connection: &mut TcpStream) -> Option<Vec<u8>> {
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

#[test]
fn requests_follow_each_other_on_one_connection() {
    let (bodies, told) = beside(
        |listener| {
            let (mut connection, _) = listener.accept().unwrap();
            let mut bodies = Vec::new();
            while let Some(body) = request_of(&mut connection) {
                bodies.push(body);
                // In pieces that end anywhere.
                for piece in ANSWER.chunks(7) {
                    connection.write_all(piece).unwrap();
                }
            }
            bodies
        },
        |client, told| {
            for request in [GET, put(4096), put(1_000_000), GET] {
                ask(client, told, &request);
            }
        },
    );
    assert!(told.ended.iter().all(Result::is_ok), "{:?}", told.ended);
    assert_eq!((told.connected, told.statuses), (1, vec![200; 4]));
    assert_eq!(told.body, b"hello".repeat(4));
    let expected = |bytes: u64| (0..bytes).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    assert!(bodies == [vec![], expected(4096), expected(1_000_000), vec![]]);
}

#[test]
fn a_connection_ended_while_idle_is_made_again() {
    let (bodies, told) = beside(
        |listener| {
            let mut bodies = Vec::new();
            for _ in 0..3 {
                let (mut connection, _) = listener.accept().unwrap();
                bodies.push(request_of(&mut connection).unwrap());
                connection.write_all(ANSWER).unwrap();
            }
            bodies
        },
        |client, told| {
            for _ in 0..3 {
                ask(client, told, &put(300_000));
                // Until it has heard of the end.
                while client.is_connected(Lane(0)) {
                    client.turn(Some(Duration::from_millis(10)), told).unwrap();
                }
            }
        },
    );
    assert!(told.ended.iter().all(Result::is_ok), "{:?}", told.ended);
    assert_eq!(told.connected, 3);
    assert!(bodies.iter().all(|body| body.len() == 300_000));
}

#[test]
fn nothing_is_sent_twice() {
    let (count, told) = beside(
        |listener| {
            let (mut first, _) = listener.accept().unwrap();
            request_of(&mut first).unwrap();
            first.write_all(ANSWER).unwrap();
            // The second request is taken and never answered.
            request_of(&mut first).unwrap();
            drop(first);
            listener.set_nonblocking(true).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            usize::from(listener.accept().is_ok())
        },
        |client, told| (0..2).for_each(|_| ask(client, told, &put(10))),
    );
    assert_eq!(count, 0, "no other connection was made for it");
    assert!(told.ended[0].is_ok() && told.ended[1].is_err(), "{:?}", told.ended);
}

#[test]
fn an_answer_that_comes_before_the_body_went_ends_the_connection() {
    let ((), told) = beside(
        |listener| {
            for _ in 0..2 {
                let (mut connection, _) = listener.accept().unwrap();
                let mut begin = [0; 1000];
                connection.read_exact(&mut begin).unwrap();
                connection
                    .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
                // It takes the rest, so that the answer is not lost to a reset.
                _ = connection.read_to_end(&mut Vec::new());
            }
        },
        |client, told| (0..2).for_each(|_| ask(client, told, &put(64 << 20))),
    );
    assert_eq!((told.connected, told.statuses), (2, vec![403; 2]));
}

#[test]
fn what_breaks_is_told() {
    let answers: [&[u8]; 3] =
        [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"no HTTP\r\n"];
    let ((), told) = beside(
        |listener| {
            for answer in answers {
                let (mut connection, _) = listener.accept().unwrap();
                request_of(&mut connection).unwrap();
                connection.write_all(answer).unwrap();
            }
        },
        |client, told| (0..3).for_each(|_| ask(client, told, &GET)),
    );
    let codes: Vec<_> = told.ended.iter().map(|end| end.as_ref().unwrap_err().code()).collect();
    assert_eq!(codes, ["cut", "cut", "malformed"]);
}

#[test]
fn nobody_there_is_an_error_and_no_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (mut client, mut told) = (client(address), Told::default());
    for _ in 0..2 {
        ask(&mut client, &mut told, &GET);
    }
    assert!(told.ended.iter().all(|end| matches!(end, Err(ExchangeError::Connect(_)))));
}

#[test]
fn a_request_can_be_given_up() {
    let ((), told) = beside(
        |listener| {
            let (mut first, _) = listener.accept().unwrap();
            request_of(&mut first).unwrap();
            // Says nothing, until the client has given up.
            assert_eq!(first.read(&mut [0]).unwrap_or(0), 0);
            let (mut second, _) = listener.accept().unwrap();
            request_of(&mut second).unwrap();
            second.write_all(ANSWER).unwrap();
        },
        |client, told| {
            client.start(Lane(0), &GET, told);
            for _ in 0..5 {
                client.turn(Some(Duration::from_millis(10)), told).unwrap();
            }
            client.abort(Lane(0), told);
            while !client.is_free(Lane(0)) {
                client.turn(Some(Duration::from_millis(100)), told).unwrap();
            }
            ask(client, told, &GET);
        },
    );
    assert!(matches!(told.ended[0], Err(ExchangeError::TimedOut)), "{:?}", told.ended);
    assert!(told.ended[1].is_ok());
}

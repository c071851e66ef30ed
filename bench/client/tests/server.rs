//! A client against servers that behave, and that do not.

mod common;

use bench_client::Lane;
use bench_client::client::{Client, Endpoint, ExchangeError};
use common::{ANSWER, GET, Told, ask, payload, put, request_of};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

fn client(address: SocketAddr) -> Client {
    let endpoint = Endpoint { address, host: address.to_string(), tls: None, credentials: None };
    Client::new(endpoint, 2, 1_369_353_600).expect("a ring")
}

/// Runs a client beside a server that gets the listener.
fn beside<R: Send>(
    server: impl FnOnce(TcpListener) -> R + Send,
    work: impl FnOnce(&mut Client, &mut Told),
) -> (R, Told) {
    common::beside(server, client, work)
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
    assert!(bodies == [vec![], payload(4096), payload(1_000_000), vec![]]);
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

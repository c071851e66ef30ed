//! A client that speaks TLS, against servers that do, that do it otherwise, and that do not.
//!
//! `tls/` has a server's certificate for localhost and 127.0.0.1, valid from 2020 to 2100, its key,
//! and the authority that signed it, whose own key is not kept. They guard nothing.

mod common;

use bench_client::client::{Client, Endpoint};
use bench_client::{Lane, Tls, Trust};
use common::{ANSWER, GET, Told, ask, beside, payload, put, request_of};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, HandshakeKind, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const AUTHORITY: &str = include_str!("tls/authority.pem");
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server-key.pem");
const TRUSTED: Trust<'static> = Trust::Authorities(Some(AUTHORITY));

/// The server's end of a connection.
type Sealed = StreamOwned<ServerConnection, TcpStream>;

fn config(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let certificate =
        CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("the version is known")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("the key is the certificate's"))
}

fn accept(listener: &TcpListener, config: &Arc<ServerConfig>) -> Sealed {
    let (stream, _) = listener.accept().expect("a client");
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).expect("a session"), stream)
}

/// Says properly that nothing more will come.
fn say_goodbye(connection: &mut Sealed) {
    connection.conn.send_close_notify();
    connection.flush().expect("the client is there");
}

/// A client that asks for a server of this name, wherever it is.
fn client(name: &str, trust: Trust<'_>) -> impl FnOnce(SocketAddr) -> Client {
    let tls = Tls::new(name, trust).expect("somebody is trusted");
    let host = name.to_owned();
    move |address: SocketAddr| {
        let endpoint = Endpoint { address, host, tls: Some(tls), credentials: None };
        Client::new(endpoint, 2, 1_369_353_600).expect("a ring")
    }
}

/// Turns for a while, or until the connection has ended.
fn wait(client: &mut Client, told: &mut Told) {
    for _ in 0..50 {
        if !client.is_connected(Lane(0)) {
            return;
        }
        client.turn(Some(Duration::from_millis(10)), told).expect("the ring works");
    }
}

/// How a request ends that cannot be carried out: its code and what is said.
fn failure(
    server: impl FnOnce(TcpListener) + Send,
    name: &str,
    trust: Trust<'_>,
) -> (Told, String) {
    let ((), told) = beside(server, client(name, trust), |client, told| ask(client, told, &GET));
    let error = told.ended[0].as_ref().expect_err("it fails");
    let said = format!("{}: {error}", error.code());
    (told, said)
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    for (name, version) in [("localhost", &TLS13), ("127.0.0.1", &TLS12)] {
        let (bodies, told) = beside(
            |listener| {
                let mut connection = accept(&listener, &config(version));
                let mut bodies = Vec::new();
                while let Some(body) = request_of(&mut connection) {
                    bodies.push(body);
                    // In records that end anywhere.
                    for piece in ANSWER.chunks(7) {
                        connection.write_all(piece).unwrap();
                    }
                }
                bodies
            },
            client(name, TRUSTED),
            |client, told| {
                for request in [GET, put(4096), put(1_000_000), put(0), GET] {
                    ask(client, told, &request);
                }
            },
        );
        assert!(told.ended.iter().all(Result::is_ok), "{name}: {:?}", told.ended);
        assert_eq!((told.connected, told.statuses), (1, vec![200; 5]));
        assert_eq!(told.body, b"hello".repeat(5));
        assert!(bodies == [vec![], payload(4096), payload(1_000_000), vec![], vec![]]);
    }
}

#[test]
fn a_long_answer_comes_whole() {
    let (_, told) = beside(
        |listener| {
            let mut connection = accept(&listener, &config(&TLS13));
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n";
            while request_of(&mut connection).is_some() {
                connection.write_all(head).unwrap();
                connection.write_all(&payload(3_000_000)).unwrap();
            }
        },
        client("localhost", TRUSTED),
        |client, told| (0..2).for_each(|_| ask(client, told, &GET)),
    );
    assert!(told.ended.iter().all(Result::is_ok), "{:?}", told.ended);
    assert!(told.connected == 1 && told.body == payload(3_000_000).repeat(2));
}

#[test]
fn a_session_is_resumed_on_the_next_connection() {
    let (kinds, told) = beside(
        |listener| {
            let config = config(&TLS13);
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut connection = accept(&listener, &config);
                request_of(&mut connection).unwrap();
                kinds.push(connection.conn.handshake_kind());
                connection.write_all(ANSWER).unwrap();
                say_goodbye(&mut connection);
            }
            kinds
        },
        client("localhost", TRUSTED),
        |client, told| {
            for _ in 0..2 {
                ask(client, told, &GET);
                wait(client, told);
            }
        },
    );
    assert!(told.ended.iter().all(Result::is_ok), "{:?}", told.ended);
    assert_eq!(told.connected, 2);
    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused() {
    let server = |listener: TcpListener| {
        let error = accept(&listener, &config(&TLS13)).read(&mut [0]).unwrap_err();
        let told = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let expected = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(told, Some(&expected), "the server is told why");
    };
    // A certificate that has signed nothing, as the only one beside the machine's own.
    let (told, said) = failure(server, "localhost", Trust::Authorities(Some(CERTIFICATE)));
    assert!(said.starts_with("tls: ") && said.contains("not trusted"), "{said}");
    assert_eq!(told.connected, 0);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let server = |listener: TcpListener| {
        assert!(request_of(&mut accept(&listener, &config(&TLS13))).is_none());
    };
    let (told, said) = failure(server, "example.org", TRUSTED);
    assert!(said.starts_with("tls: ") && said.contains("not for example.org"), "{said}");
    assert!(said.contains("localhost, 127.0.0.1"), "{said}");
    assert_eq!(told.connected, 0);
}

#[test]
fn without_checks_any_certificate_will_do() {
    for version in [&TLS12, &TLS13] {
        let (_, told) = beside(
            |listener| {
                let mut connection = accept(&listener, &config(version));
                request_of(&mut connection).unwrap();
                connection.write_all(ANSWER).unwrap();
            },
            client("example.org", Trust::Anybody),
            |client, told| ask(client, told, &GET),
        );
        assert!(told.ended[0].is_ok(), "{:?}", told.ended);
    }
}

#[test]
fn a_server_without_tls_is_named_so() {
    let server = |listener: TcpListener| {
        let (mut connection, _) = listener.accept().unwrap();
        connection.read_exact(&mut [0; 100]).unwrap();
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        _ = connection.read_to_end(&mut Vec::new());
    };
    let (_, said) = failure(server, "localhost", TRUSTED);
    assert!(said.starts_with("tls: ") && said.contains("no TLS"), "{said}");
    let server = |listener: TcpListener| {
        let (mut connection, _) = listener.accept().unwrap();
        connection.read_exact(&mut [0; 100]).unwrap();
    };
    let (told, said) = failure(server, "localhost", TRUSTED);
    assert!(said.starts_with("connect: "), "{said}");
    assert_eq!(told.connected, 0);
}

#[test]
fn what_tls_says_while_idle_is_no_answer() {
    let (_, told) = beside(
        |listener| {
            let mut connection = accept(&listener, &config(&TLS13));
            for _ in 0..2 {
                request_of(&mut connection).unwrap();
                connection.write_all(ANSWER).unwrap();
                std::thread::sleep(Duration::from_millis(50));
                // It wants new keys of the client too.
                connection.conn.refresh_traffic_keys().unwrap();
                connection.flush().unwrap();
            }
            request_of(&mut connection).unwrap();
            connection.write_all(ANSWER).unwrap();
        },
        client("localhost", TRUSTED),
        |client, told| {
            for _ in 0..2 {
                ask(client, told, &put(100_000));
                wait(client, told);
                assert!(client.is_connected(Lane(0)), "new keys end nothing");
            }
            ask(client, told, &put(100_000));
        },
    );
    assert!(told.ended.iter().all(Result::is_ok), "{:?}", told.ended);
    assert_eq!((told.connected, told.statuses), (1, vec![200; 3]));
}

#[test]
fn an_answer_nobody_asked_for_ends_the_connection() {
    let (_, told) = beside(
        |listener| {
            let config = config(&TLS13);
            for answers in [2, 1] {
                let mut connection = accept(&listener, &config);
                request_of(&mut connection).unwrap();
                for _ in 0..answers {
                    connection.write_all(ANSWER).unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        },
        client("localhost", TRUSTED),
        |client, told| {
            ask(client, told, &GET);
            wait(client, told);
            assert!(!client.is_connected(Lane(0)));
            ask(client, told, &GET);
        },
    );
    assert!(told.ended.iter().all(Result::is_ok), "{:?}", told.ended);
    assert_eq!((told.connected, told.statuses), (2, vec![200; 2]));
}

#[test]
fn only_what_the_server_ends_itself_is_whole() {
    let cut: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
    let unsized_answer: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nhello";
    // The answer, and whether its end is announced.
    let answers = [
        (ANSWER, false),
        (ANSWER, true),
        (cut, true),
        (cut, false),
        (unsized_answer, true),
        (unsized_answer, false),
    ];
    let (_, told) = beside(
        |listener| {
            let config = config(&TLS13);
            for (answer, is_announced) in answers {
                let mut connection = accept(&listener, &config);
                request_of(&mut connection).unwrap();
                connection.write_all(answer).unwrap();
                if is_announced {
                    say_goodbye(&mut connection);
                }
            }
        },
        client("localhost", TRUSTED),
        |client, told| {
            for _ in answers {
                ask(client, told, &GET);
                wait(client, told);
            }
        },
    );
    let codes = told.ended.iter().map(|end| end.as_ref().map_or_else(|error| error.code(), |_| ""));
    assert_eq!(codes.collect::<Vec<_>>(), ["", "", "cut", "cut", "", "cut"]);
    assert_eq!(told.connected, 6);
}

#[test]
fn the_server_is_told_that_it_is_over() {
    let (end, told) = beside(
        |listener| {
            let mut connection = accept(&listener, &config(&TLS13));
            request_of(&mut connection).unwrap();
            connection.write_all(ANSWER).unwrap();
            connection.read(&mut [0]).map_err(|error| error.to_string())
        },
        client("localhost", TRUSTED),
        |client, told| ask(client, told, &GET),
    );
    assert!(told.ended[0].is_ok());
    assert_eq!(end, Ok(0));
}

#[test]
fn an_answer_that_comes_before_the_body_went_ends_the_connection() {
    let (_, told) = beside(
        |listener| {
            let config = config(&TLS13);
            for _ in 0..2 {
                let mut connection = accept(&listener, &config);
                connection.read_exact(&mut [0; 1000]).unwrap();
                connection
                    .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
                // It takes the rest, so that the answer is not lost to a reset.
                _ = connection.sock.read_to_end(&mut Vec::new());
            }
        },
        client("localhost", TRUSTED),
        |client, told| (0..2).for_each(|_| ask(client, told, &put(64 << 20))),
    );
    assert_eq!((told.connected, told.statuses), (2, vec![403; 2]));
}

#[test]
fn a_handshake_can_be_given_up() {
    let (_, told) = beside(
        |listener| {
            let (mut silent, _) = listener.accept().unwrap();
            _ = silent.read_to_end(&mut Vec::new());
            let mut connection = accept(&listener, &config(&TLS13));
            request_of(&mut connection).unwrap();
            connection.write_all(ANSWER).unwrap();
        },
        client("localhost", TRUSTED),
        |client, told| {
            client.start(Lane(0), &put(10), told);
            for _ in 0..5 {
                client.turn(Some(Duration::from_millis(10)), told).unwrap();
            }
            client.abort(Lane(0), told);
            while !client.is_free(Lane(0)) {
                client.turn(Some(Duration::from_millis(100)), told).unwrap();
            }
            ask(client, told, &put(10));
        },
    );
    assert_eq!(told.ended[0].as_ref().unwrap_err().code(), "timeout");
    assert!(told.ended[1].is_ok() && told.connected == 1, "{:?}", told.ended);
}

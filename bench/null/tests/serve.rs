//! Over a real socket.

use bench_null::{FRAME_BYTES, Frame, NullServer, Options, Protocol};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const OBJECT_BYTES: u64 = 3_000_000;

/// Serves while the client works, and stops.
fn serving(protocol: Protocol, object_bytes: u64, client: impl FnOnce(SocketAddr)) {
    let address = "127.0.0.1:0".parse().expect("an address");
    let options = Options { address, protocol, object_bytes, requests_per_second: None };
    let server = NullServer::bind(&options).expect("a port");
    let address = server.address().expect("it is bound");
    let stopper = server.stopper();
    std::thread::scope(|scope| {
        let served = scope.spawn(move || server.run());
        client(address);
        stopper.wake().expect("it runs");
        served.join().expect("no panic").expect("it served");
    });
}

#[test]
fn it_answers_from_memory_until_it_is_stopped() {
    serving(Protocol::Http, OBJECT_BYTES, |address| {
        let mut stream = TcpStream::connect(address).unwrap();
        for _ in 0..3 {
            stream.write_all(b"PUT /b/k HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n").unwrap();
            stream.write_all(&vec![1; 1_000_000]).unwrap();
            assert!(head_of(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
            stream.write_all(b"HEAD /b/k HTTP/1.1\r\n\r\n").unwrap();
            assert!(head_of(&mut stream).contains("Content-Length: 3000000\r\n"));
            stream.write_all(b"GET /b/k HTTP/1.1\r\n\r\n").unwrap();
            head_of(&mut stream);
            let mut object = vec![0; OBJECT_BYTES as usize];
            stream.read_exact(&mut object).unwrap();
            stream.write_all(b"DELETE /b/k HTTP/1.1\r\n\r\n").unwrap();
            assert!(head_of(&mut stream).starts_with("HTTP/1.1 204 "));
        }
        let mut other = TcpStream::connect(address).unwrap();
        other.write_all(b"nonsense\r\n\r\n").unwrap();
        assert_eq!(other.read(&mut [0; 10]).unwrap_or(0), 0, "what cannot be read is ended");
    });
}

#[test]
fn frames_have_answers_as_long_as_they_ask() {
    serving(Protocol::Frames, 0, |address| {
        let mut stream = TcpStream::connect(address).unwrap();
        for (body_bytes, answer_bytes) in [(0, 0), (1_000_000, 0), (0, 3_000_000), (7, 9)] {
            stream.write_all(&Frame { body_bytes, answer_bytes }.encode()).unwrap();
            stream.write_all(&vec![1; body_bytes as usize]).unwrap();
            let mut head = [0; FRAME_BYTES];
            stream.read_exact(&mut head).unwrap();
            let answer = Frame { body_bytes: answer_bytes, answer_bytes: 0 };
            assert_eq!(Frame::decode(&head), Some(answer));
            stream.read_exact(&mut vec![0; answer_bytes as usize]).unwrap();
        }
        stream.write_all(&[b'x'; FRAME_BYTES]).unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0, "what is no frame is ended");
    });
}

fn head_of(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "the answer is whole");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

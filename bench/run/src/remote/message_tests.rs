//! Messages come back as they were; everything else is refused.

use super::*;
use bench_model::{Generation, MismatchKind};

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn mismatches() -> Vec<Mismatch> {
    let (one, two) = (Generation(3), Generation(5));
    let kinds = [
        MismatchKind::Stale { found: one, oldest: two },
        MismatchKind::NeverWritten { found: two, newest: one },
        MismatchKind::Torn { generation: None, other: None },
        MismatchKind::Torn { generation: Some(one), other: None },
        MismatchKind::Torn { generation: Some(one), other: Some(two) },
        MismatchKind::Misdirected { found_key: 7, found_offset: 4096 },
        MismatchKind::WrongLength { written_bytes: 1, answered_bytes: 0 },
        MismatchKind::Foreign { run: None },
        MismatchKind::Foreign { run: Some(0) },
    ];
    kinds.into_iter().map(|kind| Mismatch { key: 9, offset: 8192, kind }).collect()
}

fn all() -> Vec<Message> {
    let order = |stage, arrivals| {
        Message::Order(TimedMessage { stage, arrivals, number: 3, begin_ns: 5, end_ns: u64::MAX })
    };
    vec![
        Message::Hello {
            cpus: 4,
            has_secret: true,
            nonce: [1; 32],
            commit: "0123456789ab".to_owned(),
        },
        Message::Greeting { nonce: [2; 32], proof: [3; 32], commit: "unknown".to_owned() },
        Message::Welcome { proof: [4; 32] },
        Message::Refused { problem: "busy".to_owned() },
        Message::Start(StartMessage {
            run_id: "run-1".to_owned(),
            settings: "keys = \"5\"\n".to_owned(),
            authorities: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            first_thread: 2,
            threads: 2,
            unix_ms: 7,
        }),
        Message::Ready,
        Message::Ping { number: 3 },
        Message::Pong { number: 3, now_ns: 9 },
        order(Stage::Prepare, Arrivals::Closed),
        order(Stage::Load, Arrivals::OfSettings),
        order(Stage::Load, Arrivals::Constant(2.5)),
        order(Stage::Sweep, Arrivals::Poisson(1e6)),
        Message::Interval { thread: 1, part: Part::Phase, interval: Interval::new(0, 5) },
        Message::Interval { thread: 1, part: Part::Drain, interval: Interval::default() },
        Message::Ended { thread: 1, outcome: Ok(mismatches()) },
        Message::Ended { thread: 1, outcome: Err("io_uring is refused here".to_owned()) },
        Message::Stop,
        Message::Alive,
    ]
}

#[test]
fn messages_come_back() {
    for message in all() {
        assert_eq!(Message::decode(&encoded(&message)).unwrap(), message);
    }
}

#[test]
fn cut_and_prolonged_messages_are_refused() {
    for message in all() {
        let mut bytes = encoded(&message);
        for length in 0..bytes.len() {
            assert!(Message::decode(&bytes[..length]).is_err(), "{message:?} cut at {length}");
        }
        bytes.push(0);
        assert!(Message::decode(&bytes).is_err(), "{message:?} goes on");
    }
    assert!(Message::decode(&vec![0; MESSAGE_BYTES_MAX + 1]).is_err());
}

#[test]
fn values_that_cannot_be_are_refused() {
    let order = |arrivals, begin_ns| {
        let stage = Stage::Load;
        encoded(&Message::Order(TimedMessage { stage, arrivals, number: 0, begin_ns, end_ns: 5 }))
    };
    for bytes in [
        order(Arrivals::Constant(f64::NAN), 0),
        order(Arrivals::Poisson(-1.0), 0),
        order(Arrivals::Poisson(2e9), 0),
        order(Arrivals::Closed, 6),
    ] {
        assert!(Message::decode(&bytes).is_err());
    }
}

#[test]
fn another_version_is_named() {
    let mut bytes = encoded(&all()[0]);
    bytes[5] = 77;
    let message = Message::decode(&bytes).unwrap_err().to_string();
    assert!(message.contains("speaks version 77, this build version 2"), "{message}");
}

#[test]
fn authorities_have_a_bound() {
    let start = |bytes: usize| StartMessage {
        run_id: String::new(),
        settings: String::new(),
        authorities: "x".repeat(bytes),
        first_thread: 0,
        threads: 1,
        unix_ms: 0,
    };
    let longest = Message::Start(start(AUTHORITIES_BYTES_MAX));
    let mut bytes = encoded(&longest);
    assert_eq!(Message::decode(&bytes).unwrap(), longest);
    assert_eq!(encoded(&Message::Start(start(AUTHORITIES_BYTES_MAX + 1))), bytes, "it is cut");
    // Kind, and two texts of nothing.
    let length = u32::try_from(AUTHORITIES_BYTES_MAX + 1).unwrap();
    bytes[5..9].copy_from_slice(&length.to_le_bytes());
    bytes.push(b'x');
    let message = Message::decode(&bytes).unwrap_err().to_string();
    assert!(message.contains("authorities"), "{message}");
}

#[test]
fn a_text_too_long_is_cut_between_characters() {
    let long = Message::Refused { problem: "\u{e4}".repeat(TEXT_BYTES_MAX) };
    let Message::Refused { problem } = Message::decode(&encoded(&long)).unwrap() else {
        panic!("another kind");
    };
    assert_eq!(problem.len(), TEXT_BYTES_MAX - 1);
}

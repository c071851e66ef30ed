//! What conductor and workers of `basalt bench` say to each other, intervals included.
//!
//! Rule: a message that was read is the same when it is written and read again.

use crate::Decoder;
use crate::seal::round_trips;
use bench_model::{Generation, Mismatch, MismatchKind};
use bench_run::{Arrivals, Message, Part, Stage, StartMessage, TimedMessage};
use bench_stats::{LatencyKind, Operation, Recorder, SizeClass};

pub(crate) const BENCH_MESSAGE: Decoder = Decoder {
    name: "bench_message",
    check: message,
    samples,
    words: &["BSBW", "BSI1", "keys = ", "SlowDown"],
    rounds: 8_000,
};

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn message(input: &[u8]) -> bool {
    round_trips(input, Message::decode, encoded)
}

fn samples() -> Vec<Vec<u8>> {
    let mut recorder = Recorder::new(0);
    for latency_ns in [5, 1_000, 1_000_000] {
        let class = SizeClass::UpTo4KiB;
        recorder.record(Operation::Get, class, LatencyKind::Response, latency_ns);
        recorder.count(Operation::Get, class, 4_096);
    }
    recorder.count_error(Operation::Put, SizeClass::Any, "SlowDown");
    let interval = recorder.take_interval(1_000_000_000);
    let torn = MismatchKind::Torn { generation: Some(Generation(1)), other: None };
    let foreign = MismatchKind::Foreign { run: Some(9) };
    let wrong = [torn, foreign].map(|kind| Mismatch { key: 7, offset: 4096, kind });
    let commit = "0123456789ab".to_owned();
    let messages = [
        Message::Hello { cpus: 4, has_secret: true, nonce: [7; 32], commit: commit.clone() },
        Message::Greeting { nonce: [7; 32], proof: [8; 32], commit },
        Message::Welcome { proof: [9; 32] },
        Message::Refused { problem: "it is busy".to_owned() },
        Message::Start(StartMessage {
            run_id: "bench-1".to_owned(),
            settings: "keys = \"500\"\n".to_owned(),
            authorities: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            first_thread: 2,
            threads: 2,
            unix_ms: 1_790_000_000_000,
        }),
        Message::Ready,
        Message::Ping { number: 1 },
        Message::Pong { number: 1, now_ns: 12_345 },
        Message::Order(TimedMessage {
            stage: Stage::Load,
            arrivals: Arrivals::Poisson(300.0),
            number: 2,
            begin_ns: 10,
            end_ns: 20,
        }),
        Message::Interval { thread: 1, part: Part::Phase, interval },
        Message::Ended { thread: 1, outcome: Ok(wrong.to_vec()) },
        Message::Ended { thread: 1, outcome: Err("io_uring is refused here".to_owned()) },
        Message::Stop,
        Message::Alive,
    ];
    messages.iter().map(encoded).collect()
}

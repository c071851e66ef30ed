//! What the load generator takes from files and sockets: an interval, an interval log, a summary, a
//! hardware profile, the head of a frame.
//!
//! Rules: what was accepted is accepted again, with the same values, when it is written; a log's
//! intervals survive the way to another machine.

use crate::Decoder;
use crate::seal::{choosing, chosen, round_trips};
use bench_null::{BODY_BYTES_MAX, FRAME_BYTES, Frame};
use bench_stats::{
    ClientFacts, Detail, HlogWriter, Interval, LatencyKind, Limits, Load, Operation, Recorder,
    RunFacts, SizeClass, StatsError, Summary, read_intervals,
};
use hw_profile::{PRESETS, Profile};
use std::path::Path;

pub(crate) const BENCH: Decoder = Decoder {
    name: "bench",
    check: bench,
    samples,
    words: &[
        "#[StartTime: 1764500000.000 (seconds since epoch)]\n",
        "Tag=get.response,",
        "1.000,1.000,",
        "\"schema\": 1",
        "\"verdict\"",
        "null",
        "1e308",
        "[[class]]\n",
        "[machine]\n",
        "[[source]]\n",
        "model = \"\"\n",
        "schema = 1\n",
    ],
    rounds: 6_000,
};

/// Profiles among the samples: the largest are slow to mutate and say nothing new.
const SAMPLE_BYTES_MAX: usize = 6_000;

fn bench(input: &[u8]) -> bool {
    match chosen(input, 5) {
        Some((0, bytes)) => round_trips(bytes, Interval::decode, encoded),
        Some((1, bytes)) => log(bytes),
        Some((2, bytes)) => summary(bytes),
        Some((3, bytes)) => profile(bytes),
        Some((_, bytes)) => frame(bytes),
        None => false,
    }
}

fn encoded(interval: &Interval) -> Vec<u8> {
    let mut bytes = Vec::new();
    interval.encode(&mut bytes);
    bytes
}

fn log(bytes: &[u8]) -> bool {
    let Ok(intervals) = read_intervals(bytes) else { return false };
    for interval in &intervals {
        assert!(round_trips(&encoded(interval), Interval::decode, encoded));
    }
    !intervals.is_empty()
}

fn summary(bytes: &[u8]) -> bool {
    round_trips(bytes, Summary::from_json, |summary| {
        let text = summary.to_json();
        text.unwrap_or_else(|error| panic!("what was read is not written: {error}")).into_bytes()
    })
}

fn frame(bytes: &[u8]) -> bool {
    let Ok(head) = <&[u8; FRAME_BYTES]>::try_from(bytes) else { return false };
    let Some(frame) = Frame::decode(head) else { return false };
    assert_eq!(frame.encode(), *head);
    assert!(frame.body_bytes.max(frame.answer_bytes) <= BODY_BYTES_MAX);
    true
}

fn profile(bytes: &[u8]) -> bool {
    let name = Path::new("profile.toml");
    let parsed = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Profile::parse(name, text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let Ok(found) = parsed(bytes) else { return false };
    match found.to_toml() {
        Ok(text) => assert_eq!(parsed(text.as_bytes()), Ok(found)),
        Err(error) => panic!("what was read is not written: {error}"),
    }
    true
}

fn sample_interval() -> Interval {
    let mut recorder = Recorder::new(0);
    for step in 1..40_u64 {
        let class = SizeClass::of(4_096);
        recorder.record(Operation::Get, class, LatencyKind::Response, step * 17_000);
        recorder.count(Operation::Get, class, 4_096);
    }
    recorder.count_error(Operation::Put, SizeClass::of(1 << 20), "SlowDown");
    recorder.take_interval(1_000_000_000)
}

fn sample_log(interval: &Interval) -> Result<Vec<u8>, StatsError> {
    let mut writer = HlogWriter::new(Vec::new(), 1_764_500_000_000, Detail::SizeClasses)?;
    writer.write(interval)?;
    writer.finish()
}

fn sample_summary(interval: &Interval) -> Summary {
    let facts = RunFacts {
        run_id: "2026-11-30-a".to_owned(),
        repeat: 1,
        target: "http://127.0.0.1:9000/bench".to_owned(),
        load: Load::Closed,
        started_unix_ms: 1_764_500_000_000,
    };
    let client = ClientFacts { threads: 1, ..ClientFacts::default() };
    Summary::new(facts, interval, &Interval::default(), (client, None), &Limits::default())
}

fn samples() -> Vec<Vec<u8>> {
    let interval = sample_interval();
    let head = Frame { body_bytes: 4_096, answer_bytes: 0 }.encode();
    let mut samples = vec![choosing(0, &encoded(&interval)), choosing(4, &head)];
    samples.extend(sample_log(&interval).ok().map(|bytes| choosing(1, &bytes)));
    samples
        .extend(sample_summary(&interval).to_json().ok().map(|text| choosing(2, text.as_bytes())));
    let small = PRESETS.iter().filter(|preset| preset.text.len() <= SAMPLE_BYTES_MAX);
    samples.extend(small.map(|preset| choosing(3, preset.text.as_bytes())));
    samples
}

//! Every decoder against seeded mutations of its samples.

mod mutator;

use decoders::DECODERS;
use mutator::{Random, mutated};
use std::panic::catch_unwind;

/// Inputs of each kind below which a decoder was not tested: all were refused, or none.
const LEAST: u32 = 20;

fn holds(name: &str) {
    let Some(decoder) = decoders::find(name) else { panic!("no decoder {name}") };
    let samples = (decoder.samples)();
    for (number, sample) in samples.iter().enumerate() {
        assert!((decoder.check)(sample), "sample {number} is refused");
    }
    assert!(!(decoder.check)(&[0xff; 9]), "anything is accepted");
    (decoder.check)(b"");
    let mut random = Random(name.bytes().map(u64::from).sum());
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..decoder.rounds {
        let input = mutated(&mut random, &samples, decoder.words);
        match catch_unwind(|| (decoder.check)(&input)) {
            Ok(true) => accepted += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("{name}, round {round}: \"{}\"", input.escape_ascii()),
        }
    }
    assert!(accepted >= LEAST && refused >= LEAST, "{accepted} accepted, {refused} refused");
}

macro_rules! each {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                holds(stringify!($name));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

each! {
    superblock log_frames commit record checkpoint
    fragment object upload bucket_table seat_table
    entry block run
    config drive_arguments text
    s3_head s3_read s3_request s3_chunks s3_xml
    bench bench_message
}

#[test]
fn every_decoder_is_tested_here() {
    let names: Vec<&str> = DECODERS.iter().map(|decoder| decoder.name).collect();
    assert_eq!(names, NAMES);
}

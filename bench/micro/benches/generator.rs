//! CPU time of the load generator itself: zipf keys out of a billion, payloads of 4 KiB stamped,
//! both latencies recorded, nothing asked of anybody. `cargo bench -p bench-micro --bench generator`.
#![allow(clippy::print_stdout, reason = "a bench prints")]

use bench_client::Signing;
use bench_micro::{Meter, is_measured, print_head, print_us};
use bench_model::{KeySpace, Mix, Payload, PayloadSpec, Popularity, Sizes, Thread};
use bench_run::{Arrival, Generator, Load, NullTarget, Phase, Planner, Verify, now_ns};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const SEED: u64 = 7;

fn generator(mix: &str) -> Generator<NullTarget> {
    let load = Arc::new(Load {
        seed: SEED,
        keys: KeySpace::new("bench/", 1_000_000_000, 256, SEED).expect("keys"),
        popularity: Popularity::parse("zipf(0.99)").expect("a law"),
        mix: Mix::parse(mix).expect("a mix"),
        sizes: Sizes::parse("4KiB").expect("a size"),
        is_prepared: true,
        is_swept: false,
        wrote_before: None,
        range_bytes: 4096,
        part_bytes: 8 << 20,
        multi_delete_keys: 100,
        list_keys: 1000,
        signing: Signing::Unsigned,
        verify: Verify::All,
    });
    let thread = Thread { index: 0, count: 1 };
    let planner = Planner::new(&load, thread).expect("a planner");
    let spec = PayloadSpec { seed: SEED, compressible_percent: 0, duplicate_percent: 0 };
    Generator::new(planner, NullTarget::new(Payload::new(spec).expect("payloads"), 64))
}

fn main() {
    let (rounds, milliseconds) = if is_measured() { (5, 1000) } else { (1, 20) };
    print_head("one thread, 64 lanes, 4 KiB, zipf(0.99) of 10^9");
    for mix in ["put", "get", "put=30,get=60,head=10"] {
        let mut generator = generator(mix);
        let mut values = Vec::new();
        for _ in 0..rounds {
            let mut count = 0;
            let mut report = |_: bench_run::Part, interval: bench_stats::Interval| {
                count += interval.count();
            };
            let begin_ns = now_ns();
            let mut phase = Phase {
                begin_ns,
                end_ns: begin_ns + milliseconds * 1_000_000,
                timeout_ns: u64::MAX,
                stop: &AtomicBool::new(false),
                report: &mut report,
            };
            let meter = Meter::begin();
            generator.run(&mut Arrival::Closed, &mut phase).expect("it runs");
            let count = usize::try_from(count).expect("a count");
            values.push(meter.thread_us(count));
        }
        print_us(mix, values);
    }
}

//! Workers in this process, real ones and ones that play a part, on loopback.

use super::hello::greet_conductor;
use super::link::ends_of;
use super::*;
use crate::crew::{Crew, Watcher};
use crate::plan::{ArrivalPlan, RunPlan};
use crate::planner::Stage;
use crate::settings::Settings;
use crate::threads::Order;
use crate::{Part, RunError, RunOutcome, Screen};
use bench_stats::{Histogram, Interval, LatencyKind, Operation, Recorder, SizeClass};
use shards_executor::{PinnedThread, start_pinned_thread};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

struct Nobody;

impl Screen for Nobody {
    fn stage(&mut self, _: &str, _: &str) {}
    fn second(&mut self, _: usize, _: &Interval) {}
    fn note(&mut self, _: &str) {}
}

impl Watcher for Nobody {
    fn second(&mut self, _: usize, _: &Interval) {}
    fn tick(&mut self, _: Duration) {}
}

fn party() -> Party {
    Party::new("c0ffee", Some("a secret".to_owned()))
}

/// A load on nothing at all, made by these workers.
fn settings(workers: &[String]) -> Settings {
    let text = |text: &str| Some(text.to_owned());
    Settings {
        target: text("null"),
        mix: text("put=50,get=50"),
        keys: text("100"),
        inflight: text("8"),
        threads: text("2"),
        duration: text("1s"),
        warmup: text("0s"),
        workers: Some(workers.join(",")),
        ..Settings::default()
    }
}

/// A real worker, until it is dropped.
struct Real {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<PinnedThread<()>>,
}

impl Real {
    fn start(party: Party) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let address = "127.0.0.1:0".parse().expect("an address");
        let worker = Worker::bind(address, party, &stop, Arc::new(|_: &str| {}));
        let worker = worker.expect("a port is free");
        let address = worker.address().to_string();
        let body = move || worker.serve().expect("it serves");
        let thread = start_pinned_thread("test-worker", None, body).expect("a thread");
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// How a worker that plays a part ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    /// It goes away when it should work.
    Dies,
    /// It says nothing any more.
    Silent,
}

/// Serves one conductor, and answers an order with these intervals.
fn play(intervals: Vec<Interval>, end: End) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("an address").to_string();
    let body = move || {
        let (stream, _) = listener.accept().expect("a conductor");
        let (mut incoming, outgoing) = ends_of(stream).expect("options");
        let welcome = greet_conductor(&mut incoming, &outgoing, &party()).expect("the secret");
        let say = |message: &Message| _ = outgoing.send(message);
        say(&welcome);
        let mut threads = 0..0;
        while let Ok(message) = incoming.expect(Duration::from_secs(20)) {
            match message {
                Message::Start(start) => {
                    threads = start.first_thread..start.first_thread + start.threads;
                    say(&Message::Ready);
                }
                Message::Ping { number } => {
                    say(&Message::Pong { number, now_ns: crate::clock::now_ns() });
                }
                Message::Order(_) if end == End::Dies => return,
                Message::Order(_) if end == End::Well => {
                    for thread in threads.clone() {
                        for interval in intervals.iter().cloned() {
                            say(&Message::Interval { thread, part: Part::Phase, interval });
                        }
                        say(&Message::Ended { thread, outcome: Ok(Vec::new()) });
                    }
                }
                _ => {}
            }
        }
    };
    // It ends with its connection.
    let _thread = start_pinned_thread("test-part", None, body).expect("a thread");
    address
}

fn connected(workers: &[String], threads: &str, party: Party) -> Result<(Crew, RunPlan), RunError> {
    let settings = Settings { threads: Some(threads.to_owned()), ..settings(workers) };
    let (mut plan, _) = settings.check("run-1")?;
    let away = settings.workers_plan("run-1", party)?.expect("workers were given");
    let (workers, reports) = Workers::connect(&away, &mut plan)?;
    let stop = Arc::new(AtomicBool::new(false));
    Ok((Crew::of_workers(workers, reports, &stop), plan))
}

fn order() -> Order {
    let duration = Some(Duration::from_secs(1));
    Order { stage: Stage::Load, duration, arrival: ArrivalPlan::Closed, number: 1 }
}

fn run_once(workers: &[String]) -> RunOutcome {
    let settings = settings(workers);
    let (plan, mut options) = settings.check("run-1").expect("the settings are right");
    options.workers = settings.workers_plan("run-1", party()).expect("the workers are right");
    let stop = Arc::new(AtomicBool::new(false));
    crate::run(&plan, &options, &stop, &mut Nobody).expect("it runs")
}

#[test]
fn two_workers_drive_one_run_and_then_the_next() {
    let workers = [Real::start(party()), Real::start(party())];
    let addresses = workers.each_ref().map(|worker| worker.address.clone());
    for _ in 0..2 {
        let outcome = run_once(&addresses);
        let summary = &outcome.repeats[0].summary;
        assert_eq!(summary.client.threads, 4);
        assert!(summary.total.count > 0);
        assert_eq!((summary.total.error_count, summary.total.mismatches), (0, 0));
        let threads: Vec<_> = outcome.workers.iter().map(|clock| clock.threads.clone()).collect();
        assert_eq!(threads, [0..2, 2..4]);
        for clock in &outcome.workers {
            // One process has one clock.
            for offset in [clock.begin, clock.end.expect("it is still there")] {
                assert!(offset.offset_ns.unsigned_abs() <= offset.round_trip_ns, "{clock}");
            }
        }
    }
}

#[test]
fn merged_percentiles_are_those_of_all_latencies_together() {
    let mut all = Vec::new();
    let mut merged = Interval::default();
    let parts = [1_u64, 2].map(|worker| {
        let mut recorder = Recorder::new(0);
        let mut intervals = Vec::new();
        for second in 1..=3_u64 {
            for number in 0..2_000 {
                // The second worker's server is ten times as slow: a mean of both would be wrong.
                let drawn = bench_model::mix64(worker << 32 | second, number) % 1_000_000;
                let latency_ns = drawn * (9 * worker - 8);
                let (operation, class) = (Operation::Get, SizeClass::UpTo4KiB);
                recorder.record(operation, class, LatencyKind::Response, latency_ns);
                recorder.count(operation, class, 4_096);
                all.push(latency_ns);
            }
            intervals.push(recorder.take_interval(second * 1_000_000_000));
        }
        for interval in &intervals {
            merged.add(interval);
        }
        play(intervals, End::Well)
    });
    let (mut crew, plan) = connected(&parts, "1", party()).unwrap();
    assert_eq!(plan.threads, 2);
    let recorded = crew.run(&order(), &mut Nobody).unwrap();
    let total = recorded.total();
    assert_eq!(total, merged, "it makes no difference where an interval was recorded");
    let get = total.operation(Operation::Get);
    let expected: Histogram = all.iter().copied().collect();
    assert_eq!(*get.latency(LatencyKind::Response), expected);
    for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
        let of = |histogram: &Histogram| histogram.quantile_ns(quantile);
        assert_eq!(of(get.latency(LatencyKind::Response)), of(&expected));
    }
    assert_eq!((get.count, recorded.intervals.len()), (all.len() as u64, 3));
}

#[test]
fn a_worker_that_is_lost_voids_the_run_and_is_named() {
    let party = Party { silence_max: Duration::from_secs(3), ..party() };
    for (end, said) in [(End::Dies, "ended the connection"), (End::Silent, "said nothing for 3 s")]
    {
        let well = Real::start(party.clone());
        let lost = play(Vec::new(), end);
        let workers = [well.address.clone(), lost.clone()];
        let (mut crew, _) = connected(&workers, "1", party.clone()).unwrap();
        let endless = Order { duration: None, ..order() };
        // The other one would go on for ever.
        let error = crew.run(&endless, &mut Nobody).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, RunError::WorkerLost { .. }), "{message}");
        assert!(message.contains(&lost) && message.contains(said), "{message}");
        assert!(message.contains("void"), "{message}");
    }
}

#[test]
fn a_worker_serves_one_run_at_a_time() {
    let worker = Real::start(party());
    let workers = [worker.address.clone()];
    let first = connected(&workers, "1", party()).unwrap();
    let message = connected(&workers, "1", party()).err().expect("it is busy").to_string();
    assert!(message.contains("one run at a time"), "{message}");
    assert!(message.contains(&worker.address), "{message}");
    drop(first);
    assert!(connected(&workers, "1", party()).is_ok(), "it waits for the next");
}

#[test]
fn only_the_same_build_and_secret_are_served() {
    let worker = Real::start(party());
    let open = Real::start(Party::new("c0ffee", None));
    for (worker, party, said) in [
        (&worker, Party::new("c0ffee", Some("another".to_owned())), "secrets differ"),
        (&worker, Party::new("c0ffee", None), "asks for its secret"),
        (&worker, Party::new("older", Some("a secret".to_owned())), "take the same build"),
        (&open, party(), "has no secret"),
    ] {
        let workers = [worker.address.clone()];
        let message = connected(&workers, "1", party).err().expect("refused").to_string();
        assert!(message.contains(said) && message.contains(&worker.address), "{message}");
    }
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let bound = Worker::bind(everywhere, Party::new("c", None), &stop, Arc::new(|_: &str| {}));
    let message = bound.err().expect("refused").to_string();
    assert!(message.contains("BASALT_BENCH_SECRET"), "{message}");
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let workers = [Real::start(party()), Real::start(party())];
    let addresses = workers.each_ref().map(|worker| worker.address.clone());
    let message = connected(&addresses, "5", party()).err().expect("refused").to_string();
    assert!(message.contains("--threads") && message.contains("4 are the most"), "{message}");
}

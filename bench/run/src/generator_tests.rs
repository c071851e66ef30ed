//! Against a target that does one thing at a time. What is asserted holds on a machine of any speed.

use super::*;
use crate::plan::{Load, Verify};
use bench_client::Signing;
use bench_model::{KeySpace, Mix, Popularity, Rate, Sizes, Thread};
use std::sync::Arc;

/// Each operation takes so long.
const OPERATION_NS: u64 = 2_000_000;

/// One lane; some operations fail.
struct OneByOne {
    under: Option<u64>,
    count: u64,
    fails_every: u64,
}

impl Target for OneByOne {
    fn lanes(&self) -> u32 {
        1
    }
    fn is_free(&self, _: Lane) -> bool {
        self.under.is_none()
    }
    fn start(&mut self, _: Lane, _: &Task, _: &Planner) {
        assert!(self.under.is_none(), "one at a time");
        self.under = Some(clock::now_ns());
    }
    fn turn(
        &mut self,
        timeout: Option<Duration>,
        _: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        let Some(begun_ns) = self.under else {
            std::thread::sleep(timeout.unwrap_or_default());
            return Ok(());
        };
        std::thread::sleep(Duration::from_nanos(OPERATION_NS));
        self.under = None;
        self.count += 1;
        let fails = self.count.is_multiple_of(self.fails_every);
        done.push(Done {
            lane: Lane(0),
            outcome: if fails { Outcome::Failed("SlowDown".to_owned()) } else { Outcome::Done },
            object_bytes: 10,
            first_byte_ns: None,
            connect_ns: None,
            connected_ns: None,
            ended_ns: clock::now_ns().max(begun_ns),
        });
        Ok(())
    }
    fn abort(&mut self, _: Lane, _: &Planner, _: &mut Vec<Done>) {}
}

fn generator(mix: &str) -> Generator<OneByOne> {
    generator_of(mix, |target| target)
}

fn generator_of<T: Target>(mix: &str, target: impl FnOnce(OneByOne) -> T) -> Generator<T> {
    let load = Arc::new(Load {
        seed: 1,
        keys: KeySpace::new("", 100, 0, 1).unwrap(),
        popularity: Popularity::Uniform,
        mix: Mix::parse(mix).unwrap(),
        sizes: Sizes::parse("10").unwrap(),
        is_prepared: true,
        is_swept: false,
        wrote_before: None,
        range_bytes: 5,
        part_bytes: 5 << 20,
        multi_delete_keys: 10,
        list_keys: 10,
        signing: Signing::Unsigned,
        verify: Verify::All,
    });
    let thread = Thread { index: 0, count: 1 };
    let planner = Planner::new(&load, thread).unwrap();
    Generator::new(planner, target(OneByOne { under: None, count: 0, fails_every: 5 }))
}

fn run<T: Target>(
    generator: &mut Generator<T>,
    mut arrival: Arrival,
    duration_ns: u64,
) -> (Interval, Vec<(Part, Interval)>) {
    let mut all = Vec::new();
    let begin_ns = clock::now_ns();
    generator
        .run(
            &mut arrival,
            &mut Phase {
                begin_ns,
                end_ns: begin_ns.saturating_add(duration_ns),
                timeout_ns: u64::MAX,
                stop: &AtomicBool::new(false),
                report: &mut |part, interval| all.push((part, interval)),
            },
        )
        .unwrap();
    let mut total = Interval::default();
    for (_, interval) in &all {
        total.add(interval);
    }
    (total, all)
}

#[test]
fn an_open_loop_counts_from_the_planned_time_and_loses_nothing() {
    let mut generator = generator("get");
    // Four times what the target can do.
    let rate = Rate::Constant(4e9 / OPERATION_NS as f64);
    let schedule = Schedule::new(&rate, Thread { index: 0, count: 1 }, 1);
    let arrival = Arrival::Open { schedule, backlog_max: 50 };
    let duration_ns = 200 * OPERATION_NS;
    let (total, _) = run(&mut generator, arrival, duration_ns);
    let planned = rate.planned_by(duration_ns as f64 / 1e9);
    let counted = total.count() + total.error_count() + total.shed;
    assert!((counted as f64 - planned).abs() <= 60.0, "{counted} of {planned}");
    assert!(total.shed > 0, "the backlog is bounded");
    let gets = total.operation(Operation::Get);
    assert_eq!(gets.errors()["SlowDown"], (total.count() + total.error_count()) / 5);
    let (response, service) =
        (gets.latency(LatencyKind::Response), gets.latency(LatencyKind::Service));
    assert_eq!(response.count(), service.count());
    assert!(service.min_ns() >= OPERATION_NS);
    // Behind fifty others most of the time.
    assert!(response.quantile_ns(0.5) > 20 * OPERATION_NS, "{}", response.quantile_ns(0.5));
    // It was the target that was late, not the generator.
    assert!(total.schedule_lag.quantile_ns(0.5) < OPERATION_NS);
}

/// It wakes after the end at the earliest.
struct Late(OneByOne);

impl Target for Late {
    fn lanes(&self) -> u32 {
        1
    }
    fn is_free(&self, lane: Lane) -> bool {
        self.0.is_free(lane)
    }
    fn start(&mut self, lane: Lane, task: &Task, planner: &Planner) {
        self.0.start(lane, task, planner);
    }
    fn turn(
        &mut self,
        timeout: Option<Duration>,
        planner: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        let late = timeout.map(|timeout| timeout + Duration::from_millis(60));
        self.0.turn(late, planner, done)
    }
    fn abort(&mut self, _: Lane, _: &Planner, _: &mut Vec<Done>) {}
}

#[test]
fn what_was_planned_before_the_end_is_begun_by_one_that_wakes_after_it() {
    let mut generator = generator_of("get", Late);
    let schedule = Schedule::new(&Rate::Constant(50.0), Thread { index: 0, count: 1 }, 1);
    let arrival = Arrival::Open { schedule, backlog_max: 50 };
    // One is planned for the begin, and one for 20 ms later.
    let (total, _) = run(&mut generator, arrival, 40_000_000);
    assert_eq!((total.count(), total.shed), (2, 0));
}

#[test]
fn a_closed_loop_has_no_queue() {
    let mut generator = generator("put=50,get=50");
    let (total, intervals) = run(&mut generator, Arrival::Closed, 1_200_000_000);
    assert!(total.count() > 0 && total.shed == 0);
    let parts: Vec<Part> = intervals.iter().map(|(part, _)| *part).collect();
    assert_eq!(parts, [Part::Phase, Part::Phase, Part::Drain], "a second is told when it is over");
    for operation in total.operations() {
        let cell = total.operation(operation);
        assert_eq!(cell.latency(LatencyKind::Response), cell.latency(LatencyKind::Service));
        assert!(cell.latency(LatencyKind::Queue).is_empty());
        assert_eq!(cell.bytes, 10 * cell.count);
    }
}

#[test]
fn stages_that_go_through_the_keys_end_by_themselves() {
    let mut generator = generator("get");
    for stage in [Stage::Prepare, Stage::Sweep] {
        generator.begin(stage);
        let (total, _) = run(&mut generator, Arrival::Closed, u64::MAX);
        // What cannot be prepared at once is tried again.
        let ended = total.count() + if stage == Stage::Sweep { total.error_count() } else { 0 };
        assert_eq!(ended, 100, "{stage:?}");
    }
}

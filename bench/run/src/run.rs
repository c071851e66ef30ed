//! A run from its preparation to its cleaning up.
//!
//! Invariants: nothing begins before the target is known to be what the user meant (`house` for a
//! bucket, `drive` for a drive, `engine` for an engine's drives); what was interrupted is cleaned up
//! all the same.

use crate::clock;
use crate::cpu::MachineCpu;
use crate::crew::{Crew, Recorded};
use crate::drive;
use crate::engine::Engine;
use crate::error::RunError;
use crate::house::House;
use crate::knee::{Objective, Search, Step};
use crate::marks::{Mark, Marked, Quiet};
use crate::net;
use crate::plan::{ArrivalPlan, RunPlan, TargetPlan};
use crate::planner::Stage;
use crate::remote::{WorkerClock, Workers, WorkersPlan};
use crate::server::Reading;
use crate::threads::{Means, Order};
use bench_model::{Mismatch, Operation, Rate};
use bench_stats::{ClientFacts, Interval, Limits, Load as LoadKind, RunFacts, Summary};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is done beside the load.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The run's name.
    pub run_id: String,
    /// Work in a bucket that holds something already.
    pub into_existing: bool,
    /// The objects were written by an earlier run of the same seed and prefix.
    pub is_prepared: bool,
    /// Leave the objects there.
    pub keep: bool,
    /// Read everything once at the end.
    pub sweep: bool,
    /// A process of this machine whose CPU time counts as the server's.
    pub server_pid: Option<u32>,
    /// Things to do at times of each measured repeat.
    pub marks: Vec<Mark>,
    /// Who makes the load; `None`: this process.
    pub workers: Option<WorkersPlan>,
    /// Where the run's files will be; the engine's drives are made in it.
    pub directory: PathBuf,
}

/// Who is told what goes on.
pub trait Screen {
    /// A stage begins: its name, and what it is about.
    fn stage(&mut self, name: &str, about: &str);
    /// A second of it is over.
    fn second(&mut self, second: usize, interval: &Interval);
    /// Something to know.
    fn note(&mut self, text: &str);
}

/// One measured repeat.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// What it came to.
    pub summary: Summary,
    /// Second by second, or in rows of 2, 4, 8, ... of them where it was longer than two hours.
    pub intervals: Vec<Interval>,
    /// What ended after the last of them.
    pub drain: Interval,
    /// What was done when, since its begin.
    pub marks: Vec<(Duration, String)>,
    /// Answers that were not what had been written, up to a bound.
    pub mismatches: Vec<Mismatch>,
}

/// A run that came to its end.
#[derive(Debug, Clone, Default)]
pub struct RunOutcome {
    /// Measured repeats, in order.
    pub repeats: Vec<Repeat>,
    /// Steps of the search for the highest rate that keeps to the objective, and what it found.
    pub knee: Option<Knee>,
    /// What the sweep at the end found wrong.
    pub swept: Option<Swept>,
    /// Answers of the warm-up that were not what had been written.
    pub warmup_mismatches: Vec<Mismatch>,
    /// Who made the load, and how their clocks were; empty where it was this process.
    pub workers: Vec<WorkerClock>,
    /// Build and profile of a server that is basalt, by their names in a manifest.
    pub server_facts: BTreeMap<String, String>,
    /// Whether it was interrupted.
    pub is_interrupted: bool,
    /// What ended it before its time, or kept it from cleaning up. The figures stand.
    pub failures: Vec<String>,
}

impl RunOutcome {
    /// Whether any answer was wrong.
    #[must_use]
    pub fn has_wrong_answers(&self) -> bool {
        let of_repeat = |repeat: &Repeat| repeat.summary.total.mismatches > 0;
        !self.warmup_mismatches.is_empty()
            || self.repeats.iter().any(of_repeat)
            || self.swept.as_ref().is_some_and(|swept| swept.wrong > 0)
    }
}

/// A search that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Knee {
    /// Every rate that was tried.
    pub steps: Vec<Step>,
    /// The highest that held, if one did.
    pub rate: Option<f64>,
}

/// Everything was read once.
#[derive(Debug, Clone, Default)]
pub struct Swept {
    /// Objects read and found right.
    pub right: u64,
    /// Objects that could not be read, or were wrong.
    pub wrong: u64,
    /// The first of those that were wrong.
    pub mismatches: Vec<Mismatch>,
}

/// Runs a plan.
///
/// # Errors
/// Where the target or a worker cannot be had or refuses, or the target is not empty; where a
/// thread fails or a worker is lost.
pub fn run(
    plan: &RunPlan,
    options: &RunOptions,
    stop: &Arc<AtomicBool>,
    screen: &mut dyn Screen,
) -> Result<RunOutcome, RunError> {
    let mut plan = plan.clone();
    let away = match &options.workers {
        Some(away) => Some(Workers::connect(away, &mut plan)?),
        None => None,
    };
    let plan = &plan;
    let mut place = Place::enter(plan, options, stop, screen)?;
    let crew = match away {
        Some((workers, reports)) => Ok(Crew::of_workers(workers, reports, stop)),
        None => {
            let door = place.engine.as_ref().map(Engine::door);
            let means = Means { drive: place.drive.as_ref(), engine: door.as_ref() };
            Crew::start(plan, means, stop)
        }
    };
    let mut crew = match crew {
        Ok(crew) => crew,
        Err(error) => {
            place.leave_empty(screen);
            return Err(error);
        }
    };
    let mut outcome = RunOutcome::default();
    let loaded = loaded(
        &mut crew,
        plan,
        options,
        stop,
        &mut Room { screen, house: place.house.as_mut(), engine: place.engine.as_ref() },
        &mut outcome,
    );
    outcome.is_interrupted = stop.load(Ordering::Relaxed) && loaded.is_ok();
    outcome.workers = crew.clocks();
    drop(crew);
    if let Some(text) = place.house.as_mut().and_then(|house| house.admin.text("/-/metrics")) {
        outcome.server_facts = Reading::facts_of_metrics(&text);
    }
    if let Err(error) = place.leave(plan, options, screen) {
        outcome.failures.push(format!("cleaning up failed: {error}"));
    }
    match loaded {
        // Of a load that lost a part of itself no figure stands.
        Err(error @ RunError::WorkerLost { .. }) => Err(error),
        Err(error) if outcome.repeats.is_empty() => Err(error),
        Err(error) => {
            outcome.failures.push(error.to_string());
            Ok(outcome)
        }
        Ok(()) => Ok(outcome),
    }
}

/// What a run works on: looked at before, and left as it was found.
struct Place {
    house: Option<House>,
    drive: Option<File>,
    engine: Option<Engine>,
}

impl Place {
    fn enter(
        plan: &RunPlan,
        options: &RunOptions,
        stop: &AtomicBool,
        screen: &mut dyn Screen,
    ) -> Result<Self, RunError> {
        let mut place = Self { house: None, drive: None, engine: None };
        match &plan.target {
            TargetPlan::Null => {}
            TargetPlan::S3 { endpoint, bucket } => {
                let prefix = plan.load.keys.prefix();
                place.house = Some(House::enter(endpoint, bucket, prefix, options)?);
            }
            TargetPlan::Net { address } => net::greet(*address)?,
            TargetPlan::Raw(drive) => {
                place.drive = Some(drive::open(drive, plan.payload, stop, screen)?);
            }
            TargetPlan::Engine(engine) => {
                place.engine = Some(Engine::enter(engine, options, screen)?);
            }
        }
        Ok(place)
    }

    /// Leaves what nothing was written to yet. The error that made the run end is told, and no
    /// other.
    fn leave_empty(self, screen: &mut dyn Screen) {
        if let Some(mut house) = self.house {
            house.leave_empty();
        }
        if let Some(engine) = self.engine {
            _ = engine.leave(false, screen);
        }
    }

    /// Takes away what the run wrote, unless that is to be kept.
    fn leave(
        self,
        plan: &RunPlan,
        options: &RunOptions,
        screen: &mut dyn Screen,
    ) -> Result<(), RunError> {
        if let Some(mut house) = self.house
            && !options.keep
        {
            screen.stage("cleanup", "deleting what this run wrote");
            house.leave(&plan.load, screen)?;
        }
        match self.engine {
            Some(engine) => engine.leave(options.keep, screen),
            None => Ok(()),
        }
    }
}

/// What a run works with beside its threads.
struct Room<'a, 'b> {
    screen: &'a mut dyn Screen,
    house: Option<&'b mut House>,
    engine: Option<&'b Engine>,
}

fn loaded(
    crew: &mut Crew,
    plan: &RunPlan,
    options: &RunOptions,
    stop: &Arc<AtomicBool>,
    room: &mut Room<'_, '_>,
    outcome: &mut RunOutcome,
) -> Result<(), RunError> {
    let is_stopped = || stop.load(Ordering::Relaxed);
    let keeps_objects = room.house.is_some() || room.engine.is_some();
    if plan.load.is_prepared && !options.is_prepared && keeps_objects {
        prepare(crew, plan, stop, room.screen)?;
    }
    let mut number = 0;
    let mut order = |stage: Stage, duration: Duration| {
        number += 1;
        let duration = (stage == Stage::Load).then_some(duration);
        Order { stage, duration, arrival: plan.arrival.clone(), number }
    };
    if !plan.warmup.is_zero() && !is_stopped() {
        room.screen.stage("warm-up", "not counted");
        let order = order(Stage::Load, plan.warmup);
        outcome.warmup_mismatches = crew.run(&order, &mut Quiet(room.screen))?.mismatches;
    }
    let repeats = if plan.objective.is_some() { 0 } else { plan.repeats };
    for repeat in 1..=repeats {
        if is_stopped() {
            break;
        }
        room.screen.stage("measure", &format!("repeat {repeat} of {}", plan.repeats));
        let order = order(Stage::Load, plan.duration);
        let measured = measure(crew, options, &order, room)?;
        outcome.repeats.push(Repeat {
            summary: summary_of(plan, options, repeat, &measured),
            intervals: measured.recorded.intervals,
            drain: measured.recorded.drain,
            marks: measured.marks,
            mismatches: measured.recorded.mismatches,
        });
    }
    if let Some(objective) = plan.objective
        && !is_stopped()
    {
        outcome.knee = Some(search(crew, plan, options, &objective, room)?);
    }
    if options.sweep && !is_stopped() {
        room.screen.stage("verify", "reading everything once");
        let order = Order { arrival: ArrivalPlan::Closed, ..order(Stage::Sweep, Duration::ZERO) };
        let recorded = crew.run(&order, &mut Quiet(room.screen))?;
        let total = recorded.total();
        outcome.swept = Some(Swept {
            right: total.count(),
            wrong: total.error_count(),
            mismatches: recorded.mismatches,
        });
    }
    Ok(())
}

/// Searches for the highest rate that keeps to an objective.
fn search(
    crew: &mut Crew,
    plan: &RunPlan,
    options: &RunOptions,
    objective: &Objective,
    room: &mut Room<'_, '_>,
) -> Result<Knee, RunError> {
    let ArrivalPlan::Open { rate, backlog_max } = &plan.arrival else {
        return Ok(Knee { steps: Vec::new(), rate: None });
    };
    let (first, is_poisson) = match rate {
        Rate::Poisson(rate) => (*rate, true),
        Rate::Constant(rate) => (*rate, false),
        _ => return Ok(Knee { steps: Vec::new(), rate: None }),
    };
    let (mut search, mut steps) = (Search::new(first), Vec::new());
    while let Some(per_second) = search.next() {
        if crew.is_stopped() {
            break;
        }
        let rate = match is_poisson {
            true => Rate::Poisson(per_second),
            false => Rate::Constant(per_second),
        };
        let arrival = ArrivalPlan::Open { rate, backlog_max: *backlog_max };
        let number = 1 << 32 | steps.len() as u64;
        room.screen.stage("search", &format!("{per_second:.0} per second"));
        let order = Order { stage: Stage::Load, duration: Some(plan.duration), arrival, number };
        let measured = measure(crew, options, &order, room)?;
        if crew.is_stopped() {
            // Of a part of a step nothing can be said.
            break;
        }
        let summary = summary_of(plan, options, 1, &measured);
        // The first row has the second in which the rate changes.
        let mut settled = Interval::default();
        for interval in measured.recorded.intervals.iter().skip(1) {
            settled.add(interval);
        }
        let step = Step::judge(per_second, &settled, objective, &summary.verdict.reasons);
        room.screen.note(&format!(
            "{per_second:.0} per second: {:.0} reached, {:.3} ms, {:?}",
            step.reached,
            step.latency_ns as f64 / 1e6,
            step.verdict
        ));
        search.tell(&step);
        steps.push(step);
    }
    Ok(Knee { steps, rate: search.knee() })
}

fn prepare(
    crew: &mut Crew,
    plan: &RunPlan,
    stop: &Arc<AtomicBool>,
    screen: &mut dyn Screen,
) -> Result<(), RunError> {
    let count = plan.load.keys.count();
    screen.stage("prepare", &format!("writing {count} objects"));
    let arrival = ArrivalPlan::Closed;
    let order = Order { stage: Stage::Prepare, duration: None, arrival, number: 0 };
    let recorded = crew.run(&order, &mut Quiet(screen))?;
    let total = recorded.total();
    let failed = count.saturating_sub(total.count());
    if failed > 0 && !stop.load(Ordering::Relaxed) {
        let errors = total.operation(Operation::Put);
        let most = errors.errors().iter().max_by_key(|(_, count)| **count);
        let first = most.map(|(code, _)| code.clone()).unwrap_or_default();
        return Err(RunError::NotPrepared { failed, all: count, first });
    }
    Ok(())
}

/// One measured repeat as it was recorded.
struct Measured {
    recorded: Recorded,
    marks: Vec<(Duration, String)>,
    started_unix_ms: u64,
    steal_percent: f64,
    server: Option<bench_stats::ServerCounters>,
}

fn measure(
    crew: &mut Crew,
    options: &RunOptions,
    order: &Order,
    room: &mut Room<'_, '_>,
) -> Result<Measured, RunError> {
    let Room { screen, house, engine } = room;
    let mut reading = || match (options.server_pid, house.as_mut()) {
        (Some(pid), _) => Reading::of_process(pid),
        (None, Some(house)) => {
            house.admin.text("/-/metrics").and_then(|text| Reading::of_metrics(&text))
        }
        (None, None) => engine.and_then(Engine::reading),
    };
    let before = reading();
    let machine = MachineCpu::now();
    let started_unix_ms = clock::unix_ms();
    let mut watch = Marked { screen: &mut **screen, marks: &options.marks, done: Vec::new() };
    let recorded = crew.run(order, &mut watch)?;
    let marks = watch.done;
    let steal_percent = machine.steal_percent_until(MachineCpu::now());
    let server = before.and_then(|before| Some(reading()?.since(&before)));
    Ok(Measured { recorded, marks, started_unix_ms, steal_percent, server })
}

fn summary_of(plan: &RunPlan, options: &RunOptions, repeat: u32, measured: &Measured) -> Summary {
    let inside = measured.recorded.measured();
    let seconds = inside.length_s();
    let busiest_s = measured.recorded.busiest_thread_ns as f64 / 1e9;
    let client = ClientFacts {
        threads: plan.threads,
        busiest_thread_percent: if seconds > 0.0 { 100.0 * busiest_s / seconds } else { 0.0 },
        steal_percent: measured.steal_percent,
    };
    let facts = RunFacts {
        run_id: options.run_id.clone(),
        repeat,
        target: plan.target.to_string(),
        load: match plan.arrival {
            ArrivalPlan::Closed => LoadKind::Closed,
            ArrivalPlan::Open { .. } => LoadKind::Open,
        },
        started_unix_ms: measured.started_unix_ms,
    };
    let drain = &measured.recorded.drain;
    Summary::new(facts, &inside, drain, (client, measured.server.clone()), &Limits::default())
}

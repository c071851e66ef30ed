//! The generator threads of this process: all of a run, or a worker's share of them.
//!
//! Invariants: a thread is known by its number in the whole run, wherever it runs; each answers
//! every order with intervals and one end; dropping them ends them.

use crate::engine::{Door, EngineTarget};
use crate::error::RunError;
use crate::generator::{Arrival, Generator, Part, Phase};
use crate::net::NetTarget;
use crate::null::NullTarget;
use crate::plan::{ArrivalPlan, RunPlan, TargetPlan};
use crate::planner::{Planner, Stage};
use crate::raw::RawTarget;
use crate::s3::S3Target;
use crate::target::Target;
use bench_model::{Mismatch, Payload, Schedule, Thread};
use bench_stats::Interval;
use shards_executor::{PinnedThread, start_pinned_thread};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// One stage for all threads.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) stage: Stage,
    /// How long operations begin; `None`: until all keys were gone through.
    pub(crate) duration: Option<Duration>,
    pub(crate) arrival: ArrivalPlan,
    /// Tells one stage's arrivals from another's.
    pub(crate) number: u64,
}

/// An order, and when it is carried out, on this process's clock.
#[derive(Debug, Clone)]
pub(crate) struct TimedOrder {
    pub(crate) stage: Stage,
    pub(crate) arrival: ArrivalPlan,
    pub(crate) number: u64,
    pub(crate) begin_ns: u64,
    /// `u64::MAX`: until all keys were gone through.
    pub(crate) end_ns: u64,
}

/// What threads tell, each under its number in the run.
#[derive(Debug)]
pub(crate) enum Report {
    Interval(u32, Part, Interval),
    Ended(u32, Result<Vec<Mismatch>, RunError>),
}

/// What the threads of some targets work with, and others have not.
#[derive(Clone, Copy, Default)]
pub(crate) struct Means<'a> {
    /// Of the target `raw`.
    pub(crate) drive: Option<&'a File>,
    /// Of the target `engine`.
    pub(crate) engine: Option<&'a Door>,
}

/// Threads that wait for orders.
pub(crate) struct Threads {
    orders: Vec<Sender<TimedOrder>>,
    threads: Vec<PinnedThread<()>>,
    stop: Arc<AtomicBool>,
}

impl Threads {
    /// Starts these of a plan's threads, which share its drive or its engine where it has one.
    /// `stop`: ends any stage at once.
    ///
    /// # Errors
    /// Where a thread cannot be had.
    pub(crate) fn start(
        (plan, means): (&RunPlan, Means<'_>),
        range: Range<u32>,
        stop: &Arc<AtomicBool>,
        reports: &Sender<Report>,
    ) -> Result<Self, RunError> {
        let payload = Payload::new(plan.payload)?;
        let mut started = Self { orders: Vec::new(), threads: Vec::new(), stop: Arc::clone(stop) };
        for (place, index) in range.enumerate() {
            let (orders, inbox) = mpsc::channel();
            let thread = Thread { index, count: plan.threads };
            let lanes = plan.lanes_of(index);
            let member = Member {
                planner: Planner::new(&plan.load, thread)?,
                plan: plan.clone(),
                drive: means.drive.map(File::try_clone).transpose()?,
                engine: means.engine.cloned(),
                thread,
                lanes,
                payload: payload.clone(),
                reports: reports.clone(),
                stop: Arc::clone(stop),
            };
            let cpu = plan.cpus.get(place % plan.cpus.len().max(1)).copied();
            let name = format!("bench-{index}");
            started.threads.push(start_pinned_thread(&name, cpu, move || member.serve(&inbox))?);
            started.orders.push(orders);
        }
        Ok(started)
    }

    /// Has every thread carry out an order.
    ///
    /// # Errors
    /// Where one has died.
    pub(crate) fn give(&self, order: &TimedOrder) -> io::Result<()> {
        for orders in &self.orders {
            let given = orders.send(order.clone());
            given.map_err(|_| io::Error::other("a generator thread has died"))?;
        }
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders.clear();
        for thread in self.threads.drain(..) {
            // Its panic was shown already.
            _ = thread.join();
        }
    }
}

/// One thread's side.
struct Member {
    planner: Planner,
    plan: RunPlan,
    drive: Option<File>,
    engine: Option<Door>,
    thread: Thread,
    lanes: u32,
    payload: Payload,
    reports: Sender<Report>,
    stop: Arc<AtomicBool>,
}

/// Tells that a thread is gone, however it went: who waits for it must not wait for ever.
struct Farewell {
    thread: u32,
    reports: Sender<Report>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = io::Error::other("a generator thread has panicked");
            _ = self.reports.send(Report::Ended(self.thread, Err(error.into())));
        }
    }
}

impl Member {
    fn serve(self, inbox: &Receiver<TimedOrder>) {
        let _farewell = Farewell { thread: self.thread.index, reports: self.reports.clone() };
        let Self { planner, plan, drive, engine, thread, lanes, payload, reports, stop } = self;
        let desk = Desk { plan: &plan, thread, reports: &reports, stop: &stop };
        match &plan.target {
            TargetPlan::Null => desk.serve(Ok(NullTarget::new(payload, lanes)), planner, inbox),
            TargetPlan::S3 { endpoint, bucket } => {
                let target = S3Target::new(endpoint.clone(), bucket, &plan.load, payload, lanes);
                desk.serve(target, planner, inbox);
            }
            TargetPlan::Raw(of_plan) => {
                let file = drive.ok_or_else(|| io::Error::other("the drive was not opened"));
                let target = file.and_then(|file| RawTarget::new(file, of_plan, payload, lanes));
                desk.serve(target, planner, inbox);
            }
            TargetPlan::Net { address } => {
                desk.serve(NetTarget::new(*address, payload, lanes), planner, inbox);
            }
            TargetPlan::Engine(_) => {
                let door = engine.ok_or_else(|| io::Error::other("the engine was not started"));
                let target = door.map(|door| EngineTarget::new(&door, &plan.load, payload, lanes));
                desk.serve(target, planner, inbox);
            }
        }
    }
}

struct Desk<'a> {
    plan: &'a RunPlan,
    thread: Thread,
    reports: &'a Sender<Report>,
    stop: &'a AtomicBool,
}

impl Desk<'_> {
    /// Works with a target, or says why there is none.
    fn serve<T: Target>(
        &self,
        target: io::Result<T>,
        planner: Planner,
        inbox: &Receiver<TimedOrder>,
    ) {
        match target {
            Ok(target) => self.work(Generator::new(planner, target), inbox),
            // Told at the first order, which somebody waits for.
            Err(error) => {
                if inbox.recv().is_ok() {
                    _ = self.reports.send(Report::Ended(self.thread.index, Err(error.into())));
                }
            }
        }
    }

    fn work<T: Target>(&self, mut generator: Generator<T>, inbox: &Receiver<TimedOrder>) {
        while let Ok(order) = inbox.recv() {
            generator.begin(order.stage);
            let mut arrival = match &order.arrival {
                ArrivalPlan::Closed => Arrival::Closed,
                ArrivalPlan::Open { rate, backlog_max } => {
                    let seed = bench_model::mix64(self.plan.load.seed, order.number);
                    let schedule = Schedule::new(rate, self.thread, seed);
                    let backlog_max = backlog_max.div_ceil(self.plan.threads as usize);
                    Arrival::Open { schedule, backlog_max }
                }
            };
            let mut report = |part, interval| {
                // Nobody listens any more where the run was given up.
                _ = self.reports.send(Report::Interval(self.thread.index, part, interval));
            };
            let mut phase = Phase {
                begin_ns: order.begin_ns,
                end_ns: order.end_ns,
                timeout_ns: u64::try_from(self.plan.timeout.as_nanos()).unwrap_or(u64::MAX),
                stop: self.stop,
                report: &mut report,
            };
            let outcome = generator.run(&mut arrival, &mut phase);
            let outcome = outcome.map(|()| generator.take_mismatches()).map_err(RunError::from);
            if self.reports.send(Report::Ended(self.thread.index, outcome)).is_err() {
                return;
            }
        }
    }
}

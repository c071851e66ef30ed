//! The conductor's side: workers are found, given their shares and their orders, and heard.
//!
//! Invariants: every thread of the run belongs to exactly one worker; a worker that is lost is
//! reported as the end of all its threads, so that nobody waits for it; planned times are told on
//! the clock of who is told.

use crate::clock;
use crate::error::RunError;
use crate::plan::{ArrivalPlan, RunPlan};
use crate::remote::hello::{Party, greet_worker, unheard};
use crate::remote::link::{Incoming, Outgoing, ends_of};
use crate::remote::message::{Arrivals, Message, StartMessage, TEXT_BYTES_MAX, TimedMessage};
use crate::remote::offset::{Offset, PINGS};
use crate::settings::{Settings, THREADS_MAX};
use crate::threads::{Report, TimedOrder};
use bench_model::Rate;
use shards_executor::{PinnedThread, start_pinned_thread};
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// A worker must take the connection within so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A worker must have its threads within so long.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer to a ping must come within so long.
const PONG_TIMEOUT: Duration = Duration::from_secs(2);
/// Each side is told so often that the other is there.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// At the end, a worker has so long to be ready for the next run.
const LEAVE_NS: u64 = 5_000_000_000;

/// Which workers drive a run.
#[derive(Debug, Clone)]
pub struct WorkersPlan {
    /// Host and port of each.
    pub addresses: Vec<String>,
    /// What they are told of the run: `Settings::workers_plan` leaves out what is not theirs.
    pub settings: Settings,
    /// The run's name.
    pub run_id: String,
    /// This side.
    pub party: Party,
}

/// A worker of a run, and how its clock was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerClock {
    /// Its address.
    pub worker: String,
    /// Its threads' numbers.
    pub threads: Range<u32>,
    /// Before the first stage.
    pub begin: Offset,
    /// After the last, where it was still there.
    pub end: Option<Offset>,
}

impl std::fmt::Display for WorkerClock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { worker, threads, begin, end } = self;
        write!(formatter, "{worker}: {} threads, clock {begin}", threads.len())?;
        match end {
            Some(end) => {
                let drift_us = end.offset_ns.saturating_sub(begin.offset_ns) as f64 / 1e3;
                write!(formatter, ", at the end {end} (moved by {drift_us:.1} us)")
            }
            None => formatter.write_str(", not measured at the end"),
        }
    }
}

/// An answer to a ping, and when it was heard.
struct Heard {
    number: u32,
    worker_ns: u64,
    heard_ns: u64,
}

/// One worker.
struct Away {
    outgoing: Arc<Outgoing>,
    clock: WorkerClock,
    pongs: Receiver<Heard>,
    ear: Option<PinnedThread<()>>,
}

/// All workers of a run.
pub(crate) struct Workers {
    all: Vec<Away>,
    is_stopped: bool,
    /// When it was told that the run is over; 0: it is not.
    left_ns: Arc<AtomicU64>,
    /// Dropped to end the thread that says that we are there.
    alive: Option<Sender<()>>,
}

/// A worker that was met and has no part yet.
struct Met {
    worker: String,
    incoming: Incoming,
    outgoing: Arc<Outgoing>,
    cpus: u32,
}

impl Workers {
    /// Meets the workers and gives each its share of the threads, whose number the plan then has.
    ///
    /// # Errors
    /// Where a worker cannot be had, or the load is too small to be shared.
    pub(crate) fn connect(
        away: &WorkersPlan,
        plan: &mut RunPlan,
    ) -> Result<(Self, Receiver<Report>), RunError> {
        let all: Vec<Met> = away
            .addresses
            .iter()
            .map(|address| meet(address, &away.party))
            .collect::<Result<_, _>>()?;
        let share = share_of(away, plan, &all)?;
        plan.threads = share * u32::try_from(all.len()).unwrap_or(u32::MAX);
        let alive = keep_alive(all.iter().map(|met| Arc::clone(&met.outgoing)).collect())?;
        let (sender, reports) = mpsc::channel();
        let left_ns = Arc::new(AtomicU64::new(0));
        let alive = Some(alive);
        let mut workers = Self { all: Vec::new(), is_stopped: false, left_ns, alive };
        let settings = away.settings.text_for_threads(plan.threads)?;
        if settings.len() > TEXT_BYTES_MAX {
            let problem = format!("the settings are longer than {TEXT_BYTES_MAX} bytes");
            return Err(RunError::Message { problem });
        }
        let unix_ms = clock::unix_ms();
        for (place, mut met) in (0_u32..).zip(all) {
            let start = StartMessage {
                run_id: away.run_id.clone(),
                settings: settings.clone(),
                authorities: away.settings.authorities.clone().unwrap_or_default(),
                first_thread: place * share,
                threads: share,
                unix_ms,
            };
            let threads = start.first_thread..start.first_thread + share;
            begin(&mut met, start).map_err(|problem| refusal(&met.worker, problem))?;
            let heard = workers.hear(met, threads, away.party.silence_max, &sender)?;
            workers.all.push(heard);
        }
        Ok((workers, reports))
    }

    /// Starts to listen to a worker, and measures its clock.
    fn hear(
        &self,
        met: Met,
        threads: Range<u32>,
        silence_max: Duration,
        reports: &Sender<Report>,
    ) -> Result<Away, RunError> {
        let (sender, pongs) = mpsc::channel();
        let Met { worker, incoming, outgoing, .. } = met;
        let ear = Ear {
            worker: worker.clone(),
            threads: threads.clone(),
            silence_max,
            reports: reports.clone(),
            pongs: sender,
            left_ns: Arc::clone(&self.left_ns),
        };
        let ear = start_pinned_thread("bench-ear", None, move || ear.listen(incoming))?;
        let Some(begin) = measure(&outgoing, &pongs, 0) else {
            return Err(refusal(&worker, "it does not tell its time".to_owned()));
        };
        let clock = WorkerClock { worker, threads, begin, end: None };
        Ok(Away { outgoing, clock, pongs, ear: Some(ear) })
    }

    /// Threads of all of them.
    pub(crate) fn thread_count(&self) -> u32 {
        self.all.last().map_or(0, |away| away.clock.threads.end)
    }

    /// Has every worker carry out an order; one that cannot be told is found to be lost.
    pub(crate) fn give(&self, order: &TimedOrder) {
        for away in &self.all {
            let offset = away.clock.begin;
            let message = Message::Order(TimedMessage {
                stage: order.stage,
                arrivals: arrivals_of(&order.arrival),
                number: order.number,
                begin_ns: offset.of_worker(order.begin_ns),
                end_ns: offset.of_worker(order.end_ns),
            });
            // Its ear tells.
            _ = away.outgoing.send(&message);
        }
    }

    /// Ends the stage.
    pub(crate) fn stop(&mut self) {
        if std::mem::replace(&mut self.is_stopped, true) {
            return;
        }
        for away in &self.all {
            // One that is lost is stopped.
            _ = away.outgoing.send(&Message::Stop);
        }
    }

    /// The workers and their clocks, measured once more.
    pub(crate) fn clocks(&mut self) -> Vec<WorkerClock> {
        for away in &mut self.all {
            away.clock.end = measure(&away.outgoing, &away.pongs, PINGS);
        }
        self.all.iter().map(|away| away.clock.clone()).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.left_ns.store(clock::now_ns().max(1), Ordering::Relaxed);
        // Who speaks behind the end would break the connection, which the worker ends itself.
        self.alive = None;
        for away in &self.all {
            away.outgoing.finish();
        }
        for away in &mut self.all {
            if let Some(ear) = away.ear.take() {
                // Its panic was shown already.
                _ = ear.join();
            }
        }
    }
}

fn refusal(worker: &str, problem: String) -> RunError {
    RunError::Worker { worker: worker.to_owned(), problem }
}

/// Connects to a worker, and finds whether both fit together.
fn meet(address: &str, party: &Party) -> Result<Met, RunError> {
    let told = |problem: String| refusal(address, problem);
    let stream = connect(address).map_err(|error| told(format!("cannot be reached: {error}")))?;
    let (mut incoming, outgoing) = ends_of(stream).map_err(|error| told(error.to_string()))?;
    let cpus = greet_worker(&mut incoming, &outgoing, party).map_err(told)?;
    Ok(Met { worker: address.to_owned(), incoming, outgoing: Arc::new(outgoing), cpus })
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "it has no address"));
    for address in address.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Threads of each worker: as many as were asked for, or as the smallest has CPUs.
fn share_of(away: &WorkersPlan, plan: &RunPlan, all: &[Met]) -> Result<u32, RunError> {
    let workers = u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    let keys = u32::try_from(plan.load.keys.count()).unwrap_or(u32::MAX);
    let most = plan.lanes.min(keys).min(THREADS_MAX) / workers;
    if most == 0 {
        return Err(RunError::Setting {
            setting: "--workers",
            problem: format!(
                "{workers} workers for {} operations under way of {keys} keys",
                plan.lanes
            ),
        });
    }
    let cpus = all.iter().map(|met| met.cpus).min().unwrap_or(1).max(1);
    match away.settings.threads {
        Some(_) if plan.threads > most => Err(RunError::Setting {
            setting: "--threads",
            problem: format!(
                "{} threads of each of {workers} workers; {most} are the most for {} operations \
                 under way of {keys} keys",
                plan.threads, plan.lanes
            ),
        }),
        Some(_) => Ok(plan.threads),
        None => Ok(cpus.min(most)),
    }
}

/// Tells a worker its share, and waits until its threads are there.
fn begin(met: &mut Met, start: StartMessage) -> Result<(), String> {
    met.outgoing.send(&Message::Start(start)).map_err(|error| unheard(&error))?;
    let begin_ns = clock::now_ns();
    loop {
        match met.incoming.expect(READY_TIMEOUT).map_err(|error| unheard(&error))? {
            Message::Ready => return Ok(()),
            Message::Refused { problem } => return Err(problem),
            Message::Alive => {}
            other => return Err(format!("it said {} before ready", other.name())),
        }
        if Duration::from_nanos(clock::now_ns() - begin_ns) > READY_TIMEOUT {
            return Err("its threads do not start".to_owned());
        }
    }
}

/// Says each second that this side is there, until what it gives is dropped.
fn keep_alive(all: Vec<Arc<Outgoing>>) -> Result<Sender<()>, RunError> {
    let (hold, held) = mpsc::channel();
    let body = move || {
        while held.recv_timeout(ALIVE_EVERY) == Err(RecvTimeoutError::Timeout) {
            for outgoing in &all {
                // One that is lost is found by its ear.
                _ = outgoing.send(&Message::Alive);
            }
        }
    };
    // It ends by itself, within a second or a write's timeout; nobody needs to wait for it.
    let _thread = start_pinned_thread("bench-alive", None, body)?;
    Ok(hold)
}

/// A worker's clock by a few pings; `first`: the number of the first. `None`: it does not answer.
fn measure(outgoing: &Outgoing, pongs: &Receiver<Heard>, first: u32) -> Option<Offset> {
    let mut best = None;
    for number in first..first + PINGS {
        let sent_ns = clock::now_ns();
        outgoing.send(&Message::Ping { number }).ok()?;
        let heard = loop {
            let heard = pongs.recv_timeout(PONG_TIMEOUT).ok()?;
            if heard.number == number {
                break heard;
            }
        };
        best = Some(Offset::of_ping(sent_ns, heard.worker_ns, heard.heard_ns).better(best));
    }
    best
}

fn arrivals_of(arrival: &ArrivalPlan) -> Arrivals {
    match arrival {
        ArrivalPlan::Closed => Arrivals::Closed,
        ArrivalPlan::Open { rate: Rate::Constant(rate), .. } => Arrivals::Constant(*rate),
        ArrivalPlan::Open { rate: Rate::Poisson(rate), .. } => Arrivals::Poisson(*rate),
        // Nothing but the settings makes these.
        ArrivalPlan::Open { rate: Rate::Ramp { .. } | Rate::Steps(_), .. } => Arrivals::OfSettings,
    }
}

/// Who listens to one worker.
struct Ear {
    worker: String,
    threads: Range<u32>,
    silence_max: Duration,
    reports: Sender<Report>,
    pongs: Sender<Heard>,
    left_ns: Arc<AtomicU64>,
}

impl Ear {
    /// Hands on what the worker tells, until it or the run is gone.
    fn listen(self, mut incoming: Incoming) {
        let Err(problem) = self.hand_on(&mut incoming) else { return };
        for thread in self.threads.clone() {
            let (worker, problem) = (self.worker.clone(), problem.clone());
            // Nobody listens any more where the run was given up.
            _ = self
                .reports
                .send(Report::Ended(thread, Err(RunError::WorkerLost { worker, problem })));
        }
    }

    /// Ends well only when the run is over.
    fn hand_on(&self, incoming: &mut Incoming) -> Result<(), String> {
        loop {
            let heard = incoming.poll();
            let left_ns = self.left_ns.load(Ordering::Relaxed);
            if left_ns > 0 && (heard.is_err() || clock::now_ns() > left_ns + LEAVE_NS) {
                return Ok(());
            }
            match heard.map_err(|error| unheard(&error))? {
                None if incoming.silence() > self.silence_max => {
                    let silence_s = self.silence_max.as_secs_f64();
                    return Err(format!("it has said nothing for {silence_s:.0} s"));
                }
                None => {}
                Some(message) => self.hand_on_one(message)?,
            }
        }
    }

    fn hand_on_one(&self, message: Message) -> Result<(), String> {
        let is_its = |thread: u32| self.threads.contains(&thread);
        // Who is not listened to any more needs nothing.
        match message {
            Message::Alive => {}
            Message::Pong { number, now_ns } => {
                let heard_ns = clock::now_ns();
                _ = self.pongs.send(Heard { number, worker_ns: now_ns, heard_ns });
            }
            Message::Interval { thread, part, interval } if is_its(thread) => {
                _ = self.reports.send(Report::Interval(thread, part, interval));
            }
            Message::Ended { thread, outcome } if is_its(thread) => {
                let worker = self.worker.clone();
                let outcome = outcome.map_err(|problem| RunError::WorkerLost { worker, problem });
                _ = self.reports.send(Report::Ended(thread, outcome));
            }
            Message::Refused { problem } => return Err(problem),
            other => return Err(format!("it said {} when nobody asked", other.name())),
        }
        Ok(())
    }
}

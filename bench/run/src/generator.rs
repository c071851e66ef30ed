//! The loop of one thread: what is due is started, what ended is recorded.
//!
//! Invariants: in an open loop planned times do not depend on how the target does, and latency
//! counts from them; nothing that was planned is dropped without being counted as shed; an
//! operation is recorded once, when it has ended, also after the end of its phase.

use crate::clock;
use crate::cpu::ThreadCpu;
use crate::planner::{Planner, Stage};
use crate::target::{Done, Outcome, Target};
use crate::task::Task;
use bench_client::Lane;
use bench_model::{Mismatch, Operation, Schedule};
use bench_stats::{Interval, LatencyKind, RACED, Recorder, SizeClass};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Operations that are started before the kernel is told and asked.
const STARTS_MAX: usize = 16;
/// A server with which no connection comes about is not asked again before so long.
const HELD_NS: u64 = 100_000_000;
/// The longest wait: stop flags and intervals are looked after so often.
const WAIT_NS_MAX: u64 = 50_000_000;
/// Intervals are so long.
const INTERVAL_NS: u64 = 1_000_000_000;
/// Mismatches that are kept to be shown.
const MISMATCHES_MAX: usize = 100;

/// When operations begin.
pub enum Arrival {
    /// As soon as another one ended.
    Closed,
    /// When they were planned for.
    Open {
        /// Times since the phase's begin.
        schedule: Schedule,
        /// Operations that wait for a free connection, at most; more are shed.
        backlog_max: usize,
    },
}

/// The bounds of a phase for one thread.
pub struct Phase<'a> {
    /// When operations begin to start, in nanoseconds of the clock.
    pub begin_ns: u64,
    /// When none is started any more.
    pub end_ns: u64,
    /// Operations are given up after so long.
    pub timeout_ns: u64,
    /// Ends the phase before its time.
    pub stop: &'a AtomicBool,
    /// Gets what was recorded: each second, and then what ended after the phase.
    pub report: &'a mut dyn FnMut(Part, Interval),
}

/// Of what an interval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of the phase.
    Phase,
    /// Of the time behind it, in which nothing was started.
    Drain,
}

/// An operation under way.
#[derive(Clone, Copy)]
struct Under {
    task: Task,
    sent_ns: u64,
}

/// One thread's loop.
pub struct Generator<T> {
    planner: Planner,
    target: T,
    under: Vec<Option<Under>>,
    free: Vec<Lane>,
    /// Lanes whose connection is ending, and those held back until a time.
    closing: Vec<Lane>,
    held: VecDeque<(u64, Lane)>,
    backlog: VecDeque<u64>,
    next_planned: Option<u64>,
    is_closed: bool,
    /// When a lane became free after none was.
    freed_ns: u64,
    recorder: Recorder,
    done: Vec<Done>,
    mismatches: Vec<Mismatch>,
    cpu: ThreadCpu,
}

impl<T: Target> Generator<T> {
    /// A thread's loop over a target.
    pub fn new(planner: Planner, target: T) -> Self {
        let lanes = target.lanes();
        Self {
            planner,
            target,
            under: vec![None; lanes as usize],
            free: (0..lanes).rev().map(Lane).collect(),
            closing: Vec::new(),
            held: VecDeque::new(),
            backlog: VecDeque::new(),
            next_planned: None,
            is_closed: true,
            freed_ns: 0,
            recorder: Recorder::new(0),
            done: Vec::new(),
            mismatches: Vec::new(),
            cpu: ThreadCpu::default(),
        }
    }

    /// Begins a stage: what the operations are for.
    pub fn begin(&mut self, stage: Stage) {
        self.planner.begin(stage);
    }

    /// What was wrong with answers, up to a bound.
    pub fn take_mismatches(&mut self) -> Vec<Mismatch> {
        std::mem::take(&mut self.mismatches)
    }

    /// Runs one phase to its end; what is under way then is waited for.
    ///
    /// # Errors
    /// Where the target itself is of no use any more.
    pub fn run(&mut self, arrival: &mut Arrival, phase: &mut Phase<'_>) -> io::Result<()> {
        self.prepare(arrival, phase);
        let mut interval_end_ns = phase.begin_ns + INTERVAL_NS;
        let mut looked_ns = phase.begin_ns;
        let mut is_over = false;
        loop {
            let now = clock::now_ns();
            let was_over = is_over;
            is_over = is_over
                || now >= phase.end_ns
                || phase.stop.load(Ordering::Relaxed)
                || self.planner.is_exhausted();
            if is_over && !was_over {
                if now >= phase.end_ns && !self.is_closed {
                    // Whoever wakes a moment late has still to begin what was planned before the end.
                    self.start_due(arrival, phase, phase.end_ns.saturating_sub(1));
                }
                self.shed_the_rest(arrival, phase, now);
                self.report(Part::Phase, phase, now);
            }
            if is_over && self.is_idle() {
                break;
            }
            if !is_over {
                self.start_due(arrival, phase, now);
                if now >= interval_end_ns {
                    self.report(Part::Phase, phase, now);
                    interval_end_ns += INTERVAL_NS;
                }
            }
            if now.saturating_sub(looked_ns) >= WAIT_NS_MAX {
                looked_ns = now;
                self.give_up_late(phase.timeout_ns, now);
            }
            let timeout = self.wait_ns(phase, interval_end_ns, is_over);
            self.target.turn(Some(timeout), &self.planner, &mut self.done)?;
            self.end_done();
        }
        self.report(Part::Drain, phase, clock::now_ns());
        Ok(())
    }

    fn report(&mut self, part: Part, phase: &mut Phase<'_>, now: u64) {
        self.recorder.add_client_cpu(self.cpu.spent_ns());
        let interval = self.recorder.take_interval(now.saturating_sub(phase.begin_ns));
        (phase.report)(part, interval);
    }

    /// What was planned and cannot be started any more.
    fn shed_the_rest(&mut self, arrival: &mut Arrival, phase: &Phase<'_>, now: u64) {
        let end_ns = phase.end_ns.min(now);
        if let Arrival::Open { schedule, .. } = arrival {
            while self.next_planned.is_some_and(|planned| phase.begin_ns + planned < end_ns) {
                self.recorder.count_shed(1);
                self.next_planned = schedule.next_ns();
            }
        }
        self.recorder.count_shed(self.backlog.len() as u64);
        self.backlog.clear();
    }

    fn prepare(&mut self, arrival: &mut Arrival, phase: &Phase<'_>) {
        self.recorder = Recorder::new(0);
        self.backlog.clear();
        self.next_planned = match arrival {
            Arrival::Closed => None,
            Arrival::Open { schedule, .. } => schedule.next_ns(),
        };
        self.is_closed = matches!(arrival, Arrival::Closed);
        self.wait_for_begin(phase);
        self.freed_ns = phase.begin_ns;
        self.cpu.spent_ns();
    }

    fn wait_for_begin(&self, phase: &Phase<'_>) {
        loop {
            let left = phase.begin_ns.saturating_sub(clock::now_ns());
            if left == 0 {
                return;
            }
            std::thread::sleep(Duration::from_nanos(left));
        }
    }

    fn is_idle(&self) -> bool {
        self.under.iter().all(Option::is_none)
    }

    /// Starts what is due while there are free lanes.
    fn start_due(&mut self, arrival: &mut Arrival, phase: &Phase<'_>, now: u64) {
        self.free_lanes(now);
        match arrival {
            Arrival::Closed => {
                for _ in 0..STARTS_MAX {
                    let Some(lane) = self.free.pop() else { return };
                    let now = clock::now_ns();
                    if !self.start(lane, now) {
                        return;
                    }
                }
            }
            Arrival::Open { schedule, backlog_max } => {
                while let Some(planned) = self.next_planned
                    && phase.begin_ns + planned <= now
                {
                    if self.backlog.len() < *backlog_max {
                        self.backlog.push_back(phase.begin_ns + planned);
                    } else {
                        self.recorder.count_shed(1);
                    }
                    self.next_planned = schedule.next_ns();
                }
                for _ in 0..STARTS_MAX {
                    if self.backlog.is_empty() {
                        return;
                    }
                    let Some(lane) = self.free.pop() else { return };
                    let planned_ns = self.backlog.pop_front().unwrap_or(now);
                    let could_ns = planned_ns.max(self.freed_ns);
                    if self.start(lane, planned_ns) {
                        // With what it took to make the request: the client is late by that too.
                        let late_ns = clock::now_ns().saturating_sub(could_ns);
                        self.recorder.record_schedule_lag(late_ns);
                    } else {
                        self.recorder.count_shed(1);
                    }
                }
            }
        }
    }

    /// Starts the next operation; `false` where there is none to be had now.
    fn start(&mut self, lane: Lane, planned_ns: u64) -> bool {
        let Some(task) = self.planner.next(planned_ns) else {
            self.held.push_back((clock::now_ns() + HELD_NS / 100, lane));
            return false;
        };
        self.target.start(lane, &task, &self.planner);
        let sent_ns = clock::now_ns();
        // A closed loop plans nothing: an operation begins when it is sent.
        let planned_ns = if self.is_closed { sent_ns } else { planned_ns };
        let task = Task { planned_ns, ..task };
        self.under[lane.0 as usize] = Some(Under { task, sent_ns });
        true
    }

    /// Takes lanes back that were ending or held back.
    fn free_lanes(&mut self, now: u64) {
        let were_busy = self.free.is_empty();
        while let Some((until, lane)) = self.held.front().copied()
            && until <= now
        {
            self.held.pop_front();
            self.free_or_closing(lane);
        }
        for lane in std::mem::take(&mut self.closing) {
            self.free_or_closing(lane);
        }
        if were_busy && !self.free.is_empty() {
            self.freed_ns = self.freed_ns.max(now);
        }
    }

    fn free_or_closing(&mut self, lane: Lane) {
        if self.target.is_free(lane) {
            self.free.push(lane);
        } else {
            self.closing.push(lane);
        }
    }

    /// How long nothing needs to be started.
    fn wait_ns(&self, phase: &Phase<'_>, interval_end_ns: u64, is_over: bool) -> Duration {
        let now = clock::now_ns();
        let mut until = now + WAIT_NS_MAX;
        if !is_over {
            until = until.min(phase.end_ns).min(interval_end_ns);
            // More could be started than is at once.
            if !self.free.is_empty() && (self.is_closed || !self.backlog.is_empty()) {
                return Duration::ZERO;
            }
            if !self.free.is_empty() {
                until = match self.next_planned {
                    Some(planned) => until.min(phase.begin_ns + planned),
                    None => until,
                };
            }
            if let Some((held_until, _)) = self.held.front() {
                until = until.min(*held_until);
            }
        }
        Duration::from_nanos(until.saturating_sub(now))
    }

    fn give_up_late(&mut self, timeout_ns: u64, now: u64) {
        for lane in 0..self.target.lanes() {
            let is_late = self.under[lane as usize]
                .is_some_and(|under| now.saturating_sub(under.sent_ns) > timeout_ns);
            if is_late {
                self.target.abort(Lane(lane), &self.planner, &mut self.done);
            }
        }
    }

    /// Records what has ended.
    fn end_done(&mut self) {
        let mut all = std::mem::take(&mut self.done);
        for done in all.drain(..) {
            let Some(under) = self.under[done.lane.0 as usize].take() else { continue };
            self.planner.end(&under.task, done.outcome == Outcome::Done);
            self.record(&under, &done);
            if matches!(&done.outcome, Outcome::Failed(code) if code == "connect" || code == "tls")
            {
                self.held.push_back((done.ended_ns + HELD_NS, done.lane));
                continue;
            }
            if self.free.is_empty() {
                self.freed_ns = self.freed_ns.max(done.ended_ns);
            }
            self.free_or_closing(done.lane);
        }
        self.done = all;
    }

    fn record(&mut self, under: &Under, done: &Done) {
        let task = &under.task;
        let class = match task.operation {
            Operation::Delete | Operation::MultiDelete | Operation::List => SizeClass::Any,
            Operation::GetRange => SizeClass::of(task.range.1),
            _ => SizeClass::of(task.size_bytes),
        };
        let recorder = &mut self.recorder;
        match &done.outcome {
            Outcome::Done => {}
            // It was carried out rightly, but its time is not that of a read.
            Outcome::Raced => return recorder.count_error(task.operation, class, RACED),
            Outcome::Failed(code) => {
                recorder.count_error(task.operation, class, code);
                if code == "timeout" {
                    // It took so long at least; without it the tail would be of the lucky ones.
                    let response_ns = done.ended_ns.saturating_sub(task.planned_ns);
                    recorder.record(task.operation, class, LatencyKind::Response, response_ns);
                }
                return;
            }
            Outcome::Wrong(mismatch) => {
                recorder.count_mismatch();
                if self.mismatches.len() < MISMATCHES_MAX {
                    self.mismatches.push(*mismatch);
                }
                return recorder.count_error(task.operation, class, "mismatch");
            }
        }
        recorder.count(task.operation, class, done.object_bytes);
        let since = |begin: u64, end: u64| end.saturating_sub(begin);
        let mut record =
            |kind, latency_ns| recorder.record(task.operation, class, kind, latency_ns);
        record(LatencyKind::Response, since(task.planned_ns, done.ended_ns));
        // Making a connection is not the server's work on the request.
        let asked_ns = done.connected_ns.unwrap_or(under.sent_ns).max(under.sent_ns);
        record(LatencyKind::Service, since(asked_ns, done.ended_ns));
        if let Some(first_byte_ns) = done.first_byte_ns {
            record(LatencyKind::FirstByte, since(asked_ns, first_byte_ns));
        }
        if let Some(connect_ns) = done.connect_ns {
            record(LatencyKind::Connect, connect_ns);
        }
        if under.sent_ns > task.planned_ns {
            record(LatencyKind::Queue, under.sent_ns - task.planned_ns);
        }
    }
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;

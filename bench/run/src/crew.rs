//! The threads of a run, here or at workers, and what they record.
//!
//! Invariants: intervals of all threads are added, never averaged, and one by one: it makes no
//! difference to the sum where a thread runs; of a long stage few rows are kept, not all seconds;
//! the first error of a thread stops all; dropping a crew ends its threads.

use crate::clock;
use crate::error::RunError;
use crate::generator::Part;
use crate::plan::RunPlan;
use crate::remote::{WorkerClock, Workers};
use crate::rows::Rows;
use crate::threads::{Means, Order, Report, Threads, TimedOrder};
use bench_model::Mismatch;
use bench_stats::Interval;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// The watcher is asked so often whether it has something to do.
const TICK: Duration = Duration::from_millis(20);
/// From the order to the first operation: all threads begin together.
const BEGIN_NS: u64 = 20_000_000;
/// The same where the order goes over a network first.
const BEGIN_AWAY_NS: u64 = 250_000_000;

/// What a stage recorded.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// Rows of whole seconds, of all threads.
    pub(crate) intervals: Vec<Interval>,
    /// What ended after the stage.
    pub(crate) drain: Interval,
    /// CPU time of the thread that used most.
    pub(crate) busiest_thread_ns: u64,
    pub(crate) mismatches: Vec<Mismatch>,
}

impl Recorded {
    /// What was recorded within the stage.
    pub(crate) fn measured(&self) -> Interval {
        let mut total = Interval::default();
        for interval in &self.intervals {
            total.add(interval);
        }
        total
    }

    /// All of it.
    pub(crate) fn total(&self) -> Interval {
        let mut total = self.measured();
        total.add(&self.drain);
        total
    }
}

/// Who watches a stage.
pub(crate) trait Watcher {
    /// A second is complete.
    fn second(&mut self, second: usize, interval: &Interval);
    /// Called often, with the time since the stage's begin.
    fn tick(&mut self, since_begin: Duration);
}

/// Where the threads are.
enum Hands {
    Here(Threads),
    Away(Workers),
}

/// The threads.
pub(crate) struct Crew {
    hands: Hands,
    reports: Receiver<Report>,
    threads: u32,
    stop: Arc<AtomicBool>,
}

impl Crew {
    /// Starts the threads of a plan; they wait for orders. `stop`: ends any stage at once.
    ///
    /// # Errors
    /// Where a thread or its ring cannot be had.
    pub(crate) fn start(
        plan: &RunPlan,
        means: Means<'_>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, RunError> {
        let (sender, reports) = mpsc::channel();
        let threads = Threads::start((plan, means), 0..plan.threads, stop, &sender)?;
        let stop = Arc::clone(stop);
        Ok(Self { hands: Hands::Here(threads), reports, threads: plan.threads, stop })
    }

    /// The threads of workers that wait for orders already.
    pub(crate) fn of_workers(
        workers: Workers,
        reports: Receiver<Report>,
        stop: &Arc<AtomicBool>,
    ) -> Self {
        let threads = workers.thread_count();
        Self { hands: Hands::Away(workers), reports, threads, stop: Arc::clone(stop) }
    }

    /// The workers and their clocks, measured once more; nothing where all threads are here.
    pub(crate) fn clocks(&mut self) -> Vec<WorkerClock> {
        match &mut self.hands {
            Hands::Here(_) => Vec::new(),
            Hands::Away(workers) => workers.clocks(),
        }
    }

    /// Whether the run is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Carries out one stage.
    ///
    /// # Errors
    /// Of the first thread that failed.
    pub(crate) fn run(
        &mut self,
        order: &Order,
        watcher: &mut dyn Watcher,
    ) -> Result<Recorded, RunError> {
        let lead_ns = match &self.hands {
            Hands::Here(_) => BEGIN_NS,
            Hands::Away(_) => BEGIN_AWAY_NS,
        };
        let begin_ns = clock::now_ns() + lead_ns;
        let duration_ns = order.duration.map(|duration| duration.as_nanos());
        let end_ns = duration_ns
            .and_then(|duration| u64::try_from(duration).ok())
            .map_or(u64::MAX, |duration| begin_ns.saturating_add(duration));
        let Order { stage, number, .. } = *order;
        let timed = TimedOrder { stage, arrival: order.arrival.clone(), number, begin_ns, end_ns };
        match &self.hands {
            Hands::Here(threads) => threads.give(&timed)?,
            // One that is lost is reported as all its threads' end.
            Hands::Away(workers) => workers.give(&timed),
        }
        let mut gathering = Gathering::new(self.threads as usize);
        while !gathering.is_complete() {
            match self.reports.recv_timeout(TICK) {
                Ok(Report::Interval(thread, part, interval)) => {
                    gathering.add(thread, part, &interval);
                }
                Ok(Report::Ended(thread, outcome)) => {
                    if outcome.is_err() {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                    gathering.end(thread, outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the generator threads have died").into());
                }
            }
            if let Hands::Away(workers) = &mut self.hands
                && self.stop.load(Ordering::Relaxed)
            {
                workers.stop();
            }
            let now_ns = clock::now_ns();
            watcher.tick(Duration::from_nanos(now_ns.saturating_sub(begin_ns)));
            gathering.tell(watcher);
        }
        gathering.finish()
    }
}

/// Adds up what threads report, second by second.
struct Gathering {
    recorded: Recorded,
    /// Intervals that each thread has sent, whether it has ended, and its CPU time.
    threads: Vec<(usize, bool, u64)>,
    /// Seconds that were told, and are in rows.
    told: usize,
    rows: Rows,
    /// The seconds behind them, which some thread has still to report.
    pending: VecDeque<Interval>,
    failure: Option<RunError>,
}

impl Gathering {
    fn new(threads: usize) -> Self {
        Self {
            recorded: Recorded::default(),
            threads: vec![(0, false, 0); threads],
            told: 0,
            rows: Rows::new(),
            pending: VecDeque::new(),
            failure: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.threads.iter().all(|(_, is_ended, _)| *is_ended)
    }

    fn add(&mut self, thread: u32, part: Part, interval: &Interval) {
        if part == Part::Drain {
            self.recorded.drain.add(interval);
            return;
        }
        let (count, _, cpu_ns) = &mut self.threads[thread as usize];
        // A worker's thread that speaks behind its end may be behind what was told.
        match self.pending.get_mut(count.saturating_sub(self.told)) {
            Some(sum) => sum.add(interval),
            None => self.pending.push_back(interval.clone()),
        }
        *count += 1;
        *cpu_ns += interval.client_cpu_ns;
    }

    fn end(&mut self, thread: u32, outcome: Result<Vec<Mismatch>, RunError>) {
        self.threads[thread as usize].1 = true;
        match outcome {
            Ok(mismatches) => self.recorded.mismatches.extend(mismatches),
            Err(error) => _ = self.failure.get_or_insert(error),
        }
    }

    /// Tells of the seconds that every thread has reported, or will never.
    fn tell(&mut self, watcher: &mut dyn Watcher) {
        let complete = self
            .threads
            .iter()
            .map(|(count, is_ended, _)| if *is_ended { usize::MAX } else { *count })
            .min()
            .unwrap_or(0);
        while self.told < complete
            && let Some(second) = self.pending.pop_front()
        {
            watcher.second(self.told, &second);
            self.rows.push(second);
            self.told += 1;
        }
    }

    fn finish(mut self) -> Result<Recorded, RunError> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let busiest = self.threads.iter().map(|(_, _, cpu_ns)| *cpu_ns).max();
        self.recorded.busiest_thread_ns = busiest.unwrap_or(0);
        // All was told after the last end; nothing may be lost where it was not.
        for second in self.pending {
            self.rows.push(second);
        }
        self.recorded.intervals = self.rows.into_rows();
        Ok(self.recorded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds that were told, and what was shed in each.
    #[derive(Default)]
    struct Told(Vec<(usize, u64)>);

    impl Watcher for Told {
        fn second(&mut self, second: usize, interval: &Interval) {
            self.0.push((second, interval.shed));
        }
        fn tick(&mut self, _: Duration) {}
    }

    fn shed(second: u64, shed: u64) -> Interval {
        let mut interval = Interval::new(second, second + 1);
        interval.shed = shed;
        interval
    }

    #[test]
    fn a_second_is_told_when_all_have_reported_it_and_nothing_is_lost() {
        let (mut gathering, mut told) = (Gathering::new(2), Told::default());
        for second in 0..3 {
            gathering.add(0, Part::Phase, &shed(second, 1));
        }
        gathering.add(1, Part::Phase, &shed(0, 10));
        gathering.tell(&mut told);
        assert_eq!(told.0, [(0, 11)]);
        gathering.end(1, Ok(Vec::new()));
        gathering.tell(&mut told);
        assert_eq!(told.0, [(0, 11), (1, 1), (2, 1)]);
        // Behind its end, and then not told of any more.
        gathering.add(1, Part::Phase, &shed(1, 100));
        gathering.end(0, Ok(Vec::new()));
        let recorded = gathering.finish().unwrap();
        assert_eq!(recorded.measured().shed, 113);
        let shed: Vec<u64> = recorded.intervals.iter().map(|row| row.shed).collect();
        assert_eq!(shed, [11, 1, 1, 100]);
    }
}

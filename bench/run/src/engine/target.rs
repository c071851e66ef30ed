//! The target `engine`: operations as futures of a generator's thread, carried out by the shards.
//!
//! Invariants: a lane is free once its operation has ended on the shards, also where it was given
//! up before; what is read is checked as it comes, and let go; time is taken where an operation
//! ends, not where that is heard.

use super::Door;
use super::operation::{Desk, Event, Verdict, carry_out};
use crate::check::{Check, is_changed};
use crate::clock;
use crate::plan::Load;
use crate::planner::Planner;
use crate::target::{Done, Outcome, Target};
use crate::task::Task;
use bench_client::Lane;
use bench_model::{Operation, Payload};
use gateway_core::shards::budget::MemoryBudget;
use shards_executor::{Executor, Handle, ParkDriver, Sleep};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The memory budget is looked after so often: waits for it have no end otherwise.
const TICK_NS: u64 = 250_000_000;

/// What operations tell the loop of their thread.
#[derive(Default)]
pub(super) struct Heard {
    events: RefCell<VecDeque<(Lane, Event)>>,
    waker: RefCell<Option<Waker>>,
}

impl Heard {
    pub(super) fn tell(&self, lane: Lane, event: Event) {
        self.events.borrow_mut().push_back((lane, event));
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn next(&self) -> Option<(Lane, Event)> {
        self.events.borrow_mut().pop_front()
    }

    /// Waits until something was told, or the time is over.
    async fn wait(&self, mut time: Option<Sleep>) {
        poll_fn(|context| {
            if !self.events.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            match &mut time {
                Some(time) => Pin::new(time).poll(context),
                None => Poll::Pending,
            }
        })
        .await;
    }
}

/// One lane.
#[derive(Default)]
struct Slot {
    /// `None` also where the operation was given up and has not ended yet.
    task: Option<Task>,
    is_running: bool,
    object: Check,
}

/// The operations of one thread on the engine of this process.
pub(crate) struct EngineTarget {
    executor: Executor<ParkDriver>,
    handle: Handle,
    desk: Rc<Desk>,
    heard: Rc<Heard>,
    slots: Vec<Slot>,
    budget: MemoryBudget,
    ticked_ns: u64,
}

impl EngineTarget {
    /// A target of so many operations at once.
    ///
    /// **Runs on** the thread that will use it.
    pub(crate) fn new(door: &Door, load: &Arc<Load>, payload: Payload, lanes: u32) -> Self {
        let executor = Executor::new(ParkDriver::new());
        let handle = executor.handle();
        let desk =
            Desk { store: door.store(), bucket: door.bucket, load: Arc::clone(load), payload };
        Self {
            executor,
            handle,
            desk: Rc::new(desk),
            heard: Rc::default(),
            slots: (0..lanes).map(|_| Slot::default()).collect(),
            budget: door.budget.clone(),
            ticked_ns: 0,
        }
    }

    fn hear(&mut self, lane: Lane, event: Event, planner: &Planner, done: &mut Vec<Done>) {
        let payload = &self.desk.payload;
        let slot = &mut self.slots[lane.0 as usize];
        match event {
            Event::Found(bytes) => {
                if let Some(task) = &slot.task {
                    slot.object.begin(planner.is_checked(task), Some(bytes));
                }
            }
            Event::Bytes(bytes) => {
                if let Some(task) = &slot.task {
                    slot.object.take(task, &bytes, payload, planner);
                }
            }
            Event::Ended { verdict, first_byte_ns, ended_ns } => {
                slot.is_running = false;
                // Of one that was given up nobody waits for the end any more.
                let Some(task) = slot.task.take() else { return };
                let outcome = outcome_of(&mut slot.object, &task, verdict, (payload, planner));
                let object_bytes = match (&outcome, task.is_write()) {
                    (Outcome::Done, true) => task.size_bytes,
                    _ => slot.object.received(),
                };
                done.push(done_of(lane, outcome, object_bytes, (first_byte_ns, ended_ns)));
            }
        }
    }
}

/// What an operation's end means.
fn outcome_of(
    object: &mut Check,
    task: &Task,
    verdict: Verdict,
    (payload, planner): (&Payload, &Planner),
) -> Outcome {
    let failed = |code: &str| Outcome::Failed(code.to_owned());
    match verdict {
        Verdict::Done if task.is_absent => failed("undeleted"),
        Verdict::Done => {
            let wrong = match task.operation {
                Operation::Get | Operation::GetRange => object.end(task, payload, planner),
                Operation::Head => object.end_head(task, planner),
                _ => None,
            };
            wrong.map_or(Outcome::Done, Outcome::Wrong)
        }
        Verdict::NoKey if task.is_absent => Outcome::Done,
        Verdict::NoKey if task.reads() && planner.may_be_absent(task) => Outcome::Raced,
        Verdict::NoKey => failed("NoSuchKey"),
        Verdict::NoRange if is_changed(planner, task) => Outcome::Raced,
        Verdict::NoRange => failed("InvalidRange"),
        Verdict::Refused(code) => Outcome::Failed(code),
    }
}

fn done_of(
    lane: Lane,
    outcome: Outcome,
    object_bytes: u64,
    (first_byte_ns, ended_ns): (Option<u64>, u64),
) -> Done {
    Done {
        lane,
        outcome,
        object_bytes,
        first_byte_ns,
        connect_ns: None,
        connected_ns: None,
        ended_ns,
    }
}

impl Target for EngineTarget {
    fn lanes(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    fn is_free(&self, lane: Lane) -> bool {
        !self.slots[lane.0 as usize].is_running
    }

    fn start(&mut self, lane: Lane, task: &Task, _: &Planner) {
        let slot = &mut self.slots[lane.0 as usize];
        (slot.task, slot.is_running) = (Some(*task), true);
        slot.object.clear();
        let (desk, heard, task) = (Rc::clone(&self.desk), Rc::clone(&self.heard), *task);
        self.handle.spawn(async move { carry_out(&desk, &task, &heard, lane).await });
    }

    fn turn(
        &mut self,
        timeout: Option<Duration>,
        planner: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        let now_ns = clock::now_ns();
        if now_ns.saturating_sub(self.ticked_ns) >= TICK_NS {
            self.ticked_ns = now_ns;
            self.budget.tick();
        }
        let time = timeout.map(|timeout| {
            let timeout_us = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
            self.handle.sleep_us(timeout_us)
        });
        let heard = Rc::clone(&self.heard);
        self.executor.run(heard.wait(time));
        while let Some((lane, event)) = heard.next() {
            self.hear(lane, event, planner, done);
        }
        Ok(())
    }

    fn abort(&mut self, lane: Lane, _: &Planner, done: &mut Vec<Done>) {
        // The shards go on with it: the lane is free once they have ended.
        if self.slots[lane.0 as usize].task.take().is_some() {
            let outcome = Outcome::Failed("timeout".to_owned());
            done.push(done_of(lane, outcome, 0, (None, clock::now_ns())));
        }
    }
}

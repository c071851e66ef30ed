//! Tasks, time and order of one simulated world.

use crate::Random;
use crate::drive::SimDrive;
use crate::sites::Place;
use engine_env::{BrokenRules, Env, Rule};
use std::cell::RefCell;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Inner {
    now_us: u64,
    tasks: BTreeMap<u64, Option<Task>>,
    next_task: u64,
    timers: BinaryHeap<std::cmp::Reverse<(u64, u64)>>,
    timer_wakers: BTreeMap<u64, Waker>,
    next_timer: u64,
    order: Random,
    values: Random,
    rare_one_in: u64,
    rare: Random,
    broken: BrokenRules,
    trace: u64,
    steps: u64,
    aim: Option<&'static str>,
    hit: bool,
}

#[derive(Default)]
struct ReadyList(Mutex<Vec<u64>>);

struct TaskWaker {
    task: u64,
    ready: Arc<ReadyList>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
    }
}

/// A simulated world. Clones are handles to the same one.
#[derive(Clone)]
pub struct World {
    inner: Rc<RefCell<Inner>>,
    ready: Arc<ReadyList>,
}

/// The `Env` of a simulated world.
#[derive(Clone)]
pub struct SimEnv {
    world: World,
}

impl World {
    /// A world from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            inner: Rc::new(RefCell::new(Inner {
                now_us: 1_000_000,
                tasks: BTreeMap::new(),
                next_task: 0,
                timers: BinaryHeap::new(),
                timer_wakers: BTreeMap::new(),
                next_timer: 0,
                order: Random::new(seed, "order"),
                values: Random::new(seed, "values"),
                rare_one_in: 0,
                rare: Random::new(seed, "rare"),
                broken: BrokenRules::NONE,
                trace: seed,
                steps: 0,
                aim: None,
                hit: false,
            })),
            ready: Arc::default(),
        }
    }

    /// The `Env` to build an engine on.
    #[must_use]
    pub fn env(&self) -> SimEnv {
        SimEnv { world: self.clone() }
    }

    /// Rare branches are taken one time in `times`; 0 for never.
    pub fn set_rare(&self, times: u64) {
        self.inner.borrow_mut().rare_one_in = times;
    }

    /// From now on the stores of this world are without these rules.
    pub fn set_broken(&self, broken: BrokenRules) {
        self.inner.borrow_mut().broken = broken;
    }

    /// Looks out for writes that come from a place whose name ends like this: a source file, or
    /// `file:line`.
    pub fn aim(&self, place: Option<&'static str>) {
        let mut inner = self.inner.borrow_mut();
        (inner.aim, inner.hit) = (place, false);
    }

    /// Whether it looks out for writes.
    #[must_use]
    pub fn is_aimed(&self) -> bool {
        self.inner.borrow().aim.is_some()
    }

    /// Whether such a write was handed to a drive since the last call.
    pub fn take_hit(&self) -> bool {
        std::mem::take(&mut self.inner.borrow_mut().hit)
    }

    pub(crate) fn note_write(&self, place: Place) {
        let mut inner = self.inner.borrow_mut();
        inner.hit |= inner.aim.is_some_and(|aim| match aim.rsplit_once(':') {
            Some((file, line)) => place.file().ends_with(file) && line == place.line().to_string(),
            None => place.file().ends_with(aim),
        });
    }

    /// A number that depends on every step so far: two runs of a seed must agree.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.inner.borrow().trace
    }

    /// Task polls so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.inner.borrow().steps
    }

    /// Mixes a number into the trace.
    pub fn note(&self, value: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.trace = (inner.trace ^ value).wrapping_mul(0x100_0000_01b3).rotate_left(17);
    }

    /// Polls one ready task, chosen by the seed, or moves time on to the next timer. Gives false
    /// where there is neither.
    pub fn step(&self) -> bool {
        let mut ready = {
            let mut list = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *list)
        };
        if ready.is_empty() {
            return self.fire_timer();
        }
        let chosen = self.inner.borrow_mut().order.below(ready.len() as u64) as usize;
        let task_id = ready.swap_remove(chosen);
        self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut ready);
        let task = {
            let mut inner = self.inner.borrow_mut();
            inner.tasks.get_mut(&task_id).and_then(Option::take)
        };
        let Some(mut task) = task else { return true };
        self.note(task_id);
        let waker = Waker::from(Arc::new(TaskWaker { task: task_id, ready: self.ready.clone() }));
        let outcome = task.as_mut().poll(&mut Context::from_waker(&waker));
        let mut inner = self.inner.borrow_mut();
        inner.steps += 1;
        match outcome {
            Poll::Ready(()) => {
                inner.tasks.remove(&task_id);
            }
            Poll::Pending => {
                if let Some(slot) = inner.tasks.get_mut(&task_id) {
                    *slot = Some(task);
                    return true;
                }
            }
        }
        drop(inner);
        true
    }

    fn fire_timer(&self) -> bool {
        let waker = {
            let mut inner = self.inner.borrow_mut();
            loop {
                let Some(std::cmp::Reverse((at, timer))) = inner.timers.pop() else { return false };
                inner.now_us = inner.now_us.max(at);
                if let Some(waker) = inner.timer_wakers.remove(&timer) {
                    break waker;
                }
            }
        };
        waker.wake();
        true
    }

    /// Runs until the future is done; `None` where nothing can go on or after `steps_max` steps.
    pub fn run<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
        steps_max: u64,
    ) -> Option<T> {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.env().spawn(async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        });
        for _ in 0..steps_max {
            if let Some(value) = result.borrow_mut().take() {
                return Some(value);
            }
            if !self.step() {
                break;
            }
        }
        result.borrow_mut().take()
    }

    /// The process dies: every task and timer is gone at once.
    pub fn kill(&self) {
        let (tasks, wakers) = {
            let mut inner = self.inner.borrow_mut();
            inner.timers.clear();
            (std::mem::take(&mut inner.tasks), std::mem::take(&mut inner.timer_wakers))
        };
        drop(wakers);
        drop(tasks);
        self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // What the dropped tasks may have spawned or armed while dropping goes too.
        let mut inner = self.inner.borrow_mut();
        inner.timers.clear();
        inner.timer_wakers.clear();
        let late = std::mem::take(&mut inner.tasks);
        drop(inner);
        drop(late);
    }
}

/// A timer of the simulated clock.
pub struct SimSleep {
    world: World,
    timer: u64,
    at_us: u64,
}

impl Future for SimSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.world.inner.borrow_mut();
        if inner.now_us >= self.at_us && !inner.timer_wakers.contains_key(&self.timer) {
            return Poll::Ready(());
        }
        inner.timer_wakers.insert(self.timer, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        if let Ok(mut inner) = self.world.inner.try_borrow_mut() {
            inner.timer_wakers.remove(&self.timer);
        }
    }
}

impl SimEnv {
    /// The world this is a handle to.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }
}

impl Env for SimEnv {
    type Drive = SimDrive;

    fn now_us(&self) -> u64 {
        self.world.inner.borrow().now_us
    }

    fn wall_ms(&self) -> u64 {
        1_800_000_000_000 + self.now_us() / 1000
    }

    fn sleep_us(&self, duration_us: u64) -> impl Future<Output = ()> + use<> {
        let mut inner = self.world.inner.borrow_mut();
        let timer = inner.next_timer;
        inner.next_timer += 1;
        let at_us = inner.now_us + duration_us.max(1);
        inner.timers.push(std::cmp::Reverse((at_us, timer)));
        SimSleep { world: self.world.clone(), timer, at_us }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut inner = self.world.inner.borrow_mut();
        let id = inner.next_task;
        inner.next_task += 1;
        inner.tasks.insert(id, Some(Box::pin(task)));
        drop(inner);
        self.world.ready.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn random_u64(&self) -> u64 {
        self.world.inner.borrow_mut().values.next()
    }

    fn rare(&self, _name: &'static str) -> bool {
        let mut inner = self.world.inner.borrow_mut();
        let times = inner.rare_one_in;
        times > 0 && inner.rare.one_in(times)
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.world.inner.borrow().broken.contains(rule)
    }
}

//! The executor over a driver without I/O.
#![allow(clippy::unwrap_used, reason = "tests")]

use shards_executor::{
    Executor, ExecutorOptions, ParkDriver, allowed_cpus, now_us, start_pinned_thread,
    start_thread_on,
};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn executor() -> Executor<ParkDriver> {
    Executor::new(ParkDriver::new())
}

/// Pending once.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn timers_fire_in_order_of_deadline_and_not_early() {
    let mut executor = executor();
    let handle = executor.handle();
    let order = Rc::new(RefCell::new(Vec::new()));
    for delay_us in [9_000_u64, 3_000, 6_000] {
        let (timers, order) = (handle.clone(), order.clone());
        handle.spawn(async move {
            let start_us = timers.now_us();
            timers.sleep_us(delay_us).await;
            assert!(timers.now_us() - start_us >= delay_us);
            order.borrow_mut().push(delay_us);
        });
    }
    executor.run(handle.sleep_us(20_000));
    assert_eq!(*order.borrow(), [3_000, 6_000, 9_000]);
    assert_eq!(handle.live_tasks(), 0);
}

#[test]
fn a_dropped_sleep_does_not_wake() {
    let mut executor = executor();
    let handle = executor.handle();
    let start_us = now_us();
    executor.run(async {
        let mut long = Box::pin(handle.sleep_us(5_000_000));
        let first = poll_fn(|context| Poll::Ready(long.as_mut().poll(context).is_ready())).await;
        assert!(!first);
        drop(long);
        handle.sleep_us(1_000).await;
    });
    assert!(now_us() - start_us < 4_000_000);
}

#[test]
fn ready_tasks_run_first_in_first_out() {
    let mut executor = executor();
    let handle = executor.handle();
    let order = Rc::new(RefCell::new(Vec::new()));
    for name in 0..3 {
        let order = order.clone();
        handle.spawn(async move {
            for turn in 0..2 {
                order.borrow_mut().push((turn, name));
                yield_now().await;
            }
        });
    }
    executor.run(handle.sleep_us(50_000));
    assert_eq!(*order.borrow(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
}

/// Woken by other threads; counts its polls.
struct Foreign {
    waker: Arc<Mutex<Option<Waker>>>,
    value: Arc<AtomicU64>,
    until: u64,
}

impl Future for Foreign {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        *self.waker.lock().unwrap() = Some(context.waker().clone());
        match self.value.load(Ordering::SeqCst) >= self.until {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[test]
fn no_wake_from_another_thread_is_lost() {
    const WAKES: u64 = 2_000;
    let mut executor = executor();
    let value = Arc::new(AtomicU64::new(0));
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let (other_value, other_waker) = (value.clone(), waker.clone());
    let thread = start_pinned_thread("waker", None, move || {
        for _ in 0..WAKES {
            other_value.fetch_add(1, Ordering::SeqCst);
            let waker = other_waker.lock().unwrap().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    })
    .unwrap();
    // A lost wake hangs this test.
    for until in (1..=WAKES).step_by(7) {
        executor.run(Foreign { waker: waker.clone(), value: value.clone(), until });
    }
    thread.join().unwrap();
    assert_eq!(value.load(Ordering::SeqCst), WAKES);
}

#[test]
fn a_foreign_wake_ends_a_long_sleep() {
    let mut executor = executor();
    let value = Arc::new(AtomicU64::new(0));
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let (other_value, other_waker) = (value.clone(), waker.clone());
    let thread = start_pinned_thread("waker", None, move || {
        std::thread::sleep(Duration::from_millis(30));
        other_value.store(1, Ordering::SeqCst);
        other_waker.lock().unwrap().take().unwrap().wake();
    })
    .unwrap();
    executor.run(Foreign { waker, value, until: 1 });
    thread.join().unwrap();
}

#[test]
fn a_busy_task_does_not_starve_timers() {
    let options = ExecutorOptions { budget: 4, spin_us: 20 };
    let mut executor = Executor::with_options(ParkDriver::new(), options);
    let handle = executor.handle();
    let turns = Rc::new(Cell::new(0_u64));
    let counter = turns.clone();
    handle.spawn(async move {
        loop {
            counter.set(counter.get() + 1);
            yield_now().await;
        }
    });
    executor.run(handle.sleep_us(5_000));
    assert!(turns.get() > 4);
}

/// Says when it is dropped.
struct Witness(Rc<Cell<u32>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn dropping_the_executor_drops_tasks_that_hold_its_handle() {
    let mut executor = executor();
    let handle = executor.handle();
    let dropped = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let (witness, handle_inside) = (Witness(dropped.clone()), handle.clone());
        handle.spawn(async move {
            handle_inside.sleep_us(60_000_000).await;
            drop(witness);
        });
    }
    executor.run(yield_now());
    assert_eq!((dropped.get(), handle.live_tasks()), (0, 3));
    drop(executor);
    assert_eq!((dropped.get(), handle.live_tasks()), (3, 0));
}

#[test]
fn threads_run_where_they_are_pinned() {
    let cpu = *allowed_cpus().unwrap().last().unwrap();
    let thread = start_pinned_thread("pinned", Some(cpu), || allowed_cpus().unwrap()).unwrap();
    assert_eq!(thread.join().unwrap(), [cpu]);
    assert!(start_pinned_thread("nowhere", Some(100_000), || ()).is_err());
}

#[test]
fn threads_run_on_the_set_they_are_given_or_where_their_starter_may() {
    let allowed = allowed_cpus().unwrap();
    let set = &allowed[..allowed.len().div_ceil(2)];
    let on = |cpus: &[usize]| start_thread_on("set", cpus, || allowed_cpus().unwrap()).unwrap();
    assert_eq!(on(set).join().unwrap(), set);
    assert_eq!(on(&[]).join().unwrap(), allowed);
    assert_eq!(on(&[allowed[0], 100_000]).join().unwrap(), allowed, "a wish, not a condition");
}

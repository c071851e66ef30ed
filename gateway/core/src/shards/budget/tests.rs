use super::state::{CREDIT_US, GRACE_MIN_US, WAIT_US_MAX};
use super::*;
use std::cell::Cell;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

thread_local! {
    static NOW_US: Cell<u64> = const { Cell::new(0) };
}

fn at(now_us: u64) {
    NOW_US.with(|now| now.set(now_us));
}

/// Shares: 200 bytes for Short, Long and Read, 100 for the other lanes, 600 in common.
fn budget() -> MemoryBudget {
    at(0);
    MemoryBudget::new(1600, || NOW_US.with(Cell::get))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Enters without waiting.
fn entered(budget: &MemoryBudget, lane: Lane, bytes: u64) -> Holding {
    poll(pin!(budget.enter(lane, bytes))).expect("there is room").expect("nothing fails")
}

fn joined(pieces: Vec<Bytes>) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.to_vec()).collect()
}

fn held(budget: &MemoryBudget) -> u64 {
    budget.usage().lanes.iter().map(|usage| usage.held_bytes).sum()
}

#[test]
fn a_lane_is_served_in_order() {
    let budget = budget();
    let first = entered(&budget, Lane::Long, 800);
    let mut second = pin!(budget.enter(Lane::Long, 800));
    let mut third = pin!(budget.enter(Lane::Long, 800));
    // Who asks for less does not overtake.
    let mut fourth = pin!(budget.enter(Lane::Long, 1));
    assert!(poll(second.as_mut()).is_none());
    assert!(poll(third.as_mut()).is_none());
    assert!(poll(fourth.as_mut()).is_none());
    drop(first);
    assert!(poll(third.as_mut()).is_none() && poll(fourth.as_mut()).is_none());
    let second = poll(second.as_mut()).unwrap().unwrap();
    assert_eq!(held(&budget), 800);
    drop(second);
    assert!(poll(fourth.as_mut()).is_none());
    let third = poll(third.as_mut()).unwrap().unwrap();
    third.give_back(Lane::Long);
    let fourth = poll(fourth.as_mut()).unwrap().unwrap();
    assert_eq!(held(&budget), 1);
    drop((third, fourth));
    assert_eq!(held(&budget), 0);
}

#[test]
fn every_lane_has_a_share_of_its_own() {
    let budget = budget();
    let stripes = entered(&budget, Lane::Long, 600);
    let last_stripe = entered(&budget, Lane::Long, 200);
    let small = entered(&budget, Lane::Small, 100);
    assert!(budget.try_claim(Lane::Read, 200, false).is_some());
    assert!(budget.try_claim(Lane::Read, 201, false).is_none());
    let mut older = pin!(budget.claim(Lane::Short, 500));
    let mut younger = pin!(budget.claim(Lane::Read, 300));
    assert!(poll(older.as_mut()).is_none() && poll(younger.as_mut()).is_none());
    assert!(budget.pressed().load(Ordering::Relaxed));
    drop(last_stripe);
    // Now 200 are free: too few for the older wait, and the younger one must not take them.
    assert!(poll(older.as_mut()).is_none() && poll(younger.as_mut()).is_none());
    let own = entered(&budget, Lane::LongEntry, 100);
    drop(stripes);
    assert!(poll(older.as_mut()).is_some() && poll(younger.as_mut()).is_some());
    assert!(!budget.pressed().load(Ordering::Relaxed));
    drop((small, own));
    assert_eq!(held(&budget), 0, "claims that nobody kept are given back");
}

#[test]
fn claims_beyond_a_lanes_room_get_all_of_it() {
    let budget = budget();
    let large = entered(&budget, Lane::Long, 10_000);
    assert_eq!(held(&budget), 800);
    drop(large);
    assert!(budget.try_claim(Lane::Long, 401, true).is_none(), "more than half");
    assert!(budget.try_claim(Lane::Long, 400, true).is_some());
    assert!(budget.try_claim(Lane::Long, 801, false).is_none());
}

#[test]
fn a_body_without_a_byte_for_a_minute_is_given_up_though_nobody_waits() {
    let budget = budget();
    let idle = entered(&budget, Lane::Long, 800);
    let buffer = Bytes::from(vec![1; 40_000]);
    assert_eq!(idle.push(buffer.clone(), false), Ok(40_000));
    at(59_000_000);
    budget.tick();
    assert!(!buffer.is_unique(), "a minute is not over");
    at(61_000_000);
    budget.tick();
    assert!(buffer.is_unique(), "its bytes are freed");
    assert_eq!(idle.push(buffer, false), Err(StoreError::TooSlow));
}

#[test]
fn a_slow_client_loses_its_bytes_once_others_wait() {
    let budget = budget();
    let slow = entered(&budget, Lane::Long, 800);
    let buffer = Bytes::from(vec![1; 40_000]);
    assert_eq!(slow.push(buffer.clone(), false), Ok(40_000));
    let mut lost = Box::pin(slow.lost());
    at(5 * CREDIT_US);
    budget.tick();
    assert!(poll(lost.as_mut()).is_none() && !buffer.is_unique(), "nobody waits");

    at(5 * CREDIT_US + RELIEF_US);
    let mut waiting = pin!(budget.enter(Lane::Long, 1));
    let fresh = poll(waiting.as_mut()).expect("the wait itself looks for slow clients").unwrap();
    assert!(poll(lost.as_mut()).is_some());
    assert!(buffer.is_unique(), "its bytes are freed at once");
    assert_eq!(slow.push(buffer.clone(), false), Err(StoreError::TooSlow));
    assert_eq!(slow.take(1), Err(StoreError::TooSlow));
    assert_eq!(poll(pin!(slow.more(Lane::Long, 1))), Some(Err(StoreError::TooSlow)));
    slow.give_back(Lane::Long);
    drop(lost);
    drop(slow);
    assert_eq!((held(&budget), budget.usage().revoked), (1, 1));
    drop(fresh);
    assert_eq!(held(&budget), 0);
}

#[test]
fn the_more_wait_the_sooner_a_slow_client_loses() {
    let budget = budget();
    let slow = entered(&budget, Lane::Long, 800);
    let mut first = Box::pin(budget.enter(Lane::Long, 800));
    assert!(poll(first.as_mut()).is_none());
    at(CREDIT_US / 2 - 1);
    budget.tick();
    assert!(poll(first.as_mut()).is_none(), "one waits for one: half of the credit");
    at(CREDIT_US / 2);
    budget.tick();
    let granted = poll(first.as_mut()).unwrap().unwrap();
    assert_eq!(slow.push(Bytes::new(), false), Err(StoreError::TooSlow));

    let start_us = CREDIT_US / 2;
    let mut others: Vec<_> = (0..50).map(|_| Box::pin(budget.enter(Lane::Long, 800))).collect();
    assert!(others.iter_mut().all(|other| poll(other.as_mut()).is_none()));
    at(start_us + GRACE_MIN_US - 1);
    budget.tick();
    assert_eq!(budget.usage().revoked, 1);
    at(start_us + GRACE_MIN_US);
    budget.tick();
    assert_eq!(budget.usage().revoked, 2, "only as many as are in the way");
    assert_eq!(granted.take(1), Err(StoreError::TooSlow));
    let next = poll(others[0].as_mut()).expect("the oldest wait is served");
    assert!(next.is_ok() && poll(others[1].as_mut()).is_none());
}

#[test]
fn a_client_at_the_rate_keeps_all_and_the_wait_ends_some_time() {
    let budget = budget();
    let steady = entered(&budget, Lane::Long, 800);
    let mut waiting = pin!(budget.enter(Lane::Long, 800));
    assert!(poll(waiting.as_mut()).is_none());
    let mut kept = 0;
    for now_us in (1..).map(|second| second * 1_000_000).take_while(|now| *now < WAIT_US_MAX) {
        at(now_us);
        budget.tick();
        kept += 17_000;
        assert_eq!(steady.push(Bytes::from(vec![2; 17_000]), false), Ok(kept));
        assert!(poll(waiting.as_mut()).is_none());
    }
    at(WAIT_US_MAX);
    budget.tick();
    assert_eq!(poll(waiting.as_mut()).unwrap().err(), Some(StoreError::Busy));
    assert_eq!((budget.usage().revoked, budget.usage().refused), (0, 1));
    assert_eq!(joined(steady.take(usize::MAX).unwrap()).len(), kept);
}

#[test]
fn who_waits_for_the_server_is_not_slow() {
    let budget = budget();
    let sending = entered(&budget, Lane::LongEntry, 100);
    sending.push(Bytes::from_static(b"abc"), false).unwrap();
    assert_eq!(joined(sending.take(2).unwrap()), b"ab");
    let stripes = entered(&budget, Lane::Long, 800);
    stripes.take(0).unwrap();
    let queued = entered(&budget, Lane::LongEntry, 0);
    let mut slot = pin!(queued.more(Lane::Long, 1));
    let mut other = pin!(budget.enter(Lane::LongEntry, 1));
    assert!(poll(slot.as_mut()).is_none() && poll(other.as_mut()).is_none());
    at(2 * CREDIT_US);
    budget.tick();
    assert!(poll(slot.as_mut()).is_none() && poll(other.as_mut()).is_none());
    assert_eq!(budget.usage().revoked, 0);
    // Its turn begins again, and its credit with it.
    sending.give_back(Lane::Long);
    at(3 * CREDIT_US - 1);
    stripes.give_back(Lane::Long);
    assert_eq!(poll(slot.as_mut()), Some(Ok(())));
    assert_eq!(joined(sending.take(usize::MAX).unwrap()), b"c");
}

#[test]
fn a_wait_that_is_dropped_leaves_nothing_behind() {
    let budget = budget();
    let first = entered(&budget, Lane::Long, 800);
    let mut gone = Box::pin(budget.enter(Lane::Long, 800));
    let mut unseen = Box::pin(budget.claim(Lane::Long, 700));
    let mut last = pin!(budget.claim(Lane::Long, 800));
    assert!(poll(gone.as_mut()).is_none() && poll(unseen.as_mut()).is_none());
    assert!(poll(last.as_mut()).is_none());
    drop(gone);
    drop(first);
    assert_eq!(held(&budget), 700, "granted, and not looked at yet");
    assert!(poll(last.as_mut()).is_none());
    drop(unseen);
    let claim = poll(last.as_mut()).unwrap().unwrap();
    assert_eq!(held(&budget), 800);
    drop(claim);
    let usage = budget.usage();
    assert!(usage.lanes.iter().all(|lane| lane.held_bytes == 0 && lane.waiting == 0));
}

/// Unparks a thread, and counts.
struct Unpark(Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

#[test]
fn a_wait_is_woken_from_another_thread() {
    let budget = budget();
    let holding = entered(&budget, Lane::Long, 800);
    let other = budget.clone();
    let woken = thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let unpark = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&unpark));
            let mut claim = pin!(other.claim(Lane::Long, 800));
            loop {
                let polled = claim.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(outcome) = polled {
                    assert!(outcome.is_ok());
                    return unpark.1.load(Ordering::SeqCst);
                }
                thread::park();
            }
        });
        while budget.usage().lanes.iter().all(|lane| lane.waiting == 0) {
            thread::yield_now();
        }
        drop(holding);
        waiting.join().unwrap()
    });
    assert!(woken <= 1, "woken {woken} times");
    assert_eq!(held(&budget), 0);
}

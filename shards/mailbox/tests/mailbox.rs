//! Mailboxes and replies between real threads.
#![allow(clippy::unwrap_used, reason = "tests")]

use shards_executor::{Executor, ParkDriver, start_pinned_thread};
use shards_mailbox::{Full, Mailbox, NoReply, ReplySender, reply};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

fn executor() -> Executor<ParkDriver> {
    Executor::new(ParkDriver::new())
}

#[test]
fn new_work_is_refused_before_replies_are() {
    let (sender, mut receiver) = Mailbox::new(8);
    for message in 0..6 {
        sender.try_send(message).unwrap();
    }
    assert_eq!(sender.try_send(6), Err(Full(6)));
    sender.try_send_reserved(7).unwrap();
    sender.try_send_reserved(8).unwrap();
    assert_eq!(sender.try_send_reserved(9), Err(Full(9)));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Some(0), Some(1)));
    // Six are left: still no ordinary place.
    assert_eq!(sender.try_send(10), Err(Full(10)));
    assert_eq!(receiver.try_recv(), Some(2));
    sender.try_send(11).unwrap();
    assert_eq!(sender.depth(), 6);
}

#[test]
fn messages_of_each_thread_arrive_in_order_and_none_is_lost() {
    const EACH: u64 = 20_000;
    let (sender, mut receiver) = Mailbox::new(64);
    let threads: Vec<_> = (0..2_u64)
        .map(|name| {
            let sender = sender.clone();
            start_pinned_thread("sender", None, move || {
                for number in 0..EACH {
                    let mut message = (name, number);
                    while let Err(Full(refused)) = sender.try_send(message) {
                        message = refused;
                        std::thread::yield_now();
                    }
                }
            })
            .unwrap()
        })
        .collect();
    drop(sender);
    let counts = executor().run(async move {
        let mut next = [0_u64; 2];
        while let Some((name, number)) = receiver.recv().await {
            assert_eq!(number, next[usize::try_from(name).unwrap()]);
            next[usize::try_from(name).unwrap()] += 1;
        }
        next
    });
    assert_eq!(counts, [EACH, EACH]);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn requests_and_replies_cross_threads_many_times() {
    const ROUNDS: u64 = 3_000;
    let (sender, mut receiver) = Mailbox::<(u64, ReplySender<u64>)>::new(4);
    let server = start_pinned_thread("server", None, move || {
        executor().run(async move {
            let mut served = 0;
            while let Some((question, answer)) = receiver.recv().await {
                answer.send(question * 2).unwrap();
                served += 1;
            }
            served
        })
    })
    .unwrap();
    executor().run(async move {
        for question in 0..ROUNDS {
            let (answer, waiting) = reply();
            assert!(sender.try_send((question, answer)).is_ok());
            assert_eq!(waiting.await, Ok(question * 2));
        }
    });
    assert_eq!(server.join().unwrap(), ROUNDS);
}

/// Counts its wakes.
#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_batch_wakes_once() {
    let (sender, mut receiver) = Mailbox::new(16);
    let wakes = Arc::new(CountingWaker::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    assert_eq!(receiver.poll_recv(&mut context), Poll::Pending);
    for message in 0..5 {
        sender.try_send(message).unwrap();
    }
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    for message in 0..5 {
        assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(Some(message)));
    }
    assert_eq!(receiver.poll_recv(&mut context), Poll::Pending);
    drop(sender);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(None));
}

#[test]
fn a_receiver_that_goes_cancels_what_waits() {
    let (sender, receiver) = Mailbox::<ReplySender<u8>>::new(8);
    let (answer, waiting) = reply();
    assert!(sender.try_send(answer).is_ok());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(executor().run(waiting), Err(NoReply));
    let (answer, abandoned) = reply();
    drop(abandoned);
    let Err(Full(answer)) = sender.try_send_reserved(answer) else { panic!("nobody receives") };
    assert!(answer.is_abandoned());
    assert_eq!(answer.send(1), Err(1));
}

#[test]
fn a_flood_lets_other_tasks_run() {
    let mut executor = executor();
    let handle = executor.handle();
    let (sender, mut receiver) = Mailbox::new(1024);
    for message in 0..700 {
        sender.try_send(message).unwrap();
    }
    let received = Rc::new(Cell::new(0_u32));
    let seen = Rc::new(Cell::new(None));
    let (counter, look, first) = (received.clone(), received.clone(), seen.clone());
    handle.spawn(async move {
        while receiver.recv().await.is_some() {
            counter.set(counter.get() + 1);
        }
    });
    handle.spawn(async move { first.set(Some(look.get())) });
    executor.run(async move {
        drop(sender);
        handle.sleep_us(50_000).await;
    });
    assert_eq!(received.get(), 700);
    assert!(seen.get().unwrap() < 700, "the second task ran before the flood was over");
}

//! The bounded ring with its sleeping flag.
//!
//! No wake is lost: the receiver raises `asleep` and then looks at the ring again; a sender puts
//! its message into the ring and then looks at `asleep`. A sequentially consistent fence stands
//! between the two steps on either side, so at least one of them sees the other.

use crossbeam_queue::ArrayQueue;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Messages received in a row before the receiving task lets others run.
const STREAK_MAX: u32 = 64;

/// The mailbox has no room for this message, or nobody receives any more: here it is again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is full")]
pub struct Full<T>(pub T);

struct Shared<T> {
    queue: ArrayQueue<T>,
    /// Places taken: raised before a push, lowered after a pop, so that a push after it succeeds.
    used: AtomicUsize,
    /// How many of the places `try_send` may fill.
    ordinary: usize,
    senders: AtomicUsize,
    closed: AtomicBool,
    asleep: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl<T> Shared<T> {
    fn pop(&self) -> Option<T> {
        let message = self.queue.pop()?;
        self.used.fetch_sub(1, Ordering::Release);
        Some(message)
    }

    /// Takes a place if fewer than `limit` are taken.
    fn take_place(&self, limit: usize) -> bool {
        let mut used = self.used.load(Ordering::Relaxed);
        while used < limit {
            let raised = self.used.compare_exchange_weak(
                used,
                used + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match raised {
                Ok(_) => return true,
                Err(current) => used = current,
            }
        }
        false
    }

    fn send(&self, message: T, limit: usize) -> Result<(), Full<T>> {
        if self.closed.load(Ordering::SeqCst) || !self.take_place(limit) {
            return Err(Full(message));
        }
        if let Err(message) = self.queue.push(message) {
            self.used.fetch_sub(1, Ordering::Release);
            return Err(Full(message));
        }
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            // The receiver went away between the look and the push: nobody else would drop it.
            while self.pop().is_some() {}
        }
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn fall_asleep(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

/// Makes mailboxes; see `Mailbox::new`.
pub struct Mailbox<T>(PhantomData<T>);

impl<T> Mailbox<T> {
    /// A mailbox of `capacity` places, a quarter of them (at least one) reserved.
    ///
    /// # Panics
    /// If the capacity is below 2.
    #[must_use]
    #[allow(clippy::new_ret_no_self, reason = "a mailbox is its two ends")]
    pub fn new(capacity: usize) -> (Sender<T>, Receiver<T>) {
        assert!(capacity >= 2, "a mailbox has an ordinary and a reserved place");
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(capacity),
            used: AtomicUsize::new(0),
            ordinary: capacity - (capacity / 4).max(1),
            senders: AtomicUsize::new(1),
            closed: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        (Sender { shared: shared.clone() }, Receiver { shared, streak: 0 })
    }
}

/// Puts messages into one mailbox. **Runs on** any thread; never blocks.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends new work, unless only reserved places are left.
    ///
    /// # Errors
    /// `Full` with the message; the caller answers Busy.
    pub fn try_send(&self, message: T) -> Result<(), Full<T>> {
        self.shared.send(message, self.shared.ordinary)
    }

    /// Sends what must not be refused (replies, settle marks, view changes): may use every place.
    ///
    /// # Errors
    /// `Full` with the message.
    pub fn try_send_reserved(&self, message: T) -> Result<(), Full<T>> {
        self.shared.send(message, self.shared.queue.capacity())
    }

    /// Whether nobody receives any more; every send is refused then.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Messages that wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.shared.queue.len()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::SeqCst) == 1 {
            fence(Ordering::SeqCst);
            self.shared.wake();
        }
    }
}

/// Takes messages out of one mailbox, in the order they came. Dropping it drops what is left.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    streak: u32,
}

impl<T> Receiver<T> {
    /// The next message, or nothing once every sender is gone. Lets other tasks run now and then.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next message if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        self.shared.pop()
    }

    /// Polls for the next message; `recv` without the future.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if self.streak >= STREAK_MAX {
            self.streak = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Poll::Ready(message) = self.take() {
            self.streak += 1;
            return Poll::Ready(message);
        }
        self.shared.fall_asleep(context.waker());
        let taken = self.take();
        if taken.is_ready() {
            // A sender that saw the flag may still wake us once for nothing.
            self.shared.asleep.store(false, Ordering::SeqCst);
        }
        self.streak = 0;
        taken
    }

    /// Pending if the mailbox is empty and somebody may still send.
    fn take(&mut self) -> Poll<Option<T>> {
        if let Some(message) = self.shared.pop() {
            return Poll::Ready(Some(message));
        }
        if self.shared.senders.load(Ordering::SeqCst) > 0 {
            return Poll::Pending;
        }
        // The last sender may have sent between the pop and the look at the count.
        Poll::Ready(self.shared.pop())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        while self.shared.pop().is_some() {}
    }
}

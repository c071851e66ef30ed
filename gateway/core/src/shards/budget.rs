//! The one memory budget for bodies, over all gateway threads (rule 22).
//!
//! A body on its way in has a `Holding`: its bytes lie in there, so that they are freed at once
//! when a slow client loses it. A body on its way out has `Claim`s, which its pieces carry.
//!
//! Invariants: what is held never exceeds the budget; every lane has a share of its own, so that
//! stalled uploads stop neither shorter ones nor reads, and bodies that have their first bytes
//! never keep the slots from all that wait for one; holdings are revoked only while others
//! wait, and only from clients below the minimum rate. Somebody must call `tick` every now and
//! then, or waits have no end.

mod state;
#[cfg(test)]
mod tests;

use crate::objects::StoreError;
use bytes::Bytes;
use state::{Effects, State};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// Slow clients are looked for at most so often.
const RELIEF_US: u64 = 50_000;

/// What bytes are wanted for. Each lane has a share of the budget that only it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Bodies of up to 64 KiB on their way in.
    Small,
    /// The first bytes of bodies of up to 16 MiB.
    ShortEntry,
    /// The slot of a stripe of such a body.
    Short,
    /// The first bytes of longer bodies.
    LongEntry,
    /// The slot of a stripe of such a body.
    Long,
    /// Answers of up to 64 KiB.
    SmallRead,
    /// Longer answers.
    Read,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Small,
        Self::ShortEntry,
        Self::Short,
        Self::LongEntry,
        Self::Long,
        Self::SmallRead,
        Self::Read,
    ];

    fn index(self) -> usize {
        self as usize
    }

    /// Its share; what is left of the sixteen is for whoever comes first.
    fn reserved_sixteenths(self) -> u64 {
        match self {
            Self::Small | Self::ShortEntry | Self::LongEntry | Self::SmallRead => 1,
            Self::Short | Self::Long | Self::Read => 2,
        }
    }

    /// One word for metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::ShortEntry => "short_entry",
            Self::Short => "short",
            Self::LongEntry => "long_entry",
            Self::Long => "long",
            Self::SmallRead => "small_read",
            Self::Read => "read",
        }
    }
}

/// What a lane uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneUsage {
    /// The lane.
    pub lane: Lane,
    /// Bytes held.
    pub held_bytes: u64,
    /// Bodies that wait.
    pub waiting: usize,
}

/// How the budget is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetUsage {
    /// The budget.
    pub budget_bytes: u64,
    /// By lane.
    pub lanes: Vec<LaneUsage>,
    /// Holdings taken from slow clients.
    pub revoked: u64,
    /// Waits that ended without success.
    pub refused: u64,
}

struct Inner {
    budget_bytes: u64,
    now_us: fn() -> u64,
    state: Mutex<State>,
    pressed: Arc<AtomicBool>,
}

/// The budget. Clones are the same budget; **runs on** any thread.
#[derive(Clone)]
pub struct MemoryBudget {
    inner: Arc<Inner>,
}

impl MemoryBudget {
    /// A budget over a monotonic clock.
    #[must_use]
    pub fn new(budget_bytes: u64, now_us: fn() -> u64) -> Self {
        let state = Mutex::new(State::new(budget_bytes));
        let pressed = Arc::new(AtomicBool::new(false));
        Self { inner: Arc::new(Inner { budget_bytes, now_us, state, pressed }) }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State, u64, &mut Effects) -> R) -> R {
        let now_us = (self.inner.now_us)();
        let mut effects = Effects::default();
        let outcome = {
            // The books are whole between statements that may panic.
            let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = change(&mut state, now_us, &mut effects);
            let is_pressed = !state.nobody_waits();
            if self.inner.pressed.load(Ordering::Relaxed) != is_pressed {
                self.inner.pressed.store(is_pressed, Ordering::Relaxed);
            }
            outcome
        };
        effects.run();
        outcome
    }

    /// Ends waits that take too long and takes from slow clients what others wait for. To be
    /// called a few times a second.
    pub fn tick(&self) {
        self.change(State::relieve);
    }

    /// Whether somebody waits; kept up to date.
    #[must_use]
    pub fn pressed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.inner.pressed)
    }

    /// How it is used.
    #[must_use]
    pub fn usage(&self) -> BudgetUsage {
        let budget_bytes = self.inner.budget_bytes;
        self.change(|state, _, _| BudgetUsage {
            budget_bytes,
            lanes: state.usage(),
            revoked: state.revoked,
            refused: state.refused,
        })
    }

    /// Waits for a holding of so many bytes of a lane. No claim is larger than what its lane can
    /// ever have, so that it is served at some time.
    ///
    /// # Errors
    /// `Busy` when that takes too long.
    pub async fn enter(&self, lane: Lane, bytes: u64) -> Result<Holding, StoreError> {
        let (id, taken) = self.change(|state, now_us, _| {
            let id = state.add_hold();
            let bytes = bytes.min(state.room(lane));
            (id, state.take_now(lane, bytes, Some(id), now_us))
        });
        let holding = Holding { budget: self.clone(), id };
        if !taken {
            holding.more(lane, bytes).await?;
        }
        Ok(holding)
    }

    /// Waits for bytes of a lane.
    ///
    /// # Errors
    /// `Busy` when that takes too long.
    pub async fn claim(&self, lane: Lane, bytes: u64) -> Result<Claim, StoreError> {
        let bytes = self.wait(lane, bytes, None).await?;
        Ok(Claim { budget: self.clone(), lane, bytes })
    }

    /// Takes bytes of a lane if they are free; if `only_roomy`, only of a lane at most half used.
    #[must_use]
    pub fn try_claim(&self, lane: Lane, bytes: u64, only_roomy: bool) -> Option<Claim> {
        let taken = self.change(|state, now_us, _| {
            bytes <= state.room(lane)
                && (!only_roomy || state.is_roomy(lane, bytes))
                && state.take_now(lane, bytes, None, now_us)
        });
        taken.then(|| Claim { budget: self.clone(), lane, bytes })
    }

    /// Takes bytes, waiting if need be; gives how many that were.
    async fn wait(&self, lane: Lane, bytes: u64, hold: Option<u64>) -> Result<u64, StoreError> {
        let (bytes, ticket) = self.change(|state, now_us, effects| {
            let bytes = bytes.min(state.room(lane));
            if state.take_now(lane, bytes, hold, now_us) {
                return (bytes, None);
            }
            let ticket = state.enqueue(lane, bytes, hold, now_us);
            if now_us >= state.relieved_us + RELIEF_US {
                state.relieve(now_us, effects);
            }
            (bytes, Some(ticket))
        });
        let Some(ticket) = ticket else { return Ok(bytes) };
        let wait = Wait { budget: self, lane, bytes, hold, ticket, is_over: false };
        if wait.await { Ok(bytes) } else { Err(StoreError::Busy) }
    }
}

/// A wait for bytes. **Cancel**: gives up its place, or the bytes it got unseen.
struct Wait<'a> {
    budget: &'a MemoryBudget,
    lane: Lane,
    bytes: u64,
    hold: Option<u64>,
    ticket: u64,
    is_over: bool,
}

impl Future for Wait<'_> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let this = self.get_mut();
        let (lane, ticket) = (this.lane, this.ticket);
        let waker = context.waker();
        match this.budget.change(|state, _, _| state.outcome(lane, ticket, waker)) {
            Some(granted) => {
                this.is_over = true;
                Poll::Ready(granted)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.budget.change(|state, now_us, effects| {
            if state.give_up(self.lane, self.ticket) {
                state.release(self.lane, self.bytes, self.hold);
            }
            state.grant(now_us, effects);
        });
    }
}

/// Bytes of the budget, given back when this is dropped.
pub struct Claim {
    budget: MemoryBudget,
    lane: Lane,
    bytes: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.budget.change(|state, now_us, effects| {
            state.release(self.lane, self.bytes, None);
            state.grant(now_us, effects);
        });
    }
}

/// What a body on its way in holds: bytes of the budget, and its own bytes. All is given back
/// when this is dropped, or revoked.
pub struct Holding {
    budget: MemoryBudget,
    id: u64,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.budget.change(|state, now_us, effects| {
            if state.remove_hold(self.id, effects) {
                state.grant(now_us, effects);
            }
        });
    }
}

impl Holding {
    /// Waits for further bytes of the budget. The client's turn ends here and begins again when
    /// they are there.
    ///
    /// # Errors
    /// `Busy` when that takes too long; `TooSlow` if the holding was revoked.
    pub async fn more(&self, lane: Lane, bytes: u64) -> Result<(), StoreError> {
        self.check()?;
        self.budget.wait(lane, bytes, Some(self.id)).await.map(|_| ())
    }

    fn check(&self) -> Result<(), StoreError> {
        let is_there = self.budget.change(|state, _, _| state.holds.contains_key(&self.id));
        if is_there { Ok(()) } else { Err(StoreError::TooSlow) }
    }

    /// Keeps bytes that the client gave; gives how many are kept.
    ///
    /// # Errors
    /// `TooSlow` if the holding was revoked.
    pub fn push(&self, bytes: Bytes, is_last: bool) -> Result<usize, StoreError> {
        self.budget.change(|state, now_us, _| {
            let hold = state.holds.get_mut(&self.id).ok_or(StoreError::TooSlow)?;
            hold.received(bytes.len(), now_us);
            hold.pieces.push(&bytes, is_last);
            Ok(hold.pieces.len())
        })
    }

    /// Takes the first bytes, or all if there are fewer, and ends the client's turn.
    ///
    /// # Errors
    /// `TooSlow` if the holding was revoked.
    pub fn take(&self, wanted: usize) -> Result<Vec<Bytes>, StoreError> {
        self.budget.change(|state, _, _| {
            let hold = state.holds.get_mut(&self.id).ok_or(StoreError::TooSlow)?;
            hold.pause();
            Ok(hold.pieces.take(wanted))
        })
    }

    /// Gives back what it has of a lane, and begins the client's turn.
    pub fn give_back(&self, lane: Lane) {
        self.budget.change(|state, now_us, effects| {
            state.release_lane(self.id, lane);
            if let Some(hold) = state.holds.get_mut(&self.id) {
                hold.receive(now_us);
            }
            state.grant(now_us, effects);
        });
    }

    /// Ready when the holding is revoked.
    pub fn lost(&self) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            self.budget.change(|state, _, _| match state.holds.get_mut(&self.id) {
                None => Poll::Ready(()),
                Some(hold) => {
                    match &mut hold.lost {
                        Some(waker) => waker.clone_from(context.waker()),
                        None => hold.lost = Some(context.waker().clone()),
                    }
                    Poll::Pending
                }
            })
        })
    }
}

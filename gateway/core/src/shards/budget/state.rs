//! Who holds how much of the budget, who waits, and who loses what he holds. No locks, no clock.
//!
//! Invariants: a lane uses its own reserve first, and what all lanes use beyond their reserves
//! fits into the common part; within a lane the oldest wait is served first, and nobody takes
//! of the common part before an older wait that needs it; what waits is never revoked.

use super::{Lane, LaneUsage};
use crate::shards::pieces::Pieces;
use std::collections::BTreeMap;
use std::task::Waker;

/// The rate below which a client loses what it holds, once others wait.
const RATE_MIN_BYTES_PER_S: u64 = 16 * 1024;

/// A body without a byte for so long is given up.
const IDLE_US_MAX: u64 = 60_000_000;
/// How far a client may fall behind that rate when few wait.
pub(super) const CREDIT_US: u64 = 10_000_000;

/// How far it may fall behind however many wait.
pub(super) const GRACE_MIN_US: u64 = 2_000_000;

/// Nobody waits longer.
pub(super) const WAIT_US_MAX: u64 = 30_000_000;

const LANES: usize = Lane::ALL.len();

/// A body on its way in.
#[derive(Default)]
pub(super) struct Hold {
    charges: [u64; LANES],
    pub(super) pieces: Pieces,
    /// Whether the client is what it waits for.
    receiving: bool,
    /// When the client's credit ends: every byte pushes it on, up to `CREDIT_US` from now.
    credit_until_us: u64,
    /// When the client last gave bytes, or was asked for some.
    active_us: u64,
    pub(super) lost: Option<Waker>,
}

impl Hold {
    /// How far its client is behind.
    fn spent_us(&self, now_us: u64) -> u64 {
        CREDIT_US - self.credit_until_us.saturating_sub(now_us).min(CREDIT_US)
    }

    /// The client's turn begins.
    pub(super) fn receive(&mut self, now_us: u64) {
        self.receiving = true;
        self.active_us = now_us;
        self.credit_until_us = now_us + CREDIT_US;
    }

    /// The client gave bytes.
    pub(super) fn received(&mut self, bytes: usize, now_us: u64) {
        let earned_us = (bytes as u64).saturating_mul(1_000_000) / RATE_MIN_BYTES_PER_S;
        self.active_us = now_us;
        let until_us = self.credit_until_us.saturating_add(earned_us);
        self.credit_until_us = until_us.min(now_us + CREDIT_US);
    }

    /// The client's turn ends: it is the server that is awaited now.
    pub(super) fn pause(&mut self) {
        self.receiving = false;
    }
}

struct Waiter {
    bytes: u64,
    hold: Option<u64>,
    since_us: u64,
    waker: Option<Waker>,
}

/// What is done once the lock is released.
#[derive(Default)]
pub(super) struct Effects {
    wakers: Vec<Waker>,
    pieces: Vec<Pieces>,
}

impl Effects {
    pub(super) fn run(self) {
        drop(self.pieces);
        for waker in self.wakers {
            waker.wake();
        }
    }
}

/// The books of the budget.
pub(super) struct State {
    reserved: [u64; LANES],
    common: u64,
    used: [u64; LANES],
    pub(super) holds: BTreeMap<u64, Hold>,
    waiting: [BTreeMap<u64, Waiter>; LANES],
    /// Waits that ended and were not looked at yet: whether they got what they wanted.
    settled: BTreeMap<u64, bool>,
    next_id: u64,
    /// When slow clients were last looked for.
    pub(super) relieved_us: u64,
    pub(super) revoked: u64,
    pub(super) refused: u64,
}

impl State {
    pub(super) fn new(budget_bytes: u64) -> Self {
        let share = budget_bytes / 16;
        let reserved = Lane::ALL.map(|lane| share * lane.reserved_sixteenths());
        Self {
            common: budget_bytes - reserved.iter().sum::<u64>(),
            reserved,
            used: [0; LANES],
            holds: BTreeMap::new(),
            waiting: std::array::from_fn(|_| BTreeMap::new()),
            settled: BTreeMap::new(),
            next_id: 0,
            relieved_us: 0,
            revoked: 0,
            refused: 0,
        }
    }

    /// The most one claim of a lane can ever get.
    pub(super) fn room(&self, lane: Lane) -> u64 {
        self.reserved[lane.index()] + self.common
    }

    pub(super) fn usage(&self) -> Vec<LaneUsage> {
        let usage = Lane::ALL.map(|lane| LaneUsage {
            lane,
            held_bytes: self.used[lane.index()],
            waiting: self.waiting[lane.index()].len(),
        });
        usage.to_vec()
    }

    pub(super) fn nobody_waits(&self) -> bool {
        self.waiting.iter().all(BTreeMap::is_empty)
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn add_hold(&mut self) -> u64 {
        let id = self.next_id();
        self.holds.insert(id, Hold::default());
        id
    }

    /// What a lane uses beyond its reserve.
    fn overflow(&self, lane: usize) -> u64 {
        self.used[lane].saturating_sub(self.reserved[lane])
    }

    fn fits_reserve(&self, lane: usize, bytes: u64) -> bool {
        self.used[lane] + bytes <= self.reserved[lane]
    }

    fn fits(&self, lane: usize, bytes: u64) -> bool {
        let others: u64 =
            (0..LANES).filter(|other| *other != lane).map(|other| self.overflow(other)).sum();
        let own = (self.used[lane] + bytes).saturating_sub(self.reserved[lane]);
        others + own <= self.common
    }

    /// Whether at most half of what a lane can use would be used.
    pub(super) fn is_roomy(&self, lane: Lane, bytes: u64) -> bool {
        self.used[lane.index()] + bytes <= self.room(lane) / 2
    }

    fn charge(&mut self, lane: usize, bytes: u64, hold: Option<u64>, now_us: u64) {
        if let Some(id) = hold {
            // A hold outlives its waits.
            let Some(hold) = self.holds.get_mut(&id) else { return };
            hold.charges[lane] += bytes;
            hold.receive(now_us);
        }
        self.used[lane] += bytes;
    }

    /// Gives a charge back.
    pub(super) fn release(&mut self, lane: Lane, bytes: u64, hold: Option<u64>) {
        let lane = lane.index();
        if let Some(id) = hold {
            // What was revoked was given back then.
            let Some(hold) = self.holds.get_mut(&id) else { return };
            hold.charges[lane] -= bytes;
        }
        self.used[lane] -= bytes;
    }

    /// Gives back all that a hold has in a lane.
    pub(super) fn release_lane(&mut self, id: u64, lane: Lane) {
        let held = self.holds.get(&id).map_or(0, |hold| hold.charges[lane.index()]);
        self.release(lane, held, Some(id));
    }

    /// Gives back all that a hold has. `false`: it was revoked.
    pub(super) fn remove_hold(&mut self, id: u64, effects: &mut Effects) -> bool {
        let Some(hold) = self.holds.remove(&id) else { return false };
        for (used, charge) in self.used.iter_mut().zip(hold.charges) {
            *used -= charge;
        }
        effects.wakers.extend(hold.lost);
        effects.pieces.push(hold.pieces);
        true
    }

    /// Takes bytes if that overtakes nobody.
    pub(super) fn take_now(
        &mut self,
        lane: Lane,
        bytes: u64,
        hold: Option<u64>,
        now_us: u64,
    ) -> bool {
        let at = lane.index();
        let is_free = bytes == 0
            || (self.waiting[at].is_empty()
                && (self.fits_reserve(at, bytes) || (self.nobody_waits() && self.fits(at, bytes))));
        if is_free {
            self.charge(at, bytes, hold, now_us);
        }
        is_free
    }

    /// Begins a wait.
    pub(super) fn enqueue(
        &mut self,
        lane: Lane,
        bytes: u64,
        hold: Option<u64>,
        now_us: u64,
    ) -> u64 {
        if let Some(hold) = hold.and_then(|id| self.holds.get_mut(&id)) {
            hold.pause();
        }
        let ticket = self.next_id();
        let waiter = Waiter { bytes, hold, since_us: now_us, waker: None };
        self.waiting[lane.index()].insert(ticket, waiter);
        ticket
    }

    /// Whether a wait got what it wanted; `None`: it goes on, and `waker` is woken at its end.
    pub(super) fn outcome(&mut self, lane: Lane, ticket: u64, waker: &Waker) -> Option<bool> {
        match self.waiting[lane.index()].get_mut(&ticket) {
            Some(waiter) => {
                waiter.waker = Some(waker.clone());
                None
            }
            None => Some(self.settled.remove(&ticket).unwrap_or(false)),
        }
    }

    /// Ends a wait that nobody looks at any more; whether it had got what it wanted.
    pub(super) fn give_up(&mut self, lane: Lane, ticket: u64) -> bool {
        let waited = self.waiting[lane.index()].remove(&ticket).is_some();
        !waited && self.settled.remove(&ticket) == Some(true)
    }

    fn settle(&mut self, lane: usize, ticket: u64, granted: bool, effects: &mut Effects) {
        if let Some(waiter) = self.waiting[lane].remove(&ticket) {
            self.settled.insert(ticket, granted);
            effects.wakers.extend(waiter.waker);
        }
    }

    /// The oldest wait of each lane, oldest first: ticket, lane, bytes, hold.
    fn heads(&self) -> Vec<(u64, usize, u64, Option<u64>)> {
        let mut heads: Vec<_> = self
            .waiting
            .iter()
            .enumerate()
            .filter_map(|(lane, waiting)| {
                let (ticket, waiter) = waiting.first_key_value()?;
                Some((*ticket, lane, waiter.bytes, waiter.hold))
            })
            .collect();
        heads.sort_unstable();
        heads
    }

    /// Serves all waits that can be served.
    pub(super) fn grant(&mut self, now_us: u64, effects: &mut Effects) {
        while !self.nobody_waits() {
            let mut is_common_wanted = false;
            let next = self.heads().into_iter().find(|(_, lane, bytes, _)| {
                let own = self.fits_reserve(*lane, *bytes);
                let fits = own || (!is_common_wanted && self.fits(*lane, *bytes));
                is_common_wanted |= !fits;
                fits
            });
            let Some((ticket, lane, bytes, hold)) = next else { return };
            self.charge(lane, bytes, hold, now_us);
            self.settle(lane, ticket, true, effects);
        }
    }

    /// Refuses waits that are too old, and takes from slow clients what others wait for.
    pub(super) fn relieve(&mut self, now_us: u64, effects: &mut Effects) {
        self.relieved_us = now_us;
        for lane in 0..LANES {
            while let Some((ticket, waiter)) = self.waiting[lane].first_key_value()
                && waiter.since_us + WAIT_US_MAX <= now_us
            {
                let ticket = *ticket;
                self.refused += 1;
                self.settle(lane, ticket, false, effects);
            }
        }
        // A client that gives nothing for so long is gone, whether anybody waits or not.
        let is_idle = |hold: &Hold| hold.receiving && now_us >= hold.active_us + IDLE_US_MAX;
        let idle: Vec<u64> =
            self.holds.iter().filter(|(_, hold)| is_idle(hold)).map(|(id, _)| *id).collect();
        for id in idle {
            self.revoked += 1;
            self.remove_hold(id, effects);
        }
        self.grant(now_us, effects);
        if self.nobody_waits() {
            return;
        }
        let mut holders = [0; LANES];
        let mut slow = Vec::new();
        for (id, hold) in &self.holds {
            for (count, charge) in holders.iter_mut().zip(hold.charges) {
                *count += u64::from(charge > 0);
            }
            if hold.receiving && hold.spent_us(now_us) >= GRACE_MIN_US {
                slow.push((hold.credit_until_us, *id));
            }
        }
        slow.sort_unstable();
        for (_, id) in slow {
            if self.is_in_the_way(id, &holders, now_us) {
                self.revoked += 1;
                self.remove_hold(id, effects);
                self.grant(now_us, effects);
            }
        }
    }

    /// Whether a slow hold has what somebody waits for. The more wait in a lane, the less slow a
    /// hold may be, so that the queue moves on.
    fn is_in_the_way(&self, id: u64, holders: &[u64; LANES], now_us: u64) -> bool {
        let Some(hold) = self.holds.get(&id) else { return false };
        let has_common = (0..LANES).any(|lane| hold.charges[lane] > 0 && self.overflow(lane) > 0);
        (0..LANES).any(|lane| {
            let waiting = self.waiting[lane].len() as u64;
            let grace_us = match holders[lane] {
                0 => CREDIT_US,
                held => (CREDIT_US * held / (held + waiting)).max(GRACE_MIN_US),
            };
            waiting > 0
                && hold.spent_us(now_us) >= grace_us
                && (has_common || hold.charges[lane] > 0)
        })
    }
}

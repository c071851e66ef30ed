//! Waiting within one core: a counting gate, a lock per key. All `!Send`, no spinning, first come
//! first served, so that the simulator sees one order for one seed.

use futures_channel::oneshot;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// A counting semaphore. Waiters are served in order; a large request is not overtaken.
#[derive(Clone)]
pub struct Gate(Rc<RefCell<GateState>>);

struct GateState {
    free: usize,
    waiting: VecDeque<(usize, oneshot::Sender<Permit>)>,
}

/// Units taken from a `Gate`; they go back when it drops.
pub struct Permit {
    gate: Gate,
    units: usize,
}

impl Gate {
    /// A gate with `units` free.
    #[must_use]
    pub fn new(units: usize) -> Self {
        Self(Rc::new(RefCell::new(GateState { free: units, waiting: VecDeque::new() })))
    }

    /// Waits for `units`.
    pub async fn take(&self, units: usize) -> Permit {
        let receiver = {
            let mut state = self.0.borrow_mut();
            if state.waiting.is_empty() && state.free >= units {
                state.free -= units;
                return Permit { gate: self.clone(), units };
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back((units, sender));
            receiver
        };
        match receiver.await {
            Ok(permit) => permit,
            // The gate holds the sender, and this future holds the gate.
            Err(oneshot::Canceled) => unreachable!("a gate never drops a waiter"),
        }
    }

    /// Takes `units` if they are free now.
    #[must_use]
    pub fn try_take(&self, units: usize) -> Option<Permit> {
        let mut state = self.0.borrow_mut();
        if !state.waiting.is_empty() || state.free < units {
            return None;
        }
        state.free -= units;
        Some(Permit { gate: self.clone(), units })
    }

    /// Units free now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.borrow().free
    }

    fn give_back(&self, units: usize) {
        self.0.borrow_mut().free += units;
        loop {
            let (units, sender) = {
                let mut state = self.0.borrow_mut();
                match state.waiting.front() {
                    Some((units, _)) if *units <= state.free => {}
                    _ => return,
                }
                let Some((units, sender)) = state.waiting.pop_front() else { return };
                state.free -= units;
                (units, sender)
            };
            // A waiter that gave up drops the permit, which comes back here.
            drop(sender.send(Permit { gate: self.clone(), units }));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.give_back(self.units);
    }
}

/// A lock for each key in use; keys not in use cost nothing.
#[derive(Clone)]
pub struct KeyLocks<K: Ord + Clone>(Rc<RefCell<Waiters<K>>>);

/// Who waits for each locked key.
type Waiters<K> = BTreeMap<K, VecDeque<oneshot::Sender<KeyGuard<K>>>>;

/// A held key; dropping it hands the key to the next waiter.
pub struct KeyGuard<K: Ord + Clone> {
    locks: KeyLocks<K>,
    key: K,
}

impl<K: Ord + Clone> Default for KeyLocks<K> {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(BTreeMap::new())))
    }
}

impl<K: Ord + Clone> KeyLocks<K> {
    /// Waits until the key is free and holds it.
    pub async fn lock(&self, key: K) -> KeyGuard<K> {
        let receiver = {
            let mut held = self.0.borrow_mut();
            match held.get_mut(&key) {
                None => {
                    held.insert(key.clone(), VecDeque::new());
                    return KeyGuard { locks: self.clone(), key };
                }
                Some(waiting) => {
                    let (sender, receiver) = oneshot::channel();
                    waiting.push_back(sender);
                    receiver
                }
            }
        };
        match receiver.await {
            Ok(guard) => guard,
            Err(oneshot::Canceled) => unreachable!("a lock never drops a waiter"),
        }
    }

    /// How many keys are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.borrow().len()
    }
}

impl<K: Ord + Clone> Drop for KeyGuard<K> {
    fn drop(&mut self) {
        let next = {
            let mut held = self.locks.0.borrow_mut();
            let next = held.get_mut(&self.key).and_then(VecDeque::pop_front);
            if next.is_none() {
                held.remove(&self.key);
            }
            next
        };
        if let Some(sender) = next {
            // A waiter that gave up drops the guard, which comes back here for the next one.
            drop(sender.send(KeyGuard { locks: self.locks.clone(), key: self.key.clone() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_gate_serves_in_order_and_takes_back_from_those_who_gave_up() {
        let gate = Gate::new(2);
        let held = gate.try_take(2);
        let mut large = Box::pin(gate.take(2));
        let mut small = pin!(gate.take(1));
        assert!(poll(large.as_mut()).is_pending());
        assert!(poll(small.as_mut()).is_pending(), "a small request must not overtake");
        drop(held);
        drop(large);
        assert!(poll(small.as_mut()).is_ready());
        assert_eq!(gate.free(), 2);
    }

    #[test]
    fn a_key_has_one_holder() {
        let locks = KeyLocks::default();
        let mut first = pin!(locks.lock("key"));
        let Poll::Ready(guard) = poll(first.as_mut()) else { panic!("free key") };
        let mut second = pin!(locks.lock("key"));
        assert!(poll(second.as_mut()).is_pending());
        drop(guard);
        let Poll::Ready(guard) = poll(second.as_mut()) else { panic!("handed over") };
        drop(guard);
        assert_eq!(locks.held(), 0);
    }
}

//! Which of a drive's operations go to the device next.
//!
//! Invariants: reads and writes have places of their own, each as many as its depth; those of one
//! direction and class keep their order; the foreground goes first. Of the background no more than
//! its share of a depth is at the device, whether or not anybody else waits; and while one of it
//! waits that may go, at most `ceil(1 / share)` others go before it, so that it never starves.
//! Whoever gives every place back gets every operation.
//!
//! Absent: the device, and deadlines: those count from the moment a place was had.

use crate::config::DriveLimits;
use engine_env::IoClass;
use std::collections::VecDeque;

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    /// Flushes too.
    Write,
}

/// What an operation takes at the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) direction: Direction,
    pub(crate) class: IoClass,
}

/// The places of one drive, and what waits for them.
pub(crate) struct Queue<T> {
    reads: Line<T>,
    writes: Line<T>,
}

impl<T> Queue<T> {
    /// All places are free.
    pub(crate) fn new(limits: &DriveLimits) -> Self {
        let share = limits.background_share;
        Self {
            reads: Line::new(limits.read_queue_depth_max, share),
            writes: Line::new(limits.write_queue_depth_max, share),
        }
    }

    /// Has an operation wait for a place.
    pub(crate) fn push(&mut self, place: Place, operation: T) {
        self.line_mut(place.direction).waiting_mut(place.class).push_back(operation);
    }

    /// The next operation that may go to the device; it has its place from here on.
    pub(crate) fn admit(&mut self) -> Option<(Place, T)> {
        for direction in [Direction::Read, Direction::Write] {
            if let Some((class, operation)) = self.line_mut(direction).admit() {
                return Some((Place { direction, class }, operation));
            }
        }
        None
    }

    /// An operation has left the device.
    pub(crate) fn give_back(&mut self, place: Place) {
        *self.line_mut(place.direction).at_device_mut(place.class) -= 1;
    }

    /// Whether any operation waits for such a place.
    pub(crate) fn is_waiting(&self, place: Place) -> bool {
        let line = self.line(place.direction);
        !match place.class {
            IoClass::Foreground => line.foreground.is_empty(),
            IoClass::Background => line.background.is_empty(),
        }
    }

    /// How many of a direction are at the device.
    pub(crate) fn at_device(&self, direction: Direction) -> usize {
        self.line(direction).at_device()
    }

    /// All that waits, given up.
    pub(crate) fn take_waiting(&mut self) -> Vec<T> {
        let mut taken = Vec::new();
        for line in [&mut self.reads, &mut self.writes] {
            taken.extend(line.foreground.drain(..));
            taken.extend(line.background.drain(..));
        }
        taken
    }

    fn line(&self, direction: Direction) -> &Line<T> {
        match direction {
            Direction::Read => &self.reads,
            Direction::Write => &self.writes,
        }
    }

    fn line_mut(&mut self, direction: Direction) -> &mut Line<T> {
        match direction {
            Direction::Read => &mut self.reads,
            Direction::Write => &mut self.writes,
        }
    }
}

/// The same of one direction.
struct Line<T> {
    depth: usize,
    /// How many of the background may be at the device.
    background_depth: usize,
    /// After so many others one of the background is due.
    turn: u64,
    /// Others that went while one of the background waited, since one of it went.
    passed: u64,
    foreground: VecDeque<T>,
    background: VecDeque<T>,
    foreground_at_device: usize,
    background_at_device: usize,
}

impl<T> Line<T> {
    fn new(depth: u32, share: f64) -> Self {
        Self {
            depth: depth as usize,
            // Both casts cut off, and saturate where there is no such number.
            background_depth: ((f64::from(depth) * share) as usize).max(1),
            turn: (1.0 / share).ceil() as u64,
            passed: 0,
            foreground: VecDeque::new(),
            background: VecDeque::new(),
            foreground_at_device: 0,
            background_at_device: 0,
        }
    }

    fn admit(&mut self) -> Option<(IoClass, T)> {
        if self.at_device() >= self.depth {
            return None;
        }
        let is_due = self.foreground.is_empty() || self.passed >= self.turn;
        if is_due
            && self.background_at_device < self.background_depth
            && let Some(operation) = self.background.pop_front()
        {
            self.background_at_device += 1;
            self.passed = 0;
            return Some((IoClass::Background, operation));
        }
        let operation = self.foreground.pop_front()?;
        self.foreground_at_device += 1;
        if !self.background.is_empty() {
            self.passed += 1;
        }
        Some((IoClass::Foreground, operation))
    }

    fn at_device(&self) -> usize {
        self.foreground_at_device + self.background_at_device
    }

    fn at_device_mut(&mut self, class: IoClass) -> &mut usize {
        match class {
            IoClass::Foreground => &mut self.foreground_at_device,
            IoClass::Background => &mut self.background_at_device,
        }
    }

    fn waiting_mut(&mut self, class: IoClass) -> &mut VecDeque<T> {
        match class {
            IoClass::Foreground => &mut self.foreground,
            IoClass::Background => &mut self.background,
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;

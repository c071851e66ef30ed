//! What happened in a stretch of time, usually one second, usually of one thread.
//!
//! Invariants: `add` is exact, and its order does not matter (but for which error codes of a
//! cell are named once there are more than `ERROR_CODES_MAX`; their sum is always exact). The
//! default interval is neutral. Adding threads of one second and adding seconds of one run are
//! the same: counts add up, times become the first start and the last end.

use crate::histogram::Histogram;
use crate::key::{LatencyKind, SizeClass};
use crate::operation::Operation;
use std::collections::BTreeMap;

/// Error codes that a cell tells apart; a hostile server must not fill the memory.
pub const ERROR_CODES_MAX: usize = 32;
/// Characters of an error code that are kept.
pub(crate) const ERROR_CODE_BYTES_MAX: usize = 64;
/// The code under which all further ones are counted.
const OTHER_CODES: &str = "other";

/// What happened to one operation and size class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    /// Operations that succeeded.
    pub count: u64,
    /// Bytes of objects moved by those, without headers.
    pub bytes: u64,
    errors: BTreeMap<String, u64>,
    latencies: [Histogram; LatencyKind::ALL.len()],
}

impl Cell {
    /// The latencies of one kind.
    #[must_use]
    pub const fn latency(&self, kind: LatencyKind) -> &Histogram {
        &self.latencies[kind.index()]
    }

    pub(crate) const fn latency_mut(&mut self, kind: LatencyKind) -> &mut Histogram {
        &mut self.latencies[kind.index()]
    }

    /// Failed operations by code.
    #[must_use]
    pub const fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// How many operations failed.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().fold(0_u64, |sum, count| sum.saturating_add(*count))
    }

    /// Counts failures under a code, which may come from a server and is made fit to be shown.
    pub(crate) fn count_errors(&mut self, code: &str, count: u64) {
        let name = if self.errors.contains_key(code) { code.to_owned() } else { shown(code) };
        let known = self.errors.contains_key(&name) || self.errors.len() < ERROR_CODES_MAX;
        let name = if known { name } else { OTHER_CODES.to_owned() };
        let sum = self.errors.entry(name).or_insert(0);
        *sum = sum.saturating_add(count);
    }

    /// Takes over a code that is known to be fit and new.
    pub(crate) fn insert_errors(&mut self, code: &str, count: u64) {
        self.errors.insert(code.to_owned(), count);
    }

    /// Adds all of another cell.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (code, count) in &other.errors {
            self.count_errors(code, *count);
        }
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            mine.add(theirs);
        }
    }
}

/// A code with nothing in it that a terminal or a table could mistake.
fn shown(code: &str) -> String {
    let keep = |character: char| if character.is_ascii_graphic() { character } else { '?' };
    let text: String = code.chars().take(ERROR_CODE_BYTES_MAX).map(keep).collect();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

/// What happened between two times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interval {
    /// When it began, in nanoseconds since the start of the phase.
    pub start_ns: u64,
    /// When it ended, on the same clock. An interval that ends at 0 is empty and neutral.
    pub end_ns: u64,
    /// Operations that were planned and given up because the backlog was full.
    pub shed: u64,
    /// Payloads that were not what had been written.
    pub mismatches: u64,
    /// CPU time of the client, in nanoseconds.
    pub client_cpu_ns: u64,
    /// How late the generator itself was, per operation of an open loop.
    pub schedule_lag: Histogram,
    cells: BTreeMap<(Operation, SizeClass), Cell>,
}

impl Interval {
    /// An interval in which nothing happened.
    #[must_use]
    pub fn new(start_ns: u64, end_ns: u64) -> Self {
        Self { start_ns, end_ns: end_ns.max(start_ns), ..Self::default() }
    }

    /// Its length in seconds.
    #[must_use]
    pub fn length_s(&self) -> f64 {
        self.end_ns.saturating_sub(self.start_ns) as f64 / 1e9
    }

    /// What happened to an operation and size class, if anything did.
    #[must_use]
    pub fn cell(&self, operation: Operation, size_class: SizeClass) -> Option<&Cell> {
        self.cells.get(&(operation, size_class))
    }

    pub(crate) fn cell_mut(&mut self, operation: Operation, size_class: SizeClass) -> &mut Cell {
        self.cells.entry((operation, size_class)).or_default()
    }

    /// Everything that happened, by operation, then size class.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (Operation, SizeClass, &Cell)> {
        self.cells.iter().map(|((operation, size_class), cell)| (*operation, *size_class, cell))
    }

    /// The operations that occur.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let mut operations: Vec<Operation> =
            self.cells.keys().map(|(operation, _)| *operation).collect();
        operations.dedup();
        operations
    }

    /// What happened to an operation, all size classes together.
    #[must_use]
    pub fn operation(&self, operation: Operation) -> Cell {
        let mut total = Cell::default();
        for (_, cell) in self.cells.iter().filter(|((its, _), _)| *its == operation) {
            total.add(cell);
        }
        total
    }

    /// Operations that succeeded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cells.values().fold(0_u64, |sum, cell| sum.saturating_add(cell.count))
    }

    /// Operations that failed.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.cells.values().fold(0_u64, |sum, cell| sum.saturating_add(cell.error_count()))
    }

    /// Bytes of objects moved by the operations that succeeded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.cells.values().fold(0_u64, |sum, cell| sum.saturating_add(cell.bytes))
    }

    /// Adds all of another interval: of another thread or worker, or the next of the same.
    pub fn add(&mut self, other: &Self) {
        if other.end_ns > 0 {
            let first = self.end_ns == 0;
            self.start_ns = if first { other.start_ns } else { self.start_ns.min(other.start_ns) };
            self.end_ns = self.end_ns.max(other.end_ns);
        }
        self.shed = self.shed.saturating_add(other.shed);
        self.mismatches = self.mismatches.saturating_add(other.mismatches);
        self.client_cpu_ns = self.client_cpu_ns.saturating_add(other.client_cpu_ns);
        self.schedule_lag.add(&other.schedule_lag);
        for ((operation, size_class), cell) in &other.cells {
            self.cell_mut(*operation, *size_class).add(cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{interval, latencies};

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let parts = [interval(1, 0), interval(2, 0), interval(3, 1), interval(4, 2)];
        let mut forwards = Interval::default();
        let mut backwards = Interval::default();
        for part in &parts {
            forwards.add(part);
        }
        for part in parts.iter().rev() {
            backwards.add(part);
        }
        assert_eq!(forwards, backwards);
        assert_eq!((forwards.start_ns, forwards.end_ns), (0, 3_000_000_000));
        assert_eq!(forwards.count(), parts.iter().map(Interval::count).sum::<u64>());
        assert_eq!(forwards.client_cpu_ns, 5_000_000 * (1 + 2 + 3 + 4));
    }

    #[test]
    fn the_default_is_neutral() {
        let some = interval(5, 4);
        let mut sum = Interval::default();
        sum.add(&some);
        sum.add(&Interval::default());
        assert_eq!(sum, some);
        assert_eq!((sum.start_ns, sum.end_ns), (4_000_000_000, 5_000_000_000));
    }

    #[test]
    fn classes_of_an_operation_merge_exactly() {
        let values = latencies(9, 3_000);
        let mut whole = Interval::new(0, 1);
        for (class, part) in SizeClass::ALL.into_iter().zip(values.chunks(500)) {
            let cell = whole.cell_mut(Operation::Get, class);
            cell.count = part.len() as u64;
            *cell.latency_mut(LatencyKind::Response) = part.iter().copied().collect();
        }
        let total = whole.operation(Operation::Get);
        assert_eq!(total.count, 3_000);
        let expected: Histogram = values.iter().copied().collect();
        assert_eq!(*total.latency(LatencyKind::Response), expected);
        assert_eq!(whole.operations(), [Operation::Get]);
        assert_eq!(whole.operation(Operation::Put), Cell::default());
    }

    #[test]
    fn codes_are_bounded_and_fit_to_be_shown() {
        let mut cell = Cell::default();
        cell.count_errors("SlowDown", 2);
        cell.count_errors("\u{1b}[31m\n", 1);
        cell.count_errors("", 1);
        for number in 0..1_000 {
            cell.count_errors(&format!("Code{number}"), 1);
        }
        assert_eq!(cell.error_count(), 1_004);
        assert_eq!(cell.errors().len(), ERROR_CODES_MAX + 1);
        assert_eq!(cell.errors()["SlowDown"], 2);
        assert_eq!(cell.errors()["?[31m?"], 1);
        assert_eq!(cell.errors()["unknown"], 1);
        assert!(cell.errors().contains_key(OTHER_CODES));
        cell.count_errors(&"x".repeat(1_000), 1);
        assert!(cell.errors().keys().all(|code| code.len() <= ERROR_CODE_BYTES_MAX));
    }
}

//! Where writes come from: each place in the source of the store that hands a write to a drive, and
//! how many crashes came while a write of it was on its way.
//!
//! Invariants: of one thread, like the worlds; nothing here changes a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;

/// A place in the source.
pub(crate) type Place = &'static Location<'static>;

thread_local! {
    /// File and line, and the crashes.
    static SITES: RefCell<BTreeMap<(&'static str, u32), u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// All places that wrote since the thread began, as `file:line`, and how many crashes of a drive
/// caught a write of each before it was complete or, where the power went, durable.
#[must_use]
pub fn write_sites() -> Vec<(String, u64)> {
    SITES.with_borrow(|sites| {
        sites.iter().map(|((file, line), crashes)| (format!("{file}:{line}"), *crashes)).collect()
    })
}

/// The writes of one drive on their way, by number.
#[derive(Default)]
pub(crate) struct OnTheWay(BTreeMap<u64, Place>);

impl OnTheWay {
    pub(crate) fn submitted(&mut self, number: u64, place: Place) {
        SITES.with_borrow_mut(|sites| {
            sites.entry((place.file(), place.line())).or_default();
        });
        self.0.insert(number, place);
    }

    pub(crate) fn is_durable(&mut self, number: u64) {
        self.0.remove(&number);
    }

    /// The drive crashes while these are on their way; nothing is afterwards.
    pub(crate) fn crash(&mut self, numbers: impl Iterator<Item = u64>) {
        let places = numbers.filter_map(|number| self.0.get(&number));
        let caught: BTreeSet<_> = places.map(|place| (place.file(), place.line())).collect();
        self.0.clear();
        SITES.with_borrow_mut(|sites| {
            for place in caught {
                *sites.entry(place).or_default() += 1;
            }
        });
    }
}

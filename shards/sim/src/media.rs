//! What a simulated drive holds: what a read sees, what power loss keeps, and what is between them.

use crate::drive::{Remains, WriteFaults};
use crate::random::Random;
use crate::sites::OnTheWay;
use engine_env::{BLOCK_BYTES, DmaBuf};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(crate) const SECTOR_BYTES: usize = 512;
/// A killed process's write lands at one of so many I/Os of its successor, in the twin of rule 12.
const LATE_ONE_IN: u64 = 40;

pub(crate) type Page = Box<[u8; BLOCK_BYTES]>;

pub(crate) struct Media {
    pub capacity_bytes: u64,
    pub prepared_bytes: u64,
    /// What a read sees.
    pub current: BTreeMap<u64, Page>,
    /// What power loss keeps for certain.
    pub durable: BTreeMap<u64, Page>,
    /// Writes completed and not flushed, in order, each with its number.
    pub volatile: Vec<(u64, u64, Rc<DmaBuf>)>,
    /// Writes submitted and not completed.
    pub in_flight: BTreeMap<u64, (u64, Rc<DmaBuf>)>,
    /// Writes of killed processes that are still to land; only without a lock.
    pub late: Vec<(u64, u64, Rc<DmaBuf>)>,
    pub on_the_way: OnTheWay,
    pub unlocked: bool,
    pub next_write: u64,
    pub random: Random,
    pub delay_us_max: u64,
    pub failed: bool,
    pub stalled: bool,
    pub lying: bool,
    pub host_full: bool,
    pub write_faults: Option<WriteFaults>,
    pub opening: u64,
    /// I/Os submitted since it was made.
    pub io_count: u64,
}

impl Media {
    pub(crate) fn complete(&mut self, number: u64, offset: u64, bytes: Rc<DmaBuf>) {
        write_into(&mut self.current, offset, &bytes);
        self.volatile.push((number, offset, bytes));
    }

    /// A write that failed: what it left is as volatile as any other.
    pub(crate) fn complete_part(
        &mut self,
        number: u64,
        offset: u64,
        bytes: &[u8],
        remains: Remains,
    ) {
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let is_there = match remains {
                Remains::Nothing => false,
                Remains::Part => self.random.one_in(2),
                Remains::All => true,
            };
            if is_there {
                let at = offset + (index * SECTOR_BYTES) as u64;
                self.complete(number, at, Rc::new(DmaBuf::copy_of(sector)));
            }
        }
    }

    /// A submitted write may or may not have reached the drive; without a lock it may do so later.
    pub(crate) fn end_in_flight(&mut self) {
        for (number, (offset, bytes)) in std::mem::take(&mut self.in_flight) {
            if self.unlocked {
                self.late.push((number, offset, bytes));
            } else if self.random.one_in(2) {
                self.complete(number, offset, bytes);
            }
        }
    }

    /// A write of a killed process may land now.
    pub(crate) fn land_late(&mut self) {
        if !self.late.is_empty() && self.random.one_in(LATE_ONE_IN) {
            let (number, offset, bytes) = self.late.remove(0);
            self.complete(number, offset, bytes);
        }
    }

    /// What a read sees goes back to what is durable.
    pub(crate) fn restore(&mut self, offset: u64, len: usize) {
        let first = offset / BLOCK_BYTES as u64;
        let last = (offset + len as u64 - 1) / BLOCK_BYTES as u64;
        for page in first..=last {
            match self.durable.get(&page) {
                Some(bytes) => {
                    self.current.insert(page, bytes.clone());
                }
                None => {
                    self.current.remove(&page);
                }
            }
        }
    }

    /// Makes the covered writes durable. `from` is above 0 in the twin of rule 11: what lies before
    /// stays as it is, but for what was written over meanwhile.
    pub(crate) fn flush(&mut self, covered: &BTreeSet<u64>, from: u64) {
        if self.lying {
            return;
        }
        let writes = std::mem::take(&mut self.volatile);
        let (flushed, mut kept): (Vec<_>, Vec<_>) =
            writes.into_iter().partition(|(number, ..)| covered.contains(number));
        if from > 0 {
            kept.retain(|old| old.0 >= from || !flushed.iter().any(|new| replaces(new, old)));
        }
        self.volatile = kept;
        for (number, offset, bytes) in flushed {
            self.on_the_way.is_durable(number);
            write_into(&mut self.durable, offset, &bytes);
        }
    }
}

/// Whether a write lies over all of an earlier one.
fn replaces(new: &(u64, u64, Rc<DmaBuf>), old: &(u64, u64, Rc<DmaBuf>)) -> bool {
    let end = |write: &(u64, u64, Rc<DmaBuf>)| write.1 + write.2.len() as u64;
    new.1 <= old.1 && end(new) >= end(old)
}

pub(crate) fn write_into(pages: &mut BTreeMap<u64, Page>, offset: u64, bytes: &[u8]) {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let inside = (at % BLOCK_BYTES as u64) as usize;
        let len = rest.len().min(BLOCK_BYTES - inside);
        let page =
            pages.entry(at / BLOCK_BYTES as u64).or_insert_with(|| Box::new([0; BLOCK_BYTES]));
        page[inside..inside + len].copy_from_slice(&rest[..len]);
        at += len as u64;
        rest = &rest[len..];
    }
}

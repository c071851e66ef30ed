//! The drives of a set. They outlive every process.
//!
//! Invariants: `out` holds every position that may lack something the set acknowledged; with
//! `within_parity` it never holds more than P, counting those that rot.

use crate::options::{DEPLOYMENT, SEGMENT_BYTES, SEGMENTS};
use engine_store::{DriveError, FormatOptions, Store, StoreConfig};
use engine_types::{DriveId, Position, PositionSet, SetId};
use shards_sim::{Random, SimEnv, SimImage, SimMedia, World};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Fine,
    /// Every I/O fails.
    Failed,
    /// I/Os time out.
    Stalled,
    /// It is not plugged in: a restart does not see it.
    Absent,
}

struct Slot {
    media: SimMedia,
    drive: DriveId,
    health: Health,
    formatted: bool,
    rebuilding: bool,
    /// It came back and must be opened again.
    returned: bool,
    /// Rises with every fault.
    disturbed: u64,
}

/// A drive as it was.
pub struct DriveSnapshot {
    drive: DriveId,
    formatted: bool,
    image: SimImage,
}

/// The drives of a set.
#[derive(Clone)]
pub struct Drives {
    slots: Rc<RefCell<Vec<Slot>>>,
    out: Rc<Cell<PositionSet>>,
    rotten: Rc<Cell<PositionSet>>,
    set: SetShape,
}

#[derive(Clone, Copy)]
struct SetShape {
    count: u8,
    parity: u8,
    within_parity: bool,
}

fn drive_id(position: u8, generation: u64) -> DriveId {
    let mut id = [0xd7; 16];
    id[0] = position;
    id[1..9].copy_from_slice(&generation.to_le_bytes());
    DriveId(id)
}

impl Drives {
    /// New drives.
    pub fn new(seed: u64, (count, parity): (u8, u8), within_parity: bool) -> Self {
        let slot = |position: u8| Slot {
            media: SimMedia::new(SEGMENT_BYTES * SEGMENTS, seed, &format!("drive {position}")),
            drive: drive_id(position, 0),
            health: Health::Fine,
            formatted: false,
            rebuilding: false,
            returned: false,
            disturbed: 0,
        };
        Self {
            slots: Rc::new(RefCell::new((0..count).map(slot).collect())),
            out: Rc::default(),
            rotten: Rc::default(),
            set: SetShape { count, parity, within_parity },
        }
    }

    /// All positions.
    pub fn all(&self) -> PositionSet {
        PositionSet::first(usize::from(self.set.count))
    }

    fn with<T>(&self, position: Position, look: impl FnOnce(&mut Slot) -> T) -> T {
        look(&mut self.slots.borrow_mut()[usize::from(position.0)])
    }

    /// How a drive is.
    pub fn health(&self, position: Position) -> Health {
        self.with(position, |slot| slot.health)
    }

    /// Its medium.
    pub fn media(&self, position: Position) -> SimMedia {
        self.with(position, |slot| slot.media.clone())
    }

    /// Its faults so far.
    pub fn disturbed(&self, position: Position) -> u64 {
        self.with(position, |slot| slot.disturbed)
    }

    /// Opens a drive; formats it first where that was not done to the end.
    pub async fn open(
        &self,
        world: &World,
        position: Position,
        config: StoreConfig,
    ) -> Result<Store<SimEnv>, DriveError> {
        let (media, formatted, options) = self.with(position, |slot| {
            let options = FormatOptions {
                drive: slot.drive,
                deployment: DEPLOYMENT,
                set: SetId(0),
                position,
                set_size: self.set.count,
                set_count: 1,
                parity: self.set.parity,
                segment_bytes: SEGMENT_BYTES,
                rebuilding: slot.rebuilding,
            };
            (slot.media.clone(), slot.formatted, options)
        });
        let drive = media.open(world);
        if !formatted {
            Store::<SimEnv>::format(&drive, &options).await?;
            self.with(position, |slot| slot.formatted |= slot.drive == options.drive);
        }
        let (store, _) = Store::open(world.env(), drive, SEGMENT_BYTES, config).await?;
        Ok(store)
    }

    /// Positions that may lack something.
    pub fn out(&self) -> PositionSet {
        self.out.get()
    }

    /// Positions whose bits flip.
    pub fn rotten(&self) -> PositionSet {
        self.rotten.get()
    }

    /// Whether one more drive may be lost.
    pub fn may_lose(&self, position: Position) -> bool {
        let mut lost = self.out.get().or(self.rotten.get());
        lost.insert(position);
        !self.set.within_parity || lost.len() <= usize::from(self.set.parity)
    }

    /// The drive fails, stalls or goes away.
    pub fn lose(&self, position: Position, health: Health) {
        self.put_out(position);
        self.with(position, |slot| {
            slot.health = health;
            slot.disturbed += 1;
            slot.returned = false;
            slot.media.set_failed(health == Health::Failed);
            slot.media.set_stalled(health == Health::Stalled);
        });
    }

    /// The drive works again. What it holds may be old.
    pub fn restore(&self, position: Position) {
        self.with(position, |slot| {
            slot.media.set_failed(false);
            slot.media.set_stalled(false);
            slot.health = Health::Fine;
            slot.returned = true;
        });
    }

    /// A new, empty drive takes the place of a lost one.
    pub fn replace(&self, position: Position) {
        self.put_out(position);
        self.with(position, |slot| {
            slot.media.replace();
            slot.disturbed += 1;
            slot.drive = drive_id(position.0, slot.disturbed);
            slot.formatted = false;
            slot.rebuilding = true;
        });
        self.restore(position);
    }

    /// Gives a drive whose bytes are useless another life, empty and in the same seat.
    pub async fn begin_anew(&self, world: &World, position: Position) -> Result<(), DriveError> {
        self.put_out(position);
        let (media, drive) = self.with(position, |slot| {
            slot.disturbed += 1;
            (slot.media.clone(), drive_id(position.0, slot.disturbed))
        });
        let opened = media.open(world);
        Store::<SimEnv>::begin_anew(&opened, SEGMENT_BYTES, drive).await?;
        self.with(position, |slot| slot.drive = drive);
        Ok(())
    }

    /// Every drive as it is.
    pub fn snapshot(&self) -> Vec<DriveSnapshot> {
        let slots = self.slots.borrow();
        let snapshot = |slot: &Slot| DriveSnapshot {
            drive: slot.drive,
            formatted: slot.formatted,
            image: slot.media.image(),
        };
        slots.iter().map(snapshot).collect()
    }

    /// The drive is again as it was then, if it is the same and nothing else is wrong with it.
    pub fn roll_back(&self, position: Position, snapshot: &DriveSnapshot) -> bool {
        let rolls_back = self.with(position, |slot| {
            let same = snapshot.formatted && slot.drive == snapshot.drive;
            let rolls_back = same && slot.health == Health::Fine;
            if rolls_back {
                slot.media.roll_back(&snapshot.image);
                slot.disturbed += 1;
            }
            rolls_back
        });
        if rolls_back {
            self.put_out(position);
        }
        rolls_back
    }

    /// The drive begins to rot: it counts as lost from now on.
    pub fn begin_rot(&self, position: Position) {
        let mut rotten = self.rotten.get();
        rotten.insert(position);
        self.rotten.set(rotten);
        self.with(position, |slot| slot.disturbed += 1);
    }

    /// Exactly these drives rot.
    pub fn set_rotten(&self, rotten: PositionSet) {
        self.rotten.set(rotten);
    }

    /// Flips a bit of a drive that rots.
    pub fn flip_bit(&self, position: Position, random: &mut Random) -> bool {
        self.media(position).flip_bit(random).is_some()
    }

    /// Rot is over: the drives that had it are replaced.
    pub fn end_rot(&self) -> u64 {
        let rotten = self.rotten.replace(PositionSet::EMPTY);
        rotten.iter().for_each(|position| self.replace(position));
        rotten.len() as u64
    }

    /// Positions that came back and wait to be opened.
    pub fn returned(&self) -> PositionSet {
        let is_back = |position: &Position| {
            self.with(*position, |slot| slot.returned && slot.health == Health::Fine)
        };
        self.all().iter().filter(is_back).collect()
    }

    /// The drive is opened; nothing is left of what came before.
    pub fn opened(&self, position: Position) {
        self.with(position, |slot| slot.returned = false);
    }

    /// The position may lack something from now on.
    pub fn put_out(&self, position: Position) {
        let mut out = self.out.get();
        out.insert(position);
        self.out.set(out);
    }

    /// A view has it in sync and it works.
    pub fn put_in(&self, position: Position) {
        let settled = self.with(position, |slot| slot.health == Health::Fine && !slot.returned);
        if settled {
            let mut out = self.out.get();
            out.remove(position);
            self.out.set(out);
        }
    }

    /// Whether every drive is plugged in, works and does not rot; what it holds may be old.
    pub fn are_back(&self) -> bool {
        self.present() == self.all()
    }

    /// Positions whose drive is plugged in, works and does not rot.
    pub fn present(&self) -> PositionSet {
        let is_fine = |position: &Position| self.health(*position) == Health::Fine;
        self.all().iter().filter(is_fine).collect::<PositionSet>().minus(self.rotten())
    }

    /// Every drive is plugged in and works from now on.
    pub fn restore_all(&self) {
        for position in self.all().iter() {
            if self.health(position) != Health::Fine {
                self.restore(position);
            }
        }
    }

    /// The process dies; each drive loses its power too, or keeps it.
    pub fn crash(&self, random: &mut Random, power_cut: bool) {
        for position in self.all().iter() {
            let media = self.media(position);
            if power_cut && !random.one_in(4) {
                media.lose_power()
            } else {
                media.kill()
            }
            // A restart opens every drive.
            self.opened(position);
        }
    }
}

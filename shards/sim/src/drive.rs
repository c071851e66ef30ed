//! A simulated drive.
//!
//! Faults and why the engine must survive them: any subset of the 512-byte sectors of writes not
//! flushed survives a power loss (drives cache and reorder); I/O takes any time and completes in
//! any order; every I/O may fail for good from some moment on (a dying drive), or single writes
//! fail and leave anything of their bytes (a bad place); bytes may flip (rot); a flush may lie
//! (then the drive counts as rolled back, rule 8); the host may have no space to grow the drive.
//! A flush that was answered keeps what completed before it, unless the drive lies.
//!
//! Rules that a real drive keeps by itself (11, 12, 21) are kept here, and left out in their twins.

use crate::media::{Media, Page, SECTOR_BYTES, write_into};
use crate::random::Random;
use crate::sites::OnTheWay;
use crate::world::World;
use engine_env::{BLOCK_BYTES, DmaBuf, Drive, DriveGeometry, Env, IoError, Rule};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

/// What is on the drive of a write that fails all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// Nothing.
    Nothing,
    /// Any of its sectors.
    Part,
    /// All of it.
    All,
}

/// Which writes fail: given offset and bytes, what remains of one that does.
pub(crate) type WriteFaults = Box<dyn FnMut(u64, &[u8]) -> Option<Remains>>;

/// What is left of a drive when its power is gone, and its faults. Outlives every process.
#[derive(Clone)]
pub struct SimMedia(Rc<RefCell<Media>>);

/// What a drive held for certain at some moment; see `SimMedia::roll_back`.
pub struct SimImage {
    prepared_bytes: u64,
    durable: BTreeMap<u64, Page>,
}

/// A simulated drive, open.
#[derive(Clone)]
pub struct SimDrive {
    media: SimMedia,
    world: World,
    opening: u64,
    /// The number of its first write.
    first_write: u64,
}

impl SimMedia {
    /// A drive full of zeros.
    #[must_use]
    pub fn new(capacity_bytes: u64, seed: u64, salt: &str) -> Self {
        Self(Rc::new(RefCell::new(Media {
            capacity_bytes,
            prepared_bytes: 0,
            current: BTreeMap::new(),
            durable: BTreeMap::new(),
            volatile: Vec::new(),
            in_flight: BTreeMap::new(),
            late: Vec::new(),
            on_the_way: OnTheWay::default(),
            unlocked: false,
            next_write: 0,
            random: Random::new(seed, salt),
            delay_us_max: 200,
            failed: false,
            stalled: false,
            lying: false,
            host_full: false,
            write_faults: None,
            opening: 0,
            io_count: 0,
        })))
    }

    /// Opens the drive.
    #[must_use]
    pub fn open(&self, world: &World) -> SimDrive {
        let mut media = self.0.borrow_mut();
        // Whoever opens a drive anew waits for what an earlier opening still has at the device.
        media.end_in_flight();
        media.opening += 1;
        let (opening, first_write) = (media.opening, media.next_write);
        SimDrive { media: self.clone(), world: world.clone(), opening, first_write }
    }

    /// I/Os submitted so far.
    #[must_use]
    pub fn io_count(&self) -> u64 {
        self.0.borrow().io_count
    }

    /// The process was killed, the power is still on: completed and submitted writes stay.
    pub fn kill(&self) {
        let mut media = self.0.borrow_mut();
        media.opening += 1;
        let Media { on_the_way, in_flight, .. } = &mut *media;
        on_the_way.crash(in_flight.keys().copied());
        media.end_in_flight();
    }

    /// Power loss: of every sector not flushed, the old or the new bytes are left.
    pub fn lose_power(&self) {
        let mut media = self.0.borrow_mut();
        media.opening += 1;
        let Media { on_the_way, in_flight, volatile, .. } = &mut *media;
        let completed = volatile.iter().map(|(number, ..)| *number);
        on_the_way.crash(completed.chain(in_flight.keys().copied()));
        let mut lost: Vec<(u64, Rc<DmaBuf>)> =
            media.volatile.drain(..).map(|(_, offset, bytes)| (offset, bytes)).collect();
        lost.extend(std::mem::take(&mut media.in_flight).into_values());
        lost.extend(media.late.drain(..).map(|(_, offset, bytes)| (offset, bytes)));
        let mode = media.random.below(4);
        for (offset, bytes) in &lost {
            for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                let survives = match mode {
                    0 => false,
                    1 => true,
                    _ => media.random.one_in(2),
                };
                if survives {
                    let at = offset + (index * SECTOR_BYTES) as u64;
                    write_into(&mut media.durable, at, sector);
                }
            }
        }
        for (offset, bytes) in &lost {
            media.restore(*offset, bytes.len());
        }
    }

    /// From now on every I/O fails (true) or works again (false).
    pub fn set_failed(&self, failed: bool) {
        self.0.borrow_mut().failed = failed;
    }

    /// From now on the writes fail with EIO for which `faults` names what remains of them. It is
    /// asked at the submission of each, and must not touch this drive.
    pub fn set_write_faults(&self, faults: impl FnMut(u64, &[u8]) -> Option<Remains> + 'static) {
        self.0.borrow_mut().write_faults = Some(Box::new(faults));
    }

    /// From now on no write fails for `set_write_faults` any more.
    pub fn clear_write_faults(&self) {
        self.0.borrow_mut().write_faults = None;
    }

    /// From now on flushes are answered and keep nothing.
    pub fn set_lying(&self, lying: bool) {
        self.0.borrow_mut().lying = lying;
    }

    /// From now on the host refuses to grow the drive (true) or has space again (false).
    pub fn set_host_full(&self, host_full: bool) {
        self.0.borrow_mut().host_full = host_full;
    }

    /// From now on whoever opens the drive does not wait for what earlier openings still have at
    /// it (true): the twin of rule 12.
    pub fn set_unlocked(&self, unlocked: bool) {
        self.0.borrow_mut().unlocked = unlocked;
    }

    /// How long an I/O may take.
    pub fn set_delay_us_max(&self, delay_us: u64) {
        self.0.borrow_mut().delay_us_max = delay_us;
    }

    /// From now on I/Os wait and then time out (true), or are answered again (false).
    pub fn set_stalled(&self, stalled: bool) {
        self.0.borrow_mut().stalled = stalled;
    }

    /// Flips one bit of what is stored, if anything is there. Gives where.
    pub fn flip_bit(&self, random: &mut Random) -> Option<u64> {
        let mut media = self.0.borrow_mut();
        let pages: Vec<u64> = media.durable.keys().copied().collect();
        if pages.is_empty() {
            return None;
        }
        let page = *random.pick(&pages);
        let byte = random.below(BLOCK_BYTES as u64) as usize;
        let bit = 1_u8 << random.below(8);
        for map in [0, 1] {
            let pages = if map == 0 { &mut media.durable } else { &mut media.current };
            if let Some(page) = pages.get_mut(&page) {
                page[byte] ^= bit;
            }
        }
        Some(page * BLOCK_BYTES as u64 + byte as u64)
    }

    /// A new, empty drive in this one's place.
    pub fn replace(&self) {
        let mut media = self.0.borrow_mut();
        media.opening += 1;
        media.current.clear();
        media.durable.clear();
        media.volatile.clear();
        media.in_flight.clear();
        media.late.clear();
        media.prepared_bytes = 0;
        media.failed = false;
        media.stalled = false;
        media.lying = false;
        media.host_full = false;
        media.write_faults = None;
    }

    /// What power loss would leave for certain now.
    #[must_use]
    pub fn image(&self) -> SimImage {
        let media = self.0.borrow();
        SimImage { prepared_bytes: media.prepared_bytes, durable: media.durable.clone() }
    }

    /// The drive comes back as it was then: its flushes lied since, or it is an old copy (rule 8).
    pub fn roll_back(&self, image: &SimImage) {
        let mut media = self.0.borrow_mut();
        media.opening += 1;
        media.volatile.clear();
        media.in_flight.clear();
        media.prepared_bytes = image.prepared_bytes;
        media.durable = image.durable.clone();
        media.current = image.durable.clone();
    }

    /// What stands at `offset_bytes` from now on; for rot at a known place.
    pub fn overwrite(&self, offset_bytes: u64, bytes: &[u8]) {
        let mut media = self.0.borrow_mut();
        let media = &mut *media;
        write_into(&mut media.durable, offset_bytes, bytes);
        write_into(&mut media.current, offset_bytes, bytes);
    }

    /// What stands at `offset_bytes` on the drive when its power is gone.
    #[must_use]
    pub fn contents(&self, offset_bytes: u64, len: usize) -> Vec<u8> {
        let media = self.0.borrow();
        let mut bytes = vec![0; len];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let at = offset_bytes + index as u64;
            if let Some(page) = media.durable.get(&(at / BLOCK_BYTES as u64)) {
                *byte = page[(at % BLOCK_BYTES as u64) as usize];
            }
        }
        bytes
    }
}

impl SimDrive {
    /// Waits some time; gives the error the I/O ends with, if any.
    async fn delay(media: SimMedia, world: World, opening: u64) -> Result<(), IoError> {
        let (delay_us, stalled) = {
            let mut inner = media.0.borrow_mut();
            inner.io_count += 1;
            let max = inner.delay_us_max;
            inner.land_late();
            (inner.random.below(max + 1), inner.stalled)
        };
        if stalled && world.env().breaks(Rule::Deadline) {
            std::future::pending::<()>().await;
        }
        world.env().sleep_us(if stalled { 5_000_000 } else { delay_us }).await;
        let inner = media.0.borrow();
        if inner.opening != opening {
            return Err(IoError::Offline);
        }
        if inner.failed {
            return Err(IoError::Failed(5));
        }
        if inner.stalled { Err(IoError::Timeout) } else { Ok(()) }
    }
}

impl Drive for SimDrive {
    fn geometry(&self) -> DriveGeometry {
        let capacity_bytes = self.media.0.borrow().capacity_bytes;
        DriveGeometry { capacity_bytes, io_bytes_max: 128 << 10 }
    }

    /// Nobody goes before others here: I/O takes any time and ends in any order.
    fn background(&self) -> Self {
        self.clone()
    }

    fn prepared_bytes(&self) -> u64 {
        self.media.0.borrow().prepared_bytes
    }

    fn prepare(&self, end_bytes: u64) -> impl Future<Output = Result<(), IoError>> + use<> {
        let (media, world, opening) = (self.media.clone(), self.world.clone(), self.opening);
        async move {
            Self::delay(media.clone(), world, opening).await?;
            let mut inner = media.0.borrow_mut();
            let end = end_bytes.min(inner.capacity_bytes);
            if inner.host_full && end > inner.prepared_bytes {
                return Err(IoError::NoSpace);
            }
            inner.prepared_bytes = inner.prepared_bytes.max(end);
            Ok(())
        }
    }

    fn read(
        &self,
        offset_bytes: u64,
        mut buffer: DmaBuf,
    ) -> impl Future<Output = Result<DmaBuf, IoError>> + use<> {
        check(offset_bytes, buffer.len(), &self.media);
        let (media, world, opening) = (self.media.clone(), self.world.clone(), self.opening);
        async move {
            Self::delay(media.clone(), world, opening).await?;
            let inner = media.0.borrow();
            for (index, block) in buffer.chunks_mut(BLOCK_BYTES).enumerate() {
                let page = offset_bytes / BLOCK_BYTES as u64 + index as u64;
                match inner.current.get(&page) {
                    Some(bytes) => block.copy_from_slice(&bytes[..block.len()]),
                    None => block.fill(0),
                }
            }
            Ok(buffer)
        }
    }

    fn write(
        &self,
        offset_bytes: u64,
        mut buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), IoError>> + use<> {
        let place = Location::caller();
        buffer.set_len_to_capacity();
        check(offset_bytes, buffer.len(), &self.media);
        // A drive pulled out from under its process takes nothing, wherever it is written.
        let is_open = self.media.0.borrow().opening == self.opening;
        assert!(
            !is_open || offset_bytes + buffer.len() as u64 <= self.prepared_bytes(),
            "writes stay within what is prepared"
        );
        let (media, world, opening) = (self.media.clone(), self.world.clone(), self.opening);
        let bytes = Rc::new(buffer);
        let (number, fault) = {
            let mut inner = media.0.borrow_mut();
            let fault = inner.write_faults.as_mut().and_then(|faults| faults(offset_bytes, &bytes));
            let number = inner.next_write;
            inner.next_write += 1;
            if inner.opening == opening && !inner.failed {
                inner.in_flight.insert(number, (offset_bytes, Rc::clone(&bytes)));
                inner.on_the_way.submitted(number, place);
                world.note_write(place);
            }
            (number, fault)
        };
        // Abandoning the future must not abandon the write: the device is a task of its own.
        let (sender, receiver) = futures_channel::oneshot::channel();
        world.note(offset_bytes);
        world.clone().env().spawn(async move {
            let mut outcome = Self::delay(media.clone(), world, opening).await;
            if outcome.is_ok() {
                let mut inner = media.0.borrow_mut();
                let submitted = inner.in_flight.remove(&number);
                match (submitted, fault) {
                    (Some((offset, bytes)), None) => inner.complete(number, offset, bytes),
                    (Some((offset, bytes)), Some(remains)) => {
                        inner.complete_part(number, offset, &bytes, remains);
                        outcome = Err(IoError::Failed(5));
                    }
                    // Submitted while the drive failed: it was never taken, whatever works now.
                    (None, _) => outcome = Err(IoError::Failed(5)),
                }
            }
            _ = sender.send(outcome);
        });
        async move { receiver.await.unwrap_or(Err(IoError::Offline)) }
    }

    fn flush(&self) -> impl Future<Output = Result<(), IoError>> + use<> {
        let (media, world, opening) = (self.media.clone(), self.world.clone(), self.opening);
        // The first flush of a real drive covers what earlier processes wrote too.
        let from = if world.env().breaks(Rule::FlushAtRecovery) { self.first_write } else { 0 };
        let covered: BTreeSet<u64> = {
            let inner = media.0.borrow();
            let numbers = inner.volatile.iter().map(|(number, ..)| *number);
            numbers.filter(|number| *number >= from).collect()
        };
        async move {
            Self::delay(media.clone(), world, opening).await?;
            media.0.borrow_mut().flush(&covered, from);
            Ok(())
        }
    }
}

fn check(offset_bytes: u64, len: usize, media: &SimMedia) {
    let aligned =
        offset_bytes.is_multiple_of(BLOCK_BYTES as u64) && len.is_multiple_of(BLOCK_BYTES);
    assert!(aligned, "offset {offset_bytes} and length {len} are whole blocks");
    assert!(
        offset_bytes + len as u64 <= media.0.borrow().capacity_bytes,
        "offset {offset_bytes} and length {len} lie on the drive"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_a_failing_drive_refused_is_never_answered_as_done() {
        let world = World::new(1);
        let media = SimMedia::new(1 << 20, 1, "drive");
        let drive = media.open(&world);
        world.run(drive.prepare(1 << 20), 100).unwrap().unwrap();
        media.set_failed(true);
        let write = drive.write(0, DmaBuf::copy_of(&[7; BLOCK_BYTES]));
        media.set_failed(false);
        let outcome = world.run(write, 100).unwrap();
        let read = world.run(drive.read(0, DmaBuf::zeroed(BLOCK_BYTES)), 100).unwrap();
        assert_eq!(outcome.is_ok(), read.unwrap()[0] == 7, "{outcome:?}");
    }

    #[test]
    fn a_drive_that_is_rolled_back_holds_what_it_held() {
        let world = World::new(2);
        let media = SimMedia::new(1 << 20, 2, "drive");
        let drive = media.open(&world);
        world.run(drive.prepare(1 << 20), 100).unwrap().unwrap();
        let image = media.image();
        world.run(drive.write(0, DmaBuf::copy_of(&[7; BLOCK_BYTES])), 100).unwrap().unwrap();
        world.run(drive.flush(), 100).unwrap().unwrap();
        assert_eq!(media.contents(0, 1), [7]);
        media.roll_back(&image);
        assert_eq!(media.contents(0, 1), [0]);
        let read = media.open(&world).read(0, DmaBuf::zeroed(BLOCK_BYTES));
        assert_eq!(world.run(read, 100).unwrap().unwrap()[0], 0);
    }
}

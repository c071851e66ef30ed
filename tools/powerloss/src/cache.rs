//! One file and the writes a power loss may take from it.
//!
//! Invariants: the host file always holds the newest bytes; `unflushed` holds what is needed to go
//! back to the durable bytes (newest first) and forward again (oldest first, some sectors only).

use crate::random::Random;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What a drive writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// What happens to the unflushed changes of one drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All survive.
    Keep,
    /// None survives.
    Drop,
    /// Each change survives whole or not, with this chance in eight.
    Whole(u64),
    /// Each sector survives or not, with this chance in eight.
    Sectors(u64),
}

impl Fate {
    /// Draws one.
    pub fn draw(random: &mut Random) -> Self {
        let eighths = [1, 4, 7][usize::try_from(random.below(3)).unwrap_or(0)];
        match random.below(20) {
            0..=1 => Self::Keep,
            2..=6 => Self::Drop,
            7..=10 => Self::Whole(eighths),
            _ => Self::Sectors(eighths),
        }
    }
}

/// What a loss did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Sectors that reached the medium though nobody asked for it.
    pub kept_sectors: u64,
    /// Sectors that are gone.
    pub dropped_sectors: u64,
}

#[derive(Debug)]
enum Change {
    Write { offset_bytes: u64, before: Vec<u8>, after: Vec<u8> },
    Resize { to_bytes: u64, cut: Vec<u8> },
}

#[derive(Debug)]
struct Unflushed {
    size_before_bytes: u64,
    change: Change,
}

/// A file whose unflushed changes can be lost.
#[derive(Debug)]
pub struct CachedFile {
    file: File,
    size_bytes: u64,
    unflushed: VecDeque<Unflushed>,
    unflushed_bytes: usize,
    cache_bytes_max: usize,
}

impl CachedFile {
    /// Takes a host file over; all it holds is durable.
    ///
    /// # Errors
    /// That the host cannot tell its size.
    pub fn new(file: File, cache_bytes_max: usize) -> io::Result<Self> {
        let size_bytes = file.metadata()?.len();
        let unflushed = VecDeque::new();
        Ok(Self { file, size_bytes, unflushed, unflushed_bytes: 0, cache_bytes_max })
    }

    /// The newest size.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes a loss may take.
    #[must_use]
    pub fn unflushed_bytes(&self) -> usize {
        self.unflushed_bytes
    }

    /// The newest bytes from `offset_bytes`, fewer at the end of the file.
    ///
    /// # Errors
    /// The host's.
    pub fn read(&self, offset_bytes: u64, length_bytes: usize) -> io::Result<Vec<u8>> {
        let left_bytes = self.size_bytes.saturating_sub(offset_bytes);
        let length_bytes = length_bytes.min(usize::try_from(left_bytes).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length_bytes];
        self.file.read_exact_at(&mut bytes, offset_bytes)?;
        Ok(bytes)
    }

    /// Writes, unflushed.
    ///
    /// # Errors
    /// The host's.
    pub fn write(&mut self, offset_bytes: u64, after: &[u8]) -> io::Result<()> {
        let mut before = self.read(offset_bytes, after.len())?;
        before.resize(after.len(), 0);
        self.file.write_all_at(after, offset_bytes)?;
        let size_before_bytes = self.size_bytes;
        self.size_bytes = size_before_bytes.max(offset_bytes + after.len() as u64);
        let change = Change::Write { offset_bytes, before, after: after.to_vec() };
        self.remember(Unflushed { size_before_bytes, change });
        Ok(())
    }

    /// Cuts or grows, unflushed.
    ///
    /// # Errors
    /// The host's.
    pub fn resize(&mut self, to_bytes: u64) -> io::Result<()> {
        let size_before_bytes = self.size_bytes;
        let cut_bytes = size_before_bytes.saturating_sub(to_bytes);
        let cut = self.read(to_bytes, usize::try_from(cut_bytes).unwrap_or(usize::MAX))?;
        self.file.set_len(to_bytes)?;
        self.size_bytes = to_bytes;
        let change = Change::Resize { to_bytes, cut };
        self.remember(Unflushed { size_before_bytes, change });
        Ok(())
    }

    /// Makes every change so far durable.
    pub fn flush(&mut self) {
        self.unflushed.clear();
        self.unflushed_bytes = 0;
    }

    /// Loses power: goes back to the durable bytes, then forward with the survivors.
    ///
    /// # Errors
    /// The host's; the file is of no use then.
    pub fn lose(&mut self, fate: Fate, random: &mut Random) -> io::Result<Lost> {
        let changes = std::mem::take(&mut self.unflushed);
        self.unflushed_bytes = 0;
        for unflushed in changes.iter().rev() {
            self.undo(unflushed)?;
        }
        let mut lost = Lost::default();
        for unflushed in &changes {
            self.redo(&unflushed.change, fate, random, &mut lost)?;
        }
        self.size_bytes = self.file.metadata()?.len();
        Ok(lost)
    }

    fn remember(&mut self, unflushed: Unflushed) {
        self.unflushed_bytes += footprint_bytes(&unflushed.change);
        self.unflushed.push_back(unflushed);
        while self.unflushed_bytes > self.cache_bytes_max {
            let Some(oldest) = self.unflushed.pop_front() else { break };
            self.unflushed_bytes -= footprint_bytes(&oldest.change);
        }
    }

    fn undo(&self, unflushed: &Unflushed) -> io::Result<()> {
        match &unflushed.change {
            Change::Write { offset_bytes, before, .. } => {
                self.file.write_all_at(before, *offset_bytes)?;
                self.file.set_len(unflushed.size_before_bytes)
            }
            Change::Resize { to_bytes, cut } => {
                self.file.set_len(unflushed.size_before_bytes)?;
                self.file.write_all_at(cut, *to_bytes)
            }
        }
    }

    fn redo(
        &self,
        change: &Change,
        fate: Fate,
        random: &mut Random,
        lost: &mut Lost,
    ) -> io::Result<()> {
        let whole = survives_whole(fate, random);
        let (offset_bytes, after) = match change {
            Change::Resize { to_bytes, .. } => {
                let survives = whole.unwrap_or_else(|| random.below(2) == 0);
                return if survives { self.file.set_len(*to_bytes) } else { Ok(()) };
            }
            Change::Write { offset_bytes, after, .. } => (*offset_bytes, after),
        };
        let mut done = 0_usize;
        while done < after.len() {
            let at_bytes = offset_bytes + done as u64;
            let to_border = SECTOR_BYTES - at_bytes % SECTOR_BYTES;
            let length = (after.len() - done).min(usize::try_from(to_border).unwrap_or(1));
            if whole.unwrap_or_else(|| survives_sector(fate, random)) {
                self.file.write_all_at(&after[done..done + length], at_bytes)?;
                lost.kept_sectors += 1;
            } else {
                lost.dropped_sectors += 1;
            }
            done += length;
        }
        Ok(())
    }
}

fn footprint_bytes(change: &Change) -> usize {
    match change {
        Change::Write { after, .. } => after.len(),
        Change::Resize { cut, .. } => cut.len(),
    }
}

/// Whether all of a change survives; `None` where each sector draws for itself.
fn survives_whole(fate: Fate, random: &mut Random) -> Option<bool> {
    match fate {
        Fate::Keep => Some(true),
        Fate::Drop => Some(false),
        Fate::Whole(eighths) => Some(random.below(8) < eighths),
        Fate::Sectors(_) => None,
    }
}

fn survives_sector(fate: Fate, random: &mut Random) -> bool {
    match fate {
        Fate::Keep => true,
        Fate::Drop => false,
        Fate::Whole(eighths) | Fate::Sectors(eighths) => random.below(8) < eighths,
    }
}

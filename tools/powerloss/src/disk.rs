//! The whole file system without FUSE: inodes, names, the backing directory and the loss.
//!
//! Invariants: an inode number is never used again; after a loss nothing but the report answers
//! until the backing directory is opened anew.

mod backing;

use crate::cache::{CachedFile, Fate, Lost};
use crate::names::{Change, Names, Place};
use crate::random::Random;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The inode of the mount point.
pub const ROOT: u64 = 1;
/// The inode of the control file.
pub const CONTROL: u64 = 2;
/// The control file's name in the root.
pub const CONTROL_NAME: &str = ".powerloss";

/// An errno, as FUSE takes it.
pub type Errno = i32;

/// What the tests choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the durable bytes live on the host.
    pub backing: PathBuf,
    /// Draws the fates.
    pub seed: u64,
    /// What statfs tells and writes must fit in.
    pub capacity_bytes: u64,
    /// Unflushed bytes a file keeps before its oldest become durable by themselves.
    pub cache_bytes_max: usize,
}

/// A file or a directory.
#[derive(Debug)]
pub struct Inode {
    /// Permission bits.
    pub mode: u32,
    /// Whether a name leads to it.
    pub linked: bool,
    /// `None` for a directory.
    pub file: Option<CachedFile>,
}

/// What a test does to one drive while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Reads, writes and flushes answer EIO.
    Fail,
    /// Reads, writes and flushes do not answer before the drive is healed.
    Stall,
}

/// The file system.
#[derive(Debug)]
pub struct Disk {
    options: Options,
    names: Names,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    random: Random,
    owner: (u32, u32),
    faults: BTreeMap<u64, Fault>,
    loss_after: Option<u64>,
    /// Flushes of files answer and do nothing: proves that a test can fail.
    lies: bool,
    lost: bool,
    writes: u64,
    flushes: u64,
    sectors: Lost,
    dropped_names: usize,
}

/// Turns a host error into an errno.
#[must_use]
pub fn errno(error: io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl Disk {
    /// Opens the backing directory, or makes an empty file system in it.
    ///
    /// # Errors
    /// The host's, or a names file that does not parse.
    pub fn open(options: Options) -> io::Result<Self> {
        std::fs::create_dir_all(options.backing.join("data"))?;
        let metadata = std::fs::metadata(&options.backing)?;
        let root = Inode { mode: 0o755, linked: true, file: None };
        let mut disk = Self {
            names: Names::default(),
            inodes: BTreeMap::from([(ROOT, root)]),
            next_inode: CONTROL + 1,
            random: Random::new(options.seed),
            owner: (metadata.uid(), metadata.gid()),
            options,
            faults: BTreeMap::new(),
            loss_after: None,
            lies: false,
            lost: false,
            writes: 0,
            flushes: 0,
            sectors: Lost::default(),
            dropped_names: 0,
        };
        disk.load()?;
        Ok(disk)
    }

    /// Makes everything durable and writes the names down.
    ///
    /// # Errors
    /// The host's.
    pub fn sync_all(&mut self) -> io::Result<()> {
        if self.lost {
            return Ok(());
        }
        self.names.sync_all();
        for inode in self.inodes.values_mut() {
            if let Some(file) = &mut inode.file {
                file.flush();
            }
        }
        self.save()
    }

    /// Loses power: every drive draws its fate, survivors reach the backing directory.
    ///
    /// # Errors
    /// The host's.
    pub fn lose(&mut self) -> io::Result<()> {
        if self.lost {
            return Ok(());
        }
        self.lost = true;
        let drives = self.drives();
        let mut fates = BTreeMap::new();
        for (number, inode) in &mut self.inodes {
            let Some(file) = &mut inode.file else { continue };
            let drive = drives.get(number).copied().unwrap_or(ROOT);
            let random = &mut self.random;
            let fate = *fates.entry(drive).or_insert_with(|| Fate::draw(random));
            let lost = file.lose(fate, random)?;
            self.sectors.kept_sectors += lost.kept_sectors;
            self.sectors.dropped_sectors += lost.dropped_sectors;
        }
        self.dropped_names = self.names.lose(&mut self.random);
        self.save()
    }

    /// The top-level entry each inode is under.
    fn drives(&self) -> BTreeMap<u64, u64> {
        let parents: BTreeMap<u64, u64> =
            self.names.all().iter().map(|((parent, _), inode)| (*inode, *parent)).collect();
        let mut drives = BTreeMap::new();
        for number in self.inodes.keys() {
            let mut top = *number;
            while let Some(parent) = parents.get(&top).filter(|parent| **parent != ROOT) {
                top = *parent;
            }
            drives.insert(*number, top);
        }
        drives
    }

    /// EIO after a loss.
    ///
    /// # Errors
    /// EIO.
    pub fn check(&self) -> Result<(), Errno> {
        if self.lost { Err(libc::EIO) } else { Ok(()) }
    }

    /// Counts a write or flush; true where power goes at this one.
    fn due(&mut self) -> bool {
        match self.loss_after {
            None => false,
            Some(left) if left > 1 => {
                self.loss_after = Some(left - 1);
                false
            }
            Some(_) => {
                self.loss_after = None;
                true
            }
        }
    }

    fn fail_now(&mut self) -> Errno {
        self.lose().map_or_else(errno, |()| libc::EIO)
    }

    /// Obeys a line written to the control file.
    ///
    /// # Errors
    /// EINVAL for an unknown command, EIO after a loss.
    pub fn command(&mut self, line: &str) -> Result<(), Errno> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["lose"] => self.lose().map_err(errno),
            ["sync"] => self.check().and_then(|()| self.sync_all().map_err(errno)),
            ["lie"] => {
                self.lies = true;
                self.check()
            }
            ["after", count] => {
                let count: u64 = count.parse().map_err(|_| libc::EINVAL)?;
                self.loss_after = (count > 0).then_some(count);
                self.check()
            }
            ["fail", drive] => self.set_fault(drive, Some(Fault::Fail)),
            ["stall", drive] => self.set_fault(drive, Some(Fault::Stall)),
            ["heal", drive] => self.set_fault(drive, None),
            _ => Err(libc::EINVAL),
        }
    }

    fn set_fault(&mut self, drive: &str, fault: Option<Fault>) -> Result<(), Errno> {
        let top = self.find(ROOT, drive)?;
        match fault {
            Some(fault) => self.faults.insert(top, fault),
            None => self.faults.remove(&top),
        };
        Ok(())
    }

    /// The fault of the drive an inode is on; none after a loss.
    #[must_use]
    pub fn fault(&self, number: u64) -> Option<Fault> {
        if self.lost || self.faults.is_empty() {
            return None;
        }
        let top = self.drives().get(&number).copied()?;
        self.faults.get(&top).copied()
    }

    /// EIO where the drive of an inode fails, or after a loss.
    fn check_drive(&self, number: u64) -> Result<(), Errno> {
        self.check()?;
        if self.fault(number) == Some(Fault::Fail) { Err(libc::EIO) } else { Ok(()) }
    }

    /// What the control file holds.
    #[must_use]
    pub fn report(&self) -> String {
        let unflushed: usize =
            self.inodes.values().filter_map(|i| i.file.as_ref()).map(|f| f.unflushed_bytes()).sum();
        format!(
            "state {}\nwrites {}\nflushes {}\nunflushed_bytes {unflushed}\nunsynced_names {}\n\
             kept_sectors {}\ndropped_sectors {}\ndropped_names {}\n",
            if self.lost { "lost" } else { "live" },
            self.writes,
            self.flushes,
            self.names.unsynced(),
            self.sectors.kept_sectors,
            self.sectors.dropped_sectors,
            self.dropped_names,
        )
    }

    /// Owner of everything: who owns the backing directory.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// Capacity and bytes left.
    #[must_use]
    pub fn space_bytes(&self) -> (u64, u64) {
        let used: u64 =
            self.inodes.values().filter_map(|i| i.file.as_ref()).map(CachedFile::size_bytes).sum();
        (self.options.capacity_bytes, self.options.capacity_bytes.saturating_sub(used))
    }

    /// An inode.
    ///
    /// # Errors
    /// ENOENT; EIO after a loss, but for the root, so that it can be unmounted.
    pub fn inode(&self, number: u64) -> Result<&Inode, Errno> {
        if number != ROOT {
            self.check()?;
        }
        self.inodes.get(&number).ok_or(libc::ENOENT)
    }

    /// The names of a directory with their inodes.
    ///
    /// # Errors
    /// EIO after a loss.
    pub fn list(&self, directory: u64) -> Result<Vec<(String, u64)>, Errno> {
        self.check()?;
        Ok(self.names.list(directory).map(|(name, inode)| (name.clone(), inode)).collect())
    }

    /// The inode at a place.
    ///
    /// # Errors
    /// ENOENT, EIO after a loss.
    pub fn find(&self, directory: u64, name: &str) -> Result<u64, Errno> {
        self.check()?;
        self.names.find(directory, name).ok_or(libc::ENOENT)
    }

    /// A new file or directory, its name not yet durable.
    ///
    /// # Errors
    /// EEXIST, EINVAL, EIO, or the host's.
    pub fn create(&mut self, place: Place, mode: u32, directory: bool) -> Result<u64, Errno> {
        self.check()?;
        if place.1.contains('\n') || place.1 == CONTROL_NAME {
            return Err(libc::EINVAL);
        }
        if self.names.find(place.0, &place.1).is_some() {
            return Err(libc::EEXIST);
        }
        let number = self.next_inode;
        self.next_inode += 1;
        let file = if directory { None } else { Some(self.open_data(number).map_err(errno)?) };
        self.inodes.insert(number, Inode { mode: mode & 0o7777, linked: true, file });
        self.names.change(Change::Add(place, number));
        Ok(number)
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// ENOENT, EISDIR, ENOTDIR, ENOTEMPTY, EIO.
    pub fn remove(&mut self, place: Place, directory: bool) -> Result<(), Errno> {
        let number = self.find(place.0, &place.1)?;
        let is_directory = self.inode(number)?.file.is_none();
        match (directory, is_directory) {
            (true, false) => return Err(libc::ENOTDIR),
            (false, true) => return Err(libc::EISDIR),
            _ => {}
        }
        if is_directory && self.names.list(number).next().is_some() {
            return Err(libc::ENOTEMPTY);
        }
        self.unlink(number);
        self.names.change(Change::Remove(place));
        Ok(())
    }

    /// Renames, over a file or an empty directory.
    ///
    /// # Errors
    /// ENOENT, EEXIST, ENOTEMPTY, EINVAL, EIO.
    pub fn rename(&mut self, from: Place, to: Place, flags: u32) -> Result<(), Errno> {
        let number = self.find(from.0, &from.1)?;
        if flags & !libc::RENAME_NOREPLACE != 0 || to.1.contains('\n') || to.1 == CONTROL_NAME {
            return Err(libc::EINVAL);
        }
        if let Some(target) = self.names.find(to.0, &to.1) {
            if flags & libc::RENAME_NOREPLACE != 0 {
                return Err(libc::EEXIST);
            }
            if target == number {
                return Ok(());
            }
            if self.names.list(target).next().is_some() {
                return Err(libc::ENOTEMPTY);
            }
            self.unlink(target);
        }
        self.names.change(Change::Move(from, to));
        Ok(())
    }

    fn unlink(&mut self, number: u64) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.linked = false;
        }
    }

    fn file(&mut self, number: u64) -> Result<&mut CachedFile, Errno> {
        self.check_drive(number)?;
        let inode = self.inodes.get_mut(&number).ok_or(libc::ENOENT)?;
        inode.file.as_mut().ok_or(libc::EISDIR)
    }

    /// Bytes of a file.
    ///
    /// # Errors
    /// EIO and the host's.
    pub fn read(&mut self, number: u64, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
        self.file(number)?.read(offset, length).map_err(errno)
    }

    /// Writes, unflushed. Where power goes at this write, it may still survive.
    ///
    /// # Errors
    /// ENOSPC, EIO and the host's.
    pub fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(libc::EFBIG)?;
        self.reserve(number, end)?;
        self.file(number)?.write(offset, bytes).map_err(errno)?;
        self.writes += 1;
        if self.due() { Err(self.fail_now()) } else { Ok(()) }
    }

    /// Grows or cuts a file, unflushed.
    ///
    /// # Errors
    /// ENOSPC, EIO and the host's.
    pub fn resize(&mut self, number: u64, to_bytes: u64) -> Result<(), Errno> {
        self.reserve(number, to_bytes)?;
        self.file(number)?.resize(to_bytes).map_err(errno)
    }

    /// Grows a file to `end_bytes` at least.
    ///
    /// # Errors
    /// ENOSPC, EIO and the host's.
    pub fn extend(&mut self, number: u64, end_bytes: u64) -> Result<(), Errno> {
        if self.file(number)?.size_bytes() < end_bytes {
            self.resize(number, end_bytes)
        } else {
            Ok(())
        }
    }

    fn reserve(&mut self, number: u64, end_bytes: u64) -> Result<(), Errno> {
        let size_bytes = self.file(number)?.size_bytes();
        let (_, free_bytes) = self.space_bytes();
        if end_bytes.saturating_sub(size_bytes) > free_bytes { Err(libc::ENOSPC) } else { Ok(()) }
    }

    /// Makes a file's bytes and size durable, or the names of a directory. Where power goes at
    /// this flush, it may have done its work or not, but nobody hears of it.
    ///
    /// # Errors
    /// ENOENT, EIO.
    pub fn flush(&mut self, number: u64) -> Result<(), Errno> {
        self.check_drive(number)?;
        self.flushes += 1;
        let due = self.due();
        if due && self.random.below(2) == 0 {
            return Err(self.fail_now());
        }
        match self.inodes.get_mut(&number).ok_or(libc::ENOENT)? {
            Inode { file: Some(_), .. } if self.lies => {}
            Inode { file: Some(file), .. } => file.flush(),
            Inode { file: None, .. } => self.names.sync(number),
        }
        if due { Err(self.fail_now()) } else { Ok(()) }
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// ENOENT, EIO.
    pub fn set_mode(&mut self, number: u64, mode: u32) -> Result<(), Errno> {
        self.check()?;
        let inode = self.inodes.get_mut(&number).ok_or(libc::ENOENT)?;
        inode.mode = mode & 0o7777;
        Ok(())
    }
}

//! Where a drive is measured: a file that is made for it, or a blank device; and every refusal.
//!
//! Invariants: a file that is there is never opened, and removed only if an earlier run has noted
//! that it made this very file; a device is written only where its owner gave it up, nobody has it,
//! no mark is found, both ends are empty and so is, before the first figure, what was sampled inside; what
//! is looked at is what was opened; the ends stay as they are, so that a run that goes on finds them
//! empty, too.

use crate::error::MeasureError;
use crate::load::LARGE_BYTES;
use crate::partial::{FileIdentity, FoundDrive};
use crate::real::RealDrive;
use crate::session::Options;
use bench_run::{RunError, patiently, refuse_data, refuse_missing_device};
use hw_profile::Method;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The file that is made in a directory.
const SCRATCH_NAME: &str = "basalt-measure.data";
const QUICK_BYTES: u64 = 1 << 30;
const FULL_BYTES: u64 = 8 << 30;
/// Less says nothing of a drive.
const SPAN_BYTES_MIN: u64 = 16 << 20;
/// Of a device so much at each end must be empty, and is left alone.
const END_BYTES: u64 = 1 << 20;
/// Inside of it so many places of a MiB must be empty, too: there may be data without any mark.
const SAMPLES: u64 = 16;
const NO_DIRECT: &str = "its file system takes no direct I/O";

/// A file that is removed with this value.
pub(crate) struct ScratchFile {
    path: PathBuf,
    is_removed: bool,
}

impl ScratchFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), is_removed: false }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, once: what has its name afterwards is of somebody else.
    ///
    /// # Errors
    /// Where it is still there, or nobody knows.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.is_removed = true;
        std::fs::remove_file(&self.path)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        if !self.is_removed {
            // There is nobody left to tell; the next run finds it noted.
            _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A drive, and the file that it is.
pub(crate) struct Opened {
    pub(crate) drive: RealDrive,
    pub(crate) scratch: Option<ScratchFile>,
}

/// What a drive argument is.
pub(crate) enum Place {
    /// A file to be made.
    File(PathBuf),
    /// A block device, and which.
    Device(PathBuf, u64),
}

fn refused(path: &Path, problem: impl Into<String>) -> MeasureError {
    MeasureError::Drive { path: path.to_owned(), problem: problem.into() }
}

fn in_file(path: &Path) -> impl Fn(std::io::Error) -> MeasureError {
    move |error| MeasureError::File { path: path.to_owned(), error }
}

impl Place {
    pub(crate) fn find(path: &Path) -> Result<Self, MeasureError> {
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                refuse_missing_device(path)?;
                return Ok(Self::File(path.to_owned()));
            }
            found => found.map_err(in_file(path))?,
        };
        if metadata.is_dir() {
            Ok(Self::File(path.join(SCRATCH_NAME)))
        } else if metadata.file_type().is_block_device() {
            Ok(Self::Device(path.to_owned(), metadata.rdev()))
        } else if metadata.is_file() {
            // An earlier run may have left it; `make` looks.
            Ok(Self::File(path.to_owned()))
        } else {
            Err(refused(path, "it is no directory, no file and no block device"))
        }
    }

    /// The file system that a file will be on; `None`: it is a device.
    pub(crate) fn file_system(&self) -> Option<u64> {
        match self {
            Self::File(file) => Some(std::fs::metadata(directory_of(file)).ok()?.dev()),
            Self::Device(..) => None,
        }
    }

    /// Removes the file that a run has noted as its own, if it is still there; another one stays.
    pub(crate) fn clear(&self, record: &FoundDrive, stop: &AtomicBool) -> Result<(), MeasureError> {
        let Self::File(path) = self else { return Ok(()) };
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if is_noted(&metadata, record) => clear_leftover(path, record, stop),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(in_file(path)(error)),
            _ => Ok(()),
        }
    }

    /// Opens it. `sharers`: drives on its file system, itself among them.
    pub(crate) fn open(
        &self,
        record: &mut FoundDrive,
        options: &Options,
        sharers: u64,
        stop: &AtomicBool,
    ) -> Result<Opened, MeasureError> {
        match self {
            Self::File(path) => open_file(path, record, options, sharers, stop),
            Self::Device(path, device) => open_device(path, *device, record, options, stop),
        }
    }
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Other bytes at every run: what an earlier one wrote must not be met again.
fn seed(path: &Path) -> u64 {
    let place = path.as_os_str().as_encoded_bytes();
    let mixed = |seed: u64, byte: &u8| bench_model::mix64(seed, u64::from(*byte));
    place.iter().fold(bench_run::unix_ms(), mixed)
}

fn open_file(
    path: &Path,
    record: &mut FoundDrive,
    options: &Options,
    sharers: u64,
    stop: &AtomicBool,
) -> Result<Opened, MeasureError> {
    clear_leftover(path, record, stop)?;
    let directory = directory_of(path);
    let available = (options.available_bytes)(directory).map_err(in_file(directory))?;
    let span_bytes = span_of(path, record.span_bytes, options, available / sharers.max(1))?;
    let file = make(path)?;
    let scratch = ScratchFile::new(path);
    let metadata = file.metadata().map_err(in_file(path))?;
    record.scratch = Some(FileIdentity::of(&metadata));
    note_span(record, span_bytes);
    // It is empty, whatever an earlier one was.
    record.found.remove(&crate::steps::Step::Prepare);
    let drive = RealDrive::new(path.to_owned(), file, 0..span_bytes, seed(path));
    Ok(Opened { drive, scratch: Some(scratch) })
}

/// Figures of another span are of no use.
fn note_span(record: &mut FoundDrive, span_bytes: u64) {
    if record.span_bytes != span_bytes {
        record.found.clear();
    }
    record.span_bytes = span_bytes;
}

/// How large a file is made: as an earlier run had it, else as wanted, at most half of what is free.
fn span_of(
    path: &Path,
    span_bytes_before: u64,
    options: &Options,
    available_bytes: u64,
) -> Result<u64, MeasureError> {
    if span_bytes_before > 0 {
        let problem = format!("{span_bytes_before} bytes were used before and are not free now");
        let fits = span_bytes_before <= available_bytes;
        return if fits { Ok(span_bytes_before) } else { Err(refused(path, problem)) };
    }
    let usual = match options.method {
        Method::Quick => QUICK_BYTES,
        Method::Full => FULL_BYTES,
    };
    let bytes = options.bytes.unwrap_or(usual).min(available_bytes / 2);
    whole_span(path, bytes)
}

fn whole_span(path: &Path, bytes: u64) -> Result<u64, MeasureError> {
    if bytes < SPAN_BYTES_MIN {
        let problem = format!(
            "{bytes} bytes can be used (half of what is free), {SPAN_BYTES_MIN} are needed"
        );
        return Err(refused(path, problem));
    }
    Ok(bytes - bytes % LARGE_BYTES)
}

fn is_noted(metadata: &Metadata, record: &FoundDrive) -> bool {
    metadata.is_file() && record.scratch == Some(FileIdentity::of(metadata))
}

/// Removes the file of an earlier run that was killed.
fn clear_leftover(path: &Path, record: &FoundDrive, stop: &AtomicBool) -> Result<(), MeasureError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(in_file(path))?,
    };
    if !is_noted(&metadata, record) {
        let problem = "it is there already and is not overwritten; delete it if an earlier \
                       measurement left it, or give a name that does not exist";
        return Err(refused(path, problem));
    }
    let file = File::open(path).map_err(in_file(path))?;
    let is_locked = patiently(stop, || Ok(file.try_lock()?)).is_ok();
    // Whoever was waiting for it too may have made another one of this name meanwhile.
    let is_the_same = std::fs::symlink_metadata(path).is_ok_and(|found| is_noted(&found, record));
    if !is_locked || !is_the_same {
        return Err(refused(path, "another process measures it"));
    }
    std::fs::remove_file(path).map_err(in_file(path))
}

fn make(path: &Path) -> Result<File, MeasureError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(libc::O_DIRECT);
    let file = options.open(path).map_err(|error| {
        if error.raw_os_error() != Some(libc::EINVAL) {
            return in_file(path)(error);
        }
        // It was made before direct I/O was refused, and only then.
        _ = std::fs::remove_file(path);
        refused(path, NO_DIRECT)
    })?;
    if file.try_lock().is_err() {
        _ = std::fs::remove_file(path);
        return Err(refused(path, "it cannot be locked"));
    }
    Ok(file)
}

fn open_device(
    path: &Path,
    device: u64,
    record: &mut FoundDrive,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Opened, MeasureError> {
    if !options.may_destroy {
        return Err(refused(
            path,
            "it is a block device, and what it holds would be lost; --destroy allows that",
        ));
    }
    let mut direct = OpenOptions::new();
    // The kernel refuses it while anybody else has it: a mount, a volume, a server.
    direct.read(true).write(true).custom_flags(libc::O_DIRECT | libc::O_EXCL);
    let mut file =
        patiently(stop, || direct.open(path)).map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => refused(path, "it is in use: mounted, held or opened by another"),
            _ => in_file(path)(error),
        })?;
    let metadata = file.metadata().map_err(in_file(path))?;
    if !metadata.file_type().is_block_device() || metadata.rdev() != device {
        return Err(refused(path, "it became another one while it was looked at; try again"));
    }
    // The path may lead elsewhere by now; this one leads to what was opened.
    let opened = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    refuse_data(&opened, &metadata).map_err(|error| match error {
        RunError::Drive { problem, .. } => refused(path, problem),
        RunError::File { error, .. } => in_file(path)(error),
        error => error.into(),
    })?;
    let all_bytes = file.seek(SeekFrom::End(0)).map_err(in_file(path))?;
    let inner_bytes = all_bytes.saturating_sub(2 * END_BYTES);
    let wanted = match (options.bytes, options.method) {
        (Some(bytes), _) => bytes,
        (None, Method::Quick) => QUICK_BYTES,
        // The rest would stay as fast as a new drive is.
        (None, Method::Full) => inner_bytes,
    };
    let span_bytes = whole_span(path, wanted.min(inner_bytes))?;
    let reader = File::open(&opened).map_err(in_file(path))?;
    refuse_full_ends(path, &reader, all_bytes)?;
    // With figures it is what an earlier run wrote. One that was killed before its first figure must be
    // cleared by hand: a span alone does not prove that anything was written. A device that is known by
    // its path alone may be another one after a restart of the machine.
    if record.found.is_empty() || record.identity.starts_with("path:") {
        refuse_full_inside(path, &reader, inner_bytes)?;
    }
    note_span(record, span_bytes);
    let span = END_BYTES..END_BYTES + span_bytes;
    let drive = RealDrive::new(path.to_owned(), file, span, seed(path));
    Ok(Opened { drive, scratch: None })
}

/// Data need not carry a mark that we know: both ends must be empty as well.
fn refuse_full_ends(path: &Path, reader: &File, all_bytes: u64) -> Result<(), MeasureError> {
    for offset in [0, all_bytes.saturating_sub(END_BYTES)] {
        if !is_empty_at(reader, offset).map_err(in_file(path))? {
            let problem = "its first or last MiB is not empty, so it may hold somebody's data; if \
                           it does not, clear both ends (`blkdiscard -z`, `dd`) and try again";
            return Err(refused(path, problem));
        }
    }
    Ok(())
}

/// Whoever lost a partition table only has data inside, from the first MiB on as a rule.
fn refuse_full_inside(path: &Path, reader: &File, inner_bytes: u64) -> Result<(), MeasureError> {
    for sample in 0..SAMPLES {
        let offset = END_BYTES + inner_bytes / SAMPLES * sample;
        if !is_empty_at(reader, offset).map_err(in_file(path))? {
            let problem = format!(
                "it is not empty at byte {offset} or behind, so it may hold somebody's data; if \
                 it does not, clear it (`blkdiscard -z`) and try again"
            );
            return Err(refused(path, problem));
        }
    }
    Ok(())
}

fn is_empty_at(reader: &File, offset: u64) -> io::Result<bool> {
    let mut bytes = vec![0; END_BYTES as usize];
    reader.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use std::collections::BTreeMap;

    fn options() -> Options {
        Options {
            method: Method::Quick,
            seconds_per_point: None,
            bytes: None,
            may_destroy: false,
            partial: None,
            available_bytes: |_| Ok(100 << 20),
        }
    }

    fn record() -> FoundDrive {
        FoundDrive {
            path: "/d1".to_owned(),
            identity: "path:/d1".to_owned(),
            disks: Vec::new(),
            capacity_bytes: None,
            span_bytes: 0,
            scratch: None,
            found: BTreeMap::new(),
        }
    }

    fn opened(path: &Path, record: &mut FoundDrive) -> Result<Opened, String> {
        let place = Place::find(path).map_err(|error| error.to_string())?;
        place
            .open(record, &options(), 1, &AtomicBool::new(false))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn no_more_than_half_of_what_is_free_is_taken() {
        let path = Path::new("/d1");
        let span = |before, options: &Options, free| span_of(path, before, options, free).ok();
        let mut options = options();
        assert_eq!(span(0, &options, 100 << 20), Some(50 << 20));
        assert_eq!(span(0, &options, 1 << 40), Some(QUICK_BYTES));
        assert_eq!(span(0, &options, 20 << 20), None);
        options.bytes = Some((20 << 20) + 1);
        assert_eq!(span(0, &options, 100 << 20), Some(20 << 20));
        assert_eq!(span(90 << 20, &options, 100 << 20), Some(90 << 20));
        assert_eq!(span(101 << 20, &options, 100 << 20), None);
    }

    #[test]
    fn a_file_is_removed_with_its_guard_and_another_ones_is_left_alone() {
        let scratch = Scratch::direct("guard");
        let file = scratch.path().join(SCRATCH_NAME);
        let mut noted = record();
        drop(opened(scratch.path(), &mut noted).unwrap());
        assert!(!file.exists() && noted.span_bytes == 50 << 20);
        std::fs::write(&file, "precious").unwrap();
        noted.scratch = None;
        let problem = opened(scratch.path(), &mut noted).err().unwrap_or_default();
        assert!(problem.contains("there already"), "{problem}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn what_a_killed_run_has_left_is_made_anew() {
        let scratch = Scratch::direct("leftover");
        let file = scratch.path().join(SCRATCH_NAME);
        std::fs::write(&file, "left").unwrap();
        let mut noted = record();
        noted.scratch = Some(FileIdentity::of(&std::fs::metadata(&file).unwrap()));
        drop(opened(scratch.path(), &mut noted).unwrap());
        assert!(!file.exists());
    }

    #[test]
    fn inside_of_a_device_samples_are_empty() {
        let scratch = Scratch::new("inside");
        let path = scratch.path().join("image");
        let file = File::create_new(&path).unwrap();
        file.set_len(18 << 20).unwrap();
        let look = || {
            let reader = File::open(&path).unwrap();
            refuse_full_ends(&path, &reader, 18 << 20).unwrap();
            refuse_full_inside(&path, &reader, 16 << 20).map_err(|error| error.to_string())
        };
        look().unwrap();
        for offset in [1 << 20, 9 << 20, (17 << 20) - 1] {
            file.write_all_at(b"x", offset).unwrap();
            let problem = look().unwrap_err();
            assert!(problem.contains("not empty"), "{problem}");
            file.write_all_at(b"\0", offset).unwrap();
        }
    }

    #[test]
    fn figures_of_another_span_are_forgotten() {
        let mut noted = record();
        note_span(&mut noted, 32 << 20);
        noted.found.insert(crate::steps::Step::Prepare, crate::steps::Found::default());
        note_span(&mut noted, 32 << 20);
        assert_eq!(noted.found.len(), 1);
        note_span(&mut noted, 64 << 20);
        assert!(noted.found.is_empty() && noted.span_bytes == 64 << 20);
    }
}

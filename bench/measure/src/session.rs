//! A measurement from the first step to the last.
//!
//! Invariants: what was found is kept after each step, before the next one begins; what was kept is
//! not done again; files that were made are gone at the end, however it ends but by SIGKILL or a
//! second signal.

use crate::error::MeasureError;
use crate::load::Drive;
use crate::partial::{FoundDrive, Parameters, Partial};
use crate::place::{Opened, Place, ScratchFile};
use crate::steps::{Bench, Care, Depths, Found, Step};
use hw_profile::Method;
use shards_executor::start_pinned_thread;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const QUICK_SECONDS: f64 = 1.5;
const FULL_SECONDS: f64 = 10.0;
/// More makes no sense, and would not fit into a duration some day.
const SECONDS_MAX: f64 = 3600.0;
const FULL_REPEATS: u32 = 3;
/// Of a drive that was written twice nothing is left as it was made.
const FULL_PASSES: u64 = 2;
/// A sweep goes no deeper.
const DEPTH_MAX: u64 = 256;

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much care is taken.
    pub method: Method,
    /// Of each depth, size or figure; `None`: by the method.
    pub seconds_per_point: Option<f64>,
    /// Bytes that are read and written on each drive; `None`: by the method.
    pub bytes: Option<u64>,
    /// Whether what is on devices may be lost.
    pub may_destroy: bool,
    /// Where to keep what was found; `None`: nowhere.
    pub partial: Option<PathBuf>,
    /// Free bytes of the file system of a directory.
    pub available_bytes: fn(&Path) -> io::Result<u64>,
}

/// A drive to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A directory, a file that is not there yet, or a block device.
    pub path: PathBuf,
    /// What names it in a profile.
    pub identity: String,
    /// Identities of the disks below.
    pub disks: Vec<String>,
    /// Of those disks together; `None`: not known.
    pub capacity_bytes: Option<u64>,
}

impl Options {
    fn care(&self, parameters: &Parameters) -> Care {
        let duration = Duration::from_secs_f64(parameters.seconds_per_point);
        match self.method {
            Method::Quick => Care { duration, repeats: 1, passes: 1 },
            Method::Full => Care { duration, repeats: FULL_REPEATS, passes: FULL_PASSES },
        }
    }

    fn parameters(&self) -> Parameters {
        let usual = match self.method {
            Method::Quick => QUICK_SECONDS,
            Method::Full => FULL_SECONDS,
        };
        let wanted = self.seconds_per_point.filter(|seconds| seconds.is_finite());
        let seconds_per_point = wanted.unwrap_or(usual).clamp(0.0, SECONDS_MAX);
        Parameters { method: self.method, seconds_per_point, bytes: self.bytes }
    }
}

/// Measures the drives. `say` is told each step.
///
/// # Errors
/// Where a drive is refused or fails, what was kept is of another run, or `stop` was set; what was
/// found is kept then.
pub fn measure(
    targets: &[Target],
    options: &Options,
    stop: &Arc<AtomicBool>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<FoundDrive>, MeasureError> {
    refuse_twice(targets)?;
    let parameters = options.parameters();
    let care = options.care(&parameters);
    let mut partial = Partial::new(parameters, targets);
    if let Some(file) = &options.partial
        && let Some(kept) = Partial::load(file)?
    {
        kept.check(file, &partial)?;
        partial = kept;
        // The same drive may be reached by another path now.
        for (drive, target) in partial.drives.iter_mut().zip(targets) {
            drive.path = target.path.display().to_string();
        }
    }
    let mut session = Session { partial, file: options.partial.clone(), care, stop, say };
    if session.partial.is_complete() {
        session.clear_leftovers(targets)?;
    } else {
        let mut scratches = Vec::new();
        let outcome =
            session.open(targets, options, &mut scratches).and_then(|drives| session.run(drives));
        let closed = session.close(scratches);
        outcome.and(closed)?;
    }
    Ok(session.partial.drives)
}

fn refuse_twice(targets: &[Target]) -> Result<(), MeasureError> {
    let mut known = BTreeSet::new();
    match targets.iter().find(|target| !known.insert(target.identity.as_str())) {
        Some(target) => {
            let problem = "it is given twice".to_owned();
            Err(MeasureError::Drive { path: target.path.clone(), problem })
        }
        None => Ok(()),
    }
}

struct Session<'a> {
    partial: Partial,
    file: Option<PathBuf>,
    care: Care,
    stop: &'a Arc<AtomicBool>,
    say: &'a mut dyn FnMut(&str),
}

impl Session<'_> {
    fn save(&self) -> Result<(), MeasureError> {
        self.file.as_deref().map_or(Ok(()), |file| self.partial.save(file))
    }

    /// Whatever became of the run: the files go, and then the notes that they are there. Where none was
    /// made nothing is noted either: another process may be at work with the same partial file.
    fn close(&mut self, scratches: Vec<(usize, ScratchFile)>) -> Result<(), MeasureError> {
        if scratches.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for (index, scratch) in scratches {
            let path = scratch.path().to_owned();
            match scratch.remove() {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    // The note stays, so that the next run can remove it.
                    outcome = Err(MeasureError::File { path, error });
                }
                _ => self.partial.drives[index].scratch = None,
            }
        }
        let mut drives = self.partial.drives.iter();
        let is_kept = drives.any(|drive| !drive.found.is_empty() || drive.scratch.is_some());
        let saved = if is_kept { self.save() } else { self.forget() };
        outcome.and(saved)
    }

    /// Removes files of a run that was killed after its last step.
    fn clear_leftovers(&mut self, targets: &[Target]) -> Result<(), MeasureError> {
        let mut is_changed = false;
        for (target, record) in targets.iter().zip(&mut self.partial.drives) {
            if record.scratch.is_some() {
                Place::find(&target.path)?.clear(record, self.stop)?;
                record.scratch = None;
                is_changed = true;
            }
        }
        if is_changed { self.save() } else { Ok(()) }
    }

    /// Leaves no file behind in which nothing stands.
    fn forget(&self) -> Result<(), MeasureError> {
        if let Some(file) = &self.file {
            // It may never have been written.
            _ = std::fs::remove_file(file);
        }
        Ok(())
    }

    /// Opens all drives. The files that were made are appended, also where a later drive is refused.
    fn open(
        &mut self,
        targets: &[Target],
        options: &Options,
        scratches: &mut Vec<(usize, ScratchFile)>,
    ) -> Result<Vec<Box<dyn Drive>>, MeasureError> {
        let places: Result<Vec<Place>, MeasureError> =
            targets.iter().map(|target| Place::find(&target.path)).collect();
        let places = places?;
        let systems: Vec<Option<u64>> = places.iter().map(Place::file_system).collect();
        let mut drives: Vec<Box<dyn Drive>> = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let sharers = systems.iter().filter(|system| **system == systems[index]).count();
            let record = &mut self.partial.drives[index];
            let Opened { drive, scratch } =
                place.open(record, options, sharers as u64, self.stop)?;
            scratches.extend(scratch.map(|scratch| (index, scratch)));
            let line = format!("{}  {} bytes are used", record.path, record.span_bytes);
            drives.push(Box::new(drive));
            // Noted before the first byte is in it.
            self.save()?;
            (self.say)(&line);
        }
        Ok(drives)
    }

    fn run(&mut self, mut drives: Vec<Box<dyn Drive>>) -> Result<(), MeasureError> {
        for (index, drive) in drives.iter_mut().enumerate() {
            for step in Step::ALONE {
                if self.is_kept(index, step) {
                    continue;
                }
                let depths = depths_of(&self.partial.drives[index]);
                let mut bench = Bench { drive: drive.as_mut(), care: self.care, stop: self.stop };
                let found = bench.step(step, depths)?;
                self.keep(index, step, found)?;
            }
        }
        for step in Step::TOGETHER {
            // Figures of one moment: one that is missing makes all of them new.
            let has = |drive: &FoundDrive| drive.found.contains_key(&step);
            if self.partial.drives.iter().all(has) {
                for index in 0..drives.len() {
                    self.is_kept(index, step);
                }
            } else {
                drives = self.together(step, drives)?;
            }
        }
        Ok(())
    }

    /// Whether an earlier run has found it; says so.
    fn is_kept(&mut self, index: usize, step: Step) -> bool {
        let drive = &self.partial.drives[index];
        let Some(found) = drive.found.get(&step) else { return false };
        let line = format!("{}  {}  kept: {}", drive.path, step.name(), found.said(step));
        (self.say)(&line);
        true
    }

    fn keep(&mut self, index: usize, step: Step, found: Found) -> Result<(), MeasureError> {
        let drive = &mut self.partial.drives[index];
        let line = format!("{}  {}  {}", drive.path, step.name(), found.said(step));
        drive.found.insert(step, found);
        self.save()?;
        (self.say)(&line);
        Ok(())
    }

    /// One step on all drives at once, a thread each.
    fn together(
        &mut self,
        step: Step,
        drives: Vec<Box<dyn Drive>>,
    ) -> Result<Vec<Box<dyn Drive>>, MeasureError> {
        let mut threads = Vec::new();
        for (index, mut drive) in drives.into_iter().enumerate() {
            let (care, stop) = (self.care, Arc::clone(self.stop));
            let depths = depths_of(&self.partial.drives[index]);
            let body = move || {
                let mut bench = Bench { drive: drive.as_mut(), care, stop: &stop };
                let found = bench.step(step, depths);
                (drive, found)
            };
            match start_pinned_thread(&format!("measure-{index}"), None, body) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    // Nobody may use the drives any more once this is over.
                    self.stop.store(true, Ordering::Relaxed);
                    for thread in threads {
                        // The error that ended it is told.
                        _ = thread.join();
                    }
                    return Err(error.into());
                }
            }
        }
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        let mut drives = Vec::new();
        for (index, outcome) in ended.into_iter().enumerate() {
            let panicked = |_| io::Error::other("a thread that measured has panicked");
            let (drive, found) = outcome.map_err(panicked)?;
            self.keep(index, step, found?)?;
            drives.push(drive);
        }
        Ok(drives)
    }
}

fn depths_of(drive: &FoundDrive) -> Depths {
    let depth = |step: Step| {
        let knee = drive.found.get(&step).and_then(|found| found.knee);
        // Of a file that anybody may have written.
        knee.map_or(1, |knee| knee.clamp(1, DEPTH_MAX) as u32)
    };
    Depths { read: depth(Step::ReadDepth), write: depth(Step::WriteDepth) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partial::FileIdentity;
    use crate::testing::{FakeDrive, Scratch};

    fn fakes(loads_max: usize) -> Vec<Box<dyn Drive>> {
        let fake = |_| {
            let drive = FakeDrive { loads_max, ..FakeDrive::new(8) };
            Box::new(drive) as Box<dyn Drive>
        };
        (0..2).map(fake).collect()
    }

    fn target(path: &str, identity: &str) -> Target {
        let (path, identity) = (PathBuf::from(path), identity.to_owned());
        Target { path, identity, disks: Vec::new(), capacity_bytes: None }
    }

    fn begun(file: &Path) -> Partial {
        let parameters = Parameters { method: Method::Quick, seconds_per_point: 0.1, bytes: None };
        let target = |name: &str| target(name, name);
        let kept = Partial::load(file).expect("what was saved here");
        kept.unwrap_or_else(|| Partial::new(parameters, &[target("/d1"), target("/d2")]))
    }

    /// Runs on two drives; answers how it ended, what was said and what is known.
    fn ran(file: &Path, loads_max: usize) -> (Result<(), MeasureError>, Vec<String>, Partial) {
        let mut said = Vec::new();
        let stop = Arc::new(AtomicBool::new(false));
        let care = Care { duration: Duration::from_millis(100), repeats: 1, passes: 1 };
        let mut say = |line: &str| said.push(line.to_owned());
        let mut session = Session {
            partial: begun(file),
            file: Some(file.to_owned()),
            care,
            stop: &stop,
            say: &mut say,
        };
        let outcome = session.run(fakes(loads_max));
        let partial = session.partial.clone();
        (outcome, said, partial)
    }

    #[test]
    fn every_step_is_done_once_on_each_drive() {
        let scratch = Scratch::new("steps");
        let file = scratch.path().join("lab.toml.partial");
        let (outcome, said, partial) = ran(&file, usize::MAX);
        outcome.unwrap();
        assert_eq!(said.len(), 2 * (Step::ALONE.len() + Step::TOGETHER.len()), "{said:?}");
        assert!(partial.is_complete());
        assert_eq!(partial.drives[0].found[&Step::ReadDepth].knee, Some(8));
        assert_eq!(Partial::load(&file).unwrap().as_ref(), Some(&partial));
    }

    #[test]
    fn a_run_goes_on_where_an_earlier_one_was_ended() {
        let scratch = Scratch::new("resume");
        let file = scratch.path().join("lab.toml.partial");
        // In the middle of the second sweep.
        let (outcome, _, partial) = ran(&file, 9);
        assert!(matches!(outcome, Err(MeasureError::Interrupted)), "{outcome:?}");
        let kept: Vec<Step> = partial.drives[0].found.keys().copied().collect();
        assert_eq!(kept, [Step::Prepare, Step::ReadDepth]);
        let (outcome, said, partial) = ran(&file, usize::MAX);
        outcome.unwrap();
        let kept: Vec<&String> = said.iter().filter(|line| line.contains("kept")).collect();
        assert_eq!(kept.len(), 2, "{said:?}");
        assert!(kept[1].contains("/d1  read-depth") && partial.is_complete());
    }

    #[test]
    fn a_drive_that_is_given_twice_is_refused() {
        let target = target("/d1", "eui.1");
        refuse_twice(std::slice::from_ref(&target)).unwrap();
        assert!(refuse_twice(&[target.clone(), target]).is_err());
    }

    #[test]
    fn a_complete_run_clears_its_own_file_and_no_other() {
        let scratch = Scratch::new("cleared");
        let file = scratch.path().join("basalt-measure.data");
        let targets = [target(&scratch.path().display().to_string(), "eui.1")];
        let stop = Arc::new(AtomicBool::new(false));
        let options = Options {
            method: Method::Quick,
            seconds_per_point: None,
            bytes: None,
            may_destroy: false,
            partial: Some(scratch.path().join("lab.toml.partial")),
            available_bytes: |_| Ok(0),
        };
        for is_ours in [true, false] {
            std::fs::write(&file, "left").unwrap();
            let mut partial = Partial::new(options.parameters(), &targets);
            let metadata = std::fs::metadata(&file).unwrap();
            partial.drives[0].scratch = Some(FileIdentity::of(&metadata));
            let steps = Step::ALONE.into_iter().chain(Step::TOGETHER);
            partial.drives[0].found = steps.map(|step| (step, Found::default())).collect();
            if !is_ours {
                // Another file of that name; both exist for a moment, so that they differ.
                std::fs::write(file.with_extension("other"), "precious").unwrap();
                std::fs::rename(file.with_extension("other"), &file).unwrap();
            }
            partial.save(options.partial.as_deref().unwrap()).unwrap();
            let found = measure(&targets, &options, &stop, &mut |_: &str| {}).unwrap();
            assert_eq!(found[0].scratch, None);
            assert_eq!(file.exists(), !is_ours);
        }
    }

    #[test]
    fn depths_of_a_file_are_bounded() {
        let mut partial =
            Partial::new(begun(Path::new("/absent")).parameters, &[target("/d", "d")]);
        for (knee, depth) in [(0, 1), (16, 16), (u64::MAX, 256)] {
            let found = Found { knee: Some(knee), ..Found::default() };
            partial.drives[0].found.insert(Step::ReadDepth, found);
            assert_eq!(depths_of(&partial.drives[0]), Depths { read: depth, write: 1 });
        }
    }
}

//! Over a file of the host, without direct I/O, which not every file system takes.

use super::*;
use crate::ledger::Known;
use crate::plan::{RunPlan, TargetPlan};
use crate::planner::Stage;
use crate::settings::Settings;
use bench_model::{Generation, Thread};
use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const SLOTS: u64 = 32;

struct Rig {
    path: PathBuf,
    file: File,
    planner: Planner,
    target: RawTarget,
}

impl Rig {
    fn new(name: &str, mix: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bench-raw-{name}-{}", std::process::id()));
        std::fs::write(&path, vec![0; (SLOTS * BLOCK_BYTES) as usize]).expect("a scratch file");
        let settings = Settings {
            target: Some("raw".to_owned()),
            drive: vec![path.display().to_string()],
            overwrite_drive: true,
            mix: Some(mix.to_owned()),
            ..Settings::default()
        };
        let (plan, _): (RunPlan, _) = settings.check("run-1").expect("right settings");
        let TargetPlan::Raw(drive) = &plan.target else { panic!("{}", plan.target) };
        let open = || File::options().read(true).write(true).open(&path).expect("the scratch file");
        let payload = Payload::new(plan.payload).expect("right shares");
        let target = RawTarget::new(open(), drive, payload, 2).expect("a ring");
        let thread = Thread { index: 0, count: 1 };
        let mut planner = Planner::new(&plan.load, thread).expect("a key at least");
        planner.begin(Stage::Load);
        let file = open();
        Self { path, file, planner, target }
    }

    /// The next operation, and how it ended.
    fn next(&mut self) -> (Task, Done) {
        let task = self.planner.next(0).expect("there is always a key");
        self.target.start(Lane(1), &task, &self.planner);
        let mut done = Vec::new();
        while done.is_empty() {
            let second = Some(Duration::from_secs(1));
            self.target.turn(second, &self.planner, &mut done).expect("the ring works");
        }
        let done = done.remove(0);
        self.planner.end(&task, done.outcome == Outcome::Done);
        (task, done)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // It is in a directory for such files.
        _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn what_this_run_wrote_is_judged_and_nothing_else() {
    let mut rig = Rig::new("judged", "put=1,get=2,get-range=1");
    let mut written = HashSet::new();
    for _ in 0..SLOTS {
        let (task, done) = rig.next();
        assert_eq!((done.outcome, done.object_bytes), (Outcome::Done, BLOCK_BYTES));
        if task.is_write() {
            written.insert(task.key);
        }
    }
    // One byte of every block changes, written ones and others.
    for slot in 0..SLOTS {
        rig.file.write_all_at(&[0xa5, 0x5a], slot * BLOCK_BYTES + 1000).unwrap();
    }
    let mut wrong = 0;
    for _ in 0..50 * SLOTS {
        let (task, done) = rig.next();
        match done.outcome {
            Outcome::Done => {}
            Outcome::Wrong(mismatch) => {
                assert!(written.contains(&mismatch.key) && !task.is_write(), "{mismatch}");
                wrong += 1;
            }
            other => panic!("{other:?}"),
        }
        if wrong == 3 {
            return;
        }
    }
    panic!("{wrong} damaged blocks were found");
}

#[test]
fn a_lost_write_is_stale() {
    let mut rig = Rig::new("lost", "put=1,get=1");
    let mut before = vec![0; (SLOTS * BLOCK_BYTES) as usize];
    for _ in 0..10 * SLOTS {
        rig.next();
    }
    rig.file.read_exact_at(&mut before, 0).unwrap();
    for _ in 0..2 * SLOTS {
        rig.next();
    }
    rig.file.write_all_at(&before, 0).unwrap();
    let mut outcomes = (0..20 * SLOTS).map(|_| rig.next().1.outcome);
    let wrong = outcomes.find(|outcome| *outcome != Outcome::Done);
    let Some(Outcome::Wrong(mismatch)) = wrong else { panic!("{wrong:?}") };
    assert!(mismatch.to_string().contains("stale"), "{mismatch}");
}

#[test]
fn a_lane_that_was_given_up_is_free_once_its_transfer_has_ended() {
    let mut rig = Rig::new("given-up", "get");
    let task = rig.planner.next(0).unwrap();
    rig.target.start(Lane(0), &task, &rig.planner);
    let mut done = Vec::new();
    rig.target.abort(Lane(0), &rig.planner, &mut done);
    assert_eq!(done.remove(0).outcome, Outcome::Failed("timeout".to_owned()));
    assert!(!rig.target.is_free(Lane(0)), "the kernel has its buffer");
    while !rig.target.is_free(Lane(0)) {
        let second = Some(Duration::from_secs(1));
        rig.target.turn(second, &rig.planner, &mut done).unwrap();
    }
    assert!(done.is_empty(), "it is told once");
}

#[test]
fn ranges_are_whole_blocks_within_the_object() {
    for size_bytes in [1, 4096, 5000, 12_288] {
        let last = size_bytes - 1;
        for (offset, length) in [(0, 1), (0, size_bytes), (last, 1), (last / 2, 1)] {
            let task = Task {
                operation: Operation::GetRange,
                key: 3,
                keys: 1,
                generation: Generation(0),
                size_bytes,
                range: (offset, length),
                is_absent: false,
                known: Known::default(),
                planned_ns: 0,
            };
            let under = Under::of(&task);
            let end = under.offset_bytes + under.len_bytes as u64;
            assert!(under.offset_bytes.is_multiple_of(BLOCK_BYTES) && under.offset_bytes <= offset);
            assert!(end.is_multiple_of(BLOCK_BYTES) && end <= whole_blocks(size_bytes));
        }
    }
}

//! Against a real node in a scratch directory.

use super::*;
use crate::planner::{Planner, Stage};
use crate::settings::Settings;
use crate::target::{Done, Outcome, Target};
use crate::task::Task;
use bench_client::Lane;
use bench_model::{Operation, Payload, Thread};
use bench_stats::Interval;
use std::time::Duration;

struct Silent;

impl Screen for Silent {
    fn stage(&mut self, _: &str, _: &str) {}
    fn second(&mut self, _: usize, _: &Interval) {}
    fn note(&mut self, _: &str) {}
}

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bench-engine-run-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a scratch directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One operation on the first lane.
fn carried_out(task: &Task, planner: &mut Planner, target: &mut EngineTarget) -> Done {
    target.start(Lane(0), task, planner);
    assert!(!target.is_free(Lane(0)));
    let mut done = Vec::new();
    while done.is_empty() {
        let second = Some(Duration::from_secs(1));
        target.turn(second, planner, &mut done).expect("nothing fails here");
    }
    let done = done.remove(0);
    planner.end(task, done.outcome == Outcome::Done);
    done
}

#[test]
fn every_operation_is_carried_out_and_checked_and_nothing_is_left() {
    let scratch = Scratch::new();
    let settings = Settings {
        target: Some("engine".to_owned()),
        drives: Some("2".to_owned()),
        drive_bytes: Some("256MiB".to_owned()),
        mix: Some("put=3,get=3,get-range=2,head=1,delete=1,list=1".to_owned()),
        size: Some("buckets(0B:1,100B:2,40KiB:2,3MiB:1)".to_owned()),
        keys: Some("20".to_owned()),
        threads: Some("1".to_owned()),
        ..Settings::default()
    };
    let (plan, options) = settings.check("run-1").unwrap();
    let options = RunOptions { directory: scratch.0.clone(), ..options };
    let crate::plan::TargetPlan::Engine(of_plan) = &plan.target else { panic!("{}", plan.target) };
    let engine = Engine::enter(of_plan, &options, &mut Silent).unwrap();
    let before = engine.reading();
    let thread = Thread { index: 0, count: 1 };
    let mut planner = Planner::new(&plan.load, thread).unwrap();
    let payload = Payload::new(plan.payload).unwrap();
    let mut target = EngineTarget::new(&engine.door(), &plan.load, payload, 2);
    planner.begin(Stage::Prepare);
    while let Some(task) = planner.next(0) {
        let done = carried_out(&task, &mut planner, &mut target);
        assert_eq!((done.outcome, done.object_bytes), (Outcome::Done, task.size_bytes));
    }
    planner.begin(Stage::Load);
    let mut seen = Vec::new();
    for _ in 0..200 {
        // All may be deleted at some time.
        let Some(task) = planner.next(0) else { continue };
        let done = carried_out(&task, &mut planner, &mut target);
        assert_eq!(done.outcome, Outcome::Done, "{task:?}");
        if !seen.contains(&task.operation) {
            seen.push(task.operation);
        }
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    planner.begin(Stage::Sweep);
    while let Some(task) = planner.next(0) {
        assert_eq!(task.operation, Operation::Get);
        let done = carried_out(&task, &mut planner, &mut target);
        assert_eq!(done.outcome, Outcome::Done, "{task:?}");
    }
    assert!(before.is_some() && engine.reading().is_some());
    drop(target);
    engine.leave(false, &mut Silent).unwrap();
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
}

//! Catch-up beside changes of view.

use crate::rig::{NOBODY, Rig, content, only};
use engine_env::Env;
use engine_set::SetError;
use engine_store::DriveError;
use engine_types::Position;
use std::cell::RefCell;
use std::rc::Rc;

const OBJECTS: u64 = 24;

fn name(number: u64) -> String {
    format!("object-{number:02}")
}

#[test]
fn a_drive_that_fails_while_another_catches_up_leaves_the_view_at_once() {
    let (returning, failing) = (Position(3), Position(1));
    let rig = Rig::new(11, (4, 2));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    for number in 0..OBJECTS {
        rig.put(&set, &name(number), &content(number, 20_000)).expect("a write");
    }
    rig.rest(&set);
    rig.stop(&set);
    rig.replace(returning);
    let set = rig.start(NOBODY);
    let change = rig.view(&set).expect("a view");
    assert_eq!(change.behind, only(returning));

    let outcome = Rc::new(RefCell::new(None));
    let (coordinator, installed) = (Rc::clone(&set.coordinator), change.installed);
    let told = Rc::clone(&outcome);
    set.env.spawn(async move {
        let caught_up = coordinator.catch_up(returning, &installed).await;
        *told.borrow_mut() = Some(caught_up.map(|(done, _)| done));
    });
    while set.member(returning).store().usage().records < OBJECTS {
        assert!(rig.world.step(), "it goes on");
    }
    rig.media(failing).set_failed(true);
    set.member(failing).store().fail(DriveError::Failed);
    let change = rig.view(&set).expect("a view without it");
    assert!(change.installed.writable);
    assert_eq!(
        change.installed.active,
        rig.config.all().minus(only(failing)).minus(only(returning))
    );
    rig.put(&set, "meanwhile", &content(99, 20_000)).expect("a write under the new view");
    rig.rest(&set);
    assert_eq!(*outcome.borrow(), Some(Err(SetError::Unavailable)), "its view is gone");
    assert!(!set.coordinator.must_change(), "a clean view is in force");

    let (done, change) = rig.catch_up(&set, returning, &change).expect("it goes on");
    assert!(done.rebuilt < OBJECTS, "what was rebuilt is not rebuilt again");
    assert_eq!(change.installed.active, rig.config.all().minus(only(failing)));
    for number in 0..OBJECTS {
        let found = rig.get(&set, &name(number));
        assert_eq!(found, Ok(content(number, 20_000)), "object {number}");
    }
    assert_eq!(rig.get(&set, "meanwhile"), Ok(content(99, 20_000)));
}

#[test]
fn changes_of_view_wait_for_each_other() {
    let rig = Rig::new(12, (2, 1));
    let set = rig.start(NOBODY);
    let coordinator = Rc::clone(&set.coordinator);
    let changes = rig.run(async move {
        let (first, second) = (coordinator.change_view(NOBODY), coordinator.change_view(NOBODY));
        futures_util::future::join(first, second).await
    });
    let (first, second) = (changes.0.expect("a view"), changes.1.expect("a view"));
    assert!(first.installed.view.epoch < second.installed.view.epoch);
    rig.put(&set, "key", &content(1, 100)).expect("a write");
}

#[test]
fn a_catch_up_that_fails_leaves_the_view_to_be_changed() {
    let victim = Position(2);
    let rig = Rig::new(13, (2, 1));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    rig.put(&set, "key", &content(1, 20_000)).expect("a write");
    rig.rest(&set);
    rig.stop(&set);
    rig.replace(victim);
    let set = rig.start(NOBODY);
    let change = rig.view(&set).expect("a view");
    assert!(!set.coordinator.must_change());
    rig.media(victim).set_failed(true);
    assert!(rig.catch_up(&set, victim, &change).is_err());
    assert!(set.coordinator.must_change(), "owners record for nobody");
    let change = rig.view(&set).expect("a view");
    assert!(!set.coordinator.must_change());
    assert!(!change.installed.record_dirty && change.installed.writable);
}

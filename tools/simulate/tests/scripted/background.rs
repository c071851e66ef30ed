//! For whom a catch-up reads and writes.

use crate::rig::{NOBODY, Rig, Set, content};
use engine_env::{Env, IoClass, Rule};
use engine_set::{Coordinator, DriveOutcome, DriveRequest, Peers};
use engine_types::Position;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

const RETURNING: Position = Position(3);
const OBJECTS: u64 = 8;
const OBJECT_BYTES: usize = 20_000;

/// The way to the drives, on which a write comes in the last moment before nothing is served.
#[derive(Clone)]
struct LateWrite {
    set: Set,
    is_armed: Rc<Cell<bool>>,
    is_begun: Rc<Cell<bool>>,
    is_written: Rc<Cell<bool>>,
    /// Of each request for bytes, whether it came after that write, and its class.
    seen: Rc<RefCell<Vec<(bool, IoClass)>>>,
}

impl LateWrite {
    fn new(set: &Set) -> Self {
        Self {
            set: set.clone(),
            is_armed: Rc::default(),
            is_begun: Rc::default(),
            is_written: Rc::default(),
            seen: Rc::default(),
        }
    }

    fn write(&self) {
        let late = self.clone();
        self.set.env.spawn(async move {
            let written = late.set.put("late", &content(OBJECTS, OBJECT_BYTES)).await;
            written.expect("a write under the view before");
            late.is_written.set(true);
        });
    }
}

impl Peers for LateWrite {
    fn call(
        &self,
        position: Position,
        request: DriveRequest,
    ) -> impl Future<Output = DriveOutcome> + 'static + use<> {
        let class = match &request {
            DriveRequest::Get(_, class)
            | DriveRequest::Write(_, _, class)
            | DriveRequest::ReadFragment(_, _, _, class) => Some(*class),
            _ => None,
        };
        self.seen.borrow_mut().extend(class.map(|class| (self.is_written.get(), class)));
        let is_fence = matches!(request, DriveRequest::Fence) && position != RETURNING;
        let waits = is_fence && self.is_armed.get();
        if waits && !self.is_begun.replace(true) {
            self.write();
        }
        let late = self.clone();
        let sent = if waits { Err(request) } else { Ok(self.set.peers.call(position, request)) };
        async move {
            match sent {
                Ok(answer) => answer.await,
                Err(request) => {
                    while !late.is_written.get() {
                        late.set.env.sleep_us(100).await;
                    }
                    late.set.peers.call(position, request).await
                }
            }
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.set.peers.breaks(rule)
    }
}

#[test]
fn a_catch_up_is_background_work_until_everybody_waits_for_it() {
    let rig = Rig::new(14, (4, 2));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    for number in 0..OBJECTS {
        let name = format!("object-{number}");
        rig.put(&set, &name, &content(number, OBJECT_BYTES)).expect("a write");
    }
    rig.rest(&set);
    rig.stop(&set);
    rig.replace(RETURNING);
    let set = rig.start(NOBODY);
    let way = LateWrite::new(&set);
    let (seen, coordinator) = (Rc::clone(&way.seen), Coordinator::new(way.clone(), rig.config));
    let caught_up = rig.run(async move {
        let change = coordinator.change_view(NOBODY).await?;
        way.is_armed.set(true);
        coordinator.catch_up(RETURNING, &change.installed).await
    });
    let (done, change) = caught_up.expect("nothing is lacking");
    assert_eq!((done.rebuilt, change.installed.active), (OBJECTS + 1, rig.config.all()));
    let (late, early): (Vec<_>, Vec<_>) =
        seen.take().into_iter().partition(|(is_late, _)| *is_late);
    assert!(!early.is_empty() && early.iter().all(|(_, class)| *class == IoClass::Background));
    assert!(!late.is_empty() && late.iter().all(|(_, class)| *class == IoClass::Foreground));
    assert_eq!(rig.get(&set, "late"), Ok(content(OBJECTS, OBJECT_BYTES)));
}

//! For whom a catch-up reads and writes.

use crate::rig::{NOBODY, Rig, Set, content};
use engine_env::{Env, IoClass, Rule};
use engine_set::{Change, Coordinator, DriveOutcome, DriveRequest, Peers, SetError};
use engine_types::{DataId, Position};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

const RETURNING: Position = Position(3);
const OBJECTS: u64 = 8;
const OBJECT_BYTES: usize = 20_000;

/// A request for bytes, as it went to a drive.
struct Moved {
    /// Whether it came after the late write.
    is_late: bool,
    /// The fragment, if it is one of a fragment.
    data: Option<DataId>,
    class: IoClass,
}

/// Whether a write comes at a request to a position.
type Moment = fn(Position, &DriveRequest) -> bool;

/// The way to the drives, on which a write comes at some moment of a catch-up.
#[derive(Clone)]
struct LateWrite {
    set: Set,
    moment: Moment,
    is_armed: Rc<Cell<bool>>,
    is_begun: Rc<Cell<bool>>,
    is_written: Rc<Cell<bool>>,
    seen: Rc<RefCell<Vec<Moved>>>,
}

impl LateWrite {
    fn new(set: &Set, moment: Moment) -> Self {
        Self {
            set: set.clone(),
            moment,
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
        let moved = match &request {
            DriveRequest::Get(_, class) => Some((None, *class)),
            DriveRequest::Write(data, _, class) | DriveRequest::ReadFragment(data, _, _, class) => {
                Some((Some(*data), *class))
            }
            _ => None,
        };
        let is_late = self.is_written.get();
        let moved = moved.map(|(data, class)| Moved { is_late, data, class });
        self.seen.borrow_mut().extend(moved);
        let waits = self.is_armed.get() && (self.moment)(position, &request);
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

/// A set that holds objects, and an empty drive in the place of one.
fn replaced(seed: u64, shape: (u8, u8), position: Position) -> (Rig, Set) {
    let rig = Rig::new(seed, shape);
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    for number in 0..OBJECTS {
        let name = format!("object-{number}");
        rig.put(&set, &name, &content(number, OBJECT_BYTES)).expect("a write");
    }
    rig.rest(&set);
    rig.stop(&set);
    rig.replace(position);
    let set = rig.start(NOBODY);
    (rig, set)
}

/// Brings the drive back; answers the view before, the one that admits it, and how many fragments
/// were rebuilt.
fn caught_up(rig: &Rig, way: &LateWrite, position: Position) -> (Change, Change, u64) {
    let (way, coordinator) = (way.clone(), Coordinator::new(way.clone(), rig.config));
    let caught_up = rig.run(async move {
        let before = coordinator.change_view(NOBODY).await?;
        way.is_armed.set(true);
        let (done, after) = coordinator.catch_up(position, &before.installed).await?;
        Ok::<_, SetError>((before, after, done.rebuilt))
    });
    caught_up.expect("nothing is lacking")
}

#[test]
fn a_catch_up_is_background_work_until_everybody_waits_for_it() {
    let (rig, set) = replaced(14, (4, 2), RETURNING);
    let way = LateWrite::new(&set, |position, request| {
        matches!(request, DriveRequest::Fence) && position != RETURNING
    });
    let (_, after, rebuilt) = caught_up(&rig, &way, RETURNING);
    assert_eq!((rebuilt, after.installed.active), (OBJECTS + 1, rig.config.all()));
    let (late, early): (Vec<Moved>, Vec<Moved>) =
        way.seen.take().into_iter().partition(|moved| moved.is_late);
    let all = |moved: &[Moved], class: IoClass| moved.iter().all(|moved| moved.class == class);
    assert!(!early.is_empty() && all(&early, IoClass::Background));
    assert!(!late.is_empty() && all(&late, IoClass::Foreground));
    assert_eq!(rig.get(&set, "late"), Ok(content(OBJECTS, OBJECT_BYTES)));
}

/// Else more would come, at the pace of clients, than is compared at the pace of a share.
#[test]
fn what_clients_write_meanwhile_is_made_equal_in_the_foreground_and_nothing_else() {
    let (rig, set) = replaced(15, (4, 2), RETURNING);
    // While the first page of keys is compared, so that it is on none of those looked at so far.
    let way = LateWrite::new(&set, |_, request| matches!(request, DriveRequest::Reserve(..)));
    let (_, after, rebuilt) = caught_up(&rig, &way, RETURNING);
    assert_eq!((rebuilt, after.installed.active), (OBJECTS + 1, rig.config.all()));
    let finder = set.clone();
    let found = rig.run(async move { finder.find("late").await }).expect("it was written");
    let written = found.source().expect("it lies in fragments").data;
    let seen = way.seen.take();
    let moved: Vec<(bool, IoClass)> =
        seen.iter().filter_map(|moved| Some((moved.data? == written, moved.class))).collect();
    for (is_written, class) in &moved {
        let wanted = if *is_written { IoClass::Foreground } else { IoClass::Background };
        assert_eq!(*class, wanted, "{moved:?}");
    }
    assert!(moved.iter().any(|(is_written, _)| *is_written), "{moved:?}");
    assert!(moved.last().is_some_and(|(is_written, _)| !is_written), "other keys come after it");
    assert_eq!(rig.get(&set, "late"), Ok(content(OBJECTS, OBJECT_BYTES)));
}

/// One of two takes no writes, and clients wait for the other.
#[test]
fn where_no_writes_are_taken_all_of_a_catch_up_is_in_the_foreground() {
    let lost = Position(1);
    let (rig, set) = replaced(16, (1, 1), lost);
    let way = LateWrite::new(&set, |_, _| false);
    let (before, after, rebuilt) = caught_up(&rig, &way, lost);
    assert!(before.installed.reads_only && after.installed.writable, "{before:?} {after:?}");
    assert_eq!(rebuilt, OBJECTS);
    let seen = way.seen.take();
    assert!(seen.iter().any(|moved| moved.data.is_some()));
    assert!(seen.iter().all(|moved| moved.class == IoClass::Foreground));
}

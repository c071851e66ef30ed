//! Starts that are cut off while they write a view (rule 3).

use crate::rig::{BUCKET, NOBODY, Rig, content, key_of, only};
use engine_env::{BrokenRules, Env, Rule};
use engine_set::{Coordinator, DriveOutcome, DriveRequest, Peers};
use engine_types::Position;
use simulate::peers::SimPeers;

/// It alone gets the view of a start that is cut off. It is the last: of two views of one epoch the
/// newest is looked for in the order of the positions, and the last one found stays.
const STALE: Position = Position(2);
/// It takes part in every start, and never gets that view.
const COMMON: Position = Position(0);
/// It is away while the stale drive is there.
const OTHER: Position = Position(1);
/// A key that the stale drive leads.
const NAME: &str = "a";
/// Far more than a start takes.
const STEPS_MAX: u64 = 100_000;

/// The way to the drives, on which a view for `COMMON` waits until the process is gone.
#[derive(Clone)]
struct LateViews(SimPeers);

impl Peers for LateViews {
    fn call(
        &self,
        position: Position,
        request: DriveRequest,
    ) -> impl Future<Output = DriveOutcome> + 'static + use<> {
        let is_late = position == COMMON && matches!(request, DriveRequest::WriteView(_));
        let call = (!is_late).then(|| self.0.call(position, request));
        async move {
            match call {
                Some(call) => call.await,
                None => std::future::pending::<DriveOutcome>().await,
            }
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.0.breaks(rule)
    }
}

/// A start without `OTHER`, of which the process dies once the stale drive has the view.
fn cut_off_start(rig: &Rig) {
    let set = rig.start(only(OTHER));
    let before = set.member(STALE).store().view().epoch;
    let coordinator = Coordinator::new(LateViews(set.peers.clone()), rig.config);
    set.env.spawn(async move {
        _ = coordinator.change_view(NOBODY).await;
    });
    let epoch = |position: Position| set.member(position).store().view().epoch;
    let lands = (0..STEPS_MAX).any(|_| rig.world.step() && epoch(STALE) > before);
    assert!(lands && epoch(COMMON) <= before, "one drive alone has the view");
    rig.stop(&set);
}

/// Starts are cut off; then the others write without the stale drive; then it is back. Gives
/// whether it owns, and which of the two writes is read.
fn read_after(cut_off: usize, broken: BrokenRules) -> (bool, Vec<u8>) {
    let rig = Rig::new(61, (2, 1));
    rig.world.set_broken(broken);
    assert_eq!(rig.config.order(BUCKET, key_of(NAME).as_bytes()).at(0), Some(STALE));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    rig.put(&set, NAME, &content(1, 300)).expect("a write");
    rig.rest(&set);
    rig.stop(&set);
    for _ in 0..cut_off {
        cut_off_start(&rig);
    }

    let set = rig.start(only(STALE));
    assert!(rig.view(&set).expect("a view without it").installed.writable);
    rig.put(&set, NAME, &content(2, 300)).expect("an acknowledged write");
    rig.rest(&set);
    rig.stop(&set);

    let set = rig.start(NOBODY);
    let installed = rig.view(&set).expect("a view").installed;
    let read = rig.get(&set, NAME).expect("all drives are there");
    (installed.active.contains(STALE), read)
}

#[test]
fn a_view_that_was_cut_off_never_outranks_the_one_in_force() {
    // One makes a second view of the epoch in force, two make one of a higher epoch.
    for cut_off in [1, 2] {
        let with_all = read_after(cut_off, BrokenRules::NONE);
        assert_eq!(with_all, (false, content(2, 300)), "{cut_off} cut off");
        let without = read_after(cut_off, BrokenRules::only(Rule::PromiseFirst));
        assert_eq!(without, (true, content(1, 300)), "{cut_off} cut off: the stale drive owns");
    }
}

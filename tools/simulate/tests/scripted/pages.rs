//! Listings beside changes of view (rule 18).

use crate::rig::{BUCKET, NOBODY, Rig, Set, content, key_of, names_of, only};
use engine_env::{BrokenRules, Rule};
use engine_set::{Installed, SetListQuery};
use engine_types::Position;
use simulate::pages::{Page, Pages};

const OBJECTS: u64 = 24;
/// It comes back while a gateway has a page of the first of the others.
const RETURNING: Position = Position(0);
/// The last that the gateway asks.
const LAST: Position = Position(2);

/// Lists as a gateway does; a drive is back behind the first page. `None`: the listing is refused.
async fn list_meanwhile(set: Set, installed: Installed) -> Option<Vec<String>> {
    let query = SetListQuery { entries_max: 1000, ..SetListQuery::default() };
    let mut pages = Pages::begin(&set.env, &set.peers, BUCKET, query)?;
    let mut names = Vec::new();
    let mut returning = Some(RETURNING);
    loop {
        match pages.next_page().await.expect("pages in order") {
            Page::Entries(entries) => names.extend(names_of(entries)),
            Page::End => break,
            Page::Refused => return None,
        }
        if let Some(position) = returning.take() {
            let caught_up = set.coordinator.catch_up(position, &installed).await;
            caught_up.expect("the others have everything");
        }
    }
    names.sort();
    Some(names)
}

/// Whether the last drive leads a key until the first one is back.
fn changes_hands(rig: &Rig, name: &str) -> bool {
    let order = rig.config.order(BUCKET, key_of(name).as_bytes());
    order.at(0) == Some(RETURNING) && order.at(1) == Some(LAST)
}

#[test]
fn pages_of_two_views_are_not_put_together() {
    for broken in [BrokenRules::NONE, BrokenRules::only(Rule::ListOneView)] {
        let rig = Rig::new(81, (2, 1));
        rig.world.set_broken(broken);
        let set = rig.start(NOBODY);
        rig.view(&set).expect("a view");
        rig.stop(&set);
        let set = rig.start(only(RETURNING));
        rig.view(&set).expect("a view without it");
        let names: Vec<String> = (0..OBJECTS).map(|number| format!("object-{number:02}")).collect();
        for name in &names {
            rig.put(&set, name, &content(1, 300)).expect("a write");
        }
        rig.rest(&set);
        rig.open(&set, RETURNING);
        let change = rig.view(&set).expect("a view");
        assert_eq!(change.behind, only(RETURNING));

        let listed = rig.run(list_meanwhile(set.clone(), change.installed));
        if broken == BrokenRules::NONE {
            assert_eq!(listed, None, "the gateway begins anew");
        } else {
            // Of neither page: the one who leads them now was never asked.
            let stay = names.iter().filter(|name| !changes_hands(&rig, name));
            let stay: Vec<String> = stay.cloned().collect();
            assert!(stay.len() < names.len());
            assert_eq!(listed, Some(stay), "acknowledged objects are missing");
        }
        assert_eq!(rig.list(&set), Ok(names), "under one view");
    }
}

//! What drives remember of each other (rule 8).

use crate::rig::{NOBODY, Rig, Set, content, only};
use engine_env::Env;
use engine_set::SetError;
use engine_types::Position;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn write_all(rig: &Rig, set: &Set, seed: u64) {
    for (number, name) in (0..).zip(KEYS) {
        rig.put(set, name, &content(seed + number, 300)).expect("a write");
    }
    rig.rest(set);
}

#[test]
fn a_drive_that_comes_back_older_than_its_peers_remember_is_out() {
    for seed in 1..=3 {
        let rig = Rig::new(seed, (2, 1));
        let victim = rig.config.all().iter().nth(seed as usize % 3).expect("a position");
        let set = rig.start(NOBODY);
        assert!(rig.view(&set).expect("a view").behind.is_empty());
        write_all(&rig, &set, 100);
        // All that follows is lost on this drive. No view changes meanwhile.
        let image = rig.media(victim).image();
        write_all(&rig, &set, 200);
        rig.stop(&set);
        rig.media(victim).roll_back(&image);
        let set = rig.start(NOBODY);
        let change = rig.view(&set).expect("a view");
        assert_eq!(change.behind, only(victim), "seed {seed}: {change:?}");
        let (_, change) = rig.catch_up(&set, victim, &change).expect("it catches up");
        assert_eq!(change.installed.active, rig.config.all());
        for (number, name) in (0..).zip(KEYS) {
            assert_eq!(rig.get(&set, name), Ok(content(200 + number, 300)), "seed {seed} {name}");
        }
        // It is one of them again.
        let change = rig.view(&set).expect("a view");
        assert_eq!(change.installed.active, rig.config.all(), "seed {seed}");
    }
}

#[test]
fn a_drive_that_rolled_back_is_not_believed_when_those_who_know_are_gone() {
    let victim = Position(0);
    let rig = Rig::new(9, (1, 1));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    write_all(&rig, &set, 100);
    let image = rig.media(victim).image();
    write_all(&rig, &set, 200);
    rig.stop(&set);
    rig.media(victim).roll_back(&image);
    let set = rig.start(NOBODY);
    let change = rig.view(&set).expect("reads from the other one");
    assert_eq!(change.behind, only(victim));
    assert_eq!(rig.get(&set, KEYS[0]), Ok(content(200, 300)));
    rig.stop(&set);
    let set = rig.start(only(Position(1)));
    assert_eq!(rig.view(&set).map(|_| ()), Err(SetError::Unavailable));
}

#[test]
fn a_drive_that_lost_nothing_is_not_suspected() {
    for seed in 1..=3 {
        let rig = Rig::new(seed, (2, 1));
        let set = rig.start(NOBODY);
        rig.view(&set).expect("a view");
        write_all(&rig, &set, 100);
        rig.stop(&set);
        rig.media.iter().for_each(shards_sim::SimMedia::lose_power);
        let set = rig.start(NOBODY);
        let change = rig.view(&set).expect("a view");
        assert_eq!(change.installed.active, rig.config.all(), "seed {seed}: {change:?}");
    }
}

#[test]
fn what_peers_remember_takes_no_batch_of_its_own() {
    const PUTS: u64 = 20;
    let rig = Rig::new(7, (2, 1));
    let set = rig.start(NOBODY);
    rig.view(&set).expect("a view");
    rig.rest(&set);
    let batches = |set: &Set| -> Vec<u64> {
        let members = rig.config.all().iter().map(|position| set.member(position));
        members.map(|member| member.store().usage().batches).collect()
    };
    let before = batches(&set);
    for number in 0..PUTS {
        rig.put(&set, "key", &content(number, 300)).expect("a write");
        let env = set.env.clone();
        rig.run(async move { env.sleep_us(60_000).await });
    }
    for (before, after) in before.iter().zip(batches(&set)) {
        assert!(
            after <= before + 2 * PUTS,
            "a write and its marks, not {} batches",
            after - before
        );
    }
    // What everybody knows ends with the last write at the earliest: only its marks came behind.
    for position in rig.config.all().iter() {
        let durable = set.member(position).store().durable();
        for other in rig.config.all().minus(only(position)).iter() {
            let known = set.member(other).store().peers();
            let known = known.iter().find(|known| known.position == position);
            let batch = known.map_or(0, |known| known.batch_sequence);
            assert!(batch + 1 >= durable.batch_sequence, "{other} of {position}: {known:?}");
        }
    }
}

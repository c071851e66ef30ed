//! Power failures that cut the superblock's writes short: two whole copies are left, and they may
//! be the two that the next write begins with (rule 24).

use crate::rig::{Rig, SEGMENT_BYTES};
use engine_env::{BrokenRules, Env, Rule};
use engine_format::{SUPERBLOCK_BYTES, Superblock};
use engine_store::{DriveError, Store};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a drive writes at once: of a write that is cut short any of its sectors are there.
const SECTOR_BYTES: usize = 512;
const OBJECTS: usize = 5;
/// Far more than an opening takes.
const STEPS_MAX: u64 = 100_000;

/// Opens the drive until two copies of its superblock are on their way; then the power fails, and
/// of each of the two the first sector is there.
fn cut_off_opening(rig: &Rig, copies: [u64; 2]) {
    let before = copies.map(|offset| rig.media.contents(offset, SUPERBLOCK_BYTES));
    let written: Rc<RefCell<BTreeMap<u64, Vec<u8>>>> = Rc::default();
    let seen = Rc::clone(&written);
    rig.media.set_write_faults(move |offset, bytes| {
        if copies.contains(&offset) {
            seen.borrow_mut().insert(offset, bytes.to_vec());
        }
        None
    });
    let (env, media, world) = (rig.world.env(), rig.media.clone(), rig.world.clone());
    let config = rig.config;
    rig.world.env().spawn(async move {
        let drive = media.open(&world);
        _ = Store::open(env, drive, SEGMENT_BYTES, config).await;
    });
    let is_cut = || written.borrow().len() == copies.len();
    assert!((0..STEPS_MAX).any(|_| rig.world.step() && is_cut()), "the copies are written");
    rig.media.clear_write_faults();
    rig.lose_power();
    for (offset, mut copy) in copies.into_iter().zip(before) {
        copy[..SECTOR_BYTES].copy_from_slice(&written.borrow()[&offset][..SECTOR_BYTES]);
        assert!(Superblock::decode(&copy).is_err(), "neither the old one nor the new one");
        rig.media.overwrite(offset, &copy);
    }
}

#[test]
fn an_opening_makes_all_copies_of_the_superblock_whole() {
    let [first, second, third, fourth] = Superblock::copy_offsets(SEGMENT_BYTES);
    for broken in [BrokenRules::NONE, BrokenRules::only(Rule::SuperblockRepair)] {
        let mut rig = Rig::new(1, 48);
        rig.world.set_broken(broken);
        let mut client = rig.client(BTreeMap::new());
        let live = rig.run(async move {
            for _ in 0..OBJECTS {
                client.put().await.expect("a healthy drive");
            }
            client.live
        });
        rig.lose_power();
        cut_off_opening(&rig, [third, fourth]);
        cut_off_opening(&rig, [first, second]);
        if broken == BrokenRules::NONE {
            let client = rig.client(live);
            rig.run(async move { client.check().await });
        } else {
            let opened = rig.open().map(|_| ());
            assert!(matches!(opened, Err(DriveError::Format(_))), "it never opens: {opened:?}");
        }
    }
}

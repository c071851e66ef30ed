//! Rot in the payload of an inline object (rule 14).

use crate::rig::{BUCKET, NOBODY, Rig, content, key_of};
use crate::unreadable::rot_payload;
use engine_env::{BrokenRules, Rule};

#[test]
fn a_rotten_payload_is_read_from_another_holder() {
    for broken in [BrokenRules::NONE, BrokenRules::only(Rule::PayloadSums)] {
        let rig = Rig::new(71, (2, 1));
        rig.world.set_broken(broken);
        let set = rig.start(NOBODY);
        rig.view(&set).expect("a view");
        let written = content(1, 300);
        rig.put(&set, "key", &written).expect("a write");
        rig.rest(&set);
        let order = rig.config.order(BUCKET, key_of("key").as_bytes());
        let owner = order.at(0).expect("an owner");
        rot_payload(&rig, &set, owner, "key");
        let read = rig.get(&set, "key").expect("another holder has it");
        rig.rest(&set);
        let healed = set.member(owner).store().usage().healed;
        if broken == BrokenRules::NONE {
            assert_eq!((read, healed), (written, 1), "and it is written anew");
        } else {
            let mut rotten = written;
            rotten[0] ^= 1;
            assert_eq!((read, healed), (rotten, 0), "wrong bytes, and nobody notices");
        }
    }
}

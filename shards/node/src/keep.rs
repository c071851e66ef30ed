//! What every shard does for its drives in the background: scrubs, and counts of objects short of
//! protection.
//!
//! Invariants: a drive is held only while it is scrubbed or counted, so that it can be let go of;
//! one scrub at a time on a shard.

use crate::shard::ShardLocal;
use engine_env::Env;
use engine_types::{Position, SetId};
use std::collections::BTreeMap;
use std::rc::Rc;

const TICK_US: u64 = 1_000_000;

/// Starts both tasks of a shard.
pub(crate) fn start(local: &Rc<ShardLocal>) {
    local.env.spawn(count_short(Rc::clone(local)));
    if local.config.scrub_interval_us > 0 {
        local.env.spawn(scrub(Rc::clone(local)));
    }
}

async fn count_short(local: Rc<ShardLocal>) {
    loop {
        local.env.sleep_us(TICK_US).await;
        for (set, position) in seats(&local) {
            if let Some(member) = local.member(set, position) {
                member.count_short().await;
            }
        }
    }
}

/// The seats of the drives of a shard; their members are not held on to.
fn seats(local: &ShardLocal) -> Vec<(SetId, Position)> {
    local.members().iter().map(|(set, member)| (*set, member.position())).collect()
}

/// Drives are scrubbed in turn. When each was scrubbed last a restart forgets: the first time comes
/// after some part of the interval.
async fn scrub(local: Rc<ShardLocal>) {
    let every_us = local.config.scrub_interval_us;
    let mut due: BTreeMap<(SetId, Position), u64> = BTreeMap::new();
    loop {
        local.env.sleep_us(TICK_US).await;
        for (set, position) in seats(&local) {
            let now_us = local.env.now_us();
            let first_us = now_us + local.env.random_u64() % every_us;
            let at_us = due.entry((set, position)).or_insert(first_us);
            let member = local.member(set, position).filter(|_| *at_us <= now_us);
            let Some(member) = member else { continue };
            // What it found it heals, and the drive counts; a drive that fails of it is reported.
            _ = member.scrub(local.config.scrub_pace).await;
            *at_us = local.env.now_us() + every_us;
        }
    }
}

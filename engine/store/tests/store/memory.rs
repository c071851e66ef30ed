//! What the index holds in memory, as the store tells it.

use crate::rig::Rig;
use std::collections::BTreeMap;

#[test]
fn a_flush_gives_the_memory_of_the_memtable_back() {
    let mut rig = Rig::new(1, 64);
    let limit_bytes = rig.config.memtable_bytes;
    let mut client = rig.client(BTreeMap::new());
    rig.run(async move {
        // Too few for a checkpoint to be due.
        for _ in 0..5 {
            client.put().await.expect("there is room");
        }
        let store = client.store.clone();
        store.barrier().await.expect("a healthy drive");
        let held_bytes = store.index_memory().memtable_bytes;
        assert!((1..=limit_bytes).contains(&held_bytes), "{held_bytes} of {limit_bytes}");
        assert!(!store.is_flushing());
        store.checkpoint().await.expect("there is room");
        assert_eq!(store.index_memory().memtable_bytes, 0);
        assert!(!store.is_flushing());
    });
}

//! What a node is told about its drives, and that it does so.

use super::*;
use crate::control::SystemLog;
use crate::rig::{self, Rig};
use engine_types::{Position, SetId};
use shards_control::ControlLog;
use shards_uring::SPLIT_BYTES_MIN;
use std::path::Path;

/// The least of everything.
const LEAST: DriveLimits = DriveLimits {
    read_queue_depth_max: 1,
    write_queue_depth_max: 1,
    split_bytes: SPLIT_BYTES_MIN,
    background_share: 0.01,
};

#[test]
fn drives_that_are_not_told_go_to_the_shards_in_turn() {
    let mut config = rig::config(Path::new("/nowhere"));
    let drive = config.drives[0].clone();
    config.drives = vec![drive; 5];
    config.shards = 3;
    config.drives[1].shard = Some(2);
    let shards: Vec<usize> = (0..5).map(|index| config.shard_of(index)).collect();
    assert_eq!(shards, [0, 2, 2, 0, 1]);
}

#[test]
fn what_no_node_can_do_is_refused_in_a_sentence() {
    let good = rig::config(Path::new("/nowhere"));
    assert_eq!(good.fault(), None);
    let refused = |change: &dyn Fn(&mut NodeConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config.fault().unwrap()
    };
    let text = refused(&|config| config.drives[1].shard = Some(2));
    assert_eq!(text, "/nowhere/d2 is to be on shard 2, but the last of 2 shards is shard 1");
    let text = refused(&|config| config.drives[0].limits.background_share = 0.0);
    assert!(text.starts_with("the limits of /nowhere/d1: "), "{text}");
    let text = refused(&|config| config.ring_entries = 7);
    assert!(text.contains("ring entries"), "{text}");
    let text = refused(&|config| config.shards = 0);
    assert!(text.contains("shards"), "{text}");
}

#[test]
fn the_report_has_the_limits_that_are_in_force() {
    // Files of a directory are as long as four segments, and nothing is longer than a file.
    const FILE_BYTES: usize = 1 << 20;
    let mut rig = Rig::start_with(|config| {
        for drive in &mut config.drives {
            drive.limits.split_bytes = 16 * FILE_BYTES;
        }
    });
    let (node, handle) = (rig.node.clone(), rig.handle());
    rig.run(async move {
        let in_force = DriveLimits { split_bytes: FILE_BYTES, ..DriveLimits::default() };
        for _ in 0..30_000 {
            if node.report().drives.iter().all(|drive| drive.limits == in_force) {
                return;
            }
            handle.sleep_us(1000).await;
        }
        panic!("other limits are told: {:?}", node.report().drives);
    });
}

#[test]
fn a_node_keeps_to_what_it_is_told_about_its_drives() {
    let cpu = shards_executor::allowed_cpus().unwrap()[0];
    let mut rig = Rig::start_with(|config| {
        for drive in &mut config.drives {
            drive.shard = Some(1);
            drive.limits = LEAST;
        }
        config.ring_entries = 16;
        config.control_cpus = vec![cpu];
    });
    let node = rig.node.clone();
    for drive in &node.report().drives {
        assert_eq!((drive.shard, drive.limits), (1, LEAST));
    }
    for position in [Position(0), Position(1)] {
        assert_eq!(node.shared.shard_of(SetId(0), position), Some(1));
    }
    let statistics = rig.run(async move {
        // Fragments in cells that take many I/Os each, and the log beside them.
        let document: Vec<u8> = (0..300_000_u32).map(|index| (index / 7) as u8).collect();
        let log = SystemLog { node: node.clone() };
        assert_eq!(log.propose("test/large", None, document.clone()).await, Ok(true));
        let (read, _) = log.read("test/large").await.unwrap().unwrap();
        assert!(read == document, "other bytes than were written");
        let counted = node.run(1, |local| async move {
            let drives = local.drives.borrow();
            drives.values().map(|drive| drive.counters().statistics()).collect::<Vec<_>>()
        });
        counted.await.unwrap()
    });
    assert_eq!(statistics.len(), 2, "both drives are on the shard they were told");
    for done in statistics {
        assert_eq!((done.in_flight_reads_max, done.in_flight_writes_max), (1, 1), "{done:?}");
        assert!(done.waited > 0, "{done:?}");
        assert!(done.read_bytes <= done.reads * SPLIT_BYTES_MIN as u64, "{done:?}");
        assert!(done.write_bytes <= done.writes * SPLIT_BYTES_MIN as u64, "{done:?}");
    }
}

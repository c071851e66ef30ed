//! Tests of `placement`.

use super::*;
use hw_profile::{DriveLimits, DrivePlan, LimitsSource};

/// A plan with these CPUs, and with drives of these shards.
fn plan(shard_cpus: &str, shards: &[Option<u32>]) -> Plan {
    let drive = |(index, shard): (usize, &Option<u32>)| DrivePlan {
        path: format!("/d{index}"),
        wwid: None,
        class: None,
        shard: *shard,
        limits: DriveLimits::default(),
        limits_source: LimitsSource::Default,
    };
    Plan {
        shard_cpus: shard_cpus.parse().unwrap(),
        drives: shards.iter().enumerate().map(drive).collect(),
        ..Plan::default()
    }
}

fn wanted(drive_count: usize) -> Wanted {
    Wanted { drive_count, ..Wanted::default() }
}

fn is_silent(placement: &Placement) -> bool {
    placement.warnings.is_empty() && placement.remarks.is_empty()
}

#[test]
fn without_a_profile_there_is_one_shard_and_gateway_on_each_cpu() {
    let placed = place(&wanted(5), &Plan::default(), &[0, 1, 4]);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (3, &[0, 1, 4][..]));
    assert_eq!((placed.gateways, placed.gateway_cpus.as_slice()), (3, &[0, 1, 4][..]));
    assert_eq!(placed.drive_shards, [0, 1, 2, 0, 1]);
    assert!(placed.control_cpus.is_empty() && is_silent(&placed), "{placed:?}");
    // More CPUs than drives: no shard without a drive, and nobody asked for one.
    let placed = place(&wanted(2), &Plan::default(), &[0, 1, 4]);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (2, &[0, 1][..]));
    assert!(is_silent(&placed), "{placed:?}");
}

#[test]
fn nothing_is_pinned_where_there_is_no_choice() {
    for allowed in [&[][..], &[3]] {
        let placed = place(&wanted(2), &Plan::default(), allowed);
        assert_eq!((placed.shards, placed.gateways), (1, 1));
        assert!(placed.shard_cpus.is_empty() && placed.gateway_cpus.is_empty(), "{placed:?}");
    }
    let settings = Wanted { shards: Some(4), gateways: Some(2), drive_count: 3 };
    let placed = place(&settings, &Plan::default(), &[3]);
    assert_eq!((placed.shards, placed.gateways), (3, 2));
    assert_eq!(placed.drive_shards, [0, 1, 2]);
    assert!(placed.shard_cpus.is_empty() && is_silent(&placed), "{placed:?}");
}

#[test]
fn the_profile_names_the_cpus_of_every_group() {
    let plan = Plan {
        gateway_cpus: "4-6".parse().unwrap(),
        control_cpus: "7".parse().unwrap(),
        ..plan("1,3", &[None; 4])
    };
    let allowed: Vec<usize> = (0..8).collect();
    let placed = place(&wanted(4), &plan, &allowed);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (2, &[1, 3][..]));
    assert_eq!((placed.gateways, placed.gateway_cpus.as_slice()), (3, &[4, 5, 6][..]));
    assert_eq!(placed.control_cpus, [7]);
    assert_eq!(placed.drive_shards, [0, 1, 0, 1]);
    assert!(is_silent(&placed), "{placed:?}");
    // One CPU that is named is one to be on.
    let placed = place(&wanted(4), &self::plan("3", &[]), &allowed);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (1, &[3][..]));
}

#[test]
fn drives_go_where_the_profile_says_and_the_others_where_fewest_are() {
    let shards = [Some(1), None, Some(1), None, None];
    let placed = place(&wanted(5), &plan("0-1", &shards), &[0, 1]);
    assert_eq!(placed.drive_shards, [1, 0, 1, 0, 0]);
    // Without CPUs in the profile its numbers go round the shards that there are.
    let placed = place(&wanted(4), &plan("", &[Some(0), Some(1), Some(2), Some(3)]), &[0, 1]);
    assert_eq!(placed.drive_shards, [0, 1, 0, 1]);
    assert!(is_silent(&placed), "{placed:?}");
    let two_each = plan("", &[Some(0), Some(0), Some(1), Some(1)]);
    let placed = place(&wanted(4), &two_each, &[0, 1, 2, 3]);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (2, &[0, 1][..]));
    assert_eq!(placed.drive_shards, [0, 0, 1, 1]);
    assert!(is_silent(&placed), "{placed:?}");
}

#[test]
fn cpus_that_may_not_be_used_are_dropped_with_one_warning_each_group() {
    let plan = Plan {
        gateway_cpus: "8-9".parse().unwrap(),
        control_cpus: "1,9".parse().unwrap(),
        ..plan("0,5,1", &[Some(0), Some(1), Some(2)])
    };
    let placed = place(&wanted(3), &plan, &[0, 1]);
    // CPUs are numbered in rising order, so shard 2 was the one of CPU 5.
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (2, &[0, 1][..]));
    assert_eq!(placed.drive_shards, [0, 1, 0]);
    assert_eq!((placed.gateways, placed.gateway_cpus.as_slice()), (2, &[0, 1][..]));
    assert_eq!(placed.control_cpus, [1]);
    assert_eq!(placed.warnings.len(), 3, "{placed:?}");
    for (warning, words) in placed.warnings.iter().zip([
        ["`layout.shard_cpus`", "(5): the others are used"],
        ["`layout.gateway_cpus`", "(8-9): the default is kept"],
        ["`layout.control_cpus`", "(9): the others are used"],
    ]) {
        assert!(words.iter().all(|word| warning.contains(*word)), "{warning}");
    }
}

#[test]
fn a_shard_without_a_drive_is_not_started_and_those_behind_it_move_up() {
    let placed = place(&wanted(2), &plan("4-7", &[Some(1), Some(3)]), &[4, 5, 6, 7]);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (2, &[5, 7][..]));
    assert_eq!(placed.drive_shards, [0, 1]);
    assert_eq!(placed.warnings.len(), 1);
    assert!(placed.warnings[0].contains("shards 0, 2 of 4"), "{placed:?}");
}

#[test]
fn settings_are_stronger_than_the_profile_and_it_is_said() {
    let plan = Plan { gateway_cpus: "0".parse().unwrap(), ..plan("0-1", &[Some(0), Some(1)]) };
    let settings = Wanted { shards: Some(1), gateways: Some(3), drive_count: 2 };
    let placed = place(&settings, &plan, &[0, 1]);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (1, &[0][..]));
    assert_eq!(placed.drive_shards, [0, 0]);
    assert_eq!((placed.gateways, placed.gateway_cpus.as_slice()), (3, &[0, 0, 0][..]));
    assert_eq!(placed.remarks.len(), 2, "{placed:?}");
    assert!(placed.remarks[0].contains("`shards` is 1") && placed.warnings.is_empty());
    // More shards than the profile has drives for.
    let plan = self::plan("", &[Some(0), Some(0), Some(1), Some(1)]);
    let settings = Wanted { shards: Some(4), gateways: None, drive_count: 4 };
    let placed = place(&settings, &plan, &[0, 1]);
    assert_eq!((placed.shards, placed.shard_cpus.as_slice()), (4, &[0, 1, 0, 1][..]));
    assert_eq!(placed.drive_shards, [0, 1, 2, 3]);
    assert!(placed.remarks[0].contains("dealt out in turn"), "{placed:?}");
    // The same as the profile is no contradiction.
    let settings = Wanted { shards: Some(2), gateways: None, drive_count: 2 };
    assert!(is_silent(&place(&settings, &self::plan("0-1", &[Some(1), Some(0)]), &[0, 1])));
}

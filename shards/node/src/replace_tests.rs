//! The parts of a replacement that need no drive.

use super::*;
use engine_format::{LogPosition, SUPERBLOCK_BYTES};
use engine_store::DriveUsage;
use engine_types::{DeploymentId, PoolId, Position, PositionSet, SegmentId, SetId};
use shards_uring::{DriveLimits, DriveStatistics};

fn report(state: DriveState) -> DriveReport {
    DriveReport {
        path: PathBuf::from("/srv/d3"),
        shard: 0,
        limits: DriveLimits::default(),
        uuid: String::new(),
        set: SetId(0),
        position: Position(2),
        state,
        advice: String::new(),
        usage: DriveUsage::default(),
        io: DriveStatistics::default(),
        objects_short: 0,
    }
}

/// A view in force in which position 2 is out.
fn view() -> Installed {
    let mut active = PositionSet::first(6);
    active.remove(Position(2));
    Installed { active, serving: true, writable: true, ..Installed::default() }
}

fn config(set_size: u8, parity: u8) -> SetConfig {
    let limits = (64 << 10, 4 << 10);
    SetConfig::new(DeploymentId([7; 16]), SetId(0), (set_size, parity), limits).unwrap()
}

#[test]
fn only_a_vacant_seat_is_given_away() {
    let config = config(6, 2);
    assert_eq!(not_vacant(&report(DriveState::Missing), &view(), &config), None);
    assert_eq!(not_vacant(&report(DriveState::Failed), &view(), &config), None);
    assert!(not_vacant(&report(DriveState::InSync), &view(), &config).is_some());
    let text = not_vacant(&report(DriveState::CatchingUp), &view(), &config).unwrap();
    assert!(text.contains("catching up"), "{text}");
    let all = Installed { active: PositionSet::first(6), ..view() };
    for state in [DriveState::InSync, DriveState::Missing, DriveState::Failed] {
        let text = not_vacant(&report(state), &all, &config).unwrap();
        assert!(text.contains("in sync"), "{text}");
    }
}

#[test]
fn a_seat_whose_drive_may_have_what_the_others_lack_is_kept() {
    let missing = report(DriveState::Missing);
    let read_only = |positions: &[u8]| Installed {
        active: positions.iter().map(|position| Position(*position)).collect(),
        serving: true,
        reads_only: true,
        ..Installed::default()
    };
    // Of 4+2 four have everything, of 2+2 two.
    assert_eq!(not_vacant(&missing, &read_only(&[0, 1, 3, 4]), &config(6, 2)), None);
    assert_eq!(not_vacant(&missing, &read_only(&[0, 1]), &config(4, 2)), None);
    for (positions, config) in [(&[0, 1, 3][..], config(6, 2)), (&[0][..], config(4, 2))] {
        let text = not_vacant(&missing, &read_only(positions), &config).unwrap();
        assert!(text.contains("cannot be replaced"), "{text}");
    }
    // The survivor of a mirror of two has everything.
    let second = DriveReport { position: Position(1), ..report(DriveState::Missing) };
    assert_eq!(not_vacant(&second, &read_only(&[0]), &config(2, 1)), None);
    let silent = Installed { serving: false, ..read_only(&[0]) };
    assert!(not_vacant(&second, &silent, &config(2, 1)).is_some());
}

#[test]
fn a_seat_that_is_a_guess_is_not_given_away() {
    let shared = Shared::new(Vec::new());
    assert_eq!(not_seated(&shared, 2, &report(DriveState::Missing)), None);
    locked(&shared.unsure).insert(2);
    let text = not_seated(&shared, 2, &report(DriveState::Missing)).unwrap();
    assert!(text.contains("several drives are missing"), "{text}");
}

#[test]
fn one_claim_at_a_time() {
    let shared = Arc::new(Shared::new(Vec::new()));
    let first = DriveClaim::take(&shared, 3).unwrap();
    assert!(DriveClaim::take(&shared, 3).is_none());
    assert!(DriveClaim::take(&shared, 4).is_some());
    drop(first);
    assert!(DriveClaim::take(&shared, 3).is_some());
}

#[test]
fn paths_are_compared_as_the_system_resolves_them() {
    assert!(same_path(Path::new("/srv/d3"), Path::new("/srv/d3/")));
    let here = std::env::current_dir().unwrap().join("d3");
    assert!(same_path(Path::new("./d3"), &here));
    assert!(!same_path(Path::new("/srv/d3"), Path::new("/srv/d4")));
}

#[test]
fn only_a_format_of_this_very_seat_counts_as_cut_off() {
    let layout = Layout { deployment: DeploymentId([7; 16]), set_count: 1, set_size: 6, parity: 2 };
    let seat = (SetId(0), Position(2));
    let good = Superblock {
        drive: DriveId([1; 16]),
        deployment: layout.deployment,
        pool: PoolId(0),
        set: seat.0,
        position: seat.1,
        set_size: 6,
        parity: 2,
        set_count: 1,
        state: engine_format::DriveState::Rebuilding,
        segment_bytes: 4 << 20,
        segment_count: 64,
        generation: 1,
        incarnation: 0,
        log_start: LogPosition::NONE,
        log_tail: SegmentId(1),
        checkpoint: SegmentId(0),
        checkpoint_bytes: 0,
        checkpoint_sum: 0,
    };
    let mut bytes = good.encode();
    bytes.resize(2 * SUPERBLOCK_BYTES, 0);
    assert!(is_cut_off(&bytes, &layout, seat));
    let used = Superblock { incarnation: 1, ..good.clone() };
    assert!(!is_cut_off(&used.encode(), &layout, seat));
    let foreign = Superblock { deployment: DeploymentId([8; 16]), ..good.clone() };
    assert!(!is_cut_off(&foreign.encode(), &layout, seat));
    let elsewhere = Superblock { position: Position(3), ..good };
    assert!(!is_cut_off(&elsewhere.encode(), &layout, seat));
    assert!(!is_cut_off(&[], &layout, seat));
    assert!(!is_cut_off(&[1; SUPERBLOCK_BYTES], &layout, seat));
}

#[test]
fn what_a_look_shows_is_refused_with_a_way_out() {
    let drive = NodeDrive {
        path: PathBuf::from("/absent/d3"),
        kind: DriveKind::Directory,
        capacity_bytes: 1 << 30,
        limits: DriveLimits::default(),
        shard: None,
    };
    assert_eq!(not_usable(&drive, &Look::Blank), None);
    assert_eq!(not_usable(&drive, &Look::Used), None);
    let text = not_usable(&drive, &Look::Strange("/absent/d3 holds x".to_owned())).unwrap();
    assert!(text.contains("delete the files"), "{text}");
    assert!(not_usable(&drive, &Look::Absent("gone".to_owned())).is_some());
}

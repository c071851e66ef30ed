//! The parts of a replacement that need no drive.

use super::*;
use engine_format::{LogPosition, SUPERBLOCK_BYTES};
use engine_store::DriveUsage;
use engine_types::{DeploymentId, PoolId, PositionSet, SegmentId};
use shards_uring::DriveStatistics;

fn report(state: DriveState) -> DriveReport {
    DriveReport {
        path: PathBuf::from("/srv/d3"),
        uuid: String::new(),
        set: SetId(0),
        position: Position(2),
        state,
        advice: String::new(),
        usage: DriveUsage::default(),
        io: DriveStatistics::default(),
    }
}

/// A view in force in which position 2 is out.
fn view() -> Installed {
    let mut active = PositionSet::first(6);
    active.remove(Position(2));
    Installed { active, serving: true, writable: true, ..Installed::default() }
}

#[test]
fn only_a_vacant_seat_of_a_set_that_writes_is_given_away() {
    assert_eq!(not_vacant(&report(DriveState::Missing), &view()), None);
    assert_eq!(not_vacant(&report(DriveState::Failed), &view()), None);
    assert!(not_vacant(&report(DriveState::InSync), &view()).is_some());
    let text = not_vacant(&report(DriveState::CatchingUp), &view()).unwrap();
    assert!(text.contains("catching up"), "{text}");
    for (serving, writable) in [(false, false), (true, false)] {
        let stopped = Installed { serving, writable, ..view() };
        let text = not_vacant(&report(DriveState::Missing), &stopped).unwrap();
        assert!(text.contains("takes no writes"), "{text}");
    }
    let all = Installed { active: PositionSet::first(6), ..view() };
    for state in [DriveState::InSync, DriveState::Missing, DriveState::Failed] {
        let text = not_vacant(&report(state), &all).unwrap();
        assert!(text.contains("in sync"), "{text}");
    }
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
    };
    assert_eq!(not_usable(&drive, &Look::Blank), None);
    assert_eq!(not_usable(&drive, &Look::Used), None);
    let text = not_usable(&drive, &Look::Strange("/absent/d3 holds x".to_owned())).unwrap();
    assert!(text.contains("delete the files"), "{text}");
    assert!(not_usable(&drive, &Look::Absent("gone".to_owned())).is_some());
}

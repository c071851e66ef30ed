//! Space comes back, and the reserve stays.

use super::*;
use engine_format::FragmentRecord;

fn data(number: u8) -> DataId {
    DataId([number; 16])
}

fn record(data: DataId, bytes: u64, append: bool, extents: Vec<Extent>) -> FragmentRecord {
    FragmentRecord {
        data,
        index: engine_types::FragmentIndex(0),
        geometry: engine_types::Geometry { data: 1, parity: 0, cell_bytes: 64 << 10 },
        object_bytes: bytes,
        sequence: engine_types::Sequence::ZERO,
        append,
        extents,
        footer_sum: 0,
    }
}

#[test]
fn space_comes_back_to_the_last_granule() {
    let mut space = Space::new(1 << 20, 64, 64);
    let before = space.free_bytes();
    for number in 0..20 {
        let bytes = if number % 2 == 0 { 20_000 } else { 1_300_000 };
        space.reserve_fragment(data(number), bytes, false).unwrap();
    }
    assert!(space.free_bytes() < before);
    assert!(space.snapshot().is_empty(), "reservations are not in a checkpoint");
    for number in 0..20 {
        space.give_back(data(number));
    }
    // The open append segment stays open.
    assert!(space.free_bytes() + (1 << 20) >= before);
}

#[test]
fn data_never_takes_the_reserve() {
    let mut space = Space::new(1 << 20, 32, 32);
    let mut number = 0;
    while space.reserve_fragment(data(number), 1 << 20, false).is_ok() {
        number += 1;
    }
    assert_eq!(space.free_segments(), space.reserve());
    while space.take_index_segment(LOG_KEEPS).is_ok() {}
    assert_eq!(space.free_segments() as usize, LOG_KEEPS);
    assert!(space.take_segment().is_some(), "the log may go on");
}

#[test]
fn the_share_of_cleaning_is_kept_from_the_first_filling_on() {
    let mut space = Space::new(16 << 20, 200, 200);
    space.unmerged = false;
    let mut number = 0_u32;
    let refused = loop {
        let mut id = DataId([0; 16]);
        id.0[..4].copy_from_slice(&number.to_le_bytes());
        match space.reserve_fragment(id, 20_000, false) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, NoSpace::Full);
    assert!(space.starving, "a merge may find that less is live");
    let used = space.segment_count() - space.free_segments();
    let kept = space.free_segments() - space.reserve();
    assert!(kept >= used / 10 && kept <= used / 6, "{kept} of {used} segments");
    assert_eq!(space.free_bytes(), 0);
}

/// Settles fragments until one is refused, however often it asked.
fn fill(space: &mut Space, numbers: &mut u32) -> Vec<FragmentRecord> {
    let mut records = Vec::new();
    loop {
        *numbers += 1;
        let mut id = DataId([0; 16]);
        id.0[..4].copy_from_slice(&numbers.to_le_bytes());
        match space.reserve_fragment(id, 20_000, false) {
            Ok((append, extents)) => {
                let record = record(id, 20_000, append, extents);
                space.settle(&record);
                records.push(record);
            }
            Err(error) => {
                assert_eq!(error, NoSpace::Full);
                return records;
            }
        }
    }
}

#[test]
fn as_much_again_is_taken_as_was_deleted_and_a_little_more() {
    let mut space = Space::new(16 << 20, 200, 200);
    space.unmerged = false;
    let mut numbers = 0;
    let mut records = fill(&mut space, &mut numbers);
    assert!(fill(&mut space, &mut numbers).is_empty(), "asking again changes nothing");
    assert!(matches!(space.filling, Filling::Full(_)), "{:?}", space.filling);
    // A little is no deletion to speak of.
    records.drain(..records.len() / 16).for_each(|record| space.release(&record));
    let little = fill(&mut space, &mut numbers);
    assert!(matches!(space.filling, Filling::Full(_)), "{:?}", space.filling);
    records.extend(little);
    for round in 0..3 {
        let half = records.len() / 2;
        // Whole segments at a time: nobody cleans here.
        records.drain(..half).for_each(|record| space.release(&record));
        let stored = space.filling.stored();
        space.filling = Filling::from_stored(stored);
        let taken = fill(&mut space, &mut numbers);
        assert_eq!(space.filling, Filling::Again);
        let more = taken.len().saturating_sub(half);
        assert!(taken.len() >= half, "round {round}: {} of {half}", taken.len());
        assert!(round > 0 || more > 0, "the first filling leaves a little");
        records.extend(taken);
    }
}

#[test]
fn a_drive_that_catches_up_has_room_for_what_full_drives_hold() {
    let mut space = Space::new(1 << 20, 1000, 1000);
    space.unmerged = false;
    let mut numbers = 0;
    let foreground = fill(&mut space, &mut numbers).len();
    space.filling = Filling::Again;
    let again = foreground + fill(&mut space, &mut numbers).len();
    let mut other = Space::new(1 << 20, 1000, 1000);
    other.unmerged = false;
    other.catches_up = true;
    let mut numbers = 0;
    let caught_up = fill(&mut other, &mut numbers).len();
    assert!(
        again > foreground && caught_up > again + again / 100,
        "{foreground} {again} {caught_up}"
    );
}

#[test]
fn growth_is_asked_for_before_the_log_runs_dry() {
    let mut space = Space::new(1 << 20, 64, 16);
    let mut number = 0;
    let refused = loop {
        match space.reserve_fragment(data(number), 900_000, false) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, NoSpace::Growth);
    assert_eq!(space.prepared_free(), 8);
    space.set_host_full(true);
    // What was written may shadow something.
    assert_eq!(space.reserve_fragment(data(99), 900_000, false), Err(NoSpace::Cleaning));
    space.unmerged = false;
    assert_eq!(space.reserve_fragment(data(99), 900_000, false), Err(NoSpace::Full));
    assert!(space.starving, "cleaning hears of it");
    space.give_back(data(0));
    assert!(space.reserve_fragment(data(99), 900_000, false).is_ok(), "a segment came back");
}

#[test]
fn a_checkpoint_brings_back_the_same_space() {
    let mut space = Space::new(1 << 20, 64, 64);
    let (append, extents) = space.reserve_fragment(data(1), 3 << 20, false).unwrap();
    let record = record(data(1), 3 << 20, append, extents);
    space.settle(&record);
    let mut loaded = Space::new(1 << 20, 64, 64);
    for (segment, usage) in space.snapshot() {
        loaded.load_data(segment, &usage);
    }
    assert_eq!(loaded.free_bytes(), space.free_bytes());
    loaded.release(&record);
    assert_eq!(loaded.free_segments(), 63);
}

#[test]
fn a_quarantined_segment_takes_nothing_until_the_drive_is_opened_again() {
    let mut space = Space::new(1 << 20, 64, 64);
    for (number, bytes) in [(1, 20_000), (2, 1_300_000)] {
        let (append, extents) = space.reserve_fragment(data(number), bytes, false).unwrap();
        let record = record(data(number), bytes, append, extents.clone());
        space.settle(&record);
        let bad = extents[0].segment;
        space.quarantine(bad);
        let mut others = Vec::new();
        for other in 10..20 {
            others.extend(space.reserve_fragment(data(other), bytes, false).unwrap().1);
        }
        space.release(&record);
        for other in 20..30 {
            others.extend(space.reserve_fragment(data(other), bytes, false).unwrap().1);
        }
        assert!(others.iter().all(|extent| extent.segment != bad), "{bad} of {others:?}");
        (10..30).for_each(|other| space.give_back(data(other)));
    }
    assert_eq!(space.quarantined_count(), 2);
    // A checkpoint knows nothing of it.
    assert!(space.snapshot().is_empty());
}

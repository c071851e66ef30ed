//! Which drive of the command line has which seat of which set, whatever the order of the
//! arguments.
//!
//! Invariants: a drive that can be read says itself where it belongs; for absent ones a document
//! speaks, which remembers under which path each seat's drive was seen; where neither knows, the
//! seat is a guess, and no empty drive is given it.

use crate::config::LogLevel;
use crate::control::SystemLog;
use crate::node::Node;
use crate::shard::ShardLocal;
use crate::shared::{Shared, locked};
use crate::status::DriveReport;
use engine_env::Env;
use engine_set::SetError;
use shards_control::{ControlLog, Seat, SeatTable};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const DOCUMENT: &str = "control/drives";
/// The document is looked for again after this.
const RETRY_US: u64 = 5_000_000;

/// A path as the document has it.
pub(crate) fn path_bytes(path: &Path) -> Vec<u8> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.as_os_str().as_bytes().to_vec()
}

fn seat_of(report: &DriveReport) -> Seat {
    (report.set, report.position)
}

/// Gives absent drives the vacant seats: as the document knows their paths, the others in order.
/// Gives also the drives for which that is a guess.
pub(crate) fn sort_out(
    absent: &[(usize, Vec<u8>)],
    vacant: &[Seat],
    table: &SeatTable,
) -> (BTreeMap<usize, Seat>, BTreeSet<usize>) {
    let mut seats = BTreeMap::new();
    let mut left = vacant.to_vec();
    for (index, path) in absent {
        if let Some(seat) = table.seat_at(path).filter(|seat| left.contains(seat)) {
            left.retain(|other| *other != seat);
            seats.insert(*index, seat);
        }
    }
    let indices = absent.iter().map(|(index, _)| *index);
    let others: Vec<usize> = indices.filter(|index| !seats.contains_key(index)).collect();
    // One drive and one seat that are left belong together.
    let unsure = if others.len() > 1 { others.iter().copied().collect() } else { BTreeSet::new() };
    seats.extend(others.into_iter().zip(left));
    (seats, unsure)
}

impl Shared {
    /// Whether the seat of a drive is more than a guess.
    pub(crate) fn is_seated(&self, index: usize) -> bool {
        !locked(&self.unsure).contains(&index)
    }

    /// A drive was read and says where it belongs.
    ///
    /// # Errors
    /// A sentence, where another drive has that seat.
    pub(crate) fn seat(&self, index: usize, seat: Seat) -> Result<(), String> {
        let mut reports = locked(&self.reports);
        let taken = reports.iter().find(|(other, report)| {
            **other != index && seat_of(report) == seat && !report.uuid.is_empty()
        });
        if let Some((_, report)) = taken {
            let path = report.path.display();
            return Err(format!("it is position {} of set {}, as is {path}", seat.1, seat.0));
        }
        let Some(before) = reports.get(&index).map(seat_of) else { return Ok(()) };
        for (other, report) in reports.iter_mut() {
            if *other == index {
                (report.set, report.position) = seat;
            } else if seat_of(report) == seat {
                // It was guessed to sit there.
                (report.set, report.position) = before;
            }
        }
        let mut unsure = locked(&self.unsure);
        unsure.remove(&index);
        if unsure.len() == 1 {
            unsure.clear();
        }
        Ok(())
    }

    /// Gives the absent drives whose seat is a guess the seats that the document knows.
    fn seat_by(&self, table: &SeatTable) {
        let mut reports = locked(&self.reports);
        let mut unsure = locked(&self.unsure);
        let guessed: Vec<(usize, &DriveReport)> =
            unsure.iter().filter_map(|index| Some((*index, reports.get(index)?))).collect();
        let absent: Vec<(usize, Vec<u8>)> =
            guessed.iter().map(|(index, report)| (*index, path_bytes(&report.path))).collect();
        let vacant: Vec<Seat> = guessed.iter().map(|(_, report)| seat_of(report)).collect();
        let (seats, still) = sort_out(&absent, &vacant, table);
        for (index, seat) in seats {
            if let Some(report) = reports.get_mut(&index) {
                (report.set, report.position) = seat;
            }
        }
        *unsure = still;
    }

    /// The seats that are known, with the paths of their drives.
    fn known_seats(&self) -> BTreeMap<Seat, Vec<u8>> {
        let reports = locked(&self.reports);
        let unsure = locked(&self.unsure);
        let known = reports.iter().filter(|(index, _)| !unsure.contains(*index));
        known.map(|(_, report)| (seat_of(report), path_bytes(&report.path))).collect()
    }
}

/// Reads the document and brings it up to date, as soon as its set serves.
pub(crate) async fn remember(local: Rc<ShardLocal>) {
    let log = SystemLog { node: Node { shared: Arc::clone(&local.shared) } };
    while !local.shared.stopping.load(Ordering::Relaxed) {
        match remember_once(&local, &log).await {
            Ok(()) => return,
            Err(_) => local.env.sleep_us(RETRY_US).await,
        }
    }
}

async fn remember_once(local: &ShardLocal, log: &SystemLog) -> Result<(), SetError> {
    let (table, version) = match log.read(DOCUMENT).await? {
        None => (SeatTable::default(), None),
        Some((bytes, version)) => match SeatTable::decode(&bytes) {
            Ok(table) => (table, Some(version)),
            Err(error) => {
                let fields = [("error", error.to_string())];
                (local.config.log)(LogLevel::Warn, "the seats of drives are unknown", &fields);
                return Ok(());
            }
        },
    };
    local.shared.seat_by(&table);
    let next = table.with(&local.shared.known_seats());
    if next == table || log.propose(DOCUMENT, version, next.encode()).await? {
        return Ok(());
    }
    Err(SetError::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::DriveState;
    use engine_store::DriveUsage;
    use engine_types::{Position, SetId};
    use shards_uring::{DriveLimits, DriveStatistics};
    use std::path::PathBuf;

    fn seat(position: u8) -> Seat {
        (SetId(0), Position(position))
    }

    fn table(paths: &[(u8, &str)]) -> SeatTable {
        let known = paths.iter().map(|(at, path)| (seat(*at), path.as_bytes().to_vec())).collect();
        SeatTable::default().with(&known)
    }

    fn absent(paths: &[(usize, &str)]) -> Vec<(usize, Vec<u8>)> {
        paths.iter().map(|(index, path)| (*index, path.as_bytes().to_vec())).collect()
    }

    /// Drives of a set in the given order; an empty uuid is an absent drive's.
    fn shared(drives: &[(&str, u8, &str)], unsure: &[usize]) -> Shared {
        let shared = Shared::new(Vec::new());
        for (index, (path, position, uuid)) in drives.iter().enumerate() {
            let report = DriveReport {
                path: PathBuf::from(path),
                shard: 0,
                limits: DriveLimits::default(),
                uuid: (*uuid).to_owned(),
                set: SetId(0),
                position: Position(*position),
                state: if uuid.is_empty() { DriveState::Missing } else { DriveState::InSync },
                advice: String::new(),
                usage: DriveUsage::default(),
                io: DriveStatistics::default(),
                objects_short: 0,
            };
            shared.add_report(index, report);
        }
        locked(&shared.unsure).extend(unsure);
        shared
    }

    fn positions(shared: &Shared) -> Vec<u8> {
        locked(&shared.reports).values().map(|report| report.position.0).collect()
    }

    #[test]
    fn two_absent_drives_keep_their_seats_when_the_arguments_are_reordered() {
        let table = table(&[(0, "/d1"), (1, "/d2"), (2, "/d3"), (3, "/d4")]);
        // d4, d3, d2, d1 are given; d2 and d4 are absent.
        let absent = absent(&[(0, "/d4"), (2, "/d2")]);
        let (seats, unsure) = sort_out(&absent, &[seat(1), seat(3)], &table);
        assert_eq!(seats, BTreeMap::from([(0, seat(3)), (2, seat(1))]));
        assert!(unsure.is_empty());
    }

    #[test]
    fn what_nobody_knows_is_a_guess_unless_one_is_left() {
        let (seats, unsure) =
            sort_out(&absent(&[(1, "/x"), (4, "/y")]), &[seat(1), seat(3)], &table(&[]));
        assert_eq!(seats, BTreeMap::from([(1, seat(1)), (4, seat(3))]));
        assert_eq!(unsure, BTreeSet::from([1, 4]));
        let known = table(&[(1, "/y")]);
        let (seats, unsure) =
            sort_out(&absent(&[(1, "/x"), (4, "/y")]), &[seat(1), seat(3)], &known);
        assert_eq!(seats, BTreeMap::from([(1, seat(3)), (4, seat(1))]));
        assert!(unsure.is_empty());
        // What the document says of a seat that is taken does not count.
        let known = table(&[(0, "/x"), (1, "/y")]);
        let (seats, unsure) = sort_out(&absent(&[(1, "/x")]), &[seat(3)], &known);
        assert_eq!((seats, unsure), (BTreeMap::from([(1, seat(3))]), BTreeSet::new()));
    }

    #[test]
    fn a_drive_that_is_read_says_where_it_belongs() {
        let drives = [("/d1", 0, "aa"), ("/d2", 1, ""), ("/d3", 2, ""), ("/d4", 3, "")];
        let shared = shared(&drives, &[1, 2, 3]);
        assert!(!shared.is_seated(2) && shared.is_seated(0));
        shared.seat(1, seat(2)).unwrap();
        assert_eq!(positions(&shared), [0, 2, 1, 3]);
        assert!(shared.is_seated(1) && !shared.is_seated(2));
        // With the third known the last one is.
        shared.seat(2, seat(3)).unwrap();
        assert_eq!(positions(&shared), [0, 2, 3, 1]);
        assert!(shared.is_seated(3));
        let text = shared.seat(3, seat(0)).unwrap_err();
        assert!(text.contains("/d1"), "{text}");
    }

    #[test]
    fn the_document_settles_guesses_and_learns_what_is_known() {
        let drives = [("/d4", 3, "aa"), ("/d3", 0, ""), ("/d1", 1, ""), ("/d9", 2, "bb")];
        let shared = shared(&drives, &[1, 2]);
        assert_eq!(shared.known_seats().len(), 2, "guesses are not kept");
        let table = table(&[(0, "/d1"), (1, "/d3"), (2, "/d2"), (3, "/d4")]);
        shared.seat_by(&table);
        assert_eq!(positions(&shared), [3, 1, 0, 2]);
        assert!(shared.is_seated(1) && shared.is_seated(2));
        let next = table.with(&shared.known_seats());
        assert_eq!(next.seat_at(b"/d9"), Some(seat(2)), "a drive that moved");
        assert_eq!((next.seat_at(b"/d2"), next.seats.len()), (None, 4));
    }
}

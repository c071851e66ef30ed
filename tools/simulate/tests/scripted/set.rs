//! A handful of seeds of every shape. More: `BASALT_SEEDS=100 cargo test -p simulate`, or the
//! program.

use simulate::drive_world::{self, DriveOptions};
use simulate::options::{SetOptions, Shape};
use simulate::set_world;
use simulate::totals::Totals;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn run(options: &SetOptions) -> Totals {
    let first = number("BASALT_FIRST_SEED", 1);
    let mut totals = Totals::default();
    for seed in first..first + number("BASALT_SEEDS", 2) {
        let report = set_world::run_seed(seed, options);
        let report = report.unwrap_or_else(|what| {
            panic!("set {} seed {seed} crashes {}: {what}", options.shape, options.crashes)
        });
        totals.add(&report.totals);
    }
    totals
}

const SMALL: Shape = Shape { data: 2, parity: 1 };

#[test]
fn sets_of_every_shape_keep_what_they_acknowledged() {
    let mut sum = Totals::default();
    for shape in Shape::ALL {
        let totals = run(&SetOptions::new(shape, 4));
        println!("{shape}: {totals}");
        assert!(totals.acknowledged > totals.crashes, "the load of {shape} does work");
        assert!(totals.whole_checks > 0, "{shape} was judged as a whole");
        sum.add(&totals);
    }
    assert!(sum.catch_ups > 0 && sum.rolled_forward > 0 && sum.faults > 0, "faults happen: {sum}");
}

#[test]
fn crashes_alone_lose_nothing() {
    let options = SetOptions { faults: false, ..SetOptions::new(SMALL, 6) };
    let totals = run(&options);
    assert_eq!(totals.faults, 0);
    assert!(totals.acknowledged > totals.crashes);
}

#[test]
fn beyond_the_parity_nothing_wrong_is_answered() {
    let options = SetOptions { within_parity: false, ..SetOptions::new(SMALL, 6) };
    assert!(run(&options).crashes > 0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let options = SetOptions::new(Shape { data: 4, parity: 2 }, 2);
    let (one, two) = (set_world::run_seed(3, &options), set_world::run_seed(3, &options));
    assert_eq!(one.unwrap(), two.unwrap());
    let other = set_world::run_seed(4, &options).unwrap();
    assert_ne!(set_world::run_seed(3, &options).unwrap().trace, other.trace);
}

#[test]
fn one_drive_keeps_what_it_acknowledged() {
    let report = drive_world::run_seed(1, &DriveOptions::new(20)).unwrap();
    assert!(report.totals.acknowledged > report.totals.crashes);
    let short = DriveOptions::new(4);
    assert_eq!(drive_world::run_seed(2, &short), drive_world::run_seed(2, &short));
}

/// Cleaning found no room for a fragment, and the drive was put out of service for it.
#[test]
fn a_drive_whose_cleaning_finds_no_room_stays_in_service() {
    let shape = Shape { data: 1, parity: 0 };
    let report = set_world::run_seed(353, &SetOptions::new(shape, 12));
    report.unwrap_or_else(|what| panic!("{what}"));
}

//! Runs seeds of the simulator. See README.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

mod twins_command;

use clap::{Args, Parser, Subcommand};
use engine_env::{BrokenRules, Rule};
use shards_sim::write_sites;
use simulate::bucket_world::{self, BucketOptions};
use simulate::drive_world::{self, DriveOptions};
use simulate::options::{SetOptions, Shape};
use simulate::rot_world::{self, RotOptions};
use simulate::set_world;
use simulate::totals::{SeedReport, Totals};
use simulate::twins::{panic_text, rule_named};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use twins_command::TwinArguments;

/// Crashes of a seed of `ci`.
const CI_CRASHES: u64 = 12;
/// Bits flipped in a seed of `ci`.
const CI_FLIPS: u64 = 100;

#[derive(Debug, Parser)]
#[command(about = "Runs seeds of the simulator")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One drive that crashes.
    Drive(DriveArguments),
    /// A whole set whose drives crash, fail, stay away and are replaced.
    Set(SetArguments),
    /// A whole set in whose drives bits flip.
    Rot(RotArguments),
    /// Buckets that come and go while they are written into.
    Buckets(BucketArguments),
    /// Fixed seeds of everything, up to a number of steps.
    Ci {
        /// Each part ends with the first seed that passes so many steps.
        #[arg(long, default_value_t = 4_000_000)]
        steps: u64,
    },
    /// Aims at each place of the store that writes, until it was caught by a hundred crashes.
    Sites,
    /// Stores without one rule each: every one must be caught.
    Twins(TwinArguments),
}

#[derive(Debug, Clone, Copy, Args)]
struct Seeds {
    /// How many seeds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Crashes of each seed.
    #[arg(long, default_value_t = 20)]
    crashes: u64,
    /// Runs each seed twice and compares.
    #[arg(long)]
    twice: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct DriveArguments {
    #[command(flatten)]
    seeds: Seeds,
    /// The drive is small and gets more than it holds.
    #[arg(long)]
    full: bool,
    /// The host has no space to grow the drive now and then.
    #[arg(long)]
    host_full: bool,
    /// The drive is without this rule.
    #[arg(long, value_parser = rule_named)]
    without: Option<Rule>,
}

impl DriveArguments {
    fn usual(seeds: Seeds) -> Self {
        Self { seeds, full: false, host_full: false, without: None }
    }

    fn options(&self) -> DriveOptions {
        DriveOptions {
            crashes: self.seeds.crashes,
            full: self.full,
            host_full: self.host_full,
            broken: broken(self.without),
        }
    }
}

#[derive(Debug, Clone, Copy, Args)]
struct SetArguments {
    #[command(flatten)]
    seeds: Seeds,
    /// The shape of the set; all shapes of `ci` where it is not given.
    #[arg(long)]
    geometry: Option<Shape>,
    /// Drives never fail, stay away or are replaced: only crashes.
    #[arg(long)]
    no_faults: bool,
    /// More drives than the parity may be lost: then only wrong answers are errors.
    #[arg(long)]
    beyond_parity: bool,
    /// Bits flip on at most P drives.
    #[arg(long)]
    rot: bool,
    /// Drives differ in speed, and readers look at what is being written.
    #[arg(long)]
    slow: bool,
    /// Many processes die while they write a view.
    #[arg(long)]
    interrupts: bool,
    /// Lost drives come back with what they hold, and are never replaced by empty ones.
    #[arg(long)]
    no_replacing: bool,
    /// Drives come back as they were so many served starts ago.
    #[arg(long, default_value_t = 0)]
    rolled_back: u8,
    /// Processes die while a write is on its way that comes from one source file of the store.
    #[arg(long)]
    aimed: bool,
    /// Processes die while a write from this place is on its way, such as `runs.rs:259`.
    #[arg(long, value_parser = place)]
    aimed_at: Option<&'static str>,
    /// The set is without this rule.
    #[arg(long, value_parser = rule_named)]
    without: Option<Rule>,
}

#[derive(Debug, Clone, Copy, Args)]
struct RotArguments {
    /// How many seeds of each shape.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Bits flipped in each seed.
    #[arg(long, default_value_t = 500)]
    flips: u64,
    /// The shape of the set; some that can lose a drive where it is not given.
    #[arg(long)]
    geometry: Option<Shape>,
    /// A process dies fewer times than this in a row: in its start, and while a drive begins anew.
    #[arg(long, default_value_t = 3)]
    in_a_row: u64,
    /// Runs each seed twice and compares.
    #[arg(long)]
    twice: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct BucketArguments {
    #[command(flatten)]
    seeds: Seeds,
    /// The node is without this rule.
    #[arg(long, value_parser = rule_named)]
    without: Option<Rule>,
}

impl RotArguments {
    fn usual() -> Self {
        Self { seeds: 1, first: 1, flips: CI_FLIPS, geometry: None, in_a_row: 3, twice: false }
    }
}

impl SetArguments {
    fn usual(seeds: Seeds) -> Self {
        Self {
            seeds,
            geometry: None,
            no_faults: false,
            beyond_parity: false,
            rot: false,
            slow: false,
            interrupts: false,
            no_replacing: false,
            rolled_back: 0,
            aimed: false,
            aimed_at: None,
            without: None,
        }
    }

    fn options(&self, shape: Shape) -> SetOptions {
        SetOptions {
            shape,
            crashes: self.seeds.crashes,
            faults: !self.no_faults,
            within_parity: !self.beyond_parity,
            rot: self.rot,
            slow: self.slow,
            interrupts: self.interrupts,
            replaces: !self.no_replacing,
            rolled_back: self.rolled_back,
            aimed: self.aimed || self.aimed_at.is_some(),
            aimed_at: self.aimed_at,
            broken: broken(self.without),
        }
    }
}

/// A place of the source, for as long as the program runs.
#[expect(clippy::unnecessary_wraps, reason = "a value parser gives a result")]
fn place(text: &str) -> Result<&'static str, std::convert::Infallible> {
    Ok(text.to_owned().leak())
}

fn broken(without: Option<Rule>) -> BrokenRules {
    without.map_or(BrokenRules::NONE, BrokenRules::only)
}

/// How a rule is left out, as typed.
fn typed(without: Option<Rule>) -> String {
    without.map(|rule| format!(" --without {}", rule.name())).unwrap_or_default()
}

/// A seed that failed, and how to run it again.
struct Failure {
    what: String,
    again: String,
}

/// Runs one seed; panics count as failures.
fn guarded(
    run: impl Fn() -> Result<SeedReport, String>,
    twice: bool,
    again: &str,
) -> Result<SeedReport, Failure> {
    let failure = |what: String| Failure { what, again: again.to_owned() };
    let once = || match catch_unwind(AssertUnwindSafe(&run)) {
        Ok(outcome) => outcome.map_err(failure),
        Err(panic) => Err(failure(format!("panic: {}", panic_text(panic.as_ref())))),
    };
    let report = once()?;
    if twice && once()? != report {
        return Err(failure("two runs of the seed differ".to_owned()));
    }
    Ok(report)
}

fn drive_seed(seed: u64, arguments: &DriveArguments) -> Result<SeedReport, Failure> {
    let options = arguments.options();
    let without = typed(arguments.without);
    let again = format!("simulate {options} --first {seed} --seeds 1{without}");
    guarded(|| drive_world::run_seed(seed, &options), arguments.seeds.twice, &again)
}

fn set_seed(seed: u64, arguments: &SetArguments, shape: Shape) -> Result<SeedReport, Failure> {
    let options = arguments.options(shape);
    let without = typed(arguments.without);
    let again = format!("simulate {options} --first {seed} --seeds 1{without}");
    guarded(|| set_world::run_seed(seed, &options), arguments.seeds.twice, &again)
}

/// Runs seeds one after the other, until the steps are used up.
fn all_seeds(
    name: &str,
    seeds: &Seeds,
    steps_max: u64,
    run: impl Fn(u64) -> Result<SeedReport, Failure>,
) -> Result<(), Failure> {
    let mut totals = Totals::default();
    for seed in seeds.first..seeds.first.saturating_add(seeds.seeds) {
        totals.add(&run(seed)?.totals);
        if totals.steps >= steps_max {
            break;
        }
    }
    println!("{name}: {totals}");
    Ok(())
}

/// Crashes, at least, that catch a write of each place.
const SITE_CRASHES: u64 = 100;
/// Seeds that are aimed at a place before it is given up.
const SITE_SEEDS: u64 = 2000;
/// Seeds that find out which places there are: some of each world.
const FIRST_SEEDS: u64 = 12;

/// A seed of one of the worlds that come to such a place.
fn aimed_seed(place: &'static str, seed: u64) -> Result<SeedReport, Failure> {
    let shape = Shape { data: 2, parity: 1 };
    let seeds = Seeds { seeds: 1, first: seed, crashes: CI_CRASHES, twice: false };
    let aimed = SetArguments { aimed_at: Some(place), ..SetArguments::usual(seeds) };
    // Only drives that are rotten begin anew.
    let world = if place.contains("anew.rs") { 2 } else { seed % 3 };
    match world {
        0 => set_seed(seed, &aimed, shape),
        1 => set_seed(seed, &SetArguments { rot: true, ..aimed }, shape),
        _ => {
            let rot = RotArguments { flips: 20, in_a_row: 16, ..RotArguments::usual() };
            rot_seed(seed, &rot, shape)
        }
    }
}

/// Aims at each place that writes, until it was caught often.
fn all_places() -> Result<(), Failure> {
    for seed in 1..=FIRST_SEEDS {
        aimed_seed("recover.rs", seed)?;
    }
    for (place, _) in write_sites() {
        let place: &'static str = place.leak();
        let caught = || write_sites().iter().find(|(other, _)| other == place).map(|site| site.1);
        let is_often = || caught() >= Some(SITE_CRASHES);
        for seed in 1..=SITE_SEEDS {
            if is_often() {
                break;
            }
            aimed_seed(place, seed)?;
        }
        let crashes = caught().unwrap_or_default();
        if !is_often() {
            let what = format!("{place} was caught by {crashes} crashes only");
            return Err(Failure { what, again: "simulate sites".to_owned() });
        }
        println!("{place}: caught by {crashes} crashes");
    }
    Ok(())
}

/// How often each place of the store that writes was caught by a crash.
fn print_write_sites() {
    let sites = write_sites();
    let least = sites.iter().map(|(_, crashes)| *crashes).min().unwrap_or_default();
    println!("{} places write; each was caught by at least {least} crashes:", sites.len());
    for (place, crashes) in sites {
        println!("{crashes:>10}  {place}");
    }
}

fn all_drives(name: &str, arguments: &DriveArguments, steps_max: u64) -> Result<(), Failure> {
    let name = format!("{name}{}{}", arguments.options().flags(), typed(arguments.without));
    all_seeds(&name, &arguments.seeds, steps_max, |seed| drive_seed(seed, arguments))
}

fn all_shapes(arguments: &SetArguments, steps_max: u64) -> Result<(), Failure> {
    for shape in Shape::ALL {
        if arguments.geometry.is_none_or(|wanted| wanted == shape) {
            one_shape(arguments, shape, steps_max)?;
        }
    }
    match arguments.geometry {
        Some(other) if !Shape::ALL.contains(&other) => one_shape(arguments, other, steps_max),
        _ => Ok(()),
    }
}

fn one_shape(arguments: &SetArguments, shape: Shape, steps_max: u64) -> Result<(), Failure> {
    let flags = arguments.options(shape).flags();
    let name = format!("set {shape}{flags}{}", typed(arguments.without));
    all_seeds(&name, &arguments.seeds, steps_max, |seed| set_seed(seed, arguments, shape))
}

fn rot_seed(seed: u64, arguments: &RotArguments, shape: Shape) -> Result<SeedReport, Failure> {
    let RotArguments { flips, in_a_row, .. } = *arguments;
    let again = format!(
        "simulate rot --geometry {shape} --first {seed} --seeds 1 --flips {flips} \
         --in-a-row {in_a_row}"
    );
    let options = RotOptions { shape, flips, in_a_row };
    guarded(|| rot_world::run_seed(seed, &options), arguments.twice, &again)
}

fn rot(arguments: &RotArguments, steps_max: u64) -> Result<(), Failure> {
    let shapes = match arguments.geometry {
        Some(shape) => vec![shape],
        None => RotOptions::SHAPES.to_vec(),
    };
    let RotArguments { seeds, first, twice, .. } = *arguments;
    // How often a seed crashes is its own affair.
    let seeds = Seeds { seeds, first, crashes: 0, twice };
    for shape in shapes {
        let name = format!("rot {shape}");
        all_seeds(&name, &seeds, steps_max, |seed| rot_seed(seed, arguments, shape))?;
    }
    Ok(())
}

fn bucket_seed(seed: u64, arguments: &BucketArguments) -> Result<SeedReport, Failure> {
    let BucketArguments { seeds, without } = *arguments;
    let options = BucketOptions { crashes: seeds.crashes, broken: broken(without) };
    let again = format!("simulate {options} --first {seed} --seeds 1{}", typed(without));
    guarded(|| bucket_world::run_seed(seed, &options), seeds.twice, &again)
}

fn all_buckets(name: &str, arguments: &BucketArguments, steps_max: u64) -> Result<(), Failure> {
    let name = format!("{name}{}", typed(arguments.without));
    all_seeds(&name, &arguments.seeds, steps_max, |seed| bucket_seed(seed, arguments))
}

fn ci(steps: u64) -> Result<(), Failure> {
    let seeds = Seeds { seeds: u64::MAX, first: 1, crashes: CI_CRASHES, twice: false };
    let once = Seeds { seeds: 1, twice: true, ..seeds };
    let usual = SetArguments::usual(seeds);
    let shape = Shape { data: 2, parity: 1 };
    all_drives("drive", &DriveArguments::usual(seeds), steps)?;
    all_shapes(&usual, steps)?;
    for (data, parity) in [(2, 1), (2, 2), (4, 1), (4, 2)] {
        let beyond = SetArguments { beyond_parity: true, ..usual };
        one_shape(&beyond, Shape { data, parity }, steps / 2)?;
    }
    all_shapes(&SetArguments { aimed: true, ..usual }, steps / 4)?;
    let aimed_in_rot = SetArguments { aimed: true, rot: true, ..usual };
    for (data, parity) in [(2, 1), (4, 2)] {
        one_shape(&aimed_in_rot, Shape { data, parity }, steps / 2)?;
    }
    let some = RotArguments { seeds: u64::MAX, ..RotArguments::usual() };
    rot(&some, steps / 4)?;
    let buckets = BucketArguments { seeds, without: None };
    all_buckets("buckets", &buckets, steps / 32)?;
    all_buckets("buckets twice", &BucketArguments { seeds: once, ..buckets }, steps)?;
    all_drives("drive twice", &DriveArguments::usual(once), steps)?;
    one_shape(&SetArguments { seeds: once, ..usual }, shape, steps)
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let writes = !matches!(command, Command::Twins(_) | Command::Buckets(_));
    let outcome = match command {
        Command::Drive(arguments) => all_drives("drive", &arguments, u64::MAX),
        Command::Set(arguments) => all_shapes(&arguments, u64::MAX),
        Command::Rot(arguments) => rot(&arguments, u64::MAX),
        Command::Buckets(arguments) => all_buckets("buckets", &arguments, u64::MAX),
        Command::Ci { steps } => ci(steps),
        Command::Sites => all_places(),
        Command::Twins(arguments) => twins_command::run(&arguments),
    };
    match outcome {
        Ok(()) if writes => {
            print_write_sites();
            ExitCode::SUCCESS
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("FAILED: {}\nagain: {}", failure.what, failure.again);
            ExitCode::FAILURE
        }
    }
}

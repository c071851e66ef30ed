//! Runs seeds of the simulator. See README.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use clap::{Args, Parser, Subcommand};
use simulate::options::{SetOptions, Shape};
use simulate::totals::{SeedReport, Totals};
use simulate::{drive_world, set_world};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Crashes of a seed of `ci`.
const CI_CRASHES: u64 = 12;

#[derive(Debug, Parser)]
#[command(about = "Runs seeds of the simulator")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One drive that crashes.
    Drive(Seeds),
    /// A whole set whose drives crash, fail, stay away and are replaced.
    Set(SetArguments),
    /// Fixed seeds of everything, up to a number of steps.
    Ci {
        /// Each part ends with the first seed that passes so many steps.
        #[arg(long, default_value_t = 4_000_000)]
        steps: u64,
    },
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
}

impl SetArguments {
    fn options(&self, shape: Shape) -> SetOptions {
        SetOptions {
            shape,
            crashes: self.seeds.crashes,
            faults: !self.no_faults,
            within_parity: !self.beyond_parity,
            rot: self.rot,
        }
    }

    /// The flags that differ from the usual, as typed.
    fn flags(&self) -> String {
        let flags = [
            (self.no_faults, " --no-faults"),
            (self.beyond_parity, " --beyond-parity"),
            (self.rot, " --rot"),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect()
    }
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
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Err(failure(format!("panic: {}", text.unwrap_or_default())))
        }
    };
    let report = once()?;
    if twice && once()? != report {
        return Err(failure("two runs of the seed differ".to_owned()));
    }
    Ok(report)
}

fn drive_seed(seed: u64, seeds: &Seeds) -> Result<SeedReport, Failure> {
    let again = format!("simulate drive --first {seed} --seeds 1 --crashes {}", seeds.crashes);
    guarded(|| drive_world::run_seed(seed, seeds.crashes), seeds.twice, &again)
}

fn set_seed(seed: u64, arguments: &SetArguments, shape: Shape) -> Result<SeedReport, Failure> {
    let options = arguments.options(shape);
    let again = format!(
        "simulate set --geometry {shape} --first {seed} --seeds 1 --crashes {}{}",
        arguments.seeds.crashes,
        arguments.flags()
    );
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
    let name = format!("set {shape}{}", arguments.flags());
    all_seeds(&name, &arguments.seeds, steps_max, |seed| set_seed(seed, arguments, shape))
}

fn ci(steps: u64) -> Result<(), Failure> {
    let seeds = Seeds { seeds: u64::MAX, first: 1, crashes: CI_CRASHES, twice: false };
    let once = Seeds { seeds: 1, twice: true, ..seeds };
    let usual =
        SetArguments { seeds, geometry: None, no_faults: false, beyond_parity: false, rot: false };
    let shape = Shape { data: 2, parity: 1 };
    all_seeds("drive", &seeds, steps, |seed| drive_seed(seed, &seeds))?;
    all_shapes(&usual, steps)?;
    one_shape(&SetArguments { beyond_parity: true, ..usual }, shape, steps)?;
    all_seeds("drive twice", &once, steps, |seed| drive_seed(seed, &once))?;
    one_shape(&SetArguments { seeds: once, ..usual }, shape, steps)
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Drive(seeds) => {
            all_seeds("drive", &seeds, u64::MAX, |seed| drive_seed(seed, &seeds))
        }
        Command::Set(arguments) => all_shapes(&arguments, u64::MAX),
        Command::Ci { steps } => ci(steps),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("FAILED: {}\nagain: {}", failure.what, failure.again);
            ExitCode::FAILURE
        }
    }
}

//! `basalt bench`: runs a load, compares runs, and serves what they are measured against.
//!
//! Invariants: figures go to standard output, what goes on to standard error; a run that was void
//! says so on its last line and in its exit code.

mod files;
mod screen;

use crate::cli::{
    BenchArguments, BenchCommand, BenchRun, CompareArguments, ServeNullArguments, WorkerArguments,
};
use crate::{exit, logging, output, signals, version};
use bench_null::{NullServer, Options, Protocol};
use bench_run::{ErrorClass, Party, RunError, RunOutcome, Screen as _, TargetPlan, Worker};

use bench_stats::compare::{Options as CompareOptions, Rule, compare};
use screen::Screen;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a command and returns the exit code.
pub fn command(arguments: &BenchArguments) -> u8 {
    let outcome = match &arguments.command {
        None => run(&arguments.run),
        Some(BenchCommand::ServeNull(arguments)) => serve_null(arguments),
        Some(BenchCommand::Report(arguments)) => files::report(&arguments.runs, &arguments.out),
        Some(BenchCommand::Compare(arguments)) => compared(arguments),
        Some(BenchCommand::Worker(arguments)) => worker(arguments),
    };
    outcome.unwrap_or_else(|(code, complaint)| {
        output::complain(&complaint);
        code
    })
}

/// An exit code and what is said.
type Refused = (u8, String);

fn refused(error: &RunError) -> Refused {
    let code = match error.class() {
        ErrorClass::Usage => exit::USAGE,
        ErrorClass::Target => match error {
            RunError::Unreachable { .. } | RunError::Worker { .. } => exit::UNREACHABLE,
            RunError::WorkerLost { .. } => exit::CHECK_FAILED,
            RunError::Refused { status: 401 | 403, .. } => exit::DENIED,
            _ => exit::FAILED,
        },
        ErrorClass::Host => exit::FAILED,
    };
    (code, error.to_string())
}

fn run(arguments: &BenchRun) -> Result<u8, Refused> {
    let told = |error: RunError| refused(&error);
    let settings = match &arguments.scenario {
        Some(path) => {
            let of_file = arguments.settings.over_file(path);
            of_file.map_err(|error| (exit::USAGE, error.to_string()))?
        }
        None => arguments.settings.clone(),
    };
    let run_id = files::new_run_id();
    let (plan, mut options) = settings.check(&run_id).map_err(told)?;
    options.workers = settings.workers_plan(&run_id, party()).map_err(told)?;
    let shutdown = signals::listen().map_err(|error| (exit::FAILED, error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let to_stop = Arc::clone(&stop);
    shutdown.on_begin(move || to_stop.store(true, Ordering::Relaxed));
    let root = arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs"));
    let directory = bench_run::make_directory(&root, &run_id).map_err(told)?;
    options.directory.clone_from(&directory);
    let mut screen = Screen::new(&plan);
    screen.note(&format!("{run_id}: {}", plan.target));
    if settings.insecure && matches!(plan.target, TargetPlan::S3 { .. }) {
        screen.note("warning: --insecure: the certificate is not checked, anybody may answer");
    }
    let started = logging::utc_now();
    let outcome = match bench_run::run(&plan, &options, &stop, &mut screen) {
        Ok(outcome) => outcome,
        Err(error) => {
            // A run that never was leaves nothing.
            _ = std::fs::remove_dir(&directory);
            return Err(refused(&error));
        }
    };
    let label = arguments.label.clone().unwrap_or_default();
    let mut manifest = files::manifest(&settings, &run_id, &label, &started);
    manifest.extend(outcome.server_facts.clone());
    for (number, worker) in (1..).zip(&outcome.workers) {
        manifest.insert(format!("run.worker_{number}"), worker.to_string());
    }
    // Printed first: a full disk must not hide what was measured.
    let code = conclude(&outcome);
    if outcome.repeats.is_empty() {
        _ = std::fs::remove_dir(&directory);
        return Ok(code);
    }
    bench_run::write_run(&directory, &manifest, &outcome).map_err(told)?;
    files::write_report(&directory)?;
    output::out(&format!("kept in {}\n", directory.display()));
    Ok(code)
}

/// Prints what a run came to.
fn conclude(outcome: &RunOutcome) -> u8 {
    let wrong = |mismatches: &[bench_model::Mismatch]| {
        for mismatch in mismatches.iter().take(screen::MISMATCHES_SHOWN) {
            output::out(&format!("  wrong answer: {mismatch}\n"));
        }
    };
    if !outcome.warmup_mismatches.is_empty() {
        output::out("\nin the warm-up:\n");
        wrong(&outcome.warmup_mismatches);
    }
    for repeat in &outcome.repeats {
        output::out(&screen::summary_text(&repeat.summary));
        wrong(&repeat.mismatches);
    }
    for worker in &outcome.workers {
        output::out(&format!("worker {worker}\n"));
    }
    if let Some(knee) = &outcome.knee {
        output::out(&screen::knee_text(knee, outcome.is_interrupted));
    }
    if let Some(swept) = &outcome.swept {
        output::out(&match swept.right + swept.wrong {
            0 => "read everything at the end: there was nothing\n".to_owned(),
            _ => format!(
                "read everything at the end: {} right, {} wrong or missing\n",
                swept.right, swept.wrong
            ),
        });
        wrong(&swept.mismatches);
    }
    for failure in &outcome.failures {
        output::complain(failure);
    }
    if outcome.is_interrupted {
        output::out("interrupted: the figures are of a part of the run\n");
    }
    let is_void = outcome.repeats.iter().any(|repeat| !repeat.summary.verdict.valid);
    let has_no_knee = outcome.knee.as_ref().is_some_and(|knee| knee.rate.is_none());
    match outcome.is_interrupted || !outcome.failures.is_empty() {
        _ if outcome.has_wrong_answers() || (has_no_knee && !outcome.is_interrupted) => {
            exit::CHECK_FAILED
        }
        true => exit::PARTIAL,
        false if is_void => exit::CHECK_FAILED,
        false => exit::OK,
    }
}

/// This process, as workers and conductors know each other.
fn party() -> Party {
    Party::new(version::COMMIT, std::env::var("BASALT_BENCH_SECRET").ok())
}

fn worker(arguments: &WorkerArguments) -> Result<u8, Refused> {
    let wrong = format!("--listen: {:?} is no IP:PORT", arguments.listen);
    let address: SocketAddr = arguments.listen.parse().map_err(|_| (exit::USAGE, wrong))?;
    let shutdown = signals::listen().map_err(|error| (exit::FAILED, error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let to_stop = Arc::clone(&stop);
    shutdown.on_begin(move || to_stop.store(true, Ordering::Relaxed));
    let note = Arc::new(output::complain);
    let worker = Worker::bind(address, party(), &stop, note).map_err(|error| refused(&error))?;
    let (bound, process) = (worker.address(), std::process::id());
    output::out(&format!("a worker listens on {bound} (process {process})\n"));
    worker.serve().map_err(|error| refused(&error))?;
    Ok(exit::OK)
}

fn serve_null(arguments: &ServeNullArguments) -> Result<u8, Refused> {
    let usage = |text: String| (exit::USAGE, text);
    let address = arguments.address.parse();
    let address =
        address.map_err(|_| usage(format!("--address: {:?} is no IP:PORT", arguments.address)))?;
    let (protocol, scheme) = match arguments.protocol.as_str() {
        "http" => (Protocol::Http, "http"),
        "frames" => (Protocol::Frames, "tcp"),
        other => return Err(usage(format!("--protocol: {other:?} is none of http, frames"))),
    };
    let object_bytes = bench_model::size_bytes(&arguments.object_size);
    let object_bytes = object_bytes
        .ok_or_else(|| usage(format!("--object-size: {:?} is no size", arguments.object_size)))?;
    let requests_per_second = arguments.max_rate.map(|rate| rate.max(1));
    let shutdown = signals::listen().map_err(|error| (exit::FAILED, error.to_string()))?;
    let failed = |error: std::io::Error| (exit::FAILED, format!("{address}: {error}"));
    let options = Options { address, protocol, object_bytes, requests_per_second };
    let server = NullServer::bind(&options).map_err(failed)?;
    let stopper = server.stopper();
    // It may have ended already.
    shutdown.on_begin(move || _ = stopper.wake());
    let bound = server.address().map_err(failed)?;
    let process = std::process::id();
    output::out(&format!("serving nothing on {scheme}://{bound} (process {process})\n"));
    server.run().map_err(failed)?;
    Ok(exit::OK)
}

fn compared(arguments: &CompareArguments) -> Result<u8, Refused> {
    let usage = |text: String| (exit::USAGE, text);
    let rules: Vec<Rule> = arguments
        .fail_if
        .iter()
        .map(|text| Rule::parse(text).map_err(|error| usage(error.to_string())))
        .collect::<Result<_, _>>()?;
    let (base, new) = match arguments.pair.as_slice() {
        [base, new] => (std::slice::from_ref(base), std::slice::from_ref(new)),
        _ => (arguments.base.as_slice(), arguments.new.as_slice()),
    };
    let base = files::runs(base)?;
    let new = files::runs(new)?;
    let mut comparison = compare(&base, &new, &CompareOptions::default())
        .map_err(|error| usage(error.to_string()))?;
    comparison.hold_against(&rules).map_err(|error| usage(error.to_string()))?;
    let text = match arguments.format.as_str() {
        "text" => comparison.to_text(),
        "markdown" => comparison.to_markdown(),
        "json" => comparison.to_json().map_err(|error| (exit::FAILED, error.to_string()))?,
        other => return Err(usage(format!("--format: {other:?} is none of text, markdown, json"))),
    };
    output::out(&text);
    Ok(if comparison.breaks_a_rule() { exit::CHECK_FAILED } else { exit::OK })
}

/// What a run is of, for its manifest.
fn build_of() -> [(&'static str, &'static str); 2] {
    [("build.version", version::VERSION), ("build.commit", version::COMMIT)]
}

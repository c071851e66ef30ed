//! Project chores. `cargo run -q -p xtask -- tidy` checks the rules of docs/style.md that neither
//! the compiler nor clippy knows; each broken one is a line `path: what to do`.
//!
//! Invariants: nothing is written; a rule is a pure function from text to findings, so that its
//! tests need no workspace; only this file prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod cargo;
mod docs;
mod layers;
mod licences;
mod sources;
mod tree;

use std::fmt;
use std::process::ExitCode;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// The file or folder, relative to the root, with `:line` where there is one.
    path: String,
    /// What to do about it.
    what: String,
    /// Whether tidy fails for it; otherwise it is only said.
    fails: bool,
}

impl Finding {
    fn failure(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), fails: true }
    }

    fn warning(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), fails: false }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.fails { "" } else { "warning: " };
        write!(formatter, "{mark}{}: {}", self.path, self.what)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("usage: cargo run -q -p xtask -- tidy");
        return ExitCode::from(2);
    }
    match tidy() {
        Ok(findings) => report(&findings),
        Err(message) => {
            eprintln!("tidy: {message}");
            ExitCode::from(2)
        }
    }
}

/// Applies every rule to the workspace around the current folder.
fn tidy() -> Result<Vec<Finding>, String> {
    let workspace = cargo::workspace()?;
    let sources = tree::rust_sources(&workspace.root)?;
    let mut findings = layers::check(&workspace.packages);
    for source in &sources {
        findings.extend(sources::check(source));
    }
    findings.extend(docs::check(&workspace, &sources));
    findings.extend(licences::check(&cargo::shipped_packages()?));
    let stale = cargo::fuzz_lock(&workspace.root);
    findings.extend(stale.map(|what| Finding::failure("tools/fuzz/Cargo.lock", what)));
    Ok(findings)
}

fn report(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    let failures = findings.iter().filter(|finding| finding.fails).count();
    let warnings = findings.len() - failures;
    println!("tidy: {failures} to fix, {warnings} to keep in mind");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

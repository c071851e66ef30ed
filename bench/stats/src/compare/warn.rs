//! What a reader must know before believing a comparison.
//!
//! Invariant: a warning says what is the matter and, where something can be done, what to do.

use crate::compare::Run;
use crate::compare::comparison::{Method, Row};
use crate::compare::sides::Sides;
use crate::summary::Load;
use std::collections::{BTreeMap, BTreeSet};

/// Keys of manifests that differ between the runs and are named.
const MANIFEST_WARNINGS_MAX: usize = 20;
/// Manifest keys that begin so differ by purpose or by nature.
const MANIFEST_EXPECTED: [&str; 2] = ["build.", "run."];
/// Above this share of stolen CPU time, in percent, a warning is due.
const STEAL_WARNING_PERCENT: f64 = 5.0;

/// The warnings about both sides and the rows made of them.
pub(crate) fn warnings(sides: &Sides<'_>, rows: &[Row]) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(layout(sides, rows));
    for (side, runs) in [("base", sides.base), ("new", sides.new)] {
        for run in runs {
            warnings.extend(of_run(side, run));
        }
    }
    warnings.extend(closed_loop(sides));
    warnings.extend(manifests(sides));
    warnings
}

/// What is the matter with how the runs were laid out.
fn layout(sides: &Sides<'_>, rows: &[Row]) -> Vec<String> {
    let mut warnings = Vec::new();
    if rows.iter().any(|row| matches!(row.method, Method::Unpaired { .. })) {
        warnings.push(
            "the runs of the two sides do not alternate in time: what changed on the machine \
             between them looks like a difference; alternate base, new, base, new"
                .to_owned(),
        );
    }
    if rows.iter().any(|row| matches!(row.method, Method::Assumed { .. })) {
        warnings.push(
            "there are too few runs to see how runs of one build differ; that spread is assumed, \
             so that only large differences are found; alternate 10 or more runs of each side"
                .to_owned(),
        );
    }
    if sides.design.pairs.is_some() && sides.design.alone > 0 {
        warnings.push(format!(
            "{} of the runs have no run of the other side beside them and are in no pair",
            sides.design.alone
        ));
    }
    warnings
}

/// What is the matter with one run.
fn of_run(side: &str, run: &Run) -> Vec<String> {
    let summary = &run.summary;
    let name = format!("{side} run {} repeat {}", shown(&summary.run_id), summary.repeat);
    let mut warnings = Vec::new();
    for reason in &summary.verdict.reasons {
        warnings.push(format!("{name} is void: {}", shown(&reason.text)));
    }
    let steal = summary.client.steal_percent;
    if steal > STEAL_WARNING_PERCENT {
        warnings.push(format!("{name}: {steal:.0} % of the CPU time was stolen by other machines"));
    }
    warnings
}

fn closed_loop(sides: &Sides<'_>) -> Option<String> {
    let mut runs = sides.base.iter().chain(sides.new);
    runs.any(|run| run.summary.load == Load::Closed).then(|| {
        "closed loop: a slow server was asked less, so that the upper percentiles are understated"
            .to_owned()
    })
}

/// Where the manifests differ in anything but the build.
fn manifests(sides: &Sides<'_>) -> Vec<String> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let runs = || sides.base.iter().chain(sides.new);
    for (key, value) in runs().flat_map(|run| &run.manifest) {
        values.entry(key).or_default().insert(value);
    }
    for run in runs() {
        for (key, found) in &mut values {
            if !run.manifest.contains_key(*key) {
                found.insert("(absent)");
            }
        }
    }
    let expected = |key: &&str| MANIFEST_EXPECTED.iter().any(|prefix| key.starts_with(*prefix));
    values.retain(|key, found| found.len() > 1 && !expected(key));
    let mut warnings: Vec<String> = values
        .iter()
        .take(MANIFEST_WARNINGS_MAX)
        .map(|(key, found)| {
            let list: Vec<String> = found.iter().map(|value| shown(value)).collect();
            format!("the runs differ in `{}`: {}", shown(key), list.join(" / "))
        })
        .collect();
    let more = values.len().saturating_sub(MANIFEST_WARNINGS_MAX);
    if more > 0 {
        warnings.push(format!("the runs differ in {more} further keys of their manifests"));
    }
    warnings
}

/// Text out of a file, fit for a terminal and a table: bounded, without control characters.
pub(crate) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let keep = |character: char| if character.is_control() { '?' } else { character };
    text.chars().take(CHARACTERS_MAX).map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::{pairs, run};
    use crate::compare::{Options, compare};
    use crate::verdict::{Reason, ReasonKind, Voids};

    fn warned(base: &[Run], new: &[Run], part: &str) -> bool {
        let comparison = compare(base, new, &Options::default()).unwrap();
        comparison.warnings.iter().any(|warning| warning.contains(part))
    }

    #[test]
    fn alternating_open_runs_of_one_setup_need_no_warning() {
        let (base, new) = pairs(&[1.0; 6], &[1.0; 6]);
        let comparison = compare(&base, &new, &Options::default()).unwrap();
        assert_eq!(comparison.warnings, Vec::<String>::new());
    }

    #[test]
    fn the_layout_is_named() {
        assert!(warned(&[run(0, 1.0)], &[run(1, 1.0)], "spread is assumed"));
        let base: Vec<Run> = (0..3).map(|start| run(start, 1.0)).collect();
        let new: Vec<Run> = (3..6).map(|start| run(start, 1.0)).collect();
        assert!(warned(&base, &new, "do not alternate"));
        let (mut base, new) = pairs(&[1.0; 6], &[1.0; 6]);
        base.push(run(12, 1.0));
        assert!(warned(&base, &new, "1 of the runs have no run"));
    }

    #[test]
    fn manifests_may_differ_in_the_build_only() {
        let (mut base, mut new) = pairs(&[1.0; 3], &[1.0; 3]);
        base[0].manifest.insert("build.commit".to_owned(), "a".to_owned());
        new[0].manifest.insert("run.id".to_owned(), "b".to_owned());
        assert!(!warned(&base, &new, "differ in"));
        for run in base.iter_mut().chain(&mut new) {
            run.manifest.insert("load.rate".to_owned(), "20k".to_owned());
        }
        assert!(!warned(&base, &new, "differ in"));
        new[1].manifest.insert("load.rate".to_owned(), "30k\n".to_owned());
        assert!(warned(&base, &new, "`load.rate`: 20k / 30k?"));
        new[1].manifest.remove("load.rate");
        assert!(warned(&base, &new, "`load.rate`: (absent) / 20k"));
        for number in 0..30 {
            new[2].manifest.insert(format!("x.{number}"), "1".to_owned());
        }
        assert!(warned(&base, &new, "11 further keys"));
    }

    #[test]
    fn what_is_the_matter_with_a_run_is_named() {
        let (mut base, mut new) = pairs(&[1.0; 3], &[1.0; 3]);
        new[1].summary.client.steal_percent = 12.0;
        assert!(warned(&base, &new, "12 % of the CPU time was stolen"));
        base[2].summary.load = Load::Closed;
        assert!(warned(&base, &new, "closed loop"));
        base[0].summary.verdict.reasons.push(Reason {
            kind: ReasonKind::Shed,
            measured: 1.0,
            limit: 0.0,
            voids: Voids::LatencyAndRate,
            text: "the rate was not held".to_owned(),
        });
        assert!(warned(&base, &new, "is void: the rate was not held"));
    }
}

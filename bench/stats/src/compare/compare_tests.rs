use super::testing::{pairs, run, seconds};
use super::*;
use crate::verdict::{Reason, ReasonKind, Voids};

/// The row of a metric, with default options.
fn row_of(base: &[Run], new: &[Run], metric: &str) -> Row {
    let comparison = compare(base, new, &Options::default()).unwrap();
    comparison.rows.into_iter().find(|row| row.metric == metric).unwrap()
}

#[test]
fn what_slows_both_runs_of_a_pair_cancels() {
    // The machine is twice as slow for half of the time; the new build costs 5 % more.
    let base = [10.0, 10.1, 20.0, 20.2, 10.0, 20.1];
    let new = base.map(|cost| cost * 1.05);
    let (base, new) = pairs(&base, &new);
    let row = row_of(&base, &new, "all.server_cpu");
    assert_eq!(row.method, Method::Paired { pairs: 6 });
    assert!(row.difference && row.outcome == Outcome::Worse, "{row:?}");
    assert_eq!(row.drift_percent_per_run, None, "jumps are no drift");
    assert!((row.ratio - 1.05).abs() < 1e-9 && (row.high - row.low) < 1e-9, "{row:?}");
}

#[test]
fn a_steady_drift_is_no_difference() {
    // 2 % more from run to run, on both sides; the new run of each pair is always the later.
    let cost = |place: usize| 10.0 * 1.02_f64.powi(place as i32) * [1.0, 1.002, 0.999][place % 3];
    let base: Vec<f64> = (0..8).map(|pair| cost(2 * pair)).collect();
    let new: Vec<f64> = (0..8).map(|pair| cost(2 * pair + 1)).collect();
    let (base, new) = pairs(&base, &new);
    let row = row_of(&base, &new, "all.server_cpu");
    assert!(!row.difference, "{row:?}");
    assert!((row.ratio - 1.0).abs() < 0.003, "{row:?}");
    let drift = row.drift_percent_per_run.unwrap();
    assert!((drift - 2.0).abs() < 0.1, "{drift}");
}

#[test]
fn a_burst_that_hits_one_run_of_ten_pairs_decides_nothing() {
    let base = [10.0, 10.1, 9.9, 10.0, 10.05, 9.95, 10.1, 10.0, 9.9, 10.0];
    let mut new = base.map(|cost| cost * 1.10);
    new[4] = 6.0;
    let (base, new) = pairs(&base, &new);
    let row = row_of(&base, &new, "all.server_cpu");
    assert_eq!(row.outcome, Outcome::Worse, "{row:?}");
    assert!((row.ratio - 1.10).abs() < 0.01, "{row:?}");
}

#[test]
fn groups_that_do_not_alternate_are_compared_as_groups() {
    let base: Vec<Run> = (0..4).map(|start| run(start, 10.0 + start as f64 / 10.0)).collect();
    let new: Vec<Run> = (4..8).map(|start| run(start, 20.0 + start as f64 / 10.0)).collect();
    let row = row_of(&base, &new, "all.server_cpu");
    assert_eq!(row.method, Method::Unpaired { base: 4, new: 4 });
    assert!(row.low < 2.0 && row.high > 2.0 && row.outcome == Outcome::Worse, "{row:?}");
}

#[test]
fn single_runs_show_large_differences_only() {
    let row = row_of(&[run(0, 10.0)], &[run(1, 10.5)], "all.server_cpu");
    assert_eq!(row.method, Method::Assumed { base: 1, new: 1 });
    assert!(!row.difference && row.low < 1.0 && row.high > 1.1, "{row:?}");
    let row = row_of(&[run(0, 10.0)], &[run(1, 20.0)], "all.server_cpu");
    assert!(row.difference && row.low > 1.8 && row.high < 2.2, "{row:?}");
}

#[test]
fn what_varies_within_single_runs_widens_their_interval() {
    let width = |counts: &[u64]| {
        let (mut base, mut new) = (run(0, 1.0), run(1, 1.0));
        base.intervals = seconds(counts);
        new.intervals = seconds(counts);
        let row = row_of(&[base], &[new], "get.rate");
        row.high / row.low
    };
    let steady = width(&[1_000; 30]);
    let unsteady: Vec<u64> = (0..30).map(|second| 1_000 * (1 + second / 6 % 2)).collect();
    assert!(width(&unsteady) > steady * 1.1);
}

#[test]
fn a_void_run_takes_its_pair_out_of_latency_but_not_out_of_cost() {
    let (mut base, new) = pairs(&[10.0; 6], &[10.0; 6]);
    base[3].summary.verdict.valid = false;
    base[3].summary.verdict.reasons.push(Reason {
        kind: ReasonKind::ScheduleLag,
        measured: 2_000.0,
        limit: 1_000.0,
        voids: Voids::LatencyAndRate,
        text: "the client was late".to_owned(),
    });
    assert_eq!(row_of(&base, &new, "get.p99").method, Method::Paired { pairs: 5 });
    assert_eq!(row_of(&base, &new, "all.server_cpu").method, Method::Paired { pairs: 6 });
}

#[test]
fn the_tolerance_is_a_band_around_one() {
    let (base, new) = pairs(&[10.0; 4], &[10.08; 4]);
    let within = row_of(&base, &new, "all.server_cpu");
    assert!(!within.difference && within.low > 1.0, "0.8 % is no difference");
    let strict = Options { tolerance: 0.0, ..Options::default() };
    let comparison = compare(&base, &new, &strict).unwrap();
    let row = comparison.rows.iter().find(|row| row.metric == "all.server_cpu").unwrap();
    assert!(row.difference);
}

#[test]
fn faster_is_better_where_less_is_better_and_where_more_is() {
    let (base, new) = pairs(&[10.0; 4], &[8.0; 4]);
    assert_eq!(row_of(&base, &new, "all.server_cpu").outcome, Outcome::Better);
    let (base, mut new) = pairs(&[10.0; 4], &[10.0; 4]);
    for run in &mut new {
        run.summary.total.operations_per_second *= 1.2;
    }
    assert_eq!(row_of(&base, &new, "all.rate").outcome, Outcome::Better);
}

#[test]
fn rules_are_held_against_rows() {
    let (base, new) = pairs(&[10.0; 4], &[12.0; 4]);
    let mut comparison = compare(&base, &new, &Options::default()).unwrap();
    let rule = |text: &str| Rule::parse(text).unwrap();
    comparison.hold_against(&[rule("get.p99>+5%")]).unwrap();
    assert!(!comparison.breaks_a_rule());
    // The only operation may stand for all of them.
    comparison.hold_against(&[rule("get.server_cpu>+5%")]).unwrap();
    assert!(comparison.breaks_a_rule());
    assert_eq!(comparison.rules[1].metric, "all.server_cpu");
    let error = comparison.hold_against(&[rule("put.p99>+5%")]).unwrap_err().to_string();
    assert!(error.contains("`put.p99`") && error.contains("get.p99"), "{error}");
}

#[test]
fn settings_and_numbers_of_runs_are_checked() {
    let (base, new) = pairs(&[1.0; 3], &[1.0; 3]);
    let check = |options: Options| compare(&base, &new, &options).unwrap_err().to_string();
    let good = Options::default();
    assert!(check(Options { confidence: 1.0, ..good }).contains("0.5 to 0.999"));
    assert!(check(Options { confidence: f64::NAN, ..good }).contains("0.5 to 0.999"));
    assert!(check(Options { tolerance: -0.1, ..good }).contains("tolerance"));
    assert!(check(Options { resamples: 0, ..good }).contains("resamples"));
    let none = compare(&base, &[], &good).unwrap_err().to_string();
    assert!(none.contains("1 to 200 new runs, not 0"), "{none}");
}

#[test]
fn the_same_runs_give_the_same_answer() {
    let (mut base, mut new) = (run(0, 1.0), run(1, 1.0));
    base.intervals = seconds(&[900, 1_000, 1_100, 950, 1_050, 1_000]);
    new.intervals = seconds(&[1_000, 1_100, 900, 1_050, 950, 1_000]);
    let (base, new) = ([base], [new]);
    let first = compare(&base, &new, &Options::default()).unwrap();
    assert_eq!(compare(&base, &new, &Options::default()).unwrap(), first);
}

use super::*;
use crate::markup;
use crate::samples::run;

fn drawn(runs: &[RunData], marks: &[Mark<'_>]) -> String {
    let section = section(runs, "get", 0, marks);
    markup::check(&section).unwrap();
    assert!(markup::has_only_numbers(&section), "{section}");
    section
}

#[test]
fn the_curve_ends_above_its_last_percentile() {
    let curve = curve_of(&[(50.0, 1.0), (99.0, 3.0), (100.0, 9.0)]);
    assert_eq!(curve.len(), 1);
    let [_, before, last] = curve[0].as_slice() else {
        panic!("{curve:?}");
    };
    assert_eq!((before.0, before.1), (last.0, 3.0));
    assert_eq!(last.1, 9.0);
    assert_eq!(curve_of(&[(100.0, 9.0)]), [vec![(0.0, 9.0)]]);
    assert_eq!(curve_of(&[(f64::NAN, 1.0), (101.0, 1.0), (50.0, -1.0)]), Vec::<Segment>::new());
    assert_eq!(curve_of(&[]), Vec::<Segment>::new());
}

#[test]
fn the_percentile_axis_ends_at_a_whole_nine() {
    let text = drawn(&[run("a", 3)], &[]);
    assert!(text.contains(">99.99 %</text>") && !text.contains(">99.999 %</text>"));
    assert!(text.contains(r#"data-x="linear nines 0 4 "#));
}

#[test]
fn all_figures_over_time_share_the_axis_of_the_longest_run() {
    let text = drawn(&[run("a", 10), run("b", 60)], &[]);
    assert_eq!(text.matches(r#"data-x="linear time 0 60 "#).count(), 3);
    assert_eq!(text.matches(">60</text>").count(), 5, "also both heat maps");
}

#[test]
fn rows_of_two_seconds_are_drawn_as_rates_up_to_their_end() {
    let mut long = run("a", 30);
    for point in &mut long.operations[0].intervals {
        (point.second, point.seconds) = (2 * point.second, 2);
    }
    long.operations[0].heat.seconds_per_column = 2;
    let text = drawn(&[long], &[]);
    assert_eq!(text.matches(r#"data-x="linear time 0 60 "#).count(), 3);
    assert_eq!(text.matches(">60</text>").count(), 4, "also the heat map");
    assert!(text.contains(r#"data-y="linear count 0 10000 "#), "of 20,000 operations each");
}

#[test]
fn errors_get_a_figure_where_there_are_any() {
    let mut failing = run("a", 10);
    assert!(!drawn(std::slice::from_ref(&failing), &[]).contains("errors per second</text>"));
    failing.operations[0].intervals[4].errors = 3;
    assert!(drawn(&[failing], &[]).contains("errors per second</text>"));
}

#[test]
fn marks_stand_in_every_figure_over_time() {
    let mark = Mark { number: 1, run: 0, second: 4.0, text: "drive 3 off" };
    let text = drawn(&[run("a", 10)], &[mark]);
    assert_eq!(text.matches("<title>1: drive 3 off</title>").count(), 4);
}

#[test]
fn an_operation_of_one_run_leaves_the_other_out() {
    let mut other = run("other", 10);
    other.operations[0].name = "put".to_owned();
    let text = drawn(&[other, run("mine", 10)], &[]);
    assert!(!text.contains("data-name=\"other"));
    let line = format!("line {} p99\" data-name=\"mine\"", run_class(1));
    assert!(text.contains(&line), "it keeps the colour of the second run");
}

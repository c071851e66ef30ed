use super::*;
use crate::data::{Heat, IntervalPoint, LatencyRow, OperationData};
use crate::markup;
use crate::samples::{operation, run};

/// The page, after the checks that hold for every page.
fn page(runs: &[RunData]) -> String {
    let page = render(runs);
    markup::check(&page).unwrap();
    assert!(markup::has_only_numbers(&page), "a number is none");
    for outside in ["http:", "https:", "src=", "url(", "@import", "//cdn"] {
        assert!(!page.contains(outside), "{outside}");
    }
    page
}

fn count(page: &str, text: &str) -> usize {
    page.matches(text).count()
}

#[test]
fn one_run_is_a_whole_page() {
    let page = page(&[run("base", 60)]);
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert!(page.contains("<title>basalt bench: base</title>"));
    assert!(page.contains("prefers-color-scheme: dark"));
    for title in [
        "Throughput",
        "Bytes",
        "Response time over time",
        "Response time by percentile",
        "Latency heat map: base",
    ] {
        assert_eq!(count(&page, &format!("<figcaption>{title}</figcaption>")), 1, "{title}");
    }
    assert!(!page.contains("<figcaption>Errors"), "no errors, no figure");
    assert!(page.find("Valid.").unwrap() < page.find("<figure>").unwrap(), "the verdict is first");
}

#[test]
fn runs_are_overlaid() {
    let mut slow = run("slow", 30);
    slow.loop_kind = LoopKind::Closed;
    let page = page(&[run("fast", 60), slow]);
    for name in ["fast", "slow"] {
        for line in [format!("{name} p50"), format!("{name} p99"), format!("{name} p99.9")] {
            assert_eq!(count(&page, &format!("data-name=\"{line}\"")), 1, "{line}");
        }
        // Throughput, bytes and the percentile curve.
        assert_eq!(count(&page, &format!("data-name=\"{name}\"")), 3, "{name}");
        assert_eq!(count(&page, &format!("<figcaption>Latency heat map: {name}<")), 1);
    }
    for (index, name) in ["fast", "slow"].into_iter().enumerate() {
        let line = format!("line {} p99\" data-name=\"{name}\"", run_class(index));
        assert_eq!(count(&page, &line), 3, "{line}");
    }
    let closed = "slow (closed loop: the tail is understated)";
    assert_eq!(count(&page, closed), 2, "in the legends of both latency charts");
}

#[test]
fn reasons_stand_before_figures() {
    let mut bad = run("bad", 5);
    bad.verdict_reasons = vec!["schedule lag p99 is 3 ms > 1 ms".to_owned(), "shed: 7".to_owned()];
    let page = page(&[bad]);
    assert!(!page.contains("Valid.</strong>"));
    assert!(page.contains("<strong>Not valid.</strong>"));
    let reason = page.find("<li>schedule lag p99 is 3 ms &gt; 1 ms</li>").unwrap();
    assert!(reason < page.find("<figure>").unwrap());
}

#[test]
fn every_text_is_escaped() {
    let bad = "</style></script><script>alert(\"1\")</script>&'";
    let pair = || (bad.to_owned(), bad.to_owned());
    let mut runs = [run(bad, 5), run("other", 5)];
    let first = &mut runs[0];
    first.started = bad.to_owned();
    first.verdict_reasons = vec![bad.to_owned()];
    first.manifest = vec![pair()];
    first.server = Some(vec![pair()]);
    first.marks = vec![(2.5, bad.to_owned())];
    first.operations[0].name = bad.to_owned();
    first.operations[0].errors = vec![(bad.to_owned(), 3)];
    let page = page(&runs);
    assert!(!page.contains("alert(\""));
    assert_eq!(count(&page, "<script>"), 1, "the page's own");
}

#[test]
fn events_are_numbered_by_time_over_all_runs() {
    let mut runs = [run("a", 60), run("b", 60)];
    runs[0].marks = vec![(40.0, "late".to_owned()), (f64::NAN, "never".to_owned())];
    runs[1].marks = vec![(20.5, "early".to_owned()), (600.0, "behind the end".to_owned())];
    let page = page(&runs);
    assert!(page.contains("<title>1: early</title>") && page.contains("<title>2: late</title>"));
    assert!(page.contains(r#"<th scope="row">3</th><td>600 s</td>"#));
    assert!(!page.contains("never") && !page.contains("<title>3: "));
}

#[test]
fn nothing_is_needed() {
    assert!(page(&[]).contains("No run was given."));
    let empty = page(&[RunData::default()]);
    assert!(empty.contains("No operation was recorded.") && empty.contains("run 1"));
    let named = OperationData { name: "get".to_owned(), ..OperationData::default() };
    let bare = RunData { operations: vec![named], ..RunData::default() };
    let bare = page(&[bare, run("whole", 3)]);
    assert_eq!(count(&bare, "class=\"none\""), 0, "the other run is drawn");
    let alone = RunData {
        operations: vec![OperationData { name: "get".to_owned(), ..OperationData::default() }],
        ..RunData::default()
    };
    assert_eq!(count(&page(&[alone]), "class=\"none\""), 4, "a sentence in each figure");
}

#[test]
fn one_interval_and_equal_values_are_drawn() {
    let mut single = run("single", 1);
    page(std::slice::from_ref(&single));
    let (p50_us, p99_us, p999_us) = (5.0, 5.0, 5.0);
    let point = IntervalPoint { operations: 7, p50_us, p99_us, p999_us, ..Default::default() };
    single.operations[0].intervals = vec![point];
    single.operations[0].percentile_curve = vec![(0.0, 5.0), (100.0, 5.0)];
    single.operations[0].heat =
        Heat { bounds_us: vec![4.0, 5.0], counts: vec![vec![7]], ..Heat::default() };
    let drawn = page(&[single]);
    assert!(drawn.contains("data-name=\"single p99.9\""));
    let mut idle = run("idle", 3);
    for interval in &mut idle.operations[0].intervals {
        *interval = IntervalPoint { second: interval.second, ..IntervalPoint::default() };
    }
    let drawn = page(&[idle]);
    assert!(drawn.contains("data-name=\"idle\""), "no operations are a rate of 0");
    assert!(!drawn.contains("data-name=\"idle p50\""), "and have no latency");
}

#[test]
fn numbers_that_are_none_are_never_printed() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1.0] {
        let mut data = run("bad", 3);
        let get = &mut data.operations[0];
        get.operations_per_second = bad;
        get.bytes_per_second = bad;
        get.latency = vec![LatencyRow { p50_us: bad, max_us: bad, ..LatencyRow::default() }];
        get.percentile_curve = vec![(bad, 1.0), (50.0, bad), (bad, bad)];
        get.heat.bounds_us[6] = bad;
        for interval in &mut get.intervals {
            (interval.p50_us, interval.p99_us, interval.p999_us) = (bad, bad, bad);
            (interval.operations, interval.bytes) = (u64::MAX, u64::MAX);
        }
        data.marks = vec![(bad, "bad".to_owned())];
        page(&[data]);
    }
}

#[test]
fn a_long_run_stays_small() {
    let page = page(&[run("day", 86_400)]);
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    assert!(page.contains("nothing is averaged"));
}

#[test]
fn operations_of_all_runs_have_a_section() {
    let mut first = run("a", 3);
    first.operations.push(operation("put", 3));
    let mut second = run("b", 3);
    second.operations.insert(0, operation("list", 3));
    let page = page(&[first, second]);
    for (number, name) in ["get", "put", "list"].into_iter().enumerate() {
        assert!(page.contains(&format!("<section id=\"operation-{number}\"><h2>{name}</h2>")));
        assert!(page.contains(&format!("<a href=\"#operation-{number}\">{name}</a>")));
    }
}

//! Tables with one column for each run: the figures of an operation, names and their values.
//!
//! Invariants: every cell is escaped here; a figure that a run does not have is "n/a", never 0;
//! rows in which the runs differ are marked with a sign, not by colour alone.

use crate::data::{LatencyKind, LatencyRow, OperationData, RunData};
use crate::escape::escaped;
use crate::number::{ABSENT, BYTE_UNITS, COUNT_UNITS, LATENCY_UNITS, grouped, with_unit};
use crate::style::{run_class, run_name, sample};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Significant digits of a figure.
const DIGITS: usize = 4;

/// Reads one statistic of a row, in microseconds.
type OfRow = fn(&LatencyRow) -> f64;

/// Names and values of a latency distribution.
const STATISTICS: [(&str, OfRow); 8] = [
    ("min", |row| row.min_us),
    ("mean", |row| row.mean_us),
    ("p50", |row| row.p50_us),
    ("p90", |row| row.p90_us),
    ("p99", |row| row.p99_us),
    ("p99.9", |row| row.p999_us),
    ("p99.99", |row| row.p9999_us),
    ("max", |row| row.max_us),
];

/// A row of a table.
enum Row {
    /// The heading of the rows below.
    Group(String),
    /// A value of each run.
    Values { name: String, values: Vec<String>, differ: bool },
}

/// The figures of one operation, runs beside each other.
pub(crate) fn summary(runs: &[RunData], name: &str) -> String {
    let columns: Vec<_> = runs.iter().map(|run| run.operation(name)).collect();
    let mut rows = vec![
        row(&columns, "operations", |operation| grouped(operation.count)),
        row(&columns, "operations per second", |operation| {
            with_unit(operation.operations_per_second, &COUNT_UNITS, DIGITS)
        }),
        row(&columns, "bytes per second", |operation| {
            with_unit(operation.bytes_per_second, &BYTE_UNITS, DIGITS)
        }),
        row(&columns, "errors", |operation| grouped(errors_of(operation, None))),
    ];
    let errors = columns.iter().copied().flatten().flat_map(|operation| &operation.errors);
    for code in distinct(errors.map(|(code, _)| code.as_str())) {
        let show = |operation: &OperationData| grouped(errors_of(operation, Some(code)));
        rows.push(row(&columns, &format!("errors {code}"), show));
    }
    for kind in LatencyKind::ALL {
        let found = columns.iter().copied().flatten().any(|one| latency_of(one, kind).is_some());
        if !found {
            continue;
        }
        rows.push(Row::Group(kind.label().to_owned()));
        for (name, statistic) in STATISTICS {
            rows.push(row(&columns, name, |operation| {
                let value_us = latency_of(operation, kind).map_or(f64::NAN, statistic);
                with_unit(value_us, &LATENCY_UNITS, DIGITS)
            }));
        }
    }
    table(runs, &rows)
}

fn row(
    columns: &[Option<&OperationData>],
    name: &str,
    show: impl Fn(&OperationData) -> String,
) -> Row {
    let shown = |column: &Option<&OperationData>| match column {
        Some(operation) => show(operation),
        None => ABSENT.to_owned(),
    };
    Row::Values {
        name: name.to_owned(),
        values: columns.iter().map(shown).collect(),
        differ: false,
    }
}

/// The latencies of one kind; those of no operations are absent, not 0.
fn latency_of(operation: &OperationData, kind: LatencyKind) -> Option<&LatencyRow> {
    operation.latency.iter().find(|latency| latency.kind == kind && operation.count > 0)
}

/// Names and their values, runs beside each other; what differs is marked.
pub(crate) fn key_values(
    runs: &[RunData],
    pick: impl Fn(&RunData) -> &[(String, String)],
) -> String {
    let pairs = runs.iter().flat_map(|run| pick(run).iter());
    let names = distinct(pairs.map(|(name, _)| name.as_str()));
    let columns: Vec<BTreeMap<&str, &str>> = runs
        .iter()
        .map(|run| pick(run).iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
        .collect();
    let rows: Vec<Row> = names
        .into_iter()
        .map(|name| {
            let found: Vec<Option<&str>> =
                columns.iter().map(|column| column.get(name).copied()).collect();
            let differ = found.iter().any(|value| Some(value) != found.first());
            let values = found.into_iter().map(|value| value.unwrap_or(ABSENT).to_owned());
            Row::Values { name: name.to_owned(), values: values.collect(), differ }
        })
        .collect();
    table(runs, &rows)
}

/// Failed operations of one code, or of all.
fn errors_of(operation: &OperationData, code: Option<&str>) -> u64 {
    let counted = |name: &str| code.is_none_or(|code| code == name);
    let counts = operation.errors.iter().filter(|(name, _)| counted(name)).map(|(_, count)| *count);
    counts.fold(0, u64::saturating_add)
}

/// Each text once, in the order of its first appearance.
pub(crate) fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(*text)).collect()
}

fn table(runs: &[RunData], rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = String::from(r#"<div class="scroll"><table><thead><tr><td></td>"#);
    for (index, run) in runs.iter().enumerate() {
        let (mark, name) = (sample(&run_class(index)), escaped(&run_name(run, index)));
        _ = write!(out, r#"<th scope="col">{mark}{name}</th>"#);
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        match row {
            Row::Group(name) => {
                let (width, name) = (runs.len() + 1, escaped(name));
                _ = write!(out, r#"<tr class="group"><th colspan="{width}">{name}</th></tr>"#);
            }
            Row::Values { name, values, differ } => {
                let (class, sign) = if *differ { ("differ", "\u{2260} ") } else { ("", "") };
                let name = escaped(name);
                _ = write!(out, r#"<tr class="{class}"><th scope="row">{sign}{name}</th>"#);
                for value in values {
                    _ = write!(out, "<td>{}</td>", escaped(value));
                }
                out.push_str("</tr>");
            }
        }
    }
    out.push_str("</tbody></table></div>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markup;
    use crate::samples::run;

    fn with_errors(label: &str, errors: &[(&str, u64)]) -> RunData {
        let mut data = run(label, 3);
        let errors = errors.iter().map(|(code, count)| ((*code).to_owned(), *count));
        data.operations[0].errors = errors.collect();
        data
    }

    #[test]
    fn runs_stand_side_by_side() {
        let mut runs = [run("old", 3), run("new", 3)];
        runs[0].operations[0].count = 1_234_567;
        runs[1].operations[0].count = 5;
        let text = summary(&runs, "get");
        markup::check(&text).unwrap();
        assert!(text.contains("<td>1,234,567</td><td>5</td>"), "{text}");
        assert!(text.contains("old</th>") && text.contains("new</th>"), "{text}");
        for (name, _) in STATISTICS {
            assert_eq!(text.matches(&format!(">{name}</th>")).count(), 2, "{name}");
        }
    }

    #[test]
    fn what_a_run_does_not_have_is_absent_and_not_0() {
        let mut other = run("other", 3);
        other.operations[0].name = "put".to_owned();
        let text = summary(&[run("one", 3), other], "get");
        assert_eq!(text.matches("</td><td>n/a</td></tr>").count(), 20, "{text}");
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn errors_are_counted_by_code() {
        let runs = [
            with_errors("a", &[("503 <SlowDown>", 7), ("timeout", 1), ("timeout", 2)]),
            with_errors("b", &[("timeout", u64::MAX), ("reset", 1)]),
        ];
        let text = summary(&runs, "get");
        markup::check(&text).unwrap();
        assert!(text.contains("errors 503 &lt;SlowDown&gt;</th><td>7</td><td>0</td>"), "{text}");
        assert!(text.contains("errors timeout</th><td>3</td><td>18,446,"), "{text}");
        assert!(text.contains("errors</th><td>10</td><td>18,446,"), "{text}");
        assert_eq!(text.matches("errors reset").count(), 1);
    }

    #[test]
    fn differing_values_are_marked() {
        let mut runs = [run("a", 1), run("b", 1)];
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        runs[0].manifest = vec![pair("commit", "1<2"), pair("rate", "20k"), pair("only", "here")];
        runs[1].manifest = vec![pair("rate", "20k"), pair("commit", "3")];
        let text = key_values(&runs, |run| run.manifest.as_slice());
        markup::check(&text).unwrap();
        assert!(text.contains("\u{2260} commit</th><td>1&lt;2</td><td>3</td>"), "{text}");
        assert!(text.contains(r#""row">rate</th><td>20k</td><td>20k</td>"#), "{text}");
        assert!(text.contains("\u{2260} only</th><td>here</td><td>n/a</td>"), "{text}");
        assert_eq!(key_values(&runs, |_| &[]), "");
        assert_eq!(key_values(&[], |run| run.manifest.as_slice()), "");
    }
}

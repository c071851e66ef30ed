//! The figures of one operation: rates, latencies over time, the percentile curve, heat maps.
//!
//! Invariants: all figures over time have the same time axis, so that they can be read one above
//! the other; a figure without data says so instead of being empty; rates that are 0 throughout
//! (bytes, errors) get no figure.

use crate::axis::{Axis, Quantity, nines};
use crate::chart::{ACROSS, Chart, Line, Mark, UPWARDS};
use crate::data::{IntervalPoint, LoopKind, OperationData, RunData};
use crate::escape::escaped;
use crate::heat;
use crate::series::{POINTS_MAX, Segment, drawable, end_of, over_time, thinned};
use crate::style::{legend, run_class, run_name};
use crate::table;

/// Reads one percentile of an interval, in microseconds.
type OfInterval = fn(&IntervalPoint) -> f64;

/// Name, class and value of the lines of the latency chart.
const PERCENTILES: [(&str, &str, OfInterval); 3] = [
    ("p50", "p50", |interval| interval.p50_us),
    ("p99", "p99", |interval| interval.p99_us),
    ("p99.9", "p999", |interval| interval.p999_us),
];

/// The section of an operation, the `number`-th of the page.
pub(crate) fn section(runs: &[RunData], name: &str, number: usize, marks: &[Mark<'_>]) -> String {
    let figures = Figures::new(runs, name, marks);
    let mut out = format!(r#"<section id="operation-{number}"><h2>{}</h2>"#, escaped(name));
    out.push_str(&table::summary(runs, name));
    out.push_str(r#"<div class="charts">"#);
    let rate = "operations per second";
    out.push_str(&figures.rate("Throughput", rate, Quantity::Count, |point| point.operations));
    if figures.has(|point| point.bytes > 0) {
        let rate = "bytes per second";
        out.push_str(&figures.rate("Bytes", rate, Quantity::Bytes, |point| point.bytes));
    }
    if figures.has(|point| point.errors > 0) {
        let rate = "errors per second";
        out.push_str(&figures.rate("Errors", rate, Quantity::Count, |point| point.errors));
    }
    out.push_str(&figures.latency());
    out.push_str(&figures.curve());
    out.push_str(&figures.heat_maps());
    out.push_str("</div>");
    if figures.entries.iter().any(|entry| entry.operation.intervals.len() > POINTS_MAX) {
        out.push_str(
            "<p class=\"note\">Of long runs, each stretch of time is drawn as its lowest ",
        );
        out.push_str("and its highest value; nothing is averaged.</p>");
    }
    out.push_str("</section>\n");
    out
}

/// One run's part of the figures.
struct Entry<'a> {
    run: usize,
    name: String,
    loop_kind: LoopKind,
    operation: &'a OperationData,
}

/// What the figures of one operation have in common.
struct Figures<'a> {
    entries: Vec<Entry<'a>>,
    marks: &'a [Mark<'a>],
    end_s: f64,
}

impl<'a> Figures<'a> {
    fn new(runs: &'a [RunData], name: &str, marks: &'a [Mark<'a>]) -> Self {
        let mut entries = Vec::new();
        let mut end_s = 1.0_f64;
        for (run, data) in runs.iter().enumerate() {
            let Some(operation) = data.operation(name) else {
                continue;
            };
            let ends = operation.intervals.iter().map(end_of);
            end_s = ends.fold(end_s.max(operation.heat.end_s()), f64::max);
            let (name, loop_kind) = (run_name(data, run), data.loop_kind);
            entries.push(Entry { run, name, loop_kind, operation });
        }
        Self { entries, marks, end_s }
    }

    fn has(&self, found: impl Fn(&IntervalPoint) -> bool) -> bool {
        self.entries.iter().any(|entry| entry.operation.intervals.iter().any(&found))
    }

    /// A count over time, as it was in a second of each interval.
    fn rate(
        &self,
        title: &str,
        rate: &str,
        quantity: Quantity,
        count: impl Fn(&IntervalPoint) -> u64,
    ) -> String {
        let per_second = |point: &IntervalPoint| count(point) as f64 / point.length_s() as f64;
        let lines = self.lines("", "p99", |point| Some(per_second(point)));
        let high = lines.iter().flat_map(Line::values).fold(0.0, f64::max);
        let y = Axis::rate(high, quantity, rate, UPWARDS);
        figure(title, &legend(&self.legend_of_runs(false)), &self.over_time(title, y, &lines))
    }

    /// Three percentiles of each interval over time.
    fn latency(&self) -> String {
        let mut lines = Vec::new();
        for (label, weight, value) in PERCENTILES {
            let measured = |point: &IntervalPoint| (point.operations > 0).then(|| value(point));
            lines.extend(self.lines(label, weight, measured));
        }
        let title = "Response time over time";
        let mut entries = self.legend_of_runs(true);
        for (label, weight, _) in PERCENTILES {
            entries.push((format!("neutral {weight}"), label.to_owned()));
        }
        let body = self.over_time(title, latency_axis(&lines), &lines);
        figure(title, &legend(&entries), &body)
    }

    /// Latency by percentile over the whole run.
    fn curve(&self) -> String {
        let line = |entry: &Entry<'_>| Line {
            name: entry.name.clone(),
            run: entry.run,
            weight: "p99",
            segments: curve_of(&entry.operation.percentile_curve),
        };
        let lines: Vec<Line> = self.entries.iter().map(line).collect();
        let points = lines.iter().flat_map(|line| line.segments.iter().flatten());
        // The axis ends at a whole nine; rounding must not add one.
        let end = (points.map(|point| point.0).fold(0.0_f64, f64::max) - 1e-6).ceil();
        let title = "Response time by percentile";
        let x = Axis::percentile(end.max(2.0), ACROSS);
        let chart = Chart { title, x, y: latency_axis(&lines), lines: &lines, marks: &[] };
        let body =
            if is_empty(&lines) { none("No percentile curve was recorded.") } else { chart.svg() };
        figure(title, &legend(&self.legend_of_runs(true)), &body)
    }

    fn heat_maps(&self) -> String {
        let sources: Vec<heat::Source<'_>> = self
            .entries
            .iter()
            .map(|entry| heat::Source { name: &entry.name, heat: &entry.operation.heat })
            .collect();
        let maps = heat::maps(&sources, self.end_s, self.marks);
        if maps.drawn.is_empty() {
            let body = none("No distribution over time was recorded.");
            return figure("Latency heat map", "", &body);
        }
        maps.drawn.iter().map(|(title, svg)| figure(title, &maps.legend, svg)).collect()
    }

    fn lines(
        &self,
        label: &str,
        weight: &'static str,
        value: impl Fn(&IntervalPoint) -> Option<f64>,
    ) -> Vec<Line> {
        let line = |entry: &Entry<'_>| Line {
            name: format!("{} {label}", entry.name).trim_end().to_owned(),
            run: entry.run,
            weight,
            segments: over_time(&entry.operation.intervals, &value),
        };
        self.entries.iter().map(line).collect()
    }

    fn over_time(&self, title: &str, y: Axis, lines: &[Line]) -> String {
        if is_empty(lines) {
            return none("No intervals were recorded.");
        }
        let x = Axis::time(self.end_s, ACROSS);
        Chart { title, x, y, lines, marks: self.marks }.svg()
    }

    /// The runs; where latencies are shown, those of closed loops say what they hide.
    fn legend_of_runs(&self, latencies: bool) -> Vec<(String, String)> {
        let entry_of = |entry: &Entry<'_>| {
            let name = if latencies && entry.loop_kind == LoopKind::Closed {
                format!("{} ({})", entry.name, entry.loop_kind.label())
            } else {
                entry.name.clone()
            };
            (run_class(entry.run), name)
        };
        self.entries.iter().map(entry_of).collect()
    }
}

/// The curve in nines. What lies behind the last percentile below 100, the maximum, is drawn
/// straight above it.
fn curve_of(points: &[(f64, f64)]) -> Vec<Segment> {
    let end = points.iter().filter_map(|point| nines(point.0)).fold(0.0, f64::max);
    let place = |percentile: f64| if percentile == 100.0 { Some(end) } else { nines(percentile) };
    let segment: Segment =
        points.iter().filter_map(|point| Some((place(point.0)?, drawable(point.1)?))).collect();
    if segment.is_empty() { Vec::new() } else { thinned(vec![segment]) }
}

/// The axis of what is above 0; the rest lies at its lower end.
fn latency_axis(lines: &[Line]) -> Axis {
    let values = || lines.iter().flat_map(Line::values).filter(|value| *value > 0.0);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    Axis::latency(low, high, UPWARDS)
}

fn is_empty(lines: &[Line]) -> bool {
    lines.iter().all(|line| line.segments.is_empty())
}

fn none(text: &str) -> String {
    format!(r#"<p class="none">{text}</p>"#)
}

fn figure(title: &str, legend: &str, body: &str) -> String {
    format!("<figure><figcaption>{}</figcaption>{legend}{body}</figure>\n", escaped(title))
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;

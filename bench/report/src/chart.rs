//! A figure with two axes: lines of several runs, marks of events.
//!
//! Invariants: every coordinate comes from `Axis::at`, so it lies within the picture; the numbers
//! of marks stand in rows above the plot and never on each other: where there is no room, the mark
//! keeps its line and its tooltip and loses its number.

use crate::axis::{Axis, Span};
use crate::escape::escaped;
use crate::number::pixel;
use crate::series::Segment;
use crate::style::run_class;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 44.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = HEIGHT - 46.0;
/// Where the numbers of marks stand.
const MARK_BASELINES: [f64; 2] = [28.0, 40.0];
/// Width of a digit of a mark in pixels, rather too much.
const MARK_DIGIT_WIDTH: f64 = 8.0;
/// Half the width of what is drawn for a point without neighbours.
const LONE_POINT: f64 = 2.0;

/// The pixels of a horizontal axis.
pub(crate) const ACROSS: Span = Span { from: LEFT, to: RIGHT };
/// The pixels of a vertical axis, which grows upwards.
pub(crate) const UPWARDS: Span = Span { from: BOTTOM, to: TOP };

/// One line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What the value under the pointer is called.
    pub(crate) name: String,
    /// Whose colour and line style it has.
    pub(crate) run: usize,
    /// The class of its width.
    pub(crate) weight: &'static str,
    /// Its points, in the units of the axes.
    pub(crate) segments: Vec<Segment>,
}

impl Line {
    /// Every value of the line.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.segments.iter().flatten().map(|point| point.1)
    }
}

/// An event of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a> {
    /// Its number in the table of events.
    pub(crate) number: usize,
    /// The run in which it happened.
    pub(crate) run: usize,
    /// When, from the start of the measured phase; finite.
    pub(crate) second: f64,
    /// What happened.
    pub(crate) text: &'a str,
}

/// Lines over two axes.
pub(crate) struct Chart<'a> {
    /// What it shows.
    pub(crate) title: &'a str,
    /// The horizontal axis.
    pub(crate) x: Axis,
    /// The vertical axis.
    pub(crate) y: Axis,
    /// The lines, drawn in this order.
    pub(crate) lines: &'a [Line],
    /// Events, by time; none where the horizontal axis is not time.
    pub(crate) marks: &'a [Mark<'a>],
}

impl Chart<'_> {
    /// The chart as an SVG element.
    pub(crate) fn svg(&self) -> String {
        let mut out = opened(self.title, &self.x, &self.y, true);
        marks(&mut out, &self.x, self.marks);
        for line in self.lines {
            let path = path_of(&line.segments, &self.x, &self.y);
            if path.is_empty() {
                continue;
            }
            let (class, name) = (run_class(line.run), escaped(&line.name));
            let weight = line.weight;
            _ = write!(
                out,
                r#"<path class="line {class} {weight}" data-name="{name}" d="{path}"/>"#
            );
        }
        out.push_str("</svg>\n");
        out
    }
}

/// The beginning of an SVG element: its axes. With `values`, the script shows what is under the
/// pointer.
pub(crate) fn opened(title: &str, x: &Axis, y: &Axis, values: bool) -> String {
    let title = escaped(title);
    let mut out = format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}""#);
    if values {
        let (across, upwards) = (x.description(), y.description());
        _ = write!(out, r#" data-x="{across}" data-y="{upwards}""#);
    }
    out.push('>');
    let mut grid = String::new();
    for tick in &y.ticks {
        let at = y.at(tick.value);
        _ = write!(grid, "M{LEFT} {}H{RIGHT}", pixel(at));
        label(&mut out, (LEFT - 8.0, at + 4.0), "end", &tick.label);
    }
    for tick in &x.ticks {
        let at = x.at(tick.value);
        _ = write!(grid, "M{} {BOTTOM}v5", pixel(at));
        label(&mut out, (at, BOTTOM + 18.0), "middle", &tick.label);
    }
    label(&mut out, (LEFT.midpoint(RIGHT), HEIGHT - 8.0), "middle", &x.title);
    label(&mut out, (4.0, 14.0), "start", &y.title);
    _ = write!(out, r#"<path class="grid" d="{grid}"/>"#);
    out
}

/// The marks that lie on the axis: a line through the plot each, the number above it.
pub(crate) fn marks(out: &mut String, x: &Axis, marks: &[Mark<'_>]) {
    let mut free_from = [f64::NEG_INFINITY; MARK_BASELINES.len()];
    for mark in marks.iter().filter(|mark| x.contains(mark.second)) {
        let at = x.at(mark.second);
        let (class, place) = (run_class(mark.run), pixel(at));
        let text = escaped(mark.text);
        let number = mark.number.to_string();
        _ = write!(
            out,
            r#"<g class="mark"><title>{number}: {text}</title><path class="line {class}" d="M{place} {TOP}V{BOTTOM}"/>"#
        );
        let half = number.len() as f64 * MARK_DIGIT_WIDTH / 2.0;
        let mut rows = free_from.iter_mut().zip(MARK_BASELINES);
        if let Some((free, baseline)) = rows.find(|(free, _)| at - half >= **free) {
            *free = at + half + 2.0;
            label(out, (at, baseline), "middle", &number);
        }
        out.push_str("</g>");
    }
}

fn label(out: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let (x, y, text) = (pixel(x), pixel(y), escaped(text));
    _ = write!(out, r#"<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#);
}

fn path_of(segments: &[Segment], x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    for segment in segments {
        if let [point] = segment.as_slice() {
            let (across, up) = (x.at(point.0), pixel(y.at(point.1)));
            let (from, to) = (pixel(across - LONE_POINT), pixel(across + LONE_POINT));
            _ = write!(path, "M{from} {up}L{to} {up}");
            continue;
        }
        for (index, point) in segment.iter().enumerate() {
            path.push(if index == 0 { 'M' } else { 'L' });
            _ = write!(path, "{} {}", pixel(x.at(point.0)), pixel(y.at(point.1)));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axis::Quantity;
    use crate::markup;

    fn line(run: usize, segments: Vec<Segment>) -> Line {
        Line { name: format!("<run {run}>"), run, weight: "p99", segments }
    }

    fn svg(lines: &[Line], marks: &[Mark<'_>]) -> String {
        let x = Axis::time(10.0, ACROSS);
        let y = Axis::rate(100.0, Quantity::Count, "operations per second", UPWARDS);
        Chart { title: "Rate & more", x, y, lines, marks }.svg()
    }

    #[test]
    fn lines_of_runs_differ() {
        let rising = vec![vec![(0.0, 0.0), (10.0, 100.0)]];
        let svg = svg(&[line(0, rising.clone()), line(1, rising)], &[]);
        markup::check(&svg).unwrap();
        assert_eq!(svg.matches(r#"d="M72 254L716 44""#).count(), 2);
        for class in [run_class(0), run_class(1)] {
            assert_eq!(svg.matches(&format!("line {class} p99")).count(), 1, "{class}");
        }
        assert!(svg.contains("&lt;run 1&gt;") && svg.contains("Rate &amp; more"));
    }

    #[test]
    fn lone_points_are_seen_and_nothing_is_drawn_for_no_points() {
        let lone = svg(&[line(0, vec![vec![(5.0, 50.0)]])], &[]);
        assert!(lone.contains(r#"d="M392 149L396 149""#), "{lone}");
        let empty = svg(&[line(0, Vec::new()), line(1, vec![Vec::new()])], &[]);
        markup::check(&empty).unwrap();
        assert!(!empty.contains("data-name"));
    }

    #[test]
    fn numbers_of_marks_do_not_cover_each_other() {
        let mark = |number, second| Mark { number, run: 0, second, text: "drive <3> & off" };
        let close: Vec<Mark<'_>> = (1..=9).map(|number| mark(number, 5.0)).collect();
        let drawn = svg(&[], &close);
        markup::check(&drawn).unwrap();
        assert_eq!(drawn.matches(r#"<g class="mark">"#).count(), 9);
        let numbers = |svg: &str| {
            MARK_BASELINES
                .iter()
                .map(|baseline| svg.matches(&format!(r#"y="{baseline}""#)).count())
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(&drawn), [1, 1], "one in each row");
        assert!(drawn.contains("<title>9: drive &lt;3&gt; &amp; off</title>"));
        let far = svg(&[], &[mark(1, 1.0), mark(2, 9.0), mark(3, 11.0)]);
        assert_eq!(numbers(&far), [2, 0], "the third is behind the end");
        assert_eq!(far.matches(r#"<g class="mark">"#).count(), 2);
    }
}

//! Latency heat maps: time to the right, latency upwards, the count of operations as colour.
//!
//! Invariants: counts are only added up, never averaged or left out; the maps of one operation
//! share axes, cell size and colours, so that runs can be compared; a count of 0 has no colour, so
//! that one slow operation among millions is seen. Colours go by the logarithm of the count.

use crate::axis::Axis;
use crate::chart::{ACROSS, Mark, UPWARDS, marks, opened};
use crate::data::Heat;
use crate::number::{COUNT_UNITS, pixel, with_unit};
use crate::series::drawable;
use std::fmt::Write;
use std::ops::Range;

/// Colours in `page.css`.
const LEVELS: usize = 10;
/// Cells beside each other; for more seconds, a cell holds several.
const COLUMNS_MAX: usize = 240;
/// Cells above each other; for more buckets, a cell holds several.
const ROWS_MAX: usize = 80;

/// One run's counts.
pub(crate) struct Source<'a> {
    /// What the run is called.
    pub(crate) name: &'a str,
    /// Its counts.
    pub(crate) heat: &'a Heat,
}

/// The maps of one operation.
pub(crate) struct Maps {
    /// Title and SVG element of each run that has counts.
    pub(crate) drawn: Vec<(String, String)>,
    /// Which colour means what, for all of them.
    pub(crate) legend: String,
}

/// Draws the heat maps of one operation, `end_s` seconds wide.
pub(crate) fn maps(sources: &[Source<'_>], end_s: f64, events: &[Mark<'_>]) -> Maps {
    let used: Vec<(&Source<'_>, Range<usize>)> =
        sources.iter().filter_map(|source| Some((source, used_buckets(source.heat)?))).collect();
    let seconds = used.iter().map(|(source, _)| source.heat.length_s()).max();
    let column_s = used.iter().map(|(source, _)| source.heat.column_s()).max();
    let buckets = used.iter().map(|(_, range)| range.len()).max();
    let cell = Cell {
        // Whole columns of every run, so that equal colours mean equally much in all maps.
        seconds: seconds
            .unwrap_or(1)
            .div_ceil(COLUMNS_MAX as u64)
            .next_multiple_of(column_s.unwrap_or(1)),
        buckets: buckets.unwrap_or_default().div_ceil(ROWS_MAX).max(1),
    };
    let grids: Vec<(&Source<'_>, Grid)> = used
        .into_iter()
        .map(|(source, range)| (source, Grid::new(source.heat, &range, cell)))
        .collect();
    let low_us = grids.iter().map(|(_, grid)| grid.low_us()).fold(f64::INFINITY, f64::min);
    let high_us = grids.iter().map(|(_, grid)| grid.high_us()).fold(0.0, f64::max);
    let count_max = grids.iter().map(|(_, grid)| grid.count_max()).max().unwrap_or_default();
    let x = Axis::time(end_s, ACROSS);
    let y = Axis::latency(low_us, high_us, UPWARDS);
    let draw = |(source, grid): &(&Source<'_>, Grid)| {
        let title = format!("Latency heat map: {}", source.name);
        let mut svg = opened(&title, &x, &y, false);
        for (level, path) in grid.paths(&x, &y, count_max).iter().enumerate() {
            if !path.is_empty() {
                _ = write!(svg, r#"<path class="heat{level}" d="{path}"/>"#);
            }
        }
        marks(&mut svg, &x, events);
        svg.push_str("</svg>\n");
        (title, svg)
    };
    Maps { drawn: grids.iter().map(draw).collect(), legend: legend(count_max, cell) }
}

/// The buckets from the first to the last that hold anything; `None` where nothing can be drawn.
fn used_buckets(heat: &Heat) -> Option<Range<usize>> {
    let bounds = &heat.bounds_us;
    let sound = bounds.iter().all(|bound| drawable(*bound) == Some(*bound));
    let growing = bounds.iter().zip(bounds.iter().skip(1)).all(|(low, high)| low < high);
    if !sound || !growing {
        return None;
    }
    let buckets = bounds.len().saturating_sub(1);
    let filled = |bucket: &usize| {
        heat.counts.iter().any(|row| row.get(*bucket).is_some_and(|count| *count > 0))
    };
    let first = (0..buckets).find(filled)?;
    let last = (0..buckets).rev().find(filled)?;
    Some(first..last + 1)
}

/// How much a cell holds.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Never fewer than of a column.
    seconds: u64,
    buckets: usize,
}

/// Counts by cell.
///
/// **Shape**: `columns[column][row]`; row `r` lies between `bounds_us[r]` and `bounds_us[r + 1]`.
struct Grid {
    cell_s: f64,
    bounds_us: Vec<f64>,
    columns: Vec<Vec<u64>>,
}

impl Grid {
    fn new(heat: &Heat, used: &Range<usize>, cell: Cell) -> Self {
        // Rows begin at a multiple of the cell, so that equal bounds give equal rows in all runs.
        let first = used.start - used.start % cell.buckets;
        let rows = (used.end - first).div_ceil(cell.buckets);
        let bound_last = heat.bounds_us.len() - 1;
        let bucket_of = |row: usize| first + row * cell.buckets;
        let bounds_us =
            (0..=rows).map(|row| heat.bounds_us[bucket_of(row).min(bound_last)]).collect();
        let sum = |seconds: &[Vec<u64>], row: usize| {
            let buckets = bucket_of(row)..bucket_of(row + 1).min(used.end);
            let counts = seconds
                .iter()
                .flat_map(|counts| counts.iter().skip(buckets.start).take(buckets.len()).copied());
            counts.fold(0_u64, u64::saturating_add)
        };
        let of_cell = usize::try_from(cell.seconds / heat.column_s()).unwrap_or(usize::MAX);
        let cell_s = of_cell as f64 * heat.column_s() as f64;
        let columns = heat
            .counts
            .chunks(of_cell)
            .map(|seconds| (0..rows).map(|row| sum(seconds, row)).collect())
            .collect();
        Self { cell_s, bounds_us, columns }
    }

    /// The lower end of a logarithmic axis; a bucket from 0 on gets one step of it.
    fn low_us(&self) -> f64 {
        match self.bounds_us.as_slice() {
            [first, ..] if *first > 0.0 => *first,
            [_, second, ..] => second / 2.0,
            _ => 1.0,
        }
    }

    fn high_us(&self) -> f64 {
        self.bounds_us.last().copied().unwrap_or(1.0)
    }

    fn count_max(&self) -> u64 {
        self.columns.iter().flatten().copied().max().unwrap_or_default()
    }

    /// The cells of each colour as one path; neighbours above each other are one rectangle.
    fn paths(&self, x: &Axis, y: &Axis, count_max: u64) -> Vec<String> {
        let mut paths = vec![String::new(); LEVELS];
        let second_of = |column: usize| column as f64 * self.cell_s;
        for (index, column) in self.columns.iter().enumerate() {
            let left = pixel(x.at(second_of(index)));
            let right = pixel(x.at(second_of(index + 1)));
            let mut row = 0;
            let equal = |one: &u64, next: &u64| level(*one, count_max) == level(*next, count_max);
            for cells in column.chunk_by(equal) {
                let bottom = pixel(y.at(self.bounds_us[row]));
                row += cells.len();
                let top = pixel(y.at(self.bounds_us[row]));
                if let Some(level) = cells.first().and_then(|count| level(*count, count_max)) {
                    _ = write!(paths[level], "M{left} {bottom}H{right}V{top}H{left}Z");
                }
            }
        }
        paths
    }
}

/// The colour of a count; none for 0.
fn level(count: u64, count_max: u64) -> Option<usize> {
    if count == 0 {
        return None;
    }
    if count_max <= 1 {
        return Some(LEVELS - 1);
    }
    let share = (count as f64).ln() / (count_max as f64).ln();
    Some(((share * LEVELS as f64) as usize).min(LEVELS - 1))
}

fn legend(count_max: u64, cell: Cell) -> String {
    let mut out = String::from(r#"<p class="legend"><span>1 <svg class="scale" "#);
    out.push_str(r#"viewBox="0 0 100 10" aria-hidden="true">"#);
    for level in 0..LEVELS {
        _ = write!(out, r#"<path class="heat{level}" d="M{} 0h10v10h-10z"/>"#, level * 10);
    }
    let most = with_unit(count_max as f64, &COUNT_UNITS, 3);
    let seconds = cell.seconds;
    _ = write!(out, "</svg> {most} operations in a cell, which is {seconds} s wide</span></p>");
    out
}

#[cfg(test)]
#[path = "heat_tests.rs"]
mod tests;

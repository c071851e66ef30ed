//! Axes: which values they span, where a value lies, which ticks are labelled.
//!
//! Invariants: an axis spans finite values and never nothing, whatever it is made from; a position
//! is finite and within the span in pixels; ticks are steps of 1, 2 and 5 (percentiles: 50, 90, 99
//! and so on), in order, and their labels do not overlap.

use crate::number::{BYTE_UNITS, COUNT_UNITS, LATENCY_UNITS, pixel, with_unit};
use std::f64::consts::LOG10_2;

/// Larger values are drawn as this one.
pub(crate) const VALUE_MAX: f64 = 1e18;
/// The lowest latency of a logarithmic axis: a nanosecond.
const LATENCY_MIN_US: f64 = 1e-3;
/// The most nines a percentile axis shows.
const NINES_MAX: f64 = 8.0;
/// Pixels between two labels beside each other, at least.
const LABEL_GAP: f64 = 10.0;
/// Pixels between two labels above each other, at least.
const LABEL_HEIGHT: f64 = 18.0;
/// Width of a character of a label in pixels, rather too much.
const CHARACTER_WIDTH: f64 = 8.0;
/// The most steps of a rate axis.
const RATE_STEPS_MAX: f64 = 8.0;
/// What rounding may shift.
const TOLERANCE: f64 = 1e-9;

/// The pixels of the lowest and the highest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    /// Where the lowest value lies.
    pub(crate) from: f64,
    /// Where the highest value lies; less than `from` on a vertical axis.
    pub(crate) to: f64,
}

impl Span {
    fn length(self) -> f64 {
        (self.to - self.from).abs()
    }
}

/// What an axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Seconds since the start.
    Time,
    /// Percentiles as nines: 1 is 90 %, 2 is 99 %, 3 is 99.9 %.
    Nines,
    /// Plain counts.
    Count,
    /// Bytes.
    Bytes,
    /// Latencies in microseconds.
    Latency,
}

/// A labelled place of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    /// Its value, in the unit of the axis.
    pub(crate) value: f64,
    /// Its value as text.
    pub(crate) label: String,
}

impl Tick {
    fn width(&self) -> f64 {
        self.label.chars().count() as f64 * CHARACTER_WIDTH
    }
}

/// One axis of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    /// What stands beside it.
    pub(crate) title: String,
    /// Where lines and labels are drawn.
    pub(crate) ticks: Vec<Tick>,
    quantity: Quantity,
    logarithmic: bool,
    low: f64,
    high: f64,
    span: Span,
}

impl Axis {
    /// Time from the start to `high_s`, at least one second.
    pub(crate) fn time(high_s: f64, span: Span) -> Self {
        let high_s = if high_s.is_finite() { high_s.clamp(1.0, VALUE_MAX) } else { 1.0 };
        let (unit_s, unit) = if high_s <= 300.0 {
            (1.0, "seconds")
        } else if high_s <= 18_000.0 {
            (60.0, "minutes")
        } else {
            (3600.0, "hours")
        };
        let title = format!("{unit} since the start of the measured phase");
        let mut axis = Self::empty(Quantity::Time, title, (0.0, high_s), span);
        let label = |value: f64| format!("{:.0}", value / unit_s);
        let mut choices = (1..=10_u32).rev().map(|count| {
            let step = ceil_125(high_s / unit_s / f64::from(count)).max(1.0) * unit_s;
            axis.linear_ticks(step, label)
        });
        let fitting = choices.find(|ticks| axis.fits_beside(ticks));
        axis.ticks = fitting.unwrap_or_default();
        axis
    }

    /// A rate from 0 to `high` or the next tick above it.
    pub(crate) fn rate(high: f64, quantity: Quantity, title: &str, span: Span) -> Self {
        let high = if high.is_finite() { high.clamp(1.0, VALUE_MAX) } else { 1.0 };
        let step = ceil_125(high / RATE_STEPS_MAX);
        let high = (high / step - TOLERANCE).ceil() * step;
        let mut axis = Self::empty(quantity, title.to_owned(), (0.0, high), span);
        let units = if quantity == Quantity::Bytes { &BYTE_UNITS } else { &COUNT_UNITS };
        axis.ticks = axis.linear_ticks(step, |value| with_unit(value, units, 3));
        axis
    }

    /// Latencies on a logarithmic axis, from the tick below `low_us` to the one above `high_us`.
    pub(crate) fn latency(low_us: f64, high_us: f64, span: Span) -> Self {
        let bounded = |value: f64| {
            if value.is_finite() { value.clamp(LATENCY_MIN_US, VALUE_MAX) } else { 1.0 }
        };
        let low_us = bounded(low_us);
        let high_us = bounded(high_us).max(low_us);
        let (mut low, mut high) = (floor_125(low_us), ceil_125(high_us));
        if high < low * 1.5 {
            // All values are equal and on a tick.
            (low, high) = (floor_125(low * 0.9), ceil_125(high * 1.1));
        }
        let mut axis = Self::empty(Quantity::Latency, "latency".to_owned(), (low, high), span);
        axis.logarithmic = true;
        axis.ticks = axis.logarithmic_ticks();
        axis
    }

    /// Percentiles on an axis of 1 / (1 - p), from 0 to `high` nines.
    pub(crate) fn percentile(high: f64, span: Span) -> Self {
        let high = if high.is_finite() { high.clamp(1.0, NINES_MAX) } else { 1.0 };
        let title = "percentile".to_owned();
        let mut axis = Self::empty(Quantity::Nines, title, (0.0, high), span);
        let mut ticks = vec![Tick { value: LOG10_2, label: "50 %".to_owned() }];
        for nines in 1..=high.floor() as usize {
            let label = match nines {
                1 => "90 %".to_owned(),
                2 => "99 %".to_owned(),
                _ => format!("99.{} %", "9".repeat(nines - 2)),
            };
            ticks.push(Tick { value: nines as f64, label });
        }
        axis.ticks = axis.without_overlaps(ticks);
        axis
    }

    /// Where a value lies; one outside of the axis lies at its end.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let value = if value.is_finite() { value.clamp(self.low, self.high) } else { self.low };
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.span.from + (self.span.to - self.span.from) * share
    }

    /// Whether a value lies on the axis.
    pub(crate) fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The axis for the script that shows values: scale, quantity, lowest and highest value and
    /// their pixels.
    pub(crate) fn description(&self) -> String {
        let scale = if self.logarithmic { "log" } else { "linear" };
        let quantity = match self.quantity {
            Quantity::Time => "time",
            Quantity::Nines => "nines",
            Quantity::Count => "count",
            Quantity::Bytes => "bytes",
            Quantity::Latency => "latency",
        };
        let (from, to) = (pixel(self.span.from), pixel(self.span.to));
        format!("{scale} {quantity} {} {} {from} {to}", self.low, self.high)
    }

    fn empty(quantity: Quantity, title: String, (low, high): (f64, f64), span: Span) -> Self {
        Self { title, ticks: Vec::new(), quantity, logarithmic: false, low, high, span }
    }

    /// Every multiple of `step` on the axis.
    fn linear_ticks(&self, step: f64, label: impl Fn(f64) -> String) -> Vec<Tick> {
        let first = (self.low / step - TOLERANCE).ceil() as i64;
        let last = (self.high / step + TOLERANCE).floor() as i64;
        (first..=last)
            .map(|index| {
                let value = index as f64 * step;
                Tick { value, label: label(value) }
            })
            .collect()
    }

    /// 1, 2 and 5 of every power of ten where there is room, else every or every n-th power.
    fn logarithmic_ticks(&self) -> Vec<Tick> {
        let decade = self.span.length() / (self.high / self.low).log10();
        let narrow = decade * LOG10_2 < LABEL_HEIGHT;
        let mantissas: &[f64] = if narrow { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let stride = (LABEL_HEIGHT / decade).ceil().max(1.0) as usize;
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let mut ticks = Vec::new();
        for exponent in (first..=last).step_by(stride) {
            for mantissa in mantissas {
                let value = mantissa * 10_f64.powi(exponent);
                let above = value >= self.low * (1.0 - TOLERANCE);
                if above && value <= self.high * (1.0 + TOLERANCE) {
                    ticks.push(Tick { value, label: with_unit(value, &LATENCY_UNITS, 3) });
                }
            }
        }
        ticks
    }

    fn fits_beside(&self, ticks: &[Tick]) -> bool {
        ticks.iter().zip(ticks.iter().skip(1)).all(|(left, right)| self.apart(left, right))
    }

    fn apart(&self, left: &Tick, right: &Tick) -> bool {
        let distance = self.at(right.value) - self.at(left.value);
        distance >= left.width().midpoint(right.width()) + LABEL_GAP
    }

    /// Leaves out each tick whose label would touch the one kept before it.
    fn without_overlaps(&self, ticks: Vec<Tick>) -> Vec<Tick> {
        let mut kept: Vec<Tick> = Vec::new();
        for tick in ticks {
            if kept.last().is_none_or(|last| self.apart(last, &tick)) {
                kept.push(tick);
            }
        }
        kept
    }
}

/// Where a percentile lies on an axis of 1 / (1 - p): the nines it has. `None` for 100 and for
/// what is no percentile.
pub(crate) fn nines(percentile: f64) -> Option<f64> {
    if !(0.0..100.0).contains(&percentile) {
        return None;
    }
    let nines = -(1.0 - percentile / 100.0).log10();
    nines.is_finite().then_some(nines.max(0.0))
}

/// The largest 1, 2 or 5 times a power of ten that is not above `value`, which is positive.
fn floor_125(value: f64) -> f64 {
    let power = 10_f64.powi(value.log10().floor() as i32);
    let mantissa = value / power * (1.0 + TOLERANCE);
    let steps = [10.0, 5.0, 2.0];
    steps.into_iter().find(|step| mantissa >= *step).unwrap_or(1.0) * power
}

/// The smallest 1, 2 or 5 times a power of ten that is not below `value`, which is positive.
fn ceil_125(value: f64) -> f64 {
    let power = 10_f64.powi(value.log10().floor() as i32);
    let mantissa = value / power * (1.0 - TOLERANCE);
    let steps = [1.0, 2.0, 5.0];
    steps.into_iter().find(|step| mantissa <= *step).unwrap_or(10.0) * power
}

#[cfg(test)]
#[path = "axis_tests.rs"]
mod tests;

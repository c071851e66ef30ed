use super::*;

const WIDE: Span = Span { from: 72.0, to: 724.0 };
const TALL: Span = Span { from: 254.0, to: 44.0 };

fn labels(axis: &Axis) -> Vec<&str> {
    axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
}

/// Ticks are on the axis, in order, and no label covers another.
fn check(axis: &Axis, beside: bool) {
    assert!(!axis.ticks.is_empty(), "{axis:?}");
    for tick in &axis.ticks {
        assert!(tick.value.is_finite() && axis.at(tick.value).is_finite(), "{axis:?}");
    }
    for (left, right) in axis.ticks.iter().zip(axis.ticks.iter().skip(1)) {
        assert!(left.value < right.value, "{axis:?}");
        let distance = (axis.at(right.value) - axis.at(left.value)).abs();
        let needed = if beside { left.width().midpoint(right.width()) } else { 14.0 };
        assert!(distance >= needed, "{} and {} of {axis:?}", left.label, right.label);
        assert_ne!(left.label, right.label, "{axis:?}");
    }
}

#[test]
fn steps_are_1_2_and_5() {
    for (value, below, above) in [
        (1.0, 1.0, 1.0),
        (1.01, 1.0, 2.0),
        (3.0, 2.0, 5.0),
        (5.0, 5.0, 5.0),
        (7.0, 5.0, 10.0),
        (99.0, 50.0, 100.0),
        (1000.0, 1000.0, 1000.0),
    ] {
        assert_eq!((floor_125(value), ceil_125(value)), (below, above), "{value}");
    }
    for exponent in -3..=18 {
        let power = 10_f64.powi(exponent);
        assert!((floor_125(power) / power - 1.0).abs() < 1e-6, "{power}");
        assert!((ceil_125(power) / power - 1.0).abs() < 1e-6, "{power}");
    }
}

#[test]
fn time_has_whole_units() {
    assert_eq!(labels(&Axis::time(1.0, WIDE)), ["0", "1"]);
    assert_eq!(labels(&Axis::time(10.0, WIDE)).len(), 11);
    assert_eq!(labels(&Axis::time(60.0, WIDE)), ["0", "10", "20", "30", "40", "50", "60"]);
    let hour = Axis::time(3600.0, WIDE);
    assert!(hour.title.starts_with("minutes"), "{}", hour.title);
    assert_eq!(labels(&hour), ["0", "10", "20", "30", "40", "50", "60"]);
    for seconds in [0.0, 1.0, 7.0, 299.0, 301.0, 17_999.0, 1e5, 1e9, 1e300, f64::NAN] {
        check(&Axis::time(seconds, WIDE), true);
    }
    check(&Axis::time(1e9, Span { from: 0.0, to: 120.0 }), true);
}

#[test]
fn rates_begin_at_0_and_end_on_a_tick() {
    let axis = Axis::rate(12_345.0, Quantity::Count, "operations per second", TALL);
    assert_eq!(labels(&axis), ["0", "2 k", "4 k", "6 k", "8 k", "10 k", "12 k", "14 k"]);
    assert_eq!((axis.at(0.0), axis.at(14_000.0)), (TALL.from, TALL.to));
    let bytes = Axis::rate(1e9, Quantity::Bytes, "bytes per second", TALL);
    assert_eq!(labels(&bytes), ["0", "200 MB", "400 MB", "600 MB", "800 MB", "1 GB"]);
    for high in [0.0, 1.0, 3.0, 999.0, 1e18, f64::INFINITY, f64::NAN, -5.0] {
        check(&Axis::rate(high, Quantity::Count, "rate", TALL), false);
    }
}

#[test]
fn latencies_are_logarithmic() {
    let axis = Axis::latency(130.0, 4200.0, TALL);
    assert_eq!(
        labels(&axis),
        ["100 \u{b5}s", "200 \u{b5}s", "500 \u{b5}s", "1 ms", "2 ms", "5 ms"]
    );
    let wide = Axis::latency(1.0, 1e9, TALL);
    assert_eq!(labels(&wide)[..4], ["1 \u{b5}s", "10 \u{b5}s", "100 \u{b5}s", "1 ms"]);
    let (low, middle, high) = (wide.at(1.0), wide.at(1e3), wide.at(1e6));
    assert!((low - middle - (middle - high)).abs() < 1e-6, "decades are equally high");
    for (low, high) in [(0.0, 0.0), (5.0, 1.0), (1e-9, 1e300), (f64::NAN, f64::INFINITY)] {
        check(&Axis::latency(low, high, TALL), false);
    }
}

#[test]
fn equal_latencies_lie_inside_of_the_axis() {
    for value in [1e-3, 1.0, 100.0, 123.0, 1e18] {
        let axis = Axis::latency(value, value, TALL);
        check(&axis, false);
        assert!((TALL.to..=TALL.from).contains(&axis.at(value)), "{axis:?}");
        assert!(axis.ticks.len() >= 2, "{axis:?}");
    }
}

#[test]
fn percentiles_are_nines() {
    assert_eq!(nines(0.0), Some(0.0));
    assert!((nines(90.0).unwrap() - 1.0).abs() < 1e-9);
    assert!((nines(99.99).unwrap() - 4.0).abs() < 1e-9);
    for percentile in [100.0, 101.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(nines(percentile), None, "{percentile}");
    }
    let axis = Axis::percentile(4.0, WIDE);
    assert_eq!(labels(&axis), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    for high in [-1.0, 0.0, 1.0, 7.0, 9.0, 300.0, f64::NAN, f64::INFINITY] {
        check(&Axis::percentile(high, WIDE), true);
    }
}

#[test]
fn a_position_is_always_on_the_axis() {
    let axis = Axis::latency(10.0, 1000.0, TALL);
    for value in [f64::NEG_INFINITY, -1.0, 0.0, 10.0, 500.0, 1e9, f64::INFINITY, f64::NAN] {
        let at = axis.at(value);
        assert!((TALL.to..=TALL.from).contains(&at), "{value} at {at}");
    }
    assert!(axis.contains(10.0) && !axis.contains(1e9) && !axis.contains(f64::NAN));
    assert_eq!(axis.description(), "log latency 10 1000 254 44");
}

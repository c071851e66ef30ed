//! Numbers into text: rounded to significant digits, with the SI prefix that fits.
//!
//! Invariants: never "NaN" or "inf"; no exponents; rounding comes before the choice of the prefix,
//! so that 999.9996 is "1 k" and not "1000".

/// What stands where there is no number.
pub(crate) const ABSENT: &str = "n/a";

/// Prefixes of plain counts.
pub(crate) const COUNT_UNITS: [(f64, &str); 5] =
    [(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")];
/// Prefixes of bytes, powers of 1,000.
pub(crate) const BYTE_UNITS: [(f64, &str); 5] =
    [(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")];
/// Units of latencies given in microseconds.
pub(crate) const LATENCY_UNITS: [(f64, &str); 4] =
    [(1e-3, "ns"), (1.0, "\u{b5}s"), (1e3, "ms"), (1e6, "s")];

/// Most digits behind the point.
const DECIMALS_MAX: i32 = 12;

/// A value with the largest unit it reaches, or the smallest of them.
pub(crate) fn with_unit(value: f64, units: &[(f64, &'static str)], digits: usize) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let value = rounded(value, digits);
    let reached = units.iter().rev().find(|(factor, _)| value.abs() >= *factor);
    let (factor, unit) = reached.or(units.first()).copied().unwrap_or((1.0, ""));
    let number = significant(value / factor, digits);
    if unit.is_empty() || number == "0" { number } else { format!("{number} {unit}") }
}

/// A value without a unit, rounded to significant digits, without zeros at the end.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let value = rounded(value, digits);
    if value == 0.0 {
        return "0".to_owned();
    }
    let exponent = value.abs().log10().floor() as i32;
    let wanted = i32::try_from(digits).unwrap_or(DECIMALS_MAX) - 1 - exponent;
    let decimals = usize::try_from(wanted.clamp(0, DECIMALS_MAX)).unwrap_or_default();
    without_zeros(&format!("{value:.decimals$}"))
}

/// A count with its digits in groups of three.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A coordinate or a length in an SVG: two digits behind the point are a hundredth of a pixel.
pub(crate) fn pixel(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    without_zeros(&format!("{value:.2}"))
}

fn rounded(value: f64, digits: usize) -> f64 {
    let text = format!("{value:.precision$e}", precision = digits.saturating_sub(1));
    text.parse().unwrap_or(value)
}

/// Drops zeros behind the point, the point when nothing is left behind it, and the sign of 0.
fn without_zeros(text: &str) -> String {
    let short =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_fit_after_rounding() {
        let count = |value| with_unit(value, &COUNT_UNITS, 3);
        assert_eq!(count(0.0), "0");
        assert_eq!(count(0.0025), "0.0025");
        assert_eq!(count(1.0), "1");
        assert_eq!(count(999.4), "999");
        assert_eq!(count(999.6), "1 k");
        assert_eq!(count(12_345.0), "12.3 k");
        assert_eq!(count(100_000.0), "100 k");
        assert_eq!(count(2.5e15), "2500 T");
        assert_eq!(with_unit(1_500_000.0, &BYTE_UNITS, 3), "1.5 MB");
        assert_eq!(with_unit(0.0, &BYTE_UNITS, 3), "0");
    }

    #[test]
    fn latencies_have_si_units() {
        let latency = |value_us| with_unit(value_us, &LATENCY_UNITS, 4);
        assert_eq!(latency(0.25), "250 ns");
        assert_eq!(latency(12.3456), "12.35 \u{b5}s");
        assert_eq!(latency(999.96), "1 ms");
        assert_eq!(latency(1234.4), "1.234 ms");
        assert_eq!(latency(2e6), "2 s");
        assert_eq!(latency(3.6e9), "3600 s");
    }

    #[test]
    fn what_is_no_number_is_said_to_be_absent() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(with_unit(value, &COUNT_UNITS, 3), ABSENT);
            assert_eq!(significant(value, 3), ABSENT);
            assert_eq!(pixel(value), "0");
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!(pixel(100.0), "100");
        assert_eq!(pixel(1.25), "1.25");
        assert_eq!(pixel(1.999), "2");
        assert_eq!(pixel(-0.001), "0");
        assert_eq!(pixel(-3.5), "-3.5");
    }
}

//! Numbers with units, as users write them.
//!
//! Invariants: nothing but digits, one point and a known unit is accepted (no sign, no exponent,
//! no `inf`); binary and decimal units are told apart and a bare `K` is refused for a size, since
//! people mean both by it.

/// The largest object size, 5 TiB, S3's own limit.
pub const SIZE_BYTES_MAX: u64 = 5 << 40;

/// Longest number: no more digits than a u64 has.
const NUMBER_CHARS_MAX: usize = 20;

/// A size in bytes: `4096`, `4KiB`, `1.5MiB`, `10MB`; at most `SIZE_BYTES_MAX`.
#[must_use]
pub fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let unit_bytes: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    // A float holds every whole number of bytes up to the limit, and far beyond.
    let bytes = (decimal(number)? * unit_bytes as f64).round() as u64;
    (bytes <= SIZE_BYTES_MAX).then_some(bytes)
}

/// A number of events a second: `200`, `20k`, `1.5M`.
pub(crate) fn per_second(text: &str) -> Option<f64> {
    let (number, unit) = split_unit(text)?;
    let scale = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        _ => return None,
    };
    Some(decimal(number)? * scale)
}

/// A time in seconds: `500ms`, `10s`, `2m`, `1h`; the unit is required.
#[must_use]
pub fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = split_unit(text)?;
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(decimal(number)? * scale)
}

/// A percentage as a share from 0 to 1: `10%`.
pub(crate) fn share(text: &str) -> Option<f64> {
    let share = decimal(text.trim().strip_suffix('%')?)? / 100.0;
    (share <= 1.0).then_some(share)
}

/// A number without a unit: digits and at most one point.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let points = text.bytes().filter(|byte| *byte == b'.').count();
    let plain = digits + points == text.len() && digits > 0 && points <= 1;
    if !plain || text.len() > NUMBER_CHARS_MAX {
        return None;
    }
    text.parse().ok()
}

/// `name(arguments)` as its two parts.
pub(crate) fn call(text: &str) -> Option<(&str, &str)> {
    let (name, arguments) = text.strip_suffix(')')?.split_once('(')?;
    Some((name.trim(), arguments.trim()))
}

/// A number and its unit; nothing if there is no number.
fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let number_bytes = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.');
    let (number, unit) = text.split_at(number_bytes.count());
    if number.is_empty() { None } else { Some((number, unit.trim_start())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let valid = [
            ("0", 0),
            ("4096", 4096),
            ("17B", 17),
            ("4KiB", 4096),
            (" 4 KiB ", 4096),
            ("1.5MiB", 1_572_864),
            (".5KiB", 512),
            ("10MB", 10_000_000),
            ("3kB", 3_000),
            ("1GiB", 1 << 30),
            ("5TiB", SIZE_BYTES_MAX),
            ("5497558138879", SIZE_BYTES_MAX - 1),
        ];
        for (text, bytes) in valid {
            assert_eq!(size_bytes(text), Some(bytes), "{text}");
        }
        let words = "KiB -1 +1 4K 4kib 1e3 1.2.3 . 4KiB5 inf NaN 0x10 5497558138881 6TiB 1,5 \
                     99999999999999999999 99999999999999999999TiB \u{664}";
        for text in words.split(' ').chain(["", " "]) {
            assert_eq!(size_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn rates_times_and_shares() {
        assert_eq!(per_second("20k"), Some(20_000.0));
        assert_eq!(per_second("1.5M"), Some(1_500_000.0));
        assert_eq!(per_second("0.5"), Some(0.5));
        assert_eq!(per_second("20q"), None);
        assert_eq!(seconds("60s"), Some(60.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("1h"), Some(3600.0));
        assert_eq!(seconds("60"), None);
        assert_eq!(share("10%"), Some(0.1));
        assert_eq!(share("0.1"), None);
        assert_eq!(share("101%"), None);
    }

    #[test]
    fn calls() {
        assert_eq!(call("uniform(1,2)"), Some(("uniform", "1,2")));
        assert_eq!(call("zipf( 0.99 )"), Some(("zipf", "0.99")));
        assert_eq!(call("zipf(0.99"), None);
        assert_eq!(call("zipf"), None);
    }
}

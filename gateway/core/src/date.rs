//! HTTP dates. Written as IMF-fixdate; read in all three forms a recipient must accept. And the
//! one form of dates in signatures, which is read only.
//!
//! Invariant: `parse(&format(ms))` is the whole second of `ms`, from 1970 to 9999.
//! Sources: RFC 9110, section 5.6.7; S3 API reference, "Authenticating Requests".

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_SECONDS: u64 = 86_400;

/// A day of the Gregorian calendar.
struct Day {
    year: u64,
    /// 1..=12.
    month: u64,
    /// 1..=31.
    day: u64,
}

/// Days of the years 1970..year.
fn days_before_year(year: u64) -> u64 {
    // Leap days up to and including year `y` since year 0.
    let leaps = |y: u64| y / 4 - y / 100 + y / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn day_of(days_since_1970: u64) -> Day {
    // 365.2425 days a year: the estimate is off by one at most.
    let mut year = 1970 + days_since_1970 * 400 / 146_097;
    while days_before_year(year) > days_since_1970 {
        year -= 1;
    }
    while days_before_year(year + 1) <= days_since_1970 {
        year += 1;
    }
    let mut rest = days_since_1970 - days_before_year(year);
    let mut month = 1;
    while rest >= month_days(year, month) {
        rest -= month_days(year, month);
        month += 1;
    }
    Day { year, month, day: rest + 1 }
}

fn name_of(names: &[&'static str], index: u64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or("")
}

/// The date as IMF-fixdate, from milliseconds since 1970.
#[must_use]
pub fn format(ms: u64) -> String {
    let seconds = ms / 1000;
    let days = seconds / DAY_SECONDS;
    let time = seconds % DAY_SECONDS;
    let Day { year, month, day } = day_of(days);
    // 1970-01-01 was a Thursday.
    let weekday = name_of(&DAYS, (days + 3) % 7);
    let month = name_of(&MONTHS, month - 1);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u64> {
    if !lengths.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `hh:mm:ss`.
fn clock_of(time: &str) -> Option<[u64; 3]> {
    let mut fields = time.split(':');
    let hour = digits(fields.next()?, 2..=2)?;
    let minute = digits(fields.next()?, 2..=2)?;
    let second = digits(fields.next()?, 2..=2)?;
    if fields.next().is_some() { None } else { Some([hour, minute, second]) }
}

fn seconds_of(day: &Day, [hour, minute, second]: [u64; 3]) -> Option<u64> {
    let month_is_real = (1..=12).contains(&day.month);
    if day.year < 1970 || !month_is_real {
        return None;
    }
    if !(1..=month_days(day.year, day.month)).contains(&day.day) {
        return None;
    }
    // Second 60 is a leap second; it reads as the next minute's first.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let months: u64 = (1..day.month).map(|month| month_days(day.year, month)).sum();
    let days = days_before_year(day.year) + months + day.day - 1;
    Some(days * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

fn month_of(name: &str) -> Option<u64> {
    let index = MONTHS.iter().position(|month| *month == name)?;
    u64::try_from(index + 1).ok()
}

/// Reads an HTTP date: seconds since 1970. `None` for anything that is none, or before 1970.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words.as_slice() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [weekday, day, month, year, time, "GMT"] if weekday.ends_with(',') => {
            let (day, year) = (digits(day, 2..=2)?, digits(year, 4..=4)?);
            seconds_of(&Day { year, month: month_of(month)?, day }, clock_of(time)?)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [weekday, date, time, "GMT"] if weekday.ends_with(',') => {
            let mut fields = date.split('-');
            let day = digits(fields.next()?, 2..=2)?;
            let month = month_of(fields.next()?)?;
            let year = digits(fields.next()?, 2..=2)?;
            // Two digits: no object here is older than 1970.
            let year = if year < 70 { 2000 + year } else { 1900 + year };
            if fields.next().is_some() {
                return None;
            }
            seconds_of(&Day { year, month, day }, clock_of(time)?)
        }
        // Sun Nov  6 08:49:37 1994
        [_, month, day, time, year] => {
            let (day, year) = (digits(day, 1..=2)?, digits(year, 4..=4)?);
            seconds_of(&Day { year, month: month_of(month)?, day }, clock_of(time)?)
        }
        _ => None,
    }
}

/// Reads the date of a signature, `19941106T084937Z`: seconds since 1970. `None` for anything that
/// is none, or before 1970.
#[must_use]
pub fn parse_signed(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 6 {
        return None;
    }
    let field = |text: &str, from: usize, to: usize| digits(text.get(from..to)?, 2..=4);
    let day = Day { year: field(date, 0, 4)?, month: field(date, 4, 6)?, day: field(date, 6, 8)? };
    let second = field(time, 4, 6).filter(|second| *second < 60)?;
    seconds_of(&day, [field(time, 0, 2)?, field(time, 2, 4)?, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_signatures_have_one_form() {
        assert_eq!(parse_signed("19941106T084937Z"), Some(784_111_777));
        for text in [
            "",
            "19941106",
            "19941106T084937",
            "19941106t084937Z",
            "1994-11-06T08:49:37Z",
            "19941106T0849370Z",
            "19941306T084937Z",
            "19940231T084937Z",
            "19941106T244937Z",
            "19941106T086037Z",
            "19941106T084960Z",
            "+9941106T084937Z",
            "199411\u{e4}T084937Z",
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_signed(text), None, "{text}");
        }
    }

    #[test]
    fn all_three_forms_read_as_the_same_second() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
        assert_eq!(format(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        for text in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_round_trips_over_the_leap_rules() {
        // 1970 to 2440: holds 2000 (leap), 2100 to 2300 (not), 2400 (leap).
        for day in 0..171_700 {
            let seconds = day * DAY_SECONDS + 12_345;
            assert_eq!(parse(&format(seconds * 1000)), Some(seconds));
        }
        assert_eq!(format(951_782_400_000), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(253_402_300_799_000), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}

//! Log lines on stderr: one line per event, as text or JSON, with key=value fields.
//!
//! For events a person reads: starts, stops, changes of state, refusals. Never on a request's
//! path: each line takes the stderr lock and a system call. Callers pass no secrets; `Secret`
//! has no `Display`, so it cannot be a field.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something failed that should not have.
    Error = 1,
    /// It works, but a person should act.
    Warn = 2,
    /// What an operator wants to see in normal times.
    Info = 3,
    /// For finding faults.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl Level {
    /// Names that configuration accepts, in order.
    pub const NAMES: &'static [&'static str] = &["error", "warn", "info", "debug", "trace"];

    /// Level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize - 1]
    }
}

/// Shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Time, level, message, key=value.
    Text,
    /// One JSON object.
    Json,
}

/// A named value of an event.
pub type Field<'a> = (&'a str, &'a dyn Display);

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static JSON: AtomicBool = AtomicBool::new(false);

/// Sets level and format for the whole process.
pub fn configure(level: Level, format: Format) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    JSON.store(format == Format::Json, Ordering::Relaxed);
}

/// Whether events of this level are written; ask before building costly fields.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes an event. From any thread; lines never mix.
pub fn log(level: Level, message: &str, fields: &[Field<'_>]) {
    if !enabled(level) {
        return;
    }
    let format = if JSON.load(Ordering::Relaxed) { Format::Json } else { Format::Text };
    let line = format_line(format, level, wall_ms(), message, fields);
    // Nobody is left to tell when stderr is gone.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// `log` with `Level::Error`.
pub fn error(message: &str, fields: &[Field<'_>]) {
    log(Level::Error, message, fields);
}

/// `log` with `Level::Warn`.
pub fn warn(message: &str, fields: &[Field<'_>]) {
    log(Level::Warn, message, fields);
}

/// `log` with `Level::Info`.
pub fn info(message: &str, fields: &[Field<'_>]) {
    log(Level::Info, message, fields);
}

/// `log` with `Level::Debug`.
pub fn debug(message: &str, fields: &[Field<'_>]) {
    log(Level::Debug, message, fields);
}

#[allow(clippy::disallowed_methods, reason = "log lines carry the real wall clock")]
fn wall_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn format_line(
    format: Format,
    level: Level,
    time_ms: u64,
    message: &str,
    fields: &[Field<'_>],
) -> String {
    let time = timestamp(time_ms);
    match format {
        Format::Text => text_line(&time, level, message, fields),
        Format::Json => json_line(&time, level, message, fields),
    }
}

fn text_line(time: &str, level: Level, message: &str, fields: &[Field<'_>]) -> String {
    let name = level.name().to_ascii_uppercase();
    let mut line = format!("{time} {name:5} ");
    push_escaped(&mut line, message);
    for (key, value) in fields {
        let value = value.to_string();
        let plain = !value.is_empty()
            && value.chars().all(|letter| !letter.is_whitespace() && !"\"=\\".contains(letter));
        // Writing to a String cannot fail.
        let _ = write!(line, " {key}=");
        if plain {
            push_escaped(&mut line, &value);
        } else {
            line.push('"');
            push_escaped(&mut line, &value.replace('\\', "\\\\").replace('"', "\\\""));
            line.push('"');
        }
    }
    line.push('\n');
    line
}

/// Control characters would break "one line per event" or drive the reader's terminal.
fn push_escaped(line: &mut String, text: &str) {
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
}

fn json_line(time: &str, level: Level, message: &str, fields: &[Field<'_>]) -> String {
    let mut line = String::from("{\"time\":");
    push_json(&mut line, time);
    line.push_str(",\"level\":");
    push_json(&mut line, level.name());
    line.push_str(",\"message\":");
    push_json(&mut line, message);
    for (key, value) in fields {
        line.push(',');
        push_json(&mut line, key);
        line.push(':');
        push_json(&mut line, &value.to_string());
    }
    line.push_str("}\n");
    line
}

fn push_json(line: &mut String, text: &str) {
    line.push_str(&serde_json::Value::from(text).to_string());
}

/// Now, as log lines have it.
pub fn utc_now() -> String {
    timestamp(wall_ms())
}

/// RFC 3339 in UTC, with milliseconds.
fn timestamp(time_ms: u64) -> String {
    let (seconds, millis) = (time_ms / 1000, time_ms % 1000);
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the
/// leap day is the last day of its year.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    // 1970-01-01 is day 719468 counted from 0000-03-01.
    let days = days + 719_468;
    let era = days / DAYS_PER_ERA;
    let day_of_era = days % DAYS_PER_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_quotes_what_needs_it() {
        let fields: [Field<'_>; 3] = [("drive", &"/d1"), ("why", &"a b=\"c\""), ("count", &3)];
        let line = format_line(Format::Text, Level::Warn, 0, "drive failed", &fields);
        let expected = "1970-01-01T00:00:00.000Z WARN  drive failed drive=/d1 \
                        why=\"a b=\\\"c\\\"\" count=3\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn an_event_is_one_line_in_both_formats() {
        let fields: [Field<'_>; 1] = [("path", &"/a\nb\u{1b}[2J")];
        for format in [Format::Text, Format::Json] {
            let line = format_line(format, Level::Info, 0, "two\nlines", &fields);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }

    #[test]
    fn json_parses_back() {
        let fields: [Field<'_>; 1] = [("path", &"/a\"b\\")];
        let line = format_line(Format::Json, Level::Error, 1_000, "it \"broke\"", &fields);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "1970-01-01T00:00:01.000Z");
        assert_eq!(value["level"], "error");
        assert_eq!(value["message"], "it \"broke\"");
        assert_eq!(value["path"], "/a\"b\\");
    }

    #[test]
    fn dates_of_the_calendar() {
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(timestamp(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn levels_have_their_names() {
        for (index, name) in Level::NAMES.iter().enumerate() {
            let level = Level::parse(name).unwrap();
            assert_eq!((level as usize, level.name()), (index + 1, *name));
        }
        assert_eq!(Level::parse("loud"), None);
    }
}

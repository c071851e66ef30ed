//! The interval log: HdrHistogram's log format 1.3, which its plotters read.
//!
//! Shape: comments begin with `#`; a version line, `StartTime` and `BaseTime` in seconds since
//! 1970, a legend in quotes; then one line for each tag and interval:
//! `Tag=get.response,<start s>,<length s>,<longest ms>,<base64 of the deflated V2 form>`. A start
//! counts from `BaseTime`. A tag is `operation.kind`, or `operation.class.kind` where the log
//! tells size classes apart. Times are written to the millisecond.
//!
//! Invariants: empty histograms are not written; a line is read up to `LINE_BYTES_MAX` and no
//! further; reading what was written gives the same histograms.
//! Source: the HdrHistogram project, `HistogramLogWriter` and `HistogramLogReader`.

use crate::error::StatsError;
use crate::histogram::Histogram;
use crate::interval::Interval;
use crate::key::{LatencyKind, SizeClass};
use crate::operation::{Operation, operation_of};
use crate::v2;
use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};

/// Bytes of the longest line; the base64 of the fullest histogram fits.
const LINE_BYTES_MAX: usize = 512 << 10;
/// Intervals that `read_intervals` holds at most.
const INTERVALS_MAX: usize = 1 << 20;
/// The latest time that is taken, in seconds: the year 2128. Two such fit 64 bits of nanoseconds.
const TIME_S_MAX: f64 = 5e9;

/// What a log tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Operation and kind.
    Operations,
    /// Operation, size class and kind.
    SizeClasses,
}

/// Writes an interval log.
#[derive(Debug)]
pub struct HlogWriter<W> {
    output: W,
    detail: Detail,
}

impl<W: Write> HlogWriter<W> {
    /// A log of a phase that began at `started_unix_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// `Io` where the output fails.
    pub fn new(mut output: W, started_unix_ms: u64, detail: Detail) -> Result<Self, StatsError> {
        let (seconds, millis) = (started_unix_ms / 1_000, started_unix_ms % 1_000);
        writeln!(output, "#basalt bench: latencies in nanoseconds, longest in milliseconds")?;
        writeln!(output, "#[Histogram log format version 1.3]")?;
        writeln!(output, "#[StartTime: {seconds}.{millis:03} (seconds since epoch)]")?;
        writeln!(output, "#[BaseTime: {seconds}.{millis:03} (seconds since epoch)]")?;
        let legend =
            ["StartTimestamp", "Interval_Length", "Interval_Max", "Interval_Compressed_Histogram"];
        writeln!(output, "\"{}\"", legend.join("\",\""))?;
        Ok(Self { output, detail })
    }

    /// Writes a comment, such as an event of the run; line ends become spaces.
    ///
    /// # Errors
    /// `Io` where the output fails.
    pub fn comment(&mut self, text: &str) -> Result<(), StatsError> {
        // A space first: `#[` would be taken for a header.
        writeln!(self.output, "# {}", text.replace(['\r', '\n'], " "))?;
        Ok(())
    }

    /// Writes the latencies of an interval.
    ///
    /// # Errors
    /// `Io` where the output fails.
    pub fn write(&mut self, interval: &Interval) -> Result<(), StatsError> {
        match self.detail {
            Detail::Operations => {
                for operation in interval.operations() {
                    let cell = interval.operation(operation);
                    for kind in LatencyKind::ALL {
                        let tag = tag_of(operation, SizeClass::Any, kind);
                        self.line(&tag, interval, cell.latency(kind))?;
                    }
                }
            }
            Detail::SizeClasses => {
                for (operation, size_class, cell) in interval.cells() {
                    for kind in LatencyKind::ALL {
                        let tag = tag_of(operation, size_class, kind);
                        self.line(&tag, interval, cell.latency(kind))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Flushes the output and gives it back.
    ///
    /// # Errors
    /// `Io` where the output fails.
    pub fn finish(mut self) -> Result<W, StatsError> {
        self.output.flush()?;
        Ok(self.output)
    }

    fn line(
        &mut self,
        tag: &str,
        interval: &Interval,
        histogram: &Histogram,
    ) -> Result<(), StatsError> {
        if histogram.is_empty() {
            return Ok(());
        }
        let start_s = interval.start_ns as f64 / 1e9;
        let max_ms = histogram.max_ns() as f64 / 1e6;
        let encoded = base64_simd::STANDARD.encode_to_string(v2::encode_deflated(histogram)?);
        let length_s = interval.length_s();
        writeln!(self.output, "Tag={tag},{start_s:.3},{length_s:.3},{max_ms:.3},{encoded}")?;
        Ok(())
    }
}

fn tag_of(operation: Operation, size_class: SizeClass, kind: LatencyKind) -> String {
    match size_class {
        SizeClass::Any => format!("{}.{}", operation.name(), kind.name()),
        _ => format!("{}.{}.{}", operation.name(), size_class.name(), kind.name()),
    }
}

/// One line of an interval log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When the interval began, in nanoseconds since the start of the phase.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// The operation measured.
    pub operation: Operation,
    /// The size class; `Any` where the log does not tell them apart.
    pub size_class: SizeClass,
    /// What was measured of it.
    pub kind: LatencyKind,
    /// The latencies.
    pub histogram: Histogram,
}

/// Reads an interval log, line by line; the first error ends it.
#[derive(Debug)]
pub struct HlogReader<R> {
    input: R,
    line: u64,
    ended: bool,
}

impl<R: BufRead> HlogReader<R> {
    /// A reader of a log.
    pub const fn new(input: R) -> Self {
        Self { input, line: 0, ended: false }
    }

    /// The next line, or `None` at the end.
    fn next_line(&mut self) -> Result<Option<String>, StatsError> {
        let mut bytes = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 1;
        self.input.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if bytes.len() > LINE_BYTES_MAX {
            return Err(StatsError::TooLarge { what: "line of the log", limit: LINE_BYTES_MAX });
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| StatsError::Log { line: self.line, why: "it is not text".to_owned() })
    }
}

impl<R: BufRead> Iterator for HlogReader<R> {
    type Item = Result<LogEntry, StatsError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let entry = match self.next_line() {
                Ok(Some(text)) => parse_line(&text)
                    .map_err(|why| StatsError::Log { line: self.line, why })
                    .transpose(),
                Ok(None) => {
                    self.ended = true;
                    None
                }
                Err(error) => Some(Err(error)),
            };
            if let Some(entry) = entry {
                self.ended = entry.is_err();
                return Some(entry);
            }
        }
        None
    }
}

/// The entry of a line; `None` for comments, headers and the legend.
fn parse_line(text: &str) -> Result<Option<LogEntry>, String> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.starts_with(['#', '"']) {
        return Ok(None);
    }
    let tagged = text.strip_prefix("Tag=").ok_or("it has no tag; we read logs of our own")?;
    let fields: Vec<&str> = tagged.splitn(5, ',').collect();
    let [tag, start, length, _max, encoded] = fields[..] else {
        return Err("it does not have five fields".to_owned());
    };
    let (operation, size_class, kind) = parse_tag(tag)?;
    let start_ns = nanoseconds(start)?;
    let end_ns = start_ns + nanoseconds(length)?;
    let bytes = base64_simd::STANDARD
        .decode_to_vec(encoded)
        .map_err(|_| "its histogram is not base64".to_owned())?;
    let histogram = v2::decode_deflated(&bytes).map_err(|error| error.to_string())?;
    Ok(Some(LogEntry { start_ns, end_ns, operation, size_class, kind, histogram }))
}

fn parse_tag(tag: &str) -> Result<(Operation, SizeClass, LatencyKind), String> {
    let parts: Vec<&str> = tag.split('.').collect();
    let (operation, size_class, kind) = match parts[..] {
        [operation, kind] => (operation, SizeClass::Any.name(), kind),
        [operation, size_class, kind] => (operation, size_class, kind),
        _ => return Err(format!("the tag `{tag}` is not like `get.response`")),
    };
    let text = |error: StatsError| error.to_string();
    Ok((
        operation_of(operation).map_err(text)?,
        SizeClass::parse(size_class).map_err(text)?,
        LatencyKind::parse(kind).map_err(text)?,
    ))
}

fn nanoseconds(seconds: &str) -> Result<u64, String> {
    match seconds.trim().parse::<f64>() {
        Ok(value) if (0.0..=TIME_S_MAX).contains(&value) => Ok((value * 1e9).round() as u64),
        _ => Err(format!("`{seconds}` is not a time in seconds")),
    }
}

/// The intervals of a log, in the order of time. A log holds latencies only: counts are those of
/// the response latencies, and bytes, errors and CPU time are zero or absent.
///
/// # Errors
/// Those of the log, and `TooLarge` where it has more than a million intervals.
pub fn read_intervals(input: impl BufRead) -> Result<Vec<Interval>, StatsError> {
    let mut intervals: BTreeMap<(u64, u64), Interval> = BTreeMap::new();
    for entry in HlogReader::new(input) {
        let entry = entry?;
        let interval = intervals
            .entry((entry.start_ns, entry.end_ns))
            .or_insert_with(|| Interval::new(entry.start_ns, entry.end_ns));
        let cell = interval.cell_mut(entry.operation, entry.size_class);
        if entry.kind == LatencyKind::Response {
            cell.count = cell.count.saturating_add(entry.histogram.count());
        }
        cell.latency_mut(entry.kind).add(&entry.histogram);
        if intervals.len() > INTERVALS_MAX {
            return Err(StatsError::TooLarge { what: "interval log", limit: INTERVALS_MAX });
        }
    }
    Ok(intervals.into_values().collect())
}

#[cfg(test)]
#[path = "hlog_tests.rs"]
mod tests;

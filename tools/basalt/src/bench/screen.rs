//! What a run shows: a table that is drawn anew in place on a terminal, plain lines elsewhere.
//!
//! Invariants: between any two calls the cursor of a terminal stands at the begin of the line below
//! the table, so that whatever is said next, by whomever, comes out under it; a table is written
//! over only where nothing was said since, and the terminal has kept its size.

mod table;

use crate::sys::{self, TerminalSize};
use bench_run::{RunPlan, StepVerdict};
use bench_stats::{Interval, LatencyKind, Load, Summary};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use table::{SoFar, table_lines};

/// Wrong answers that are printed, of all that were kept.
pub(super) const MISMATCHES_SHOWN: usize = 10;
/// Of a terminal that does not know its size, as on a serial line.
const SIZE_USUAL: TerminalSize = TerminalSize { columns: 80, rows: 24 };

/// Standard error.
pub(super) struct Screen {
    is_terminal: bool,
    warmup: Duration,
    duration: Duration,
    so_far: SoFar,
    /// The table that the next one is written over.
    drawn: Option<Drawn>,
}

/// A table on the terminal.
struct Drawn {
    line_count: usize,
    size: TerminalSize,
}

impl Screen {
    pub(super) fn new(plan: &RunPlan) -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            warmup: plan.warmup,
            duration: plan.duration,
            so_far: SoFar::default(),
            drawn: None,
        }
    }

    fn say(&mut self, text: &str) {
        // What was typed meanwhile (^C) stands below the table.
        let clear = if self.drawn.take().is_some() { "\r\x1b[K" } else { "" };
        // Nobody is left to read it.
        _ = writeln!(std::io::stderr().lock(), "{clear}{text}");
    }

    fn draw(&mut self, last: &Interval) {
        let size = sys::terminal_size(std::io::stderr()).unwrap_or(SIZE_USUAL);
        let mut lines = table_lines(&self.so_far, last, usize::from(size.columns));
        // With the cursor's line below; what has scrolled out of sight cannot be written over.
        lines.truncate(usize::from(size.rows).saturating_sub(1));
        // A terminal that was resized may have broken the lines of the last one.
        let over = self.drawn.take().filter(|drawn| drawn.size == size);
        let text = drawing(&lines, over.map_or(0, |drawn| drawn.line_count));
        // Nobody is left to read it.
        _ = std::io::stderr().lock().write_all(text.as_bytes());
        self.drawn = Some(Drawn { line_count: lines.len(), size });
    }
}

impl bench_run::Screen for Screen {
    fn stage(&mut self, name: &str, about: &str) {
        let length = match name {
            "warm-up" => Some(self.warmup),
            "measure" | "search" => Some(self.duration),
            _ => None,
        };
        self.so_far = SoFar::new(name, length);
        self.say(&format!("{name}: {about}"));
    }

    fn second(&mut self, second: usize, interval: &Interval) {
        self.so_far.add(second, interval);
        if self.is_terminal {
            self.draw(interval);
        } else {
            let (stage, text) = (&self.so_far.stage, second_text(interval));
            let line = format!("{stage} {:>4} s  {text}", second + 1);
            self.say(&line);
        }
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}

/// What draws lines on a terminal, over so many of the last ones.
fn drawing(lines: &[String], over: usize) -> String {
    let mut text = match over {
        // Up by 0 lines is up by 1.
        0 => "\r".to_owned(),
        _ => format!("\r\x1b[{over}A"),
    };
    for line in lines {
        // Cleared before it is written: behind a full line, its last character would go.
        _ = writeln!(text, "\x1b[K{line}");
    }
    // What was typed meanwhile stands below.
    text.push_str("\x1b[K");
    text
}

/// Rates and latencies of a second, of all operations.
fn second_text(interval: &Interval) -> String {
    let seconds = interval.length_s().max(1e-9);
    let mut text = format!(
        "{:>9.0} ops/s {:>9}/s",
        interval.count() as f64 / seconds,
        bytes_text(interval.bytes() as f64 / seconds)
    );
    for operation in interval.operations() {
        let cell = interval.operation(operation);
        let response = cell.latency(LatencyKind::Response);
        _ = write!(
            text,
            "  {operation} p50 {} p99 {}",
            time_text(response.quantile_ns(0.5) as f64 / 1e3),
            time_text(response.quantile_ns(0.99) as f64 / 1e3)
        );
    }
    if interval.error_count() > 0 {
        _ = write!(text, "  {} errors", interval.error_count());
    }
    if interval.shed > 0 {
        _ = write!(text, "  {} given up", interval.shed);
    }
    text
}

fn bytes_text(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

fn time_text(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.0} us"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// What a search for the knee came to.
pub(super) fn knee_text(knee: &bench_run::Knee, is_interrupted: bool) -> String {
    let mut rows = vec![["rate", "reached", "latency", ""].map(str::to_owned).to_vec()];
    for step in &knee.steps {
        rows.push(vec![
            format!("{:.0}/s", step.rate),
            format!("{:.0}/s", step.reached),
            time_text(step.latency_ns as f64 / 1e3),
            match step.verdict {
                StepVerdict::Holds => "holds".to_owned(),
                StepVerdict::Fails => "fails".to_owned(),
                StepVerdict::ClientLimited => "the client was the limit".to_owned(),
            },
        ]);
    }
    let mut text = format!("\n{}", crate::output::table(&rows));
    let is_client = knee.steps.last().map(|step| step.verdict) == Some(StepVerdict::ClientLimited);
    _ = match knee.rate {
        Some(rate) if is_interrupted => {
            writeln!(text, "at least {rate:.0} per second: the search was interrupted")
        }
        None if is_interrupted => writeln!(text, "no knee yet: the search was interrupted"),
        Some(rate) if is_client => {
            writeln!(text, "at least {rate:.0} per second: the client could do no more")
        }
        Some(rate) => writeln!(text, "knee: {rate:.0} per second"),
        None => writeln!(text, "no knee: the objective was missed at every rate"),
    };
    text
}

/// What a repeat came to.
pub(super) fn summary_text(summary: &Summary) -> String {
    let how = match summary.load {
        Load::Open => "open loop: latency counts from the planned time",
        Load::Closed => "closed loop: the tail is understated",
    };
    let mut text = format!("\nrepeat {} of {:.1} s, {how}\n", summary.repeat, summary.length_s);
    let mut rows = vec![
        ["operation", "count", "ops/s", "bytes/s", "p50", "p90", "p99", "p99.9", "max", "errors"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (name, operation) in &summary.operations {
        let response = operation.latency.get("response").copied().unwrap_or_default();
        let errors: u64 = operation.errors.values().sum();
        rows.push(vec![
            name.clone(),
            operation.count.to_string(),
            format!("{:.1}", operation.operations_per_second),
            bytes_text(operation.bytes_per_second),
            time_text(response.p50_us),
            time_text(response.p90_us),
            time_text(response.p99_us),
            time_text(response.p999_us),
            time_text(response.max_us),
            errors.to_string(),
        ]);
    }
    text.push_str(&crate::output::table(&rows));
    for (name, operation) in &summary.operations {
        for (code, count) in &operation.errors {
            _ = writeln!(text, "  {name}: {count} x {code}");
        }
    }
    let client = &summary.client;
    _ = write!(
        text,
        "client: {} threads, the busiest {:.0} % of a CPU",
        client.threads, client.busiest_thread_percent
    );
    if let Some(cost) = client.cpu_us_per_operation {
        _ = write!(text, ", {cost:.2} us of CPU per operation");
    }
    if let Some(lag) = &client.schedule_lag {
        _ = write!(text, "; began late by {} (p99)", time_text(lag.p99_us));
    }
    _ = writeln!(text, "; {:.1} % of the machine was stolen", client.steal_percent);
    if let Some(server) = &summary.server {
        text.push_str(&server_text(server));
    }
    match summary.verdict.valid {
        true => text.push_str("valid\n"),
        false => {
            for reason in &summary.verdict.reasons {
                _ = writeln!(text, "VOID: {}", reason.text);
            }
        }
    }
    text
}

fn server_text(server: &bench_stats::ServerSummary) -> String {
    let counters = &server.counters;
    let mut text = format!("server: {:.2} s of CPU", counters.cpu_seconds);
    if let Some(cost) = server.cpu_us_per_operation {
        _ = write!(text, ", {cost:.2} us per operation");
    }
    for (name, bytes) in
        [("read", counters.device_bytes_read), ("written", counters.device_bytes_written)]
    {
        if let Some(bytes) = bytes {
            _ = write!(text, ", {} {name}", bytes_text(bytes as f64));
        }
    }
    if let Some(flushes) = counters.flushes {
        _ = write!(text, ", {flushes} flushes");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units_that_fit() {
        assert_eq!(bytes_text(512.0), "512.0 B");
        assert_eq!(bytes_text(3.5 * 1024.0 * 1024.0), "3.5 MiB");
        assert_eq!(time_text(999.4), "999 us");
        assert_eq!(time_text(1500.0), "1.50 ms");
        assert_eq!(time_text(2.5e6), "2.50 s");
    }

    #[test]
    fn a_drawing_goes_over_the_last_one_and_ends_below_itself() {
        let lines = ["a", "b"].map(str::to_owned);
        assert_eq!(drawing(&lines, 0), "\r\x1b[Ka\n\x1b[Kb\n\x1b[K");
        assert_eq!(drawing(&lines, 1), "\r\x1b[1A\x1b[Ka\n\x1b[Kb\n\x1b[K");
        assert_eq!(drawing(&[], 0), "\r\x1b[K");
    }
}

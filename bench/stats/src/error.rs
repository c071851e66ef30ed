//! The one error of the crate.
//!
//! Invariant: bytes and text from outside end here, never in a panic.

/// Why bytes, text or runs cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A name that is none of a fixed set.
    #[error("`{name}` is no {what}; valid are {valid}")]
    UnknownName {
        /// What was looked for.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The names that exist, with commas between.
        valid: String,
    },
    /// Bytes that are not what they should be.
    #[error("damaged {what}: {why}")]
    Damaged {
        /// What the bytes should be.
        what: &'static str,
        /// What is wrong with them.
        why: String,
    },
    /// More bytes or entries than are read.
    #[error("the {what} is larger than {limit}, the most that is read")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in bytes or entries.
        limit: usize,
    },
    /// A newer or older format.
    #[error("the {what} has schema {found}, this build reads {supported}")]
    Schema {
        /// What has the schema.
        what: &'static str,
        /// The schema found.
        found: u64,
        /// The schema of this build.
        supported: u64,
    },
    /// A line of an interval log that cannot be read.
    #[error("line {line} of the interval log: {why}")]
    Log {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A rule of `--fail-if` that cannot be read.
    #[error("the rule `{text}`: {why}; write `get.p99>+5%` or `get.rate<-5%`")]
    Rule {
        /// The rule as given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A rule about something the runs did not measure, or measured only in void runs.
    #[error("`{metric}` is not measured by both sides; measured are {valid}")]
    UnknownMetric {
        /// The name as given.
        metric: String,
        /// The metrics of the comparison, with commas between.
        valid: String,
    },
    /// Nothing to compare, or too much.
    #[error("a comparison needs 1 to {limit} {side} runs, not {count}")]
    RunCount {
        /// `base` or `new`.
        side: &'static str,
        /// The runs given.
        count: usize,
        /// The most that are taken.
        limit: usize,
    },
    /// A setting of the comparison outside its range.
    #[error("{name} is {value}, outside of {valid}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: f64,
        /// The range.
        valid: &'static str,
    },
    /// JSON that does not parse, or not as what it should be.
    #[error("the JSON cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Reading or writing failed.
    #[error("input or output failed: {0}")]
    Io(#[from] std::io::Error),
}

impl StatsError {
    /// Damaged bytes.
    pub(crate) fn damaged(what: &'static str, why: impl Into<String>) -> Self {
        Self::Damaged { what, why: why.into() }
    }
}

//! `--fail-if`: what must not have become worse.
//!
//! Invariant: a rule is broken only where the whole interval lies beyond its bound, so that noise
//! alone seldom breaks it; where the interval holds the bound, nothing is known, and it says so.

use crate::compare::Row;
use crate::error::StatsError;
use serde::Serialize;
use std::fmt;

/// Percent beyond which a bound is a mistake.
const PERCENT_MAX: f64 = 1e6;

/// On which side of the bound a rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Above,
    Below,
}

/// A bound on how far a metric may move.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    metric: String,
    beyond: Beyond,
    percent: f64,
}

/// What a comparison says about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// The whole interval lies beyond the bound.
    Broken,
    /// The whole interval keeps to the bound.
    Kept,
    /// The bound lies within the interval: more runs are needed to say.
    Undecided,
}

/// A rule and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleResult {
    /// The rule, as it is written.
    pub rule: String,
    /// The metric that it was held against.
    pub metric: String,
    /// What the comparison says.
    pub judgement: Judgement,
}

impl Rule {
    /// The rule of a text: a metric, `>` or `<`, and a percentage, as in `get.p99>+5%`.
    ///
    /// # Errors
    /// `Rule`, saying what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, StatsError> {
        let wrong = |why| StatsError::Rule { text: text.to_owned(), why };
        let place = text.find(['<', '>']).ok_or_else(|| wrong("it has neither > nor <"))?;
        let beyond = if text[place..].starts_with('>') { Beyond::Above } else { Beyond::Below };
        let metric = text[..place].trim();
        if metric.is_empty() || metric.contains(char::is_whitespace) {
            return Err(wrong("a metric stands before the bound"));
        }
        let bound = text[place + 1..].trim();
        let number = bound.strip_suffix('%').ok_or_else(|| wrong("the bound is a percentage"))?;
        let percent: f64 = number.trim().parse().map_err(|_| wrong("the bound is not a number"))?;
        // Not a number is neither.
        let fits = percent > -100.0 && percent <= PERCENT_MAX;
        if !fits {
            return Err(wrong("the bound is out of range"));
        }
        Ok(Self { metric: metric.to_owned(), beyond, percent })
    }

    /// The metric that the rule is about.
    #[must_use]
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// What a row says about the rule.
    pub(crate) fn judge(&self, row: &Row) -> RuleResult {
        let bound = 1.0 + self.percent / 100.0;
        let (broken, kept) = match self.beyond {
            Beyond::Above => (row.low > bound, row.high <= bound),
            Beyond::Below => (row.high < bound, row.low >= bound),
        };
        let judgement = match (broken, kept) {
            (true, _) => Judgement::Broken,
            (false, true) => Judgement::Kept,
            (false, false) => Judgement::Undecided,
        };
        RuleResult { rule: self.to_string(), metric: row.metric.clone(), judgement }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.beyond {
            Beyond::Above => '>',
            Beyond::Below => '<',
        };
        write!(formatter, "{}{sign}{:+}%", self.metric, self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::row;

    #[test]
    fn rules_are_read() {
        for (text, shown) in [
            ("get.p99>+5%", "get.p99>+5%"),
            ("get.p99 > 5 %", "get.p99>+5%"),
            ("get.rate<-2.5%", "get.rate<-2.5%"),
            ("all.server_cpu>0%", "all.server_cpu>+0%"),
        ] {
            let rule = Rule::parse(text).unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(Rule::parse(&rule.to_string()).unwrap(), rule);
        }
        assert_eq!(Rule::parse("get.p99>+5%").unwrap().metric(), "get.p99");
    }

    #[test]
    fn bad_rules_are_refused_with_their_text() {
        for text in [
            "",
            "get.p99",
            "get.p99=5%",
            ">5%",
            "get p99>5%",
            "get.p99>5",
            "get.p99>%",
            "get.p99>x%",
            "get.p99>NaN%",
            "get.p99>inf%",
            "get.p99<-100%",
            "get.p99>>5%",
            "get.p99>\u{b5}%",
        ] {
            let message = Rule::parse(text).unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")), "{message}");
            assert!(message.contains("get.rate<-5%"), "{message}");
        }
    }

    #[test]
    fn the_whole_interval_decides() {
        let cases = [
            ("get.p99>+5%", 1.06, 1.20, Judgement::Broken),
            ("get.p99>+5%", 1.04, 1.20, Judgement::Undecided),
            ("get.p99>+5%", 0.90, 1.04, Judgement::Kept),
            ("get.rate<-5%", 0.80, 0.94, Judgement::Broken),
            ("get.rate<-5%", 0.80, 0.96, Judgement::Undecided),
            ("get.rate<-5%", 0.96, 1.50, Judgement::Kept),
        ];
        for (text, low, high, expected) in cases {
            let result = Rule::parse(text).unwrap().judge(&row("x", low, high));
            assert_eq!(result.judgement, expected, "{text} {low} {high}");
        }
    }
}

//! A comparison as a table for a terminal and as Markdown for a review.
//!
//! Invariant: rows that differ can be told from the others without colour; nothing that came out
//! of a file reaches the output with control characters.

use crate::compare::comparison::{Comparison, Outcome, Row};
use crate::compare::metric::Unit;
use crate::compare::rule::{Judgement, RuleResult};

/// The columns.
const COLUMNS: usize = 7;

impl Comparison {
    /// The comparison as a table of text, one line for each metric, then rules and warnings.
    #[must_use]
    pub fn to_text(&self) -> String {
        let table = self.table();
        let width = |column: usize| {
            table.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        let mut text = self.head() + "\n\n";
        for line in &table {
            let mut padded = String::new();
            for (cell, width) in line.iter().zip(widths) {
                padded.push_str(&format!("{cell:<width$}  "));
            }
            text.push_str(padded.trim_end());
            text.push('\n');
        }
        for result in &self.rules {
            text.push_str(&format!("\nrule {}: {}", result.rule, judged(result)));
        }
        for warning in &self.warnings {
            text.push_str(&format!("\nwarning: {warning}"));
        }
        text.trim_end().to_owned() + "\n"
    }

    /// The comparison as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = self.head() + "\n\n";
        for (index, line) in self.table().iter().enumerate() {
            text.push_str(&format!("| {} |\n", line.join(" | ")));
            if index == 0 {
                text.push_str(&format!("|{}\n", "---|".repeat(COLUMNS)));
            }
        }
        text.push('\n');
        for result in &self.rules {
            text.push_str(&format!("- rule `{}`: {}\n", result.rule, judged(result)));
        }
        for warning in &self.warnings {
            // A warning may quote a manifest: no tags, and no cells.
            let warning = warning.replace('<', "&lt;").replace('|', "\\|");
            text.push_str(&format!("- warning: {warning}\n"));
        }
        text.trim_end().to_owned() + "\n"
    }

    fn head(&self) -> String {
        format!(
            "{} base and {} new runs; each interval holds the true ratio new/base with {} %; less \
             than {} % is no difference",
            self.base_runs,
            self.new_runs,
            percent(self.confidence),
            percent(self.tolerance)
        )
    }

    /// The table with its titles.
    fn table(&self) -> Vec<[String; COLUMNS]> {
        let interval = format!("{} % interval", percent(self.confidence));
        let titles = ["metric", "base", "new", "new/base", interval.as_str(), "from", "result"];
        let mut table = vec![titles.map(str::to_owned)];
        table.extend(self.rows.iter().map(cells));
        table
    }
}

fn cells(row: &Row) -> [String; COLUMNS] {
    let result = match row.outcome {
        Outcome::NoDifference => "no difference",
        Outcome::Better => "BETTER",
        Outcome::Worse => "WORSE",
    };
    [
        row.metric.clone(),
        figure(row.base, row.unit),
        figure(row.new, row.unit),
        format!("{:.3}", row.ratio),
        format!("{:.3} to {:.3}", row.low, row.high),
        row.method.to_string(),
        result.to_owned(),
    ]
}

fn judged(result: &RuleResult) -> &'static str {
    match result.judgement {
        Judgement::Broken => "BROKEN",
        Judgement::Kept => "kept",
        Judgement::Undecided => "undecided, the interval holds the bound; more runs would tell",
    }
}

/// A share as percent, without needless digits.
fn percent(share: f64) -> f64 {
    (share * 1e4).round() / 100.0
}

/// A figure in a unit that suits its size.
fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::OperationsPerSecond => scaled(value, 1_000.0, &["/s", "k/s", "M/s", "G/s"]),
        Unit::BytesPerSecond => scaled(value, 1_024.0, &["B/s", "KiB/s", "MiB/s", "GiB/s"]),
        Unit::Microseconds => scaled(value, 1_000.0, &["us", "ms", "s"]),
        Unit::MicrosecondsPerOperation => scaled(value, 1_000.0, &["us", "ms", "s"]),
        Unit::BytesPerOperation => scaled(value, 1_024.0, &["B", "KiB", "MiB", "GiB"]),
        Unit::PerOperation => digits(value),
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut place = 0;
    while value >= step && place + 1 < units.len() {
        value /= step;
        place += 1;
    }
    format!("{} {}", digits(value), units[place])
}

/// About four digits.
fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::{pairs, row};
    use crate::compare::{Options, Rule, compare};

    fn comparison() -> Comparison {
        let (mut base, new) = pairs(&[100.0, 101.0, 99.0, 100.0], &[120.0, 121.0, 119.0, 120.0]);
        base[0].summary.client.steal_percent = 9.0;
        let mut comparison = compare(&base, &new, &Options::default()).unwrap();
        let rules = ["all.server_cpu>+5%", "get.rate<-5%"].map(|text| Rule::parse(text).unwrap());
        comparison.hold_against(&rules).unwrap();
        comparison
    }

    #[test]
    fn figures_have_units_that_suit_them() {
        for (value, unit, expected) in [
            (20_137.0, Unit::OperationsPerSecond, "20.1 k/s"),
            (5.25e9, Unit::BytesPerSecond, "4.89 GiB/s"),
            (999.0, Unit::Microseconds, "999 us"),
            (1_234.5, Unit::Microseconds, "1.23 ms"),
            (7.2e9, Unit::Microseconds, "7200 s"),
            (12.34, Unit::MicrosecondsPerOperation, "12.3 us"),
            (4_096.0, Unit::BytesPerOperation, "4.00 KiB"),
            (0.032_1, Unit::PerOperation, "0.0321"),
        ] {
            assert_eq!(figure(value, unit), expected);
        }
    }

    #[test]
    fn the_text_is_a_table_with_aligned_columns() {
        let text = comparison().to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("4 base and 4 new runs"), "{text}");
        let column = lines[2].find("new/base").unwrap();
        let cpu = lines.iter().find(|line| line.starts_with("all.server_cpu")).unwrap();
        assert!(cpu[column..].starts_with("1.200  "), "{text}");
        assert!(cpu.ends_with("WORSE") && cpu.contains("4 pairs"), "{text}");
        assert!(text.contains("rule all.server_cpu>+5%: BROKEN"), "{text}");
        assert!(text.contains("rule get.rate<-5%: kept"), "{text}");
        assert!(text.contains("warning: base run"), "{text}");
        assert!(lines.iter().all(|line| line.trim_end() == *line), "no blanks at line ends");
    }

    #[test]
    fn the_markdown_has_a_row_for_each_metric() {
        let mut comparison = comparison();
        comparison.warnings.push("the runs differ in `x`: <b> / a|b".to_owned());
        let text = comparison.to_markdown();
        let rows = text.lines().filter(|line| line.starts_with("| ")).count();
        assert_eq!(rows, comparison.rows.len() + 1);
        let cells = text.lines().find(|line| line.starts_with("| all.server_cpu")).unwrap();
        assert_eq!(cells.matches('|').count(), COLUMNS + 1);
        assert!(text.contains("- rule `all.server_cpu>+5%`: BROKEN"), "{text}");
        assert!(text.contains("&lt;b> / a\\|b"), "{text}");
    }

    #[test]
    fn results_are_told_apart_in_words() {
        let results = [Outcome::NoDifference, Outcome::Better, Outcome::Worse]
            .map(|outcome| cells(&Row { outcome, ..row("x", 0.9, 1.1) })[6].clone());
        assert_eq!(results, ["no difference", "BETTER", "WORSE"]);
    }

    #[test]
    fn the_json_holds_every_row_with_its_method() {
        let comparison = comparison();
        let json: serde_json::Value = serde_json::from_str(&comparison.to_json().unwrap()).unwrap();
        assert_eq!(json["schema"], 1);
        let rows = json["rows"].as_array().unwrap();
        assert_eq!(rows.len(), comparison.rows.len());
        let cpu = rows.iter().find(|row| row["metric"] == "all.server_cpu").unwrap();
        assert_eq!(cpu["method"]["kind"], "paired");
        assert_eq!(cpu["method"]["pairs"], 4);
        assert_eq!(cpu["outcome"], "worse");
        assert_eq!(cpu["unit"], "microseconds_per_operation");
        assert_eq!(json["rules"][0]["judgement"], "broken");
    }
}

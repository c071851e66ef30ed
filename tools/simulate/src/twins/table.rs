//! The catches, one for each twin: what CI runs again, and what docs/testing.md shows.
//!
//! Rows come from `simulate twins --search`.

use super::cases;
use engine_env::Rule;
use std::fmt::Write;

/// A catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The rule left out.
    pub rule: Rule,
    /// The world, as an index of `cases`.
    pub case: usize,
    /// The seed.
    pub seed: u64,
    /// Which check found it.
    pub check: &'static str,
}

/// All catches, by rule.
#[rustfmt::skip]
pub const LISTED: &[Row] = &[
];

/// The table of docs/testing.md.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| rule | left out | its twin is caught by | check that fires |\n|---|---|---|---|\n",
    );
    for row in rows {
        let world = cases(row.rule).get(row.case).map(ToString::to_string).unwrap_or_default();
        let (number, name) = (row.rule.number(), row.rule.name());
        // Writing to a string does not fail.
        _ = writeln!(
            text,
            "| {number} `{name}` | {} | `{world} --first {} --seeds 1 --without {name}` | {} |",
            row.rule.clause(),
            row.seed,
            row.check
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_name_worlds() {
        assert!(LISTED.windows(2).all(|pair| pair[0].rule < pair[1].rule), "one row for each rule");
        for row in LISTED {
            assert!(row.case < cases(row.rule).len(), "{}", row.rule.name());
        }
    }

    #[test]
    fn a_row_is_shown_with_the_command_that_runs_it() {
        let row = Row { rule: Rule::Reserve, case: 0, seed: 7, check: "opening" };
        let text = markdown(&[row]);
        let shown = "| 19 `Reserve` | data never takes the reserve | `drive --crashes 20 --full \
                     --first 7 --seeds 1 --without Reserve` | opening |";
        assert_eq!(text.lines().nth(2), Some(shown));
    }
}

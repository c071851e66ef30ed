//! Must-fail twins: a store without one rule each, which the simulated worlds must catch, or where
//! too much has to meet a scripted test (`SCRIPTED`).
//!
//! Invariants: a twin counts as caught only by what the worlds check, never by a panic of its own
//! code, and only on a seed that passes with all rules kept; the table names each catch, so that it
//! can be run again.

mod plan;
mod run;
mod table;
mod verdict;

pub use plan::{Case, cases};
pub use run::{Budget, Catch, Missed, panic_text, run_row, search};
pub use table::{LISTED, Row, SCRIPTED, markdown, scripted_test};
pub use verdict::check_of;

use engine_env::Rule;

/// The rule of a name, as typed.
///
/// # Errors
/// No such rule.
pub fn rule_named(text: &str) -> Result<Rule, String> {
    let named = Rule::ALL.iter().copied().find(|rule| rule.name().eq_ignore_ascii_case(text));
    named.ok_or_else(|| {
        let names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        format!("no rule is called {text}; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_name() {
        assert_eq!(rule_named("promisefirst"), Ok(Rule::PromiseFirst));
        assert!(rule_named("promise").is_err());
    }
}

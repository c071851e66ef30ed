//! `simulate twins`: finds the seeds that catch the twins, or runs the listed ones again.

use crate::Failure;
use clap::Args;
use engine_env::Rule;
use simulate::twins::{
    Budget, LISTED, Missed, Row, cases, check_of, markdown, rule_named, run_row, scripted_test,
    search,
};

/// `simulate twins`.
#[derive(Debug, Clone, Copy, Args)]
pub struct TwinArguments {
    /// Only the twin without this rule.
    #[arg(long, value_parser = rule_named)]
    rule: Option<Rule>,
    /// Seeds of each world that are tried.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// A twin that was not caught in so many steps is given up.
    #[arg(long, default_value_t = 400_000_000)]
    steps: u64,
    /// Prints rows for the table in `src/twins/table.rs`.
    #[arg(long)]
    search: bool,
    /// Runs the table's rows and nothing else: each passes with all rules and fails without its
    /// own.
    #[arg(long, conflicts_with = "search")]
    listed: bool,
    /// Prints the table as docs/testing.md shows it, and runs nothing.
    #[arg(long, conflicts_with_all = ["search", "listed"])]
    markdown: bool,
}

/// Runs the command.
pub fn run(arguments: &TwinArguments) -> Result<(), Failure> {
    if arguments.markdown {
        print!("{}", markdown(LISTED));
        return Ok(());
    }
    // Twins panic now and then; what they say is reported in a line.
    std::panic::set_hook(Box::new(|_| {}));
    let wanted = |rule: &Rule| arguments.rule.is_none_or(|only| only == *rule);
    let rules = Rule::ALL.iter().copied().filter(wanted);
    let missed: Vec<&str> = if arguments.listed {
        rules.filter(|rule| !run_listed(*rule)).map(Rule::name).collect()
    } else {
        rules.filter(|rule| !run_search(*rule, arguments)).map(Rule::name).collect()
    };
    if missed.is_empty() {
        return Ok(());
    }
    let names = missed.join(", ");
    let again = format!("simulate twins --rule {}", missed[0]);
    Err(Failure { what: format!("{} not caught: {names}", missed.len()), again })
}

/// Runs the row of a rule; whether it holds.
fn run_listed(rule: Rule) -> bool {
    if let Some(test) = scripted_test(rule) {
        println!("{:2} {}: held by the test {test}", rule.number(), rule.name());
        return true;
    }
    let Some(row) = LISTED.iter().find(|row| row.rule == rule) else {
        println!("{:2} {}: NO ROW", rule.number(), rule.name());
        return false;
    };
    match run_row(row) {
        Ok(what) => {
            print_catch(row, &what);
            true
        }
        Err(why) => {
            println!("{:2} {}: FAILED: {why}", rule.number(), rule.name());
            false
        }
    }
}

/// Looks for a catch; whether there is one.
fn run_search(rule: Rule, arguments: &TwinArguments) -> bool {
    let (first, seeds, steps_max) = (arguments.first, arguments.seeds, arguments.steps);
    match search(rule, &Budget { first, seeds, steps_max }) {
        Ok(catch) => {
            let check = check_of(&catch.what);
            let row = Row { rule, case: catch.case, seed: catch.seed, check };
            if arguments.search {
                println!("    // {}", one_line(&catch.what));
                let (name, case, seed) = (rule.name(), row.case, row.seed);
                let place = format!("rule: Rule::{name}, case: {case}, seed: {seed}");
                println!("    Row {{ {place}, check: {check:?} }},");
            } else {
                print_catch(&row, &catch.what);
            }
            true
        }
        Err(missed) => {
            print_missed(rule, &missed);
            false
        }
    }
}

fn print_catch(row: &Row, what: &str) {
    let world = cases(row.rule).get(row.case).map(ToString::to_string).unwrap_or_default();
    println!(
        "{:2} {} ({}) | {world} | seed {} | {} | {}",
        row.rule.number(),
        row.rule.name(),
        row.rule.clause(),
        row.seed,
        check_of(what),
        one_line(what)
    );
}

fn print_missed(rule: Rule, missed: &Missed) {
    let (runs, steps) = (missed.runs, missed.steps);
    println!("// {:2} {}: NOT CAUGHT in {runs} runs, {steps} steps", rule.number(), rule.name());
    for (kind, text) in [("panic", &missed.panic), ("control", &missed.control)] {
        if let Some(text) = text {
            println!("//    {kind}: {}", one_line(text));
        }
    }
}

/// The beginning of a message, without line breaks.
fn one_line(text: &str) -> String {
    let line = text.replace('\n', " ");
    line.chars().take(160).collect()
}

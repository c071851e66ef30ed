//! Documents that must not fall behind the code: READMEs, the glossary's types, the crates of
//! docs/architecture.md, the tests that docs/semantics.md names.

use crate::Finding;
use crate::cargo::{Package, Workspace};
use crate::tree::{Source, identifiers, is_comment};
use std::collections::BTreeSet;
use std::path::Path;

/// Folders that explain themselves in a README, beside every crate.
const TOP_FOLDERS: [&str; 6] = ["engine", "shards", "gateway", "bench", "hw-profiles", "tools"];

/// A README longer than this belongs into docs/.
const README_LINES_MAX: usize = 40;

/// What a promise says in place of a test's name as long as nothing holds it.
const NOT_TESTED: &str = "not yet tested";

/// Checks all documents of the workspace.
pub(crate) fn check(workspace: &Workspace, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut folders: Vec<&str> = TOP_FOLDERS.to_vec();
    folders.extend(workspace.packages.iter().map(|package| package.folder.as_str()));
    for folder in folders {
        let path = format!("{folder}/README.md");
        let text = std::fs::read_to_string(workspace.root.join(&path)).ok();
        findings.extend(check_readme(&path, text.as_deref()));
    }
    let root = &workspace.root;
    findings.extend(check_document(root, "docs/architecture.md", |text| {
        check_architecture(text, &workspace.packages)
    }));
    findings.extend(check_document(root, "docs/glossary.md", |text| {
        check_glossary(text, &words(sources))
    }));
    findings.extend(check_document(root, "docs/semantics.md", |text| {
        check_semantics(text, &functions(sources), &|path| root.join(path).exists())
    }));
    findings
}

fn check_document(
    root: &Path,
    path: &str,
    rule: impl FnOnce(&str) -> Vec<Finding>,
) -> Vec<Finding> {
    match std::fs::read_to_string(root.join(path)) {
        Ok(text) => rule(&text),
        Err(error) => vec![Finding::failure(path, format!("write it ({error})"))],
    }
}

fn check_readme(path: &str, text: Option<&str>) -> Option<Finding> {
    let what = match text {
        None => "write it: what it is for, what is absent, where to start, how to test".to_owned(),
        Some(text) if text.trim().is_empty() => "write it: it is empty".to_owned(),
        Some(text) if text.lines().count() > README_LINES_MAX => {
            format!("shorten it to {README_LINES_MAX} lines; the rest belongs into docs/")
        }
        Some(_) => return None,
    };
    Some(Finding::failure(path, what))
}

fn check_architecture(text: &str, packages: &[Package]) -> Vec<Finding> {
    packages
        .iter()
        .filter(|package| !text.contains(&format!("`{}`", package.folder)))
        .map(|package| {
            Finding::failure("docs/architecture.md", format!("describe `{}`", package.folder))
        })
        .collect()
}

/// The fourth column of the glossary names Rust types; each must be a word of the code.
fn check_glossary(text: &str, words: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in table_rows(text) {
        let place = format!("docs/glossary.md:{}", row.line);
        let Some(types) = row.cells.get(3) else {
            findings.push(Finding::failure(place, "fill four columns: term, meaning, not, type"));
            continue;
        };
        for name in quoted(types).filter(|name| !words.contains(*name)) {
            findings.push(Finding::failure(
                place.as_str(),
                format!("name the type that `{name}` became"),
            ));
        }
    }
    findings
}

/// The last column of a promise names tests (functions, or paths of scripts) or says that there
/// are none yet.
fn check_semantics(
    text: &str,
    functions: &BTreeSet<&str>,
    exists: &dyn Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in table_rows(text) {
        let place = format!("docs/semantics.md:{}", row.line);
        let tests = row.cells.last().copied().unwrap_or_default();
        if quoted(tests).next().is_none() && !tests.contains(NOT_TESTED) {
            let what = format!("name the test of this promise, or say: {NOT_TESTED}");
            findings.push(Finding::failure(place.as_str(), what));
        }
        for name in quoted(tests) {
            let function = name.rsplit("::").next().unwrap_or(name);
            let found =
                if name.contains('/') { exists(name) } else { functions.contains(function) };
            if !found {
                findings.push(Finding::failure(
                    place.as_str(),
                    format!("name a test that is there for `{name}`"),
                ));
            }
        }
    }
    findings
}

/// A row of a table.
struct Row<'a> {
    line: usize,
    cells: Vec<&'a str>,
}

/// The rows of all tables of a Markdown text, without heads and rulers.
fn table_rows(text: &str) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(inner) = line.trim().strip_prefix('|') else { continue };
        let cells: Vec<&str> =
            inner.strip_suffix('|').unwrap_or(inner).split('|').map(str::trim).collect();
        if cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| "-:".contains(c))) {
            // What stands above the ruler is the head.
            rows.pop();
            continue;
        }
        rows.push(Row { line: index + 1, cells });
    }
    rows
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every identifier of the code, comments left out.
fn words(sources: &[Source]) -> BTreeSet<&str> {
    sources
        .iter()
        .flat_map(|source| source.text.lines())
        .filter(|line| !is_comment(line))
        .flat_map(identifiers)
        .collect()
}

/// The name of every function of the code.
fn functions(sources: &[Source]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for line in sources.iter().flat_map(|source| source.text.lines()) {
        if is_comment(line) {
            continue;
        }
        let mut previous = "";
        for word in identifiers(line) {
            if previous == "fn" {
                names.insert(word);
            }
            previous = word;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "engine/x/src/lib.rs".to_owned(), text: text.to_owned() }
    }

    fn said(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn readmes_are_there_and_short() {
        assert!(check_readme("a/README.md", Some("# a\n")).is_none());
        assert!(check_readme("a/README.md", Some(&"x\n".repeat(40))).is_none());
        for text in [None, Some(" \n"), Some("x\n".repeat(41).as_str())] {
            assert!(check_readme("a/README.md", text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn every_crate_stands_in_the_architecture() {
        let package = |folder: &str| Package { folder: folder.to_owned(), ..Package::default() };
        let packages = [package("engine/set"), package("shards/sim")];
        let findings = check_architecture("| `engine/set` | one set |", &packages);
        assert_eq!(said(&findings), ["docs/architecture.md: describe `shards/sim`"]);
    }

    #[test]
    fn glossary_types_live_in_code_not_in_comments() {
        let sources = [source("pub struct ShardId(u16);\n// OldName was here\n")];
        let text = "| term | meaning | not | Rust type |\n|---|---|---|---|\n\
                    | shard | a core | piece | `ShardId` |\n| view | drives | - | - |\n\
                    | old | gone | - | `OldName` |\n| short | row |\n";
        assert_eq!(
            said(&check_glossary(text, &words(&sources))),
            [
                "docs/glossary.md:5: name the type that `OldName` became",
                "docs/glossary.md:6: fill four columns: term, meaning, not, type",
            ]
        );
    }

    #[test]
    fn promises_name_tests_that_exist_or_admit_that_there_are_none() {
        let sources = [source("#[test]\nfn holds() {}\n// fn gone() {}\n")];
        let text = "| promise | test |\n|:--|--:|\n| a | `engine-x::holds`, `tests/kill/run.py` |\n\
                    | b | not yet tested |\n| c | `gone` |\n| d | surely |\n| e | `tests/no.py` |\n";
        let findings =
            check_semantics(text, &functions(&sources), &|path| path == "tests/kill/run.py");
        assert_eq!(
            said(&findings),
            [
                "docs/semantics.md:5: name a test that is there for `gone`",
                "docs/semantics.md:6: name the test of this promise, or say: not yet tested",
                "docs/semantics.md:7: name a test that is there for `tests/no.py`",
            ]
        );
    }
}

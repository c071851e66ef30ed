//! The page: verdicts first, then events, one section for each operation, the server's counters
//! and the manifests.
//!
//! Invariants: one file without a link to anything outside of it; the script only adds values
//! under the pointer; what speaks against a run stands above its figures.

use crate::chart::Mark;
use crate::data::{LoopKind, RunData};
use crate::escape::escaped;
use crate::number::significant;
use crate::operation;
use crate::style::{run_class, run_name, sample};
use crate::table::{distinct, key_values};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("hover.js");
/// Runs that the title names one by one.
const TITLE_RUNS_MAX: usize = 3;

/// The report of one run, or of several over each other, as an HTML file.
#[must_use]
pub fn render(runs: &[RunData]) -> String {
    let marks = marks_of(runs);
    let operations = runs.iter().flat_map(|run| &run.operations);
    let names = distinct(operations.map(|operation| operation.name.as_str()));
    let mut out = head(runs);
    out.push_str(&verdicts(runs));
    out.push_str(&contents(&names));
    out.push_str(&events(runs, &marks));
    for (number, name) in names.iter().enumerate() {
        out.push_str(&operation::section(runs, name, number, &marks));
    }
    let server = key_values(runs, |run| run.server.as_deref().unwrap_or_default());
    out.push_str(&titled("server", "Server", &server));
    let manifest = key_values(runs, |run| run.manifest.as_slice());
    out.push_str(&titled("manifest", "Manifest", &manifest));
    out.push_str("</main>\n<div id=\"tip\" hidden=\"hidden\"></div>\n<script>\n");
    out.push_str(SCRIPT);
    out.push_str("</script>\n</body>\n</html>\n");
    out
}

fn head(runs: &[RunData]) -> String {
    let title = escaped(&title(runs));
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
    out.push_str("<meta charset=\"utf-8\"/>\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
    _ = write!(out, "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n");
    _ = write!(out, "<body>\n<main>\n<h1>{title}</h1>\n");
    out
}

fn title(runs: &[RunData]) -> String {
    if runs.is_empty() || runs.len() > TITLE_RUNS_MAX {
        return format!("basalt bench: {} runs", runs.len());
    }
    let names: Vec<String> =
        runs.iter().enumerate().map(|(index, run)| run_name(run, index)).collect();
    format!("basalt bench: {}", names.join(", "))
}

/// Whether the figures of each run count, in words.
fn verdicts(runs: &[RunData]) -> String {
    if runs.is_empty() {
        return "<p class=\"none\">No run was given.</p>\n".to_owned();
    }
    let mut out = String::from("<section id=\"verdicts\">\n");
    for (index, run) in runs.iter().enumerate() {
        let valid = run.verdict_reasons.is_empty();
        let class = if valid { "valid" } else { "void" };
        let name =
            if run.label.trim().is_empty() { run_name(run, index) } else { run.label.clone() };
        let (mark, name) = (sample(&run_class(index)), escaped(&name));
        _ = write!(out, r#"<article class="{class}"><h2>{mark}{name}</h2>"#);
        let (started, loop_kind) = (escaped(&run.started), run.loop_kind.label());
        let class = if run.loop_kind == LoopKind::Closed { "closed" } else { "open" };
        _ = write!(out, r#"<p>{started}</p><p class="{class}">{loop_kind}</p>"#);
        if valid {
            out.push_str("<p><strong>Valid.</strong> Nothing speaks against its figures.</p>");
        } else {
            out.push_str(
                "<p><strong>Not valid.</strong> Do not quote its rates and latencies:</p>",
            );
            out.push_str("<ul>");
            for reason in &run.verdict_reasons {
                _ = write!(out, "<li>{}</li>", escaped(reason));
            }
            out.push_str("</ul>");
        }
        if run.operations.is_empty() {
            out.push_str("<p class=\"none\">No operation was recorded.</p>");
        }
        out.push_str("</article>\n");
    }
    out.push_str("</section>\n");
    out
}

/// Links to the sections of the operations, where there are several.
fn contents(names: &[&str]) -> String {
    if names.len() < 2 {
        return String::new();
    }
    let mut out = String::from("<nav>");
    for (number, name) in names.iter().enumerate() {
        _ = write!(out, "<a href=\"#operation-{number}\">{}</a> ", escaped(name));
    }
    out.push_str("</nav>\n");
    out
}

/// The events of all runs by time; those at no finite time are left out.
fn marks_of(runs: &[RunData]) -> Vec<Mark<'_>> {
    let mut marks: Vec<Mark<'_>> = Vec::new();
    for (run, data) in runs.iter().enumerate() {
        let finite = data.marks.iter().filter(|(second, _)| second.is_finite());
        marks.extend(finite.map(|(second, text)| Mark { number: 0, run, second: *second, text }));
    }
    marks.sort_by(|left, right| left.second.total_cmp(&right.second));
    for (index, mark) in marks.iter_mut().enumerate() {
        mark.number = index + 1;
    }
    marks
}

fn events(runs: &[RunData], marks: &[Mark<'_>]) -> String {
    if marks.is_empty() {
        return String::new();
    }
    let mut rows = String::from("<div class=\"scroll\"><table><tbody>");
    for mark in marks {
        let name = runs.get(mark.run).map(|run| run_name(run, mark.run)).unwrap_or_default();
        let (name, text) = (escaped(&name), escaped(mark.text));
        let (number, second) = (mark.number, significant(mark.second, 6));
        let line = sample(&run_class(mark.run));
        _ = write!(
            rows,
            r#"<tr><th scope="row">{number}</th><td>{second} s</td><td>{line}{name}</td><td>{text}</td></tr>"#
        );
    }
    rows.push_str("</tbody></table></div>\n");
    titled("events", "Events", &rows)
}

/// A section with its heading; nothing where there is nothing in it.
fn titled(id: &str, title: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<section id=\"{id}\"><h2>{title}</h2>\n{body}</section>\n")
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;

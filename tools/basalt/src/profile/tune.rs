//! `basalt profile tune`: settings of the kernel that a profile wants, as a table, a script, set,
//! or taken back.
//!
//! Invariants: without `--apply` and `--revert` nothing is changed; where a right is missing
//! nothing is set at all, so that no run is done by halves; every knob has a row, one that cannot
//! be set with the reason.

use super::arguments::{KnobGroup, TuneArguments};
use super::{Refused, choice, files, plain, refused};
use crate::{exit, logging, output};
use hw_profile::{
    Knob, KnobState, Machine, OsKnobs, Outcome, Profile, Root, fingerprint, knobs, revert, script,
};
use std::path::Path;

/// Runs it and returns the exit code.
pub(super) fn command(arguments: &TuneArguments) -> Result<u8, Refused> {
    let root = Root::real();
    if arguments.revert {
        return take_back(&root, &arguments.log);
    }
    let (name, patterns) = choice::split(&arguments.given);
    let machine = choice::look(patterns)?;
    let mut profile = choice::choose(name, &machine)?;
    warn_of_another_machine(&profile, &machine);
    profile.os = only(&profile.os, &arguments.only);
    let rows = knobs(&profile, &machine, &root);
    if let Some(file) = &arguments.script {
        let text = script(&rows, &profile.profile.name);
        files::write(file, &text, files::EXECUTABLE, arguments.force)?;
        let shown = file.display();
        output::out(&format!("nothing was changed; read {shown}, then run it as root\n"));
        return Ok(exit::OK);
    }
    output::out(&plain(&table(&profile.profile.name, &rows)));
    if arguments.apply {
        return set(&root, &rows, &arguments.log);
    }
    output::out("nothing was changed: --apply sets what differs\n");
    Ok(exit::OK)
}

fn warn_of_another_machine(profile: &Profile, machine: &Machine) {
    let header = &profile.profile;
    let foreign = header.fingerprint.as_ref().is_some_and(|own| *own != fingerprint(machine));
    if foreign {
        output::complain(&format!(
            "profile {} was written on another kind of machine, or drives were changed since",
            header.name
        ));
    }
}

/// What the profile wants of these groups; of all, where none is named.
fn only(os: &OsKnobs, groups: &[KnobGroup]) -> OsKnobs {
    let has = |group: KnobGroup| groups.is_empty() || groups.contains(&group);
    let (disk, net, cpu) = (has(KnobGroup::Disk), has(KnobGroup::Net), has(KnobGroup::Cpu));
    // Every field stands here, so that a new one does not build before it has a group.
    OsKnobs {
        scheduler: os.scheduler.clone().filter(|_| disk),
        nomerges: os.nomerges.filter(|_| disk),
        rq_affinity: os.rq_affinity.filter(|_| disk),
        wbt_lat_usec: os.wbt_lat_usec.filter(|_| disk),
        iostats: os.iostats.filter(|_| disk),
        add_random: os.add_random.filter(|_| disk),
        write_cache: os.write_cache.clone().filter(|_| disk),
        governor: os.governor.clone().filter(|_| cpu),
        transparent_hugepage: os.transparent_hugepage.clone().filter(|_| cpu),
        clocksource: os.clocksource.clone().filter(|_| cpu),
        swappiness: os.swappiness.filter(|_| cpu),
        somaxconn: os.somaxconn.filter(|_| net),
        tcp_max_syn_backlog: os.tcp_max_syn_backlog.filter(|_| net),
    }
}

fn table(profile: &str, rows: &[Knob]) -> String {
    if rows.is_empty() {
        return format!("profile {profile} wants no setting of the kernel here\n");
    }
    let head = ["STATE", "SETTING", "NOW", "WANTED"].map(str::to_owned).to_vec();
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|row| {
        let now = row.now.clone().unwrap_or_else(|| "unknown".to_owned());
        vec![state(row).to_owned(), row.name.clone(), now, row.wanted.clone()]
    }));
    let mut text = String::new();
    let details = std::iter::once(String::new()).chain(rows.iter().map(details));
    for (line, detail) in output::table(&lines).lines().zip(details) {
        text.push_str(line);
        text.push('\n');
        text.push_str(&detail);
    }
    text
}

fn state(row: &Knob) -> &'static str {
    match row.state {
        KnobState::Set => "as wanted",
        KnobState::Differs { .. } => "differs",
        KnobState::CannotSet { .. } => "cannot set",
        KnobState::Refused { .. } => "refused",
    }
}

/// What stands below a row; nothing where nothing is to be done.
fn details(row: &Knob) -> String {
    match &row.state {
        KnobState::Set => String::new(),
        KnobState::Differs { needs_root } => {
            let who = if *needs_root { "; needs root" } else { "" };
            format!(
                "      why: {}\n      risk: {}\n      persists: {}{who}\n",
                row.why, row.risk, row.persists
            )
        }
        KnobState::CannotSet { reason } | KnobState::Refused { reason } => {
            format!("      because: {reason}\n")
        }
    }
}

/// Sets what differs, or nothing where a right is missing.
fn set(root: &Root, rows: &[Knob], log: &Path) -> Result<u8, Refused> {
    let denied: Vec<&str> = rows
        .iter()
        .filter(|row| row.state == KnobState::Differs { needs_root: true })
        .map(|row| row.name.as_str())
        .collect();
    if !denied.is_empty() {
        let text = format!("only root may set {}, so nothing was set", denied.join(", "));
        return Err((exit::DENIED, text));
    }
    let outcomes = hw_profile::apply(root, rows, log, &logging::utc_now());
    let outcomes = outcomes.map_err(|error| refused(&error))?;
    let is_touched = outcomes.iter().any(|outcome| !outcome.path.is_empty());
    if is_touched {
        output::out(&plain(&told(&outcomes, "set")));
        output::out(&format!("--revert takes it back; noted in {}\n", log.display()));
    } else {
        output::out("nothing was changed: nothing that can be set differs\n");
    }
    let is_partly_set = rows.iter().any(|row| row.state == KnobState::Set);
    Ok(code(&outcomes, is_partly_set))
}

fn take_back(root: &Root, log: &Path) -> Result<u8, Refused> {
    if !log.exists() {
        let text = format!("{} is not there: nothing is known to take back", log.display());
        return Err((exit::NOT_FOUND, text));
    }
    let outcomes = revert(root, log).map_err(|error| refused(&error))?;
    if outcomes.is_empty() {
        output::out("nothing was changed: the log is empty\n");
    } else {
        output::out(&plain(&told(&outcomes, "taken back")));
    }
    Ok(code(&outcomes, false))
}

/// One row for each file that was to be written, with the problem below it.
fn told(outcomes: &[Outcome], done: &str) -> String {
    let touched: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| !outcome.path.is_empty()).collect();
    let lines: Vec<Vec<String>> = touched
        .iter()
        .map(|outcome| {
            let verdict = if outcome.problem.is_none() { done } else { "FAILED" };
            let before = outcome.before.as_deref().unwrap_or("unknown");
            let change = format!("{before} -> {}", outcome.wanted);
            // A log may hold anything; a line end would shift all rows after it.
            [verdict, outcome.name.as_str(), change.as_str(), outcome.path.as_str()]
                .map(|cell| cell.replace(char::is_control, ""))
                .to_vec()
        })
        .collect();
    let mut text = String::new();
    for (line, outcome) in output::table(&lines).lines().zip(&touched) {
        text.push_str(line);
        text.push('\n');
        if let Some(problem) = &outcome.problem {
            text.push_str(&format!("      {problem}\n"));
        }
    }
    text
}

fn code(outcomes: &[Outcome], is_partly_set: bool) -> u8 {
    let failed = outcomes.iter().filter(|outcome| outcome.problem.is_some()).count();
    if failed == 0 {
        exit::OK
    } else if failed < outcomes.len() || is_partly_set {
        exit::PARTIAL
    } else {
        exit::FAILED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> OsKnobs {
        OsKnobs {
            scheduler: Some("none".to_owned()),
            nomerges: Some(2),
            rq_affinity: Some(2),
            wbt_lat_usec: Some(0),
            iostats: Some(1),
            add_random: Some(0),
            write_cache: Some("back".to_owned()),
            governor: Some("performance".to_owned()),
            transparent_hugepage: Some("madvise".to_owned()),
            clocksource: Some("tsc".to_owned()),
            swappiness: Some(1),
            somaxconn: Some(4096),
            tcp_max_syn_backlog: Some(4096),
        }
    }

    #[test]
    fn every_knob_is_of_one_group() {
        let groups = [KnobGroup::Disk, KnobGroup::Net, KnobGroup::Cpu];
        let count = |groups: &[KnobGroup]| only(&all(), groups).wanted().len();
        assert_eq!(groups.map(|group| count(&[group])).iter().sum::<usize>(), count(&groups));
        assert_eq!(only(&all(), &[]), all());
        assert_eq!(only(&all(), &groups), all());
        let net = only(&all(), &[KnobGroup::Net]);
        assert!(net.somaxconn.is_some() && net.scheduler.is_none() && net.governor.is_none());
    }

    fn knob(state: KnobState) -> Knob {
        Knob {
            name: "swappiness".to_owned(),
            now: Some("60".to_owned()),
            wanted: "1".to_owned(),
            why: "memory",
            risk: "page cache",
            persists: "until the next start",
            state,
            files: Vec::new(),
        }
    }

    #[test]
    fn a_row_says_why_or_why_not() {
        let cannot = KnobState::CannotSet { reason: "read-only".to_owned() };
        let rows =
            [knob(KnobState::Differs { needs_root: true }), knob(cannot), knob(KnobState::Set)];
        let text = table("lab", &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 8, "{text}");
        assert!(lines[0].starts_with("STATE") && lines[1].starts_with("differs"), "{text}");
        assert!(lines[4].ends_with("until the next start; needs root"), "{text}");
        assert_eq!(lines[6], "      because: read-only");
        assert!(lines[7].starts_with("as wanted"), "{text}");
        assert!(table("generic", &[]).contains("generic wants no setting"));
    }

    #[test]
    fn without_the_right_nothing_is_set() {
        let place = crate::testing::TempDir::new();
        let log = place.path().join("log.toml");
        let rows = [knob(KnobState::Differs { needs_root: true })];
        let (code, said) = set(&Root::below(place.path()), &rows, &log).unwrap_err();
        assert!(code == exit::DENIED && said.contains("swappiness"), "{said}");
        assert!(!log.exists());
        let (code, _) = take_back(&Root::below(place.path()), &log).unwrap_err();
        assert_eq!(code, exit::NOT_FOUND);
    }

    fn outcome(problem: Option<&str>) -> Outcome {
        Outcome {
            name: "swappiness\n".to_owned(),
            path: "/proc/sys/vm/swappiness".to_owned(),
            before: Some("60".to_owned()),
            wanted: "1".to_owned(),
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn what_failed_is_told_and_has_its_code() {
        let (good, bad) = (outcome(None), outcome(Some("refused")));
        assert_eq!(code(std::slice::from_ref(&good), false), exit::OK);
        assert_eq!(code(&[good.clone(), bad.clone()], false), exit::PARTIAL);
        assert_eq!(code(std::slice::from_ref(&bad), true), exit::PARTIAL);
        assert_eq!(code(std::slice::from_ref(&bad), false), exit::FAILED);
        let text = told(&[good, bad], "set");
        assert_eq!(
            text,
            "set     swappiness  60 -> 1  /proc/sys/vm/swappiness\n\
             FAILED  swappiness  60 -> 1  /proc/sys/vm/swappiness\n      refused\n"
        );
    }
}

//! What the server knows of its hardware: the profile that it obeys, the plan that follows from it,
//! and where the machine is not as the profile has it.
//!
//! Invariants: a profile is read and judged before anything is written; the look at the machine
//! only reads and ends in bounded time; a machine that nobody knows is served with the defaults,
//! never refused. Which thread runs where is for `placement`, telling of it for `chosen`.

use super::ServerOptions;
use crate::config::values;
use hw_profile::{
    CheckRow, CheckVerdict, Machine, OsKnobs, Plan, Profile, ProfileError, Root, check,
    choose_preset, fingerprint, plan, preset, probe,
};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long the look may take. All of it is small reads of /sys and /proc, and of where the drives
/// lie, which was looked at before. But the kernel asks a drive for its temperature, and one that
/// dies may take a minute to say nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Name and source where there is no profile.
const NOTHING: &str = "none";

/// Which profile is obeyed.
#[derive(Debug, Clone, Default)]
pub enum ProfileChoice {
    /// The preset that fits the machine.
    #[default]
    Auto,
    /// None.
    Nothing,
    /// This one.
    Given(Arc<Profile>),
}

/// Reads the profile that the setting names; None is `auto`.
pub fn choose(setting: Option<&str>) -> Result<ProfileChoice, ProfileError> {
    let profile = match setting {
        None => return Ok(ProfileChoice::Auto),
        Some(values::NO_PROFILE) => return Ok(ProfileChoice::Nothing),
        Some(file) if values::is_profile_file(file) => Profile::load(Path::new(file))?,
        Some(name) => preset(name)?,
    };
    Ok(ProfileChoice::Given(Arc::new(profile)))
}

/// What was found, and what is to be done.
#[derive(Debug, Clone, Default)]
pub struct Hardware {
    /// Name of the profile; `none` without one.
    pub profile: String,
    /// Where its facts come from: `probe`, `measured`, `preset`, `manual`; `none` without one.
    pub source: &'static str,
    /// Who chose it: `given` or `auto`.
    pub chosen: &'static str,
    /// Whether it is of a machine of this kind: `matches`, `differs`; `unknown` without one.
    pub fingerprint: &'static str,
    /// What it wants; the drives are in the order of the command line.
    pub plan: Plan,
    /// Where the machine is not as the profile has it; the worst first.
    pub drift: Vec<CheckRow>,
    /// What a person should look at, one sentence each.
    pub warnings: Vec<String>,
    /// What a person may want to know, one sentence each.
    pub remarks: Vec<String>,
    /// Whether this is a trial that nobody gave a profile: the details are no news.
    pub is_trial: bool,
}

/// Looks at the machine and at where the drives lie, or will lie, and makes the plan.
pub fn look(options: &ServerOptions) -> Hardware {
    if matches!(options.profile, ProfileChoice::Nothing) {
        return without_profile("given");
    }
    let paths = options.drives.iter().map(|drive| drive.path.clone()).collect();
    let machine = probe_within(PATIENCE, paths);
    Hardware { is_trial: is_trial(options), ..judged(&options.profile, machine.as_ref()) }
}

fn is_trial(options: &ServerOptions) -> bool {
    options.dev.is_some() && matches!(options.profile, ProfileChoice::Auto)
}

/// The machine; None if it could not be looked at in that time. The thread that hangs stays behind.
fn probe_within(patience: Duration, drives: Vec<PathBuf>) -> Option<Machine> {
    let (sender, probed) = mpsc::channel();
    let started = shards_executor::start_pinned_thread("basalt-probe", None, move || {
        // Nobody waits for a late answer.
        _ = sender.send(probe(&Root::real(), &drives));
    });
    started.ok()?;
    probed.recv_timeout(patience).ok()
}

/// The plan of a choice for a machine.
fn judged(choice: &ProfileChoice, machine: Option<&Machine>) -> Hardware {
    let unseen = || {
        format!(
            "the machine could not be looked at within {} s: what a profile says of its drives \
             is not kept to; look for a drive that does not answer",
            PATIENCE.as_secs()
        )
    };
    match (choice, machine) {
        (ProfileChoice::Nothing, _) => without_profile("given"),
        (ProfileChoice::Given(profile), Some(machine)) => obeyed(profile, machine, "given"),
        (ProfileChoice::Given(profile), None) => {
            // CPUs and rings need no look.
            let plan = plan(profile, &Machine::default());
            let warnings = vec![unseen()];
            Hardware { plan, warnings, ..of_profile(profile, "given") }
        }
        (ProfileChoice::Auto, Some(machine)) => chosen(machine),
        (ProfileChoice::Auto, None) => {
            Hardware { warnings: vec![unseen()], ..without_profile("auto") }
        }
    }
}

/// The preset that fits.
fn chosen(machine: &Machine) -> Hardware {
    match choose_preset(machine) {
        Ok(choice) => {
            // Nobody asked for the settings that a preset wants: they are no drift.
            let asked = Profile { os: OsKnobs::default(), ..choice.profile };
            let mut hardware = obeyed(&asked, machine, "auto");
            if choice.is_known {
                hardware.remarks.push(choice.warning);
            } else {
                hardware.warnings.push(choice.warning);
            }
            hardware
        }
        Err(error) => Hardware { warnings: vec![error.to_string()], ..without_profile("auto") },
    }
}

fn without_profile(chosen: &'static str) -> Hardware {
    Hardware {
        profile: NOTHING.to_owned(),
        source: NOTHING,
        chosen,
        fingerprint: "unknown",
        ..Hardware::default()
    }
}

/// What is known of a profile without a machine.
fn of_profile(profile: &Profile, chosen: &'static str) -> Hardware {
    Hardware {
        profile: profile.profile.name.clone(),
        source: profile.profile.source.word(),
        chosen,
        fingerprint: "unknown",
        ..Hardware::default()
    }
}

fn obeyed(profile: &Profile, machine: &Machine, chosen: &'static str) -> Hardware {
    let plan = plan(profile, machine);
    let is_drift = |row: &CheckRow| {
        // The check repeats what the plan notes.
        row.verdict >= CheckVerdict::Warn && !plan.notes.contains(&row.reason)
    };
    let rows = check(profile, machine, &Root::real()).into_iter();
    let mut drift: Vec<CheckRow> = rows.filter(is_drift).collect();
    drift.sort_by_key(|row| Reverse(row.verdict));
    let fingerprint = match &profile.profile.fingerprint {
        None => "unknown",
        Some(wanted) if *wanted == fingerprint(machine) => "matches",
        Some(_) => "differs",
    };
    let warnings = notes(profile, &plan);
    Hardware { fingerprint, plan, drift, warnings, ..of_profile(profile, chosen) }
}

/// The notes of the plan. That a drive has no class is none where the profile has no classes at
/// all: it speaks of other things.
fn notes(profile: &Profile, plan: &Plan) -> Vec<String> {
    let without_class = plan.drives.iter().filter(|drive| drive.class.is_none()).count();
    // Those stand first, one for each such drive.
    let skipped = if profile.class.is_empty() { without_class } else { 0 };
    plan.notes.iter().skip(skipped).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use hw_profile::{DrivePlace, PlaceKind};

    const HEAD: &str = "schema = 1\n[profile]\nname = \"lab\"\nsource = \"manual\"\n\
                        created = \"2026-11-30\"\n";
    const CLASS: &str = "[[class]]\nname = \"fast\"\nmodel = \"Fast SSD\"\n\
                         [class.budget]\nsplit_bytes = 65536\n";

    fn given(sections: &str) -> ProfileChoice {
        let text = format!("{HEAD}{sections}");
        let profile = Profile::parse(Path::new("lab.toml"), &text);
        ProfileChoice::Given(Arc::new(profile.unwrap_or_else(|error| panic!("{error}"))))
    }

    /// A machine of which only its drives are known.
    fn machine(drives: &[&str]) -> Machine {
        let place = |path: &&str| DrivePlace {
            path: (*path).to_owned(),
            kind: PlaceKind::Missing,
            identity: Some(format!("path:{path}")),
            chain: Vec::new(),
            disks: Vec::new(),
            file_system: None,
            notes: Vec::new(),
        };
        Machine { drives: drives.iter().map(place).collect(), ..Machine::default() }
    }

    #[test]
    fn a_setting_is_a_preset_a_file_or_nothing() {
        assert!(matches!(choose(None), Ok(ProfileChoice::Auto)));
        assert!(matches!(choose(Some("none")), Ok(ProfileChoice::Nothing)));
        let name = |setting: &str| match choose(Some(setting)).unwrap() {
            ProfileChoice::Given(profile) => profile.profile.name.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(name("aws-i4i"), "aws-i4i");
        let place = TempDir::new();
        assert_eq!(name(&place.file("own", HEAD.as_bytes())), "lab");
        let broken = place.file("broken.toml", format!("{HEAD}[runtime]\nring = 8\n").as_bytes());
        let said = choose(Some(&broken)).unwrap_err().to_string();
        assert!(said.contains("broken.toml, line 7, `runtime.ring`"), "{said}");
        assert!(choose(Some(&place.entry("none.toml"))).is_err());
    }

    #[test]
    fn an_unknown_machine_is_one_warning_and_keeps_to_the_defaults() {
        let hardware = judged(&ProfileChoice::Auto, Some(&machine(&["/d1", "/d2"])));
        assert_eq!((hardware.profile.as_str(), hardware.source), ("generic", "preset"));
        assert_eq!(hardware.warnings.len(), 1, "{hardware:?}");
        assert!(hardware.warnings[0].contains("UNKNOWN") && hardware.drift.is_empty());
        assert_eq!(hardware.plan.drives.len(), 2);
        assert_eq!(hardware.plan.drives[0].limits, hw_profile::DriveLimits::default());
    }

    #[test]
    fn drift_is_told_the_worst_first_and_notes_only_once() {
        let sections = format!(
            "[machine]\nkernel = \"2.4\"\n[layout]\nshard_cpus = \"0\"\n\
             [[layout.drive]]\nwwid = \"path:/d9\"\nshard = 0\n{CLASS}\
             [[device]]\nwwid = \"path:/d8\"\nclass = \"fast\"\n"
        );
        let mut machine = machine(&["/d1"]);
        machine.system.kernel = Some("6.18.1".to_owned());
        let hardware = judged(&given(&sections), Some(&machine));
        let rows: Vec<(CheckVerdict, &str)> =
            hardware.drift.iter().map(|row| (row.verdict, row.check.as_str())).collect();
        let (fail, warn) = (CheckVerdict::Fail, CheckVerdict::Warn);
        assert_eq!(rows, [(fail, "drive path:/d8"), (warn, "kernel")]);
        assert_eq!(hardware.warnings.len(), 2, "{hardware:?}");
        assert!(hardware.warnings[0].starts_with("/d1: profile lab has no class"));
        assert!(hardware.warnings[1].contains("path:/d9"));
    }

    #[test]
    fn a_profile_without_classes_speaks_of_other_things() {
        let sections = "[layout]\nshard_cpus = \"0\"\n[[layout.drive]]\nwwid = \"path:/d9\"\n\
                        shard = 0\n";
        let hardware = judged(&given(sections), Some(&machine(&["/d1"])));
        assert_eq!(hardware.warnings.len(), 1, "{hardware:?}");
        assert!(hardware.warnings[0].contains("path:/d9"));
    }

    #[test]
    fn fingerprints_are_compared() {
        let found = |line: &str| {
            let head = HEAD.replace("[profile]\n", &format!("[profile]\n{line}"));
            let profile = Profile::parse(Path::new("lab.toml"), &head).unwrap();
            judged(&ProfileChoice::Given(Arc::new(profile)), Some(&machine(&[]))).fingerprint
        };
        assert_eq!(found(""), "unknown");
        assert_eq!(found("fingerprint = \"fnv1a:0\"\n"), "differs");
        let own = format!("fingerprint = \"{}\"\n", fingerprint(&machine(&[])));
        assert_eq!(found(&own), "matches");
    }

    #[test]
    fn a_machine_that_could_not_be_looked_at_still_has_its_cpus() {
        let choice = given(&format!("[layout]\nshard_cpus = \"1\"\n{CLASS}"));
        let hardware = judged(&choice, None);
        assert_eq!(hardware.plan.shard_cpus.to_string(), "1");
        assert!(hardware.plan.drives.is_empty() && hardware.drift.is_empty());
        assert!(hardware.warnings[0].contains("could not be looked at"));
        let hardware = judged(&ProfileChoice::Auto, None);
        assert_eq!((hardware.profile.as_str(), hardware.chosen), ("none", "auto"));
    }

    #[test]
    fn this_machine_is_looked_at_and_drives_need_not_be_there_yet() {
        let drive = std::env::temp_dir().join("no/such/drive");
        let machine = probe_within(PATIENCE, vec![drive.clone()]).unwrap();
        assert_eq!(machine.drives[0].path, drive.display().to_string());
        assert_eq!(machine.drives[0].kind, PlaceKind::Missing);
        assert!(!drive.exists());
    }
}

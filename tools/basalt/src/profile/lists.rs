//! `basalt profile presets` and `basalt profile diff`: tables.

use super::arguments::DiffArguments;
use super::{Refused, choice, plain, refused};
use crate::{exit, output};
use hw_profile::{Difference, PRESETS, Profile, ProfileError, choose_preset, preset};

/// Lists the presets, and says which one this machine would get.
pub(super) fn presets() -> Result<u8, Refused> {
    let told = |error: ProfileError| refused(&error);
    let mut rows = vec![cells(["PRESET", "DATE", "CLASSES", "SOURCES", "MACHINES"])];
    for one in PRESETS {
        rows.push(preset_row(&preset(one.name).map_err(told)?));
    }
    let choice = choose_preset(&choice::look(&[])?).map_err(told)?;
    let own = choice.profile.profile.name;
    output::out(&format!("{}\nthis machine would get: {own}\n", output::table(&rows)));
    Ok(exit::OK)
}

fn cells<const COUNT: usize>(texts: [&str; COUNT]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn preset_row(profile: &Profile) -> Vec<String> {
    let facts = &profile.machine;
    let machines: Vec<&str> =
        [&facts.vendor, &facts.product].into_iter().filter_map(|fact| fact.as_deref()).collect();
    vec![
        profile.profile.name.clone(),
        profile.profile.created.clone(),
        profile.class.len().to_string(),
        profile.source.len().to_string(),
        if machines.is_empty() { "any".to_owned() } else { machines.join(", ") },
    ]
}

/// Says what two profiles say differently; the exit code is 8 if there is anything.
pub(super) fn diff(arguments: &DiffArguments) -> Result<u8, Refused> {
    let (left, right) = (choice::load(&arguments.left)?, choice::load(&arguments.right)?);
    let differences = hw_profile::diff(&left, &right).map_err(|error| refused(&error))?;
    if differences.is_empty() {
        output::out("no difference\n");
        return Ok(exit::OK);
    }
    let mut rows = vec![cells(["FIELD", arguments.left.as_str(), arguments.right.as_str()])];
    rows.extend(differences.iter().map(difference_row));
    output::out(&plain(&output::table(&rows)));
    Ok(exit::CHECK_FAILED)
}

/// A field that is not set is a dash.
fn difference_row(difference: &Difference) -> Vec<String> {
    let side = |value: &Option<String>| one_line(value.as_deref().unwrap_or("-"));
    vec![difference.field.clone(), side(&difference.left), side(&difference.right)]
}

/// Notes have many lines; a cell has one.
fn one_line(text: &str) -> String {
    const LETTERS_MAX: usize = 60;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LETTERS_MAX {
        return line;
    }
    line.chars().take(LETTERS_MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(left: Option<&str>, right: Option<&str>) -> Difference {
        let (left, right) = (left.map(str::to_owned), right.map(str::to_owned));
        Difference { field: "profile.notes".to_owned(), left, right }
    }

    #[test]
    fn a_difference_is_one_line() {
        let long = "many words\nof notes ".repeat(10);
        let row = difference_row(&difference(Some(&long), None));
        assert!(row[1].starts_with("many words of notes") && row[1].ends_with("..."), "{row:?}");
        assert_eq!(row[2], "-");
    }

    #[test]
    fn a_preset_says_which_machines_it_is_for() {
        let machines = |name: &str| preset_row(&preset(name).unwrap()).pop();
        assert_eq!(machines("aws-i4i").as_deref(), Some("Amazon EC2, i4i.*"));
        assert_eq!(machines("generic").as_deref(), Some("any"));
    }
}

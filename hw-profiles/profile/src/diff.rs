//! What two profiles say differently, field by field.
//!
//! Invariants: rows of a table are matched by their name, WWID or number, not by their place; equal
//! profiles have no difference.

use crate::error::ProfileError;
use crate::file::Profile;
use serde::Serialize;
use std::collections::BTreeMap;

/// One field that differs. None: the profile does not set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Section and key, such as `class.fast.budget.split_bytes`.
    pub field: String,
    /// In the first profile, as TOML.
    pub left: Option<String>,
    /// In the second.
    pub right: Option<String>,
}

/// Differences in the order of their fields.
///
/// # Errors
/// Where a profile cannot be serialised, which no valid one has.
pub fn diff(left: &Profile, right: &Profile) -> Result<Vec<Difference>, ProfileError> {
    let (mut left, mut right) = (flat(left)?, flat(right)?);
    let fields: Vec<String> = left.keys().chain(right.keys()).cloned().collect();
    let mut differences: Vec<Difference> = fields
        .into_iter()
        .map(|field| {
            let (left, right) = (left.remove(&field), right.remove(&field));
            Difference { field, left, right }
        })
        .filter(|one| one.left != one.right)
        .collect();
    differences.sort_by(|one, other| one.field.cmp(&other.field));
    Ok(differences)
}

fn flat(profile: &Profile) -> Result<BTreeMap<String, String>, ProfileError> {
    let mut fields = BTreeMap::new();
    add("", &toml::Value::try_from(profile)?, &mut fields);
    Ok(fields)
}

fn add(prefix: &str, value: &toml::Value, fields: &mut BTreeMap<String, String>) {
    let below =
        |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                add(&below(key), value, fields);
            }
        }
        toml::Value::Array(rows) => {
            for (place, row) in rows.iter().enumerate() {
                let name = name_of(row).unwrap_or_else(|| place.to_string());
                add(&below(&name), row, fields);
            }
        }
        value => {
            fields.insert(prefix.to_owned(), value.to_string());
        }
    }
}

fn name_of(row: &toml::Value) -> Option<String> {
    let table = row.as_table()?;
    let key = ["name", "wwid", "field", "id"].into_iter().find_map(|key| table.get(key))?;
    Some(key.as_str().map_or_else(|| key.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::profile;

    const TWO: &str =
        "[[class]]\nname = \"a\"\nmodel = \"A\"\n[[class]]\nname = \"b\"\nmodel = \"B\"\n";

    #[test]
    fn equal_profiles_do_not_differ_whatever_the_order_of_their_rows() {
        let turned =
            "[[class]]\nname = \"b\"\nmodel = \"B\"\n[[class]]\nname = \"a\"\nmodel = \"A\"\n";
        let found = diff(&profile(TWO), &profile(turned)).unwrap();
        assert_eq!(found, Vec::<Difference>::new());
    }

    #[test]
    fn a_changed_and_a_missing_field_are_named() {
        let left = profile(&format!("[layout]\nshard_cpus = \"0-1\"\n{TWO}"));
        let right = profile(&format!("{TWO}[class.budget]\nsplit_bytes = 65536\n"));
        let found: Vec<String> = diff(&left, &right)
            .unwrap()
            .into_iter()
            .map(|one| format!("{} {:?} {:?}", one.field, one.left, one.right))
            .collect();
        assert_eq!(
            found,
            [
                "class.b.budget.split_bytes None Some(\"65536\")",
                "layout.shard_cpus Some(\"\\\"0-1\\\"\") None",
            ]
        );
    }
}

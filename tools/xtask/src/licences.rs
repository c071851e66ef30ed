//! Every package has a licence that Apache-2.0 software may ship with.
//! Source: SPDX specification, annex "SPDX license expressions".

use crate::Finding;
use crate::cargo::Package;

/// Licences that ask for no more than notice.
const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Checks the licence of every package.
pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    packages
        .iter()
        .filter_map(|package| {
            let what = match &package.licence {
                Some(expression) if allowed(expression) => return None,
                Some(expression) => format!("drop the package: no allowed licence in {expression}"),
                None => "drop the package: it names no licence expression".to_owned(),
            };
            Some(Finding::failure(format!("{} {}", package.name, package.version), what))
        })
        .collect()
}

/// Whether the expression can be met with allowed licences alone. One that cannot be read cannot.
fn allowed(expression: &str) -> bool {
    // Old packages write `MIT/Apache-2.0` for OR.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&tokens, &mut at) == Some(true) && at == tokens.len()
}

/// `a OR b OR ...`
fn any_of(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let mut holds = all_of(tokens, at)?;
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        let right = all_of(tokens, at)?;
        holds = holds || right;
    }
    Some(holds)
}

/// `a AND b AND ...`, which binds closer than OR.
fn all_of(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let mut holds = one(tokens, at)?;
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        let right = one(tokens, at)?;
        holds = holds && right;
    }
    Some(holds)
}

/// A licence, one with an exception (which only permits more), or an expression in brackets.
fn one(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let token = *tokens.get(*at)?;
    *at += 1;
    if token == "(" {
        let holds = any_of(tokens, at)?;
        if tokens.get(*at) != Some(&")") {
            return None;
        }
        *at += 1;
        return Some(holds);
    }
    if tokens.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    Some(ALLOWED.contains(&token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_say() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only AND MIT", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND LGPL-3.0-only", false),
            ("Apache-2.0 AND ISC", true),
            ("ISC AND (Apache-2.0 OR ISC) AND OpenSSL", true),
            ("MIT OR Apache-2.0 AND GPL-3.0-only", true),
            ("Apache-2.0 WITH LLVM-exception OR MPL-2.0", true),
            ("", false),
            ("(MIT", false),
            ("MIT MIT", false),
            ("MIT OR", false),
        ] {
            assert_eq!(allowed(expression), expected, "{expression:?}");
        }
    }

    #[test]
    fn a_package_without_a_licence_is_named() {
        let package = |licence: Option<&str>| Package {
            name: "thing".to_owned(),
            version: "1.2.3".to_owned(),
            licence: licence.map(str::to_owned),
            ..Package::default()
        };
        let findings = check(&[package(None), package(Some("ISC")), package(Some("AGPL-3.0"))]);
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("thing 1.2.3: "));
        assert!(said[1].contains("AGPL-3.0"));
    }
}

//! Dependencies point one way, crates are named by their path, and crates that do I/O stay where
//! I/O belongs. docs/architecture.md draws the same picture.

use crate::Finding;
use crate::cargo::Package;

/// Top folders from the bottom up; a crate may use its own layer and those before it.
const LAYERS: [&[&str]; 4] =
    [&["engine"], &["shards"], &["gateway"], &["tools", "bench", "hw-profiles"]];

/// Crates inside `engine/` from the bottom up; a crate may use the ranks before its own.
const ENGINE_RANKS: [&[&str]; 5] = [
    &["engine/types"],
    &["engine/env", "engine/format", "engine/codec", "engine/placement"],
    &["engine/index"],
    &["engine/store"],
    &["engine/set"],
];

/// The simulated world, which the tests of every layer may use.
const TEST_WORLD: &str = "shards-sim";

/// Packages kept out of folders: (folder, packages, why). Tests may use them.
const KEPT_OUT: [(&str, &[&str], &str); 3] = [
    (
        "engine/",
        &[
            "crossbeam-queue",
            "flume",
            "http",
            "hyper",
            "io-uring",
            "libc",
            "mio",
            "monoio",
            "nix",
            "rustix",
            "s3s",
            "tokio",
        ],
        "engine/ starts no threads, makes no system calls and speaks no HTTP",
    ),
    ("shards/", &["http", "hyper", "s3s"], "shards/ speaks no HTTP"),
    ("gateway/core", &["hyper", "monoio", "s3s"], "gateway/core is without I/O and front end"),
];

/// Checks the edges and names of the workspace's packages.
pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        if let Some(what) = wrong_name(package).or_else(|| unplaced(package)) {
            findings.push(Finding::failure(manifest.as_str(), what));
        }
        for dependency in &package.dependencies {
            if dependency.dev && dependency.name == TEST_WORLD {
                continue;
            }
            let other = packages.iter().find(|other| other.name == dependency.name);
            let what = match other {
                Some(other) => wrong_edge(package, other),
                None if dependency.dev => None,
                None => kept_out(package, &dependency.name),
            };
            if let Some(what) = what {
                findings.push(Finding::failure(manifest.as_str(), what));
            }
        }
    }
    findings
}

/// `engine/store` is `engine-store`; a tool has the name that its user types.
fn wrong_name(package: &Package) -> Option<String> {
    let expected = match package.folder.strip_prefix("tools/") {
        Some(tool) => tool.replace('/', "-"),
        // The folder holds profiles; the crate is what one of them is.
        None if package.folder == "hw-profiles/profile" => "hw-profile".to_owned(),
        None => package.folder.replace('/', "-"),
    };
    (package.name != expected).then(|| format!("name the crate {expected}, by its path"))
}

fn unplaced(package: &Package) -> Option<String> {
    if layer(&package.folder).is_none() {
        return Some(
            "move the crate into engine, shards, gateway, bench, hw-profiles or tools".to_owned(),
        );
    }
    if package.folder.starts_with("engine/") && engine_rank(&package.folder).is_none() {
        return Some("give the crate a rank in tools/xtask/src/layers.rs".to_owned());
    }
    None
}

fn wrong_edge(package: &Package, other: &Package) -> Option<String> {
    // A package without a layer has its own finding.
    let (from, to) = (layer(&package.folder)?, layer(&other.folder)?);
    if from < to {
        return Some(format!(
            "drop the dependency on {}: tools, bench -> gateway -> shards -> engine",
            other.name
        ));
    }
    if let (Some(from), Some(to)) = (engine_rank(&package.folder), engine_rank(&other.folder))
        && from <= to
    {
        return Some(format!(
            "drop the dependency on {}: types <- env, format, codec, placement <- index <- store \
             <- set",
            other.name
        ));
    }
    None
}

fn kept_out(package: &Package, dependency: &str) -> Option<String> {
    KEPT_OUT
        .iter()
        .find(|(folder, names, _)| {
            package.folder.starts_with(*folder) && names.contains(&dependency)
        })
        .map(|(_, _, why)| format!("drop the dependency on {dependency}: {why}"))
}

fn layer(folder: &str) -> Option<usize> {
    let (top, _) = folder.split_once('/')?;
    LAYERS.iter().position(|tops| tops.contains(&top))
}

fn engine_rank(folder: &str) -> Option<usize> {
    ENGINE_RANKS.iter().position(|folders| folders.contains(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Dependency;

    fn package(folder: &str, name: &str, uses: &[(&str, bool)]) -> Package {
        Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            dependencies: uses
                .iter()
                .map(|(name, dev)| Dependency { name: (*name).to_owned(), dev: *dev })
                .collect(),
            ..Package::default()
        }
    }

    fn said(packages: &[Package]) -> Vec<String> {
        check(packages).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_way_down_is_free() {
        let packages = [
            package("engine/types", "engine-types", &[]),
            package("engine/store", "engine-store", &[("engine-types", false)]),
            package("shards/sim", "shards-sim", &[("engine-store", false), ("libc", false)]),
            package("gateway/s3", "gateway-s3", &[("shards-sim", false), ("s3s", false)]),
            package("tools/basalt", "basalt", &[("gateway-s3", false)]),
            package("bench/load", "bench-load", &[("basalt", false)]),
        ];
        assert_eq!(said(&packages), Vec::<String>::new());
    }

    #[test]
    fn an_edge_upwards_is_refused_but_not_the_simulator_in_tests() {
        let packages = [
            package("engine/store", "engine-store", &[("shards-sim", true)]),
            package("shards/sim", "shards-sim", &[("engine-store", false)]),
        ];
        assert_eq!(said(&packages), Vec::<String>::new());
        let packages = [
            package("engine/store", "engine-store", &[("shards-uring", true)]),
            package("shards/uring", "shards-uring", &[]),
        ];
        let said = said(&packages);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("engine/store/Cargo.toml: drop the dependency on shards-uring")
        );
    }

    #[test]
    fn ranks_hold_inside_the_engine() {
        let packages = [
            package("engine/env", "engine-env", &[]),
            package("engine/codec", "engine-codec", &[("engine-env", false)]),
            package("engine/index", "engine-index", &[("engine-store", false)]),
            package("engine/store", "engine-store", &[]),
        ];
        let said = said(&packages);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("engine/codec") && said[0].contains("engine-env"));
        assert!(said[1].contains("engine/index") && said[1].contains("engine-store"));
    }

    #[test]
    fn names_follow_paths_and_new_crates_find_a_place() {
        let packages = [
            package("engine/store", "store", &[]),
            package("tools/xtask", "xtask", &[]),
            package("lib/x", "lib-x", &[]),
            package("engine/jobs", "engine-jobs", &[]),
        ];
        let said = said(&packages);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("name the crate engine-store"));
        assert!(said[1].starts_with("lib/x/Cargo.toml: move the crate"));
        assert!(said[2].starts_with("engine/jobs/Cargo.toml: give the crate a rank"));
    }

    #[test]
    fn io_crates_stay_out_of_the_engine_except_in_its_tests() {
        let packages = [
            package("engine/store", "engine-store", &[("libc", true), ("io-uring", false)]),
            package("gateway/core", "gateway-core", &[("s3s", false)]),
        ];
        let said = said(&packages);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("io-uring") && said[1].contains("s3s"));
    }
}

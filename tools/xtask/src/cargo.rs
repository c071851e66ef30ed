//! What Cargo says of the workspace and of the packages it takes.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The systems basalt is shipped for: only what they build is checked for its licence.
const SHIPPED_TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The workspace and its own packages.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// The packages.
    pub(crate) packages: Vec<Package>,
}

/// One package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its folder relative to the root, `/` between names; empty for one from a registry.
    pub(crate) folder: String,
    /// Its licence expression, if it names one.
    pub(crate) licence: Option<String>,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One edge to another package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The other package's name, whatever the alias.
    pub(crate) name: String,
    /// Whether only tests, examples and benches use it.
    pub(crate) dev: bool,
}

/// The workspace around the current folder, without what it takes from registries.
pub(crate) fn workspace() -> Result<Workspace, String> {
    parse(&metadata(&["--no-deps"])?)
}

/// Every package the shipped systems build, our own included.
pub(crate) fn shipped_packages() -> Result<Vec<Package>, String> {
    let mut arguments = vec!["--locked"];
    for target in SHIPPED_TARGETS {
        arguments.push("--filter-platform");
        arguments.push(target);
    }
    Ok(parse(&metadata(&arguments)?)?.packages)
}

/// The workspace that is not part of ours, because it needs another compiler.
const FUZZ_MANIFEST: &str = "tools/fuzz/Cargo.toml";

/// What is wrong with the lock file of the fuzz targets: it must know whatever our packages take, or
/// the gate ends before it began. Fetches nothing.
pub(crate) fn fuzz_lock(root: &Path) -> Option<String> {
    let manifest = root.join(FUZZ_MANIFEST);
    let arguments = ["--locked", "--offline", "--manifest-path"];
    let said = metadata(&[&arguments[..], &[manifest.to_str()?]].concat()).err()?;
    is_stale(&said).then(|| format!("stale: run `cargo update -w --manifest-path {FUZZ_MANIFEST}`"))
}

/// Crates that were never fetched are no fault of the lock file.
fn is_stale(said: &str) -> bool {
    said.contains("because --locked was passed")
}

fn metadata(arguments: &[&str]) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("cargo metadata failed: {}", said.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| "cargo metadata is not UTF-8".to_owned())
}

/// Reads the output of `cargo metadata --format-version 1`.
pub(crate) fn parse(json: &str) -> Result<Workspace, String> {
    let value: Value =
        serde_json::from_str(json).map_err(|error| format!("cargo metadata: {error}"))?;
    let root = PathBuf::from(text(&value, "workspace_root")?);
    let mut packages = Vec::new();
    for package in list(&value, "packages")? {
        packages.push(parse_package(package, &root)?);
    }
    packages.sort_by(|left, right| (&left.folder, &left.name).cmp(&(&right.folder, &right.name)));
    Ok(Workspace { root, packages })
}

fn parse_package(value: &Value, root: &Path) -> Result<Package, String> {
    let manifest = PathBuf::from(text(value, "manifest_path")?);
    let own = value["source"].is_null();
    let folder = match manifest.parent().and_then(|folder| folder.strip_prefix(root).ok()) {
        Some(folder) if own => folder.to_string_lossy().replace('\\', "/"),
        _ => String::new(),
    };
    let mut dependencies = Vec::new();
    for dependency in list(value, "dependencies")? {
        dependencies.push(Dependency {
            name: text(dependency, "name")?,
            dev: dependency["kind"].as_str() == Some("dev"),
        });
    }
    Ok(Package {
        name: text(value, "name")?,
        version: text(value, "version")?,
        folder,
        licence: value["license"].as_str().map(str::to_owned),
        dependencies,
    })
}

fn text(value: &Value, name: &str) -> Result<String, String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| format!("cargo metadata has no {name}"))
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    let values = value[name].as_array().map(Vec::as_slice);
    values.ok_or_else(|| format!("cargo metadata has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_their_folder_and_their_edges() {
        let workspace = parse(
            r#"{"workspace_root": "/w", "packages": [
                {"name": "bytes", "version": "1.0.0", "source": "registry+x", "license": "MIT",
                 "manifest_path": "/home/bytes/Cargo.toml", "dependencies": []},
                {"name": "engine-set", "version": "0.1.0", "source": null, "license": null,
                 "manifest_path": "/w/engine/set/Cargo.toml", "dependencies": [
                    {"name": "bytes", "kind": null}, {"name": "proptest", "kind": "dev"}]}]}"#,
        )
        .unwrap();
        assert_eq!(workspace.root, PathBuf::from("/w"));
        let [bytes, set] = workspace.packages.as_slice() else { panic!("two packages") };
        assert_eq!((bytes.folder.as_str(), bytes.licence.as_deref()), ("", Some("MIT")));
        assert_eq!((set.folder.as_str(), set.licence.as_deref()), ("engine/set", None));
        let edges: Vec<(&str, bool)> =
            set.dependencies.iter().map(|edge| (edge.name.as_str(), edge.dev)).collect();
        assert_eq!(edges, [("bytes", false), ("proptest", true)]);
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = parse(r#"{"workspace_root": "/w"}"#).unwrap_err();
        assert!(error.contains("packages"), "{error}");
    }

    #[test]
    fn only_a_lock_file_that_must_change_is_stale() {
        assert!(is_stale("error: cannot update the lock file because --locked was passed to"));
        assert!(!is_stale("error: failed to download `libc`: attempting to go offline"));
    }
}

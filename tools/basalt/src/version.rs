//! What this build is.

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit it was built from, or "unknown".
pub const COMMIT: &str = env!("COMMIT_OF_BUILD");
/// Both, for `--version`.
pub const LONG: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("COMMIT_OF_BUILD"), ")");

#[cfg(test)]
mod tests {
    #[test]
    fn the_commit_is_a_hash_or_unknown() {
        let hash = super::COMMIT.len() >= 12
            && super::COMMIT.chars().all(|letter| letter.is_ascii_hexdigit());
        assert!(hash || super::COMMIT == "unknown", "{}", super::COMMIT);
        assert!(super::LONG.contains(super::VERSION));
    }

    /// `cargo run` hands what a build script sets on to the program, which refuses settings that it
    /// does not know.
    #[test]
    fn the_build_sets_no_setting() {
        assert!(!include_str!("../build.rs").contains("rustc-env=BASALT_"));
    }
}

//! What this build is.

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit it was built from, or "unknown".
pub const COMMIT: &str = env!("BASALT_COMMIT");
/// Both, for `--version`.
pub const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("BASALT_COMMIT"), ")");

#[cfg(test)]
mod tests {
    #[test]
    fn the_commit_is_a_hash_or_unknown() {
        let hash = super::COMMIT.len() >= 12
            && super::COMMIT.chars().all(|letter| letter.is_ascii_hexdigit());
        assert!(hash || super::COMMIT == "unknown", "{}", super::COMMIT);
        assert!(super::LONG.contains(super::VERSION));
    }
}

//! The Rust sources of the tree, and small helpers to read text.

use std::path::Path;

/// One Rust file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its path relative to the root, `/` between names.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

/// Folders that hold no sources of ours.
const SKIPPED_FOLDERS: [&str; 2] = ["target", "basalt-data"];

/// Every `.rs` file below the root, sorted by path.
pub(crate) fn rust_sources(root: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    walk(root, "", &mut sources)?;
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(sources)
}

fn walk(root: &Path, folder: &str, sources: &mut Vec<Source>) -> Result<(), String> {
    let whole = root.join(folder);
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", whole.display());
    for entry in std::fs::read_dir(&whole).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || SKIPPED_FOLDERS.contains(&name.as_str()) {
            continue;
        }
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type().map_err(cannot)?;
        if kind.is_dir() {
            walk(root, &path, sources)?;
        } else if kind.is_file() && path.ends_with(".rs") {
            let text = std::fs::read_to_string(entry.path())
                .map_err(|error| format!("cannot read {path}: {error}"))?;
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

/// The identifiers of a line, in order.
pub(crate) fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

/// Whether a line of Rust is only a comment.
pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_whole_words() {
        let words: Vec<&str> = identifiers("let a_b = Foo::new(&c[1]); // d-e").collect();
        assert_eq!(words, ["let", "a_b", "Foo", "new", "c", "1", "d", "e"]);
        assert!(is_comment("    /// says"));
        assert!(!is_comment("code(); // says"));
    }

    #[test]
    fn this_very_file_is_found() {
        let sources = rust_sources(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
        assert!(paths.contains(&"src/tree.rs"), "{paths:?}");
        assert!(paths.is_sorted());
    }
}

//! Rules of one Rust file: length, ASCII, words with another meaning here.

use crate::Finding;
use crate::tree::{Source, identifiers};

/// Above this a file fails.
const LINES_MAX: usize = 1000;
/// Above this a file is named, to be split by meaning before it grows further.
const LINES_SOFT_MAX: usize = 500;

/// Words for an erasure piece that other projects use; here a shard is one core's executor.
const PIECE_WORDS: [&str; 4] = ["data_shard", "parity_shard", "ec_shard", "shard_size"];

/// Folders whose words are checked.
const WORDED_FOLDERS: [&str; 3] = ["engine/", "shards/", "gateway/"];

/// Checks one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = source.path.as_str();
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        findings
            .push(Finding::failure(path, format!("split the file: {lines} of {LINES_MAX} lines")));
    } else if lines > LINES_SOFT_MAX {
        let what = format!("{lines} lines; split it by meaning past {LINES_SOFT_MAX}");
        findings.push(Finding::warning(path, what));
    }
    let worded = WORDED_FOLDERS.iter().any(|folder| path.starts_with(folder));
    for (index, line) in source.text.lines().enumerate() {
        let place = || format!("{path}:{}", index + 1);
        if let Some(character) = line.chars().find(|character| !character.is_ascii()) {
            let escape = character.escape_unicode();
            findings
                .push(Finding::failure(place(), format!("write ASCII, or {escape} in a string")));
        }
        if worded && let Some((word, instead)) = identifiers(line).find_map(banned) {
            findings.push(Finding::failure(place(), format!("write {instead} for {word}")));
        }
    }
    findings
}

/// What to write for a word that has another meaning here.
fn banned(word: &str) -> Option<(&str, &'static str)> {
    let lower = word.to_ascii_lowercase();
    if PIECE_WORDS.iter().any(|piece| lower.contains(*piece)) {
        return Some((word, "fragment (or cell)"));
    }
    lower.starts_with("disk_").then_some((word, "drive_..."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn length_warns_then_fails() {
        assert_eq!(said("a.rs", &"x\n".repeat(500)), Vec::<String>::new());
        assert!(said("a.rs", &"x\n".repeat(501))[0].starts_with("warning: a.rs: 501 lines"));
        assert!(said("a.rs", &"x\n".repeat(1000))[0].starts_with("warning: "));
        assert!(said("a.rs", &"x\n".repeat(1001))[0].starts_with("a.rs: split the file"));
    }

    #[test]
    fn words_with_another_meaning_are_named_with_their_line() {
        let text = "let a = 1;\nlet n_data_shards = 2;\n";
        assert_eq!(
            said("engine/x/src/lib.rs", text),
            ["engine/x/src/lib.rs:2: write fragment (or cell) for n_data_shards"]
        );
        let drives = said("gateway/x.rs", "fn f(disk_count: u8) {} // on-disk, disks, my_disk_");
        assert_eq!(drives, ["gateway/x.rs:1: write drive_... for disk_count"]);
        assert_eq!(said("tools/x.rs", text), Vec::<String>::new());
    }

    #[test]
    fn only_ascii() {
        let text = format!("ok\n// {}\n", '\u{b5}');
        assert_eq!(
            said("tools/x.rs", &text),
            ["tools/x.rs:2: write ASCII, or \\u{b5} in a string"]
        );
    }
}

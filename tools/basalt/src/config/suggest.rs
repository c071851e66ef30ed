//! "Did you mean": the nearest known name.

/// The candidate nearest to `wrong`, if it is near enough to be a slip of the keyboard.
pub fn nearest<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (wrong.chars().count() / 4).clamp(1, 3);
    candidates
        .map(|candidate| (distance(wrong, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two names.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().flat_map(char::to_lowercase).collect();
    let to: Vec<char> = to.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut current = vec![row];
        for column in 1..=to.len() {
            let same = from[row - 1] == to[column - 1];
            let replaced = above[column - 1] + usize::from(!same);
            let mut best = replaced.min(above[column] + 1).min(current[column - 1] + 1);
            let swapped = row > 1
                && column > 1
                && from[row - 1] == to[column - 2]
                && from[row - 2] == to[column - 1];
            if swapped {
                best = best.min(before[column - 2] + 1);
            }
            current.push(best);
        }
        before = above;
        above = current;
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("parity", "parity"), 0);
        assert_eq!(distance("partiy", "parity"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("adress", "address"), 1);
        assert_eq!(distance("REGION", "region"), 0);
    }

    #[test]
    fn only_near_names_are_offered() {
        let names = ["address", "parity", "log.level"];
        assert_eq!(nearest("lgo.level", names.into_iter()), Some("log.level"));
        assert_eq!(nearest("adress", names.into_iter()), Some("address"));
        assert_eq!(nearest("colour", names.into_iter()), None);
    }
}

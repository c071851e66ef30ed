//! Which check of the worlds a message comes from.

/// What a message contains, and the check that says so; the first that fits counts.
const CHECKS: &[(&str, &str)] = &[
    ("an answered write: ", "an answered write"),
    ("a bucket made anew: ", "a bucket made anew"),
    ("a deleted bucket: ", "a deleted bucket"),
    ("the table: ", "the table"),
    ("a reader: ", "a read during writes"),
    ("a listing: ", "a listing of keys nobody writes"),
    ("a listing of ", "a listing against the model"),
    ("never served", "everything is answered once the set is whole"),
    ("holds Object", "a read of a key nobody writes"),
    ("holds Absent", "a read of a key nobody writes"),
    ("wrong bytes", "the bytes of a read"),
    ("a race for it", "racing creates"),
    ("a write with", "a conditional write"),
    ("upload", "uploads"),
    ("no progress", "progress"),
    ("not in service", "coming into service"),
    ("never end", "progress"),
    ("a healthy drive does not open", "opening a healthy drive"),
    ("the fragment of", "every fragment is whole"),
    ("no payload on", "every holder has the payload"),
    ("differ", "all copies are equal"),
    ("lies on", "all copies are there"),
    ("all is deleted, but", "nothing is left after deletes"),
    ("the memory of the index", "the memory of the index"),
    ("open: ", "opening a healthy drive"),
    ("the drive failed", "a healthy drive does not fail"),
    ("was refused", "deletes go on"),
    ("keys are listed", "a scan against the model"),
    ("a scan", "a scan"),
    ("key ", "a read that fails"),
];

/// The check that found what a message says.
#[must_use]
pub fn check_of(what: &str) -> &'static str {
    let found = CHECKS.iter().find(|(part, _)| what.contains(part));
    found.map_or("another check", |(_, check)| check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let read = "after 2 crashes: key 7 holds Object(3) under view 9; acknowledged Object(4)";
        assert_eq!(check_of(read), "a read of a key nobody writes");
        let listing = "a listing: key 7 holds Absent under view 9; acknowledged Object(4)";
        assert_eq!(check_of(listing), "a listing of keys nobody writes");
        assert_eq!(check_of("after 1 crashes: key 4: a sum"), "a read that fails");
        let memory = "at the end: the memory of the index: all drives have 6 and take 7";
        assert_eq!(check_of(memory), "the memory of the index");
        let bucket = "after 1 crashes: the table: bucket 2 is not found open";
        assert_eq!(check_of(bucket), "the table");
        assert_eq!(check_of("x"), "another check");
    }
}

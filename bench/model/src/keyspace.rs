//! Names of keys, computed from their numbers.
//!
//! Invariants: a name depends on prefix, directories, seed and id alone, not on the number of
//! keys, so that a later phase with more keys finds those of an earlier one; `id_of` is the exact
//! inverse and says no to every name that this space does not make, so that nothing foreign is
//! taken for ours and deleted.

use crate::ModelError;
use crate::random::{mix64, scaled};

/// Most keys of a space, 2^48: what twelve hexadecimal digits count.
pub const KEYS_MAX: u64 = 1 << (4 * ID_DIGITS);

/// Digits of an id in a name.
const ID_DIGITS: u32 = 12;
/// S3's limit of a key in bytes.
const NAME_BYTES_MAX: usize = 1_024;
/// Salt of the hash that chooses a key's directory.
const DIRECTORY_SALT: u64 = 0xd1ec_7000_0000_0001;

/// The names of all keys of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpace {
    prefix: String,
    count: u64,
    directories: u32,
    /// Digits of a directory's name.
    directory_digits: u32,
    seed: u64,
}

impl KeySpace {
    /// `count` keys named `<prefix><directory>/<id>`, or `<prefix><id>` if `directories` is 0; ids
    /// and directories are hexadecimal, and the directory is chosen by a hash of seed and id.
    ///
    /// # Errors
    /// `ModelError::Keys` if there are none or more than `KEYS_MAX` keys, or names would be longer
    /// than S3's 1,024 bytes.
    pub fn new(prefix: &str, count: u64, directories: u32, seed: u64) -> Result<Self, ModelError> {
        if !(1..=KEYS_MAX).contains(&count) {
            let problem = format!("{count} keys; valid are 1 to {KEYS_MAX}");
            return Err(ModelError::Keys { problem });
        }
        let directory_bits = u32::BITS - directories.saturating_sub(1).leading_zeros();
        let directory_digits = directory_bits.div_ceil(4).max(1);
        let space = Self { prefix: prefix.to_owned(), count, directories, directory_digits, seed };
        if space.name_bytes() > NAME_BYTES_MAX {
            let problem = format!(
                "a prefix of {} bytes makes names of {}; S3 allows {NAME_BYTES_MAX}",
                prefix.len(),
                space.name_bytes()
            );
            return Err(ModelError::Keys { problem });
        }
        Ok(space)
    }

    /// Keys of the space; their ids are 0 to `count - 1`.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What all names begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Bytes of each name; all have the same length.
    #[must_use]
    pub fn name_bytes(&self) -> usize {
        let directory = if self.directories == 0 { 0 } else { self.directory_digits + 1 };
        self.prefix.len() + (directory + ID_DIGITS) as usize
    }

    /// Appends the name of the key `id`.
    pub fn append_name(&self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        if self.directories > 0 {
            append_hex(self.directory_of(id), self.directory_digits, out);
            out.push(b'/');
        }
        append_hex(id, ID_DIGITS, out);
    }

    /// The id of a name, or nothing if it is no name of this space.
    #[must_use]
    pub fn id_of(&self, name: &[u8]) -> Option<u64> {
        let mut rest = name.strip_prefix(self.prefix.as_bytes())?;
        let mut directory = None;
        if self.directories > 0 {
            let (digits, behind) = rest.split_at_checked(self.directory_digits as usize)?;
            directory = Some(hex(digits)?);
            rest = behind.strip_prefix(b"/")?;
        }
        if rest.len() != ID_DIGITS as usize {
            return None;
        }
        let id = hex(rest).filter(|id| *id < self.count)?;
        let right = directory.is_none_or(|directory| directory == self.directory_of(id));
        right.then_some(id)
    }

    fn directory_of(&self, id: u64) -> u64 {
        scaled(mix64(self.seed ^ DIRECTORY_SALT, id), u64::from(self.directories))
    }
}

/// Appends `digits` hexadecimal digits of `value`.
fn append_hex(value: u64, digits: u32, out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for place in (0..digits).rev() {
        out.push(DIGITS[(value >> (4 * place)) as usize & 15]);
    }
}

/// Lower-case hexadecimal digits, at most sixteen, as a number.
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn name(space: &KeySpace, id: u64) -> String {
        let mut out = Vec::new();
        space.append_name(id, &mut out);
        assert_eq!(out.len(), space.name_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_fixed() {
        let flat = KeySpace::new("run-1/", 1_000, 0, 1).unwrap();
        assert_eq!(name(&flat, 255), "run-1/0000000000ff");
        assert_eq!(name(&KeySpace::new("", KEYS_MAX, 0, 1).unwrap(), KEYS_MAX - 1), "f".repeat(12));
        let deep = KeySpace::new("p/", 1_000, 256, 1).unwrap();
        let found = name(&deep, 7);
        assert_eq!((found.len(), &found[..2], &found[4..]), (17, "p/", "/000000000007"));
    }

    #[test]
    fn more_keys_do_not_rename_those_that_are_there() {
        let small = KeySpace::new("p/", 10, 16, 3).unwrap();
        let large = KeySpace::new("p/", 1 << 40, 16, 3).unwrap();
        for id in 0..10 {
            assert_eq!(name(&small, id), name(&large, id));
        }
    }

    #[test]
    fn the_inverse_finds_every_key() {
        for directories in [0, 1, 2, 16, 17, 256, 1_000, u32::MAX] {
            let space = KeySpace::new("b/x-", 100_000, directories, 5).unwrap();
            for id in (0..100_000).step_by(997).chain([99_999]) {
                assert_eq!(space.id_of(name(&space, id).as_bytes()), Some(id), "{directories}");
            }
            assert_eq!(space.id_of(name(&space, 100_000).as_bytes()), None, "past the end");
        }
    }

    #[test]
    fn names_are_distinct_and_directories_evenly_filled() {
        let space = KeySpace::new("p/", 16_000, 16, 9).unwrap();
        let mut counts = [0_u32; 16];
        let mut names = BTreeSet::new();
        for id in 0..16_000 {
            counts[space.directory_of(id) as usize] += 1;
            names.insert(name(&space, id));
        }
        assert_eq!(names.len(), 16_000);
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn foreign_names_have_no_id() {
        let space = KeySpace::new("p/", 1_000, 16, 9).unwrap();
        let ours = name(&space, 77);
        assert_eq!(space.id_of(ours.as_bytes()), Some(77));
        let elsewhere = if ours.starts_with("p/0") { "p/1" } else { "p/0" };
        let other_directory = format!("{elsewhere}{}", &ours[3..]);
        let foreign = [
            String::new(),
            "p/".to_owned(),
            ours[1..].to_owned(),
            ours[..ours.len() - 1].to_owned(),
            format!("{ours}0"),
            ours.to_uppercase(),
            ours.replace("00004d", "00004D"),
            ours.replace("/0000", "/+000"),
            other_directory,
            "q/0/00000000004d".to_owned(),
            "customer/data.parquet".to_owned(),
        ];
        for foreign in foreign {
            assert_eq!(space.id_of(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn impossible_spaces_are_refused() {
        let refused =
            |prefix: &str, count| KeySpace::new(prefix, count, 256, 1).unwrap_err().to_string();
        assert!(refused("p/", 0).contains("0 keys"));
        assert!(refused("p/", KEYS_MAX + 1).contains(&KEYS_MAX.to_string()));
        assert!(refused(&"p".repeat(1_010), 1).contains("1025"));
        assert!(KeySpace::new(&"p".repeat(1_009), 1, 256, 1).is_ok());
    }
}

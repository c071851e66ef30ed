//! A set of CPUs, written as the kernel writes it: `0-3,8`.
//!
//! Invariants: sorted, no number twice, none at or above `CPUS_MAX`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// CPU numbers are below this, which is more than any kernel is built for.
pub const CPUS_MAX: u32 = 8192;

/// CPUs by number. In files it is text, such as `"0-3,8"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuList(Vec<u32>);

impl CpuList {
    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this CPU is among them.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }

    /// Those that are not in the other list.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.iter().filter(|cpu| !other.contains(*cpu)).collect()
    }

    /// Those that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        self.iter().filter(|cpu| other.contains(*cpu)).collect()
    }
}

impl FromIterator<u32> for CpuList {
    /// Numbers that no CPU can have are left out.
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        let sorted: BTreeSet<u32> = cpus.into_iter().filter(|cpu| *cpu < CPUS_MAX).collect();
        Self(sorted.into_iter().collect())
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            let part = part.trim();
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
            let Some((first, last)) = range else {
                return Err(format!(
                    "`{part}` is not a list of CPUs; write numbers below {CPUS_MAX} and ranges, \
                     such as 0-3,8"
                ));
            };
            cpus.extend(first..=last);
        }
        Ok(Self(cpus.into_iter().collect()))
    }
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|cpu| *cpu < CPUS_MAX)
}

impl TryFrom<String> for CpuList {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CpuList> for String {
    fn from(list: CpuList) -> Self {
        list.to_string()
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut separator = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|(cpu, next)| **cpu == *next).count();
            write!(formatter, "{separator}{first}")?;
            if run > 1 {
                write!(formatter, "-{}", rest[run - 1])?;
            }
            separator = ",";
            rest = &rest[run..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        for (text, shown) in [
            ("0-3,8", "0-3,8"),
            ("0, 1", "0-1"),
            ("8,0-3,2", "0-3,8"),
            ("5", "5"),
            ("", ""),
            ("0,2,4", "0,2,4"),
        ] {
            assert_eq!(list(text).to_string(), shown, "{text}");
        }
        assert_eq!(list("0-3,8").len(), 5);
    }

    #[test]
    fn what_is_no_list_is_refused_and_named() {
        for wrong in ["a", "3-1", "0-", "-1", "0,,1", "0-8192", "99999999999"] {
            let error = wrong.parse::<CpuList>().unwrap_err();
            assert!(error.contains("such as 0-3,8"), "{wrong}: {error}");
        }
    }

    #[test]
    fn sets_are_combined() {
        assert_eq!(list("0-3").without(&list("1-2")), list("0,3"));
        assert_eq!(list("0-3").common(&list("2-5")), list("2-3"));
        assert!(list("0-3").contains(3) && !list("0-3").contains(4));
        let bounded: CpuList = [1, CPUS_MAX].into_iter().collect();
        assert_eq!(bounded, list("1"));
    }
}

//! Why a description of a load is refused.
//!
//! Invariant: a message names the input, what is wrong with it, and what would be right; inputs
//! are cut, so that a wrong file cannot flood a terminal.

/// Characters of an input that a message repeats.
const INPUT_SHOWN_MAX: usize = 120;

/// Why a description of a load is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A distribution of object sizes.
    #[error(
        "sizes `{input}`: {problem}; valid are 4KiB, uniform(4KiB,1MiB), log2(100MiB), \
         lognormal(median=128KiB,sigma=1.2,max=1GiB), buckets(4KiB:60,64KiB:40), warp's \
         4096:10740,8192:1685 and file:cdf.csv"
    )]
    Sizes {
        /// What was given.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of cumulative shares of sizes.
    #[error("size file, line {line} `{input}`: {problem}; a line is as `64KiB,0.8`")]
    SizeFile {
        /// The line, from 1; 0 if the file as a whole is wrong.
        line: usize,
        /// The text of the line.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A popularity of keys.
    #[error(
        "key popularity `{input}`: {problem}; valid are uniform, zipf(0.99), hotset(10%:90%), \
         sequential and epoch"
    )]
    Popularity {
        /// What was given.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A space of keys, or its division among threads.
    #[error("keys: {problem}")]
    Keys {
        /// What is wrong, with the numbers given and the valid ones.
        problem: String,
    },
    /// A rate of arrivals.
    #[error(
        "rate `{input}`: {problem}; valid are 20k, const:20k, poisson:20k, ramp:1k..20k/60s and \
         steps:1k@10s,2k@10s, in requests a second"
    )]
    Rate {
        /// What was given.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A mix of operations.
    #[error(
        "mix `{input}`: {problem}; write weights as get=70,put=30 or rates as get@5k,put@1k, of \
         put, get, get-range, head, delete, multi-delete, list, copy and multipart-put"
    )]
    Mix {
        /// What was given.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A share of a payload that is no percentage.
    #[error("{name} is {percent}; a share of a payload is 0 to 100 percent")]
    Percent {
        /// Which share.
        name: &'static str,
        /// What was given.
        percent: u8,
    },
}

/// An input as messages repeat it.
pub(crate) fn shown(input: &str) -> String {
    if input.chars().count() <= INPUT_SHOWN_MAX {
        return input.to_owned();
    }
    let mut cut: String = input.chars().take(INPUT_SHOWN_MAX).collect();
    cut.push_str("...");
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_inputs_are_cut() {
        assert_eq!(shown("4KiB"), "4KiB");
        assert_eq!(shown(&"x".repeat(INPUT_SHOWN_MAX)), "x".repeat(INPUT_SHOWN_MAX));
        let long = shown(&"\u{b5}".repeat(5_000));
        assert_eq!(long.chars().count(), INPUT_SHOWN_MAX + 3);
        assert!(long.ends_with("..."));
    }

    #[test]
    fn a_message_names_the_input_and_the_valid_forms() {
        let error = ModelError::Rate { input: shown("fast"), problem: "not a rate".to_owned() };
        let message = error.to_string();
        assert!(message.contains("`fast`") && message.contains("poisson:20k"), "{message}");
    }
}

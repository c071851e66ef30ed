//! Which operation comes next.
//!
//! Invariants: at least one operation has a weight; a mix is given by weights alone or by rates
//! alone. Operations are drawn independently, so the mix holds on average, and a mix of rates
//! under a Poisson plan of their sum gives each stream a Poisson plan of its own rate.

use crate::ModelError;
use crate::error::shown;
use crate::number::{decimal, per_second};
use crate::random::Random;
use crate::rate::RATE_MAX;
use std::fmt;

/// 2^64.
const DRAWS: f64 = 18_446_744_073_709_551_616.0;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Writes an object.
    Put,
    /// Reads an object.
    Get,
    /// Reads a range of an object.
    GetRange,
    /// Reads an object's metadata.
    Head,
    /// Deletes an object.
    Delete,
    /// Deletes many objects by one request.
    MultiDelete,
    /// Lists keys.
    List,
    /// Copies an object inside the store.
    Copy,
    /// Writes an object in parts.
    MultipartPut,
}

impl Operation {
    /// All operations, in the order of their index.
    pub const ALL: [Self; 9] = [
        Self::Put,
        Self::Get,
        Self::GetRange,
        Self::Head,
        Self::Delete,
        Self::MultiDelete,
        Self::List,
        Self::Copy,
        Self::MultipartPut,
    ];

    /// The name in mixes, tables and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::GetRange => "get-range",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::MultiDelete => "multi-delete",
            Self::List => "list",
            Self::Copy => "copy",
            Self::MultipartPut => "multipart-put",
        }
    }

    /// The operation of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Place in `ALL`, for tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// One operation of a mix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stream {
    /// What its requests do.
    pub operation: Operation,
    /// Its part of all requests, 0 to 1.
    pub share: f64,
}

/// Weighted operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    streams: Vec<Stream>,
    /// Draws below `ends[i]`, and not below the one before, are of stream i.
    ends: Vec<u64>,
    per_second: Option<f64>,
}

impl Mix {
    /// Reads weights, `get=70,put=20,head=10`, or rates in requests a second, `get@5k,put@1k`; one
    /// operation may stand alone, `get`. An operation with a weight of 0 is left out.
    ///
    /// # Errors
    /// `ModelError::Mix` names the text and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let text = text.trim();
        let refused = |problem: &'static str| ModelError::Mix {
            input: shown(text),
            problem: problem.to_owned(),
        };
        parse(text).map_err(refused)
    }

    /// The operations that have a share.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The rate of all streams together in requests a second, if the mix was given by rates.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// An operation's part of all requests, 0 to 1.
    #[must_use]
    pub fn share(&self, operation: Operation) -> f64 {
        let stream = self.streams.iter().find(|stream| stream.operation == operation);
        stream.map_or(0.0, |stream| stream.share)
    }

    /// Whether keys may be absent in the course of the run, so that `Membership` is needed.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.share(Operation::Delete) + self.share(Operation::MultiDelete) > 0.0
    }

    /// The operation of the next request.
    pub fn pick(&self, random: &mut Random) -> Operation {
        let draw = random.next_u64();
        let index = self.ends.iter().take_while(|end| **end <= draw).count();
        // The last end is u64::MAX, which is itself a draw.
        self.streams[index.min(self.streams.len() - 1)].operation
    }

    /// A mix of weights; nothing if none is above 0 or their sum is not finite.
    fn new(weights: &[(Operation, f64)]) -> Option<Self> {
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        if !(total > 0.0 && total.is_finite()) {
            return None;
        }
        let (mut streams, mut ends) = (Vec::new(), Vec::new());
        let mut before = 0.0;
        for (operation, weight) in weights.iter().filter(|(_, weight)| *weight > 0.0) {
            before += weight;
            streams.push(Stream { operation: *operation, share: weight / total });
            ends.push((before / total * DRAWS) as u64);
        }
        *ends.last_mut()? = u64::MAX;
        Some(Self { streams, ends, per_second: None })
    }
}

fn parse(text: &str) -> Result<Mix, &'static str> {
    let by_rate = text.contains('@');
    if by_rate && text.contains('=') {
        return Err("it has weights and rates");
    }
    let mut weights: Vec<(Operation, f64)> = Vec::new();
    for part in text.split(',') {
        let (name, value) = match part.split_once(['=', '@']) {
            Some((name, value)) => (name.trim(), value.trim()),
            None if text.contains(',') => return Err("every operation needs a weight or a rate"),
            None => (part, "1"),
        };
        let operation = Operation::of_name(name).ok_or("there is no such operation")?;
        if weights.iter().any(|(other, _)| *other == operation) {
            return Err("an operation is given twice");
        }
        let weight = if by_rate {
            let rate = per_second(value).filter(|rate| *rate <= RATE_MAX);
            rate.ok_or("a rate is no number up to 1000M")?
        } else {
            decimal(value).ok_or("a weight is no number")?
        };
        weights.push((operation, weight));
    }
    let mut mix = Mix::new(&weights).ok_or("no operation has a weight")?;
    mix.per_second = by_rate.then(|| weights.iter().map(|(_, weight)| weight).sum());
    Ok(mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(text: &str) -> Vec<(Operation, f64)> {
        let mix = Mix::parse(text).unwrap();
        mix.streams().iter().map(|stream| (stream.operation, stream.share)).collect()
    }

    #[test]
    fn names_and_indices_are_those_of_the_list() {
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation.index(), index);
            assert_eq!(Operation::of_name(operation.name()), Some(operation));
            assert_eq!(format!("{operation:>14}"), format!("{:>14}", operation.name()));
        }
        assert_eq!(Operation::of_name("GET"), None);
    }

    #[test]
    fn weights_become_shares() {
        let expected = [(Operation::Get, 0.7), (Operation::Put, 0.2), (Operation::Head, 0.1)];
        assert_eq!(shares("get=70,put=20,head=10"), expected);
        assert_eq!(shares(" get = 7 , put = 2 , head = 1 "), expected);
        assert_eq!(shares("list"), [(Operation::List, 1.0)]);
        assert_eq!(shares("get=1,delete=0"), [(Operation::Get, 1.0)]);
        let mix = Mix::parse("get=3,delete=1").unwrap();
        assert_eq!(mix.share(Operation::Delete), 0.25);
        assert_eq!(mix.share(Operation::Put), 0.0);
        assert_eq!(mix.per_second(), None);
        assert!(mix.deletes() && !Mix::parse("get=1,delete=0").unwrap().deletes());
        assert!(Mix::parse("multi-delete").unwrap().deletes());
    }

    #[test]
    fn rates_add_up() {
        let mix = Mix::parse("get@3k,put@1k").unwrap();
        assert_eq!(mix.per_second(), Some(4_000.0));
        assert_eq!(mix.share(Operation::Get), 0.75);
    }

    #[test]
    fn a_refusal_names_the_input_and_the_problem() {
        let wrong = [
            ("", "no such operation"),
            ("fetch=1", "no such operation"),
            ("get=1,fetch=1", "no such operation"),
            ("get=1,put@1k", "weights and rates"),
            ("get=1,put", "needs a weight or a rate"),
            ("get=1,", "needs a weight or a rate"),
            ("get=1,get=2", "given twice"),
            ("get=0", "no operation has a weight"),
            ("get=-1", "weight is no number"),
            ("get=1k", "weight is no number"),
            ("get@fast", "rate is no number"),
            ("get@9000M", "rate is no number"),
        ];
        for (text, reason) in wrong {
            let message = Mix::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
            assert!(message.contains(&format!("`{text}`")), "{text}: {message}");
            assert!(message.contains("multipart-put"), "the valid names: {message}");
        }
    }

    #[test]
    fn picks_follow_the_shares() {
        let mix = Mix::parse("get=70,put=20,head=9.5,list=0.5").unwrap();
        let mut counts = [0_u32; Operation::ALL.len()];
        let mut random = Random::new(6, 6);
        for _ in 0..200_000 {
            counts[mix.pick(&mut random).index()] += 1;
        }
        let mut chi_square = 0.0;
        for (operation, count) in Operation::ALL.into_iter().zip(counts) {
            let expected = mix.share(operation) * 200_000.0;
            if expected == 0.0 {
                assert_eq!(count, 0, "{operation}");
            } else {
                chi_square += (f64::from(count) - expected).powi(2) / expected;
            }
        }
        // Three degrees of freedom: 16.3 is passed once in a thousand.
        assert!(chi_square < 16.3, "{chi_square} {counts:?}");
    }
}

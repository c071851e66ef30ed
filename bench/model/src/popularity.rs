//! Which key comes next.
//!
//! Invariants: a picker gives only keys of its own thread; it holds no state that grows with the
//! number of keys; hot keys are spread over the names by a permutation, so that they do not share
//! directories or erasure sets more than others. Zipf ranks are drawn over the keys of the whole
//! run and shared out in turn: the T hottest keys, one of each of T threads, together get what the
//! T first ranks get, so that the head is as heavy as with one thread.

use crate::error::shown;
use crate::number::{call, decimal, share};
use crate::permutation::Permutation;
use crate::random::{Random, mix64};
use crate::zipf::Zipf;
use crate::{ModelError, ThreadKeys};

/// The largest exponent: beyond it the second key would get less than a thousandth.
const THETA_MAX: f64 = 10.0;
/// Salt of the permutation that spreads hot keys.
const SPREAD_SALT: u64 = 0x5b4e_ad00_0000_0001;
/// Salt of the order of an epoch.
const EPOCH_SALT: u64 = 0xe90c_0000_0000_0001;

/// How often keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Popularity {
    /// All keys equally.
    Uniform,
    /// The key of rank k with a share of k^-theta.
    Zipf {
        /// The exponent, above 0 and at most 10; web caches have 0.6 to 1.
        theta: f64,
    },
    /// Some keys get most draws.
    HotSet {
        /// Share of the keys that are hot, 0 to 1.
        keys_share: f64,
        /// Share of the draws that hot keys get, 0 to 1.
        draws_share: f64,
    },
    /// The thread's keys in the order of their ids, again and again.
    Sequential,
    /// Every key once in each epoch, in an order that differs from epoch to epoch.
    Epoch,
}

impl Popularity {
    /// Reads `uniform`, `zipf(0.99)`, `hotset(10%:90%)` (10 % of the keys get 90 % of the draws),
    /// `sequential` or `epoch`.
    ///
    /// # Errors
    /// `ModelError::Popularity` names the text and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let text = text.trim();
        let popularity = match (text, call(text)) {
            ("uniform", _) => Ok(Self::Uniform),
            ("sequential", _) => Ok(Self::Sequential),
            ("epoch", _) => Ok(Self::Epoch),
            (_, Some(("zipf", theta))) => parse_zipf(theta),
            (_, Some(("hotset", shares))) => parse_hot_set(shares),
            _ => Err("this is no popularity"),
        };
        popularity.map_err(|problem| refused(text, problem))
    }

    /// What is wrong with the numbers, if anything.
    fn problem(&self) -> Option<&'static str> {
        match *self {
            Self::Zipf { theta } => {
                let right = theta > 0.0 && theta <= THETA_MAX;
                (!right).then_some("theta must be above 0 and at most 10")
            }
            Self::HotSet { keys_share, draws_share } => {
                let some_hot = keys_share > 0.0 && keys_share < 1.0;
                let right = some_hot && (0.0..=1.0).contains(&draws_share);
                (!right).then_some("the share of keys must be above 0 and below 100 %")
            }
            Self::Uniform | Self::Sequential | Self::Epoch => None,
        }
    }
}

fn refused(text: &str, problem: &str) -> ModelError {
    ModelError::Popularity { input: shown(text), problem: problem.to_owned() }
}

fn parse_zipf(theta: &str) -> Result<Popularity, &'static str> {
    let theta = decimal(theta).ok_or("theta is no number")?;
    checked(Popularity::Zipf { theta })
}

fn parse_hot_set(shares: &str) -> Result<Popularity, &'static str> {
    let (keys, draws) = shares.split_once(':').ok_or("shares are written keys%:draws%")?;
    let keys_share = share(keys).ok_or("the share of keys is no percentage")?;
    let draws_share = share(draws).ok_or("the share of draws is no percentage")?;
    checked(Popularity::HotSet { keys_share, draws_share })
}

fn checked(popularity: Popularity) -> Result<Popularity, &'static str> {
    popularity.problem().map_or(Ok(popularity), Err)
}

/// Picks the keys of one thread.
#[derive(Debug, Clone)]
pub struct KeyPicker {
    keys: ThreadKeys,
    law: Law,
}

#[derive(Debug, Clone)]
enum Law {
    Uniform,
    Zipf { zipf: Zipf, spread: Permutation },
    HotSet { hot_count: u64, draws_share: f64, spread: Permutation },
    Sequential { next: u64 },
    Epoch { next: u64, epoch: u64, seed: u64, order: Permutation },
}

impl KeyPicker {
    /// A picker for the keys of one thread; the seed decides which keys are hot, and the orders.
    ///
    /// # Errors
    /// `ModelError::Popularity` if theta or a share is out of range.
    pub fn new(popularity: &Popularity, keys: ThreadKeys, seed: u64) -> Result<Self, ModelError> {
        if let Some(problem) = popularity.problem() {
            return Err(refused(&format!("{popularity:?}"), problem));
        }
        let own_count = keys.own_count();
        let spread = || Permutation::new(own_count, mix64(seed ^ SPREAD_SALT, keys.thread()));
        let law = match *popularity {
            Popularity::Uniform => Law::Uniform,
            Popularity::Zipf { theta } => {
                Law::Zipf { zipf: Zipf::new(keys.key_count(), theta), spread: spread() }
            }
            Popularity::HotSet { keys_share, draws_share } => {
                let hot_count = ((own_count as f64 * keys_share).round() as u64).max(1);
                Law::HotSet { hot_count, draws_share, spread: spread() }
            }
            Popularity::Sequential => Law::Sequential { next: 0 },
            Popularity::Epoch => {
                let seed = mix64(seed ^ EPOCH_SALT, keys.thread());
                Law::Epoch { next: 0, epoch: 0, seed, order: epoch_order(own_count, seed, 0) }
            }
        };
        Ok(Self { keys, law })
    }

    /// The id of the next key.
    pub fn next(&mut self, random: &mut Random) -> u64 {
        let own_count = self.keys.own_count();
        let index = match &mut self.law {
            Law::Uniform => random.below(own_count),
            Law::Zipf { zipf, spread } => spread.apply(zipf_index(zipf, &self.keys, random)),
            Law::HotSet { hot_count, draws_share, spread } => {
                let cold_count = own_count - *hot_count;
                let hot = cold_count == 0 || random.unit() < *draws_share;
                let rank = if hot {
                    random.below(*hot_count)
                } else {
                    *hot_count + random.below(cold_count)
                };
                spread.apply(rank)
            }
            Law::Sequential { next } => take_turn(next, own_count),
            Law::Epoch { next, epoch, seed, order } => {
                let index = order.apply(take_turn(next, own_count));
                if *next == 0 {
                    *epoch += 1;
                    *order = epoch_order(own_count, *seed, *epoch);
                }
                index
            }
        };
        self.keys.id_at(index)
    }
}

/// The number that is due, with the next one made due; after the last comes 0.
fn take_turn(next: &mut u64, count: u64) -> u64 {
    let due = *next;
    *next = if due + 1 == count { 0 } else { due + 1 };
    due
}

fn epoch_order(count: u64, seed: u64, epoch: u64) -> Permutation {
    Permutation::new(count, mix64(seed, epoch))
}

/// A zipf rank of the whole run, as the place among one thread's keys that it falls on.
fn zipf_index(zipf: &Zipf, keys: &ThreadKeys, random: &mut Random) -> u64 {
    loop {
        let index = (zipf.rank(random) - 1) / keys.threads();
        // The last turn does not go round to all threads.
        if index < keys.own_count() {
            return index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Thread;
    use crate::zipf::tests::weight_of_ranks;
    use std::collections::BTreeMap;

    fn keys(count: u64, index: u32, threads: u32) -> ThreadKeys {
        ThreadKeys::new(count, Thread { index, count: threads }).unwrap()
    }

    fn picker(text: &str, keys: ThreadKeys) -> KeyPicker {
        KeyPicker::new(&Popularity::parse(text).unwrap(), keys, 42).unwrap()
    }

    /// How often each key is drawn, the most popular first.
    fn counts(picker: &mut KeyPicker, draws: u32) -> Vec<(u64, u32)> {
        let mut random = Random::new(8, 0);
        let mut counts = BTreeMap::new();
        for _ in 0..draws {
            *counts.entry(picker.next(&mut random)).or_insert(0) += 1;
        }
        let mut counts: Vec<(u64, u32)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(Popularity::parse(" uniform ").unwrap(), Popularity::Uniform);
        assert_eq!(Popularity::parse("zipf(0.99)").unwrap(), Popularity::Zipf { theta: 0.99 });
        assert_eq!(
            Popularity::parse("hotset(10%:90%)").unwrap(),
            Popularity::HotSet { keys_share: 0.1, draws_share: 0.9 }
        );
        assert_eq!(Popularity::parse("sequential").unwrap(), Popularity::Sequential);
        assert_eq!(Popularity::parse("epoch").unwrap(), Popularity::Epoch);
    }

    #[test]
    fn a_refusal_names_the_input_and_the_problem() {
        let wrong = [
            ("", "no popularity"),
            ("zipf", "no popularity"),
            ("Uniform", "no popularity"),
            ("uniform(1)", "no popularity"),
            ("zipf()", "theta is no number"),
            ("zipf(-1)", "theta is no number"),
            ("zipf(0)", "above 0"),
            ("zipf(11)", "at most 10"),
            ("hotset(10%)", "keys%:draws%"),
            ("hotset(10:90)", "share of keys is no percentage"),
            ("hotset(10%:90)", "share of draws is no percentage"),
            ("hotset(0%:90%)", "above 0"),
            ("hotset(100%:90%)", "below 100 %"),
        ];
        for (text, reason) in wrong {
            let message = Popularity::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
            assert!(message.contains(&format!("`{text}`")), "{text}: {message}");
        }
        let nan = Popularity::Zipf { theta: f64::NAN };
        assert!(KeyPicker::new(&nan, keys(10, 0, 1), 1).is_err());
    }

    #[test]
    fn every_law_keeps_to_the_keys_of_its_thread() {
        for text in ["uniform", "zipf(1)", "hotset(10%:90%)", "sequential", "epoch"] {
            for (count, index, threads) in [(1, 0, 1), (3, 2, 3), (1_000, 3, 7), (1 << 40, 7, 8)] {
                let keys = keys(count, index, threads);
                let mut picker = picker(text, keys);
                let mut random = Random::new(1, 2);
                for _ in 0..2_000 {
                    let id = picker.next(&mut random);
                    assert!(keys.index_of(id).is_some(), "{text} {count} {index}: {id}");
                }
            }
        }
    }

    #[test]
    fn an_epoch_has_every_key_once_and_the_next_has_another_order() {
        for own in [1_usize, 2, 3, 100, 1_000] {
            let keys = keys(own as u64 * 3, 1, 3);
            let mut picker = picker("epoch", keys);
            let mut random = Random::new(1, 1);
            let mut epoch = || -> Vec<u64> { (0..own).map(|_| picker.next(&mut random)).collect() };
            let epochs = [epoch(), epoch(), epoch()];
            let all: Vec<u64> = (0..own as u64).map(|index| keys.id_at(index)).collect();
            for order in &epochs {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, all, "{own} keys");
            }
            if own >= 100 {
                assert_ne!(epochs[0], epochs[1]);
                assert_ne!(epochs[1], epochs[2]);
                assert_ne!(epochs[0], all);
            }
        }
    }

    #[test]
    fn threads_have_different_epochs() {
        let mut random = Random::new(1, 1);
        let mut order = |thread| -> Vec<u64> {
            let mut picker = picker("epoch", keys(4_000, thread, 4));
            (0..1_000).map(|_| picker.next(&mut random) / 4).collect()
        };
        assert_ne!(order(0), order(1));
    }

    #[test]
    fn sequential_goes_round() {
        let mut picker = picker("sequential", keys(10, 1, 4));
        let mut random = Random::new(1, 1);
        let ids: Vec<u64> = (0..7).map(|_| picker.next(&mut random)).collect();
        assert_eq!(ids, [1, 5, 9, 1, 5, 9, 1]);
    }

    #[test]
    fn uniform_draws_are_uniform() {
        let counts = counts(&mut picker("uniform", keys(100, 0, 1)), 100_000);
        assert_eq!(counts.len(), 100);
        let square = |count: u32| (f64::from(count) - 1_000.0).powi(2) / 1_000.0;
        let chi_square: f64 = counts.iter().map(|(_, count)| square(*count)).sum();
        // 99 degrees of freedom: 148.2 is passed once in a thousand.
        assert!(chi_square < 148.2, "{chi_square}");
    }

    #[test]
    fn one_thread_has_the_exact_zipf_law() {
        let counts = counts(&mut picker("zipf(0.99)", keys(1_000, 0, 1)), 200_000);
        let total = weight_of_ranks(1, 1_000, 0.99);
        for (rank, (_, count)) in (1_u32..=5).zip(&counts) {
            let expected = f64::from(rank).powf(-0.99) / total * 200_000.0;
            let bound = 4.0 * expected.sqrt();
            assert!((f64::from(*count) - expected).abs() < bound, "rank {rank}: {count}");
        }
        let hottest: Vec<u64> = counts.iter().take(10).map(|(id, _)| *id).collect();
        let close = hottest.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 10).count();
        assert!(close <= 2, "hot keys lie together: {hottest:?}");
    }

    #[test]
    fn threads_share_out_the_ranks_in_turn() {
        let (count, threads, draws) = (1_003, 4, 100_000);
        let total = weight_of_ranks(1, count, 1.0);
        for index in 0..threads {
            let counts = counts(&mut picker("zipf(1)", keys(count, index, threads)), draws);
            for (turn, (_, found)) in (0_u64..3).zip(&counts) {
                let weight = weight_of_ranks(turn * 4 + 1, turn * 4 + 4, 1.0);
                let expected = weight / total * f64::from(draws);
                let bound = 4.0 * expected.sqrt();
                assert!((f64::from(*found) - expected).abs() < bound, "turn {turn}: {found}");
            }
        }
    }

    #[test]
    fn a_hot_set_has_its_size_and_its_share() {
        let counts = counts(&mut picker("hotset(10%:90%)", keys(1_000, 0, 1)), 200_000);
        let hot: u32 = counts.iter().take(100).map(|(_, count)| count).sum();
        assert!((f64::from(hot) / 200_000.0 - 0.9).abs() < 0.005, "{hot}");
        // 1800 draws a hot key, 22 a cold one: the hundredth and the next are far apart.
        assert!(counts[99].1 > 1_500 && counts[100].1 < 100, "{:?}", &counts[98..102]);
        let ids: Vec<u64> = counts.iter().take(100).map(|(id, _)| *id).collect();
        let in_first_half = ids.iter().filter(|id| **id < 500).count();
        assert!((30..=70).contains(&in_first_half), "{in_first_half}");
    }

    #[test]
    fn seeds_choose_other_hot_keys() {
        let hottest = |seed| {
            let zipf = Popularity::Zipf { theta: 1.2 };
            let mut picker = KeyPicker::new(&zipf, keys(100_000, 0, 1), seed).unwrap();
            counts(&mut picker, 2_000)[0].0
        };
        assert_eq!(hottest(1), hottest(1));
        assert_ne!(hottest(1), hottest(2));
    }
}

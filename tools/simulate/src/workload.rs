//! The load: writers with keys of their own, readers of any key, races of conditional writes.
//!
//! Invariants: one write of a key is under way at a time, but for races, whose racers are judged
//! together; every task ends soon after the process is quiet.

use crate::client::Wrote;
use crate::model::{Value, tag_of};
use crate::process::Process;
use engine_env::Env;
use engine_format::Etag;
use engine_set::SetError;
use engine_types::Condition;
use futures_util::future::join_all;
use shards_sim::Random;
use std::rc::Rc;

/// Keys that are raced for.
const RACE_KEYS: std::ops::Range<u64> = 9000..9003;

impl Process {
    /// Starts the load.
    pub fn start_load(self: &Rc<Self>, random: &mut Random) {
        for writer in 0..self.site.swarm.writers {
            let own = Random::new(random.next(), "writer");
            self.spawn_load(Rc::clone(self).write_on(writer, own));
        }
        if random.one_in(2) {
            let own = Random::new(random.next(), "racer");
            self.spawn_load(Rc::clone(self).race_on(own));
        }
        if random.one_in(2) {
            let own = Random::new(random.next(), "reader");
            self.spawn_load(Rc::clone(self).read_on(own));
        }
    }

    async fn pause(&self, random: &mut Random) {
        // Clients that get nothing but refusals wait longer.
        let extra_us = if self.installed().is_some() { 0 } else { 3000 };
        self.env.sleep_us(1 + extra_us + random.below(self.site.swarm.pause_us)).await;
    }

    async fn write_on(self: Rc<Self>, writer: u64, mut random: Random) {
        let (writers, keys) = (self.site.swarm.writers, self.site.swarm.keys);
        let own: Vec<u64> = (0..keys).filter(|key| key % writers == writer).collect();
        let weights = self.site.swarm.weights;
        while !self.quiet.get() {
            let key = *random.pick(&own);
            let mut drawn = random.below(weights.iter().sum());
            let kind = weights.iter().position(|weight| {
                let hit = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                hit
            });
            match kind.unwrap_or_default() {
                0 => self.put_and_read(key, &mut random).await,
                1 => _ = self.delete(key).await,
                2 => _ = self.read(key, &mut random).await,
                3 => {
                    let generation = self.site.model.borrow_mut().next_generation();
                    self.abandon(key, generation, &mut random).await;
                }
                4 => self.multipart(key, &mut random).await,
                5 => _ = self.judge_listing(&own, &mut random).await,
                _ => self.put_if(key, &mut random).await,
            }
            self.pause(&mut random).await;
        }
    }

    async fn put_and_read(&self, key: u64, random: &mut Random) {
        let generation = self.site.model.borrow_mut().next_generation();
        let wrote = self.put(key, generation, Condition::None, random).await;
        if wrote != Wrote::Done || random.one_in(2) {
            self.read(key, random).await;
        }
    }

    /// A write with a condition whose outcome is certain.
    async fn put_if(&self, key: u64, random: &mut Random) {
        let certain = self.site.model.borrow().certain(key);
        let (generation, other) = {
            let mut model = self.site.model.borrow_mut();
            (model.next_generation(), model.next_generation())
        };
        let etag_of = |generation: u64| {
            let part_count = self.site.model.borrow().parts_of(generation).len() as u16;
            Etag { md5: tag_of(generation), part_count }.text()
        };
        let (condition, holds) = match (certain, random.below(4)) {
            (None, _) => return,
            (Some(Value::Absent), 0) => (Condition::Matches(etag_of(other)), false),
            (Some(Value::Absent), _) => (Condition::Absent, true),
            (Some(Value::Object(_)), 0) => (Condition::Absent, false),
            (Some(Value::Object(_)), 1) => (Condition::Matches(etag_of(other)), false),
            (Some(Value::Object(_)), 2) => (Condition::Matches("*".to_owned()), true),
            (Some(Value::Object(old)), _) => (Condition::Matches(etag_of(old)), true),
        };
        let said = format!("{condition:?}");
        let wrote = self.put(key, generation, condition, random).await;
        let denied =
            matches!(wrote, Wrote::Refused(SetError::ConditionFailed | SetError::NoSuchKey));
        if (holds && denied) || (!holds && wrote == Wrote::Done) {
            let what = format!("key {key} held {certain:?}, a write with {said} was {wrote:?}");
            self.site.verdict.wrong(what);
        }
    }

    /// Several clients create the same key at once: at most one may.
    async fn race_on(self: Rc<Self>, mut random: Random) {
        while !self.quiet.get() {
            let key = RACE_KEYS.start + random.below(RACE_KEYS.end - RACE_KEYS.start);
            self.delete(key).await;
            self.race(key, &mut random).await;
            self.read(key, &mut random).await;
            self.pause(&mut random).await;
        }
    }

    async fn race(&self, key: u64, random: &mut Random) {
        let before = self.site.model.borrow().certain(key);
        let racers: Vec<(u64, Random)> = (0..2 + random.below(3))
            .map(|_| {
                let generation = self.site.model.borrow_mut().next_generation();
                (generation, Random::new(random.next(), "racer"))
            })
            .collect();
        let puts = racers.into_iter().map(move |(generation, mut random)| async move {
            self.put(key, generation, Condition::Absent, &mut random).await
        });
        let outcomes = join_all(puts).await;
        let won = outcomes.iter().filter(|wrote| **wrote == Wrote::Done).count();
        let lost = outcomes
            .iter()
            .filter(|wrote| **wrote == Wrote::Refused(SetError::ConditionFailed))
            .count();
        let nobody = before == Some(Value::Absent) && lost == outcomes.len();
        let too_late = matches!(before, Some(Value::Object(_))) && won > 0;
        if won > 1 || nobody || too_late {
            let what = format!("key {key} held {before:?}, a race for it ended {outcomes:?}");
            self.site.verdict.wrong(what);
        }
        self.count(|totals| totals.races += 1);
    }

    /// Reads keys while others write them: what is found may be old or new, never wrong, and what
    /// was seen once is not unseen.
    async fn read_on(self: Rc<Self>, mut random: Random) {
        while !self.quiet.get() {
            let key = self.key_to_read(&mut random);
            let before = self.site.model.borrow().changes(key);
            match self.see(key, &mut random).await {
                Ok(Some((value, epoch))) => self.judge_seen(key, before, value, epoch),
                Ok(None) => {}
                Err(what) => self.site.verdict.wrong(what),
            }
            self.pause(&mut random).await;
        }
    }

    /// Any key; with slow drives rather one that is being written.
    fn key_to_read(&self, random: &mut Random) -> u64 {
        let keys = self.site.swarm.keys;
        if self.site.swarm.slow {
            let under_way = self.site.model.borrow().under_way(keys);
            if !under_way.is_empty() {
                return *random.pick(&under_way);
            }
        }
        random.below(keys)
    }

    async fn see(&self, key: u64, random: &mut Random) -> Result<Option<(Value, u32)>, String> {
        if self.site.swarm.slow {
            let head = self.head(key).await?;
            return Ok(head.map(|head| (head.value, head.epoch)));
        }
        self.look(key, random).await
    }

    /// A read that overlaps an answered write may have seen what was before it: it says nothing.
    fn judge_seen(&self, key: u64, before: u64, value: Value, epoch: u32) {
        let mut model = self.site.model.borrow_mut();
        if model.changes(key) != before {
            return;
        }
        let judged = model.judge(key, value, epoch);
        self.site.verdict.note(judged.map_err(|what| format!("a reader: {what}")));
    }
}

//! Objects short of protection: how many have fewer copies or fragments than they should.
//!
//! Invariants: each member counts what it owns, so that all members of a set together count each
//! object once; what it is about to heal counts too, a run of bytes for an object.

use crate::SetConfig;
use crate::member::{Inner, Member};
use crate::message::{Installed, Peers};
use engine_env::Env;
use engine_format::{Entry, Keyspace, ObjectRecord, Storage};
use engine_types::{Epoch, PositionSet};

const PAGE_ENTRIES: usize = 256;
/// Between two pages.
const PAUSE_US: u64 = 1000;
/// While drives stay out, objects are counted again after this.
const RECOUNT_US: u64 = 60_000_000;

/// What was counted last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Short {
    objects: u64,
    /// The view it was counted under to the end, and when that was.
    epoch: Epoch,
    counted_us: u64,
}

impl<E: Env, P: Peers> Member<E, P> {
    /// Objects this member owns that are short of protection, as counted last, and what it is about
    /// to heal.
    #[must_use]
    pub fn short_of_protection(&self) -> u64 {
        self.inner.short.get().objects + self.inner.heals.borrow().len() as u64
    }

    /// Counts the objects this member owns that lack a copy or a fragment because drives are out.
    /// To be called every now and then: it does nothing while all are in, or where it has counted
    /// lately.
    pub async fn count_short(&self) {
        let inner = &self.inner;
        let view = inner.view();
        let out = inner.config.all().minus(view.active);
        let epoch = view.view.epoch;
        if out.is_empty() || !view.active.contains(inner.position) {
            inner.short.set(Short::default());
            return;
        }
        let last = inner.short.get();
        let now_us = inner.env.now_us();
        if last.epoch == epoch && now_us < last.counted_us + RECOUNT_US {
            return;
        }
        if let Some(objects) = inner.count_owned(&view, out).await {
            inner.short.set(Short { objects, epoch, counted_us: now_us });
        }
    }
}

impl<E: Env, P: Peers> Inner<E, P> {
    /// `None` where the view changed, or the index cannot be read.
    async fn count_owned(&self, view: &Installed, out: PositionSet) -> Option<u64> {
        let ranks = (out.len() + 1).min(self.config.quorums.metadata);
        let mut count = 0;
        for rank in 0..u8::try_from(ranks).unwrap_or(u8::MAX) {
            let space = Keyspace::Current as u8;
            let (mut at, end) = (vec![space, rank], [space, rank + 1]);
            loop {
                let page = self.store.scan(&at, &end, PAGE_ENTRIES).await.ok()?;
                let short =
                    page.entries.iter().filter(|(_, entry)| self.is_short(entry, view, out));
                count += short.count() as u64;
                // What is known so far is shown, if it is more than what was known before.
                let last = self.short.get();
                self.short.set(Short { objects: last.objects.max(count), ..last });
                match page.next {
                    Some(next) => at = next,
                    None => break,
                }
                self.env.sleep_us(PAUSE_US).await;
                if self.view().view.epoch != view.view.epoch {
                    return None;
                }
            }
        }
        Some(count)
    }

    fn is_short(&self, entry: &Entry, view: &Installed, out: PositionSet) -> bool {
        let record = entry.value.as_deref().map(ObjectRecord::decode);
        let Some(Ok(record)) = record else { return false };
        if SetConfig::owner(&record.order, view.active) != Some(self.position) {
            return false;
        }
        let mut needed = record.order.first(self.config.quorums.metadata);
        if matches!(record.storage, Storage::Fragments(..) | Storage::Parts) {
            needed = needed.or(record.order.first(self.config.geometry.width()));
        }
        !needed.and(out).is_empty()
    }
}

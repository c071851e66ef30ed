//! A scrub of one drive: a read pass over all of it, also over what no client's read comes to
//! (parity, the copies of followers, index and log), that heals what it finds.
//!
//! Invariants: slow on purpose (`ScrubPace`), slower while clients keep the drive busy; its reads are
//! background work of the drive; what cannot be healed now is on the list of heals afterwards.

use crate::SetConfig;
use crate::error::SetError;
use crate::get::Found;
use crate::heal::Rotten;
use crate::member::{Inner, Member};
use crate::message::{DriveReply, DriveRequest, Peers};
use engine_env::{Env, IoClass};
use engine_format::{Entry, FragmentRecord, IndexKey, Keyspace, ObjectRecord};
use engine_store::{DriveError, ScrubPace};
use std::rc::Rc;

const PAGE_ENTRIES: usize = 256;

/// What a scrub has read and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Payloads read.
    pub payloads: u64,
    /// Fragments read.
    pub fragments: u64,
    /// Of both, those that were rotten or not there.
    pub bad: u64,
}

impl<E: Env, P: Peers> Member<E, P> {
    /// Reads everything on this drive and heals what is rotten.
    ///
    /// # Errors
    /// `Unavailable` where the drive fails meanwhile, be it because its index is rotten.
    pub async fn scrub(&self, pace: ScrubPace) -> Result<Scrubbed, SetError> {
        let inner = &self.inner;
        let scrubbed = inner.store.scrub_index(pace).await;
        scrubbed.inspect_err(|error| inner.report_failed(*error))?;
        let mut done = Scrubbed::default();
        inner.scrub_space(Keyspace::Current, pace, &mut done).await?;
        inner.scrub_space(Keyspace::Fragments, pace, &mut done).await?;
        Ok(done)
    }
}

impl<E: Env, P: Peers> Inner<E, P> {
    async fn scrub_space(
        self: &Rc<Self>,
        space: Keyspace,
        pace: ScrubPace,
        done: &mut Scrubbed,
    ) -> Result<(), SetError> {
        let (mut at, end) = (vec![space as u8], [space as u8 + 1]);
        loop {
            let page = self.store.scan(&at, &end, PAGE_ENTRIES).await;
            let page = page.inspect_err(|error| self.report_failed(*error))?;
            for (key, entry) in page.entries {
                if space == Keyspace::Fragments {
                    self.scrub_fragment(key, &entry, pace, done).await?;
                } else {
                    self.scrub_object(key, entry, pace, done).await?;
                }
            }
            match page.next {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }

    async fn heal_now(self: &Rc<Self>, rotten: Rotten, done: &mut Scrubbed) {
        done.bad += 1;
        if self.heal(&rotten).await.is_err() {
            self.want_heal(rotten);
        }
    }

    async fn scrub_fragment(
        self: &Rc<Self>,
        key: Vec<u8>,
        entry: &Entry,
        pace: ScrubPace,
        done: &mut Scrubbed,
    ) -> Result<(), SetError> {
        let Some(data) = IndexKey(key).data_id() else { return Ok(()) };
        let value = entry.value.as_deref().unwrap_or_default();
        let record = FragmentRecord::from_value(value).map_err(|_| SetError::Unavailable)?;
        done.fragments += 1;
        // One that was freed meanwhile is not rotten: there is nothing to heal then.
        if !self.store.with_class(IoClass::Background).verify_fragment(data).await? {
            self.heal_now(Rotten::Fragment(data), done).await;
        }
        self.store.rest(pace, record.fragment_bytes()).await;
        Ok(())
    }

    async fn scrub_object(
        self: &Rc<Self>,
        key: Vec<u8>,
        entry: Entry,
        pace: ScrubPace,
        done: &mut Scrubbed,
    ) -> Result<(), SetError> {
        let mut payload = None;
        if let Some(location) = entry.payload {
            done.payloads += 1;
            let found = self.store.with_class(IoClass::Background).get_with_payload(&key).await;
            match found {
                Ok(found) => payload = found.and_then(|(_, payload)| payload),
                Err(DriveError::Format(_)) => {
                    self.heal_now(Rotten::Payload(key.clone()), done).await;
                }
                Err(error) => return Err(error.into()),
            }
            self.store.rest(pace, location.bytes.into()).await;
        }
        let value = entry.value.as_deref().unwrap_or_default();
        let record = ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?;
        let suffix = key.get(2..).unwrap_or_default();
        if SetConfig::owner(&record.order, self.view().active) == Some(self.position) {
            self.scrub_presence(Found::new(record, payload, suffix)?, suffix, done).await;
        }
        Ok(())
    }

    /// Whether every drive in sync knows of its fragments of an object this member owns.
    async fn scrub_presence(self: &Rc<Self>, found: Found, suffix: &[u8], done: &mut Scrubbed) {
        let active = self.view().active;
        for run in found.sources() {
            let holders = run.order.first(run.geometry.width()).and(active);
            for position in holders.iter() {
                let request = DriveRequest::FragmentRecord(run.data);
                let held = self.peers.call(position, request).await;
                if matches!(held, Ok(DriveReply::Fragment(None))) {
                    let missing = Rotten::Missing(suffix.to_vec(), run.data, position);
                    self.heal_now(missing, done).await;
                }
            }
        }
    }
}

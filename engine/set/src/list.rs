//! Listing what a member leads.
//!
//! Invariants: entries a drive is first for lie together (rank 0), so a listing reads only what
//! this member leads; while drives are out it also leads entries of higher ranks, whose earlier
//! positions are all out; common prefixes are skipped over, not walked through.

use crate::SetConfig;
use crate::error::SetError;
use crate::member::Member;
use crate::message::{Installed, Peers};
use engine_env::{Env, Rule};
use engine_format::{IndexKey, Keyspace, ObjectRecord, UploadRecord};
use engine_types::{BucketId, Key, ObjectInfo, UploadId};

/// What to list; all bytes of keys.
#[derive(Debug, Clone, Default)]
pub struct SetListQuery {
    /// Only keys that start with this.
    pub prefix: Vec<u8>,
    /// Keys with this after the prefix are rolled up; empty for none.
    pub delimiter: Vec<u8>,
    /// Only keys from this one on.
    pub start: Vec<u8>,
    /// At most this many entries.
    pub entries_max: usize,
}

/// An entry of a listing.
#[derive(Debug, Clone)]
pub enum SetListEntry {
    /// An object.
    Object(Key, ObjectInfo),
    /// A common prefix.
    CommonPrefix(Vec<u8>),
}

impl SetListEntry {
    /// What it sorts by.
    #[must_use]
    pub fn sort_key(&self) -> &[u8] {
        match self {
            Self::Object(key, _) => key.as_bytes(),
            Self::CommonPrefix(prefix) => prefix,
        }
    }
}

/// A page of what one member leads.
#[derive(Debug, Clone, Default)]
pub struct SetListPage {
    /// The installation of the view it was read under; pages of two do not go together.
    pub installation: u64,
    /// Rising.
    pub entries: Vec<SetListEntry>,
    /// Whether there may be more behind the last entry.
    pub truncated: bool,
}

/// An upload under way, as one member lists it.
#[derive(Debug, Clone)]
pub struct SetUpload {
    /// Its key.
    pub key: Key,
    /// Its id.
    pub upload: UploadId,
    /// Its record.
    pub record: UploadRecord,
}

/// The first bytes that sort behind everything with this prefix; `None` where there are none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

impl<E: Env, P: Peers> Member<E, P> {
    fn listing_view(&self) -> Result<std::rc::Rc<Installed>, SetError> {
        let view = self.installed();
        let config = &self.inner.config;
        let out = usize::from(config.set_size) - view.active.len();
        let missing_max = config.quorums.metadata - config.quorums.metadata_read;
        let whole = out <= missing_max && view.undecided.is_empty();
        if !view.serving || !(whole || self.inner.env.breaks(Rule::ListWhole)) {
            return Err(SetError::Unavailable);
        }
        Ok(view)
    }

    /// The ranks whose entries this member may lead.
    fn ranks(&self, view: &Installed) -> u8 {
        let out = usize::from(self.inner.config.set_size) - view.active.len();
        let ranks = (out + 1).min(self.inner.config.quorums.metadata);
        u8::try_from(ranks).unwrap_or(u8::MAX)
    }

    /// Lists objects of a bucket that this member leads.
    ///
    /// # Errors
    /// `Unavailable` rather than a page with holes.
    pub async fn list(
        &self,
        bucket: BucketId,
        query: &SetListQuery,
    ) -> Result<SetListPage, SetError> {
        let view = self.listing_view()?;
        let mut page = SetListPage { installation: view.number, ..SetListPage::default() };
        for rank in 0..self.ranks(&view) {
            let (entries, truncated) = self.list_rank(bucket, query, rank, &view).await?;
            page.entries.extend(entries);
            page.truncated |= truncated;
        }
        page.entries.sort_by(|a, b| a.sort_key().cmp(b.sort_key()));
        page.entries.dedup_by(|a, b| a.sort_key() == b.sort_key());
        if page.entries.len() > query.entries_max {
            page.entries.truncate(query.entries_max);
            page.truncated = true;
        }
        let one_view = self.installed().number == page.installation;
        if !one_view && !self.inner.env.breaks(Rule::ListOneView) {
            return Err(SetError::Unavailable);
        }
        Ok(page)
    }

    async fn list_rank(
        &self,
        bucket: BucketId,
        query: &SetListQuery,
        rank: u8,
        view: &Installed,
    ) -> Result<(Vec<SetListEntry>, bool), SetError> {
        let ranked = |key: &[u8]| {
            let suffix = IndexKey::current_suffix(bucket, key);
            IndexKey::ranked(Keyspace::Current, rank, &suffix).0
        };
        let base = ranked(&[]);
        let mut at = ranked(query.start.as_slice().max(&query.prefix));
        let end = match prefix_end(&query.prefix) {
            Some(end) => ranked(&end),
            None => prefix_end(&base).unwrap_or_default(),
        };
        let mut entries: Vec<SetListEntry> = Vec::new();
        'pages: loop {
            let wanted = query.entries_max + 1 - entries.len();
            let page = self.inner.store.scan(&at, &end, wanted.min(1001)).await;
            let page = page.inspect_err(|error| self.inner.report_failed(*error))?;
            for (index_key, entry) in page.entries {
                let key = &index_key[base.len()..];
                let after_prefix = key.get(query.prefix.len()..).unwrap_or_default();
                let cut = if query.delimiter.is_empty() {
                    None
                } else {
                    find(after_prefix, &query.delimiter)
                };
                let record = entry.value.as_deref().map(ObjectRecord::decode);
                let Some(Ok(record)) = record else { return Err(SetError::Unavailable) };
                if SetConfig::owner(&record.order, view.active) != Some(self.inner.position) {
                    continue;
                }
                if entries.len() == query.entries_max {
                    return Ok((entries, true));
                }
                let Some(cut) = cut else {
                    let key = Key::from_bytes(key).map_err(|_| SetError::Unavailable)?;
                    entries.push(SetListEntry::Object(key, record.info()));
                    continue;
                };
                let common = key[..query.prefix.len() + cut + query.delimiter.len()].to_vec();
                let next = prefix_end(&common);
                if common.as_slice() >= query.start.as_slice() {
                    entries.push(SetListEntry::CommonPrefix(common));
                }
                match next {
                    Some(next) => at = ranked(&next),
                    None => break 'pages,
                }
                continue 'pages;
            }
            match page.next {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok((entries, false))
    }

    /// Lists uploads of a bucket that this member leads, from a key (and an upload of it) on.
    ///
    /// # Errors
    /// `Unavailable` rather than a page with holes.
    pub async fn list_uploads(
        &self,
        bucket: BucketId,
        prefix: &[u8],
        entries_max: usize,
        (start, start_upload): (&[u8], Option<UploadId>),
    ) -> Result<(Vec<SetUpload>, bool), SetError> {
        let view = self.listing_view()?;
        let mut uploads = Vec::new();
        let mut truncated = false;
        for rank in 0..self.ranks(&view) {
            let first = if start >= prefix {
                start_upload.unwrap_or_default()
            } else {
                UploadId::default()
            };
            let mut found = Vec::new();
            let start_suffix = IndexKey::upload_suffix(bucket, start.max(prefix), first);
            let mut at = IndexKey::ranked(Keyspace::Uploads, rank, &start_suffix).0;
            let base = IndexKey::ranked(Keyspace::Uploads, rank, &bucket.0.to_be_bytes()).0;
            let end = prefix_end(&base).unwrap_or_default();
            loop {
                let page = self.inner.store.scan(&at, &end, entries_max + 1).await;
                let page = page.inspect_err(|error| self.inner.report_failed(*error))?;
                for (key, entry) in page.entries {
                    let parsed = IndexKey::parse_upload(&key[2..]);
                    let record = entry.value.as_deref().map(UploadRecord::decode);
                    let (Some((_, key, upload)), Some(Ok(record))) = (parsed, record) else {
                        return Err(SetError::Unavailable);
                    };
                    let is_led =
                        SetConfig::owner(&record.order, view.active) == Some(self.inner.position);
                    if is_led && key.as_bytes().starts_with(prefix) {
                        found.push(SetUpload { key, upload, record });
                    }
                }
                match page.next {
                    Some(next) if found.len() <= entries_max => at = next,
                    Some(_) => {
                        truncated = true;
                        break;
                    }
                    None => break,
                }
            }
            uploads.append(&mut found);
        }
        uploads.sort_by(|a, b| (a.key.as_bytes(), a.upload).cmp(&(b.key.as_bytes(), b.upload)));
        if uploads.len() > entries_max {
            uploads.truncate(entries_max);
            truncated = true;
        }
        Ok((uploads, truncated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_of_it() {
        assert_eq!(prefix_end(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(prefix_end(&[b'a', 0xff]), Some(b"b".to_vec()));
        assert_eq!(prefix_end(&[0xff, 0xff]), None);
        assert_eq!(prefix_end(b""), None);
    }
}

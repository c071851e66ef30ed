//! What a client sees of a bucket: all owners' pages put together, as a gateway does.
//!
//! Invariant: a listing is whole, of one view (`pages`), or there is none.

use crate::model::{Value, generation_of};
use crate::pages::{Page, Pages};
use crate::process::{BUCKET, Process, judged_epoch, key_of, number_of};
use engine_format::Etag;
use engine_set::{SetListEntry, SetListQuery};
use shards_sim::Random;
use std::collections::{BTreeMap, BTreeSet};

const DELIMITER: &[u8] = b"/";

/// A whole listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The epoch it is judged by.
    pub epoch: u32,
    /// Objects: number of the key, generation.
    pub objects: BTreeMap<u64, u64>,
    /// Common prefixes.
    pub prefixes: BTreeSet<Vec<u8>>,
}

impl Process {
    /// Lists what starts with `prefix`; `None` where there is no whole listing now.
    ///
    /// # Errors
    /// Pages that are not in order, or entries that are not ours.
    pub async fn list(
        &self,
        prefix: &[u8],
        delimiter: &[u8],
        entries_max: usize,
    ) -> Result<Option<Listing>, String> {
        let query = SetListQuery {
            prefix: prefix.to_vec(),
            delimiter: delimiter.to_vec(),
            start: Vec::new(),
            entries_max,
        };
        let pages = Pages::begin(&self.env, &self.peers, BUCKET, query);
        let Some(mut pages) = pages else { return Ok(None) };
        let epoch = judged_epoch(pages.installed());
        let mut listing = Listing { epoch, ..Listing::default() };
        loop {
            match pages.next_page().await? {
                Page::Entries(entries) => listing.take(entries)?,
                Page::End => return Ok(Some(listing)),
                Page::Refused => return Ok(None),
            }
        }
    }

    /// Lists everything and judges the given keys, which nobody writes. `false`: there is no
    /// whole listing now.
    pub async fn judge_listing(&self, keys: &[u64], random: &mut Random) -> bool {
        let entries_max = *random.pick(&[1, 3, 1000]);
        let listing = match self.list(b"", b"", entries_max).await {
            Ok(Some(listing)) => listing,
            Ok(None) => return false,
            Err(what) => {
                self.site.verdict.wrong(what);
                return true;
            }
        };
        for key in keys {
            let found = listing.objects.get(key).map_or(Value::Absent, |g| Value::Object(*g));
            let judged = self.site.model.borrow_mut().judge(*key, found, listing.epoch);
            self.site.verdict.note(judged.map_err(|what| format!("a listing: {what}")));
        }
        self.count(|totals| totals.listings += 1);
        true
    }

    /// Compares listings with and without delimiter with the model. Every key was judged and
    /// nobody writes. `false`: there is no whole listing now.
    pub async fn compare_listings(&self, random: &mut Random) -> bool {
        let live = self.site.model.borrow().live_keys();
        let entries_max = *random.pick(&[1, 2, 7, 1000]);
        let prefix: &[u8] = random.pick(&["", "dir/", "dir/s", "k-", "none/"]).as_bytes();
        for delimiter in [&b""[..], DELIMITER] {
            let listing = match self.list(prefix, delimiter, entries_max).await {
                Ok(Some(listing)) => listing,
                Ok(None) => return false,
                Err(what) => {
                    self.site.verdict.wrong(what);
                    return true;
                }
            };
            let (keys, prefixes) = expected(&live, prefix, delimiter);
            let listed: Vec<u64> = listing.objects.keys().copied().collect();
            if listed != keys || listing.prefixes != prefixes {
                let prefix = String::from_utf8_lossy(prefix);
                self.site.verdict.wrong(format!(
                    "a listing of {prefix:?} with {entries_max} a page: {listing:?}; the model has \
                     {keys:?} and {prefixes:?}"
                ));
            }
            self.count(|totals| totals.listings += 1);
        }
        true
    }
}

impl Listing {
    fn take(&mut self, entries: Vec<SetListEntry>) -> Result<(), String> {
        for entry in entries {
            match entry {
                SetListEntry::CommonPrefix(prefix) => {
                    self.prefixes.insert(prefix);
                }
                SetListEntry::Object(key, info) => {
                    let number = number_of(&key);
                    let etag = Etag::parse(&info.etag);
                    let generation = etag.and_then(|etag| generation_of(etag.md5));
                    let (Some(number), Some(generation)) = (number, generation) else {
                        return Err(format!("a listing names {key}, which is not ours"));
                    };
                    if self.objects.insert(number, generation).is_some() {
                        return Err(format!("a listing names {key} twice"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a listing of these keys must give.
fn expected(live: &[u64], prefix: &[u8], delimiter: &[u8]) -> (Vec<u64>, BTreeSet<Vec<u8>>) {
    let mut keys = Vec::new();
    let mut prefixes = BTreeSet::new();
    for number in live {
        let key = key_of(*number);
        let Some(rest) = key.as_bytes().strip_prefix(prefix) else { continue };
        let cut = rest.iter().position(|byte| Some(byte) == delimiter.first());
        match cut {
            Some(cut) => _ = prefixes.insert([prefix, &rest[..=cut]].concat()),
            None => keys.push(*number),
        }
    }
    (keys, prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_below_a_delimiter_roll_up() {
        let (keys, prefixes) = expected(&[0, 1, 2, 3, 4, 5], b"", b"/");
        assert_eq!(keys, [0, 4]);
        assert_eq!(prefixes, [b"dir/".to_vec(), b"other/".to_vec()].into());
        let (keys, prefixes) = expected(&[0, 1, 2], b"dir/", b"/");
        assert_eq!(keys, [1]);
        assert_eq!(prefixes, [b"dir/sub/".to_vec()].into());
    }
}

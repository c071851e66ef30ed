//! `ListObjects`, `ListObjectsV2`, and what all listings share: limits, markers, tokens, encoding.
//!
//! Invariant: a listing goes on right after the last entry shown, so no key is shown twice or
//! left out while the bucket does not change.
//! Source: S3 API reference, "ListObjects" and "ListObjectsV2".

use crate::api::{Gateway, ListObjects, ListObjectsV2, ListedObject, ObjectList, ObjectListV2};
use crate::encoding::{base64, from_base64, url};
use crate::failure::{ErrorCode, S3Failure};
use crate::objects::{ListEntry, ListPage, ListQuery, Objects};
use engine_types::{BucketId, Key};

/// The most entries a page has.
const ENTRIES_MAX: u32 = 1000;
/// The first byte of a continuation token: its version.
const TOKEN_VERSION: u8 = 1;

/// The limit of a page. S3 takes any 31-bit number and answers with 1,000 at most.
pub(crate) fn limit(value: Option<i64>, name: &str) -> Result<u32, S3Failure> {
    let Some(value) = value else { return Ok(ENTRIES_MAX) };
    match u32::try_from(value) {
        Ok(limit) if limit <= i32::MAX as u32 => Ok(limit.min(ENTRIES_MAX)),
        _ => Err(S3Failure::with_message(
            ErrorCode::InvalidArgument,
            format!("Argument {name} must be an integer between 0 and 2147483647"),
        )),
    }
}

/// Whether keys go out URL-encoded.
pub(crate) fn is_url_encoded(encoding_type: Option<&str>) -> Result<bool, S3Failure> {
    match encoding_type {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(_) => Err(S3Failure::with_message(
            ErrorCode::InvalidArgument,
            "Invalid Encoding Method specified in Request",
        )),
    }
}

/// The text as it goes out.
pub(crate) fn encoded(text: &str, url_encoded: bool) -> String {
    if url_encoded { url(text) } else { text.to_owned() }
}

/// A token that goes on after this key, common prefix or name.
pub(crate) fn token(after: &str) -> String {
    let mut bytes = vec![TOKEN_VERSION];
    bytes.extend_from_slice(after.as_bytes());
    base64(&bytes)
}

/// What `token` was given.
pub(crate) fn read_token(token: &str) -> Result<String, S3Failure> {
    let after = from_base64(token).and_then(|bytes| match bytes.split_first() {
        Some((&TOKEN_VERSION, after)) if after.len() <= Key::BYTES_MAX => {
            String::from_utf8(after.to_vec()).ok().filter(|after| !after.is_empty())
        }
        _ => None,
    });
    after.ok_or_else(|| {
        S3Failure::with_message(
            ErrorCode::InvalidArgument,
            "The continuation token provided is incorrect",
        )
    })
}

/// The common prefix the key is rolled up into, if any.
pub(crate) fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key.strip_prefix(prefix)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// A page as both versions show it.
struct Page {
    objects: Vec<ListedObject>,
    common_prefixes: Vec<String>,
    truncated: bool,
    /// The last entry, not encoded.
    last: Option<String>,
}

impl Page {
    fn new(page: ListPage, url_encoded: bool) -> Self {
        let mut shown = Self {
            objects: Vec::new(),
            common_prefixes: Vec::new(),
            truncated: page.truncated,
            last: None,
        };
        for entry in page.entries {
            match entry {
                ListEntry::Object(key, info) => {
                    shown.last = Some(key.as_str().to_owned());
                    let key = encoded(key.as_str(), url_encoded);
                    shown.objects.push(ListedObject { key, info });
                }
                ListEntry::CommonPrefix(prefix) => {
                    shown.common_prefixes.push(encoded(&prefix, url_encoded));
                    shown.last = Some(prefix);
                }
            }
        }
        shown
    }
}

impl<S: Objects> Gateway<S> {
    /// `ListObjects`.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument`, or the store's.
    pub async fn list_objects(&self, request: ListObjects) -> Result<ObjectList, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let url_encoded = is_url_encoded(request.encoding_type.as_deref())?;
        let keys_max = limit(request.keys_max, "max-keys")?;
        let prefix = request.prefix.unwrap_or_default();
        let marker = request.marker.unwrap_or_default();
        let delimiter = request.delimiter.filter(|delimiter| !delimiter.is_empty());
        let query = ListQuery {
            prefix: prefix.clone(),
            delimiter: delimiter.clone().unwrap_or_default(),
            start_after: marker.clone(),
            entries_max: keys_max as usize,
        };
        let page = Page::new(self.list_page(bucket.id, query).await?, url_encoded);
        // Without a delimiter clients go on after the last key they were shown.
        let next = page.last.filter(|_| page.truncated && delimiter.is_some());
        Ok(ObjectList {
            prefix: encoded(&prefix, url_encoded),
            delimiter: delimiter.map(|delimiter| encoded(&delimiter, url_encoded)),
            marker: encoded(&marker, url_encoded),
            next_marker: next.map(|next| encoded(&next, url_encoded)),
            keys_max,
            url_encoded,
            truncated: page.truncated,
            objects: page.objects,
            common_prefixes: page.common_prefixes,
        })
    }

    /// `ListObjectsV2`.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument`, or the store's.
    pub async fn list_objects_v2(&self, request: ListObjectsV2) -> Result<ObjectListV2, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let url_encoded = is_url_encoded(request.encoding_type.as_deref())?;
        let keys_max = limit(request.keys_max, "max-keys")?;
        let prefix = request.prefix.unwrap_or_default();
        let delimiter = request.delimiter.filter(|delimiter| !delimiter.is_empty());
        // The token of a later page goes on from there; `start-after` is for the first page.
        let start_after = match request.continuation_token.as_deref() {
            None => request.start_after.clone().unwrap_or_default(),
            Some(token) => read_token(token)?,
        };
        let query = ListQuery {
            prefix: prefix.clone(),
            delimiter: delimiter.clone().unwrap_or_default(),
            start_after,
            entries_max: keys_max as usize,
        };
        let page = Page::new(self.list_page(bucket.id, query).await?, url_encoded);
        let next = page.last.filter(|_| page.truncated);
        let key_count = page.objects.len() + page.common_prefixes.len();
        Ok(ObjectListV2 {
            prefix: encoded(&prefix, url_encoded),
            delimiter: delimiter.map(|delimiter| encoded(&delimiter, url_encoded)),
            start_after: request.start_after.map(|after| encoded(&after, url_encoded)),
            continuation_token: request.continuation_token,
            next_continuation_token: next.as_deref().map(token),
            key_count: u32::try_from(key_count).unwrap_or(u32::MAX),
            keys_max,
            url_encoded,
            truncated: page.truncated,
            with_owner: request.fetch_owner,
            objects: page.objects,
            common_prefixes: page.common_prefixes,
        })
    }

    async fn list_page(&self, bucket: BucketId, query: ListQuery) -> Result<ListPage, S3Failure> {
        // S3 answers a page of nothing as complete; and no key is as long as such a prefix.
        if query.entries_max == 0 || query.prefix.len() > Key::BYTES_MAX {
            return Ok(ListPage::default());
        }
        Ok(self.store.list(bucket, query).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_others_are_refused() {
        for after in ["a", "a/b\u{e4}/", "zz"] {
            assert_eq!(read_token(&token(after)), Ok(after.to_owned()));
        }
        let long = token(&"k".repeat(1025));
        for refused in ["x", "a2V5", "AQ==", "AmtleQ==", "Af8=", long.as_str()] {
            assert_eq!(
                read_token(refused).unwrap_err().code,
                ErrorCode::InvalidArgument,
                "{refused}"
            );
        }
    }

    #[test]
    fn limits_are_clamped_and_nonsense_is_refused() {
        assert_eq!(limit(None, "max-keys"), Ok(1000));
        assert_eq!(limit(Some(0), "max-keys"), Ok(0));
        assert_eq!(limit(Some(7), "max-keys"), Ok(7));
        assert_eq!(limit(Some(i64::from(i32::MAX)), "max-keys"), Ok(1000));
        for value in [-1, i64::from(i32::MAX) + 1, i64::MIN] {
            let code = limit(Some(value), "max-keys").unwrap_err().code;
            assert_eq!(code, ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn common_prefixes_end_with_the_first_delimiter_after_the_prefix() {
        assert_eq!(common_prefix("a/b/c", "", "/"), Some("a/"));
        assert_eq!(common_prefix("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!(common_prefix("a/b/c", "a/b/", "/"), None);
        assert_eq!(common_prefix("a/b/c", "", ""), None);
        assert_eq!(common_prefix("abXYc", "a", "XY"), Some("abXY"));
    }
}

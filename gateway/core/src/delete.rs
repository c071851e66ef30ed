//! `DeleteObject` and `DeleteObjects`.
//!
//! Invariant: that there is no object at the key is success, with a condition or without.

use crate::api::{DeleteObject, DeleteObjects, Deleted, Gateway, WriteConditions};
use crate::concurrent;
use crate::conditions;
use crate::failure::{ErrorCode, S3Failure};
use crate::names;
use crate::objects::{Objects, StoreError};
use engine_types::BucketId;

/// The most keys of one `DeleteObjects`.
const KEYS_MAX: usize = 1000;
/// Deletes under way at once for one request: enough to share group commits.
const DELETES_AT_ONCE: usize = 32;

impl<S: Objects> Gateway<S> {
    /// `DeleteObject`.
    ///
    /// # Errors
    /// `PreconditionFailed`, or the store's.
    pub async fn delete_object(&self, request: DeleteObject) -> Result<(), S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        self.delete_key(bucket.id, &request.key, request.if_match).await
    }

    /// `DeleteObjects`: one entry a key in the order asked, only failures when quiet.
    ///
    /// # Errors
    /// `NoSuchBucket`, or `MalformedXML` for no key or more than 1,000.
    pub async fn delete_objects(&self, request: DeleteObjects) -> Result<Vec<Deleted>, S3Failure> {
        let bucket = self.bucket(&request.bucket)?.id;
        if request.keys.is_empty() || request.keys.len() > KEYS_MAX {
            return Err(S3Failure::new(ErrorCode::MalformedXML));
        }
        let deletes = request
            .keys
            .into_iter()
            .map(|(key, if_match)| async move {
                let failure = self.delete_key(bucket, &key, if_match).await.err();
                Deleted { key, failure }
            })
            .collect();
        let mut entries = concurrent::all(deletes, DELETES_AT_ONCE).await;
        if request.quiet {
            entries.retain(|entry| entry.failure.is_some());
        }
        Ok(entries)
    }

    async fn delete_key(
        &self,
        bucket: BucketId,
        key: &str,
        if_match: Option<String>,
    ) -> Result<(), S3Failure> {
        let key = names::key(key)?;
        let condition = conditions::of_write(&WriteConditions { if_match, if_none_match: None })?;
        match self.store.delete(bucket, &key, condition).await {
            Ok(_) | Err(StoreError::NoSuchKey) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

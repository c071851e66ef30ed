//! Operations on buckets.

use crate::api::{BucketList, Gateway, ListBuckets};
use crate::failure::{ErrorCode, S3Failure};
use crate::listing;
use crate::names;
use crate::objects::{Bucket, Objects};

/// The region whose buckets S3 names no location of.
const CLASSIC_REGION: &str = "us-east-1";
const BUCKETS_MAX: i64 = 10_000;

impl<S: Objects> Gateway<S> {
    /// The bucket of this name, from the gateway's snapshot.
    pub(crate) fn bucket(&self, name: &str) -> Result<Bucket, S3Failure> {
        Ok(self.store.bucket(name)?)
    }

    /// `ListBuckets`.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit outside 1..=10,000 or a token that is none; the store's.
    pub async fn list_buckets(&self, request: ListBuckets) -> Result<BucketList, S3Failure> {
        let limit = match request.buckets_max {
            None => usize::MAX,
            Some(limit) if (1..=BUCKETS_MAX).contains(&limit) => {
                usize::try_from(limit).unwrap_or(usize::MAX)
            }
            Some(_) => {
                return Err(S3Failure::with_message(
                    ErrorCode::InvalidArgument,
                    "Argument max-buckets must be an integer between 1 and 10000",
                ));
            }
        };
        let after = match request.continuation_token.as_deref() {
            None | Some("") => String::new(),
            Some(token) => listing::read_token(token)?,
        };
        let prefix = request.prefix.unwrap_or_default();
        let mut buckets: Vec<Bucket> = self
            .store
            .buckets()?
            .into_iter()
            .filter(|bucket| bucket.name.starts_with(&prefix) && bucket.name > after)
            .collect();
        let truncated = buckets.len() > limit;
        buckets.truncate(limit);
        let last = buckets.last().filter(|_| truncated);
        let continuation_token = last.map(|bucket| listing::token(&bucket.name));
        Ok(BucketList { buckets, continuation_token })
    }

    /// `CreateBucket`; `location` is the text of `LocationConstraint`.
    ///
    /// # Errors
    /// `InvalidBucketName`, `InvalidLocationConstraint`, `BucketAlreadyOwnedByYou`, or the store's.
    pub async fn create_bucket(
        &self,
        name: &str,
        location: Option<&str>,
    ) -> Result<Bucket, S3Failure> {
        if !names::is_bucket_name(name) {
            return Err(S3Failure::new(ErrorCode::InvalidBucketName));
        }
        let location = location.unwrap_or("");
        if !location.is_empty() && location != CLASSIC_REGION && location != self.config.region {
            return Err(S3Failure::new(ErrorCode::InvalidLocationConstraint));
        }
        Ok(self.store.create_bucket(name).await?)
    }

    /// `HeadBucket`.
    ///
    /// # Errors
    /// `NoSuchBucket`, or the store's.
    pub async fn head_bucket(&self, name: &str) -> Result<Bucket, S3Failure> {
        self.bucket(name)
    }

    /// `DeleteBucket`.
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`, or the store's.
    pub async fn delete_bucket(&self, name: &str) -> Result<(), S3Failure> {
        self.bucket(name)?;
        Ok(self.store.delete_bucket(name).await?)
    }

    /// `GetBucketLocation`; `None` for the region that S3 leaves the element empty for.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn bucket_location(&self, name: &str) -> Result<Option<String>, S3Failure> {
        self.bucket(name)?;
        let region = &self.config.region;
        Ok((region != CLASSIC_REGION).then(|| region.clone()))
    }
}

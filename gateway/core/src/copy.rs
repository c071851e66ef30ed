//! `CopyObject` and `UploadPartCopy`: the bytes go from a body out to a writer in.
//!
//! Invariants: the copy's ETag is the MD5 of the bytes copied, whatever the source's is; the
//! source is the one object found at the start, even when it is replaced meanwhile.
//! Source: S3 API reference, "CopyObject" and "UploadPartCopy".

use crate::api::{CopyObject, Gateway, ReadConditions, Stored, UploadPartCopy};
use crate::conditions;
use crate::digest::{self, BodyDigests, BodySums};
use crate::encoding::hex;
use crate::failure::{ErrorCode, S3Failure};
use crate::names;
use crate::objects::{Body, BodySize, Finish, Object, Objects, Target, Writer};
use crate::put::{PUT_BYTES_MAX, stored};
use crate::range;
use engine_types::{Attribute, AttributeKind, BucketId, ChecksumKind, Condition, Key};
use std::ops::Range;

/// Where a copy goes and which checksum is kept of it.
struct Destination<'a> {
    bucket: BucketId,
    key: &'a Key,
    target: Target,
    kept: ChecksumKind,
}

impl<S: Objects> Gateway<S> {
    /// `CopyObject`.
    ///
    /// # Errors
    /// `NoSuchKey` of the source, `PreconditionFailed`, `InvalidRequest` for a copy onto itself
    /// that changes nothing or a source above 5 GiB, or the store's.
    pub async fn copy_object(&self, request: CopyObject) -> Result<Stored, S3Failure> {
        let source_bucket = self.bucket(&request.source_bucket)?;
        let source_key = names::key(&request.source_key)?;
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        names::check_attributes(&request.attributes)?;
        let condition = conditions::of_write(&request.conditions)?;
        let onto_itself = source_bucket.id == bucket.id && source_key == key;
        let changes = request.replace_attributes
            || request.names_storage_class
            || request.attributes.iter().any(is_own);
        if onto_itself && !changes {
            return Err(S3Failure::with_message(
                ErrorCode::InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself \
                 without changing the object's metadata, storage class, website redirect \
                 location or encryption attributes.",
            ));
        }
        let source = self.source(source_bucket.id, &source_key, &request.source_conditions).await?;
        let range = 0..source.info.size_bytes;
        check_size(&range)?;
        let kept = request
            .checksum_algorithm
            .or_else(|| source.info.checksums.first().map(|checksum| checksum.kind))
            .unwrap_or(digest::DEFAULT_KIND);
        let attributes = if request.replace_attributes {
            request.attributes
        } else {
            carried_over(&source.info.attributes, request.attributes)
        };
        let destination =
            Destination { bucket: bucket.id, key: &key, target: Target::Object, kept };
        self.copy(&source, range, destination, attributes, condition).await
    }

    /// `UploadPartCopy`.
    ///
    /// # Errors
    /// `NoSuchUpload`, `NoSuchKey` of the source, `PreconditionFailed`, `InvalidArgument` or
    /// `InvalidRange` for the range, or the store's.
    pub async fn upload_part_copy(&self, request: UploadPartCopy) -> Result<Stored, S3Failure> {
        let source_bucket = self.bucket(&request.source_bucket)?;
        let source_key = names::key(&request.source_key)?;
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        let number = names::part_number(request.part_number)?;
        let id = names::upload_id(&request.upload_id)?;
        let upload = self.store.upload(bucket.id, &key, id).await?;
        let source = self.source(source_bucket.id, &source_key, &request.source_conditions).await?;
        let size_bytes = source.info.size_bytes;
        let range = match &request.source_range {
            Some(header) => range::copy_source(header, size_bytes)?,
            None => 0..size_bytes,
        };
        check_size(&range)?;
        let kept = upload.checksum.map_or(digest::DEFAULT_KIND, |(kind, _)| kind);
        let target = Target::Part(id, number);
        let destination = Destination { bucket: bucket.id, key: &key, target, kept };
        self.copy(&source, range, destination, Vec::new(), Condition::None).await
    }

    async fn source(
        &self,
        bucket: BucketId,
        key: &Key,
        conditions: &ReadConditions,
    ) -> Result<Object, S3Failure> {
        let source = self.store.find(bucket, key).await?;
        conditions::check_copy_source(conditions, &source.info)?;
        Ok(source)
    }

    async fn copy(
        &self,
        source: &Object,
        range: Range<u64>,
        destination: Destination<'_>,
        attributes: Vec<Attribute>,
        condition: Condition,
    ) -> Result<Stored, S3Failure> {
        let Destination { bucket, key, target, kept } = destination;
        let size_bytes = range.end - range.start;
        let mut writer =
            self.store.begin(bucket, key, target, BodySize::flowing(size_bytes)).await?;
        let digests = self.pump(source, range, &mut writer, kept).await?;
        let checksum = digests.sum(kept);
        let finish = Finish {
            etag: hex(&digests.md5),
            checksums: vec![checksum.clone()],
            attributes,
            condition,
        };
        let info = writer.finish(finish).await?;
        Ok(stored(&info, &checksum))
    }

    /// Passes the bytes on and sums them. A body that ends early is caught by the writer, which
    /// was told the length.
    async fn pump(
        &self,
        source: &Object,
        range: Range<u64>,
        writer: &mut S::Writer,
        kept: ChecksumKind,
    ) -> Result<BodyDigests, S3Failure> {
        let mut sums = BodySums::new(&[kept]);
        if !range.is_empty() {
            let mut body = self.store.read(source, range).await?;
            while let Some(piece) = body.next().await {
                let bytes = piece?;
                sums.update(&bytes);
                writer.write(bytes).await?;
            }
        }
        Ok(sums.finish())
    }
}

fn check_size(range: &Range<u64>) -> Result<(), S3Failure> {
    if range.end - range.start <= PUT_BYTES_MAX {
        return Ok(());
    }
    Err(S3Failure::with_message(
        ErrorCode::InvalidRequest,
        format!(
            "The specified copy source is larger than the maximum allowable size for a copy \
             source: {PUT_BYTES_MAX}"
        ),
    ))
}

/// Attributes that a copy takes from its request whatever the directive says.
fn is_own(attribute: &Attribute) -> bool {
    matches!(attribute.kind, AttributeKind::StorageClass | AttributeKind::WebsiteRedirect)
}

/// The attributes of a copy with the directive COPY.
fn carried_over(source: &[Attribute], request: Vec<Attribute>) -> Vec<Attribute> {
    let kept = source.iter().filter(|attribute| !is_own(attribute)).cloned();
    kept.chain(request.into_iter().filter(is_own)).collect()
}

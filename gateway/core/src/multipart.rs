//! The life of a multipart upload: create, complete, abort.
//!
//! Invariants: a completed object's ETag is the MD5 of its parts' MD5s with `-N` behind; a part
//! keeps the sum its upload announced (or the default), so the object's can always be made.
//! Source: S3 API reference, "CompleteMultipartUpload"; user guide, "Checking object integrity".

use crate::api::{
    ChecksumType, CompleteUpload, Completed, CompletedPart, CreateUpload, Gateway, UploadCreated,
    UploadRef,
};
use crate::conditions::{of_write, unquoted};
use crate::digest;
use crate::encoding::{from_base64, from_hex_16, hex};
use crate::failure::{ErrorCode, S3Failure};
use crate::names;
use crate::objects::{Completion, Objects, StoreError};
use engine_types::{BucketId, ChecksumKind, Key, ObjectChecksum, PartInfo, PartNumber, UploadId};
use std::collections::BTreeMap;

/// Every part but the last has at least this many bytes: 5 MiB.
const PART_BYTES_MIN: u64 = 5 << 20;
const PARTS_PAGE: usize = 1000;

impl<S: Objects> Gateway<S> {
    /// `CreateMultipartUpload`.
    ///
    /// # Errors
    /// `InvalidRequest` for a checksum type its algorithm cannot have, or the store's.
    pub async fn create_upload(&self, request: CreateUpload) -> Result<UploadCreated, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        names::check_attributes(&request.attributes)?;
        let checksum = agreed(request.checksum_algorithm, request.checksum_type)?;
        let kept = checksum.map(|(kind, of)| (kind, of == ChecksumType::Composite));
        let id = self.store.create_upload(bucket.id, &key, request.attributes, kept).await?;
        Ok(UploadCreated { upload_id: id.to_string(), checksum })
    }

    /// `AbortMultipartUpload`.
    ///
    /// # Errors
    /// `NoSuchUpload`, or the store's.
    pub async fn abort_upload(&self, request: UploadRef) -> Result<(), S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        let id = names::upload_id(&request.upload_id)?;
        Ok(self.store.abort(bucket.id, &key, id).await?)
    }

    /// `CompleteMultipartUpload`. The same completion again answers the same.
    ///
    /// # Errors
    /// What is wrong with the parts, `PreconditionFailed`, `NoSuchUpload`, or the store's.
    pub async fn complete_upload(&self, request: CompleteUpload) -> Result<Completed, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        let id = names::upload_id(&request.upload_id)?;
        let condition = of_write(&request.conditions)?;
        let parts = named_parts(&request.parts)?;
        let etag = etag_of(&parts)?;
        let checksum = match self.store.upload(bucket.id, &key, id).await {
            Ok(upload) => {
                let stored = self.stored_parts(bucket.id, &key, id).await?;
                let parts = check_parts(&request, &parts, &stored, upload.checksum)?;
                whole_checksum(&request, &parts, upload.checksum)?
            }
            // Maybe completed already, and the answer was lost: the store knows.
            Err(StoreError::NoSuchUpload) => None,
            Err(error) => return Err(error.into()),
        };
        let completion = Completion {
            upload: id,
            parts,
            etag,
            checksums: checksum.into_iter().collect(),
            condition,
        };
        let info = self.store.complete(bucket.id, &key, completion).await?;
        let texts = info.checksums.iter();
        Ok(Completed {
            checksums: texts.map(|sum| digest::text_of(sum, info.part_count)).collect(),
            etag: info.etag,
        })
    }

    async fn stored_parts(
        &self,
        bucket: BucketId,
        key: &Key,
        id: UploadId,
    ) -> Result<BTreeMap<PartNumber, PartInfo>, S3Failure> {
        let mut stored = BTreeMap::new();
        let mut after = 0;
        loop {
            let (page, more) = self.store.parts(bucket, key, id, after, PARTS_PAGE).await?;
            let last = page.last().map(|part| part.number.get());
            stored.extend(page.into_iter().map(|part| (part.number, part)));
            match last {
                Some(last) if more => after = last,
                _ => return Ok(stored),
            }
        }
    }
}

/// The checksum that an upload's parts shall have.
fn agreed(
    algorithm: Option<ChecksumKind>,
    of: Option<ChecksumType>,
) -> Result<Option<(ChecksumKind, ChecksumType)>, S3Failure> {
    let refused =
        |message: String| Err(S3Failure::with_message(ErrorCode::InvalidRequest, message));
    let kind = match (algorithm, of) {
        (Some(kind), _) => kind,
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            return refused(
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header."
                    .to_owned(),
            );
        }
    };
    let impossible = match kind {
        ChecksumKind::Crc32 | ChecksumKind::Crc32c => None,
        ChecksumKind::Crc64Nvme => Some(ChecksumType::Composite),
        ChecksumKind::Sha1 | ChecksumKind::Sha256 => Some(ChecksumType::FullObject),
    };
    if let Some(of) = of.filter(|of| Some(*of) == impossible) {
        return refused(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            of.as_str(),
            digest::algorithm_name(kind).to_ascii_lowercase()
        ));
    }
    let default = match kind {
        ChecksumKind::Crc64Nvme => ChecksumType::FullObject,
        _ => ChecksumType::Composite,
    };
    Ok(Some((kind, of.unwrap_or(default))))
}

/// The parts as the client named them: at least one, rising.
fn named_parts(parts: &[CompletedPart]) -> Result<Vec<(PartNumber, String)>, S3Failure> {
    if parts.is_empty() {
        return Err(S3Failure::new(ErrorCode::MalformedXML));
    }
    let mut named: Vec<(PartNumber, String)> = Vec::with_capacity(parts.len());
    for part in parts {
        let number = names::part_number(part.number)?;
        if named.last().is_some_and(|(before, _)| *before >= number) {
            return Err(S3Failure::new(ErrorCode::InvalidPartOrder));
        }
        named.push((number, unquoted(part.etag.trim()).to_ascii_lowercase()));
    }
    Ok(named)
}

/// The ETag of the object made of these parts. An ETag that is no MD5 is no part's.
fn etag_of(parts: &[(PartNumber, String)]) -> Result<String, S3Failure> {
    let mut md5s = Vec::with_capacity(parts.len() * 16);
    for (_, etag) in parts {
        let md5 = from_hex_16(etag).ok_or_else(|| S3Failure::new(ErrorCode::InvalidPart))?;
        md5s.extend_from_slice(&md5);
    }
    Ok(format!("{}-{}", hex(&digest::md5(&md5s)), parts.len()))
}

/// Checks the named parts against the stored ones, which come out in order.
fn check_parts<'a>(
    request: &CompleteUpload,
    named: &[(PartNumber, String)],
    stored: &'a BTreeMap<PartNumber, PartInfo>,
    agreed: Option<(ChecksumKind, bool)>,
) -> Result<Vec<&'a PartInfo>, S3Failure> {
    let invalid = || S3Failure::new(ErrorCode::InvalidPart);
    let mut parts = Vec::with_capacity(named.len());
    for ((number, etag), asked) in named.iter().zip(&request.parts) {
        let part = stored.get(number).filter(|part| part.etag == *etag).ok_or_else(invalid)?;
        for (kind, text) in &asked.checksums {
            match &part.checksum {
                Some(sum) if sum.kind == *kind => {
                    if from_base64(text).as_deref() != Some(sum.sum.as_slice()) {
                        return Err(invalid());
                    }
                }
                // Nothing was agreed on: this one was verified as the part came and not kept.
                _ if agreed.is_none() => {}
                _ => return Err(invalid()),
            }
        }
        parts.push(part);
    }
    let (_, all_but_last) = parts.split_last().ok_or_else(invalid)?;
    if all_but_last.iter().any(|part| part.size_bytes < PART_BYTES_MIN) {
        return Err(S3Failure::new(ErrorCode::EntityTooSmall));
    }
    let size_bytes: u64 = parts.iter().map(|part| part.size_bytes).sum();
    if request.object_size_bytes.is_some_and(|expected| expected != size_bytes) {
        return Err(S3Failure::with_message(
            ErrorCode::InvalidRequest,
            format!("The parts have {size_bytes} bytes, unlike the x-amz-mp-object-size header."),
        ));
    }
    Ok(parts)
}

/// The checksum of the whole object, checked against the one the client gave.
fn whole_checksum(
    request: &CompleteUpload,
    parts: &[&PartInfo],
    agreed: Option<(ChecksumKind, bool)>,
) -> Result<Option<ObjectChecksum>, S3Failure> {
    let (kind, composite) = agreed.unwrap_or((digest::DEFAULT_KIND, false));
    let expected_type = if composite { ChecksumType::Composite } else { ChecksumType::FullObject };
    if request.checksum_type.is_some_and(|of| of != expected_type) {
        return Err(S3Failure::with_message(
            ErrorCode::InvalidRequest,
            format!(
                "The upload was created using the {} checksum mode. The complete request must \
                 use the same checksum mode.",
                expected_type.as_str()
            ),
        ));
    }
    let sums: Option<Vec<(&[u8], u64)>> = parts
        .iter()
        .map(|part| {
            let sum = part.checksum.as_ref().filter(|sum| sum.kind == kind)?;
            Some((sum.sum.as_slice(), part.size_bytes))
        })
        .collect();
    let whole = sums.and_then(|sums| {
        if composite {
            let sums: Vec<&[u8]> = sums.iter().map(|(sum, _)| *sum).collect();
            return Some(digest::composite(kind, &sums));
        }
        digest::joined(kind, &sums)
    });
    for (claimed, text) in &request.checksums {
        if *claimed != kind {
            return Err(digest::kind_mismatch(kind, *claimed));
        }
        // A composite one may come with its count of parts behind.
        let count = format!("-{}", parts.len());
        let text = if composite { text.strip_suffix(&count).unwrap_or(text) } else { text };
        let sum = digest::sum_of(kind, text)?;
        if whole.as_ref().is_none_or(|whole| whole.sum != sum) {
            return Err(digest::bad_digest(kind));
        }
    }
    Ok(whole)
}

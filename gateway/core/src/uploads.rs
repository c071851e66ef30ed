//! Listings of multipart uploads: `ListParts` and `ListMultipartUploads`.
//!
//! Source: S3 API reference, "ListParts" and "ListMultipartUploads".

use crate::api::{
    ChecksumType, Gateway, ListParts, ListUploads, ListedPart, ListedUpload, PartList, UploadList,
};
use crate::digest;
use crate::failure::{ErrorCode, S3Failure};
use crate::listing::{common_prefix, encoded, is_url_encoded, limit};
use crate::names;
use crate::objects::{Objects, UploadInfo};
use engine_types::{BucketId, ChecksumKind, Key, UploadId};

/// Uploads asked of the store at once.
const UPLOADS_PAGE: usize = 1000;

impl<S: Objects> Gateway<S> {
    /// `ListParts`.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidArgument`, or the store's.
    pub async fn list_parts(&self, request: ListParts) -> Result<PartList, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        let parts_max = limit(request.parts_max, "max-parts")?;
        let marker = request.part_number_marker.unwrap_or(0);
        // Any number at all may be a marker, but no part lies beyond the highest of 16 bits.
        let marker = u16::try_from(limit_marker(marker)?).unwrap_or(u16::MAX);
        let id = names::upload_id(&request.upload_id)?;
        let upload = self.store.upload(bucket.id, &key, id).await?;
        let (parts, truncated) = if parts_max == 0 {
            (Vec::new(), false)
        } else {
            self.store.parts(bucket.id, &key, id, marker, parts_max as usize).await?
        };
        Ok(PartList {
            part_number_marker: marker,
            next_part_number_marker: parts.last().map_or(0, |part| part.number.get()),
            parts_max,
            truncated,
            checksum: shown_checksum(upload.checksum),
            storage_class: names::storage_class(&upload.attributes),
            parts: parts
                .into_iter()
                .map(|info| ListedPart {
                    checksum: info.checksum.as_ref().map(|sum| digest::text_of(sum, 0)),
                    info,
                })
                .collect(),
        })
    }

    /// `ListMultipartUploads`.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument`, or the store's.
    pub async fn list_uploads(&self, request: ListUploads) -> Result<UploadList, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let url_encoded = is_url_encoded(request.encoding_type.as_deref())?;
        let uploads_max = limit(request.uploads_max, "max-uploads")?;
        let delimiter = request.delimiter.filter(|delimiter| !delimiter.is_empty());
        let key_marker = request.key_marker.unwrap_or_default();
        let id_text = request.upload_id_marker.unwrap_or_default();
        // S3 does not look at the id without a key.
        let id_marker = if key_marker.is_empty() || id_text.is_empty() {
            None
        } else {
            Some(names::upload_id(&id_text).map_err(|_| invalid("Invalid uploadId marker"))?)
        };
        let walk = Walk {
            prefix: request.prefix.unwrap_or_default(),
            delimiter: delimiter.clone().unwrap_or_default(),
            start: key_marker.clone(),
            start_id: id_marker,
            entries_max: uploads_max as usize,
        };
        let page = self.walk_uploads(bucket.id, &walk).await?;
        let last = page.last.filter(|_| page.truncated);
        let uploads = page.uploads.into_iter().map(|upload| listed(upload, url_encoded));
        Ok(UploadList {
            prefix: encoded(&walk.prefix, url_encoded),
            delimiter: delimiter.map(|delimiter| encoded(&delimiter, url_encoded)),
            key_marker: encoded(&key_marker, url_encoded),
            upload_id_marker: id_text,
            next_key_marker: last.as_ref().map(|(key, _)| encoded(key, url_encoded)),
            next_upload_id_marker: last.and_then(|(_, id)| id).map(|id| id.to_string()),
            uploads_max,
            url_encoded,
            truncated: page.truncated,
            uploads: uploads.collect(),
            common_prefixes: page
                .common_prefixes
                .iter()
                .map(|prefix| encoded(prefix, url_encoded))
                .collect(),
        })
    }

    /// Goes through the uploads and rolls them up, until the page is full and one more is seen.
    /// The store has no delimiter for uploads: they are few.
    async fn walk_uploads(&self, bucket: BucketId, walk: &Walk) -> Result<Walked, S3Failure> {
        let mut page = Walked::default();
        if walk.entries_max == 0 || walk.prefix.len() > Key::BYTES_MAX {
            return Ok(page);
        }
        let (mut key, mut id) = (walk.start.clone(), walk.start_id);
        loop {
            let (uploads, more) =
                self.store.uploads(bucket, &walk.prefix, &key, id, UPLOADS_PAGE).await?;
            let Some(last) = uploads.last() else { return Ok(page) };
            (key, id) = (last.key.as_str().to_owned(), Some(last.upload));
            for upload in uploads {
                if !page.take(walk, upload) {
                    page.truncated = true;
                    return Ok(page);
                }
            }
            if !more {
                return Ok(page);
            }
        }
    }
}

/// What to list of the uploads.
struct Walk {
    prefix: String,
    delimiter: String,
    start: String,
    start_id: Option<UploadId>,
    entries_max: usize,
}

/// What was listed so far.
#[derive(Default)]
struct Walked {
    uploads: Vec<UploadInfo>,
    common_prefixes: Vec<String>,
    truncated: bool,
    /// The last entry: its key and id, or a common prefix without one.
    last: Option<(String, Option<UploadId>)>,
}

impl Walked {
    /// Takes the upload up; false when the page has no room for it.
    fn take(&mut self, walk: &Walk, upload: UploadInfo) -> bool {
        let full = self.uploads.len() + self.common_prefixes.len() >= walk.entries_max;
        let key = upload.key.as_str();
        let Some(prefix) = common_prefix(key, &walk.prefix, &walk.delimiter) else {
            if !full {
                self.last = Some((key.to_owned(), Some(upload.upload)));
                self.uploads.push(upload);
            }
            return !full;
        };
        // Shown by this page already, or by the one that ended with the marker.
        if self.common_prefixes.last().is_some_and(|last| last == prefix)
            || prefix <= walk.start.as_str()
        {
            return true;
        }
        if !full {
            self.last = Some((prefix.to_owned(), None));
            self.common_prefixes.push(prefix.to_owned());
        }
        !full
    }
}

fn invalid(message: &str) -> S3Failure {
    S3Failure::with_message(ErrorCode::InvalidArgument, message)
}

/// A part number marker, not below zero.
fn limit_marker(marker: i64) -> Result<u64, S3Failure> {
    u64::try_from(marker).map_err(|_| {
        invalid("Argument part-number-marker must be an integer between 0 and 2147483647")
    })
}

fn shown_checksum(checksum: Option<(ChecksumKind, bool)>) -> Option<(ChecksumKind, ChecksumType)> {
    checksum.map(|(kind, composite)| {
        (kind, if composite { ChecksumType::Composite } else { ChecksumType::FullObject })
    })
}

fn listed(upload: UploadInfo, url_encoded: bool) -> ListedUpload {
    ListedUpload {
        key: encoded(upload.key.as_str(), url_encoded),
        upload_id: upload.upload.to_string(),
        initiated_ms: upload.created_ms,
        checksum: shown_checksum(upload.checksum),
        storage_class: names::storage_class(&upload.attributes),
    }
}

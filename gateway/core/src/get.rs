//! `GetObject` and `HeadObject`.
//!
//! Invariant: conditions are judged before ranges, as RFC 9110, section 13.2.2, orders.

use crate::api::{ContentRange, Gateway, GetObject, ObjectBody, ObjectHead};
use crate::conditions;
use crate::digest;
use crate::failure::{ErrorCode, S3Failure};
use crate::names;
use crate::objects::{Object, Objects};
use crate::range::{self, Asked};
use std::ops::Range;
use std::rc::Rc;

impl<S: Objects> Gateway<S> {
    /// `GetObject`.
    ///
    /// # Errors
    /// `NoSuchKey`, `NotModified`, `PreconditionFailed`, `InvalidRange`, or the store's.
    pub async fn get_object(&self, request: GetObject) -> Result<ObjectBody<S::Body>, S3Failure> {
        let (object, head, range) = self.locate(&request).await?;
        let body =
            if range.is_empty() { None } else { Some(self.store.read(&object, range).await?) };
        Ok(ObjectBody { head, body })
    }

    /// `HeadObject`: what `get_object` answers, without the body.
    ///
    /// # Errors
    /// As `get_object`.
    pub async fn head_object(&self, request: GetObject) -> Result<ObjectHead, S3Failure> {
        let (_, head, _) = self.locate(&request).await?;
        Ok(head)
    }

    /// Finds the object, judges the conditions, and cuts the range.
    async fn locate(
        &self,
        request: &GetObject,
    ) -> Result<(Object, ObjectHead, Range<u64>), S3Failure> {
        if request.range.is_some() && request.part_number.is_some() {
            return Err(S3Failure::with_message(
                ErrorCode::InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        let part = request.part_number.map(names::part_number).transpose()?;
        let object = self.store.find(bucket.id, &key).await?;
        conditions::check_read(&request.conditions, &object.info)?;
        let size_bytes = object.info.size_bytes;
        let asked = match (part, &request.range) {
            (Some(number), _) => match self.store.part_range(&object, number).await? {
                Some(range) => Asked::Bytes(range),
                None => return Err(S3Failure::new(ErrorCode::InvalidPartNumber)),
            },
            (None, Some(header)) => range::asked(header, size_bytes),
            (None, None) => Asked::Whole,
        };
        let (range, content_range) = match asked {
            Asked::Whole => (0..size_bytes, None),
            Asked::Bytes(range) => {
                let content = content_range(&range, size_bytes);
                (range, content)
            }
            Asked::Unsatisfiable => return Err(range::unsatisfiable(size_bytes)),
        };
        let part_count = object.info.part_count;
        let checksums = if request.checksum_mode && content_range.is_none() {
            let texts = object.info.checksums.iter();
            texts.map(|checksum| digest::text_of(checksum, part_count)).collect()
        } else {
            Vec::new()
        };
        let head = ObjectHead {
            info: Rc::clone(&object.info),
            content_length: range.end - range.start,
            content_range,
            partial: content_range.is_some(),
            parts_count: (part.is_some() && part_count > 0).then_some(part_count),
            checksums,
        };
        Ok((object, head, range))
    }
}

/// `None` for an empty part: it has no last byte to name.
fn content_range(range: &Range<u64>, size_bytes: u64) -> Option<ContentRange> {
    let last = range.end.checked_sub(1).filter(|last| *last >= range.start)?;
    Some(ContentRange { first: range.start, last, size_bytes })
}

//! Every error of the store and of a body on its way in, as S3 says it. The only such table.

use crate::api::BodyError;
use crate::failure::{ErrorCode, S3Failure};
use crate::objects::StoreError;

/// What is unavailable while reads go on; the code alone does not tell.
const READS_ONLY: &str =
    "Too few drives are in sync for writes; reads go on. Bring drives back or replace them.";

impl From<StoreError> for S3Failure {
    fn from(error: StoreError) -> Self {
        // No wildcard: a new error of the store must be given its code here.
        Self::new(match error {
            StoreError::ReadsOnly => {
                return Self::with_message(ErrorCode::ServiceUnavailable, READS_ONLY);
            }
            StoreError::NoSuchKey => ErrorCode::NoSuchKey,
            StoreError::NoSuchBucket => ErrorCode::NoSuchBucket,
            StoreError::BucketExists => ErrorCode::BucketAlreadyOwnedByYou,
            StoreError::BucketNotEmpty => ErrorCode::BucketNotEmpty,
            StoreError::NoSuchUpload => ErrorCode::NoSuchUpload,
            StoreError::InvalidPart => ErrorCode::InvalidPart,
            StoreError::ConditionFailed => ErrorCode::PreconditionFailed,
            StoreError::ConditionConflict => ErrorCode::ConditionalRequestConflict,
            StoreError::Busy => ErrorCode::SlowDown,
            StoreError::Full => ErrorCode::XMinioStorageFull,
            StoreError::Unavailable | StoreError::Shutdown => ErrorCode::ServiceUnavailable,
            StoreError::WrongLength => ErrorCode::IncompleteBody,
            StoreError::TooSlow => ErrorCode::RequestTimeout,
        })
    }
}

impl From<BodyError> for S3Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Closed => Self::new(ErrorCode::IncompleteBody),
            BodyError::TimedOut => Self::new(ErrorCode::RequestTimeout),
            BodyError::Refused(failure) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_store_have_their_status() {
        for (error, code, status) in [
            (StoreError::NoSuchKey, "NoSuchKey", 404),
            (StoreError::NoSuchBucket, "NoSuchBucket", 404),
            (StoreError::BucketExists, "BucketAlreadyOwnedByYou", 409),
            (StoreError::BucketNotEmpty, "BucketNotEmpty", 409),
            (StoreError::NoSuchUpload, "NoSuchUpload", 404),
            (StoreError::InvalidPart, "InvalidPart", 400),
            (StoreError::ConditionFailed, "PreconditionFailed", 412),
            (StoreError::ConditionConflict, "ConditionalRequestConflict", 409),
            (StoreError::Busy, "SlowDown", 503),
            (StoreError::Full, "XMinioStorageFull", 507),
            (StoreError::Unavailable, "ServiceUnavailable", 503),
            (StoreError::ReadsOnly, "ServiceUnavailable", 503),
            (StoreError::Shutdown, "ServiceUnavailable", 503),
            (StoreError::WrongLength, "IncompleteBody", 400),
            (StoreError::TooSlow, "RequestTimeout", 400),
        ] {
            let failure = S3Failure::from(error);
            assert_eq!((failure.code.as_str(), failure.code.status()), (code, status));
        }
    }

    #[test]
    fn a_write_while_reads_go_on_is_told_so() {
        assert!(S3Failure::from(StoreError::ReadsOnly).message.contains("reads go on"));
    }

    #[test]
    fn a_front_ends_own_refusal_passes_unchanged() {
        let refusal = S3Failure::with_message(ErrorCode::SignatureDoesNotMatch, "chunk 3");
        assert_eq!(S3Failure::from(BodyError::Refused(refusal.clone())), refusal);
        assert_eq!(S3Failure::from(BodyError::Closed).code, ErrorCode::IncompleteBody);
        assert_eq!(S3Failure::from(BodyError::TimedOut).code, ErrorCode::RequestTimeout);
    }
}

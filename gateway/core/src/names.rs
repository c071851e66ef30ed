//! Names and numbers that clients choose: buckets, keys, upload ids, part numbers, metadata.
//!
//! Sources: S3 user guide, "General purpose bucket naming rules", "Naming Amazon S3 objects",
//! "Working with object metadata", "Amazon S3 multipart upload limits".

use crate::encoding::from_hex_16;
use crate::failure::{ErrorCode, S3Failure};
use engine_types::{Attribute, AttributeKind, Key, KeyError, PartNumber, UploadId};

/// Names and values of all user metadata together, in bytes.
const USER_METADATA_BYTES_MAX: usize = 2048;

const RESERVED_PREFIXES: [&str; 2] = ["xn--", "sthree-"];
const RESERVED_SUFFIXES: [&str; 4] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3"];

/// Whether a bucket may have this name.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| letter_or_digit(*byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(|byte| letter_or_digit(*byte))
        && bytes.last().is_some_and(|byte| letter_or_digit(*byte))
        && !name.contains("..")
        && !is_like_ip(name)
        && !RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !RESERVED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn is_like_ip(name: &str) -> bool {
    let all_digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.').count() == 4 && name.split('.').all(all_digits)
}

/// The key, or why it is none.
pub(crate) fn key(text: &str) -> Result<Key, S3Failure> {
    Key::new(text).map_err(|error| match error {
        KeyError::TooLong => S3Failure::new(ErrorCode::KeyTooLongError),
        KeyError::Empty | KeyError::NotUtf8 => {
            S3Failure::with_message(ErrorCode::InvalidArgument, "The key is not valid.")
        }
    })
}

/// The upload, or that there is none: text that is no id names no upload.
pub(crate) fn upload_id(text: &str) -> Result<UploadId, S3Failure> {
    match from_hex_16(text) {
        Some(id) => Ok(UploadId(id)),
        None => Err(S3Failure::new(ErrorCode::NoSuchUpload)),
    }
}

/// The part number, or that it lies outside its bounds.
pub(crate) fn part_number(number: i64) -> Result<PartNumber, S3Failure> {
    u16::try_from(number).ok().and_then(PartNumber::new).ok_or_else(|| {
        S3Failure::with_message(
            ErrorCode::InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive",
        )
    })
}

/// Refuses more user metadata than S3 keeps.
pub(crate) fn check_attributes(attributes: &[Attribute]) -> Result<(), S3Failure> {
    let user_bytes: usize = attributes
        .iter()
        .filter(|attribute| attribute.kind == AttributeKind::UserMetadata)
        .map(|attribute| attribute.name.len() + attribute.value.len())
        .sum();
    if user_bytes > USER_METADATA_BYTES_MAX {
        return Err(S3Failure::new(ErrorCode::MetadataTooLarge));
    }
    Ok(())
}

/// The storage class a listing shows.
pub(crate) fn storage_class(attributes: &[Attribute]) -> String {
    attributes
        .iter()
        .find(|attribute| attribute.kind == AttributeKind::StorageClass)
        .map_or_else(|| "STANDARD".to_owned(), |attribute| attribute.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_keep_the_rules() {
        let longest = "b".repeat(63);
        for name in ["abc", "a-b.c", "0bucket9", "1.2.3.4.5", "192.168.5.x", longest.as_str()] {
            assert!(is_bucket_name(name), "{name}");
        }
        let too_long = "b".repeat(64);
        for name in [
            "",
            "ab",
            "Abc",
            "a_b",
            "a..b",
            ".abc",
            "abc.",
            "-abc",
            "abc-",
            "192.168.5.4",
            "xn--abc",
            "sthree-abc",
            "abc-s3alias",
            "abc--ol-s3",
            "b\u{fc}cket",
            too_long.as_str(),
        ] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }

    #[test]
    fn keys_uploads_and_parts_are_refused_with_their_codes() {
        assert_eq!(key(&"k".repeat(1025)).unwrap_err().code, ErrorCode::KeyTooLongError);
        assert_eq!(key("").unwrap_err().code, ErrorCode::InvalidArgument);
        assert!(key(&"k".repeat(1024)).is_ok());
        let id = UploadId([7; 16]);
        assert_eq!(upload_id(&id.to_string()), Ok(id));
        for text in ["", "07", "zz", &"+7".repeat(16), &"07".repeat(17)] {
            assert_eq!(upload_id(text).unwrap_err().code, ErrorCode::NoSuchUpload);
        }
        for number in [-1, 0, 10_001, 65_537] {
            assert_eq!(part_number(number).unwrap_err().code, ErrorCode::InvalidArgument);
        }
        assert_eq!(part_number(10_000).map(PartNumber::get), Ok(10_000));
    }

    #[test]
    fn user_metadata_is_limited_and_other_headers_are_not() {
        let of = |kind, bytes: usize| Attribute {
            kind,
            name: "name".to_owned(),
            value: "v".repeat(bytes - 4),
        };
        assert!(check_attributes(&[of(AttributeKind::UserMetadata, 2048)]).is_ok());
        assert!(check_attributes(&[of(AttributeKind::ContentType, 4096)]).is_ok());
        let two = [of(AttributeKind::UserMetadata, 2000), of(AttributeKind::UserMetadata, 49)];
        assert_eq!(check_attributes(&two).unwrap_err().code, ErrorCode::MetadataTooLarge);
    }
}

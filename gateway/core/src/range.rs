//! `Range` of a read and `x-amz-copy-source-range` of a part copy.
//!
//! Invariant: a range that comes out lies within the object and is not empty.
//! Sources: RFC 9110, section 14; S3 API reference, "GetObject" and "UploadPartCopy".

use crate::failure::{ErrorCode, S3Failure};
use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it: no header, one that is malformed, or several ranges (S3 ignores those).
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// Bytes that the object does not have.
    Unsatisfiable,
}

/// A number in digits only. One that no integer holds is beyond every object anyway.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

fn spec(header: &str) -> Option<&str> {
    let (unit, spec) = header.trim().split_once('=')?;
    unit.eq_ignore_ascii_case("bytes").then_some(spec)
}

/// Judges a `Range` header against the size of the object.
pub(crate) fn asked(header: &str, size_bytes: u64) -> Asked {
    // A list of ranges has a comma in it, so it is no number on either side: whole.
    let Some((first, last)) = spec(header).and_then(|spec| spec.split_once('-')) else {
        return Asked::Whole;
    };
    if first.is_empty() {
        let Some(suffix) = number(last) else { return Asked::Whole };
        if suffix == 0 || size_bytes == 0 {
            return Asked::Unsatisfiable;
        }
        return Asked::Bytes(size_bytes.saturating_sub(suffix)..size_bytes);
    }
    let Some(first) = number(first) else { return Asked::Whole };
    let end = if last.is_empty() {
        size_bytes
    } else {
        match number(last) {
            Some(last) if last >= first => last.saturating_add(1).min(size_bytes),
            _ => return Asked::Whole,
        }
    };
    if first >= size_bytes { Asked::Unsatisfiable } else { Asked::Bytes(first..end) }
}

/// The answer to `Asked::Unsatisfiable`.
pub(crate) fn unsatisfiable(size_bytes: u64) -> S3Failure {
    S3Failure::new(ErrorCode::InvalidRange).header("content-range", format!("bytes */{size_bytes}"))
}

/// Reads `x-amz-copy-source-range`: exactly `bytes=first-last`, all within the source.
pub(crate) fn copy_source(header: &str, size_bytes: u64) -> Result<Range<u64>, S3Failure> {
    let bounds = header
        .strip_prefix("bytes=")
        .and_then(|spec| spec.split_once('-'))
        .and_then(|(first, last)| Some((number(first)?, number(last)?)))
        .filter(|(first, last)| first <= last);
    let Some((first, last)) = bounds else {
        return Err(S3Failure::with_message(
            ErrorCode::InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
        ));
    };
    if last >= size_bytes {
        return Err(S3Failure::with_message(
            ErrorCode::InvalidRange,
            format!("Range specified is not valid for source object of size: {size_bytes}"),
        ));
    }
    Ok(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_object() {
        for (header, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-99", 2..10),
            ("bytes=7-", 7..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            ("Bytes=9-9 ", 9..10),
            ("bytes=0-99999999999999999999999", 0..10),
        ] {
            assert_eq!(asked(header, 10), Asked::Bytes(range), "{header}");
        }
    }

    #[test]
    fn ranges_beyond_the_object_are_unsatisfiable() {
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(asked(header, 10), Asked::Unsatisfiable, "{header}");
        }
        assert_eq!(asked("bytes=0-", 0), Asked::Unsatisfiable);
        assert_eq!(asked("bytes=-1", 0), Asked::Unsatisfiable);
        let failure = unsatisfiable(10);
        assert_eq!(failure.code.status(), 416);
        assert_eq!(failure.headers, [("content-range", "bytes */10".to_owned())]);
    }

    #[test]
    fn malformed_and_multiple_ranges_are_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=+1-2",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=0-1, -1",
            "bytes=0x1-2",
        ] {
            assert_eq!(asked(header, 10), Asked::Whole, "{header}");
        }
    }

    #[test]
    fn copy_source_ranges_are_strict() {
        assert_eq!(copy_source("bytes=0-9", 10), Ok(0..10));
        assert_eq!(copy_source("bytes=3-3", 10), Ok(3..4));
        for header in
            ["0-2", "bytes=0", "bytes=x-y", "bytes=0-", "bytes=-2", "bytes=5-2", "bytes=0-2,3-5"]
        {
            let failure = copy_source(header, 10).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidArgument, "{header}");
        }
        for header in ["bytes=0-10", "bytes=99999999999999999999999-99999999999999999999999"] {
            assert_eq!(copy_source(header, 10).unwrap_err().code, ErrorCode::InvalidRange);
        }
    }
}

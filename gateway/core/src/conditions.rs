//! Conditional requests: which conditions are judged, in which order, and with what answer.
//!
//! Invariants: dates have whole seconds, so times are compared in those; a date that cannot be
//! read is ignored; an ETag condition makes the date condition of the same sense be ignored.
//! Sources: RFC 9110, sections 13.1 and 13.2.2; S3 API reference, "GetObject" and "CopyObject".

use crate::api::{ReadConditions, WriteConditions};
use crate::date;
use crate::failure::{ErrorCode, S3Failure};
use engine_types::{AttributeKind, Condition, ObjectInfo};

/// What the conditions of a read say.
enum Verdict {
    Holds,
    /// `If-Match` or `If-Unmodified-Since` does not hold.
    Failed(&'static str),
    /// `If-None-Match` or `If-Modified-Since` does not hold.
    NotModified(&'static str),
}

fn judge(conditions: &ReadConditions, info: &ObjectInfo) -> Verdict {
    let modified = info.modified_ms / 1000;
    let date_of = |header: &Option<String>| header.as_deref().and_then(date::parse);
    if let Some(header) = &conditions.if_match {
        if !names_etag(header, &info.etag, Comparison::Strong) {
            return Verdict::Failed("If-Match");
        }
    } else if date_of(&conditions.if_unmodified_since).is_some_and(|date| modified > date) {
        return Verdict::Failed("If-Unmodified-Since");
    }
    if let Some(header) = &conditions.if_none_match {
        if names_etag(header, &info.etag, Comparison::Weak) {
            return Verdict::NotModified("If-None-Match");
        }
    } else if date_of(&conditions.if_modified_since).is_some_and(|date| modified <= date) {
        return Verdict::NotModified("If-Modified-Since");
    }
    Verdict::Holds
}

/// Judges the conditions of GET and HEAD: 412, 304 or go on.
pub(crate) fn check_read(conditions: &ReadConditions, info: &ObjectInfo) -> Result<(), S3Failure> {
    match judge(conditions, info) {
        Verdict::Holds => Ok(()),
        Verdict::Failed(_) => Err(S3Failure::new(ErrorCode::PreconditionFailed)),
        Verdict::NotModified(_) => Err(not_modified(info)),
    }
}

/// Judges the conditions on the source of a copy: any that does not hold is a 412.
pub(crate) fn check_copy_source(
    conditions: &ReadConditions,
    info: &ObjectInfo,
) -> Result<(), S3Failure> {
    match judge(conditions, info) {
        Verdict::Holds => Ok(()),
        Verdict::Failed(header) | Verdict::NotModified(header) => Err(S3Failure::with_message(
            ErrorCode::PreconditionFailed,
            format!("x-amz-copy-source-{} does not hold.", header.to_ascii_lowercase()),
        )),
    }
}

/// A 304 carries what a cache refreshes its entry with.
fn not_modified(info: &ObjectInfo) -> S3Failure {
    let mut failure = S3Failure::new(ErrorCode::NotModified)
        .header("etag", format!("\"{}\"", info.etag))
        .header("last-modified", date::format(info.modified_ms));
    for attribute in &info.attributes {
        let name = match attribute.kind {
            AttributeKind::CacheControl => "cache-control",
            AttributeKind::Expires => "expires",
            _ => continue,
        };
        failure = failure.header(name, attribute.value.clone());
    }
    failure
}

/// The condition of a write, for the key's owner to judge as it commits.
pub(crate) fn of_write(conditions: &WriteConditions) -> Result<Condition, S3Failure> {
    match (&conditions.if_match, &conditions.if_none_match) {
        (None, None) => Ok(Condition::None),
        (Some(header), None) => Ok(Condition::Matches(one_etag(header)?)),
        (None, Some(header)) if header.trim() == "*" => Ok(Condition::Absent),
        _ => Err(S3Failure::new(ErrorCode::NotImplemented)),
    }
}

/// The one ETag (or `*`) a write's `If-Match` has. A weak one stays as written: the store compares
/// with ETags that have no `W/`, so it never matches.
fn one_etag(header: &str) -> Result<String, S3Failure> {
    let header = header.trim();
    if header.is_empty() || header.contains(',') {
        return Err(S3Failure::new(ErrorCode::NotImplemented));
    }
    Ok(unquoted(header).to_owned())
}

/// The ETag without the quotes around it.
pub(crate) fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak ETag matches nothing.
    Strong,
    /// `W/` is not looked at.
    Weak,
}

/// Whether the header names this ETag or is `*`. Clients also send an ETag without its quotes.
/// ETags of this server hold neither commas nor quotes, so splitting at commas loses none.
fn names_etag(header: &str, etag: &str, comparison: Comparison) -> bool {
    header.split(',').map(str::trim).any(|named| {
        let named = match named.strip_prefix("W/") {
            Some(_) if comparison == Comparison::Strong => return false,
            Some(weak) => weak,
            None => named,
        };
        named == "*" || unquoted(named) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED_MS: u64 = 784_111_777_500;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn info() -> ObjectInfo {
        ObjectInfo {
            size_bytes: 1,
            modified_ms: MODIFIED_MS,
            etag: "aa".to_owned(),
            checksums: Vec::new(),
            attributes: Vec::new(),
            part_count: 0,
        }
    }

    fn conditions(headers: [Option<&str>; 4]) -> ReadConditions {
        let [if_match, if_none_match, if_modified_since, if_unmodified_since] =
            headers.map(|header| header.map(str::to_owned));
        ReadConditions { if_match, if_none_match, if_modified_since, if_unmodified_since }
    }

    /// The status of a read and of a copy with these conditions; 200 for going on.
    fn statuses(headers: [Option<&str>; 4]) -> (u16, u16) {
        let status =
            |result: Result<(), S3Failure>| result.map_or_else(|f| f.code.status(), |()| 200);
        let conditions = conditions(headers);
        (status(check_read(&conditions, &info())), status(check_copy_source(&conditions, &info())))
    }

    #[test]
    fn each_condition_alone() {
        assert_eq!(statuses([None; 4]), (200, 200));
        assert_eq!(statuses([Some("\"aa\""), None, None, None]), (200, 200));
        assert_eq!(statuses([Some("\"bb\""), None, None, None]), (412, 412));
        assert_eq!(statuses([None, Some("\"aa\""), None, None]), (304, 412));
        assert_eq!(statuses([None, Some("\"bb\""), None, None]), (200, 200));
        assert_eq!(statuses([None, None, Some(BEFORE), None]), (200, 200));
        assert_eq!(statuses([None, None, Some(SAME), None]), (304, 412));
        assert_eq!(statuses([None, None, None, Some(BEFORE)]), (412, 412));
        assert_eq!(statuses([None, None, None, Some(SAME)]), (200, 200));
    }

    #[test]
    fn etags_go_before_dates() {
        assert_eq!(statuses([Some("aa"), None, None, Some(BEFORE)]), (200, 200));
        assert_eq!(statuses([Some("bb"), None, None, Some(SAME)]), (412, 412));
        assert_eq!(statuses([None, Some("aa"), Some(BEFORE), None]), (304, 412));
        assert_eq!(statuses([None, Some("bb"), Some(SAME), None]), (200, 200));
        assert_eq!(statuses([Some("bb"), Some("aa"), None, None]), (412, 412));
        assert_eq!(statuses([Some("aa"), Some("aa"), None, None]), (304, 412));
    }

    #[test]
    fn dates_that_are_none_are_ignored() {
        assert_eq!(statuses([None, None, Some("soon"), None]), (200, 200));
        assert_eq!(statuses([None, None, None, Some("soon")]), (200, 200));
    }

    #[test]
    fn etag_lists_stars_and_weak_etags() {
        for header in ["*", "\"aa\"", "aa", "\"b\", \"aa\"", "\"b\",\"aa\",\"c\"", " \"aa\" "] {
            assert!(names_etag(header, "aa", Comparison::Strong), "{header}");
            assert!(names_etag(header, "aa", Comparison::Weak), "{header}");
        }
        for header in ["", "\"a\"", "\"aaa\"", "\"b\", \"c\""] {
            assert!(!names_etag(header, "aa", Comparison::Strong), "{header}");
            assert!(!names_etag(header, "aa", Comparison::Weak), "{header}");
        }
        assert!(!names_etag("W/\"aa\"", "aa", Comparison::Strong));
        assert!(names_etag("W/\"aa\"", "aa", Comparison::Weak));
    }

    #[test]
    fn a_304_carries_what_caches_need() {
        let mut info = info();
        info.attributes.push(engine_types::Attribute {
            kind: AttributeKind::CacheControl,
            name: String::new(),
            value: "max-age=1".to_owned(),
        });
        let failure = check_read(&conditions([None, Some("*"), None, None]), &info).unwrap_err();
        assert_eq!(
            failure.headers,
            [
                ("etag", "\"aa\"".to_owned()),
                ("last-modified", SAME.to_owned()),
                ("cache-control", "max-age=1".to_owned()),
            ]
        );
    }

    #[test]
    fn writes_take_one_etag_or_a_star() {
        let of = |if_match: Option<&str>, if_none_match: Option<&str>| {
            of_write(&WriteConditions {
                if_match: if_match.map(str::to_owned),
                if_none_match: if_none_match.map(str::to_owned),
            })
        };
        assert_eq!(of(None, None), Ok(Condition::None));
        assert_eq!(of(None, Some("*")), Ok(Condition::Absent));
        assert_eq!(of(Some("\"aa\""), None), Ok(Condition::Matches("aa".to_owned())));
        assert_eq!(of(Some("*"), None), Ok(Condition::Matches("*".to_owned())));
        assert_eq!(of(Some("W/\"aa\""), None), Ok(Condition::Matches("W/\"aa\"".to_owned())));
        for refused in
            [of(None, Some("\"aa\"")), of(Some("aa, bb"), None), of(Some("aa"), Some("*"))]
        {
            assert_eq!(refused.unwrap_err().code, ErrorCode::NotImplemented);
        }
    }
}

//! A client's side of AWS Signature Version 4, in headers, chunks and trailers, so that mutated
//! requests are signed as they are. Source: S3 API reference, "Authenticating Requests".

use super::REGION;
use super::request::{percent_decoded, query_pairs};
use gateway_core::encoding::{hex, url};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::request::Parts;
use sha2::{Digest, Sha256};
use std::time::SystemTime;

pub(crate) const ACCESS: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "secret/key+example";
const HOST: &str = "localhost:9000";

/// Signs as of one second.
pub(crate) struct Signer {
    date: String,
}

impl Signer {
    pub(crate) fn now() -> Self {
        #[allow(clippy::disallowed_methods, reason = "s3s compares with the real clock")]
        let now = SystemTime::now();
        let past = now.duration_since(SystemTime::UNIX_EPOCH);
        Self { date: iso(past.map_or(0, |past| past.as_secs())) }
    }

    /// Gives a head what it lacks and signs it: the host and every `x-amz-*` header. Returns the
    /// signature.
    pub(crate) fn sign(&self, parts: &mut Parts, body: &[u8]) -> String {
        let hash = hex(&Sha256::digest(body));
        let length = body.len().to_string();
        let usual = [
            ("host", HOST),
            ("x-amz-date", self.date.as_str()),
            ("x-amz-content-sha256", hash.as_str()),
            ("content-length", length.as_str()),
        ];
        for (name, value) in usual {
            if !parts.headers.contains_key(name)
                && let Ok(value) = HeaderValue::from_str(value)
            {
                parts.headers.insert(name, value);
            }
        }
        let date = text(&parts.headers, "x-amz-date");
        let payload = text(&parts.headers, "x-amz-content-sha256");
        let (listed, signed) = canonical_headers(&parts.headers);
        let path = percent_decoded(parts.uri.path().as_bytes());
        let path = url(&String::from_utf8_lossy(&path));
        let query = canonical_query(parts.uri.query().unwrap_or_default());
        let canonical = format!("{}\n{path}\n{query}\n{listed}\n{signed}\n{payload}", parts.method);
        let signature = signature(&date, "", &hex(&Sha256::digest(canonical.as_bytes())));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS}/{}, SignedHeaders={signed}, \
             Signature={signature}",
            scope(&date)
        );
        if let Ok(value) = HeaderValue::from_str(&authorization) {
            parts.headers.insert(AUTHORIZATION, value);
        }
        signature
    }

    /// The signature of a chunk behind the one before.
    pub(crate) fn chunk(&self, previous: &str, data: &[u8]) -> String {
        let nothing = hex(&Sha256::digest(b""));
        let hashes = format!("{previous}\n{nothing}\n{}", hex(&Sha256::digest(data)));
        signature(&self.date, "-PAYLOAD", &hashes)
    }

    /// The signature of trailers behind the last chunk.
    pub(crate) fn trailers(&self, previous: &str, canonical: &[u8]) -> String {
        let hashes = format!("{previous}\n{}", hex(&Sha256::digest(canonical)));
        signature(&self.date, "-TRAILER", &hashes)
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// The headers as they are signed, and the list of their names.
fn canonical_headers(headers: &HeaderMap) -> (String, String) {
    let names = headers.keys().map(HeaderName::as_str);
    let mut names: Vec<&str> =
        names.filter(|name| *name == "host" || name.starts_with("x-amz-")).collect();
    names.sort_unstable();
    let mut listed = String::new();
    for name in &names {
        let values = headers.get_all(*name).iter();
        let texts = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let texts: Vec<String> = texts.map(plain).collect();
        if !texts.is_empty() {
            listed.push_str(&format!("{name}:{}\n", texts.join(",")));
        }
    }
    (listed, names.join(";"))
}

fn canonical_query(query: &str) -> String {
    let encoded = |text: &str| url(text).replace('/', "%2F");
    let mut pairs = query_pairs(query);
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    let mut encoded: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
    encoded.sort_by(|one, other| one.0.cmp(&other.0));
    let pairs: Vec<String> =
        encoded.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn day(date: &str) -> &str {
    date.get(..8).unwrap_or(date)
}

fn scope(date: &str) -> String {
    format!("{}/{REGION}/s3/aws4_request", day(date))
}

/// The signature of what was hashed, under this kind of the algorithm.
fn signature(date: &str, kind: &str, hashes: &str) -> String {
    let mut key = hmac(format!("AWS4{SECRET}").as_bytes(), day(date).as_bytes());
    for part in [REGION, "s3", "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signed = format!("AWS4-HMAC-SHA256{kind}\n{date}\n{}\n{hashes}", scope(date));
    hex(&hmac(&key, signed.as_bytes()))
}

/// The key is shorter than a block of the hash.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let sum = |pad: u8, text: &[u8]| -> [u8; 32] {
        let padded = block.map(|byte| byte ^ pad);
        let mut sum = Sha256::new();
        sum.update(padded);
        sum.update(text);
        sum.finalize().into()
    };
    let inner = sum(0x36, text);
    sum(0x5c, &inner)
}

/// `YYYYMMDDTHHMMSSZ`. A year begins in March here, so that a leap day ends it.
fn iso(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era + year_of_era / 100 - 365 * year_of_era - year_of_era / 4;
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year_of_era + next;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_core::date;

    #[test]
    fn the_clock_is_right_over_the_leap_rules() {
        assert_eq!(iso(0), "19700101T000000Z");
        assert_eq!(iso(951_827_696), "20000229T123456Z");
        for day in 0..171_700_u64 {
            let seconds = day * 86_400 + 45_296;
            assert_eq!(date::parse_signed(&iso(seconds)), Some(seconds));
        }
    }

    #[test]
    fn the_hash_of_a_known_key_is_known() {
        // RFC 4231, test case 2.
        let sum = hmac(b"Jefe", b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&sum), expected);
    }
}

//! AWS Signature Version 4 with cached keys.
//!
//! Source: "Signature Version 4 signing process" and "Transferring payload in multiple chunks" of
//! the Amazon S3 API reference. The signing key of a day is derived once and kept as the two
//! SHA-256 states of its HMAC, so that a signature costs three short hashes.

use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The hash of an empty payload, in hexadecimal.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A hash in hexadecimal.
pub type Hex = [u8; 64];

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8; 32]) -> Hex {
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// The SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> Hex {
    hex(&Sha256::digest(bytes).into())
}

/// HMAC-SHA-256 under one key.
#[derive(Clone)]
struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    fn new(key: &[u8]) -> Self {
        let mut block = [0_u8; 64];
        if key.len() > block.len() {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let (mut inner, mut outer) = (Sha256::new(), Sha256::new());
        inner.update(block.map(|byte| byte ^ 0x36));
        outer.update(block.map(|byte| byte ^ 0x5c));
        Self { inner, outer }
    }

    fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        outer.finalize().into()
    }
}

/// The HMAC-SHA-256 of some parts, one behind the other.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    Hmac::new(key).sign(parts)
}

/// Who signs, and for where.
#[derive(Clone)]
pub struct Credentials {
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
    /// What goes with temporary keys.
    pub session_token: Option<String>,
    /// The region the server expects.
    pub region: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Credentials of {:?} in {:?}", self.access_key, self.region)
    }
}

/// A request as far as it is signed.
pub struct Signed<'a> {
    /// GET, PUT and so on.
    pub method: &'a str,
    /// Path, percent-encoded as it is sent.
    pub path: &'a [u8],
    /// Query, encoded and sorted; empty where there is none.
    pub query: &'a [u8],
    /// Headers beside `host` and `x-amz-date`: lower-case names with trimmed values, sorted by
    /// name. `x-amz-content-sha256` is among them.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What `x-amz-content-sha256` says.
    pub payload: &'a [u8],
}

/// What signatures of one second are made with.
#[derive(Clone)]
struct Stamp {
    /// `20261130T083834Z`, and the day of it.
    date: String,
    day: String,
    scope: String,
    key: Hmac,
}

/// Signs the chunks of one body, each from the one before it. They carry the time of their request,
/// however long the body takes.
#[derive(Clone)]
pub struct ChunkSigner {
    stamp: Arc<Stamp>,
    previous: Hex,
}

impl ChunkSigner {
    /// The signature of the next chunk.
    pub fn sign(&mut self, data: &[u8]) -> Hex {
        let hash = sha256_hex(data);
        self.previous = hex(&self.stamp.key.sign(&[
            b"AWS4-HMAC-SHA256-PAYLOAD\n",
            self.stamp.date.as_bytes(),
            b"\n",
            self.stamp.scope.as_bytes(),
            b"\n",
            &self.previous,
            b"\n",
            EMPTY_SHA256.as_bytes(),
            b"\n",
            &hash,
        ]));
        self.previous
    }
}

/// Signs requests of one thread. Time is told by the caller, now and then.
pub struct Signer {
    credentials: Credentials,
    host: String,
    second: Option<u64>,
    stamp: Arc<Stamp>,
    token: Option<Arc<[u8]>>,
    canonical: Vec<u8>,
    names: Vec<u8>,
}

impl Signer {
    /// A signer for a host (`name:port` as the Host header says).
    #[must_use]
    pub fn new(credentials: Credentials, host: &str, unix_seconds: u64) -> Self {
        let mut signer = Self {
            token: credentials.session_token.as_deref().map(|token| token.as_bytes().into()),
            credentials,
            host: host.to_owned(),
            second: None,
            stamp: Arc::new(Stamp {
                date: String::new(),
                day: String::new(),
                scope: String::new(),
                key: Hmac::new(b""),
            }),
            canonical: Vec::new(),
            names: Vec::new(),
        };
        signer.set_time(unix_seconds);
        signer
    }

    /// From now on requests carry this time.
    pub fn set_time(&mut self, unix_seconds: u64) {
        if self.second == Some(unix_seconds) {
            return;
        }
        self.second = Some(unix_seconds);
        // Bodies under way keep the stamp that they began with.
        let stamp = Arc::make_mut(&mut self.stamp);
        stamp.date = amz_date(unix_seconds);
        if stamp.day != stamp.date[..8] {
            stamp.day = stamp.date[..8].to_owned();
            let region = &self.credentials.region;
            stamp.scope = format!("{}/{region}/s3/aws4_request", stamp.day);
            let secret = format!("AWS4{}", self.credentials.secret_key);
            let mut key = Hmac::new(secret.as_bytes());
            for part in [stamp.day.as_str(), region, "s3", "aws4_request"] {
                key = Hmac::new(&key.sign(&[part.as_bytes()]));
            }
            stamp.key = key;
        }
    }

    /// The time requests carry, as `x-amz-date` says it.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.stamp.date
    }

    /// What goes with temporary keys. Shared, so that it can be used while the signer signs.
    #[must_use]
    pub fn session_token(&self) -> Option<Arc<[u8]>> {
        self.token.clone()
    }

    /// Appends `Authorization`'s value to a head; gives the signature, which chunks go on from.
    pub fn authorize(&mut self, request: &Signed<'_>, head: &mut Vec<u8>) -> Hex {
        self.write_canonical(request);
        let hash = sha256_hex(&self.canonical);
        let signature = hex(&self.stamp.key.sign(&[
            b"AWS4-HMAC-SHA256\n",
            self.stamp.date.as_bytes(),
            b"\n",
            self.stamp.scope.as_bytes(),
            b"\n",
            &hash,
        ]));
        for part in [
            b"AWS4-HMAC-SHA256 Credential=".as_slice(),
            self.credentials.access_key.as_bytes(),
            b"/",
            self.stamp.scope.as_bytes(),
            b", SignedHeaders=",
            &self.names,
            b", Signature=",
            &signature,
        ] {
            head.extend_from_slice(part);
        }
        signature
    }

    /// Signs the chunks of the request that was signed last, and whose signature this is.
    #[must_use]
    pub fn chunks(&self, signature: Hex) -> ChunkSigner {
        ChunkSigner { stamp: Arc::clone(&self.stamp), previous: signature }
    }

    fn write_canonical(&mut self, request: &Signed<'_>) {
        let (canonical, names) = (&mut self.canonical, &mut self.names);
        canonical.clear();
        names.clear();
        for part in [request.method.as_bytes(), b"\n", request.path, b"\n", request.query, b"\n"] {
            canonical.extend_from_slice(part);
        }
        let mut add = |name: &str, value: &[u8]| {
            if !names.is_empty() {
                names.push(b';');
            }
            names.extend_from_slice(name.as_bytes());
            for part in [name.as_bytes(), b":", value, b"\n"] {
                canonical.extend_from_slice(part);
            }
        };
        // `host` and `x-amz-date` go where they sort.
        let mut own = [("host", self.host.as_bytes()), ("x-amz-date", self.stamp.date.as_bytes())]
            .into_iter()
            .peekable();
        for (name, value) in request.headers {
            while let Some((own_name, own_value)) = own.next_if(|(own, _)| own < name) {
                add(own_name, own_value);
            }
            add(name, value);
        }
        for (name, value) in own {
            add(name, value);
        }
        for part in [b"\n".as_slice(), names, b"\n", request.payload] {
            canonical.extend_from_slice(part);
        }
    }
}

/// A time as `x-amz-date` says it: `20261130T083834Z`.
#[must_use]
pub fn amz_date(unix_seconds: u64) -> String {
    let (days, rest) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let (mut year, mut left) = (1970, days);
    let is_leap = |year: u64| {
        (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
    };
    loop {
        let days_in_year = if is_leap(year) { 366 } else { 365 };
        if left < days_in_year {
            break;
        }
        left -= days_in_year;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for days_in_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days_in_month {
            break;
        }
        left -= days_in_month;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;

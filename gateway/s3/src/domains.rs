//! Which bucket and key a request names, by its host and its path.
//!
//! Invariant: `Place::of` and s3s come to the same bucket and key, because s3s asks `Domains` for the
//! bucket in the host, and both split the same decoded path.

use crate::query::percent_decode;
use http::header::HOST;
use http::request::Parts;
use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};
use std::net::{IpAddr, SocketAddr};

/// A name in the configuration is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a domain name: {0:?}")]
pub struct DomainError(pub String);

/// The domains below which a label names a bucket (`bucket.s3.example.com`).
///
/// A host outside of them is path-style: unlike with s3s's own parsers, adding a domain does not
/// break clients that use another name of this server.
#[derive(Debug, Clone, Default)]
pub struct Domains {
    names: Vec<String>,
}

impl Domains {
    /// Checks the names; a port is not part of a name. The longest match counts.
    ///
    /// # Errors
    /// `DomainError` names the first that is no domain name.
    pub fn new(names: &[String]) -> Result<Self, DomainError> {
        let mut checked: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let label_ok = |label: &str| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                !label.is_empty() && label.bytes().all(plain)
            };
            if !name.split('.').all(label_ok) || name.parse::<IpAddr>().is_ok() {
                return Err(DomainError(name.clone()));
            }
            checked.push(name.to_ascii_lowercase());
        }
        checked.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Ok(Self { names: checked })
    }

    /// The bucket that the host names.
    fn bucket_of(&self, host: &str) -> Option<String> {
        if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
            return None;
        }
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        for domain in &self.names {
            if name == *domain {
                return None;
            }
            let bucket = name.strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
            if let Some(bucket) = bucket.filter(|bucket| !bucket.is_empty()) {
                return Some(bucket.to_owned());
            }
        }
        None
    }
}

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match self.bucket_of(host) {
            Some(bucket) => VirtualHost::new(host).with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}

/// What kind of resource a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The list of buckets.
    Root,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What kind of resource.
    pub scope: Scope,
    /// Whether the host names the bucket.
    pub virtual_host: bool,
    /// The bucket's name, decoded but not checked; empty at the root.
    pub bucket: String,
    /// The object's key, decoded; empty if it names none.
    pub key: String,
}

impl Place {
    /// Reads the host and the path. `None`: the path is not UTF-8, which s3s refuses.
    #[must_use]
    pub fn of(parts: &Parts, domains: &Domains) -> Option<Self> {
        let path = percent_decode(parts.uri.path())?;
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host_bucket = domains.bucket_of(host);
        let virtual_host = host_bucket.is_some();
        let rest = path.strip_prefix('/')?;
        let (bucket, key) = match host_bucket {
            Some(bucket) => (bucket, rest.to_owned()),
            None => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                (bucket.to_owned(), key.to_owned())
            }
        };
        let scope = if !key.is_empty() {
            Scope::Object
        } else if virtual_host || !rest.is_empty() {
            Scope::Bucket
        } else {
            Scope::Root
        };
        Some(Self { scope, virtual_host, bucket, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, path: &str) -> Place {
        let names = ["s3.Example.com".to_owned(), "example.com".to_owned()];
        let domains = Domains::new(&names).unwrap();
        let request = http::Request::builder().uri(path).header(HOST, host).body(()).unwrap();
        Place::of(&request.into_parts().0, &domains).unwrap()
    }

    #[test]
    fn places() {
        let cases = [
            ("localhost:9000", "/", Scope::Root, false),
            ("localhost:9000", "/b", Scope::Bucket, false),
            ("localhost:9000", "/b/", Scope::Bucket, false),
            ("localhost:9000", "/b/k", Scope::Object, false),
            ("localhost:9000", "/b//", Scope::Object, false),
            ("s3.example.com", "/b/k", Scope::Object, false),
            ("S3.example.com:9000", "/", Scope::Root, false),
            ("b.s3.example.com:9000", "/", Scope::Bucket, true),
            ("b.s3.example.com", "/k", Scope::Object, true),
            ("b.c.Example.COM", "/k/", Scope::Object, true),
            ("127.0.0.1:9000", "/b/k", Scope::Object, false),
            ("[::1]:9000", "/b", Scope::Bucket, false),
        ];
        for (host, path, scope, virtual_host) in cases {
            let found = place(host, path);
            assert_eq!((found.scope, found.virtual_host), (scope, virtual_host), "{host} {path}");
        }
    }

    #[test]
    fn buckets_and_keys() {
        let cases = [
            ("localhost", "/", "", ""),
            ("localhost", "/b/", "b", ""),
            ("localhost", "/b/k/%C3%A9+%2F", "b", "k/\u{e9}+/"),
            ("localhost", "/b//", "b", "/"),
            ("B.example.com", "/", "b", ""),
            ("b.example.com", "/k/l", "b", "k/l"),
            ("b.example.com", "//", "b", "/"),
        ];
        for (host, path, bucket, key) in cases {
            let found = place(host, path);
            assert_eq!((found.bucket.as_str(), found.key.as_str()), (bucket, key), "{host} {path}");
        }
    }

    #[test]
    fn the_longest_domain_names_the_bucket() {
        let domains = Domains::new(&["a.b".to_owned(), "x.a.b".to_owned()]).unwrap();
        assert_eq!(domains.bucket_of("Bucket.x.a.b:80").as_deref(), Some("bucket"));
        assert_eq!(domains.bucket_of("y.a.b").as_deref(), Some("y"));
        assert_eq!(domains.bucket_of("x.a.b"), None);
        assert_eq!(domains.bucket_of("xa.b"), None);
        for bad in ["", "a..b", "a_b.c", "10.0.0.1", "a.b:80"] {
            assert!(Domains::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}

//! TLS below a client's connections: who is trusted, and the session of one lane.
//!
//! Invariants: all connections to a server share one configuration, so that a session is resumed on
//! whichever lane it was made; a session does no I/O, its lane carries its bytes; buffers are kept
//! from one connection of a lane to the next; only the server's word ends a stream well.
//! Absent: certificates of clients, and early data, which a server may be given twice.

use crate::client::ExchangeError;
use crate::response::ResponseError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, InvalidMessage,
    RootCertStore, SignatureScheme,
};
use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use thiserror::Error;

/// The one protocol that is spoken inside.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why TLS cannot be spoken as it was asked for.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The server's name.
    #[error("{0:?} is no name and no address that a certificate could be for")]
    Name(String),
    /// The text of further authorities.
    #[error("{0}")]
    Authorities(&'static str),
    /// Nobody is trusted.
    #[error("this machine knows no certificate authorities{0}")]
    Nobody(String),
    /// The library's own reasons.
    #[error("{}", in_plain_words(.0))]
    Refused(#[from] rustls::Error),
}

/// Whose certificates are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Those of the authorities that this machine knows, and of these: a text in PEM.
    Authorities(Option<&'a str>),
    /// Anybody's: nothing is checked.
    Anybody,
}

/// How TLS is spoken to one server.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// TLS with a server of this name or address, without port and brackets.
    ///
    /// # Errors
    /// Where that is neither, or there is nobody to trust.
    pub fn new(name: &str, trust: Trust<'_>) -> Result<Self, TlsError> {
        let server = ServerName::try_from(name).map_err(|_| TlsError::Name(name.to_owned()))?;
        let server = server.to_owned();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match trust {
            Trust::Authorities(more) => builder.with_root_certificates(roots(more)?),
            Trust::Anybody => {
                let verifier = Arc::new(Unchecked { schemes });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self { config: Arc::new(config), name: server })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tls with {:?}", self.name)
    }
}

/// The authorities of this machine, and more.
fn roots(more: Option<&str>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Of so many some are always too old to be read.
    roots.add_parsable_certificates(found.certs);
    if let Some(pem) = more {
        for certificate in certificates(pem)? {
            let added = roots.add(certificate);
            added.map_err(|_| TlsError::Authorities("a certificate in it cannot be read"))?;
        }
    }
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})"));
        return Err(TlsError::Nobody(why.unwrap_or_default()));
    }
    Ok(roots)
}

/// The certificates of a text in PEM.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|_| TlsError::Authorities("it is damaged, or no PEM"))?;
    if all.is_empty() {
        return Err(TlsError::Authorities("there is no certificate in it (PEM is expected)"));
    }
    Ok(all)
}

/// Believes whoever answers. A signature by a key that may be anybody's would prove nothing.
#[derive(Debug)]
struct Unchecked {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// The session of one lane: of its connection, while there is one.
#[derive(Default)]
pub(crate) struct Session {
    connection: Option<ClientConnection>,
    /// What is to be sent, as long as it is not sealed.
    pub(crate) plain: Vec<u8>,
    has_ended: bool,
}

impl Session {
    /// Begins anew, for a connection that is being made.
    pub(crate) fn begin(&mut self, tls: &Tls) -> Result<(), rustls::Error> {
        let mut connection = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone())?;
        // A piece of a body is sealed as a whole, and taken out at once.
        connection.set_buffer_limit(None);
        self.connection = Some(connection);
        self.has_ended = false;
        Ok(())
    }

    /// Whether nothing of a request may go out yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.is_handshaking())
    }

    /// Whether the server has said that nothing more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether another request may follow: all of the last one was sealed, and it would be read.
    pub(crate) fn is_open(&self) -> bool {
        self.plain.is_empty() && !self.has_ended
    }

    /// Appends what is to be sent: of TLS itself, and behind it what is waiting in `plain`.
    pub(crate) fn seal(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if !connection.is_handshaking() && !self.plain.is_empty() {
            connection.writer().write_all(&self.plain)?;
            self.plain.clear();
        }
        while connection.wants_write() {
            connection.write_tls(out)?;
        }
        Ok(())
    }

    /// Takes in what the server sent, and hands on what it says, piece by piece. What this makes
    /// to be sent is for the next `seal`.
    pub(crate) fn open(
        &mut self,
        mut input: &[u8],
        mut hand_on: impl FnMut(&[u8]) -> Result<(), ResponseError>,
    ) -> Result<(), ExchangeError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        // What follows the server's last word is not for anybody.
        while !input.is_empty() && !self.has_ended {
            if connection.read_tls(&mut input).map_err(ExchangeError::Broken)? == 0 {
                break;
            }
            let state = connection.process_new_packets()?;
            self.has_ended = state.peer_has_closed();
            let mut reader = connection.reader();
            loop {
                let length = match reader.fill_buf() {
                    Ok(bytes) if !bytes.is_empty() => {
                        hand_on(bytes)?;
                        bytes.len()
                    }
                    // Nothing is left; whether more can come `has_ended` says.
                    _ => break,
                };
                reader.consume(length);
            }
        }
        Ok(())
    }

    /// Ends it; gives the last words for the server: what was wrong, or that it is over.
    pub(crate) fn end(&mut self) -> &[u8] {
        self.plain.clear();
        if let Some(mut connection) = self.connection.take() {
            connection.send_close_notify();
            while connection.wants_write() && connection.write_tls(&mut self.plain).is_ok() {}
        }
        &self.plain
    }
}

/// What is wrong, as a person would say it.
pub(crate) fn in_plain_words(error: &rustls::Error) -> String {
    let said = match error {
        rustls::Error::InvalidCertificate(why) => return certificate_in_plain_words(why),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what the server sends is no TLS (is it a listener without?)"
        }
        rustls::Error::NoCertificatesPresented => "the server has no certificate",
        rustls::Error::AlertReceived(alert) => return format!("the server refuses: {alert:?}"),
        rustls::Error::PeerIncompatible(why) => {
            return format!("the server speaks TLS in no way that is spoken here: {why:?}");
        }
        other => return other.to_string(),
    };
    said.to_owned()
}

fn certificate_in_plain_words(why: &CertificateError) -> String {
    let said = match why {
        CertificateError::UnknownIssuer => {
            "is not trusted: it was signed by no authority that is known here or was given"
        }
        CertificateError::NotValidForName => "is for another name",
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            let expected = expected.to_str();
            return format!("the server's certificate is for {names}, and not for {expected}");
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet (do the clocks agree?)"
        }
        CertificateError::Revoked => "was revoked",
        // A cause of its own in the library below, which has no name here.
        CertificateError::Other(_) if format!("{why:?}").contains("CaUsedAsEndEntity") => {
            "is that of an authority itself; a server needs one of its own, signed by it"
        }
        other => return format!("the server's certificate is not accepted: {other:?}"),
    };
    format!("the server's certificate {said}")
}

/// `localhost` of `DnsName("localhost")`, as certificates' names are told.
fn bare(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_can_be_in_certificates() {
        for name in ["localhost", "s3.example.org", "127.0.0.1", "::1"] {
            assert!(Tls::new(name, Trust::Anybody).is_ok(), "{name}");
        }
        for name in ["", "a b", "[::1]", "localhost:9000", "300.0.0.1"] {
            let message = Tls::new(name, Trust::Anybody).unwrap_err().to_string();
            assert!(message.contains("certificate"), "{name}: {message}");
        }
    }

    #[test]
    fn authorities_are_certificates_in_pem() {
        let authority = include_str!("../tests/tls/authority.pem");
        assert_eq!(certificates(&format!("a note\n{authority}{authority}")).unwrap().len(), 2);
        assert!(Tls::new("localhost", Trust::Authorities(Some(authority))).is_ok());
        let cut = &authority[..authority.len() / 2];
        let no_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for text in ["", "no PEM at all\n", cut, no_certificate] {
            let error = Tls::new("localhost", Trust::Authorities(Some(text))).unwrap_err();
            assert!(matches!(error, TlsError::Authorities(_)), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_plain_words() {
        let expected = ServerName::try_from("example.org").unwrap();
        let presented =
            vec!["DnsName(\"localhost\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()];
        let of_another = CertificateError::NotValidForNameContext { expected, presented };
        for (error, said) in [
            (rustls::Error::from(CertificateError::UnknownIssuer), "not trusted"),
            (of_another.into(), "for localhost, 127.0.0.1, and not for example.org"),
            (CertificateError::Expired.into(), "has expired"),
            (rustls::Error::NoCertificatesPresented, "has no certificate"),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), "no TLS"),
        ] {
            let message = in_plain_words(&error);
            assert!(message.contains(said), "{error:?}: {message}");
        }
    }
}

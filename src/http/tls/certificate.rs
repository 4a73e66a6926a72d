//! A certificate with its key: how it is read, and until when it is good.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::domain::time::Timestamp;

/// A certificate, the chain to its authority and its private key, which fit together.
pub struct Certificate {
    pub key: Arc<CertifiedKey>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Why something is no certificate that can be served.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{place} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate { place: String },
    #[error("{place} holds no private key in PEM without a passphrase (-----BEGIN PRIVATE KEY-----)")]
    NoKey { place: String },
    #[error("the certificate in {certificate} is not for the private key in {key}")]
    WrongPair { certificate: String, key: String },
    #[error("the certificate in {place} cannot be used: {why}")]
    Unusable { place: String, why: String },
}

impl Certificate {
    /// Reads the certificate with its chain, and the key, from the texts of PEM files. The places are for errors.
    pub fn read((chain, chain_place): (&[u8], &str), (key, key_place): (&[u8], &str)) -> Result<Self, BadCertificate> {
        let place = || chain_place.to_owned();
        let unusable = |why: String| BadCertificate::Unusable { place: place(), why };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, pem::Error>>()
            .map_err(|_| BadCertificate::NoCertificate { place: place() })?;
        let Some(first) = chain.first() else { return Err(BadCertificate::NoCertificate { place: place() }) };
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|_| BadCertificate::NoKey { place: key_place.to_owned() })?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|error| unusable(error.to_string()))?;
        let (not_before, not_after) = (moment(parsed.validity().not_before), moment(parsed.validity().not_after));
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                BadCertificate::WrongPair { certificate: place(), key: key_place.to_owned() }
            }
            error => unusable(error.to_string()),
        })?;
        Ok(Self { key: Arc::new(key), not_before, not_after })
    }

    /// Whether a client that asked for this name would accept it, as far as names go: `*.example.com` is for `a.example.com`.
    pub fn is_for(&self, name: &str) -> bool {
        let leaf = self.key.end_entity_cert().and_then(ParsedCertificate::try_from);
        let name = ServerName::try_from(name);
        leaf.ok().zip(name.ok()).is_some_and(|(leaf, name)| verify_server_name(&leaf, &name).is_ok())
    }

    pub fn lifetime(&self) -> Duration {
        self.not_after.since(self.not_before)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} … {})", self.not_before, self.not_after)
    }
}

fn moment(time: ASN1Time) -> Timestamp {
    Timestamp::from_millis(time.timestamp().saturating_mul(1000))
}

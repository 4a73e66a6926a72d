//! A certificate of the operator's own: two files that somebody else renews.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{error, info};
use zeroize::Zeroizing;

use super::{BadCertificate, Certificate, Certificates};
use crate::clock::Clock;

/// How often the files are compared with what was read last. SIGHUP looks at once.
pub const FILES_LOOKED_AT_EVERY: Duration = Duration::from_secs(60);

/// Where the certificate and its key are, and what was there last.
pub struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<Texts>,
}

#[derive(PartialEq, Eq)]
struct Texts {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl CertificateFiles {
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key, seen: None }
    }

    /// Reads the pair; None: it is what was seen last, good or bad.
    pub fn look(&mut self) -> Option<Result<Certificate, BadCertificate>> {
        let texts = match self.texts() {
            Ok(texts) => texts,
            Err(error) => {
                // It is told each time: a file that is gone is nothing to get used to.
                self.seen = None;
                return Some(Err(error));
            }
        };
        if self.seen.as_ref() == Some(&texts) {
            return None;
        }
        let place = |path: &Path| path.display().to_string();
        let read = Certificate::read((&texts.certificate, &place(&self.certificate)), (&texts.key, &place(&self.key)));
        self.seen = Some(texts);
        Some(read)
    }

    fn texts(&self) -> Result<Texts, BadCertificate> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| BadCertificate::Unreadable { path: path.to_owned(), error })
        };
        Ok(Texts { certificate: read(&self.certificate)?, key: Zeroizing::new(read(&self.key)?) })
    }

    /// Serves what the files hold, for as long as this is awaited. A bad pair leaves the one before in use.
    pub async fn keep(&mut self, certificates: &Certificates, clock: &Clock, look_now: &Notify) {
        loop {
            _ = tokio::time::timeout(FILES_LOOKED_AT_EVERY, look_now.notified()).await;
            match self.look() {
                Some(Ok(certificate)) => {
                    let ends = certificate.not_after;
                    certificates.replace(None, certificate);
                    info!(%ends, "HTTPS has its certificate, read anew");
                    certificates.warn_of_expiry(clock.now());
                }
                Some(Err(error)) => error!(%error, "the certificate of HTTPS stays the one before"),
                None => {}
            }
        }
    }
}

//! What is kept of ACME, for each authority by itself: the account, the certificates, and what failed last.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::authority::OrderError;
use super::{BadCertificate, Certificate};
use crate::domain::time::Timestamp;
use crate::store::write_private;

const ACCOUNT_FILE: &str = "account.json";

pub(super) struct Folder(PathBuf);

/// The orders for a name that failed, since one did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    pub failures: u32,
    pub again_at: Timestamp,
}

/// [`Tried`] in its file.
#[derive(Serialize, Deserialize)]
struct TriedText {
    failures: u32,
    /// RFC 3339.
    again_at: String,
}

impl Folder {
    /// A staging authority's certificate is no certificate of the real one: each has a folder below, named by its URL.
    pub fn new(folder: PathBuf, directory: &str) -> Self {
        let url = directory.trim_start_matches("https://");
        let name: String = url.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        Self(folder.join(name))
    }

    /// None: there is none yet, or none that can be read; another costs nothing.
    pub fn account(&self) -> Option<AccountCredentials> {
        let text = Zeroizing::new(fs::read(self.0.join(ACCOUNT_FILE)).ok()?);
        serde_json::from_slice(&text).ok()
    }

    pub fn keep_account(&self, credentials: &AccountCredentials) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec(credentials)?);
        self.write(&self.0.join(ACCOUNT_FILE), &text)
    }

    fn certificate_file(&self, domain: &str) -> PathBuf {
        self.0.join(format!("{domain}.pem"))
    }

    pub fn certificate(&self, domain: &str) -> Result<Option<Certificate>, BadCertificate> {
        let path = self.certificate_file(domain);
        match fs::read(&path).map(Zeroizing::new) {
            Ok(pem) => self.read(domain, &pem).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BadCertificate::Unreadable { path, error }),
        }
    }

    fn read(&self, domain: &str, pem: &[u8]) -> Result<Certificate, BadCertificate> {
        let place = self.certificate_file(domain).display().to_string();
        let certificate = Certificate::read((pem, &place), (pem, &place))?;
        if certificate.is_for(domain) {
            Ok(certificate)
        } else {
            Err(BadCertificate::Unusable { place, why: format!("it is not for {domain}") })
        }
    }

    /// Keeps the key and the chain after it in one file, so that they are never of two certificates.
    pub fn keep(&self, domain: &str, pem: &[u8]) -> Result<Certificate, OrderError> {
        let certificate = self.read(domain, pem)?;
        self.write(&self.certificate_file(domain), pem).map_err(OrderError::NotKept)?;
        // What is left of it only makes the next failure's wait longer.
        _ = fs::remove_file(self.tried_file(domain));
        Ok(certificate)
    }

    pub fn tried_file(&self, domain: &str) -> PathBuf {
        self.0.join(format!("{domain}.failed"))
    }

    pub fn tried(&self, domain: &str) -> Option<Tried> {
        let TriedText { failures, again_at } = serde_json::from_slice(&fs::read(self.tried_file(domain)).ok()?).ok()?;
        Some(Tried { failures, again_at: again_at.parse().ok()? })
    }

    pub fn note(&self, domain: &str, tried: Tried) -> io::Result<()> {
        let Tried { failures, again_at } = tried;
        let text = serde_json::to_vec(&TriedText { failures, again_at: again_at.to_string() })?;
        self.write(&self.tried_file(domain), &text)
    }

    /// Replaces a file as a whole: after a crash it is the one before or this one.
    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let new = path.with_added_extension("new");
        write_private(&new, text)?;
        fs::rename(&new, path)?;
        File::open(&self.0)?.sync_all()
    }
}

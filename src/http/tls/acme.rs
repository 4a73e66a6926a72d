//! Certificates by ACME (RFC 8555): ordered, kept in files, renewed.
//!
//! An order is one for one name, so that a name that does not lead here keeps no other from its certificate.

mod authority;
mod folder;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::{error, info, warn};

use super::challenges::Challenges;
use super::schedule::{next_order_after, renewal_at, retry_at};
use super::{BadCertificate, Certificate, Certificates};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use authority::{Authority, OrderError};
use folder::Folder;
pub use folder::Tried;

/// The certificates are looked at again at least so often: the clock of a machine can jump.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(60 * 60);
/// An order that is not done after this time has failed.
const ORDER_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Who makes certificates, for which names, and where they are kept.
#[derive(Debug, Clone)]
pub struct Acme {
    /// `https://acme-v02.api.letsencrypt.org/directory`
    pub directory: String,
    /// The authority writes there when something is wrong with the account.
    pub contact: Option<String>,
    /// A file of root certificates (PEM) that are trusted besides the usual ones when talking to the authority.
    pub root: Option<PathBuf>,
    pub domains: Vec<String>,
    /// Made when there is something to keep.
    pub folder: PathBuf,
}

/// What the folder holds for a domain.
#[derive(Debug)]
pub struct KeptCertificate {
    pub domain: String,
    /// None: there is none yet.
    pub certificate: Result<Option<Certificate>, BadCertificate>,
    pub tried: Option<Tried>,
}

impl Acme {
    /// What a keeper would begin with: one for each domain.
    pub fn kept(&self) -> Vec<KeptCertificate> {
        let folder = Folder::new(self.folder.clone(), &self.directory);
        let of_domain = |domain: &String| KeptCertificate {
            domain: domain.clone(),
            certificate: folder.certificate(domain),
            tried: folder.tried(domain),
        };
        self.domains.iter().map(of_domain).collect()
    }
}

/// Sees to it that each domain has a certificate.
pub struct Keeper {
    authority: Authority,
    folder: Folder,
    certificates: Arc<Certificates>,
    clock: Clock,
    chance: StdRng,
    domains: Vec<Domain>,
}

struct Domain {
    name: String,
    /// Failures in a row.
    failures: u32,
    order_at: Timestamp,
}

impl Keeper {
    /// Takes what the folder holds into use; nothing is asked of anybody yet.
    ///
    /// Fails on a root that is none.
    pub fn new(
        acme: Acme,
        certificates: Arc<Certificates>,
        challenges: Challenges,
        clock: Clock,
        seed: u64,
    ) -> Result<Self, BadCertificate> {
        let Acme { directory, contact, root, domains, folder } = acme;
        let roots = root.map(|root| read_roots(&root)).transpose()?.unwrap_or_default();
        let folder = Folder::new(folder, &directory);
        let authority = Authority::new(directory, contact, roots, challenges)
            .map_err(|error| BadCertificate::Unusable { place: "--acme-ca-root".to_owned(), why: error.to_string() })?;
        let domains = domains.into_iter().map(|name| Domain { name, failures: 0, order_at: Timestamp::MIN }).collect();
        let chance = StdRng::seed_from_u64(seed);
        let mut keeper = Self { authority, folder, certificates, clock, chance, domains };
        keeper.take_what_is_there();
        Ok(keeper)
    }

    fn take_what_is_there(&mut self) {
        let chance = &mut self.chance;
        for domain in &mut self.domains {
            match self.folder.certificate(&domain.name) {
                Ok(Some(certificate)) => {
                    domain.order_at = renewal_at(certificate.not_before, certificate.not_after, chance.random());
                    info!(domain = domain.name, ends = %certificate.not_after, "HTTPS has its certificate");
                    self.certificates.replace(Some(&domain.name), certificate);
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(domain = domain.name, %error, "the kept certificate is of no use; another is ordered")
                }
            }
            // Who starts it again and again asks no more often than who lets it run.
            if let Some(Tried { failures, again_at }) = self.folder.tried(&domain.name) {
                domain.failures = failures;
                domain.order_at = domain.order_at.max(again_at);
                if again_at > self.clock.now() {
                    let file = self.folder.tried_file(&domain.name);
                    warn!(
                        domain = domain.name, failures, %again_at,
                        "the last order of a certificate failed; to order at once remove {} and start again", file.display()
                    );
                }
            }
        }
    }

    /// Orders what is due and says how long nothing will be.
    pub async fn step(&mut self) -> Duration {
        for at in 0..self.domains.len() {
            if self.domains[at].order_at <= self.clock.now() {
                self.order(at).await;
            }
        }
        let now = self.clock.now();
        let next = self.domains.iter().map(|domain| domain.order_at.since(now)).min();
        next.unwrap_or(LOOKED_AT_EVERY).min(LOOKED_AT_EVERY)
    }

    /// Goes on for as long as it is awaited.
    pub async fn keep(&mut self) {
        loop {
            let wait = self.step().await;
            tokio::time::sleep(wait).await;
        }
    }

    async fn order(&mut self, at: usize) {
        let chance = self.chance.random();
        let domain = &mut self.domains[at];
        let name = domain.name.as_str();
        domain.failures += 1;
        domain.order_at = retry_at(self.clock.now(), domain.failures, false, chance);
        // Before the authority is asked: a process that dies over it has asked, too.
        let tried = Tried { failures: domain.failures, again_at: domain.order_at };
        if let Err(error) = self.folder.note(name, tried) {
            error!(domain = name, %error, "no certificate is ordered: its folder cannot be written");
            return;
        }
        let ordered = tokio::time::timeout(ORDER_WITHIN, self.authority.order(name, &self.folder)).await;
        match ordered.unwrap_or(Err(OrderError::TimedOut)).and_then(|pem| self.folder.keep(name, &pem)) {
            Ok(certificate) => {
                let renewal = renewal_at(certificate.not_before, certificate.not_after, chance);
                domain.failures = 0;
                domain.order_at = next_order_after(self.clock.now(), renewal);
                let ends = certificate.not_after;
                self.certificates.replace(Some(name), certificate);
                info!(
                    domain = name, %ends, renewal = %domain.order_at,
                    "HTTPS has a new certificate"
                );
            }
            Err(failure) => {
                if failure.is_rate_limit() {
                    domain.order_at = retry_at(self.clock.now(), domain.failures, true, chance);
                    let tried = Tried { failures: domain.failures, again_at: domain.order_at };
                    _ = self.folder.note(name, tried);
                }
                warn!(
                    domain = name, error = %failure, failures = domain.failures, again_at = %domain.order_at,
                    "no certificate came of the order"
                );
            }
        }
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let text = std::fs::read(path).map_err(|error| BadCertificate::Unreadable { path: path.to_owned(), error })?;
    let roots = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let none = || BadCertificate::NoCertificate { place: path.display().to_string() };
    roots.ok().filter(|roots| !roots.is_empty()).ok_or_else(none)
}

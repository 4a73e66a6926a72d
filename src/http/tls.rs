//! TLS of the own listener: which certificate is shown to whom, and until when each is good.

mod acme;
mod certificate;
mod challenges;
mod files;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::warn;

pub use acme::{Acme, Keeper, KeptCertificate, Tried};
pub use certificate::{BadCertificate, Certificate};
pub use challenges::{CHALLENGE_PATH, Challenges};
pub use files::CertificateFiles;

use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// From then on an operator is warned that nobody renewed.
pub const EXPIRY_WARNED_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Between two such warnings.
const EXPIRY_WARNED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The certificates that are served at the moment. Each is replaced as a whole, for the next handshake.
#[derive(Debug)]
pub enum Certificates {
    /// One of the operator's own: everybody gets it, whatever name was asked for.
    Own(ArcSwap<Certificate>),
    /// One for each configured domain, as soon as there is one.
    Domains(BTreeMap<String, ArcSwapOption<Certificate>>),
}

/// When a certificate begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// None: the operator's own.
    pub domain: Option<String>,
    pub begins: Timestamp,
    pub at: Timestamp,
}

impl Certificates {
    pub fn own(certificate: Certificate) -> Self {
        Self::Own(ArcSwap::from_pointee(certificate))
    }

    /// None of them is there yet.
    pub fn of_domains(domains: &[String]) -> Self {
        Self::Domains(domains.iter().map(|domain| (domain.clone(), ArcSwapOption::empty())).collect())
    }

    /// Serves this one from now on. A domain that is not configured is no domain of ours.
    pub fn replace(&self, domain: Option<&str>, certificate: Certificate) {
        match (self, domain) {
            (Self::Own(own), _) => own.store(Arc::new(certificate)),
            (Self::Domains(all), Some(domain)) => {
                if let Some(slot) = all.get(domain) {
                    slot.store(Some(Arc::new(certificate)));
                }
            }
            (Self::Domains(_), None) => {}
        }
    }

    fn of_domain(&self, domain: &str) -> Option<Arc<Certificate>> {
        match self {
            Self::Own(own) => Some(own.load_full()),
            Self::Domains(all) => all.get(domain)?.load_full(),
        }
    }

    /// Whether browsers may be led to `https://name`: it is configured, or the own certificate is for it.
    pub fn is_ours(&self, name: &str) -> bool {
        match self {
            Self::Own(own) => own.load().is_for(name),
            Self::Domains(all) => all.contains_key(name),
        }
    }

    /// Of every certificate that is there.
    pub fn expiries(&self) -> Vec<Expiry> {
        match self {
            Self::Own(own) => {
                let own = own.load();
                vec![Expiry { domain: None, begins: own.not_before, at: own.not_after }]
            }
            Self::Domains(all) => {
                let there = |(domain, slot): (&String, &ArcSwapOption<Certificate>)| {
                    let there = slot.load_full()?;
                    Some(Expiry { domain: Some(domain.clone()), begins: there.not_before, at: there.not_after })
                };
                all.iter().filter_map(there).collect()
            }
        }
    }

    /// Warns of certificates that end soon or have ended, once a day, for as long as this is awaited.
    pub async fn watch_expiry(&self, clock: &Clock) {
        loop {
            self.warn_of_expiry(clock.now());
            tokio::time::sleep(EXPIRY_WARNED_EVERY).await;
        }
    }

    fn warn_of_expiry(&self, now: Timestamp) {
        for Expiry { domain, begins: _, at } in self.expiries() {
            let domain = domain.as_deref().unwrap_or("of its file");
            if at <= now {
                warn!(domain, ended = %at, "the certificate of HTTPS has expired: clients refuse it");
            } else if at.since(now) <= EXPIRY_WARNED_BEFORE {
                warn!(domain, ends = %at, "the certificate of HTTPS ends soon and is not renewed yet");
            }
        }
    }

    fn resolve_name(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        match (self, name) {
            (Self::Own(own), _) => Some(own.load().key.clone()),
            // Another name's client would refuse ours; it is told at once.
            (Self::Domains(_), Some(name)) => Some(self.of_domain(&name.to_ascii_lowercase())?.key.clone()),
            // Who asks by address (a load balancer's probe, say) gets what there is.
            (Self::Domains(all), None) => all.values().find_map(|slot| Some(slot.load().as_ref()?.key.clone())),
        }
    }
}

#[derive(Debug)]
struct Resolver(Arc<Certificates>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.resolve_name(hello.server_name())
    }
}

/// TLS 1.2 and 1.3 with these certificates, for HTTP/2 and HTTP/1.1.
pub fn server_config(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers the cipher suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(certificates)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

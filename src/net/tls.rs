//! TLS towards others: the roots of Mozilla and of this machine, verification always on.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Has libraries that take the process's cryptography for TLS use the one that everything else here does.
pub fn use_one_cryptography() {
    // An error says that it was done before.
    _ = rustls::crypto::ring::default_provider().install_default();
}

/// The root certificates of this machine that can be used. Reads files.
pub fn native_roots() -> Vec<CertificateDer<'static>> {
    let all = rustls_native_certs::load_native_certs().certs;
    all.into_iter().filter(|root| RootCertStore::empty().add(root.clone()).is_ok()).collect()
}

/// Makes TLS connections. Reads the machine's roots at the first one, so that a start without deliveries costs nothing.
pub struct Tls {
    extra_roots: RootCertStore,
    /// What is offered to speak, the best first (ALPN).
    protocols: Vec<Vec<u8>>,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    /// Offers HTTP/2 and HTTP/1.1. Fails on a root that is no certificate.
    pub fn new(extra_roots: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        Self::with_protocols(extra_roots, &[b"h2", b"http/1.1"])
    }

    /// Fails on a root that is no certificate.
    pub fn with_protocols(
        extra_roots: Vec<CertificateDer<'static>>,
        protocols: &[&[u8]],
    ) -> Result<Self, rustls::Error> {
        let mut store = RootCertStore::empty();
        for root in extra_roots {
            store.add(root)?;
        }
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { extra_roots: store, protocols, connector: OnceCell::new() })
    }

    /// Verifies the certificate against `host`, a name or the text of an address.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(std::io::Error::other)?;
        let connector = self.connector.get_or_init(|| self.configured()).await;
        connector.connect(name, stream).await
    }

    async fn configured(&self) -> TlsConnector {
        let mut roots = self.extra_roots.clone();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // Reads files; a machine without a store of its own has Mozilla's roots.
        match tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await {
            Ok(native) => {
                for error in &native.errors {
                    tracing::warn!(%error, "a part of this machine's root certificates cannot be read");
                }
                roots.add_parsable_certificates(native.certs);
            }
            Err(error) => tracing::warn!(%error, "this machine's root certificates cannot be read"),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring offers the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.protocols.clone();
        TlsConnector::from(Arc::new(config))
    }
}

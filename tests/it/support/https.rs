//! Certificates of an authority of the test's own, and a client that trusts it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Makes certificates.
pub struct Issuer(CertifiedIssuer<'static, KeyPair>);

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    pub begins: OffsetDateTime,
    pub ends: OffsetDateTime,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Issuer {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// For these names, good for years.
    pub fn pair(&self, names: &[&str]) -> Pair {
        self.pair_with(names, None)
    }

    pub fn pair_with(&self, names: &[&str], life: Option<Life>) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("valid names");
        set_life(&mut params, life);
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// What was asked for, signed, in PEM; none when the request is not good.
    pub fn sign(&self, request: &[u8], life: Life) -> Option<String> {
        let mut request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request)).ok()?;
        set_life(&mut request.params, Some(life));
        Some(request.signed_by(&self.0).ok()?.pem())
    }

    /// The TLS side of a server with these names.
    pub fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(names).expect("valid names").signed_by(&key, &self.0);
        let chain = vec![certificate.expect("a certificate").der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
        TlsAcceptor::from(Arc::new(config))
    }
}

fn set_life(params: &mut CertificateParams, life: Option<Life>) {
    if let Some(Life { begins, ends }) = life {
        (params.not_before, params.not_after) = (begins, ends);
    }
}

/// What a server answered by TLS, and who it says to be.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: String,
    pub certificate: CertificateDer<'static>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().expect("ASCII")
    }
}

/// Asks `https://name` at an address, trusting one authority.
pub struct Asking<'a> {
    pub address: SocketAddr,
    pub name: &'a str,
    pub root: CertificateDer<'static>,
    pub version: Version,
}

impl Asking<'_> {
    /// Shakes hands.
    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a certificate");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let protocol: &[u8] = if self.version == Version::HTTP_2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(self.name.to_owned()).expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        Ok(stream)
    }

    pub async fn get(&self, path: &str) -> io::Result<Seen> {
        self.ask(Method::GET, path, &[], "").await
    }

    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Seen> {
        let stream = self.connect().await?;
        let certificates = stream.get_ref().1.peer_certificates().expect("it showed one");
        let certificate = certificates[0].clone().into_owned();
        let host = format!("{}:{}", self.name, self.address.port());
        // HTTP/2 says the host in the address.
        let uri = if self.version == Version::HTTP_2 { format!("https://{host}{path}") } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(uri);
        if self.version != Version::HTTP_2 {
            request = request.header("host", host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a valid request");
        let io = TokioIo::new(stream);
        let answer = if self.version == Version::HTTP_2 {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let (parts, body) = answer.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Seen {
            status: parts.status.as_u16(),
            version: parts.version,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            certificate,
        })
    }
}

/// Asks in the clear, as a browser that was given a name.
pub async fn ask_plainly(address: SocketAddr, host: &str, method: Method, path: &str) -> Seen {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", host).body(Full::new(Bytes::new()));
    let answer = sender.send_request(request.expect("a valid request")).await.expect("it answers");
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Seen {
        status: parts.status.as_u16(),
        version: parts.version,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        certificate: CertificateDer::from(Vec::new()),
    }
}

//! One request to a host that the operator names, made as deliveries are: the same names, roots and TLS. For `waxwing doctor`,
//! and for traces.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::tls::Tls;

/// To one address of the host.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// For the handshake, and again for the head of the answer.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);
/// Of a host with many addresses so many are tried.
const ADDRESSES_MAX: usize = 4;

/// What answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    pub status: u16,
    /// The header `Date`, as it came.
    pub date: Option<String>,
}

/// Where it ended.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// With the last address that was tried.
    #[error("{address}: {error}")]
    Connect { address: SocketAddr, error: io::Error },
    #[error("{0}")]
    Tls(io::Error),
    #[error("{0}")]
    Http(String),
}

/// The root certificates that servers are judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub of_this_machine: usize,
    /// Mozilla's, in this program.
    pub built_in: usize,
    /// What could not be read.
    pub errors: Vec<String>,
}

/// Reads the files that TLS connections begin with.
pub fn roots() -> Roots {
    let native = rustls_native_certs::load_native_certs();
    Roots {
        of_this_machine: native.certs.len(),
        built_in: webpki_roots::TLS_SERVER_ROOTS.len(),
        errors: native.errors.iter().map(ToString::to_string).collect(),
    }
}

/// Sends HEAD to an `https` URL whose host has these addresses. Addresses are not judged: who runs the program chose it.
pub async fn probe(url: &Url, addresses: &[IpAddr]) -> Result<Probed, ProbeError> {
    ask(url, addresses, Request::builder().method(Method::HEAD), Bytes::new()).await
}

/// Sends a JSON text to an `http` or `https` URL whose host has these addresses, which are not judged. Answers the status.
pub async fn post_json(url: &Url, addresses: &[IpAddr], body: String) -> Result<u16, ProbeError> {
    let request = Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "application/json");
    ask(url, addresses, request, body.into()).await.map(|probed| probed.status)
}

async fn ask(url: &Url, addresses: &[IpAddr], request: Builder, body: Bytes) -> Result<Probed, ProbeError> {
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let request = request
        .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, authority)
        .header(header::USER_AGENT, HeaderValue::from_static(concat!("waxwing/", env!("CARGO_PKG_VERSION"))))
        .body(Full::new(body))
        .map_err(|error| ProbeError::Http(error.to_string()))?;
    let stream = connect(addresses, url.port_or_known_default().unwrap_or(443)).await?;
    if url.scheme() != "https" {
        return exchange(stream, request).await;
    }
    let tls = Tls::with_protocols(Vec::new(), &[b"http/1.1"]).expect("no root of ours is wrong: there is none");
    let shaken = timeout(STEP_TIME_MAX, tls.connect(host, stream)).await;
    let stream = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(ProbeError::Tls)?;
    exchange(stream, request).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Probed, ProbeError> {
    let not_http = |error: hyper::Error| ProbeError::Http(error.to_string());
    let exchanged = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(not_http)?;
        // It ends with the answer, or when the sender is gone.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(not_http)?;
        let date = answer.headers().get(header::DATE).and_then(|value| value.to_str().ok());
        Ok(Probed { status: answer.status().as_u16(), date: date.map(str::to_owned) })
    };
    let exchanged = timeout(STEP_TIME_MAX, exchanged).await;
    exchanged.unwrap_or_else(|_| Err(ProbeError::Http("no answer came in time".to_owned())))
}

async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, ProbeError> {
    let mut failed = ProbeError::Http("the name has no address".to_owned());
    for ip in addresses.iter().take(ADDRESSES_MAX) {
        let address = SocketAddr::new(*ip, port);
        let connected = timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = ProbeError::Connect { address, error },
        }
    }
    Err(failed)
}

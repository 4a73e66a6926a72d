//! The other side of ACME: an account with an authority, and orders that it carries out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient, Identifier, NewAccount,
    NewOrder, OrderStatus, Problem, RetryPolicy,
};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::BadCertificate;
use super::folder::Folder;
use crate::http::tls::challenges::Challenges;
use crate::net::Tls;

/// One request to the authority, from the connection to the last byte of the answer.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// More is no answer of an authority: a chain of certificates has some thousand bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long an authority may take to look at a domain, and to sign. It is asked after 250 ms, 500 ms and so on.
const LOOKING_WITHIN: Duration = Duration::from_secs(90);
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
const NO_SUCH_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

pub(super) struct Authority {
    directory: String,
    contact: Option<String>,
    challenges: Challenges,
    line: Line,
    account: Option<Account>,
}

/// Why an order did not come to a certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("{0}")]
    Acme(#[from] Error),
    #[error("{}", refused(.0))]
    Refused(Option<Problem>),
    #[error("the authority offers no HTTP-01 challenge for this name")]
    NoChallenge,
    #[error("the authority took longer than all of it may take")]
    TimedOut,
    #[error("what came is no certificate for it: {0}")]
    Unusable(#[from] BadCertificate),
    #[error("what came cannot be written: {0}")]
    NotKept(io::Error),
}

impl OrderError {
    pub fn is_rate_limit(&self) -> bool {
        self.has_type(RATE_LIMITED)
    }

    fn has_type(&self, wanted: &str) -> bool {
        match self {
            Self::Acme(Error::Api(problem)) | Self::Refused(Some(problem)) => problem.r#type.as_deref() == Some(wanted),
            _ => false,
        }
    }
}

fn refused(problem: &Option<Problem>) -> String {
    let why = problem.as_ref().map_or_else(|| "it does not say why".to_owned(), ToString::to_string);
    format!("the authority does not see that the name leads here, to port 80: {why}")
}

impl Authority {
    /// Fails on a root that is no certificate.
    pub fn new(
        directory: String,
        contact: Option<String>,
        roots: Vec<CertificateDer<'static>>,
        challenges: Challenges,
    ) -> Result<Self, rustls::Error> {
        let line = Line(Arc::new(Tls::with_protocols(roots, &[b"http/1.1"])?));
        Ok(Self { directory, contact, challenges, line, account: None })
    }

    /// The private key and the chain, as PEM. An account that the authority has forgotten is made again, once.
    pub async fn order(&mut self, domain: &str, folder: &Folder) -> Result<Zeroizing<Vec<u8>>, OrderError> {
        let account = self.account(folder).await?;
        match self.order_by(&account, domain).await {
            Err(error) if error.has_type(NO_SUCH_ACCOUNT) => {
                let account = self.new_account(folder).await?;
                self.order_by(&account, domain).await
            }
            done => done,
        }
    }

    async fn account(&mut self, folder: &Folder) -> Result<Account, OrderError> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let Some(credentials) = folder.account() else { return self.new_account(folder).await };
        let account = Account::builder_with_http(Box::new(self.line.clone())).from_credentials(credentials).await?;
        Ok(self.account.insert(account).clone())
    }

    async fn new_account(&mut self, folder: &Folder) -> Result<Account, OrderError> {
        let contact: Option<String> = self.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(self.line.clone()));
        let (account, credentials) = builder.create(&new, self.directory.clone(), None).await?;
        folder.keep_account(&credentials).map_err(OrderError::NotKept)?;
        Ok(self.account.insert(account).clone())
    }

    async fn order_by(&self, account: &Account, domain: &str) -> Result<Zeroizing<Vec<u8>>, OrderError> {
        let names = [Identifier::Dns(domain.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let patience = RetryPolicy::new().timeout(LOOKING_WITHIN);
        // Answered until the order is over.
        let mut posted = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                _ => return Err(OrderError::Refused(None)),
            }
            let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or(OrderError::NoChallenge)?;
            posted.push(self.challenges.post(&challenge.token, challenge.key_authorization().as_str()));
            challenge.set_ready().await?;
        }
        if order.poll_ready(&patience).await? != OrderStatus::Ready {
            let mut authorizations = order.authorizations();
            let mut why = None;
            while let Some(authorization) = authorizations.next().await {
                let mut authorization = authorization?;
                let seen = authorization.refresh().await?;
                why = why.or_else(|| seen.challenges.iter().find_map(|challenge| challenge.error.clone()));
            }
            return Err(OrderError::Refused(why));
        }
        let key = Zeroizing::new(order.finalize().await?);
        let chain = order.poll_certificate(&patience).await?;
        Ok(Zeroizing::new([key.as_bytes(), b"\n", chain.as_bytes()].concat()))
    }
}

/// How the authority is talked to: a connection for each request. There are ten of them in an order, and few orders.
#[derive(Clone)]
struct Line(Arc<Tls>);

impl HttpClient for Line {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.0.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(REQUEST_WITHIN, ask(&tls, request)).await;
            let asked = asked.unwrap_or_else(|_| Err(io::Error::other("the authority does not answer in time")));
            asked.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

async fn ask(tls: &Tls, mut request: Request<BodyWrapper<Bytes>>) -> io::Result<BytesResponse> {
    let bad = |why: &'static str| io::Error::new(io::ErrorKind::InvalidInput, why);
    let uri = request.uri().clone();
    let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("https")) else {
        return Err(bad("an address of the authority does not begin with https://"));
    };
    let (host, port) = (authority.host(), authority.port_u16().unwrap_or(443));
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let stream = tls.connect(host, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with the answer, or when the sender is gone.
    tokio::spawn(connection);
    let host = authority.as_str().parse().map_err(|_| bad("an address of the authority has no host"))?;
    request.headers_mut().insert(header::HOST, host);
    *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(io::Error::other)?;
    let answer: Response<Incoming> = sender.send_request(request).await.map_err(io::Error::other)?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX);
    let body = http_body_util::BodyExt::collect(body).await.map_err(io::Error::other)?.to_bytes();
    Ok(BytesResponse { parts, body: Box::new(body) })
}

//! A real receiver on loopback: keeps what it got and answers as the test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::binary::PATIENCE;

/// One delivery as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub version: hyper::Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().expect("ASCII")
    }

    /// Panics unless a library that we did not write finds the signature good, now.
    pub fn verify(&self, secret: &str) {
        let webhook = standardwebhooks::Webhook::new(secret).expect("the secret is one");
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        webhook.verify(&self.body, &headers).expect("the signature is good");
    }
}

pub struct Receiver {
    pub address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Received>,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    /// Answers each request with the status that `answer` gives it.
    pub async fn start(answer: impl Fn(&Received) -> u16 + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    /// … and says this with each.
    pub async fn start_saying(body: Bytes, answer: impl Fn(&Received) -> u16 + Send + Sync + 'static) -> Self {
        Self::listen(None, body, answer).await
    }

    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Received) -> u16 + Send + Sync + 'static,
    ) -> Self {
        Self::listen(tls, Bytes::new(), answer).await
    }

    async fn listen(
        tls: Option<TlsAcceptor>,
        body: Bytes,
        answer: impl Fn(&Received) -> u16 + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (sender, arrived) = mpsc::unbounded_channel();
        let answer = Answer { body, status: Arc::new(answer) };
        let connections = Arc::new(AtomicUsize::new(0));
        let open = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, answer, tls) = (sender.clone(), answer.clone(), tls.clone());
                let counted = Counted::new(&open);
                tokio::spawn(async move {
                    let _counted = counted;
                    let _ = stream.set_nodelay(true);
                    match tls {
                        None => serve(stream, sender, answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, sender, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, arrived, connections }
    }

    /// How many senders are connected. When it is none, everything that they had sent was answered.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(PATIENCE, self.arrived.recv()).await.expect("a delivery arrives in time");
        next.expect("the receiver runs")
    }

    /// What has arrived and was not taken yet.
    pub fn drain(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }
}

/// One connection that is open.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What it answers.
#[derive(Clone)]
struct Answer {
    body: Bytes,
    status: Arc<dyn Fn(&Received) -> u16 + Send + Sync>,
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    sender: mpsc::UnboundedSender<Received>,
    answer: Answer,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (sender, answer) = (sender.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let received =
                Received { path: head.uri.path().to_owned(), version: head.version, headers: head.headers, body };
            // A test may hold an answer back: the other connections go on meanwhile.
            let status = tokio::task::block_in_place(|| (answer.status)(&received));
            let _ = sender.send(received);
            let body = if status == 204 { Bytes::new() } else { answer.body };
            let response = Response::builder().status(status).body(Full::new(body)).expect("a valid response");
            Ok::<_, Infallible>(response)
        }
    });
    // A sender that goes away ends the connection: that is no matter here.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

//! One open connection to a judged address, HTTP/1.1 or HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::guard::{Vetted, judge_again};
use super::http1::{HEAD_BYTES_MAX, Http1};
use super::stream::{BytesRead, Stream};
use super::tls::Tls;
use crate::domain::delivery::{ErrorClass, Phases};
use crate::domain::target::TargetRules;

/// HTTP/2 flow control: what a peer may send unasked on one stream (a kept body and some), and on all of one connection.
const STREAM_WINDOW_BYTES: u32 = 32 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
const FRAME_BYTES_MAX: u32 = 16 * 1024;
const SEND_BUFFER_BYTES_PER_STREAM: usize = 64 * 1024;
/// Streams of ours that ended early and that the peer may still talk about.
const RESET_STREAMS_MAX: usize = 100;

pub type Http2Request = hyper::Request<Full<Bytes>>;
pub type Http2Response = hyper::Response<Incoming>;

pub enum Connection {
    Http1(Box<Http1>),
    Http2(Http2),
}

/// Carries many requests at once. Clones share the connection, which a task of its own drives.
#[derive(Clone)]
pub struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    bytes_read: BytesRead,
}

impl Http2 {
    pub async fn send(&mut self, request: Http2Request) -> hyper::Result<Http2Response> {
        self.sender.send_request(request).await
    }

    /// All bytes that the peer ever sent on it.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Opens a connection. `tls` is the name to verify, none for plain HTTP.
pub async fn connect(
    to: Vetted,
    rules: &TargetRules,
    tls: Option<(&Tls, &str)>,
    deadline: Instant,
    phases: &mut Phases,
) -> Result<Connection, Failure> {
    let stream = connect_tcp(to, rules, deadline, phases).await?;
    let stream = match tls {
        None => Stream::plain(stream),
        Some((tls, host)) => {
            let started = Instant::now();
            let shaken = timeout_at(deadline, tls.connect(host, stream)).await;
            phases.tls = Some(started.elapsed());
            let shaken = shaken.map_err(|_| Failure::timeout("shaking hands for TLS"))?;
            Stream::tls(shaken.map_err(|error| Failure::tls(&error))?)
        }
    };
    let opened = timeout_at(deadline, open(stream)).await.map_err(|_| Failure::timeout("opening HTTP"))?;
    opened.map_err(|error| Failure::http2(&error))
}

async fn connect_tcp(
    to: Vetted,
    rules: &TargetRules,
    deadline: Instant,
    phases: &mut Phases,
) -> Result<TcpStream, Failure> {
    judge_again(rules, to).map_err(|forbidden| Failure::new(ErrorClass::BlockedAddress, forbidden.to_string()))?;
    let started = Instant::now();
    let connected = timeout_at(deadline, TcpStream::connect(to.address())).await;
    phases.connect = Some(phases.connect.unwrap_or_default() + started.elapsed());
    let failed = |error: std::io::Error| Failure::new(ErrorClass::Connect, format!("{}: {error}", to.address()));
    let stream =
        connected.map_err(|_| Failure::timeout(&format!("connecting to {}", to.address())))?.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

async fn open(stream: Stream) -> hyper::Result<Connection> {
    if stream.speaks_http2() {
        let bytes_read = stream.bytes_read();
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_send_buf_size(SEND_BUFFER_BYTES_PER_STREAM)
            .max_concurrent_reset_streams(RESET_STREAMS_MAX)
            .reset_stream_duration(Duration::from_secs(1))
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an HTTP/2 connection ended");
            }
        });
        Ok(Connection::Http2(Http2 { sender, bytes_read }))
    } else {
        Ok(Connection::Http1(Box::new(Http1::new(stream))))
    }
}

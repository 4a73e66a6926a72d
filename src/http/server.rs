//! The server around the endpoint: takes connections, in the clear and by TLS, until it is told to end.
//!
//! poem's own server is not used: it lets each read and write of a connection wake a second task that watches for
//! idle time, and takes each request through two boxes more.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poem::Endpoint;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::redirect::Redirect;
use super::standby::Standby;
use super::tls::{Certificates, server_config};
use super::{Api, endpoint};

/// A connection on which nothing moves for this long is closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// Requests that are under way when the end comes get this long to be answered.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// When no connection can be taken (no files left, say), the next try comes after this time.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Requests at once on one connection that speaks HTTP/2.
const HTTP2_STREAMS_MAX: u32 = 200;
const HTTP2_HEADER_BYTES_MAX: u32 = 16 * 1024;

/// A TLS handshake that takes longer is given up.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Where connections come in.
pub struct Listeners {
    /// In the clear.
    pub plain: TcpListener,
    pub https: Option<Https>,
}

/// Connections by TLS, and those that are led to them.
pub struct Https {
    pub listener: TcpListener,
    pub certificates: Arc<Certificates>,
    /// What listens at port 80, and what it answers.
    pub redirect: Option<(TcpListener, Redirect)>,
}

/// Serves the API until `end`.
pub async fn serve(listeners: Listeners, api: Api, end: impl Future<Output = ()>) -> io::Result<()> {
    answer(listeners, endpoint(api), end).await
}

/// Says until `end` that there is no store.
pub async fn stand_by(listeners: Listeners, standby: Standby, end: impl Future<Output = ()>) -> io::Result<()> {
    answer(listeners, standby, end).await
}

async fn answer(
    listeners: Listeners,
    endpoint: impl Endpoint + 'static,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let Listeners { plain, https } = listeners;
    let endpoint = Arc::new(endpoint);
    let (ending, ends) = watch::channel(());
    let mut doors = JoinSet::new();
    doors.spawn(Server::new(endpoint.clone(), &plain, None)?.take_connections(plain, ends.clone()));
    if let Some(Https { listener, certificates, redirect }) = https {
        let tls = TlsAcceptor::from(server_config(certificates));
        doors.spawn(Server::new(endpoint, &listener, Some(tls))?.take_connections(listener, ends.clone()));
        if let Some((listener, redirect)) = redirect {
            let server = Server::new(Arc::new(redirect), &listener, None)?;
            doors.spawn(server.take_connections(listener, ends.clone()));
        }
    }
    drop(ends);
    end.await;
    drop(ending);
    while doors.join_next().await.is_some() {}
    Ok(())
}

struct Server<E> {
    endpoint: Arc<E>,
    protocol: auto::Builder<TokioExecutor>,
    own_address: LocalAddr,
    /// None: in the clear.
    tls: Option<TlsAcceptor>,
}

impl<E: Endpoint + 'static> Server<E> {
    fn new(endpoint: Arc<E>, listener: &TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self::at(endpoint, listener.local_addr()?, tls)))
    }

    fn at(endpoint: Arc<E>, own_address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let mut protocol = auto::Builder::new(TokioExecutor::new());
        protocol.http2().max_concurrent_streams(HTTP2_STREAMS_MAX).max_header_list_size(HTTP2_HEADER_BYTES_MAX);
        Self { endpoint, protocol, own_address: LocalAddr(own_address.into()), tls }
    }

    /// Ends when the server does, after the last answers.
    async fn take_connections(self: Arc<Self>, listener: TcpListener, mut ends: watch::Receiver<()>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // An error means that the server ends.
                _ = ends.changed() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        // What is written is whole answers: none of them should wait for the acknowledgement of another.
                        _ = stream.set_nodelay(true);
                        connections.spawn(self.clone().welcome(stream, peer, ends.clone()));
                    }
                    Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        // Connections that are left after that are cut off.
        _ = timeout(LAST_ANSWERS_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
    }

    /// Shakes hands first where TLS is spoken. Each connection does so by itself: a slow one holds up nobody.
    async fn welcome<S>(self: Arc<Self>, stream: S, peer: SocketAddr, mut ends: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = self.tls.clone() else { return self.converse(stream, peer, ends).await };
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE_WITHIN, tls.accept(stream)) => shaken,
            _ = ends.changed() => return,
        };
        // An error is the peer's: it went away, asked for a name that is not ours, or does not speak TLS.
        if let Ok(Ok(stream)) = shaken {
            self.converse(stream, peer, ends).await;
        }
    }

    /// Answers the requests of one connection, until the peer, its silence or the end of the server ends it.
    async fn converse<S>(self: Arc<Self>, stream: S, peer: SocketAddr, mut ends: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Arc::new(Activity::begin());
        let watched = Watched { stream, activity: activity.clone() };
        let scheme = if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let service = service_fn(|request: http::Request<Incoming>| {
            let (server, scheme) = (self.clone(), scheme.clone());
            async move {
                let from = (request, server.own_address.clone(), RemoteAddr(peer.into()), scheme);
                let response = server.endpoint.get_response(from.into()).await;
                Ok::<http::Response<_>, Infallible>(response.into())
            }
        });
        let mut connection = pin!(self.protocol.serve_connection(TokioIo::new(watched), service));
        tokio::select! {
            biased;
            // An error is the peer's: it went away, or does not speak HTTP and was told so.
            _ = connection.as_mut() => return,
            () = activity.has_ended() => {}
            // An error means that the server ends.
            _ = ends.changed() => {}
        }
        connection.as_mut().graceful_shutdown();
        _ = connection.await;
    }
}

/// When something moved on a connection last.
struct Activity {
    begun: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Activity {
    fn begin() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }

    fn note(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    /// Returns once nothing has moved for [`IDLE_TIME_MAX`]. It looks only when that could be: most of what moves costs no
    /// timer.
    async fn has_ended(&self) {
        let mut seen = 0;
        loop {
            sleep_until(self.begun + Duration::from_millis(seen) + IDLE_TIME_MAX).await;
            let last = self.last.load(Ordering::Relaxed);
            if last == seen {
                return;
            }
            seen = last;
        }
    }
}

/// A stream that notes when something moves on it.
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.activity.note();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.activity.note();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if polled.is_ready() {
            self.activity.note();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::endpoint::make;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    /// What the endpoint takes for an answer.
    const WORK: Duration = Duration::from_secs(2);

    /// One end of a connection, and what ends the server at the other.
    fn connect() -> (DuplexStream, watch::Sender<()>) {
        connect_by(None)
    }

    fn connect_by(tls: Option<TlsAcceptor>) -> (DuplexStream, watch::Sender<()>) {
        let endpoint = make(|_| async {
            sleep(WORK).await;
            "done"
        });
        let own_address: SocketAddr = ([127, 0, 0, 1], 80).into();
        let server = Arc::new(Server::at(Arc::new(endpoint), own_address, tls));
        let (ours, theirs) = tokio::io::duplex(1024);
        let (ending, ends) = watch::channel(());
        tokio::spawn(server.welcome(theirs, own_address, ends));
        (ours, ending)
    }

    async fn ask(stream: &mut DuplexStream) {
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).ends_with("\r\n\r\ndone"));
    }

    async fn is_closed(stream: &mut DuplexStream) -> bool {
        stream.read(&mut [0; 1]).await.unwrap() == 0
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_nothing_moved_on_it_for_the_idle_time_and_not_before() {
        let (mut stream, _ending) = connect();
        for _ in 0..3 {
            ask(&mut stream).await;
            sleep(IDLE_TIME_MAX - Duration::from_secs(1)).await;
        }
        ask(&mut stream).await;
        let silent_since = Instant::now();
        assert!(is_closed(&mut stream).await);
        let silence = silent_since.elapsed();
        assert!((IDLE_TIME_MAX..IDLE_TIME_MAX + Duration::from_secs(1)).contains(&silence), "{silence:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_asks_is_closed_too() {
        let (mut stream, _ending) = connect();
        let begun = Instant::now();
        assert!(is_closed(&mut stream).await);
        assert!(begun.elapsed() >= IDLE_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_the_server_ends_is_answered_and_then_the_connection_closed() {
        let (mut stream, ending) = connect();
        stream.write_all(REQUEST).await.unwrap();
        sleep(WORK / 2).await;
        drop(ending);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_a_handshake_in_time_is_left() {
        let tls = || Some(TlsAcceptor::from(server_config(Arc::new(Certificates::of_domains(&[])))));
        for said in [&[][..], &[0x16, 0x03, 0x01, 0x01, 0x00, 0x01]] {
            let (mut stream, _ending) = connect_by(tls());
            let begun = Instant::now();
            stream.write_all(said).await.unwrap();
            assert!(is_closed(&mut stream).await);
            let waited = begun.elapsed();
            assert!((HANDSHAKE_WITHIN..HANDSHAKE_WITHIN + Duration::from_secs(1)).contains(&waited), "{waited:?}");
        }
        // The end of the server does not wait for it.
        let (mut stream, ending) = connect_by(tls());
        let begun = Instant::now();
        drop(ending);
        assert!(is_closed(&mut stream).await);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

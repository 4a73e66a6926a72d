//! The server around the endpoint: takes connections until it is told to end.
//!
//! poem's own server is not used: it lets each read and write of a connection wake a second task that watches for
//! idle time, and takes each request through two boxes more.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::failures::place;
use super::redirect::Redirect;
use super::standby::Standby;
use super::tls::{Certificates, server_config};
use super::under_way::{REQUESTS_MAX, UnderWay};
use super::{Api, endpoint};

/// A connection on which nothing moves for this long is closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// A peer that says something has asked something within this time, or is hung up on: heads that drip, and floods of what is
/// no request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// A connection without a request is told so, and cut off after this time.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);
/// Connections at once …
const CONNECTIONS_MAX: usize = 8192;
/// … and those of one address (of IPv6: of one /64) that is no trusted proxy: a quarter of them leaves room for others.
const CONNECTIONS_PER_PEER_MAX: usize = CONNECTIONS_MAX / 4;
/// The head of a request of HTTP/1.1, and how many headers it has.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
/// Requests that are under way when the end comes get this long to be answered.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// When no connection can be taken (no files left, say), the next try comes after this time.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
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
    let proxies = api.settings.trusted_proxies.clone();
    answer(listeners, endpoint(api), proxies, end).await
}

/// Says until `end` that there is no store.
pub async fn stand_by(listeners: Listeners, standby: Standby, end: impl Future<Output = ()>) -> io::Result<()> {
    answer(listeners, standby, Vec::new(), end).await
}

async fn answer(
    listeners: Listeners,
    endpoint: impl Endpoint + 'static,
    proxies: Vec<IpNet>,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let Listeners { plain, https } = listeners;
    let endpoint = Arc::new(endpoint);
    let peers = Arc::new(Peers { proxies, open: Mutex::default() });
    let (ending, ends) = watch::channel(());
    let mut doors = JoinSet::new();
    let server = Server::new(endpoint.clone(), &plain, None)?;
    doors.spawn(server.take_connections(plain, peers.clone(), ends.clone()));
    if let Some(Https { listener, certificates, redirect }) = https {
        let tls = TlsAcceptor::from(server_config(certificates));
        let server = Server::new(endpoint, &listener, Some(tls))?;
        doors.spawn(server.take_connections(listener, peers.clone(), ends.clone()));
        if let Some((listener, redirect)) = redirect {
            let server = Server::new(Arc::new(redirect), &listener, None)?;
            doors.spawn(server.take_connections(listener, peers, ends.clone()));
        }
    }
    drop(ends);
    end.await;
    drop(ending);
    while doors.join_next().await.is_some() {}
    Ok(())
}

/// How many connections there are of each peer, through whichever door.
struct Peers {
    /// Behind them are many.
    proxies: Vec<IpNet>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    of_all: usize,
    of_each: HashMap<IpAddr, usize>,
}

impl Peers {
    /// None: it has too many, or all have.
    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let address = place(peer);
        let is_proxy = self.proxies.iter().any(|range| range.contains(&peer.to_canonical()));
        let mut open = self.open.lock().expect("nothing panics while it holds the lock");
        let of_peer = open.of_each.get(&address).copied().unwrap_or_default();
        if open.of_all >= CONNECTIONS_MAX || (!is_proxy && of_peer >= CONNECTIONS_PER_PEER_MAX) {
            return None;
        }
        open.of_all += 1;
        open.of_each.insert(address, of_peer + 1);
        Some(Place { peers: Arc::clone(self), address })
    }
}

/// A connection that is counted until this is dropped.
struct Place {
    peers: Arc<Peers>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().expect("nothing panics while it holds the lock");
        open.of_all -= 1;
        match open.of_each.get_mut(&self.address) {
            Some(of_peer) if *of_peer > 1 => *of_peer -= 1,
            _ => _ = open.of_each.remove(&self.address),
        }
    }
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
        protocol.http1().max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        protocol.http2().max_concurrent_streams(REQUESTS_MAX).max_header_list_size(HTTP2_HEADER_BYTES_MAX);
        Self { endpoint, protocol, own_address: LocalAddr(own_address.into()), tls }
    }

    /// Ends when the server does, after the last answers.
    async fn take_connections(
        self: Arc<Self>,
        listener: TcpListener,
        peers: Arc<Peers>,
        mut ends: watch::Receiver<()>,
    ) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // An error means that the server ends.
                _ = ends.changed() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        // Dropped, and so closed: whoever has too many can wait, and all others must not.
                        let Some(place) = peers.admit(peer.ip()) else { continue };
                        // What is written is whole answers: none of them should wait for the acknowledgement of another.
                        _ = stream.set_nodelay(true);
                        let conversation = self.clone().welcome(stream, peer, ends.clone());
                        connections.spawn(async move {
                            let _place = place;
                            conversation.await;
                        });
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

    /// Answers the requests of one connection, until the peer, its silence or the end of the server ends it and what was asked
    /// on it is done.
    async fn converse<S>(self: Arc<Self>, stream: S, peer: SocketAddr, ends: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let under_way = UnderWay::default();
        self.talk(stream, peer, &under_way, ends).await;
        // Until then it counts among the connections, and the end of the server waits for it.
        under_way.over().await;
    }

    async fn talk<S>(self: Arc<Self>, stream: S, peer: SocketAddr, under_way: &UnderWay, mut ends: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Arc::new(Activity::begin());
        let watched = Watched { stream, activity: activity.clone() };
        let scheme = if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let service = service_fn(|request: http::Request<Incoming>| {
            let (server, scheme, under_way) = (self.clone(), scheme.clone(), under_way.clone());
            let asked = Asked::begin(&activity);
            async move {
                let mut request = Request::from((request, server.own_address.clone(), RemoteAddr(peer.into()), scheme));
                if !request.method().is_safe() {
                    request.extensions_mut().insert(under_way);
                }
                let response = server.endpoint.get_response(request).await;
                let response: http::Response<BoxBody<Bytes, io::Error>> = response.into();
                Ok::<_, Infallible>(response.map(|body| AnswerBody { body, _asked: asked }))
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
        // A head that has begun keeps hyper waiting, and so does a peer that does not take what is left of its answers.
        let is_asked = activity.asked.load(Ordering::Relaxed) > 0;
        _ = timeout(if is_asked { IDLE_TIME_MAX } else { GOODBYE_TIME_MAX }, connection).await;
    }
}

/// A request that is under way: from its head until its answer was written, or given up.
struct Asked(Arc<Activity>);

impl Asked {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.asked.fetch_add(1, Ordering::Relaxed);
        activity.head_since.store(NEVER, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which is under way until it is dropped.
struct AnswerBody {
    body: BoxBody<Bytes, io::Error>,
    _asked: Asked,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// When something moved on a connection last.
struct Activity {
    begun: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
    /// When the first byte came that belongs to no request yet, or [`NEVER`].
    head_since: AtomicU64,
    /// Requests that are under way.
    asked: AtomicUsize,
}

const NEVER: u64 = u64::MAX;

impl Activity {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            asked: AtomicUsize::new(0),
        }
    }

    /// Something moved.
    fn note(&self) -> u64 {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
        millis
    }

    /// The peer said something.
    fn note_heard(&self) {
        let millis = self.note();
        if self.asked.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(millis, Ordering::Relaxed);
        }
    }

    /// Returns once nothing has moved for [`IDLE_TIME_MAX`], or what the peer says was no request for [`HEAD_TIME_MAX`]. It
    /// looks only when that could be: most of what moves costs no timer.
    async fn has_ended(&self) {
        loop {
            let at = |millis: u64| self.begun + Duration::from_millis(millis);
            let now = Instant::now();
            let idle = at(self.last.load(Ordering::Relaxed)) + IDLE_TIME_MAX;
            let head = match self.head_since.load(Ordering::Relaxed) {
                NEVER => None,
                since => Some(at(since) + HEAD_TIME_MAX),
            };
            let end = head.map_or(idle, |head| head.min(idle));
            if now >= end {
                return;
            }
            // A head that begins meanwhile is looked at when it could be late.
            sleep_until(end.min(now + HEAD_TIME_MAX)).await;
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
            self.activity.note_heard();
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
    async fn a_head_that_drips_has_its_time_and_no_more_whether_it_is_the_first_or_not() {
        for asked_before in [0, 2] {
            let (mut stream, _ending) = connect();
            for _ in 0..asked_before {
                ask(&mut stream).await;
                // Between two requests there is more time.
                sleep(HEAD_TIME_MAX * 2).await;
            }
            let begun = Instant::now();
            let (mut read, mut write) = tokio::io::split(stream);
            let drip = async {
                for byte in b"GET / HTTP/1.1\r\nx-drip: ".iter().chain(std::iter::repeat(&b'a')) {
                    if write.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            };
            let mut told = Vec::new();
            tokio::select! {
                () = drip => {}
                closed = read.read_to_end(&mut told) => assert!(closed.is_ok()),
            }
            let taken = begun.elapsed();
            assert!((HEAD_TIME_MAX..HEAD_TIME_MAX + Duration::from_secs(2)).contains(&taken), "{taken:?}");
            assert!(!String::from_utf8_lossy(&told).contains("200"), "it was no request");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_longer_than_a_head_may_is_answered() {
        let endpoint = make(|_| async {
            sleep(HEAD_TIME_MAX * 3).await;
            "done"
        });
        let own_address: SocketAddr = ([127, 0, 0, 1], 80).into();
        let server = Arc::new(Server::at(Arc::new(endpoint), own_address, None));
        let (mut ours, theirs) = tokio::io::duplex(1024);
        let (_ending, ends) = watch::channel(());
        tokio::spawn(server.converse(theirs, own_address, ends));
        ask(&mut ours).await;
    }

    #[test]
    fn one_peer_has_a_share_of_the_connections_and_a_trusted_proxy_all() {
        let peers = Arc::new(Peers { proxies: vec!["192.0.2.0/24".parse().unwrap()], open: Mutex::default() });
        let [one, other, proxy] = ["203.0.113.1", "203.0.113.2", "192.0.2.1"].map(|text| text.parse().unwrap());
        let mut places: Vec<Place> = Vec::new();
        for _ in 0..CONNECTIONS_PER_PEER_MAX {
            places.push(peers.admit(one).unwrap());
        }
        assert!(peers.admit(one).is_none());
        assert!(peers.admit(other).is_some());
        places.pop();
        places.push(peers.admit(one).unwrap());
        while places.len() < CONNECTIONS_MAX {
            places.push(peers.admit(proxy).unwrap());
        }
        assert!(peers.admit(proxy).is_none() && peers.admit(other).is_none(), "all have too many");
        drop(places);
        let open = peers.open.lock().unwrap();
        assert!(open.of_all == 0 && open.of_each.is_empty(), "nothing is remembered of who is gone");
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
    async fn a_connection_counts_until_what_was_asked_on_it_is_done_though_the_peer_hung_up() {
        let done = Arc::new(AtomicUsize::new(0));
        let counted = done.clone();
        let endpoint = make(move |request: Request| {
            let done = counted.clone();
            let under_way = request.data::<UnderWay>().expect("it may be carried out").clone();
            async move {
                let work = async move {
                    sleep(WORK).await;
                    done.fetch_add(1, Ordering::Relaxed);
                };
                under_way.carry_out(work).await;
            }
        });
        let own_address: SocketAddr = ([127, 0, 0, 1], 80).into();
        let server = Arc::new(Server::at(Arc::new(endpoint), own_address, None));
        let (mut ours, theirs) = tokio::io::duplex(1024);
        let (_ending, ends) = watch::channel(());
        let conversation = tokio::spawn(server.converse(theirs, own_address, ends));
        ours.write_all(b"POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        sleep(WORK / 2).await;
        drop(ours);
        sleep(WORK / 4).await;
        assert!(!conversation.is_finished());
        conversation.await.unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 1);
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

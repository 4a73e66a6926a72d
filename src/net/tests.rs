//! The client against receivers on loopback that answer, break off, drip, lie or hang.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::domain::delivery::{ErrorClass, Outcome, RESPONSE_BODY_BYTES_MAX, RESPONSE_HEADER_BYTES_KEPT};
use crate::domain::header::CustomHeaders;
use crate::domain::id::{DeliveryId, EventId, SubscriptionId};
use crate::domain::target::{TargetRules, TargetUrl};

const LONG: Duration = Duration::from_secs(20);
/// For receivers that never answer: each test that uses it waits for that long.
const SHORT: Duration = Duration::from_millis(200);

/// Loopback 127.0.0.1 is open, the rest of loopback is as forbidden as ever.
fn rules() -> TargetRules {
    TargetRules { allow_http: true, allowed_ranges: vec!["127.0.0.1/32".parse().unwrap()], ..TargetRules::default() }
}

fn client() -> Client {
    Client::new(Options::new(rules(), Resolver::table([]))).unwrap()
}

fn request(url: impl AsRef<str>, timeout: Duration) -> Request {
    Request {
        url: TargetUrl::parse(url.as_ref(), &rules()).unwrap(),
        headers: vec![("Webhook-Id".into(), "evt_1".into()), ("content-type".into(), "application/json".into())],
        secret_headers: CustomHeaders::new(),
        body: Bytes::from_static(b"{\"n\":1}"),
        timeout,
        identity: SubscriptionId::from_u128(1),
        subject: Subject {
            event: EventId::from_u128(1),
            event_type: "order.paid".parse().unwrap(),
            delivery: DeliveryId::from_u128(1),
            attempt: 1,
        },
    }
}

/// An exchange in one line.
fn picture(exchange: &Exchange) -> String {
    let outcome = match &exchange.outcome {
        Outcome::Success => "success".to_owned(),
        Outcome::Status(status) => format!("status {status}"),
        Outcome::Error { class, .. } => class.name().to_owned(),
    };
    let Some(response) = &exchange.response else { return outcome };
    let body = match response.body.len() {
        0..=40 => String::from_utf8_lossy(&response.body).into_owned(),
        length => format!("{length} bytes"),
    };
    let truncated = if response.body_truncated { " truncated" } else { "" };
    format!("{outcome}, {} [{body}]{truncated}", response.status)
}

/// A connection as a receiver sees it.
struct Peer(TcpStream);

impl Peer {
    /// The next request's head and body; none when the client has closed.
    async fn request(&mut self) -> Option<String> {
        let mut text = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let read = self.0.read(&mut chunk).await.unwrap_or(0);
            if read == 0 {
                return None;
            }
            text.extend_from_slice(&chunk[..read]);
            if text.ends_with(b"{\"n\":1}") {
                return Some(String::from_utf8(text).unwrap());
            }
        }
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }
}

struct Receiver {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    /// Serves each connection with `serve`, which also learns how many came before it.
    async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(Peer, usize) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let earlier = counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Peer(stream), earlier));
            }
        });
        Self { address, connections }
    }

    /// Answers every request with the same bytes.
    async fn answering(answer: &'static str) -> Self {
        Self::start(move |mut peer, _| async move { while peer.request().await.is_some() && peer.say(answer).await {} })
            .await
    }

    fn url(&self) -> String {
        format!("http://{}/hooks?a=b", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// SG-14 among them: a redirect is an answer like any other.
#[tokio::test]
async fn each_answer_comes_to_its_outcome() {
    for (answer, expected) in [
        (OK, "success, 200 [ok]"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "success, 204 []"),
        ("HTTP/1.0 200 OK\r\n\r\nold", "success, 200 [old]"),
        ("HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n", "success, 299 []"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "success, 200 [ok]"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "status 302, 302 []"),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\ngone", "status 410, 410 [gone]"),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", "status 500, 500 []"),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "status 101, 101 []"),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "success, 200 [ok]",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nthree", "success, 200 [three] truncated"),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 10\r\n\r\nthree", "status 500, 500 [three] truncated"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "success, 200 [] truncated"),
        ("", "http"),
        ("HTTP/1.1 200 OK\r\ncontent-len", "http"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "http"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok", "http"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "http"),
    ] {
        let receiver = Receiver::start(move |mut peer, _| async move {
            peer.request().await;
            peer.say(answer).await;
        })
        .await;
        let exchange = client().send(request(receiver.url(), LONG)).await;
        assert_eq!(picture(&exchange), expected, "{answer:?}");
        assert_eq!(receiver.connections(), 1, "{answer:?}");
        assert_eq!(exchange.remote_address, Some(receiver.address));
    }
}

#[tokio::test]
async fn an_answer_may_come_in_any_two_pieces() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nx-sum: 1\r\n\r\n",
    ] {
        let cuts = AtomicUsize::new(1);
        let receiver = Receiver::start(move |mut peer, _| {
            let cut = cuts.fetch_add(1, Ordering::SeqCst);
            async move {
                let (first, second) = answer.split_at(cut);
                peer.request().await;
                peer.say(first).await;
                // Long enough for the client to see the first piece alone, most times.
                tokio::task::yield_now().await;
                peer.say(second).await;
            }
        })
        .await;
        let client = client();
        for cut in 1..answer.len() {
            let exchange = client.send(request(receiver.url(), LONG)).await;
            assert_eq!(picture(&exchange), "success, 200 [ok]", "{:?} | {:?}", &answer[..cut], &answer[cut..]);
        }
    }
}

#[tokio::test]
async fn bodies_that_lie_about_their_end_are_cut_off_and_their_connection_is_not_used_again() {
    for (answer, expected) in [
        ("content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", "success, 200 [ok]"),
        ("transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n", "success, 200 [ok]"),
        ("transfer-encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", "success, 200 [ok] truncated"),
        ("transfer-encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n", "success, 200 [] truncated"),
        ("transfer-encoding: chunked\r\n\r\n10000000000000000\r\nok", "success, 200 [] truncated"),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore", "success, 200 [ok]"),
        ("content-length: +2\r\n\r\nok", "http"),
        ("content-length: 2, 3\r\n\r\nok", "http"),
        ("content-length: 2, 2\r\nconnection: close\r\n\r\nok", "success, 200 [ok]"),
        ("content-length: 2\r\nconnection: x, Close\r\n\r\nok", "success, 200 [ok]"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
        let said = answer.clone();
        let receiver = Receiver::start(move |mut peer, _| {
            let said = said.clone();
            async move { while peer.request().await.is_some() && peer.say(&said).await {} }
        })
        .await;
        let client = client();
        assert_eq!(picture(&client.send(request(receiver.url(), LONG)).await), expected, "{answer:?}");
        assert_eq!(client.connections_idle(), 0, "{answer:?}");
    }
}

/// Larger than what the system buffers on loopback.
const LARGE_BODY_BYTES: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn a_receiver_may_answer_before_it_has_read_everything_and_still_gets_everything() {
    let (told, mut read) = tokio::sync::mpsc::channel(1);
    let receiver = Receiver::start(move |mut peer, _| {
        let told = told.clone();
        async move {
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
            let mut bytes = 0;
            let mut chunk = vec![0; 64 * 1024];
            while bytes < LARGE_BODY_BYTES {
                bytes += peer.0.read(&mut chunk).await.unwrap();
            }
            peer.say("ok").await;
            told.send(bytes).await.unwrap();
        }
    })
    .await;
    let large = Request { body: vec![b'x'; LARGE_BODY_BYTES].into(), ..request(receiver.url(), LONG) };
    assert_eq!(picture(&client().send(large).await), "success, 200 [ok]");
    assert!(read.recv().await.unwrap() >= LARGE_BODY_BYTES);
}

#[tokio::test]
async fn a_receiver_that_refuses_a_body_early_is_heard() {
    let receiver = Receiver::start(move |mut peer, _| async move {
        peer.say("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await;
        // Reads nothing more, and does not close before it was heard: a reset would take the answer with it.
        std::future::pending::<()>().await;
    })
    .await;
    let large = Request { body: vec![b'x'; LARGE_BODY_BYTES].into(), ..request(receiver.url(), LONG) };
    assert_eq!(picture(&client().send(large).await), "status 413, 413 [no]");
}

#[tokio::test]
async fn a_header_that_would_end_early_is_not_sent() {
    let receiver = Receiver::answering(OK).await;
    for (name, value) in
        [("x-a", "1\r\nx-b: 2"), ("x-a", "1\n"), ("x a", "1"), ("", "1"), ("x-a:", "1"), ("x-a", "\u{e9}")]
    {
        let request = Request { headers: vec![(name.into(), value.to_owned())], ..request(receiver.url(), LONG) };
        assert_eq!(picture(&client().send(request).await), "http", "{name:?}: {value:?}");
    }
}

#[tokio::test]
async fn a_secret_header_goes_out_and_is_told_as_stars() {
    let (heard, hears) = oneshot::channel();
    let heard = Arc::new(Mutex::new(Some(heard)));
    let receiver = Receiver::start(move |mut peer, _| {
        let heard = Arc::clone(&heard);
        async move {
            let request = peer.request().await.unwrap();
            peer.say(OK).await;
            heard.lock().unwrap().take().unwrap().send(request).unwrap();
        }
    })
    .await;
    let secret_headers = [("X-Shop".parse().unwrap(), "hush 1".parse().unwrap())].into();
    let exchange = client().send(Request { secret_headers, ..request(receiver.url(), LONG) }).await;
    let heard = hears.await.unwrap();
    assert!(heard.lines().any(|line| line == "x-shop: hush 1"), "{heard}");
    let told = exchange.request_headers.iter().find(|(name, _)| name == "x-shop");
    assert_eq!(told.map(|(_, value)| value.as_str()), Some("***"));
    assert!(!format!("{:?}", exchange.request_headers).contains("hush"));
}

#[tokio::test]
async fn what_goes_out_is_what_the_exchange_says() {
    let (heard, hears) = oneshot::channel();
    let heard = Arc::new(Mutex::new(Some(heard)));
    let receiver = Receiver::start(move |mut peer, _| {
        let heard = Arc::clone(&heard);
        async move {
            let request = peer.request().await.unwrap();
            peer.say(OK).await;
            heard.lock().unwrap().take().unwrap().send(request).unwrap();
        }
    })
    .await;
    let exchange = client().send(request(receiver.url(), LONG)).await;
    let heard = hears.await.unwrap();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /hooks?a=b HTTP/1.1"));
    let mut headers: Vec<String> = lines.map(str::to_owned).collect();
    let mut told: Vec<String> =
        exchange.request_headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.sort();
    told.sort();
    assert_eq!(headers, told);
    let sender = told.iter().find_map(|header| header.strip_prefix("waxwing-sender: ")).unwrap();
    assert_eq!(
        told,
        [
            "content-length: 7".to_owned(),
            "content-type: application/json".to_owned(),
            format!("host: {}", receiver.address),
            format!("waxwing-sender: {sender}"),
            "webhook-id: evt_1".to_owned(),
        ]
    );
    assert_eq!(body, "{\"n\":1}");
}

#[tokio::test]
async fn many_sends_share_one_connection() {
    let receiver = Receiver::answering(OK).await;
    let client = client();
    for number in 0..20 {
        let exchange = client.send(request(receiver.url(), LONG)).await;
        assert_eq!(picture(&exchange), "success, 200 [ok]");
        assert_eq!(exchange.phases.connect.is_some(), number == 0, "only the first send connects");
        assert!(exchange.phases.first_byte.is_some() && exchange.phases.dns.is_none() && exchange.phases.tls.is_none());
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_receiver_that_never_answers_costs_the_timeout() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.request().await;
        peer.request().await;
    })
    .await;
    let exchange = client().send(request(receiver.url(), SHORT)).await;
    assert_eq!(picture(&exchange), "timeout");
    assert!(exchange.phases.total >= SHORT && exchange.phases.total < LONG);
}

#[tokio::test]
async fn a_receiver_that_drips_its_body_succeeds_with_what_came_in_time() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\ndrop").await;
        peer.request().await;
    })
    .await;
    let client = client();
    // Time enough for the head on a busy machine.
    let exchange = client.send(request(receiver.url(), SHORT * 10)).await;
    assert_eq!(picture(&exchange), "success, 200 [drop] truncated");
    assert!(exchange.phases.total < LONG);
    assert_eq!(client.connections_idle(), 0);
}

/// SG-18. The attempt would have had twenty seconds.
#[tokio::test]
async fn a_receiver_that_drips_is_left_when_it_falls_behind() {
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n", "success, 200 ["),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2000\r\n", "success, 200 ["),
        ("HTTP/1.1 200 OK\r\n\r\n", "success, 200 ["),
        ("HTTP/1.1 200 OK\r\nx-drip: ", "timeout"),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nx-drip: ", "timeout"),
    ] {
        let receiver = Receiver::start(move |mut peer, _| async move {
            peer.request().await;
            peer.say(head).await;
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while peer.say("a").await {
                ticks.tick().await;
            }
        })
        .await;
        let options = Options { progress_time_max: SHORT, ..Options::new(rules(), Resolver::table([])) };
        let client = Client::new(options).unwrap();
        let exchange = client.send(request(receiver.url(), LONG)).await;
        assert!(picture(&exchange).starts_with(expected), "{head:?}: {}", picture(&exchange));
        assert!(exchange.response.is_none_or(|response| response.body_truncated), "{head:?}");
        assert_eq!(client.connections_idle(), 0, "{head:?}");
    }
}

/// SG-18
#[tokio::test]
async fn a_receiver_that_goes_on_may_take_longer_than_one_part_of_its_answer_may() {
    // Long enough for a machine that is busy with other tests.
    const PART_TIME_MAX: Duration = Duration::from_secs(1);
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.request().await;
        // Before the first byte it may think.
        tokio::time::sleep(PART_TIME_MAX * 3 / 2).await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 6144\r\n\r\n").await;
        let mut ticks = tokio::time::interval(PART_TIME_MAX / 3);
        while peer.say([b'a'; 1024]).await {
            ticks.tick().await;
        }
    })
    .await;
    let options = Options { progress_time_max: PART_TIME_MAX, ..Options::new(rules(), Resolver::table([])) };
    let exchange = Client::new(options).unwrap().send(request(receiver.url(), LONG)).await;
    assert_eq!(picture(&exchange), "success, 200 [6144 bytes]");
    assert!(exchange.phases.total > PART_TIME_MAX * 2);
}

/// SG-17
#[tokio::test]
async fn a_request_says_which_process_sent_it_and_only_that_one_knows_itself() {
    let receiver = Receiver::answering(OK).await;
    let (client, other) = (client(), client());
    let exchange = client.send(request(receiver.url(), LONG)).await;
    let sender = exchange.request_headers.iter().find(|(name, _)| name == "waxwing-sender").unwrap();
    assert!(client.is_sender(sender.1.as_bytes()));
    assert!(!other.is_sender(sender.1.as_bytes()));
    assert!(!client.is_sender(b""));
}

/// SG-12, SG-22: who looks twice may be told two things.
#[tokio::test]
async fn a_resolver_that_changes_its_answer_never_leads_to_an_address_that_was_not_judged() {
    let forbidden = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    forbidden.set_nonblocking(true).unwrap();
    let port = forbidden.local_addr().unwrap().port();
    let url = format!("http://hooks.example.com:{port}/");
    // Each look-up is told something else, the forbidden address at every place in the row.
    for round in 0..4 {
        let answers = (0..8).map(|turn| if turn % 4 == round { ips(["127.0.0.2"]) } else { ips(["127.0.0.1"]) });
        let client = Client::new(Options::new(rules(), Resolver::turns(answers))).unwrap();
        for _ in 0..4 {
            let vetted = client.vet(&TargetUrl::parse(&url, &rules()).unwrap()).await;
            let exchange = client.send(request(&url, LONG)).await;
            let outcome = picture(&exchange);
            assert!(["connect", "blocked_address"].contains(&outcome.as_str()), "{vetted:?}, then {outcome}");
            assert_ne!(exchange.remote_address.map(|address| address.ip()), Some("127.0.0.2".parse().unwrap()));
        }
    }
    assert!(is_untouched(&forbidden));
}

#[tokio::test]
async fn a_receiver_that_greets_in_another_protocol_and_waits_is_not_waited_for() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.say("220 mail.example.com ESMTP\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(picture(&client().send(request(receiver.url(), LONG)).await), "http");
}

#[tokio::test]
async fn a_receiver_that_drips_its_head_fails_in_time() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\nx-drip: ").await;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while peer.say("a").await {
            ticks.tick().await;
        }
    })
    .await;
    assert_eq!(picture(&client().send(request(receiver.url(), SHORT)).await), "timeout");
}

/// SG-18
#[tokio::test]
async fn of_an_endless_body_only_the_first_part_is_read() {
    let closed = Arc::new(Notify::new());
    let closes = Arc::clone(&closed);
    let receiver = Receiver::start(move |mut peer, _| {
        let closed = Arc::clone(&closed);
        async move {
            peer.request().await;
            peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            while peer.say(format!("400\r\n{}\r\n", "x".repeat(0x400))).await {}
            closed.notify_one();
        }
    })
    .await;
    let client = client();
    let exchange = client.send(request(receiver.url(), LONG)).await;
    assert_eq!(picture(&exchange), format!("success, 200 [{RESPONSE_BODY_BYTES_MAX} bytes] truncated"));
    closes.notified().await;
    assert_eq!(client.connections_idle(), 0);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_whole_and_the_connection_goes_on() {
    let receiver = Receiver::start(|mut peer, _| async move {
        let body = "x".repeat(RESPONSE_BODY_BYTES_MAX);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        while peer.request().await.is_some() && peer.say(&answer).await {}
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let exchange = client.send(request(receiver.url(), LONG)).await;
        assert_eq!(picture(&exchange), format!("success, 200 [{RESPONSE_BODY_BYTES_MAX} bytes]"));
    }
    assert_eq!(receiver.connections(), 1);
}

/// SG-18
#[tokio::test]
async fn a_head_that_is_too_large_is_not_read_to_its_end() {
    for header in [format!("x-large: {}\r\n", "x".repeat(8_000)), "x: 1\r\n".to_owned()] {
        let receiver = Receiver::start(move |mut peer, _| {
            let header = header.clone();
            async move {
                peer.request().await;
                peer.say("HTTP/1.1 200 OK\r\n").await;
                while peer.say(&header).await {}
            }
        })
        .await;
        assert_eq!(picture(&client().send(request(receiver.url(), LONG)).await), "http");
    }
}

#[tokio::test]
async fn headers_that_decide_are_kept_even_when_others_fill_the_space() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.request().await;
        // Four of them fill the space to its last byte.
        let filler = format!("x-fill: {}\r\n", "x".repeat(RESPONSE_HEADER_BYTES_KEPT / 4 - "x-fill".len()));
        peer.say(format!("HTTP/1.1 503 Busy\r\n{}retry-after: 7\r\ncontent-length: 0\r\n\r\n", filler.repeat(9))).await;
    })
    .await;
    let response = client().send(request(receiver.url(), LONG)).await.response.unwrap();
    assert_eq!(response.header("Retry-After"), Some("7"));
    let bytes: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes <= RESPONSE_HEADER_BYTES_KEPT && bytes > RESPONSE_HEADER_BYTES_KEPT / 2, "{bytes}");
}

#[tokio::test]
async fn a_kept_connection_that_the_receiver_has_closed_is_no_failure() {
    // Closed while it lay in the pool, or with the second request half read: in neither case was anything answered.
    for reads_second_request in [false, true] {
        let closed = Arc::new(Notify::new());
        let closes = Arc::clone(&closed);
        let receiver = Receiver::start(move |mut peer, earlier| {
            let closed = Arc::clone(&closed);
            async move {
                peer.request().await;
                peer.say(OK).await;
                if reads_second_request || earlier > 0 {
                    peer.request().await;
                }
                drop(peer);
                closed.notify_one();
            }
        })
        .await;
        let client = client();
        assert_eq!(picture(&client.send(request(receiver.url(), LONG)).await), "success, 200 [ok]");
        if !reads_second_request {
            closes.notified().await;
        }
        assert_eq!(picture(&client.send(request(receiver.url(), LONG)).await), "success, 200 [ok]");
        assert_eq!(receiver.connections(), 2);
    }
}

#[tokio::test]
async fn a_kept_connection_that_dies_in_the_middle_of_an_answer_is_a_failure() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.request().await;
        peer.say(OK).await;
        peer.request().await;
        peer.say("HTTP/1.1 200 O").await;
    })
    .await;
    let client = client();
    assert_eq!(picture(&client.send(request(receiver.url(), LONG)).await), "success, 200 [ok]");
    assert_eq!(picture(&client.send(request(receiver.url(), LONG)).await), "http");
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn the_pool_keeps_no_more_than_its_limits() {
    let (first, second) = (Receiver::answering(OK).await, Receiver::answering(OK).await);
    let options = Options {
        connections_idle_max: 3,
        connections_idle_per_target_max: 2,
        ..Options::new(rules(), Resolver::table([]))
    };
    let client = Client::new(options).unwrap();
    let send_four = async |receiver: &Receiver| {
        let request = request(receiver.url(), LONG);
        tokio::join!(
            client.send(request.clone()),
            client.send(request.clone()),
            client.send(request.clone()),
            client.send(request)
        );
    };
    send_four(&first).await;
    assert_eq!((first.connections(), client.connections_idle()), (4, 2));
    send_four(&second).await;
    assert_eq!(client.connections_idle(), 3);
    // The quietest one made room; the newer one of the first receiver is still there.
    client.send(request(first.url(), LONG)).await;
    assert_eq!(first.connections(), 4);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let closed = Arc::new(Notify::new());
    let closes = Arc::clone(&closed);
    let receiver = Receiver::start(move |mut peer, _| {
        let closed = Arc::clone(&closed);
        async move {
            while peer.request().await.is_some() && peer.say(OK).await {}
            closed.notify_one();
        }
    })
    .await;
    let options = Options { idle_time_max: Duration::from_millis(20), ..Options::new(rules(), Resolver::table([])) };
    let client = Client::new(options).unwrap();
    for _ in 0..2 {
        client.send(request(receiver.url(), LONG)).await;
        closes.notified().await;
        assert_eq!(client.connections_idle(), 0);
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_a_connect_error() {
    // Bound, so that nobody else has it, and not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}/", socket.local_addr().unwrap());
    let exchange = client().send(request(url, LONG)).await;
    assert_eq!(picture(&exchange), "connect");
    assert!(exchange.phases.connect.is_some());
}

/// A listener that counts nothing and accepts nothing: who connects is seen afterwards.
fn untouched() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn is_untouched(listener: &std::net::TcpListener) -> bool {
    listener.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn ips<const N: usize>(texts: [&str; N]) -> Vec<IpAddr> {
    texts.map(|text| text.parse().unwrap()).to_vec()
}

/// SG-11
#[tokio::test]
async fn one_forbidden_address_in_the_answer_refuses_the_target() {
    for answer in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"]] {
        let listener = untouched();
        let url = format!("http://hooks.example.com:{}/", listener.local_addr().unwrap().port());
        let resolver = Resolver::table([("hooks.example.com", ips(answer))]);
        let client = Client::new(Options::new(rules(), resolver)).unwrap();
        let request = request(url, LONG);
        assert!(client.vet(&request.url).await.is_err());
        let exchange = client.send(request).await;
        assert_eq!(picture(&exchange), "blocked_address", "{answer:?}");
        assert_eq!(exchange.remote_address, None);
        assert!(is_untouched(&listener), "{answer:?}");
    }
}

/// SG-12, SG-13, SG-22
#[tokio::test]
async fn a_name_that_moves_to_a_forbidden_address_after_its_check_is_refused_at_the_next_send() {
    let receiver = Receiver::answering(OK).await;
    let table = Arc::new(Mutex::new(HashMap::from([("hooks.example.com".to_owned(), ips(["127.0.0.1"]))])));
    let client = Client::new(Options::new(rules(), Resolver::Table(Arc::clone(&table)))).unwrap();
    let request = request(format!("http://hooks.example.com:{}/", receiver.address.port()), LONG);
    assert_eq!(client.vet(&request.url).await, Ok(()));
    assert_eq!(picture(&client.send(request.clone()).await), "success, 200 [ok]");
    table.lock().unwrap().insert("hooks.example.com".to_owned(), ips(["127.0.0.2"]));
    // The connection to the old address is still open, and is not used either.
    assert_eq!(client.connections_idle(), 1);
    assert_eq!(picture(&client.send(request).await), "blocked_address");
}

#[tokio::test]
async fn a_name_without_addresses_passes_its_check_and_is_a_dns_error_when_sent_to() {
    let request = request("http://nowhere.example.com/", LONG);
    assert_eq!(client().vet(&request.url).await, Ok(()));
    let exchange = client().send(request).await;
    assert_eq!(picture(&exchange), "dns");
    assert!(exchange.phases.dns.is_some());
}

/// SG-17
#[tokio::test]
async fn what_this_instance_listens_on_is_refused() {
    for own in ["127.0.0.1", "0.0.0.0", "[::]"] {
        let listener = untouched();
        let port = listener.local_addr().unwrap().port();
        let own_listeners = vec![format!("{own}:{port}").parse().unwrap()];
        let rules = TargetRules { own_listeners, ..rules() };
        let resolver = Resolver::table([("hooks.example.com", ips(["127.0.0.1"]))]);
        let client = Client::new(Options::new(rules, resolver)).unwrap();
        for host in ["127.0.0.1", "hooks.example.com", "localhost"] {
            let url = TargetUrl::from_stored(&format!("http://{host}:{port}/")).unwrap();
            assert!(client.vet(&url).await.is_err(), "{host} while listening on {own}");
            let exchange = client.send(Request { url, ..request("http://example.com/", LONG) }).await;
            assert_eq!(picture(&exchange), "blocked_address", "{host} while listening on {own}");
        }
        assert!(is_untouched(&listener));
    }
}

/// SG-17
#[tokio::test]
async fn listening_everywhere_includes_every_address_of_this_machine() {
    // Connecting a UDP socket sends nothing, and tells which address of this machine would be used.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_err() {
        return; // A machine with loopback only has no such address.
    }
    let own = socket.local_addr().unwrap().ip();
    for (listener, is_refused) in [("0.0.0.0:8620", true), ("0.0.0.0:8621", false)] {
        let rules = TargetRules {
            allowed_ranges: vec!["0.0.0.0/0".parse().unwrap()],
            own_listeners: vec![listener.parse().unwrap()],
            ..rules()
        };
        let url = TargetUrl::from_stored(&format!("http://{own}:8620/")).unwrap();
        let client = Client::new(Options::new(rules, Resolver::table([]))).unwrap();
        assert_eq!(client.vet(&url).await.is_err(), is_refused, "{own} while listening on {listener}");
    }
}

/// SG-03: the rules hold at the time of sending, too.
#[tokio::test]
async fn a_stored_url_that_the_rules_of_today_refuse_is_not_sent_to() {
    let listener = untouched();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let strict = Client::new(Options::new(TargetRules::default(), Resolver::table([]))).unwrap();
    assert_eq!(picture(&strict.send(request(url, LONG)).await), "blocked_address");
    assert!(is_untouched(&listener));
}

#[tokio::test]
async fn localhost_is_the_loopback_address_that_was_opened() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(picture(&client().send(request(url, LONG)).await), "success, 200 [ok]");
}

/// SG-21
#[tokio::test]
async fn a_host_that_was_opened_is_reached_wherever_it_leads_and_another_name_of_it_is_not() {
    let receiver = Receiver::answering(OK).await;
    let port = receiver.address.port();
    let names = ["hooks.internal", "other.internal", "metadata.internal"];
    let answers = [ips(["127.0.0.1"]), ips(["127.0.0.1"]), ips(["169.254.169.254"])];
    let rules = TargetRules {
        allow_http: true,
        allowed_hosts: vec!["hooks.internal".parse().unwrap(), "metadata.internal".parse().unwrap()],
        ..TargetRules::default()
    };
    let client = Client::new(Options::new(rules, Resolver::table(names.into_iter().zip(answers)))).unwrap();
    for (name, expected) in names.into_iter().zip(["success, 200 [ok]", "blocked_address", "blocked_address"]) {
        let url = TargetUrl::from_stored(&format!("http://{name}:{port}/")).unwrap();
        let exchange = client.send(Request { url, ..request("http://example.com/", LONG) }).await;
        assert_eq!(picture(&exchange), expected, "{name}");
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn the_second_address_of_an_answer_is_tried_when_the_first_one_refuses() {
    let receiver = Receiver::answering(OK).await;
    let rules = TargetRules { allowed_ranges: vec!["127.0.0.0/8".parse().unwrap()], ..rules() };
    let resolver = Resolver::table([("hooks.example.com", ips(["127.0.0.2", "127.0.0.1"]))]);
    let client = Client::new(Options::new(rules, resolver)).unwrap();
    let request = request(format!("http://hooks.example.com:{}/", receiver.address.port()), LONG);
    let exchange = client.send(request.clone()).await;
    assert_eq!(picture(&exchange), "success, 200 [ok]");
    assert_eq!(exchange.remote_address, Some(receiver.address));
    // And its connection is found again.
    client.send(request).await;
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn the_test_receiver_answers_without_name_or_socket_and_shows_what_came() {
    let client = client();
    let mut live = client.test_receiver().subscribe();
    let request = request("https://test-receiver.invalid/orders", LONG);
    assert_eq!(client.vet(&request.url).await, Ok(()));
    let exchange = client.send(request).await;
    assert_eq!(picture(&exchange), "success, 200 [{\"received\":true}]");
    assert_eq!(exchange.remote_address, None);
    let received = client.test_receiver().received("orders");
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].headers.to_vec(), exchange.request_headers);
    assert_eq!(received[0].body, "{\"n\":1}");
    assert_eq!(live.recv().await.unwrap(), received[0]);
}

/// A private CA and a receiver that has a certificate of it for `hooks.example.com`.
struct TlsReceiver {
    address: SocketAddr,
    root: CertificateDer<'static>,
    connections: Arc<AtomicUsize>,
}

impl TlsReceiver {
    async fn start(protocols: &[&[u8]]) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = ca.self_signed(&ca_key).unwrap().der().clone();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["hooks.example.com".to_owned()])
            .unwrap()
            .signed_by(&key, &Issuer::new(ca, ca_key))
            .unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service_fn(describe))
                        .await;
                });
            }
        });
        Self { address, root, connections }
    }

    fn client(&self, names: &[&str], trusts_root: bool) -> Client {
        let resolver = Resolver::table(names.iter().map(|name| (*name, ips(["127.0.0.1"]))));
        let mut options = Options::new(rules(), resolver);
        if trusts_root {
            options.extra_roots.push(self.root.clone());
        }
        Client::new(options).unwrap()
    }

    fn url(&self, name: &str) -> String {
        format!("https://{name}:{}/{}", self.address.port(), "hooks")
    }
}

/// Answers what it was asked: version, host, length of the body.
async fn describe(request: hyper::Request<Incoming>) -> hyper::Result<hyper::Response<Full<Bytes>>> {
    let version = request.version();
    let host = request.uri().host().map(str::to_owned);
    let body = request.into_body().collect().await?.to_bytes();
    Ok(hyper::Response::new(Full::new(format!("{version:?} {host:?} {}", body.len()).into())))
}

/// SG-19, and SG-12: the certificate is of the name, whatever address it led to.
#[tokio::test]
async fn a_certificate_is_verified_against_name_and_roots() {
    let receiver = TlsReceiver::start(&[b"http/1.1"]).await;
    let names = ["hooks.example.com", "other.example.com"];
    for (name, trusts_root, expected) in [
        ("hooks.example.com", true, "success, 200 [HTTP/1.1 None 7]"),
        ("other.example.com", true, "tls"),
        ("127.0.0.1", true, "tls"),
        ("hooks.example.com", false, "tls"),
    ] {
        let exchange = receiver.client(&names, trusts_root).send(request(receiver.url(name), LONG)).await;
        assert_eq!(picture(&exchange), expected, "{name}");
        assert!(exchange.phases.tls.is_some() && exchange.phases.connect.is_some());
    }
}

/// SG-13
#[tokio::test]
async fn a_connection_of_one_name_is_not_used_for_another() {
    let receiver = TlsReceiver::start(&[b"http/1.1"]).await;
    let client = receiver.client(&["hooks.example.com", "other.example.com"], true);
    assert!(client.send(request(receiver.url("hooks.example.com"), LONG)).await.outcome.is_success());
    assert_eq!(client.connections_idle(), 1);
    assert_eq!(picture(&client.send(request(receiver.url("other.example.com"), LONG)).await), "tls");
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered_and_one_connection_carries_all() {
    let receiver = TlsReceiver::start(&[b"h2", b"http/1.1"]).await;
    let client = receiver.client(&["hooks.example.com"], true);
    let request = request(receiver.url("hooks.example.com"), LONG);
    let expected = "success, 200 [HTTP/2.0 Some(\"hooks.example.com\") 7]";
    assert_eq!(picture(&client.send(request.clone()).await), expected);
    let sends: Vec<_> = (0..50)
        .map(|_| {
            let (client, request) = (client.clone(), request.clone());
            tokio::spawn(async move { client.send(request).await })
        })
        .collect();
    for send in sends {
        let exchange = send.await.unwrap();
        assert_eq!(picture(&exchange), expected);
        assert!(exchange.phases.connect.is_none() && exchange.phases.tls.is_none());
    }
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_a_tls_error() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.say("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.request().await;
    })
    .await;
    let url = format!("https://127.0.0.1:{}/", receiver.address.port());
    assert_eq!(picture(&client().send(request(url, LONG)).await), "tls");
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_is_a_timeout() {
    let receiver = Receiver::start(|mut peer, _| async move {
        peer.request().await;
        std::future::pending::<()>().await;
    })
    .await;
    let url = format!("https://127.0.0.1:{}/", receiver.address.port());
    let exchange = client().send(request(url, SHORT)).await;
    assert!(matches!(exchange.outcome, Outcome::Error { class: ErrorClass::Timeout, .. }), "{exchange:?}");
}

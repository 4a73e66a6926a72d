//! The raw sender: what this machine can sign and post at best. No queue, no storage, no retry; one thread.
//!
//! Every connection sends the next body when the last one was answered. Ids, timestamps and signatures are
//! fresh for each request, as they are in a delivery. There are two: one on an ordinary HTTP library, which the
//! ratio refers to, and one that writes HTTP by hand, which shows what the library costs.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::SECRET;
use super::clock::{monotonic_ns, unix_seconds};
use super::link::{Fault, RawPlan, RawSender, ToldByRawSender, hear, tell};
use super::template::{Template, data, write_digits};
use super::wire::{self, Found, Inbox};

const PATH: &str = "/ok/0";
const ID_LENGTH: usize = 30;
const TIMESTAMP_DIGITS: usize = 10;
/// `v1,` and the base64 of 32 bytes.
const SIGNATURE_LENGTH: usize = 3 + 44;

pub fn main() {
    tell(&ToldByRawSender::Ready);
    while let Some(plan) = hear::<RawPlan>() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has epoll");
        match LocalSet::new().block_on(&runtime, send(&plan)) {
            Ok((requests, seconds)) => tell(&ToldByRawSender::Sent { requests, seconds }),
            Err(fault) => tell(&ToldByRawSender::Failed(fault.to_string())),
        }
    }
}

/// Numbers the requests of all connections, until the time is over.
#[derive(Clone)]
struct Turn {
    next: Rc<Cell<u64>>,
    until_ns: u64,
}

impl Turn {
    /// The number of the next request, and now.
    fn take(&self) -> Option<(u64, u64)> {
        let now_ns = monotonic_ns();
        if now_ns >= self.until_ns {
            return None;
        }
        let seq = self.next.get();
        self.next.set(seq + 1);
        Some((seq, now_ns))
    }
}

/// How many, and in how many seconds.
async fn send(plan: &RawPlan) -> Result<(u64, f64), Fault> {
    let mut streams = Vec::new();
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(plan.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let begun_ns = monotonic_ns();
    let until_ns = begun_ns + Duration::from_millis(plan.milliseconds).as_nanos() as u64;
    let turn = Turn { next: Rc::default(), until_ns };
    let mut senders = Vec::new();
    for stream in streams {
        let (message, turn) = (Message::new(plan.body_bytes), turn.clone());
        senders.push(match plan.sender {
            RawSender::Library => tokio::task::spawn_local(by_library(stream, plan.address, message, turn)),
            RawSender::ByHand => tokio::task::spawn_local(by_hand(stream, plan.address, message, turn)),
        });
    }
    for sender in senders {
        sender.await??;
    }
    Ok((turn.next.get(), (monotonic_ns() - begun_ns) as f64 / 1e9))
}

async fn by_library(stream: TcpStream, address: SocketAddr, mut message: Message, turn: Turn) -> Result<(), Fault> {
    let (mut sender, connection): (SendRequest<Full<Bytes>>, _) = handshake(TokioIo::new(stream)).await?;
    // Its end is seen by the sender.
    tokio::task::spawn_local(connection);
    let host = address.to_string();
    while let Some((seq, now_ns)) = turn.take() {
        message.sign(seq, now_ns);
        let request = http::Request::post(PATH)
            .header("host", &host)
            .header("content-type", "application/json")
            .header("user-agent", "rawsend")
            .header("webhook-id", &message.id[..])
            .header("webhook-timestamp", &message.timestamp[..])
            .header("webhook-signature", &message.signature[..])
            .body(Full::new(Bytes::copy_from_slice(message.body.bytes())))?;
        let mut answer = sender.send_request(request).await?;
        if answer.status() != http::StatusCode::OK {
            return Err(format!("the receiver answered {}", answer.status()).into());
        }
        while let Some(frame) = answer.body_mut().frame().await {
            frame?;
        }
        sender.ready().await?;
    }
    Ok(())
}

async fn by_hand(mut stream: TcpStream, address: SocketAddr, mut message: Message, turn: Turn) -> Result<(), Fault> {
    let mut inbox = Inbox::new();
    let mut request = Vec::new();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nuser-agent: rawsend\r\n\
         content-length: {}\r\nwebhook-id: ",
        message.body.bytes().len()
    );
    while let Some((seq, now_ns)) = turn.take() {
        message.sign(seq, now_ns);
        message.write(&head, &mut request);
        stream.write_all(&request).await?;
        let bytes = loop {
            match wire::find(inbox.unread())? {
                Found::Whole(answer) if answer.status()? == 200 => break answer.bytes(),
                Found::Whole(answer) => return Err(format!("the receiver answered {answer}").into()),
                Found::Part { bytes } => {
                    let count = stream.read(inbox.room(bytes)).await?;
                    if count == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    inbox.filled(count);
                }
            }
        };
        inbox.take(bytes);
    }
    Ok(())
}

/// A body with what identifies and signs it, written once and changed in place.
struct Message {
    id: [u8; ID_LENGTH],
    timestamp: [u8; TIMESTAMP_DIGITS],
    signature: [u8; SIGNATURE_LENGTH],
    body: Template,
    mac: Hmac<Sha256>,
}

impl Message {
    fn new(body_bytes: usize) -> Self {
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("the secret is one");
        Self {
            id: *b"msg_00000000000000000000000000",
            timestamp: [b'0'; TIMESTAMP_DIGITS],
            signature: *b"v1,00000000000000000000000000000000000000000000",
            body: Template::text(&data(body_bytes)),
            mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"),
        }
    }

    fn sign(&mut self, seq: u64, due_ns: u64) {
        let Self { id, timestamp, signature, body, mac } = self;
        write_digits(&mut id[4..], seq);
        write_digits(timestamp, unix_seconds());
        let mut mac = mac.clone();
        mac.update(id);
        mac.update(b".");
        mac.update(timestamp);
        mac.update(b".");
        mac.update(body.fill(seq, due_ns));
        STANDARD.encode_slice(mac.finalize().into_bytes(), &mut signature[3..]).expect("32 bytes are 44 characters");
    }

    /// The request, whose head ends with the name of the header that holds the id.
    fn write(&self, head: &str, request: &mut Vec<u8>) {
        request.clear();
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(&self.id);
        request.extend_from_slice(b"\r\nwebhook-timestamp: ");
        request.extend_from_slice(&self.timestamp);
        request.extend_from_slice(b"\r\nwebhook-signature: ");
        request.extend_from_slice(&self.signature);
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(self.body.bytes());
    }
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_signed_so_that_another_library_believes_it() {
        let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
        let (mut message, mut request) = (Message::new(1024), Vec::new());
        for seq in [0, 1, 1_000_000] {
            message.sign(seq, 5);
            message.write("POST / HTTP/1.1\r\ncontent-length: 1024\r\nwebhook-id: ", &mut request);
            let Found::Whole(found) = wire::find(&request).unwrap() else { panic!("it is whole") };
            assert_eq!(found.bytes(), request.len());
            let header = |name| wire::header(found.head, name).unwrap();
            let timestamp = header("webhook-timestamp").parse().unwrap();
            assert_eq!(header("webhook-signature"), webhook.sign(header("webhook-id"), timestamp, found.body).unwrap());
        }
    }
}

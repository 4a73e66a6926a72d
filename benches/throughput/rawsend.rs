//! The raw sender: what this machine can sign and post at best. No queue, no storage, no retry; one thread.
//!
//! Every connection sends the next body when the last one was answered. Ids, timestamps and signatures are
//! fresh for each request, as they are in a delivery.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::SECRET;
use super::clock::{monotonic_ns, unix_seconds};
use super::link::{Fault, RawPlan, ToldByRawSender, hear, tell};
use super::template::{Template, data, write_digits};
use super::wire::{self, Found, Inbox};

const ID_DIGITS: usize = 26;
const TIMESTAMP_DIGITS: usize = 10;
/// Base64 of 32 bytes.
const SIGNATURE_LENGTH: usize = 44;

pub fn main() {
    tell(&ToldByRawSender::Ready);
    while let Some(plan) = hear::<RawPlan>() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has epoll");
        match LocalSet::new().block_on(&runtime, send(plan)) {
            Ok((requests, seconds)) => tell(&ToldByRawSender::Sent { requests, seconds }),
            Err(fault) => tell(&ToldByRawSender::Failed(fault.to_string())),
        }
    }
}

/// How many, and in how many seconds.
async fn send(plan: RawPlan) -> Result<(u64, f64), Fault> {
    let next = Rc::new(Cell::new(0));
    let mut streams = Vec::new();
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(plan.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let request = Request::new(&plan);
    let begun_ns = monotonic_ns();
    let until_ns = begun_ns + Duration::from_millis(plan.milliseconds).as_nanos() as u64;
    let senders: Vec<_> = streams
        .into_iter()
        .map(|stream| tokio::task::spawn_local(one_connection(stream, request.clone(), Rc::clone(&next), until_ns)))
        .collect();
    for sender in senders {
        sender.await??;
    }
    Ok((next.get(), (monotonic_ns() - begun_ns) as f64 / 1e9))
}

async fn one_connection(
    mut stream: TcpStream,
    mut request: Request,
    next: Rc<Cell<u64>>,
    until_ns: u64,
) -> Result<(), Fault> {
    let mut inbox = Inbox::new();
    loop {
        let now_ns = monotonic_ns();
        if now_ns >= until_ns {
            return Ok(());
        }
        let seq = next.get();
        next.set(seq + 1);
        stream.write_all(request.signed(seq, now_ns)).await?;
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
}

/// A request that is written once and changed in place.
#[derive(Clone)]
struct Request {
    bytes: Vec<u8>,
    id_at: usize,
    timestamp_at: usize,
    signature_at: usize,
    body_at: usize,
    body: Template,
    mac: Hmac<Sha256>,
}

impl Request {
    fn new(plan: &RawPlan) -> Self {
        let body = Template::text(&data(plan.body_bytes));
        let mut bytes = format!(
            "POST /ok/0 HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nuser-agent: rawsend\r\nwebhook-id: msg_",
            plan.address
        )
        .into_bytes();
        let id_at = bytes.len();
        bytes.extend([b'0'; ID_DIGITS]);
        bytes.extend(b"\r\nwebhook-timestamp: ");
        let timestamp_at = bytes.len();
        bytes.extend([b'0'; TIMESTAMP_DIGITS]);
        bytes.extend(b"\r\nwebhook-signature: v1,");
        let signature_at = bytes.len();
        bytes.extend([b'0'; SIGNATURE_LENGTH]);
        bytes.extend(format!("\r\ncontent-length: {}\r\n\r\n", plan.body_bytes).as_bytes());
        let body_at = bytes.len();
        bytes.resize(body_at + plan.body_bytes, b' ');
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("the secret is one");
        let mac = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
        Self { bytes, id_at, timestamp_at, signature_at, body_at, body, mac }
    }

    fn signed(&mut self, seq: u64, due_ns: u64) -> &[u8] {
        let Self { bytes, id_at, timestamp_at, signature_at, body_at, body, mac } = self;
        write_digits(&mut bytes[*id_at..*id_at + ID_DIGITS], seq);
        write_digits(&mut bytes[*timestamp_at..*timestamp_at + TIMESTAMP_DIGITS], unix_seconds());
        bytes[*body_at..].copy_from_slice(body.fill(seq, due_ns));
        let mut mac = mac.clone();
        mac.update(&bytes[*id_at - b"msg_".len()..*id_at + ID_DIGITS]);
        mac.update(b".");
        mac.update(&bytes[*timestamp_at..*timestamp_at + TIMESTAMP_DIGITS]);
        mac.update(b".");
        mac.update(&bytes[*body_at..]);
        let slot = &mut bytes[*signature_at..*signature_at + SIGNATURE_LENGTH];
        STANDARD.encode_slice(mac.finalize().into_bytes(), slot).expect("32 bytes are 44 characters");
        bytes
    }
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::super::wire::Message;
    use super::*;

    #[test]
    fn every_request_is_signed_so_that_another_library_believes_it() {
        let address = ([127, 0, 0, 1], 1).into();
        let mut request = Request::new(&RawPlan { address, body_bytes: 1024, connections: 1, milliseconds: 1 });
        let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
        for seq in [0, 1, 1_000_000] {
            let Found::Whole(message) = wire::find(request.signed(seq, 5)).unwrap() else { panic!("it is whole") };
            let header = |name| wire::header(message.head, name).unwrap();
            let timestamp = header("webhook-timestamp").parse().unwrap();
            let Message { body, .. } = message;
            assert_eq!(body.len(), 1024);
            assert_eq!(header("webhook-signature"), webhook.sign(header("webhook-id"), timestamp, body).unwrap());
        }
    }
}

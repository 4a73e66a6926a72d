//! A receiver on loopback that behaves badly: it hangs, drips, refuses, or never stops answering.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::binary::PATIENCE;

/// More than a head and a body of ours take.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// What is written at once of an answer that does not end.
const CHUNK_BYTES: usize = 64 * 1024;

/// How one request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Status(u16),
    /// The same, after a while.
    Slow(u16, Duration),
    /// 503, and the sender is to wait for so many seconds.
    Overloaded(u16),
    /// Nothing is ever said.
    Hangs,
    /// A good head, one byte a second, so that it is never complete.
    DripsHead,
    /// A good head at once, and a body of one byte a second.
    DripsBody,
    /// A good head, and a body of so many bytes as fast as they go.
    Floods(u64),
}

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub path: String,
    /// The header `webhook-id`.
    pub id: String,
    pub body: serde_json::Value,
    pub at: Instant,
    /// How it is being answered.
    pub manner: Manner,
}

pub struct RoughReceiver {
    address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Arrival>,
}

type Manners = Arc<dyn Fn(&str, &str, &serde_json::Value) -> Manner + Send + Sync>;

impl RoughReceiver {
    /// `manners` chooses by path, id and body.
    pub async fn start(manners: impl Fn(&str, &str, &serde_json::Value) -> Manner + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (sender, arrived) = mpsc::unbounded_channel();
        let manners: Manners = Arc::new(manners);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                _ = stream.set_nodelay(true);
                // A sender that goes away ends the connection: that is no matter here.
                tokio::spawn(serve(stream, sender.clone(), Arc::clone(&manners)));
            }
        });
        Self { address, arrived }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn next(&mut self) -> Arrival {
        self.next_within(PATIENCE).await.expect("a delivery arrives in time")
    }

    pub async fn next_within(&mut self, limit: Duration) -> Option<Arrival> {
        let next = tokio::time::timeout(limit, self.arrived.recv()).await.ok()?;
        Some(next.expect("the receiver runs"))
    }

    /// What has arrived and was not taken yet.
    pub fn drain(&mut self) -> Vec<Arrival> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }
}

/// A port that refuses connections for as long as the socket lives: it is taken, and nobody listens.
pub fn refusing() -> (TcpSocket, String) {
    let (socket, address) = closed();
    (socket, format!("http://{address}/refused"))
}

/// An address at which nobody listens, and nobody else will while the socket is there.
pub fn closed() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    (socket, address)
}

async fn serve(mut stream: TcpStream, sender: mpsc::UnboundedSender<Arrival>, manners: Manners) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let Some((path, id, body)) = request(&mut stream, &mut read).await? else { return Ok(()) };
        let manner = manners(&path, &id, &body);
        _ = sender.send(Arrival { path, id, body, at: Instant::now(), manner });
        answer(&mut stream, manner).await?;
    }
}

/// The next request on a connection; none at its end.
async fn request(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
) -> std::io::Result<Option<(String, String, serde_json::Value)>> {
    loop {
        if let Some(head_end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..head_end]).into_owned();
            let header = |name: &str| {
                let of_name =
                    |line: &&str| line.split(':').next().is_some_and(|known| known.eq_ignore_ascii_case(name));
                let line = head.lines().find(of_name)?;
                Some(line.split_once(':')?.1.trim().to_owned())
            };
            let length: usize = header("content-length").expect("a length").parse().expect("a number");
            let body_start = head_end + 4;
            if read.len() >= body_start + length {
                let body = serde_json::from_slice(&read[body_start..body_start + length]).expect("JSON");
                let path = head.split(' ').nth(1).expect("a path").to_owned();
                let id = header("webhook-id").unwrap_or_default();
                read.drain(..body_start + length);
                return Ok(Some((path, id, body)));
            }
        }
        assert!(read.len() <= REQUEST_BYTES_MAX, "a request without end");
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

async fn answer(stream: &mut TcpStream, manner: Manner) -> std::io::Result<()> {
    match manner {
        Manner::Status(status) => status_line(stream, status, "").await,
        Manner::Slow(status, wait) => {
            tokio::time::sleep(wait).await;
            status_line(stream, status, "").await
        }
        Manner::Overloaded(seconds) => status_line(stream, 503, &format!("retry-after: {seconds}\r\n")).await,
        Manner::Hangs => {
            // Ends when the sender has lost its patience.
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
            Ok(())
        }
        Manner::DripsHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ").await?;
            drip(stream).await
        }
        Manner::DripsBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            drip(stream).await
        }
        Manner::Floods(bytes) => {
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").as_bytes()).await?;
            let chunk = vec![b'x'; CHUNK_BYTES];
            let mut left = usize::try_from(bytes).expect("it fits");
            while left > 0 {
                let now = left.min(CHUNK_BYTES);
                stream.write_all(&chunk[..now]).await?;
                left -= now;
            }
            Ok(())
        }
    }
}

async fn status_line(stream: &mut TcpStream, status: u16, headers: &str) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status} Answer\r\n{headers}content-length: 0\r\n\r\n").as_bytes()).await
}

/// One byte a second until the sender has gone.
async fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        stream.write_all(b"x").await?;
    }
}

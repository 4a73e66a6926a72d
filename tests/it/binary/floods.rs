//! Whoever floods the listener, or holds on to it, meets a limit: what is open is closed, memory stays flat, and another
//! client is served meanwhile. The limits are in `docs/operations.md`, "Limits of the listener".

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::support::binary::{ADMIN_KEY, PATIENCE, Start, Waxwing};

/// What the process may grow by while it is flooded: far less than what is thrown at it, and more than what an unoptimised
/// build and its allocator may take for an hour of work.
const GROWTH_MAX_MIB: u64 = 160;
/// As in `http/server.rs`.
const CONNECTIONS_PER_PEER_MAX: usize = 2048;

/// The binary, and how large it was before somebody flooded it.
struct Flooded {
    waxwing: Waxwing,
    resident_mib: u64,
    _folder: tempfile::TempDir,
}

impl Flooded {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let waxwing = Start::in_dir(folder.path()).start().await;
        waxwing.api.create_event_type("order.paid").await;
        let resident_mib = resident_mib(waxwing.id());
        Self { waxwing, resident_mib, _folder: folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.waxwing.address).await.expect("it listens")
    }

    /// Another client, at another address, gets an answer.
    async fn serves_others(&self) {
        let mut other = connect_from(Ipv4Addr::new(127, 0, 0, 9), self.waxwing.address).await.expect("it listens");
        let request = format!(
            "GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\nconnection: close\r\n\r\n"
        );
        other.write_all(request.as_bytes()).await.expect("it reads");
        assert!(said(&mut other).await.starts_with("HTTP/1.1 200 "));
    }

    #[track_caller]
    fn is_flat(&self) {
        let now = resident_mib(self.waxwing.id());
        let grown = now.saturating_sub(self.resident_mib);
        assert!(grown <= GROWTH_MAX_MIB, "it grew by {grown} MiB, from {} to {now}", self.resident_mib);
    }
}

/// `VmRSS` (proc(5)).
fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs, on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has one");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

async fn connect_from(own: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((own, 0).into())?;
    socket.connect(to).await
}

/// All that is said until the peer closes. A reset is an end, too.
async fn said(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let reading = async {
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            bytes.extend_from_slice(&chunk[..read]);
        }
    };
    timeout(PATIENCE, reading).await.expect("it closes in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends `beginning`, then a byte a second, and answers what was said until the peer closed.
async fn drip(mut stream: TcpStream, beginning: String) -> String {
    stream.write_all(beginning.as_bytes()).await.expect("it reads");
    let (mut read, mut write) = stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut seconds = interval(Duration::from_secs(1));
        while write.write_all(b"a").await.is_ok() {
            seconds.tick().await;
        }
    });
    let mut bytes = Vec::new();
    // A reset is an end, too.
    _ = timeout(PATIENCE, read.read_to_end(&mut bytes)).await.expect("it closes in time");
    dripping.abort();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drips_heads_and_bodies_is_hung_up_on_and_others_are_served() {
    const EACH: usize = 200;
    let flooded = Flooded::start().await;
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\n";
    let body = format!(
        "{head}authorization: Bearer {ADMIN_KEY}\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n{{"
    );
    let mut dripping = JoinSet::new();
    for _ in 0..EACH {
        for (beginning, expected) in [(format!("{head}x-drip: "), ""), (body.clone(), "HTTP/1.1 400 ")] {
            let stream = flooded.connect().await;
            dripping.spawn(async move { (drip(stream, beginning).await, expected) });
        }
    }
    flooded.serves_others().await;
    let mut hung_up = 0;
    while let Some(ended) = dripping.join_next().await {
        let (told, expected) = ended.expect("it does not panic");
        assert!(told.starts_with(expected) && !told.contains("HTTP/1.1 202"), "{told}");
        hung_up += 1;
    }
    assert_eq!(hung_up, 2 * EACH);
    flooded.serves_others().await;
    flooded.is_flat();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_size_and_a_number_of_headers() {
    let flooded = Flooded::start().await;
    let many: String = (0..1000).map(|n| format!("x-{n}: a\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(100_000));
    for (what, headers) in [("many headers", many), ("a long header", long)] {
        let mut stream = flooded.connect().await;
        // It may hang up before it has read everything.
        _ = stream.write_all(format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await;
        let told = said(&mut stream).await;
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 431 "), "{what}: {told}");
    }
    // Without an end.
    let mut endless = JoinSet::new();
    for _ in 0..20 {
        let mut stream = flooded.connect().await;
        endless.spawn(async move {
            _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-endless: ").await;
            let mut sent = 0;
            while stream.write_all(&[b'a'; 16 * 1024]).await.is_ok() {
                sent += 16;
                assert!(sent <= 64 * 1024, "it reads a head of 64 MiB");
            }
        });
    }
    flooded.serves_others().await;
    for ended in endless.join_all().await {
        let () = ended;
    }
    flooded.is_flat();
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_half_bodies_are_refused_and_left() {
    let flooded = Flooded::start().await;
    let head = |key: &str, length: &str| {
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        )
    };
    let gigabyte = "content-length: 1073741824";
    for (what, head, status) in [
        ("a gigabyte", head(ADMIN_KEY, gigabyte), "413"),
        ("no end of chunks", head(ADMIN_KEY, "transfer-encoding: chunked"), "413"),
        ("a gigabyte of nobody's", head("nobody", gigabyte), "401"),
    ] {
        let stream = flooded.connect().await;
        let (mut read, mut write) = stream.into_split();
        let is_chunked = head.contains("chunked");
        let sending = tokio::spawn(async move {
            _ = write.write_all(head.as_bytes()).await;
            let piece = vec![b' '; 64 * 1024];
            let mut sent_kib = 0_u64;
            loop {
                let size = if is_chunked { format!("{:x}\r\n", piece.len()) } else { String::new() };
                let end: &[u8] = if is_chunked { b"\r\n" } else { b"" };
                let whole = [size.as_bytes(), &piece, end].concat();
                if write.write_all(&whole).await.is_err() {
                    return sent_kib;
                }
                sent_kib += 64;
            }
        });
        let mut told = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = timeout(PATIENCE, read.read(&mut chunk)).await.expect("it closes in time") {
            told.extend_from_slice(&chunk[..read]);
        }
        let told = String::from_utf8_lossy(&told);
        // What was not read when it hung up can take the answer with it (a reset, RFC 9112 section 9.6).
        assert!(told.is_empty() || told.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {told}");
        let sent_kib = sending.await.expect("it does not panic");
        assert!(sent_kib < 64 * 1024, "{what}: it read {sent_kib} KiB");
    }
    for _ in 0..300 {
        let mut stream = flooded.connect().await;
        let half = format!("{}{{\"type\":", head(ADMIN_KEY, "content-length: 500000"));
        stream.write_all(half.as_bytes()).await.expect("it reads");
        // And gone.
    }
    flooded.serves_others().await;
    flooded.is_flat();
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_of_one_address_leave_room_for_another() {
    // Both ends of the connections are files, of two processes.
    _ = rlimit::increase_nofile_limit(65_536);
    let flooded = Flooded::start().await;
    let (one, other) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let address = flooded.waxwing.address;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_PER_PEER_MAX {
        idle.push(connect_from(one, address).await.expect("it listens"));
    }
    // It takes them in the order in which they came: this one is more than one address may have.
    let mut too_many = connect_from(one, address).await.expect("it listens");
    assert_eq!(said(&mut too_many).await, "");
    for _ in 0..CONNECTIONS_PER_PEER_MAX {
        idle.push(connect_from(other, address).await.expect("it listens"));
    }
    flooded.serves_others().await;
    flooded.is_flat();
    drop(idle);
    // Their places are free again, as soon as it has noticed.
    let served = async {
        loop {
            let Ok(mut stream) = connect_from(one, address).await else { continue };
            _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
            if said(&mut stream).await.starts_with("HTTP/1.1 200 ") {
                return;
            }
        }
    };
    timeout(PATIENCE, served).await.expect("it notices in time");
}

/// Frames of HTTP/2 (RFC 9113 section 6).
mod frame {
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const CONTINUATION: u8 = 9;

    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;

    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// `GET http://x/` (RFC 7541: three members of the static table, and a literal that is not remembered).
    pub const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'x'];

    pub fn of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags];
        [&head[..], &stream.to_be_bytes(), payload].concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http_2_frames_cost_their_connection_and_nobody_else() {
    const FRAMES: u32 = 30_000;
    let flooded = Flooded::start().await;
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        let open = frame::of(frame::HEADERS, frame::END_HEADERS | frame::END_STREAM, stream, frame::GET);
        [open, frame::of(frame::RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let settings = |_| frame::of(frame::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let ping = |_| frame::of(frame::PING, 0, 0, b"12345678");
    /// The bytes of one of its rounds.
    type Flood<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let floods: [(&str, Flood<'_>); 3] =
        [("streams that are reset at once", &reset), ("settings", &settings), ("pings", &ping)];
    for (what, flood) in floods {
        // One that takes what it is told, and one that does not.
        for takes_answers in [true, false] {
            let (mut read, mut write) = flooded.connect().await.into_split();
            let taking = takes_answers.then(|| {
                tokio::spawn(async move {
                    let mut chunk = vec![0; 64 * 1024];
                    while let Ok(1..) = read.read(&mut chunk).await {}
                })
            });
            let frames: Vec<u8> = (0..FRAMES).flat_map(flood).collect();
            let begin = [frame::PREFACE, &frame::of(frame::SETTINGS, 0, 0, &[])].concat();
            write.write_all(&begin).await.expect("it reads");
            // It may hang up, or read no more until its answers are taken.
            _ = timeout(Duration::from_secs(5), write.write_all(&frames)).await;
            flooded.serves_others().await;
            flooded.is_flat();
            if let Some(taking) = taking {
                taking.abort();
            }
            println!("{what}, answers taken: {takes_answers}: {} MiB", resident_mib(flooded.waxwing.id()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_http_2_that_never_ends_is_cut_off() {
    const FRAMES_MAX: u32 = 4096;
    let flooded = Flooded::start().await;
    let (mut read, mut write) = flooded.connect().await.into_split();
    let begin = [
        frame::PREFACE.to_vec(),
        frame::of(frame::SETTINGS, 0, 0, &[]),
        frame::of(frame::HEADERS, frame::END_STREAM, 1, frame::GET),
    ];
    write.write_all(&begin.concat()).await.expect("it reads");
    let sending = tokio::spawn(async move {
        // A header that is not remembered, of 8 KiB (RFC 7541 section 6.2.2: 127 and 8,065 more).
        let header = [&[0x00, 0x01, b'a', 0x7f, 0x81, 0x3f][..], &[b'b'; 8192]].concat();
        let more = frame::of(frame::CONTINUATION, 0, 1, &header);
        for sent in 0..FRAMES_MAX {
            if write.write_all(&more).await.is_err() {
                return sent;
            }
        }
        FRAMES_MAX
    });
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(1..) = timeout(PATIENCE, read.read(&mut chunk)).await.expect("it closes in time") {}
    assert!(sending.await.expect("it does not panic") < FRAMES_MAX, "it reads a head of {} MiB", FRAMES_MAX * 8 / 1024);
    flooded.serves_others().await;
    flooded.is_flat();
}

//! The receiver: counts deliveries, finds duplicates, measures latencies, keeps a sample to verify, and plays sick receivers.
//!
//! It shares the machine with what is measured, so a request costs it one read, one write and a few hundred bytes of
//! parsing. What a path begins with says how it is answered: `/ok/GROUP`, `/hang`, `/drip`, `/unavailable`.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::SECRET;
use super::clock::monotonic_ns;
use super::figures::Latencies;
use super::link::{AskSink, Received, ToldBySink, hear, tell};
use super::template::due_and_seq;
use super::wire::{self, Found, Inbox, Malformed, Message};

/// Connections wait in the kernel until they are taken.
const BACKLOG: u32 = 4096;
/// Deliveries of a run whose signatures are verified, spread over all of it.
const SAMPLES_MAX: usize = 128;
/// Enough for the percentiles of the longest run.
const LATENCIES_MAX: usize = 1_000_000;
/// A receiver that drips sends a byte of its answer this often.
const DRIP_EVERY: Duration = Duration::from_millis(500);
/// Questions of the parent that wait.
const ASKED_MAX: usize = 4;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

pub fn main() {
    // Thousands of connections to receivers that hang.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let (asked, mut asks) = mpsc::channel(ASKED_MAX);
    std::thread::spawn(move || {
        while let Some(ask) = hear() {
            if asked.blocking_send(ask).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has epoll");
    LocalSet::new().block_on(&runtime, async {
        let listening = listener().and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listening.expect("loopback has free ports");
        // Bound and not listening: whoever connects is refused, and nobody else gets the port.
        let (refusing, refusing_address) = refusing().expect("loopback has free ports");
        let book = Rc::new(Book::default());
        tokio::task::spawn_local(accept(listener, Rc::clone(&book)));
        tell(&ToldBySink::Listening { address, refusing: refusing_address });
        while let Some(ask) = asks.recv().await {
            tell(&answer(&book, ask).await);
        }
        drop(refusing);
    });
}

fn listener() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(BACKLOG)
}

fn refusing() -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// What was received, and a bell for who waits for so much.
#[derive(Default)]
struct Book {
    pages: RefCell<Pages>,
    reached: Notify,
}

#[derive(Default)]
struct Pages {
    groups: u64,
    seqs: u64,
    /// A bit for each expected delivery.
    seen: Vec<u64>,
    received: Received,
    requests: u64,
    latencies_us: Vec<u32>,
    /// One of so many requests is kept to be verified.
    sample_every: u64,
    samples: Vec<Sample>,
    waited_for: Option<u64>,
}

struct Sample {
    head: Vec<u8>,
    body: Vec<u8>,
}

async fn answer(book: &Book, ask: AskSink) -> ToldBySink {
    match ask {
        AskSink::Expect { groups, seqs } => {
            *book.pages.borrow_mut() = Pages::expecting(groups, seqs);
            ToldBySink::Ready
        }
        AskSink::Mark => {
            book.pages.borrow_mut().received.first_ns = 0;
            ToldBySink::Ready
        }
        AskSink::Wait { unique, within_ms } => {
            let _ = timeout(Duration::from_millis(within_ms), async {
                while !book.pages.borrow_mut().has(unique) {
                    book.reached.notified().await;
                }
            })
            .await;
            ToldBySink::Waited { unique: book.pages.borrow().received.unique }
        }
        AskSink::Report => ToldBySink::Received(book.pages.borrow().report()),
    }
}

async fn accept(listener: TcpListener, book: Rc<Book>) {
    loop {
        // Out of files for a moment: the next one may be taken.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let book = Rc::clone(&book);
        tokio::task::spawn_local(async move {
            // Its end is the sender's business.
            let _ = serve(stream, &book).await;
        });
    }
}

async fn serve(mut stream: TcpStream, book: &Book) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new();
    loop {
        let (bytes, behaviour) = match wire::find(inbox.unread()).map_err(malformed)? {
            Found::Whole(message) => {
                let path = message.path().map_err(malformed)?;
                let behaviour = Behaviour::of(path);
                if let Behaviour::Take { group } = behaviour
                    && book.pages.borrow_mut().receive(group, &message)
                {
                    book.reached.notify_one();
                }
                (message.bytes(), behaviour)
            }
            Found::Part { bytes } => {
                let count = stream.read(inbox.room(bytes)).await?;
                if count == 0 {
                    return Ok(());
                }
                inbox.filled(count);
                continue;
            }
        };
        inbox.take(bytes);
        match behaviour {
            Behaviour::Take { .. } => stream.write_all(OK).await?,
            Behaviour::Refuse => stream.write_all(UNAVAILABLE).await?,
            Behaviour::Hang => {
                // Until the sender has enough of it and closes the connection.
                while stream.read(inbox.room(None)).await? > 0 {}
                return Ok(());
            }
            Behaviour::Drip => {
                for byte in OK {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(DRIP_EVERY).await;
                }
            }
        }
    }
}

fn malformed(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Take { group: u64 },
    Hang,
    Drip,
    Refuse,
}

impl Behaviour {
    fn of(path: &[u8]) -> Self {
        match path {
            [b'/', b'h', ..] => Self::Hang,
            [b'/', b'd', ..] => Self::Drip,
            [b'/', b'u', ..] => Self::Refuse,
            _ => {
                let digits = path.strip_prefix(b"/ok/").unwrap_or_default();
                let group = digits.iter().take_while(|digit| digit.is_ascii_digit());
                Self::Take { group: group.fold(0, |group, digit| group * 10 + u64::from(digit - b'0')) }
            }
        }
    }
}

impl Pages {
    fn expecting(groups: u64, seqs: u64) -> Self {
        let all = groups * seqs;
        Self {
            groups,
            seqs,
            seen: vec![0; usize::try_from(all.div_ceil(64)).expect("a bit of memory for each delivery")],
            sample_every: (all / SAMPLES_MAX as u64).max(1),
            ..Self::default()
        }
    }

    fn has(&mut self, unique: u64) -> bool {
        self.waited_for = Some(unique);
        self.received.unique >= unique
    }

    /// Whether this was the one that was waited for.
    fn receive(&mut self, group: u64, message: &Message<'_>) -> bool {
        let now = monotonic_ns();
        if self.requests.is_multiple_of(self.sample_every.max(1)) && self.samples.len() < SAMPLES_MAX {
            self.samples.push(Sample { head: message.head.to_vec(), body: message.body.to_vec() });
        }
        self.requests += 1;
        let Self { groups, seqs, seen, received, latencies_us, waited_for, .. } = self;
        if received.first_ns == 0 {
            received.first_ns = now;
        }
        let numbers = due_and_seq(message.body).filter(|(_, seq)| seq < seqs && group < *groups);
        let Some((due_ns, seq)) = numbers else {
            received.strangers += 1;
            return false;
        };
        let number = group * *seqs + seq;
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if seen[word] & bit != 0 {
            received.duplicates += 1;
            return false;
        }
        seen[word] |= bit;
        received.unique += 1;
        received.last_new_ns = now;
        if latencies_us.len() < LATENCIES_MAX {
            latencies_us.push(u32::try_from(now.saturating_sub(due_ns) / 1000).unwrap_or(u32::MAX));
        }
        *waited_for == Some(received.unique)
    }

    fn report(&self) -> Received {
        let wrong = self.samples.iter().filter(|sample| !sample.is_signed()).count();
        Received {
            latencies: Latencies::of(self.latencies_us.clone()),
            signatures_checked: self.samples.len() as u64,
            signatures_wrong: wrong as u64,
            ..self.received
        }
    }
}

impl Sample {
    /// By a library that we did not write. The age does not matter: samples are verified when a run is over.
    fn is_signed(&self) -> bool {
        let webhook = standardwebhooks::Webhook::new(SECRET).expect("the secret is one");
        let header = |name| wire::header(&self.head, name);
        let (Some(id), Some(signature)) = (header("webhook-id"), header("webhook-signature")) else { return false };
        let Some(timestamp) = header("webhook-timestamp").and_then(|text| text.parse().ok()) else { return false };
        webhook.sign(id, timestamp, &self.body).is_ok_and(|expected| signature.split(' ').any(|one| one == expected))
    }
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::super::template::{Template, data};
    use super::*;

    /// A delivery as Waxwing sends it, signed.
    fn delivery(seq: u64, due_ns: u64) -> Vec<u8> {
        let mut template = Template::text(&data(200));
        let body = template.fill(seq, due_ns);
        let signature = standardwebhooks::Webhook::new(SECRET).unwrap().sign("evt_1", 7, body).unwrap();
        let head = format!(
            "POST /ok/0 HTTP/1.1\r\nwebhook-id: evt_1\r\nwebhook-timestamp: 7\r\nwebhook-signature: {signature}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn receive(pages: &mut Pages, group: u64, bytes: &[u8]) -> bool {
        let Found::Whole(message) = wire::find(bytes).unwrap() else { panic!("it is whole") };
        pages.receive(group, &message)
    }

    #[test]
    fn a_delivery_counts_once_in_each_group_and_what_was_not_expected_not_at_all() {
        let mut pages = Pages::expecting(2, 100);
        assert!(!pages.has(4));
        let rings: Vec<_> = [(0, 0), (0, 99), (1, 0), (0, 99), (0, 100), (2, 0), (1, 99)]
            .map(|(group, seq)| receive(&mut pages, group, &delivery(seq, 0)))
            .to_vec();
        assert_eq!(rings, [false, false, false, false, false, false, true]);
        let report = pages.report();
        assert_eq!((report.unique, report.duplicates, report.strangers), (4, 1, 2));
        assert_eq!(report.latencies.count, 4);
        assert!(report.first_ns > 0 && report.last_new_ns >= report.first_ns);
    }

    #[test]
    fn a_changed_delivery_is_found_among_the_samples() {
        let mut pages = Pages::expecting(1, 100);
        receive(&mut pages, 0, &delivery(1, 0));
        let mut changed = delivery(2, 0);
        let last = changed.len() - 5;
        changed[last] = b'!';
        receive(&mut pages, 0, &changed);
        let unsigned = b"POST /ok/0 HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        receive(&mut pages, 0, unsigned);
        let report = pages.report();
        assert_eq!((report.signatures_checked, report.signatures_wrong), (3, 2));
    }

    #[test]
    fn a_path_says_how_it_is_answered() {
        for (path, behaviour) in [
            ("/ok/0", Behaviour::Take { group: 0 }),
            ("/ok/49?n=7", Behaviour::Take { group: 49 }),
            ("/hang/3", Behaviour::Hang),
            ("/drip/3", Behaviour::Drip),
            ("/unavailable/3", Behaviour::Refuse),
        ] {
            assert_eq!(Behaviour::of(path.as_bytes()), behaviour, "{path}");
        }
    }
}

//! A network of the test's own: a machine that is tested, and another one with every address that nothing may be sent to,
//! between them a cable. Each address answers HTTP and counts who connected; names lead where the test says.
//!
//! It is made of Linux network namespaces, so it is seen by nobody else, and needs the right to make them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Set for the process that runs inside.
const INSIDE: &str = "TEST_NETWORK";
/// Where every address answers.
pub const PORT: u16 = 8080;
/// A path that leads elsewhere.
pub const MOVED: &str = "/moved";
/// A request that is not there after this time is none.
const REQUEST_WITHIN: Duration = Duration::from_secs(2);

/// The tested machine's end of the cable, and the other one's: both are public addresses.
const NEAR: [&str; 2] = ["11.0.0.2/24", "2a00:1::2/64"];
const FAR: [&str; 2] = ["11.0.0.1/24", "2a00:1::1/64"];

/// Runs a test of this program again in a network of its own: `test` is its name, and it is marked as ignored. Answers false,
/// and says why, where that is not permitted.
pub fn rerun(test: &str) -> bool {
    let attempts = [&["--net", "--mount"][..], &["--user", "--map-root-user", "--net", "--mount"][..]];
    let permitted = attempts.into_iter().find(|arguments| {
        // What the network is made with is tried, too.
        let trial = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip netns add trial \
                     && ip link add near type veth peer name far netns trial && ip addr add 2a00:1::2/64 dev near";
        let tried = Command::new("unshare").args(*arguments).args(["sh", "-c", trial]).output();
        tried.is_ok_and(|output| output.status.success())
    });
    let Some(arguments) = permitted else {
        println!("SKIPPED {test}: this machine does not let a test make network namespaces (unshare, ip netns, veth)");
        return false;
    };
    let program = std::env::current_exe().expect("it runs");
    let status = Command::new("unshare")
        .args(arguments)
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("it was started just now");
    assert!(status.success(), "{test} failed in its network: see above");
    true
}

pub struct Network {
    names: Names,
    reached: Reached,
}

/// How often each address was connected to.
type Reached = Arc<Mutex<BTreeMap<IpAddr, usize>>>;
/// Without their last dot, in lower case.
type Names = Arc<Mutex<HashMap<String, Vec<IpAddr>>>>;

impl Network {
    /// Only in a process that [`rerun`] started: it would change the machine's own network. `far` are the addresses of the
    /// other machine.
    pub fn make(folder: &Path, far: &[IpAddr]) -> Self {
        assert!(std::env::var_os(INSIDE).is_some(), "this test is started by another one, in a network of its own");
        run("mount -t tmpfs tmpfs /run/netns");
        run("ip netns add hosts");
        run("ip link add out type veth peer name in netns hosts");
        for (device, near, far) in [("out", NEAR[0], FAR[0]), ("out", NEAR[1], FAR[1])] {
            let nodad = if near.contains(':') { "nodad" } else { "" };
            run(&format!("ip addr add {near} dev {device} {nodad}"));
            run(&format!("ip -n hosts addr add {far} dev in {nodad}"));
        }
        for command in
            ["ip link set lo up", "ip link set out up", "ip -n hosts link set lo up", "ip -n hosts link set in up"]
        {
            run(command);
        }
        run("ip route add default via 11.0.0.1");
        run("ip -6 route add default via 2a00:1::1");
        for address in far {
            let nodad = if address.is_ipv6() { "nodad" } else { "" };
            run(&format!("ip -n hosts addr add {address} dev in {nodad}"));
        }
        let resolv = folder.join("resolv.conf");
        std::fs::write(&resolv, "nameserver 127.0.0.1\n").expect("the folder is writable");
        run(&format!("mount --bind {} /etc/resolv.conf", resolv.display()));

        let reached = Reached::default();
        // All addresses of a machine, of both families.
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let near = TcpListener::bind(everywhere).expect("nobody else listens here");
        let far = std::thread::spawn(move || {
            let hosts = File::open("/run/netns/hosts").expect("it was made just now");
            move_into_link_name_space(hosts.as_fd(), Some(LinkNameSpaceType::Network)).expect("it is ours");
            TcpListener::bind(everywhere).expect("nobody else listens there")
        });
        for listener in [near, far.join().expect("it does not panic")] {
            let reached = Arc::clone(&reached);
            std::thread::spawn(move || answer_all(&listener, &reached));
        }
        let names = Names::default();
        let socket = UdpSocket::bind("127.0.0.1:53").expect("nobody else listens here");
        let asked = Arc::clone(&names);
        std::thread::spawn(move || resolve_all(&socket, &asked));
        Self { names, reached }
    }

    /// From now on the name leads there. Who asked before may remember for a second.
    pub fn name(&self, name: &str, addresses: &[IpAddr]) {
        self.names.lock().expect("nobody panics with it").insert(name.to_owned(), addresses.to_vec());
    }

    /// Each address that was connected to, and how often.
    pub fn reached(&self) -> BTreeMap<IpAddr, usize> {
        self.reached.lock().expect("nobody panics with it").clone()
    }
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a first word");
    let output = Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

fn answer_all(listener: &TcpListener, reached: &Reached) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let Ok(local) = stream.local_addr() else { continue };
        // Whoever has the answer finds it counted.
        *reached.lock().expect("nobody panics with it").entry(local.ip().to_canonical()).or_default() += 1;
        std::thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) {
    _ = stream.set_read_timeout(Some(REQUEST_WITHIN));
    let mut request = [0; 8192];
    let read = stream.read(&mut request).unwrap_or(0);
    let target = String::from_utf8_lossy(&request[..read]).split(' ').nth(1).unwrap_or_default().to_owned();
    let head = match target.strip_prefix(MOVED) {
        Some(to) => format!("HTTP/1.1 307 Moved\r\nlocation: http://{}/\r\n", to.trim_start_matches('/')),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    _ = stream.write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
}

/// Of a DNS message (RFC 1035 section 4).
const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

fn resolve_all(socket: &UdpSocket, names: &Names) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        if let Some(answer) = resolve(&question[..length], names) {
            _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer to a message with one question; none to what is no such message.
fn resolve(message: &[u8], names: &Names) -> Option<Vec<u8>> {
    let mut labels: Vec<String> = Vec::new();
    let mut place = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(place)?);
        place += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(place..place + length)?).to_ascii_lowercase());
        place += length;
    }
    let kind = u16::from_be_bytes(message.get(place..place + 2)?.try_into().ok()?);
    let question = message.get(HEADER_BYTES..place + 4)?;
    let known = names.lock().expect("nobody panics with it").get(&labels.join(".")).cloned();
    let addresses: Vec<Vec<u8>> = known
        .iter()
        .flatten()
        .filter_map(|ip| match ip {
            IpAddr::V4(ip) if kind == TYPE_A => Some(ip.octets().to_vec()),
            IpAddr::V6(ip) if kind == TYPE_AAAA => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut answer = message[..2].to_vec();
    // An answer with recursion, and whether there is such a name.
    answer.extend([0x81, if known.is_some() { 0x80 } else { 0x83 }]);
    for count in [1, u16::try_from(addresses.len()).ok()?, 0, 0] {
        answer.extend(count.to_be_bytes());
    }
    answer.extend(question);
    for address in addresses {
        // The name of the question, of class internet, remembered for no time.
        answer.extend([0xc0, HEADER_BYTES as u8]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(address.len()).ok()?.to_be_bytes());
        answer.extend(address);
    }
    Some(answer)
}

//! Child processes: they end with this one, however it ends.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::clock::monotonic_ns;
use super::link::Fault;
use super::usage::{self, CpuSeconds, Memory};
use super::wire::{self, Found, Inbox};

/// An instance key that every server of a run knows.
const ADMIN_KEY: &str = "throughput-admin-key-0123456789-0123456789";
/// Longer than any start takes.
const START_WITHIN: Duration = Duration::from_secs(120);
/// Lines of a server's log that are shown when it failed.
const LOG_LINES_SHOWN: usize = 20;

/// What this program is when it runs itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Sink,
    Load,
    RawSend,
    /// Writes to a disk and says how long a sync takes.
    Syncs,
    /// Becomes another program that ends with its parent.
    Become,
}

impl Role {
    const ALL: [Self; 5] = [Self::Sink, Self::Load, Self::RawSend, Self::Syncs, Self::Become];

    fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Load => "load",
            Self::RawSend => "rawsend",
            Self::Syncs => "syncs",
            Self::Become => "become",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// For a child: the kernel ends it when its parent is gone, also by kill -9.
pub fn end_with_parent() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// The role [`Role::Become`]: keeps its process id and turns into the program that the arguments name.
pub fn become_another(arguments: &[String]) -> io::Error {
    let [program, arguments @ ..] = arguments else { return io::ErrorKind::InvalidInput.into() };
    end_with_parent();
    Command::new(program).args(arguments).exec()
}

fn own_program(role: Role) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role.name());
    Ok(command)
}

/// A process that is killed when this is dropped.
pub struct Process {
    child: Child,
}

impl Process {
    fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.spawn()? })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu(&self) -> CpuSeconds {
        usage::cpu(self.id()).unwrap_or_default()
    }

    pub fn memory(&self) -> Memory {
        usage::memory(self.id()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program in another role.
pub struct Helper {
    pub process: Process,
    asks: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    role: Role,
}

impl Helper {
    pub fn start(role: Role) -> Result<Self, Fault> {
        let mut command = own_program(role)?;
        let mut process = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let asks = ChildStdin::from_std(process.child.stdin.take().expect("it is piped"))?;
        let told = ChildStdout::from_std(process.child.stdout.take().expect("it is piped"))?;
        Ok(Self { process, asks, told: BufReader::new(told).lines(), role })
    }

    pub async fn ask(&mut self, ask: &impl Serialize) -> Result<(), Fault> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        self.asks.write_all(&line).await?;
        Ok(())
    }

    /// The next thing that it tells, within a time.
    pub async fn told<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T, Fault> {
        let name = self.role.name();
        let line = timeout(within, self.told.next_line()).await.map_err(|_| format!("`{name}` said nothing"))??;
        Ok(serde_json::from_str(&line.ok_or_else(|| format!("`{name}` ended"))?)?)
    }
}

/// The mean time of a sync, in microseconds, as this program measures it in a process of its own.
pub fn sync_microseconds(folder: &Path, disk: Disk) -> Result<f64, Fault> {
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let [first, rest @ ..] = &disk.command([program, Role::Syncs.name().to_owned()])[..] else {
        return Err("no program".into());
    };
    let output = Command::new(first).args(rest).arg(folder).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// The role [`Role::Syncs`].
pub fn measure_syncs(folder: &Path) -> io::Result<f64> {
    use std::io::Write;
    const SYNCS: u32 = 50;
    let mut file = tempfile::tempfile_in(folder)?;
    let begun_ns = monotonic_ns();
    for _ in 0..SYNCS {
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
    }
    Ok((monotonic_ns() - begun_ns) as f64 / 1000.0 / f64::from(SYNCS))
}

/// The disk that a server sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    AsItIs,
    /// Every sync takes so much longer: strace holds the thread before the call. Other calls are not stopped at.
    SlowSync {
        microseconds: u32,
    },
}

impl Disk {
    /// The command line that runs a program on this disk.
    fn command<const N: usize>(self, program: [String; N]) -> Vec<String> {
        let Self::SlowSync { microseconds } = self else { return program.to_vec() };
        let inject = format!("inject=fdatasync,fsync:delay_enter={microseconds}");
        // The tracer is a grandchild (-D), so that the child is the server itself.
        let tracer = ["strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e"];
        tracer.map(str::to_owned).into_iter().chain([inject]).chain(program).collect()
    }
}

/// Waxwing as a child process.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    /// When its process was started.
    pub started_ns: u64,
}

/// One answer of the API.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Server {
    /// Started when it says where it listens. `folder` holds its data and its log.
    pub async fn start(binary: &Path, folder: &Path, disk: Disk) -> Result<Self, Fault> {
        let log = folder.join("log");
        let binary = binary.to_string_lossy().into_owned();
        let mut command = own_program(Role::Become)?;
        command.args(disk.command([binary, "serve".to_owned()]));
        command.arg("--data-dir").arg(folder.join("data")).args(["--listen", "127.0.0.1:0", "--allow-http-targets"]);
        command.args(["--allow-target-range", "127.0.0.0/8", "--management-rate", "off", "--publish-rate", "off"]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WAXWING_") {
                command.env_remove(name);
            }
        }
        // A waxwing.toml of the working directory would be read.
        command.env("WAXWING_ADMIN_KEY", ADMIN_KEY).current_dir(folder);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?);
        let started_ns = monotonic_ns();
        let mut process = Process::spawn(&mut command)?;
        let told = ChildStdout::from_std(process.child.stdout.take().expect("it is piped"))?;
        let mut lines = BufReader::new(told).lines();
        let address = timeout(START_WITHIN, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = address_in(&line) {
                    return Ok(address);
                }
            }
            Err(Fault::from("it ended"))
        });
        let address = match address.await {
            Ok(Ok(address)) => address,
            Ok(Err(fault)) => return Err(format!("the server did not start: {fault}\n{}", tail(&log)).into()),
            Err(_) => return Err(format!("the server did not start in {START_WITHIN:?}\n{}", tail(&log)).into()),
        };
        // Read on, so that it never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { process, address, started_ns })
    }

    /// One request of the API. The answer's status is not judged.
    pub async fn call(&self, method: &str, path: &str, body: &str) -> Result<Answer, Fault> {
        let mut stream = TcpStream::connect(self.address).await?;
        let head = self.head(method, path).join("\r\n");
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await?;
        let mut inbox = Inbox::new();
        loop {
            let bytes = match wire::find(inbox.unread())? {
                Found::Whole(answer) => return Ok(Answer { status: answer.status()?, body: answer.body.to_vec() }),
                Found::Part { bytes } => bytes,
            };
            let count = timeout(START_WITHIN, stream.read(inbox.room(bytes))).await??;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            inbox.filled(count);
        }
    }

    /// One request that has to succeed, and the id of what it answers, when there is one.
    pub async fn must(&self, method: &str, path: &str, body: &str) -> Result<String, Fault> {
        let Answer { status, body: answer } = self.call(method, path, body).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        Ok(answer["data"]["id"].as_str().unwrap_or_default().to_owned())
    }

    /// The lines of a request's head, without their ends and without the body's length.
    pub fn head(&self, method: &str, path: &str) -> Vec<String> {
        vec![
            format!("{method} {path} HTTP/1.1"),
            format!("host: {}", self.address),
            format!("authorization: Bearer {ADMIN_KEY}"),
            "content-type: application/json".to_owned(),
        ]
    }
}

/// The first `http://127.0.0.1:PORT` of a line.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = &line[line.find("http://127.0.0.1:")? + "http://".len()..];
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}

fn tail(log: &PathBuf) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_what_a_server_prints() {
        for (line, address) in [
            ("  API        http://127.0.0.1:8620", Some("127.0.0.1:8620")),
            ("listening on http://127.0.0.1:41234.", Some("127.0.0.1:41234")),
            ("http://127.0.0.1:41234/docs", Some("127.0.0.1:41234")),
            ("http://0.0.0.0:1", None),
            ("", None),
        ] {
            assert_eq!(address_in(line), address.map(|address| address.parse().unwrap()), "{line}");
        }
    }

    #[test]
    fn a_slow_disk_is_a_tracer_in_front_of_the_same_program() {
        let program = || ["waxwing".to_owned(), "serve".to_owned()];
        assert_eq!(Disk::AsItIs.command(program()), program());
        let traced = Disk::SlowSync { microseconds: 5000 }.command(program());
        assert_eq!(traced[..2], ["strace", "-D"]);
        assert_eq!(traced[traced.len() - 3..], ["inject=fdatasync,fsync:delay_enter=5000", "waxwing", "serve"]);
    }
}

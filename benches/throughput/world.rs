//! What surrounds the server that is measured: receiver, generators, raw sender, folders; and one measurement.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;
use tokio::time::sleep;

use super::children::{Disk, Helper, Process, Role, Server};
use super::clock::monotonic_ns;
use super::link::{
    AskSink, Fault, Loaded, Plan, RawPlan, RawSender, Received, ToldByLoad, ToldByRawSender, ToldBySink,
};
use super::template::data;
use super::usage::{self, Machine};

/// Connections of the raw sender.
const RAW_CONNECTIONS: u32 = 64;
/// A helper answers a question at once.
const HELPER_WITHIN: Duration = Duration::from_secs(60);
/// How often a wait looks whether anything moves.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One line on the terminal in so many looks.
const LOOKS_PER_LINE: u32 = 5;
/// When nothing moves for so long, the rest is taken for lost.
const STALLED_AFTER: Duration = Duration::from_secs(40);
/// After the last delivery: what would come twice has come, and outcomes and indices are written, so that their cost is counted.
const SETTLE: Duration = Duration::from_millis(500);

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Small counts: shows that everything works, not how fast it is.
    pub is_quick: bool,
    /// How often a scenario is repeated; medians are shown.
    pub runs: u32,
    /// Events of the long history.
    pub history: u64,
}

impl Scale {
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }
}

pub struct World {
    pub scale: Scale,
    binary: PathBuf,
    folder: TempDir,
    pub receiver: Receiver,
    pub generator: Generator,
    raw: Helper,
    begun_ns: u64,
}

/// A server with its folder, both gone when this is dropped.
pub struct Home {
    pub server: Server,
    folder: TempDir,
    binary: PathBuf,
    disk: Disk,
}

/// What the raw senders reach, in requests per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RawPerSecond {
    pub library: f64,
    pub by_hand: f64,
}

/// What a server has to deliver: each number below `seqs` to each of `groups`.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub groups: u64,
    pub seqs: u64,
}

/// What one run came to.
#[derive(Debug, Clone)]
pub struct Measured {
    pub received: Received,
    pub loaded: Loaded,
    /// From the first publish to the last new delivery.
    pub seconds: f64,
    pub cpu: Cpu,
    /// Why the figures of this run cannot be trusted.
    pub doubts: Vec<String>,
}

/// CPU seconds of one run, by process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub waxwing: f64,
    pub receiver: f64,
    pub generator: f64,
    /// The part of the machine that went to others, 0 to 1.
    pub others: f64,
}

impl World {
    pub async fn new(scale: Scale, binary: &Path, folder: &Path) -> Result<Self, Fault> {
        Ok(Self {
            scale,
            binary: binary.to_owned(),
            folder: tempfile::Builder::new().prefix("waxwing-throughput-").tempdir_in(folder)?,
            receiver: Receiver::start().await?,
            generator: Generator::start().await?,
            raw: {
                let mut raw = Helper::start(Role::RawSend)?;
                let ToldByRawSender::Ready = raw.told(HELPER_WITHIN).await? else { return Err("not ready".into()) };
                raw
            },
            begun_ns: monotonic_ns(),
        })
    }

    /// One line for who waits.
    pub fn say(&self, text: &str) {
        eprintln!("{:7.1} s  {text}", (monotonic_ns() - self.begun_ns) as f64 / 1e9);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Fails when the disk has less room than a scenario will need.
    pub fn need_room(&self, bytes: u64) -> Result<(), Fault> {
        let disk = rustix::fs::statvfs(self.folder())?;
        let free_bytes = disk.f_bavail * disk.f_frsize;
        if free_bytes < bytes {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            let (free, needed) = (gib(free_bytes), gib(bytes));
            return Err(format!("the disk has {free:.1} GiB free and this needs {needed:.1} GiB; see --dir").into());
        }
        Ok(())
    }

    /// A server on an empty folder.
    pub async fn home(&self, disk: Disk) -> Result<Home, Fault> {
        let folder = tempfile::tempdir_in(self.folder())?;
        let server = Server::start(&self.binary, folder.path(), disk).await?;
        Ok(Home { server, folder, binary: self.binary.clone(), disk })
    }

    /// What the raw senders reach now with bodies of this size.
    pub async fn raw(&mut self, body_bytes: usize) -> Result<RawPerSecond, Fault> {
        let raw = RawPerSecond {
            library: self.raw_by(RawSender::Library, body_bytes).await?,
            by_hand: self.raw_by(RawSender::ByHand, body_bytes).await?,
        };
        let RawPerSecond { library, by_hand } = raw;
        self.say(&format!("  the raw sender: {library:.0}/s; by hand: {by_hand:.0}/s"));
        Ok(raw)
    }

    async fn raw_by(&mut self, sender: RawSender, body_bytes: usize) -> Result<f64, Fault> {
        let milliseconds = self.scale.pick(2000, 150);
        // More than can be sent in that time.
        self.receiver.expect(Expected { groups: 1, seqs: milliseconds * 1000 }).await?;
        let address = self.receiver.address;
        let plan = RawPlan { sender, address, body_bytes, connections: RAW_CONNECTIONS, milliseconds };
        self.raw.ask(&plan).await?;
        let (requests, seconds) = match self.raw.told(HELPER_WITHIN).await? {
            ToldByRawSender::Sent { requests, seconds } => (requests, seconds),
            ToldByRawSender::Failed(why) => return Err(format!("the raw sender failed: {why}").into()),
            ToldByRawSender::Ready => return Err("the raw sender began again".into()),
        };
        let received = self.receiver.report().await?;
        let Received { unique, duplicates, strangers, signatures_wrong, .. } = received;
        if unique != requests || duplicates + strangers + signatures_wrong > 0 {
            return Err(format!("the raw sender sent {requests}, and what came is {received:?}").into());
        }
        Ok(requests as f64 / seconds)
    }

    /// Publishes and waits until everything was received.
    pub async fn measure(&mut self, server: &Server, plan: &Plan, expected: Expected) -> Result<Measured, Fault> {
        self.receiver.expect(expected).await?;
        let begun = self.snapshot(&server.process);
        self.generator.begin(plan).await?;
        let loaded = self.loaded(plan).await?;
        let all = expected.groups * expected.seqs;
        self.wait(all, all).await?;
        sleep(SETTLE).await;
        let cpu = self.snapshot(&server.process).since(&begun);
        let received = self.receiver.report().await?;
        let seconds = received.last_new_ns.saturating_sub(loaded.begun_ns) as f64 / 1e9;
        Ok(Measured { received, loaded, seconds, cpu, doubts: doubts(&received, expected) })
    }

    /// Publishes what nobody counts, and waits until all of it was received.
    pub async fn rehearse(&mut self, plan: &Plan, expected: Expected) -> Result<(), Fault> {
        self.receiver.expect(expected).await?;
        self.publish(plan).await?;
        let all = expected.groups * expected.seqs;
        let missing = all - self.wait(all, all).await?;
        sleep(SETTLE).await;
        if missing > 0 { Err(format!("{missing} of {all} deliveries did not come").into()) } else { Ok(()) }
    }

    /// Publishes, and waits until everything was answered.
    pub async fn publish(&mut self, plan: &Plan) -> Result<Loaded, Fault> {
        self.generator.begin(plan).await?;
        self.loaded(plan).await
    }

    async fn loaded(&mut self, plan: &Plan) -> Result<Loaded, Fault> {
        let begun_ns = self.begun_ns;
        let say = |done: u64| {
            let (done, all) =
                (done * u64::from(plan.events_per_request), plan.requests * u64::from(plan.events_per_request));
            eprintln!("{:7.1} s    published {done} of {all}", (monotonic_ns() - begun_ns) as f64 / 1e9);
        };
        self.generator.finish(say).await
    }

    /// Waits until so many different deliveries were received, or nothing moves any more. How many there are.
    pub async fn wait(&mut self, unique: u64, all: u64) -> Result<u64, Fault> {
        let (mut last, mut moved_ns, mut looks) = (0, monotonic_ns(), 0);
        loop {
            let now = self.receiver.wait(unique, LOOK_EVERY).await?;
            if now >= unique {
                return Ok(now);
            }
            looks += 1;
            if looks % LOOKS_PER_LINE == 0 {
                self.say(&format!("  received {now} of {all}"));
            }
            if now > last {
                (last, moved_ns) = (now, monotonic_ns());
            } else if monotonic_ns() - moved_ns > STALLED_AFTER.as_nanos() as u64 {
                self.say(&format!("  nothing has come for {STALLED_AFTER:?}: {now} of {all} were received"));
                return Ok(now);
            }
        }
    }

    /// Lets what follows the last delivery happen.
    pub async fn settle(&self) {
        sleep(SETTLE).await;
    }

    fn snapshot(&self, server: &Process) -> Snapshot {
        let own = usage::cpu(std::process::id()).unwrap_or_default().0;
        Snapshot {
            waxwing: server.cpu().0,
            receiver: self.receiver.helper.process.cpu().0,
            generator: self.generator.helper.process.cpu().0,
            own,
            machine: usage::machine().unwrap_or_default(),
        }
    }
}

struct Snapshot {
    waxwing: f64,
    receiver: f64,
    generator: f64,
    own: f64,
    machine: Machine,
}

impl Snapshot {
    fn since(&self, earlier: &Self) -> Cpu {
        let [waxwing, receiver, generator, own] = [
            self.waxwing - earlier.waxwing,
            self.receiver - earlier.receiver,
            self.generator - earlier.generator,
            self.own - earlier.own,
        ];
        let busy = self.machine.busy_seconds - earlier.machine.busy_seconds;
        let all = self.machine.all_seconds - earlier.machine.all_seconds;
        let ours = waxwing + receiver + generator + own;
        let others = if all > 0.0 { ((busy - ours) / all).clamp(0.0, 1.0) } else { 0.0 };
        Cpu { waxwing, receiver, generator, others }
    }
}

/// Why what was received is not what should have been.
fn doubts(received: &Received, expected: Expected) -> Vec<String> {
    let all = expected.groups * expected.seqs;
    let mut doubts = Vec::new();
    let mut doubt = |is_so: bool, text: String| {
        if is_so {
            doubts.push(text);
        }
    };
    let Received { unique, duplicates, strangers, signatures_checked, signatures_wrong, .. } = *received;
    doubt(unique < all, format!("{} of {all} deliveries did not come", all.saturating_sub(unique)));
    doubt(duplicates > 0, format!("{duplicates} came twice"));
    doubt(strangers > 0, format!("{strangers} were not expected"));
    doubt(signatures_wrong > 0, format!("{signatures_wrong} of {signatures_checked} signatures did not verify"));
    doubt(signatures_checked == 0, "no signature was checked".to_owned());
    doubts
}

impl Home {
    /// kill -9, and a new process on the same folder.
    pub async fn restart_after_kill(self) -> Result<Self, Fault> {
        self.kill().start().await
    }

    /// kill -9.
    pub fn kill(self) -> Dead {
        let Self { server, folder, binary, disk } = self;
        drop(server);
        Dead { folder, binary, disk }
    }
}

/// The folder of a server that was killed.
pub struct Dead {
    folder: TempDir,
    binary: PathBuf,
    disk: Disk,
}

impl Dead {
    pub async fn start(self) -> Result<Home, Fault> {
        let Self { folder, binary, disk } = self;
        let server = Server::start(&binary, folder.path(), disk).await?;
        Ok(Home { server, folder, binary, disk })
    }
}

/// The receiver as a child.
pub struct Receiver {
    helper: Helper,
    pub address: SocketAddr,
    /// Connections to here are refused.
    pub refusing: SocketAddr,
}

impl Receiver {
    pub async fn start() -> Result<Self, Fault> {
        let mut helper = Helper::start(Role::Sink)?;
        let ToldBySink::Listening { address, refusing } = helper.told(HELPER_WITHIN).await? else {
            return Err("the receiver does not listen".into());
        };
        Ok(Self { helper, address, refusing })
    }

    pub async fn expect(&mut self, expected: Expected) -> Result<(), Fault> {
        self.ready(&AskSink::Expect { groups: expected.groups, seqs: expected.seqs }).await
    }

    /// Lets the report's `first_ns` be that of the next request.
    pub async fn mark(&mut self) -> Result<(), Fault> {
        self.ready(&AskSink::Mark).await
    }

    async fn ready(&mut self, ask: &AskSink) -> Result<(), Fault> {
        self.helper.ask(ask).await?;
        match self.helper.told(HELPER_WITHIN).await? {
            ToldBySink::Ready => Ok(()),
            other => Err(format!("the receiver told {other:?}").into()),
        }
    }

    /// How many different deliveries there are: at least `unique`, unless the time is over.
    pub async fn wait(&mut self, unique: u64, within: Duration) -> Result<u64, Fault> {
        self.helper.ask(&AskSink::Wait { unique, within_ms: within.as_millis() as u64 }).await?;
        match self.helper.told(HELPER_WITHIN).await? {
            ToldBySink::Waited { unique } => Ok(unique),
            other => Err(format!("the receiver told {other:?}").into()),
        }
    }

    pub async fn report(&mut self) -> Result<Received, Fault> {
        self.helper.ask(&AskSink::Report).await?;
        match self.helper.told(HELPER_WITHIN).await? {
            ToldBySink::Received(received) => Ok(received),
            other => Err(format!("the receiver told {other:?}").into()),
        }
    }
}

/// A generator as a child.
pub struct Generator {
    helper: Helper,
}

impl Generator {
    pub async fn start() -> Result<Self, Fault> {
        let mut helper = Helper::start(Role::Load)?;
        match helper.told(HELPER_WITHIN).await? {
            ToldByLoad::Ready => Ok(Self { helper }),
            other => Err(format!("the generator told {other:?}").into()),
        }
    }

    pub async fn begin(&mut self, plan: &Plan) -> Result<(), Fault> {
        self.helper.ask(plan).await
    }

    /// Waits for the end of what was begun; `progress` hears now and then how many requests were made.
    pub async fn finish(&mut self, progress: impl Fn(u64)) -> Result<Loaded, Fault> {
        let (mut last, mut moved_ns) = (0, monotonic_ns());
        loop {
            match self.helper.told(HELPER_WITHIN).await? {
                ToldByLoad::Progress { requests } => {
                    progress(requests);
                    if requests > last {
                        (last, moved_ns) = (requests, monotonic_ns());
                    } else if monotonic_ns() - moved_ns > STALLED_AFTER.as_nanos() as u64 {
                        return Err(format!("no request was answered for {STALLED_AFTER:?}").into());
                    }
                }
                ToldByLoad::Loaded(loaded) => return Ok(loaded),
                ToldByLoad::Refused(why) => return Err(why.into()),
                ToldByLoad::Ready => return Err("the generator began again".into()),
            }
        }
    }
}

/// One event as it is published, with `data` of so many bytes. `event_type` may be a template.
pub fn event(event_type: &str, data_bytes: usize) -> String {
    format!(r#"{{"type":"{event_type}","data":{}}}"#, data(data_bytes))
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_exactly_once_and_signed_is_a_doubt() {
        let expected = Expected { groups: 2, seqs: 50 };
        let good = Received { unique: 100, signatures_checked: 10, ..Received::default() };
        assert_eq!(doubts(&good, expected), Vec::<String>::new());
        for (received, doubt) in [
            (Received { unique: 97, ..good }, "3 of 100 deliveries did not come"),
            (Received { duplicates: 2, ..good }, "2 came twice"),
            (Received { strangers: 1, ..good }, "1 were not expected"),
            (Received { signatures_wrong: 1, ..good }, "1 of 10 signatures did not verify"),
            (Received { signatures_checked: 0, ..good }, "no signature was checked"),
        ] {
            assert_eq!(doubts(&received, expected), [doubt]);
        }
    }

    #[test]
    fn what_others_used_is_what_is_left_of_the_busy_time() {
        let at = |ours: f64, busy_seconds: f64, all_seconds: f64| Snapshot {
            waxwing: ours,
            receiver: ours,
            generator: ours,
            own: ours,
            machine: Machine { busy_seconds, all_seconds },
        };
        let cpu = at(2.0, 30.0, 120.0).since(&at(1.0, 21.0, 100.0));
        assert_eq!((cpu.waxwing, cpu.receiver, cpu.generator), (1.0, 1.0, 1.0));
        assert!((cpu.others - 0.25).abs() < 1e-9, "{cpu:?}");
        assert_eq!(at(2.0, 20.0, 100.0).since(&at(1.0, 20.0, 100.0)).others, 0.0);
    }
}

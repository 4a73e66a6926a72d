//! What the store costs: events through it on one thread, outcomes and their statistics, commits with and without quick
//! repair, reopening after a kill.
//!
//! `cargo bench --bench store [-- FOLDER]`; the folder decides which disk is measured.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::{Database, Durability, TableDefinition};
use waxwing::clock::Clock;
use waxwing::domain::delivery::{Attempt, Outcome, Phases, Response, State, Trigger};
use waxwing::domain::event::NewEvent;
use waxwing::domain::header::CustomHeaders;
use waxwing::domain::id::{AttemptId, DeliveryId, SubscriptionId, TenantId};
use waxwing::domain::profile::Profile;
use waxwing::domain::public_id::PublicIds;
use waxwing::domain::secret::Secret;
use waxwing::domain::subscription::{DeliveryOrder, Envelope, Owner, Signing, Subscription};
use waxwing::domain::target::TargetUrl;
use waxwing::domain::tenant::{Metadata, Tenant};
use waxwing::domain::time::Timestamp;
use waxwing::store::{
    CACHE_BYTES_DEFAULT, Change, Location, Opened, Options, Recorded, Recordings, Retention, Store, StoreError, Writer,
};

const DATA_BYTES: usize = 1024;
/// Outcomes of one recording, as the dispatcher batches them.
const RECORDED_TOGETHER: usize = 2048;
/// Outcomes of one measurement.
const OUTCOMES: usize = 50 * 1024;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, file, quick_repair, bytes] = &arguments[..]
        && mode == "fill-and-abort"
    {
        // Not dropped: that would close it in order.
        std::mem::forget(fill(Path::new(file), quick_repair == "true", bytes.parse().expect("a number of bytes")));
        std::process::abort();
    }
    let folder = arguments.first().map_or_else(std::env::temp_dir, PathBuf::from);
    println!("disk: {}", folder.display());
    fdatasync(&folder);
    for (group, subscriptions) in [(1, 1), (64, 1), (128, 1), (1024, 1), (1024, 10_000)] {
        through(&folder, group, subscriptions);
    }
    for subscriptions in [1, 10_000] {
        outcomes(&folder, subscriptions);
    }
    for quick_repair in [false, true] {
        commits(&folder, quick_repair);
    }
    for quick_repair in [false, true] {
        reopening(&folder, quick_repair);
    }
}

fn fdatasync(folder: &Path) {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(folder).expect("a folder to write in");
    let begun = Instant::now();
    for _ in 0..200 {
        file.write_all(&[1; 4096]).expect("room");
        file.sync_data().expect("a disk");
    }
    println!("fdatasync of 4 KiB: {:?}", begun.elapsed() / 200);
}

/// What recording an outcome costs, and what adding up the statistics of all of them costs afterwards.
fn outcomes(folder: &Path, subscriptions: usize) {
    let folder = tempfile::tempdir_in(folder).expect("a folder to write in");
    let (store, mut writer) = with_subscriptions(folder.path(), subscriptions);
    let mut waiting = Vec::new();
    for first in (0..OUTCOMES).step_by(1024) {
        let some = (first..first + 1024)
            .map(|n| Box::pin(store.accept(vec![event(n * 7919, subscriptions, Bytes::from_static(b"1"))], None)) as _);
        for change in together(&mut writer, some.collect()).1 {
            let Change::Accepted(fresh) = change else { continue };
            waiting.extend(fresh.iter().map(|fresh| fresh.delivery));
        }
    }
    writer.index_pass().expect("a disk");
    while writer.fold_pass().expect("a disk") {}
    let begun = Instant::now();
    for done in waiting.chunks(RECORDED_TOGETHER) {
        let attempts = done.iter().copied().map(recorded).collect();
        let recordings = Recordings { attempts, settled_up_to: done.last().copied(), ..Recordings::default() };
        together(&mut writer, vec![Box::pin(store.record(recordings))]);
    }
    let (spent, begun) = (begun.elapsed(), Instant::now());
    while writer.fold_pass().expect("a disk") {}
    let folded = begun.elapsed();
    let each = |spent: Duration| spent / u32::try_from(waiting.len()).expect("not that many");
    println!(
        "record alone, {subscriptions} subscriptions: {:?} an outcome; adding up the statistics of {}: {folded:?}, {:?} each",
        each(spent),
        waiting.len(),
        each(folded),
    );
}

/// A new store whose default tenant has so many subscriptions, each to a type of its own.
fn with_subscriptions(folder: &Path, subscriptions: usize) -> (Store, Writer) {
    let Opened { store, mut writer, changes: _ } = Store::open(options(folder)).expect("a new store");
    let raise = Box::new(move |tenant: &mut Tenant| {
        tenant.subscriptions_max = u32::MAX;
        Ok(())
    });
    together(&mut writer, vec![Box::pin(store.update_tenant(TenantId::DEFAULT, raise, None))]);
    for first in (0..subscriptions).step_by(1000) {
        let some = (first..subscriptions.min(first + 1000))
            .map(|n| Box::pin(store.create_subscription(subscription(n), None)) as Pin<Box<dyn Future<Output = _>>>);
        together(&mut writer, some.collect());
    }
    (store, writer)
}

fn event(n: usize, subscriptions: usize, data: Bytes) -> NewEvent {
    NewEvent {
        tenant: TenantId::DEFAULT,
        event_type: format!("type.{}", n % subscriptions).parse().expect("a name"),
        external_id: None,
        occurred_at: None,
        channels: Vec::new(),
        deliver_at: None,
        data,
    }
}

/// Accepts in groups, and records a success for each delivery in large batches.
fn through(folder: &Path, group: usize, subscriptions: usize) {
    let folder = tempfile::tempdir_in(folder).expect("a folder to write in");
    let (store, mut writer) = with_subscriptions(folder.path(), subscriptions);
    let data = Bytes::from(format!("\"{}\"", "x".repeat(DATA_BYTES - 2)));
    let total = if group == 1 { 3_000 } else { 100_000 };
    let (mut waiting, mut accepted, mut last_index) = (Vec::new(), 0, Instant::now());
    let begun = Instant::now();
    while accepted < total || !waiting.is_empty() {
        if accepted < total {
            let some = (accepted..accepted + group).map(|n| {
                Box::pin(store.accept(vec![event(n * 7919, subscriptions, data.clone())], None))
                    as Pin<Box<dyn Future<Output = _>>>
            });
            let (_, changes) = together(&mut writer, some.collect());
            accepted += group;
            for change in changes {
                let Change::Accepted(fresh) = change else { continue };
                waiting.extend(fresh.iter().map(|fresh| fresh.delivery));
            }
        }
        if waiting.len() >= RECORDED_TOGETHER || accepted >= total {
            let done: Vec<_> = waiting.drain(..waiting.len().min(RECORDED_TOGETHER)).collect();
            let settled_up_to = done.last().copied();
            let attempts = done.into_iter().map(recorded).collect();
            let recordings = Recordings { attempts, settled_up_to, ..Recordings::default() };
            together(&mut writer, vec![Box::pin(store.record(recordings))]);
        }
        if last_index.elapsed() >= Duration::from_millis(250) {
            writer.index_pass().expect("a disk");
            last_index = Instant::now();
        }
    }
    writer.index_pass().expect("a disk");
    let spent = begun.elapsed();
    println!(
        "accept + record, groups of {group}, {subscriptions} subscriptions: {:.0} events/s ({:.1} bytes on disk each)",
        accepted as f64 / spent.as_secs_f64(),
        store.files().store_bytes as f64 / accepted as f64,
    );
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + 'a>>;

/// Puts all into the queue, then lets the writer carry them out.
fn together<T>(writer: &mut Writer, mut all: Vec<Pending<'_, T>>) -> (Vec<T>, Vec<Change>) {
    let mut context = Context::from_waker(Waker::noop());
    for one in &mut all {
        assert!(one.as_mut().poll(&mut context).is_pending());
    }
    let stepped = writer.step();
    let done = all.iter_mut().map(|one| match one.as_mut().poll(&mut context) {
        std::task::Poll::Ready(done) => done.expect("a sentence that is allowed"),
        std::task::Poll::Pending => panic!("it did not fit into a group"),
    });
    (done.collect(), stepped.changes)
}

fn recorded(delivery: DeliveryId) -> Recorded {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attempt = Attempt {
        id: AttemptId::from_u128(0),
        delivery,
        number: 1,
        trigger: Trigger::Schedule,
        started_at: Timestamp::from_millis(1),
        outcome: Outcome::Success,
        phases: Phases { total: Duration::from_millis(1), ..Phases::default() },
        request_headers: vec![
            header("content-type", "application/json"),
            header("user-agent", "waxwing/0.1"),
            header("webhook-id", "evt_01h2xcejqtf2nbrexx3vqjhp41"),
            header("webhook-timestamp", "1771416000"),
            header("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
        ],
        request_body_sha256: [7; 32],
        request_body_bytes: 1100,
        secret_version: 1,
        response: Some(Response {
            status: 200,
            headers: vec![header("content-length", "2")],
            body: Bytes::from_static(b"ok"),
            body_truncated: false,
        }),
        remote_address: Some("203.0.113.7:443".parse().expect("an address")),
    };
    Recorded { attempt, state: State::Succeeded, is_counted: true }
}

fn subscription(n: usize) -> Subscription {
    Subscription {
        id: SubscriptionId::from_u128(0),
        tenant: TenantId::DEFAULT,
        url: TargetUrl::from_stored("https://example.com/hooks").expect("a URL"),
        events: vec![format!("type.{n}").parse().expect("a name")],
        description: None,
        is_active: true,
        disabled_reason: None,
        max_in_flight: 10,
        timeout_seconds: 15,
        rate_limit: None,
        retry_schedule: None,
        ordering: DeliveryOrder::None,
        circuit_breaker: true,
        headers: CustomHeaders::new(),
        channels: Vec::new(),
        public_ids: PublicIds::default(),
        owner: Owner::Tenant,
        profile: Profile::Standard,
        envelope: Envelope::Profile,
        api_version: None,
        metadata: Metadata::new(),
        signing: Signing::Subscription,
        secret: Secret::from_bytes(vec![7; 32]).expect("32 bytes"),
        secret_version: 1,
        previous_secret: None,
        key_pairs: None,
        revision: 0,
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
    }
}

fn options(folder: &Path) -> Options {
    Options {
        location: Location::Directory(folder.to_owned()),
        secret_key: Some([1; 32]),
        clock: Clock::System,
        seed: 1,
        retention: Retention::default(),
        settings_fixed: Default::default(),
        free_bytes_min: Some(0),
        cache_bytes: CACHE_BYTES_DEFAULT,
    }
}

// -- redb alone

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

fn put(database: &Database, first: u64, rows: u64, quick_repair: bool) {
    let mut write = database.begin_write().expect("a disk");
    write.set_durability(Durability::Immediate).expect("no savepoint");
    write.set_quick_repair(quick_repair);
    {
        let mut table = write.open_table(ROWS).expect("a table");
        for row in first..first + rows {
            table.insert(row, &[7; DATA_BYTES][..]).expect("room");
        }
    }
    write.commit().expect("a disk");
}

fn fill(file: &Path, quick_repair: bool, bytes: u64) -> Database {
    let database = Database::create(file).expect("a new file");
    for first in (0..bytes / DATA_BYTES as u64).step_by(10_000) {
        put(&database, first, 10_000, quick_repair);
    }
    database
}

fn commits(folder: &Path, quick_repair: bool) {
    for bytes in [1 << 20, 512 << 20] {
        let folder = tempfile::tempdir_in(folder).expect("a folder to write in");
        let database = fill(&folder.path().join("file"), quick_repair, bytes);
        let begun = Instant::now();
        for n in 0..500 {
            put(&database, bytes + n, 1, quick_repair);
        }
        let each = begun.elapsed() / 500;
        println!("commit of 1 KiB into {} MiB, quick repair {quick_repair}: {each:?}", bytes >> 20);
    }
}

fn reopening(folder: &Path, quick_repair: bool) {
    let folder = tempfile::tempdir_in(folder).expect("a folder to write in");
    let file = folder.path().join("file");
    let bytes: u64 = 1 << 30;
    let program = std::env::current_exe().expect("this program");
    let mut filling = Command::new(program);
    filling.args(["fill-and-abort".as_ref(), file.as_os_str()]).args([quick_repair.to_string(), bytes.to_string()]);
    assert!(!filling.status().expect("this program once more").success(), "it ends by aborting");
    let begun = Instant::now();
    drop(Database::open(&file).expect("a file to repair"));
    println!("reopening 1 GiB after a kill, quick repair {quick_repair}: {:?}", begun.elapsed());
}

//! The composition root: opens the store, starts dispatcher and server, ends them in order. Knows everyone.

mod admin_key;
mod compacting;
mod dev;
mod doors;
mod exposed;
mod invitation;
mod log;
mod manager;
mod paint;
mod stop;
mod vigil;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{error, info, warn};
use zeroize::Zeroizing;

pub use admin_key::{admin_key_path, read_admin_key};
use doors::Doors;
pub use doors::{DoorSeen, DoorState, acme, look_at_doors};
pub use exposed::Exposed;
pub use invitation::make_link;
pub use paint::Paint;
pub use stop::Signals;
pub use vigil::Vigil;

use crate::backups::{self, Backups, Bucket, BucketOptions, Place};
use crate::clock::Clock;
use crate::config::{Args, BackupTo, Config, Https, LogFormat, Origin, Row};
use crate::dispatch;
use crate::domain::setting::SettingName;
use crate::domain::target::TargetRules;
use crate::domain::user::Invited;
use crate::http::{self, Configured, ConfiguredOrigin};
use crate::mail::Mailer;
use crate::net;
use crate::store::backup::finish_restore;
use crate::store::{self, Location, OpenError, Opened, Retention, Store};
use crate::traces::Exporter;

/// The right edges of the trees and the events of the last minutes are read again soon.
const STORE_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// In the data folder: where backups are kept, and where those for elsewhere are made.
const BACKUP_FOLDER: &str = "backups";
/// After a commit failed the store is opened again after this time, so that a disk that stays full is not worn out.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// What a life that ended may still do before it is cut off.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

/// Why the server did not start or did not end well; a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What was typed or configured has to be changed.
    #[error("{0}")]
    Configuration(String),
    #[error("another process has the store in {data_dir} open: stop it, or choose another --data-dir")]
    StoreInUse { data_dir: PathBuf },
    #[error("{0}")]
    Failed(String),
}

/// How a life of the server ended: from the opening of the store to its closing.
enum Ended {
    /// A signal asked for it.
    Asked,
    /// A store that was made of a backup takes the place of the one that was open.
    Restored,
    /// A commit failed, and nobody knows how much of it is on disk: only opening the store again tells (contract 9).
    StoreBroke,
}

/// Runs the server until a signal ends it.
pub fn serve(config: &Config) -> Result<(), StartError> {
    log::start(config);
    raise_file_limit();
    for unknown in &config.unknown_variables {
        warn!("{unknown}");
    }
    if let Some(Exposed { secrets, advice }) = Exposed::find(config) {
        warn!("{secrets}: {advice}");
    }
    // Before the store is touched: a port that is taken should leave nothing behind.
    let doors = Doors::open(config, &Clock::System)?;
    let mut has_lived = false;
    loop {
        // A runtime for each life, so that nothing of one reaches into the next.
        let runtime = tokio::runtime::Runtime::new().map_err(failed("no threads can be started"))?;
        match runtime.block_on(live(config, &doors, has_lived)) {
            Ok(Ended::Asked) => return Ok(()),
            Ok(Ended::Restored) => {
                runtime.shutdown_timeout(LAST_WORDS_WITHIN);
                has_lived = false;
                continue;
            }
            Ok(Ended::StoreBroke) => has_lived = true,
            Err(error) if has_lived => error!(%error, "the store cannot be opened again; the next try comes soon"),
            Err(error) => return Err(error),
        }
        if runtime.block_on(stand_by(config, &doors))? {
            return Ok(());
        }
        runtime.shutdown_timeout(LAST_WORDS_WITHIN);
    }
}

async fn live(config: &Config, doors: &Doors, has_lived: bool) -> Result<Ended, StartError> {
    let mut signals = Signals::watch().map_err(failed("signals cannot be watched"))?;
    stop::outlive_hangups().map_err(failed("signals cannot be watched"))?;
    let data_dir = &config.data_dir.value;
    let clock = Clock::System;
    let address = doors.address;

    let Opened { store, writer, changes } = open_store(config, clock.clone())?;
    doors.begin_upkeep(&clock)?;
    let writing = writer.spawn().map_err(failed("the store's writer cannot be started"))?;
    let targets = target_rules(config, doors);
    if !has_lived {
        tell_what_is_opened(config);
    }
    let resolver = net::Resolver::system().map_err(failed("names cannot be resolved"))?;
    let own_resolver = resolver.clone();
    let client =
        net::Client::new(net::Options { clock: clock.clone(), ..net::Options::new(targets.clone(), resolver) })
            .map_err(failed("outgoing connections cannot be made"))?;
    let test_receiver = client.test_receiver().clone();
    let listeners = client.listeners().clone();
    let sender = dispatch::Sender { net: client.clone(), clock: clock.clone() };
    // Before anything is sent: who listened to the last life has to begin anew.
    store.pause_listening().await.map_err(failed("what was listened to cannot be paused"))?;
    let (dispatch, sending) = dispatch::start(store.clone(), changes, sender, rand::random());

    let admin_key = provide_admin_key(config, &store, &clock).await?;
    // What listens may have taken a port that nobody named.
    let link_base = link_base(config, || doors.base_url());
    let setup_link = match has_lived {
        true => None,
        false => provide_setup_link(&store, &clock, &link_base).await?,
    };
    let settings = settings(config, targets, doors.certificates());
    let is_shutting_down = Arc::clone(&settings.is_shutting_down);
    let backups = Backups::new(store.clone(), clock.clone(), backup_options(config)?);
    let api = http::Api {
        store: store.clone(),
        dispatch: dispatch.clone(),
        net: client,
        clock: clock.clone(),
        backups: backups.clone(),
        settings,
    };
    tokio::spawn(backups.clone().keep_schedule());
    // Before anybody has something to say.
    let mailer = Mailer::begin(store.clone(), clock.clone(), config.public_url.value.clone());
    tokio::spawn(mailer.map_err(failed("the events of tenant system cannot be read"))?.keep());
    tokio::spawn(Vigil::new(store.clone(), dispatch.clone(), clock.clone(), doors.certificates()).keep());
    let traces = config.otlp_endpoint.value.as_ref().map(|endpoint| {
        // It ends with the feed.
        tokio::spawn(Exporter::begin(endpoint, own_resolver, dispatch.feed()).keep())
    });
    let (end_server, server_ends) = oneshot::channel::<()>();
    // An error means that whoever would end it is gone: the same thing.
    let serving = tokio::spawn(http::serve(doors.listeners()?, api, async move { _ = server_ends.await }));

    tokio::spawn(compacting::watch(store.clone(), clock.clone()));
    let is_dev = config.dev.value;
    if has_lived {
        warn!("the store is open again; work goes on");
    } else if is_dev {
        doors.announce();
        let shown =
            dev::Shown { address, data_dir: data_dir.clone(), admin_key, setup_link, paint: Paint::for_stdout() };
        tokio::spawn(dev::show(shown, store.clone(), clock, test_receiver));
    } else {
        doors.announce();
        announce(config, address, setup_link.as_deref());
    }

    manager::ready(address);
    let ended = tokio::select! {
        () = signals.next() => Ended::Asked,
        () = backups.restored() => {
            info!("a backup takes the place of the store, which is empty");
            Ended::Restored
        }
        () = store.broken() => {
            manager::store_broke();
            error!("a commit failed: sending stops, and the store is opened again");
            is_shutting_down.store(true, Ordering::Release);
            backups.end();
            // An answer without an end would hold up the others.
            dispatch.feed().close();
            // Whoever asked gets the answer that there is; then the runtime ends with all that goes on in it.
            _ = end_server.send(());
            _ = tokio::time::timeout(LAST_WORDS_WITHIN, serving).await;
            return Ok(Ended::StoreBroke);
        }
    };
    signals.end_at_once_on_the_next_one();
    manager::stopping();
    is_shutting_down.store(true, Ordering::Release);
    backups.end();
    listeners.close();
    stop::drain(&store, &dispatch, sending, is_dev).await;
    _ = end_server.send(());
    if let Some(traces) = traces {
        _ = tokio::time::timeout(LAST_WORDS_WITHIN, traces).await;
    }
    match serving.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => warn!(%failure, "the server ended badly"),
        Err(failure) => warn!(%failure, "the server ended badly"),
    }
    close(store, writing).await?;
    info!("everything is committed; ended");
    Ok(ended)
}

/// Waits before the store is opened again. Whoever calls meanwhile is told. Answers whether a signal asked for the end.
async fn stand_by(config: &Config, doors: &Doors) -> Result<bool, StartError> {
    let mut signals = Signals::watch().map_err(failed("signals cannot be watched"))?;
    let listeners = doors.listeners()?;
    let standby = http::Standby { clock: Clock::System, language: config.language.value };
    let (end_server, server_ends) = oneshot::channel::<()>();
    let serving = tokio::spawn(http::stand_by(listeners, standby, async move { _ = server_ends.await }));
    let is_asked = tokio::time::timeout(REOPEN_AFTER, signals.next()).await.is_ok();
    _ = end_server.send(());
    _ = tokio::time::timeout(LAST_WORDS_WITHIN, serving).await;
    Ok(is_asked)
}

/// Opens the store of a server that does not run, does `work` on it and closes it.
pub async fn with_stopped_store<T>(config: &Config, work: impl AsyncFnOnce(&Store) -> T) -> Result<T, StartError> {
    let Opened { store, writer, changes } = open_store(config, Clock::System)?;
    // Nothing is sent: what becomes due is found by the next server.
    drop(changes);
    let writing = writer.spawn().map_err(failed("the store's writer cannot be started"))?;
    let done = work(&store).await;
    close(store, writing).await?;
    Ok(done)
}

/// Lets the writer commit what is queued, and waits for its thread.
async fn close(store: Store, writing: JoinHandle<()>) -> Result<(), StartError> {
    store.close().await;
    let joined = tokio::task::spawn_blocking(|| writing.join());
    match joined.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(StartError::Failed("the store's writer ended badly: see the log".to_owned())),
    }
}

/// How the store is to be opened.
pub fn store_options(config: &Config, clock: Clock) -> store::Options {
    store::Options {
        location: Location::Directory(config.data_dir.value.clone()),
        secret_key: config.secret_key.value.as_ref().map(|key| key.bytes()),
        clock,
        seed: rand::random(),
        retention: Retention {
            payloads_days: config.payload_days.value,
            metadata_days: config.metadata_days.value,
            ..Retention::default()
        },
        settings_fixed: configured(config).iter().filter_map(Configured::fixes).collect(),
        free_bytes_min: config.free_space_reserve.value,
        cache_bytes: STORE_CACHE_BYTES,
    }
}

/// What links for people begin with, as far as the configuration says.
pub fn base_url(config: &Config) -> String {
    let Https { domain, listen_https, .. } = &config.https;
    link_base(config, || doors::base_url(&domain.value, listen_https.value, config.listen.value))
}

/// The public URL, else what those who listen say.
fn link_base(config: &Config, by_doors: impl FnOnce() -> String) -> String {
    config.public_url.value.as_ref().map_or_else(by_doors, |url| url.as_str().to_owned())
}

/// What backups are made with, and where they are kept.
pub fn backup_options(config: &Config) -> Result<backups::Options, StartError> {
    let data_dir = config.data_dir.value.clone();
    let own_folder = data_dir.join(BACKUP_FOLDER);
    let (place, folder) = match &config.backup_to.value {
        None => (Place::Folder(own_folder.clone()), own_folder),
        Some(BackupTo::Folder(folder)) => (Place::Folder(folder.clone()), folder.clone()),
        Some(BackupTo::Bucket { bucket, prefix }) => {
            net::use_one_cryptography();
            let id = config.s3_access_key_id.value.clone();
            let secret = config.s3_secret_access_key.value.as_ref();
            let options = BucketOptions {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                endpoint: config.s3_endpoint.value.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
                region: config.s3_region.value.clone(),
                credentials: id.zip(secret.map(|secret| Zeroizing::new(secret.as_str().to_owned()))),
            };
            let bucket = Bucket::new(&options).map_err(|error| StartError::Configuration(error.to_string()))?;
            (Place::Bucket(bucket), own_folder)
        }
    };
    let secret_key = config.secret_key.value.as_ref().map(|key| Zeroizing::new(key.bytes()));
    let passphrase = config.backup_passphrase.value.clone();
    Ok(backups::Options { place, folder, secret_key, data_dir, passphrase })
}

/// The address that a person on this machine types.
pub fn url_of(address: SocketAddr) -> String {
    let reachable = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port())),
        address => address,
    };
    format!("http://{reachable}")
}

fn open_store(config: &Config, clock: Clock) -> Result<Opened, StartError> {
    let data_dir = config.data_dir.value.clone();
    match finish_restore(&data_dir) {
        Ok(true) => {
            info!("the store that a backup was restored to has taken its place; what was there before is in replaced")
        }
        Ok(false) => {}
        Err(error) => return Err(StartError::Failed(format!("a restore cannot be finished: {error}"))),
    }
    Store::open(store_options(config, clock)).map_err(|error| match error {
        OpenError::Locked => StartError::StoreInUse { data_dir },
        OpenError::Io { path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
            StartError::Configuration(format!(
                "{}: {error}. Run it as the user that the folder belongs to, or give that user all of it: \
                 `chown -R USER {}`; `waxwing doctor` says whose it is",
                path.display(),
                data_dir.display()
            ))
        }
        error @ OpenError::Io { .. } => StartError::Configuration(error.to_string()),
        // The store's own words say what is wrong and what to do: a missing or wrong key, a newer format.
        error => StartError::Configuration(format!("{}: {error}", data_dir.display())),
    })
}

/// Where this process, which listens at these doors, may deliver to.
fn target_rules(config: &Config, doors: &Doors) -> TargetRules {
    let public_host = config.public_url.value.iter().map(|url| url.host().to_owned());
    TargetRules {
        allow_http: config.allow_http_targets.value,
        allowed_ranges: config.allow_target_range.value.clone(),
        allowed_hosts: config.allow_target_host.value.clone(),
        allow_metadata: config.allow_metadata_targets.value,
        allowed_ports: config.allow_target_port.value.clone(),
        refused_ports: config.refuse_target_port.value.clone(),
        nat64_prefixes: config.nat64_prefix.value.clone(),
        own_listeners: doors.addresses(),
        own_hosts: doors.domains().into_iter().chain(public_host).collect(),
    }
}

/// What the configuration opens beyond public https, with who opened it: the log keeps each start, and so each change.
fn tell_what_is_opened(config: &Config) {
    let opening = [
        "allow_http_targets",
        "allow_target_range",
        "allow_target_host",
        "allow_metadata_targets",
        "allow_target_port",
        "nat64_prefix",
    ];
    for Row { name, value, origin, description: _ } in config.rows() {
        if opening.contains(&name) && !matches!(origin, Origin::Default | Origin::ImpliedByDev) {
            warn!(setting = name, %value, %origin, "deliveries may go where they otherwise could not");
        }
    }
}

fn settings(config: &Config, targets: TargetRules, certificates: Option<Arc<http::Certificates>>) -> http::Settings {
    http::Settings {
        targets,
        rate_limits: http::Defaults {
            management: config.management_rate.value.per_second(),
            publish: config.publish_rate.value.per_second(),
        },
        trusted_proxies: config.trusted_proxies.value.clone(),
        language: config.language.value,
        public_url: config.public_url.value.clone(),
        configured: configured(config),
        contracts: config.compat.value,
        admin_key: config.admin_key.value.as_ref().map(|key| key.hash()),
        certificates,
        ..http::Settings::default()
    }
}

/// Every row of `waxwing config`, by the names of the API.
fn configured(config: &Config) -> Vec<Configured> {
    let defaults = Config::resolve(&Args::default(), [], None).expect("the defaults fit together").rows();
    let one = |(Row { name, description, value, origin }, default): (Row, Row)| {
        let stored = match name {
            "payload_days" => Some(SettingName::PayloadDays),
            "metadata_days" => Some(SettingName::MetadataDays),
            "management_rate" => Some(SettingName::ManagementRate),
            "publish_rate" => Some(SettingName::PublishRate),
            "language" => Some(SettingName::Language),
            "public_url" => Some(SettingName::ConsoleUrl),
            _ => None,
        };
        let place = origin.to_string();
        let origin = match origin {
            Origin::Flag(_) | Origin::ImpliedByDev => ConfiguredOrigin::Flag(place),
            Origin::Environment(_) => ConfiguredOrigin::Environment(place),
            Origin::File { .. } => ConfiguredOrigin::File(place),
            Origin::Default => ConfiguredOrigin::Default,
        };
        let name = stored.map_or(name, SettingName::as_str);
        Configured { name, description, value, default: default.value, origin }
    };
    config.rows().into_iter().zip(defaults).map(one).collect()
}

/// A key to begin with, when there is none: the text of the one in `<data-dir>/admin-key`, if it is there and alive.
async fn provide_admin_key(
    config: &Config,
    store: &Store,
    clock: &Clock,
) -> Result<Option<Zeroizing<String>>, StartError> {
    let data_dir = &config.data_dir.value;
    admin_key::finish_admin_key(store, data_dir)?;
    if let Some(key) = &config.admin_key.value {
        return Ok(Some(Zeroizing::new(key.as_str().to_owned())));
    }
    // An empty store has no key to make the first one with; whoever tries it out needs one to be shown.
    let is_needed = config.dev.value || store.catalogue().keys().next().is_none();
    if is_needed && !admin_key_path(data_dir).exists() {
        let reserve = config.free_space_reserve.value;
        admin_key::create_admin_key(store, data_dir, reserve, clock).await?;
    }
    Ok(admin_key::live_admin_key(store, data_dir))
}

/// A link for the first user of the console, while there is none; of an earlier start's it takes the place.
async fn provide_setup_link(store: &Store, clock: &Clock, base: &str) -> Result<Option<String>, StartError> {
    if store.catalogue().users().next().is_some() {
        return Ok(None);
    }
    let made = make_link(store, clock, Invited::FirstOwner, base).await;
    made.map(Some).map_err(failed("no link for the first user can be made"))
}

/// On the standard output, for the person or the script that started it; the log has it too when machines read that.
fn announce(config: &Config, address: SocketAddr, setup_link: Option<&str>) {
    let url = url_of(address);
    let (data_dir, version) = (&config.data_dir.value, env!("CARGO_PKG_VERSION"));
    say(&format!("Waxwing {version} listens on {url} (documentation: {url}/docs), data in {}", data_dir.display()));
    if let Some(link) = setup_link {
        say(&format!("The console has no user yet. Good for 30 minutes, and once: {link}"));
    }
    let path = admin_key_path(data_dir);
    if path.exists() {
        say(&format!("An API key with full access is in {}", path.display()));
    }
    match config.log.value {
        LogFormat::Json => info!(%address, data_dir = %data_dir.display(), version, "listening"),
        LogFormat::Pretty => {}
    }
}

/// Prints a line. Nobody reading it is no reason to stop serving.
fn say(text: &str) {
    _ = writeln!(io::stdout().lock(), "{text}");
}

/// Every connection is an open file, and the usual soft limit of 1,024 is less than one busy minute needs.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%error, "the limit of open files cannot be raised");
    }
}

/// How many files a process of this user may have open: what it begins with, and what it can be raised to, as
/// [`serve`] does.
pub fn open_files_limit() -> io::Result<(u64, u64)> {
    rlimit::Resource::NOFILE.get()
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> StartError {
    move |error| StartError::Failed(format!("{what}: {error}"))
}

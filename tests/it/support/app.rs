//! The whole API over a real store, dispatcher and client, in this process, at a time that the test sets.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use poem::EndpointExt;
use poem::endpoint::BoxEndpoint;
use serde_json::{Value, json};
use waxwing::backups::{self, Backups, Place};
use waxwing::clock::{Clock, ManualClock};
use waxwing::dispatch::feed::Feed;
use waxwing::dispatch::{self, Sender};
use waxwing::domain::key::KeyHash;
use waxwing::domain::password::PasswordCost;
use waxwing::domain::target::TargetRules;
use waxwing::domain::time::Timestamp;
use waxwing::http::{Api, Configured, Defaults, Settings, endpoint};
use waxwing::net::{self, Received};
use waxwing::store::{Opened, Options, Retention, Store};
use zeroize::Zeroizing;

pub use super::client::{Answer, Call, Client};
use super::disk::SimDisk;

/// Of `WAXWING_ADMIN_KEY`: full access to the instance.
pub const ADMIN_KEY: &str = "the-admin-key-of-the-tests-0123456789";
pub const TEST_RECEIVER: &str = "https://test-receiver.invalid/inbox";

/// For what takes milliseconds, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct TestApp {
    pub endpoint: Arc<BoxEndpoint<'static, poem::Response>>,
    pub clock: ManualClock,
    pub disk: SimDisk,
    /// Of the disk; looked at once a second.
    pub free_bytes: Arc<AtomicU64>,
    pub settings: Settings,
    pub backups: Backups,
    /// Where they are kept.
    pub backup_folder: tempfile::TempDir,
    client: Client,
    net: net::Client,
    feed: Feed,
    pub store: Store,
    pub dispatch: dispatch::Dispatch,
    /// Dropping it would end the dispatcher.
    _running: dispatch::Running,
}

impl TestApp {
    /// An empty instance with the event types `order.paid` and `order.sent`, its quotas off, at noon of a day in 2026.
    pub async fn start() -> Self {
        let unlimited = Defaults { management: None, publish: None };
        let app = Self::start_with(Settings { rate_limits: unlimited, ..Settings::default() }).await;
        for name in ["order.paid", "order.sent"] {
            app.post("/v1/event-types", json!({ "name": name })).await.assert(201);
        }
        app
    }

    pub async fn start_with(settings: Settings) -> Self {
        Self::start_on(SimDisk::new(1), settings, "2026-02-18T12:00:00Z".parse().expect("it is a moment")).await
    }

    /// On a disk that another one may have written to before.
    pub async fn start_on(disk: SimDisk, settings: Settings, now: Timestamp) -> Self {
        let clock = ManualClock::at(now);
        let settings = Settings {
            targets: TargetRules::default(),
            admin_key: Some(KeyHash::of(ADMIN_KEY)),
            password_cost: PasswordCost::LEAST,
            trusted_proxies: vec!["127.0.0.1/32".parse().expect("it is a range")],
            ..settings
        };
        let public: IpAddr = [93, 184, 216, 34].into();
        let private: IpAddr = [10, 0, 0, 1].into();
        let names = [("example.com".to_owned(), vec![public]), ("inside.example".to_owned(), vec![public, private])];
        let resolver = net::Resolver::Table(Arc::new(std::sync::Mutex::new(names.into_iter().collect())));
        let options = net::Options {
            clock: Clock::Manual(clock.clone()),
            ..net::Options::new(settings.targets.clone(), resolver)
        };
        let client = net::Client::new(options).expect("it starts");
        let free_bytes = Arc::new(AtomicU64::new(1 << 40));
        let Opened { store, writer, changes } = Store::open(Options {
            location: disk.location(Arc::clone(&free_bytes)),
            secret_key: Some([7; 32]),
            clock: Clock::Manual(clock.clone()),
            seed: 1,
            retention: Retention::default(),
            settings_fixed: settings.configured.iter().filter_map(Configured::fixes).collect(),
            free_bytes_min: None,
            cache_bytes: 4 * 1024 * 1024,
        })
        .expect("an empty storage opens");
        writer.spawn().expect("a thread can be started");
        let clock_of_all = Clock::Manual(clock.clone());
        let sender = Sender { net: client.clone(), clock: clock_of_all.clone() };
        let (dispatch, running) = dispatch::start(store.clone(), changes, sender, 1);
        let feed = dispatch.feed().clone();
        let backup_folder = tempfile::tempdir().expect("a folder");
        let backups = Backups::new(
            store.clone(),
            clock_of_all.clone(),
            backups::Options {
                place: Place::Folder(backup_folder.path().to_owned()),
                folder: backup_folder.path().to_owned(),
                secret_key: Some(Zeroizing::new([7; 32])),
                data_dir: backup_folder.path().to_owned(),
                passphrase: None,
            },
        );
        let api = Api {
            store: store.clone(),
            dispatch: dispatch.clone(),
            net: client.clone(),
            clock: clock_of_all,
            backups: backups.clone(),
            settings: settings.clone(),
        };
        let endpoint = Arc::new(endpoint(api).map_to_response().boxed());
        let net = client;
        let client = Client::in_process(Arc::clone(&endpoint), settings.contracts, ADMIN_KEY);
        Self {
            endpoint,
            clock,
            disk,
            free_bytes,
            settings,
            backups,
            backup_folder,
            client,
            net,
            feed,
            store,
            dispatch,
            _running: running,
        }
    }

    /// Asks with this key unless a request says otherwise.
    pub fn with_key(self, key: String) -> Self {
        Self { client: self.client.with_key(key), ..self }
    }

    /// Makes the same call twice more, one after the other, while the first one waits for the disk; its answer, and theirs.
    pub async fn repeated_at_once<'a>(&'a self, call: impl Fn() -> Call<'a>) -> (Answer, [Answer; 2]) {
        let (first, second) = self.begun(&call).await;
        let third = tokio::time::timeout(PATIENCE, call().into_future()).await;
        self.disk.release();
        let third = third.expect("a third one is refused like the second");
        (first.await, [second, third])
    }

    /// Makes the call, and leaves while it waits for the disk, as a client does that is not answered in time.
    pub async fn asked_and_left<'a>(&'a self, call: impl Fn() -> Call<'a>) {
        let (first, second) = self.begun(&call).await;
        drop(first);
        self.disk.release();
        second.assert(409);
    }

    /// Holds the disk and makes the call twice. Of two that are the same and have an idempotency key the one that is refused
    /// tells that the other has begun: that one, and the refusal.
    async fn begun<'a>(&'a self, call: &impl Fn() -> Call<'a>) -> (<Call<'a> as IntoFuture>::IntoFuture, Answer) {
        self.disk.hold();
        let (mut one, mut two) = (call().into_future(), call().into_future());
        tokio::select! {
            answer = &mut one => (two, answer),
            answer = &mut two => (one, answer),
        }
    }

    /// Invites a user, follows the invitation with the password `correct horse`, and answers the user's id and the cookie.
    pub async fn make_user(&self, email: &str, role: &str) -> (String, String) {
        let invited = self.post("/v1/users", json!({ "email": email, "role": role })).await.assert(201);
        let url = invited.json()["data"]["attributes"]["invitation_url"].as_str().expect("create shows it").to_owned();
        let token = url.rsplit('/').next().expect("it ends with the token");
        let follow = json!({ "token": token, "password": "correct horse" });
        let begun = self.post("/v1/setup", follow).without_key().await.assert(201);
        (invited.id(), begun.set_cookie())
    }

    /// What came to [`TEST_RECEIVER`], oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.net.test_receiver().received("inbox")
    }

    /// As the end of the server does.
    pub fn close_feed(&self) {
        self.feed.close();
    }

    pub fn advance(&self, duration: Duration) {
        self.clock.set(self.clock.now().plus(duration));
    }

    /// Asks again until the answer is as wanted: what happens in between is the dispatcher's.
    pub async fn wait_for(&self, path: &str, is_there: impl Fn(&Value) -> bool) -> Answer {
        let waited = std::time::Instant::now();
        loop {
            let answer = self.get(path).await.assert(200);
            if is_there(&answer.json()) {
                return answer;
            }
            assert!(waited.elapsed() < PATIENCE, "{path} never came to what was waited for: {}", answer.body);
            // The dispatcher waits for its clock, which nobody else moves.
            self.advance(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
    }
}

impl Deref for TestApp {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

//! A store on a simulated disk, driven step by step.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use waxwing::clock::{Clock, ManualClock};
use waxwing::domain::delivery::{Attempt, Delivery, Outcome, Phases, Response, State, Trigger};
use waxwing::domain::event::{Event, NewEvent};
use waxwing::domain::event_type::EventType;
use waxwing::domain::header::CustomHeaders;
use waxwing::domain::id::{AttemptId, DeliveryId, KeyId, SubscriptionId, TenantId};
use waxwing::domain::key::{ApiKey, KeyHash, KeyKind, Preset, RateLimits};
use waxwing::domain::profile::Profile;
use waxwing::domain::public_id::PublicIds;
use waxwing::domain::restriction::Restriction;
use waxwing::domain::secret::Secret;
use waxwing::domain::subscription::{DeliveryOrder, Envelope, Owner, Signing, Subscription};
use waxwing::domain::target::TargetUrl;
use waxwing::domain::tenant::{Metadata, Tenant};
use waxwing::domain::time::Timestamp;
use waxwing::store::{
    CACHE_BYTES_DEFAULT, Change, From, OpenError, Opened, Options, Page, Published, Recorded, Recordings, Remember,
    RequestName, Retention, SecretOwner, Store, StoreError, StoredAnswer, Walk, Writer,
};
use waxwing::store::{Report, check};

use crate::support::disk::SimDisk;

pub const SECRET_KEY: [u8; 32] = [0x5a; 32];
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub const PLENTY: u64 = 1 << 40;

pub struct World {
    pub disk: SimDisk,
    pub clock: ManualClock,
    pub free_bytes: Arc<AtomicU64>,
    pub store: Store,
    pub writer: Writer,
    /// Everything that committed, in order.
    pub changes: Vec<Change>,
}

pub fn options(disk: &SimDisk, clock: &ManualClock, free_bytes: &Arc<AtomicU64>) -> Options {
    Options {
        location: disk.location(Arc::clone(free_bytes)),
        secret_key: Some(SECRET_KEY),
        clock: Clock::Manual(clock.clone()),
        seed: 7,
        retention: Retention::default(),
        settings_fixed: Default::default(),
        free_bytes_min: None,
        cache_bytes: CACHE_BYTES_DEFAULT,
    }
}

impl World {
    pub fn new() -> Self {
        Self::on(SimDisk::new(1), "2026-02-18T12:00:00Z".parse().unwrap())
    }

    pub fn on(disk: SimDisk, now: Timestamp) -> Self {
        Self::try_on(disk, now).unwrap()
    }

    pub fn try_on(disk: SimDisk, now: Timestamp) -> Result<Self, OpenError> {
        let clock = ManualClock::at(now);
        let free_bytes = Arc::new(AtomicU64::new(PLENTY));
        let Opened { store, writer, changes: _ } = Store::open(options(&disk, &clock, &free_bytes))?;
        Ok(Self { disk, clock, free_bytes, store, writer, changes: Vec::new() })
    }

    pub fn set_free_bytes(&self, bytes: u64) {
        self.free_bytes.store(bytes, Ordering::Relaxed);
        self.wait(Duration::from_secs(1));
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn wait(&self, duration: Duration) {
        self.clock.set(self.now().plus(duration));
    }

    /// Carries out one sentence.
    pub fn run<T>(&mut self, sentence: impl Future<Output = T>) -> T {
        let mut sentence = pin!(sentence);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = sentence.as_mut().poll(&mut context) {
                return done;
            }
            let stepped = self.writer.step();
            assert!(stepped.jobs > 0, "a sentence waits for something that is not the writer");
            self.changes.extend(stepped.changes);
        }
    }

    /// Stops without a word and starts again from what the disk kept.
    pub fn after_power_cut(self) -> Self {
        let (disk, now) = (self.disk.clone(), self.now());
        disk.power_cut();
        drop(self);
        Self::on(disk, now)
    }

    /// Ends in order and looks at what is on the disk.
    pub fn check(self) -> Report {
        let disk = self.disk.clone();
        drop(self);
        check_disk(&disk)
    }

    pub fn index(&mut self) {
        self.writer.index_pass().unwrap();
    }

    pub fn fold(&mut self) {
        while self.writer.fold_pass().unwrap() {}
    }

    /// All background work, step by step.
    pub fn work(&mut self) -> usize {
        let mut steps = 0;
        while self.writer.work_pass().unwrap() {
            steps += 1;
        }
        steps
    }

    /// One whole walk of retention.
    pub fn retain(&mut self) -> usize {
        self.fold();
        let mut steps = 1;
        while self.writer.retention_pass().unwrap() {
            steps += 1;
        }
        steps
    }

    // -- short words for frequent sentences

    pub fn subscribe(&mut self, subscription: Subscription) -> Subscription {
        let store = self.store.clone();
        self.run(store.create_subscription(subscription, None)).unwrap()
    }

    pub fn publish(&mut self, event: NewEvent) -> Result<Published, StoreError> {
        let store = self.store.clone();
        self.run(store.accept(vec![event], None)).unwrap().pop().unwrap()
    }

    pub fn record(&mut self, recordings: Recordings) {
        let store = self.store.clone();
        self.run(store.record(recordings)).unwrap();
    }

    pub fn try_attempt(&mut self, delivery: DeliveryId, outcome: Outcome, state: State) -> Result<(), StoreError> {
        let attempt = attempt(delivery, outcome, self.now());
        let store = self.store.clone();
        self.run(store.record(Recordings {
            attempts: vec![Recorded { attempt, state, is_counted: true }],
            ..Recordings::default()
        }))
    }

    pub fn succeed(&mut self, delivery: DeliveryId) {
        self.try_attempt(delivery, Outcome::Success, State::Succeeded).unwrap();
    }

    pub fn delivery(&self, id: DeliveryId) -> Delivery {
        self.store.delivery(id).unwrap().unwrap()
    }

    pub fn deliveries_of(&self, event: &Event) -> Vec<Delivery> {
        self.store.deliveries_of(event).unwrap()
    }

    pub fn lanes(&self) -> Vec<(SubscriptionId, Timestamp)> {
        self.store.lanes(None, 1000).unwrap()
    }
}

pub fn check_disk(disk: &SimDisk) -> Report {
    let free_bytes = Arc::new(AtomicU64::new(PLENTY));
    check(disk.location(free_bytes), Some(SECRET_KEY)).unwrap()
}

pub type Dump = Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>;

/// Every row of every table, as an opening leaves them.
pub fn recovered(disk: &SimDisk, now: Timestamp) -> Dump {
    drop(World::on(disk.clone(), now));
    let database = Database::builder().create_with_backend(disk.copy(0).plug_in_database()).unwrap();
    let read = database.begin_read().unwrap();
    let mut names: Vec<_> = read.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    names.sort();
    let rows = |name: &str| {
        let table = read.open_table(TableDefinition::<&[u8], &[u8]>::new(name)).unwrap();
        let rows = table.iter().unwrap().map(|row| row.unwrap());
        let rows = rows.map(|(key, value)| (key.value().to_vec(), value.value().to_vec()));
        // How many groups there were is nothing that anyone is told.
        rows.filter(|(key, _)| key != b"journal_up_to").collect()
    };
    names.iter().map(|name| (name.clone(), rows(name))).collect()
}

#[track_caller]
pub fn assert_clean(report: Report) {
    assert!(report.is_clean(), "{:#?}", report);
}

pub fn newest<Id>(size: usize) -> Walk<Id> {
    Walk { from: From::Newest, size }
}

pub fn ids_of<T, Id>(page: &Page<T, Id>, id: impl Fn(&T) -> Id) -> Vec<Id> {
    page.rows.iter().map(id).collect()
}

pub fn event(event_type: &str) -> NewEvent {
    NewEvent {
        tenant: TenantId::DEFAULT,
        event_type: event_type.parse().unwrap(),
        external_id: None,
        occurred_at: None,
        channels: Vec::new(),
        deliver_at: None,
        data: Bytes::from_static(br#"{"a": 1.0e400}"#),
    }
}

pub fn event_with_external_id(event_type: &str, external_id: &str) -> NewEvent {
    NewEvent { external_id: Some(external_id.parse().unwrap()), ..event(event_type) }
}

pub fn subscription_to(pattern: &str) -> Subscription {
    Subscription {
        id: SubscriptionId::from_u128(0),
        tenant: TenantId::DEFAULT,
        url: TargetUrl::from_stored("https://example.com/hooks").unwrap(),
        events: vec![pattern.parse().unwrap()],
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
        secret: secret("a secret of twenty-four b"),
        secret_version: 1,
        previous_secret: None,
        key_pairs: None,
        revision: 0,
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
    }
}

pub fn secret(text: &str) -> Secret {
    Secret::from_bytes(text.as_bytes().to_vec()).unwrap()
}

pub fn tenant(name: &str) -> Tenant {
    Tenant {
        id: TenantId::from_u128(0),
        external_id: Some(name.parse().unwrap()),
        name: name.to_owned(),
        profile: Profile::Mage,
        header_prefix: None,
        secret: None,
        metadata: Metadata::new(),
        subscriptions_max: 50,
        retention: Default::default(),
        rate_limit: None,
        revision: 0,
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
    }
}

pub fn key(text: &str, tenant: Option<TenantId>) -> ApiKey {
    ApiKey {
        id: KeyId::from_u128(0),
        kind: KeyKind::Native,
        name: text.to_owned(),
        hash: KeyHash::of(text),
        tenant,
        scopes: Preset::FullAccess.scopes(),
        preset: Some(Preset::FullAccess),
        restriction: Restriction::default(),
        rate_limits: RateLimits::default(),
        expires_at: None,
        revoked_at: None,
        created_at: Timestamp::MIN,
    }
}

pub fn event_type(name: &str) -> EventType {
    EventType {
        name: name.parse().unwrap(),
        description: None,
        schema: Some(serde_json::value::RawValue::from_string(r#"{"type":"object"}"#.to_owned()).unwrap()),
        example: None,
        archived_at: None,
        revision: 0,
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
    }
}

pub fn attempt(delivery: DeliveryId, outcome: Outcome, started_at: Timestamp) -> Attempt {
    let status = match &outcome {
        Outcome::Success => Some(200),
        Outcome::Status(status) => Some(*status),
        Outcome::Error { .. } => None,
    };
    Attempt {
        id: AttemptId::from_u128(0),
        delivery,
        number: 0,
        trigger: Trigger::Schedule,
        started_at,
        outcome,
        phases: Phases { total: Duration::from_millis(20), ..Phases::default() },
        request_headers: vec![("webhook-id".to_owned(), "evt_1".to_owned())],
        request_body_sha256: [3; 32],
        request_body_bytes: 100,
        secret_version: 1,
        response: status.map(|status| Response {
            status,
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: Bytes::from(vec![b'x'; 20_000]),
            body_truncated: false,
        }),
        remote_address: Some("203.0.113.7:443".parse().unwrap()),
    }
}

/// Remembers an answer that shows no secret, or shows one.
pub fn remember<T: ?Sized>(request: u8, by: KeyId, shows_secret_of: Option<SecretOwner>) -> Option<Remember<T>> {
    Some(Remember {
        request: RequestName([request; 32]),
        body_sha256: [9; 32],
        asker: by.into(),
        render: Box::new(move |_| answer(shows_secret_of)),
    })
}

pub fn answer(shows_secret_of: Option<SecretOwner>) -> StoredAnswer {
    StoredAnswer {
        status: 201,
        headers: vec![("location".to_owned(), "/v1/things/1".to_owned())],
        body: Bytes::from_static(br#"{"secret":"the secret of an answer"}"#),
        shows_secret_of,
    }
}

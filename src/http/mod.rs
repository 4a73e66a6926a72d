//! The HTTP side: every route, what it takes and what it answers (contract 3 and 4). The only part that knows poem.

mod audit;
mod auth;
mod backups;
mod body;
mod browser;
mod channels;
mod compat;
#[cfg(feature = "console")]
mod console;
mod deliveries;
mod document;
mod edge;
mod etag;
mod event_types;
mod events;
mod failures;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod idempotency;
mod jobs;
mod json;
mod keyring;
mod keys;
mod language;
mod limit;
mod listeners;
mod metrics;
mod page;
mod passwords;
mod portal;
mod problem;
mod public_keys;
mod redirect;
mod reply;
mod safeguards;
mod server;
mod sessions;
mod settings;
mod setup;
mod shortcut;
mod standby;
mod stats;
mod status;
mod storage;
mod stream;
mod subscriptions;
mod template;
mod tenants;
mod test_receiver;
mod text;
mod tls;
mod totp;
mod under_way;
mod users;
mod value;
mod visit;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use poem::middleware::CatchPanic;
use poem::{Endpoint, EndpointExt, IntoEndpoint, Route};
use poem_openapi::{OpenApiService, Tags};
use serde_json::Value;

pub use compat::document as contract_document;
pub use document::document;
pub use keys::scopes_of;
pub use limit::{Defaults, PerSecond};
pub use redirect::Redirect;
pub use server::{Https, Listeners, serve, stand_by};
pub use settings::{Configured, ConfiguredOrigin};
pub use standby::Standby;
pub use tls::{
    Acme, BadCertificate, Certificate, CertificateFiles, Certificates, Challenges, EXPIRY_WARNED_BEFORE, Expiry,
    Keeper, KeptCertificate, Tried,
};

use document::Place;
use problem::{Ground, Refusal};
use shortcut::Shortcut;

use crate::backups::Backups;
use crate::clock::Clock;
use crate::dispatch::Dispatch;
use crate::domain::base_url::BaseUrl;
use crate::domain::contract::{Contract, Contracts};
use crate::domain::key::{ApiKey, KeyHash};
use crate::domain::language::Language;
use crate::domain::password::PasswordCost;
use crate::domain::target::TargetRules;
use crate::domain::time::Timestamp;
use crate::net;
use crate::store::{Store, StoreError};

/// What the API stands on.
#[derive(Clone)]
pub struct Api {
    pub store: Store,
    pub dispatch: Dispatch,
    pub net: net::Client,
    pub clock: Clock,
    pub backups: Backups,
    pub settings: Settings,
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// Which URLs a subscription may have.
    pub targets: TargetRules,
    /// Quotas of keys that have none of their own.
    pub rate_limits: Defaults,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Of errors, for who asks for none that is spoken here.
    pub language: Language,
    /// What links for people begin with, unless `console.url` is stored; none: with the address that the request came to.
    pub public_url: Option<BaseUrl>,
    /// What the process was started with, for people. Those of a stored setting's name are what holds without.
    pub configured: Vec<Configured>,
    /// The published contracts that are spoken beside the own API.
    pub contracts: Contracts,
    /// The key of `WAXWING_ADMIN_KEY`.
    pub admin_key: Option<KeyHash>,
    /// What HTTPS shows, when there is some.
    pub certificates: Option<Arc<Certificates>>,
    /// What hashing a password costs.
    pub password_cost: PasswordCost,
    pub body_bytes_max: usize,
    pub batch_bytes_max: usize,
    /// `data` of one event.
    pub data_bytes_max: usize,
    /// Between two signs of life on a live feed; at the latest then a viewer whose key has ended is cut off.
    pub stream_keep_alive: Duration,
    /// Once true, new work is refused with 503.
    pub is_shutting_down: Arc<AtomicBool>,
    /// While true, too: a backup is about to take the place of the store.
    pub is_giving_way: Arc<AtomicBool>,
}

impl Settings {
    pub fn takes_work(&self) -> bool {
        ![&self.is_shutting_down, &self.is_giving_way].iter().any(|it| it.load(Ordering::Acquire))
    }
}

/// A body, unless its route says otherwise (contract 3).
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Shorter than what proxies commonly wait for.
pub const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);

impl Default for Settings {
    fn default() -> Self {
        Self {
            targets: TargetRules::default(),
            rate_limits: Defaults::default(),
            trusted_proxies: Vec::new(),
            language: Language::default(),
            public_url: None,
            configured: Vec::new(),
            contracts: Contracts::ALL,
            admin_key: None,
            certificates: None,
            password_cost: PasswordCost::default(),
            body_bytes_max: BODY_BYTES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            data_bytes_max: crate::domain::event::DATA_BYTES_MAX,
            stream_keep_alive: STREAM_KEEP_ALIVE,
            is_shutting_down: Arc::default(),
            is_giving_way: Arc::default(),
        }
    }
}

/// The API with what it remembers between requests.
pub(crate) struct App {
    api: Api,
    admin_key: Option<Arc<ApiKey>>,
    limits: limit::Limits,
    failures: failures::Failures,
    sign_ins: failures::SignIns,
    tried_targets: failures::Targets,
    passwords: passwords::Passwords,
    keyring: keyring::Keyring,
    running: idempotency::Running,
    /// What keys of Marea used up of its quotas.
    windows: compat::marea::Windows,
    /// Of tenants, in AgentMessage's contract.
    replays: limit::Replays,
    answers: metrics::Answers,
    viewers: stream::Viewers,
    started_at: Timestamp,
    started: Instant,
}

impl Deref for App {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// In the order of the document.
#[derive(Tags)]
enum Tag {
    /// URLs that events are delivered to
    Subscriptions,
    /// Facts that are published
    Events,
    /// Events on their way to subscriptions, and each attempt
    Deliveries,
    /// What happens: figures over time, and a live feed
    Activity,
    /// What was asked of many deliveries at once, and how far it came
    Jobs,
    /// What can be published, with schemas and examples
    #[oai(rename = "Event types")]
    EventTypes,
    /// Your customers
    Tenants,
    /// Who may call this API
    #[oai(rename = "API keys")]
    ApiKeys,
    /// Links for your customers, and what they enter
    Portal,
    /// What came to `https://test-receiver.invalid`, and what is answered there
    #[oai(rename = "Test receiver")]
    TestReceiver,
    /// Receiving on a developer's machine
    Listeners,
    /// Who signs in at the console
    Users,
    /// Signing in, and where one is signed in
    Sessions,
    /// Copies of everything, to go on with elsewhere
    Backups,
    /// How the server fares
    Instance,
}

/// A tuple of its own: poem-openapi takes 16 at once.
type Desk = (
    portal::PortalApi,
    test_receiver::TestReceiverApi,
    listeners::ListenersApi,
    settings::SettingsApi,
    storage::StorageApi,
    audit::AuditApi,
    backups::BackupsApi,
);
type Watch = (health::HealthApi, status::StatusApi, metrics::MetricsApi);
type People = (users::UsersApi, totp::TotpApi, sessions::SessionsApi, setup::SetupApi);

type Apis = (
    subscriptions::SubscriptionsApi,
    public_keys::PublicKeysApi,
    events::EventsApi,
    events::RedeliveryApi,
    deliveries::DeliveriesApi,
    jobs::JobsApi,
    event_types::EventTypesApi,
    tenants::TenantsApi,
    keys::KeysApi,
    People,
    stats::StatsApi,
    stream::StreamApi,
    Desk,
    Watch,
);

/// Reads the disk on a thread that may wait for it.
async fn read_disk<T: Send + 'static>(
    store: &Store,
    read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    let store = store.clone();
    let joined = tokio::task::spawn_blocking(move || read(&store)).await;
    Ok(joined.map_err(|_| Ground::Internal)??)
}

/// Every route, with its middleware.
pub fn endpoint(api: Api) -> impl Endpoint {
    let app = Arc::new(App {
        admin_key: api.settings.admin_key.map(|hash| Arc::new(auth::admin_key(hash))),
        limits: limit::Limits::new(api.settings.rate_limits, api.clock.clone()),
        failures: failures::Failures::default(),
        sign_ins: failures::SignIns::default(),
        tried_targets: failures::Targets::default(),
        passwords: passwords::Passwords::new(api.settings.password_cost),
        keyring: keyring::Keyring::default(),
        running: idempotency::Running::default(),
        windows: compat::marea::Windows::default(),
        replays: limit::Replays::new(api.clock.clone()),
        answers: metrics::Answers::default(),
        viewers: stream::Viewers::default(),
        started_at: api.clock.now(),
        started: Instant::now(),
        api,
    });
    let apis: Apis = (
        subscriptions::SubscriptionsApi { app: app.clone() },
        public_keys::PublicKeysApi { app: app.clone() },
        events::EventsApi { app: app.clone() },
        events::RedeliveryApi { app: app.clone() },
        deliveries::DeliveriesApi { app: app.clone() },
        jobs::JobsApi { app: app.clone() },
        event_types::EventTypesApi { app: app.clone() },
        tenants::TenantsApi { app: app.clone() },
        keys::KeysApi { app: app.clone() },
        (
            users::UsersApi { app: app.clone() },
            totp::TotpApi { app: app.clone() },
            sessions::SessionsApi { app: app.clone() },
            setup::SetupApi { app: app.clone() },
        ),
        stats::StatsApi { app: app.clone() },
        stream::StreamApi { app: app.clone() },
        (
            portal::PortalApi { app: app.clone() },
            test_receiver::TestReceiverApi { app: app.clone() },
            listeners::ListenersApi { app: app.clone() },
            settings::SettingsApi { app: app.clone() },
            storage::StorageApi { app: app.clone() },
            audit::AuditApi { app: app.clone() },
            backups::BackupsApi { app: app.clone() },
        ),
        (
            health::HealthApi { app: app.clone() },
            status::StatusApi { app: app.clone() },
            metrics::MetricsApi { app: app.clone() },
        ),
    );
    let service = Arc::new(OpenApiService::new(apis, "", "").into_endpoint());
    let mut routes = Route::new().nest_no_strip("/v1", service.clone()).nest_no_strip("/.well-known", service.clone());
    for path in ["/healthz", "/readyz", "/metrics"] {
        routes = routes.at(path, service.clone());
    }
    let spoken: Vec<Contract> = app.settings.contracts.iter().collect();
    let places = [Place::NATIVE].into_iter().chain(spoken.iter().map(|contract| compat::place(*contract)));
    let documents: Vec<(Place, Value)> = places
        .zip([document()].into_iter().chain(spoken.iter().map(|contract| contract_document(*contract))))
        .collect();
    let documents = || documents.iter().map(|(place, document)| (*place, document));
    let routes = document::with_pages(routes, documents());
    #[cfg(feature = "console")]
    let routes = console::with_console(routes, app.clone());
    #[cfg(not(feature = "console"))]
    let routes = document::with_front_page(routes);
    let (marea, agentmessage) = (compat::marea::apis(&app), compat::agentmessage::apis(&app));
    let routes = compat::Routes {
        native: Shortcut::before(routes, app.clone()),
        marea: OpenApiService::new(marea, "", "").into_endpoint(),
        agentmessage: OpenApiService::new(agentmessage, "", "").into_endpoint(),
    };
    // A panic in one request is that request's 500.
    edge::Edge::new(app, documents().map(|(_, document)| document), routes.with(CatchPanic::new())).map_to_response()
}

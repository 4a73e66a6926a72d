//! `serve --dev`: samples to play with, and a terminal that shows what arrives.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;
use zeroize::Zeroizing;

use super::{Paint, admin_key_path, say, url_of};
use crate::clock::Clock;
use crate::domain::event::NewEvent;
use crate::domain::event_type::{EventPattern, EventType, EventTypeName};
use crate::domain::header::CustomHeaders;
use crate::domain::id::{SubscriptionId, TenantId};
use crate::domain::profile::Profile;
use crate::domain::profile::verify::verify_any;
use crate::domain::public_id::PublicIds;
use crate::domain::secret::Secret;
use crate::domain::subscription::{
    DeliveryOrder, Envelope, MAX_IN_FLIGHT_DEFAULT, Owner, Signing, Subscription, TIMEOUT_SECONDS_DEFAULT,
};
use crate::domain::target::{TEST_RECEIVER_HOST, TargetUrl};
use crate::domain::tenant::{SUBSCRIPTIONS_MAX_DEFAULT, Tenant};
use crate::net::{Received, TestReceiver};
use crate::store::{Store, StoreError};

/// Where the sample subscription delivers: the built-in receiver's box of this name.
const DEMO: &str = "demo";
const SAMPLE_TYPE: &str = "order.paid";
const SAMPLE_DATA: &str = r#"{"order":"1001","total":"49.90","currency":"EUR"}"#;
/// How long the first delivery is waited for before the rest is shown without it.
const FIRST_DELIVERY_WITHIN: Duration = Duration::from_secs(10);

const ORDER_SCHEMA: &str = r#"{
    "type": "object",
    "required": ["order", "total", "currency"],
    "properties": {
        "order": {"type": "string", "description": "The order's number"},
        "total": {"type": "string", "pattern": "^[0-9]+\\.[0-9]{2}$"},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}
    }
}"#;

/// What the terminal shows at the start.
pub(super) struct Shown {
    pub address: SocketAddr,
    pub data_dir: PathBuf,
    /// Of the file, or of the environment; none when all keys are the operator's own.
    pub admin_key: Option<Zeroizing<String>>,
    /// While the console has no user.
    pub setup_link: Option<String>,
    pub paint: Paint,
}

/// Makes the samples, publishes one event, shows it arrive, and goes on showing what arrives.
pub(super) async fn show(shown: Shown, store: Store, clock: Clock, test_receiver: TestReceiver) {
    let mut arriving = test_receiver.subscribe();
    if let Err(error) = make_samples(&store, &clock).await {
        warn!(%error, "the samples could not be made");
    }
    say(&shown.head());
    if publish_sample(&store).await {
        match tokio::time::timeout(FIRST_DELIVERY_WITHIN, arriving.recv()).await {
            Ok(Ok(received)) => say(&shown.first(&received, judge(&received, &store, &clock))),
            Ok(Err(_)) | Err(_) => {
                warn!("the sample event did not arrive within {} s", FIRST_DELIVERY_WITHIN.as_secs())
            }
        }
    }
    say(&shown.lines_to_paste());
    loop {
        match arriving.recv().await {
            Ok(received) => say(&shown.later(&received, judge(&received, &store, &clock))),
            Err(RecvError::Lagged(missed)) => say(&format!("  {}", shown.paint.dim(&format!("… and {missed} more")))),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Only in an empty store: what somebody has made is left alone.
async fn make_samples(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    let catalogue = store.catalogue();
    if catalogue.event_types().next().is_some() || catalogue.subscriptions_count() > 0 {
        return Ok(());
    }
    let now = clock.now();
    let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("the samples are JSON");
    for (name, description) in
        [("order.created", "A customer placed an order."), (SAMPLE_TYPE, "The payment of an order arrived.")]
    {
        let sample = EventType {
            name: name.parse().expect("the samples have valid names"),
            description: Some(description.to_owned()),
            schema: Some(raw(ORDER_SCHEMA)),
            example: Some(raw(SAMPLE_DATA)),
            archived_at: None,
            revision: 0,
            created_at: now,
            updated_at: now,
        };
        store.create_event_type(sample, None).await?;
    }
    let tenant = Tenant {
        id: TenantId::from_u128(0),
        external_id: Some("acme".parse().expect("the samples have valid external ids")),
        name: "Acme (sample)".to_owned(),
        profile: Profile::Standard,
        header_prefix: None,
        secret: None,
        metadata: Default::default(),
        subscriptions_max: SUBSCRIPTIONS_MAX_DEFAULT,
        retention: Default::default(),
        rate_limit: None,
        revision: 0,
        created_at: now,
        updated_at: now,
    };
    store.create_tenant(tenant, None).await?;
    let subscription = Subscription {
        id: SubscriptionId::from_u128(0),
        tenant: TenantId::DEFAULT,
        url: TargetUrl::from_stored(&demo_url()).expect("the address of the built-in receiver is a URL"),
        events: vec![EventPattern::All],
        description: Some("Everything, to the built-in test receiver (sample)".to_owned()),
        is_active: true,
        disabled_reason: None,
        max_in_flight: MAX_IN_FLIGHT_DEFAULT,
        timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
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
        api_version: Profile::Standard.api_version_default(),
        metadata: Default::default(),
        signing: Signing::default(),
        secret: Secret::generate(&mut rand::rng()),
        secret_version: 1,
        previous_secret: None,
        key_pairs: None,
        revision: 0,
        created_at: now,
        updated_at: now,
    };
    store.create_subscription(subscription, None).await?;
    Ok(())
}

fn demo_url() -> String {
    format!("https://{TEST_RECEIVER_HOST}/{DEMO}")
}

/// Whether there is somebody to receive it, and it was published.
async fn publish_sample(store: &Store) -> bool {
    let name: EventTypeName = SAMPLE_TYPE.parse().expect("the sample has a valid name");
    let catalogue = store.catalogue();
    let is_wanted = catalogue.tenant(TenantId::DEFAULT).is_some_and(|tenant| {
        tenant
            .matching(&name, &[])
            .iter()
            .any(|subscription| subscription.is_active && subscription.url.is_test_receiver())
    });
    if !is_wanted || catalogue.event_type(SAMPLE_TYPE).is_none() {
        return false;
    }
    let event = NewEvent {
        tenant: TenantId::DEFAULT,
        event_type: name,
        external_id: None,
        occurred_at: None,
        channels: Vec::new(),
        deliver_at: None,
        data: Bytes::from_static(SAMPLE_DATA.as_bytes()),
    };
    match store.accept(vec![event], None).await {
        Ok(_) => true,
        Err(error) => {
            warn!(%error, "the sample event could not be published");
            false
        }
    }
}

/// Verifies a delivery as its receiver would, with each secret that could have signed it.
fn judge(received: &Received, store: &Store, clock: &Clock) -> Result<(), String> {
    let catalogue = store.catalogue();
    let url = format!("https://{TEST_RECEIVER_HOST}/{}", received.id);
    let header = |name: &str| received.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut judged = Err("no subscription has this address any more".to_owned());
    let all = catalogue
        .tenants()
        .flat_map(|entry| entry.subscriptions().map(move |subscription| (&entry.tenant, subscription)));
    for (tenant, subscription) in all {
        if subscription.url.as_str() == url {
            let verdict = verify_any(subscription, tenant, header, &received.body, clock.now());
            judged = verdict.map_err(|mismatch| mismatch.to_string());
            if judged.is_ok() {
                break;
            }
        }
    }
    judged
}

impl Shown {
    fn head(&self) -> String {
        let Self { address, data_dir, admin_key, setup_link, paint } = self;
        let url = url_of(*address);
        let label = |text: &str| paint.dim(&format!("{text:<11}"));
        let path = admin_key_path(data_dir);
        let key = match admin_key {
            Some(key) if path.exists() => format!("{}  {}", key.as_str(), paint.dim(&format!("in {}", path.display()))),
            Some(_) => "the one of WAXWING_ADMIN_KEY".to_owned(),
            None => "one of those you made (`waxwing keys list --data-dir …`)".to_owned(),
        };
        let mut lines = vec![
            String::new(),
            format!(
                "  {} {}",
                paint.bold(concat!("Waxwing ", env!("CARGO_PKG_VERSION"))),
                paint.dim("· trying it out: http and this machine are allowed as receivers")
            ),
            String::new(),
            format!("  {}{}", label("API"), paint.cyan(&url)),
            format!("  {}{}", label("Docs"), paint.cyan(&format!("{url}/docs"))),
            format!("  {}{key}", label("Admin key")),
            format!("  {}{}", label("Data"), data_dir.display()),
        ];
        if let Some(link) = setup_link {
            lines.push(format!(
                "  {}{}  {}",
                label("Console"),
                paint.cyan(link),
                paint.dim("good for 30 minutes, and once")
            ));
        }
        lines.join("\n")
    }

    /// The whole signed request.
    fn first(&self, received: &Received, judged: Result<(), String>) -> String {
        let paint = self.paint;
        let mut lines = vec![
            String::new(),
            format!(
                "  {} {}",
                paint.bold("The first delivery"),
                paint.dim("· published as order.paid, received by the built-in test receiver")
            ),
            String::new(),
            format!("    POST https://{TEST_RECEIVER_HOST}/{}", received.id),
        ];
        lines.extend(
            received.headers.iter().map(|(name, value)| format!("    {} {value}", paint.dim(&format!("{name}:")))),
        );
        lines.push(String::new());
        lines.push(format!("    {}", String::from_utf8_lossy(&received.body)));
        lines.push(String::new());
        lines.push(format!("    {}", self.verdict(judged)));
        lines.join("\n")
    }

    fn lines_to_paste(&self) -> String {
        let paint = self.paint;
        let url = url_of(self.address);
        // What stands in the environment stays there.
        let key = match &self.admin_key {
            Some(key) if admin_key_path(&self.data_dir).exists() => key.as_str(),
            _ => "$WAXWING_ADMIN_KEY",
        };
        let curl = |path: &str, body: Option<&str>| {
            let head = format!("    curl {url}{path} -H \"Authorization: Bearer {key}\"");
            match body {
                Some(body) => format!("{head} \\\n      -H 'Content-Type: application/json' -d '{body}'"),
                None => head,
            }
        };
        let publish = r#"{"type":"order.paid","data":{"order":"1002","total":"12.50","currency":"EUR"}}"#;
        let subscribe = r#"{"url":"http://127.0.0.1:3000/webhooks","events":["order.*"]}"#;
        [
            String::new(),
            format!(
                "  {} {}",
                paint.bold("Your turn"),
                paint.dim("· paste into another terminal; what the test receiver gets is shown here")
            ),
            String::new(),
            format!("    {}", paint.dim("# publish an event")),
            curl("/v1/events", Some(publish)),
            String::new(),
            format!("    {}", paint.dim("# see what became of it")),
            curl("/v1/deliveries", None),
            String::new(),
            format!("    {}", paint.dim("# deliver to a program of yours (the answer holds the signing secret)")),
            curl("/v1/webhook-subscriptions", Some(subscribe)),
            String::new(),
            format!("  {}", paint.dim("Ctrl-C ends it.")),
            String::new(),
        ]
        .join("\n")
    }

    /// One line for each delivery after the first.
    fn later(&self, received: &Received, judged: Result<(), String>) -> String {
        let header =
            |name: &str| received.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let id = header("webhook-id").or(header("x-webhook-timestamp")).unwrap_or("");
        let type_name = type_of(&received.body).or(header("x-webhook-event").map(str::to_owned)).unwrap_or_default();
        let bytes = received.body.len();
        format!(
            "  {} {type_name}  {}  {} bytes to /{}  {}",
            self.paint.cyan("→"),
            self.paint.dim(id),
            bytes,
            received.id,
            self.verdict(judged)
        )
    }

    fn verdict(&self, judged: Result<(), String>) -> String {
        match judged {
            Ok(()) => self.paint.green("signature verified ✓"),
            Err(why) => self.paint.red(&format!("signature not verified: {why}")),
        }
    }
}

/// The event's type as the body names it.
fn type_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        r#type: String,
    }
    serde_json::from_slice(body).ok().map(|Named { r#type }| r#type)
}

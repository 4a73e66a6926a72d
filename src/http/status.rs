//! `/v1/status`: how the instance, or a tenant's part of it, fares at this moment (contract 4.4, 9).

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Caller, scope};
use super::page::{Parameter, Parameters, Params, Query, choice_parameter};
use super::problem::Refusal;
use super::reply::{Answer, Attributes, One, Reply};
use super::stats::{SCOPES, ScopeName, take_scope};
use super::storage::{DiskView, FilesView};
use super::value::{Nullable, Time};
use super::{App, Tag, read_disk};
use crate::clock::ClockState;
use crate::domain::time::Timestamp;
use crate::store::{JournalState, Longest, Queue, Store, Subscribers, Whose};

/// Deliveries on disk that one answer counts as due: some milliseconds of reading.
const DUE_COUNTED_MAX: usize = 10_000;

/// How things are at this moment
#[derive(Debug, Serialize, Object)]
struct StatusAttributes {
    scope: ScopeName,
    queue: QueueView,
    subscriptions: SubscriptionsView,
    /// The server itself; null unless the scope is `instance`
    instance: Nullable<InstanceView>,
}

impl Attributes for StatusAttributes {
    const TYPE: &'static str = "status";
    const NAME: &'static str = "Status";
    const ONE: &'static str = "How things are";
    const PAGE: &'static str = "";
}

/// What waits to be delivered. New deliveries are counted within a second
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatusQueue")]
struct QueueView {
    /// Deliveries without an attempt so far, those of scheduled events included
    pending: u64,
    /// Deliveries that failed and will be tried again
    retrying: u64,
    /// All that wait for subscriptions that are sent nothing: they are not active, or their receivers fail
    held: u64,
    /// Deliveries that could go by now and wait for their turn, or for their subscription's pace. Of those on disk
    /// about 10,000 are counted
    due: u64,
    /// Since when the oldest of these is due
    oldest_due_at: Nullable<Time>,
    /// How long that is; 0 when nothing is late
    lag_seconds: f64,
    /// Deliveries that were given up, as far as they are kept
    exhausted: u64,
}

/// How many subscriptions fare in which way
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatusSubscriptions")]
struct SubscriptionsView {
    healthy: u64,
    /// Made inactive by a person, however they fared. They are in none of the other numbers
    paused: u64,
    degraded: TroubledView,
    failing: TroubledView,
    /// Made inactive by Waxwing
    disabled: TroubledView,
}

/// Subscriptions that do not fare well
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatusTroubled")]
struct TroubledView {
    count: u64,
    /// The one for which it has lasted longest
    longest: Nullable<LongestView>,
}

/// A subscription that has not fared well for longest
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatusLongest")]
struct LongestView {
    subscription_id: String,
    tenant_id: String,
    url: String,
    /// When the first failure was that no success followed yet; when the subscription was changed last, if that is not
    /// known
    since: Time,
}

/// How the server fares
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatusInstance")]
struct InstanceView {
    version: String,
    uptime_seconds: f64,
    /// Requests to receivers that are open
    attempts_under_way: u64,
    /// Subscriptions with something to do
    lanes: u64,
    disk: DiskView,
    files: FilesView,
    journal: JournalView,
    clock: ClockView,
}

/// What makes commits durable before they are in the store's file
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatusJournal")]
struct JournalView {
    /// Written since the last checkpoint began
    bytes: u64,
    /// When the store's file was last made whole up to the journal; null: nothing was written since the start
    checkpoint_at: Nullable<Time>,
}

/// The machine's clock, compared with one that cannot be set
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatusClock")]
struct ClockView {
    /// When it was noticed that it had been set by a second or more, or that the machine slept; null: not since the start
    jumped_at: Nullable<Time>,
    /// By how much: below 0 when it was set back; 0 when it was not
    jumped_by_seconds: f64,
    /// How far it has moved beyond the time that passed since the start, jumps included
    drift_seconds: f64,
}

struct StatusQuery {
    is_of_the_instance: bool,
}

impl Parameters for StatusQuery {
    fn documented() -> Vec<Parameter> {
        let description = "Of the tenant of the request (`tenant`, unless given), or of the whole `instance` with the \
                           server itself: for instance keys";
        vec![choice_parameter("scope", description, SCOPES)]
    }

    fn read(query: &mut Params) -> Self {
        Self { is_of_the_instance: take_scope(query) }
    }
}

pub struct StatusApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Instance")]
impl StatusApi {
    /// How things are
    ///
    /// What waits and for how long, how subscriptions fare, and, for instance keys that ask for it, how the server does:
    /// disk, files, journal and clock. A restricted key sees what concerns the subscriptions that it made.
    #[oai(path = "/status", method = "get", operation_id = "status.get")]
    async fn get(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        query: Query<StatusQuery>,
    ) -> Result<Answer<One<StatusAttributes>, 200>, Refusal> {
        let Query(StatusQuery { is_of_the_instance }) = query;
        let whose = caller.whose(is_of_the_instance)?;
        let Seen { queue, due, oldest_due_at, lag, subscribers } = look(&self.app, whose).await?;
        let instance = match is_of_the_instance {
            true => Some(instance_view(&self.app).await?),
            false => None,
        };
        let id = if is_of_the_instance { "instance".to_owned() } else { caller.tenant().id.to_string() };
        let Queue { pending, retrying, held, exhausted } = queue;
        let attributes = StatusAttributes {
            scope: ScopeName(SCOPES[usize::from(is_of_the_instance)]),
            queue: QueueView {
                pending,
                retrying,
                held,
                due,
                oldest_due_at: oldest_due_at.map(Time).into(),
                lag_seconds: lag.as_secs_f64(),
                exhausted,
            },
            subscriptions: subscriptions_view(subscribers),
            instance: instance.into(),
        };
        Ok(Reply::json(StatusCode::OK, &One::new(id, attributes)).into())
    }
}

/// What waits, and how subscriptions fare.
pub struct Seen {
    pub queue: Queue,
    pub due: u64,
    pub oldest_due_at: Option<Timestamp>,
    pub lag: Duration,
    pub subscribers: Subscribers,
}

/// Looks at what memory knows; the disk is read only for queues that are behind on it.
pub async fn look(app: &App, whose: Whose) -> Result<Seen, Refusal> {
    let (late, now) = (app.dispatch.late().await, app.clock.now());
    read_disk(&app.store, move |store: &Store| {
        let catalogue = store.catalogue();
        let (mut due, mut oldest_due_at, mut budget) = (0, None, DUE_COUNTED_MAX);
        for lane in late.iter() {
            if !catalogue.subscription(lane.subscription).is_some_and(|subscription| whose.holds(subscription)) {
                continue;
            }
            oldest_due_at = oldest_due_at.into_iter().chain(lane.oldest).min();
            let on_disk = match lane.is_on_disk && budget > 0 {
                true => store.due_count(lane.subscription, now, budget)?,
                false => 0,
            };
            budget = budget.saturating_sub(on_disk as usize);
            // What was read from disk still has its row there while it waits in memory.
            due += on_disk.max(lane.in_memory);
        }
        let lag = oldest_due_at.map_or(Duration::ZERO, |oldest| now.since(oldest));
        Ok(Seen { queue: store.queue(whose), due, oldest_due_at, lag, subscribers: store.subscribers(whose) })
    })
    .await
}

fn subscriptions_view(subscribers: Subscribers) -> SubscriptionsView {
    let Subscribers { healthy, paused, degraded, failing, disabled, longest } = subscribers;
    let [of_degraded, of_failing, of_disabled] = longest;
    let view = |count, longest: Option<Longest>| {
        let longest = longest.map(|Longest { subscription, since }| LongestView {
            subscription_id: subscription.id.to_string(),
            tenant_id: subscription.tenant.to_string(),
            url: subscription.url.as_str().to_owned(),
            since: since.into(),
        });
        TroubledView { count, longest: longest.into() }
    };
    SubscriptionsView {
        healthy,
        paused,
        degraded: view(degraded, of_degraded),
        failing: view(failing, of_failing),
        disabled: view(disabled, of_disabled),
    }
}

async fn instance_view(app: &App) -> Result<InstanceView, Refusal> {
    let (disk, files) = read_disk(&app.store, |store| Ok((store.disk(), store.files()))).await?;
    let JournalState { bytes, checkpoint_at } = app.store.journal();
    let ClockState { jump, drift_millis } = app.dispatch.clock();
    let figures = app.dispatch.figures();
    let seconds = |millis: i64| millis as f64 / 1000.0;
    Ok(InstanceView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: app.started.elapsed().as_secs_f64(),
        attempts_under_way: figures.in_flight,
        lanes: figures.lanes,
        disk: disk.into(),
        files: files.into(),
        journal: JournalView { bytes, checkpoint_at: checkpoint_at.map(Time).into() },
        clock: ClockView {
            jumped_at: jump.map(|jump| Time(jump.at)).into(),
            jumped_by_seconds: jump.map_or(0.0, |jump| seconds(jump.by_millis)),
            drift_seconds: seconds(drift_millis),
        },
    })
}

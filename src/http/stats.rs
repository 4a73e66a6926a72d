//! `/v1/stats`, also by event type, and `/v1/webhook-subscriptions/{id}/stats`: figures over time (contract 4.1, 4.4).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Caller, OfInstance, scope};
use super::page::{Parameter, Parameters, Params, Query, choice_parameter, moment_parameter};
use super::problem::Refusal;
use super::reply::{Answer, Attributes, One, Reply};
use super::value::{Nullable, Time, choice};
use super::{App, Tag, read_disk};
use crate::domain::event_type::EventTypeName;
use crate::domain::health::Hold;
use crate::domain::id::SubscriptionId;
use crate::domain::stats::{AttemptKind, Figures, Latencies, Resolution, Scope, StateCounts, StateKind};
use crate::domain::time::Timestamp;
use crate::domain::violation::{Rule, Violation};
use crate::store::stats::StatsRead;
use crate::store::{Store, StoreError};

/// Points of one answer.
const POINTS_MAX: u128 = 1000;
/// Points of single subscriptions that one answer adds up.
const POINTS_SUMMED_MAX: usize = 200_000;
/// What the figures at the top of a subscription's statistics are about.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

choice!(ResolutionName, "resolution", Resolution::ALL.map(Resolution::name));
choice!(ScopeName, "stats_scope", SCOPES);

pub const SCOPES: [&str; 2] = ["tenant", "instance"];

/// Figures over time, those of each point side by side
#[derive(Debug, Serialize, Object)]
struct StatsAttributes {
    scope: ScopeName,
    resolution: ResolutionName,
    /// When the first point begins
    since: Time,
    /// When the last point ends
    until: Time,
    /// Oldest first; one in which nothing happened is there with zeros
    points: Vec<PointView>,
}

impl Attributes for StatsAttributes {
    const TYPE: &'static str = "stats";
    const NAME: &'static str = "Stats";
    const ONE: &'static str = "The figures";
    const PAGE: &'static str = "";
}

/// How much is published of each event type
#[derive(Debug, Serialize, Object)]
struct EventTypeStatsAttributes {
    resolution: ResolutionName,
    /// When the first point begins
    since: Time,
    /// When the last point ends
    until: Time,
    /// Those of which something was published, the most first
    event_types: Vec<EventTypeVolume>,
}

impl Attributes for EventTypeStatsAttributes {
    const TYPE: &'static str = "event_type_stats";
    const NAME: &'static str = "EventTypeStats";
    const ONE: &'static str = "How much is published of each event type";
    const PAGE: &'static str = "";
}

/// What was published of an event type
#[derive(Debug, Serialize, Object)]
struct EventTypeVolume {
    name: String,
    events_published: u64,
}

/// How a subscription fares, and its figures over time
#[derive(Debug, Serialize, Object)]
struct SubscriptionStatsAttributes {
    deliveries: DeliveriesNow,
    last_24_hours: Recent,
    /// When the first of the failures in a row was; null after a success
    failing_since: Nullable<Time>,
    resolution: ResolutionName,
    /// When the first point begins
    since: Time,
    /// When the last point ends
    until: Time,
    /// Oldest first; one in which nothing happened is there with zeros
    points: Vec<PointView>,
}

impl Attributes for SubscriptionStatsAttributes {
    const TYPE: &'static str = "subscription_stats";
    const NAME: &'static str = "SubscriptionStats";
    const ONE: &'static str = "The figures of the subscription";
    const PAGE: &'static str = "";
}

/// How many deliveries are kept, by their state now; what retention removed is not counted
#[derive(Debug, Serialize, Object)]
struct DeliveriesNow {
    pending: u64,
    retrying: u64,
    /// All that wait, while the subscription is sent nothing: it is not active, or its receiver fails
    held: u64,
    succeeded: u64,
    exhausted: u64,
    canceled: u64,
    expired: u64,
}

/// The last 24 hours, to the minute
#[derive(Debug, Serialize, Object)]
#[oai(rename = "RecentStats")]
struct Recent {
    attempts: u64,
    /// The part of the attempts that succeeded, 0 to 1; null when there was none
    success_rate: Nullable<f64>,
    latency_ms: Nullable<LatencyView>,
}

/// What happened within one minute, hour or day
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatsPoint")]
struct PointView {
    /// When it begins, in UTC
    at: Time,
    /// Null for a subscription, and for a restricted key: events are published to a tenant
    events_published: Nullable<u64>,
    deliveries: DeliveriesView,
    attempts: AttemptsView,
    latency_ms: Nullable<LatencyView>,
}

/// Changes of deliveries. One that was tried again by hand after it was given up, and then succeeded, counts in both
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatsDeliveries")]
struct DeliveriesView {
    created: u64,
    succeeded: u64,
    exhausted: u64,
    canceled: u64,
    expired: u64,
}

/// Attempts by what they came to, counted when they ended
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatsAttempts")]
struct AttemptsView {
    succeeded: u64,
    failed: u64,
    failed_by: FailuresView,
}

/// Failed attempts, by the class of the status or of the error
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StatsFailures")]
struct FailuresView {
    status_3xx: u64,
    status_4xx: u64,
    status_5xx: u64,
    blocked_address: u64,
    dns: u64,
    connect: u64,
    tls: u64,
    timeout: u64,
    http: u64,
}

/// How long the attempts took that were answered, whatever the answer said, in milliseconds; null when there was none.
/// The percentiles come from a histogram and are within 6.25 % of a duration that was measured
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Latency")]
struct LatencyView {
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Which part of a series is asked for.
struct Span {
    resolution: Resolution,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Parameters for Span {
    fn documented() -> Vec<Parameter> {
        vec![
            choice_parameter(
                "resolution",
                "How long a point lasts; `hour` unless given. Minutes are kept for 48 hours, hours for 60 days, days \
                 for two years",
                Resolution::ALL.map(Resolution::name),
            ),
            moment_parameter(
                "since",
                "From the point that holds this moment; 60 minutes, 24 hours or 30 days before `until` unless given",
            ),
            moment_parameter("until", "Up to the point that holds the moment before this; now unless given"),
        ]
    }

    fn read(query: &mut Params) -> Self {
        let resolution = |name: &str| Resolution::ALL.into_iter().find(|resolution| resolution.name() == name);
        Self {
            resolution: query.take_with("resolution", "minute, hour or day", resolution).unwrap_or(Resolution::Hour),
            since: query.take_moment("since"),
            until: query.take_moment("until"),
        }
    }
}

fn wrong(name: &str, expected: &'static str) -> Refusal {
    Violation::new(Rule::InvalidParameter { name: name.to_owned(), expected: expected.into() }).into()
}

/// The points of a [`Span`].
#[derive(Clone, Copy)]
struct Points {
    resolution: Resolution,
    since: Timestamp,
    until: Timestamp,
    count: usize,
}

impl Span {
    fn points(self, now: Timestamp) -> Result<Points, Refusal> {
        let Self { resolution, since, until } = self;
        let end = until.unwrap_or_else(|| now.plus(Duration::from_millis(1)));
        let default_points = match resolution {
            Resolution::Minute => 60,
            Resolution::Hour => 24,
            Resolution::Day => 30,
        };
        let last = resolution.start_of(end.minus(Duration::from_millis(1)));
        let since = since.unwrap_or_else(|| last.minus(resolution.span() * (default_points - 1)));
        if since >= end {
            return Err(wrong("since", "before 'until'"));
        }
        let since = resolution.start_of(since);
        let count = last.since(since).as_millis() / resolution.span().as_millis() + 1;
        if count > POINTS_MAX {
            return Err(wrong(
                "since",
                "at most 1,000 points before 'until': ask for a shorter time or a longer resolution",
            ));
        }
        Ok(Points { resolution, since, until: last.plus(resolution.span()), count: count as usize })
    }
}

impl Points {
    fn read(self, stats: &StatsRead, scope: Scope) -> Result<Vec<PointView>, StoreError> {
        let Self { resolution, since, until: _, count } = self;
        let knows_events = !matches!(scope, Scope::Subscription(_));
        let series = stats.series(scope, resolution, since, count)?;
        Ok(series.iter().map(|(at, figures)| point_view(*at, figures, knows_events)).collect())
    }

    /// Of all these subscriptions together.
    fn read_sum(
        self,
        stats: &StatsRead,
        subscriptions: &BTreeSet<SubscriptionId>,
    ) -> Result<Vec<PointView>, StoreError> {
        let Self { resolution, since, until: _, count } = self;
        let series = stats.series_of(subscriptions, resolution, since, count)?;
        Ok(series.iter().map(|(at, figures)| point_view(*at, figures, false)).collect())
    }
}

struct StatsQuery {
    span: Span,
    is_of_the_instance: bool,
}

impl Parameters for StatsQuery {
    fn documented() -> Vec<Parameter> {
        let mut parameters = vec![scope_parameter()];
        parameters.extend(Span::documented());
        parameters
    }

    fn read(query: &mut Params) -> Self {
        Self { is_of_the_instance: take_scope(query), span: Span::read(query) }
    }
}

pub fn scope_parameter() -> Parameter {
    let description =
        "Of the tenant of the request (`tenant`, unless given), or of the whole `instance`: for instance keys";
    choice_parameter("scope", description, SCOPES)
}

/// Whether the parameter `scope` asks for the whole instance.
pub fn take_scope(query: &mut Params) -> bool {
    let scope = query.take_with("scope", "tenant or instance", |value| SCOPES.into_iter().find(|name| *name == value));
    scope == Some(SCOPES[1])
}

pub struct StatsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1")]
impl StatsApi {
    /// Figures over time
    ///
    /// Events, deliveries, attempts and latencies of the tenant, or of the whole instance, by minute, hour or day. What
    /// happened is in them after about a second. At most 1,000 points. A restricted key gets those of the subscriptions that
    /// it made, added up: at most 200,000 points of all of them.
    #[oai(path = "/stats", method = "get", operation_id = "stats.get", tag = "Tag::Activity")]
    async fn get(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        query: Query<StatsQuery>,
    ) -> Result<Answer<One<StatsAttributes>, 200>, Refusal> {
        let Query(StatsQuery { span, is_of_the_instance }) = query;
        let points = span.points(self.app.clock.now())?;
        let (scope, id) = if is_of_the_instance {
            caller.instance_key_only()?;
            (Scope::Instance, "instance".to_owned())
        } else {
            let id = caller.tenant().id;
            (Scope::Tenant(id), id.to_string())
        };
        let own = caller.reach().key.map(|_| {
            let own = caller.tenant_entry().subscriptions().filter(|subscription| caller.sees(subscription));
            own.map(|subscription| subscription.id).collect::<BTreeSet<_>>()
        });
        if own.as_ref().is_some_and(|own| own.len() * points.count > POINTS_SUMMED_MAX) {
            return Err(wrong("since", "a shorter time or a longer resolution, for so many subscriptions"));
        }
        let read = move |store: &Store| {
            let stats = store.stats()?;
            match own {
                None => points.read(&stats, scope),
                Some(own) => points.read_sum(&stats, &own),
            }
        };
        let attributes = StatsAttributes {
            scope: ScopeName(SCOPES[usize::from(is_of_the_instance)]),
            resolution: ResolutionName(points.resolution.name()),
            since: points.since.into(),
            until: points.until.into(),
            points: read_disk(&self.app.store, read).await?,
        };
        Ok(Reply::json(StatusCode::OK, &One::new(id, attributes)).into())
    }

    /// How much is published of each event type
    ///
    /// By all tenants together, summed up over minutes, hours or days. What happened is in it after about a second.
    #[oai(path = "/stats/event-types", method = "get", operation_id = "stats.event_types", tag = "Tag::Activity")]
    async fn event_types(
        &self,
        _caller: Caller<OfInstance<scope::DeliveriesRead>>,
        query: Query<Span>,
    ) -> Result<Answer<One<EventTypeStatsAttributes>, 200>, Refusal> {
        let points = query.0.points(self.app.clock.now())?;
        let Points { resolution, since, until, count } = points;
        let read = move |store: &Store| {
            let published = store.stats()?.published_by_event_type(resolution, since, count)?;
            let catalogue = store.catalogue();
            let volume = |name: &EventTypeName| {
                let events_published = *published.get(&name.key())?;
                Some(EventTypeVolume { name: name.to_string(), events_published })
            };
            Ok(catalogue.event_types().filter_map(|entry| volume(&entry.event_type.name)).collect::<Vec<_>>())
        };
        let mut event_types = read_disk(&self.app.store, read).await?;
        event_types.sort_by_key(|volume| Reverse(volume.events_published));
        let attributes = EventTypeStatsAttributes {
            resolution: ResolutionName(resolution.name()),
            since: since.into(),
            until: until.into(),
            event_types,
        };
        Ok(Reply::json(StatusCode::OK, &One::new("instance".to_owned(), attributes)).into())
    }

    /// How a subscription fares
    ///
    /// Its deliveries by state, its success rate and latency of the last 24 hours, and its figures by minute, hour or
    /// day. What happened is in them after about a second. At most 1,000 points.
    #[oai(
        path = "/webhook-subscriptions/:id/stats",
        method = "get",
        operation_id = "subscriptions.stats",
        tag = "Tag::Subscriptions"
    )]
    async fn of_subscription(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        id: Path<String>,
        query: Query<Span>,
    ) -> Result<Answer<One<SubscriptionStatsAttributes>, 200>, Refusal> {
        let subscription = super::subscriptions::find(&caller, &id)?;
        let (id, now) = (subscription.id, self.app.clock.now());
        let points = query.0.points(now)?;
        let scope = Scope::Subscription(id);
        let read = move |store: &Store| {
            let stats = store.stats()?;
            let recent = stats.figures_since(scope, now.minus(RECENT), now)?;
            Ok((stats.state_counts(id)?, recent, points.read(&stats, scope)?))
        };
        let (counts, recent, series) = read_disk(&self.app.store, read).await?;
        let health = self.app.store.health(id);
        let attributes = SubscriptionStatsAttributes {
            deliveries: deliveries_now(counts, Hold::of(subscription, &health).is_some()),
            last_24_hours: recent_view(&recent),
            failing_since: health.failing_since.map(Time).into(),
            resolution: ResolutionName(points.resolution.name()),
            since: points.since.into(),
            until: points.until.into(),
            points: series,
        };
        Ok(Reply::json(StatusCode::OK, &One::new(id.to_string(), attributes)).into())
    }
}

fn deliveries_now(counts: StateCounts, is_held: bool) -> DeliveriesNow {
    let (pending, retrying) = (counts[StateKind::Pending], counts[StateKind::Retrying]);
    let (pending, retrying, held) = if is_held { (0, 0, pending + retrying) } else { (pending, retrying, 0) };
    DeliveriesNow {
        pending,
        retrying,
        held,
        succeeded: counts[StateKind::Succeeded],
        exhausted: counts[StateKind::Exhausted],
        canceled: counts[StateKind::Canceled],
        expired: counts[StateKind::Expired],
    }
}

fn recent_view(figures: &Figures) -> Recent {
    let (succeeded, failed) = (figures.attempts.succeeded(), figures.attempts.failed());
    let attempts = succeeded + failed;
    let rate = (attempts > 0).then(|| (succeeded as f64 / attempts as f64 * 10_000.0).round() / 10_000.0);
    Recent { attempts, success_rate: rate.into(), latency_ms: latency_view(&figures.latencies).into() }
}

fn point_view(at: Timestamp, figures: &Figures, knows_events: bool) -> PointView {
    let Figures {
        attempts,
        deliveries_created,
        deliveries_succeeded,
        deliveries_exhausted,
        deliveries_canceled,
        deliveries_expired,
        events_published,
        latencies,
    } = figures;
    PointView {
        at: at.into(),
        events_published: knows_events.then_some(*events_published).into(),
        deliveries: DeliveriesView {
            created: *deliveries_created,
            succeeded: *deliveries_succeeded,
            exhausted: *deliveries_exhausted,
            canceled: *deliveries_canceled,
            expired: *deliveries_expired,
        },
        attempts: AttemptsView {
            succeeded: attempts.succeeded(),
            failed: attempts.failed(),
            failed_by: FailuresView {
                status_3xx: attempts[AttemptKind::Status3xx],
                status_4xx: attempts[AttemptKind::Status4xx],
                status_5xx: attempts[AttemptKind::Status5xx],
                blocked_address: attempts[AttemptKind::BlockedAddress],
                dns: attempts[AttemptKind::Dns],
                connect: attempts[AttemptKind::Connect],
                tls: attempts[AttemptKind::Tls],
                timeout: attempts[AttemptKind::Timeout],
                http: attempts[AttemptKind::Http],
            },
        },
        latency_ms: latency_view(latencies).into(),
    }
}

fn latency_view(latencies: &Latencies) -> Option<LatencyView> {
    let millis = |duration: Duration| duration.as_micros() as f64 / 1000.0;
    let percentile = |percent| latencies.percentile(percent).map(millis);
    Some(LatencyView {
        mean: latencies.mean().map(millis)?,
        p50: percentile(50)?,
        p95: percentile(95)?,
        p99: percentile(99)?,
    })
}

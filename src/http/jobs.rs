//! `/v1/jobs`, and what begins one: recover (contract 4.1), retry and cancel many deliveries (contract 4.3).

use std::str::FromStr;
use std::sync::Arc;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::{ApiResponse, Object, OpenApi, types};
use serde::Serialize;
use serde_json::value::RawValue;

use super::audit::Ending;
use super::auth::{Call, Caller, scope};
use super::body::{Body, Fields, Findings, Scalar, Wire, nested};
use super::idempotency::{Fingerprint, Memory, once};
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query};
use super::problem::Refusal;
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply, Shape, meta_response, object_schema};
use super::subscriptions;
use super::value::{MomentText, Nullable, Time, choice, choice_text};
use super::{App, Tag, read_disk};
use crate::domain::delivery::{DeliveryFilter, ShownState};
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobKind, JobState};
use crate::domain::time::Timestamp;
use crate::domain::violation::Rule;
use crate::store::Counted;

const THING: &str = "Job";

/// Deliveries in these states can be retried; of those that can be canceled the last one is not.
const STATES_TO_CHANGE: [ShownState; 5] =
    [ShownState::Pending, ShownState::Retrying, ShownState::Held, ShownState::Exhausted, ShownState::Expired];

choice!(JobKindName, "job_kind", JobKind::NAMES);
choice!(JobStateName, "job_state", JobState::ALL.map(JobState::name));
choice!(FilterStateName, "filter_state", ShownState::ALL.map(ShownState::name));
choice_text!(FilterStateText, "filter_state_text", STATES_TO_CHANGE.map(ShownState::name));

/// What was asked of many deliveries, and how far it came
#[derive(Debug, Serialize, Object)]
struct JobAttributes {
    kind: JobKindName,
    /// `canceled`: what it had not come to stays as it was
    state: JobStateName,
    filter: JobFilter,
    /// Deliveries that it concerns: counted, and fixed, before anything changes. Null until all are counted
    matched: Nullable<u64>,
    /// Deliveries that it changed so far
    done: u64,
    /// Deliveries that were no longer what was asked for when their turn came, or for which there was no room in the
    /// backlog of a subscription that is not active (100,000): they stay what they were
    skipped: u64,
    created_at: Time,
    finished_at: Nullable<Time>,
}

impl Attributes for JobAttributes {
    const TYPE: &'static str = "job";
    const NAME: &'static str = "Job";
    const ONE: &'static str = "The job";
    const PAGE: &'static str = "A page of jobs: those that run, and the newest that are finished";
}

/// Which deliveries a job concerns: those that fit everything that is not null
#[derive(Debug, Serialize, Object)]
struct JobFilter {
    state: Nullable<FilterStateName>,
    subscription_id: Nullable<String>,
    event_id: Nullable<String>,
    event_type: Nullable<String>,
    since: Nullable<Time>,
    until: Nullable<Time>,
    http_status: Nullable<u16>,
}

/// What a dry run found
#[derive(Debug, Serialize, Object)]
struct DryRun {
    /// Always true: nothing was changed
    dry_run: bool,
    /// Deliveries that the job would concern now
    matched: u64,
    /// Whether all were looked at. If not, there may be more: counting stops after a million
    is_complete: bool,
}

/// What is to be recovered
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct RecoverSubscription {
    /// Deliveries that were created then or later
    since: MomentText,
    /// Only counts what is listed by now: what was accepted in the last second may be missing, and a job waits for it
    dry_run: Option<bool>,
}

impl Wire for RecoverSubscription {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { since: fields.take("since"), dry_run: fields.take("dry_run") }
    }
}

/// Which deliveries are to be changed
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct ChangeDeliveries {
    /// Needs a member besides `state`, unless `all` is true
    filter: Option<DeliverySelection>,
    /// Means every delivery of the tenant, or every one in the filter's `state`
    all: Option<bool>,
    /// Only counts what is listed by now: what was accepted in the last second may be missing, and a job waits for it
    dry_run: Option<bool>,
}

impl Wire for ChangeDeliveries {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { filter: fields.take("filter"), all: fields.take("all"), dry_run: fields.take("dry_run") }
    }
}

/// Deliveries that fit everything that is given
#[derive(Object, Default)]
#[oai(deny_unknown_fields)]
struct DeliverySelection {
    /// In this state. `exhausted` and `expired` can be retried, and not canceled
    state: Option<FilterStateText>,
    subscription_id: Option<String>,
    event_id: Option<String>,
    event_type: Option<String>,
    /// Created then or later
    since: Option<MomentText>,
    /// Created before
    until: Option<MomentText>,
    /// Whose last attempt got this status
    #[oai(validator(minimum(value = "100"), maximum(value = "599")))]
    http_status: Option<i64>,
}

impl Wire for DeliverySelection {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            state: fields.take("state"),
            subscription_id: fields.take("subscription_id"),
            event_id: fields.take("event_id"),
            event_type: fields.take("event_type"),
            since: fields.take("since"),
            until: fields.take("until"),
            http_status: fields.take("http_status"),
        }
    }
}

impl Scalar for DeliverySelection {
    const EXPECTED: &'static str = "an object";

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self> {
        nested(value, pointer, findings)
    }
}

struct JobList(Numbered);

impl Parameters for JobList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct JobsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1")]
impl JobsApi {
    /// Recover a subscription
    ///
    /// Everything that failed since then is tried again with its whole schedule, in the background: what is exhausted or
    /// expired, and what was canceled because the receiver was gone. What a person canceled stays canceled, and so does
    /// what has lost its data. Each delivery is queued once, whatever happens to it meanwhile. A subscription that is not
    /// active keeps what fits into its backlog until it is: the rest is counted as skipped.
    #[oai(
        path = "/webhook-subscriptions/:id/recover",
        method = "post",
        operation_id = "subscriptions.recover",
        tag = "Tag::Subscriptions"
    )]
    async fn recover(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        id: Path<String>,
        body: Body<RecoverSubscription>,
    ) -> Result<JobAnswer, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let subscription = subscriptions::find(&caller, &id)?.id;
            let (RecoverSubscription { since, dry_run }, mut findings) = body.read()?;
            let since = read_moment(Some(since), "/since", &mut findings);
            findings.finish()?;
            let since = since.expect("a missing one is among the findings");
            self.start(&caller, JobKind::Recover { subscription, since }, dry_run, memory).await
        })
        .await
        .map(JobAnswer)
    }

    /// Retry many deliveries
    ///
    /// One attempt for each, at once, as for a single one: what has ended gets exactly one more, what waits goes on with its
    /// schedule. What succeeded or was canceled, and what has lost its data, is left alone.
    #[oai(path = "/deliveries/retry", method = "post", operation_id = "deliveries.retry_many", tag = "Tag::Deliveries")]
    async fn retry(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        body: Body<ChangeDeliveries>,
    ) -> Result<JobAnswer, Refusal> {
        self.change(&caller, &body, &STATES_TO_CHANGE, JobKind::Retry).await
    }

    /// Cancel many deliveries
    ///
    /// No further attempt is made for any that is not final.
    #[oai(
        path = "/deliveries/cancel",
        method = "post",
        operation_id = "deliveries.cancel_many",
        tag = "Tag::Deliveries"
    )]
    async fn cancel(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        body: Body<ChangeDeliveries>,
    ) -> Result<JobAnswer, Refusal> {
        let open = [ShownState::Pending, ShownState::Retrying, ShownState::Held];
        self.change(&caller, &body, &open, JobKind::Cancel).await
    }

    /// List jobs
    ///
    /// Finished ones are kept for 30 days, the newest 100 of a tenant.
    #[oai(path = "/jobs", method = "get", operation_id = "jobs.list", tag = "Tag::Jobs")]
    async fn list(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        query: Query<JobList>,
    ) -> Result<Answer<Listed<JobAttributes>, 200>, Refusal> {
        let Query(JobList(page)) = query;
        let reach = caller.reach();
        let jobs = read_disk(&self.app.store, move |store| store.jobs(reach)).await?;
        let list = page.cut(&caller, jobs, |job| ResourceObject::new(job.id.to_string(), attributes(&job)));
        Ok(Reply::json(StatusCode::OK, &list).into())
    }

    /// Get a job
    #[oai(path = "/jobs/:id", method = "get", operation_id = "jobs.get", tag = "Tag::Jobs")]
    async fn get(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        id: Path<String>,
    ) -> Result<Answer<One<JobAttributes>, 200>, Refusal> {
        let job = self.find(&caller, &id).await?;
        Ok(answer(StatusCode::OK, &job).into())
    }

    /// Cancel a job
    ///
    /// It goes no further; what it did stays done. A finished one is refused.
    #[oai(path = "/jobs/:id/cancel", method = "post", operation_id = "jobs.cancel", tag = "Tag::Jobs")]
    async fn cancel_job(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        id: Path<String>,
        body: Body<super::body::Nothing>,
    ) -> Result<Answer<One<JobAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            body.read()?.1.finish()?;
            let job = self.find(&caller, &id).await?;
            let render = |job: &Job| answer(StatusCode::OK, job);
            let canceled = self.app.store.cancel_job(job.id, memory.keep(render)).await?;
            Ok(render(&canceled))
        })
        .await
        .map(Into::into)
    }
}

impl JobsApi {
    async fn change(
        &self,
        call: &Call,
        body: &Body<ChangeDeliveries>,
        states: &[ShownState],
        kind: impl FnOnce(DeliveryFilter) -> JobKind,
    ) -> Result<JobAnswer, Refusal> {
        once(call, Fingerprint::Json(body.bytes()), async |memory| {
            let (ChangeDeliveries { filter, all, dry_run }, mut findings) = body.read()?;
            let filter = read_filter(filter, all.unwrap_or(false), states, &mut findings);
            findings.finish()?;
            self.start(call, kind(filter), dry_run, memory).await
        })
        .await
        .map(JobAnswer)
    }

    async fn start(&self, call: &Call, kind: JobKind, dry_run: Option<bool>, memory: Memory) -> Result<Reply, Refusal> {
        let reach = call.reach();
        if dry_run == Some(true) {
            let _ = call.visit.ending.set(Ending::DryRun);
            let counted = read_disk(&self.app.store, move |store| store.count_for_job(reach, &kind)).await?;
            let Counted { matched, is_complete } = counted;
            return Ok(Reply::json(
                StatusCode::OK,
                &DryRunBody { meta: DryRun { dry_run: true, matched, is_complete } },
            ));
        }
        let render = |job: &Job| answer(StatusCode::ACCEPTED, job).header("location", format!("/v1/jobs/{}", job.id));
        let job = self.app.store.start_job(reach, kind, memory.keep(render)).await?;
        Ok(render(&job))
    }

    async fn find(&self, call: &Call, id: &str) -> Result<Job, Refusal> {
        let not_found = || Refusal::not_found(THING, id);
        let parsed: JobId = id.parse().map_err(|_| not_found())?;
        let job = read_disk(&self.app.store, move |store| store.job(parsed)).await?;
        let reach = call.reach();
        let is_seen = |job: &Job| job.tenant == reach.tenant && (reach.key.is_none() || job.key == reach.key);
        job.filter(is_seen).ok_or_else(not_found)
    }
}

fn read_filter(
    selection: Option<DeliverySelection>,
    all: bool,
    states: &[ShownState],
    findings: &mut Findings,
) -> DeliveryFilter {
    let is_given = selection.is_some();
    let DeliverySelection { state, subscription_id, event_id, event_type, since, until, http_status } =
        selection.unwrap_or_default();
    let is_narrow = subscription_id.is_some()
        || event_id.is_some()
        || event_type.is_some()
        || since.is_some()
        || until.is_some()
        || http_status.is_some();
    if all && is_narrow {
        findings.add(Rule::InvalidFormat { expected: "left out when the filter has a member besides state" }, "/all");
    } else if !all && !is_given && !findings.has_at("/filter") {
        findings.add(Rule::MissingField { name: "filter".into() }, "/filter");
    } else if !all && !is_narrow && findings.is_sound("filter") {
        let expected = "a filter with a member besides state, unless 'all' is true";
        findings.add(Rule::InvalidFormat { expected }, "/filter");
    }
    let known = |FilterStateText(name): FilterStateText| {
        let known = states.iter().copied().find(|state| state.name() == name);
        if known.is_none() {
            findings.add(Rule::InvalidFormat { expected: "a state that allows it" }, "/filter/state");
        }
        known
    };
    let state = state.and_then(known);
    DeliveryFilter {
        state,
        subscription: read(subscription_id, "a subscription's id", "/filter/subscription_id", findings),
        event: read(event_id, "an event's id", "/filter/event_id", findings),
        event_type: read(event_type, "an event type", "/filter/event_type", findings),
        since: read_moment(since, "/filter/since", findings),
        until: read_moment(until, "/filter/until", findings),
        http_status: http_status.and_then(|status| {
            let known = u16::try_from(status).ok().filter(|status| (100..=599).contains(status));
            if known.is_none() {
                findings.add(Rule::OutOfRange { min: 100, max: 599, unit: "" }, "/filter/http_status");
            }
            known
        }),
    }
}

/// A finding when it is there and cannot be read, unless one tells of it already.
fn read<T: FromStr>(text: Option<String>, expected: &'static str, pointer: &str, findings: &mut Findings) -> Option<T> {
    let parsed = text?.parse().ok();
    if parsed.is_none() && !findings.has_at(pointer) {
        findings.add(Rule::InvalidFormat { expected }, pointer);
    }
    parsed
}

fn read_moment(text: Option<MomentText>, pointer: &str, findings: &mut Findings) -> Option<Timestamp> {
    read(text.map(|MomentText(text)| text), "an RFC 3339 date and time", pointer, findings)
}

fn answer(status: StatusCode, job: &Job) -> Reply {
    Reply::json(status, &One::new(job.id.to_string(), attributes(job)))
}

fn attributes(job: &Job) -> JobAttributes {
    let Job { id: _, tenant: _, key: _, kind, state, counted, is_counted, done, skipped, created_at, finished_at } =
        job;
    let filter = kind.filter();
    let DeliveryFilter { state: wanted, subscription, event, event_type, since, until, http_status } = filter;
    JobAttributes {
        kind: JobKindName(kind.name()),
        state: JobStateName(state.name()),
        filter: JobFilter {
            state: wanted.map(|state| FilterStateName(state.name())).into(),
            subscription_id: subscription.map(|id| id.to_string()).into(),
            event_id: event.map(|id| id.to_string()).into(),
            event_type: event_type.map(|name| name.to_string()).into(),
            since: since.map(Time).into(),
            until: until.map(Time).into(),
            http_status: http_status.into(),
        },
        matched: is_counted.then_some(*counted).into(),
        done: *done,
        skipped: *skipped,
        created_at: Time(*created_at),
        finished_at: finished_at.map(Time).into(),
    }
}

#[derive(Serialize)]
struct DryRunBody {
    meta: DryRun,
}

/// 202 with the job, 200 with what a dry run counted.
struct JobAnswer(Reply);

impl IntoResponse for JobAnswer {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl ApiResponse for JobAnswer {
    fn meta() -> MetaResponses {
        let mut job = meta_response::<One<JobAttributes>>(202);
        job.description = "The job has begun";
        MetaResponses { responses: vec![job, meta_response::<DryRunShape>(200)] }
    }

    fn register(registry: &mut Registry) {
        One::<JobAttributes>::register(registry);
        DryRunShape::register(registry);
    }
}

struct DryRunShape;

impl Shape for DryRunShape {
    const DESCRIPTION: &'static str = "A dry run: what the job would concern now";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![("meta", <DryRun as types::Type>::schema_ref())]))
    }

    fn register(registry: &mut Registry) {
        <DryRun as types::Type>::register(registry);
    }
}

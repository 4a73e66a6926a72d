//! The audit log: every write that somebody asked for leaves an entry, at the one place that every answer passes; and
//! `/v1/audit-log`, where it is read.

use std::sync::Arc;

use poem::http::{Method, StatusCode};
use poem::{Request, Response};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Caller, OfInstance, find_tenant, scope};
use super::page::{Cursor, CursorId, Parameter, Parameters, Params, Query, Walked, moment_parameter, text_parameter};
use super::problem::Refusal;
use super::reply::{Answer, Attributes, Object as ResourceObject, Reply};
use super::template::Templates;
use super::value::{Nullable, Time};
use super::visit::Visit;
use super::{App, Tag, read_disk};
use crate::domain::actor::Actor;
use crate::domain::audit::{AuditActor, AuditEntry, AuditObject};
use crate::domain::id::AuditId;
use crate::store::{AuditFilter, StoreError};

/// Operations that write what publishers and receivers do all day: events and attempts are their history.
const NOT_AUDITED: [&str; 3] = ["events.publish", "events.publish_batch", "listeners.answer"];
/// Resources that every tenant has of its own.
const OF_TENANTS: [&str; 7] = [
    "/v1/webhook-subscriptions",
    "/v1/events",
    "/v1/deliveries",
    "/v1/jobs",
    "/v1/api-keys",
    "/v1/portal-links",
    "/v1/listeners",
];
/// What the documents say of a write.
#[derive(Debug, Clone)]
struct Operation {
    method: Method,
    id: String,
    /// Kind of the object that the path names; none: the path names none.
    kind: Option<String>,
    /// Which part of the path, from 0 before the first slash, is its id.
    id_at: usize,
    /// Whether it is asked without being let in as anybody: then refusals are told, too.
    is_open: bool,
}

/// How an operation ended, where its name and its status alone would tell something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was changed, as it was asked.
    DryRun,
    /// The password was right, and the code is still to come.
    TotpRequired,
}

impl Ending {
    /// What the action ends with.
    fn name(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::TotpRequired => "totp_required",
        }
    }
}

/// Every audited operation.
pub struct Operations {
    audited: Templates<Operation>,
    /// The paths of [`NOT_AUDITED`]: nothing is asked so often.
    quiet: Vec<String>,
}

impl Operations {
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Self {
        let (mut audited, mut quiet) = (Vec::new(), Vec::new());
        for document in documents {
            for (path, operations) in document["paths"].as_object().into_iter().flatten() {
                for (method, operation) in operations.as_object().into_iter().flatten() {
                    let id = operation["operationId"].as_str().unwrap_or_default();
                    if NOT_AUDITED.contains(&id) {
                        quiet.push(path.clone());
                    }
                    if method == "get" || NOT_AUDITED.contains(&id) {
                        continue;
                    }
                    let parts: Vec<&str> = path.split('/').collect();
                    let id_at = parts.iter().position(|part| part.starts_with('{'));
                    let operation = Operation {
                        method: Method::from_bytes(method.to_uppercase().as_bytes()).expect("it is a method"),
                        id: id.to_owned(),
                        kind: id_at.map(|at| kind_at(document, &parts[..=at].join("/"), id)),
                        id_at: id_at.unwrap_or_default(),
                        is_open: operation.get("security").is_none(),
                    };
                    audited.push((path.as_str(), operation));
                }
            }
        }
        Self { audited: audited.into_iter().collect(), quiet }
    }

    fn find(&self, method: &Method, path: &str) -> Option<&Operation> {
        if [Method::GET, Method::HEAD].contains(method)
            || (method == Method::POST && self.quiet.iter().any(|it| it == path))
        {
            return None;
        }
        self.audited.find(path, |operation| operation.method == method)
    }
}

/// What reading the path shows; what the operation is about when nobody can read it.
fn kind_at(document: &Value, path: &str, operation_id: &str) -> String {
    let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let object =
        schema["properties"]["data"]["$ref"].as_str().and_then(|name| document.pointer(name.strip_prefix('#')?));
    let kind = object.and_then(|object| object["properties"]["type"]["enum"][0].as_str());
    kind.unwrap_or_else(|| operation_id.split('.').next().unwrap_or_default()).to_owned()
}

/// A request that is worth an entry, when it comes to anything.
pub struct Asked {
    operation: Operation,
    path: String,
}

/// The object of an answer.
#[derive(Deserialize)]
struct Shown {
    data: ShownObject,
}

#[derive(Deserialize)]
struct ShownObject {
    r#type: String,
    id: String,
}

impl Asked {
    pub fn of(operations: &Operations, request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let operation = operations.find(request.method(), path)?.clone();
        Some(Self { operation, path: path.to_owned() })
    }

    /// Whether anybody may, without a key.
    pub fn is_open(&self) -> bool {
        self.operation.is_open
    }

    /// Writes the entry before the answer goes out: what was told to be done is in the log.
    pub async fn note(self, visit: &Visit, response: Response) -> Result<Response, StoreError> {
        let status = response.status();
        if response.headers().contains_key("idempotency-replayed") {
            return Ok(response);
        }
        // Guesses are counted, and told to wait when they are many; what is forbidden to anybody is none, and may come at any rate.
        let is_refused_guess = status == StatusCode::UNAUTHORIZED && self.operation.is_open;
        if !status.is_success() && !is_refused_guess {
            return Ok(response);
        }
        let (shown, response) = if status.is_success() { shown(response).await } else { (None, response) };
        let Self { operation: Operation { method: _, id, kind, id_at, is_open: _ }, path } = self;
        let is_of_tenant = OF_TENANTS.iter().any(|prefix| path.starts_with(prefix)) || visit.contract.is_some();
        let object = match kind {
            Some(kind) => path.split('/').nth(id_at).map(|id| AuditObject { kind, id: decoded(id) }),
            None => shown,
        };
        let entry = AuditEntry {
            action: match visit.ending.get() {
                Some(ending) => format!("{id}_{}", ending.name()),
                None if status.is_success() => id,
                None => format!("{id}_failed"),
            },
            actor: visit.actor.get().map(actor),
            tenant: visit.tenant.get().copied().filter(|_| is_of_tenant),
            object,
            request_id: visit.id.clone(),
            remote_address: visit.client,
            status: status.as_u16(),
        };
        visit.app.store.append_audit(entry).await?;
        Ok(response)
    }
}

/// Writes an entry for what only reads and is worth one all the same.
pub async fn note_reading(visit: &Visit, action: &str, object: AuditObject) -> Result<(), StoreError> {
    let entry = AuditEntry {
        action: action.to_owned(),
        actor: visit.actor.get().map(actor),
        tenant: None,
        object: Some(object),
        request_id: visit.id.clone(),
        remote_address: visit.client,
        status: StatusCode::OK.as_u16(),
    };
    visit.app.store.append_audit(entry).await.map(drop)
}

/// What the body says that it shows. The body, which is in memory already, stays as it is.
async fn shown(mut response: Response) -> (Option<AuditObject>, Response) {
    let bytes = response.take_body().into_bytes().await.unwrap_or_default();
    let shown = serde_json::from_slice(&bytes).ok();
    response.set_body(bytes);
    (shown.map(|Shown { data: ShownObject { r#type: kind, id } }| AuditObject { kind, id }), response)
}

/// What stands in a part of a path, or in a header, percent-encoded.
pub fn decoded(part: &str) -> String {
    let text = format!("={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn actor(actor: &Actor) -> AuditActor {
    let id = match actor {
        Actor::Key(key) | Actor::KeyInSession { key, .. } => key.id.to_string(),
        Actor::User { user, .. } => user.id.to_string(),
        Actor::Portal(link) => link.session_id().to_string(),
    };
    AuditActor { kind: actor.kind().name().to_owned(), id, name: actor.name().to_owned() }
}

/// One write that somebody asked for
#[derive(Debug, Serialize, Object)]
struct AuditAttributes {
    at: Time,
    /// The operation as this document calls it. One that was refused ends with `_failed`, one that changed nothing since it was
    /// a trial with `_dry_run`; `sessions.create_totp_required` is a right password without the code
    action: String,
    /// Null: it was asked without signing in
    actor: Nullable<ActorView>,
    /// Null: it concerns the instance
    tenant_id: Nullable<String>,
    object: Nullable<ObjectView>,
    /// The `X-Request-Id` of the answer
    request_id: String,
    remote_address: Nullable<String>,
    /// Of the answer
    status: u16,
}

/// Who asked, as of then
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AuditActor")]
struct ActorView {
    /// `key`, `user` or `portal`
    r#type: String,
    id: String,
    name: String,
}

/// What it was about
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AuditObject")]
struct ObjectView {
    r#type: String,
    id: String,
}

impl Attributes for AuditAttributes {
    const TYPE: &'static str = "audit_entry";
    const NAME: &'static str = "AuditEntry";
    const ONE: &'static str = "The entry";
    const PAGE: &'static str = "A page of the audit log, newest first";
}

impl CursorId for AuditId {
    fn from_u128(value: u128) -> Self {
        Self::from_u128(value)
    }

    fn as_u128(self) -> u128 {
        self.as_u128()
    }
}

struct AuditList {
    cursor: Cursor<AuditId>,
    filter: AuditFilter,
    tenant: Option<String>,
}

impl Parameters for AuditList {
    fn documented() -> Vec<Parameter> {
        let mut parameters = Cursor::<AuditId>::documented();
        parameters.extend([
            text_parameter("filter[action]", "Only this operation: `subscriptions.delete`, `sessions.create_failed`"),
            text_parameter("filter[actor_id]", "Only what this one asked for"),
            text_parameter("filter[object_id]", "Only what was about this object"),
            text_parameter("filter[tenant_id]", "Only what concerned this tenant, by its id"),
            moment_parameter("filter[since]", "Only what was then or later"),
            moment_parameter("filter[until]", "Only what was before"),
        ]);
        parameters
    }

    fn read(query: &mut Params) -> Self {
        Self {
            cursor: Cursor::read(query),
            filter: AuditFilter {
                action: query.take("filter[action]", "a text"),
                actor_id: query.take("filter[actor_id]", "a text"),
                object_id: query.take("filter[object_id]", "a text"),
                tenant: None,
                since: query.take_moment("filter[since]"),
                until: query.take_moment("filter[until]"),
            },
            tenant: query.take("filter[tenant_id]", "a text"),
        }
    }
}

pub struct AuditApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/audit-log", tag = "Tag::Instance")]
impl AuditApi {
    /// Read the audit log
    ///
    /// Newest first. Every write but publishing and what listeners answer, by whomever, and refused attempts to sign in; kept for
    /// `retention.audit_days`. With a filter a page can come out short and still have a next one: at most 10,000 entries are
    /// looked at for each.
    #[oai(path = "/", method = "get", operation_id = "audit_log.list")]
    async fn list(
        &self,
        caller: Caller<OfInstance<scope::AuditRead>>,
        query: Query<AuditList>,
    ) -> Result<Answer<Walked<AuditAttributes>, 200>, Refusal> {
        let Query(AuditList { cursor, mut filter, tenant }) = query;
        // The id of a tenant that was deleted is still one.
        let id_of = |name: &str| name.parse().ok().or_else(|| Some(find_tenant(&caller.catalogue, name)?.tenant.id));
        filter.tenant = match tenant {
            Some(name) => Some(id_of(&name).ok_or_else(|| Refusal::not_found("Tenant", name))?),
            None => None,
        };
        let page = read_disk(&self.app.store, move |store| store.audit_log(&filter, cursor.walk)).await?;
        let rows = page.rows.into_iter().map(|(id, entry)| ResourceObject::new(id.to_string(), attributes(id, entry)));
        Ok(Reply::json(StatusCode::OK, &cursor.list(&caller, rows.collect(), page.next, page.previous)).into())
    }
}

fn attributes(id: AuditId, entry: AuditEntry) -> AuditAttributes {
    let AuditEntry { action, actor, tenant, object, request_id, remote_address, status } = entry;
    AuditAttributes {
        at: Time(id.assigned_at()),
        action,
        actor: actor.map(|AuditActor { kind, id, name }| ActorView { r#type: kind, id, name }).into(),
        tenant_id: tenant.map(|tenant| tenant.to_string()).into(),
        object: object.map(|AuditObject { kind, id }| ObjectView { r#type: kind, id }).into(),
        request_id,
        remote_address: remote_address.map(|address| address.to_string()).into(),
        status,
    }
}

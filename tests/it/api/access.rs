//! Who may do what: every operation of every document, asked by one of each who could ask. What is expected follows from
//! the document alone (`security`, `x-scope`, `x-reach`, `x-scope-for-others`), so a new operation is a new row by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poem::Endpoint;
use poem::http::Method;
use serde_json::{Value, json};
use waxwing::domain::contract::Contract;
use waxwing::domain::key::{KeyKind, Preset, Scope, Scopes};
use waxwing::domain::user::Role;
use waxwing::http::{contract_document, document, scopes_of};

use crate::support::app::{ADMIN_KEY, TEST_RECEIVER, TestApp};

/// One operation, and what its document asks of whoever calls it.
struct Operation {
    contract: Option<Contract>,
    id: String,
    method: Method,
    path: String,
    has_body: bool,
    /// Whether anybody may call it.
    is_open: bool,
    takes_cookie: bool,
    /// Of the own API.
    scope: Option<String>,
    breadth: Breadth,
    /// What asking about another user takes, together with the whole instance.
    scope_for_others: Option<String>,
}

/// How much of what there is somebody has, or an operation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Breadth {
    Part,
    Tenant,
    Instance,
}

fn operations() -> Vec<Operation> {
    let of_contracts = Contract::ALL.map(|contract| (Some(contract), contract_document(contract)));
    let documents = [(None, document())].into_iter().chain(of_contracts);
    let mut all = Vec::new();
    for (contract, document) in documents {
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let text = |name: &str| operation[name].as_str().map(str::to_owned);
                let requirements = operation["security"].as_array();
                let named = requirements.and_then(|all| all[0]["ApiKey"][0].as_str());
                all.push(Operation {
                    contract,
                    id: text("operationId").unwrap(),
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    has_body: operation.get("requestBody").is_some(),
                    is_open: requirements.is_none(),
                    takes_cookie: requirements.is_some_and(|all| all.iter().any(|one| one.get("Session").is_some())),
                    scope: text("x-scope").or(named.map(str::to_owned)),
                    breadth: match operation["x-reach"].as_str() {
                        None => Breadth::Part,
                        Some("tenant") => Breadth::Tenant,
                        Some("instance") => Breadth::Instance,
                        Some(other) => panic!("{path}: x-reach is {other}"),
                    },
                    scope_for_others: text("x-scope-for-others"),
                });
            }
        }
    }
    all
}

/// Somebody who asks.
struct Actor {
    name: String,
    credential: Credential,
    scopes: BTreeSet<&'static str>,
    breadth: Breadth,
    /// The contract that its key is made for.
    contract: Option<Contract>,
    is_read_only: bool,
    /// The code of the refusal that it gets everywhere.
    refused: Option<&'static str>,
}

enum Credential {
    None,
    Key(String),
    /// With whose portal link it is got anew.
    Bearer(String, Option<Visitor>),
    /// With what it is got anew: some operations end it.
    Cookie(String, Option<Value>),
}

/// Somebody whom a link lets into the portal of a tenant.
struct Visitor {
    tenant: String,
    is_read_only: bool,
}

impl Visitor {
    async fn enter(&self, app: &TestApp) -> String {
        let link = json!({ "read_only": self.is_read_only, "session_seconds": 43200 });
        let link = app.post("/v1/portal-links", link).header("waxwing-tenant", &self.tenant).await.assert(201).json();
        let url = link["data"]["attributes"]["url"].as_str().unwrap().to_owned();
        let token = json!({ "token": url.split_once('#').unwrap().1 });
        let session = app.post("/v1/portal-sessions", token).without_key().await.assert(201).json();
        session["data"]["attributes"]["bearer"].as_str().unwrap().to_owned()
    }
}

fn names(scopes: Scopes) -> BTreeSet<&'static str> {
    scopes.iter().map(Scope::name).collect()
}

impl Actor {
    fn new(name: impl Into<String>, credential: Credential, scopes: Scopes, breadth: Breadth) -> Self {
        let (contract, is_read_only, refused) = (None, false, None);
        Self { name: name.into(), credential, scopes: names(scopes), breadth, contract, is_read_only, refused }
    }

    fn refused(name: &str, credential: Credential, code: &'static str) -> Self {
        let refused = Some(code);
        Self { refused, ..Self::new(name, credential, Scopes::default(), Breadth::Part) }
    }
}

/// What somebody gets who asks.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Whatever comes of it then.
    In,
    Unauthorized,
    Forbidden,
}

impl Operation {
    fn expects(&self, actor: &Actor) -> Verdict {
        if self.is_open {
            return Verdict::In;
        }
        let knows_credential = match &actor.credential {
            Credential::None => false,
            Credential::Key(_) => {
                self.contract.is_none() || actor.contract.is_none() || actor.contract == self.contract
            }
            // Those of the own API.
            Credential::Bearer(..) => self.contract.is_none(),
            Credential::Cookie(..) => self.takes_cookie,
        };
        if !knows_credential || actor.refused.is_some() {
            return Verdict::Unauthorized;
        }
        let has = |scope: &Option<String>| scope.as_deref().is_none_or(|scope| actor.scopes.contains(scope));
        let may_ask_about_others =
            self.scope_for_others.is_none() || (has(&self.scope_for_others) && actor.breadth == Breadth::Instance);
        let is_allowed = has(&self.scope) && actor.breadth >= self.breadth && may_ask_about_others;
        if is_allowed { Verdict::In } else { Verdict::Forbidden }
    }

    /// With a path parameter that names nothing, and a body that says nothing: who is let in changes nothing.
    async fn ask(&self, app: &TestApp, actor: &Actor) -> (u16, String) {
        let path: Vec<&str> =
            self.path.split('/').map(|part| if part.starts_with('{') { "nonsense" } else { part }).collect();
        let request = poem::Request::builder().method(self.method.clone()).uri_str(path.join("/"));
        let request = match &actor.credential {
            Credential::None => request,
            Credential::Key(text) | Credential::Bearer(text, _) => {
                request.header("authorization", format!("Bearer {text}"))
            }
            Credential::Cookie(cookie, _) => request.header("cookie", cookie).header("waxwing-console", "1"),
        };
        let request = match self.has_body {
            true => request.content_type("application/json").body(r#"{"no_such_field":1}"#),
            false => request.finish(),
        };
        let mut response = app.endpoint.get_response(request).await;
        let status = response.status().as_u16();
        // It has no end.
        if self.id == "stream.read" && status == 200 {
            return (status, String::new());
        }
        (status, response.take_body().into_string().await.unwrap())
    }

    /// Whether it takes away what it was asked with.
    fn ends_credential(&self) -> bool {
        self.method == Method::DELETE && ["/v1/sessions", "/v1/sessions/current"].contains(&&*self.path)
    }
}

const PASSWORD: &str = "correct horse";

/// One of each who could ask.
async fn actors(app: &TestApp) -> Vec<Actor> {
    let own = app.post("/v1/tenants", json!({ "name": "Own" })).await.assert(201).id();
    let mut all = Vec::new();
    let restricted = json!({ "allowed_events": ["order.*"], "channels": ["c"] });
    for scope in Scope::ALL {
        let scopes: Scopes = [*scope].into_iter().collect();
        for (breadth, tenant) in
            [(Breadth::Instance, Value::Null), (Breadth::Tenant, json!(own)), (Breadth::Part, json!(own))]
        {
            let mut body = json!({ "name": "k", "scopes": [scope.name()], "tenant": tenant });
            if breadth == Breadth::Part {
                body.as_object_mut().unwrap().extend(restricted.as_object().unwrap().clone());
            }
            let key = Credential::Key(app.make_key(body).await);
            all.push(Actor::new(format!("{breadth:?} key with {}", scope.name()), key, scopes, breadth));
        }
    }
    for preset in Preset::ALL {
        for (breadth, tenant) in [(Breadth::Instance, Value::Null), (Breadth::Tenant, json!(own))] {
            let body = json!({ "name": "k", "preset": preset.name(), "tenant": tenant });
            let key = Credential::Key(app.make_key(body).await);
            let actor = Actor::new(format!("{breadth:?} key, {}", preset.name()), key, preset.scopes(), breadth);
            all.push(Actor { is_read_only: preset == Preset::ReadOnly, ..actor });
        }
    }
    for kind in KeyKind::ALL {
        let own_scopes = scopes_of(kind).skip(Scope::ALL.len());
        for (name, scopes) in own_scopes {
            let mut body = json!({ "name": "k", "kind": kind.name(), "scopes": [name], "tenant": own });
            let breadth = if kind == KeyKind::MareaUser { Breadth::Part } else { Breadth::Tenant };
            if breadth == Breadth::Part {
                body["channels"] = json!(["shop:1"]);
            }
            let key = Credential::Key(app.make_key(body).await);
            let actor = Actor::new(format!("{} key with {name}", kind.name()), key, scopes, breadth);
            all.push(Actor { contract: kind.contract(), ..actor });
        }
    }
    all.extend(portal_sessions(app, &own).await);
    for role in Role::ALL {
        let email = format!("{}@example.com", role.name());
        let (_, cookie) = app.make_user(&email, role.name()).await;
        let sign_in = json!({ "email": email, "password": PASSWORD });
        let cookie = Credential::Cookie(cookie, Some(sign_in));
        all.push(Actor::new(format!("session of an {}", role.name()), cookie, role.scopes(), Breadth::Instance));
    }
    let key = app.make_key(json!({ "name": "k", "preset": "read_only", "tenant": null })).await;
    let sign_in = json!({ "api_key": key });
    let cookie = app.post("/v1/sessions", sign_in.clone()).without_key().await.assert(201).set_cookie();
    let cookie = Credential::Cookie(cookie, Some(sign_in));
    let actor = Actor::new("session of a key", cookie, Preset::ReadOnly.scopes(), Breadth::Instance);
    all.push(Actor { is_read_only: true, ..actor });
    all.extend(refused(app).await);
    all
}

async fn portal_sessions(app: &TestApp, tenant: &str) -> Vec<Actor> {
    let mut all = Vec::new();
    for is_read_only in [false, true] {
        let visitor = Visitor { tenant: tenant.to_owned(), is_read_only };
        let bearer = visitor.enter(app).await;
        let scopes = Preset::Subscriber.scopes();
        let scopes = if is_read_only { scopes.iter().filter(|scope| scope.is_read()).collect() } else { scopes };
        let name = format!("portal session, read only: {is_read_only}");
        let actor = Actor::new(name, Credential::Bearer(bearer, Some(visitor)), scopes, Breadth::Tenant);
        all.push(Actor { is_read_only, ..actor });
    }
    all
}

/// Those who are let in nowhere.
async fn refused(app: &TestApp) -> Vec<Actor> {
    let full = json!({ "name": "k", "preset": "full_access", "tenant": null });
    let revoked = app.post("/v1/api-keys", full.clone()).await.assert(201);
    app.delete(&format!("/v1/api-keys/{}", revoked.id())).await.assert(204);
    let revoked = revoked.json()["data"]["attributes"]["secret"].as_str().unwrap().to_owned();
    let mut typo = app.make_key(full).await;
    let last = if typo.ends_with('x') { "y" } else { "x" };
    typo.replace_range(typo.len() - 1.., last);
    let expires_at = "2026-02-18T12:00:01Z";
    let expired = json!({ "name": "k", "preset": "full_access", "tenant": null, "expires_at": expires_at });
    let expired = app.make_key(expired).await;
    let (_, ended) = app.make_user("ended@example.com", "owner").await;
    app.delete("/v1/sessions").cookie(&ended).await.assert(204);
    app.advance(Duration::from_secs(1));
    vec![
        Actor::refused("nobody", Credential::None, "missing_api_key"),
        Actor::refused("revoked key", Credential::Key(revoked), "key_revoked"),
        Actor::refused("expired key", Credential::Key(expired), "key_expired"),
        Actor::refused("key with a typo", Credential::Key(typo), "invalid_api_key"),
        Actor::refused("unknown key", Credential::Key("nonsense".to_owned()), "invalid_api_key"),
        Actor::refused("unknown bearer", Credential::Bearer("wp_nonsense".to_owned(), None), "invalid_api_key"),
        Actor::refused("ended session", Credential::Cookie(ended, None), "session_expired"),
        Actor::refused("made-up session", Credential::Cookie("waxwing_session=x".to_owned(), None), "session_expired"),
    ]
}

#[tokio::test]
async fn every_operation_is_for_those_whom_its_document_says_and_nobody_else() {
    let app = TestApp::start().await;
    let mut actors = actors(&app).await;
    let operations = operations();
    let (mut cases, mut let_in) = (0, 0);
    for operation in &operations {
        let mut seen = BTreeSet::new();
        for actor in &mut actors {
            // Sessions have 50 calls a second, and keys at Marea 60 a minute.
            app.advance(Duration::from_millis(25));
            let expected = operation.expects(actor);
            let (status, body) = operation.ask(&app, actor).await;
            let place = format!("{} {} by {}: {status} {body}", operation.id, operation.path, actor.name);
            let found = match status {
                401 => Verdict::Unauthorized,
                403 => Verdict::Forbidden,
                _ => Verdict::In,
            };
            assert_eq!(found, expected, "{place}");
            assert_ne!(status, 429, "{place}");
            assert!(status < 500, "{place}");
            if operation.contract.is_none() && found != Verdict::In {
                let needed = operation.scope.as_ref().or(operation.scope_for_others.as_ref());
                let is_write = needed.is_some_and(|scope| scope.ends_with(":write"));
                let code = match actor.refused {
                    Some(code) => code,
                    None if actor.is_read_only && is_write => "read_only_key",
                    None => "missing_scope",
                };
                let body: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["errors"].as_array().map(Vec::len), Some(1), "{place}");
                assert_eq!(body["errors"][0]["code"], code, "{place}");
            }
            match &mut actor.credential {
                Credential::Cookie(cookie, Some(sign_in)) if operation.ends_credential() => {
                    *cookie = app.post("/v1/sessions", sign_in.clone()).without_key().await.assert(201).set_cookie();
                }
                Credential::Bearer(bearer, Some(visitor)) if operation.id == "portal_sessions.end_current" => {
                    *bearer = visitor.enter(&app).await;
                }
                _ => {}
            }
            cases += 1;
            let_in += usize::from(found == Verdict::In);
            seen.insert(format!("{found:?}"));
        }
        let expected = if operation.is_open { 1 } else { 2 };
        assert!(seen.len() >= expected, "{}: nobody was refused, or everybody: {seen:?}", operation.id);
    }
    println!("{cases} cases: {} operations, each asked by {} actors; {let_in} let in", operations.len(), actors.len());
    assert!(cases > 8000, "{cases} cases");
}

#[test]
fn reading_takes_a_scope_to_read_and_changing_one_to_write() {
    for operation in operations() {
        let scopes = operation.scope.iter().chain(&operation.scope_for_others);
        for scope in scopes {
            // A backup holds everything; whoever listens is the receiver, and sees what secrets sign.
            let is_more = ["backups.download", "listeners.fetch"].contains(&&*operation.id);
            let is_reading = operation.method == Method::GET && !is_more;
            let verb = if is_reading { ":read" } else { ":write" };
            assert!(scope.ends_with(verb), "{} {} takes {scope}", operation.method, operation.id);
            assert!(Scope::from_name(scope).is_some(), "{} takes {scope}", operation.id);
        }
    }
}

/// Something of each kind in a tenant, by the paths that name it. Every text in it is a secret to others.
async fn things(app: &TestApp, tenant: &str) -> BTreeMap<&'static str, String> {
    let post = async |path: &str, body: Value| app.post(path, body).header("waxwing-tenant", tenant).await;
    // As the contracts take it.
    let bearer = format!("Bearer {ADMIN_KEY}");
    let get = async |path: &str| app.get(path).key(&bearer).header("waxwing-tenant", tenant).await.assert(200).json();
    let body = json!({ "url": "https://listener.invalid/SECRET", "events": ["order.sent"], "channels": ["c"] });
    let listened = post("/v1/webhook-subscriptions", body).await.assert(201).id();
    let listener = post("/v1/listeners", json!({ "subscription_id": listened })).await.assert(201).id();
    let body = json!({ "url": TEST_RECEIVER, "events": ["order.*"], "description": "SECRET", "channels": ["c"] });
    let subscription = post("/v1/webhook-subscriptions", body).await.assert(201).id();
    post(&format!("/v1/webhook-subscriptions/{subscription}/key-pair"), json!({})).await.assert(200);
    let event = json!({ "type": "order.paid", "data": "SECRET", "channels": ["c"] });
    let event = post("/v1/events", event).await.assert(202).id();
    let job = json!({ "filter": { "event_type": "order.sent" } });
    let job = post("/v1/deliveries/cancel", job).await.assert(202).id();
    let key = post("/v1/api-keys", json!({ "name": "SECRET", "preset": "read_only" })).await.assert(201).id();
    let link = post("/v1/portal-links", json!({})).await.assert(201).id();
    let event_shown = get(&format!("/v1/events/{event}")).await;
    let delivery = event_shown["data"]["attributes"]["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let of_agentmessage = get("/v1/webhooks").await["data"][0]["id"].as_str().unwrap().to_owned();
    let of_marea = get("/v1/webhook_endpoints").await["endpoints"][0]["endpointId"].as_str().unwrap().to_owned();
    BTreeMap::from([
        ("/v1/listeners/{id}", listener),
        ("/v1/webhook-subscriptions/{id}", subscription),
        ("/v1/events/{id}", event),
        ("/v1/deliveries/{id}", delivery),
        ("/v1/jobs/{id}", job),
        ("/v1/api-keys/{id}", key),
        ("/v1/portal-links/{id}", link),
        ("/v1/tenants/{id}", tenant.to_owned()),
        ("/v1/webhooks/{id}", of_agentmessage),
        ("/v1/webhook_endpoints/{endpointId}", of_marea),
    ])
}

/// What the paths of these name belongs to the instance, or to one user, and is found by nobody's tenant.
const OF_NO_TENANT: [&str; 6] = [
    "/v1/backups/",
    "/v1/event-types/{name}",
    "/v1/users/{id}",
    "/v1/sessions/{id}",
    "/v1/test-receiver/receivers/{id}",
    // Public on purpose: whoever verifies a signature asks it.
    "/.well-known/webhook-keys/{id}",
];

/// Those of a tenant who can do the most: what stops them is only whose the things are.
async fn powerful(app: &TestApp, tenant: &str) -> Vec<Actor> {
    let mut all = Vec::new();
    let all_scopes = Preset::FullAccess.scopes();
    for (kind, restriction, breadth) in [
        (KeyKind::Native, json!({}), Breadth::Tenant),
        (KeyKind::Native, json!({ "allowed_events": ["order.*"], "channels": ["c"] }), Breadth::Part),
        (KeyKind::MareaDeveloper, json!({}), Breadth::Tenant),
        (KeyKind::MareaUser, json!({ "channels": ["c"] }), Breadth::Part),
        (KeyKind::Agentmessage, json!({}), Breadth::Tenant),
    ] {
        let mut body = json!({ "name": "k", "kind": kind.name(), "preset": "full_access", "tenant": tenant });
        body.as_object_mut().unwrap().extend(restriction.as_object().unwrap().clone());
        let key = Credential::Key(app.make_key(body).await);
        let actor = Actor::new(format!("{breadth:?} key of {}", kind.name()), key, all_scopes, breadth);
        all.push(Actor { contract: kind.contract(), ..actor });
    }
    all.extend(portal_sessions(app, tenant).await);
    all
}

/// All that can be seen of a tenant.
async fn all_of(app: &TestApp, tenant: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for list in ["webhook-subscriptions", "events", "deliveries", "jobs", "api-keys", "portal-links"] {
        seen.push(app.get(&format!("/v1/{list}")).header("waxwing-tenant", tenant).await.assert(200).body);
    }
    seen.push(app.get(&format!("/v1/tenants/{tenant}")).await.assert(200).body);
    seen
}

#[tokio::test]
async fn ids_of_another_tenant_are_nothing_to_anybody_in_any_operation() {
    let app = TestApp::start().await;
    let own = app.post("/v1/tenants", json!({ "name": "Own" })).await.assert(201).id();
    let other = app.post("/v1/tenants", json!({ "name": "SECRET" })).await.assert(201).id();
    let mut things = things(&app, &other).await;
    app.wait_for("/v1/deliveries?scope=instance&filter[state]=succeeded", |list| list["data"][0].is_object()).await;
    let attempts = app.get("/v1/webhooks/deliveries").key(&format!("Bearer {ADMIN_KEY}"));
    let attempts = attempts.header("waxwing-tenant", &other).await.assert(200).json();
    things.insert("/v1/webhooks/deliveries/{id}", attempts["data"][0]["id"].as_str().unwrap().to_owned());
    let before = all_of(&app, &other).await;
    let actors = powerful(&app, &own).await;
    let requests = format!("/v1/listeners/{}/requests?after=0", things["/v1/listeners/{id}"]);
    let mut cases = 0;
    for operation in operations().iter().filter(|operation| operation.path.contains('{')) {
        // Who does not fetch for a while listens no more.
        app.get(&requests).header("waxwing-tenant", &other).await.assert(200);
        let of_other = things.iter().find(|(prefix, _)| operation.path.starts_with(*prefix));
        let Some((_, id)) = of_other else {
            let is_known = OF_NO_TENANT.iter().any(|prefix| operation.path.starts_with(prefix));
            assert!(is_known, "{}: what of another tenant's could its path name?", operation.path);
            continue;
        };
        let place = operation.path.find('{').unwrap()..operation.path.find('}').unwrap() + 1;
        let with_id = |id: &str| {
            let mut path = operation.path.clone();
            path.replace_range(place.clone(), id);
            path
        };
        let (path, nowhere) = (with_id(id), with_id("nonsense"));
        for actor in &actors {
            for named in [None, Some(&other)] {
                let ask = async |path: &str| {
                    app.advance(Duration::from_millis(25));
                    let call = app.call(operation.method.clone(), path).without_key();
                    let call = match &actor.credential {
                        Credential::Key(text) | Credential::Bearer(text, _) => {
                            call.header("authorization", &format!("Bearer {text}"))
                        }
                        Credential::Cookie(..) | Credential::None => unreachable!("they have no tenant"),
                    };
                    let call = if operation.has_body { call.json(&json!({})) } else { call };
                    named.iter().fold(call, |call, tenant| call.header("waxwing-tenant", tenant)).await
                };
                let (answer, of_nothing) = (ask(&path).await, ask(&nowhere).await);
                let status = answer.status.as_u16();
                let place = format!("{} {path} by {}: {status} {}", operation.method, actor.name, answer.body);
                let is_elsewhere = operation.expects(actor) == Verdict::Unauthorized;
                assert!(if is_elsewhere { status == 401 } else { [400, 403, 404, 422].contains(&status) }, "{place}");
                assert_eq!(
                    answer.status, of_nothing.status,
                    "what is another's is told from what is nobody's: {place}"
                );
                // A refusal repeats what was asked, and nothing else.
                let said = answer.body.replace(&*path, "").replace(id.as_str(), "").replace(&*other, "");
                for secret in things.values().filter(|value| **value != other).map(String::as_str).chain(["SECRET"]) {
                    assert!(!said.contains(secret), "{place}");
                }
                cases += 1;
            }
        }
    }
    println!("{cases} cases: each by {} actors", actors.len());
    assert!(cases > 300, "{cases} cases");
    assert_eq!(all_of(&app, &other).await, before, "something was changed there");
}

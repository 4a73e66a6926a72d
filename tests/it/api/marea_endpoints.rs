//! Marea's webhook endpoints: created, listed, read, changed and deleted as published; whose they are, and how often keys may
//! call.

use std::time::Duration;

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};
use waxwing::domain::contract::Contracts;
use waxwing::http::{Defaults, Settings};

use crate::support::app::{Answer, Call, Client, TestApp};

pub const COLLECTION: &str = "/v1/webhook_endpoints";

/// The five events, and the key of a developer.
pub async fn account(app: &Client) -> String {
    for name in ["user.verified", "user.cancelled", "order.created", "order.status_updated"] {
        app.post("/v1/event-types", json!({ "name": name })).await.assert(201);
    }
    // `order.paid` is there.
    bearer(&app.make_key(json!({ "name": "dev", "kind": "marea_developer", "scopes": ["developer:webhooks"] })).await)
}

/// The key of the merchant with this storefront.
async fn merchant(app: &TestApp, storefront: &str) -> String {
    let body =
        json!({ "name": storefront, "kind": "marea_user", "scopes": ["developer:webhooks"], "channels": [storefront] });
    bearer(&app.make_key(body).await)
}

pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

pub fn error_of(answer: &Answer) -> Value {
    answer.json()["error"].clone()
}

fn new_endpoint() -> Value {
    json!({
        "url": "https://example.com/webhooks/marea",
        "subscribedEvents": ["order.created", "order.paid"],
        "description": "Orders to the ERP",
    })
}

/// The published example, made.
pub async fn endpoint(app: &TestApp, key: &str) -> Value {
    app.post(COLLECTION, new_endpoint()).key(key).await.assert(201).json()
}

fn path_of(endpoint: &Value) -> String {
    format!("{COLLECTION}/{}", endpoint["endpointId"].as_str().unwrap())
}

/// `400 validation invalid_url url`
async fn outcome(call: Call<'_>) -> String {
    let answer = call.header("accept-language", "en").await;
    let error = error_of(&answer);
    let part = |name: &str| error[name].as_str().map(|text| format!(" {text}")).unwrap_or_default();
    format!("{}{}{}{}", answer.status.as_u16(), part("type"), part("code"), part("param"))
}

#[tokio::test]
async fn an_endpoint_is_created_with_its_secret_and_shown_without_it() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let created = app.post(COLLECTION, new_endpoint()).key(&key).await.check(expect![[r#"
        201
        {
          "endpointId": "mk_we_…",
          "scope": "developer",
          "url": "https://example.com/webhooks/marea",
          "description": "Orders to the ERP",
          "enabled": true,
          "subscribedEvents": [
            "order.created",
            "order.paid"
          ],
          "signingSecretVersion": 1,
          "createdAt": "2026-02-18T12:00:00.000Z",
          "updatedAt": "2026-02-18T12:00:00.000Z",
          "lastDeliveryAt": null,
          "lastDeliveryStatus": null,
          "consecutiveFailures": 0,
          "signingSecret": "<64 hex>"
        }
    "#]]);
    assert_eq!(created.header("marea-recommendation"), Some("include-idempotency-key"));
    let mut without_secret = created.json();
    without_secret.as_object_mut().unwrap().remove("signingSecret");
    assert_eq!(app.get(&path_of(&without_secret)).key(&key).await.assert(200).json(), without_secret);
    let second = json!({ "url": "https://example.com/2", "subscribedEvents": ["user.verified"], "enabled": false });
    app.post(COLLECTION, second).key(&key).await.assert(201);
    let list = app.get(COLLECTION).key(&key).await.assert(200);
    assert_eq!(list.header("marea-recommendation"), None);
    let list = list.json();
    assert_eq!(list.as_object().unwrap().len(), 1, "the list is all there is");
    assert_eq!(list["endpoints"][0]["enabled"], false, "the newest first");
    assert_eq!(list["endpoints"][1], without_secret);
}

#[tokio::test]
async fn post_and_patch_change_what_is_sent_and_at_least_one_field_must_be() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let path = path_of(&endpoint(&app, &key).await);
    app.advance(Duration::from_secs(1));
    let changed = app.post(&path, json!({ "enabled": false, "subscribedEvents": ["user.cancelled"] })).key(&key).await;
    let changed = changed.assert(200).json();
    assert_eq!((&changed["enabled"], &changed["subscribedEvents"]), (&json!(false), &json!(["user.cancelled"])));
    assert_eq!((&changed["description"], &changed["signingSecretVersion"]), (&json!("Orders to the ERP"), &json!(1)));
    assert_eq!(changed["updatedAt"], "2026-02-18T12:00:01.000Z");
    assert!(changed.get("signingSecret").is_none());
    let body = json!({ "description": null, "url": "https://example.com/moved" });
    let changed = app.patch(&path, body).key(&key).await.assert(200).json();
    assert_eq!((&changed["description"], &changed["url"]), (&Value::Null, &json!("https://example.com/moved")));
    for method in [Method::POST, Method::PATCH] {
        let call = app.call(method, &path).json(&json!({})).key(&key);
        assert_eq!(outcome(call).await, "400 validation invalid_parameter");
    }
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let path = path_of(&endpoint(&app, &key).await);
    app.delete(&path).key(&key).await.check(expect![[r#"
        200
        {
          "deleted": true
        }
    "#]]);
    for call in [app.delete(&path), app.get(&path), app.post(&path, json!({ "enabled": true }))] {
        assert_eq!(outcome(call.key(&key)).await, "404 not_found not_found");
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_named_by_the_field_as_it_was_sent() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let body = |member: &str, value: Value| {
        let mut body = new_endpoint();
        body[member] = value;
        body
    };
    let long_url = format!("https://example.com/{}", "x".repeat(2048));
    for (body, expected) in [
        (json!({}), "400 validation missing_field url"),
        (json!({ "url": "https://example.com/" }), "400 validation missing_field subscribedEvents"),
        (body("url", json!("not a url")), "400 validation invalid_url url"),
        (body("url", json!("http://example.com/")), "400 validation invalid_url url"),
        (body("url", json!(long_url)), "400 validation invalid_url url"),
        (body("url", json!(5)), "400 validation invalid_type url"),
        (body("subscribedEvents", json!([])), "400 validation invalid_event_type subscribedEvents"),
        (body("subscribedEvents", json!(["order.lost"])), "400 validation invalid_event_type subscribedEvents"),
        (body("subscribedEvents", json!("order.paid")), "400 validation invalid_type subscribedEvents"),
        (body("subscribedEvents", json!(["order.paid", 5])), "400 validation invalid_type subscribedEvents"),
        (
            body("subscribedEvents", json!(["order.paid", "order.paid"])),
            "400 validation duplicate_item subscribedEvents",
        ),
        (body("description", json!("x".repeat(257))), "400 validation description_too_long description"),
        (body("description", json!("x".repeat(256))), "201"),
        (body("enabled", json!("yes")), "400 validation invalid_type enabled"),
        // Names of the own API are not known here.
        (body("events", json!(["order.paid"])), "400 validation unknown_field events"),
        (body("is_active", json!(true)), "400 validation unknown_field is_active"),
    ] {
        assert_eq!(outcome(app.post(COLLECTION, body.clone()).key(&key)).await, expected, "{body}");
    }
}

#[tokio::test]
async fn what_is_not_for_deliveries_is_refused_as_an_address() {
    let app = TestApp::start().await;
    account(&app).await;
    let key = bearer(crate::support::app::ADMIN_KEY);
    for host in [
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "metadata.google.internal",
        "api.internal",
        "printer.local",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.0.0.1]",
        "inside.example",
    ] {
        let body = json!({ "url": format!("https://{host}/hook"), "subscribedEvents": ["order.paid"] });
        let expected = "400 validation webhook_url_blocked url";
        assert_eq!(outcome(app.post(COLLECTION, body).key(&key)).await, expected, "{host}");
    }
}

#[tokio::test]
async fn an_account_has_at_most_sixteen_endpoints() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    for _ in 0..16 {
        endpoint(&app, &key).await;
    }
    let seventeenth = app.post(COLLECTION, new_endpoint()).key(&key);
    assert_eq!(outcome(seventeenth).await, "409 conflict webhook_endpoint_limit_reached");
    let newest = app.get(COLLECTION).key(&key).await.json()["endpoints"][0].clone();
    app.delete(&path_of(&newest)).key(&key).await.assert(200);
    endpoint(&app, &key).await;
    // The cap is this API's: the own one has the tenant's.
    let body = json!({ "url": "https://example.com/", "events": ["*"] });
    app.post("/v1/webhook-subscriptions", body).await.assert(201);
}

#[tokio::test]
async fn errors_that_come_before_an_operation_have_the_same_form() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let path = path_of(&endpoint(&app, &key).await);
    let call = |method: Method, path: &str| app.call(method, path).key(&key);
    for (call, expected) in [
        (call(Method::GET, &format!("{COLLECTION}/a/b/c")), "404 not_found not_found"),
        (call(Method::GET, &format!("{COLLECTION}/whsub_1")), "404 not_found not_found"),
        (call(Method::PUT, &path), "405 validation method_not_allowed"),
        (call(Method::POST, COLLECTION).body("text/plain", "{}"), "415 validation unsupported_media_type"),
        (call(Method::POST, COLLECTION).body("application/json", "{"), "400 validation invalid_json"),
        (call(Method::POST, COLLECTION).body("application/json", "[]"), "400 validation invalid_type"),
        (
            call(Method::POST, COLLECTION).body("application/json", &"x".repeat(1024 * 1024 + 1)),
            "413 validation payload_too_large",
        ),
    ] {
        assert_eq!(outcome(call).await, expected);
    }
    let refused = call(Method::PUT, &path).await.assert(405);
    assert_eq!(refused.header("allow"), Some("DELETE, GET, HEAD, PATCH, POST"));
    app.settings.is_shutting_down.store(true, std::sync::atomic::Ordering::Release);
    let refused = call(Method::GET, &path).await.assert(503);
    let error = error_of(&refused);
    assert_eq!((&error["type"], &error["recoverable"]), (&json!("internal"), &json!(true)));
    assert_eq!((&error["retryAfterMs"], refused.header("retry-after")), (&json!(1000), Some("1")));
}

#[tokio::test]
async fn each_merchant_gets_the_orders_of_its_own_storefront_alone() {
    let app = TestApp::start().await;
    let developer = account(&app).await;
    let (one, two) = (merchant(&app, "sf_1").await, merchant(&app, "sf_2").await);
    let orders = json!({ "url": "https://example.com/m", "subscribedEvents": ["order.paid"] });
    let mut endpoints = Vec::new();
    for key in [&one, &two] {
        let made = app.post(COLLECTION, orders.clone()).key(key).await.assert(201).json();
        assert_eq!(made["scope"], "merchant");
        endpoints.push(made);
        let users = json!({ "url": "https://example.com/m", "subscribedEvents": ["user.verified"] });
        let refused = app.post(COLLECTION, users).key(key);
        assert_eq!(outcome(refused).await, "400 validation invalid_event_type subscribedEvents");
    }
    let of_developer = app.post(COLLECTION, orders).key(&developer).await.assert(201).json();
    assert_eq!(of_developer["scope"], "developer");
    // A merchant sees its own endpoint alone, the developer all of the account.
    for (key, mine, other) in [(&one, 0, 1), (&two, 1, 0)] {
        let seen = app.get(COLLECTION).key(key).await.json();
        assert_eq!(seen["endpoints"].as_array().unwrap().len(), 1);
        assert_eq!(seen["endpoints"][0]["endpointId"], endpoints[mine]["endpointId"]);
        assert_eq!(outcome(app.get(&path_of(&endpoints[other])).key(key)).await, "404 not_found not_found");
    }
    assert_eq!(app.get(COLLECTION).key(&developer).await.json()["endpoints"].as_array().unwrap().len(), 3);
    // An order is published with its storefront as the channel.
    let native_id = |endpoint: &Value| {
        let id = endpoint["endpointId"].clone();
        let app = &app;
        async move {
            let list = app.get("/v1/webhook-subscriptions").await.json();
            let all = list["data"].as_array().unwrap().clone();
            let scopes = all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
            for native in scopes {
                let text: waxwing::domain::id::SubscriptionId = native.parse().unwrap();
                if waxwing::domain::profile::marea::endpoint_id(text).to_string() == id {
                    return native;
                }
            }
            panic!("{id} is no subscription of the own API")
        }
    };
    let names = [
        (native_id(&endpoints[0]).await, "merchant 1"),
        (native_id(&endpoints[1]).await, "merchant 2"),
        (native_id(&of_developer).await, "developer"),
    ];
    for (event_type, channels, expected) in [
        ("order.paid", json!(["sf_1"]), vec!["merchant 1", "developer"]),
        ("order.paid", json!(["sf_2"]), vec!["merchant 2", "developer"]),
        ("order.paid", json!(["sf_3"]), vec!["developer"]),
        ("order.paid", json!([]), vec!["developer"]),
        ("user.verified", json!(["sf_1"]), vec![]),
    ] {
        let body = json!({ "type": event_type, "data": {}, "channels": channels });
        let event = app.post("/v1/events", body).await.assert(202).id();
        let event = app.get(&format!("/v1/events/{event}")).await.assert(200).json();
        let deliveries = event["data"]["attributes"]["deliveries"].as_array().unwrap().clone();
        let got = |name: &&str| {
            let id = &names.iter().find(|(_, known)| known == name).unwrap().0;
            deliveries.iter().any(|delivery| delivery["subscription_id"] == *id)
        };
        let got: Vec<&str> = ["merchant 1", "merchant 2", "developer"].into_iter().filter(got).collect();
        assert_eq!(got, expected, "{event_type} {channels}");
        assert_eq!(deliveries.len(), expected.len());
    }
}

#[tokio::test]
async fn a_subscription_of_the_own_api_is_an_endpoint_here_and_rotates_in_its_own_form() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let body = json!({ "url": "https://example.com/own", "events": ["order.*"] });
    let native = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    let seen = app.get(COLLECTION).key(&key).await.json()["endpoints"][0].clone();
    assert_eq!((&seen["url"], &seen["subscribedEvents"]), (&json!("https://example.com/own"), &json!(["order.*"])));
    let path = path_of(&seen);
    app.patch(&path, json!({ "enabled": false })).key(&key).await.assert(200);
    let native = format!("/v1/webhook-subscriptions/{native}");
    assert_eq!(app.get(&native).await.json()["data"]["attributes"]["is_active"], false);
    let rotated = app.call(Method::POST, &format!("{path}/rotate-secret")).key(&key).await.assert(200).json();
    assert!(rotated["signingSecret"].as_str().unwrap().starts_with("whsec_"), "its profile is `standard`");
    // The other way round.
    let made = endpoint(&app, &key).await;
    let list = app.get("/v1/webhook-subscriptions?filter[url]=webhooks/marea").await.json();
    assert_eq!(list["data"][0]["attributes"]["profile"], "marea");
    assert_eq!(list["data"][0]["attributes"]["description"], made["description"]);
}

#[tokio::test]
async fn every_mutation_with_an_idempotency_key_is_carried_out_once() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let create = |body: Value| app.post(COLLECTION, body).key(&key).header("idempotency-key", "create-1");
    let first = create(new_endpoint()).await.assert(201);
    assert_eq!(create(new_endpoint()).await.assert(201).body, first.body);
    let mut other = new_endpoint();
    other["enabled"] = json!(false);
    assert_eq!(outcome(create(other)).await, "409 idempotency idempotency_conflict");
    assert_eq!(app.get(COLLECTION).key(&key).await.json()["endpoints"].as_array().unwrap().len(), 1);

    let path = path_of(&first.json());
    for method in [Method::PATCH, Method::POST] {
        let change = |enabled: bool| {
            let call = app.call(method.clone(), &path).json(&json!({ "enabled": enabled })).key(&key);
            call.header("idempotency-key", "change-1")
        };
        let changed = change(false).await.assert(200);
        app.patch(&path, json!({ "enabled": true })).key(&key).await.assert(200);
        assert_eq!(change(false).await.assert(200).body, changed.body);
        assert_eq!(app.get(&path).key(&key).await.json()["enabled"], true, "the repetition changed nothing");
        assert_eq!(outcome(change(true)).await, "409 idempotency idempotency_conflict");
    }
    // A refusal is repeated as well …
    let wrong = || app.post(COLLECTION, json!({})).key(&key).header("idempotency-key", "wrong-1");
    let refused = wrong().await.assert(400);
    assert_eq!(wrong().await.assert(400).body, refused.body);
    // … unless it was above 100 KB: this one repeats what it was sent.
    let huge = json!({ "url": "https://example.com/", "subscribedEvents": ["x".repeat(101 * 1024)] });
    let call = || app.post(COLLECTION, huge.clone()).key(&key).header("idempotency-key", "huge-1");
    assert_eq!(outcome(call()).await, "400 validation invalid_event_type subscribedEvents");
    assert_eq!(outcome(call()).await, "410 idempotency idempotency_snapshot_unavailable");
    // DELETE takes no notice of the key.
    let delete = || app.delete(&path).key(&key).header("idempotency-key", "delete-1");
    delete().await.assert(200);
    delete().await.assert(404);
}

#[tokio::test]
async fn a_request_that_is_still_running_is_a_conflict_that_passes() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let call = || app.post(COLLECTION, new_endpoint()).key(&key).header("idempotency-key", "twice");
    let (first, [refused, _]) = app.repeated_at_once(call).await;
    first.assert(201);
    let refused = refused.assert(409);
    let error = error_of(&refused);
    assert_eq!((&error["type"], &error["code"]), (&json!("conflict"), &json!("conflict")));
    assert_eq!((&error["recoverable"], &error["retryAfterMs"]), (&json!(true), &json!(1000)));
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_key_of_marea_has_fixed_windows_and_every_answer_says_what_is_left_of_the_minute() {
    let app = TestApp::start().await;
    account(&app).await;
    let key = merchant(&app, "sf_1").await;
    app.advance(Duration::from_millis(20_500));
    let state = |answer: &Answer| {
        ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
            .map(|name| answer.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned())
    };
    // 2026-02-18T12:01:00Z
    let first = app.get(COLLECTION).key(&key).await.assert(200);
    assert_eq!(state(&first), ["60", "59", "1771416060"]);
    assert_eq!(first.header("ratelimit-limit"), None);
    // What is refused counts too.
    let refused = app.post(COLLECTION, json!({})).key(&key).await.assert(400);
    assert_eq!(state(&refused), ["60", "58", "1771416060"]);
    for _ in 0..58 {
        app.get(COLLECTION).key(&key).await.assert(200);
    }
    let over = app.get(COLLECTION).key(&key).await.assert(429);
    assert_eq!(state(&over), ["60", "0", "1771416060"]);
    assert_eq!(over.header("retry-after"), Some("40"));
    let error = error_of(&over);
    assert_eq!((&error["type"], &error["code"]), (&json!("rate_limited"), &json!("rate_limit_exceeded")));
    assert_eq!((&error["retryAfterMs"], &error["recoverable"]), (&json!(40_000), &json!(true)));
    assert!(error["message"].as_str().unwrap().contains("rpm_exceeded"), "{error}");
    app.advance(Duration::from_millis(39_500));
    assert_eq!(state(&app.get(COLLECTION).key(&key).await.assert(200))[1], "59");
}

#[tokio::test]
async fn a_developers_key_may_call_fifty_times_a_day_unless_it_has_a_quota_of_its_own() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    for _ in 0..50 {
        app.get(COLLECTION).key(&key).await.assert(200);
    }
    let over = app.get(COLLECTION).key(&key).header("accept-language", "en").await.assert(429);
    assert!(error_of(&over)["message"].as_str().unwrap().contains("rpd_exceeded"), "{}", over.body);
    assert_eq!(over.header("retry-after"), Some("43200"), "it is noon");
    app.advance(Duration::from_secs(12 * 3600));
    app.get(COLLECTION).key(&key).await.assert(200);

    let scopes = json!(["developer:webhooks"]);
    let own =
        json!({ "name": "own", "kind": "marea_developer", "scopes": scopes, "rate_limits": { "management": 100 } });
    let own = bearer(&app.make_key(own).await);
    for left in (0..100).rev() {
        let answer = app.get(COLLECTION).key(&own).await.assert(200);
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left.to_string().as_str()));
    }
    let over = error_of(&app.get(COLLECTION).key(&own).await.assert(429));
    assert_eq!((&over["code"], &over["retryAfterMs"]), (&json!("rate_limit_exceeded"), &json!(1000)));
}

#[tokio::test]
async fn a_contract_that_is_not_spoken_has_no_paths() {
    let unlimited = Defaults { management: None, publish: None };
    let settings = Settings { rate_limits: unlimited, contracts: Contracts::NONE, ..Settings::default() };
    let app = TestApp::start_with(settings).await;
    for path in [COLLECTION, "/v1/webhooks", "/v1/webhook-secret/rotate"] {
        app.get(path).await.check(expect![[r#"
            404 not_found: There is nothing at this path
        "#]]);
    }
    app.get("/docs/marea").without_key().await.assert(404);
    app.get("/openapi/marea.json").without_key().await.assert(404);
}

#[tokio::test]
async fn the_contract_has_a_document_and_a_page_of_its_own() {
    let app = TestApp::start().await;
    let document = app.get("/openapi/marea.json").without_key().await.assert(200).json();
    assert_eq!(document, waxwing::http::contract_document(waxwing::domain::contract::Contract::Marea));
    let page = app.get("/docs/marea").without_key().await.assert(200).body;
    assert!(page.contains("webhook_endpoints.rotate_secret") && !page.contains("subscriptions.rotate_secret\""));
    assert!(!app.get("/openapi.json").without_key().await.body.contains("webhook_endpoints"));
}

#[tokio::test]
async fn a_key_shows_what_the_scopes_of_its_contract_granted() {
    let app = TestApp::start().await;
    let make = |kind: &str, scopes: Value| {
        app.post("/v1/api-keys", json!({ "name": "k", "kind": kind, "scopes": scopes, "channels": null }))
    };
    for (kind, scopes, granted) in [
        (
            "marea_developer",
            json!(["developer:webhooks", "catalog:read"]),
            json!(["subscriptions:read", "subscriptions:write", "deliveries:read"]),
        ),
        ("marea_developer", json!(["catalog:write", "me:verify"]), json!([])),
        (
            "marea_developer",
            json!(["developer:webhooks", "events:write"]),
            json!(["subscriptions:read", "subscriptions:write", "events:write", "deliveries:read"]),
        ),
        ("agentmessage", json!(["webhooks:read"]), json!(["subscriptions:read", "deliveries:read"])),
        ("agentmessage", json!(["webhooks:write"]), json!(["subscriptions:write", "deliveries:write"])),
        ("agentmessage", json!(["org:admin:write", "messages:send"]), json!(["tenants:write"])),
    ] {
        let made = make(kind, scopes.clone()).await.assert(201).json();
        assert_eq!(made["data"]["attributes"]["scopes"], granted, "{kind} {scopes}");
    }
    for (kind, scope) in
        [("native", "developer:webhooks"), ("agentmessage", "developer:webhooks"), ("marea_user", "webhooks:read")]
    {
        let refused = make(kind, json!([scope])).await.assert(400).json();
        assert_eq!(refused["errors"][0]["source"]["pointer"], "/scopes/0", "{kind} {scope}");
    }
    // A merchant's key is held to orders, within what was asked for.
    for (asked, held) in [
        (json!(null), json!(["order.*"])),
        (json!(["*"]), json!(["order.*"])),
        (json!(["order.paid"]), json!(["order.paid"])),
        (json!(["order.paid", "user.*"]), json!(["order.paid"])),
    ] {
        let body = json!({ "name": "m", "kind": "marea_user", "scopes": ["developer:webhooks"], "channels": ["sf"], "allowed_events": asked });
        let made = app.post("/v1/api-keys", body).await.assert(201).json();
        assert_eq!(made["data"]["attributes"]["allowed_events"], held, "{asked}");
    }
    let body = json!({ "name": "m", "kind": "marea_user", "preset": "subscriber", "channels": ["sf"], "allowed_events": ["user.*"] });
    app.post("/v1/api-keys", body).await.check(expect![[r#"
        400 event_not_allowed /allowed_events: 'user.*' is beyond what the API key is restricted to
    "#]]);
}

//! Mage Loyalty, "Create a webhook subscription": the published request runs unchanged, over HTTP against the running binary.
//!
//! `POST /v1/webhook-subscriptions`, `Authorization: <api-key>`; 201, 400, 401, 403, 429. What is shared with update and
//! rotate is here, too.

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, Call, Client};
use crate::support::binary::{PATIENCE, RunningApp};

/// Where the running binary may send to, though it never does: an address for documentation, and no name to ask for.
pub const RECEIVER: &str = "https://192.0.2.1/webhooks/mage";
const PATH: &str = "/v1/webhook-subscriptions";

/// A shop as Mage has it: its own key, the profile `mage`, the four event types.
pub async fn shop(app: &Client) -> String {
    for name in ["points.earned", "points.redeemed", "customer.tier_upgrade", "customer.tier_downgrade"] {
        app.post("/v1/event-types", json!({ "name": name })).await.assert(201);
    }
    let tenant = json!({ "name": "My Store", "external_id": "my-store", "profile": "mage" });
    app.post("/v1/tenants", tenant).await.assert(201);
    app.make_key(json!({ "name": "shop", "preset": "full_access", "tenant": "my-store" })).await
}

/// The shop's key that may only read.
pub async fn reader(app: &Client) -> String {
    app.make_key(json!({ "name": "reader", "preset": "read_only", "tenant": "my-store" })).await
}

/// The shop's key with the published quota: 6 requests a second.
pub async fn limited(app: &Client) -> String {
    let body =
        json!({ "name": "limited", "preset": "full_access", "tenant": "my-store", "rate_limits": { "management": 6 } });
    app.make_key(body).await
}

/// The published members of the first error: `403 Forbidden: This API key …`. They are texts, the status too.
pub fn published_error(answer: &Answer) -> String {
    let body = answer.json();
    let member =
        |name: &str| body["errors"][0][name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
    assert_eq!(member("status"), answer.status.as_str(), "{body}");
    format!("{} {}: {}", member("status"), member("title"), member("detail"))
}

/// The first answer that is past the quota, which the real clock decides.
pub async fn past_the_quota<'a>(call: impl Fn() -> Call<'a>) -> Answer {
    let begun = std::time::Instant::now();
    loop {
        let answer = call().await;
        if answer.status == 429 {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is refused");
    }
}

#[tokio::test]
async fn the_published_request_creates_a_subscription_and_shows_its_secret() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let body = json!({
        "url": RECEIVER,
        "events": ["points.earned", "points.redeemed"],
        "description": "Sync points to CRM"
    });
    let created = app.post(PATH, body).key(&key).await.check(expect![[r#"
        201
        {
          "data": {
            "type": "webhook_subscription",
            "id": "whsub_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "url": "https://192.0.2.1/webhooks/mage",
              "events": [
                "points.earned",
                "points.redeemed"
              ],
              "is_active": true,
              "description": "Sync points to CRM",
              "signing": "subscription",
              "secret": "<64 hex>",
              "secret_version": 1,
              "previous_secret_expires_at": null,
              "public_key": null,
              "previous_key_pair_expires_at": null,
              "profile": "mage",
              "marea_id": "mk_we_…",
              "agentmessage_id": "<uuid>",
              "envelope": "profile",
              "api_version": null,
              "max_in_flight": 10,
              "timeout_seconds": 15,
              "rate_limit": null,
              "retry_schedule": null,
              "ordering": "none",
              "circuit_breaker": false,
              "headers": {},
              "channels": [],
              "owner": "tenant",
              "metadata": {},
              "health": "healthy",
              "failing_since": null,
              "next_probe_at": null,
              "disabled_reason": null,
              "last_delivery_at": null,
              "last_delivery_status": null,
              "consecutive_failures": 0,
              "created_at": "<moment in ms>",
              "updated_at": "<moment in ms>"
            }
          }
        }
    "#]]);
    let attributes = &created.json()["data"]["attributes"];
    assert_eq!(attributes["created_at"], attributes["updated_at"]);
    let shown = app.get(&format!("{PATH}/{}", created.id())).key(&key).await.assert(200).json();
    assert!(shown["data"]["attributes"].get("secret").is_none(), "the member is absent, not null: {shown}");
}

#[tokio::test]
async fn each_row_of_the_published_error_table_is_told_as_published() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let (reader, limited) = (reader(&app).await, limited(&app).await);
    let url = RECEIVER;
    let good = json!({ "url": url, "events": ["points.earned"] });
    let post = |body: &Value| app.post(PATH, body.clone()).key(&key);
    let mut table = Vec::new();
    for (row, call) in [
        ("url missing", post(&json!({ "events": ["points.earned"] }))),
        ("url not a valid URL", post(&json!({ "url": "not a url", "events": ["points.earned"] }))),
        ("url not HTTPS", post(&json!({ "url": "http://192.0.2.1/", "events": ["points.earned"] }))),
        ("events missing", post(&json!({ "url": url }))),
        ("events empty", post(&json!({ "url": url, "events": [] }))),
        ("unknown event", post(&json!({ "url": url, "events": ["points.burned"] }))),
        ("invalid JSON", app.call(Method::POST, PATH).body("application/json", "{\"url\": ").key(&key)),
        ("key missing", post(&good).without_key()),
        ("key invalid", post(&good).key("not-a-key-of-this-shop")),
        ("key is read-only", post(&good).key(&reader)),
    ] {
        table.push(format!("{row} → {}\n", published_error(&call.await)));
    }
    let refused = past_the_quota(|| app.post(PATH, json!({})).key(&limited)).await;
    table.push(format!("over 6 a second → {}\n", published_error(&refused)));
    expect![[r#"
        url missing → 400 Bad Request: The field 'url' is required
        url not a valid URL → 400 Bad Request: This is not a usable URL: spaces, control characters and backslashes are not allowed in it
        url not HTTPS → 400 Bad Request: The URL must begin with https://
        events missing → 400 Bad Request: The field 'events' is required
        events empty → 400 Bad Request: At least one event type or pattern is needed
        unknown event → 400 Bad Request: There is no event type 'points.burned'
        invalid JSON → 400 Bad Request: The body is not valid JSON: EOF while parsing a value at line 1 column 8
        key missing → 401 Unauthorized: Missing Authorization header
        key invalid → 401 Unauthorized: Invalid API key
        key is read-only → 403 Forbidden: This API key is read-only and cannot perform write operations
        over 6 a second → 429 Too Many Requests: Rate limit exceeded. Please retry after a short delay.
    "#]].assert_eq(&table.concat());
    let list = app.get(PATH).key(&reader).await.assert(200).json();
    assert_eq!(list["meta"]["total"], 0, "nothing was made, and a key that may only read may read");
}

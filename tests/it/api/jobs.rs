//! `/v1/jobs`, and what begins one.

use std::time::Duration;

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};
use waxwing::http::{Defaults, Settings};

use crate::support::app::{TEST_RECEIVER, TestApp};
use crate::support::disk::SimDisk;

/// A subscription that takes no deliveries for now, with so many of them waiting. Answers with its id.
async fn waiting(app: &TestApp, count: usize) -> String {
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"], "is_active": false });
    let id = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    for _ in 0..count {
        app.post("/v1/events", json!({ "type": "order.paid", "data": {} })).await.assert(202);
    }
    let path = format!("/v1/deliveries?filter[subscription_id]={id}&filter[state]=held&page[size]=100");
    app.wait_for(&path, |list| list["data"].as_array().map(Vec::len) == Some(count)).await;
    id
}

fn state(answer: &Value) -> &str {
    answer["data"]["attributes"]["state"].as_str().unwrap()
}

#[tokio::test]
async fn many_deliveries_are_canceled_by_a_job_that_tells_how_far_it_came() {
    let app = TestApp::start().await;
    let id = waiting(&app, 3).await;
    let filter = json!({ "subscription_id": id, "state": "held" });
    let dry = json!({ "filter": filter, "dry_run": true });
    app.post("/v1/deliveries/cancel", dry).await.check(expect![[r#"
        200
        {
          "meta": {
            "dry_run": true,
            "matched": 3,
            "is_complete": true
          }
        }
    "#]]);
    let started = app.post("/v1/deliveries/cancel", json!({ "filter": filter })).await;
    let path = started.assert(202).header("location").unwrap().to_owned();
    let done = app.wait_for(&path, |job| state(job) == "done").await.json();
    let attributes = &done["data"]["attributes"];
    assert_eq!([&attributes["matched"], &attributes["done"], &attributes["skipped"]], [3, 3, 0]);
    assert!(attributes["finished_at"].is_string());
    let list = app.get("/v1/deliveries?filter[state]=canceled").await.assert(200).json();
    let reasons: Vec<&Value> =
        list["data"].as_array().unwrap().iter().map(|delivery| &delivery["attributes"]["reason"]).collect();
    assert_eq!(reasons, ["canceled_by_user"; 3]);
    app.call(Method::POST, &format!("{path}/cancel")).await.check(expect![[r#"
        409 invalid_state: The job has ended already
    "#]]);
}

#[tokio::test]
async fn many_deliveries_are_retried() {
    let app = TestApp::start().await;
    let id = waiting(&app, 2).await;
    for (body, expected) in [
        (json!({ "filter": { "subscription_id": id } }), 2),
        (json!({ "filter": { "event_type": "order.paid" } }), 2),
        (json!({ "filter": { "event_type": "order.sent" } }), 0),
        (json!({ "filter": { "http_status": 500 } }), 0),
        (json!({ "filter": { "since": "2026-02-18T12:00:00Z", "until": "2026-02-18T13:00:00Z" } }), 2),
        (json!({ "filter": { "until": "2026-02-18T12:00:00Z" } }), 0),
        (json!({ "all": true }), 2),
        (json!({ "all": true, "filter": { "state": "exhausted" } }), 0),
    ] {
        let mut dry = body.clone();
        dry["dry_run"] = true.into();
        let counted = app.post("/v1/deliveries/retry", dry).await.assert(200).json();
        assert_eq!(counted["meta"]["matched"], expected, "{body}");
        let started = app.post("/v1/deliveries/retry", body.clone()).await.assert(202);
        let path = started.header("location").unwrap().to_owned();
        let done = app.wait_for(&path, |job| state(job) == "done").await.json();
        assert_eq!(done["data"]["attributes"]["kind"], "retry");
        assert_eq!(done["data"]["attributes"]["done"], expected, "{body}");
    }
    app.patch(&format!("/v1/webhook-subscriptions/{id}"), json!({ "is_active": true })).await.assert(200);
    let all = |list: &Value| list["data"].as_array().map(Vec::len) == Some(2);
    app.wait_for("/v1/deliveries?filter[state]=succeeded", all).await;
}

#[tokio::test]
async fn a_recovery_is_counted_first_and_begun_once_for_one_idempotency_key() {
    let app = TestApp::start().await;
    let id = waiting(&app, 1).await;
    let path = format!("/v1/webhook-subscriptions/{id}/recover");
    let since = json!({ "since": "2026-02-18T00:00:00Z" });
    let dry = app.post(&path, json!({ "since": "2026-02-18T00:00:00Z", "dry_run": true })).await.assert(200).json();
    assert_eq!(dry["meta"]["matched"], 0, "what waits has not failed");
    let started = app.post(&path, since.clone()).header("idempotency-key", "once").await.assert(202);
    let job = started.header("location").unwrap().to_owned();
    let again = app.post(&path, since.clone()).header("idempotency-key", "once").await.assert(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((again.header("location"), again.json()), (Some(job.as_str()), started.json()));
    let other = app.post(&path, since).header("idempotency-key", "twice").await.assert(202).id();
    assert_ne!(format!("/v1/jobs/{other}"), job);
    app.wait_for(&job, |job| state(job) == "done").await;

    let list = app.get("/v1/jobs").await.assert(200).json();
    assert_eq!(list["meta"]["total"], 2);
    assert_eq!(list["data"][0]["id"], other, "newest first");
    assert_eq!(list["data"][1]["attributes"]["kind"], "recover");
    assert_eq!(list["data"][1]["attributes"]["filter"]["subscription_id"], id);
    assert_eq!(list["data"][1]["attributes"]["filter"]["since"], "2026-02-18T00:00:00.000Z");
    let page = app.get("/v1/jobs?page[size]=1&page[number]=2&sort=created_at").await.assert(200).json();
    assert_eq!(page["data"][0]["id"], other);
}

#[tokio::test]
async fn what_a_job_cannot_be_begun_with_is_told_at_once() {
    let app = TestApp::start().await;
    let id = waiting(&app, 0).await;
    let recover = format!("/v1/webhook-subscriptions/{id}/recover");
    for (path, body, expected) in [
        (
            recover.as_str(),
            json!({ "dry_run": "yes", "until": 1 }),
            expect![[r#"
                400 missing_field /since: The field 'since' is required
                400 invalid_type /dry_run: This must be true or false
                400 unknown_field /until: There is no field 'until' here
            "#]],
        ),
        (
            recover.as_str(),
            json!({ "since": "yesterday" }),
            expect![[r#"
                400 invalid_parameter /since: This must be an RFC 3339 date and time
            "#]],
        ),
        (
            "/v1/webhook-subscriptions/whsub_01jm1m6n00e9r8g0000000000a/recover",
            json!({ "since": "2026-02-18T00:00:00Z" }),
            expect![[r#"
                404 not_found: Webhook subscription 'whsub_…' not found
            "#]],
        ),
        (
            "/v1/deliveries/retry",
            json!({}),
            expect![[r#"
                400 missing_field /filter: The field 'filter' is required
            "#]],
        ),
        (
            "/v1/deliveries/retry",
            json!({ "filter": { "state": "exhausted" } }),
            expect![[r#"
                400 invalid_parameter /filter: This must be a filter with a member besides state, unless 'all' is true
            "#]],
        ),
        (
            "/v1/deliveries/retry",
            json!({ "filter": { "http_status": 500 }, "all": true }),
            expect![[r#"
                400 invalid_parameter /all: This must be left out when the filter has a member besides state
            "#]],
        ),
        (
            "/v1/deliveries/retry",
            json!({ "filter": [] }),
            expect![[r#"
                400 invalid_type /filter: This must be an object
            "#]],
        ),
        (
            "/v1/deliveries/retry",
            json!({ "filter": {
                "state": "succeeded", "subscription_id": "x", "event_id": 5, "event_type": "a b",
                "since": "now", "until": null, "http_status": 99, "tenant": "acme",
            } }),
            expect![[r#"
                400 invalid_type /filter/event_id: This must be a string
                400 invalid_type /filter/until: This must be a string
                400 unknown_field /filter/tenant: There is no field 'tenant' here
                400 invalid_parameter /filter/state: This must be a state that allows it
                400 invalid_parameter /filter/subscription_id: This must be a subscription's id
                400 invalid_parameter /filter/event_type: This must be an event type
                400 invalid_parameter /filter/since: This must be an RFC 3339 date and time
                400 out_of_range /filter/http_status: This must be 100 to 599
            "#]],
        ),
        (
            "/v1/deliveries/cancel",
            json!({ "all": true, "filter": { "state": "exhausted" } }),
            expect![[r#"
                400 invalid_parameter /filter/state: This must be a state that allows it
            "#]],
        ),
    ] {
        app.post(path, body).await.check(expected);
    }
    assert_eq!(app.get("/v1/jobs").await.assert(200).json()["meta"]["total"], 0);
}

#[tokio::test]
async fn a_job_is_seen_and_canceled_by_its_own_tenant_alone() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201);
    let started = app.post("/v1/deliveries/cancel", json!({ "all": true, "filter": { "state": "held" } })).await;
    let path = format!("/v1/jobs/{}", started.id());
    assert_eq!(started.header("location"), Some(path.as_str()));
    started.check(expect![[r#"
        202
        {
          "data": {
            "type": "job",
            "id": "job_…",
            "attributes": {
              "kind": "cancel",
              "state": "running",
              "filter": {
                "state": "held",
                "subscription_id": null,
                "event_id": null,
                "event_type": null,
                "since": null,
                "until": null,
                "http_status": null
              },
              "matched": null,
              "done": 0,
              "skipped": 0,
              "created_at": "2026-02-18T12:00:00.000Z",
              "finished_at": null
            }
          }
        }
    "#]]);
    app.get(&path).await.assert(200);
    for (method, path) in [(Method::GET, path.clone()), (Method::POST, format!("{path}/cancel"))] {
        app.call(method, &path).header("waxwing-tenant", "acme").await.check(expect![[r#"
            404 not_found: Job 'job_…' not found
        "#]]);
    }
    let others = app.get("/v1/jobs").header("waxwing-tenant", "acme").await.assert(200).json();
    assert_eq!(others["meta"]["total"], 0);
    app.get("/v1/jobs/x").await.assert(404);

    let reader = app.make_key(json!({ "name": "reader", "preset": "read_only" })).await;
    app.get(&path).key(&reader).await.assert(200);
    app.post("/v1/deliveries/cancel", json!({ "all": true })).key(&reader).await.check(expect![[r#"
        403 read_only_key: This API key is read-only and cannot perform write operations
    "#]]);
    let publisher = app.make_key(json!({ "name": "publisher", "preset": "publish_only" })).await;
    app.get("/v1/jobs").key(&publisher).await.assert(403);
}

#[tokio::test]
async fn an_event_is_delivered_again() {
    let app = TestApp::start().await;
    let id = waiting(&app, 0).await;
    let other = waiting(&app, 0).await;
    let published = app.post("/v1/events", json!({ "type": "order.paid", "data": { "n": 1 }, "external_id": "o-1" }));
    let event = published.await.assert(202).id();
    let path = format!("/v1/events/{event}/redeliver");
    let again = app.call(Method::POST, &path).await;
    assert_eq!(again.header("location"), Some(format!("/v1/events/{event}").as_str()));
    again.check(expect![[r#"
        202
        {
          "data": {
            "type": "event",
            "id": "evt_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "type": "order.paid",
              "external_id": "o-1",
              "occurred_at": "2026-02-18T12:00:00.000Z",
              "created_at": "2026-02-18T12:00:00.000Z",
              "state": "in_progress",
              "deliveries_count": 4,
              "data_bytes": 7,
              "channels": [],
              "deliver_at": null,
              "replay_of": null
            }
          },
          "meta": {
            "deliveries_made": 2
          }
        }
    "#]]);
    let named = json!({ "subscription_ids": [other] });
    let made = app.post(&path, named.clone()).header("idempotency-key", "k").await.assert(202).json();
    assert_eq!(
        (&made["meta"]["deliveries_made"], &made["data"]["attributes"]["deliveries_count"]),
        (&1.into(), &5.into())
    );
    let again = app.post(&path, named).header("idempotency-key", "k").await.assert(202);
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), made));
    let shown = app.get(&format!("/v1/events/{event}")).await.assert(200).json();
    let deliveries = shown["data"]["attributes"]["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 5);
    assert_eq!(deliveries[4]["subscription_id"], other);
    let has_all = |list: &Value| list["data"].as_array().map(Vec::len) == Some(5);
    app.wait_for(&format!("/v1/deliveries?filter[event_id]={event}"), has_all).await;

    let new = app.post(&path, json!({ "subscription_ids": [id], "as_new_event": true })).await.assert(202);
    let (location, new) = (new.header("location").unwrap().to_owned(), new.json());
    assert_ne!(new["data"]["id"], event);
    assert_eq!(location, format!("/v1/events/{}", new["data"]["id"].as_str().unwrap()));
    let attributes = &new["data"]["attributes"];
    assert_eq!((&attributes["replay_of"], &attributes["external_id"]), (&event.into(), &Value::Null));
    assert_eq!(attributes["deliveries_count"], 1);
    let shown = app.get(&location).await.assert(200).json();
    assert_eq!(shown["data"]["attributes"]["data"], json!({ "n": 1 }));
}

#[tokio::test]
async fn what_cannot_be_delivered_again_is_told_at_once() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201);
    let id = waiting(&app, 0).await;
    let event = app.post("/v1/events", json!({ "type": "order.paid", "data": {} })).await.assert(202).id();
    let path = format!("/v1/events/{event}/redeliver");
    for (body, expected) in [
        (
            json!({ "as_new_event": true }),
            expect![[r#"
            400 missing_field /subscription_ids: The field 'subscription_ids' is required
        "#]],
        ),
        (
            json!({ "subscription_ids": [] }),
            expect![[r#"
            400 out_of_range /subscription_ids: This must not be empty
        "#]],
        ),
        (
            json!({ "subscription_ids": vec![id.clone(); 101] }),
            expect![[r#"
            400 too_many_items /subscription_ids: There may be at most 100
        "#]],
        ),
        (
            json!({ "subscription_ids": [id, id, 5, "x", "whsub_01jm1m6n00e9r8g0000000000a"], "to": 1 }),
            expect![[r#"
                400 invalid_type /subscription_ids/2: This must be a string
                400 unknown_field /to: There is no field 'to' here
                400 duplicate_item /subscription_ids/1: This occurs twice
                400 invalid_parameter /subscription_ids/3: This must be the id of a subscription that exists
                400 invalid_parameter /subscription_ids/4: This must be the id of a subscription that exists
            "#]],
        ),
    ] {
        app.post(&path, body).await.check(expected);
    }
    for (tenant, event) in [("acme", event.as_str()), ("default", "evt_01jm1m6n00e9r8g0000000000a"), ("default", "x")] {
        let path = format!("/v1/events/{event}/redeliver");
        app.call(Method::POST, &path).header("waxwing-tenant", tenant).await.assert(404);
    }
    let foreign = app.post(&path, json!({ "subscription_ids": [id] })).header("waxwing-tenant", "acme").await;
    foreign.assert(400);
    let reader = app.make_key(json!({ "name": "reader", "preset": "read_only" })).await;
    app.call(Method::POST, &path).key(&reader).await.assert(403);
    let shown = app.get(&format!("/v1/events/{event}")).await.assert(200).json();
    assert_eq!(shown["data"]["attributes"]["deliveries_count"], 1);
}

#[tokio::test]
async fn an_event_whose_data_retention_removed_is_not_delivered_again() {
    let disk = SimDisk::new(1);
    let noon = "2026-02-18T12:00:00Z".parse().unwrap();
    let settings = || Settings { rate_limits: Defaults { management: None, publish: None }, ..Settings::default() };
    let app = TestApp::start_on(disk.clone(), settings(), noon).await;
    app.post("/v1/event-types", json!({ "name": "order.paid" })).await.assert(201);
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    let subscription = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    let event = app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202).id();
    let path = format!("/v1/events/{event}");
    app.wait_for(&path, |event| state(event) == "delivered").await;
    drop(app);

    // A month later, the first thing that a store does is to look for what has become old.
    let a_month_later = noon.plus(Duration::from_secs(31 * 24 * 3600));
    let app = TestApp::start_on(disk, settings(), a_month_later).await;
    app.wait_for(&path, |event| event["data"]["attributes"]["data"].is_null()).await;
    for body in [json!({}), json!({ "subscription_ids": [subscription], "as_new_event": true })] {
        app.post(&format!("{path}/redeliver"), body).await.check(expect![[r#"
            410 event_expired: The event's data was removed when its time was over: it cannot be sent again
        "#]]);
    }
    // A recovery leaves it alone, and there is nothing to retry.
    let recover = json!({ "since": "2026-01-01T00:00:00Z", "dry_run": true });
    let counted = app.post(&format!("/v1/webhook-subscriptions/{subscription}/recover"), recover).await.assert(200);
    assert_eq!(counted.json()["meta"]["matched"], 0);
}

#[tokio::test]
async fn a_tenant_has_ten_unfinished_jobs_and_no_more() {
    let app = TestApp::start().await;
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"], "is_active": false });
    app.post("/v1/webhook-subscriptions", body).await.assert(201);
    // So many that a job takes several steps, with pauses between them in which others have theirs.
    let events = vec![json!({ "type": "order.paid", "data": {} }); 1000];
    for _ in 0..2 {
        app.post("/v1/events/batch", json!({ "events": events })).await.assert(200);
    }
    app.wait_for("/v1/deliveries?page[size]=1", |list| list["data"].as_array().is_some_and(|all| !all.is_empty()))
        .await;
    let retry = || app.post("/v1/deliveries/retry", json!({ "all": true }));
    let mut running = Vec::new();
    for _ in 0..10 {
        running.push(retry().await.assert(202).header("location").unwrap().to_owned());
    }
    retry().await.check(expect![[r#"
        409 limit_exceeded: No more than 10 jobs of one tenant at once are allowed
    "#]]);
    // Another tenant has ten of its own, and counting alone is no job.
    app.post("/v1/tenants", json!({ "name": "Shop", "external_id": "shop" })).await.assert(201);
    retry().header("waxwing-tenant", "shop").await.assert(202);
    app.post("/v1/deliveries/retry", json!({ "all": true, "dry_run": true })).await.assert(200);
    // One that has ended makes room.
    app.call(Method::POST, &format!("{}/cancel", running[9])).await.assert(200);
    retry().await.assert(202);
}

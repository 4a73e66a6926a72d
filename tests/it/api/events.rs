//! `/v1/events`

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

#[tokio::test]
async fn an_event_is_accepted_and_says_how_many_deliveries_it_made() {
    let app = TestApp::start().await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": { "total": 5 } })).await.check(expect![[r#"
        202
        {
          "data": {
            "type": "event",
            "id": "evt_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "type": "order.paid",
              "external_id": null,
              "occurred_at": "2026-02-18T12:00:00.000Z",
              "created_at": "2026-02-18T12:00:00.000Z",
              "state": "unmatched",
              "deliveries_count": 0,
              "data_bytes": 11,
              "channels": [],
              "deliver_at": null,
              "replay_of": null
            }
          }
        }
    "#]]);
    let body = json!({ "url": TEST_RECEIVER, "events": ["order.*"] });
    app.post("/v1/webhook-subscriptions", body).await.assert(201);
    let event = json!({ "type": "order.paid", "data": {}, "occurred_at": "2026-02-18T11:00:00+01:00" });
    let accepted = app.post("/v1/events", event).await.assert(202);
    let path = accepted.header("location").unwrap().to_owned();
    let delivered = app.wait_for(&path, |event| event["data"]["attributes"]["state"] == "delivered").await.json();
    let attributes = &delivered["data"]["attributes"];
    assert_eq!(attributes["occurred_at"], "2026-02-18T10:00:00.000Z");
    assert_eq!(attributes["deliveries_count"], 1);
    assert_eq!(attributes["deliveries"][0]["state"], "succeeded");
}

#[tokio::test]
async fn every_problem_of_an_event_is_told_at_once() {
    let app = TestApp::start().await;
    for (body, expected) in [
        (
            r#"{}"#,
            expect![[r#"
            400 missing_field /type: The field 'type' is required
            400 missing_field /data: The field 'data' is required
        "#]],
        ),
        (
            r#"[]"#,
            expect![[r#"
            400 invalid_type: This must be a JSON object
        "#]],
        ),
        (
            r#"{"type": "order.paid", "data": {}"#,
            expect![[r#"
            400 invalid_json: The body is not valid JSON: EOF while parsing an object at line 1 column 33
        "#]],
        ),
        (
            r#"{"type": "order.lost", "external_id": "a b", "occurred_at": "yesterday", "deliver_at": 1, "channels": []}"#,
            expect![[r#"
                400 missing_field /data: The field 'data' is required
                400 unknown_event_type /type: There is no event type 'order.lost'
                400 invalid_parameter /external_id: This must be 1 to 128 characters of A-Z a-z 0-9 . _ : -
                400 invalid_parameter /occurred_at: This must be an RFC 3339 date and time
                400 invalid_type /deliver_at: This must be a string
            "#]],
        ),
        (
            r#"{"type": 5, "data": 1, "data": 2}"#,
            expect![[r#"
            400 duplicate_item /data: This occurs twice
            400 invalid_type /type: This must be a string
        "#]],
        ),
        (
            r#"{"type": "webhook.test", "data": 1}"#,
            expect![[r#"
            400 unknown_event_type /type: There is no event type 'webhook.test'
        "#]],
        ),
    ] {
        app.call(Method::POST, "/v1/events").body("application/json", body).await.check(expected);
    }
}

#[tokio::test]
async fn data_keeps_its_bytes_whatever_they_are() {
    let app = TestApp::start().await;
    for data in [
        r#"{ "a" : 1.0 ,"a":2, "b": -0 }"#,
        r#"1e400"#,
        r#"[123456789012345678901234567890123456789012345678901234567890]"#,
        r#""\ud800 \u00e9 é""#,
        r#"null"#,
        "{\n\t\"z\": [ ],\r\n\"a\": {}\n}",
    ] {
        let body = format!(r#"{{"data":{data},"type":"order.paid"}}"#);
        let accepted = app.call(Method::POST, "/v1/events").body("application/json", &body).await.assert(202);
        let path = accepted.header("location").unwrap().to_owned();
        // Not `json`, which could not read some of these.
        let shown = app.call(Method::GET, &path).await.assert(200).body;
        assert!(shown.contains(&format!(r#""data":{data}}}"#)), "{shown}");
    }
}

#[tokio::test]
async fn data_nests_a_hundred_levels_and_no_more() {
    let app = TestApp::start().await;
    let nested =
        |levels: usize| format!(r#"{{"type":"order.paid","data":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    app.call(Method::POST, "/v1/events").body("application/json", &nested(100)).await.assert(202);
    for levels in [101, 10_000] {
        app.call(Method::POST, "/v1/events").body("application/json", &nested(levels)).await.check(expect![[r#"
            400 payload_too_deep /data: This nests deeper than 100 levels
        "#]]);
    }
}

#[tokio::test]
async fn data_has_256_kib_and_no_more() {
    let app = TestApp::start().await;
    let of_size = |bytes: usize| json!({ "type": "order.paid", "data": "x".repeat(bytes - 2) });
    app.post("/v1/events", of_size(256 * 1024)).await.assert(202);
    app.post("/v1/events", of_size(256 * 1024 + 1)).await.check(expect![[r#"
        400 payload_too_large /data: This must have at most 262144 bytes
    "#]]);
}

#[tokio::test]
async fn data_fits_the_schema_of_its_type() {
    let app = TestApp::start().await;
    let schema = json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": "string" }, "n": { "maximum": 3 } } });
    app.post("/v1/event-types", json!({ "name": "user.made", "schema": schema })).await.assert(201);
    app.post("/v1/events", json!({ "type": "user.made", "data": { "id": "a" } })).await.assert(202);
    app.post("/v1/events", json!({ "type": "user.made", "data": { "id": 5, "n": 4 } })).await.check(expect![[r#"
        400 payload_schema_mismatch /data/id: This does not fit the event type's schema: 5 is not of type "string"
        400 payload_schema_mismatch /data/n: This does not fit the event type's schema: 4 is greater than the maximum of 3
    "#]]);
    app.call(Method::POST, "/v1/events")
        .body("application/json", r#"{"type":"user.made","data":{"id":"a","n":1e400}}"#)
        .await
        .check(expect![[r#"
            400 payload_schema_mismatch /data: This does not fit the event type's schema: number out of range at line 1 column 19
        "#]]);
}

#[tokio::test]
async fn an_archived_type_takes_no_events() {
    let app = TestApp::start().await;
    app.call(Method::POST, "/v1/event-types/order.paid/archive").await.assert(200);
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.check(expect![[r#"
        400 unknown_event_type /type: The event type 'order.paid' is archived
    "#]]);
    app.call(Method::POST, "/v1/event-types/order.paid/unarchive").await.assert(200);
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202);
}

#[tokio::test]
async fn an_external_id_names_one_event() {
    let app = TestApp::start().await;
    let event = json!({ "type": "order.paid", "data": 1, "external_id": "order-1" });
    let first = app.post("/v1/events", event.clone()).await.assert(202);
    let again = app.post("/v1/events", event).await.assert(200);
    assert_eq!(again.id(), first.id());
    assert_eq!(again.json()["meta"], json!({ "duplicate": true }));
    app.post("/v1/events", json!({ "type": "order.paid", "data": 2, "external_id": "order-1" })).await.check(expect![
        [r#"
            409 external_id_conflict: An event with this external_id was published with another type or other data
        "#]
    ]);
}

#[tokio::test]
async fn each_event_of_a_batch_is_answered_in_order() {
    let app = TestApp::start().await;
    let body = json!({ "events": [
        { "type": "order.paid", "data": 1 },
        { "type": "order.lost", "data": 2 },
        "nonsense",
        { "type": "order.sent", "data": 3 },
    ] });
    app.post("/v1/events/batch", body).await.check(expect![[r#"
        200
        {
          "data": [
            {
              "type": "event",
              "id": "evt_…",
              "attributes": {
                "tenant_id": "tnt_…",
                "type": "order.paid",
                "external_id": null,
                "occurred_at": "2026-02-18T12:00:00.000Z",
                "created_at": "2026-02-18T12:00:00.000Z",
                "state": "unmatched",
                "deliveries_count": 0,
                "data_bytes": 1,
                "channels": [],
                "deliver_at": null,
                "replay_of": null
              }
            },
            {
              "errors": [
                {
                  "id": "<request id>",
                  "status": "400",
                  "code": "unknown_event_type",
                  "title": "Bad Request",
                  "detail": "There is no event type 'order.lost'",
                  "source": {
                    "pointer": "/events/1/type"
                  }
                }
              ]
            },
            {
              "errors": [
                {
                  "id": "<request id>",
                  "status": "400",
                  "code": "invalid_type",
                  "title": "Bad Request",
                  "detail": "This must be a JSON object",
                  "source": {
                    "pointer": "/events/2"
                  }
                }
              ]
            },
            {
              "type": "event",
              "id": "evt_…",
              "attributes": {
                "tenant_id": "tnt_…",
                "type": "order.sent",
                "external_id": null,
                "occurred_at": "2026-02-18T12:00:00.000Z",
                "created_at": "2026-02-18T12:00:00.000Z",
                "state": "unmatched",
                "deliveries_count": 0,
                "data_bytes": 1,
                "channels": [],
                "deliver_at": null,
                "replay_of": null
              }
            }
          ]
        }
    "#]]);
}

#[tokio::test]
async fn a_batch_can_be_lines() {
    let app = TestApp::start().await;
    let lines = "{\"type\":\"order.paid\",\"data\":1}\n\n{\"type\":\n{\"type\":\"order.sent\",\"data\":2}\r\n";
    let answer =
        app.call(Method::POST, "/v1/events/batch").body("application/x-ndjson", lines).await.assert(200).json();
    let kinds: Vec<bool> = answer["data"].as_array().unwrap().iter().map(|item| item["errors"].is_array()).collect();
    assert_eq!(kinds, [false, true, false], "{answer}");
}

#[tokio::test]
async fn a_batch_has_one_to_a_thousand_events() {
    let app = TestApp::start().await;
    let events = |count: usize| json!({ "events": vec![json!({ "type": "order.paid", "data": 1 }); count] });
    for (body, expected) in [
        (
            events(0),
            expect![[r#"
            400 invalid_parameter /events: This must be 1 to 1,000 events
        "#]],
        ),
        (
            events(1001),
            expect![[r#"
            400 too_many_items /events: There may be at most 1000
        "#]],
        ),
        (
            json!({}),
            expect![[r#"
            400 missing_field /events: The field 'events' is required
        "#]],
        ),
        (
            json!({ "events": {}, "more": 1 }),
            expect![[r#"
            400 unknown_field /more: There is no field 'more' here
            400 invalid_type /events: This must be an array of events
        "#]],
        ),
    ] {
        app.post("/v1/events/batch", body).await.check(expected);
    }
    let answer = app.post("/v1/events/batch", events(1000)).await.assert(200).json();
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(1000));
}

#[tokio::test]
async fn nobody_publishes_into_the_systems_tenant() {
    let app = TestApp::start().await;
    let event = json!({ "type": "order.paid", "data": 1 });
    for (path, body) in [("/v1/events", event.clone()), ("/v1/events/batch", json!({ "events": [event] }))] {
        app.post(path, body).header("waxwing-tenant", "system").await.check(expect![[r#"
            409 invalid_state: Nobody publishes into the tenant 'system'
        "#]]);
    }
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    let subscription = app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", "system").await;
    let subscription = subscription.assert(201).id();
    let own = app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202).id();
    let again = json!({ "subscription_ids": [subscription], "as_new_event": true });
    app.post(&format!("/v1/events/{own}/redeliver"), again).await.check(expect![[r#"
        400 invalid_parameter /subscription_ids/0: This must be the id of a subscription that exists
    "#]]);
}

/// What Waxwing itself has to say is no type that others use: it would look as if Waxwing had said it.
#[tokio::test]
async fn what_waxwing_itself_has_to_say_nobody_else_says() {
    let app = TestApp::start().await;
    let of_system = |id: &str| format!("/v1/webhook-subscriptions/{id}/test");
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    let ours = app.post("/v1/webhook-subscriptions", body.clone()).await.assert(201).id();
    let system = app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", "system").await.assert(201).id();
    for name in ["subscription.disabled", "delivery.exhausted"] {
        app.post("/v1/events", json!({ "type": name, "data": 1 })).await.assert(400);
        let batch = json!({ "events": [{ "type": name, "data": 1 }] });
        let batch = app.post("/v1/events/batch", batch).await.assert(200).json();
        assert_eq!(batch["data"][0]["errors"][0]["code"], "unknown_event_type", "{batch}");
        let test = json!({ "event_type": name });
        let answer = app.post(&of_system(&ours), test.clone()).await.assert(400).json();
        assert_eq!(answer["errors"][0]["code"], "unknown_event_type", "{answer}");
        let answer = app.post(&of_system(&system), test).header("waxwing-tenant", "system").await.assert(400).json();
        assert_eq!(answer["errors"][0]["code"], "unknown_event_type", "{answer}");
    }
    // The plain test reaches a subscription of the system as any other.
    app.post(&of_system(&system), json!({})).header("waxwing-tenant", "system").await.assert(200);
}

#[tokio::test]
async fn events_are_listed_newest_first_over_pages_that_lead_both_ways() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(app.post("/v1/events", json!({ "type": "order.paid", "data": n })).await.assert(202).id());
    }
    ids.reverse();
    let rows = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    // Lists follow within a second, pass by pass: the newest event comes last.
    let is_there = |list: &Value| list["data"][0]["id"] == ids[0];
    let first = app.wait_for("/v1/events?page[size]=2&filter[type]=order.paid", is_there).await.json();
    assert_eq!(rows(&first), ids[..2]);
    assert!(first["links"]["prev"].is_null());
    let second = app.get(first["links"]["next"].as_str().unwrap()).await.assert(200).json();
    assert_eq!(rows(&second), ids[2..4]);
    let third = app.get(second["links"]["next"].as_str().unwrap()).await.assert(200).json();
    assert_eq!(rows(&third), ids[4..]);
    assert!(third["links"]["next"].is_null());
    let back = app.get(third["links"]["prev"].as_str().unwrap()).await.assert(200).json();
    assert_eq!(rows(&back), ids[2..4]);
}

#[tokio::test]
async fn an_event_of_another_tenant_is_not_found() {
    let app = TestApp::start().await;
    let id = app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202).id();
    app.post("/v1/tenants", json!({ "name": "Other", "external_id": "other" })).await.assert(201);
    for id in [id.as_str(), "evt_unknown", "whsub_01jm1m6n00e9r8g0000000000a"] {
        let answer = app.get(&format!("/v1/events/{id}")).header("waxwing-tenant", "other").await.assert(404);
        assert_eq!(answer.json()["errors"][0]["detail"], format!("Event '{id}' not found"));
    }
}

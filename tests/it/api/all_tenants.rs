//! Lists with `scope=instance`: all tenants in one.

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

/// Two tenants besides the first one, with a subscription and an event each, made in turns. Their ids, and a key of the
/// last one.
async fn scene() -> (TestApp, [String; 3], String) {
    let app = TestApp::start().await;
    let default = app.get("/v1/tenants/default").await.id();
    let mut tenants = vec![default];
    for name in ["one", "two"] {
        tenants.push(app.post("/v1/tenants", json!({ "name": name })).await.assert(201).id());
    }
    for tenant in &tenants {
        let body = json!({ "url": TEST_RECEIVER, "events": ["order.*"] });
        app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", tenant).await.assert(201);
    }
    for number in 0..2 {
        for tenant in &tenants {
            let body =
                json!({ "type": "order.paid", "data": { "number": number }, "external_id": format!("n{number}") });
            app.post("/v1/events", body).header("waxwing-tenant", tenant).await.assert(202);
        }
    }
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": tenants[2] })).await;
    (app, tenants.try_into().expect("there are three"), key)
}

fn tenants_of(list: &Value) -> Vec<&str> {
    let rows = list["data"].as_array().expect("it is a list");
    rows.iter().map(|row| row["attributes"]["tenant_id"].as_str().expect("each says whose it is")).collect()
}

fn rows(list: &Value) -> usize {
    list["data"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn an_instance_key_sees_all_tenants_in_one_list_and_each_object_says_whose_it_is() {
    let (app, [default, one, two], _) = scene().await;
    let (default, one, two) = (default.as_str(), one.as_str(), two.as_str());
    let subscriptions = app.get("/v1/webhook-subscriptions?scope=instance").await.assert(200).json();
    assert_eq!(tenants_of(&subscriptions), [two, one, default]);
    let in_turns = [two, one, default, two, one, default];
    let events = app.wait_for("/v1/events?scope=instance", |list| rows(list) == 6).await.json();
    assert_eq!(tenants_of(&events), in_turns);
    let deliveries = app.wait_for("/v1/deliveries?scope=instance", |list| rows(list) == 6).await.json();
    assert_eq!(tenants_of(&deliveries), in_turns);
    let named = app.get("/v1/events?scope=instance&filter[external_id]=n1").await.assert(200).json();
    assert_eq!(tenants_of(&named), [two, one, default]);
    let own = app.wait_for("/v1/events?scope=tenant", |list| rows(list) == 2).await.json();
    assert_eq!(tenants_of(&own), [default, default]);
}

#[tokio::test]
async fn pages_of_all_tenants_follow_each_other_both_ways() {
    let (app, ..) = scene().await;
    app.wait_for("/v1/deliveries?scope=instance&filter[state]=succeeded", |list| rows(list) == 6).await;
    for path in ["/v1/events?scope=instance&page[size]=4", "/v1/deliveries?scope=instance&page[size]=4"] {
        let first = app.get(path).await.assert(200).json();
        let second = app.get(first["links"]["next"].as_str().expect("there is more")).await.assert(200).json();
        assert_eq!((rows(&first), rows(&second)), (4, 2), "{path}");
        let back = app.get(second["links"]["prev"].as_str().expect("there was more")).await.assert(200).json();
        assert_eq!(back["data"], first["data"], "{path}");
    }
}

#[tokio::test]
async fn what_waits_and_what_failed_is_found_over_all_tenants() {
    let (app, tenants, _) = scene().await;
    app.wait_for("/v1/deliveries?scope=instance&filter[state]=succeeded", |list| rows(list) == 6).await;
    app.put("/v1/test-receiver/receivers/inbox", json!({ "behaviour": "fail" })).await.assert(200);
    for tenant in &tenants {
        let body = json!({ "type": "order.sent", "data": {} });
        app.post("/v1/events", body).header("waxwing-tenant", tenant).await.assert(202);
    }
    let path = "/v1/deliveries?scope=instance&filter[state]=retrying";
    let list = app.wait_for(path, |list| rows(list) == 3).await.json();
    let [default, one, two] = tenants.each_ref().map(String::as_str);
    assert_eq!(tenants_of(&list), [two, one, default]);
    for row in list["data"].as_array().unwrap() {
        let (id, tenant) = (row["id"].as_str().unwrap(), row["attributes"]["tenant_id"].as_str().unwrap());
        let path = format!("/v1/deliveries/{id}/cancel");
        app.call(Method::POST, &path).header("waxwing-tenant", tenant).await.assert(200);
    }
    let canceled =
        app.get("/v1/deliveries?scope=instance&filter[state]=canceled&page[size]=2").await.assert(200).json();
    assert_eq!(tenants_of(&canceled), [two, one]);
    let rest = app.get(canceled["links"]["next"].as_str().unwrap()).await.assert(200).json();
    assert_eq!(tenants_of(&rest), [default]);
}

#[tokio::test]
async fn what_a_deleted_tenant_had_is_in_no_list() {
    let (app, [default, one, two], _) = scene().await;
    app.delete(&format!("/v1/tenants/{one}")).await.assert(204);
    for path in ["/v1/webhook-subscriptions", "/v1/events", "/v1/deliveries"] {
        let list = app.wait_for(&format!("{path}?scope=instance"), |list| rows(list) >= 2).await.json();
        let mut tenants = tenants_of(&list);
        tenants.sort_unstable();
        tenants.dedup();
        assert_eq!(tenants, [default.as_str(), two.as_str()], "{path}");
    }
}

#[tokio::test]
async fn a_key_of_a_tenant_does_not_see_the_others() {
    let (app, _, key) = scene().await;
    for path in ["/v1/webhook-subscriptions", "/v1/events", "/v1/deliveries"] {
        app.get(&format!("{path}?scope=instance")).key(&key).await.check(expect![[r#"
            403 missing_scope: This concerns the whole instance, and this API key is bound to one tenant
        "#]]);
    }
    app.get("/v1/events?scope=everything").await.check(expect![[r#"
        400 invalid_parameter scope: 'scope' must be tenant or instance
    "#]]);
}

//! Pages, sorting and filters, as far as they are alike everywhere.

use expect_test::expect;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn a_small_collection_has_numbered_pages_with_true_totals() {
    let app = TestApp::start().await;
    for n in 0..5 {
        app.post("/v1/event-types", json!({ "name": format!("type.n{n}") })).await.assert(201);
    }
    for (query, rows, page, total_pages) in [
        ("", 7, 1, 1),
        ("?page[size]=3", 3, 1, 3),
        ("?page[size]=3&page[number]=3", 1, 3, 3),
        ("?page[size]=3&page[number]=9", 0, 9, 3),
        ("?page%5Bsize%5D=100", 7, 1, 1),
    ] {
        let list = app.get(&format!("/v1/event-types{query}")).await.assert(200).json();
        assert_eq!(list["data"].as_array().map(Vec::len), Some(rows), "{query}");
        assert_eq!(list["meta"]["total"], 7, "{query}");
        assert_eq!(list["meta"]["page"], page, "{query}");
        assert_eq!(list["meta"]["total_pages"], total_pages, "{query}");
    }
    let second = app.get("/v1/event-types?page[size]=3&page[number]=2").await.json();
    for link in ["next", "prev"] {
        app.get(second["links"][link].as_str().unwrap()).await.assert(200);
    }
}

#[tokio::test]
async fn parameters_that_are_wrong_or_unknown_are_all_named() {
    let app = TestApp::start().await;
    for (query, expected) in [
        (
            "page[size]=0&page[number]=0&sort=name",
            expect![[r#"
            400 invalid_parameter page[number]: 'page[number]' must be 1 or more
            400 invalid_parameter page[size]: 'page[size]' must be 1 to 100
            400 invalid_parameter sort: 'sort' must be created_at or -created_at
        "#]],
        ),
        (
            "page[size]=101",
            expect![[r#"
            400 invalid_parameter page[size]: 'page[size]' must be 1 to 100
        "#]],
        ),
        (
            "page[size]=abc&colour=red&filter[name]=x",
            expect![[r#"
            400 invalid_parameter page[size]: 'page[size]' must be 1 to 100
            400 invalid_parameter colour: 'colour' must be left out: there is no such parameter here
            400 invalid_parameter filter[name]: 'filter[name]' must be left out: there is no such parameter here
        "#]],
        ),
        (
            "page[size]=5&page[size]=6",
            expect![[r#"
            400 invalid_parameter page[size]: 'page[size]' must be given once
        "#]],
        ),
        (
            "filter[is_active]=1&filter[health]=fine&filter[event]=a..b",
            expect![[r#"
            400 invalid_parameter filter[is_active]: 'filter[is_active]' must be true or false
            400 invalid_parameter filter[event]: 'filter[event]' must be an event type or pattern
            400 invalid_parameter filter[health]: 'filter[health]' must be healthy, degraded, failing or disabled
        "#]],
        ),
    ] {
        app.get(&format!("/v1/webhook-subscriptions?{query}")).await.check(expected);
    }
    app.get("/v1/events?page[after]=x&page[before]=y&page[number]=1").await.check(expect![[r#"
        400 invalid_parameter page[after]: 'page[after]' must be a cursor from links.next
        400 invalid_parameter page[before]: 'page[before]' must be a cursor from links.prev
        400 invalid_parameter page[number]: 'page[number]' must be left out: there is no such parameter here
    "#]]);
}

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
        ("page[size]=0&page[number]=0&sort=name", expect![[""]]),
        ("page[size]=101", expect![[""]]),
        ("page[size]=abc&colour=red&filter[name]=x", expect![[""]]),
        ("page[size]=5&page[size]=6", expect![[""]]),
        ("filter[is_active]=1&filter[health]=fine&filter[event]=a..b", expect![[""]]),
    ] {
        app.get(&format!("/v1/webhook-subscriptions?{query}")).await.check(expected);
    }
    app.get("/v1/events?page[after]=x&page[before]=y&page[number]=1").await.check(expect![[""]]);
}

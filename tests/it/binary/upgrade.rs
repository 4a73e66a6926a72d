//! Stores that earlier builds wrote open with this one, with everything in them. `tests/fixtures/stores/README.md` says which
//! builds those were.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use waxwing::store::{Location, check};

use crate::support::binary::{Api, PATIENCE, Start, Waxwing};

fn unpack(name: &str, folder: &Path) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores").join(name);
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder).status();
    assert!(unpacked.expect("tar is on every machine").success(), "{name}");
}

/// Its events are as old as they are; whenever this test is run, they are to be kept.
async fn start(folder: &Path) -> Waxwing {
    let forever = "36500";
    let start = Start::in_dir(folder).with_environment("WAXWING_PAYLOAD_DAYS", forever);
    start.with_environment("WAXWING_METADATA_DAYS", forever).start().await
}

async fn all(api: &Api, path: &str) -> Vec<Value> {
    let answer = api.get(&format!("{path}?scope=instance&page[size]=100")).await.expect(200).json();
    answer["data"].as_array().expect("it is a list").clone()
}

/// The store of that name: its events, its deliveries, and how many of them arrived then. What it subscribes to gets what is
/// published now, signed with the secrets in it.
async fn opens(name: &str, events: usize, deliveries: usize, succeeded: usize) {
    let folder = tempfile::tempdir().unwrap();
    unpack(name, folder.path());
    let server = start(folder.path()).await;
    let api = &server.api;
    assert_eq!(all(api, "/v1/events").await.len(), events, "{name}");
    let known = all(api, "/v1/deliveries").await;
    assert_eq!(known.len(), deliveries, "{name}");
    let arrived: Vec<&Value> = known.iter().filter(|delivery| delivery["attributes"]["state"] == "succeeded").collect();
    assert_eq!(arrived.len(), succeeded, "{name}");
    for delivery in arrived {
        let tenant = delivery["attributes"]["tenant_id"].as_str().expect("it says whose it is");
        let path = format!("/v1/deliveries/{}", delivery["id"].as_str().expect("an id"));
        let one = api.clone().for_tenant(tenant).get(&path).await.expect(200).json();
        let attempt = &one["data"]["attributes"]["attempts"][0];
        assert_eq!(attempt["response"]["status"], 200, "{name}: {one}");
        assert!(attempt["request"]["body"].as_str().is_some_and(|body| body.contains("order")), "{name}: {one}");
    }

    let subscriptions = all(api, "/v1/webhook-subscriptions").await;
    let active: Vec<&Value> = subscriptions.iter().filter(|one| one["attributes"]["is_active"] == true).collect();
    assert!(!active.is_empty(), "{name}: {subscriptions:?}");
    for subscription in &active {
        let tenant = subscription["attributes"]["tenant_id"].as_str().expect("it says whose it is");
        let event =
            json!({ "type": "order.paid", "data": { "order": "now", "total": "1.00", "currency": "EUR" } }).to_string();
        api.clone().for_tenant(tenant).post("/v1/events", event).await.expect(202);
    }
    let received = async {
        loop {
            let list = api.get("/v1/test-receiver/requests?page[size]=100").await.expect(200).json();
            let list = list["data"].as_array().expect("it is a list").clone();
            if list.len() >= active.len() {
                return list;
            }
        }
    };
    let received = tokio::time::timeout(PATIENCE, received).await.expect("all of it arrives in time");
    for request in received {
        assert_eq!(request["attributes"]["signature"]["is_valid"], true, "{name}: {request}");
    }
    let (status, _) = server.terminate().await;
    assert!(status.success(), "{name}: {status}");
    let found = check(Location::Directory(folder.path().to_owned()), None).expect("it opens");
    assert!(found.is_clean(), "{name}: {found:?}");
}

#[tokio::test]
async fn a_store_of_the_first_format_opens() {
    opens("format-1.tar.gz", 2, 2, 2).await;
}

#[tokio::test]
async fn a_store_that_was_killed_with_a_journal_of_one_file_opens_with_all_of_it() {
    opens("format-3-one-journal-killed.tar.gz", 4, 7, 4).await;
}

#[tokio::test]
async fn a_store_that_was_killed_with_a_journal_of_two_files_opens_with_all_of_it() {
    opens("format-3-killed.tar.gz", 4, 7, 4).await;
}

//! Space given back by the real binary while events come in, and kill -9 in the middle of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::binary::{Api, PATIENCE, Start};

/// How often the process is killed.
const KILLS: usize = 6;
/// Makes the copy take some steps.
const DATA_BYTES: usize = 60_000;
const EVENTS_BEFORE: usize = 150;

/// Publishes on one connection until the process is gone, or so many were accepted. The ids of what was answered 202.
async fn publish(api: Api, accepted: Arc<AtomicUsize>, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let Ok(mut connection) = api.connect().await else { return ids };
    let body = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(DATA_BYTES));
    while ids.len() < count {
        let Ok(answer) = connection.request("POST", "/v1/events", body.clone().into()).await else { break };
        ids.push(answer.expect(202).json()["data"]["id"].as_str().expect("an id").to_owned());
        accepted.fetch_add(1, Ordering::Relaxed);
    }
    ids
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let all = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{what} did not happen in time"));
}

async fn storage(api: &Api) -> Value {
    api.get("/v1/storage").await.expect(200).json()["data"]["attributes"].take()
}

async fn assert_all_there(api: &Api, ids: &[String]) {
    let mut connection = api.connect().await.expect("it listens");
    for id in ids {
        let answer = connection.request("GET", &format!("/v1/events/{id}"), "".into()).await.expect("it answers");
        let answer = answer.expect(200).json();
        let data = answer["data"]["attributes"]["data"].as_str().expect("what it says");
        assert_eq!(data.len(), DATA_BYTES, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_202_is_missing_after_kill_9_while_space_is_given_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("a").await;
    let mut ids = publish(waxwing.api.clone(), Arc::default(), EVENTS_BEFORE).await;
    for kill in 0..KILLS {
        let accepted = Arc::new(AtomicUsize::new(0));
        let publisher = tokio::spawn(publish(waxwing.api.clone(), Arc::clone(&accepted), usize::MAX));
        until("load", async || accepted.load(Ordering::Relaxed) > 0).await;
        waxwing.api.post("/v1/storage/compact", "{}").await.expect(202);
        // Another moment each time: from its beginning to somewhere behind its end.
        let events = accepted.load(Ordering::Relaxed) + kill * 7;
        until("more load", async || accepted.load(Ordering::Relaxed) >= events).await;
        waxwing.kill().await;
        ids.extend(publisher.await.expect("it does not panic"));
        waxwing = Start::in_dir(folder.path()).start().await;
        assert_all_there(&waxwing.api, &ids).await;
    }
    let publisher = tokio::spawn(publish(waxwing.api.clone(), Arc::default(), 50));
    waxwing.api.post("/v1/storage/compact", "{}").await.expect(202);
    until("the end of the compaction", async || storage(&waxwing.api).await["compaction"].is_null()).await;
    let audited = waxwing.api.get("/v1/audit-log?filter[action]=storage.compact&page[size]=1").await.expect(200).json();
    assert_eq!(audited["data"][0]["attributes"]["status"], 202, "{audited}");
    let ended = storage(&waxwing.api).await["last_compaction"].take();
    assert_eq!(ended["failure"], Value::Null, "{ended}");
    assert!(ended["bytes_after"].as_u64().is_some_and(|bytes| bytes > 0), "{ended}");
    ids.extend(publisher.await.expect("it does not panic"));
    assert_all_there(&waxwing.api, &ids).await;
    let (status, _) = waxwing.terminate().await;
    assert!(status.success());
    let waxwing = Start::in_dir(folder.path()).start().await;
    assert_all_there(&waxwing.api, &ids).await;
}

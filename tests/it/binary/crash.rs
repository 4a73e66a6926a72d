//! kill -9 of the real binary under load, and a full account afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::binary::{ADMIN_KEY, Api, PATIENCE, Start};
use crate::support::receiver::Receiver;

const KILLS: usize = 5;
/// The process is killed after so many more events were accepted.
const EVENTS_PER_LIFE: usize = 400;
const PUBLISHERS: usize = 4;

/// Publishes on one connection until the process is gone; answers with the ids that were answered 202.
async fn publish_until_killed(api: Api, accepted: Arc<AtomicUsize>) -> Vec<String> {
    let mut ids = Vec::new();
    let Ok(mut connection) = api.connect().await else { return ids };
    loop {
        let body = format!(r#"{{"type":"load.tick","data":{{"n":{}}}}}"#, ids.len());
        match connection.request("POST", "/v1/events", body.into()).await {
            Ok(answer) => {
                let answer = answer.expect(202);
                ids.push(answer.json()["data"]["id"].as_str().expect("an id").to_owned());
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return ids,
        }
    }
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let all = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{what} did not happen in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_202_is_missing_after_kill_9_under_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    // One receiver always takes everything; the other one fails half of it until the last life.
    let mut receiver = Receiver::start(move |received| match received.path.as_str() {
        "/sick" if !well.load(Ordering::Relaxed) && received.body.len() % 2 == 0 => 500,
        _ => 204,
    })
    .await;

    let mut waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("load.tick").await;
    let (_, well_secret) = waxwing.api.subscribe(&receiver.url("/well"), &["*"]).await;
    let (_, sick_secret) = waxwing.api.subscribe(&receiver.url("/sick"), &["load.*"]).await;

    let mut acknowledged = Vec::new();
    for _ in 0..KILLS {
        let accepted = Arc::new(AtomicUsize::new(0));
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| tokio::spawn(publish_until_killed(waxwing.api.clone(), Arc::clone(&accepted))))
            .collect();
        until("load", async || accepted.load(Ordering::Relaxed) >= EVENTS_PER_LIFE).await;
        waxwing.kill().await;
        for publisher in publishers {
            acknowledged.extend(publisher.await.expect("it does not panic"));
        }
        waxwing = Start::in_dir(folder.path()).start().await;
    }
    is_well.store(true, Ordering::Relaxed);
    assert!(acknowledged.len() >= KILLS * EVENTS_PER_LIFE);

    // The healthy receiver gets everything without a person's help.
    let mut arrived: HashMap<String, HashSet<String>> = HashMap::new();
    let mut requests = 0;
    let has_all = |arrived: &HashMap<String, HashSet<String>>| {
        arrived.get("/well").is_some_and(|ids| acknowledged.iter().all(|id| ids.contains(id)))
    };
    while !has_all(&arrived) {
        for received in std::iter::once(receiver.next().await).chain(receiver.drain()) {
            received.verify(if received.path == "/well" { &well_secret } else { &sick_secret });
            requests += 1;
            arrived.entry(received.path.clone()).or_default().insert(received.header("webhook-id").to_owned());
        }
    }

    // published = delivered + pending + failed, for each event, by the program's own account.
    until("the last first attempt", async || {
        let path = "/v1/deliveries?filter[state]=pending&page[size]=1";
        waxwing.api.get(path).await.expect(200).json()["data"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    let mut connection = waxwing.api.connect().await.expect("it listens");
    for id in &acknowledged {
        let answer = connection.request("GET", &format!("/v1/events/{id}"), "".into()).await.expect("it answers");
        let answer = answer.expect(200).json();
        let deliveries = answer["data"]["attributes"]["deliveries"].as_array().expect("its deliveries").clone();
        assert_eq!(deliveries.len(), 2, "{answer}");
        for delivery in deliveries {
            let state = delivery["state"].as_str().expect("a state");
            assert!(["succeeded", "retrying", "pending"].contains(&state), "{delivery}");
        }
    }
    println!(
        "{KILLS} kills: {} events acknowledged, {requests} requests arrived, {} of them to the healthy receiver's ids",
        acknowledged.len(),
        arrived["/well"].len()
    );
    let (status, _) = waxwing.terminate().await;
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_waits_for_the_attempt_under_way_and_records_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let mut receiver = Receiver::start(move |_| {
        // Blocks this connection's thread until the process was told to stop.
        released.lock().expect("one request").recv().expect("it is released");
        200
    })
    .await;
    let (arrived, mut has_arrived) = tokio::sync::mpsc::unbounded_channel();
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("slow").await;
    waxwing.api.subscribe(&receiver.url("/"), &["slow"]).await;
    let answer = waxwing.api.post("/v1/events", r#"{"type":"slow","data":1}"#).await.expect(202);
    let id = answer.json()["data"]["id"].as_str().expect("an id").to_owned();
    until("the attempt", async || {
        let metrics = waxwing.api.get("/metrics").await.text();
        metrics.lines().any(|line| line.starts_with("waxwing_attempts_in_flight") && line.ends_with(" 1"))
    })
    .await;
    let address = waxwing.address;
    let stopping = tokio::spawn(async move {
        let _ = arrived.send(());
        waxwing.terminate().await
    });
    has_arrived.recv().await.expect("it is being stopped");
    // It refuses new work while it drains.
    until("the refusal", async || match Api::new(address, ADMIN_KEY).connect().await {
        Err(_) => true,
        Ok(mut connection) => {
            let answer = connection.request("POST", "/v1/events", r#"{"type":"slow","data":2}"#.into()).await;
            answer.map_or(true, |answer| answer.status == 503)
        }
    })
    .await;
    release.send(()).expect("the receiver waits");
    let (status, _) = stopping.await.expect("it does not panic");
    assert!(status.success());
    receiver.next().await;

    let waxwing = Start::in_dir(folder.path()).start().await;
    let answer = waxwing.api.get(&format!("/v1/events/{id}")).await.expect(200).json();
    assert_eq!(answer["data"]["attributes"]["state"], "delivered", "{answer}");
}

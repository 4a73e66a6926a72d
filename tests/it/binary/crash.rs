//! kill -9 of the real binary under load, and a full account afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;

use crate::support::binary::{ADMIN_KEY, Api, PATIENCE, Start};
use crate::support::receiver::{Received, Receiver};

/// How often the process is killed unless `WAXWING_KILLS` says otherwise.
const KILLS_DEFAULT: usize = 5;
/// The process is killed after so many more events were accepted, another number each time.
const EVENTS_PER_LIFE: std::ops::Range<usize> = 40..400;
const PUBLISHERS: usize = 4;
/// Connections that ask for what became of the events.
const AUDITORS: usize = 4;

fn kills() -> usize {
    match std::env::var("WAXWING_KILLS") {
        Ok(text) => text.parse().expect("WAXWING_KILLS is a number"),
        Err(_) => KILLS_DEFAULT,
    }
}

/// What one publisher did in one life of the process.
#[derive(Default)]
struct Published {
    /// Everything that went out, answered or not.
    asked: Vec<String>,
    /// The id of each that was answered 202.
    acknowledged: Vec<(String, String)>,
}

/// Publishes on one connection until the process is gone.
async fn publish_until_killed(api: Api, name: String, accepted: Arc<AtomicUsize>) -> Published {
    let mut published = Published::default();
    let Ok(mut connection) = api.connect().await else { return published };
    loop {
        let number = format!("{name} {}", published.asked.len());
        let body = format!(r#"{{"type":"load.tick","data":"{number}"}}"#);
        published.asked.push(number.clone());
        match connection.request("POST", "/v1/events", body.into()).await {
            Ok(answer) => {
                let id = answer.expect(202).json()["data"]["id"].as_str().expect("an id").to_owned();
                published.acknowledged.push((number, id));
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return published,
        }
    }
}

/// What arrived, seen from outside.
#[derive(Default)]
struct Account {
    /// Which event an id stands for: the same at every receiver and in every repeat.
    events: HashMap<String, String>,
    ids: HashMap<String, String>,
    /// The lives in which a path took an event (2xx).
    taken: HashMap<(String, String), Vec<usize>>,
    requests: usize,
}

impl Account {
    fn has(&self, path: &str, id: &str) -> bool {
        self.taken.contains_key(&(path.to_owned(), id.to_owned()))
    }

    fn take(&mut self, taken: &Mutex<Vec<(String, String, usize)>>) {
        for (path, id, life) in std::mem::take(&mut *taken.lock().expect("no panic")) {
            self.taken.entry((path, id)).or_default().push(life);
        }
    }

    fn note(&mut self, received: &Received) {
        self.requests += 1;
        let id = received.header("webhook-id").to_owned();
        let body: serde_json::Value = serde_json::from_slice(&received.body).expect("JSON");
        let number = body["data"].as_str().expect("its number").to_owned();
        let known = self.events.entry(id.clone()).or_insert_with(|| number.clone());
        assert_eq!(*known, number, "one id stands for two events");
        let known = self.ids.entry(number.clone()).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "the repeat of {number} has another id");
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

/// Asks the program for the state of every delivery of these events.
async fn audit(api: Api, ids: Vec<String>) {
    let mut connection = api.connect().await.expect("it listens");
    for id in ids {
        let answer = connection.request("GET", &format!("/v1/events/{id}"), "".into()).await.expect("it answers");
        let answer = answer.expect(200).json();
        let deliveries = answer["data"]["attributes"]["deliveries"].as_array().expect("its deliveries");
        assert_eq!(deliveries.len(), 2, "{answer}");
        assert!(deliveries.iter().all(|delivery| delivery["state"] == "succeeded"), "{answer}");
    }
}

/// One receiver takes everything, the other one refuses about half of all events once. Whoever was acknowledged is delivered to
/// both, nothing arrives that nobody published, and what arrives twice was taken in an earlier life and has the same id.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_202_is_missing_after_kill_9_under_load() {
    let (kills, started) = (kills(), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let life = Arc::new(AtomicUsize::new(0));
    let taken: Arc<Mutex<Vec<(String, String, usize)>>> = Arc::default();
    let refused: Mutex<HashSet<String>> = Mutex::default();
    let (life_now, takes) = (Arc::clone(&life), Arc::clone(&taken));
    let mut receiver = Receiver::start(move |received| {
        let id = received.header("webhook-id").to_owned();
        let is_refused = received.path == "/forgetful"
            && id.as_bytes().last().is_some_and(|byte| byte % 2 == 0)
            && refused.lock().expect("no panic").insert(id.clone());
        if is_refused {
            return 500;
        }
        let life = life_now.load(Ordering::Acquire);
        takes.lock().expect("no panic").push((received.path.clone(), id, life));
        204
    })
    .await;

    let mut waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("load.tick").await;
    let (_, well_secret) = waxwing.api.subscribe(&receiver.url("/well"), &["*"]).await;
    let body = json!({ "url": receiver.url("/forgetful"), "events": ["load.*"], "retry_schedule": vec![1; 10] });
    let forgetful = waxwing.api.post("/v1/webhook-subscriptions", body.to_string()).await.expect(201).json();
    let forgetful_secret = forgetful["data"]["attributes"]["secret"].as_str().expect("a secret").to_owned();

    let mut asked = HashSet::new();
    let mut acknowledged = Vec::new();
    for kill in 0..kills {
        let accepted = Arc::new(AtomicUsize::new(0));
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let name = format!("{kill} {publisher}");
                tokio::spawn(publish_until_killed(waxwing.api.clone(), name, Arc::clone(&accepted)))
            })
            .collect();
        // Steps of a prime number: each life ends at another point of the work.
        let events = EVENTS_PER_LIFE.start + kill * 149 % EVENTS_PER_LIFE.len();
        until("load", async || accepted.load(Ordering::Relaxed) >= events).await;
        waxwing.kill().await;
        for publisher in publishers {
            let published = publisher.await.expect("it does not panic");
            asked.extend(published.asked);
            acknowledged.extend(published.acknowledged);
        }
        // What the dead process had sent is answered, and counted as sent by it.
        until("the end of its connections", async || receiver.connections() == 0).await;
        life.fetch_add(1, Ordering::AcqRel);
        waxwing = Start::in_dir(folder.path()).start().await;
    }

    let mut account = Account::default();
    while !acknowledged.iter().all(|(_, id)| account.has("/well", id) && account.has("/forgetful", id)) {
        for received in std::iter::once(receiver.next().await).chain(receiver.drain()) {
            received.verify(if received.path == "/well" { &well_secret } else { &forgetful_secret });
            account.note(&received);
        }
        account.take(&taken);
    }
    // The same by the program's own account.
    for state in ["pending", "retrying", "held"] {
        let path = format!("/v1/deliveries?filter[state]={state}&page[size]=1");
        until(state, async || {
            waxwing.api.get(&path).await.expect(200).json()["data"].as_array().is_some_and(Vec::is_empty)
        })
        .await;
    }
    let ids: Vec<String> = acknowledged.iter().map(|(_, id)| id.clone()).collect();
    let auditors: Vec<_> = ids
        .chunks(ids.len().div_ceil(AUDITORS))
        .map(|ids| tokio::spawn(audit(waxwing.api.clone(), ids.to_vec())))
        .collect();
    for auditor in auditors {
        auditor.await.expect("every delivery succeeded");
    }
    // Whatever else arrived until everything was settled.
    for received in receiver.drain() {
        account.note(&received);
    }
    account.take(&taken);
    for (number, id) in &acknowledged {
        assert_eq!(account.events.get(id), Some(number), "the event arrived under another id than it was given");
    }
    let is_foreign = |number: &&String| !asked.contains(*number);
    assert_eq!(account.ids.keys().find(is_foreign), None, "nobody published this");
    let mut duplicates = 0;
    for ((path, id), lives) in &account.taken {
        duplicates += lives.len() - 1;
        assert!(lives.windows(2).all(|two| two[0] < two[1]), "{id} went to {path} twice in one life: {lives:?}");
    }

    println!(
        "{kills} kills in {:.0} s: {} events acknowledged, {} more committed without an answer, {} requests arrived, \
         {duplicates} of them duplicates",
        started.elapsed().as_secs_f64(),
        acknowledged.len(),
        account.ids.len() - acknowledged.len(),
        account.requests,
    );
    let (status, _) = waxwing.terminate().await;
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_waits_for_the_attempt_under_way_and_records_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let mut receiver = Receiver::start(move |_| {
        // Blocks this connection's thread until the process was told to stop. What was published before it heard that finds the door open.
        _ = released.lock().expect("nobody panics with it").recv();
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
    // Also what was published while it was being told.
    drop(release);
    let (status, _) = stopping.await.expect("it does not panic");
    assert!(status.success());
    receiver.next().await;

    let waxwing = Start::in_dir(folder.path()).start().await;
    let answer = waxwing.api.get(&format!("/v1/events/{id}")).await.expect(200).json();
    assert_eq!(answer["data"]["attributes"]["state"], "delivered", "{answer}");
}

//! A receiver that is slow, dead, flooded or endless costs nobody else anything, and no more than its own slot.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::binary::{Api, PATIENCE, Start, Waxwing};
use crate::support::rough::{Manner, RoughReceiver, refusing};

/// How long a healthy delivery may take on a busy machine. Receivers that hang keep their slots for three times as long,
/// so nothing that waits for one of them makes it.
const SOON: Duration = Duration::from_secs(10);

async fn subscribe(api: &Api, body: Value) -> String {
    let answer = api.post("/v1/webhook-subscriptions", body.to_string()).await.expect(201).json();
    answer["data"]["id"].as_str().expect("an id").to_owned()
}

async fn publish(api: &Api, event_type: &str, data: Value) -> String {
    let body = json!({ "type": event_type, "data": data }).to_string();
    api.post("/v1/events", body).await.expect(202).json()["data"]["id"].as_str().expect("an id").to_owned()
}

/// `count` events whose `data.n` counts from `from`; their ids in that order.
async fn publish_batch(api: &Api, event_type: &str, from: usize, count: usize) -> Vec<String> {
    let events: Vec<Value> = (from..from + count).map(|n| json!({ "type": event_type, "data": { "n": n } })).collect();
    let answer = api.post("/v1/events/batch", json!({ "events": events }).to_string()).await.expect(200).json();
    let all = answer["data"].as_array().expect("one for each").iter();
    all.map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

async fn tenant(waxwing: &Waxwing, name: &str) -> Api {
    let body = json!({ "name": name, "external_id": name, "subscriptions_max": 1000 }).to_string();
    waxwing.api.post("/v1/tenants", body).await.expect(201);
    waxwing.api.clone().for_tenant(name)
}

/// The event's only delivery, once `is_so`.
async fn delivery(api: &Api, event: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/v1/deliveries?filter[event_id]={event}");
    let look = async {
        loop {
            let answer = api.get(&path).await.expect(200).json();
            if let [only] = answer["data"].as_array().expect("a list").as_slice()
                && is_so(&only["attributes"])
            {
                return only["attributes"].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{event} did not come to it in time"))
}

fn has_succeeded(delivery: &Value) -> bool {
    delivery["state"] == "succeeded"
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sick_receivers_do_not_delay_a_healthy_one_of_their_tenant_or_of_another() {
    const SICK: usize = 500;
    /// More for each of them than there are slots, were they let.
    const BEFORE: usize = 20;
    const ROUNDS: usize = 10;
    let folder = tempfile::tempdir().expect("a folder");
    rlimit::increase_nofile_limit(u64::MAX).expect("each connection is an open file");
    let mut sick = RoughReceiver::start(|path, _, _| match path {
        "/hangs" => Manner::Hangs,
        "/drips-head" => Manner::DripsHead,
        "/drips-body" => Manner::DripsBody,
        _ => Manner::Overloaded(1),
    })
    .await;
    let mut healthy = RoughReceiver::start(|_, _, _| Manner::Status(204)).await;
    let (_refusing, refused) = refusing();
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let (troubled, other) = (tenant(&waxwing, "troubled").await, tenant(&waxwing, "other").await);
    let urls = [sick.url("/hangs"), sick.url("/drips-head"), sick.url("/drips-body"), refused, sick.url("/overloaded")];
    for n in 0..SICK {
        let url = &urls[n % urls.len()];
        let body = json!({ "url": url, "events": ["*"], "timeout_seconds": 30, "max_in_flight": 100 });
        subscribe(&troubled, body).await;
    }
    subscribe(&troubled, json!({ "url": healthy.url("/same"), "events": ["*"] })).await;
    subscribe(&other, json!({ "url": healthy.url("/other"), "events": ["*"] })).await;

    // Every one of the sick gets traffic before and beside the healthy ones.
    publish_batch(&troubled, "order.paid", 0, BEFORE).await;
    for _ in 0..BEFORE {
        healthy.next().await;
    }
    let mut reached = HashSet::new();
    while reached.len() < 4 {
        reached.insert(sick.next().await.path);
    }
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        for (api, path) in [(&troubled, "/same"), (&other, "/other")] {
            let published = Instant::now();
            let event = publish(api, "order.paid", json!({ "round": round })).await;
            let arrival = healthy.next_within(SOON).await;
            let arrival = arrival.unwrap_or_else(|| panic!("round {round}: {path} waits for the sick ones"));
            assert_eq!((arrival.path.as_str(), arrival.id), (path, event));
            slowest = slowest.max(arrival.at - published);
        }
    }
    println!("beside {SICK} sick receivers the slowest of {} deliveries took {slowest:?}", 2 * ROUNDS);
}

/// Their answers count as successes, so nothing makes them sick but the time that they take.
#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_drip_good_answers_leave_slots_to_the_others() {
    const DRIPPING: usize = 60;
    /// For each of them, at a hundred at once: more than all slots there are.
    const EVENTS: usize = 200;
    const ROUNDS: usize = 30;
    let folder = tempfile::tempdir().expect("a folder");
    rlimit::increase_nofile_limit(u64::MAX).expect("each connection is an open file");
    let mut dripping = RoughReceiver::start(|_, _, _| Manner::DripsBody).await;
    let mut healthy = RoughReceiver::start(|_, _, _| Manner::Status(204)).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let (troubled, other) = (tenant(&waxwing, "troubled").await, tenant(&waxwing, "other").await);
    for _ in 0..DRIPPING {
        let body = json!({ "url": dripping.url("/"), "events": ["*"], "timeout_seconds": 30, "max_in_flight": 100 });
        subscribe(&troubled, body).await;
    }
    subscribe(&other, json!({ "url": healthy.url("/"), "events": ["*"] })).await;
    publish_batch(&troubled, "order.paid", 0, EVENTS).await;
    // Two each until the first of them has succeeded; then as many as they are allowed.
    let mut begun = 0;
    while begun < 3 * DRIPPING {
        dripping.next().await;
        begun += 1;
    }
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let published = Instant::now();
        let event = publish(&other, "order.paid", json!({ "round": round })).await;
        let arrival = healthy.next_within(SOON).await;
        let arrival = arrival.unwrap_or_else(|| panic!("round {round}: it waits for those that drip"));
        assert_eq!(arrival.id, event);
        slowest = slowest.max(arrival.at - published);
        begun += dripping.drain().len();
    }
    println!("beside {begun} answers that drip the slowest of {ROUNDS} deliveries took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_tenant_does_not_delay_a_single_event_of_another() {
    const EVENTS: usize = 20_000;
    const BATCH: usize = 1000;
    let folder = tempfile::tempdir().expect("a folder");
    // At most a thousand a second, so that the flood is a flood on the fastest machine.
    let mut flooded = RoughReceiver::start(|_, _, _| Manner::Slow(204, Duration::from_millis(10))).await;
    let mut single = RoughReceiver::start(|_, _, _| Manner::Status(204)).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let (flooding, other) = (tenant(&waxwing, "flooding").await, tenant(&waxwing, "other").await);
    subscribe(&flooding, json!({ "url": flooded.url("/"), "events": ["*"], "max_in_flight": 10 })).await;
    subscribe(&other, json!({ "url": single.url("/"), "events": ["*"] })).await;

    let mut arrived = 0;
    let mut overtaken = 0;
    for batch in 0..EVENTS / BATCH {
        publish_batch(&flooding, "order.paid", batch * BATCH, BATCH).await;
        if batch * BATCH == EVENTS / 2 {
            arrived += flooded.drain().len();
            let waiting = (batch + 1) * BATCH - arrived;
            let event = publish(&other, "order.paid", json!({})).await;
            let arrival = single.next_within(PATIENCE).await.expect("it waits behind the flood");
            assert_eq!(arrival.id, event);
            let meanwhile = flooded.drain().len();
            arrived += meanwhile;
            assert!(meanwhile < waiting, "{waiting} waited before it, and {meanwhile} of them went before it");
            overtaken = waiting - meanwhile;
        }
    }
    println!("a single event overtook {overtaken} of a flood of {EVENTS}");
    // The flood itself goes on: nothing of it is lost to fairness.
    let mut seen = arrived + flooded.drain().len();
    while seen < EVENTS {
        flooded.next().await;
        seen += 1 + flooded.drain().len();
    }
    assert_eq!(seen, EVENTS, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_gigabyte_takes_no_memory_and_counts_once() {
    const EVENTS: usize = 8;
    const GROWTH_KIB_MAX: u64 = 64 * 1024;
    let folder = tempfile::tempdir().expect("a folder");
    let is_endless = Arc::new(AtomicBool::new(false));
    let endless = Arc::clone(&is_endless);
    let mut receiver = RoughReceiver::start(move |_, _, _| match endless.load(Ordering::Relaxed) {
        true => Manner::Floods(1 << 30),
        false => Manner::Status(200),
    })
    .await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    subscribe(&waxwing.api, json!({ "url": receiver.url("/"), "events": ["*"], "timeout_seconds": 15 })).await;
    // What any delivery takes is there before the first measurement.
    let warm = publish(&waxwing.api, "order.paid", json!({})).await;
    delivery(&waxwing.api, &warm, has_succeeded).await;
    receiver.drain();
    is_endless.store(true, Ordering::Relaxed);
    let before = memory_kib(&waxwing, "VmRSS");
    let events = publish_batch(&waxwing.api, "order.paid", 0, EVENTS).await;
    for event in &events {
        let done = delivery(&waxwing.api, event, has_succeeded).await;
        assert_eq!(done["attempts_made"], 1, "its head was 2xx and came in time");
    }
    let peak = memory_kib(&waxwing, "VmHWM");
    let mut ids: Vec<String> = receiver.drain().into_iter().map(|arrival| arrival.id).collect();
    ids.sort();
    assert_eq!(ids, events, "each was delivered once");
    let growth = peak.saturating_sub(before);
    println!("{EVENTS} answers of 1 GiB: from {before} KiB to at most {peak} KiB");
    assert!(growth < GROWTH_KIB_MAX, "it grew by {growth} KiB");
}

/// A line of `/proc/<pid>/status`, in KiB.
fn memory_kib(waxwing: &Waxwing, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", waxwing.id())).expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with(name)).expect("it is told");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_drips_for_ever_is_one_delivery_and_gives_its_slot_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = RoughReceiver::start(|_, _, _| Manner::DripsBody).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let body = json!({
        "url": receiver.url("/"), "events": ["*"], "timeout_seconds": 1, "max_in_flight": 1, "retry_schedule": [0, 0],
    });
    subscribe(&waxwing.api, body).await;
    let events = publish_batch(&waxwing.api, "order.paid", 0, 3).await;
    for event in &events {
        let arrival = receiver.next().await;
        assert_eq!(arrival.id, *event);
    }
    for event in &events {
        let done = delivery(&waxwing.api, event, has_succeeded).await;
        assert_eq!(done["attempts_made"], 1, "{done}");
    }
    assert_eq!(receiver.drain().len(), 0, "none of them came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_spreads_deliveries_and_loses_none() {
    const EVENTS: usize = 12;
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = RoughReceiver::start(|_, _, _| Manner::Status(204)).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    subscribe(&waxwing.api, json!({ "url": receiver.url("/"), "events": ["*"], "rate_limit": 5 })).await;
    let started = Instant::now();
    let events = publish_batch(&waxwing.api, "order.paid", 0, EVENTS).await;
    let mut arrived = Vec::new();
    for _ in 0..EVENTS {
        let arrival = receiver.next().await;
        arrived.push((arrival.id, arrival.at - started));
    }
    let (_, last) = arrived[EVENTS - 1];
    assert!(last >= Duration::from_secs(2), "12 at 5 a second take at least 2 seconds: {arrived:?}");
    let ids: HashSet<&String> = arrived.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, events.iter().collect(), "none is lost, none came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_order_the_next_one_waits_for_a_failing_one_and_otherwise_it_does_not() {
    const EVENTS: usize = 30;
    let folder = tempfile::tempdir().expect("a folder");
    let refused = std::sync::Mutex::new(HashSet::new());
    let mut receiver = RoughReceiver::start(move |path, id, body| {
        let n = body["data"]["n"].as_u64().expect("its number");
        let is_first_time = refused.lock().expect("no panic").insert((path.to_owned(), id.to_owned()));
        Manner::Status(if n % 3 == 0 && is_first_time { 500 } else { 204 })
    })
    .await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let fifo = json!({
        "url": receiver.url("/fifo"), "events": ["*"], "ordering": "fifo", "retry_schedule": [1],
    });
    // A retry that nobody here lives to see.
    let free = json!({ "url": receiver.url("/free"), "events": ["*"], "retry_schedule": [86400] });
    subscribe(&waxwing.api, fifo).await;
    subscribe(&waxwing.api, free).await;
    let events = publish_batch(&waxwing.api, "order.paid", 0, EVENTS).await;
    let (mut in_order, mut out_of_order) = (Vec::new(), HashSet::new());
    let failing = EVENTS.div_ceil(3);
    while in_order.len() < EVENTS || out_of_order.len() < EVENTS - failing {
        let arrival = receiver.next().await;
        match (arrival.manner, arrival.path.as_str()) {
            (Manner::Status(204), "/fifo") => in_order.push(arrival.id),
            (Manner::Status(204), _) => assert!(out_of_order.insert(arrival.id), "it came twice"),
            // Refused: nothing of what follows it in order may have been taken yet.
            (_, "/fifo") => assert_eq!(arrival.id, events[in_order.len()], "it came out of order"),
            (_, _) => {}
        }
    }
    assert_eq!(in_order, events, "in the order of ids, each once");
    let well = events.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, id)| id.clone());
    assert_eq!(out_of_order, well.collect(), "those that nobody refuses do not wait for those that are refused");
}

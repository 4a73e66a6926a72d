//! The real binary on a small file system that fills up: new events are refused below the reserve, outcomes are kept in
//! it, and when even that is used up nothing is lost and everything goes on once there is room.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use waxwing::domain::key::KeyHash;

use crate::support::binary::{Answer, Api, PATIENCE, Start};
use crate::support::receiver::Receiver;

const MIB: u64 = 1024 * 1024;
/// The part of the file system that new events leave free.
const RESERVE_BYTES: u64 = 24 * MIB;
const EVENTS: usize = 100;
/// Each of them keeps 16 KiB of what the receiver said: together more than [`LEFT_BYTES`] and what the file has free.
const RETRIES: usize = 20;
const LEFT_BYTES: u64 = MIB;
/// A server that has not answered by then has no store.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// In a mount namespace of its own.
const UNSHARE: [&str; 4] = ["unshare", "-rm", "bash", "-c"];
/// Mounts a small file system over the data folder, and checks the store in it when the server has ended. A test that fails
/// takes the server with it.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=64m none "$PWD" && cd "$PWD" || exit 1
    setpriv --pdeathsig TERM "$0" "$@" &
    server=$!
    trap "kill -TERM $server" TERM
    while kill -0 $server 2>/dev/null; do wait $server; done
    "$0" check --data-dir "$PWD"
    echo "the check ended with $?"
"#;

/// Whether this machine lets its users have file systems of their own.
fn can_mount(folder: &Path) -> bool {
    let script = r#"mount -t tmpfs -o size=1m none "$PWD" && setpriv --pdeathsig TERM true"#;
    let status = Command::new(UNSHARE[0]).args(&UNSHARE[1..]).arg(script).current_dir(folder).status();
    status.is_ok_and(|status| status.success())
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let all = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{what} did not happen in time"));
}

/// None while it cannot answer: as long as its store is not open, connections wait for it.
async fn ask(api: &Api, method: &str, path: &str, body: &Value) -> Option<Answer> {
    let answer = async {
        let mut connection = api.connect().await.ok()?;
        connection.request(method, path, body.to_string().into()).await.ok()
    };
    tokio::time::timeout(ANSWERS_WITHIN, answer).await.ok()?
}

/// Takes so much of the file system that only this is left, though the server takes some of it at the same time.
fn leave(folder: &Path, bytes: u64) {
    let ballast = std::fs::File::create(folder.join("ballast")).expect("there is room for a name");
    let mut taken = 0;
    loop {
        let figures = rustix::fs::statvfs(folder).expect("it is mounted");
        let too_much = (figures.f_bavail * figures.f_frsize).saturating_sub(bytes);
        if too_much == 0 {
            return;
        }
        // The last pages one by one, since they may be gone by now.
        let step = (too_much / 2).max(4096);
        if rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), taken, step).is_ok() {
            taken += step;
        }
    }
}

/// The state of the one delivery of each event; none while it cannot be asked.
async fn states(api: &Api, events: &[String]) -> Option<Vec<String>> {
    let mut states = Vec::with_capacity(events.len());
    for event in events {
        let answer = ask(api, "GET", &format!("/v1/events/{event}"), &Value::Null).await?;
        if answer.status != 200 {
            return None;
        }
        let delivery = &answer.json()["data"]["attributes"]["deliveries"][0];
        states.push(delivery["state"].as_str().expect("a state").to_owned());
    }
    Some(states)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_costs_new_events_and_nothing_that_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    if !can_mount(folder.path()) {
        eprintln!("SKIPPED: a full disk under the real binary, since this machine mounts nothing for its users");
        return;
    }
    let status = Arc::new(AtomicU16::new(204));
    let now = Arc::clone(&status);
    let says = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut receiver = Receiver::start_saying(says, move |_| now.load(Ordering::Relaxed)).await;
    let start = Start::in_dir(folder.path()).with_environment("WAXWING_FREE_SPACE_RESERVE", &RESERVE_BYTES.to_string());
    let waxwing = start.under(&[&UNSHARE[..], &[ON_A_SMALL_DISK]].concat()).start().await;
    let api = waxwing.api.clone();
    let disk = PathBuf::from(format!("/proc/{}/root{}", waxwing.id(), folder.path().display()));
    api.create_event_type("order.paid").await;
    let hook = json!({
        "url": receiver.url("/hook"), "events": ["*"], "retry_schedule": vec![1; RETRIES], "circuit_breaker": false,
    });
    let hook = api.post("/v1/webhook-subscriptions", hook.to_string()).await.expect(201).json();
    let hook = format!("/v1/webhook-subscriptions/{}", hook["data"]["id"].as_str().expect("an id"));
    let event = json!({ "type": "order.paid", "data": "x".repeat(1000) });

    // Paused, so that the disk is full before any of these is tried.
    api.put(&hook, json!({ "is_active": false }).to_string()).await.expect(200);
    let batch = json!({ "events": vec![event.clone(); EVENTS] });
    let batch = api.post("/v1/events/batch", batch.to_string()).await.expect(200).json();
    let ids = batch["data"].as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned());
    let mut kept: Vec<String> = ids.collect();

    // Below the reserve new events are refused, and what is there is delivered.
    leave(&disk, RESERVE_BYTES - MIB);
    let mut refused = String::new();
    until("a refusal", async || {
        let answer = api.post("/v1/events", event.to_string()).await;
        match answer.status {
            202 => kept.push(answer.json()["data"]["id"].as_str().expect("an id").to_owned()),
            status => refused = format!("{status} {}", answer.json()["errors"][0]["code"].as_str().expect("a code")),
        }
        answer.status != 202
    })
    .await;
    assert_eq!(refused, "507 storage_full");
    status.store(500, Ordering::Relaxed);
    api.put(&hook, json!({ "is_active": true }).to_string()).await.expect(200);
    receiver.next().await;
    status.store(204, Ordering::Relaxed);
    until("their delivery", async || {
        states(&api, &kept).await.is_some_and(|states| states.iter().all(|it| it == "succeeded"))
    })
    .await;

    // There is room: more events, for a receiver that fails and says much about it.
    std::fs::remove_file(disk.join("ballast")).expect("it is there");
    status.store(500, Ordering::Relaxed);
    until("events are taken again", async || {
        let answer = api.post("/v1/events/batch", json!({ "events": vec![event.clone(); EVENTS] }).to_string()).await;
        if answer.status == 200 {
            let ids = answer.json();
            let ids =
                ids["data"].as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned());
            kept.extend(ids);
        }
        answer.status == 200
    })
    .await;
    leave(&disk, LEFT_BYTES);
    // Its outcomes fill what is left. Then nothing is sent whose outcome cannot be kept.
    until("a commit without room", async || {
        ask(&api, "GET", "/readyz", &Value::Null).await.is_none_or(|answer| answer.status != 200)
    })
    .await;
    // Nobody waits for an answer meanwhile: the process lives, and says that it takes nothing.
    until("word that there is no store", async || {
        let refused = ask(&api, "POST", "/v1/events", &event).await;
        refused.is_some_and(|it| it.status == 503 && it.json()["errors"][0]["code"] == "storage_unavailable")
    })
    .await;
    until("a sign of life", async || {
        ask(&api, "GET", "/healthz", &Value::Null).await.is_some_and(|it| it.status == 200)
    })
    .await;

    std::fs::remove_file(disk.join("ballast")).expect("it is there");
    status.store(204, Ordering::Relaxed);
    let is_over = |state: &String| state == "succeeded" || state == "exhausted";
    until("an end for each", async || states(&api, &kept).await.is_some_and(|all| all.iter().all(is_over))).await;
    until("new events", async || ask(&api, "POST", "/v1/events", &event).await.is_some_and(|it| it.status == 202))
        .await;
    let (_, output) = waxwing.terminate().await;
    assert!(output.contains("the check ended with 0"), "{output}");
}

/// So much is left above the reserve: more than a backup leaves alone, and less than one needs.
const LEFT_FOR_A_BACKUP_BYTES: u64 = 24 * MIB;
/// Bytes of events that nothing makes smaller.
const STORED_BYTES: usize = 8 * 1024 * 1024;
const STORED_EVENT_BYTES: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_for_which_there_is_no_room_fails_and_nobody_who_publishes_notices() {
    let folder = tempfile::tempdir().expect("a folder");
    if !can_mount(folder.path()) {
        eprintln!("SKIPPED: a backup on a full disk, since this machine mounts nothing for its users");
        return;
    }
    let start = Start::in_dir(folder.path()).with_environment("WAXWING_FREE_SPACE_RESERVE", &(4 * MIB).to_string());
    let waxwing = start.under(&[&UNSHARE[..], &[ON_A_SMALL_DISK]].concat()).start().await;
    let api = waxwing.api.clone();
    let disk = PathBuf::from(format!("/proc/{}/root{}", waxwing.id(), folder.path().display()));
    api.create_event_type("order.paid").await;
    for n in 0..STORED_BYTES / STORED_EVENT_BYTES {
        let data: String = (0..STORED_EVENT_BYTES / 64)
            .map(|part| KeyHash::of(&format!("{n} {part}")).0.map(|byte| format!("{byte:02x}")).concat())
            .collect();
        api.post("/v1/events", json!({ "type": "order.paid", "data": data }).to_string()).await.expect(202);
    }
    leave(&disk, LEFT_FOR_A_BACKUP_BYTES);
    let made = api.post("/v1/backups", "{}").await.expect(202).json();
    let path = format!("/v1/backups/{}", made["data"]["id"].as_str().expect("an id"));
    let event = json!({ "type": "order.paid", "data": {} });
    let mut shown = Value::Null;
    until("an end of the backup", async || {
        assert_eq!(api.post("/v1/events", event.to_string()).await.status, 202);
        shown = api.get(&path).await.expect(200).json()["data"]["attributes"].clone();
        shown["state"] != "running"
    })
    .await;
    assert_eq!(shown["state"], "failed", "{shown}");
    assert!(shown["error"].as_str().expect("why").contains("too little room"), "{shown}");
    let left = std::fs::read_dir(disk.join("backups")).expect("it is there").count();
    assert_eq!(left, 0, "nothing of it takes room");
    assert_eq!(api.post("/v1/events", event.to_string()).await.status, 202);
    std::fs::remove_file(disk.join("ballast")).expect("it is there");
    let (_, output) = waxwing.terminate().await;
    assert!(output.contains("the check ended with 0"), "{output}");
}

//! `/v1/backups`

use std::fs;
use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};
use waxwing::backups::Run;
use waxwing::domain::backup::BackupName;
use waxwing::store::backup::read_header;

use crate::support::app::TestApp;

/// Makes one and waits until it is what it becomes.
async fn make(app: &TestApp, body: Value) -> Value {
    let begun = app.post("/v1/backups", body).await.assert(202);
    let path = format!("/v1/backups/{}", begun.id());
    assert_eq!(begun.header("location"), Some(path.as_str()));
    settle(app).await;
    app.get(&path).await.assert(200).json()["data"].clone()
}

/// Waits for the one that runs, while the clock stands still.
async fn settle(app: &TestApp) {
    let is_over = |run: &Run| run.failure.is_some();
    while !app.backups.runs().iter().all(is_over) {
        tokio::task::yield_now().await;
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("an id")).collect()
}

fn files(app: &TestApp) -> Vec<String> {
    let entries = fs::read_dir(app.backup_folder.path()).expect("the folder is there");
    entries.map(|entry| entry.expect("it can be read").file_name().into_string().expect("UTF-8")).collect()
}

#[tokio::test]
async fn a_backup_is_made_listed_downloaded_and_deleted() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/v1/backups").await.assert(200).json()["data"], json!([]));
    let made = make(&app, json!({})).await;
    let shown = &made["attributes"];
    assert_eq!((&shown["state"], &shown["is_encrypted"]), (&json!("complete"), &json!(false)), "{made}");
    assert_eq!(shown["created_at"], "2026-02-18T12:00:00.000Z");
    assert_eq!((&shown["progress"], &shown["error"], &shown["failed_at"]), (&Value::Null, &Value::Null, &Value::Null));
    let id = made["id"].as_str().expect("an id");
    let file = files(&app).pop().expect("it is there");
    assert_eq!(BackupName::read(&file).expect("its name").id.to_string(), id);
    let bytes = fs::read(app.backup_folder.path().join(&file)).expect("it can be read");
    assert_eq!(shown["size_bytes"], bytes.len());
    let download = app.get(&format!("/v1/backups/{id}/download")).await.assert(200);
    assert_eq!(download.header("content-length"), Some(bytes.len().to_string().as_str()));
    assert_eq!(download.body, hex::encode(&bytes));
    assert!(download.header("content-disposition").is_some_and(|value| value.contains(&file)));
    let entry = app.get("/v1/audit-log?page[size]=1").await.assert(200).json()["data"][0]["attributes"].clone();
    assert_eq!((&entry["action"], &entry["object"]["id"]), (&json!("backups.download"), &json!(id)));
    app.delete(&format!("/v1/backups/{id}")).await.assert(204);
    app.get(&format!("/v1/backups/{id}")).await.assert(404);
    assert_eq!(files(&app), [""; 0]);
}

#[tokio::test]
async fn a_passphrase_encrypts_it() {
    let app = TestApp::start().await;
    let short = app.post("/v1/backups", json!({ "passphrase": "too short" })).await.assert(400).json();
    assert_eq!(short["errors"][0]["source"]["pointer"], "/passphrase");
    let made = make(&app, json!({ "passphrase": "correct horse battery" })).await;
    assert_eq!(made["attributes"]["is_encrypted"], true);
    let file = files(&app).pop().expect("it is there");
    assert!(read_header(&app.backup_folder.path().join(file)).expect("a header").is_sealed);
    assert!(!app.get("/v1/audit-log").await.assert(200).body.contains("battery"));
}

#[tokio::test]
async fn only_who_has_the_instance_and_the_scope_sees_backups() {
    let app = TestApp::start().await;
    let made = make(&app, json!({})).await;
    let id = made["id"].as_str().expect("an id");
    let of_tenant = app.make_key(json!({ "name": "t", "preset": "full_access" })).await;
    let reader = app.make_key(json!({ "name": "r", "preset": "read_only", "tenant": null })).await;
    app.get("/v1/backups").key(&of_tenant).await.assert(403);
    app.post("/v1/backups", json!({})).key(&of_tenant).await.assert(403);
    app.get(&format!("/v1/backups/{id}")).key(&reader).await.assert(200);
    app.get(&format!("/v1/backups/{id}/download")).key(&reader).await.assert(403);
    app.delete(&format!("/v1/backups/{id}")).key(&reader).await.assert(403);
    for (role, status) in [("operator", 200), ("viewer", 403)] {
        let (_, cookie) = app.make_user(&format!("{role}@example.com"), role).await;
        app.get(&format!("/v1/backups/{id}/download")).cookie(&cookie).await.assert(status);
    }
}

#[tokio::test]
async fn what_cannot_be_written_fails_is_told_and_leaves_what_is_kept() {
    let app = TestApp::start().await;
    let kept = make(&app, json!({})).await;
    app.advance(Duration::from_secs(1));
    let inbox = json!({ "url": "https://test-receiver.invalid/inbox", "events": ["backup.failed"] });
    app.post("/v1/webhook-subscriptions", inbox).header("waxwing-tenant", "system").await.assert(201);
    // A folder in the way of what it writes first: also for one who may write anywhere.
    let folder = app.backup_folder.path().to_owned();
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).expect("it can be moved");
    fs::write(&folder, "in the way").expect("it can be written");
    let begun = app.post("/v1/backups", json!({})).await.assert(202);
    let refused = app.get("/v1/backups").await.assert(503).json();
    assert_eq!(refused["errors"][0]["code"], "backups_unavailable");
    settle(&app).await;
    fs::remove_file(&folder).expect("it can be removed");
    fs::rename(&aside, &folder).expect("it can be moved back");
    let failed = app.get(&format!("/v1/backups/{}", begun.id())).await.assert(200).json();
    let failed = &failed["data"]["attributes"];
    assert_eq!((&failed["state"], &failed["failed_at"]), (&json!("failed"), &json!("2026-02-18T12:00:01.000Z")));
    assert!(failed["error"].as_str().expect("why").contains(folder.to_str().expect("UTF-8")), "{failed}");
    while app.received().is_empty() {
        // The dispatcher waits for its clock, which nobody else moves.
        app.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    let told = String::from_utf8(app.received()[0].body.to_vec()).expect("JSON");
    assert!(told.contains(&begun.id()) && told.contains("backup.failed"), "{told}");
    assert_eq!(ids(&app.get("/v1/backups").await.assert(200).json()), [&begun.id(), kept["id"].as_str().unwrap()]);
    app.delete(&format!("/v1/backups/{}", begun.id())).await.assert(204);
    make(&app, json!({})).await;
}

#[tokio::test]
async fn a_schedule_makes_them_and_removes_the_oldest_once_a_newer_one_is_verified() {
    let app = TestApp::start().await;
    app.backups.look().await;
    assert_eq!(app.get("/v1/backups").await.assert(200).json()["data"], json!([]), "it is off");
    app.patch("/v1/settings", json!({ "backups.every_hours": 24, "backups.keep": 2 })).await.assert(200);
    let mut made = Vec::new();
    for _ in 0..4 {
        app.backups.look().await;
        settle(&app).await;
        let list = app.get("/v1/backups").await.assert(200).json();
        assert_eq!(list["data"][0]["attributes"]["state"], "complete");
        made.push(ids(&list)[0].to_owned());
        // Nothing is due before its time.
        app.advance(Duration::from_secs(24 * 3600 - 1));
        app.backups.look().await;
        assert_eq!(app.backups.runs(), []);
        app.advance(Duration::from_secs(1));
    }
    let list = app.get("/v1/backups").await.assert(200).json();
    assert_eq!(ids(&list), [&*made[3], &*made[2]]);
    let metrics = app.get("/metrics").await.assert(200).body;
    // The 21st at noon: the fourth.
    let line = "waxwing_backup_last_success_timestamp_seconds 1771675200";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_passphrase_of_ones_own_is_for_those_who_may_see_what_it_opens() {
    let app = TestApp::start().await;
    let (_, operator) = app.make_user("ops@example.com", "operator").await;
    let own = json!({ "passphrase": "correct horse" });
    app.post("/v1/backups", own.clone()).cookie(&operator).await.check(expect![[r#"
        403 missing_scope: Your role lacks the scope settings:write
    "#]]);
    app.post("/v1/backups", json!({})).cookie(&operator).await.assert(202);
    settle(&app).await;
    app.post("/v1/backups", own).await.assert(202);
    settle(&app).await;
}

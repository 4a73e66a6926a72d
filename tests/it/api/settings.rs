//! `/v1/settings`

use expect_test::expect;
use serde_json::{Value, json};
use waxwing::domain::language::Language;
use waxwing::http::{Configured, ConfiguredOrigin, Defaults, Settings};

use crate::support::app::TestApp;

fn setting<'a>(list: &'a Value, id: &str) -> &'a Value {
    let rows = list["data"].as_array().expect("it is a list");
    &rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no {id}"))["attributes"]
}

async fn change(app: &TestApp, changes: Value) -> Value {
    app.patch("/v1/settings", changes).await.assert(200).json()
}

#[tokio::test]
async fn a_setting_is_changed_shown_with_where_it_came_from_and_taken_back() {
    let app = TestApp::start().await;
    let before = app.get("/v1/settings").await.assert(200).json();
    let days = setting(&before, "retention.payload_days");
    assert_eq!(
        (&days["value"], &days["origin"], &days["is_changeable"]),
        (&json!(30), &json!("default"), &json!(true))
    );
    assert_eq!(setting(&before, "portal.name")["value"], Value::Null);
    let changed = change(&app, json!({ "retention.payload_days": 7, "portal.name": "Acme" })).await;
    let days = setting(&changed, "retention.payload_days");
    assert_eq!((&days["value"], &days["default"], &days["origin"]), (&json!(7), &json!(30), &json!("stored")));
    assert_eq!(setting(&changed, "portal.name")["value"], "Acme");
    assert_eq!(setting(&changed, "retention.metadata_days")["origin"], "default");
    let back = change(&app, json!({ "retention.payload_days": null })).await;
    assert_eq!(setting(&back, "retention.payload_days")["value"], 30);
    assert_eq!(setting(&back, "portal.name")["value"], "Acme");
    assert_eq!(app.get("/v1/settings").await.assert(200).json(), back);
}

#[tokio::test]
async fn what_is_stored_holds_at_once_and_after_a_restart() {
    let app = TestApp::start_with(Settings::default()).await;
    let detail = async |app: &TestApp| {
        app.get("/v1/events/evt_1").await.assert(404).json()["errors"][0]["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(detail(&app).await, "Event 'evt_1' not found");
    let limit = async |app: &TestApp| app.get("/v1/settings").await.header("ratelimit-limit").map(str::to_owned);
    assert_eq!(limit(&app).await.as_deref(), Some("6"));
    change(&app, json!({ "language": "pt", "rate_limits.management": 100 })).await;
    assert!(detail(&app).await.starts_with("Não"), "{}", detail(&app).await);
    assert_eq!(limit(&app).await.as_deref(), Some("100"));
    let made = json!({ "name": "k", "preset": "read_only" });
    let made = app.post("/v1/api-keys", made).await.assert(201).json();
    assert_eq!(made["data"]["attributes"]["rate_limits"]["management"], 100);
    let app = TestApp::start_on(app.disk.copy(2), Settings::default(), app.clock.now()).await;
    assert_eq!(limit(&app).await.as_deref(), Some("100"));
    change(&app, json!({ "rate_limits.management": "off" })).await;
    assert_eq!(limit(&app).await, None);
}

#[tokio::test]
async fn what_is_decided_elsewhere_is_not_changed_here() {
    let configured =
        |name, value: Value, origin| Configured { name, description: "", value, default: json!("en"), origin };
    let settings = Settings {
        language: Language::Spanish,
        rate_limits: Defaults { management: None, publish: None },
        configured: vec![
            configured("language", json!("es"), ConfiguredOrigin::Environment("WAXWING_LANGUAGE".to_owned())),
            configured("listen", json!("127.0.0.1:8620"), ConfiguredOrigin::Flag("--listen".to_owned())),
            configured("rate_limits.publish", json!("off"), ConfiguredOrigin::Default),
        ],
        ..Settings::default()
    };
    let app = TestApp::start_with(settings).await;
    let list = app.get("/v1/settings").await.assert(200).json();
    let language = setting(&list, "language");
    assert_eq!(language["value"], "es");
    assert_eq!(language["default"], "en");
    assert_eq!(language["origin"], "environment");
    assert_eq!(language["origin_name"], "WAXWING_LANGUAGE");
    assert_eq!(language["is_changeable"], false);
    assert_eq!(setting(&list, "listen")["origin_name"], "--listen");
    app.patch("/v1/settings", json!({ "language": "pt", "rate_limits.publish": 5 }))
        .header("accept-language", "en")
        .await
        .check(expect![[r#"
            409 invalid_state /language: WAXWING_LANGUAGE sets 'language': it can only be changed there
        "#]]);
    assert_eq!(setting(&app.get("/v1/settings").await.json(), "rate_limits.publish")["value"], "off", "all or nothing");
}

#[tokio::test]
async fn what_no_setting_takes_is_refused_all_at_once() {
    let app = TestApp::start().await;
    let body = json!({
        "retention.payload_days": 0, "language": "de", "portal.color": "red", "portal.frame_ancestors": ["http://a"],
        "listen": "0.0.0.0:80",
    });
    app.patch("/v1/settings", body).await.check(expect![[r#"
        400 unknown_field /listen: There is no field 'listen' here
        400 invalid_parameter /retention.payload_days: This must be a number of days from 1 to 36,500
        400 invalid_parameter /language: This must be en, es or pt
        400 invalid_parameter /portal.color: This must be a colour like #0a7d5a
        400 invalid_parameter /portal.frame_ancestors: This must be a list of at most 20 origins like https://shop.example
    "#]]);
    app.patch("/v1/settings", json!({ "retention.metadata_days": 20 })).await.check(expect![[r#"
        400 invalid_parameter /retention.metadata_days: This must be such that payloads are not kept for longer than metadata
    "#]]);
    change(&app, json!({ "retention.metadata_days": 20, "retention.payload_days": 20 })).await;
    let key = app.make_key(json!({ "name": "k", "preset": "full_access" })).await;
    for call in [app.get("/v1/settings"), app.patch("/v1/settings", json!({ "language": "pt" }))] {
        call.key(&key).await.assert(403);
    }
}

#[tokio::test]
async fn the_password_of_a_mail_server_is_not_for_another_one() {
    let app = TestApp::start().await;
    let password = |list: &Value| setting(list, "mail.password")["value"].clone();
    let with_password = json!({ "mail.host": "mail.example.com", "mail.password": "correct-horse" });
    assert_eq!(password(&change(&app, with_password.clone()).await), "set");
    for (changed, expected) in [
        (json!({ "mail.port": 465, "mail.tls": "tls" }), "set"),
        (json!({ "mail.tls": "none" }), "not set"),
        (json!({ "mail.tls": "none", "mail.password": "correct-horse" }), "set"),
        (json!({ "mail.host": "mail.example.com" }), "set"),
        (json!({ "mail.host": "127.0.0.1" }), "not set"),
        (with_password, "set"),
        (json!({ "mail.host": null }), "not set"),
    ] {
        assert_eq!(password(&change(&app, changed.clone()).await), expected, "{changed}");
    }
}

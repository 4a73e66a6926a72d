//! `/v1/setup`: the first owner, invitations and forgotten passwords.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};
use waxwing::domain::time::Timestamp;
use waxwing::http::Settings;

use crate::support::app::TestApp;

const PASSWORD: &str = "correct horse";

fn token_of(body: &Value) -> String {
    let url = body["data"]["attributes"]["invitation_url"].as_str().expect("it shows the link");
    assert!(url.starts_with("http://localhost/#/setup/"), "{url}");
    url.rsplit('/').next().expect("it ends with the token").to_owned()
}

async fn setup_token(app: &TestApp) -> String {
    token_of(&app.post("/v1/setup/invitation", json!({})).await.assert(200).json())
}

#[tokio::test]
async fn the_first_owner_follows_the_link_and_is_signed_in() {
    let app = TestApp::start().await;
    app.get("/v1/setup").without_key().await.check(expect![[r#"
        200
        {
          "data": {
            "type": "setup",
            "id": "setup",
            "attributes": {
              "is_done": false,
              "may_sign_in": true,
              "restore": null
            }
          }
        }
    "#]]);
    let token = setup_token(&app).await;
    let follow = json!({ "token": token, "email": "Ann@Example.com", "password": PASSWORD, "name": "Ann" });
    let begun = app.post("/v1/setup", follow).without_key().header("user-agent", "a browser").await;
    let cookie = begun.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("waxwing_session="), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"), "{cookie}");
    let cookie = begun.set_cookie();
    begun.check(expect![[r#"
        201
        {
          "data": {
            "type": "session",
            "id": "ses_…",
            "attributes": {
              "user_id": "usr_…",
              "email": "ann@example.com",
              "name": "Ann",
              "role": "owner",
              "scopes": [
                "subscriptions:read",
                "subscriptions:write",
                "events:read",
                "events:write",
                "deliveries:read",
                "deliveries:write",
                "event_types:read",
                "event_types:write",
                "tenants:read",
                "tenants:write",
                "keys:read",
                "keys:write",
                "settings:read",
                "settings:write",
                "users:read",
                "users:write",
                "audit:read",
                "backups:read",
                "backups:write"
              ],
              "key_id": null,
              "has_totp": false,
              "created_at": "2026-02-18T12:00:00.000Z",
              "expires_at": "2026-02-25T12:00:00.000Z",
              "last_used_at": null,
              "user_agent": "a browser",
              "remote_address": null,
              "is_current": true
            }
          }
        }
    "#]]);
    app.get("/v1/users").cookie(&cookie).await.assert(200);
    let setup = app.get("/v1/setup").without_key().await.json();
    assert_eq!(setup["data"]["attributes"]["is_done"], true);
    app.post("/v1/setup/invitation", json!({})).await.check(expect![[r#"
        409 invalid_state: There is a user already: `waxwing users reset-password EMAIL` makes a link for them
    "#]]);
}

#[tokio::test]
async fn a_link_works_once_for_thirty_minutes_and_until_there_is_a_newer_one() {
    let app = TestApp::start().await;
    let follow = |token: &str| {
        let body = json!({ "token": token, "email": "ann@example.com", "password": PASSWORD });
        app.post("/v1/setup", body).without_key()
    };
    let refused = || {
        expect![[r#"
        401 invalid_invitation: This link was used, is over, or never was: ask for a new one
    "#]]
    };
    follow("nonsense").await.check(refused());
    let (earlier, late) = (setup_token(&app).await, setup_token(&app).await);
    follow(&earlier).await.check(refused());
    app.advance(Duration::from_secs(30 * 60));
    follow(&late).await.check(refused());
    let token = setup_token(&app).await;
    let (one, other) = tokio::join!(follow(&token).into_future(), follow(&token).into_future());
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401], "{}\n{}", one.body, other.body);
    assert_eq!(app.get("/v1/users").await.json()["meta"]["total"], 1);
}

#[tokio::test]
async fn what_cannot_be_a_user_is_refused_and_the_link_is_not_used_up() {
    let app = TestApp::start().await;
    let token = setup_token(&app).await;
    for (body, expected) in [
        (
            json!({}),
            expect![[r#"
                400 missing_field /token: The field 'token' is required
                400 missing_field /password: The field 'password' is required
            "#]],
        ),
        (
            json!({ "token": token, "password": "short", "name": "n".repeat(129) }),
            expect![[r#"
                400 out_of_range /name: This must have at most 128 characters
                400 out_of_range /password: This must have at least 10 characters
                400 missing_field /email: The field 'email' is required
            "#]],
        ),
        (
            json!({ "token": token, "email": "ann", "password": PASSWORD }),
            expect![[r#"
                400 invalid_parameter /email: This must be an e-mail address
            "#]],
        ),
    ] {
        app.post("/v1/setup", body).without_key().await.check(expected);
    }
    let follow = json!({ "token": token, "email": "ann@example.com", "password": PASSWORD });
    app.post("/v1/setup", follow).without_key().await.assert(201);
}

#[tokio::test]
async fn who_forgot_the_password_gets_a_link_that_ends_all_sessions() {
    let app = TestApp::start().await;
    let (id, cookie) = app.make_user("ann@example.com", "viewer").await;
    let token = token_of(&app.post(&format!("/v1/users/{id}/invitation"), json!({})).await.assert(200).json());
    app.get("/v1/sessions/current").cookie(&cookie).await.assert(200);
    let wrong = json!({ "token": token, "password": "battery staple", "email": "bob@example.com" });
    app.post("/v1/setup", wrong).without_key().await.check(expect![[r#"
        400 invalid_parameter /email: This must be left out: the invitation says whose it is
    "#]]);
    app.post("/v1/setup", json!({ "token": token, "password": "battery staple" })).without_key().await.assert(201);
    app.get("/v1/sessions/current").cookie(&cookie).await.check(expect![[r#"
        401 session_expired: This session is over: sign in again
    "#]]);
    for (password, expected) in [(PASSWORD, 401), ("battery staple", 201)] {
        let body = json!({ "email": "ann@example.com", "password": password });
        app.post("/v1/sessions", body).without_key().await.assert(expected);
    }
}

#[tokio::test]
async fn users_sessions_and_links_are_there_after_a_restart() {
    let app = TestApp::start().await;
    let (id, cookie) = app.make_user("ann@example.com", "owner").await;
    let token = token_of(&app.post(&format!("/v1/users/{id}/invitation"), json!({})).await.assert(200).json());
    let disk = app.disk.copy(0);
    drop(app);
    let now: Timestamp = "2026-02-18T12:10:00Z".parse().unwrap();
    let app = TestApp::start_on(disk, Settings::default(), now).await;
    let session = app.get("/v1/sessions/current").cookie(&cookie).await.assert(200).json();
    assert_eq!(session["data"]["attributes"]["email"], "ann@example.com");
    app.post("/v1/setup", json!({ "token": token, "password": "battery staple" })).without_key().await.assert(201);
}

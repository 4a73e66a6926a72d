//! `/v1/users`

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::TestApp;

const PASSWORD: &str = "correct horse";

#[tokio::test]
async fn a_user_is_invited_listed_changed_and_removed() {
    let app = TestApp::start().await;
    app.make_user("own@example.com", "owner").await;
    let body = json!({ "email": "Ann@example.com", "name": "Ann", "role": "operator" });
    let made = app.post("/v1/users", body).await.assert(201);
    let path = format!("/v1/users/{}", made.id());
    assert_eq!(made.header("location"), Some(&*path));
    let url = made.json()["data"]["attributes"]["invitation_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://localhost/#/setup/") && url.len() == 25 + 40, "{url}");
    app.get(&path).await.check(expect![[r#"
        200
        {
          "data": {
            "type": "user",
            "id": "usr_…",
            "attributes": {
              "email": "ann@example.com",
              "name": "Ann",
              "role": "operator",
              "has_totp": false,
              "is_invited": true,
              "last_signed_in_at": null,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:00:00.000Z"
            }
          }
        }
    "#]]);
    app.advance(Duration::from_secs(1));
    let changed = app.patch(&path, json!({ "name": "", "role": "viewer" })).await.assert(200).json();
    let attributes = &changed["data"]["attributes"];
    assert_eq!((&attributes["name"], &attributes["role"]), (&json!(""), &json!("viewer")));
    assert_eq!(attributes["updated_at"], "2026-02-18T12:00:01.000Z");
    assert_eq!(app.get("/v1/users").await.assert(200).json()["meta"]["total"], 2);
    app.delete(&path).await.assert(204);
    app.get(&path).await.assert(404);
    let token = url.rsplit('/').next().unwrap();
    app.post("/v1/setup", json!({ "token": token, "password": PASSWORD })).without_key().await.assert(401);
}

#[tokio::test]
async fn what_cannot_be_invited_is_refused() {
    let app = TestApp::start().await;
    app.make_user("ann@example.com", "owner").await;
    for (body, expected) in [
        (
            json!({}),
            expect![[r#"
            400 missing_field /email: The field 'email' is required
            400 missing_field /role: The field 'role' is required
        "#]],
        ),
        (
            json!({ "email": "ann", "role": "king", "name": "n".repeat(129) }),
            expect![[r#"
            400 invalid_parameter /email: This must be an e-mail address
            400 invalid_parameter /role: This must be owner, operator or viewer
            400 out_of_range /name: This must have at most 128 characters
        "#]],
        ),
        (
            json!({ "email": "ANN@example.com", "role": "viewer" }),
            expect![[r#"
            409 already_exists /email: Another user has this e-mail address
        "#]],
        ),
    ] {
        app.post("/v1/users", body).await.check(expected);
    }
}

#[tokio::test]
async fn an_answer_with_a_link_is_repeated_while_the_link_is_good() {
    let app = TestApp::start().await;
    let invite = || app.post("/v1/users", json!({ "email": "a@b", "role": "viewer" })).header("idempotency-key", "k");
    let first = invite().await.assert(201);
    let again = invite().await.assert(201);
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));
    let url = first.json()["data"]["attributes"]["invitation_url"].as_str().unwrap().to_owned();
    let follow = json!({ "token": url.rsplit('/').next().unwrap(), "password": PASSWORD });
    app.post("/v1/setup", follow).without_key().await.assert(201);
    invite().await.assert(409);
}

#[tokio::test]
async fn one_changes_the_own_name_and_password_and_nothing_else() {
    let app = TestApp::start().await;
    let (ann, cookie) = app.make_user("ann@example.com", "viewer").await;
    let (bob, _) = app.make_user("bob@example.com", "owner").await;
    let other = app.post("/v1/sessions", json!({ "email": "ann@example.com", "password": PASSWORD }));
    let other = other.without_key().await.assert(201).set_cookie();
    let own = format!("/v1/users/{ann}");
    app.get(&own).cookie(&cookie).await.assert(200);
    app.patch(&own, json!({ "name": "Ann" })).cookie(&cookie).await.assert(200);
    for (path, body) in [
        (own.clone(), json!({ "role": "owner" })),
        (format!("/v1/users/{bob}"), json!({ "name": "B" })),
        ("/v1/users/nonsense".to_owned(), json!({ "name": "B" })),
    ] {
        app.patch(&path, body).cookie(&cookie).await.check(expect![[r#"
            403 missing_scope: Your role lacks the scope users:write
        "#]]);
    }
    app.get(&format!("/v1/users/{bob}")).cookie(&cookie).await.assert(403);
    for (body, expected) in [
        (
            json!({ "password": "battery staple" }),
            expect![[r#"
            400 missing_field /current_password: The field 'current_password' is required
        "#]],
        ),
        (
            json!({ "password": "battery staple", "current_password": "wrong" }),
            expect![[r#"
            400 invalid_parameter /current_password: This must be the user's current password
        "#]],
        ),
        (
            json!({ "password": "short", "current_password": PASSWORD }),
            expect![[r#"
            400 out_of_range /password: This must have at least 10 characters
        "#]],
        ),
    ] {
        app.patch(&own, body).cookie(&cookie).await.check(expected);
    }
    let change = json!({ "password": "battery staple", "current_password": PASSWORD });
    app.patch(&own, change.clone()).await.check(expect![[r#"
        403 missing_scope /password: Nobody sets another user's password: make a link for the user instead
    "#]]);
    app.patch(&own, change).cookie(&cookie).await.assert(200);
    app.get("/v1/sessions/current").cookie(&cookie).await.assert(200);
    app.get("/v1/sessions/current").cookie(&other).await.assert(401);
    for (password, expected) in [(PASSWORD, 401), ("battery staple", 201)] {
        let body = json!({ "email": "ann@example.com", "password": password });
        app.post("/v1/sessions", body).without_key().await.assert(expected);
    }
}

#[tokio::test]
async fn the_last_owner_stays_an_owner() {
    let app = TestApp::start().await;
    let (ann, cookie) = app.make_user("ann@example.com", "owner").await;
    let path = format!("/v1/users/{ann}");
    // Who has not followed the invitation is no help.
    app.post("/v1/users", json!({ "email": "invited@example.com", "role": "owner" })).await.assert(201);
    let refused = || {
        expect![[r#"
        409 invalid_state: The last owner cannot go: make another user an owner first
    "#]]
    };
    app.delete(&path).await.check(refused());
    app.patch(&path, json!({ "role": "viewer" })).cookie(&cookie).await.check(refused());
    app.make_user("bob@example.com", "owner").await;
    app.patch(&path, json!({ "role": "viewer" })).cookie(&cookie).await.assert(200);
    // At once, and in the session that was there before.
    app.get("/v1/users").cookie(&cookie).await.assert(403);
    app.delete(&path).await.assert(204);
    app.get("/v1/sessions/current").cookie(&cookie).await.assert(401);
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let app = TestApp::start().await;
    let (owner, _) = app.make_user("ann@example.com", "owner").await;
    let (viewer, _) = app.make_user("bob@example.com", "viewer").await;
    let scopes: Vec<Value> =
        document_scopes().into_iter().filter(|scope| scope.ends_with(":read")).map(Value::from).collect();
    let scopes = [scopes, vec![json!("users:write")]].concat();
    let key = app.make_key(json!({ "name": "k", "scopes": scopes, "tenant": null })).await;
    let beyond = || {
        expect![[r#"
        403 missing_scope: A key cannot give more than it has itself: it lacks some of the role's scopes
    "#]]
    };
    app.post("/v1/users", json!({ "email": "c@example.com", "role": "owner" })).key(&key).await.check(beyond());
    app.post(&format!("/v1/users/{owner}/invitation"), json!({})).key(&key).await.check(beyond());
    app.patch(&format!("/v1/users/{viewer}"), json!({ "role": "operator" })).key(&key).await.check(beyond());
    app.delete(&format!("/v1/users/{owner}")).key(&key).await.check(beyond());
    app.post("/v1/users", json!({ "email": "c@example.com", "role": "viewer" })).key(&key).await.assert(201);
    app.post(&format!("/v1/users/{viewer}/invitation"), json!({})).key(&key).await.assert(200);
    let expiring =
        json!({ "name": "e", "preset": "full_access", "tenant": null, "expires_at": "2026-02-18T13:00:00Z" });
    let expiring = app.make_key(expiring).await;
    let lasting = || {
        expect![[r#"
        403 missing_scope: A key cannot give more than it has itself: it expires, and a user does not
    "#]]
    };
    app.post("/v1/users", json!({ "email": "d@example.com", "role": "viewer" })).key(&expiring).await.check(lasting());
    app.post(&format!("/v1/users/{viewer}/invitation"), json!({})).key(&expiring).await.check(lasting());
    let of_tenant = app.make_key(json!({ "name": "t", "preset": "full_access", "tenant": "default" })).await;
    app.get("/v1/users").key(&of_tenant).await.assert(403);
    app.get(&format!("/v1/users/{viewer}")).key(&of_tenant).await.assert(403);
}

fn document_scopes() -> Vec<&'static str> {
    waxwing::domain::key::Scope::ALL.iter().map(|scope| scope.name()).collect()
}

//! `/v1/users/{id}/totp`: the second factor.

use std::time::Duration;

use expect_test::expect;
use serde_json::json;
use waxwing::domain::totp::{SECRET_BYTES, Totp};

use crate::support::app::TestApp;

const PASSWORD: &str = "correct horse";

/// The app on somebody's phone, which read the secret.
fn authenticator(secret: &str) -> Totp {
    let bits: String = secret
        .bytes()
        .map(|letter| {
            format!("{:05b}", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter).unwrap())
        })
        .collect();
    let bytes: Vec<u8> = (0..SECRET_BYTES).map(|n| u8::from_str_radix(&bits[n * 8..n * 8 + 8], 2).unwrap()).collect();
    let bytes: [u8; SECRET_BYTES] = bytes.try_into().unwrap();
    Totp { secret: bytes.into(), is_confirmed: true, last_step: 0 }
}

#[tokio::test]
async fn from_its_confirmation_on_signing_in_takes_a_code_that_works_once() {
    let app = TestApp::start().await;
    let (ann, cookie) = app.make_user("ann@example.com", "viewer").await;
    let path = format!("/v1/users/{ann}/totp");
    let begun = app.post(&path, json!({})).cookie(&cookie).await.assert(201).json();
    let attributes = &begun["data"]["attributes"];
    let secret = attributes["secret"].as_str().unwrap();
    let expected = format!("otpauth://totp/Waxwing:ann%40example.com?secret={secret}&issuer=Waxwing");
    assert_eq!(attributes["otpauth_url"], expected);
    let phone = authenticator(secret);
    let code = || phone.code_at(app.clock.now());
    let sign_in = |code: Option<String>| {
        let mut body = json!({ "email": "ann@example.com", "password": PASSWORD });
        if let Some(code) = code {
            body["totp_code"] = json!(code);
        }
        app.post("/v1/sessions", body).without_key()
    };
    // Nothing is asked before it is confirmed.
    sign_in(None).await.assert(201);
    app.post(&format!("{path}/confirm"), json!({ "code": "000000" })).cookie(&cookie).await.check(expect![[r#"
        400 invalid_parameter /code: This must be the code that the app shows now
    "#]]);
    let confirmed = app.post(&format!("{path}/confirm"), json!({ "code": code() })).cookie(&cookie).await.assert(200);
    assert_eq!(confirmed.json()["data"]["attributes"]["has_totp"], true);
    sign_in(None).await.check(expect![[r#"
        401 totp_required: The code of the authenticator app is needed
    "#]]);
    let newest = app.get("/v1/audit-log?page[size]=1").await.assert(200).json();
    assert_eq!(newest["data"][0]["attributes"]["action"], "sessions.create_totp_required", "not a failure");
    let refused = || {
        expect![[r#"
        401 invalid_credentials: The e-mail address, the password or the code is wrong
    "#]]
    };
    // The code of the confirmation is used up.
    sign_in(Some(code())).await.check(refused());
    app.advance(Duration::from_secs(30));
    let (one, other) = tokio::join!(sign_in(Some(code())).into_future(), sign_in(Some(code())).into_future());
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401], "{}\n{}", one.body, other.body);
    sign_in(Some(code())).await.check(refused());
    for body in [json!({}), json!({ "code": code() })] {
        let path = if body == json!({}) { path.clone() } else { format!("{path}/confirm") };
        app.post(&path, body).cookie(&cookie).await.assert(409);
    }
}

#[tokio::test]
async fn it_goes_with_the_own_password_or_by_an_owner() {
    let app = TestApp::start().await;
    let (ann, cookie) = app.make_user("ann@example.com", "viewer").await;
    let (_, owner) = app.make_user("own@example.com", "owner").await;
    let (_, other) = app.make_user("bob@example.com", "operator").await;
    let path = format!("/v1/users/{ann}/totp");
    let begin = async || {
        let begun = app.post(&path, json!({})).cookie(&cookie).await.assert(201).json();
        let phone = authenticator(begun["data"]["attributes"]["secret"].as_str().unwrap());
        let code = json!({ "code": phone.code_at(app.clock.now()) });
        app.post(&format!("{path}/confirm"), code).cookie(&cookie).await.assert(200);
    };
    begin().await;
    app.post(&path, json!({})).cookie(&owner).await.check(expect![[r#"
        403 missing_scope: Only the user can do this
    "#]]);
    app.delete(&path).cookie(&other).await.assert(403);
    app.delete(&path).cookie(&cookie).await.check(expect![[r#"
        400 missing_field /password: The field 'password' is required
    "#]]);
    app.delete(&path).json(&json!({ "password": "wrong" })).cookie(&cookie).await.assert(400);
    app.delete(&path).json(&json!({ "password": PASSWORD })).cookie(&cookie).await.assert(204);
    begin().await;
    app.delete(&path).cookie(&owner).await.assert(204);
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    app.post("/v1/sessions", body).without_key().await.assert(201);
}

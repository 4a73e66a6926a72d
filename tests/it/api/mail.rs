//! Mail to the operator: what is gathered, when it goes, and what a mail server that is down does to the rest: nothing.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};
use waxwing::clock::Clock;
use waxwing::domain::id::BackupId;
use waxwing::domain::operational::News;
use waxwing::mail::Mailer;

use crate::support::app::TestApp;
use crate::support::smtp::{Mail, MailServer};

const MINUTE: Duration = Duration::from_secs(60);
/// Longer than anything here takes, short enough that a hung test ends.
const PATIENCE: Duration = Duration::from_secs(60);

async fn set_up(app: &TestApp, port: u16) {
    let settings = json!({
        "mail.host": "127.0.0.1", "mail.port": port, "mail.tls": "none",
        "mail.from": "waxwing@example.com", "mail.to": ["ops@example.com", "night@example.com"],
    });
    app.patch("/v1/settings", settings).await.assert(200);
}

fn mailer(app: &TestApp) -> Mailer {
    Mailer::begin(app.store.clone(), Clock::Manual(app.clock.clone()), None).expect("it reads the newest event")
}

/// Tells these, and waits until they are in their list, which is a moment later.
async fn tell(app: &TestApp, numbers: RangeInclusive<u128>) {
    let last = format!("reason {}", numbers.end());
    for number in numbers {
        let news = News::BackupFailed { id: BackupId::from_u128(number), error: format!("reason {number}") };
        app.store.tell(news).await.expect("it is kept");
    }
    let look = async {
        loop {
            let listed = app.get("/v1/events?page[size]=1").header("waxwing-tenant", "system").await.assert(200).json();
            if let Some(id) = listed["data"][0]["id"].as_str() {
                let event = app.get(&format!("/v1/events/{id}")).header("waxwing-tenant", "system").await.assert(200);
                if event.body.contains(&format!("{last}\"")) {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it is listed in time");
}

async fn test_mail(app: &TestApp) -> Value {
    app.post("/v1/settings/test-mail", json!({})).await.assert(200).json()["data"]["attributes"].clone()
}

#[tokio::test]
async fn news_of_one_kind_go_in_one_mail_and_the_next_one_comes_when_its_time_has_come() {
    let (app, server) = (TestApp::start().await, MailServer::start(None).await);
    tell(&app, 1..=1).await;
    let mut mailer = mailer(&app);
    mailer.look().await;
    set_up(&app, server.address.port()).await;
    mailer.look().await;
    assert_eq!(server.connections(), 0, "what was before is nobody's news");

    tell(&app, 2..=4).await;
    mailer.look().await;
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(
        (mails[0].from.as_str(), mails[0].to.join(" ").as_str()),
        ("waxwing@example.com", "ops@example.com night@example.com")
    );
    for part in ["Auto-Submitted: auto-generated", "reason 2", "reason 4", "Date: Wed, 18 Feb 2026 12:00:00 +0000"] {
        assert!(mails[0].text.contains(part), "no {part} in {}", mails[0].text);
    }
    assert!(!mails[0].text.contains("reason 1"), "{}", mails[0].text);

    tell(&app, 5..=5).await;
    mailer.look().await;
    app.advance(14 * MINUTE);
    mailer.look().await;
    assert_eq!(server.mails().len(), 1, "at most one of a kind in 15 minutes");
    app.advance(MINUTE);
    mailer.look().await;
    assert!(server.mails()[1].text.contains("reason 5"));
    mailer.look().await;
    assert_eq!(server.mails().len(), 2, "nothing is told twice");
}

#[tokio::test]
async fn what_a_mail_server_refuses_goes_later_and_nothing_waits_for_it() {
    let (app, server) = (TestApp::start().await, MailServer::start(None).await);
    set_up(&app, server.address.port()).await;
    server.refuse(true);
    let mut mailer = mailer(&app);
    tell(&app, 1..=30).await;
    mailer.look().await;
    assert_eq!(server.connections(), 1);
    mailer.look().await;
    assert_eq!(server.connections(), 1, "not before a minute");
    let answer = test_mail(&app).await;
    assert_eq!(answer["is_sent"], false);
    assert!(answer["error"].as_str().unwrap().contains("nothing is taken today"), "{answer}");
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202);

    server.refuse(false);
    app.advance(MINUTE);
    mailer.look().await;
    let mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    // Twenty are told, the others counted.
    for part in ["reason 1\n", "reason 20\n", "And 10 more"] {
        assert!(mails[0].text.contains(part), "no {part} in {}", mails[0].text);
    }
    assert!(!mails[0].text.contains("reason 21\n"), "{}", mails[0].text);
}

#[tokio::test]
async fn a_mail_that_is_refused_for_what_it_says_holds_up_no_other_and_says_less_in_the_end() {
    let (app, server) = (TestApp::start().await, MailServer::start(None).await);
    set_up(&app, server.address.port()).await;
    server.refuse_text("reason 1");
    let mut mailer = mailer(&app);
    let jump = News::ClockJumped { noticed_at: app.clock.now(), by_millis: 5000 };
    app.store.tell(jump).await.expect("it is kept");
    tell(&app, 1..=1).await;
    mailer.look().await;
    let subjects = || -> Vec<String> {
        let subject =
            |mail: &Mail| mail.text.lines().find_map(|line| line.strip_prefix("Subject: ")).map(str::to_owned);
        server.mails().iter().filter_map(subject).collect()
    };
    assert_eq!(subjects(), ["[Waxwing] clock.jumped"]);
    for pause in [1, 2, 4] {
        app.advance(pause * MINUTE);
        mailer.look().await;
    }
    assert_eq!(subjects(), ["[Waxwing] clock.jumped", "[Waxwing] backup.failed"]);
    let text = &server.mails()[1].text;
    assert!(text.contains("And 1 more") && !text.contains("reason 1"), "{text}");
}

#[tokio::test]
async fn who_corrects_the_settings_waits_for_nothing() {
    let (app, refusing, other) = (TestApp::start().await, MailServer::start(None).await, MailServer::start(None).await);
    set_up(&app, refusing.address.port()).await;
    refusing.refuse(true);
    let mut mailer = mailer(&app);
    tell(&app, 1..=1).await;
    mailer.look().await;
    set_up(&app, other.address.port()).await;
    mailer.look().await;
    assert_eq!((refusing.connections(), other.mails().len()), (1, 1));
}

#[tokio::test]
async fn a_test_mail_goes_at_once_and_says_why_it_cannot() {
    let (app, server) = (TestApp::start().await, MailServer::start(None).await);
    let answer = test_mail(&app).await;
    assert_eq!(answer, json!({ "is_sent": false, "error": "mail.host, mail.from and mail.to have to be set" }));
    set_up(&app, server.address.port()).await;
    assert_eq!(test_mail(&app).await, json!({ "is_sent": true, "error": null }));
    assert!(server.mails()[0].text.contains("Subject: [Waxwing] A test"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    set_up(&app, closed).await;
    let answer = test_mail(&app).await;
    assert_eq!(answer["is_sent"], false, "{answer}");
    let (_, viewer) = app.make_user("viewer@example.com", "viewer").await;
    app.post("/v1/settings/test-mail", json!({})).cookie(&viewer).await.assert(403);
}

#[tokio::test]
async fn the_password_of_the_mail_server_is_told_to_nobody() {
    let (app, server) = (TestApp::start().await, MailServer::start(None).await);
    set_up(&app, server.address.port()).await;
    let change = json!({ "mail.user": "waxwing", "mail.password": "correct-horse" });
    let answer = app.patch("/v1/settings", change).await.assert(200);
    assert!(!answer.body.contains("correct-horse"), "{}", answer.body);
    let settings = app.get("/v1/settings").await.assert(200).json();
    let password = settings["data"].as_array().unwrap().iter().find(|one| one["id"] == "mail.password").unwrap();
    assert_eq!(
        (&password["attributes"]["value"], &password["attributes"]["default"]),
        (&json!("set"), &json!("not set"))
    );
    assert_eq!(test_mail(&app).await["is_sent"], true);
    assert_eq!(server.mails()[0].credentials, Some(("waxwing".to_owned(), "correct-horse".to_owned())));
    let audit = app.get("/v1/audit-log").await.assert(200);
    assert!(!audit.body.contains("correct-horse"));
    app.patch("/v1/settings", json!({ "mail.password": "" })).await.assert(400);
    app.patch("/v1/settings", json!({ "mail.password": null })).await.assert(200);
    assert_eq!(test_mail(&app).await["is_sent"], true);
    assert_eq!(server.mails()[1].credentials, None);
}

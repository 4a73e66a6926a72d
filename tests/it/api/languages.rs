//! Errors in the reader's language (contract 3 and 3.1).

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};
use waxwing::domain::language::Language;
use waxwing::http::{Defaults, Settings};

use crate::support::app::{Answer, TestApp};

fn languages(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("content-language"), answer.header("vary"))
}

/// Everything but what the language decides, and the request's id.
fn stable(answer: &Answer) -> Value {
    let mut body = answer.json();
    for error in body["errors"].as_array_mut().expect("it is refused") {
        let error = error.as_object_mut().expect("an error is an object");
        for name in ["id", "title", "detail"] {
            assert!(error.remove(name).is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty())));
        }
    }
    body
}

#[tokio::test]
async fn an_error_is_told_in_the_language_that_was_asked_for() {
    let app = TestApp::start().await;
    let wrong = json!({ "url": "http://example.com", "events": [], "timeout_seconds": 31, "colour": "blue" });
    let ask = |language: &str| app.post("/v1/webhook-subscriptions", wrong.clone()).header("accept-language", language);
    let english = ask("en").await.check(expect![[r#"
        400 unknown_field /colour: There is no field 'colour' here
        400 url_not_https /url: The URL must begin with https://
        400 events_empty /events: At least one event type or pattern is needed
        400 out_of_range /timeout_seconds: This must be 1 to 30 seconds
    "#]]);
    let spanish = ask("es-MX").await.check(expect![[r#"
        400 unknown_field /colour: El campo 'colour' no existe aquí
        400 url_not_https /url: La URL debe empezar por https://
        400 events_empty /events: Se necesita al menos un tipo de evento o patrón
        400 out_of_range /timeout_seconds: Debe estar entre 1 y 30 segundos
    "#]]);
    let portuguese = ask("fr, pt-BR;q=0.9, en;q=0.1").await.check(expect![[r#"
        400 unknown_field /colour: O campo 'colour' não existe aqui
        400 url_not_https /url: A URL deve começar com https://
        400 events_empty /events: É necessário pelo menos um tipo de evento ou padrão
        400 out_of_range /timeout_seconds: Deve estar entre 1 e 30 segundos
    "#]]);
    for (answer, language, title) in [
        (&english, "en", "Bad Request"),
        (&spanish, "es", "Solicitud incorrecta"),
        (&portuguese, "pt", "Requisição inválida"),
    ] {
        assert_eq!(languages(answer), (Some(language), Some("Accept-Language")));
        assert_eq!(answer.json()["errors"][0]["title"], title);
        assert_eq!(stable(answer), stable(&english));
    }
}

#[tokio::test]
async fn every_kind_of_refusal_says_its_language_and_no_success_does() {
    let app = TestApp::start().await;
    let id = app.post("/v1/tenants", json!({ "name": "A" })).await.assert(201).id();
    let tenant = format!("/v1/tenants/{id}");
    let large = json!({ "name": "x".repeat(1024 * 1024) });
    for (call, status) in [
        (app.get("/v1/nothing"), 404),
        (app.get("/docs/nothing"), 404),
        (app.get("/v1/events/evt_none"), 404),
        (app.get("/v1/events").without_key(), 401),
        (app.get("/v1/events").key("ww_wrong"), 401),
        (app.get("/v1/events?page[size]=0"), 400),
        (app.get("/v1/events").header("waxwing-tenant", "nobody"), 404),
        (app.call(Method::DELETE, "/v1/events"), 405),
        (app.call(Method::POST, "/v1/tenants").body("text/plain", "{}"), 415),
        (app.call(Method::POST, "/v1/tenants").body("application/json", "{"), 400),
        (app.post("/v1/tenants", large), 413),
        (app.patch(&tenant, json!({ "name": "B" })).header("if-match", "\"9\""), 412),
        (app.delete("/v1/tenants/default"), 409),
        (app.post("/v1/events", json!({ "type": "order.lost", "data": 1 })), 400),
    ] {
        let answer = call.header("accept-language", "es").await.assert(status);
        assert_eq!(languages(&answer), (Some("es"), Some("Accept-Language")), "{}", answer.body);
    }
    let event = json!({ "type": "order.paid", "data": 1 });
    for (call, status) in [
        (app.get("/v1/events"), 200),
        (app.get("/healthz"), 200),
        (app.post("/v1/events", event.clone()), 202),
        (app.post("/v1/events/batch", json!({ "events": [event] })), 200),
    ] {
        let answer = call.header("accept-language", "es").await.assert(status);
        assert_eq!(languages(&answer), (None, None), "{}", answer.body);
    }
}

#[tokio::test]
async fn who_asks_for_no_language_that_is_spoken_gets_the_instances_own() {
    let unlimited = Defaults { management: None, publish: None };
    let settings = Settings { rate_limits: unlimited, language: Language::Portuguese, ..Settings::default() };
    let app = TestApp::start_with(settings).await;
    for (header, expected) in
        [(None, "pt"), (Some("fr"), "pt"), (Some("*"), "pt"), (Some("es;q=x"), "pt"), (Some("en;q=0.1, de"), "en")]
    {
        let call = app.get("/v1/nothing");
        let call = if let Some(header) = header { call.header("accept-language", header) } else { call };
        assert_eq!(call.await.assert(404).header("content-language"), Some(expected), "{header:?}");
    }
}

#[tokio::test]
async fn several_lines_of_the_header_are_one_list() {
    let app = TestApp::start().await;
    let call = app.get("/v1/nothing").header("accept-language", "es;q=0.5").header("accept-language", "pt");
    assert_eq!(call.await.header("content-language"), Some("pt"));
}

#[tokio::test]
async fn what_is_refused_within_a_batch_is_told_in_the_language_too() {
    let app = TestApp::start().await;
    let batch = json!({ "events": [{ "type": "order.paid", "data": 1 }, { "type": "order.lost", "data": 1 }] });
    let answer = app.post("/v1/events/batch", batch).header("accept-language", "es").await.assert(200);
    assert_eq!(languages(&answer), (Some("es"), Some("Accept-Language")));
    assert_eq!(answer.json()["data"][1]["errors"][0]["detail"], "No existe el tipo de evento 'order.lost'");
    // Found by the store, after the events were read.
    let first = json!({ "type": "order.paid", "data": 1, "external_id": "e" });
    app.post("/v1/events", first).await.assert(202);
    let batch = json!({ "events": [{ "type": "order.paid", "data": 2, "external_id": "e" }] });
    let answer = app.post("/v1/events/batch", batch).header("accept-language", "pt").await.assert(200);
    assert_eq!(languages(&answer), (Some("pt"), Some("Accept-Language")));
    assert_eq!(
        answer.json()["data"][0]["errors"][0]["detail"],
        "Um evento com este external_id já foi publicado com outro tipo ou outros dados"
    );
}

#[tokio::test]
async fn an_answer_that_is_replayed_keeps_the_language_that_it_had() {
    let app = TestApp::start().await;
    let wrong = json!({ "url": "https://example.com", "events": ["order.lost"] });
    let conflict = json!({ "type": "order.paid", "data": 2, "external_id": "e" });
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1, "external_id": "e" })).await.assert(202);
    let mixed = json!({ "events": [conflict, { "type": "order.paid", "data": 1 }] });
    for (path, body, status) in [
        ("/v1/webhook-subscriptions", wrong, 400),
        // Kept by the store's own commit, and by the way around it.
        ("/v1/events", conflict.clone(), 409),
        ("/v1/events/batch", mixed, 200),
    ] {
        let ask = |language: &str| {
            app.post(path, body.clone()).header("idempotency-key", "once").header("accept-language", language)
        };
        let first = ask("es").await.assert(status);
        let again = ask("pt").await.assert(status);
        assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body), "{path}");
        assert_eq!(languages(&first), (Some("es"), Some("Accept-Language")), "{path}");
        assert_eq!(languages(&again), languages(&first), "{path}");
    }
}

/// What any caller may send as a header.
#[tokio::test]
async fn a_long_or_broken_header_spoils_no_answer() {
    let app = TestApp::start().await;
    for header in [",".repeat(10_000), "es-MX,".repeat(5_000), "x".repeat(20_000), "es;q=;;;,,*;".to_owned()] {
        let answer = app.get("/v1/nothing").header("accept-language", &header).await.assert(404);
        let expected = if header.starts_with("es-MX") { "es" } else { "en" };
        assert_eq!(answer.header("content-language"), Some(expected));
    }
}

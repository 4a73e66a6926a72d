//! What is answered while there is no store: the process lives, and takes no work until the store can be opened again.

use poem::http::uri::Scheme;
use poem::http::{HeaderValue, Method, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};

use super::browser::Way;
use super::edge::{REQUEST_ID, new_id};
use super::health;
use super::language::accepted;
use super::problem::{Ground, Refusal};
use super::safeguards;
use crate::clock::Clock;
use crate::domain::language::Language;

/// As long as the pause before the next try to open the store, about.
const RETRY_AFTER_SECONDS: u64 = 1;

pub struct Standby {
    pub clock: Clock,
    /// Of errors, for who asks for none that is spoken here.
    pub language: Language,
}

impl Endpoint for Standby {
    type Output = Response;

    /// Every contract's paths are answered in the form of the own API: which are spoken is of no use without a store.
    async fn call(&self, request: Request) -> Result<Response> {
        let id = new_id(self.clock.now()).to_string();
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
        let mut response = if is_reading && request.uri().path() == "/healthz" {
            health::ok().into_response()
        } else {
            let wishes = request.headers().get_all(header::ACCEPT_LANGUAGE);
            let language = accepted(wishes, self.language);
            Refusal::new(Ground::StorageUnavailable)
                .retry_after(RETRY_AFTER_SECONDS)
                .render(&id, language)
                .into_response()
        };
        if request.method() == Method::HEAD {
            response.set_body(());
        }
        response.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&id).expect("a ULID is ASCII"));
        let way = if *request.scheme() == Scheme::HTTPS { Way::Tls } else { Way::Open };
        safeguards::add(response.headers_mut(), way);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{StatusCode, Uri};
    use serde_json::Value;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::Timestamp;

    async fn answer(method: Method, path: &'static str, language: &str) -> (StatusCode, Value) {
        let clock = Clock::Manual(ManualClock::at(Timestamp::from_millis(1_000_000)));
        let standby = Standby { clock, language: Language::English };
        let request = Request::builder().method(method).uri(Uri::from_static(path)).header("accept-language", language);
        let response = standby.get_response(request.finish()).await;
        let status = response.status();
        let id = response.header("x-request-id").expect("each answer has one").to_owned();
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        let body = response.into_body().into_bytes().await.expect("a body in memory");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_server_error() && !body.is_null() {
            assert_eq!(body["errors"][0]["id"], id);
        }
        (status, body)
    }

    #[tokio::test]
    async fn without_a_store_the_process_is_alive_and_refuses_work() {
        let (status, body) = answer(Method::GET, "/healthz", "en").await;
        assert_eq!((status, &body["status"]), (StatusCode::OK, &Value::from("ok")));
        for (method, path) in [
            (Method::GET, "/readyz"),
            (Method::POST, "/healthz"),
            (Method::POST, "/v1/events"),
            (Method::GET, "/v1/webhook_endpoints"),
            (Method::GET, "/docs"),
        ] {
            let (status, body) = answer(method, path, "es").await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(body["errors"][0]["code"], "storage_unavailable", "{path}");
            assert!(body["errors"][0]["detail"].as_str().unwrap().contains("almacén"), "{body}");
        }
        assert_eq!(answer(Method::HEAD, "/readyz", "en").await, (StatusCode::SERVICE_UNAVAILABLE, Value::Null));
    }
}

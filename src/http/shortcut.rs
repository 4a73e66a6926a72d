//! The way to the publish operations past the routes: they are asked more often than all others together, and a sixth of
//! what such a call cost was being routed twice.

use std::sync::Arc;

use poem::http::Method;
use poem::{Endpoint, IntoResponse, Request, Response, Result};

use super::App;
use super::events::EventsApi;

/// What a request with another path or method gets, it gets from the routes.
pub struct Shortcut<E> {
    events: EventsApi,
    routes: E,
}

/// As in the document.
const PUBLISH: &str = "/v1/events";
const PUBLISH_BATCH: &str = "/v1/events/batch";

/// Whether a request of the own API is one of these two.
pub fn is_publish(method: &Method, path: &str) -> bool {
    method == Method::POST && [PUBLISH, PUBLISH_BATCH].contains(&path)
}

impl<E: Endpoint> Shortcut<E> {
    pub fn before(routes: E, app: Arc<App>) -> Self {
        Self { events: EventsApi { app }, routes }
    }
}

impl<E: Endpoint> Endpoint for Shortcut<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        // In boxes: the layers above would each move the future of an operation, kilobytes, through their own.
        match (request.method(), request.uri().path()) {
            (&Method::POST, PUBLISH) => Box::pin(self.events.answer_publish(request)).await,
            (&Method::POST, PUBLISH_BATCH) => Box::pin(self.events.answer_publish_batch(request)).await,
            _ => Ok(Box::pin(self.routes.call(request)).await?.into_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortcut_leads_where_the_document_says_that_the_publish_operations_are() {
        let document = crate::http::document();
        for (path, id) in [(PUBLISH, "events.publish"), (PUBLISH_BATCH, "events.publish_batch")] {
            assert_eq!(document["paths"][path]["post"]["operationId"], id);
        }
    }
}

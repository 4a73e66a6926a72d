//! `/healthz` and `/readyz`: for whoever supervises the process. Without a key.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::problem::{Ground, Refusal};
use super::reply::{Answer, Reply, Shape};
use super::value::choice;
use super::{App, Tag};

choice!(StatusName, "ok", ["ok"]);

/// Whether it does
#[derive(Serialize, Object)]
struct Health {
    /// Always `ok`; a server that cannot say so says nothing
    status: StatusName,
}

struct HealthShape;

impl Shape for HealthShape {
    const DESCRIPTION: &'static str = "It does";

    fn schema_ref() -> Option<poem_openapi::registry::MetaSchemaRef> {
        Some(<Health as poem_openapi::types::Type>::schema_ref())
    }

    fn register(registry: &mut poem_openapi::registry::Registry) {
        <Health as poem_openapi::types::Type>::register(registry);
    }
}

pub struct HealthApi {
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Instance")]
impl HealthApi {
    /// Does the process answer?
    #[oai(path = "/healthz", method = "get", operation_id = "health.live")]
    async fn live(&self) -> Result<Answer<HealthShape, 200>, Refusal> {
        Ok(ok().into())
    }

    /// Does the server take work?
    ///
    /// 503 while it shuts down.
    #[oai(path = "/readyz", method = "get", operation_id = "health.ready")]
    async fn ready(&self) -> Result<Answer<HealthShape, 200>, Refusal> {
        if !self.app.settings.takes_work() {
            return Err(Ground::ShuttingDown.into());
        }
        Ok(ok().into())
    }
}

pub(super) fn ok() -> Reply {
    Reply::json(StatusCode::OK, &Health { status: StatusName("ok") })
}

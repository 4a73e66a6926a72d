//! `/v1/webhook-secret/rotate`: the secret of an organization, which is a tenant.

use poem::http::StatusCode;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::AgentMessageTag;
use super::wire::{Bare, Described, Seconds};
use crate::domain::profile::Profile;
use crate::domain::tenant::SECRET_OVERLAP_DEFAULT;
use crate::http::auth::{Caller, OfTenant, scope};
use crate::http::body::{Body, Nothing};
use crate::http::problem::{Ground, Refusal};
use crate::http::reply::{Answer, Reply};
use crate::http::tenants;

/// The new secret of the organization
#[derive(Debug, Serialize, Object)]
#[oai(rename = "WebhookSecret")]
struct SecretView {
    /// 32 bytes in base64: only this answer shows it
    webhook_secret: String,
    rotated_at: Seconds,
    /// Until when a receiver should accept the one before: 5 minutes. Deliveries carry the signature of the current one
    previous_valid_until: Seconds,
}

impl Described for SecretView {
    const ONE: &'static str = "The secret was replaced";
    const LIST: &'static str = "";
}

pub struct SecretApi;

#[OpenApi(prefix_path = "/v1/webhook-secret", tag = "AgentMessageTag::Secret")]
impl SecretApi {
    /// Replace the secret of the organization
    ///
    /// It signs for the endpoints that share it: subscriptions with `signing: tenant`. The others have secrets of their own.
    // GUESS: which calls it signs; one that is made here has its own secret.
    #[oai(path = "/rotate", method = "post", operation_id = "webhook_secret.rotate")]
    async fn rotate(
        &self,
        caller: Caller<OfTenant<scope::TenantsWrite>>,
        body: Body<Nothing>,
    ) -> Result<Answer<Bare<SecretView>, 200>, Refusal> {
        body.read()?.1.finish()?;
        let rotated_at = caller.visit.app.clock.now();
        let tenant = tenants::rotate_secret(&caller, caller.tenant().id, SECRET_OVERLAP_DEFAULT, None).await?;
        let secret = tenant.secret.ok_or(Ground::Internal)?;
        let view = SecretView {
            webhook_secret: Profile::AgentMessage.show_secret(&secret.secret),
            rotated_at: Seconds(rotated_at),
            previous_valid_until: Seconds(rotated_at.plus(SECRET_OVERLAP_DEFAULT)),
        };
        Ok(Reply::json(StatusCode::OK, &view).into())
    }
}

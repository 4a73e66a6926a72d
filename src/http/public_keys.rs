//! `/.well-known/webhook-keys/{subscription}`: what receivers verify `v1a` signatures with. Without a key: a public key is no
//! secret, and who has the id of a subscription learns nothing else about it.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::problem::Refusal;
use super::reply::{Answer, Reply, Shape};
use super::value::{Nullable, Time, choice};
use super::{App, Tag};
use crate::domain::id::SubscriptionId;
use crate::domain::key_pair::KeyPair;
use crate::domain::time::Timestamp;

const THING: &str = "Public key";

choice!(AlgorithmName, "key_algorithm", ["ed25519"]);

/// The public keys of a subscription
#[derive(Serialize, Object)]
struct PublicKeys {
    /// The current one first; the one that it replaced stays here while it signs, too
    keys: Vec<PublicKeyView>,
}

/// Verifies the `v1a` signatures of deliveries
#[derive(Serialize, Object)]
#[oai(rename = "PublicKey")]
struct PublicKeyView {
    /// `whpk_` and 32 bytes in base64
    public_key: String,
    algorithm: AlgorithmName,
    /// Until when a replaced one signs; null: it is the current one
    expires_at: Nullable<Time>,
}

struct PublicKeysShape;

impl Shape for PublicKeysShape {
    const DESCRIPTION: &'static str = "One key, or two while a replaced one still signs";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(PublicKeys::schema_ref())
    }

    fn register(registry: &mut Registry) {
        <PublicKeys as Type>::register(registry);
    }
}

pub struct PublicKeysApi {
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Subscriptions")]
impl PublicKeysApi {
    /// Get the public keys of a subscription
    ///
    /// For its receivers, without an API key. 404 when it has no key pair. A receiver keeps a list of the keys that it trusts, and
    /// takes none from a header of a delivery.
    #[oai(path = "/.well-known/webhook-keys/:id", method = "get", operation_id = "public_keys.get")]
    async fn get(&self, id: Path<String>) -> Result<Answer<PublicKeysShape, 200>, Refusal> {
        let catalogue = self.app.store.catalogue();
        let subscription = id.parse::<SubscriptionId>().ok().and_then(|id| catalogue.subscription(id));
        let pairs = subscription.and_then(|subscription| subscription.key_pairs.as_deref());
        let pairs = pairs.ok_or_else(|| Refusal::not_found(THING, id.as_str()))?;
        let view = |pair: &KeyPair, expires_at: Option<Timestamp>| PublicKeyView {
            public_key: pair.public().to_string(),
            algorithm: AlgorithmName("ed25519"),
            expires_at: expires_at.map(Time).into(),
        };
        let previous = pairs.previous_at(self.app.clock.now());
        let previous = previous.map(|previous| view(&previous.pair, Some(previous.expires_at)));
        let keys = std::iter::once(view(&pairs.current, None)).chain(previous).collect();
        Ok(Reply::json(StatusCode::OK, &PublicKeys { keys }).into())
    }
}

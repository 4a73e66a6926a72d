//! Makes one request: the profile's body and headers, signed at the moment of sending, and what came of it.

use super::outgoing::{Body, Outgoing};
use crate::clock::Clock;
use crate::domain::delivery::{Attempt, Trigger};
use crate::domain::header::CustomHeaders;
use crate::domain::id::{AttemptId, DeliveryId};
use crate::domain::profile::{Headers, Message, Sending};
use crate::domain::secret::Secret;
use crate::domain::subscription::Subscription;
use crate::domain::tenant::Tenant;
use crate::net;

/// Signs and sends. Clones share the connections.
#[derive(Clone)]
pub struct Sender {
    pub net: net::Client,
    pub clock: Clock,
}

/// What a request is for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    pub delivery: DeliveryId,
    /// From 1.
    pub number: u16,
    pub trigger: Trigger,
}

impl Sender {
    pub async fn send(
        &self,
        purpose: Purpose,
        tenant: &Tenant,
        subscription: &Subscription,
        event: &Outgoing,
    ) -> Attempt {
        let started_at = self.clock.now();
        let message = Message { event: &event.event, data: &event.data, tenant };
        let signer = subscription.signer(tenant);
        let secrets: Vec<&Secret> = signer.secrets(started_at).collect();
        let Body { bytes: body, sha256: request_body_sha256 } = event.body(tenant, subscription);
        let Purpose { delivery, number, trigger } = purpose;
        let secret_version = signer.version;
        let sending = Sending { subscription, delivery, number, secrets: &secrets, secret_version, at: started_at };
        let headers = subscription.profile.headers(&message, &body, &sending);
        let secret_headers = beside(&headers, &subscription.headers);
        let request_body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let exchange = self
            .net
            .send(net::Request {
                url: subscription.url.clone(),
                headers,
                secret_headers,
                body,
                timeout: subscription.timeout(),
                identity: subscription.id,
                subject: net::Subject {
                    event: event.event.id,
                    event_type: event.event.event_type.clone(),
                    delivery,
                    attempt: number,
                },
            })
            .await;
        Attempt {
            id: AttemptId::from_u128(0),
            delivery,
            number,
            trigger,
            started_at,
            outcome: exchange.outcome,
            phases: exchange.phases,
            request_headers: exchange.request_headers,
            request_body_sha256,
            request_body_bytes,
            secret_version,
            response: exchange.response,
            remote_address: exchange.remote_address,
        }
    }
}

/// The custom headers that go out beside the `profile`'s. A name may have been taken since it was free, by another
/// profile or by the tenant's brand, and a receiver has to find one signature.
fn beside(profile: &Headers, custom: &CustomHeaders) -> CustomHeaders {
    let mut custom = custom.clone();
    custom.retain(|name, _| profile.iter().all(|(taken, _)| taken != name.as_str()));
    custom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_header_gives_way_to_the_profiles_of_the_same_name() {
        let profile: Headers = vec![("x-acme-signature".into(), "t=1,v1=ab".to_owned())];
        let header = |name: &str| (name.parse().unwrap(), "1".parse().unwrap());
        let custom = [header("X-Acme-Signature"), header("x-acme-shop"), header("authorization")].into();
        let sent: Vec<String> = beside(&profile, &custom).keys().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(sent, ["authorization", "x-acme-shop"]);
    }
}

//! One event on its way to one subscription, for tests.

use super::super::event::Event;
use super::super::header::CustomHeaders;
use super::super::id::{DeliveryId, EventId, SubscriptionId, TenantId};
use super::super::public_id::PublicIds;
use super::super::secret::Secret;
use super::super::subscription::{DeliveryOrder, Envelope, Owner, Signing, Subscription};
use super::super::target::TargetUrl;
use super::super::tenant::Tenant;
use super::super::time::Timestamp;
use super::{Message, Profile, Sending};

pub(in crate::domain) struct Fixture {
    pub event: Event,
    pub tenant: Tenant,
    pub subscription: Subscription,
}

/// 2026-05-12T19:00:00.250Z
const OCCURRED_AT: Timestamp = Timestamp::from_millis(1_778_612_400_250);
/// 2026-05-12T19:00:00.900Z
const SENT_AT: Timestamp = Timestamp::from_millis(1_778_612_400_900);

impl Default for Fixture {
    fn default() -> Self {
        Self {
            event: Event {
                id: EventId::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881),
                tenant: TenantId::DEFAULT,
                event_type: "order.paid".parse().unwrap(),
                external_id: None,
                occurred_at: OCCURRED_AT,
                created_at: OCCURRED_AT,
                deliveries: 1,
                data_bytes: 18,
                channels: Vec::new(),
                deliver_at: None,
                replay_of: None,
            },
            tenant: Tenant {
                id: TenantId::DEFAULT,
                external_id: None,
                name: "Acme".to_owned(),
                profile: Profile::Standard,
                header_prefix: None,
                secret: None,
                metadata: Default::default(),
                subscriptions_max: 1,
                retention: Default::default(),
                rate_limit: None,
                revision: 1,
                created_at: OCCURRED_AT,
                updated_at: OCCURRED_AT,
            },
            subscription: Subscription {
                id: SubscriptionId::from_u128(5),
                tenant: TenantId::DEFAULT,
                url: TargetUrl::from_stored("https://example.com/").unwrap(),
                events: vec!["*".parse().unwrap()],
                description: None,
                is_active: true,
                disabled_reason: None,
                max_in_flight: 1,
                timeout_seconds: 1,
                rate_limit: None,
                retry_schedule: None,
                ordering: DeliveryOrder::None,
                circuit_breaker: false,
                headers: CustomHeaders::new(),
                channels: Vec::new(),
                public_ids: PublicIds::default(),
                owner: Owner::Tenant,
                profile: Profile::Standard,
                envelope: Envelope::Profile,
                api_version: None,
                metadata: Default::default(),
                signing: Signing::Subscription,
                secret: Secret::from_bytes(vec![7; 32]).unwrap(),
                secret_version: 3,
                previous_secret: None,
                key_pairs: None,
                revision: 1,
                created_at: OCCURRED_AT,
                updated_at: OCCURRED_AT,
            },
        }
    }
}

impl Fixture {
    pub fn with_message(&self, mut test: impl FnMut(&Message<'_>, &Sending<'_>)) {
        let Self { event, tenant, subscription } = self;
        let message = Message { event, data: br#"{ "total" : 1.50 }"#, tenant };
        let signer = subscription.signer(tenant);
        let secrets: Vec<&Secret> = signer.secrets(SENT_AT).collect();
        let sending = Sending {
            subscription,
            delivery: DeliveryId::from_u128(6),
            number: 1,
            secrets: &secrets,
            secret_version: signer.version,
            at: SENT_AT,
        };
        test(&message, &sending);
    }
}

//! A subscription: a URL, the event types it asks for, and the secret that signs what it gets.

use std::num::NonZeroU16;
use std::time::Duration;

use super::channel::Channel;
use super::event_type::{EventPattern, EventTypeName};
use super::header::CustomHeaders;
use super::id::{KeyId, SubscriptionId, TenantId};
use super::key_pair::{KeyPair, KeyPairs, PreviousKeyPair};
use super::profile::{ApiVersion, Profile};
use super::public_id::{MareaEndpointId, PublicIds};
use super::restriction::Restriction;
use super::retry::Schedule;
use super::secret::{PreviousSecret, Secret, Signer};
use super::target::TargetUrl;
use super::tenant::{Metadata, Tenant, TenantSecret};
use super::time::Timestamp;
use super::uuid::Uuid;

pub const EVENTS_MAX: usize = 50;
pub const DESCRIPTION_LENGTH_MAX: usize = 256;
pub const MAX_IN_FLIGHT_DEFAULT: u8 = 10;
pub const MAX_IN_FLIGHT_CEILING: u8 = 100;
/// Deliveries per second that can be set.
pub const RATE_LIMIT_CEILING: u16 = 10_000;
pub const TIMEOUT_SECONDS_DEFAULT: u8 = 15;
pub const TIMEOUT_SECONDS_CEILING: u8 = 30;
/// The longest time for which a rotated secret may go on signing beside the new one: 7 days.
pub const OVERLAP_SECONDS_MAX: u32 = 604_800;

/// Configuration only: what moves with each delivery is in [`super::health::Health`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub tenant: TenantId,
    pub url: TargetUrl,
    pub events: Vec<EventPattern>,
    pub description: Option<String>,
    pub is_active: bool,
    /// Set when Waxwing, not a person, made it inactive.
    pub disabled_reason: Option<DisabledReason>,
    pub max_in_flight: u8,
    pub timeout_seconds: u8,
    /// Deliveries per second, up to [`RATE_LIMIT_CEILING`].
    pub rate_limit: Option<NonZeroU16>,
    /// Its own, instead of the profile's.
    pub retry_schedule: Option<Schedule>,
    pub ordering: DeliveryOrder,
    /// Whether its deliveries are held while its receiver fails, and it is disabled when that goes on (contract 5.6).
    pub circuit_breaker: bool,
    /// Sent with every delivery. They belong to the URL's host: another host does not get to see them.
    pub headers: CustomHeaders,
    /// None: takes all events. Some: only events that share at least one. Each once.
    pub channels: Vec<Channel>,
    /// Fixed at creation.
    pub public_ids: PublicIds,
    /// Fixed at creation.
    pub owner: Owner,
    /// Fixed at creation; changes only together with the secret.
    pub profile: Profile,
    pub envelope: Envelope,
    /// One of its profile's; none when that has none. Fixed at creation; another profile brings its own.
    pub api_version: Option<ApiVersion>,
    pub metadata: Metadata,
    /// Whose secret signs. Its own one stays in any case.
    pub signing: Signing,
    pub secret: Secret,
    pub secret_version: u32,
    pub previous_secret: Option<PreviousSecret>,
    /// Signs beside the secret. In a box, so that a subscription without one has no room for it.
    pub key_pairs: Option<Box<KeyPairs>>,
    /// Counts changes of the configuration; it is the ETag.
    pub revision: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Subscription {
    pub fn wants(&self, event_type: &EventTypeName) -> bool {
        self.events.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether it takes events of these channels.
    pub fn listens_to(&self, channels: &[Channel]) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|channel| channels.contains(channel))
    }

    /// Whether the restriction of the key that made it, if there is one, admits the event.
    pub fn may_have(&self, event_type: &EventTypeName, channels: &[Channel]) -> bool {
        self.owner.restriction().is_none_or(|restriction| restriction.admits(event_type, channels))
    }

    /// What it is called in Marea's API.
    pub fn marea_id(&self) -> MareaEndpointId {
        self.public_ids.marea_of(self.id)
    }

    /// What it is called in AgentMessage's API.
    pub fn agentmessage_id(&self) -> Uuid {
        self.public_ids.agentmessage_of(self.id)
    }

    /// Whether a merchant's key made it.
    pub fn is_of_a_merchant(&self) -> bool {
        self.owner.restriction().is_some_and(Restriction::is_of_a_merchant)
    }

    /// When a failed delivery is tried again.
    pub fn schedule(&self) -> &Schedule {
        self.retry_schedule.as_ref().unwrap_or_else(|| self.profile.schedule())
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }

    /// `pair` signs from now on, and the last one beside it for as long as `overlap`.
    pub fn replace_key_pair(&mut self, pair: KeyPair, overlap: Duration, now: Timestamp) {
        let last = self.key_pairs.take().filter(|_| !overlap.is_zero());
        let previous = last.map(|last| PreviousKeyPair { pair: last.current, expires_at: now.plus(overlap) });
        self.key_pairs = Some(Box::new(KeyPairs { current: pair, previous }));
    }

    /// What signs its deliveries. A `tenant` that is not its own signs nothing: its own was deleted meanwhile.
    pub fn signer<'a>(&'a self, tenant: &'a Tenant) -> Signer<'a> {
        let own =
            Signer { secret: &self.secret, version: self.secret_version, previous: self.previous_secret.as_ref() };
        match self.signing {
            Signing::Subscription => own,
            Signing::Tenant if tenant.id == self.tenant => tenant.secret.as_ref().map_or(own, TenantSecret::signer),
            Signing::Tenant => own,
        }
    }
}

/// Whose secret signs deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signing {
    /// The subscription's own.
    #[default]
    Subscription,
    /// The one that all such subscriptions of the tenant share. It is made with the first of them.
    Tenant,
}

impl Signing {
    pub const NAMES: [&str; 2] = ["subscription", "tenant"];

    pub fn name(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Tenant => "tenant",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Subscription, Self::Tenant].into_iter().find(|signing| signing.name() == name)
    }
}

/// Who made it, as far as that has consequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// An unrestricted key, or the program itself.
    Tenant,
    /// A restricted key, which sees it, with what it was restricted to. A copy, so that it holds also when the key is
    /// gone: a key's restriction never changes.
    Key { id: KeyId, restriction: Box<Restriction> },
}

impl Owner {
    pub const NAMES: [&str; 2] = ["tenant", "key"];

    pub fn name(&self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key { .. } => "key",
        }
    }

    pub fn key(&self) -> Option<KeyId> {
        match self {
            Self::Tenant => None,
            Self::Key { id, restriction: _ } => Some(*id),
        }
    }

    pub fn restriction(&self) -> Option<&Restriction> {
        match self {
            Self::Tenant => None,
            Self::Key { id: _, restriction } => Some(restriction),
        }
    }
}

/// What the body of a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// `data` inside the profile's envelope.
    #[default]
    Profile,
    /// The bytes of `data` alone.
    Raw,
}

impl Envelope {
    pub const NAMES: [&str; 2] = ["profile", "raw"];

    pub fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Raw => "raw",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Profile, Self::Raw].into_iter().find(|envelope| envelope.name() == name)
    }
}

/// In what order deliveries are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryOrder {
    /// As they can be made: one that waits for its retry holds nothing up.
    #[default]
    None,
    /// One at a time in the order of ids: the next one waits until the first is final (contract 5.8).
    Fifo,
}

impl DeliveryOrder {
    pub const NAMES: [&str; 2] = ["none", "fifo"];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fifo => "fifo",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Fifo].into_iter().find(|ordering| ordering.name() == name)
    }
}

/// Why Waxwing stopped delivering to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledReason {
    /// The receiver answered 410.
    Gone,
    /// It only failed for [`super::health::DISABLE_AFTER`].
    Failing,
}

impl DisabledReason {
    pub const ALL: [Self; 2] = [Self::Gone, Self::Failing];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::fixture::Fixture;
    use super::*;

    #[test]
    fn a_tenants_secret_signs_for_its_own_subscriptions_that_ask_for_it_and_no_others() {
        let Fixture { event: _, mut tenant, mut subscription } = Fixture::default();
        let [own, shared] = [1, 2].map(|byte| Secret::from_bytes(vec![byte; 32]).unwrap());
        subscription.secret = own.clone();
        tenant.secret = Some(TenantSecret::first(shared.clone()));
        let elsewhere = TenantId::from_u128(9);
        for (signing, id, expected) in [
            (Signing::Subscription, tenant.id, &own),
            (Signing::Tenant, tenant.id, &shared),
            (Signing::Tenant, elsewhere, &own),
        ] {
            subscription.signing = signing;
            let tenant = Tenant { id, ..tenant.clone() };
            assert_eq!(subscription.signer(&tenant).secret, expected, "{signing:?} {id}");
        }
    }
}

//! Whose things a caller sees: all of a tenant, or only what belongs to the subscriptions that a restricted key made.

use super::commit::Store;
use super::schema::Subscriptions;
use super::tables::Read;
use super::{Catalogue, StoreError, events};
use crate::domain::delivery::Delivery;
use crate::domain::event::Event;
use crate::domain::id::{EventId, KeyId, SubscriptionId, TenantId};
use crate::domain::subscription::Subscription;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub tenant: TenantId,
    /// The restricted key; none: all of the tenant.
    pub key: Option<KeyId>,
}

impl From<TenantId> for Reach {
    fn from(tenant: TenantId) -> Self {
        Self { tenant, key: None }
    }
}

/// Whose rows a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of every tenant that is there.
    Everyone,
    Of(Reach),
}

impl<R: Into<Reach>> From<R> for Whose {
    fn from(reach: R) -> Self {
        Self::Of(reach.into())
    }
}

impl Whose {
    /// Whether a tenant's rows can be among them.
    pub(super) fn may_hold_of(self, tenant: TenantId) -> bool {
        match self {
            Self::Everyone => true,
            Self::Of(reach) => reach.tenant == tenant,
        }
    }

    pub fn holds(self, subscription: &Subscription) -> bool {
        match self {
            Self::Everyone => true,
            Self::Of(Reach { tenant, key }) => {
                subscription.tenant == tenant && (key.is_none() || subscription.owner.key() == key)
            }
        }
    }

    /// What a row of this tenant is looked at with; none when the list does not hold it.
    pub(super) fn reach_of(self, catalogue: &Catalogue, tenant: TenantId) -> Option<Reach> {
        match self {
            Self::Everyone => catalogue.tenant(tenant).map(|_| tenant.into()),
            Self::Of(reach) => (reach.tenant == tenant).then_some(reach),
        }
    }
}

impl Store {
    /// Whether the delivery is within the reach. Reads the disk when its subscription was deleted.
    pub fn reaches(&self, reach: Reach, delivery: &Delivery) -> Result<bool, StoreError> {
        Ok(delivery.tenant == reach.tenant && self.reaches_subscription(reach, delivery.subscription)?)
    }

    /// Whether what belongs to this subscription of the tenant is within the reach, also when it was deleted.
    pub fn reaches_subscription(&self, reach: Reach, subscription: SubscriptionId) -> Result<bool, StoreError> {
        has(&self.shared.snapshot()?, &self.catalogue(), reach, subscription)
    }

    /// An event with its deliveries, as one sees it who has this reach: none when it is outside. For a restricted key it
    /// has only the deliveries to its own subscriptions.
    pub fn event_within(&self, reach: Reach, id: EventId) -> Result<Option<(Event, Vec<Delivery>)>, StoreError> {
        self.event_as_seen(reach.into(), id)
    }

    /// The same, as a list shows it.
    pub fn event_as_seen(&self, whose: Whose, id: EventId) -> Result<Option<(Event, Vec<Delivery>)>, StoreError> {
        let (catalogue, event) = (self.catalogue(), self.event(id)?);
        let seen = event.and_then(|event| Some((whose.reach_of(&catalogue, event.tenant)?, event)));
        let Some((reach, event)) = seen else { return Ok(None) };
        cut(&self.shared.snapshot()?, &catalogue, reach, event)
    }
}

/// Whether what belongs to this subscription of the tenant is within the reach. The row of a deleted one stays while
/// its deliveries are kept.
pub(super) fn has(
    tables: &impl Read,
    catalogue: &Catalogue,
    reach: Reach,
    subscription: SubscriptionId,
) -> Result<bool, StoreError> {
    let Some(key) = reach.key else { return Ok(true) };
    let owner = match catalogue.subscription(subscription) {
        Some(subscription) => subscription.owner.key(),
        None => tables.get::<Subscriptions>(&subscription)?.and_then(|record| record.owner_key()),
    };
    Ok(owner == Some(key))
}

/// The event without the deliveries that are outside; none when all are.
pub(super) fn cut(
    tables: &impl Read,
    catalogue: &Catalogue,
    reach: Reach,
    event: Event,
) -> Result<Option<(Event, Vec<Delivery>)>, StoreError> {
    let mut deliveries = events::deliveries_as_seen(tables, catalogue, &event)?;
    if reach.key.is_none() {
        return Ok(Some((event, deliveries)));
    }
    let mut own = Vec::with_capacity(deliveries.len());
    for delivery in deliveries.drain(..) {
        if has(tables, catalogue, reach, delivery.subscription)? {
            own.push(delivery);
        }
    }
    let event = Event { deliveries: u32::try_from(own.len()).unwrap_or(u32::MAX), ..event };
    Ok((!own.is_empty()).then_some((event, own)))
}

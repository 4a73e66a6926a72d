//! Attempts by themselves: the feed of all that were made for a tenant, and one by its UUID.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalogue::Catalogue;
use super::commit::Store;
use super::pages::{Ids, id_bounds, is_between};
use super::postings::{self, Direction};
use super::schema::{Attempts, Deliveries, DeliveriesBySubscription, DeliveriesByTenant, Key, Subscriptions};
use super::tables::{Read, Snapshot, damaged};
use super::{AttemptFilter, ROWS_WALKED_MAX, Reach, StoreError, deliveries, reach};
use crate::domain::attempt_uuid::AttemptUuid;
use crate::domain::delivery::{Attempt, Delivery, Fate};
use crate::domain::id::{DeliveryId, SubscriptionId};
use crate::domain::subscription::Subscription;

/// An attempt with what it belongs to.
#[derive(Debug, Clone)]
pub struct AttemptMade {
    pub attempt: Attempt,
    /// As it stands now.
    pub delivery: Delivery,
    /// As it is now, or was when it was deleted.
    pub subscription: Arc<Subscription>,
}

impl AttemptMade {
    pub fn uuid(&self) -> AttemptUuid {
        AttemptUuid::of(self.delivery.id, self.attempt.number)
    }

    pub fn fate(&self) -> Fate {
        Fate::of(&self.attempt, &self.delivery)
    }
}

/// Where a walk of the feed goes on: with this attempt of this delivery if there is such a one, then with what is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptPlace {
    pub delivery: DeliveryId,
    pub number: u16,
}

#[derive(Debug, Clone)]
pub struct AttemptPage {
    pub rows: Vec<AttemptMade>,
    /// Where the next page goes on; none at the end.
    pub next: Option<AttemptPlace>,
}

impl Store {
    /// The newest delivery first, and of one delivery the latest attempt first. For one page at most
    /// [`ROWS_WALKED_MAX`] deliveries and attempts are looked at, so it can come out short and have a next one all the
    /// same. Reads the disk.
    pub fn attempts_made(
        &self,
        reach: impl Into<Reach>,
        filter: &AttemptFilter,
        from: Option<AttemptPlace>,
        size: usize,
    ) -> Result<AttemptPage, StoreError> {
        let reach: Reach = reach.into();
        let (snapshot, catalogue) = (self.shared.snapshot()?, self.catalogue());
        let AttemptFilter { subscription, event_type, fate, since, until, http_status_min, http_status_max } = filter;
        let is_wanted_delivery = |delivery: &Delivery| -> Result<bool, StoreError> {
            Ok(delivery.tenant == reach.tenant
                && subscription.is_none_or(|wanted| delivery.subscription == wanted)
                && event_type.as_ref().is_none_or(|wanted| delivery.event_type == *wanted)
                && reach::has(&snapshot, &catalogue, reach, delivery.subscription)?)
        };
        let has_wanted_status = |attempt: &Attempt| {
            let status = attempt.response.as_ref().map(|response| response.status);
            http_status_min.is_none_or(|min| status.is_some_and(|status| status >= min))
                && http_status_max.is_none_or(|max| status.is_some_and(|status| status <= max))
        };
        // No attempt is made before its delivery.
        let (low, high) = id_bounds(&snapshot, None, *until)?;
        let high = from.map_or(high, |place| high.min(place.delivery.as_u128()));
        let mut ids: Ids<'_> = match subscription {
            Some(id) => postings::walk::<DeliveriesBySubscription>(&snapshot, *id, (low, high), Direction::NewerFirst)?,
            None => postings::walk::<DeliveriesByTenant>(&snapshot, reach.tenant, (low, high), Direction::NewerFirst)?,
        };
        let mut owners = Owners::new(self, &snapshot, &catalogue);
        let (mut rows, mut walked) = (Vec::new(), 0);
        while let Some(id) = ids.next().transpose()? {
            let id = DeliveryId::from_u128(id);
            if rows.len() == size || walked >= ROWS_WALKED_MAX {
                return Ok(AttemptPage { rows, next: Some(AttemptPlace { delivery: id, number: u16::MAX }) });
            }
            walked += 1;
            let Some(record) = snapshot.get::<Deliveries>(&id)? else { continue };
            let delivery = deliveries::present(deliveries::domain(record, id)?, &catalogue);
            if !is_wanted_delivery(&delivery)? {
                continue;
            }
            let last = from.filter(|from| from.delivery == id).map_or(u16::MAX, |from| from.number);
            for row in snapshot.scan::<Attempts>((id, 0)..=(id, last))?.rev() {
                let ((_, number), record) = row?;
                if rows.len() == size || walked >= ROWS_WALKED_MAX {
                    return Ok(AttemptPage { rows, next: Some(AttemptPlace { delivery: id, number }) });
                }
                walked += 1;
                let attempt = record.into_domain(id, number);
                let is_wanted = is_between(attempt.started_at, *since, *until)
                    && has_wanted_status(&attempt)
                    && fate.is_none_or(|wanted| Fate::of(&attempt, &delivery) == wanted);
                if is_wanted && let Some(subscription) = owners.find(delivery.subscription)? {
                    rows.push(AttemptMade { attempt, delivery: delivery.clone(), subscription });
                }
            }
        }
        Ok(AttemptPage { rows, next: None })
    }

    /// None when it is outside of the reach, or retention removed it. Reads the disk.
    pub fn attempt_made(&self, reach: impl Into<Reach>, uuid: AttemptUuid) -> Result<Option<AttemptMade>, StoreError> {
        let (snapshot, catalogue) = (self.shared.snapshot()?, self.catalogue());
        let Some(delivery) = find(&snapshot, &catalogue, reach.into(), uuid)? else { return Ok(None) };
        let key = (delivery.id, uuid.number());
        let Some(record) = snapshot.get::<Attempts>(&key)? else { return Ok(None) };
        let attempt = record.into_domain(delivery.id, uuid.number());
        let subscription = Owners::new(self, &snapshot, &catalogue).find(delivery.subscription)?;
        Ok(subscription.map(|subscription| AttemptMade { attempt, delivery, subscription }))
    }

    /// The delivery that the attempt was made for, also when retention removed the attempt. None when it is outside of
    /// the reach, or there was no such attempt. Reads the disk.
    pub fn delivery_of_attempt(
        &self,
        reach: impl Into<Reach>,
        uuid: AttemptUuid,
    ) -> Result<Option<Delivery>, StoreError> {
        find(&self.shared.snapshot()?, &self.catalogue(), reach.into(), uuid)
    }
}

fn find(
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    reach: Reach,
    uuid: AttemptUuid,
) -> Result<Option<Delivery>, StoreError> {
    let Some((id, record)) = snapshot.scan::<Deliveries>(uuid.deliveries())?.next().transpose()? else {
        return Ok(None);
    };
    let delivery = deliveries::present(deliveries::domain(record, id)?, catalogue);
    let is_found = delivery.tenant == reach.tenant
        && uuid.number() <= delivery.attempts
        && reach::has(snapshot, catalogue, reach, delivery.subscription)?;
    Ok(is_found.then_some(delivery))
}

/// The subscriptions of deliveries, each looked up once: also deleted ones, whose rows stay while deliveries name them.
struct Owners<'a> {
    store: &'a Store,
    snapshot: &'a Snapshot,
    catalogue: &'a Catalogue,
    deleted: HashMap<SubscriptionId, Option<Arc<Subscription>>>,
}

impl<'a> Owners<'a> {
    fn new(store: &'a Store, snapshot: &'a Snapshot, catalogue: &'a Catalogue) -> Self {
        Self { store, snapshot, catalogue, deleted: HashMap::new() }
    }

    fn find(&mut self, id: SubscriptionId) -> Result<Option<Arc<Subscription>>, StoreError> {
        if let Some(known) = self.catalogue.subscription(id) {
            return Ok(Some(known.clone()));
        }
        if let Some(known) = self.deleted.get(&id) {
            return Ok(known.clone());
        }
        let read = match self.snapshot.get::<Subscriptions>(&id)? {
            None => None,
            Some(record) => {
                let subscription = record.to_domain(id, &self.store.shared.crypt);
                Some(Arc::new(subscription.ok_or_else(|| damaged::<Subscriptions>(&id.to_key()))?))
            }
        };
        self.deleted.insert(id, read.clone());
        Ok(read)
    }
}

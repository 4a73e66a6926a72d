//! Subscriptions: made, changed, deleted; and how they fare.

use super::commit::{Store, Transaction};
use super::record::SubscriptionRecord;
use super::schema::{Holder, Subscriptions};
use super::tables::Read;
use super::{Change, Edit, Remember, StoreError};
use crate::domain::health::Health;
use crate::domain::id::SubscriptionId;
use crate::domain::obstacle::Limited;
use crate::domain::operational::{Announcement, What};
use crate::domain::stats::Scope;
use crate::domain::subscription::{Signing, Subscription};

/// About what a configuration record writes.
pub(super) const CONFIGURATION_BYTES: usize = 4096;

impl Store {
    /// `subscription.id`, `revision` and times are assigned. When its tenant's secret signs and there is none yet, that is
    /// made with it. Fails with `LimitExceeded`, `NotFound` (tenant), `AlreadyExists` (another subscription of the tenant has
    /// one of the public ids).
    pub async fn create_subscription(
        &self,
        subscription: Subscription,
        remember: Option<Remember<Subscription>>,
    ) -> Result<Subscription, StoreError> {
        self.create_subscription_within(u32::MAX, subscription, remember).await
    }

    /// The same, where a contract has a cap of its own beside the tenant's: so many subscriptions of the tenant at most.
    pub async fn create_subscription_within(
        &self,
        subscriptions_max: u32,
        subscription: Subscription,
        remember: Option<Remember<Subscription>>,
    ) -> Result<Subscription, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let (id, now) = (SubscriptionId::from_u128(transaction.next_id()), transaction.now);
            transaction.admit(&subscription, id, subscriptions_max)?;
            let subscription = Subscription { id, revision: 1, created_at: now, updated_at: now, ..subscription };
            transaction.put_subscription(&subscription)?;
            transaction.remember(remember, &subscription)?;
            Ok(subscription)
        })
        .await
    }

    /// Whether [`Store::create_subscription`] would make it now. Writes nothing.
    pub async fn try_subscription(&self, subscription: Subscription) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            // The ids that follow from an id of ours are nobody else's.
            transaction.admit(&subscription, subscription.id, u32::MAX)
        })
        .await
    }

    /// Applies `change`; when it changed anything, `revision` and `updated_at` move. Setting `is_active` from false
    /// to true clears `disabled_reason` and resets the health counters. A changed secret removes the stored answers
    /// that show the old one. Id, tenant, public ids, owner and `created_at` cannot be changed.
    pub async fn update_subscription(
        &self,
        id: SubscriptionId,
        change: Edit<Subscription>,
        remember: Option<Remember<Subscription>>,
    ) -> Result<Subscription, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.with_catalogue(|catalogue| catalogue.subscription(id).cloned());
            let known = known.ok_or(StoreError::NotFound)?;
            let mut changed = (*known).clone();
            change(&mut changed)?;
            let Subscription { id, tenant, public_ids, created_at, revision, updated_at, .. } = *known;
            let owner = known.owner.clone();
            changed = Subscription { id, tenant, public_ids, owner, created_at, revision, updated_at, ..changed };
            let is_enabled_again = changed.is_active && !known.is_active;
            // Another receiver has nothing to do with how the last one fared.
            let starts_anew = is_enabled_again || changed.url != known.url;
            if is_enabled_again {
                changed.disabled_reason = None;
            }
            if changed != *known {
                changed.revision = known.revision + 1;
                changed.updated_at = transaction.now;
                transaction.put_subscription(&changed)?;
            }
            if starts_anew {
                let health = transaction.health(id).reset();
                transaction.put_health(id, health)?;
                transaction.changed(Change::Lifted(id));
            }
            if changed.secret != known.secret {
                transaction.forget_secrets(Holder::Subscription(id))?;
            }
            transaction.remember(remember, &changed)?;
            Ok(changed)
        })
        .await
    }

    /// Pauses what is only received while somebody listens: nobody does when the server begins.
    pub async fn pause_listening(&self) -> Result<(), StoreError> {
        let is_meant = |subscription: &Subscription| subscription.is_active && subscription.url.is_listener();
        let catalogue = self.catalogue();
        if !catalogue.tenants().flat_map(|entry| entry.subscriptions()).any(|known| is_meant(known)) {
            return Ok(());
        }
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let all = transaction.with_catalogue(|catalogue| {
                let all = catalogue.tenants().flat_map(|entry| entry.subscriptions());
                all.filter(|known| is_meant(known)).cloned().collect::<Vec<_>>()
            });
            for known in all {
                let (revision, updated_at) = (known.revision + 1, transaction.now);
                let paused = Subscription { is_active: false, revision, updated_at, ..(*known).clone() };
                transaction.put_subscription(&paused)?;
            }
            Ok(())
        })
        .await
    }

    /// It takes no more events at once; its pending deliveries are canceled in the background, and read as canceled
    /// from now on.
    pub async fn delete_subscription(
        &self,
        id: SubscriptionId,
        expected_revision: Option<u32>,
    ) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.with_catalogue(|catalogue| catalogue.subscription(id).cloned());
            let known = known.ok_or(StoreError::NotFound)?;
            check_revision(known.revision, expected_revision)?;
            // The row stays without being opened again: only its deliveries name it.
            let mut record = transaction.tables.get::<Subscriptions>(&id)?.ok_or(StoreError::NotFound)?;
            record.deleted_at = Some(transaction.now.as_millis());
            transaction.tables.put::<Subscriptions>(&id, &record)?;
            transaction.catalogue_mut().remove_subscription(id);
            transaction.put_backlog(id, None);
            transaction.remove_health(id)?;
            transaction.forget_secrets(Holder::Subscription(id))?;
            transaction.cancel_later(id)?;
            transaction.erase_stats_later(Scope::Subscription(id))?;
            transaction.changed(Change::Subscription(id));
            Ok(())
        })
        .await
    }

    /// A test reached its receiver: what held it back is over. Whoever was told that it fails is told of this, too.
    pub async fn receiver_is_well(&self, id: SubscriptionId) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let health = transaction.health(id);
            let is_known = transaction.with_catalogue(|catalogue| catalogue.subscription(id).is_some());
            let is_well = health == health.reset() && !health.is_announced;
            if is_known && !is_well {
                transaction.put_health(id, Health { is_announced: false, ..health.reset() })?;
                transaction.changed(Change::Lifted(id));
                if health.is_announced {
                    transaction.announce(Announcement { subscription: id, what: What::Recovered })?;
                }
            }
            Ok(())
        })
        .await
    }

    pub fn health(&self, id: SubscriptionId) -> Health {
        self.shared.health.read().expect("no writer panics").get(&id).copied().unwrap_or_default()
    }
}

/// `If-Match` (contract 3).
pub(super) fn check_revision(revision: u32, expected: Option<u32>) -> Result<(), StoreError> {
    match expected {
        Some(expected) if expected != revision => Err(StoreError::PreconditionFailed),
        Some(_) | None => Ok(()),
    }
}

impl Transaction<'_> {
    /// Whether there is room for a new subscription, which will have this id, and its public ids are free.
    fn admit(&self, subscription: &Subscription, id: SubscriptionId, subscriptions_max: u32) -> Result<(), StoreError> {
        self.check_space()?;
        self.with_catalogue(|catalogue| {
            let entry = catalogue.tenant(subscription.tenant).ok_or(StoreError::NotFound)?;
            let max = entry.tenant.subscriptions_max.min(subscriptions_max);
            if entry.subscriptions_count() >= max as usize {
                return Err(StoreError::LimitExceeded { max, of_what: Limited::Subscriptions });
            }
            let public_ids = subscription.public_ids.all_of(id);
            if public_ids.iter().any(|id| entry.subscription_by_public_id(id).is_some()) {
                return Err(StoreError::AlreadyExists);
            }
            Ok(())
        })
    }

    fn put_subscription(&mut self, subscription: &Subscription) -> Result<(), StoreError> {
        if subscription.signing == Signing::Tenant {
            self.need_tenant_secret(subscription.tenant)?;
        }
        let record = SubscriptionRecord::from_domain(subscription, &self.shared.crypt);
        self.tables.put::<Subscriptions>(&subscription.id, &record)?;
        self.catalogue_mut().put_subscription(subscription.clone());
        self.put_backlog(subscription.id, None);
        self.changed(Change::Subscription(subscription.id));
        Ok(())
    }
}

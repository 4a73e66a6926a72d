//! Sentences about configuration: subscriptions, event types, tenants, keys. Each ends in a new catalogue.

use super::catalogue::EventTypeEntry;
use super::group::{Group, put, remove};
use super::record::{self, KeptSubscription};
use super::{Change, Edit, Remember, Store, StoreError, schema};
use crate::domain::event_type::{EventType, EventTypeName};
use crate::domain::id::{KeyId, SubscriptionId, TenantId};
use crate::domain::key::ApiKey;
use crate::domain::subscription::Subscription;
use crate::domain::tenant::Tenant;

impl Store {
    /// `id`, `revision` and times are assigned. Fails with `LimitExceeded`, `NotFound` (tenant), `StorageFull`.
    pub async fn create_subscription(
        &self,
        subscription: Subscription,
        remember: Option<Remember<Subscription>>,
    ) -> Result<Subscription, StoreError> {
        self.sentence(move |group| {
            group.refuse_when_full()?;
            let owner = group.catalogue.tenant(subscription.tenant).ok_or(StoreError::NotFound)?;
            let max = owner.tenant.subscriptions_max;
            if owner.subscriptions_count() >= max as usize {
                return Err(StoreError::LimitExceeded { max });
            }
            let now = group.now;
            let id = SubscriptionId::from_u128(group.next_id());
            let subscription = Subscription { id, revision: 1, created_at: now, updated_at: now, ..subscription };
            group.put_subscription(&subscription)?;
            group.remember(remember, &subscription)?;
            Ok(subscription)
        })
        .await
    }

    /// Applies `change`; when it changed anything, `revision` and `updated_at` move. Setting `is_active` from false
    /// to true clears `disabled_reason` and resets the health counters. A changed secret removes the stored answers
    /// that show the old one.
    pub async fn update_subscription(
        &self,
        id: SubscriptionId,
        change: Edit<Subscription>,
        remember: Option<Remember<Subscription>>,
    ) -> Result<Subscription, StoreError> {
        self.sentence(move |group| {
            let old = group.catalogue.subscription(id).cloned().ok_or(StoreError::NotFound)?;
            let mut new = Subscription::clone(&old);
            change(&mut new)?;
            let is_resumed = new.is_active && !old.is_active;
            if is_resumed {
                new.disabled_reason = None;
            }
            if new != *old {
                new.revision = old.revision + 1;
                new.updated_at = group.now;
                if is_resumed {
                    let health = group.health_of(id)?.reset();
                    group.put_health(id, health)?;
                }
                if new.secret != old.secret {
                    group.forget_secrets_of(id.as_u128())?;
                }
                group.put_subscription(&new)?;
            }
            group.remember(remember, &new)?;
            Ok(new)
        })
        .await
    }

    /// It takes no more events at once; its open deliveries read as canceled from now on and become so in the
    /// background. Its record stays while its history does.
    pub async fn delete_subscription(
        &self,
        id: SubscriptionId,
        expected_revision: Option<u32>,
    ) -> Result<(), StoreError> {
        self.sentence(move |group| {
            let subscription = group.catalogue.subscription(id).cloned().ok_or(StoreError::NotFound)?;
            check_revision(expected_revision, subscription.revision)?;
            group.drop_subscription(&subscription)
        })
        .await
    }

    /// `Err(AlreadyExists)` when the name is taken.
    pub async fn create_event_type(
        &self,
        event_type: EventType,
        remember: Option<Remember<EventType>>,
    ) -> Result<EventType, StoreError> {
        self.sentence(move |group| {
            group.refuse_when_full()?;
            if group.catalogue.event_type(event_type.name.as_str()).is_some() {
                return Err(StoreError::AlreadyExists);
            }
            let now = group.now;
            let event_type = EventType { revision: 1, created_at: now, updated_at: now, ..event_type };
            group.put_event_type(&event_type)?;
            group.remember(remember, &event_type)?;
            Ok(event_type)
        })
        .await
    }

    pub async fn update_event_type(
        &self,
        name: EventTypeName,
        change: Edit<EventType>,
        remember: Option<Remember<EventType>>,
    ) -> Result<EventType, StoreError> {
        self.sentence(move |group| {
            let old = group.catalogue.event_type(name.as_str()).cloned().ok_or(StoreError::NotFound)?;
            let mut new = old.event_type.clone();
            change(&mut new)?;
            // Raw JSON has no equality of its own: what would be written is compared.
            if record::write_event_type(&new) != record::write_event_type(&old.event_type) {
                new.revision += 1;
                new.updated_at = group.now;
                group.put_event_type(&new)?;
            }
            group.remember(remember, &new)?;
            Ok(new)
        })
        .await
    }

    pub async fn delete_event_type(
        &self,
        name: EventTypeName,
        expected_revision: Option<u32>,
    ) -> Result<(), StoreError> {
        self.sentence(move |group| {
            let entry = group.catalogue.event_type(name.as_str()).ok_or(StoreError::NotFound)?;
            check_revision(expected_revision, entry.event_type.revision)?;
            remove(&mut group.tables.event_types, name.as_str().as_bytes())?;
            group.catalogue.remove_event_type(&name);
            group.catalogue_changed = true;
            Ok(())
        })
        .await
    }

    /// `Err(AlreadyExists)` when the external id is taken.
    pub async fn create_tenant(
        &self,
        tenant: Tenant,
        remember: Option<Remember<Tenant>>,
    ) -> Result<Tenant, StoreError> {
        self.sentence(move |group| {
            group.refuse_when_full()?;
            group.refuse_taken_external_id(&tenant, None)?;
            let now = group.now;
            let id = TenantId::from_u128(group.next_id());
            let tenant = Tenant { id, revision: 1, created_at: now, updated_at: now, ..tenant };
            group.put_tenant(&tenant)?;
            group.remember(remember, &tenant)?;
            Ok(tenant)
        })
        .await
    }

    pub async fn update_tenant(
        &self,
        id: TenantId,
        change: Edit<Tenant>,
        remember: Option<Remember<Tenant>>,
    ) -> Result<Tenant, StoreError> {
        self.sentence(move |group| {
            let old = group.catalogue.tenant(id).ok_or(StoreError::NotFound)?.tenant.clone();
            let mut new = old.clone();
            change(&mut new)?;
            if new != old {
                group.refuse_taken_external_id(&new, Some(id))?;
                new.revision += 1;
                new.updated_at = group.now;
                group.put_tenant(&new)?;
            }
            group.remember(remember, &new)?;
            Ok(new)
        })
        .await
    }

    /// Revokes its keys and frees its external id at once; its data is erased in the background, also after a
    /// restart. `InvalidState` for the permanent tenants.
    pub async fn delete_tenant(&self, id: TenantId, expected_revision: Option<u32>) -> Result<(), StoreError> {
        self.sentence(move |group| {
            let entry = group.catalogue.tenant(id).cloned().ok_or(StoreError::NotFound)?;
            if entry.tenant.is_permanent() {
                return Err(StoreError::InvalidState);
            }
            check_revision(expected_revision, entry.tenant.revision)?;
            let keys: Vec<KeyId> =
                group.catalogue.keys().filter(|key| key.tenant == Some(id)).map(|key| key.id).collect();
            for key in keys {
                group.drop_key(key)?;
            }
            for subscription in entry.subscriptions() {
                group.drop_subscription(subscription)?;
            }
            remove(&mut group.tables.tenants, &id.to_bytes())?;
            put(&mut group.tables.sweeps, &schema::sweep_of(schema::sweep::TENANT, id.as_u128()), &[])?;
            group.sweeps_begun += 1;
            group.catalogue.remove_tenant(id);
            group.catalogue_changed = true;
            Ok(())
        })
        .await
    }

    /// `id` and `created_at` are assigned. `AlreadyExists` when the key's text is in use.
    pub async fn create_key(&self, key: ApiKey, remember: Option<Remember<ApiKey>>) -> Result<ApiKey, StoreError> {
        self.sentence(move |group| {
            group.refuse_when_full()?;
            if key.tenant.is_some_and(|tenant| group.catalogue.tenant(tenant).is_none()) {
                return Err(StoreError::NotFound);
            }
            if group.catalogue.key_by_hash(&key.hash).is_some() {
                return Err(StoreError::AlreadyExists);
            }
            let id = KeyId::from_u128(group.next_id());
            let key = ApiKey { id, created_at: group.now, ..key };
            put(&mut group.tables.keys, &id.to_bytes(), &record::write_key(&key))?;
            group.catalogue.put_key(key.clone());
            group.catalogue_changed = true;
            group.remember(remember, &key)?;
            Ok(key)
        })
        .await
    }

    /// It stops at once, and stays listed as revoked. Answers that show it, or that it asked for and that show a
    /// secret, are forgotten.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), StoreError> {
        self.sentence(move |group| {
            let key = group.catalogue.key(id).cloned().ok_or(StoreError::NotFound)?;
            if key.revoked_at.is_some() {
                return Err(StoreError::NotFound);
            }
            let key = ApiKey { revoked_at: Some(group.now), ..ApiKey::clone(&key) };
            put(&mut group.tables.keys, &id.to_bytes(), &record::write_key(&key))?;
            group.forget_secrets_of(id.as_u128())?;
            group.catalogue.put_key(key);
            group.catalogue_changed = true;
            Ok(())
        })
        .await
    }
}

fn check_revision(expected: Option<u32>, actual: u32) -> Result<(), StoreError> {
    if expected.is_none_or(|expected| expected == actual) { Ok(()) } else { Err(StoreError::PreconditionFailed) }
}

impl Group<'_, '_> {
    fn refuse_when_full(&self) -> Result<(), StoreError> {
        if self.is_full { Err(StoreError::StorageFull) } else { Ok(()) }
    }

    fn refuse_taken_external_id(&self, tenant: &Tenant, own: Option<TenantId>) -> Result<(), StoreError> {
        let Some(external_id) = &tenant.external_id else { return Ok(()) };
        match self.catalogue.tenant_by_external_id(external_id) {
            Some(other) if Some(other.tenant.id) != own => Err(StoreError::AlreadyExists),
            _ => Ok(()),
        }
    }

    pub fn put_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        put(&mut self.tables.tenants, &tenant.id.to_bytes(), &record::write_tenant(tenant))?;
        self.catalogue.put_tenant(tenant.clone());
        self.catalogue_changed = true;
        Ok(())
    }

    fn put_event_type(&mut self, event_type: &EventType) -> Result<(), StoreError> {
        // Checked where it came in: a schema that cannot be compiled does not come this far.
        let entry = EventTypeEntry::new(event_type.clone()).map_err(|_| StoreError::InvalidState)?;
        put(&mut self.tables.event_types, event_type.name.as_str().as_bytes(), &record::write_event_type(event_type))?;
        self.catalogue.put_event_type(entry);
        self.catalogue_changed = true;
        Ok(())
    }

    pub fn put_subscription(&mut self, subscription: &Subscription) -> Result<(), StoreError> {
        let kept = KeptSubscription { subscription: subscription.clone(), deleted_at: None };
        let bytes = record::write_subscription(&kept, self.cipher);
        put(&mut self.tables.subscriptions, &subscription.id.to_bytes(), &bytes)?;
        self.changes.push(Change::Subscription(subscription.id));
        self.catalogue.put_subscription(subscription.clone());
        self.catalogue_changed = true;
        Ok(())
    }

    fn drop_subscription(&mut self, subscription: &Subscription) -> Result<(), StoreError> {
        let id = subscription.id;
        let kept = KeptSubscription { subscription: subscription.clone(), deleted_at: Some(self.now) };
        let bytes = record::write_subscription(&kept, self.cipher);
        put(&mut self.tables.subscriptions, &id.to_bytes(), &bytes)?;
        put(&mut self.tables.sweeps, &schema::sweep_of(schema::sweep::SUBSCRIPTION, id.as_u128()), &[])?;
        self.forget_secrets_of(id.as_u128())?;
        self.sweeps_begun += 1;
        self.changes.push(Change::Subscription(id));
        self.catalogue.remove_subscription(id);
        self.catalogue_changed = true;
        Ok(())
    }

    fn drop_key(&mut self, id: KeyId) -> Result<(), StoreError> {
        remove(&mut self.tables.keys, &id.to_bytes())?;
        remove(&mut self.tables.keys_used, &id.to_bytes())?;
        self.forget_secrets_of(id.as_u128())?;
        self.catalogue.remove_key(id);
        self.catalogue_changed = true;
        Ok(())
    }
}

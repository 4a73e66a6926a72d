//! Tenants: made, changed, deleted.

use super::commit::{Store, Transaction};
use super::record::TenantRecord;
use super::schema::{Holder, Tenants};
use super::subscriptions::{CONFIGURATION_BYTES, check_revision};
use super::{Change, Edit, Remember, StoreError};
use crate::domain::id::TenantId;
use crate::domain::obstacle::Obstacle;
use crate::domain::tenant::{Tenant, TenantSecret};

impl Store {
    /// Id, `revision` and times are assigned. `Err(AlreadyExists)` when the external id is taken.
    pub async fn create_tenant(
        &self,
        tenant: Tenant,
        remember: Option<Remember<Tenant>>,
    ) -> Result<Tenant, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            transaction.check_space()?;
            transaction.check_external_id(&tenant, None)?;
            let (id, now) = (TenantId::from_u128(transaction.next_id()), transaction.now);
            let tenant = Tenant { id, revision: 1, created_at: now, updated_at: now, ..tenant };
            transaction.put_tenant(&tenant)?;
            transaction.remember(remember, &tenant)?;
            Ok(tenant)
        })
        .await
    }

    /// Applies `change`; when it changed anything, `revision` and `updated_at` move. Id and `created_at` cannot be
    /// changed. `AlreadyExists` when the new external id is taken. A changed secret removes the stored answers that show
    /// the old one.
    pub async fn update_tenant(
        &self,
        id: TenantId,
        change: Edit<Tenant>,
        remember: Option<Remember<Tenant>>,
    ) -> Result<Tenant, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.with_catalogue(|catalogue| catalogue.tenant(id).cloned());
            let known = &known.ok_or(StoreError::NotFound)?.tenant;
            let mut changed = known.clone();
            change(&mut changed)?;
            let Tenant { id, created_at, revision, updated_at, .. } = *known;
            changed = Tenant { id, created_at, revision, updated_at, ..changed };
            if changed != *known {
                transaction.check_external_id(&changed, Some(id))?;
                changed.revision = revision + 1;
                changed.updated_at = transaction.now;
                transaction.put_tenant(&changed)?;
            }
            if changed.secret != known.secret {
                transaction.forget_secrets(Holder::Tenant(id))?;
            }
            transaction.remember(remember, &changed)?;
            Ok(changed)
        })
        .await
    }

    /// Revokes its keys and frees its external id at once; its data is erased in the background, also after a
    /// restart. `InvalidState` for the permanent tenants.
    pub async fn delete_tenant(&self, id: TenantId, expected_revision: Option<u32>) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let entry = transaction.with_catalogue(|catalogue| catalogue.tenant(id).cloned());
            let entry = entry.ok_or(StoreError::NotFound)?;
            if entry.tenant.is_permanent() {
                return Err(StoreError::InvalidState(Obstacle::PermanentTenant));
            }
            check_revision(entry.tenant.revision, expected_revision)?;
            let keys = transaction.with_catalogue(|catalogue| {
                catalogue.keys().filter(|key| key.tenant == Some(id)).map(|key| key.id).collect::<Vec<_>>()
            });
            for key in keys {
                transaction.remove_key(key)?;
            }
            transaction.remove_portal_links(id)?;
            transaction.forget_secrets(Holder::Tenant(id))?;
            transaction.tables.remove::<Tenants>(&id)?;
            transaction.catalogue_mut().remove_tenant(id);
            transaction.erase_later(id)?;
            for subscription in entry.subscriptions() {
                transaction.changed(Change::Subscription(subscription.id));
            }
            Ok(())
        })
        .await
    }
}

impl Transaction<'_> {
    fn check_external_id(&self, tenant: &Tenant, own: Option<TenantId>) -> Result<(), StoreError> {
        let Some(external_id) = &tenant.external_id else { return Ok(()) };
        let holder =
            self.with_catalogue(|catalogue| catalogue.tenant_by_external_id(external_id).map(|entry| entry.tenant.id));
        if holder.is_some() && holder != own { Err(StoreError::AlreadyExists) } else { Ok(()) }
    }

    /// Makes the secret of a tenant that has none yet.
    pub(super) fn need_tenant_secret(&mut self, id: TenantId) -> Result<(), StoreError> {
        let entry = self.with_catalogue(|catalogue| catalogue.tenant(id).cloned()).ok_or(StoreError::NotFound)?;
        if entry.tenant.secret.is_some() {
            return Ok(());
        }
        self.put_tenant(&Tenant {
            secret: Some(TenantSecret::first(self.shared.crypt.new_secret())),
            revision: entry.tenant.revision + 1,
            updated_at: self.now,
            ..entry.tenant.clone()
        })
    }

    fn put_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let record = TenantRecord::from_domain(tenant, &self.shared.crypt);
        self.tables.put::<Tenants>(&tenant.id, &record)?;
        self.catalogue_mut().put_tenant(tenant.clone());
        Ok(())
    }
}

//! API keys: made, revoked, and when they were last used.

use super::commit::{Store, Transaction};
use super::record::KeyRecord;
use super::schema::{Holder, Keys, KeysUsed};
use super::subscriptions::CONFIGURATION_BYTES;
use super::{Remember, StoreError};
use crate::domain::actor::ActorId;
use crate::domain::id::KeyId;
use crate::domain::key::ApiKey;
use crate::domain::time::Timestamp;

impl Store {
    /// Id and `created_at` are assigned. `AlreadyExists` when a key with this hash exists, `NotFound` (tenant).
    pub async fn create_key(&self, key: ApiKey, remember: Option<Remember<ApiKey>>) -> Result<ApiKey, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            transaction.check_space()?;
            if transaction.with_catalogue(|catalogue| catalogue.key_by_hash(&key.hash).is_some()) {
                return Err(StoreError::AlreadyExists);
            }
            if let Some(tenant) = key.tenant
                && transaction.with_catalogue(|catalogue| catalogue.tenant(tenant).is_none())
            {
                return Err(StoreError::NotFound);
            }
            let key = ApiKey { id: KeyId::from_u128(transaction.next_id()), created_at: transaction.now, ..key };
            transaction.put_key(&key)?;
            transaction.remember(remember, &key)?;
            Ok(key)
        })
        .await
    }

    /// The key stays known, so that its use is answered as revoked; it is of no use from now on. Revoking it again
    /// changes nothing.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.with_catalogue(|catalogue| catalogue.key(id).cloned());
            let known = known.ok_or(StoreError::NotFound)?;
            if known.revoked_at.is_some() {
                return Ok(());
            }
            transaction.put_key(&ApiKey { revoked_at: Some(transaction.now), ..(*known).clone() })?;
            transaction.forget_secrets(Holder::Key(id))?;
            transaction.forget_secrets(Holder::Asker(id.to_bytes()))
        })
        .await
    }

    /// Notes that an actor asked for something; written with some later commit, at most once a minute for each.
    pub fn actor_used(&self, id: ActorId, at: Timestamp) {
        // The link of a portal session says when it began, and it is short.
        if !matches!(id, ActorId::Portal(_)) {
            self.shared.last_uses.lock().expect("nothing panics while it holds the lock").used(id, at);
        }
    }

    pub fn key_last_used(&self, id: KeyId) -> Option<Timestamp> {
        self.actor_last_used(id.into())
    }

    pub(super) fn actor_last_used(&self, id: ActorId) -> Option<Timestamp> {
        self.shared.last_uses.lock().expect("nothing panics while it holds the lock").last.get(&id).copied()
    }
}

impl Transaction<'_> {
    fn put_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        self.tables.put::<Keys>(&key.id, &KeyRecord::from(key))?;
        self.catalogue_mut().put_key(key.clone());
        Ok(())
    }

    /// Removes the key of a tenant that is deleted.
    pub(super) fn remove_key(&mut self, id: KeyId) -> Result<(), StoreError> {
        self.tables.remove::<Keys>(&id)?;
        self.tables.remove::<KeysUsed>(&id)?;
        self.forget_secrets(Holder::Key(id))?;
        self.forget_secrets(Holder::Asker(id.to_bytes()))?;
        self.catalogue_mut().remove_key(id);
        Ok(())
    }
}

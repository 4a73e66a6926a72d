//! Settings that are stored: changed while the server runs, and in effect with the commit.

use std::collections::BTreeSet;

use serde_json::Value;

use super::commit::{Store, Transaction};
use super::crypt::Crypt;
use super::record::SettingRecord;
use super::schema::Settings;
use super::subscriptions::CONFIGURATION_BYTES;
use super::tables::Read;
use super::{Retention, StoreError};
use crate::domain::obstacle::Obstacle;
use crate::domain::setting::{SettingName, StoredSettings};
use crate::domain::tenant::OwnRetention;

impl Store {
    /// Keeps each value, or, when it is null, forgets the one that is there. `InvalidState` when one is none of its
    /// setting's (the caller checks that before).
    pub async fn change_settings(&self, changes: Vec<(SettingName, Value)>) -> Result<(), StoreError> {
        let bytes = changes.iter().map(|(_, value)| CONFIGURATION_BYTES + value.to_string().len()).sum();
        self.sentence(bytes, move |transaction| {
            let mut settings = transaction.with_catalogue(|catalogue| catalogue.settings().clone());
            for (name, value) in &changes {
                settings.put(*name, value).map_err(|_| StoreError::InvalidState(Obstacle::Changed))?;
            }
            for (name, _) in &changes {
                match SettingRecord::from_domain(&settings, *name, &transaction.shared.crypt) {
                    Some(record) => transaction.tables.put::<Settings>(name, &record)?,
                    None => drop(transaction.tables.remove::<Settings>(name)?),
                }
            }
            transaction.catalogue_mut().put_settings(settings);
            Ok(())
        })
        .await
    }

    /// How long things are kept at this moment, but for tenants with a retention of their own.
    pub fn retention(&self) -> Retention {
        self.shared.retention.changed_by(self.shared.catalogue.load().settings())
    }

    /// As the store was told when it was opened, for what nothing is stored of.
    pub fn retention_configured(&self) -> Retention {
        self.shared.retention
    }
}

impl Transaction<'_> {
    /// How long things are kept at this moment.
    pub(super) fn retention(&self) -> Retention {
        self.with_catalogue(|catalogue| self.shared.retention.changed_by(catalogue.settings()))
    }
}

impl Retention {
    fn changed_by(self, stored: &StoredSettings) -> Self {
        let Self { payloads_days, metadata_days, audit_days } = self;
        Self {
            payloads_days: stored.payload_days.unwrap_or(payloads_days),
            metadata_days: stored.metadata_days.unwrap_or(metadata_days),
            audit_days: stored.audit_days.unwrap_or(audit_days),
        }
    }

    /// As it is for a tenant with this one of its own. What events say never stays longer than they do.
    pub fn of_tenant(self, OwnRetention { payload_days, metadata_days }: OwnRetention) -> Self {
        let metadata_days = metadata_days.unwrap_or(self.metadata_days);
        Self { payloads_days: payload_days.unwrap_or(self.payloads_days).min(metadata_days), metadata_days, ..self }
    }
}

/// What is stored, but for what is decided elsewhere. A value that this program cannot use means nothing.
pub(super) fn load(
    tables: &impl Read,
    fixed: &BTreeSet<SettingName>,
    crypt: &Crypt,
) -> Result<StoredSettings, StoreError> {
    let mut settings = StoredSettings::default();
    for row in tables.scan::<Settings>(..)? {
        let (name, record) = row?;
        if fixed.contains(&name) {
            continue;
        }
        let is_taken = record.to_value(name, crypt).is_some_and(|value| settings.put(name, &value).is_ok());
        if !is_taken {
            tracing::error!(setting = name.as_str(), "a stored setting cannot be used: what it was before holds");
        }
    }
    Ok(settings)
}

//! Event types: made, changed, deleted.

use super::catalogue::EventTypeEntry;
use super::commit::{Store, Transaction};
use super::record::EventTypeRecord;
use super::schema::EventTypes;
use super::subscriptions::{CONFIGURATION_BYTES, check_revision};
use super::{Edit, Remember, StoreError};
use crate::domain::event_type::{EventType, EventTypeName, ImportedEventType};
use crate::domain::obstacle::Obstacle;

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    pub made: Vec<EventTypeName>,
    pub changed: Vec<EventTypeName>,
    pub unchanged: Vec<EventTypeName>,
}

impl Store {
    /// `revision` and times are assigned. `AlreadyExists` when the name is taken, `InvalidState` when the schema cannot
    /// be used (the caller checks that before).
    pub async fn create_event_type(
        &self,
        event_type: EventType,
        remember: Option<Remember<EventType>>,
    ) -> Result<EventType, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            transaction.check_space()?;
            if transaction.with_catalogue(|catalogue| catalogue.event_type(event_type.name.as_str()).is_some()) {
                return Err(StoreError::AlreadyExists);
            }
            let now = transaction.now;
            let event_type = EventType { revision: 1, created_at: now, updated_at: now, ..event_type };
            transaction.put_event_type(&event_type)?;
            transaction.remember(remember, &event_type)?;
            Ok(event_type)
        })
        .await
    }

    /// Applies `change`; when it changed anything, `revision` and `updated_at` move. Name and `created_at` cannot be
    /// changed.
    pub async fn update_event_type(
        &self,
        name: EventTypeName,
        change: Edit<EventType>,
        remember: Option<Remember<EventType>>,
    ) -> Result<EventType, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.with_catalogue(|catalogue| catalogue.event_type(name.as_str()).cloned());
            let known = &known.ok_or(StoreError::NotFound)?.event_type;
            let mut changed = known.clone();
            change(&mut changed)?;
            let EventType { created_at, revision, updated_at, .. } = *known;
            changed = EventType { name, created_at, revision, updated_at, ..changed };
            // JSON texts have no equality of their own; as records they do.
            if EventTypeRecord::from(&changed) != EventTypeRecord::from(known) {
                changed.revision = revision + 1;
                changed.updated_at = transaction.now;
                transaction.put_event_type(&changed)?;
            }
            transaction.remember(remember, &changed)?;
            Ok(changed)
        })
        .await
    }

    /// Makes those that there are not, and changes the others where they differ: all or none. A dry run tells, and writes
    /// nothing.
    pub async fn import_event_types(
        &self,
        imported: Vec<ImportedEventType>,
        is_dry_run: bool,
        remember: Option<Remember<Imported>>,
    ) -> Result<Imported, StoreError> {
        let bytes = CONFIGURATION_BYTES * imported.len();
        self.sentence(bytes, move |transaction| {
            transaction.check_space()?;
            let (mut outcome, mut to_put) = (Imported::default(), Vec::new());
            for one in imported {
                let name = one.name.clone();
                let known = transaction.with_catalogue(|catalogue| catalogue.event_type(name.as_str()).cloned());
                let Some(known) = known else {
                    to_put.push(EventType::from_import(one, transaction.now));
                    outcome.made.push(name);
                    continue;
                };
                let mut changed = known.event_type.clone();
                changed.import(one);
                if EventTypeRecord::from(&changed) == EventTypeRecord::from(&known.event_type) {
                    outcome.unchanged.push(name);
                    continue;
                }
                changed.revision += 1;
                changed.updated_at = transaction.now;
                to_put.push(changed);
                outcome.changed.push(name);
            }
            if to_put.iter().any(|event_type| EventTypeEntry::new(event_type.clone()).is_err()) {
                return Err(StoreError::InvalidState(Obstacle::Changed));
            }
            if !is_dry_run {
                to_put.iter().try_for_each(|event_type| transaction.put_event_type(event_type))?;
            }
            transaction.remember(remember, &outcome)?;
            Ok(outcome)
        })
        .await
    }

    pub async fn delete_event_type(
        &self,
        name: EventTypeName,
        expected_revision: Option<u32>,
    ) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.with_catalogue(|catalogue| catalogue.event_type(name.as_str()).cloned());
            check_revision(known.ok_or(StoreError::NotFound)?.event_type.revision, expected_revision)?;
            transaction.tables.remove::<EventTypes>(&name)?;
            transaction.catalogue_mut().remove_event_type(&name);
            Ok(())
        })
        .await
    }
}

/// A stored type in memory. One whose schema an update of this program can no longer read goes on without it.
pub(super) fn entry_of_stored(event_type: EventType) -> EventTypeEntry {
    EventTypeEntry::new(event_type.clone()).unwrap_or_else(|error| {
        tracing::error!(event_type = %event_type.name, %error, "a stored schema cannot be used: data is not checked");
        EventTypeEntry { event_type, validator: None }
    })
}

impl Transaction<'_> {
    fn put_event_type(&mut self, event_type: &EventType) -> Result<(), StoreError> {
        let entry = EventTypeEntry::new(event_type.clone()).map_err(|_| StoreError::InvalidState(Obstacle::Changed))?;
        self.tables.put::<EventTypes>(&event_type.name, &EventTypeRecord::from(event_type))?;
        self.catalogue_mut().put_event_type(entry);
        Ok(())
    }
}

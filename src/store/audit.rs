//! The audit log: written at the right edge of its table, read from there, cut off at the left.

use std::cell::Cell;

use super::commit::{Store, Transaction};
use super::pages::{page, walk_all};
use super::postings::Direction;
use super::record::AuditRecord;
use super::schema::{AuditLog, MetaName};
use super::tables::Read;
use super::{Page, StoreError, Walk};
use crate::domain::audit::AuditEntry;
use crate::domain::id::{AuditId, TenantId};
use crate::domain::time::Timestamp;

/// About what an entry writes.
const ENTRY_BYTES: usize = 512;
/// Entries that one step of retention removes.
const REMOVED_PER_STEP_MAX: usize = 256;
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub action: Option<String>,
    pub actor_id: Option<String>,
    pub object_id: Option<String>,
    pub tenant: Option<TenantId>,
    /// At or after this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
}

impl Store {
    /// Also when storage is low: what was done is told.
    pub async fn append_audit(&self, entry: AuditEntry) -> Result<AuditId, StoreError> {
        self.sentence(ENTRY_BYTES, move |transaction| {
            let id = AuditId::from_u128(transaction.next_id());
            transaction.tables.put::<AuditLog>(&id, &AuditRecord::from(entry))?;
            Ok(id)
        })
        .await
    }

    /// Newest first. What was done when, its id says. Reads the disk.
    pub fn audit_log(
        &self,
        filter: &AuditFilter,
        walk: Walk<AuditId>,
    ) -> Result<Page<(AuditId, AuditEntry), AuditId>, StoreError> {
        let snapshot = self.shared.snapshot()?;
        let AuditFilter { action, actor_id, object_id, tenant, since, until } = filter;
        let fetch = |id: AuditId| {
            let Some(record) = snapshot.get::<AuditLog>(&id)? else { return Ok(None) };
            let entry = record.into_domain();
            let actor = entry.actor.as_ref().map(|actor| &actor.id);
            let object = entry.object.as_ref().map(|object| &object.id);
            let is_wanted = action.as_ref().is_none_or(|wanted| entry.action == *wanted)
                && actor_id.as_ref().is_none_or(|wanted| actor == Some(wanted))
                && object_id.as_ref().is_none_or(|wanted| object == Some(wanted))
                && tenant.is_none_or(|wanted| entry.tenant == Some(wanted));
            Ok(is_wanted.then_some((id, entry)))
        };
        let (low, high) =
            (since.map_or(0, first_of), until.map_or(u128::MAX, |until| first_of(until).saturating_sub(1)));
        let source = |bounds, direction: Direction| {
            walk_all::<AuditLog>(&snapshot, bounds, AuditId::as_u128, AuditId::from_u128, direction)
        };
        page(walk, (low, high), AuditId::as_u128, AuditId::from_u128, source, fetch, &Cell::new(0))
    }
}

/// The first id of a moment.
fn first_of(at: Timestamp) -> u128 {
    u128::from(u64::try_from(at.as_millis()).unwrap_or(0).min((1 << 48) - 1)) << 80
}

impl Transaction<'_> {
    /// Removes what is older than the log is kept, one step of it. Answers whether there is more.
    pub(super) fn forget_old_audit(&mut self) -> Result<bool, StoreError> {
        let before = self.now.minus(DAY * self.retention().audit_days);
        let old = self.tables.scan::<AuditLog>(..AuditId::from_u128(first_of(before)))?.take(REMOVED_PER_STEP_MAX);
        let old = old.map(|row| row.map(|(id, _)| id)).collect::<Result<Vec<_>, _>>()?;
        for id in &old {
            self.tables.remove::<AuditLog>(id)?;
        }
        if let Some(last) = old.last() {
            self.tables.raise_meta_id(MetaName::AssignedUpTo, last.as_u128())?;
        }
        Ok(old.len() == REMOVED_PER_STEP_MAX)
    }
}

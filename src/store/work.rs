//! Work in the background: pieces that each go on in bounded steps, from a row that survives a restart.

use std::ops::Bound;

use super::commit::Transaction;
use super::schema::{Work, WorkName};
use super::tables::Read;
use super::{StoreError, erase, jobs, stats};

/// One step of the piece whose turn it is: they go round, so that a long one does not hold up the others.
pub(super) fn step(transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
    transaction.index_now()?;
    let after = transaction.last_worked().map_or(Bound::Unbounded, Bound::Excluded);
    let mut next = transaction.tables.scan::<Work>((after, Bound::Unbounded))?.next().transpose()?;
    if next.is_none() {
        next = transaction.tables.scan::<Work>(..)?.next().transpose()?;
    }
    let Some((name, record)) = next else {
        transaction.set_has_work(false);
        return Ok(());
    };
    let left = match name {
        WorkName::Cancel(id) => erase::cancel(transaction, id, record)?,
        WorkName::Erase(id) => erase::erase(transaction, id, record)?,
        WorkName::Job(id) => jobs::step(transaction, id, record)?,
        WorkName::EraseStats(scope) => stats::erase(&mut transaction.tables, scope, record)?,
    };
    match left {
        Some(record) => transaction.tables.put::<Work>(&name, &record)?,
        None => {
            transaction.tables.remove::<Work>(&name)?;
            let is_done = transaction.tables.scan::<Work>(..)?.next().is_none();
            transaction.set_has_work(!is_done);
        }
    }
    transaction.worked(name);
    Ok(())
}

//! Lists that grow: one page of events or deliveries, walked from an index with filters applied on the way.

use std::cell::Cell;

use super::catalogue::Known;
use super::commit::Store;
use super::postings::{self, Direction};
use super::schema::{
    Deliveries, DeliveriesBySubscription, DeliveriesByTenant, Events, EventsByTenant, FailedRows, Kind, MetaName,
    OpenRows,
};
use super::tables::{Read, Snapshot};
use super::{
    DeliveryFilter, EventFilter, From, Page, ROWS_WALKED_MAX, Reach, StoreError, Walk, deliveries, events, reach,
};
use crate::domain::delivery::{Delivery, ShownState};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EventId, TenantId};
use crate::domain::time::Timestamp;

pub(super) type Ids<'a> = Box<dyn Iterator<Item = Result<u128, StoreError>> + 'a>;

impl Store {
    /// Newest first, each as [`Store::event_within`] shows it, without its deliveries. Reads the disk.
    pub fn events(
        &self,
        reach: impl Into<Reach>,
        filter: &EventFilter,
        walk: Walk<EventId>,
    ) -> Result<Page<Event, EventId>, StoreError> {
        let reach: Reach = reach.into();
        let (snapshot, catalogue, tenant) = (self.shared.snapshot()?, self.catalogue(), reach.tenant);
        // Whether a restricted key sees an event, its deliveries tell: they are rows to look at, too.
        let deliveries_walked = Cell::new(0);
        let EventFilter { event_type, since, until, unmatched, channel } = filter;
        let fetch = |id| {
            let Some(record) = snapshot.get::<Events>(&id)? else { return Ok(None) };
            let event = events::domain(record, id)?;
            let is_wanted = event.tenant == tenant
                && event_type.as_ref().is_none_or(|wanted| event.event_type == *wanted)
                && is_between(event.created_at, *since, *until)
                && unmatched.is_none_or(|wanted| wanted == (event.deliveries == 0))
                && channel.as_ref().is_none_or(|wanted| event.channels.contains(wanted));
            if !is_wanted || reach.key.is_none() {
                return Ok(is_wanted.then_some(event));
            }
            deliveries_walked.set(deliveries_walked.get() + event.deliveries as usize);
            Ok(reach::cut(&snapshot, &catalogue, reach, event)?.map(|(event, _)| event))
        };
        let bounds = id_bounds(&snapshot, *since, *until)?;
        let source = |bounds, direction| postings::walk::<EventsByTenant>(&snapshot, tenant, bounds, direction);
        page(walk, bounds, EventId::as_u128, EventId::from_u128, source, fetch, &deliveries_walked)
    }

    /// Newest first. Reads the disk.
    pub fn deliveries(
        &self,
        reach: impl Into<Reach>,
        filter: &DeliveryFilter,
        walk: Walk<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>, StoreError> {
        let reach: Reach = reach.into();
        let (snapshot, catalogue, tenant) = (self.shared.snapshot()?, self.catalogue(), reach.tenant);
        let fetch = |id| {
            let Some(record) = snapshot.get::<Deliveries>(&id)? else { return Ok(None) };
            let delivery = deliveries::present(deliveries::domain(record, id)?, &catalogue);
            let is_wanted = self.with_known(|known| is_wanted(known, &delivery, tenant, filter))
                && reach::has(&snapshot, &catalogue, reach, delivery.subscription)?;
            Ok(is_wanted.then_some(delivery))
        };
        let bounds = id_bounds(&snapshot, filter.since, filter.until)?;
        let source = |bounds, direction| source(&snapshot, tenant, filter, bounds, direction);
        page(walk, bounds, DeliveryId::as_u128, DeliveryId::from_u128, source, fetch, &Cell::new(0))
    }
}

pub(super) fn is_between(at: Timestamp, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}

pub(super) fn is_wanted(known: &Known<'_>, delivery: &Delivery, of_tenant: TenantId, filter: &DeliveryFilter) -> bool {
    let DeliveryFilter { state, subscription, event, event_type, since, until, http_status } = filter;
    delivery.tenant == of_tenant
        && state.is_none_or(|wanted| known.shown_state(delivery).0 == wanted)
        && subscription.is_none_or(|wanted| delivery.subscription == wanted)
        && event.is_none_or(|wanted| delivery.event == wanted)
        && event_type.as_ref().is_none_or(|wanted| delivery.event_type == *wanted)
        && is_between(delivery.created_at, *since, *until)
        && http_status.is_none_or(|wanted| delivery.last_http_status == Some(wanted))
}

/// The narrowest index that holds everything that the filter wants.
fn source<'a>(
    snapshot: &'a Snapshot,
    tenant: TenantId,
    filter: &DeliveryFilter,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    if let Some(id) = filter.event {
        let count = snapshot.get::<Events>(&id)?.map_or(0, |event| event.deliveries);
        let all = events::deliveries_of(snapshot, id, count)?;
        let ids = all.into_iter().map(|(id, _)| id.as_u128()).filter(move |id| (low..=high).contains(id));
        let ids = ids.map(Ok);
        return Ok(match direction {
            Direction::OlderFirst => Box::new(ids),
            Direction::NewerFirst => Box::new(ids.rev()),
        });
    }
    match filter.state {
        Some(ShownState::Pending | ShownState::Retrying | ShownState::Held) => {
            walk_open(snapshot, tenant, (low, high), direction)
        }
        Some(ShownState::Exhausted | ShownState::Canceled | ShownState::Expired) => {
            walk_failed(snapshot, tenant, (low, high), direction)
        }
        Some(ShownState::Succeeded) | None => match filter.subscription {
            Some(id) => postings::walk::<DeliveriesBySubscription>(snapshot, id, (low, high), direction),
            None => postings::walk::<DeliveriesByTenant>(snapshot, tenant, (low, high), direction),
        },
    }
}

/// Every open delivery of a tenant, with others among them.
pub(super) fn walk_open<'a>(
    tables: &'a impl Read,
    tenant: TenantId,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    // After the watermark a delivery can be open without a row that says so.
    let settled = tables.meta_id(MetaName::SettledUpTo)?;
    let rows = walk_rows::<OpenRows>(tables, tenant, (low, high.min(settled)), direction)?;
    let newer = (low.max(settled.saturating_add(1)), high);
    let newer = postings::walk::<DeliveriesByTenant>(tables, tenant, newer, direction)?;
    Ok(match direction {
        Direction::OlderFirst => Box::new(rows.chain(newer)),
        Direction::NewerFirst => Box::new(newer.chain(rows)),
    })
}

/// Every exhausted or canceled delivery of a tenant.
pub(super) fn walk_failed<'a>(
    tables: &'a impl Read,
    tenant: TenantId,
    bounds: (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    walk_rows::<FailedRows>(tables, tenant, bounds, direction)
}

fn walk_rows<'a, K>(
    tables: &'a impl Read,
    tenant: TenantId,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError>
where
    K: Kind<Key = (TenantId, DeliveryId), Value = ()> + 'a,
{
    if low > high {
        return Ok(Box::new(std::iter::empty()));
    }
    let ids = tables
        .scan::<K>((tenant, DeliveryId::from_u128(low))..=(tenant, DeliveryId::from_u128(high)))?
        .map(|row| row.map(|((_, id), ())| id.as_u128()));
    Ok(match direction {
        Direction::OlderFirst => Box::new(ids),
        Direction::NewerFirst => Box::new(ids.rev()),
    })
}

/// The ids that can have been created between the two. An id's milliseconds are never before its `created_at`, and
/// never further after it than the file remembers.
pub(super) fn id_bounds(
    tables: &impl Read,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(u128, u128), StoreError> {
    let first_of = |millis: i64| u128::from(u64::try_from(millis).unwrap_or(0).min((1 << 48) - 1)) << 80;
    let low = since.map_or(0, |since| first_of(since.as_millis()));
    let Some(until) = until else { return Ok((low, u128::MAX)) };
    let lag = tables.meta(MetaName::IdLagMax)?.map_or(0, i64::from_be_bytes);
    Ok((low, first_of(until.as_millis().saturating_add(lag))))
}

/// Walks `source` from where the page begins, and keeps what `fetch` finds, which counts other rows that it looks at in
/// `walked_besides`.
fn page<'a, T, Id: Copy>(
    walk: Walk<Id>,
    (low, high): (u128, u128),
    to_u128: impl Fn(Id) -> u128,
    from_u128: impl Fn(u128) -> Id,
    source: impl FnOnce((u128, u128), Direction) -> Result<Ids<'a>, StoreError>,
    fetch: impl Fn(Id) -> Result<Option<T>, StoreError>,
    walked_besides: &Cell<usize>,
) -> Result<Page<T, Id>, StoreError> {
    let (bounds, direction) = match walk.from {
        From::Newest => ((low, high), Direction::NewerFirst),
        From::After(id) => ((low, high.min(to_u128(id).saturating_sub(1))), Direction::NewerFirst),
        From::Before(id) => ((low.max(to_u128(id).saturating_add(1)), high), Direction::OlderFirst),
    };
    let mut ids = source(bounds, direction)?.peekable();
    let mut rows = Vec::new();
    let (mut first, mut last, mut walked) = (None, None, 0);
    while rows.len() < walk.size && walked + walked_besides.get() < ROWS_WALKED_MAX {
        let Some(id) = ids.next().transpose()? else { break };
        walked += 1;
        first.get_or_insert(id);
        last = Some(id);
        rows.extend(fetch(from_u128(id))?);
    }
    // Whether the walk could have gone on, from the last row that it looked at.
    let further = match ids.next().transpose()? {
        Some(_) => last,
        None => None,
    };
    let (next, previous) = match walk.from {
        From::Newest => (further, None),
        // The way back begins just before the row that the cursor names, so that it is not left out.
        From::After(id) => (further, Some(first.unwrap_or_else(|| to_u128(id).saturating_sub(1)))),
        From::Before(id) => {
            rows.reverse();
            (Some(first.unwrap_or_else(|| to_u128(id).saturating_add(1))), further)
        }
    };
    Ok(Page { rows, next: next.map(&from_u128), previous: previous.map(&from_u128) })
}
